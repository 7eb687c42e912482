//! SEARCH and UID SEARCH (RFC 3501 and 9051, 6.4.4), with the result options of ESEARCH (RFC 4731), SEARCHRES (RFC 5182) and PARTIAL (RFC
//! 9394): goes through the messages in turns, then tells what was found.
//!
//! `condition` is what is looked for, `matching` asks messages, `finder` goes through a mailbox, `answer` writes.

mod answer;
mod bearing;
mod condition;
mod finder;
mod matching;

use message::search::decode_charset;
use protocol::imap::Numbering;
use protocol::imap::command::Tag;
use protocol::imap::command::search::{SearchArguments, SearchCharset, SearchKey};
use protocol::imap::extension::result_options::{ResultOption, ResultOptions};
use protocol::imap::reply::code::Code;
use protocol::imap::reply::esearch::Correlator;
use protocol::imap::reply::status::Condition;
use protocol::imap::syntax::sequence_set::NumberSet;
use store::{Store, StoreError};

pub(crate) use self::answer::{Answer, slice};
pub(crate) use self::bearing::Bearing;
use self::condition::{Condition as Match, Given, charset_name};
pub(crate) use self::finder::Finder;
use super::enabled::Extension;
use super::ending::Ending;
use super::selected::{Selected, uids_of_sequences};
use super::{Flow, ImapSession, Running, Stage};
use crate::clock;
use crate::conversation::{Next, Turn};

/// Texts that one search may look for in the content of messages: each decodes them anew.
const TEXTS_MAX: usize = 32;
/// Ranges of UIDs that `$` may have: half a megabyte.
const SAVED_RANGES_MAX: usize = 64 * 1024;

/// A SEARCH on its way.
pub(crate) struct Search {
    tag: Tag,
    numbering: Numbering,
    /// What an ESEARCH reply is to say; `None` for a SEARCH reply.
    options: Option<ResultOptions>,
    bearing: Bearing,
    step: Step,
}

enum Step {
    /// Looking at messages.
    Find(Finder),
    /// Telling what was found.
    Tell { answer: Answer, failures: u32, is_saved: Saving },
}

/// What became of SAVE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Saving {
    /// It was not asked for.
    NotAsked,
    /// `$` stands for the results.
    Saved,
    /// They were too many ranges.
    TooMany,
}

/// Why a search cannot be done.
#[derive(Debug)]
pub(crate) enum Unsearchable {
    /// The charset is not known.
    Charset,
    /// More texts than are looked for in messages.
    TooManyTexts,
    /// The mailbox cannot be read.
    Store(StoreError),
}

impl From<StoreError> for Unsearchable {
    fn from(error: StoreError) -> Unsearchable {
        Unsearchable::Store(error)
    }
}

impl ImapSession {
    pub(super) fn begin_search(
        &mut self,
        tag: Tag,
        arguments: &SearchArguments,
        turn: &mut Turn<'_>,
    ) -> Flow {
        let options = match arguments.options {
            None if self.enabled.has(Extension::Imap4Rev2) => Some(ResultOptions::ALL),
            options => options,
        };
        if arguments.charset.is_some() && self.enabled.has(Extension::Utf8Accept) {
            let text = "With UTF8=ACCEPT all texts are UTF-8, and SEARCH names no charset";
            return self.refuse(turn, &tag, Condition::Bad, None, text);
        }
        let bearing = Bearing::of(&arguments.key, arguments.numbering);
        if bearing.tells_modseq {
            self.enable_condstore(turn);
        }
        let Stage::Selected(_, selected) = &mut self.stage else { return Flow::Continue };
        let charset = arguments.charset.as_ref();
        let condition = compile(selected, charset, &arguments.key, &turn.shared.store);
        let saves = options.is_some_and(|options| options.has(ResultOption::Save));
        if saves && condition.is_err() {
            // RFC 5182, 2.1: what could not be done leaves nothing saved.
            selected.saved = NumberSet::default();
        }
        match condition {
            Ok(condition) => {
                let finder = Finder::new(condition).until(enough(options.as_ref()));
                let step = Step::Find(finder);
                let numbering = arguments.numbering;
                let search = Search { tag, numbering, options, bearing, step };
                self.running = Running::Search(Box::new(search));
                Flow::Continue
            }
            Err(error) => self.refuse_unsearchable(turn, &tag, &error),
        }
    }

