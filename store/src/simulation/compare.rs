//! Compares what a store shows with the model: exactly, while it runs; and after a crash, with what may be left of what was shown.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::history::{DURABLE, History, Mark};
use super::model::{CellModel, CellState, Difference, MailboxModel, Model, UserModel};
use super::observe::{DAMAGED, Seen, SeenCell, check_references, check_usage};
use super::resolve::is_same_list;
use crate::ids::{MailboxId, UserId};
use crate::lists::MailboxList;
use crate::store::Store;

/// A store of which all was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Whole {
    pub(super) users: Vec<(UserId, String)>,
    pub(super) lists: BTreeMap<UserId, Arc<MailboxList>>,
    pub(super) mailboxes: BTreeMap<MailboxId, Seen>,
}

impl Whole {
    /// Reads all that a store shows. It must agree with itself.
    pub(super) fn read(store: &Store) -> Result<Whole, Difference> {
        let users = store.users().map_err(|error| format!("users: {error}"))?;
        let mut whole = Whole { users, lists: BTreeMap::new(), mailboxes: BTreeMap::new() };
        for (user, name) in &whole.users {
            let user = *user;
            let found = store.find_user(name).map_err(|error| format!("user {name}: {error}"))?;
            if found != Some(user) {
                return Err(format!("user {name} is {}, and is found as {found:?}", user.0));
            }
            let list = store.mailbox_list(user).map_err(|error| format!("list of {name}: {error}"))?;
            for entry in list.entries().iter().filter(|entry| !entry.placeholder) {
                let id = MailboxId { user, number: entry.number };
                let seen = Seen::of(store, id)?;
                if seen.uid_validity != entry.uid_validity {
                    let (cells, list) = (seen.uid_validity, entry.uid_validity);
                    return Err(format!(
                        "UIDVALIDITY of {name}'s {}: {cells}, in the list {list}",
                        entry.name
                    ));
                }
                whole.mailboxes.insert(id, seen);
            }
            whole.lists.insert(user, list);
            check_usage(store, user, &whole.mailboxes)?;
        }
        check_references(store, &whole.mailboxes)?;
        Ok(whole)
    }

    /// Users last as soon as they are shown.
    fn compare_users(&self, model: &Model) -> Result<(), Difference> {
        let there = model.users.iter().filter(|(_, user)| user.there);
        let expected: Vec<(UserId, String)> = there.map(|(id, user)| (*id, user.name.clone())).collect();
        if self.users == expected {
            return Ok(());
        }
        Err(format!("users are {:?}, and should be {expected:?}", self.users))
    }
}

/// Whether a running store, which shows `whole`, shows exactly what it showed before. UIDNEXT and HIGHESTMODSEQ may have been raised.
pub(super) fn compare_live(model: &mut Model, whole: &Whole) -> Result<(), Difference> {
    compare_shown(model, whole)?;
    for (id, seen) in &whole.mailboxes {
        if let Some(known) = model.mailbox_mut(*id) {
            known.uid_next = seen.uid_next;
            known.highest_modseq = seen.highest_modseq;
        }
    }
    Ok(())
}

/// As `compare_live`, of another store that holds the same.
pub(super) fn compare_shown(model: &Model, whole: &Whole) -> Result<(), Difference> {
    whole.compare_users(model)?;
    for (user, list) in &whole.lists {
        let known = &model.users[user];
        if !is_same_list(list, &known.list) {
            return Err(format!("the list of {} is {list:?}, and was shown as {:?}", known.name, known.list));
        }
    }
    for (id, seen) in &whole.mailboxes {
        let name = name_of(model, *id);
        let known = model.mailbox(*id).ok_or_else(|| format!("{name} was deleted, and is there"))?;
        compare_numbers(known, seen).map_err(|what| format!("{name}: {what}"))?;
        for (uid, cell) in &known.cells {
            let now = *cell.states.now();
            match seen.cells.get(uid) {
                None if now.is_live() => return Err(format!("{name}: UID {uid} is gone")),
                None => (),
                Some(seen) if seen.state == now || !now.is_live() && !seen.state.is_live() => {
                    compare_constant(false, cell, seen)
                        .map_err(|what| format!("{name}: UID {uid}: {what}"))?;
                }
                Some(seen) => {
                    return Err(format!("{name}: UID {uid} is {:?}, and was shown as {now:?}", seen.state));
                }
            }
        }
        compare_unknown(known, seen).map_err(|what| format!("{name}: {what}"))?;
        compare_marks(whole, known, seen).map_err(|what| format!("{name}: {what}"))?;
        compare_annotations(whole, known, seen).map_err(|what| format!("{name}: {what}"))?;
    }
    Ok(())
}

