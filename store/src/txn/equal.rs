//! Messages that came before on the same day: another delivery of one is counted, not stored again.
//!
//! Only messages of this process, of today's page and after its start are known, in a bounded table: by hash and length, which find a
//! candidate, and then octet by octet. A message is known once it has a ticket, so a later ticket of this process is never durable before
//! it.

use std::collections::{HashMap, VecDeque};
use std::sync::PoisonError;

use crate::draft::{Body, Content};
use crate::error::Result;
use crate::ids::{MessageId, PageId};
use crate::in_hand::{Mutex, MutexGuard};
use crate::log::frame::FRAME_HEAD_BYTES;
use crate::store::Store;

/// Messages that are known.
const KNOWN_MOST: usize = 1 << 16;
/// Octets compared at a time.
const COMPARED_AT_ONCE: u64 = 128 * 1024;

/// The messages of today that this process has stored.
#[derive(Debug)]
pub(crate) struct EqualMessages {
    is_on: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    page: Option<PageId>,
    /// By content hash and length, the index in the page.
    known: HashMap<(u64, u64), u32>,
    /// In the order in which they came.
    order: VecDeque<(u64, u64)>,
}

impl EqualMessages {
    pub(crate) fn new(is_on: bool) -> EqualMessages {
        EqualMessages { is_on, state: Mutex::new(State::default()) }
    }

    /// A message was stored, and has its ticket.
    pub(crate) fn remember(&self, hash: u64, len: u64, message: MessageId) {
        if !self.is_on {
            return;
        }
        let mut state = self.lock();
        if state.page != Some(message.page) {
            *state = State { page: Some(message.page), ..State::default() };
        }
        if state.known.insert((hash, len), message.index).is_none() {
            state.order.push_back((hash, len));
        }
        if state.order.len() > KNOWN_MOST
            && let Some(oldest) = state.order.pop_front()
        {
            state.known.remove(&oldest);
        }
    }

