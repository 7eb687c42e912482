//! SELECT, EXAMINE, CLOSE and UNSELECT (RFC 3501, 6.3.1, 6.3.2, 6.4.2; RFC 9051, 6.3.2, 6.3.3, 6.4.1, 6.4.2; RFC 3691), with CONDSTORE
//! and QRESYNC (RFC 7162, 3.1.8 and 3.2.5), and ANNOTATE (RFC 5257, 4.2).

use protocol::imap::Numbering;
use protocol::imap::command::Tag;
use protocol::imap::command::fetch::FetchItem;
use protocol::imap::command::mailbox::SelectArguments;
use protocol::imap::extension::qresync::{QResync, SequenceMatch};
use protocol::imap::reply::code::Code;
use protocol::imap::reply::mailbox as mailbox_reply;
use protocol::imap::reply::status::{self as reply, Condition};
use protocol::imap::syntax::mailbox_name::MailboxName;
use protocol::imap::syntax::sequence_set::NumberSet;
use store::{Mailbox, ModSeq, Right, Rights, StoreError, Ticket, Uid};

use super::enabled::Extension;
use super::ending::{Ending, Tell};
use super::fetch::Fetch;
use super::names::Unfound;
use super::selected::{Access, Selected};
use super::untagged::announce_flags;
use super::{Flow, ImapSession, Running, Stage, annotate, object_id};
use crate::conversation::Turn;

impl ImapSession {
    pub(super) fn select(
        &mut self,
        tag: Tag,
        arguments: SelectArguments,
        access: Access,
        turn: &mut Turn<'_>,
    ) -> Flow {
        let SelectArguments { mailbox: name, parameters } = arguments;
        if parameters.qresync.is_some() && !self.enabled.has(Extension::QResync) {
            let text = "QRESYNC needs ENABLE QRESYNC before";
            return self.refuse(turn, &tag, Condition::Bad, None, text);
        }
        // Whether it succeeds or not, the mailbox selected before is no longer.
        if matches!(self.stage, Stage::Selected(..)) {
            let text = "The mailbox selected before is closed";
            reply::untagged(turn.output.bytes(), Condition::Ok, Some(Code::Closed), text);
        }
        self.deselect(turn);
        if parameters.condstore {
            self.enable_condstore(turn);
        }
        let mut selected = match self
            .find(&name, Right::Read, turn)
            .and_then(|found| Ok(Selected::open(&turn.shared.store, found, access, self.enabled)?))
        {
            Ok(selected) => selected,
            Err(error) => return self.refuse_unfound(turn, &tag, &error),
        };
        selected.tells_annotations = parameters.annotate;
        match self.greet(tag.clone(), &name, selected, parameters.qresync.as_ref(), turn) {
            Ok(()) => Flow::Continue,
            Err(error) => self.refuse_unfound(turn, &tag, &error),
        }
    }

