//! Mailboxes against a plain model, patches done twice or half, damage, growth, readers beside a writer.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::published::Header;
use super::repair::summarize;
use super::writer::{Counts, Writer};
use super::*;
use crate::change::{Added, SystemFlags};
use crate::ids::{PageId, UserId};

/// A small generator of random numbers with a seed (splitmix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

pub(crate) const ID: MailboxId = MailboxId { user: UserId(7), number: 3 };

/// A new mailbox in a folder that goes with it.
pub(crate) struct Fixture {
    _folder: tempfile::TempDir,
    pub(crate) path: PathBuf,
    pub(crate) mailbox: Mailbox,
}

pub(crate) fn fixture() -> Fixture {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("m3").join("cells");
    let mailbox = Mailbox::create(&Disk::real(), &path, ID, 1234, 1).expect("a mailbox");
    Fixture { _folder: folder, path, mailbox }
}

pub(crate) fn uid(value: u32) -> Uid {
    Uid::new(value).expect("a UID")
}

pub(crate) fn added(uid_value: u32, modseq: u64, system: u8) -> Added {
    Added {
        uid: uid(uid_value),
        modseq: ModSeq(modseq),
        flags: Flags { system: SystemFlags(system), keywords: u64::from(uid_value % 3) },
        internal_date: ZonedTime { seconds: 1_700_000_000 + i64::from(uid_value), zone_minutes: 60 },
        save_seconds: 1_800_000_000 + uid_value,
        sent_date: (uid_value.is_multiple_of(2)).then_some(ZonedTime { seconds: -5, zone_minutes: -300 }),
        size: 1000 + uid_value,
        message: MessageId { page: PageId(20_000), index: uid_value * 2 },
    }
}

/// Adds UIDs `first..=last`, one modseq each.
pub(crate) fn fill(mailbox: &Mailbox, first: u32, last: u32) {
    mailbox.reserve(last - first + 1).expect("room");
    let mut writer = mailbox.writer().expect("a writer");
    for value in first..=last {
        writer.apply_add(&added(value, u64::from(value) + 1, 0)).expect("added");
    }
    writer.publish(ModSeq(u64::from(last) + 1), last + 1);
}

/// One operation, as a log would say it.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    Add(Added),
    Flags(Uid, Flags, ModSeq),
    Expunge(Uid, ModSeq),
}

pub(crate) fn apply_operation(writer: &mut Writer<'_>, operation: &Operation) {
    match operation {
        Operation::Add(added) => {
            writer.apply_add(added).expect("added");
        }
        Operation::Flags(uid, flags, modseq) => {
            writer.apply_flags(*uid, *flags, *modseq).expect("flags");
        }
        Operation::Expunge(uid, modseq) => {
            writer.apply_expunge(*uid, *modseq, 9).expect("expunged");
        }
    }
}

/// What the mailbox should hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) cells: BTreeMap<u32, (Added, Flags, ModSeq, bool)>,
    pub(crate) modseq: u64,
}

impl Model {
    /// A random change of one modseq, already in the model.
    pub(crate) fn random_change(&mut self, random: &mut Random) -> Vec<Operation> {
        self.modseq = self.modseq.max(1) + 1 + random.below(3);
        let modseq = ModSeq(self.modseq);
        let live: Vec<u32> =
            self.cells.iter().filter(|(_, cell)| !cell.3).map(|(uid_value, _)| *uid_value).collect();
        let mut operations = Vec::new();
        let kind = random.below(10);
        if kind < 4 || live.is_empty() {
            let mut next = self.cells.keys().next_back().copied().unwrap_or(0);
            for _ in 0..=random.below(40) {
                next += 1 + (random.below(5) / 4) as u32;
                let added = added(next, modseq.0, random.below(32) as u8);
                self.cells.insert(next, (added, added.flags, modseq, false));
                operations.push(Operation::Add(added));
            }
            return operations;
        }
        for _ in 0..=random.below(8) {
            let chosen = live[random.below(live.len() as u64) as usize];
            let Some(cell) = self.cells.get_mut(&chosen) else { continue };
            if cell.3 {
                continue;
            }
            cell.2 = modseq;
            if kind < 8 {
                cell.1 = Flags { system: SystemFlags(random.below(32) as u8), keywords: random.next() };
                operations.push(Operation::Flags(uid(chosen), cell.1, modseq));
            } else {
                cell.3 = true;
                operations.push(Operation::Expunge(uid(chosen), modseq));
            }
        }
        operations
    }

