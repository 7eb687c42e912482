//! What a store does, operation by operation, and what it does not touch.

mod common;

use std::sync::Arc;

use common::*;
use store::change::{SpecialUse, SystemFlags};
use store::ids::{CellIndex, MailboxId, Ticket};
use store::txn::{FlagOperation, Outcome, Refused};
use store::{ChangeError, Store, StoreError, WriterChoice};

#[test]
fn a_message_is_delivered_and_read_back_also_after_reopening() {
    let place = Place::new();
    let store = place.open();
    assert_eq!(store.find_user("ann").expect("readable"), None);
    let ann = store.ensure_user("ann").expect("made");
    assert_eq!(store.ensure_user("ann").expect("there"), ann);
    let bytes = mail("one");
    let committed = deliver(&store, &bytes, vec![to(inbox(ann))]);
    assert_eq!(only_uid(&committed), 1);
    assert_eq!(committed.touched, [inbox(ann)]);
    store.wait(committed.ticket).expect("durable");
    let check = |store: &Store| {
        let cells = live(store, inbox(ann));
        assert_eq!(cells.len(), 1);
        assert_eq!(cells[0].size as usize, bytes.len());
        assert_eq!(cells[0].internal_date, DATE);
        assert_eq!(body(store, cells[0].message), bytes);
        let record = store.record(cells[0].message).expect("analysed");
        assert_eq!(message::Record::parse(&record).expect("whole").size(), bytes.len() as u64);
        assert_eq!(store.counters().reanalysed.get(), 0);
        let stored = store.message(cells[0].message).expect("there");
        let range = store.file_range(&stored, 5..20).expect("there");
        assert_eq!(range.len(), 15);
    };
    check(&store);
    store.close().expect("closed");
    assert!(matches!(store.draft(), Err(StoreError::Failed(_))));
    drop(store);
    let store = place.open_as(1);
    check(&store);
    assert_eq!(store.users().expect("readable"), [(ann, "ann".to_string())]);
    assert_eq!(only_uid(&deliver(&store, &bytes, vec![to(inbox(ann))])), 2);
}

#[test]
fn big_messages_are_streamed_and_aborted_ones_leave_nothing() {
    let place = Place::new();
    let store = place.open();
    let ann = store.ensure_user("ann").expect("made");
    let mut big = mail("big");
    big.extend((0..3_000_000u32).map(|at| (at % 251) as u8));
    let mut aborted = store.draft().expect("open");
    aborted.write(&big).expect("space");
    drop(aborted);
    for _ in 0..3 {
        store.wait(deliver(&store, &big, vec![to(inbox(ann))]).ticket).expect("durable");
        store.wait(deliver(&store, &mail("small"), vec![to(inbox(ann))]).ticket).expect("durable");
    }
    drop(store);
    let store = place.open();
    let cells = live(&store, inbox(ann));
    assert_eq!(cells.len(), 6);
    assert_eq!(body(&store, cells[4].message), big);
    assert_eq!(body(&store, cells[5].message), mail("small"));
    let before = store.counters().bucket_bytes_read.get();
    let stored = store.message(cells[4].message).expect("there");
    let mut part = Vec::new();
    store.read_range(&stored, 1_000_000..1_000_100, &mut part).expect("readable");
    assert_eq!(part, &big[1_000_000..1_000_100]);
    assert_eq!(store.counters().bucket_bytes_read.get() - before, 16_384, "one block, to verify it");
    // One file holds all of the big ones, one behind the other.
    let page = std::fs::read_dir(place.store_path().join("p0/pages")).expect("there").next().expect("a page");
    let files = std::fs::read_dir(page.expect("readable").path()).expect("there");
    let buckets = files.filter(|file| {
        file.as_ref().is_ok_and(|file| file.file_name().to_string_lossy().starts_with("bucket"))
    });
    assert_eq!(buckets.count(), 2);
}

#[test]
fn a_thousand_recipients_cost_one_frame() {
    let place = Place::new();
    let store = place.open();
    let users: Vec<_> =
        (0..1000).map(|number| store.ensure_user(&format!("user{number}")).expect("made")).collect();
    let before = (store.counters().frames.get(), store.counters().bucket_bytes_written.get());
    let gone = MailboxId { user: users[0], number: 99 };
    let mut recipients: Vec<_> = users.iter().map(|user| to(inbox(*user))).collect();
    recipients.push(to(gone));
    let bytes = mail("everybody");
    let committed = deliver(&store, &bytes, recipients);
    store.wait(committed.ticket).expect("durable");
    assert_eq!(store.counters().frames.get(), before.0 + 1);
    let written = store.counters().bucket_bytes_written.get() - before.1;
    assert!(written < bytes.len() as u64 + 20 * 1000 + 200, "{written} octets");
    let [Outcome::Delivered(results)] = &committed.outcomes[..] else { panic!("{:?}", committed.outcomes) };
    assert!(results[..1000].iter().all(Result::is_ok));
    assert_eq!(results[1000], Err(Refused::NoSuchMailbox));
    for user in &users {
        assert_eq!(body(&store, live(&store, inbox(*user))[0].message), bytes);
    }
    let nobody = deliver(&store, &bytes, vec![to(gone)]);
    assert_eq!(nobody.ticket, Ticket(0));
}

