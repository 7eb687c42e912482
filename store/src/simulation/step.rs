//! What a run does, as a list that is made from its seed before anything is done. A step names users, mailboxes and messages by numbers that
//! are taken modulo what is there when its turn comes, so a list from which steps were taken is still a run.

use super::random::Random;
use crate::disk::Mutation;

/// One step of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A writer does something.
    Do { writer: u8, what: Operation },
    /// A writer does something and is killed on the way, with its locks held, when it calls the disk for the so-manieth time.
    KillIn { writer: u8, what: Operation, at_call: u32 },
    /// A writer does something and is killed where it is asked for the so-manieth time whether the store does this wrong.
    KillAsked { writer: u8, what: Operation, mutation: Mutation, number: u32 },
    /// A writer is killed so while it gives back space.
    KillCollecting { writer: u8, mutation: Mutation, number: u32 },
    /// A writer is killed while it does nothing.
    Kill { writer: u8 },
    /// A writer makes durable what it did so far, and is told so.
    Round { writer: u8 },
    /// A writer checkpoints.
    Checkpoint { writer: u8 },
    /// A writer closes the store.
    Close { writer: u8 },
    /// The clock is set on, or back.
    Clock { seconds: i64 },
    /// The disk has room for so many octets more.
    Full { room: u64 },
    /// The disk has room again.
    Room,
    /// The so-manieth sync of a file from now fails; if that is an even one, the next sync of the whole disk does, too.
    FailSync { after: u32 },
    /// The so-manieth sync of a folder from now fails.
    FailFolderSync { after: u32 },
    /// So many power cuts that could come now are looked at; the run goes on as if there was none.
    Cuts { count: u32 },
    /// The machine loses power, all writers are gone, and the run goes on with what is left.
    PowerCut,
    /// A writer gives back the space of what nobody needs, or only of what it expunged itself.
    Collect { writer: u8, all: bool, recount: bool },
    /// A writer has journals of ended days make room for what is still so.
    Prune { writer: u8 },
    /// A writer selects a mailbox, as a session does, and relies on the places of its cells until it selects another or goes.
    Select { writer: u8, mailbox: u64 },
    /// A writer rewrites all mailboxes that have a tombstone to lose.
    Compact { writer: u8 },
    /// A writer is killed while it does that, at the so-manieth call of the disk.
    KillCompacting { writer: u8, at_call: u32 },
    /// A writer takes in a message for mailboxes; the user of the first one has as much as is allowed.
    OverQuota { writer: u8, to: Vec<u64>, size: u32 },
    /// A writer does something that adds to what a user has, who has as much as is allowed.
    DoOverQuota { writer: u8, what: Operation },
    /// A writer backs the store up, while others do something, and the backup is restored.
    BackUp { writer: u8, meanwhile: Vec<Step> },
    /// A writer's view is compared with the model.
    Look { writer: u8 },
}

/// What a writer does. Numbers of users, mailboxes and messages are to be taken modulo what is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// Begins to take in a message that it delivers later.
    Begin {
        size: u32,
    },
    /// Gives up the message that was begun first.
    Drop,
    /// Delivers a message, the one begun first if `begun`.
    Deliver {
        to: Vec<u64>,
        size: u32,
        same: bool,
        begun: bool,
        flags: u8,
        keywords: u8,
    },
    /// Puts several messages into a mailbox together, or one in the place of the message that `replaced` names by mailbox and number.
    Together {
        to: u64,
        sizes: Vec<u32>,
        replaced: Option<(u64, u64)>,
        flags: u8,
        keywords: u8,
    },
    Copy {
        from: u64,
        messages: Vec<u64>,
        to: u64,
        expunge: bool,
    },
    StoreFlags {
        mailbox: u64,
        messages: Vec<u64>,
        how: u8,
        flags: u8,
        keywords: u8,
    },
    Expunge {
        mailbox: u64,
        messages: Vec<u64>,
    },
    /// Brings messages back that were expunged.
    Undelete {
        from: u64,
        messages: Vec<u64>,
        to: u64,
    },
    CreateUser {
        name: u8,
    },
    DeleteUser {
        user: u64,
    },
    CreateMailbox {
        user: u64,
        name: u8,
        special_use: u8,
    },
    RenameMailbox {
        user: u64,
        from: u64,
        to: u8,
    },
    DeleteMailbox {
        user: u64,
        mailbox: u64,
    },
    Subscribe {
        user: u64,
        name: u8,
        subscribed: bool,
    },
    SpecialUse {
        user: u64,
        mailbox: u64,
        special_use: u8,
    },
    /// Something is said of a mailbox, or of the user.
    Attribute {
        user: u64,
        mailbox: u64,
        name: u8,
        value: u8,
    },
    /// Somebody annotates messages, for all to see or not, or takes an annotation away.
    Annotate {
        reader: u64,
        mailbox: u64,
        messages: Vec<u64>,
        entry: u8,
        is_shared: bool,
        value: u8,
    },
    /// A user has seen messages of another one's mailbox, or has not.
    MarkSeen {
        reader: u64,
        mailbox: u64,
        messages: Vec<u64>,
        seen: bool,
    },
}

