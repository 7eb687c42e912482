//! SORT and UID SORT (RFC 5256), with SORT=DISPLAY (RFC 5957) and the result options of ESORT (RFC 5267, 3): finds messages as
//! SEARCH does, reads what is compared, puts them in order and tells their numbers, all in turns.
//!
//! `gather` reads, `order` compares, `steps` sorts. Dates and sizes come from the cells; everything else is in the record, so no message
//! is opened for it.

pub(crate) mod gather;
mod order;
pub(crate) mod steps;

use message::Record;
use protocol::imap::Numbering;
use protocol::imap::command::Tag;
use protocol::imap::extension::result_options::{ResultOption, ResultOptions};
use protocol::imap::extension::sort::{SortArguments, SortCriterion};
use protocol::imap::reply::code::Code;
use protocol::imap::reply::esearch::Correlator;
use protocol::imap::reply::status::{self as reply, Condition};
use protocol::imap::syntax::sequence_set::NumberSet;
use store::StoreError;

use self::gather::{Depth, Facts, Gather, Sink};
use self::order::{Arranged, Arranging, Tie, need_records};
use super::ending::Ending;
use super::in_progress::InProgress;
use super::search::{Answer, Bearing, Finder, Saving, Unsearchable, compile, save_results, slice};
use super::selected::{Selected, sequences_of_uids};
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
    /// What was found is told by these: in order, but for ties.
    numbers: Vec<u32>,
    /// What is not in order yet.
    ties: Vec<Tie>,
    /// Messages that could not be searched.
    failures: u32,
    progress: InProgress,
    step: Step,
}

enum Step {
    /// Looking at messages.
    Find(Box<Finder>),
    /// Reading what is compared of the messages of a tie; at first all are tied.
    Read(Box<Gather>, Arranging, Tie),
    /// Putting them in order.
    Arrange(Arranged, Tie),
    /// All are in order.
    Arranged,
    /// Telling them.
    Tell(Answer, Saving),
}

impl Sink for Arranging {
    fn message(&mut self, _place: usize, facts: &Facts, record: Option<&Record<'_>>) {
        self.push(facts, record);
    }
}

