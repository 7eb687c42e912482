//! Mailboxes that are rewritten without their tombstones: what stays, who keeps it from happening, and what a rewriter that dies leaves.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use common::*;
use store::change::SystemFlags;
use store::ids::{CellIndex, UserId};
use store::txn::FlagOperation;
use store::view::{Refresh, View};
use store::{Compaction, Store};

fn expunge(store: &Store, user: UserId, cells: &[CellIndex]) {
    let mut txn = store.begin();
    txn.expunge(inbox(user), cells);
    store.wait(txn.commit().expect("expunged").ticket).expect("durable");
}

/// Delivers `count` messages and expunges every second of them, and lets their tombstones go.
fn half_expunged(store: &Arc<Store>, count: u32) -> UserId {
    let ann = store.ensure_user("ann").expect("made");
    for number in 0..count {
        deliver(store, &mail(&format!("m{number}")), vec![to(inbox(ann))]);
    }
    let odd: Vec<CellIndex> = (0..count).filter(|index| index % 2 == 1).map(CellIndex).collect();
    expunge(store, ann, &odd);
    assert_eq!(store.release_all_for_tests(inbox(ann)).expect("released"), count / 2);
    ann
}

#[test]
fn what_is_live_stays_as_it_was_and_tombstones_go() {
    let place = Place::new();
    let store = place.open();
    let other = place.open_as(1);
    let ann = half_expunged(&store, 300);
    let mut txn = store.begin();
    let keyword = flags(FlagOperation::Add, SystemFlags::FLAGGED, &["work"]);
    txn.store_flags(inbox(ann), &[CellIndex(0), CellIndex(298)], keyword);
    txn.commit().expect("stored");
    other.mailbox(inbox(ann)).expect("there").claim_recent(100);
    let before =
        (live(&store, inbox(ann)), store.mailbox(inbox(ann)).expect("there").status().expect("readable"));
    assert_eq!(other.mailbox(inbox(ann)).expect("there").cell_count().expect("readable"), 300);
    assert_eq!(store.compact_at_once(inbox(ann)).expect("rewritten"), Compaction::Done(150));
    for store in [&store, &other] {
        let open = store.mailbox(inbox(ann)).expect("there");
        assert_eq!((live(store, inbox(ann)), open.status().expect("readable")), before);
        assert_eq!(
            (open.cell_count().expect("readable"), open.released_tombstones().expect("readable")),
            (150, 0)
        );
        assert_eq!(open.first_recent_uid(), 101);
        assert!(open.expunge_floor().expect("readable") > before.0[1].modseq);
        assert_eq!(open.keywords().expect("readable").find("WORK"), Some(0));
    }
    assert_eq!(store.compact_at_once(inbox(ann)).expect("nothing"), Compaction::NothingToGain);

    // Changes go on, from both sides.
    expunge(&other, ann, &[CellIndex(0)]);
    let late = deliver(&store, &mail("late"), vec![to(inbox(ann))]);
    assert_eq!(only_uid(&late), 301);
    assert_eq!(live(&other, inbox(ann)).len(), 150);
    let same = live(&store, inbox(ann));
    drop((store, other));
    let store = place.open();
    assert_eq!(live(&store, inbox(ann)), same);
    assert_eq!(store.compact(inbox(ann)).expect("looked at"), Compaction::NothingToGain, "one is too few");
}