    pub(crate) fn uid_next(&self) -> u32 {
        self.cells.keys().next_back().map_or(1, |last| last + 1)
    }
}

pub(crate) fn commit(mailbox: &Mailbox, operations: &[Operation], model: &Model) {
    mailbox.reserve(operations.len() as u32).expect("room");
    let mut writer = mailbox.writer().expect("a writer");
    for operation in operations {
        apply_operation(&mut writer, operation);
    }
    writer.publish(ModSeq(model.modseq), model.uid_next());
}

fn check(mailbox: &Mailbox, model: &Model) {
    let cells = mailbox.cells().expect("cells");
    assert_eq!(cells.count() as usize, model.cells.len());
    for (index, (uid_value, (added, flags, modseq, expunged))) in (0..).zip(&model.cells) {
        let cell = cells.cell(CellIndex(index)).expect("a cell");
        let want = Cell {
            uid: uid(*uid_value),
            flags: *flags,
            expunged: *expunged,
            modseq: *modseq,
            internal_date: added.internal_date,
            sent_date: added.sent_date,
            save_seconds: added.save_seconds,
            size: added.size,
            released: false,
            expunged_at: if *expunged { 9 } else { 0 },
            message: added.message,
        };
        assert_eq!(cell, want);
        assert_eq!(cells.find_uid(uid(*uid_value)).expect("readable"), Ok(CellIndex(index)));
        if !model.cells.contains_key(&(uid_value + 1)) {
            assert_eq!(cells.find_uid(uid(uid_value + 1)).expect("readable"), Err(CellIndex(index + 1)));
        }
    }
    check_summaries(mailbox);
    let live = || model.cells.values().filter(|cell| !cell.3);
    let status = mailbox.status().expect("readable");
    assert_eq!(status.exists as usize, live().count());
    assert_eq!(status.unseen as usize, live().filter(|cell| cell.1.system.0 & 8 == 0).count());
    assert_eq!(status.deleted as usize, live().filter(|cell| cell.1.system.0 & 4 != 0).count());
    assert_eq!(status.size, live().map(|cell| u64::from(cell.0.size)).sum::<u64>());
    assert_eq!(status.uid_next, model.uid_next());
    assert_eq!(status.highest_modseq, ModSeq(model.modseq));
}

/// Summaries and counts are what the cells say.
pub(crate) fn check_summaries(mailbox: &Mailbox) {
    let cells = mailbox.cells().expect("cells");
    let mut counts = Counts { cells_used: cells.count(), ..Counts::default() };
    for block in 0..cells.blocks() {
        let made = summarize(&cells, block, &mut counts).expect("whole");
        assert_eq!(cells.block_summary(block).expect("whole"), made, "block {block}");
    }
    let status = mailbox.status().expect("readable");
    assert_eq!(
        (counts.live, counts.unseen, counts.deleted, counts.size),
        (status.exists, status.unseen, status.deleted, status.size)
    );
}

#[test]
fn a_new_mailbox_is_empty_and_is_opened_by_its_owner_alone() {
    let fixture = fixture();
    let status = fixture.mailbox.status().expect("readable");
    assert_eq!((status.exists, status.uid_next, status.highest_modseq), (0, 1, ModSeq(1)));
    let again = Mailbox::open(&Disk::real(), &fixture.path, ID).expect("opened");
    assert_eq!(
        (again.uid_validity(), again.epoch(), again.is_deleted().expect("readable")),
        (1234, 1, false)
    );
    assert_eq!(again.cells().expect("cells").find_uid(uid(1)).expect("readable"), Err(CellIndex(0)));
    let other = MailboxId { number: 4, ..ID };
    assert!(matches!(Mailbox::open(&Disk::real(), &fixture.path, other), Err(StoreError::Corrupt { .. })));
    let nowhere = fixture.path.with_file_name("none");
    assert!(matches!(Mailbox::open(&Disk::real(), &nowhere, ID), Err(StoreError::NotFound(_))));
    std::fs::write(&nowhere, [0; 100]).expect("written");
    assert!(matches!(Mailbox::open(&Disk::real(), &nowhere, ID), Err(StoreError::Corrupt { .. })));
}