    /// Ends a search that cannot be done.
    pub(super) fn refuse_unsearchable(
        &mut self,
        turn: &mut Turn<'_>,
        tag: &Tag,
        error: &Unsearchable,
    ) -> Flow {
        match error {
            Unsearchable::Charset => {
                let code = Code::BadCharset(&["US-ASCII", "UTF-8"]);
                self.refuse(turn, tag, Condition::No, Some(code), "Unknown charset")
            }
            Unsearchable::TooManyTexts => {
                let text = "Too many texts to look for in messages";
                self.refuse(turn, tag, Condition::No, Some(Code::Limit), text)
            }
            Unsearchable::Store(error) => self.refuse_store(turn, tag, error),
        }
    }

    pub(super) fn go_on_search(&mut self, mut search: Box<Search>, turn: &mut Turn<'_>) -> Flow {
        let Stage::Selected(_, selected) = &mut self.stage else { return Flow::Continue };
        match search.go_on(selected, turn) {
            Ok(Some(next)) => {
                self.running = Running::Search(search);
                Flow::Wait(next)
            }
            Ok(None) => self.end_search(*search, turn),
            Err(error) => {
                if search.saves() {
                    selected.saved = NumberSet::default();
                }
                self.refuse_store(turn, &search.tag, &error)
            }
        }
    }

    fn end_search(&mut self, search: Search, turn: &mut Turn<'_>) -> Flow {
        let tell = search.bearing.tell();
        let Step::Tell { failures, is_saved, .. } = search.step else { return Flow::Continue };
        let ending = match (failures, is_saved) {
            (0, Saving::NotAsked) => Ending::ok(search.tag, tell, "SEARCH completed"),
            (0, Saving::Saved) => Ending::ok(search.tag, tell, "SEARCH completed, result saved"),
            (0, Saving::TooMany) => {
                let text = "The result has too many gaps to be saved";
                Ending::with(search.tag, tell, Condition::No, Some(Code::NotSaved), text)
            }
            (failures, _) => {
                let text = format!("{failures} messages could not be read");
                Ending::with(search.tag, tell, Condition::No, Some(Code::ServerBug), &text)
            }
        };
        self.go_on_ending(Box::new(ending), turn)
    }
}

/// How many results are enough for a reply that says no more than this.
fn enough(options: Option<&ResultOptions>) -> u64 {
    use ResultOption::{All, Context, Count, Max, Min, Relevancy, Save, Update};
    let has = |option| options.is_some_and(|options| options.has(option));
    if [All, Count, Max, Relevancy, Update].into_iter().any(has) {
        return u64::MAX;
    }
    let first = u64::from(has(Min));
    match options.and_then(ResultOptions::partial) {
        Some(range) => range.last_from_first().map_or(u64::MAX, |last| last.max(first)),
        None if has(Min) => first,
        // SAVE or CONTEXT alone mean all.
        None => {
            debug_assert!(options.is_none() || has(Save) || has(Context));
            u64::MAX
        }
    }
}

/// Compiles a key for the selected mailbox.
///
/// # Errors
/// See [`Unsearchable`].
pub(crate) fn compile(
    selected: &mut Selected,
    charset: Option<&SearchCharset>,
    key: &SearchKey,
    store: &Store,
) -> Result<Match, Unsearchable> {
    let charset = charset_name(charset);
    if decode_charset(charset, b"").is_none() {
        return Err(Unsearchable::Charset);
    }
    let mailbox = selected.mailbox(store)?;
    let keywords = mailbox.keywords()?;
    let condition = Match::compile(
        key,
        &Given {
            mailbox: &mailbox,
            view: &selected.view,
            keywords: &keywords,
            recent: selected.recent_sequences(&mailbox)?,
            saved: &selected.saved,
            charset,
            now: clock::now().seconds,
        },
    )?;
    if condition.texts() > TEXTS_MAX {
        return Err(Unsearchable::TooManyTexts);
    }
    Ok(condition)
}