/// Writers that a run has at most.
pub(super) const WRITERS: u8 = 3;
/// Names of users that there are to choose from.
pub(super) const USER_NAMES: u8 = 4;
/// Keywords that there are to choose from, as bits of a step's number.
pub(super) const KEYWORDS: [&str; 6] = ["$a", "$b", "$c", "$Forwarded", "$Junk", "work"];
/// Names of attributes that there are to choose from.
pub(super) const ATTRIBUTE_NAMES: [&str; 4] =
    ["acl/anyone", "acl/anyone", "meta/private/comment", "meta/shared/comment"];
/// Names of entries of annotations that there are to choose from.
pub(super) const ENTRIES: [&str; 3] = ["/comment", "/altsubject", "/1/comment"];
/// Names of mailboxes that there are to choose from.
pub(super) const MAILBOX_NAMES: [&str; 10] =
    ["a", "b", "c", "a/x", "a/y", "b/x", "a/x/z", "INBOX/in", "Work", "Work/2026"];

/// How likely each kind of step is in one run.
struct Weights {
    steps: [u32; 19],
    operations: [u32; 17],
}

impl Weights {
    /// Each run has a temper of its own: some kinds are left out, others are frequent.
    fn of(random: &mut Random) -> Weights {
        let mut vary = |usual: u32| match random.below(6) {
            0 => 0,
            1 => usual * 4,
            _ => usual,
        };
        // Do, KillIn, Kill, Round, Checkpoint, Close, Clock, Full, Room, FailSync, PowerCut, Look, Collect, Prune, Select,
        // Compact, KillCompacting, BackUp, OverQuota
        let mut steps = [200, 8, 3, 60, 6, 5, 4, 2, 0, 2, 3, 10, 8, 2, 6, 6, 2, 3, 4].map(&mut vary);
        steps[0] = 200;
        steps[3] = steps[3].max(15);
        // Begin, Drop, Deliver, Copy, Move, StoreFlags, Expunge, CreateUser, DeleteUser, CreateMailbox, Rename, Delete, Together,
        // names, attributes, seen, Undelete
        let mut operations = [6, 2, 60, 16, 12, 24, 14, 3, 2, 10, 6, 5, 12, 8, 8, 12, 8].map(&mut vary);
        operations[2] = operations[2].max(20);
        Weights { steps, operations }
    }
}

/// The steps of the run of `seed`: some 40 to 80.
pub(super) fn steps_of(seed: u64) -> Vec<Step> {
    let random = &mut Random::new(seed);
    let weights = Weights::of(random);
    let writers = random.one_of(&[1, 2, 2, 3]).min(WRITERS);
    let mut steps = Vec::new();
    for name in 0..=random.below(2) as u8 {
        let writer = random.below(u64::from(writers)) as u8;
        steps.push(Step::Do { writer, what: Operation::CreateUser { name } });
    }
    let count = 36 + random.below(40);
    while (steps.len() as u64) < count {
        let step = step(random, &weights, writers);
        let full = matches!(step, Step::Full { .. });
        steps.push(step);
        if full {
            for _ in 0..1 + random.below(6) {
                let writer = random.below(u64::from(writers)) as u8;
                steps.push(Step::Do { writer, what: operation(random, &weights) });
            }
            steps.push(Step::Room);
        }
    }
    steps
}