/// Whether a store that was recovered from a crash, and that shows `whole`, shows what may be left.
pub(super) fn compare_recovered(model: &Model, whole: &Whole) -> Result<(), Difference> {
    whole.compare_users(model)?;
    for (user, list) in &whole.lists {
        let known = &model.users[user];
        compare_list(model, known, list).map_err(|what| format!("list of {}: {what}", known.name))?;
    }
    for (id, seen) in &whole.mailboxes {
        let name = name_of(model, *id);
        let known = model.mailbox(*id).ok_or_else(|| format!("{name} was deleted, and is there"))?;
        compare_numbers(known, seen).map_err(|what| format!("{name}: {what}"))?;
        for (uid, cell) in &known.cells {
            compare_cell(model, cell, seen.cells.get(uid))
                .map_err(|what| format!("{name}: UID {uid}: {what}"))?;
        }
        compare_unknown(known, seen).map_err(|what| format!("{name}: {what}"))?;
        compare_marks(whole, known, seen).map_err(|what| format!("{name}: {what}"))?;
        compare_annotations(whole, known, seen).map_err(|what| format!("{name}: {what}"))?;
    }
    compare_transactions(model, whole)
}

/// From now on the model is what a recovered store shows: all of it lasts.
pub(super) fn settle(model: &mut Model, whole: &Whole) {
    model.unacknowledged.clear();
    for (user, list) in &whole.lists {
        model.set_list(*user, list, DURABLE);
        let Some(known) = model.users.get_mut(user) else { continue };
        for entry in list.entries() {
            if let Some(history) = known.special_uses.get_mut(&entry.number) {
                history.settle(entry.special_use);
            }
        }
        for (name, history) in &mut known.subscriptions {
            history.settle(list.is_subscribed(name));
        }
        for ((mailbox, name), history) in &mut known.attributes {
            history.settle(list.attribute(*mailbox, name).map(<[u8]>::to_vec));
        }
    }
    for (id, seen) in &whole.mailboxes {
        let Some(known) = model.mailbox_mut(*id) else { continue };
        known.uid_next = seen.uid_next;
        known.highest_modseq = seen.highest_modseq;
        // A UID that is gone altogether stays below UIDNEXT. One that was expunged is remembered: a tombstone that was dropped is there again when the
        // mailbox is made from all logs.
        known.cells.retain(|uid, cell| seen.cells.contains_key(uid) || !cell.states.now().is_live());
        for (uid, cell) in &mut known.cells {
            match seen.cells.get(uid) {
                Some(seen) => {
                    cell.states.settle(seen.state);
                    if is_damaged(seen) {
                        cell.content = Arc::new(seen.content.clone());
                    }
                }
                None => cell.states.settle(*cell.states.now()),
            }
            (cell.added_by, cell.stored_by) = (DURABLE, DURABLE);
        }
    }
}

/// The model of a store that shows `whole`, all of which lasts.
pub(super) fn model_of(whole: &Whole) -> Model {
    let mut model = Model::default();
    for (user, name) in &whole.users {
        model.add_user(*user, name);
    }
    settle(&mut model, whole);
    for (id, seen) in &whole.mailboxes {
        let Some(known) = model.mailbox_mut(*id) else { continue };
        known.seen.clone_from(&seen.marks);
        known.annotations.clone_from(&seen.annotations);
        for (uid, cell) in &seen.cells {
            let cell = CellModel {
                content: Arc::new(cell.content.clone()),
                internal_date: cell.internal_date,
                added_by: DURABLE,
                stored_by: DURABLE,
                states: History::new(DURABLE, cell.state),
            };
            known.cells.insert(*uid, cell);
        }
    }
    model
}

fn name_of(model: &Model, id: MailboxId) -> String {
    let user = model.users.get(&id.user);
    let name = user.map_or("a stranger", |user| &user.name);
    let entry = user.and_then(|user| user.list.by_number(id.number));
    format!("{name}'s {} ({})", entry.map_or("mailbox without a name", |entry| &entry.name), id.number)
}

