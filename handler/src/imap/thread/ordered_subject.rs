//! ORDEREDSUBJECT (RFC 5256, THREAD): messages with the same base subject are one thread, whose first message is the parent of all
//! others. Those without a subject are one, too.

use super::messages::Messages;
use super::tree::{Place, Planting, TOP};
use crate::imap::sort::steps::SortInSteps;

/// Messages that are gone through between two looks at the clock.
const STRIDE: usize = 4096;

/// Threads in the making.
pub(crate) struct OrderedSubject {
    step: Step,
}

enum Step {
    /// Gathering subjects.
    Begin,
    /// Sorting subjects, sent dates, and messages.
    Sort(SortInSteps<(u64, i64, u32)>),
    /// Making threads of them.
    Split(Vec<(u64, i64, u32)>, Vec<Place>),
}

impl OrderedSubject {
    pub(crate) fn new() -> OrderedSubject {
        OrderedSubject { step: Step::Begin }
    }

    /// Goes on until time is up; `None` until the threads are there.
    pub(crate) fn go_on(&mut self, messages: &Messages, is_time_up: &dyn Fn() -> bool) -> Option<Planting> {
        loop {
            match &mut self.step {
                Step::Begin => {
                    let entry =
                        |message| (messages.subject(message).unwrap_or(0), messages.sent(message), message);
                    let entries = (0..messages.count() as u32).map(entry).collect();
                    self.step = Step::Sort(SortInSteps::new(entries));
                }
                Step::Sort(steps) => {
                    if !steps.go_on(Ord::cmp, is_time_up) {
                        return None;
                    }
                    let steps = std::mem::replace(steps, SortInSteps::new(Vec::new()));
                    let entries = steps.into_items();
                    let places = Vec::with_capacity(entries.len());
                    self.step = Step::Split(entries, places);
                }
                Step::Split(entries, places) => {
                    while let Some(&(subject, sent, node)) = entries.get(places.len()) {
                        let first = match (
                            places.len().checked_sub(1).map(|index| entries[index].0),
                            places.last(),
                        ) {
                            (Some(before), Some(place)) if before == subject => {
                                if place.parent == TOP {
                                    place.node
                                } else {
                                    place.parent
                                }
                            }
                            _ => TOP,
                        };
                        places.push(Place { parent: first, sent, tie: node, node });
                        if places.len().is_multiple_of(STRIDE) && is_time_up() {
                            return None;
                        }
                    }
                    return Some(Planting::new(std::mem::take(places), messages.count()));
                }
            }
        }
    }
}