#[test]
fn a_copy_moves_no_message_bytes_and_flags_read_no_record() {
    let place = Place::new();
    let store = place.open();
    let ann = store.ensure_user("ann").expect("made");
    let mut txn = store.begin();
    txn.create_mailbox(ann, "Work/Old", None);
    let committed = txn.commit().expect("made");
    let [Outcome::Created(old)] = committed.outcomes[..] else { panic!("{:?}", committed.outcomes) };
    let mut big = mail("big");
    big.resize(25_000_000, b'x');
    let mut delivery = to(inbox(ann));
    delivery.keywords = vec!["$Label".to_string()];
    delivery.flags = SystemFlags::SEEN;
    deliver(&store, &big, vec![delivery]);
    let counters = store.counters();
    let all = || {
        (
            counters.bucket_bytes_read.get(),
            counters.bucket_bytes_written.get(),
            counters.record_reads.get(),
            counters.preads.get(),
        )
    };
    let before = (all(), counters.journal_bytes_written.get(), counters.cells_added.get());
    let mut txn = store.begin();
    txn.copy(inbox(ann), &[CellIndex(0), CellIndex(77)], old);
    let committed = txn.commit().expect("copied");
    store.wait(committed.ticket).expect("durable");
    let [Outcome::Copied(copied)] = &committed.outcomes[..] else { panic!("{:?}", committed.outcomes) };
    assert_eq!(copied.uids.len(), 1);
    assert_eq!(all(), before.0);
    assert_eq!(counters.cells_added.get(), before.2 + 1);
    // One frame for the copy, one for the keyword that the other mailbox did not have: it is in the same frame.
    assert!(counters.journal_bytes_written.get() - before.1 <= 160);
    let copy = live(&store, old)[0];
    assert_eq!(copy.flags.system, SystemFlags::SEEN);
    let keywords = store.mailbox(old).expect("there").keywords().expect("readable");
    assert_eq!(keywords.find("$label").map(|bit| 1 << bit), Some(copy.flags.keywords));
    assert_eq!(copy.message, live(&store, inbox(ann))[0].message);

    let mut txn = store.begin();
    txn.store_flags(old, &[CellIndex(0)], flags(FlagOperation::Add, SystemFlags::FLAGGED, &["$new"]));
    let committed = txn.commit().expect("stored");
    let [Outcome::Flags(changed)] = &committed.outcomes[..] else { panic!("{:?}", committed.outcomes) };
    assert_eq!(changed.messages.len(), 1);
    assert!(changed.modseq > copy.modseq);
    let mut txn = store.begin();
    txn.store_flags(old, &[CellIndex(0)], flags(FlagOperation::Add, SystemFlags::FLAGGED, &[]));
    let committed = txn.commit().expect("stored");
    assert_eq!(committed.ticket, Ticket(0), "nothing was altered");
    let mut txn = store.begin();
    txn.store_flags(
        old,
        &[CellIndex(0)],
        flags(FlagOperation::Remove, SystemFlags::SEEN, &["$NEW", "$unknown"]),
    );
    txn.commit().expect("stored");
    assert_eq!(live(&store, old)[0].flags.system, SystemFlags::FLAGGED);
    assert_eq!(live(&store, old)[0].flags.keywords, copy.flags.keywords);
    assert_eq!(all(), before.0);
}