impl ImapSession {
    pub(super) fn begin_sort(&mut self, tag: Tag, arguments: SortArguments, turn: &mut Turn<'_>) -> Flow {
        let SortArguments { numbering, options, criteria, charset, key } = arguments;
        let filtered = self.with_filters(Some(&charset), &key, turn);
        let bearing = Bearing::of(filtered.as_deref().unwrap_or(&key), numbering);
        if bearing.tells_modseq {
            self.enable_condstore(turn);
        }
        let Stage::Selected(_, selected) = &mut self.stage else { return Flow::Continue };
        match filtered.and_then(|key| compile(selected, Some(&charset), &key, &turn.shared.store)) {
            Ok(condition) => {
                let step = Step::Find(Box::new(Finder::new(condition)));
                let (numbers, ties) = (Vec::new(), Vec::new());
                let sort = Sort {
                    tag,
                    numbering,
                    bearing,
                    options,
                    criteria,
                    numbers,
                    ties,
                    failures: 0,
                    progress: InProgress::new(turn),
                    step,
                };
                self.running = Running::Sort(Box::new(sort));
                Flow::Continue
            }
            Err(error) => {
                if options.is_some_and(|options| options.has(ResultOption::Save)) {
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
                let Step::Tell(_, saving) = sort.step else { return Flow::Continue };
                if sort.options.is_some_and(|options| options.has(ResultOption::Update)) {
                    let text = "Orders are not kept up to date, only the results of SEARCH";
                    let code = Some(Code::NoUpdate(&sort.tag));
                    reply::untagged(turn.output.bytes(), Condition::No, code, text);
                }
                let ending = match (sort.failures, saving) {
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
        self.options.is_some_and(|options| options.has(ResultOption::Save))
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
                    let found = finder.take_found();
                    // The messages themselves come with the first order.
                    let count = usize::try_from(found.count()).unwrap_or(usize::MAX);
                    self.numbers = vec![0; count];
                    self.read(found, Tie { places: 0..count, same_octets: 0 });
                }
                Step::Read(gather, arranging, _) => {
                    if !gather.go_on(selected, turn, arranging, &is_time_up)? {
                        return Ok(Some(Next::Again));
                    }
                    let step = std::mem::replace(&mut self.step, Step::Arranged);
                    let Step::Read(_, arranging, tie) = step else { continue };
                    self.step = Step::Arrange(arranging.arrange(), tie);
                }
                Step::Arrange(arranged, _) => {
                    if !arranged.go_on(&is_time_up) {
                        return Ok(Some(Next::Again));
                    }
                    let step = std::mem::replace(&mut self.step, Step::Arranged);
                    let Step::Arrange(arranged, tie) = step else { continue };
                    arranged.finish(&mut self.numbers, tie.places, &mut self.ties);
                    if let Some(tie) = self.ties.pop() {
                        let tied = &mut self.numbers[tie.places.clone()];
                        tied.sort_unstable();
                        let tied = NumberSet::from_ascending(tied.iter().copied());
                        let tied = self.sequences(&tied, selected, turn)?;
                        self.read(tied, tie);
                    }
                }
                Step::Arranged => self.step = self.tell(selected, turn)?,
                Step::Tell(answer, _) => {
                    return Ok(if answer.write(turn.output) { None } else { Some(Next::Output) });
                }
            }
            if is_time_up() {
                return Ok(Some(Next::Again));
            }
        }
    }

    fn read(&mut self, messages: NumberSet, tie: Tie) {
        let depth = if need_records(&self.criteria) { Depth::Records } else { Depth::Cells };
        let arranging = Arranging::new(self.numbering, self.criteria.clone(), tie.same_octets);
        self.step = Step::Read(Box::new(Gather::new(messages, depth)), arranging, tie);
    }

    /// The sequence numbers of messages that are told by these numbers.
    fn sequences(
        &self,
        numbers: &NumberSet,
        selected: &mut Selected,
        turn: &Turn<'_>,
    ) -> Result<NumberSet, StoreError> {
        match self.numbering {
            Numbering::Sequence => Ok(numbers.clone()),
            Numbering::Uid => {
                let mailbox = selected.mailbox(&turn.shared.store)?;
                sequences_of_uids(&selected.view, &mailbox, numbers)
            }
        }
    }

    /// Makes the reply, and saves what is to be saved.
    fn tell(&mut self, selected: &mut Selected, turn: &Turn<'_>) -> Result<Step, StoreError> {
        let runs = runs(&self.numbers);
        let mut modseq = None;
        if self.bearing.tells_modseq {
            let told = kept(self.options.as_ref().unwrap_or(&ResultOptions::ALL), &self.numbers);
            let told = self.sequences(&told, selected, turn)?;
            let cells = selected.mailbox(&turn.shared.store)?.cells()?;
            modseq = self.bearing.modseq(&told, selected, &cells)?;
        }
        let with_modseq = |answer: Answer| match modseq {
            Some(modseq) => answer.with_modseq(self.options.as_ref(), modseq),
            None => answer,
        };
        let Some(options) = &self.options else {
            return Ok(Step::Tell(with_modseq(Answer::sort(runs)), Saving::NotAsked));
        };
        let saving = if self.saves() {
            let kept = if self.failures > 0 { NumberSet::default() } else { kept(options, &self.numbers) };
            let kept = self.sequences(&kept, selected, turn)?;
            save_results(selected, &kept, &turn.shared.store)?
        } else {
            Saving::NotAsked
        };
        let answer = if options.wants_reply() {
            let correlator = Correlator { tag: &self.tag, mailbox: None };
            with_modseq(Answer::esearch(correlator, self.numbering, options, runs, Vec::new()))
        } else {
            Answer::none()
        };
        Ok(Step::Tell(answer, saving))
    }
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
