//! SORT and UID SORT (RFC 5256), with SORT=DISPLAY (RFC 5957), the result options of ESORT (RFC 5267, 3) and RELEVANCY (RFC 6203, 6): finds messages
//! as SEARCH does, reads what is compared, puts them in order and tells their numbers, all in turns.
//!
//! `gather` reads, `order` compares, `steps` sorts, `in_order` does the three for messages that were found; `relevancy` knows how well they fit.
//! Dates and sizes come from the cells; everything else is in the record, so no message is opened for it. `context` and `places` keep the results of
//! a SORT up to date (CONTEXT=SORT).

mod annotations;
pub(crate) mod context;
pub(crate) mod gather;
mod in_order;
mod order;
mod places;
mod relevancy;
pub(crate) mod steps;

use std::sync::Arc;

use protocol::imap::Numbering;
use protocol::imap::command::Tag;
use protocol::imap::extension::result_options::{ResultOption, ResultOptions};
use protocol::imap::extension::sort::{SortArguments, SortCriterion};
use protocol::imap::reply::code::Code;
use protocol::imap::reply::esearch::Correlator;
use protocol::imap::reply::status::{self as reply, Condition};
use protocol::imap::syntax::sequence_set::NumberSet;
use store::StoreError;

use self::context::Ordered;
use self::in_order::{InOrder, sequences};
use self::relevancy::Scores;
use super::ending::Ending;
use super::in_progress::InProgress;
use super::search::{
    Answer, Bearing, Context, Finder, Results, Saving, Unsearchable, compile, new_items, save_results, slice,
    without_sequence_numbers,
};
use super::selected::{Selected, uids_of_sequences};
use super::{Flow, ImapSession, Running, Stage};
use crate::conversation::{Next, Turn};

/// How long SORT and THREAD may keep a worker before others have their turn, in milliseconds.
pub(crate) const TURN_MS: u64 = 15;

/// A SORT on its way.
pub(crate) struct Sort {
    tag: Tag,
    numbering: Numbering,
    bearing: Bearing,
    /// What an ESEARCH reply is to say; `None` for a SORT reply.
    options: Option<ResultOptions>,
    criteria: Vec<SortCriterion>,
    /// What is kept of the command for UPDATE.
    update: Option<Box<Context>>,
    /// How well the messages fit, if that is asked.
    scores: Arc<Scores>,
    /// Messages that could not be searched.
    failures: u32,
    progress: InProgress,
    step: Step,
}

impl Sort {
    /// Stops it; its tag, unless its answer has begun to be told.
    pub(in crate::imap) fn stop(self) -> Option<Tag> {
        (!matches!(self.step, Step::Tell { .. })).then_some(self.tag)
    }
}

enum Step {
    /// Looking at messages.
    Find(Box<Finder>),
    /// Putting them in order.
    Order(Box<InOrder>),
    /// Telling them.
    Tell { answer: Answer, is_saved: Saving, is_update_refused: bool },
}

impl ImapSession {
    pub(super) fn begin_sort(&mut self, tag: Tag, arguments: SortArguments, turn: &mut Turn<'_>) -> Flow {
        let SortArguments { numbering, options, criteria, charset, key } = arguments;
        let asks = |option| options.as_ref().is_some_and(|options: &ResultOptions| options.has(option));
        let filtered = self.with_filters(Some(&charset), &key, turn);
        let bearing = Bearing::of(filtered.as_deref().unwrap_or(&key), numbering);
        if bearing.tells_modseq {
            self.enable_condstore(turn);
        }
        let Stage::Selected(_, selected) = &mut self.stage else { return Flow::Continue };
        if asks(ResultOption::Update) && selected.contexts.has(&tag) {
            let text = "An earlier search with this tag is still kept up to date";
            return self.refuse(turn, &tag, Condition::Bad, None, text);
        }
        let begun = filtered.and_then(|key| {
            let condition = compile(selected, Some(&charset), &key, &turn.shared.store)?;
            // Scores come from the search, and change with flags, and so do annotations; everything else that is compared never does.
            let update = if asks(ResultOption::Update) && !order::may_change(&criteria) {
                let mailbox = selected.mailbox(&turn.shared.store)?;
                Some(Box::new(Context {
                    tag: tag.clone(),
                    numbering,
                    charset: Some(charset.clone()),
                    key: without_sequence_numbers(&key, selected, &mailbox)?,
                    new_items: new_items(options.as_ref()),
                    results: Results::default(),
                }))
            } else {
                None
            };
            Ok((condition, update))
        });
        match begun {
            Ok((condition, update)) => {
                let mut finder = Finder::new(condition);
                if asks(ResultOption::Relevancy) || relevancy::is_compared(&criteria) {
                    finder = finder.scoring();
                }
                let sort = Sort {
                    tag,
                    numbering,
                    bearing,
                    options,
                    criteria,
                    update,
                    scores: Arc::default(),
                    failures: 0,
                    progress: InProgress::new(turn),
                    step: Step::Find(Box::new(finder)),
                };
                self.running = Running::Sort(Box::new(sort));
                Flow::Continue
            }
            Err(error) => {
                if asks(ResultOption::Save) {
                    // RFC 5182, 2.1: what could not be done leaves nothing saved.
                    selected.saved = NumberSet::default();
                }
                self.refuse_unsearchable(turn, &tag, &error)
            }
        }
    }

