//! What the simulation has found: short runs, with several seeds and moments of death each, that failed once.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use super::run::run;
use super::step::{Operation, Step};

/// Runs the steps that `steps` makes of each moment of death, with some seeds.
fn holds(name: &str, steps: impl Fn(u32) -> Vec<Step>) {
    for at_call in (1..46).step_by(4) {
        holds_with(name, 1..=2, |seed| steps(at_call + seed));
    }
}

/// Runs the steps that `steps` makes of each seed.
fn holds_with(name: &str, seeds: RangeInclusive<u32>, steps: impl Fn(u32) -> Vec<Step>) {
    let memory = PathBuf::from("/dev/shm");
    let base = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let folder = base.join(format!("lode-found-{name}-{}", std::process::id()));
    for seed in seeds {
        let steps = steps(seed);
        if let Err(stop) = run(u64::from(seed), &steps, &folder, None).1 {
            panic!("seed {seed}: {stop:?}\n{steps:?}");
        }
    }
}

fn user(writer: u8, name: u8) -> Step {
    Step::Do { writer, what: Operation::CreateUser { name } }
}

fn delivery(to: &[u64]) -> Operation {
    Operation::Deliver { to: to.to_vec(), size: 300, same: false, begun: false, flags: 0, keywords: 0 }
}

fn mailbox(name: u8) -> Operation {
    Operation::CreateMailbox { user: 0, name, special_use: 0 }
}

#[test]
fn a_log_whose_maker_was_killed_has_a_durable_name_before_it_is_gone_on_with() {
    holds("name", |at_call| {
        vec![
            user(1, 1),
            Step::KillIn { writer: 0, what: delivery(&[0]), at_call },
            Step::Do { writer: 0, what: delivery(&[0, 0]) },
            Step::Round { writer: 0 },
        ]
    });
}

#[test]
fn a_log_that_could_not_be_synced_when_it_was_taken_up_is_not_gone_on_with() {
    holds("sync", |after| {
        vec![
            user(0, 1),
            Step::Do { writer: 0, what: delivery(&[0]) },
            Step::Kill { writer: 0 },
            Step::FailSync { after: 1 + after % 6 },
            Step::Do { writer: 0, what: delivery(&[0]) },
            Step::Do { writer: 0, what: delivery(&[0]) },
            Step::Round { writer: 0 },
        ]
    });
}

#[test]
fn what_repair_shows_of_names_is_durable() {
    holds("repair", |at_call| {
        vec![
            user(0, 0),
            Step::Do { writer: 1, what: delivery(&[0]) },
            Step::KillIn { writer: 0, what: mailbox(9), at_call },
            Step::Do { writer: 1, what: delivery(&[1, 2]) },
            Step::Round { writer: 1 },
        ]
    });
}

#[test]
fn what_repair_shows_of_names_is_durable_after_a_failed_sync() {
    holds("failed", |after| {
        vec![
            user(1, 0),
            Step::Do { writer: 1, what: delivery(&[0]) },
            Step::FailSync { after: 1 + after % 6 },
            Step::Do { writer: 0, what: mailbox(9) },
            Step::Do { writer: 1, what: delivery(&[1]) },
            Step::Round { writer: 1 },
        ]
    });
}

#[test]
fn uids_that_a_power_cut_skipped_are_not_skipped_to_again() {
    holds("skip", |at_call| {
        vec![
            user(1, 1),
            Step::Full { room: 300 * u64::from(at_call) },
            Step::Do { writer: 1, what: mailbox(6) },
            Step::Room,
            Step::Do { writer: 0, what: delivery(&[1, 2]) },
            Step::PowerCut,
            Step::Do { writer: 0, what: delivery(&[0, 1]) },
            Step::PowerCut,
            Step::Do { writer: 1, what: delivery(&[0]) },
        ]
    });
}