fn compare_list(model: &Model, known: &UserModel, list: &MailboxList) -> Result<(), Difference> {
    let names = |list: &MailboxList| -> Vec<(u32, String, u32, bool)> {
        let entries = list.entries().iter();
        entries
            .map(|entry| (entry.number, entry.name.clone(), entry.uid_validity, entry.placeholder))
            .collect()
    };
    let (now, shown) = (names(list), names(&known.list));
    if now != shown {
        return Err(format!("mailboxes are {now:?}, and should be {shown:?}"));
    }
    for entry in list.entries() {
        let history = known.special_uses.get(&entry.number).ok_or("a mailbox that nobody knows")?;
        if !is_possible(model, history, &entry.special_use) {
            return Err(format!("{} is for {:?}", entry.name, entry.special_use));
        }
    }
    for name in list.subscriptions() {
        if !known.subscriptions.contains_key(name) {
            return Err(format!("{name} is subscribed, and never was"));
        }
    }
    for (mailbox, name, _) in list.all_attributes() {
        if !known.attributes.contains_key(&(mailbox, name.to_string())) {
            return Err(format!("{name} is said of {mailbox:?}, and never was"));
        }
    }
    for ((mailbox, name), history) in &known.attributes {
        let value = list.attribute(*mailbox, name).map(<[u8]>::to_vec);
        if !is_possible(model, history, &value) {
            return Err(format!("{name} of {mailbox:?} is {value:?}"));
        }
    }
    for (name, history) in &known.subscriptions {
        let subscribed = list.is_subscribed(name);
        if !is_possible(model, history, &subscribed) {
            return Err(format!("{name} is subscribed: {subscribed}"));
        }
    }
    Ok(())
}

fn is_possible<T: PartialEq>(model: &Model, history: &History<T>, state: &T) -> bool {
    history.possible(&model.unacknowledged).any(|possible| possible == state)
}

/// What readers who are there have seen of messages that are there: it lasts as soon as it is shown.
fn compare_marks(whole: &Whole, known: &MailboxModel, seen: &Seen) -> Result<(), Difference> {
    let is_told = |(reader, uid): &&(UserId, u32)| {
        let is_live = seen.cells.get(uid).is_some_and(|cell| cell.state.is_live());
        is_live && whole.users.iter().any(|(user, _)| user == reader)
    };
    let expected: Vec<_> = known.seen.iter().filter(is_told).collect();
    let found: Vec<_> = seen.marks.iter().filter(is_told).collect();
    if expected == found {
        return Ok(());
    }
    Err(format!("readers have seen {found:?}, and should have seen {expected:?}"))
}

/// Annotations of messages that are there, for all or for readers who are there: they last as soon as they are shown.
fn compare_annotations(whole: &Whole, known: &MailboxModel, seen: &Seen) -> Result<(), Difference> {
    let is_told = |((uid, reader, _), _): &(&(u32, Option<UserId>, String), &Vec<u8>)| {
        let is_live = seen.cells.get(uid).is_some_and(|cell| cell.state.is_live());
        is_live && reader.is_none_or(|reader| whole.users.iter().any(|(user, _)| *user == reader))
    };
    let expected: Vec<_> = known.annotations.iter().filter(is_told).collect();
    let found: Vec<_> = seen.annotations.iter().filter(is_told).collect();
    if expected == found {
        return Ok(());
    }
    Err(format!("annotations are {found:?}, and should be {expected:?}"))
}

fn compare_numbers(known: &MailboxModel, seen: &Seen) -> Result<(), Difference> {
    if seen.uid_validity != known.uid_validity {
        return Err(format!("UIDVALIDITY is {}, and was {}", seen.uid_validity, known.uid_validity));
    }
    if seen.uid_next < known.uid_next {
        return Err(format!("UIDNEXT is {}, and was {}", seen.uid_next, known.uid_next));
    }
    if seen.highest_modseq < known.highest_modseq {
        return Err(format!("HIGHESTMODSEQ is {}, and was {}", seen.highest_modseq, known.highest_modseq));
    }
    Ok(())
}

fn compare_unknown(known: &MailboxModel, seen: &Seen) -> Result<(), Difference> {
    match seen.cells.iter().find(|(uid, _)| !known.cells.contains_key(uid)) {
        Some((uid, cell)) => Err(format!("UID {uid} is {:?}, and was never shown", cell.state)),
        None => Ok(()),
    }
}

/// What never changes of a message.
fn compare_constant(may_be_damaged: bool, known: &CellModel, seen: &SeenCell) -> Result<(), Difference> {
    if seen.internal_date != known.internal_date {
        return Err(format!("its date is {:?}, and was {:?}", seen.internal_date, known.internal_date));
    }
    if may_be_damaged && is_damaged(seen) {
        return Ok(());
    }
    if seen.state.is_live() && seen.content != *known.content {
        let [is, was] = [&seen.content, &*known.content].map(|content| beginning(content));
        return Err(format!("it is {is}, and was {was}"));
    }
    Ok(())
}

