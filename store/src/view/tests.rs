//! Views against sessions of a plain model, which is what the RFC says: a list of messages that changes only when it is told so.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::*;
use crate::disk::Disk;
use crate::mailbox::tests::{Model, Random, added, commit, fill, fixture, uid};

/// What one session's client believes.
struct Session {
    view: View,
    /// UIDs by sequence number.
    told: Vec<u32>,
    uid_upto: u32,
    flags_upto: ModSeq,
}

impl Session {
    fn open(mailbox: &Mailbox, model: &Model) -> Session {
        let live = model.cells.iter().filter(|(_, cell)| !cell.3);
        Session {
            view: View::open(mailbox).expect("a view"),
            told: live.map(|(uid_value, _)| *uid_value).collect(),
            uid_upto: model.uid_next() - 1,
            flags_upto: ModSeq(model.modseq),
        }
    }

    fn refresh(&mut self, mailbox: &Mailbox, model: &Model, expunges: bool) {
        let changes = self.view.refresh(mailbox, Refresh { expunges }).expect("refreshed");
        for (seq, gone) in changes.expunged.iter().zip(&changes.expunged_uids) {
            assert_eq!(self.told.remove(*seq as usize - 1), gone.get());
            assert!(expunges && model.cells[&gone.get()].3);
        }
        if expunges {
            assert!(self.told.iter().all(|told| !model.cells[told].3), "an expunge was not told");
        }
        let cells = mailbox.cells().expect("cells");
        let flags = changes.flags.iter().map(|index| cells.uid(*index).expect("a UID").get());
        let changed = |told: &&u32| !model.cells[*told].3 && model.cells[*told].2 > self.flags_upto;
        assert_eq!(flags.collect::<Vec<_>>(), self.told.iter().filter(changed).copied().collect::<Vec<_>>());
        let before = self.told.len();
        let new = model.cells.range(self.uid_upto + 1..).filter(|(_, cell)| !cell.3 || !expunges);
        self.told.extend(new.map(|(uid_value, _)| *uid_value));
        assert_eq!(changes.exists, (self.told.len() > before).then_some(self.told.len() as u32));
        self.flags_upto = ModSeq(model.modseq);
        self.uid_upto = model.uid_next() - 1;
    }

    fn check(&self, mailbox: &Mailbox, model: &Model, random: &mut Random) {
        let cells = mailbox.cells().expect("cells");
        let view = &self.view;
        assert_eq!(view.exists() as usize, self.told.len());
        let seen = view.cells().map(|(_, index)| cells.uid(index).expect("a UID").get());
        assert_eq!(seen.collect::<Vec<_>>(), self.told);
        for (seq, told) in (1..).zip(&self.told) {
            let index = view.cell_of_seq(seq).expect("a cell");
            assert_eq!(cells.uid(index).expect("whole"), uid(*told));
            assert_eq!(view.seq_of_cell(index), Some(seq));
            assert!(cells.cell(index).is_ok(), "also of a message that is expunged and not told");
        }
        assert_eq!(view.cell_of_seq(0), None);
        assert_eq!(view.cell_of_seq(self.told.len() as u32 + 1), None);
        let limit = u64::from(model.uid_next()) + 5;
        let (first, last) = (random.below(limit) as u32 + 1, random.below(limit) as u32 + 1);
        let seqs = view.seqs_for_uid_range(mailbox, uid(first), uid(last)).expect("a range");
        let want: Vec<u32> = (1..)
            .zip(&self.told)
            .filter(|(_, told)| (first..=last).contains(told))
            .map(|(seq, _)| seq)
            .collect();
        assert_eq!(seqs.collect::<Vec<_>>(), want);
        assert_eq!(
            view.count_uids(mailbox, first..last).expect("counted") as usize,
            self.told.iter().filter(|told| (first..last).contains(told)).count()
        );
        let unseen = self.told.iter().position(|told| model.cells[told].1.system.0 & 8 == 0);
        assert_eq!(view.first_unseen(mailbox).expect("looked"), unseen.map(|place| place as u32 + 1));
    }
}

