//! The slots of this handler: where sessions are parked, and how they are woken.
//!
//! A slot has the number of its session cell in the shared table. Whoever has news for a session calls [`Slots::wake`]
//! with the cause; a worker that takes the slot from the run queue owns the session until it parks it again or ends it.
//!
//! No wake-up is lost: a waker first adds its cause, then looks at the state; a worker first sets the state, then looks at
//! the causes. Both are sequentially consistent, so at least one of them sees the other.

use std::sync::PoisonError;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU64, Ordering::SeqCst};

use crate::run_queue::RunQueue;
use crate::session::Session;
use store::in_hand::{Mutex, MutexGuard};

/// The number of a slot, and of the session's cell in this handler's rows of the table.
pub(crate) type SlotNumber = u32;

/// Reasons for which a session is woken, as a set of bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Causes(pub(crate) u16);

impl Causes {
    /// Bytes came, or the peer closed.
    pub(crate) const INPUT: Causes = Causes(1 << 0);
    /// The socket takes bytes again.
    pub(crate) const OUTPUT: Causes = Causes(1 << 1);
    /// The ticket waited for is durable, or failed.
    pub(crate) const COMMIT: Causes = Causes(1 << 2);
    /// The selected mailbox changed.
    pub(crate) const CHANGE: Causes = Causes(1 << 3);
    /// A helper has an answer.
    pub(crate) const HELPER: Causes = Causes(1 << 4);
    /// The deadline passed.
    pub(crate) const TIME: Causes = Causes(1 << 5);
    /// The handler is being shut down.
    pub(crate) const SHUTDOWN: Causes = Causes(1 << 6);
    /// The peer sends no more; what it sent may still be unread.
    pub(crate) const HANG_UP: Causes = Causes(1 << 7);
    /// An order for this session alone is there ([`crate::orders`]).
    pub(crate) const ORDER: Causes = Causes(1 << 8);

    /// Whether any of `other` is in the set.
    pub(crate) fn has(self, other: Causes) -> bool {
        self.0 & other.0 != 0
    }

    /// The set without those of `other`.
    pub(crate) fn without(self, other: Causes) -> Causes {
        Causes(self.0 & !other.0)
    }
}

impl std::ops::BitOr for Causes {
    type Output = Causes;
    fn bitor(self, other: Causes) -> Causes {
        Causes(self.0 | other.0)
    }
}

const FREE: u8 = 0;
const PARKED: u8 = 1;
const QUEUED: u8 = 2;
const RUNNING: u8 = 3;

/// No deadline.
pub(crate) const NEVER_MS: u64 = u64::MAX;

struct Slot {
    state: AtomicU8,
    causes: AtomicU16,
    waits_for: AtomicU16,
    /// On the handler's clock, in milliseconds.
    deadline_ms: AtomicU64,
    parked: Mutex<Option<Box<Session>>>,
}

/// What was found in a slot.
#[derive(Debug)]
pub(crate) enum Lent<T> {
    /// No session.
    Free,
    /// A session that a worker runs.
    Busy,
    /// A session, and what was seen of it.
    Seen(T),
}

/// All slots of the handler.
pub(crate) struct Slots {
    slots: Vec<Slot>,
}

impl Slots {
    /// `count` free slots.
    pub(crate) fn new(count: usize) -> Slots {
        let slot = || Slot {
            state: AtomicU8::new(FREE),
            causes: AtomicU16::new(0),
            waits_for: AtomicU16::new(0),
            deadline_ms: AtomicU64::new(NEVER_MS),
            parked: Mutex::new(None),
        };
        Slots { slots: std::iter::repeat_with(slot).take(count).collect() }
    }

    /// Whether `number` is a free slot of this handler.
    pub(crate) fn is_free(&self, number: SlotNumber) -> bool {
        self.slots.get(number as usize).is_some_and(|slot| slot.state.load(SeqCst) == FREE)
    }