#[test]
fn several_messages_are_expunged_flagged_or_copied_together_or_not_at_all() {
    holds("several", |at_call| {
        let messages = vec![0, 9, 17, 25];
        vec![
            user(0, 0),
            Step::Do { writer: 0, what: delivery(&[0; 26]) },
            Step::Round { writer: 0 },
            Step::Do { writer: 0, what: mailbox(0) },
            Step::KillIn {
                writer: 0,
                what: Operation::Copy { from: 0, messages: messages.clone(), to: 1, expunge: false },
                at_call,
            },
            Step::Do {
                writer: 1,
                what: Operation::StoreFlags {
                    mailbox: 0,
                    messages: messages.clone(),
                    how: 1,
                    flags: 8,
                    keywords: 1,
                },
            },
            Step::Do { writer: 1, what: Operation::Expunge { mailbox: 0, messages } },
        ]
    });
}

#[test]
fn what_recovery_shows_of_names_after_a_death_is_durable() {
    holds("death", |at_call| {
        vec![
            user(0, 0),
            Step::Do { writer: 0, what: mailbox(9) },
            Step::Round { writer: 0 },
            Step::Close { writer: 0 },
            // Places of death that others do not try, some of them before the frame is synced.
            Step::KillIn {
                writer: 0,
                what: Operation::DeleteMailbox { user: 0, mailbox: 1 },
                at_call: 10 + at_call % 8,
            },
        ]
    });
}

#[test]
fn a_copy_of_what_another_wrote_lasts_though_the_clock_has_jumped_by_days() {
    holds("clock", |_| {
        vec![
            user(1, 0),
            Step::Do { writer: 0, what: delivery(&[0]) },
            Step::Clock { seconds: 275_504 },
            Step::Do {
                writer: 1,
                what: Operation::Copy { from: 0, messages: vec![0], to: 0, expunge: false },
            },
            Step::Round { writer: 1 },
        ]
    });
}

#[test]
fn what_a_killed_writer_wrote_before_the_clock_jumped_is_durable_when_its_number_is_taken_up() {
    holds("jump", |at_call| {
        vec![
            user(0, 1),
            Step::Do { writer: 2, what: delivery(&[0]) },
            Step::Clock { seconds: 275_504 },
            Step::KillIn { writer: 2, what: mailbox(9), at_call },
            Step::Do {
                writer: 2,
                what: Operation::Copy { from: 0, messages: vec![0], to: 0, expunge: false },
            },
            Step::Round { writer: 2 },
        ]
    });
}

#[test]
fn a_cell_that_came_to_the_disk_without_its_header_is_not_met_again_after_the_next_power_cut() {
    holds("beyond", |number| {
        let lost = Step::Do { writer: 0, what: delivery(&[0]) };
        let again = [lost.clone(), Step::PowerCut, lost, Step::Cuts { count: 4 + number % 6 }];
        let mut steps = vec![user(0, 0), Step::Round { writer: 0 }];
        (0..3).for_each(|_| steps.extend(again.clone()));
        steps
    });
}

fn copy(writer: u8) -> Step {
    Step::Do { writer, what: Operation::Copy { from: 0, messages: vec![0], to: 0, expunge: false } }
}

/// A writer's sync fails, and its process ends; `copier` copies its message.
fn sync_fails_and_the_message_is_copied(maker: u8, copier: u8) -> impl Fn(u32) -> Vec<Step> {
    move |_| {
        let deliver = Step::Do { writer: 1, what: delivery(&[0]) };
        let [fail, cuts] = [Step::FailSync { after: 1 }, Step::Cuts { count: 4 }];
        let (round, copied) = (Step::Round { writer: 1 }, Step::Round { writer: copier });
        vec![user(maker, 0), deliver, fail, round, copy(copier), copied, cuts]
    }
}