#[test]
fn many_sessions_agree_with_the_model() {
    for seed in 0..if cfg!(debug_assertions) { 5 } else { 60 } {
        let mut random = Random(seed);
        let fixture = fixture();
        let mailbox = &fixture.mailbox;
        let mut model = Model { modseq: 1, ..Model::default() };
        let mut sessions: Vec<Session> = Vec::new();
        for _ in 0..100 {
            let change = model.random_change(&mut random);
            commit(mailbox, &change, &model);
            if sessions.len() < 6 && random.below(4) == 0 {
                sessions.push(Session::open(mailbox, &model));
            }
            for session in &mut sessions {
                match random.below(6) {
                    0 => session.refresh(mailbox, &model, true),
                    1 | 2 => session.refresh(mailbox, &model, false),
                    3 => session.view.forget_cache(),
                    4 => session.view = View::restore(mailbox, session.view.parked()).expect("restored"),
                    _ => continue,
                }
                session.view.ensure_cache(mailbox).expect("a cache");
                session.check(mailbox, &model, &mut random);
            }
        }
    }
}

#[test]
fn nothing_new_is_told_while_nothing_is_published() {
    let fixture = fixture();
    fill(&fixture.mailbox, 1, 100);
    let mut view = View::open(&fixture.mailbox).expect("a view");
    let mut writer = fixture.mailbox.writer().expect("a writer");
    writer.apply_expunge(uid(5), ModSeq(200), 9).expect("expunged");
    writer.apply_flags(uid(6), crate::change::Flags::default(), ModSeq(200)).expect("flags");
    fixture.mailbox.reserve(1).expect("room");
    writer.apply_add(&added(101, 200, 0)).expect("added");
    let changes = view.refresh(&fixture.mailbox, Refresh { expunges: true }).expect("refreshed");
    assert!(changes.is_empty());
    let fresh = View::open(&fixture.mailbox).expect("a view");
    assert_eq!((view.exists(), fresh.exists()), (100, 100));
    writer.publish(ModSeq(200), 102);
    let want = Changes {
        expunged: vec![5],
        expunged_uids: vec![uid(5)],
        exists: Some(100),
        flags: vec![CellIndex(5)],
    };
    for mut view in [view, fresh] {
        assert_eq!(view.refresh(&fixture.mailbox, Refresh { expunges: true }).expect("refreshed"), want);
    }
}

#[test]
fn what_is_not_published_yet_is_told_later() {
    let fixture = fixture();
    fill(&fixture.mailbox, 1, 100);
    let mut view = View::open(&fixture.mailbox).expect("a view");
    let mut writer = fixture.mailbox.writer().expect("a writer");
    writer.apply_flags(uid(3), crate::change::Flags::default(), ModSeq(150)).expect("flags");
    writer.apply_flags(uid(4), crate::change::Flags::default(), ModSeq(150)).expect("flags");
    writer.publish(ModSeq(150), 101);
    let mut writer = fixture.mailbox.writer().expect("a writer");
    writer.apply_flags(uid(4), crate::change::Flags::default(), ModSeq(200)).expect("flags");
    writer.apply_flags(uid(6), crate::change::Flags::default(), ModSeq(200)).expect("flags");
    writer.apply_expunge(uid(5), ModSeq(200), 9).expect("expunged");
    let all = Refresh { expunges: true };
    let changes = view.refresh(&fixture.mailbox, all).expect("refreshed");
    assert_eq!(changes, Changes { flags: vec![CellIndex(2)], ..Changes::default() });
    let mut restored = View::restore(&fixture.mailbox, view.parked()).expect("restored");
    assert_eq!(restored.exists(), 100);
    writer.publish(ModSeq(200), 101);
    for view in [&mut view, &mut restored] {
        let changes = view.refresh(&fixture.mailbox, all).expect("refreshed");
        assert_eq!((changes.expunged, changes.flags), (vec![5], vec![CellIndex(3), CellIndex(5)]));
    }
}