#[test]
fn replay_does_not_bring_back_what_was_expunged_and_forgotten() {
    let place = Place::new();
    let open = |handler: u16| {
        let mut options = place.options(store::WriterChoice::Handler(handler));
        options.pretend_boot_id = Some("one".to_string());
        Store::open(options).expect("opens")
    };
    let (one, other) = (open(0), open(1));
    let ann = half_expunged(&one, 40);
    let gone: Vec<CellIndex> = live_indexes(&other, inbox(ann))[..10].to_vec();
    expunge(&other, ann, &gone);
    other.release_all_for_tests(inbox(ann)).expect("released");
    // What the one did is replayed from the beginning, what the other did is not: the messages come, and are not expunged.
    other.checkpoint().expect("written");
    assert_eq!(other.compact_at_once(inbox(ann)).expect("rewritten"), Compaction::Done(30));
    let same: Vec<_> = live(&one, inbox(ann));
    std::mem::forget((one, other));
    let after = place.folder.path().join("after");
    copy_folder(&place.store_path(), &after);
    let options = |boot: &str| {
        let mut options = store::OpenOptions::new(
            &after,
            place.folder.path().join("run2"),
            store::WriterChoice::Handler(0),
        );
        options.pretend_boot_id = Some(boot.to_string());
        options
    };
    let second = Store::open(options("two")).expect("opens");
    assert_eq!(live(&second, inbox(ann)), same);
    let open = second.mailbox(inbox(ann)).expect("there");
    assert_eq!((open.cell_count().expect("readable"), open.status().expect("readable").exists), (10, 10));
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(from).expect("readable") {
        let entry = entry.expect("readable");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("known").is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}

#[test]
fn a_rewriter_that_died_is_in_nobodys_way() {
    let place = Place::new();
    let store = place.open();
    let other = place.open_as(1);
    let ann = half_expunged(&store, 200);
    let same = live(&store, inbox(ann));
    for died in [
        store::DiedRewriting::BeforeTheFile,
        store::DiedRewriting::BeforeTheName,
        store::DiedRewriting::AfterTheName,
    ] {
        other.mailbox(inbox(ann)).expect("there");
        store.die_rewriting_for_tests(inbox(ann), died);
        for store in [&other, &store] {
            assert_eq!(live(store, inbox(ann)), same, "{died:?}");
            let pin = store.pin(inbox(ann)).expect("there");
            let tried = other.compact_at_once(inbox(ann)).expect("tried");
            assert!(!matches!(tried, Compaction::Done(_)), "it is pinned");
            drop(pin);
            let late = deliver(store, &mail("late"), vec![to(inbox(ann))]);
            let open = store.mailbox(inbox(ann)).expect("there");
            let last = CellIndex(open.cell_count().expect("readable") - 1);
            assert_eq!(open.uid_at(last).expect("there").get(), only_uid(&late));
            expunge(store, ann, &[last]);
        }
        assert_eq!(live(&other, inbox(ann)), same, "{died:?}");
    }
    store.release_all_for_tests(inbox(ann)).expect("released");
    assert!(matches!(store.compact_at_once(inbox(ann)).expect("rewritten"), Compaction::Done(_)));
    assert_eq!(live(&other, inbox(ann)), same);
}

/// What a session knows of its mailbox: the UIDs in the order of sequence numbers.
struct Session {
    view: View,
    uids: Vec<u32>,
    pin: store::Pin,
}

#[test]
fn sessions_of_two_processes_keep_their_sequence_numbers_while_compactions_are_tried_all_the_time() {
    const ROUNDS: u32 = 400;
    let place = Place::new();
    let stores = [place.open_as(0), place.open_as(1)];
    let ann = half_expunged(&stores[0], 100);
    let done = AtomicBool::new(false);
    let (rewritten, refused) = (AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for compacting in &stores {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let _ = compacting.release_all_for_tests(inbox(ann));
                    match compacting.compact_at_once(inbox(ann)).expect("possible") {
                        Compaction::Done(_) => rewritten.fetch_add(1, Ordering::Relaxed),
                        Compaction::Pinned => refused.fetch_add(1, Ordering::Relaxed),
                        Compaction::NothingToGain => 0,
                    };
                }
            });
        }
        let workers: Vec<_> = (0..4u64)
            .map(|worker| {
                let store = &stores[worker as usize % 2];
                scope.spawn(move || work(store, ann, worker, ROUNDS))
            })
            .collect();
        let outcomes: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        done.store(true, Ordering::Relaxed);
        for outcome in outcomes {
            outcome.expect("no session saw a wrong message");
        }
    });
    assert!(rewritten.into_inner() > 0 && refused.into_inner() > 0);
}

/// A session that is opened, parked, brought up to date, and that expunges and changes flags by its own sequence numbers.
fn work(store: &Arc<Store>, ann: UserId, seed: u64, rounds: u32) {
    let mut random = Random::new(seed + 1);
    let mut session: Option<Session> = None;
    for _ in 0..rounds {
        let Some(open) = &mut session else {
            let pin = store.pin(inbox(ann)).expect("there");
            let mailbox = store.mailbox(inbox(ann)).expect("there");
            let view = View::open(&mailbox).expect("readable");
            let uids = view.cells().map(|(_, cell)| mailbox.uid_at(cell).expect("there").get()).collect();
            session = Some(Session { view, uids, pin });
            continue;
        };
        assert_eq!(open.pin.mailbox(), inbox(ann));
        let mailbox = store.mailbox(inbox(ann)).expect("there");
        open.view.ensure_cache(&mailbox).expect("readable");
        match random.below(8) {
            0 => session = None,
            1 => open.view.forget_cache(),
            2 | 3 => {
                let changes = open.view.refresh(&mailbox, Refresh { expunges: true }).expect("readable");
                for (place, uid) in changes.expunged.iter().zip(&changes.expunged_uids) {
                    assert_eq!(open.uids.remove(*place as usize - 1), uid.get());
                }
                for seq in open.uids.len() as u32 + 1..=open.view.exists() {
                    let cell = open.view.cell_of_seq(seq).expect("in view");
                    open.uids.push(mailbox.uid_at(cell).expect("there").get());
                }
            }
            4 if !open.uids.is_empty() => {
                let seq = random.below(open.uids.len() as u64) as u32 + 1;
                let mut txn = store.begin();
                txn.expunge(inbox(ann), &[open.view.cell_of_seq(seq).expect("in view")]);
                let outcome = txn.commit().expect("possible").outcomes;
                let store::txn::Outcome::Expunged(uids, _) = &outcome[..][0] else { panic!() };
                let uid = open.uids[seq as usize - 1];
                assert!(uids.iter().all(|expunged| expunged.get() == uid), "{uids:?}, not {uid}");
            }
            _ => {
                deliver(store, &mail("one more"), vec![to(inbox(ann))]);
            }
        }
        if let Some(open) = &session {
            let mailbox = store.mailbox(inbox(ann)).expect("there");
            let mut view = View::restore(&mailbox, open.view.parked()).expect("readable");
            view.ensure_cache(&mailbox).expect("readable");
            let uids: Vec<u32> =
                view.cells().map(|(_, cell)| mailbox.uid_at(cell).expect("there").get()).collect();
            assert_eq!(uids, open.uids);
        }
    }
}