#[test]
fn random_changes_leave_what_the_model_says() {
    for seed in 0..20 {
        let mut random = Random(seed);
        let fixture = fixture();
        let other = Mailbox::open(&Disk::real(), &fixture.path, ID).expect("opened twice");
        let mut model = Model { modseq: 1, ..Model::default() };
        for round in 0..120 {
            let change = model.random_change(&mut random);
            commit(if round % 2 == 0 { &fixture.mailbox } else { &other }, &change, &model);
        }
        check(&fixture.mailbox, &model);
        check(&other, &model);
    }
}

#[test]
fn changes_done_again_or_half_and_then_whole_change_nothing_more() {
    for seed in 100..140 {
        let mut random = Random(seed);
        let fixture = fixture();
        let mut model = Model { modseq: 1, ..Model::default() };
        for _ in 0..60 {
            let change = model.random_change(&mut random);
            match random.below(3) {
                0 => (),
                1 => commit(&fixture.mailbox, &change, &model),
                _ => {
                    // A writer dies somewhere in its patch.
                    let mut writer = fixture.mailbox.writer().expect("a writer");
                    let done = random.below(change.len() as u64 + 1) as usize;
                    for operation in &change[..done] {
                        apply_operation(&mut writer, operation);
                    }
                    drop(writer);
                }
            }
            commit(&fixture.mailbox, &change, &model);
            check_summaries(&fixture.mailbox);
        }
        check(&fixture.mailbox, &model);
    }
}

#[test]
fn a_patch_that_died_while_counts_were_stored_is_mended() {
    let fixture = fixture();
    fill(&fixture.mailbox, 1, 100);
    let region = fixture.mailbox.mapping.region();
    tail(&region).store_u32::<{ header_tail::PATCHES }>(3, Relaxed);
    tail(&region).store_u32::<{ header_tail::PUBLICATIONS }>(9, Relaxed);
    head(&region).store_u32::<{ header::LIVE }>(5, Relaxed);
    head(&region).store_u64::<{ header::SIZE }>(5, Relaxed);
    assert_eq!(fixture.mailbox.status().expect("readable").exists, 5, "readers do not wait for the dead");
    fixture.mailbox.writer().expect("a writer").publish(ModSeq(0), 0);
    assert_eq!(fixture.mailbox.status().expect("readable").exists, 100);
    assert_eq!(fixture.mailbox.status().expect("readable").uid_next, 101);
    check_summaries(&fixture.mailbox);
}

#[test]
fn what_an_expunge_and_a_late_change_return() {
    let fixture = fixture();
    fill(&fixture.mailbox, 1, 3);
    let mut writer = fixture.mailbox.writer().expect("a writer");
    let flags = Flags { system: SystemFlags::SEEN, keywords: 5 };
    assert!(writer.apply_flags(uid(2), flags, ModSeq(10)).expect("flags"));
    assert!(!writer.apply_flags(uid(2), Flags::default(), ModSeq(9)).expect("flags"));
    assert!(!writer.apply_flags(uid(9), flags, ModSeq(10)).expect("flags"));
    let message = MessageId { page: PageId(20_000), index: 4 };
    assert!(writer.apply_expunge(uid(2), ModSeq(11), 77).expect("expunged"));
    assert!(!writer.apply_expunge(uid(2), ModSeq(11), 78).expect("expunged"));
    assert!(!writer.apply_expunge(uid(9), ModSeq(11), 77).expect("expunged"));
    assert!(!writer.apply_flags(uid(2), flags, ModSeq(12)).expect("flags"));
    assert_eq!(writer.apply_add(&added(3, 4, 0)).expect("added"), AddOutcome::Already);
    writer.mark_deleted(99);
    writer.publish(ModSeq(12), 4);
    let cell = fixture.mailbox.cell(CellIndex(1)).expect("a tombstone");
    assert_eq!((cell.expunged, cell.modseq, cell.flags, cell.message), (true, ModSeq(11), flags, message));
    assert_eq!((cell.expunged_at, cell.released), (77, false));
    assert!(fixture.mailbox.is_deleted().expect("readable"));
    assert_eq!(fixture.mailbox.deleted_at().expect("readable"), 99);
}