#[test]
fn a_message_that_came_and_went_is_not_mentioned() {
    let fixture = fixture();
    fill(&fixture.mailbox, 1, 10);
    let mut told = View::open(&fixture.mailbox).expect("a view");
    let mut untold = told.clone();
    fill(&fixture.mailbox, 11, 12);
    let mut writer = fixture.mailbox.writer().expect("a writer");
    writer.apply_expunge(uid(11), ModSeq(50), 9).expect("expunged");
    writer.publish(ModSeq(50), 13);
    let changes = told.refresh(&fixture.mailbox, Refresh { expunges: true }).expect("refreshed");
    assert_eq!(changes, Changes { exists: Some(11), ..Changes::default() });
    let changes = untold.refresh(&fixture.mailbox, Refresh { expunges: false }).expect("refreshed");
    assert_eq!(changes, Changes { exists: Some(12), ..Changes::default() });
    let changes = untold.refresh(&fixture.mailbox, Refresh { expunges: true }).expect("refreshed");
    assert_eq!((changes.expunged, changes.exists), (vec![11], None));
}

/// A session that believes only what it is told ends with what is there, whatever a writer does meanwhile.
#[test]
fn sessions_beside_a_writer_lose_nothing() {
    for seed in 0..3 {
        let fixture = fixture();
        let done = AtomicBool::new(false);
        let model = std::thread::scope(|scope| {
            let mut readers = Vec::new();
            for reader in 0..2 {
                let (path, done) = (&fixture.path, &done);
                readers.push(scope.spawn(move || {
                    let mailbox =
                        Mailbox::open(&Disk::real(), path, crate::mailbox::tests::ID).expect("opened");
                    let mut random = Random(seed * 10 + reader);
                    let mut view = View::open(&mailbox).expect("a view");
                    let uids = |view: &View| -> Vec<u32> {
                        let cells = mailbox.cells().expect("cells");
                        view.cells().map(|(_, index)| cells.uid(index).expect("a UID").get()).collect()
                    };
                    let flags_of = |index: CellIndex| mailbox.flags_at(index).expect("flags").0;
                    let mut told: Vec<(u32, crate::change::Flags)> = Vec::new();
                    for (_, index) in view.cells() {
                        told.push((mailbox.uid_at(index).expect("a UID").get(), flags_of(index)));
                    }
                    loop {
                        let last = done.load(Ordering::Acquire);
                        let expunges = last || random.below(2) == 0;
                        if random.below(8) == 0 {
                            view = View::restore(&mailbox, view.parked()).expect("restored");
                            assert!(uids(&view).iter().eq(told.iter().map(|(uid_value, _)| uid_value)));
                        }
                        let changes = view.refresh(&mailbox, Refresh { expunges }).expect("refreshed");
                        for seq in changes.expunged {
                            told.remove(seq as usize - 1);
                        }
                        let known = told.len() as u32;
                        for (_, index) in view.cells_in_seq_range(known + 1..=u32::MAX) {
                            told.push((mailbox.uid_at(index).expect("a UID").get(), flags_of(index)));
                        }
                        assert_eq!(changes.exists.unwrap_or(known) as usize, told.len());
                        for index in changes.flags {
                            let seq = view.seq_of_cell(index).expect("in view");
                            told[seq as usize - 1].1 = flags_of(index);
                        }
                        if last {
                            return told;
                        }
                    }
                }));
            }
            let mut random = Random(seed + 1000);
            let mut model = Model { modseq: 1, ..Model::default() };
            for _ in 0..600 {
                let change = model.random_change(&mut random);
                commit(&fixture.mailbox, &change, &model);
            }
            done.store(true, Ordering::Release);
            let live = model.cells.iter().filter(|(_, cell)| !cell.3);
            let want: Vec<_> = live.map(|(uid_value, cell)| (*uid_value, cell.1)).collect();
            for reader in readers {
                assert_eq!(reader.join().expect("a reader"), want);
            }
            model
        });
        assert!(model.modseq > 600);
    }
}