#[test]
fn what_another_process_failed_to_sync_is_written_again_before_it_is_acknowledged() {
    holds("others", |number| {
        let flags =
            Operation::StoreFlags { mailbox: 0, messages: vec![0, 1, 2], how: 0, flags: 5, keywords: 1 };
        vec![
            user(1, 0),
            user(0, 1),
            Step::Do { writer: 1, what: delivery(&[0, 1, 2]) },
            Step::Round { writer: 0 },
            Step::FailSync { after: 2 + 2 * (number % 4) },
            Step::Do { writer: 0, what: flags },
            Step::Collect { writer: 0, all: true, recount: false },
            Step::Round { writer: 1 },
            Step::Do { writer: 1, what: delivery(&[0]) },
            Step::Round { writer: 1 },
            Step::Cuts { count: 4 },
        ]
    });
}

#[test]
fn what_a_backup_failed_to_sync_is_not_declared_to_be_on_the_disk() {
    holds("backup", |number| {
        vec![
            user(0, 0),
            Step::Do { writer: 0, what: delivery(&[0]) },
            Step::Round { writer: 0 },
            Step::FailSync { after: 2 + 2 * (number % 4) },
            Step::BackUp { writer: 2, meanwhile: Vec::new() },
            Step::Round { writer: 0 },
            Step::Checkpoint { writer: 0 },
            Step::Close { writer: 0 },
            Step::Close { writer: 2 },
            Step::Cuts { count: 4 },
        ]
    });
}

#[test]
fn usage_that_a_failed_sync_has_dropped_does_not_count_after_the_store_was_closed() {
    holds("usage", |number| {
        let [deliver, checkpoint] =
            [Step::Do { writer: 0, what: delivery(&[0]) }, Step::Checkpoint { writer: 0 }];
        let [look, close] = [Step::Look { writer: 0 }, Step::Close { writer: 0 }];
        let mut steps = vec![user(0, 0), deliver.clone(), look.clone(), checkpoint.clone(), deliver];
        // The sync of the whole disk fails that comes next: that of the checkpoint.
        steps.extend([Step::FailSync { after: 40 + number / 2 * 2 }, checkpoint, close.clone()]);
        // Who opens the store next recovers it, and leaves it clean: a power cut from then on raises no epoch.
        steps.extend([look, close, Step::Cuts { count: 4 }]);
        steps
    });
}

#[test]
fn a_sync_that_fails_while_somebody_looks_is_no_difference() {
    holds("look", |number| {
        vec![
            user(0, 0),
            Step::FailSync { after: 1 },
            Step::Do { writer: 0, what: Operation::RenameMailbox { user: 0, from: 0, to: number as u8 } },
            Step::FailSync { after: 1 + number % 6 },
            Step::Collect { writer: 1, all: true, recount: false },
        ]
    });
}

#[test]
fn a_copy_lasts_of_what_the_predecessor_could_not_sync() {
    holds("predecessor", sync_fails_and_the_message_is_copied(0, 1));
}

#[test]
fn a_copy_lasts_of_what_another_could_not_sync() {
    holds("another", sync_fails_and_the_message_is_copied(0, 0));
}

#[test]
fn a_copy_lasts_of_what_was_not_synced_when_all_had_left_the_store() {
    holds("all", sync_fails_and_the_message_is_copied(1, 1));
}

#[test]
fn a_list_says_nothing_after_a_power_cut_that_a_backup_does_not_say() {
    holds("lists", |number| {
        let used = |use_of: u32| Operation::SpecialUse { user: 0, mailbox: 0, special_use: use_of as u8 };
        let mut steps = vec![user(0, 0), Step::Round { writer: 0 }];
        for use_of in number..number + 2 {
            let subscribed = Operation::Subscribe { user: 0, name: use_of as u8, subscribed: true };
            steps.push(Step::Do { writer: 0, what: used(use_of % 6) });
            steps.push(Step::Do { writer: 0, what: subscribed });
            steps.push(Step::PowerCut);
            steps.push(Step::BackUp { writer: 0, meanwhile: Vec::new() });
        }
        steps
    });
}

