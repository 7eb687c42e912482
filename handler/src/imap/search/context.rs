//! CONTEXT=SEARCH and CONTEXT=SORT (RFC 5267, 4.3): searches whose results are kept up to date for the client, with ADDTO and REMOVEFROM.
//!
//! A context keeps its key and the UIDs that met it when the client was last told. When the client is told of changes of the mailbox, the messages
//! that changed or came are asked again, those alone; what is gone is taken out. For SEARCH position 0 is told, which means mailbox order; for SORT
//! the places of the messages (`sort::context`). Items of new messages that were asked for with UPDATE (RFC 5465, 7) are told before the ADDTO that names them.
//!
//! Invariants: sequence numbers in a REMOVEFROM of what was expunged are those before the EXPUNGEs, all others those after (4.3.4); no
//! context of a SEARCH grows beyond [`RANGES_MAX`] ranges, and those of SORTs together not beyond [`ORDERED_MAX`] messages: a context ends
//! before that with NO \[NOUPDATE].

use std::convert::Infallible;

use protocol::imap::Numbering;
use protocol::imap::command::Tag;
use protocol::imap::command::fetch::FetchItem;
use protocol::imap::command::search::{SearchCharset, SearchKey};
use protocol::imap::extension::context::CancelUpdateArguments;
use protocol::imap::reply::code::Code;
use protocol::imap::reply::esearch::{self, Correlator, Update};
use protocol::imap::reply::status::{self, Condition};
use protocol::imap::syntax::sequence_set::{NumberSet, SequenceSet};
use store::StoreError;
use store::mailbox::Mailbox;
use store::view::{Changes, View};

use super::condition::Condition as Match;
use super::finder::Finder;
use super::{Unsearchable, compile};
use crate::conversation::Turn;
use crate::imap::ending::Tell;
use crate::imap::fetch::{Fetch, Progress};
use crate::imap::selected::{Selected, sequences_of_uids, uids_of_sequences};
use crate::imap::sort::context::{Edits, Ordered, Places, Unplaceable};
use crate::imap::{Flow, ImapSession, Stage};
use crate::output::Output;

/// Contexts that a session may have at a time.
const CONTEXTS_MAX: usize = 16;
/// Ranges of UIDs that the results of a SEARCH may have: 128 KB.
const RANGES_MAX: usize = 16 * 1024;
/// Messages that the results of all SORTs of a session may have: 2 MB.
const ORDERED_MAX: usize = 512 * 1024;
/// How long finding places may keep a worker before others have their turn, in milliseconds.
const TURN_MS: u64 = 15;

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
    /// What is told of new messages among the results (RFC 5465, 7).
    pub(crate) new_items: Vec<FetchItem>,
    /// The results that the client knows of.
    pub(crate) results: Results,
}

/// The results of a context.
#[derive(Debug)]
pub(crate) enum Results {
    /// UIDs, in the order of the mailbox.
    InMailbox(NumberSet),
    /// In the order of a SORT.
    Ordered(Ordered),
}

impl Default for Results {
    fn default() -> Results {
        Results::InMailbox(NumberSet::default())
    }
}

/// The contexts of a selected mailbox, in the order in which they were made.
#[derive(Default)]
pub(crate) struct Contexts(Vec<Context>);

impl Contexts {
    /// The tags of all, in order.
    pub(crate) fn tags(&self) -> impl Iterator<Item = &Tag> {
        self.0.iter().map(|context| &context.tag)
    }

    /// Whether a context has this tag.
    pub(crate) fn has(&self, tag: &Tag) -> bool {
        self.0.iter().any(|context| context.tag == *tag)
    }

    /// Adds a context; false if there are too many, or it is too large.
    pub(crate) fn add(&mut self, context: Context) -> bool {
        if self.0.len() == CONTEXTS_MAX {
            return false;
        }
        self.0.push(context);
        let has_room = self.has_room_for(self.0.len() - 1);
        if !has_room {
            self.0.pop();
        }
        has_room
    }

    /// Whether a context is not too large.
    fn has_room_for(&self, index: usize) -> bool {
        match &self.0[index].results {
            Results::InMailbox(uids) => uids.ranges().len() <= RANGES_MAX,
            Results::Ordered(_) => {
                let counts = self.0.iter().map(|context| match &context.results {
                    Results::InMailbox(_) => 0,
                    Results::Ordered(ordered) => ordered.count(),
                });
                counts.sum::<usize>() <= ORDERED_MAX
            }
        }
    }