#[test]
fn a_tombstone_lets_go_of_its_message_once() {
    let fixture = fixture();
    fill(&fixture.mailbox, 1, 3);
    let mut writer = fixture.mailbox.writer().expect("a writer");
    assert_eq!(writer.release(CellIndex(1)), None, "it is live");
    writer.apply_expunge(uid(2), ModSeq(11), 77).expect("expunged");
    writer.apply_expunge(uid(3), ModSeq(11), 77).expect("expunged");
    writer.publish(ModSeq(11), 4);
    assert_eq!(fixture.mailbox.unreleased().expect("readable"), 2);
    assert!(fixture.mailbox.cell(CellIndex(1)).expect("whole").holds_reference());
    let mut writer = fixture.mailbox.writer().expect("a writer");
    assert_eq!(writer.release(CellIndex(1)), Some(MessageId { page: PageId(20_000), index: 4 }));
    assert_eq!(writer.release(CellIndex(1)), None, "it holds nothing any more");
    assert_eq!(writer.release(CellIndex(3)), None, "there is none");
    // Counted anew by the next patch, as this one is not published.
    drop(writer);
    fixture.mailbox.writer().expect("a writer").publish(ModSeq(0), 0);
    assert_eq!(fixture.mailbox.unreleased().expect("readable"), 1);
    let cell = fixture.mailbox.cell(CellIndex(1)).expect("whole");
    assert!(cell.expunged && cell.released && !cell.holds_reference());
    let mut writer = fixture.mailbox.writer().expect("a writer");
    writer.mark_deleted(99);
    writer.mark_released();
    writer.publish(ModSeq(12), 4);
    assert!(fixture.mailbox.is_released().expect("readable"));
    assert_eq!(fixture.mailbox.unreleased().expect("readable"), 0);
}

#[test]
fn keywords_keep_their_bits_and_are_found_in_any_case() {
    let fixture = fixture();
    let mut writer = fixture.mailbox.writer().expect("a writer");
    writer.apply_keyword(0, "$Forwarded").expect("named");
    writer.apply_keyword(2, &"k".repeat(59)).expect("named");
    writer.apply_keyword(0, "$Forwarded").expect("named again");
    assert!(writer.apply_keyword(64, "x").is_err());
    assert!(writer.apply_keyword(3, &"k".repeat(60)).is_err());
    writer.publish(ModSeq(2), 1);
    let keywords = fixture.mailbox.keywords().expect("keywords");
    assert_eq!(keywords.find("$FORWARDED"), Some(0));
    assert_eq!(keywords.find(""), None);
    assert_eq!(keywords.name(1), None);
    assert_eq!(keywords.first_free(), Some(1));
    assert_eq!(keywords.iter().map(|(bit, _)| bit).collect::<Vec<_>>(), [0, 2]);
}

#[test]
fn recent_messages_belong_to_one_session() {
    let fixture = fixture();
    fill(&fixture.mailbox, 1, 200);
    assert_eq!(fixture.mailbox.recent_count().expect("counted"), 200);
    assert_eq!(fixture.mailbox.claim_recent(130), 1..131);
    assert_eq!(fixture.mailbox.recent_count().expect("counted"), 70);
    let mut writer = fixture.mailbox.writer().expect("a writer");
    writer.apply_expunge(uid(131), ModSeq(500), 9).expect("expunged");
    writer.publish(ModSeq(500), 201);
    assert_eq!(fixture.mailbox.recent_count().expect("counted"), 69);
    assert_eq!(fixture.mailbox.claim_recent(100), 101..101);
    assert_eq!(fixture.mailbox.claim_recent(200), 131..201);
    assert_eq!(fixture.mailbox.recent_count().expect("counted"), 0);
}

#[test]
fn damage_is_reported_with_its_place() {
    let fixture = fixture();
    fill(&fixture.mailbox, 1, 100);
    let region = fixture.mailbox.mapping.region();
    region.store_u32(layout::cell_offset(70) + 40, 1, Relaxed).expect("stored");
    let offset = 3 * 4096 + 6 * 64;
    assert!(
        matches!(fixture.mailbox.cell(CellIndex(70)), Err(StoreError::Corrupt { offset: at, .. }) if at == offset)
    );
    assert!(matches!(fixture.mailbox.cell(CellIndex(100)), Err(StoreError::NotFound(_))));
    head(&region).store_u32::<{ header::CELLS_USED }>(u32::MAX, Relaxed);
    assert!(matches!(fixture.mailbox.cells(), Err(StoreError::Corrupt { .. })));
}