#[test]
fn a_moved_message_leaves_its_mailbox_and_an_expunged_one_its_tombstone() {
    let place = Place::new();
    let store = place.open();
    let ann = store.ensure_user("ann").expect("made");
    let mut txn = store.begin();
    txn.create_mailbox(ann, "Trash", Some(SpecialUse::Trash));
    let [Outcome::Created(trash)] = txn.commit().expect("made").outcomes[..] else { panic!() };
    for text in ["a", "b", "c"] {
        deliver(&store, &mail(text), vec![to(inbox(ann))]);
    }
    let mut txn = store.begin();
    txn.move_messages(inbox(ann), &[CellIndex(2), CellIndex(0)], trash);
    let committed = txn.commit().expect("moved");
    assert_eq!(committed.touched.len(), 2);
    assert_eq!(live(&store, inbox(ann)).len(), 1);
    let moved = live(&store, trash);
    assert_eq!(body(&store, moved[0].message), mail("a"));
    assert_eq!(body(&store, moved[1].message), mail("c"));
    let mut txn = store.begin();
    txn.copy(inbox(ann), &[CellIndex(0), CellIndex(1)], trash);
    let [Outcome::Copied(copied)] = &txn.commit().expect("copied").outcomes[..] else { panic!() };
    assert_eq!(copied.uids.len(), 1, "an expunged cell is passed over");
    let mut txn = store.begin();
    txn.expunge(trash, &live_indexes(&store, trash));
    let committed = txn.commit().expect("expunged");
    let [Outcome::Expunged(uids, _)] = &committed.outcomes[..] else { panic!() };
    assert_eq!(uids.iter().map(|uid| uid.get()).collect::<Vec<_>>(), [1, 2, 3]);
    store.wait(committed.ticket).expect("durable");
    assert_eq!(store.mailbox(trash).expect("there").status().expect("readable").uid_next, 4);
    assert_eq!(live(&store, trash).len(), 0);
}

#[test]
fn mailboxes_are_made_renamed_deleted_and_subscribed() {
    let place = Place::new();
    let store = place.open();
    let ann = store.ensure_user("ann").expect("made");
    let mut txn = store.begin();
    txn.create_mailbox(ann, "Lists/Rust", None);
    txn.subscribe(ann, "Lists/Rust", true);
    txn.commit().expect("made");
    let mut txn = store.begin();
    txn.create_mailbox(ann, "Lists/Rust", None);
    assert!(matches!(txn.commit(), Err(ChangeError::MailboxExists)));
    deliver(&store, &mail("kept"), vec![to(inbox(ann))]);
    let mut txn = store.begin();
    txn.rename_mailbox(ann, "INBOX", "Archive/2026");
    let committed = txn.commit().expect("renamed");
    store.wait(committed.ticket).expect("durable");
    let list = store.mailbox_list(ann).expect("readable");
    let archive = list.find("Archive/2026").expect("made").number;
    let archive = MailboxId { user: ann, number: archive };
    assert_eq!(body(&store, live(&store, archive)[0].message), mail("kept"));
    assert!(live(&store, inbox(ann)).is_empty());
    assert!(list.is_subscribed("Lists/Rust"));
    let mut txn = store.begin();
    txn.rename_mailbox(ann, "Lists", "Groups");
    txn.commit().expect("renamed");
    let list = store.mailbox_list(ann).expect("readable");
    assert!(list.find("Lists/Rust").is_none());
    assert!(list.find("Groups/Rust").is_some());
    let held = store.mailbox(archive).expect("there");
    let mut txn = store.begin();
    txn.delete_mailbox(ann, "Archive/2026");
    let committed = txn.commit().expect("deleted");
    store.wait(committed.ticket).expect("durable");
    assert!(held.is_deleted().expect("readable"));
    assert!(matches!(store.mailbox(archive), Err(StoreError::NotFound(_))));
    let mut txn = store.begin();
    txn.expunge(archive, &[CellIndex(0)]);
    assert!(matches!(txn.commit(), Err(ChangeError::NoSuchMailbox)));
    let mut txn = store.begin();
    txn.delete_user(ann);
    store.wait(txn.commit().expect("deleted").ticket).expect("durable");
    assert_eq!(store.find_user("ann").expect("readable"), None);
    let another = store.ensure_user("ann").expect("made");
    assert_ne!(another, ann);
    assert!(live(&store, inbox(another)).is_empty());
    drop((store, held));
    let store = place.open();
    assert_eq!(store.users().expect("readable"), [(another, "ann".to_string())]);
}

#[test]
fn records_are_made_again_when_they_are_gone() {
    let place = Place::new();
    let store = place.open();
    let ann = store.ensure_user("ann").expect("made");
    for number in 0..200 {
        deliver(&store, &mail(&format!("message{number}")), vec![to(inbox(ann))]);
    }
    let cells = live(&store, inbox(ann));
    let mut reader = store.records();
    let before = store.counters().preads.get();
    let mut records = Vec::new();
    for cell in &cells {
        records.push(reader.record(cell.message).expect("there").to_vec());
    }
    let preads = store.counters().preads.get() - before;
    assert!(preads < 20, "{preads} preads for 200 records");
    drop(reader);
    let page = std::fs::read_dir(place.store_path().join("p0/pages")).expect("there").next().expect("a page");
    let file = page.expect("readable").path().join("records.0");
    let mut damaged = std::fs::read(&file).expect("there");
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    damaged.truncate(middle + 10);
    std::fs::write(&file, damaged).expect("written");
    let mut reader = store.records();
    for (cell, record) in cells.iter().zip(&records) {
        assert_eq!(reader.record(cell.message).expect("made again"), record);
    }
    let reanalysed = store.counters().reanalysed.get();
    assert!((90..=110).contains(&reanalysed), "{reanalysed}");
    for cell in &cells {
        store.record(cell.message).expect("there");
    }
    assert_eq!(store.counters().reanalysed.get(), reanalysed, "what was made again is kept");
}