#[test]
fn a_backup_of_a_log_that_ends_in_zeros_and_has_something_to_give_up_is_whole() {
    holds("zeros", |number| {
        let round = Step::Round { writer: 0 };
        let mut steps = vec![user(0, 0), Step::Do { writer: 0, what: delivery(&[0, 0]) }, round.clone()];
        // What was made ahead in its log stays.
        steps.push(Step::Kill { writer: 0 });
        steps.push(Step::Clock { seconds: 86_400 * i64::from(1 + number % 3) });
        steps.push(Step::Do { writer: 0, what: delivery(&[0]) });
        steps.extend([
            round.clone(),
            Step::Checkpoint { writer: 0 },
            Step::BackUp { writer: 0, meanwhile: Vec::new() },
        ]);
        let messages = vec![0, 1];
        steps.push(Step::Do { writer: 0, what: Operation::Expunge { mailbox: 0, messages } });
        steps.extend([round, Step::Collect { writer: 0, all: true, recount: true }]);
        steps.extend([
            Step::BackUp { writer: 0, meanwhile: Vec::new() },
            Step::BackUp { writer: 0, meanwhile: Vec::new() },
        ]);
        steps
    });
}

#[test]
fn a_tombstone_that_was_dropped_may_be_there_again_when_its_mailbox_is_made_from_all_logs() {
    holds("tombstone", |_| {
        let [round, checkpoint] = [Step::Round { writer: 0 }, Step::Checkpoint { writer: 0 }];
        let moved = Operation::Copy { from: 0, messages: vec![0], to: 1, expunge: true };
        let mut steps = vec![user(0, 0), Step::Do { writer: 0, what: mailbox(0) }];
        steps.extend([Step::Do { writer: 0, what: delivery(&[0]) }, round.clone()]);
        // The message stays in the other mailbox: it is not given up, so a rebuild makes the tombstone.
        steps.extend([Step::Do { writer: 0, what: moved }, round, checkpoint.clone()]);
        steps.push(Step::Collect { writer: 0, all: true, recount: false });
        steps.extend([Step::Compact { writer: 0 }, checkpoint, Step::PowerCut]);
        // Some of the cuts leave a header that counts a cell, and not the cell.
        steps.extend([Step::Do { writer: 0, what: delivery(&[0]) }, Step::Cuts { count: 30 }]);
        steps
    });
}

#[test]
fn a_user_who_is_gone_leaves_the_name_whatever_came_to_the_disk_of_it() {
    holds("gone", |_| {
        let mut steps = vec![user(0, 0), Step::Do { writer: 0, what: delivery(&[0]) }];
        steps.extend([Step::Round { writer: 0 }, Step::Checkpoint { writer: 0 }]);
        steps.push(Step::Do { writer: 0, what: Operation::DeleteUser { user: 0 } });
        // Some of the cuts leave the row that says so, and the folder where it was.
        steps.extend([Step::Cuts { count: 30 }, Step::PowerCut, user(0, 0), Step::Look { writer: 0 }]);
        steps
    });
}

#[test]
fn uids_are_skipped_once_though_there_is_no_room_to_log_it() {
    holds("raised", |number| {
        let made = |user, name| Operation::CreateMailbox { user, name, special_use: 0 };
        let message = |to: [u64; 2], size, keywords| {
            let to = to.to_vec();
            Operation::Deliver { to, size, same: false, begun: false, flags: 0, keywords }
        };
        let mut steps = vec![user(0, 0), user(0, 1), Step::Do { writer: 1, what: made(1, 1) }];
        steps.push(Step::Do { writer: 0, what: made(0, 5) });
        steps.push(Step::Do { writer: 0, what: message([4, 1], 444, 16) });
        // There is room for what says that there is one more user, and for little else.
        let room = if number % 2 == 0 { 300 + 8 * number } else { 390 + number };
        steps.extend([Step::Full { room: u64::from(room) }, user(0, 2)]);
        steps.extend([Step::Do { writer: 0, what: message([5, 2], 173, 2) }, Step::Room]);
        steps.push(Step::Do { writer: 0, what: message([1, 5], 3753, 0) });
        steps.extend([Step::Cuts { count: 40 }, Step::Look { writer: 1 }]);
        steps
    });
}