#[test]
fn after_a_power_cut_replay_brings_back_everything() {
    for seed in 200..230 {
        let mut random = Random(seed);
        let fixture = fixture();
        let mut model = Model { modseq: 1, ..Model::default() };
        let mut log = Vec::new();
        for _ in 0..60 {
            let change = model.random_change(&mut random);
            commit(&fixture.mailbox, &change, &model);
            log.extend(change);
        }
        // Blocks of cells, summaries or the header were not written.
        let region = fixture.mailbox.mapping.region();
        for _ in 0..random.below(6) {
            let block = 2 + random.below(region.len() / 4096 - 2);
            for line in 0..64 {
                region.copy_in(block * 4096 + line * 64, &[0; 64]).expect("zeroed");
            }
        }
        if random.below(2) == 0 {
            let used = fixture.mailbox.cell_count().expect("readable");
            head(&region).store_u32::<{ header::CELLS_USED }>(random.below(u64::from(used)) as u32, Relaxed);
            head(&region).store_u32::<{ header::UID_NEXT }>(1, Relaxed);
        }
        let known_uid_next = model.uid_next();
        let mailbox = Mailbox::open(&Disk::real(), &fixture.path, ID).expect("opened");
        let report = mailbox
            .after_power_cut(2, known_uid_next, ModSeq(model.modseq), 9, Raised::ByRecovery, &mut |_| true)
            .expect("brought to this epoch");
        assert!(report.dropped.is_empty());
        assert_eq!(mailbox.epoch(), 2);
        assert!(mailbox.uid_next().expect("readable") >= known_uid_next + (1 << 20));
        assert!(mailbox.highest_modseq().expect("readable").0 >= model.modseq + (1 << 32));
        check_summaries(&mailbox);
        let mut writer = mailbox.writer().expect("a writer");
        for operation in &log {
            apply_operation(&mut writer, operation);
        }
        writer.publish(ModSeq(model.modseq), model.uid_next());
        assert_eq!(mailbox.epoch(), 2);
        check_summaries(&mailbox);
        let cells = mailbox.cells().expect("cells");
        let found: Vec<_> = (0..cells.count())
            .map(|index| cells.cell(CellIndex(index)).expect("a cell"))
            .map(|cell| (cell.uid.get(), cell.flags, cell.modseq, cell.expunged))
            .collect();
        let want = model.cells.iter().map(|(uid_value, cell)| (*uid_value, cell.1, cell.2, cell.3));
        assert_eq!(found, want.collect::<Vec<_>>(), "seed {seed}");
    }
}

#[test]
fn after_a_power_cut_damaged_cells_go_and_unknown_messages_become_tombstones() {
    let fixture = fixture();
    fill(&fixture.mailbox, 1, 200);
    let region = fixture.mailbox.mapping.region();
    region.store_u32(layout::cell_offset(9) + 40, 1, Relaxed).expect("stored");
    let last = MessageId { page: PageId(20_000), index: 400 };
    let report = fixture
        .mailbox
        .after_power_cut(2, 0, ModSeq(0), 9, Raised::Durably, &mut |cell| cell.message != last)
        .expect("brought to this epoch");
    assert_eq!(report.damaged_cells, 1);
    assert!(matches!(report.damages[0], StoreError::Corrupt { offset, .. } if offset == 8192 + 9 * 64));
    assert_eq!(report.dropped, [(uid(200), last)]);
    let status = fixture.mailbox.status().expect("readable");
    assert_eq!((status.exists, fixture.mailbox.cell_count().expect("readable")), (198, 199));
    assert_eq!(status.uid_next, 201 + (1 << 20));
    assert!(fixture.mailbox.cell(CellIndex(198)).expect("a tombstone").expunged);
    check_summaries(&fixture.mailbox);
}

