//! What an operation came to: told by the store, or, of one that was cut short, found out from what the store shows afterwards. It happened
//! altogether or not at all.

use std::collections::BTreeMap;

use super::model::{CellState, Difference, Model};
use super::observe::Seen;
use super::wish::{Done, Receipt, Wish};
use crate::ids::{MailboxId, UserId};
use crate::lists::{
    INBOX, MailboxList, RenamePlan, plan_attribute, plan_create, plan_delete, plan_rename, plan_special_use,
    plan_subscribe,
};
use crate::store::Store;
use crate::txn::{Appended, Committed, Outcome, Refused};

/// What the store said; `faulty`: the disk fails in this run.
pub(super) fn told(committed: &Committed, faulty: bool) -> Result<Done, Difference> {
    Ok(match &committed.outcomes[..] {
        [Outcome::Delivered(results)] => {
            let one = |result: &Result<Appended, Refused>| match result {
                Ok(appended) => Receipt::Added(appended.uid.get(), appended.modseq.0),
                Err(Refused::Unusable(_)) if faulty => Receipt::Unreadable,
                Err(_) => Receipt::Refused,
            };
            Done::Delivered(results.iter().map(one).collect())
        }
        [Outcome::Deposited(done)] => Done::Together(
            done.uids.iter().map(|uid| uid.get()).collect(),
            done.modseq.0,
            done.expunged_modseq.map(|modseq| modseq.0),
        ),
        [Outcome::Copied(copied)] => Done::Copied(
            copied.uids.iter().map(|(old, new)| (old.get(), new.get())).collect(),
            copied.modseq.0,
            copied.expunged_modseq.map(|modseq| modseq.0),
        ),
        [Outcome::Flags(changed)] => {
            Done::Flagged(changed.messages.iter().map(|(_, uid, _)| uid.get()).collect(), changed.modseq.0)
        }
        [Outcome::Annotated(changed)] => {
            Done::Flagged(changed.messages.iter().map(|(_, uid)| uid.get()).collect(), changed.modseq.0)
        }
        [Outcome::Expunged(uids, modseq)] => {
            Done::Expunged(uids.iter().map(|uid| uid.get()).collect(), modseq.0)
        }
        [Outcome::Created(_) | Outcome::Done] => Done::Listed,
        other => return Err(format!("an operation had outcomes {other:?}")),
    })
}

/// The list that a change of names should come to; `None` if it should be refused.
pub(super) fn list_after(model: &Model, wish: &Wish, now_seconds: u32) -> Option<MailboxList> {
    let list = &model.users.get(&wish.list_of()?)?.list;
    let changes = match wish {
        Wish::CreateMailbox { name, special_use, .. } => plan_create(list, name, *special_use, now_seconds),
        Wish::RenameMailbox { from, to, .. } => {
            plan_rename(list, from, to, now_seconds).map(|plan| match plan {
                RenamePlan::Names(changes) | RenamePlan::Inbox { changes, .. } => changes,
            })
        }
        Wish::DeleteMailbox { name, .. } => plan_delete(list, name, now_seconds),
        Wish::Subscribe { name, subscribed, .. } => plan_subscribe(list, name, *subscribed),
        Wish::SpecialUse { name, special_use, .. } => plan_special_use(list, name, *special_use),
        Wish::Attribute { mailbox, name, value, .. } => {
            plan_attribute(list, *mailbox, name, value.as_deref())
        }
        _ => return None,
    };
    let mut after = MailboxList::clone(list);
    changes.ok()?.iter().for_each(|change| after.apply(change));
    Some(after)
}

/// Whether two lists say the same of names, of what is below them, and of mailboxes.
pub(super) fn is_same_list(one: &MailboxList, other: &MailboxList) -> bool {
    one.entries() == other.entries()
        && one.subscriptions() == other.subscriptions()
        && one.all_attributes().eq(other.all_attributes())
}

