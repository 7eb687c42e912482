//! What FETCH does before it answers: it enables what it must, and finds the messages.

use protocol::imap::command::Tag;
use protocol::imap::command::fetch::{FetchArguments, FetchItem};
use protocol::imap::reply::status::Condition;
use protocol::imap::syntax::sequence_set::NumberSet;
use store::ModSeq;

use super::super::enabled::Extension;
use super::super::search::slice;
use super::super::selected::{Selected, Unresolved};
use super::super::{Flow, ImapSession, Running, Stage};
use super::{Fetch, Progress};
use crate::conversation::{Next, Turn};

impl ImapSession {
    pub(in crate::imap) fn begin_fetch(
        &mut self,
        tag: Tag,
        mut arguments: FetchArguments,
        turn: &mut Turn<'_>,
    ) -> Flow {
        if arguments.modifiers.vanished && !self.enabled.has(Extension::QResync) {
            let text = "VANISHED needs ENABLE QRESYNC before";
            return self.refuse(turn, &tag, Condition::Bad, None, text);
        }
        // CHANGEDSINCE brings MODSEQ (RFC 7162, 3.1.4.1).
        if arguments.modifiers.changed_since.is_some() && !arguments.items.contains(&FetchItem::ModSeq) {
            arguments.items.push(FetchItem::ModSeq);
        }
        if arguments.items.contains(&FetchItem::ModSeq) {
            self.enable_condstore(turn);
        }
        let Stage::Selected(_, selected) = &mut self.stage else { return Flow::Continue };
        match find(selected, tag.clone(), arguments, turn) {
            Ok(fetch) => {
                self.running = Running::Fetch(Box::new(fetch));
                Flow::Continue
            }
            Err(error) => self.refuse_unresolved(turn, &tag, &error),
        }
    }

    pub(in crate::imap) fn go_on_fetch(&mut self, mut fetch: Box<Fetch>, turn: &mut Turn<'_>) -> Flow {
        let Stage::Selected(_, selected) = &mut self.stage else { return Flow::Continue };
        match fetch.run(selected, turn) {
            Ok(Progress::OutputFull) => {
                self.running = Running::Fetch(fetch);
                Flow::Wait(Next::Output)
            }
            Ok(Progress::Again) => {
                self.running = Running::Fetch(fetch);
                Flow::Wait(Next::Again)
            }
            Ok(Progress::Broken) => Flow::Wait(Next::Close),
            Ok(Progress::Done) => {
                let ending = fetch.end();
                self.end_after(fetch.tag, fetch.ticket, ending)
            }
            Err(error) => self.refuse_store(turn, &fetch.tag, &error),
        }
    }
}

/// Finds the messages of a FETCH, and what vanished if that is asked for.
fn find(
    selected: &mut Selected,
    tag: Tag,
    arguments: FetchArguments,
    turn: &Turn<'_>,
) -> Result<Fetch, Unresolved> {
    let FetchArguments { numbering, messages, items, modifiers } = arguments;
    let mailbox = selected.mailbox(&turn.shared.store)?;
    let mut sequences = selected.resolve(&mailbox, numbering, &messages)?;
    if let Some(partial) = modifiers.partial {
        let places = partial.resolve(sequences.count());
        sequences = NumberSet::from_ranges(slice(sequences.ranges(), places));
    }
    let mut vanished = Vec::new();
    if let Some(since) = modifiers.changed_since.map(ModSeq) {
        let changed = selected.view.seqs_changed_since(&mailbox, since, sequences.ranges())?;
        if modifiers.vanished {
            // `*` reaches to the last UID there ever was: the message that had it may be gone.
            let uids = match messages.is_saved() {
                true => selected.saved.clone(),
                false => messages.resolve(selected.view.uid_upto()),
            };
            vanished = selected.view.uids_vanished_since(&mailbox, since, uids.ranges())?;
        }
        sequences = NumberSet::from_ranges(changed);
    }
    Ok(Fetch::new(tag, numbering, items, sequences, selected).after_vanished(vanished))
}
