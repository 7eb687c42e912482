//! Looks at what changed, and tells it (RFC 5465, 5).

use protocol::imap::command::status::StatusItem;
use protocol::imap::extension::notify::Events;
use protocol::imap::reply::code::Code;
use protocol::imap::reply::status::{self as reply, Condition};
use store::lists::MailboxList;
use store::{MailboxId, StoreError};

use super::super::ending::Tell;
use super::super::metadata::server_list;
use super::super::status::write_status;
use super::super::untagged::{Known as KnownFlags, Untagged};
use super::super::{ImapSession, Stage, goodbye};
use super::lists::{Compared, tell_others, tell_server};
use super::{Known, MAILBOXES_MAX, Notify, OPENED_A_TURN, SelectedEvents, State, known_lists};
use crate::conversation::{Next, Turn};
use crate::log;
use crate::parked::next_stamp;

/// How far it came.
enum Telling {
    /// All is told.
    All,
    /// The output is full, or others should have their turn.
    Paused,
    /// There are more mailboxes than a session may be told of.
    Overflow,
}

impl ImapSession {
    /// Tells what happened since the last time; false if there is more, once the output was sent.
    ///
    /// # Errors
    /// The selected mailbox is gone or cannot be read.
    pub(in crate::imap) fn tell_notifications(
        &mut self,
        is_idle: bool,
        turn: &mut Turn<'_>,
    ) -> Result<bool, StoreError> {
        let Some(mut notify) = self.notify.take() else { return Ok(true) };
        let told = match notify.is_active() {
            true => self.tell_all_of(&mut notify, is_idle, turn),
            false => Ok(Telling::All),
        };
        self.notify = Some(notify);
        match told? {
            Telling::All => Ok(true),
            Telling::Paused => Ok(false),
            Telling::Overflow => {
                self.stop_notifying(turn);
                let code = Some(Code::NotificationOverflow);
                reply::untagged(
                    turn.output.bytes(),
                    Condition::Ok,
                    code,
                    "There are too many mailboxes to watch",
                );
                Ok(true)
            }
        }
    }

    /// Tells, while no command is being done, what NOTIFY asked for. What must be waited for before anything else, if something must.
    pub(in crate::imap) fn tell_between_commands(&mut self, turn: &mut Turn<'_>) -> Option<Next> {
        match self.tell_notifications(false, turn) {
            Ok(true) => None,
            Ok(false) => Some(Next::Output),
            Err(error) => {
                log::warning!("selected mailbox lost", why = error);
                Some(goodbye(turn, "The selected mailbox is gone"))
            }
        }
    }

    fn tell_all_of(
        &mut self,
        notify: &mut Notify,
        is_idle: bool,
        turn: &mut Turn<'_>,
    ) -> Result<Telling, StoreError> {
        if notify.untagged.is_none() {
            let selected = self.selected_id().filter(|_| matches!(notify.selected, SelectedEvents::Asked(_)));
            if notify.watches_selected != selected {
                self.watch(notify, turn);
            }
            if !self.tell_lists(notify, turn)? {
                return Ok(Telling::Overflow);
            }
            if !self.tell_mailboxes(notify, turn)? {
                return Ok(Telling::Paused);
            }
        }
        self.tell_selected(notify, is_idle, turn)
    }

    /// Tells what became of the lists, and finds which mailboxes are meant now; false if they are too many.
    fn tell_lists(&self, notify: &mut Notify, turn: &mut Turn<'_>) -> Result<bool, StoreError> {
        let has_news = |list: &super::KnownList| {
            turn.generation(MailboxId::list_of(list.list.user())) != list.generation
        };
        if !notify.lists.iter().any(has_news) {
            return Ok(true);
        }
        notify.stamp = next_stamp();
        let user = self.user_id()?;
        let owners = self.owners(&notify.groups, turn)?;
        if owners.len() > MAILBOXES_MAX {
            return Ok(false);
        }
        let mailboxes = notify.mailboxes.keys().copied().chain(notify.watches_selected);
        let lists = owners.iter().copied().map(MailboxId::list_of);
        turn.watch(mailboxes.chain(lists).map(MailboxId::key).collect());
        let lists = known_lists(&owners, turn)?;
        let old_lists = std::mem::replace(&mut notify.lists, lists);
        let scope = self.scope(&notify.groups, turn)?;
        if scope.len() > MAILBOXES_MAX {
            return Ok(false);
        }
        let encoding = self.enabled.names();
        let old_of = |user| old_lists.iter().map(|known| &*known.list).find(|list| list.user() == user);
        if let (Some(old), Some(new)) = (old_of(user), notify.lists.first().map(|known| &*known.list)) {
            let (groups, known, own_names) = (&notify.groups, &notify.mailboxes, &notify.own_names);
            let compared = Compared { groups, old, new, known, scope: &scope, own_names };
            compared.tell(turn.output.bytes(), encoding);
        }
        let others: Vec<(&MailboxList, &MailboxList)> = notify.lists[1..]
            .iter()
            .filter_map(|new| old_of(new.list.user()).map(|old| (old, &*new.list)))
            .collect();
        tell_others(turn.output.bytes(), user, (&notify.mailboxes, &scope), &others, encoding);
        let is_own = notify.own_names.iter().any(String::is_empty);
        let server = server_list(&turn.shared.store)?.filter(|_| !is_own);
        for both in
            others.iter().filter(|(_, new)| server.as_ref().is_some_and(|list| list.user() == new.user()))
        {
            tell_server(turn.output.bytes(), *both, encoding);
        }
        notify.own_names.clear();
        let mut entered = Vec::new();
        let mut known_before = std::mem::take(&mut notify.mailboxes);
        for (id, (name, events)) in scope {
            let known = known_before.remove(&id);
            let is_made = old_of(id.user).is_some_and(|old| old.by_number(id.number).is_none());
            let known = match known {
                Some(known) if !known.events.of_messages().is_empty() => Known { name, events, ..known },
                _ => {
                    // Of one that was made the client knows that it was empty.
                    if !is_made {
                        entered.push(id);
                    }
                    let state = State { uid_next: 1, ..State::default() };
                    Known { name, events, generation: u64::MAX, state }
                }
            };
            notify.mailboxes.insert(id, known);
        }
        self.watch(notify, turn);
        for id in entered {
            if let Some(known) = notify.mailboxes.get_mut(&id)
                && !known.events.of_messages().is_empty()
            {
                known.generation = turn.generation(id);
                known.state = State::of(id, user, turn).unwrap_or(known.state);
            }
        }
        Ok(true)
    }