#[test]
fn numbers_are_raised_once_an_epoch_and_who_does_it_again_is_told_the_same() {
    let fixture = fixture();
    fill(&fixture.mailbox, 1, 200);
    let lost = MessageId { page: PageId(20_000), index: 400 };
    for (epoch, made_anew) in [(2, false), (3, true), (4, false)] {
        let mailbox = &fixture.mailbox;
        if made_anew {
            mailbox.owe_epoch(0);
        }
        let owed = mailbox.epoch();
        let bring = || {
            let keep = &mut |cell: &Cell| cell.message != lost;
            let report = mailbox.after_power_cut(epoch, 0, ModSeq(0), 9, Raised::Durably, keep);
            let report = report.expect("brought to this epoch");
            (report.dropped, report.in_doubt, mailbox.marks().expect("readable"))
        };
        let before = mailbox.marks().expect("readable");
        let first = bring();
        let times = if made_anew { epoch } else { 1 };
        assert_eq!(first.2.uid_next, before.uid_next + times * (1 << 20));
        assert_eq!(first.0.len(), usize::from(epoch == 2), "it is dropped once");
        for _ in 0..3 {
            // The caller could not log it.
            mailbox.owe_epoch(owed);
            assert_eq!(bring(), first, "epoch {epoch}");
        }
    }
}

#[test]
fn what_was_changed_last_is_in_doubt_after_each_power_cut() {
    let fixture = fixture();
    fill(&fixture.mailbox, 1, 1500);
    let in_doubt = |epoch| -> Vec<Uid> {
        let report = fixture.mailbox.after_power_cut(epoch, 0, ModSeq(0), 9, Raised::Durably, &mut |_| true);
        report.expect("brought to this epoch").in_doubt.iter().map(|cell| cell.uid).collect()
    };
    let newest: Vec<Uid> = (1500 - 1023..=1500).map(uid).collect();
    // What the logs were told may be lost with the next power cut.
    for epoch in 2..6 {
        assert_eq!(in_doubt(epoch), newest, "epoch {epoch}");
    }
}

#[test]
fn room_for_more_cells_than_can_be_is_refused() {
    let fixture = fixture();
    fill(&fixture.mailbox, 1, 10);
    assert!(matches!(fixture.mailbox.reserve(u32::MAX), Err(StoreError::Corrupt { .. })));
    fill(&fixture.mailbox, 11, 20);
    assert_eq!(fixture.mailbox.status().expect("readable").exists, 20);
    // A damaged number of cells does not fill the disk.
    let len = std::fs::metadata(fixture.mailbox.path()).expect("there").len();
    let region = fixture.mailbox.mapping.region();
    head(&region).store_u32::<{ header::CELLS_USED }>(1 << 24, std::sync::atomic::Ordering::Relaxed);
    assert!(matches!(fixture.mailbox.reserve(1), Err(StoreError::Corrupt { .. })));
    assert_eq!(std::fs::metadata(fixture.mailbox.path()).expect("there").len(), len);
}

#[test]
fn readers_see_whole_states_while_a_writer_works() {
    let fixture = fixture();
    let done = AtomicBool::new(false);
    let reader = || {
        // As another process would: a mapping of its own.
        let mailbox = Mailbox::open(&Disk::real(), &fixture.path, ID).expect("opened");
        let (mut looks, mut mixed) = (0_u64, 0_u64);
        while !done.load(Ordering::Acquire) {
            for _ in 0..100 {
                // The writer adds ten at a time, all of one size, all unseen.
                let status = mailbox.status().expect("readable");
                let whole = status.exists.is_multiple_of(10)
                    && status.unseen == status.exists
                    && status.size == u64::from(status.exists) * 77
                    && status.uid_next == status.exists + 1;
                looks += 1;
                mixed += u64::from(!whole);
                let marks = mailbox.marks().expect("readable");
                assert!(
                    u64::from(marks.uid_next) > (marks.highest_modseq.0 - 1) * 10,
                    "cells of H are there"
                );
                assert!(mailbox.cell_count().expect("readable") + 1 >= marks.uid_next);
            }
            let cells = mailbox.cells().expect("cells");
            if let Some(last) = cells.count().checked_sub(1) {
                let cell = cells.cell(CellIndex(last)).expect("a whole cell");
                assert_eq!((cell.uid.get(), cell.size), (last + 1, 77));
                assert_eq!(cells.find_uid(cell.uid).expect("readable"), Ok(CellIndex(last)));
            }
        }
        (looks, mixed)
    };
    std::thread::scope(|scope| {
        let readers = [scope.spawn(reader), scope.spawn(reader)];
        for round in 0..3000 {
            fixture.mailbox.reserve(10).expect("room");
            let mut writer = fixture.mailbox.writer().expect("a writer");
            for value in round * 10 + 1..=round * 10 + 10 {
                writer
                    .apply_add(&Added { size: 77, ..added(value, u64::from(round) + 2, 0) })
                    .expect("added");
            }
            writer.publish(ModSeq(u64::from(round) + 2), round * 10 + 11);
        }
        done.store(true, Ordering::Release);
        for reader in readers {
            let (looks, mixed) = reader.join().expect("a reader");
            // Where a writer is kept from the processor while it stores the header, a reader does not wait for it for long.
            assert!(mixed <= 3 + looks / 10_000, "{mixed} of {looks} were of two moments");
        }
    });
    check_summaries(&fixture.mailbox);
}

