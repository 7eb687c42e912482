//! CONTEXT=SEARCH (RFC 5267, 4.3): searches whose results are kept up to date for the client, with ADDTO and REMOVEFROM.
//!
//! A context keeps its key and the UIDs that met it when the client was last told. When the client is told of changes of the mailbox, the messages
//! that changed or came are asked again, those alone; what is gone is taken out. Position 0 is told, which means mailbox order.
//!
//! Invariants: sequence numbers in a REMOVEFROM of what was expunged are those before the EXPUNGEs, all others those after (4.3.4); no
//! context grows beyond [`RANGES_MAX`] ranges, it ends before that with NO \[NOUPDATE].

use protocol::imap::Numbering;
use protocol::imap::command::Tag;
use protocol::imap::command::search::{SearchCharset, SearchKey};
use protocol::imap::extension::context::CancelUpdateArguments;
use protocol::imap::reply::code::Code;
use protocol::imap::reply::esearch::{self, Correlator, Update};
use protocol::imap::reply::status::{self, Condition};
use protocol::imap::syntax::sequence_set::{NumberSet, SequenceSet};
use store::StoreError;
use store::mailbox::Mailbox;
use store::view::Changes;

use super::condition::Condition as Match;
use super::finder::Finder;
use super::{Unsearchable, compile};
use crate::conversation::Turn;
use crate::imap::ending::Tell;
use crate::imap::selected::{Selected, sequences_of_uids, uids_of_sequences};
use crate::imap::{Flow, ImapSession, Stage};

/// Contexts that a session may have at a time.
const CONTEXTS_MAX: usize = 16;
/// Ranges of UIDs that the results of a context may have: 128 KB.
const RANGES_MAX: usize = 16 * 1024;

/// A search whose results are kept up to date.
pub(crate) struct Context {
    /// The tag of the search.
    pub(crate) tag: Tag,
    /// What the numbers of its replies are.
    pub(crate) numbering: Numbering,
    /// How its texts are encoded.
    pub(crate) charset: Option<SearchCharset>,
    /// What is looked for, without sequence numbers.
    pub(crate) key: SearchKey,
    /// The UIDs of the results that the client knows of.
    pub(crate) results: NumberSet,
}

/// The contexts of a selected mailbox, in the order in which they were made.
#[derive(Default)]
pub(crate) struct Contexts(Vec<Context>);

impl Contexts {
    /// Whether a context has this tag.
    pub(crate) fn has(&self, tag: &Tag) -> bool {
        self.0.iter().any(|context| context.tag == *tag)
    }

    /// Adds a context; false if there are too many, or it is too large.
    pub(crate) fn add(&mut self, context: Context) -> bool {
        let has_room = self.0.len() < CONTEXTS_MAX && context.results.ranges().len() <= RANGES_MAX;
        if has_room {
            self.0.push(context);
        }
        has_room
    }
}

impl ImapSession {
    /// CANCELUPDATE. Tags that no context has are passed over: it may have ended by itself.
    pub(in crate::imap) fn cancel_update(
        &mut self,
        tag: Tag,
        arguments: &CancelUpdateArguments,
        turn: &mut Turn<'_>,
    ) -> Flow {
        if let Stage::Selected(_, selected) = &mut self.stage {
            selected.contexts.0.retain(|context| !arguments.0.contains(&context.tag));
            if selected.contexts.0.is_empty() {
                selected.contexts = Contexts::default();
            }
        }
        self.end(turn, tag, Tell::Everything, "No further updates")
    }
}

/// A key in which sequence numbers and `$` have become the UIDs that they stand for now (RFC 5267, 4.3).
///
/// # Errors
/// The mailbox cannot be read.
pub(crate) fn without_sequence_numbers(
    key: &SearchKey,
    selected: &Selected,
    mailbox: &Mailbox,
) -> Result<SearchKey, StoreError> {
    let inner = |key: &SearchKey| without_sequence_numbers(key, selected, mailbox);
    Ok(match key {
        SearchKey::And(keys) => SearchKey::And(keys.iter().map(inner).collect::<Result<_, _>>()?),
        SearchKey::Or(keys) => SearchKey::Or(Box::new((inner(&keys.0)?, inner(&keys.1)?))),
        SearchKey::Not(key) => SearchKey::Not(Box::new(inner(key)?)),
        SearchKey::Fuzzy(key) => SearchKey::Fuzzy(Box::new(inner(key)?)),
        SearchKey::Uid(set) if set.is_saved() => uid_key(&selected.saved),
        SearchKey::Sequence(set) if set.is_saved() => uid_key(&selected.saved),
        SearchKey::Sequence(set) => {
            let sequences = set.resolve(selected.view.exists());
            let sequences =
                NumberSet::from_ranges(vec![(1, selected.view.exists())]).intersection(&sequences);
            uid_key(&uids_of_sequences(&selected.view, &mailbox.cells()?, &sequences)?)
        }
        key => key.clone(),
    })
}

fn uid_key(uids: &NumberSet) -> SearchKey {
    match SequenceSet::of(uids) {
        Some(set) => SearchKey::Uid(set),
        None => SearchKey::Not(Box::new(SearchKey::All)),
    }
}

/// What the contexts have to tell of one refresh of the view.
pub(crate) struct Notices {
    /// Messages that were expunged: their sequence numbers before, and their UIDs; ascending.
    gone: Vec<(u32, u32)>,
    /// Sequence numbers of messages that changed or came.
    changed: NumberSet,
    /// The next context to ask about them.
    next: usize,
    /// Its search, if that has begun.
    finder: Option<Finder>,
}