/// Finds out whether an operation that was cut short happened. All locks that it held were taken since, so what it left half-done is done.
pub(super) fn found_out(
    model: &Model,
    wish: &Wish,
    store: &Store,
    now_seconds: u32,
) -> Result<Option<Done>, Difference> {
    if let Wish::CreateUser { name } = wish {
        let before = model.users.values().any(|user| user.there && user.name == *name);
        let after = store.find_user(name).map_err(|error| error.to_string())?.is_some();
        return Ok((!before && after).then_some(Done::Listed));
    }
    if let Wish::DeleteUser { user } = wish {
        let name = &model.users[user].name;
        let there = store.find_user(name).map_err(|error| error.to_string())?;
        return Ok((there != Some(*user)).then_some(Done::Listed));
    }
    if let Some(user) = wish.list_of() {
        return list_found_out(model, wish, store, user, now_seconds);
    }
    let mut seen = BTreeMap::new();
    for mailbox in wish.mailboxes() {
        seen.insert(mailbox, Seen::of(store, mailbox)?);
    }
    match wish {
        Wish::Deliver { content, to, full, .. } => {
            let to: Vec<MailboxId> = to.clone();
            let awaited = to.iter().filter(|mailbox| Some(mailbox.user) != *full).count();
            let mut new: BTreeMap<MailboxId, Vec<(u32, u64)>> = BTreeMap::new();
            for (mailbox, seen) in &seen {
                for (uid, modseq, found) in added(model, *mailbox, seen) {
                    if *found != **content {
                        return Err(format!(
                            "UID {uid} of {mailbox:?} is not the message that was delivered"
                        ));
                    }
                    new.entry(*mailbox).or_default().push((uid, modseq));
                }
            }
            let count: usize = new.values().map(Vec::len).sum();
            if count == 0 {
                return Ok(None);
            }
            new.values_mut().for_each(|some| some.reverse());
            let one = |mailbox| {
                let added = new.get_mut(mailbox).and_then(Vec::pop);
                added.map_or(Receipt::Refused, |(uid, modseq)| Receipt::Added(uid, modseq))
            };
            let results: Vec<Receipt> = to.iter().map(one).collect();
            if count != awaited
                || results.iter().filter(|result| **result != Receipt::Refused).count() != awaited
            {
                return Err(format!("half a delivery: {count} of {awaited} recipients have it"));
            }
            Ok(Some(Done::Delivered(results)))
        }
        Wish::Together { contents, to, replaced, .. } => {
            let new = added(model, *to, &seen[to]);
            let gone = match replaced {
                Some((from, uid)) => gone(&seen[from], &[*uid]),
                None => Vec::new(),
            };
            let is_new = new.len() == contents.len() && gone.len() == usize::from(replaced.is_some());
            match is_new {
                _ if new.is_empty() && gone.is_empty() => return Ok(None),
                false => {
                    let all = contents.len();
                    return Err(format!(
                        "of {all} messages together {} are new, {} gone",
                        new.len(),
                        gone.len()
                    ));
                }
                true => {}
            }
            if let Some(((uid, ..), _)) =
                new.iter().zip(contents).find(|((_, _, found), content)| *found != &***content)
            {
                return Err(format!("UID {uid} of {to:?} is not the message that was put there"));
            }
            let modseq = new.first().map_or(0, |(_, modseq, _)| *modseq);
            Ok(Some(Done::Together(
                new.iter().map(|(uid, ..)| *uid).collect(),
                modseq,
                gone.first().copied(),
            )))
        }
        Wish::Copy { from, uids, to, expunge } => {
            let new = added(model, *to, &seen[to]);
            let gone = gone(&seen[from], uids);
            match (new.len(), gone.len()) {
                (0, 0) => return Ok(None),
                (new, 0) if new == uids.len() && !expunge => (),
                (new, gone) if new == uids.len() && gone == uids.len() && *expunge => (),
                (new, gone) => {
                    let all = uids.len();
                    return Err(format!("half a copy: of {all} messages {new} are new, {gone} are gone"));
                }
            }
            let modseq = new.first().map_or(0, |(_, modseq, _)| *modseq);
            let pairs = uids.iter().copied().zip(new.iter().map(|(uid, ..)| *uid)).collect();
            Ok(Some(Done::Copied(pairs, modseq, gone.first().copied())))
        }
        Wish::Undelete { from, uids, to } => {
            let new = added(model, *to, &seen[to]);
            let pairs: Vec<(u32, u32)> = new
                .iter()
                .filter_map(|(new, ..)| {
                    let message = seen[to].cells[new].message;
                    let is_it =
                        |uid: &&u32| seen[from].cells.get(uid).is_some_and(|cell| cell.message == message);
                    uids.iter().find(is_it).map(|old| (*old, *new))
                })
                .collect();
            if pairs.len() != new.len() {
                return Err(format!("of {} new messages {} came back", new.len(), pairs.len()));
            }
            Ok((!pairs.is_empty()).then_some(Done::Copied(pairs, 0, None)))
        }
        Wish::StoreFlags { mailbox, uids, how, system, keywords } => {
            let wanted = model.flags_changed(*mailbox, uids, *how, *system, *keywords);
            let mut modseqs = Vec::new();
            for (uid, after) in &wanted {
                match seen[mailbox].cells.get(uid).map(|cell| cell.state) {
                    Some(CellState::Live { system, keywords, modseq }) if (system, keywords) == *after => {
                        modseqs.push(modseq);
                    }
                    _ => (),
                }
            }
            match modseqs.first() {
                None => Ok(None),
                Some(modseq) if modseqs.len() == wanted.len() => {
                    Ok(Some(Done::Flagged(wanted.iter().map(|(uid, _)| *uid).collect(), *modseq)))
                }
                Some(_) => Err(format!("half a STORE: {} of {} messages", modseqs.len(), wanted.len())),
            }
        }
        Wish::Annotate { reader, mailbox, uids, entry, is_shared, value } => {
            let whose = (!is_shared).then_some(*reader);
            let wanted = model.annotations_changed(*mailbox, uids, (whose, *entry), value.as_deref());
            let seen = &seen[mailbox];
            let now =
                |uid: &&u32| seen.annotations.get(&(**uid, whose, (*entry).to_owned())) == value.as_ref();
            match wanted.iter().filter(now).count() {
                0 => Ok(None),
                all if all == wanted.len() => {
                    let modseq = match seen.cells.get(&wanted[0]).map(|cell| cell.state) {
                        Some(CellState::Live { modseq, .. }) => modseq,
                        _ => seen.highest_modseq,
                    };
                    Ok(Some(Done::Flagged(wanted, modseq)))
                }
                some => Err(format!("half a change of annotations: {some} of {} messages", wanted.len())),
            }
        }
        Wish::MarkSeen { reader, mailbox, uids, seen: mark } => {
            let wanted = model.marks_changed(*reader, *mailbox, uids, *mark);
            let now = |uid: &&u32| seen[mailbox].marks.contains(&(*reader, **uid)) == *mark;
            match wanted.iter().filter(now).count() {
                0 => Ok(None),
                all if all == wanted.len() => Ok(Some(Done::Flagged(wanted, seen[mailbox].highest_modseq))),
                some => Err(format!("half a change of marks: {some} of {} messages", wanted.len())),
            }
        }
        Wish::Expunge { mailbox, uids } => {
            let gone = gone(&seen[mailbox], uids);
            match gone.first() {
                None => Ok(None),
                Some(modseq) if gone.len() == uids.len() => Ok(Some(Done::Expunged(uids.clone(), *modseq))),
                Some(_) => Err(format!("half an expunge: {} of {} messages", gone.len(), uids.len())),
            }
        }
        _ => Ok(None),
    }
}