#[test]
fn numbers_of_two_moments_are_read_again() {
    let fixture = fixture();
    let looks = std::cell::Cell::new(0);
    let look = |region: &Region| {
        looks.set(looks.get() + 1);
        if looks.get() < 3 {
            // A whole publication happens meanwhile.
            let count = tail(region).load_u32::<{ header_tail::PUBLICATIONS }>(Relaxed);
            tail(region).store_u32::<{ header_tail::PUBLICATIONS }>(count + 2, Relaxed);
        }
        Header::copy(region)
    };
    fixture.mailbox.header_by(look).expect("whole");
    assert_eq!(looks.get(), 3);
}

#[test]
fn a_million_cells_are_found() {
    let fixture = fixture();
    fill(&fixture.mailbox, 1, 1_000_000);
    let mailbox = Mailbox::open(&Disk::real(), &fixture.path, ID).expect("opened");
    check_summaries(&mailbox);
    let cells = mailbox.cells().expect("cells");
    assert_eq!(mailbox.status().expect("readable").exists, 1_000_000);
    let started = Instant::now();
    let mut seen = 0;
    for index in 0..cells.count() {
        seen += u64::from(cells.flags(CellIndex(index)).expect("flags").uid.get());
    }
    assert_eq!(seen, 500_000_500_000);
    println!("flags of a cell: {} ns", started.elapsed().as_nanos() / 1_000_000);
    let started = Instant::now();
    let mut random = Random(1);
    for _ in 0..100_000 {
        let value = random.below(1_000_000) as u32 + 1;
        assert_eq!(cells.find_uid(uid(value)).expect("readable"), Ok(CellIndex(value - 1)));
    }
    println!("find_uid, no gaps: {} ns", started.elapsed().as_nanos() / 100_000);
}

#[test]
fn uids_with_gaps_are_found_fast() {
    let fixture = fixture();
    let mut random = Random(2);
    fixture.mailbox.reserve(100_000).expect("room");
    let mut writer = fixture.mailbox.writer().expect("a writer");
    let mut uids = Vec::new();
    let mut next = 0;
    for _ in 0..100_000 {
        next += 1 + random.below(5) as u32;
        uids.push(next);
        writer.apply_add(&added(next, 2, 0)).expect("added");
    }
    writer.publish(ModSeq(2), next + 1);
    let cells = fixture.mailbox.cells().expect("cells");
    let started = Instant::now();
    for _ in 0..100_000 {
        let place = random.below(100_000) as u32;
        assert_eq!(cells.find_uid(uid(uids[place as usize])).expect("readable"), Ok(CellIndex(place)));
    }
    println!("find_uid, with gaps: {} ns", started.elapsed().as_nanos() / 100_000);
}

#[test]
fn a_mailbox_that_is_made_twice_at_once_is_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("m7/cells");
    let id = MailboxId { user: UserId(3), number: 7 };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                Mailbox::create_missing(&Disk::real(), &path, id, 5, 1).expect("made");
                let open = Mailbox::open(&Disk::real(), &path, id).expect("there");
                open.claim_recent(9);
            });
        }
    });
    let open = Mailbox::open(&Disk::real(), &path, id).expect("there");
    assert_eq!(open.first_recent_uid(), 10, "what one wrote is in the file that the others have");
    assert_eq!(std::fs::read_dir(folder.path().join("m7")).expect("there").count(), 1);
}

