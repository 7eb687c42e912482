//! For each mutation, short runs that catch it at once: a few steps in which the place that is broken matters, with a look at the power cuts
//! that could come there, or with the death of a writer at the places in question.
//!
//! Steps name mailboxes by their order: 0 and 1 are the INBOXes of the first and the second user.

use std::path::Path;

use super::Failure;
use super::step::{Operation, Step};
use crate::disk::Mutation;

/// Seeds that a script is tried with at most: what a power cut leaves is drawn.
const SEEDS_MOST: u64 = 12;
/// Places of death that a script is tried with.
const DEATHS_MOST: u32 = 4;

/// How a mutation was found.
#[derive(Clone, Debug)]
pub struct Find {
    /// What the broken store showed.
    pub failure: Failure,
    /// Runs that the search took.
    pub runs: u32,
}

/// Runs what should catch `mutation` until it does. `None` if it does not.
///
/// Errors: what was shown by the store as it is, which should have shown nothing.
pub fn find(mutation: Mutation, folder: &Path) -> Result<Option<Find>, Failure> {
    let mut runs = 0;
    for seed in 1..=SEEDS_MOST {
        for number in deaths(mutation) {
            let steps = script(mutation, number);
            let run = |mutation| {
                super::run::run(seed, &steps, folder, mutation)
                    .1
                    .map_err(|stop| super::failure(seed, &steps, stop))
            };
            runs += 1;
            if let Err(failure) = run(Some(mutation)) {
                // What is found must be the mutation's doing.
                run(None)?;
                return Ok(Some(Find { failure, runs }));
            }
        }
    }
    Ok(None)
}

/// Runs what should catch `mutation` with the store as it is, with every seed and death.
pub fn holds(mutation: Mutation, folder: &Path) -> Result<(), Failure> {
    for seed in 1..=SEEDS_MOST {
        for number in deaths(mutation) {
            let steps = script(mutation, number);
            let outcome = super::run::run(seed, &steps, folder, None).1;
            outcome.map_err(|stop| super::failure(seed, &steps, stop))?;
        }
    }
    Ok(())
}

/// The deaths that a script is tried with: one if nobody dies in it.
fn deaths(mutation: Mutation) -> std::ops::RangeInclusive<u32> {
    let is_one = script(mutation, 1) == script(mutation, 2);
    1..=if is_one { 1 } else { DEATHS_MOST }
}