/// Whether the store says that the octets are damaged.
fn is_damaged(seen: &SeenCell) -> bool {
    !seen.content.is_empty() && seen.content.iter().all(|octet| *octet == DAMAGED)
}

fn beginning(content: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(&content[..content.len().min(60)]).escape_debug().collect();
    format!("{} octets {text:?}", content.len())
}

fn compare_cell(model: &Model, known: &CellModel, seen: Option<&SeenCell>) -> Result<(), Difference> {
    let possible: Vec<CellState> = known.states.possible(&model.unacknowledged).copied().collect();
    if let Some(seen) = seen {
        // Octets that a failed sync has left behind may be missing after a power cut, whatever was synced since, where nobody was told that they last.
        let is_open = |by| model.unacknowledged.contains(by);
        let may_be_damaged = model.sync_failed && is_open(known.stored_by) && is_open(known.added_by);
        compare_constant(may_be_damaged, known, seen)?;
        if seen.state.is_live() {
            if possible.contains(&seen.state) {
                return Ok(());
            }
            return Err(format!("it is {:?}, and should be one of {possible:?}", seen.state));
        }
    }
    let may_be_gone =
        model.unacknowledged.contains(known.added_by) || possible.iter().any(|state| !state.is_live());
    if may_be_gone { Ok(()) } else { Err(format!("it is lost, and should be one of {possible:?}")) }
}

/// What a mark says of whether its transaction happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Happened,
    DidNot,
    Unknown,
}

/// Whether each transaction that was not acknowledged is there altogether or not at all.
fn compare_transactions(model: &Model, whole: &Whole) -> Result<(), Difference> {
    for (_, transaction) in model.unacknowledged.iter() {
        let verdicts: Vec<Verdict> =
            transaction.marks.iter().map(|mark| verdict(model, whole, *mark)).collect();
        if verdicts.contains(&Verdict::Happened) && verdicts.contains(&Verdict::DidNot) {
            let told: Vec<String> = transaction
                .marks
                .iter()
                .zip(verdicts)
                .map(|(mark, verdict)| format!("{mark:?}: {verdict:?}"))
                .collect();
            return Err(format!("half of it is there: {}; {}", transaction.words, told.join(", ")));
        }
    }
    Ok(())
}

fn verdict(model: &Model, whole: &Whole, mark: Mark) -> Verdict {
    let (mailbox, uid) = match mark {
        Mark::Added { mailbox, uid }
        | Mark::Flagged { mailbox, uid, .. }
        | Mark::Expunged { mailbox, uid, .. } => (mailbox, uid),
    };
    let known = model.mailbox(mailbox).and_then(|known| known.cells.get(&uid));
    let (Some(known), Some(seen)) = (known, whole.mailboxes.get(&mailbox)) else {
        return Verdict::Unknown;
    };
    let seen = seen.cells.get(&uid).map(|cell| cell.state);
    match (mark, seen) {
        (Mark::Added { .. }, Some(CellState::Live { .. })) => Verdict::Happened,
        (Mark::Added { .. }, _) => {
            // It may have been expunged since. A copy of a message that was never acknowledged itself may have lost it.
            let unacknowledged = &model.unacknowledged;
            let expunged = known.states.possible(unacknowledged).any(|state| !state.is_live());
            let lost = known.stored_by != known.added_by && unacknowledged.contains(known.stored_by);
            if expunged || lost { Verdict::Unknown } else { Verdict::DidNot }
        }
        (Mark::Flagged { modseq, .. }, Some(CellState::Live { modseq: seen, .. })) => match seen.cmp(&modseq)
        {
            std::cmp::Ordering::Less => Verdict::DidNot,
            std::cmp::Ordering::Equal => Verdict::Happened,
            std::cmp::Ordering::Greater => Verdict::Unknown,
        },
        (Mark::Flagged { .. }, _) => Verdict::Unknown,
        (Mark::Expunged { .. }, Some(CellState::Live { .. })) => Verdict::DidNot,
        (Mark::Expunged { modseq, .. }, Some(CellState::Gone { modseq: seen })) if seen == modseq => {
            Verdict::Happened
        }
        (Mark::Expunged { .. }, _) => Verdict::Unknown,
    }
}