fn step(random: &mut Random, weights: &Weights, writers: u8) -> Step {
    let writer = random.below(u64::from(writers)) as u8;
    match random.weighted(&weights.steps) {
        0 => Step::Do { writer, what: operation(random, weights) },
        1 => {
            let at_call = 1 + random.below(24) as u32;
            Step::KillIn { writer, what: operation(random, weights), at_call }
        }
        2 => Step::Kill { writer },
        3 => Step::Round { writer },
        4 => Step::Checkpoint { writer },
        5 => Step::Close { writer },
        6 => Step::Clock { seconds: clock(random) },
        7 => Step::Full { room: random.below(8000) },
        9 if random.once_in(3) => Step::FailFolderSync { after: 1 + random.below(6) as u32 },
        9 => Step::FailSync { after: 1 + random.below(4) as u32 },
        10 => Step::PowerCut,
        12 => Step::Collect { writer, all: !random.once_in(3), recount: random.once_in(3) },
        13 => Step::Prune { writer },
        14 => Step::Select { writer, mailbox: random.next() },
        15 => Step::Compact { writer },
        16 => Step::KillCompacting { writer, at_call: 1 + random.below(24) as u32 },
        17 => Step::BackUp { writer, meanwhile: meanwhile(random, weights, writer) },
        18 if random.once_in(2) => Step::DoOverQuota { writer, what: adding(random) },
        18 => {
            let to = (0..1 + random.below(4)).map(|_| random.next()).collect();
            Step::OverQuota { writer, to, size: size(random) }
        }
        _ => Step::Look { writer },
    }
}

/// Something that a user who has as much as is allowed may not do.
fn adding(random: &mut Random) -> Operation {
    match random.below(4) {
        0 => Operation::Together {
            to: random.next(),
            sizes: (0..1 + random.below(3)).map(|_| size(random)).collect(),
            replaced: None,
            flags: 0,
            keywords: 0,
        },
        1 => Operation::CreateMailbox { user: random.next(), name: random.next() as u8, special_use: 0 },
        kind => Operation::Copy {
            from: random.next(),
            messages: (0..1 + random.below(4)).map(|_| random.next()).collect(),
            to: random.next(),
            expunge: kind == 3,
        },
    }
}

/// What another writer does during a backup, step by step.
fn meanwhile(random: &mut Random, weights: &Weights, backing_up: u8) -> Vec<Step> {
    if random.once_in(3) {
        return Vec::new();
    }
    let writer = (backing_up + 1 + random.below(u64::from(WRITERS) - 1) as u8) % WRITERS;
    let step = |random: &mut Random| match random.below(8) {
        0 => Step::Checkpoint { writer },
        1 | 2 => Step::Round { writer },
        3 if random.once_in(4) => Step::FailSync { after: 1 + random.below(4) as u32 },
        _ => Step::Do { writer, what: operation(random, weights) },
    };
    (0..1 + random.below(5)).map(|_| step(random)).collect()
}

fn clock(random: &mut Random) -> i64 {
    const DAY: u64 = 86_400;
    match random.below(5) {
        0 => -(random.below(2 * DAY) as i64),
        1 => DAY as i64,
        2 => random.below(4 * DAY) as i64,
        _ => 1 + random.below(DAY / 2) as i64,
    }
}

fn operation(random: &mut Random, weights: &Weights) -> Operation {
    let some = |random: &mut Random, most: u64| -> Vec<u64> {
        let count = if random.once_in(8) { 1 + random.below(most) } else { 1 + random.below(3) };
        (0..count).map(|_| random.next()).collect()
    };
    let [flags, keywords] = [random.below(32) as u8, (random.next() & random.next()) as u8 & 0x3f];
    match random.weighted(&weights.operations) {
        0 => Operation::Begin { size: size(random) },
        1 => Operation::Drop,
        2 => Operation::Deliver {
            to: some(random, 50),
            size: size(random),
            same: random.once_in(5),
            begun: random.once_in(2),
            flags: if random.once_in(3) { flags } else { 0 },
            keywords: if random.once_in(4) { keywords } else { 0 },
        },
        kind @ 3..=4 => Operation::Copy {
            from: random.next(),
            messages: some(random, 20),
            to: random.next(),
            expunge: kind == 4,
        },
        5 => Operation::StoreFlags {
            mailbox: random.next(),
            messages: some(random, 20),
            how: random.below(3) as u8,
            flags,
            keywords,
        },
        6 => Operation::Expunge { mailbox: random.next(), messages: some(random, 20) },
        7 => Operation::CreateUser { name: random.below(u64::from(USER_NAMES)) as u8 },
        8 => Operation::DeleteUser { user: random.next() },
        9 => Operation::CreateMailbox {
            user: random.next(),
            name: random.next() as u8,
            special_use: random.below(24) as u8,
        },
        10 => Operation::RenameMailbox { user: random.next(), from: random.next(), to: random.next() as u8 },
        16 => Operation::Undelete { from: random.next(), messages: some(random, 20), to: random.next() },
        11 => Operation::DeleteMailbox { user: random.next(), mailbox: random.next() },
        12 => {
            let replaced = random.once_in(2).then(|| (random.next(), random.next()));
            let count = if replaced.is_some() { 1 } else { 1 + random.below(5) };
            Operation::Together {
                to: random.next(),
                sizes: (0..count).map(|_| size(random)).collect(),
                replaced,
                flags: if random.once_in(3) { flags } else { 0 },
                keywords: if random.once_in(4) { keywords } else { 0 },
            }
        }
        14 => Operation::Attribute {
            user: random.next(),
            mailbox: random.next(),
            name: random.next() as u8,
            value: random.next() as u8,
        },
        15 => {
            let (reader, mailbox) = (random.next(), random.next());
            let (messages, seen) = (some(random, 20), !random.once_in(3));
            let [value, entry, kind, ..] = reader.to_be_bytes();
            if kind.is_multiple_of(2) {
                Operation::MarkSeen { reader, mailbox, messages, seen }
            } else {
                Operation::Annotate { reader, mailbox, messages, entry, is_shared: seen, value }
            }
        }
        _ => {
            if random.once_in(2) {
                let (user, name) = (random.next(), random.next() as u8);
                Operation::Subscribe { user, name, subscribed: !random.once_in(3) }
            } else {
                let (user, mailbox) = (random.next(), random.next());
                Operation::SpecialUse { user, mailbox, special_use: random.below(12) as u8 }
            }
        }
    }
}