    /// Ends those that tell sequence numbers, for the session has none any more (RFC 9586, 3).
    pub(crate) fn end_those_with_numbers(&mut self, out: &mut Vec<u8>) {
        self.0.retain(|context| {
            let has_uids = context.numbering == Numbering::Uid;
            if !has_uids {
                let code = Some(Code::NoUpdate(&context.tag));
                status::untagged(out, Condition::No, code, "Message numbers are not told any more");
            }
            has_uids
        });
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
    /// The first of those that came.
    first_new: u32,
    /// The context that is told next.
    next: usize,
    /// How far it is.
    step: Step,
}

/// How far a context is.
#[derive(Default)]
enum Step {
    /// It has not begun.
    #[default]
    Begin,
    /// What was expunged is taken out of the results of a SORT.
    TakeOut(Edits),
    /// Messages that changed or came are asked.
    Ask(Box<Finder>),
    /// Items of new messages are told, and then what else there is.
    Fetch(Box<Fetch>, Box<Step>),
    /// Results of a SEARCH are told that are such no more, and such that have become some.
    Tell { removed: NumberSet, added: NumberSet },
    /// Those that do not meet the key any more are told, then the places of others are found in the results of a SORT.
    Place(Edits, Box<Places>),
    /// Messages that come into the results of a SORT are told.
    PutIn(Edits),
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
        Some(Notices { gone, changed, first_new, next: 0, step: Step::Begin })
    }

    /// Takes what was expunged out of the results, and tells it: before the EXPUNGEs. False if it must go on in another turn.
    pub(crate) fn tell_gone(&mut self, selected: &mut Selected, output: &mut Output) -> bool {
        if self.gone.is_empty() {
            return true;
        }
        let all = NumberSet::from_ascending(self.gone.iter().map(|(_, uid)| *uid));
        while let Some(context) = selected.contexts.0.get_mut(self.next) {
            if output.is_full() {
                return false;
            }
            let gone = &self.gone;
            match (std::mem::take(&mut self.step), &mut context.results) {
                (Step::TakeOut(mut edits), _) => {
                    let number_of = |uid| match context.numbering {
                        Numbering::Uid => Some(uid),
                        Numbering::Sequence => {
                            let index = gone.binary_search_by_key(&uid, |(_, uid)| *uid).ok()?;
                            Some(gone[index].0)
                        }
                    };
                    let number_of = |uid| Ok::<u32, Infallible>(number_of(uid).unwrap_or(uid));
                    let Ok(()) = edits.write(output.bytes(), &context.tag, context.numbering, number_of);
                    if edits.is_done() {
                        self.next += 1;
                    } else {
                        self.step = Step::TakeOut(edits);
                    }
                }
                (_, Results::Ordered(ordered)) => self.step = Step::TakeOut(ordered.remove(&all)),
                (_, Results::InMailbox(results)) => {
                    self.next += 1;
                    let uids = results.intersection(&all);
                    *results = results.without(&uids);
                    let removed = match context.numbering {
                        Numbering::Uid => uids,
                        Numbering::Sequence => {
                            let gone = gone.iter().filter(|(_, uid)| uids.contains(*uid));
                            NumberSet::from_ascending(gone.map(|(sequence, _)| *sequence))
                        }
                    };
                    write(output.bytes(), context, &[(Update::RemoveFrom, &removed)]);
                }
            }
        }
        self.gone.clear();
        self.next = 0;
        true
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
        let mut contexts = std::mem::take(&mut selected.contexts);
        let is_done = self.tell_contexts(&mut contexts, selected, turn);
        selected.contexts = contexts;
        is_done
    }