    /// A message of today with that hash and length.
    fn candidate(&self, hash: u64, len: u64, today: PageId) -> Option<MessageId> {
        let state = self.lock();
        let page = state.page.filter(|page| self.is_on && *page == today)?;
        state.known.get(&(hash, len)).map(|index| MessageId { page, index: *index })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The message that has the same octets as `content`, if one is known. Whether it is still there when it is counted is another question.
pub(super) fn find(store: &Store, content: &Content) -> Option<MessageId> {
    let today = store.derived.disk.today();
    let candidate = store.equal.candidate(content.hash, content.size, today)?;
    // One that cannot be read is none: the new one is stored.
    is_equal(store, candidate, content).ok().filter(|equal| *equal).map(|_| candidate)
}

fn is_equal(store: &Store, candidate: MessageId, content: &Content) -> Result<bool> {
    let stored = store.message(candidate)?;
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < content.size {
        let end = (at + COMPARED_AT_ONCE).min(content.size);
        theirs.clear();
        store.read_range(&stored, at..end, &mut theirs)?;
        let same = match &content.body {
            Body::Gathered(bytes) => bytes.get(at as usize..end as usize) == Some(&theirs[..]),
            Body::Streamed(lease) => {
                ours.resize((end - at) as usize, 0);
                lease.log().read_at(&mut ours, lease.log().tail() + FRAME_HEAD_BYTES + at)?;
                ours == theirs
            }
        };
        if !same {
            return Ok(false);
        }
        at = end;
    }
    Ok(stored.size == content.size)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::gc::tests::{Place, body, count, deliver, expunge, gc, inbox, mail};
    use crate::ids::MailboxId;
    use crate::page::directory::CellState;
    use crate::store::{OpenOptions, Store};

    fn inboxes(store: &Arc<Store>, users: u32) -> Vec<MailboxId> {
        (0..users).map(|user| inbox(store.ensure_user(&format!("user{user}")).expect("made"))).collect()
    }

    #[test]
    fn the_same_message_a_hundred_times_is_stored_once() {
        // One that is gathered in memory, and one that streams into a bucket of its own.
        for octets in [5000, 300_000] {
            let place = Place::new();
            let store = place.open();
            let users = inboxes(&store, 100);
            let text = mail("news ", octets);
            let first = deliver(&store, &text, &[users[0]]);
            let before = store.counters().bucket_bytes_written.get();
            for user in &users[1..] {
                assert_eq!(deliver(&store, &text, &[*user]), first);
            }
            assert_eq!(store.counters().bucket_bytes_written.get(), before, "nothing more was stored");
            assert_eq!(store.counters().equal_messages.get(), 99);
            assert_eq!(store.counters().equal_bytes_saved.get(), 99 * octets as u64);
            let directory = store.pages.directory(first.page).expect("there");
            assert_eq!(directory.counted().expect("readable"), (99, 99 * octets as u64));
            assert_eq!(count(&store, first), (100, CellState::InUse));
            for user in &users[..99] {
                expunge(&store, *user, &[0]);
            }
            assert_eq!(gc(&store).freed_messages, 0);
            drop(directory);
            drop(store);
            let store = place.open();
            assert_eq!(count(&store, first), (1, CellState::InUse));
            assert_eq!(body(&store, first).expect("there"), text);
            let last = store.mailbox(users[99]).expect("there").cell(crate::CellIndex(0)).expect("whole");
            assert_eq!((last.message, last.size), (first, octets as u32));
        }
    }

    #[test]
    fn octets_are_compared_not_only_hashes() {
        for octets in [5000, 300_000] {
            let place = Place::new();
            let store = place.open();
            let user = inboxes(&store, 1)[0];
            let (one, other) = (mail("one ", octets), mail("two ", octets));
            let stored = deliver(&store, &one, &[user]);
            // As if the hash of the other were that of the one.
            let hash = xxhash_rust::xxh3::xxh3_64(&other);
            store.equal.remember(hash, octets as u64, stored);
            let new = deliver(&store, &other, &[user]);
            assert_ne!(new, stored);
            assert_eq!(body(&store, new).expect("there"), other);
            assert_eq!(store.counters().equal_messages.get(), 0);
        }
    }

    #[test]
    fn a_message_that_was_freed_is_stored_again() {
        let place = Place::new();
        let store = place.open();
        let user = inboxes(&store, 1)[0];
        let text = mail("text ", 9000);
        let first = deliver(&store, &text, &[user]);
        expunge(&store, user, &[0]);
        assert_eq!(gc(&store).freed_messages, 1);
        let second = deliver(&store, &text, &[user]);
        assert_ne!(first, second);
        assert_eq!(body(&store, second).expect("there"), text);
        // One that is freed between the look at it and the locks.
        let directory = store.pages.directory(second.page).expect("there");
        let mut draft = store.draft().expect("open");
        draft.write(&text).expect("space");
        let content = draft.finish().expect("space");
        assert_eq!(super::find(&store, &content), Some(second));
        expunge(&store, user, &[1]);
        directory.drop_reference(second.index).expect("there");
        assert!(directory.free_if_unreferenced(second.index).expect("there"));
        assert_eq!(super::find(&store, &content), None);
    }

    #[test]
    fn it_can_be_turned_off() {
        let place = Place::new();
        let options = OpenOptions { count_equal_messages: false, ..place.options(0) };
        let store = Store::open(options).expect("opens");
        let user = inboxes(&store, 1)[0];
        let text = mail("text ", 500);
        assert_ne!(deliver(&store, &text, &[user]), deliver(&store, &text, &[user]));
        assert_eq!(store.counters().equal_messages.get(), 0);
    }

    #[test]
    fn only_a_bounded_number_of_messages_is_known() {
        let known = super::EqualMessages::new(true);
        let message = |page, index| crate::MessageId { page: crate::PageId(page), index };
        for index in 0..super::KNOWN_MOST as u32 + 10 {
            known.remember(u64::from(index), 1, message(7, index));
        }
        assert_eq!(known.lock().known.len(), super::KNOWN_MOST);
        assert_eq!(known.candidate(9, 1, crate::PageId(7)), None);
        assert_eq!(known.candidate(10, 1, crate::PageId(7)), Some(message(7, 10)));
        assert_eq!(known.candidate(10, 1, crate::PageId(8)), None, "it is of another day");
        known.remember(1, 1, message(8, 0));
        assert_eq!(known.lock().known.len(), 1);
    }
}