    pub(super) fn go_on_sort(&mut self, mut sort: Box<Sort>, turn: &mut Turn<'_>) -> Flow {
        let Stage::Selected(_, selected) = &mut self.stage else { return Flow::Continue };
        match sort.go_on(selected, turn) {
            Ok(Some(next)) => {
                let done = sort.done(selected);
                sort.progress.tell_of(turn, &sort.tag, next, done, selected.view.exists());
                self.running = Running::Sort(sort);
                Flow::Wait(next)
            }
            Ok(None) => {
                let tell = sort.bearing.tell();
                let Step::Tell { is_saved, is_update_refused, .. } = sort.step else {
                    return Flow::Continue;
                };
                if is_update_refused {
                    let text = match order::may_change(&sort.criteria) {
                        true => "An order by relevancy or annotations is not kept up to date",
                        false => "Too many contexts, or too many messages in them",
                    };
                    let code = Some(Code::NoUpdate(&sort.tag));
                    reply::untagged(turn.output.bytes(), Condition::No, code, text);
                }
                let ending = match (sort.failures, is_saved) {
                    (0, Saving::NotAsked | Saving::Saved) => Ending::ok(sort.tag, tell, "SORT completed"),
                    (0, Saving::TooMany) => {
                        let text = "The result has too many gaps to be saved";
                        Ending::with(sort.tag, tell, Condition::No, Some(Code::NotSaved), text)
                    }
                    (failures, _) => {
                        let text = format!("{failures} messages could not be read");
                        Ending::with(sort.tag, tell, Condition::No, Some(Code::ServerBug), &text)
                    }
                };
                self.go_on_ending(Box::new(ending), turn)
            }
            Err(error) => {
                if sort.saves() {
                    selected.saved = NumberSet::default();
                }
                self.refuse_unsearchable(turn, &sort.tag, &Unsearchable::Store(error))
            }
        }
    }
}

impl Sort {
    /// How many of the messages of the mailbox have been searched.
    fn done(&self, selected: &Selected) -> u32 {
        match &self.step {
            Step::Find(finder) => finder.done(&selected.view),
            _ => selected.view.exists(),
        }
    }

    fn saves(&self) -> bool {
        self.options.as_ref().is_some_and(|options| options.has(ResultOption::Save))
    }

    /// Goes on until it must wait; `None` when all is told.
    fn go_on(&mut self, selected: &mut Selected, turn: &mut Turn<'_>) -> Result<Option<Next>, StoreError> {
        let shared = turn.shared;
        let until_ms = shared.now_ms() + TURN_MS;
        let is_time_up = || shared.now_ms() >= until_ms;
        loop {
            match &mut self.step {
                Step::Find(finder) => {
                    let mailbox = selected.mailbox(&shared.store)?;
                    if !finder.go_on(selected.id, &mailbox, &selected.view, turn)? {
                        return Ok(Some(Next::Again));
                    }
                    self.failures = finder.failures();
                    let scores = finder.take_scores();
                    let found = finder.take_found();
                    if !scores.is_empty() {
                        let numbers = match self.numbering {
                            Numbering::Sequence => &found,
                            Numbering::Uid => &uids_of_sequences(&selected.view, &mailbox.cells()?, &found)?,
                        };
                        self.scores = Arc::new(Scores::new(numbers, scores));
                    }
                    let scores = Arc::clone(&self.scores);
                    let in_order = InOrder::new(found, self.numbering, self.criteria.clone(), scores);
                    self.step = Step::Order(Box::new(in_order));
                }
                Step::Order(in_order) => {
                    if !in_order.go_on(selected, turn, &is_time_up)? {
                        return Ok(Some(Next::Again));
                    }
                    let in_order = std::mem::replace(
                        &mut **in_order,
                        InOrder::new(NumberSet::default(), self.numbering, Vec::new(), Arc::default()),
                    );
                    self.step = self.tell(in_order.into_numbers(), selected, turn)?;
                }
                Step::Tell { answer, .. } => {
                    return Ok(if answer.write(turn.output) { None } else { Some(Next::Output) });
                }
            }
            if is_time_up() {
                return Ok(Some(Next::Again));
            }
        }
    }