#[test]
fn a_store_has_one_locks_file() {
    let place = Place::new();
    let store = place.open();
    let mut options = place.options(WriterChoice::Tool);
    options.runtime_dir = place.folder.path().join("elsewhere");
    let error = Store::open(options).expect_err("refused").to_string();
    assert!(error.contains("/run/locks"), "{error}");
    let tool = Store::open(place.options(WriterChoice::Tool)).expect("opens");
    assert_eq!((store.writer(), tool.writer()), (0, 64));
    drop((store, tool));
    // Nobody has it open: it can be taken up with another runtime folder.
    let mut options = place.options(WriterChoice::Tool);
    options.runtime_dir = place.folder.path().join("elsewhere");
    Store::open(options).expect("opens");
}

#[test]
fn a_callback_may_be_the_last_to_hold_the_store() {
    let place = Place::new();
    let store = place.open();
    let ann = store.ensure_user("ann").expect("made");
    let last = std::sync::Mutex::new(None);
    let (dropped, was_dropped) = std::sync::mpsc::channel();
    let held = Arc::new(last);
    let holder = Arc::clone(&held);
    store.on_durable(Box::new(move |_| {
        if let Some(store) = holder.lock().expect("whole").take() {
            // Here the commit thread closes the store.
            drop::<Arc<Store>>(store);
            dropped.send(()).expect("waited for");
        }
    }));
    let mut slot = held.lock().expect("whole");
    deliver(&store, &mail("one"), vec![to(inbox(ann))]);
    *slot = Some(store);
    drop(slot);
    let time = std::time::Duration::from_secs(20);
    was_dropped.recv_timeout(time).expect("closed");
    let store = place.open();
    assert_eq!(live(&store, inbox(ann)).len(), 1);
}

#[test]
fn threads_share_syncs() {
    let place = Place::new();
    let store = place.open();
    let ann = store.ensure_user("ann").expect("made");
    // A disk that takes its time, whatever the machine has.
    store.pretend_slow_syncs(3);
    let before = store.counters().syncs.get();
    std::thread::scope(|scope| {
        for thread in 0..64 {
            let store = &store;
            scope.spawn(move || {
                for number in 0..20 {
                    let text = format!("{thread}.{number}");
                    store.wait(deliver(store, &mail(&text), vec![to(inbox(ann))]).ticket).expect("durable");
                }
            });
        }
    });
    let syncs = store.counters().syncs.get() - before;
    assert!(syncs < 64 * 20 / 8, "{syncs} syncs for 1280 commits");
    let uids: Vec<u32> = live(&store, inbox(ann)).iter().map(|cell| cell.uid.get()).collect();
    assert_eq!(uids, (1..=1280).collect::<Vec<u32>>());
}

#[test]
fn tickets_become_durable_in_their_order_whatever_log_is_synced_first() {
    let place = Place::new();
    let store = place.open();
    let ann = store.ensure_user("ann").expect("made");
    deliver(&store, &mail("first"), vec![to(inbox(ann))]);
    store.pretend_slow_syncs(2);
    let told = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let telling = std::sync::Arc::clone(&told);
    store.on_durable(Box::new(move |ticket| telling.lock().expect("whole").push(ticket)));
    std::thread::scope(|scope| {
        for thread in 0..8u32 {
            let store = &store;
            scope.spawn(move || {
                for number in 0..30 {
                    let ticket = match thread % 4 {
                        0 => {
                            deliver(store, &mail(&format!("{thread}.{number}")), vec![to(inbox(ann))]).ticket
                        }
                        // One that takes a bucket for itself.
                        1 => deliver(store, &vec![b'x'; 140_000], vec![to(inbox(ann))]).ticket,
                        _ => {
                            let operation =
                                if number % 2 == 0 { FlagOperation::Add } else { FlagOperation::Remove };
                            let mut txn = store.begin();
                            let keyword = if thread == 2 { SystemFlags::SEEN } else { SystemFlags::FLAGGED };
                            txn.store_flags(inbox(ann), &[CellIndex(0)], flags(operation, keyword, &[]));
                            txn.commit().expect("stored").ticket
                        }
                    };
                    store.wait(ticket).expect("durable");
                    assert!(store.durable_ticket() >= ticket);
                }
            });
        }
    });
    store.close().expect("closed");
    let told = told.lock().expect("whole");
    assert!(told.is_sorted(), "{told:?}");
    assert_eq!(told.last().copied(), Some(store.durable_ticket()));
}