impl Notices {
    /// What is to be told after a refresh; `None` if nobody asked. `exists_before` messages were in view.
    pub(crate) fn new(selected: &Selected, changes: &Changes, exists_before: u32) -> Option<Notices> {
        if selected.contexts.0.is_empty() {
            return None;
        }
        let expunged = changes.expunged.iter().zip(&changes.expunged_uids);
        // Each number is counted after those before it.
        let gone: Vec<(u32, u32)> =
            (0..).zip(expunged).map(|(before, (sequence, uid))| (sequence + before, uid.get())).collect();
        let flags = changes.flags.iter().filter_map(|&cell| selected.view.seq_of_cell(cell));
        let mut changed = NumberSet::from_ascending(flags);
        let first_new = exists_before + 1 - gone.len() as u32;
        if first_new <= selected.view.exists() {
            changed = changed.union(&NumberSet::from_ranges(vec![(first_new, selected.view.exists())]));
        }
        Some(Notices { gone, changed, next: 0, finder: None })
    }

    /// Takes what was expunged out of the results, and tells it: before the EXPUNGEs.
    pub(crate) fn tell_gone(&mut self, selected: &mut Selected, out: &mut Vec<u8>) {
        if self.gone.is_empty() {
            return;
        }
        let all = NumberSet::from_ascending(self.gone.iter().map(|(_, uid)| *uid));
        for context in &mut selected.contexts.0 {
            let uids = context.results.intersection(&all);
            if uids.is_empty() {
                continue;
            }
            context.results = context.results.without(&uids);
            let removed = match context.numbering {
                Numbering::Uid => uids,
                Numbering::Sequence => {
                    let gone = self.gone.iter().filter(|(_, uid)| uids.contains(*uid));
                    NumberSet::from_ascending(gone.map(|(sequence, _)| *sequence))
                }
            };
            write(out, context, &[(Update::RemoveFrom, &removed)]);
        }
        self.gone.clear();
    }

    /// Asks messages that changed or came, and tells what that changes: after EXISTS. False if it must go on in another turn.
    ///
    /// # Errors
    /// The mailbox cannot be read.
    pub(crate) fn tell_changed(
        &mut self,
        selected: &mut Selected,
        turn: &mut Turn<'_>,
    ) -> Result<bool, StoreError> {
        if self.changed.is_empty() {
            return Ok(true);
        }
        let mailbox = selected.mailbox(&turn.shared.store)?;
        while self.next < selected.contexts.0.len() {
            if turn.output.is_full() {
                return Ok(false);
            }
            let mut finder = match self.finder.take() {
                Some(finder) => finder,
                None => self.begin(selected, turn)?,
            };
            if !finder.go_on(selected.id, &mailbox, &selected.view, turn)? {
                self.finder = Some(finder);
                return Ok(false);
            }
            self.tell_one(&finder.into_found(), selected, &mailbox, turn)?;
        }
        Ok(true)
    }

    fn begin(&self, selected: &mut Selected, turn: &Turn<'_>) -> Result<Finder, StoreError> {
        let contexts = std::mem::take(&mut selected.contexts);
        let context = &contexts.0[self.next];
        let condition = compile(selected, context.charset.as_ref(), &context.key, &turn.shared.store);
        selected.contexts = contexts;
        let condition = match condition {
            Ok(condition) => condition,
            Err(Unsearchable::Store(error)) => return Err(error),
            // The key was compiled before; what cannot be is met by nothing.
            Err(_) => Match::False,
        };
        Ok(Finder::new(Match::and(vec![Match::Among(self.changed.clone()), condition])))
    }

    fn tell_one(
        &mut self,
        found: &NumberSet,
        selected: &mut Selected,
        mailbox: &Mailbox,
        turn: &mut Turn<'_>,
    ) -> Result<(), StoreError> {
        let cells = mailbox.cells()?;
        let view = &selected.view;
        let context = &mut selected.contexts.0[self.next];
        let found = uids_of_sequences(view, &cells, found)?;
        let others = uids_of_sequences(view, &cells, &self.changed)?.without(&found);
        let added = found.without(&context.results);
        let removed = context.results.intersection(&others);
        context.results = context.results.without(&removed).union(&added);
        let numbers = |uids: NumberSet| match context.numbering {
            Numbering::Uid => Ok(uids),
            Numbering::Sequence => sequences_of_uids(view, mailbox, &uids),
        };
        let (added, removed) = (numbers(added)?, numbers(removed)?);
        let out = turn.output.bytes();
        write(out, context, &[(Update::RemoveFrom, &removed), (Update::AddTo, &added)]);
        if context.results.ranges().len() > RANGES_MAX {
            let code = Code::NoUpdate(&context.tag);
            status::untagged(out, Condition::No, Some(code), "The results have too many gaps");
            selected.contexts.0.remove(self.next);
        } else {
            self.next += 1;
        }
        Ok(())
    }
}

/// Appends an ESEARCH reply with these updates; nothing if they are empty.
fn write(out: &mut Vec<u8>, context: &Context, updates: &[(Update, &NumberSet)]) {
    if updates.iter().all(|(_, numbers)| numbers.is_empty()) {
        return;
    }
    esearch::begin(out, Correlator { tag: &context.tag, mailbox: None }, context.numbering);
    for (update, numbers) in updates.iter().filter(|(_, numbers)| !numbers.is_empty()) {
        esearch::update_begin(out, *update, 0);
        esearch::ranges(out, numbers.ranges(), false);
        esearch::close(out);
    }
    esearch::end(out);
}