#[test]
fn a_day_that_comes_once_more_after_it_was_closed_has_new_logs() {
    holds("closed", |number| {
        let said = |name, value| Operation::Attribute { user: 0, mailbox: 0, name, value };
        let [round, checkpoint] = [Step::Round { writer: 0 }, Step::Checkpoint { writer: 0 }];
        let mut steps = vec![user(0, 0)];
        // Values that can be compressed, so that the journal is.
        steps.extend((0..4).map(|name| Step::Do { writer: 0, what: said(name, 251) }));
        steps.extend([Step::Do { writer: 0, what: delivery(&[0]) }, round.clone(), checkpoint.clone()]);
        steps.push(Step::Clock { seconds: 86_400 });
        steps.push(Step::Do { writer: 0, what: said(2, number as u8) });
        steps.extend([round.clone(), checkpoint]);
        steps.push(Step::Collect { writer: 0, all: true, recount: false });
        steps.extend([Step::Close { writer: 0 }, Step::Clock { seconds: -86_400 }]);
        for value in 200..202 {
            steps.push(Step::Do { writer: 0, what: said(2, value) });
            steps.push(Step::Do { writer: 0, what: delivery(&[0]) });
            steps.extend([round.clone(), Step::Cuts { count: 4 }, Step::Close { writer: 0 }]);
        }
        steps
    });
}

#[test]
fn a_backup_does_not_count_what_a_sync_of_another_process_has_dropped() {
    holds("dropped", |number| {
        let mut steps = vec![user(0, 0), Step::Do { writer: 1, what: delivery(&[0, 0]) }];
        steps.extend((0..1 + number / 4).map(|_| Step::Do { writer: 0, what: delivery(&[0]) }));
        steps.extend([Step::Round { writer: 0 }, Step::Round { writer: 1 }]);
        // The sync of the whole disk fails that comes next: that of a checkpoint, when some logs are copied.
        let mut meanwhile = vec![Step::Round { writer: 0 }; 1 + number as usize % 4];
        meanwhile.extend([Step::FailSync { after: 40 }, Step::Checkpoint { writer: 1 }]);
        steps.push(Step::BackUp { writer: 2, meanwhile });
        steps.extend([Step::BackUp { writer: 2, meanwhile: Vec::new() }, Step::Cuts { count: 4 }]);
        steps
    });
}

#[test]
fn a_backup_is_of_the_moment_at_which_it_was_begun_whatever_others_do_meanwhile() {
    holds("moment", |number| {
        let flags = Operation::StoreFlags { mailbox: 0, messages: vec![0, 1], how: 0, flags: 5, keywords: 1 };
        let expunge = Operation::Expunge { mailbox: 0, messages: vec![u64::from(number)] };
        let moved = Operation::Copy { from: 0, messages: vec![0], to: 1, expunge: true };
        let mut meanwhile: Vec<Step> = [flags, delivery(&[1]), moved, expunge, mailbox(2)]
            .into_iter()
            .map(|what| Step::Do { writer: 1, what })
            .collect();
        meanwhile.rotate_left(number as usize % 5);
        let mut steps = vec![user(0, 0), Step::Do { writer: 0, what: mailbox(1) }];
        steps.extend([Step::Do { writer: 0, what: delivery(&[0, 0, 1]) }, Step::Round { writer: 0 }]);
        steps.push(Step::BackUp { writer: 2, meanwhile: meanwhile.clone() });
        steps.extend([Step::Look { writer: 0 }, Step::BackUp { writer: 2, meanwhile }]);
        steps
    });
}