/// The steps that should catch `mutation`. A writer that is killed is so when it is asked for the `number`th time whether it does it.
fn script(mutation: Mutation, number: u32) -> Vec<Step> {
    let asked = |writer, what| Step::KillAsked { writer, what, mutation, number };
    let mut steps = vec![user(0), user(1)];
    steps.extend(match mutation {
        Mutation::SkipJournalSync => {
            vec![deliver(0, &[0], 300), ROUND, flags(0, 0, 1), ROUND, CUTS, copy(0, &[0], 1), ROUND, CUTS]
        }
        Mutation::SkipBucketSync | Mutation::FolderNotSynced | Mutation::NoReplay => {
            vec![deliver(0, &[0], 300), ROUND, CUTS, Step::PowerCut]
        }
        // The message is in a log that its own writer has not synced.
        Mutation::SkipSyncOfOthers => vec![deliver(1, &[0], 300), copy(0, &[0], 1), ROUND, CUTS],
        // Whoever completes the copy finds it done.
        Mutation::CellBeforeCount => {
            vec![deliver(0, &[0], 300), ROUND, asked(0, copied(&[0], 1)), Step::Look { writer: 1 }]
        }
        // So many frames that of some the last octets are in a sector by themselves.
        Mutation::NoFrameChecksum => {
            let begin = [deliver(0, &[0], 300), ROUND];
            let copies = (0..48).map(|_| copy(0, &[0], 1));
            begin.into_iter().chain(copies).chain([CUTS, CUTS]).collect()
        }
        Mutation::NoContentCheck => {
            vec![deliver(0, &[0], 3000), CUTS, deliver(0, &[1], 5000), CUTS]
        }
        Mutation::EpochNotRaised => {
            vec![
                deliver(0, &[0], 300),
                deliver(0, &[0], 300),
                Step::PowerCut,
                deliver(0, &[0], 300),
                Step::PowerCut,
            ]
        }
        Mutation::CheckpointBeforeSync => {
            let change = |flag| [flags(0, 0, flag), ROUND, Step::Checkpoint { writer: 0 }];
            let begin = [deliver(0, &[0], 300), ROUND];
            begin.into_iter().chain((1..8).flat_map(change)).collect()
        }
        // So many that their cells are not in one sector.
        Mutation::SeveralNotDurableFirst => {
            let what = Operation::StoreFlags {
                mailbox: 0,
                messages: (0..20).collect(),
                how: 0,
                flags: 3,
                keywords: 0,
            };
            vec![
                deliver(0, &[0; 20], 300),
                ROUND,
                Step::Checkpoint { writer: 0 },
                Step::Do { writer: 0, what },
                CUTS,
            ]
        }
        Mutation::DepositsNotDurableFirst => {
            let what =
                Operation::Together { to: 0, sizes: vec![900; 6], replaced: None, flags: 0, keywords: 0 };
            vec![Step::Do { writer: 0, what }, CUTS]
        }
        Mutation::NamesNotDurableFirst => {
            let made = Operation::CreateMailbox { user: 0, name: 0, special_use: 0 };
            vec![Step::Do { writer: 0, what: made }, CUTS]
        }
        // The log that is read first has flags of a message in the other one.
        Mutation::ReplayUnsorted => vec![
            deliver(1, &[1], 300),
            Step::Do {
                writer: 1,
                what: Operation::Copy { from: 1, messages: vec![0], to: 0, expunge: false },
            },
            Step::Round { writer: 1 },
            flags(0, 0, 3),
            ROUND,
            CUTS,
        ],
        // The UID that the frame of the dead one gives is given once more.
        Mutation::IntentAfterFrame => {
            let delivered = delivery(&[0], 300);
            vec![
                Step::Look { writer: 1 },
                asked(0, delivered),
                deliver(1, &[0], 400),
                Step::Round { writer: 1 },
                CUTS,
            ]
        }
        Mutation::HeadBeforeContent => vec![asked(0, delivery(&[0], 6000)), Step::Look { writer: 1 }],
        Mutation::ReleaseBeforeSync => vec![
            deliver(0, &[0], 14_000),
            deliver(0, &[0], 300),
            ROUND,
            Step::Checkpoint { writer: 0 },
            Step::Do { writer: 0, what: Operation::Expunge { mailbox: 0, messages: vec![0] } },
            Step::Collect { writer: 0, all: true, recount: false },
            CUTS,
        ],
        Mutation::CountBeforeRelease => vec![
            deliver(0, &[0, 0, 1], 300),
            Step::Do { writer: 0, what: Operation::Expunge { mailbox: 0, messages: vec![0] } },
            ROUND,
            Step::KillCollecting { writer: 0, mutation, number },
            Step::Look { writer: 1 },
        ],
    });
    steps
}

const ROUND: Step = Step::Round { writer: 0 };
const CUTS: Step = Step::Cuts { count: 12 };

fn user(name: u8) -> Step {
    Step::Do { writer: 0, what: Operation::CreateUser { name } }
}

fn delivery(to: &[u64], size: u32) -> Operation {
    Operation::Deliver { to: to.to_vec(), size, same: false, begun: false, flags: 0, keywords: 0 }
}

fn deliver(writer: u8, to: &[u64], size: u32) -> Step {
    Step::Do { writer, what: delivery(to, size) }
}

fn flags(writer: u8, message: u64, flags: u8) -> Step {
    let what = Operation::StoreFlags { mailbox: 0, messages: vec![message], how: 0, flags, keywords: 0 };
    Step::Do { writer, what }
}

fn copied(messages: &[u64], to: u64) -> Operation {
    Operation::Copy { from: 0, messages: messages.to_vec(), to, expunge: false }
}

fn copy(writer: u8, messages: &[u64], to: u64) -> Step {
    Step::Do { writer, what: copied(messages, to) }
}
