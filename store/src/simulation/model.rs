//! The plain model of a store: for every user, mailbox and message, the states that were shown since the last that was acknowledged. No files,
//! no locks, no recovery; what it says is what clients were told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::history::{DURABLE, History, Mark, Transaction, TransactionId, Unacknowledged};
use super::step::KEYWORDS;
use crate::change::{SpecialUse, ZonedTime};
use crate::ids::{MailboxId, Ticket, UserId};
use crate::lists::MailboxList;
use crate::mailbox::Keywords;

/// What is wrong, in words.
pub(super) type Difference = String;

/// All that was shown.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) users: BTreeMap<UserId, UserModel>,
    pub(super) unacknowledged: Unacknowledged,
    /// A sync of a log has failed.
    pub(super) sync_failed: bool,
    last_transaction: TransactionId,
}

/// What is said of a user, or of one of the mailboxes, by name.
pub(super) type Attributes = BTreeMap<(Option<u32>, String), History<Option<Vec<u8>>>>;

/// A user. One who was deleted stays, with `there` false.
#[derive(Debug)]
pub(super) struct UserModel {
    pub(super) name: String,
    pub(super) there: bool,
    /// The list as it is now.
    pub(super) list: Arc<MailboxList>,
    pub(super) special_uses: BTreeMap<u32, History<Option<SpecialUse>>>,
    pub(super) subscriptions: BTreeMap<String, History<bool>>,
    /// By mailbox, or the user's own, and name.
    pub(super) attributes: Attributes,
    /// The mailboxes that are there.
    pub(super) mailboxes: BTreeMap<u32, MailboxModel>,
}

/// Values of annotations by UID, reader (`None`: all see them) and entry.
pub(super) type Annotations = BTreeMap<(u32, Option<UserId>, String), Vec<u8>>;

/// A mailbox that is there.
#[derive(Debug)]
pub(super) struct MailboxModel {
    pub(super) uid_validity: u32,
    /// What was shown of UIDNEXT and HIGHESTMODSEQ.
    pub(super) uid_next: u32,
    pub(super) highest_modseq: u64,
    pub(super) cells: BTreeMap<u32, CellModel>,
    /// Readers who are not the owner, and UIDs of what they have seen; perhaps of messages that are gone.
    pub(super) seen: BTreeSet<(UserId, u32)>,
    /// Annotations, perhaps of messages that are gone.
    pub(super) annotations: Annotations,
}

/// A message in a mailbox.
#[derive(Debug)]
pub(super) struct CellModel {
    pub(super) content: Arc<Vec<u8>>,
    pub(super) internal_date: ZonedTime,
    /// The transaction that put it here.
    pub(super) added_by: TransactionId,
    /// The one that stored its octets.
    pub(super) stored_by: TransactionId,
    pub(super) states: History<CellState>,
}

impl CellModel {
    /// A new message, which `by` stored.
    pub(super) fn stored(
        by: TransactionId,
        content: &Arc<Vec<u8>>,
        internal_date: ZonedTime,
        state: CellState,
    ) -> CellModel {
        let states = History::new(by, state);
        CellModel { content: Arc::clone(content), internal_date, added_by: by, stored_by: by, states }
    }

    /// The same message, put elsewhere by `by`.
    pub(super) fn copied(&self, by: TransactionId, state: CellState) -> CellModel {
        let content = Arc::clone(&self.content);
        CellModel { content, added_by: by, states: History::new(by, state), ..*self }
    }
}

/// What a mailbox says of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CellState {
    /// It is there. Bit *i* of `keywords` is `KEYWORDS[i]`.
    Live { system: u8, keywords: u8, modseq: u64 },
    /// It was expunged.
    Gone { modseq: u64 },
}

impl CellState {
    /// Whether the message is there.
    pub(super) fn is_live(self) -> bool {
        matches!(self, CellState::Live { .. })
    }
}

impl MailboxModel {
    pub(super) fn new(uid_validity: u32) -> MailboxModel {
        MailboxModel {
            uid_validity,
            uid_next: 1,
            highest_modseq: 1,
            cells: BTreeMap::new(),
            seen: BTreeSet::new(),
            annotations: Annotations::new(),
        }
    }

    /// UIDs of the messages that are there.
    pub(super) fn live(&self) -> Vec<u32> {
        self.cells.iter().filter(|(_, cell)| cell.states.now().is_live()).map(|(uid, _)| *uid).collect()
    }
}

impl MailboxModel {
    /// UIDs of the messages that were expunged, as far as they are known.
    pub(super) fn gone(&self) -> Vec<u32> {
        self.cells.iter().filter(|(_, cell)| !cell.states.now().is_live()).map(|(uid, _)| *uid).collect()
    }
}

impl Model {
    /// A number for a transaction that is shown now, and that `words` describe.
    pub(super) fn transaction(
        &mut self,
        incarnation: u64,
        ticket: Ticket,
        words: String,
        marks: Vec<Mark>,
    ) -> TransactionId {
        self.last_transaction += 1;
        let transaction = Transaction { incarnation, ticket, words, marks };
        self.unacknowledged.insert(self.last_transaction, transaction);
        self.last_transaction
    }