/// All that a client can learn of a mailbox.
fn everything(mailbox: &Mailbox) -> Result<String> {
    use std::fmt::Write;
    let mut told = format!("{:?} {:?} {:?}", mailbox.status()?, mailbox.keywords()?, mailbox.is_deleted()?);
    let cells = mailbox.cells()?;
    for block in 0..cells.blocks() {
        let _ = write!(told, "\n{:?}", cells.block_summary(block)?);
        let _ = write!(told, " {:x}", cells.not_expunged_upto(block, ModSeq(20))?);
    }
    for index in (0..cells.count()).map(CellIndex) {
        let flags = cells.flags(index)?;
        let _ = write!(told, "\n{:?} {flags:?} {:?}", cells.cell(index)?, cells.uid(index)?);
        let _ = write!(told, " {:?}", cells.find_uid(flags.uid)?);
        let _ = write!(told, " {:?}", cells.find_uid(uid(flags.uid.get() + 1))?);
    }
    Ok(told)
}

#[test]
fn no_flipped_bit_is_told_as_mail() {
    let fixture = fixture();
    let mailbox = &fixture.mailbox;
    let mut writer = mailbox.writer().expect("a writer");
    writer.apply_keyword(0, "$Forwarded").expect("named");
    for number in 1..=70 {
        writer.apply_add(&added(number * 2, 10 + u64::from(number), (number % 32) as u8)).expect("added");
    }
    for number in [3, 17, 65] {
        writer.apply_expunge(uid(number * 2), ModSeq(90), 1_000).expect("expunged");
    }
    let flags = Flags { system: SystemFlags(9), keywords: 1 };
    writer.apply_flags(uid(10), flags, ModSeq(91)).expect("changed");
    writer.publish(ModSeq(91), 200);
    let whole = everything(mailbox).expect("readable");
    let region = mailbox.mapping.region();
    let full = std::env::var_os("LODE_FULL").is_some();
    let (mut healed, mut reported) = (0, 0);
    for offset in (0..layout::bytes_for(70)).step_by(8) {
        let word = region.load_u64(offset, Relaxed).expect("mapped");
        for bit in 0..64 {
            // Cells are alike, and so are lines of zeros: of most, only a few bits are flipped.
            let chosen =
                [0, 64, layout::summary_offset(0), layout::summary_offset(1), layout::cell_offset(4)];
            if !full && !chosen.contains(&(offset / 64 * 64)) && (offset / 8 * 7 + bit) % 131 != 0 {
                continue;
            }
            region.store_u64(offset, word ^ 1 << bit, Relaxed).expect("mapped");
            let reopened = Mailbox::open(&Disk::real(), &fixture.path, ID);
            let all = reopened.and_then(|reopened| everything(&reopened));
            match all {
                Ok(told) => {
                    assert!(told == whole, "bit {bit} of {offset} changed what is told");
                    healed += 1;
                }
                Err(StoreError::Corrupt { path, offset: at, .. }) => {
                    assert_eq!(path, fixture.path);
                    assert!(at.abs_diff(offset) < 128, "bit {bit} of {offset} is told to be at {at}");
                    reported += 1;
                }
                Err(error) => panic!("bit {bit} of {offset}: {error}"),
            }
            region.store_u64(offset, word, Relaxed).expect("mapped");
        }
    }
    assert!(healed > 1000 && reported > 1000, "{healed} {reported}");
    assert_eq!(everything(mailbox).expect("readable"), whole);
    check_summaries(mailbox);
    // A damaged summary is made again by the next change of its block.
    let at = layout::summary_offset(0) + 24;
    region.store_u64(at, region.load_u64(at, Relaxed).expect("mapped") ^ 1 << 40, Relaxed).expect("mapped");
    let mut writer = mailbox.writer().expect("a writer");
    writer.apply_flags(uid(10), Flags::default(), ModSeq(92)).expect("changed");
    writer.publish(ModSeq(92), 200);
    check_summaries(mailbox);
    // A damaged cell takes no change.
    let at = layout::cell_offset(4) + 8;
    region.store_u64(at, 4, Relaxed).expect("mapped");
    let mut writer = mailbox.writer().expect("a writer");
    assert!(writer.apply_flags(uid(10), Flags::default(), ModSeq(93)).is_err());
}
