//! Puts messages in the order of sort criteria, in turns: reads what is compared, sorts it, and goes on with what is tied.
//!
//! SORT does so with what it found, and `context` with messages that come into its results later.

use std::sync::Arc;

use message::Record;
use protocol::imap::Numbering;
use protocol::imap::extension::sort::SortCriterion;
use protocol::imap::syntax::sequence_set::NumberSet;
use store::StoreError;

use super::annotations::Annotations;
use super::gather::{Depth, Facts, Gather, Sink};
use super::order::{Arranged, Arranging, Tie, need_records};
use super::relevancy::Scores;
use crate::conversation::Turn;
use crate::imap::selected::{Selected, sequences_of_uids};

/// Messages on their way into order. The view must not be refreshed meanwhile.
pub(crate) struct InOrder {
    numbering: Numbering,
    criteria: Vec<SortCriterion>,
    scores: Arc<Scores>,
    /// Messages are told by these: in order, but for ties.
    numbers: Vec<u32>,
    /// What is not in order yet.
    ties: Vec<Tie>,
    step: Step,
}

enum Step {
    /// Reading what is compared of the messages of a tie; at first all are tied.
    Read(Box<Gather>, Arranging, Tie),
    /// Putting them in order.
    Arrange(Arranged, Tie),
    /// All are in order.
    Done,
}

impl Sink for Arranging {
    fn message(&mut self, _place: usize, facts: &Facts, record: Option<&Record<'_>>) {
        self.push(facts, record);
    }
}

impl InOrder {
    /// For the messages with these sequence numbers, which are told by `numbering`.
    pub(crate) fn new(
        messages: NumberSet,
        numbering: Numbering,
        criteria: Vec<SortCriterion>,
        scores: Arc<Scores>,
    ) -> InOrder {
        // The messages themselves come with the first order.
        let count = usize::try_from(messages.count()).unwrap_or(usize::MAX);
        let (numbers, ties) = (vec![0; count], Vec::new());
        let mut in_order = InOrder { numbering, criteria, scores, numbers, ties, step: Step::Done };
        in_order.read(messages, Tie { places: 0..count, same_octets: 0 });
        in_order
    }

    /// The numbers: in order once [`InOrder::go_on`] has said so.
    pub(crate) fn into_numbers(self) -> Vec<u32> {
        self.numbers
    }

    /// Goes on until time is up; true when all are in order.
    ///
    /// # Errors
    /// The mailbox cannot be read. A message that cannot counts as one without a header.
    pub(crate) fn go_on(
        &mut self,
        selected: &mut Selected,
        turn: &Turn<'_>,
        is_time_up: &dyn Fn() -> bool,
    ) -> Result<bool, StoreError> {
        loop {
            match &mut self.step {
                Step::Read(gather, arranging, _) => {
                    arranging.annotations = Annotations::if_compared(&self.criteria, selected, turn)?;
                    if !gather.go_on(selected, turn, arranging, is_time_up)? {
                        return Ok(false);
                    }
                    let step = std::mem::replace(&mut self.step, Step::Done);
                    let Step::Read(_, arranging, tie) = step else { continue };
                    self.step = Step::Arrange(arranging.arrange(), tie);
                }
                Step::Arrange(arranged, _) => {
                    if !arranged.go_on(is_time_up) {
                        return Ok(false);
                    }
                    let step = std::mem::replace(&mut self.step, Step::Done);
                    let Step::Arrange(arranged, tie) = step else { continue };
                    arranged.finish(&mut self.numbers, tie.places, &mut self.ties);
                    if let Some(tie) = self.ties.pop() {
                        let tied = &mut self.numbers[tie.places.clone()];
                        tied.sort_unstable();
                        let tied = NumberSet::from_ascending(tied.iter().copied());
                        let tied = sequences(&tied, self.numbering, selected, turn)?;
                        self.read(tied, tie);
                    }
                }
                Step::Done => return Ok(true),
            }
            if is_time_up() {
                return Ok(matches!(self.step, Step::Done));
            }
        }
    }

    fn read(&mut self, messages: NumberSet, tie: Tie) {
        let depth = if need_records(&self.criteria) { Depth::Records } else { Depth::Cells };
        let scores = Arc::clone(&self.scores);
        let arranging = Arranging::new(self.numbering, self.criteria.clone(), scores, tie.same_octets);
        self.step = Step::Read(Box::new(Gather::new(messages, depth)), arranging, tie);
    }
}

/// The sequence numbers of messages that are told by these numbers.
///
/// # Errors
/// The mailbox cannot be read.
pub(crate) fn sequences(
    numbers: &NumberSet,
    numbering: Numbering,
    selected: &mut Selected,
    turn: &Turn<'_>,
) -> Result<NumberSet, StoreError> {
    match numbering {
        Numbering::Sequence => Ok(numbers.clone()),
        Numbering::Uid => {
            let mailbox = selected.mailbox(&turn.shared.store)?;
            sequences_of_uids(&selected.view, &mailbox, numbers)
        }
    }
}