    fn tell_contexts(
        &mut self,
        contexts: &mut Contexts,
        selected: &mut Selected,
        turn: &mut Turn<'_>,
    ) -> Result<bool, StoreError> {
        let mailbox = selected.mailbox(&turn.shared.store)?;
        while let Some(context) = contexts.0.get_mut(self.next) {
            if turn.output.is_full() {
                return Ok(false);
            }
            match std::mem::take(&mut self.step) {
                Step::Begin | Step::TakeOut(_) => {
                    self.step = Step::Ask(Box::new(self.begin(context, selected, turn)?));
                }
                Step::Ask(mut finder) => {
                    if !finder.go_on(selected.id, &mailbox, &selected.view, turn)? {
                        self.step = Step::Ask(finder);
                        return Ok(false);
                    }
                    self.step = self.take(&finder.into_found(), context, selected, &mailbox)?;
                }
                Step::Fetch(mut fetch, then) => match fetch.run(selected, turn)? {
                    Progress::Done => self.step = *then,
                    Progress::Again | Progress::OutputFull => {
                        self.step = Step::Fetch(fetch, then);
                        return Ok(false);
                    }
                    Progress::Broken => return Err(StoreError::NotFound("rest of a message")),
                },
                Step::Tell { removed, added } => {
                    let updates = [(Update::RemoveFrom, &removed), (Update::AddTo, &added)];
                    write(turn.output.bytes(), context, &updates);
                }
                Step::Place(mut removed, places) if !removed.is_done() => {
                    write_edits(&mut removed, context, &selected.view, &mailbox, turn)?;
                    self.step = Step::Place(removed, places);
                }
                Step::Place(removed, mut places) => {
                    let Results::Ordered(ordered) = &mut context.results else { continue };
                    let shared = turn.shared;
                    let until_ms = shared.now_ms() + TURN_MS;
                    let is_time_up = || shared.now_ms() >= until_ms;
                    let (uids, criteria) = (ordered.uids(), ordered.criteria());
                    match places.go_on(uids, criteria, selected, turn, &is_time_up) {
                        Ok(Some(placed)) => self.step = Step::PutIn(ordered.insert(&placed)),
                        Ok(None) => {
                            self.step = Step::Place(removed, places);
                            return Ok(false);
                        }
                        Err(Unplaceable::Store(error)) => return Err(error),
                        Err(Unplaceable::Unreadable) => {
                            let code = Some(Code::NoUpdate(&context.tag));
                            let text = "A message cannot be read, so that its place is not known";
                            status::untagged(turn.output.bytes(), Condition::No, code, text);
                            contexts.0.remove(self.next);
                            continue;
                        }
                    }
                }
                Step::PutIn(mut added) => {
                    write_edits(&mut added, context, &selected.view, &mailbox, turn)?;
                    if !added.is_done() {
                        self.step = Step::PutIn(added);
                    }
                }
            }
            if matches!(self.step, Step::Begin) {
                self.end(contexts, turn);
            }
        }
        Ok(true)
    }

    /// Goes on to the next context, and ends this one if it has become too large.
    fn end(&mut self, contexts: &mut Contexts, turn: &mut Turn<'_>) {
        if contexts.has_room_for(self.next) {
            self.next += 1;
            return;
        }
        let context = contexts.0.remove(self.next);
        let text = match context.results {
            Results::InMailbox(_) => "The results have too many gaps",
            Results::Ordered(_) => "The results have too many messages",
        };
        status::untagged(turn.output.bytes(), Condition::No, Some(Code::NoUpdate(&context.tag)), text);
    }

    fn begin(
        &self,
        context: &Context,
        selected: &mut Selected,
        turn: &Turn<'_>,
    ) -> Result<Finder, StoreError> {
        let condition = compile(selected, context.charset.as_ref(), &context.key, &turn.shared.store);
        let condition = match condition {
            Ok(condition) => condition,
            Err(Unsearchable::Store(error)) => return Err(error),
            // The key was compiled before; what cannot be is met by nothing.
            Err(_) => Match::False,
        };
        Ok(Finder::new(Match::and(vec![Match::Among(self.changed.clone()), condition])))
    }