impl Search {
    fn saves(&self) -> bool {
        self.options.is_some_and(|options| options.has(ResultOption::Save))
    }

    /// Goes on until it must wait; `None` when all is told.
    fn go_on(&mut self, selected: &mut Selected, turn: &mut Turn<'_>) -> Result<Option<Next>, StoreError> {
        if let Step::Find(finder) = &mut self.step {
            let mailbox = selected.mailbox(&turn.shared.store)?;
            if !finder.go_on(selected.id, &mailbox, &selected.view, turn)? {
                return Ok(Some(Next::Again));
            }
            let failures = finder.failures();
            let found = std::mem::replace(finder, Finder::new(Match::False)).into_found();
            self.step = self.tell(found, failures, selected, turn)?;
        }
        let Step::Tell { answer, .. } = &mut self.step else { return Ok(Some(Next::Again)) };
        Ok(if answer.write(turn.output) { None } else { Some(Next::Output) })
    }

    /// Makes the reply, and saves what is to be saved.
    fn tell(
        &self,
        found: NumberSet,
        failures: u32,
        selected: &mut Selected,
        turn: &Turn<'_>,
    ) -> Result<Step, StoreError> {
        let cells = selected.mailbox(&turn.shared.store)?.cells()?;
        let mut is_saved = Saving::NotAsked;
        if let Some(options) = self.options.filter(|_| self.saves()) {
            let kept = if failures > 0 { NumberSet::default() } else { kept(&options, &found) };
            is_saved = save_results(selected, &kept, &turn.shared.store)?;
        }
        let told = self.options.map_or_else(|| found.clone(), |options| kept(&options, &found));
        let modseq = self.bearing.modseq(&told, selected, &cells)?;
        let numbers = match self.numbering {
            Numbering::Sequence => found,
            Numbering::Uid => uids_of_sequences(&selected.view, &cells, &found)?,
        };
        let runs = numbers.into_ranges();
        let answer = match &self.options {
            None => Answer::search(runs),
            Some(options) if !options.wants_reply() => Answer::none(),
            Some(options) => {
                let correlator = Correlator { tag: &self.tag, mailbox: None };
                Answer::esearch(correlator, self.numbering, options, runs)
            }
        };
        let answer = match modseq {
            Some(modseq) => answer.with_modseq(self.options.as_ref(), modseq),
            None => answer,
        };
        Ok(Step::Tell { answer, failures, is_saved })
    }
}

/// Has `$` stand for the messages with these sequence numbers.
///
/// # Errors
/// The mailbox cannot be read.
pub(crate) fn save_results(
    selected: &mut Selected,
    kept: &NumberSet,
    store: &Store,
) -> Result<Saving, StoreError> {
    let cells = selected.mailbox(store)?.cells()?;
    let uids = uids_of_sequences(&selected.view, &cells, kept)?;
    let is_too_many = uids.ranges().len() > SAVED_RANGES_MAX;
    selected.saved = if is_too_many { NumberSet::default() } else { uids };
    Ok(if is_too_many { Saving::TooMany } else { Saving::Saved })
}

/// What SAVE keeps of the results (RFC 5182, 2.4; RFC 9394, 3.2).
pub(crate) fn kept(options: &ResultOptions, found: &NumberSet) -> NumberSet {
    use ResultOption::{All, Count, Max, Min};
    let (min, max) = (options.has(Min), options.has(Max));
    let is_part = min || max || options.partial().is_some();
    if !is_part || options.has(All) || options.has(Count) {
        return found.clone();
    }
    let part = options.partial().map(|range| answer::slice(found.ranges(), range.resolve(found.count())));
    let mut ranges = part.unwrap_or_default();
    if let Some((first, last)) = found.bounds() {
        ranges.extend(min.then_some((first, first)));
        ranges.extend(max.then_some((last, last)));
    }
    NumberSet::from_ranges(ranges)
}
