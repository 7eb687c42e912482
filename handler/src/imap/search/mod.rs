//! SEARCH and UID SEARCH (RFC 3501 and 9051, 6.4.4), with the result options of ESEARCH (RFC 4731), SEARCHRES (RFC 5182) and PARTIAL (RFC
//! 9394): goes through the messages in turns, then tells what was found.
//!
//! `condition` is what is looked for, `matching` asks messages, `finder` goes through a mailbox, `answer` writes; `filters` (RFC 5466), `context` (RFC
//! 5267) and `multi` (RFC 7377) are extensions.

mod answer;
mod bearing;
mod condition;
mod context;
mod filters;
mod finder;
mod matching;
mod multi;

use std::borrow::Cow;

use message::search::decode_charset;
use protocol::imap::Numbering;
use protocol::imap::command::Tag;
use protocol::imap::command::fetch::FetchItem;
use protocol::imap::command::search::{SearchArguments, SearchCharset, SearchKey};
use protocol::imap::extension::partial::{PartialRange, Reach};
use protocol::imap::extension::result_options::{ResultOption, ResultOptions};
use protocol::imap::reply::code::Code;
use protocol::imap::reply::esearch::Correlator;
use protocol::imap::reply::status::{self as reply, Condition};
use protocol::imap::syntax::sequence_set::NumberSet;
use store::{Store, StoreError};

pub(crate) use self::answer::{Answer, slice};
pub(crate) use self::bearing::Bearing;
use self::condition::{Condition as Match, Given, charset_name};
pub(crate) use self::context::{Context, Contexts, Notices, Results, without_sequence_numbers};
pub(crate) use self::finder::Finder;
use self::finder::Wanted;
pub(crate) use self::multi::MultiSearch;
use super::enabled::Extension;
use super::ending::Ending;
use super::in_progress::InProgress;
use super::selected::{Selected, uids_of_sequences};
use super::{Flow, ImapSession, Running, Stage};
use crate::clock;
use crate::conversation::{Next, Turn};

/// Texts that one search may look for in the content of messages: each decodes them anew.
const TEXTS_MAX: usize = 32;

/// A SEARCH on its way.
pub(crate) struct Search {
    tag: Tag,
    numbering: Numbering,
    /// What an ESEARCH reply is to say; `None` for a SEARCH reply.
    options: Option<ResultOptions>,
    bearing: Bearing,
    /// What is kept of the command for UPDATE.
    update: Option<Box<Context>>,
    progress: InProgress,
    step: Step,
}

impl Search {
    /// Stops it; its tag, unless its answer has begun to be told.
    pub(in crate::imap) fn stop(self) -> Option<Tag> {
        (!matches!(self.step, Step::Tell { .. })).then_some(self.tag)
    }
}

enum Step {
    /// Looking at messages.
    Find(Box<Finder>),
    /// Telling what was found.
    Tell { answer: Answer, failures: u32, is_saved: Saving, is_update_refused: bool },
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
    /// A charset was named, with UTF8=ACCEPT (RFC 6855, 3).
    CharsetInUtf8,
    /// FILTER goes with UTF-8 only (RFC 5466, 3.1).
    FilterCharset,
    /// A filter that cannot be used, by its name.
    Filter(String),
    /// A filter has message numbers, and UIDONLY is enabled (RFC 9586, 3).
    MessageNumbers,
    /// More texts than are looked for in messages.
    TooManyTexts,
    /// The mailbox cannot be read.
    Store(StoreError),
}