    /// Makes the reply, and saves and keeps what is to be saved and kept.
    fn tell(
        &mut self,
        numbers: Vec<u32>,
        selected: &mut Selected,
        turn: &Turn<'_>,
    ) -> Result<Step, StoreError> {
        let runs = runs(&numbers);
        let asks = |option| self.options.as_ref().is_some_and(|options| options.has(option));
        let mut modseq = None;
        if self.bearing.tells_modseq {
            let told = kept(self.options.as_ref().unwrap_or(&ResultOptions::ALL), &numbers);
            let told = sequences(&told, self.numbering, selected, turn)?;
            let cells = selected.mailbox(&turn.shared.store)?.cells()?;
            modseq = self.bearing.modseq(&told, selected, &cells)?;
        }
        let with_modseq = |answer: Answer| match modseq {
            Some(modseq) => answer.with_modseq(self.options.as_ref(), modseq),
            None => answer,
        };
        let Some(options) = &self.options else {
            let answer = with_modseq(Answer::sort(runs));
            return Ok(Step::Tell { answer, is_saved: Saving::NotAsked, is_update_refused: false });
        };
        let is_saved = if self.saves() {
            let kept = if self.failures > 0 { NumberSet::default() } else { kept(options, &numbers) };
            let kept = sequences(&kept, self.numbering, selected, turn)?;
            save_results(selected, &kept, &turn.shared.store)?
        } else {
            Saving::NotAsked
        };
        let answer = if options.wants_reply() {
            let correlator = Correlator { tag: &self.tag, mailbox: None };
            let scores = match asks(ResultOption::Relevancy) {
                true => numbers.iter().map(|&number| self.scores.of(number)).collect(),
                false => Vec::new(),
            };
            with_modseq(Answer::esearch(correlator, self.numbering, options, runs, scores))
        } else {
            Answer::none()
        };
        let is_update_refused = match self.update.take() {
            Some(mut context) => {
                let uids = match self.numbering {
                    Numbering::Uid => numbers,
                    Numbering::Sequence => uids(numbers, selected, turn)?,
                };
                context.results = Results::Ordered(Ordered::new(self.criteria.clone(), uids));
                !selected.contexts.add(*context)
            }
            None => asks(ResultOption::Update),
        };
        Ok(Step::Tell { answer, is_saved, is_update_refused })
    }
}

/// The UIDs of messages with these sequence numbers, in the same order.
fn uids(mut numbers: Vec<u32>, selected: &mut Selected, turn: &Turn<'_>) -> Result<Vec<u32>, StoreError> {
    let cells = selected.mailbox(&turn.shared.store)?.cells()?;
    for number in &mut numbers {
        let cell = selected.view.cell_of_seq(*number).ok_or(StoreError::NotFound("message"))?;
        *number = cells.uid(cell)?.get();
    }
    Ok(numbers)
}

/// Numbers in this order as runs of those that follow each other.
fn runs(numbers: &[u32]) -> Vec<(u32, u32)> {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for &number in numbers {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(number) => *last = number,
            _ => runs.push((number, number)),
        }
    }
    runs
}

/// What SAVE keeps of messages in this order (RFC 5182, 2.4; RFC 9394, 3.2).
fn kept(options: &ResultOptions, numbers: &[u32]) -> NumberSet {
    use ResultOption::{All, Count, Max, Min};
    let (min, max) = (options.has(Min), options.has(Max));
    let is_part = min || max || options.partial().is_some();
    let single = |&number: &u32| (number, number);
    if !is_part || options.has(All) || options.has(Count) {
        return NumberSet::from_ranges(numbers.iter().map(single).collect());
    }
    let mut ranges = Vec::new();
    if let Some(range) = options.partial() {
        let all: Vec<(u32, u32)> = numbers.iter().map(single).collect();
        ranges = slice(&all, range.resolve(all.len() as u64));
    }
    ranges.extend(numbers.first().filter(|_| min).map(single));
    ranges.extend(numbers.last().filter(|_| max).map(single));
    NumberSet::from_ranges(ranges)
}