/// What is shown of messages that came back.
pub(super) fn brought_back(store: &Store, to: MailboxId, pairs: &[(u32, u32)]) -> Result<Done, Difference> {
    let seen = Seen::of(store, to)?;
    let mut back = Vec::new();
    for (old, new) in pairs {
        let cell =
            seen.cells.get(new).ok_or_else(|| format!("UID {old} came back as {new}, and is not there"))?;
        back.push((*old, *new, cell.state));
    }
    back.sort_unstable_by_key(|(_, new, _)| *new);
    Ok(Done::Back(back))
}

/// Messages that are there and that the model does not know: UID, modseq, octets.
fn added<'s>(model: &Model, id: MailboxId, seen: &'s Seen) -> Vec<(u32, u64, &'s Vec<u8>)> {
    let known = model.mailbox(id);
    let new = seen.cells.iter().filter(|(uid, _)| known.is_none_or(|known| !known.cells.contains_key(uid)));
    let live = new.filter_map(|(uid, cell)| match cell.state {
        CellState::Live { modseq, .. } => Some((*uid, modseq, &cell.content)),
        CellState::Gone { .. } => None,
    });
    live.collect()
}

/// The modseqs of those of `uids`, all of which were there, that are expunged.
fn gone(seen: &Seen, uids: &[u32]) -> Vec<u64> {
    let states = uids.iter().map(|uid| seen.cells.get(uid).map(|cell| cell.state));
    let gone = states.filter_map(|state| match state {
        Some(CellState::Gone { modseq }) => Some(modseq),
        Some(CellState::Live { .. }) => None,
        None => Some(0),
    });
    gone.collect()
}

fn list_found_out(
    model: &Model,
    wish: &Wish,
    store: &Store,
    user: UserId,
    now_seconds: u32,
) -> Result<Option<Done>, Difference> {
    let before = &model.users[&user].list;
    let found = store.mailbox_list(user).map_err(|error| format!("list of user {}: {error}", user.0))?;
    let inbox_emptied = match wish {
        Wish::RenameMailbox { from, .. } if from == INBOX => {
            let inbox = MailboxId { user, number: 1 };
            let live = model.mailbox(inbox).map(|known| known.live()).unwrap_or_default();
            let gone = gone(&Seen::of(store, inbox)?, &live).len();
            if gone != 0 && gone != live.len() {
                return Err(format!("half a rename of INBOX: {gone} of {} messages are moved", live.len()));
            }
            (!live.is_empty()).then_some(gone != 0)
        }
        _ => None,
    };
    let happened = !is_same_list(before, &found);
    if happened {
        let after = list_after(model, wish, now_seconds);
        if !after.as_ref().is_some_and(|after| is_same_list(after, &found)) {
            return Err(format!("the list is {found:?}, and should be {before:?} or {after:?}"));
        }
    }
    if inbox_emptied.is_some_and(|emptied| emptied != happened) {
        return Err(format!("half a rename of INBOX: names changed: {happened}, messages: {}", !happened));
    }
    Ok(happened.then_some(Done::Listed))
}