#[test]
fn a_bucket_into_which_a_message_is_on_its_way_for_days_is_not_given_back() {
    holds("days", |number| {
        let big = Step::Do { writer: 0, what: Operation::Begin { size: 5440 } };
        let ended =
            Operation::Deliver { to: vec![0], size: 1, same: false, begun: true, flags: 0, keywords: 0 };
        let collect = Step::Collect { writer: (number % 2) as u8, all: true, recount: true };
        let mut steps = vec![user(1, 0), Step::Do { writer: 0, what: delivery(&[0]) }];
        // The checkpoints declare all that is in the bucket to be in the views.
        steps.extend([Step::Round { writer: 0 }, big, Step::Checkpoint { writer: 0 }]);
        steps.push(Step::Do { writer: 1, what: Operation::Expunge { mailbox: 0, messages: vec![0] } });
        steps
            .extend([Step::Round { writer: 1 }, Step::Clock { seconds: 86_400 * i64::from(2 + number % 4) }]);
        steps.extend([collect.clone(), collect.clone(), Step::Do { writer: 0, what: ended }]);
        steps.extend([Step::Round { writer: 0 }, Step::Look { writer: 1 }, collect]);
        steps.extend([Step::Checkpoint { writer: 0 }, Step::Cuts { count: 4 }]);
        steps
    });
}

#[test]
fn a_copy_lasts_of_what_was_written_on_a_day_that_came_once_more() {
    holds("earlier", |number| {
        let from_last = |of: u64| Operation::Copy { from: 0, messages: vec![of], to: 0, expunge: false };
        let mut steps = vec![user(1, 0), Step::Do { writer: 1, what: delivery(&[0]) }];
        steps.extend([Step::Round { writer: 1 }, Step::Checkpoint { writer: 1 }]);
        steps.push(Step::Clock { seconds: -86_400 * i64::from(1 + number % 3) });
        // Who copies knows what the checkpoint of the later day says.
        steps.push(Step::Do { writer: 2, what: from_last(0) });
        steps.extend([Step::Kill { writer: 1 }, Step::Do { writer: 1, what: delivery(&[0]) }]);
        steps.extend([Step::Do { writer: 2, what: from_last(2) }, Step::Round { writer: 2 }]);
        steps.extend([Step::Cuts { count: 8 }, Step::Look { writer: 2 }]);
        steps
    });
}

#[test]
fn a_deleted_mailbox_of_which_the_cells_alone_are_left_misses_no_annotations() {
    holds("alone", |number| {
        let [made, deleted] = [mailbox(1), Operation::DeleteMailbox { user: 0, mailbox: 1 }];
        let noted = |value| Operation::Annotate {
            reader: 0,
            mailbox: 1,
            messages: vec![0],
            entry: 1,
            is_shared: number % 2 == 0,
            value,
        };
        let collect = Step::Collect { writer: 0, all: true, recount: true };
        let mut steps = vec![user(0, 0)];
        steps.extend([made, delivery(&[1]), noted(200)].map(|what| Step::Do { writer: 0, what }));
        steps.extend([Step::Round { writer: 0 }, Step::Do { writer: 0, what: deleted }]);
        // Power cuts come while the folder goes.
        steps.extend([collect.clone(), Step::Cuts { count: 20 }, Step::PowerCut, collect]);
        steps
    });
}

#[test]
fn space_of_which_a_power_cut_left_the_name_alone_is_not_relied_upon() {
    let rename = Operation::RenameMailbox { user: 0, from: 0, to: 1 };
    let subscribed = Operation::Subscribe { user: 0, name: 2, subscribed: true };
    let mut steps = vec![user(1, 0), Step::Do { writer: 1, what: subscribed }];
    steps.extend([Step::Round { writer: 1 }, Step::Round { writer: 1 }, Step::PowerCut]);
    steps.extend([Step::Full { room: 4000 }, Step::Do { writer: 1, what: rename }]);
    // What the disk makes of the power cut is the seed's: with some of these the name is there, and not the space.
    holds_with("hollow", 17..=30, |_| steps.clone());
}