    /// Looks at the session of a slot, if no worker runs it now.
    pub(crate) fn look<T>(&self, number: SlotNumber, look: impl FnOnce(&Session) -> T) -> Lent<T> {
        let slot = &self.slots[number as usize];
        match &*session_place(slot) {
            Some(session) => Lent::Seen(look(session)),
            None if slot.state.load(SeqCst) == FREE => Lent::Free,
            None => Lent::Busy,
        }
    }

    /// The slots that have a session.
    pub(crate) fn used_slots(&self) -> Vec<SlotNumber> {
        let used = |number: &SlotNumber| !self.is_free(*number);
        (0..self.slots.len() as SlotNumber).filter(used).collect()
    }

    /// Puts a new session into a free slot and queues it, to greet its peer.
    pub(crate) fn start(&self, number: SlotNumber, session: Box<Session>, queue: &RunQueue) {
        let slot = &self.slots[number as usize];
        slot.causes.store(0, SeqCst);
        *session_place(slot) = Some(session);
        slot.state.store(QUEUED, SeqCst);
        queue.push(number);
    }

    /// Tells a session of `cause`. It is queued if it waits for that; else it sees the cause when it runs next.
    pub(crate) fn wake(&self, number: SlotNumber, cause: Causes, queue: &RunQueue) {
        let Some(slot) = self.slots.get(number as usize) else { return };
        slot.causes.fetch_or(cause.0, SeqCst);
        if Causes(slot.waits_for.load(SeqCst)).has(cause) {
            queue_if_parked(slot, number, queue);
        }
    }

    /// Takes the session of a queued slot, to run it.
    pub(crate) fn take(&self, number: SlotNumber) -> Option<Box<Session>> {
        let slot = &self.slots[number as usize];
        slot.state.store(RUNNING, SeqCst);
        slot.deadline_ms.store(NEVER_MS, SeqCst);
        session_place(slot).take()
    }

    /// What woke the session since the last call.
    pub(crate) fn take_causes(&self, number: SlotNumber) -> Causes {
        Causes(self.slots[number as usize].causes.swap(0, SeqCst))
    }

    /// Parks a running session until one of `waits_for`, or until the deadline. It is queued again at once if one of these
    /// came while it ran.
    pub(crate) fn park(
        &self,
        number: SlotNumber,
        session: Box<Session>,
        waits_for: Causes,
        deadline_ms: u64,
        queue: &RunQueue,
    ) {
        let slot = &self.slots[number as usize];
        let waits_for = waits_for | Causes::TIME | Causes::SHUTDOWN | Causes::ORDER;
        *session_place(slot) = Some(session);
        slot.deadline_ms.store(deadline_ms, SeqCst);
        slot.waits_for.store(waits_for.0, SeqCst);
        slot.state.store(PARKED, SeqCst);
        if Causes(slot.causes.load(SeqCst)).has(waits_for) {
            queue_if_parked(slot, number, queue);
        }
    }

    /// Puts a running session at the end of the run queue.
    pub(crate) fn requeue(&self, number: SlotNumber, session: Box<Session>, queue: &RunQueue) {
        let slot = &self.slots[number as usize];
        *session_place(slot) = Some(session);
        slot.state.store(QUEUED, SeqCst);
        queue.push(number);
    }

    /// Makes the slot of a session that ended free.
    pub(crate) fn free(&self, number: SlotNumber) {
        let slot = &self.slots[number as usize];
        slot.waits_for.store(0, SeqCst);
        slot.deadline_ms.store(NEVER_MS, SeqCst);
        slot.state.store(FREE, SeqCst);
    }

    /// Wakes every parked session whose deadline has passed.
    pub(crate) fn wake_overdue(&self, now_ms: u64, queue: &RunQueue) {
        for (number, slot) in self.slots.iter().enumerate() {
            if slot.deadline_ms.load(SeqCst) <= now_ms {
                self.wake(number as SlotNumber, Causes::TIME, queue);
            }
        }
    }