    fn greet(
        &mut self,
        tag: Tag,
        name: &MailboxName,
        mut selected: Selected,
        qresync: Option<&QResync>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Unfound> {
        let mailbox = selected.mailbox(&turn.shared.store)?;
        let keywords = mailbox.keywords()?;
        let resync = qresync.filter(|known| known.uid_validity == mailbox.uid_validity());
        let since = resync.map(|known| what_happened(&selected, &mailbox, known)).transpose()?;
        let mut out = Vec::with_capacity(512);
        let out = &mut out;
        announce_flags(out, &mut selected, &keywords);
        mailbox_reply::exists(out, selected.view.exists());
        if self.enabled.rev2() {
            self.list_selected(out, name, turn)?;
        } else {
            let recent = selected.count_recent(&mailbox)?;
            selected.recent_told = recent;
            mailbox_reply::recent(out, recent);
            // UIDONLY forbids message numbers in replies.
            let first_unseen = selected.view.first_unseen(&mailbox)?;
            if let Some(first_unseen) = first_unseen.filter(|_| !selected.enabled.uid_only()) {
                reply::untagged(out, Condition::Ok, Some(Code::Unseen(first_unseen)), "First unseen message");
            }
        }
        let uid_validity = Some(Code::UidValidity(mailbox.uid_validity()));
        reply::untagged(out, Condition::Ok, uid_validity, "UIDs are valid");
        reply::untagged(out, Condition::Ok, Some(Code::UrlMech), "How URLs are authorized");
        let uid_next = Some(Code::UidNext(selected.view.uid_upto() + 1));
        reply::untagged(out, Condition::Ok, uid_next, "Predicted next UID");
        let highest = Some(Code::HighestModSeq(selected.view.parked().expunged_upto.0));
        reply::untagged(out, Condition::Ok, highest, "Highest modification sequence");
        annotate::announce(out, &selected);
        let identifier = object_id::mailbox_id(selected.id, mailbox.uid_validity());
        reply::untagged(out, Condition::Ok, Some(Code::MailboxId(&identifier)), "Identifier of the mailbox");
        let (code, text) = match selected.access {
            Access::ReadWrite if !may_change(selected.rights) => (Code::ReadOnly, "SELECT completed"),
            Access::ReadWrite => (Code::ReadWrite, "SELECT completed"),
            Access::ReadOnly => (Code::ReadOnly, "EXAMINE completed"),
        };
        turn.output.bytes().append(out);
        let ending = Ending::with(tag.clone(), Tell::Nothing, Condition::Ok, Some(code), text);
        if let Some(cell) = turn.cell() {
            let key = selected.id.key();
            cell.set_mailbox(Some((turn.shared.table.row_of(key), key)));
        }
        let fetch = since.map(|(vanished, changed)| {
            let items = vec![FetchItem::Flags, FetchItem::ModSeq];
            let fetch = Fetch::new(tag, Numbering::Uid, items, changed, &selected);
            fetch.after_vanished(vanished)
        });
        self.stage = match std::mem::replace(&mut self.stage, Stage::NotAuthenticated) {
            Stage::Authenticated(user) | Stage::Selected(user, _) => {
                Stage::Selected(user, Box::new(selected))
            }
            stage => stage,
        };
        self.running = match fetch {
            Some(fetch) => Running::Fetch(Box::new(fetch.ending_with(ending))),
            None => Running::Ending(Box::new(ending)),
        };
        Ok(())
    }

    /// Goes back to the authenticated state.
    pub(super) fn deselect(&mut self, turn: &Turn<'_>) {
        self.stage = match std::mem::replace(&mut self.stage, Stage::NotAuthenticated) {
            Stage::Selected(user, _) => {
                if let Some(cell) = turn.cell() {
                    cell.set_mailbox(None);
                }
                Stage::Authenticated(user)
            }
            stage => stage,
        };
    }

    /// CLOSE expunges without a word.
    pub(super) fn close(&mut self, tag: Tag, turn: &mut Turn<'_>) -> Flow {
        let Stage::Selected(_, selected) = &mut self.stage else { return Flow::Continue };
        let mut ticket = Ticket(0);
        if selected.refusal_of(Right::Expunge).is_none() {
            match super::expunge::expunge_deleted(selected, None, turn) {
                Ok(expunged) => ticket = expunged.ticket,
                Err(error) => return self.refuse_change(turn, &tag, &error, Code::NonExistent),
            }
        }
        self.deselect(turn);
        let ending = Ending::ok(tag.clone(), Tell::Nothing, "CLOSE completed");
        self.end_after(tag, ticket, ending)
    }

    pub(super) fn unselect(&mut self, tag: Tag, turn: &mut Turn<'_>) -> Flow {
        self.deselect(turn);
        self.end(turn, tag, Tell::Nothing, "UNSELECT completed")
    }
}

/// Whether a mailbox is READ-WRITE for who has these rights (RFC 4314, 5.2; RFC 5257, 3.4): \Seen is everybody's own, so it does not count.
fn may_change(rights: Rights) -> bool {
    [Right::Insert, Right::Expunge, Right::Write, Right::DeleteMessage, Right::Annotate]
        .into_iter()
        .any(|right| rights.has(right))
}

/// Ranges of UIDs whose messages vanished, and messages that changed, since a client knew the mailbox (RFC 7162, 3.2.5).
fn what_happened(
    selected: &Selected,
    mailbox: &Mailbox,
    known: &QResync,
) -> Result<(Vec<(u32, u32)>, NumberSet), StoreError> {
    let view = &selected.view;
    let since = ModSeq(known.modseq);
    let all = NumberSet::from_ranges(vec![(1, view.uid_upto())]);
    let uids = known.known_uids.as_ref().map_or(all, |uids| uids.resolve(0));
    // Up to a message that is where the client knows it, the client knows of all expunges (3.2.5.2).
    let stretches = known.sequence_match.as_ref().map(SequenceMatch::stretches).unwrap_or_default();
    let matching = view.last_matching_uid(mailbox, &stretches)?;
    let behind = uids.ranges().iter().map(|&(first, last)| (first.max(matching.saturating_add(1)), last));
    let vanished =
        view.uids_vanished_since(mailbox, since, NumberSet::from_ranges(behind.collect()).ranges())?;
    let mut sequences = Vec::new();
    for &(first, last) in uids.ranges() {
        let (Some(first), Some(last)) = (Uid::new(first), Uid::new(last)) else { continue };
        let found = view.seqs_for_uid_range(mailbox, first, last)?;
        if !found.is_empty() {
            sequences.push((found.start, found.end - 1));
        }
    }
    let sequences = NumberSet::from_ranges(sequences);
    let changed = view.seqs_changed_since(mailbox, since, sequences.ranges())?;
    Ok((vanished, NumberSet::from_ranges(changed)))
}