    /// Takes what was found among the messages that changed or came for the results of a context. What is to be told of it.
    fn take(
        &self,
        found: &NumberSet,
        context: &mut Context,
        selected: &Selected,
        mailbox: &Mailbox,
    ) -> Result<Step, StoreError> {
        let cells = mailbox.cells()?;
        let view = &selected.view;
        let new = NumberSet::from_ranges(vec![(self.first_new, u32::MAX)]).intersection(found);
        let found = uids_of_sequences(view, &cells, found)?;
        let others = uids_of_sequences(view, &cells, &self.changed)?.without(&found);
        let step = match &mut context.results {
            Results::Ordered(ordered) => {
                let removed = ordered.remove(&others);
                let coming = sequences_of_uids(view, mailbox, &ordered.missing(&found))?;
                match removed.is_done() && coming.is_empty() {
                    true => Step::Begin,
                    false => Step::Place(removed, Box::new(ordered.places(coming))),
                }
            }
            Results::InMailbox(results) => {
                let added = found.without(results);
                let removed = results.intersection(&others);
                *results = results.without(&removed).union(&added);
                let numbers = |uids: NumberSet| match context.numbering {
                    Numbering::Uid => Ok(uids),
                    Numbering::Sequence => sequences_of_uids(view, mailbox, &uids),
                };
                Step::Tell { removed: numbers(removed)?, added: numbers(added)? }
            }
        };
        if context.new_items.is_empty() || new.is_empty() {
            return Ok(step);
        }
        let (tag, items) = (context.tag.clone(), context.new_items.clone());
        let fetch = Fetch::new(tag, context.numbering, items, new, selected);
        Ok(Step::Fetch(Box::new(fetch), Box::new(step)))
    }
}

/// Appends some of the edits of the results of a SORT, of messages in view.
fn write_edits(
    edits: &mut Edits,
    context: &Context,
    view: &View,
    mailbox: &Mailbox,
    turn: &mut Turn<'_>,
) -> Result<(), StoreError> {
    edits.write(turn.output.bytes(), &context.tag, context.numbering, |uid| match context.numbering {
        Numbering::Uid => Ok(uid),
        Numbering::Sequence => {
            let sequences = sequences_of_uids(view, mailbox, &NumberSet::from_ascending([uid]))?;
            sequences.bounds().map(|(sequence, _)| sequence).ok_or(StoreError::NotFound("message"))
        }
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn context(tag: &[u8], numbering: Numbering, results: Results) -> Context {
        let tag = Tag::new(tag).expect("a tag");
        Context { tag, numbering, charset: None, key: SearchKey::All, new_items: Vec::new(), results }
    }

    fn ordered(count: usize) -> Results {
        Results::Ordered(Ordered::new(Vec::new(), vec![1; count]))
    }

    #[test]
    fn contexts_are_limited() {
        let mut contexts = Contexts::default();
        for index in 0..CONTEXTS_MAX {
            assert!(contexts.add(context(&[b'a' + index as u8], Numbering::Uid, Results::default())));
        }
        assert!(!contexts.add(context(b"z", Numbering::Uid, Results::default())));

        let gaps = |count| Results::InMailbox(NumberSet::from_ascending((0..count).map(|n| 2 * n + 1)));
        let mut contexts = Contexts::default();
        assert!(contexts.add(context(b"a", Numbering::Uid, gaps(RANGES_MAX as u32))));
        assert!(!contexts.add(context(b"b", Numbering::Uid, gaps(RANGES_MAX as u32 + 1))));
        // Those of SORTs share what there is; a SEARCH needs nothing of it.
        assert!(contexts.add(context(b"c", Numbering::Uid, ordered(ORDERED_MAX - 1))));
        assert!(!contexts.add(context(b"d", Numbering::Uid, ordered(2))));
        assert!(contexts.add(context(b"d", Numbering::Uid, ordered(1))));
        assert!(!contexts.add(context(b"e", Numbering::Uid, ordered(1))));
        assert!(contexts.add(context(b"e", Numbering::Uid, gaps(1))));
    }

    #[test]
    fn without_message_numbers_there_are_no_contexts_of_them() {
        let mut contexts = Contexts::default();
        assert!(contexts.add(context(b"a", Numbering::Sequence, Results::default())));
        assert!(contexts.add(context(b"b", Numbering::Uid, ordered(1))));
        assert!(contexts.add(context(b"c", Numbering::Sequence, ordered(1))));
        let mut out = Vec::new();
        contexts.end_those_with_numbers(&mut out);
        let tags: Vec<&str> = contexts.0.iter().map(|context| context.tag.as_str()).collect();
        assert_eq!(tags, ["b"]);
        let told = String::from_utf8(out).expect("ASCII");
        let codes: Vec<&str> = told.lines().filter_map(|line| Some(line.split_once(']')?.0)).collect();
        assert_eq!(codes, ["* NO [NOUPDATE \"a\"", "* NO [NOUPDATE \"c\""]);
    }
}