impl Unsearchable {
    /// Whether the command is wrong, and so changes nothing.
    fn is_bad(&self) -> bool {
        use Unsearchable::{CharsetInUtf8, FilterCharset, MessageNumbers};
        matches!(self, CharsetInUtf8 | FilterCharset | MessageNumbers)
    }
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
        let options = match &arguments.options {
            None if self.enabled.has(Extension::Imap4Rev2) => Some(ResultOptions::ALL),
            options => options.clone(),
        };
        let asks = |option| options.as_ref().is_some_and(|options| options.has(option));
        let key = self.prepare_key(arguments.charset.as_ref(), &arguments.key, turn);
        let bearing = Bearing::of(key.as_deref().unwrap_or(&arguments.key), arguments.numbering);
        if bearing.tells_modseq {
            self.enable_condstore(turn);
        }
        let Stage::Selected(_, selected) = &mut self.stage else { return Flow::Continue };
        if asks(ResultOption::Update) && selected.contexts.has(&tag) {
            let text = "An earlier search with this tag is still kept up to date";
            return self.refuse(turn, &tag, Condition::Bad, None, text);
        }
        let begun = key.and_then(|key| {
            let condition = compile(selected, arguments.charset.as_ref(), &key, &turn.shared.store)?;
            let mailbox = selected.mailbox(&turn.shared.store)?;
            let update = match asks(ResultOption::Update) {
                true => Some(Box::new(Context {
                    tag: tag.clone(),
                    numbering: arguments.numbering,
                    charset: arguments.charset.clone(),
                    key: without_sequence_numbers(&key, selected, &mailbox)?,
                    new_items: new_items(options.as_ref()),
                    results: Results::default(),
                })),
                false => None,
            };
            Ok((condition, update))
        });
        if asks(ResultOption::Save) && begun.as_ref().is_err_and(|error| !error.is_bad()) {
            // RFC 5182, 2.1: what could not be done leaves nothing saved.
            selected.saved = NumberSet::default();
        }
        match begun {
            Ok((condition, update)) => {
                let mut finder = Finder::new(condition).wanting(wanted(options.as_ref()));
                if asks(ResultOption::Relevancy) {
                    finder = finder.scoring();
                }
                self.running = Running::Search(Box::new(Search {
                    tag,
                    numbering: arguments.numbering,
                    options,
                    bearing,
                    update,
                    progress: InProgress::new(turn),
                    step: Step::Find(Box::new(finder)),
                }));
                Flow::Continue
            }
            Err(error) => self.refuse_unsearchable(turn, &tag, &error),
        }
    }

    /// The key with the user's filters in the places of their names.
    ///
    /// # Errors
    /// A filter cannot be used, or the charset not with this key or in this session.
    pub(super) fn prepare_key<'k>(
        &self,
        charset: Option<&SearchCharset>,
        key: &'k SearchKey,
        turn: &Turn<'_>,
    ) -> Result<Cow<'k, SearchKey>, Unsearchable> {
        if charset.is_some() && self.enabled.has(Extension::Utf8Accept) {
            return Err(Unsearchable::CharsetInUtf8);
        }
        self.with_filters(charset, key, turn)
    }

    /// The same for commands that always name a charset.
    ///
    /// # Errors
    /// A filter cannot be used, or not with the charset.
    pub(super) fn with_filters<'k>(
        &self,
        charset: Option<&SearchCharset>,
        key: &'k SearchKey,
        turn: &Turn<'_>,
    ) -> Result<Cow<'k, SearchKey>, Unsearchable> {
        if !key.has_filter() {
            return Ok(Cow::Borrowed(key));
        }
        if matches!(charset, Some(SearchCharset::Other(_))) {
            return Err(Unsearchable::FilterCharset);
        }
        let store = &turn.shared.store;
        let list = store.mailbox_list(self.user_id()?)?;
        let replaced =
            filters::substitute(key, &list, store).map_err(|undefined| Unsearchable::Filter(undefined.0))?;
        if self.enabled.uid_only() && replaced.as_ref().is_some_and(SearchKey::has_message_numbers) {
            return Err(Unsearchable::MessageNumbers);
        }
        Ok(replaced.map_or(Cow::Borrowed(key), Cow::Owned))
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
            Unsearchable::CharsetInUtf8 => {
                let text = "With UTF8=ACCEPT all texts are UTF-8, and SEARCH names no charset";
                self.refuse(turn, tag, Condition::Bad, None, text)
            }
            Unsearchable::FilterCharset => {
                let code = Code::BadCharset(&["US-ASCII", "UTF-8"]);
                self.refuse(turn, tag, Condition::Bad, Some(code), "FILTER needs the charset UTF-8")
            }
            Unsearchable::Filter(name) => {
                let text = "There is no such filter, or it is no search key";
                self.refuse(turn, tag, Condition::No, Some(Code::UndefinedFilter(name)), text)
            }
            Unsearchable::MessageNumbers => {
                let text = "The filter has message numbers, which are not used once UIDONLY is enabled";
                self.refuse(turn, tag, Condition::Bad, Some(Code::UidRequired), text)
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
        let Step::Tell { failures, is_saved, is_update_refused, .. } = search.step else {
            return Flow::Continue;
        };
        if is_update_refused {
            let code = Code::NoUpdate(&search.tag);
            reply::untagged(
                turn.output.bytes(),
                Condition::No,
                Some(code),
                "Too many contexts, or too many gaps",
            );
        }
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

/// What UPDATE asks for of new messages.
pub(super) fn new_items(options: Option<&ResultOptions>) -> Vec<FetchItem> {
    options.map_or_else(Vec::new, |options| options.new_items().to_vec())
}

/// Which results a reply needs that says no more than this.
fn wanted(options: Option<&ResultOptions>) -> Wanted {
    use ResultOption::{All, Count, Max, Min, Relevancy, Update};
    let Some(options) = options else { return Wanted::All };
    if [All, Count, Relevancy, Update].into_iter().any(|option| options.has(option)) {
        return Wanted::All;
    }
    let ends = options.partial().map(PartialRange::reach);
    match (options.has(Min), ends, options.has(Max)) {
        (true, None, false) => Wanted::First(1),
        (_, Some(Reach::FromFirst(count)), false) => Wanted::First(count),
        (false, None, true) => Wanted::Last(1),
        (false, Some(Reach::FromLast(count)), _) => Wanted::Last(count),
        // Both ends; or SAVE or CONTEXT alone, which mean all.
        _ => Wanted::All,
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
            reader: selected.user,
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
        self.options.as_ref().is_some_and(|options| options.has(ResultOption::Save))
    }

    /// Goes on until it must wait; `None` when all is told.
    fn go_on(&mut self, selected: &mut Selected, turn: &mut Turn<'_>) -> Result<Option<Next>, StoreError> {
        if let Step::Find(finder) = &mut self.step {
            let mailbox = selected.mailbox(&turn.shared.store)?;
            if !finder.go_on(selected.id, &mailbox, &selected.view, turn)? {
                let (done, of) = (finder.done(&selected.view), selected.view.exists());
                self.progress.tell(turn, &self.tag, u64::from(done), u64::from(of));
                return Ok(Some(Next::Again));
            }
            let finder = std::mem::replace(&mut **finder, Finder::new(Match::False));
            self.step = self.tell(finder, selected, turn)?;
        }
        let Step::Tell { answer, .. } = &mut self.step else { return Ok(Some(Next::Again)) };
        Ok(if answer.write(turn.output) { None } else { Some(Next::Output) })
    }

    /// Makes the reply, and saves what is to be saved.
    fn tell(
        &mut self,
        mut finder: Finder,
        selected: &mut Selected,
        turn: &Turn<'_>,
    ) -> Result<Step, StoreError> {
        let failures = finder.failures();
        let scores = finder.take_scores();
        let found = finder.into_found();
        let cells = selected.mailbox(&turn.shared.store)?.cells()?;
        let mut is_saved = Saving::NotAsked;
        if let Some(options) = self.options.as_ref().filter(|_| self.saves()) {
            let kept = if failures > 0 { NumberSet::default() } else { kept(options, &found) };
            is_saved = save_results(selected, &kept, &turn.shared.store)?;
        }
        let mut is_update_refused = false;
        if let Some(mut context) = self.update.take() {
            let uids = uids_of_sequences(&selected.view, &cells, &found)?;
            context.results = Results::InMailbox(uids);
            is_update_refused = !selected.contexts.add(*context);
        }
        let told = self.options.as_ref().map_or_else(|| found.clone(), |options| kept(options, &found));
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
                Answer::esearch(correlator, self.numbering, options, runs, scores)
            }
        };
        let answer = match modseq {
            Some(modseq) => answer.with_modseq(self.options.as_ref(), modseq),
            None => answer,
        };
        Ok(Step::Tell { answer, failures, is_saved, is_update_refused })
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
    Ok(if selected.save(uids) { Saving::Saved } else { Saving::TooMany })
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