#[test]
fn a_view_of_many_messages_is_made_fast() {
    let fixture = fixture();
    fill(&fixture.mailbox, 1, 100_000);
    let started = Instant::now();
    for _ in 0..100 {
        assert_eq!(View::open(&fixture.mailbox).expect("a view").exists(), 100_000);
    }
    println!("open a view of 100,000: {} ns", started.elapsed().as_nanos() / 100);
    let view = View::open(&fixture.mailbox).expect("a view");
    let cells = fixture.mailbox.cells().expect("cells");
    let started = Instant::now();
    let mut sum = 0;
    for (seq, index) in view.cells() {
        let flags = cells.flags(index).expect("flags");
        sum += u64::from(seq) + u64::from(flags.uid.get()) + u64::from(flags.flags.system.0);
    }
    assert_eq!(sum, 100_000 * 100_001);
    println!("flags of a message in view: {} ns", started.elapsed().as_nanos() / 100_000);
}

/// Ranges as the numbers that are in them.
fn spread(ranges: &[(u32, u32)]) -> Vec<u32> {
    assert!(ranges.iter().all(|range| range.0 <= range.1));
    assert!(ranges.windows(2).all(|pair| pair[0].1 < pair[1].0), "{ranges:?}");
    ranges.iter().flat_map(|&(first, last)| first..=last).collect()
}

#[test]
fn what_happened_since_is_what_the_model_says() {
    for seed in 0..if cfg!(debug_assertions) { 20 } else { 200 } {
        let mut random = Random(seed);
        let fixture = fixture();
        let mailbox = &fixture.mailbox;
        let mut model = Model { modseq: 1, ..Model::default() };
        for _ in 0..100 {
            let change = model.random_change(&mut random);
            commit(mailbox, &change, &model);
        }
        let mut session = Session::open(mailbox, &model);
        for _ in 0..random.below(20) {
            let change = model.random_change(&mut random);
            commit(mailbox, &change, &model);
        }
        session.refresh(mailbox, &model, random.below(2) == 0);
        let limit = u64::from(model.uid_next()) + 5;
        let mut wanted = Vec::new();
        let mut first = random.below(5) as u32 + 1;
        while u64::from(first) < limit && random.below(5) != 0 {
            let last = first + random.below(40) as u32;
            wanted.push((first, last));
            first = last + 2 + random.below(20) as u32;
        }
        let among = |number: u32| wanted.iter().any(|range| (range.0..=range.1).contains(&number));
        let since = ModSeq(random.below(model.modseq + 2));
        let view = &session.view;

        let changed = view.seqs_changed_since(mailbox, since, &wanted).expect("read");
        let want = (1..).zip(&session.told).filter(|(seq, told)| {
            let cell = &model.cells[*told];
            among(*seq) && !cell.3 && cell.2 > since
        });
        assert_eq!(spread(&changed), want.map(|(seq, _)| seq).collect::<Vec<_>>(), "seed {seed}");

        let vanished = spread(&view.uids_vanished_since(mailbox, since, &wanted).expect("read"));
        let gone = model.cells.iter().filter(|(uid_value, cell)| {
            cell.3 && cell.2 > since && !session.told.contains(uid_value) && among(**uid_value)
        });
        assert_eq!(vanished, gone.map(|(uid_value, _)| *uid_value).collect::<Vec<_>>(), "seed {seed}");

        mailbox.raise_expunge_floor(ModSeq(since.0 + 1));
        let absent = spread(&view.uids_vanished_since(mailbox, since, &wanted).expect("read"));
        let want = (1..=view.uid_upto()).filter(|number| among(*number) && !session.told.contains(number));
        assert_eq!(absent, want.collect::<Vec<_>>(), "seed {seed}");
    }
}