    /// The number that the next transaction gets.
    pub(super) fn next_transaction(&self) -> TransactionId {
        self.last_transaction + 1
    }

    /// Users who are there.
    pub(super) fn users_there(&self) -> Vec<UserId> {
        self.users.iter().filter(|(_, user)| user.there).map(|(id, _)| *id).collect()
    }

    /// All mailboxes that are there.
    pub(super) fn mailboxes(&self) -> Vec<MailboxId> {
        let of = |(user, known): (&UserId, &UserModel)| -> Vec<MailboxId> {
            known.mailboxes.keys().map(|number| MailboxId { user: *user, number: *number }).collect()
        };
        self.users.iter().flat_map(of).collect()
    }

    pub(super) fn mailbox(&self, id: MailboxId) -> Option<&MailboxModel> {
        self.users.get(&id.user)?.mailboxes.get(&id.number)
    }

    pub(super) fn mailbox_mut(&mut self, id: MailboxId) -> Option<&mut MailboxModel> {
        self.users.get_mut(&id.user)?.mailboxes.get_mut(&id.number)
    }

    /// A new user with that list.
    pub(super) fn add_user(&mut self, user: UserId, name: &str) {
        let known = UserModel {
            name: name.to_string(),
            there: true,
            list: Arc::new(MailboxList::empty(user)),
            special_uses: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            attributes: BTreeMap::new(),
            mailboxes: BTreeMap::new(),
        };
        self.users.insert(user, known);
    }

    /// A user's list is now `list`; what the users of mailboxes and subscriptions are, `id` has made.
    pub(super) fn set_list(&mut self, user: UserId, list: &Arc<MailboxList>, id: TransactionId) {
        let Some(known) = self.users.get_mut(&user) else { return };
        known.list = Arc::clone(list);
        known.mailboxes.retain(|number, _| list.by_number(*number).is_some_and(|entry| !entry.placeholder));
        known.special_uses.retain(|number, _| list.by_number(*number).is_some());
        for entry in list.entries() {
            if !entry.placeholder {
                let new = || MailboxModel::new(entry.uid_validity);
                known.mailboxes.entry(entry.number).or_insert_with(new);
            }
            match known.special_uses.get_mut(&entry.number) {
                Some(history) if *history.now() == entry.special_use => (),
                Some(history) => history.push(id, entry.special_use),
                // A new mailbox lasts from the start, with all that is said of it.
                None => {
                    known.special_uses.insert(entry.number, History::new(DURABLE, entry.special_use));
                }
            }
        }
        // What is said of a mailbox goes with it, and mailboxes go for good as soon as that is shown.
        known
            .attributes
            .retain(|(mailbox, _), _| mailbox.is_none_or(|number| list.by_number(number).is_some()));
        for (mailbox, name, _) in list.all_attributes() {
            let key = (mailbox, name.to_string());
            known.attributes.entry(key).or_insert_with(|| History::new(DURABLE, None));
        }
        for ((mailbox, name), history) in &mut known.attributes {
            let value = list.attribute(*mailbox, name).map(<[u8]>::to_vec);
            if *history.now() != value {
                history.push(id, value);
            }
        }
        for name in list.subscriptions() {
            known.subscriptions.entry(name.clone()).or_insert_with(|| History::new(DURABLE, false));
        }
        for (name, history) in &mut known.subscriptions {
            let subscribed = list.is_subscribed(name);
            if *history.now() != subscribed {
                history.push(id, subscribed);
            }
        }
    }

    /// A user is gone, with all mailboxes.
    pub(super) fn remove_user(&mut self, user: UserId) {
        if let Some(known) = self.users.get_mut(&user) {
            known.there = false;
            known.mailboxes.clear();
            known.subscriptions.clear();
            known.attributes.clear();
            known.special_uses.clear();
        }
    }
}

/// The bits of a step that stand for the keywords `bits` of a mailbox.
pub(super) fn keyword_bits(bits: u64, names: &Keywords) -> Result<u8, Difference> {
    let mut found = 0;
    for (bit, name) in names.iter().filter(|(bit, _)| bits & 1 << bit != 0) {
        let place = KEYWORDS.iter().position(|known| known.eq_ignore_ascii_case(name));
        let place = place.ok_or_else(|| format!("keyword {bit} is {name:?}, which nobody made"))?;
        found |= 1 << place;
    }
    if bits.count_ones() != u8::count_ones(found) {
        return Err(format!("keyword bits {bits:#x} have no names, or one name twice: {names:?}"));
    }
    Ok(found)
}

/// The names of keywords that `bits` of a step stand for.
pub(super) fn keyword_names(bits: u8) -> Vec<String> {
    let all = KEYWORDS.iter().enumerate();
    all.filter(|(place, _)| bits & 1 << place != 0).map(|(_, name)| name.to_string()).collect()
}