#[test]
fn a_bucket_that_was_torn_while_it_was_written_anew_is_no_damaged_log() {
    let collect = Step::Collect { writer: 0, all: true, recount: true };
    let long = || {
        let what =
            Operation::Deliver { to: vec![0], size: 3000, same: false, begun: false, flags: 0, keywords: 3 };
        Step::Do { writer: 0, what }
    };
    let mut steps = vec![user(0, 0)];
    steps.extend([long(), long(), long(), long()]);
    steps.push(Step::Do { writer: 0, what: Operation::Expunge { mailbox: 0, messages: vec![0] } });
    steps.extend([Step::Round { writer: 0 }, Step::Clock { seconds: 3 * 86_400 }]);
    steps.extend([long(), Step::Round { writer: 0 }]);
    steps.extend([Step::Checkpoint { writer: 0 }, Step::Kill { writer: 0 }, Step::Round { writer: 0 }]);
    // Power cuts come before and behind each of its syncs; what is torn by them is the seed's.
    steps.extend([collect.clone(), Step::Cuts { count: 4 }, collect]);
    holds_with("torn", 24..=30, |_| steps.clone());
}

#[test]
fn what_two_power_cuts_left_in_the_cells_alone_is_in_the_logs_after_the_second() {
    let copy = || Operation::Copy { from: 0, messages: vec![0], to: 0, expunge: false };
    let mut steps = vec![user(0, 0), Step::Do { writer: 0, what: delivery(&[0]) }];
    steps.extend([Step::Round { writer: 0 }, Step::Checkpoint { writer: 0 }]);
    // Seen by others, and never acknowledged.
    steps.extend([Step::Do { writer: 0, what: copy() }, Step::Look { writer: 1 }]);
    steps.extend([Step::PowerCut, Step::Look { writer: 1 }, Step::PowerCut, Step::Look { writer: 1 }]);
    // A restored store is made of the logs.
    steps.push(Step::BackUp { writer: 1, meanwhile: vec![] });
    holds_with("twice", 1..=12, |_| steps.clone());
}

#[test]
fn a_copy_of_what_another_wrote_does_not_lie_behind_what_a_failed_sync_has_dropped() {
    let mut steps = vec![user(1, 0), user(1, 1), Step::PowerCut];
    let unsynced = |to: &[u64], size| Operation::Deliver {
        to: to.to_vec(),
        size,
        same: false,
        begun: false,
        flags: 0,
        keywords: 0,
    };
    // Neither is acknowledged, and the second is copied.
    steps.extend([unsynced(&[0], 876), unsynced(&[0, 1, 1], 174)].map(|what| Step::Do { writer: 1, what }));
    let flags = Operation::StoreFlags { mailbox: 0, messages: vec![0], how: 2, flags: 28, keywords: 0 };
    let meanwhile =
        vec![Step::Round { writer: 2 }, Step::FailSync { after: 2 }, Step::Do { writer: 2, what: flags }];
    let copy = Operation::Copy { from: 1, messages: vec![0], to: 1, expunge: false };
    // At the end writer 0 has its rounds before writer 1, and power cuts come between.
    steps.extend([Step::BackUp { writer: 0, meanwhile }, Step::Do { writer: 0, what: copy }]);
    holds_with("hole", 1..=4, |_| steps.clone());
}

#[test]
fn a_restored_mailbox_has_no_message_of_a_day_of_which_a_power_cut_left_no_other() {
    let rename = Operation::RenameMailbox { user: 0, from: 0, to: 1 };
    let mut steps = vec![user(0, 0)];
    // The messages are not acknowledged; that they were moved lasts.
    steps.push(Step::Do { writer: 0, what: delivery(&[0, 0]) });
    steps.extend([Step::Do { writer: 1, what: rename }, Step::PowerCut]);
    steps.push(Step::BackUp { writer: 1, meanwhile: vec![Step::Round { writer: 0 }] });
    holds_with("day", 1..=12, |_| steps.clone());
}