#[test]
fn messages_that_are_where_a_client_remembers_them_are_found() {
    let fixture = fixture();
    fill(&fixture.mailbox, 1, 20);
    let mut writer = fixture.mailbox.writer().expect("a writer");
    writer.apply_expunge(uid(10), ModSeq(50), 9).expect("expunged");
    writer.publish(ModSeq(50), 21);
    let view = View::open(&fixture.mailbox).expect("a view");
    let last =
        |stretches: &[(u32, u32, u32)]| view.last_matching_uid(&fixture.mailbox, stretches).expect("read");
    assert_eq!(last(&[]), 0);
    assert_eq!(last(&[(1, 1, 20)]), 9, "from the tenth on, all moved by one");
    assert_eq!(last(&[(1, 1, 3)]), 3);
    assert_eq!(last(&[(10, 10, 5)]), 0);
    assert_eq!(last(&[(3, 3, 1), (12, 12, 1)]), 3);
    assert_eq!(last(&[(3, 3, 1), (12, 13, 1)]), 13);
    assert_eq!(last(&[(8, 9, 20)]), 20, "what lies behind the end is not there");
    assert_eq!(last(&[(u32::MAX, 1, u32::MAX)]), 0);
    assert_eq!(last(&[(1, u32::MAX, u32::MAX)]), 0);
}

#[test]
fn an_untold_expunge_holds_the_mark_back_and_no_other_does() {
    let fixture = fixture();
    fill(&fixture.mailbox, 1, 10);
    let mut view = View::open(&fixture.mailbox).expect("a view");
    let change = |uid_value: u32, modseq: u64, expunge: bool| {
        let mut writer = fixture.mailbox.writer().expect("a writer");
        if expunge {
            writer.apply_expunge(uid(uid_value), ModSeq(modseq), 9).expect("expunged");
        } else {
            writer.apply_flags(uid(uid_value), Default::default(), ModSeq(modseq)).expect("flags");
        }
        writer.publish(ModSeq(modseq), 11);
    };
    let marks = |view: &View| (view.parked().expunged_upto.0, view.parked().flags_upto.0);
    change(1, 100, false);
    view.refresh(&fixture.mailbox, Refresh { expunges: false }).expect("refreshed");
    assert_eq!(marks(&view), (100, 100));
    change(2, 110, false);
    change(3, 120, true);
    change(4, 130, true);
    view.refresh(&fixture.mailbox, Refresh { expunges: false }).expect("refreshed");
    assert_eq!(marks(&view), (119, 130));
    change(5, 140, false);
    view.refresh(&fixture.mailbox, Refresh { expunges: false }).expect("refreshed");
    assert_eq!((marks(&view), view.exists()), ((119, 140), 10));
    let changes = view.refresh(&fixture.mailbox, Refresh { expunges: true }).expect("refreshed");
    assert_eq!((changes.expunged, marks(&view)), (vec![3, 3], (140, 140)));
}

/// A view that was kept while nobody had the mailbox pinned: it is the same, or it is known that it is not.
#[test]
fn a_view_that_lost_messages_is_found_out() {
    let fixture = fixture();
    fill(&fixture.mailbox, 1, 10);
    let view = View::open(&fixture.mailbox).expect("a view");
    let mut same = View::resting(view.parked(), 10);
    assert_eq!(same.exists(), 10);
    same.ensure_cache(&fixture.mailbox).expect("all are there");
    assert_eq!(same.cell_of_seq(10), view.cell_of_seq(10));
    // An eleventh was in it, whose tombstone is gone.
    let mut other = View::resting(view.parked(), 11);
    assert!(matches!(other.ensure_cache(&fixture.mailbox), Err(StoreError::NotFound(_))));
}