    /// Wakes every session, whatever it waits for.
    pub(crate) fn wake_all(&self, cause: Causes, queue: &RunQueue) {
        for number in 0..self.slots.len() {
            if self.slots[number].state.load(SeqCst) != FREE {
                self.wake(number as SlotNumber, cause, queue);
            }
        }
    }

    /// How many slots have a session.
    pub(crate) fn used(&self) -> usize {
        self.slots.iter().filter(|slot| slot.state.load(SeqCst) != FREE).count()
    }
}

fn queue_if_parked(slot: &Slot, number: SlotNumber, queue: &RunQueue) {
    if slot.state.compare_exchange(PARKED, QUEUED, SeqCst, SeqCst).is_ok() {
        queue.push(number);
    }
}

/// The place of the session. A panic while it is locked is impossible: it only ever moves a box.
fn session_place(slot: &Slot) -> MutexGuard<'_, Option<Box<Session>>> {
    slot.parked.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::sync::atomic::AtomicU32;

    use shm_abi::Endpoint;

    use super::*;
    use crate::conversation::{Conversation, Peer};
    use crate::imap::ImapSession;
    use crate::keeping::Keeping;
    use crate::pace::Pace;
    use crate::session::Socket;

    fn session() -> Box<Session> {
        let (socket, _) = UnixStream::pair().expect("a socket pair");
        let peer = Peer { endpoint: Endpoint::Unix { pid: 0, uid: 0 }, is_private: true, tls: None };
        let conversation = Conversation::Imap(Box::new(ImapSession::new()));
        Box::new(Session::new(
            Socket::Unix(socket),
            1,
            peer,
            conversation,
            0,
            Pace::new(true),
            Keeping::default(),
        ))
    }

    /// Every wake-up is seen by a turn that begins after it, whoever is quicker.
    #[test]
    fn no_wake_up_is_lost() {
        const NEWS: u32 = 200_000;
        let (slots, queue) = (Slots::new(1), RunQueue::new());
        let (told, heard) = (AtomicU32::new(0), AtomicU32::new(0));
        slots.start(0, session(), &queue);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while let Some(number) = queue.pop() {
                        let session = slots.take(number).expect("a queued slot has its session");
                        slots.take_causes(number);
                        heard.store(told.load(SeqCst), SeqCst);
                        slots.park(number, session, Causes::INPUT, NEVER_MS, &queue);
                    }
                });
            }
            for news in 1..=NEWS {
                told.store(news, SeqCst);
                slots.wake(0, Causes::INPUT, &queue);
                // A cause that is not waited for must not swallow one that is.
                slots.wake(0, Causes::CHANGE, &queue);
                if news % 64 == 0 {
                    while heard.load(SeqCst) < news {
                        std::thread::yield_now();
                    }
                }
            }
            while heard.load(SeqCst) < NEWS {
                std::thread::yield_now();
            }
            queue.close();
        });
    }

    #[test]
    fn only_what_is_waited_for_wakes() {
        let (slots, queue) = (Slots::new(2), RunQueue::new());
        slots.start(1, session(), &queue);
        assert_eq!(queue.pop(), Some(1));
        let session = slots.take(1).expect("the session");
        slots.park(1, session, Causes::COMMIT, 50, &queue);
        slots.wake(1, Causes::INPUT, &queue);
        slots.wake_overdue(49, &queue);
        queue.close();
        assert_eq!(queue.pop(), None);
        slots.wake_overdue(50, &queue);
        assert_eq!(queue.pop(), Some(1));
        assert_eq!(slots.take_causes(1), Causes::INPUT | Causes::TIME);
        assert_eq!(slots.used(), 1);
        slots.free(1);
        assert_eq!(slots.used(), 0);
        assert!(slots.is_free(1));
    }
}