    /// Tells of messages in other mailboxes than the selected one, by STATUS; false if there is more.
    fn tell_mailboxes(&self, notify: &mut Notify, turn: &mut Turn<'_>) -> Result<bool, StoreError> {
        let (user, selected) = (self.user_id()?, self.selected_id());
        let mut opened = 0;
        for (&id, known) in &mut notify.mailboxes {
            if known.events.of_messages().is_empty() {
                continue;
            }
            let generation = turn.generation(id);
            if known.generation == generation {
                continue;
            }
            if turn.output.is_full() || opened == OPENED_A_TURN {
                return Ok(false);
            }
            opened += 1;
            known.generation = generation;
            let state = match State::of(id, user, turn) {
                Ok(state) => state,
                // The list tells.
                Err(error) if error.is_gone() => continue,
                Err(error) => {
                    log::warning!("no status", mailbox = id.key(), why = error);
                    continue;
                }
            };
            let before = std::mem::replace(&mut known.state, state);
            if before != state {
                notify.stamp = next_stamp();
            }
            let items = told_items(before, state, known.events, self.enabled.condstore());
            if Some(id) == selected || items.is_empty() {
                continue;
            }
            let name = (known.name.as_str(), self.enabled.names());
            if let Err(error) = write_status(turn.output.bytes(), turn.shared, (id, user), name, &items) {
                log::warning!("no status", mailbox = id.key(), why = error);
            }
        }
        Ok(true)
    }

    /// Tells of the selected mailbox what NOTIFY asked for.
    fn tell_selected(
        &mut self,
        notify: &mut Notify,
        is_idle: bool,
        turn: &mut Turn<'_>,
    ) -> Result<Telling, StoreError> {
        let (SelectedEvents::Asked(rule), Stage::Selected(_, selected)) = (&notify.selected, &mut self.stage)
        else {
            notify.untagged = None;
            return Ok(Telling::All);
        };
        if notify.untagged.is_none() {
            selected.events = notify.selected.clone();
            let tell = match rule.is_delayed && !is_idle {
                true => Tell::NoExpunge(KnownFlags::default()),
                false => Tell::WithUids(KnownFlags::default()),
            };
            notify.untagged = Untagged::collect(selected, &tell, turn)?;
        }
        if let Some(untagged) = &mut notify.untagged
            && !untagged.write(selected, turn)?
        {
            return Ok(Telling::Paused);
        }
        notify.untagged = None;
        Ok(Telling::All)
    }
}

/// What a STATUS reply tells of a mailbox that was so and is so now; nothing if nothing was asked for that changed.
fn told_items(before: State, now: State, events: Events, condstore: bool) -> Vec<StatusItem> {
    let mut items = Vec::new();
    if now == before {
        return items;
    }
    if now.exists != before.exists || now.uid_next != before.uid_next {
        items.extend([StatusItem::Messages, StatusItem::UidNext]);
    }
    let tells_unseen = events.has(Events::FLAG_CHANGE) && now.unseen != before.unseen;
    let tells_changes = events.has(Events::FLAG_CHANGE.union(Events::ANNOTATION_CHANGE));
    if !items.is_empty() || tells_unseen || (tells_changes && condstore) {
        items.push(StatusItem::UidValidity);
        if condstore {
            items.push(StatusItem::HighestModSeq);
        }
        if tells_unseen {
            items.push(StatusItem::Unseen);
        }
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_has_what_was_asked_for() {
        let all = Events::MESSAGE_NEW.union(Events::MESSAGE_EXPUNGE).union(Events::FLAG_CHANGE);
        let new = Events::MESSAGE_NEW.union(Events::MESSAGE_EXPUNGE);
        let before = State { exists: 3, uid_next: 4, unseen: 1, highest_modseq: 9 };
        let added = State { exists: 4, uid_next: 5, unseen: 2, highest_modseq: 10 };
        let seen = State { unseen: 0, highest_modseq: 10, ..before };
        let flagged = State { highest_modseq: 10, ..before };
        use StatusItem::{HighestModSeq, Messages, UidNext, UidValidity, Unseen};
        assert_eq!(told_items(before, before, all, true), []);
        assert_eq!(told_items(before, added, new, false), [Messages, UidNext, UidValidity]);
        let told = [Messages, UidNext, UidValidity, HighestModSeq, Unseen];
        assert_eq!(told_items(before, added, all, true), told);
        assert_eq!(told_items(before, seen, new, true), []);
        assert_eq!(told_items(before, seen, all, false), [UidValidity, Unseen]);
        assert_eq!(told_items(before, flagged, all, false), []);
        assert_eq!(told_items(before, flagged, all, true), [UidValidity, HighestModSeq]);
    }
}