/// Octets of a message: mostly few, some beyond what is gathered in memory on the simulated disk.
fn size(random: &mut Random) -> u32 {
    match random.below(12) {
        0 => 0,
        1 => random.below(100) as u32,
        2..=3 => 2000 + random.below(5000) as u32,
        4 => 400 + random.below(2000) as u32,
        _ => 100 + random.below(400) as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_one_list_of_steps() {
        assert_eq!(steps_of(7), steps_of(7));
        assert_ne!(steps_of(7), steps_of(8));
    }

    #[test]
    fn seeds_together_have_every_kind_of_step() {
        let all: Vec<Step> = (0..200).flat_map(steps_of).collect();
        let has = |wanted: &dyn Fn(&Step) -> bool| assert!(all.iter().any(wanted));
        has(&|step| matches!(step, Step::KillIn { .. }));
        has(&|step| matches!(step, Step::Kill { .. }));
        has(&|step| matches!(step, Step::Close { .. }));
        has(&|step| matches!(step, Step::Clock { seconds: ..0 }));
        has(&|step| matches!(step, Step::Full { .. }));
        has(&|step| matches!(step, Step::FailSync { .. }));
        has(&|step| matches!(step, Step::FailFolderSync { .. }));
        has(&|step| matches!(step, Step::PowerCut));
        has(&|step| matches!(step, Step::Select { .. }));
        has(&|step| matches!(step, Step::Compact { .. }));
        has(&|step| matches!(step, Step::KillCompacting { .. }));
        has(&|step| matches!(step, Step::BackUp { meanwhile, .. } if meanwhile.is_empty()));
        has(&|step| matches!(step, Step::BackUp { meanwhile, .. } if meanwhile.len() > 2));
        has(&|step| matches!(step, Step::OverQuota { .. }));
        has(&|step| matches!(step, Step::DoOverQuota { what: Operation::Copy { expunge: true, .. }, .. }));
        has(&|step| matches!(step, Step::DoOverQuota { what: Operation::CreateMailbox { .. }, .. }));
        has(&|step| matches!(step, Step::Do { what: Operation::Undelete { .. }, .. }));
        has(&|step| matches!(step, Step::Do { what: Operation::Copy { expunge: true, .. }, .. }));
        has(&|step| matches!(step, Step::Do { what: Operation::Deliver { to, .. }, .. } if to.len() > 20));
        has(&|step| matches!(step, Step::Do { what: Operation::Attribute { .. }, .. }));
        has(&|step| matches!(step, Step::Do { what: Operation::MarkSeen { .. }, .. }));
        has(&|step| matches!(step, Step::Do { what: Operation::Annotate { .. }, .. }));
        has(&|step| matches!(step, Step::Do { what: Operation::Together { replaced: Some(_), .. }, .. }));
        has(
            &|step| matches!(step, Step::Do { what: Operation::Together { sizes, .. }, .. } if sizes.len() > 3),
        );
    }
}
