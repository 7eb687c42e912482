//! Durable deliveries of 4 KB beside what the disk can do, and beside the Maildir pattern, in turn and on the same disk; and deliveries and flag changes
//! together beside each of them alone.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::common::*;
use crate::machine::process_time_us;
use store::Store;
use store::change::SystemFlags;
use store::ids::CellIndex;
use store::txn::FlagOperation;

const SIZE: usize = 4096;
const ROUNDS: usize = 3;
/// How long each is measured, each time.
const MEASURED: Duration = Duration::from_millis(500);
/// Octets of the file of zeros. Who comes to its end begins anew.
const RAW_BYTES: u64 = 64 << 20;

pub(crate) fn run() {
    for threads in [1, 32] {
        let mut raw = Vec::new();
        let mut maildir = Vec::new();
        let mut ours = Vec::new();
        for _ in 0..ROUNDS {
            raw.push(raw_group_commit(threads));
            maildir.push(maildir_pattern(threads));
            ours.push(deliveries(threads));
        }
        let ((raw, raw_us), (maildir, maildir_us), (ours, ours_us)) =
            (median(raw), median(maildir), median(ours));
        println!(
            "{threads:>2} at once, messages a second (µs of processor each): raw group commit {raw:.0} ({raw_us:.0}), Maildir pattern {maildir:.0} \
             ({maildir_us:.0}), deliveries {ours:.0} ({ours_us:.0}): {:.2} of raw, {:.1} x Maildir",
            ours / raw,
            ours / maildir
        );
    }
    let mut alone = [Vec::new(), Vec::new()];
    let mut together = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (number, (deliverers, changers)) in [(4, 0), (0, 4), (4, 4)].into_iter().enumerate() {
            let (delivered, changed) = mixed(deliverers, changers);
            match number {
                0 => alone[0].push(delivered),
                1 => alone[1].push(changed),
                _ => {
                    together[0].push(delivered);
                    together[1].push(changed);
                }
            }
        }
    }
    let [delivered, changed] = alone.map(median);
    let [both_delivered, both_changed] = together.map(median);
    println!(
        "4 deliver: {delivered:.0} a second; 4 change flags: {changed:.0} a second; together {both_delivered:.0} ({:.2}) and {both_changed:.0} ({:.2})",
        both_delivered / delivered,
        both_changed / changed
    );
}

/// The middle one of measurements, by what they say first.
fn median<T: PartialOrd + Copy>(mut figures: Vec<T>) -> T {
    figures.sort_by(|one, other| one.partial_cmp(other).expect("numbers"));
    figures[figures.len() / 2]
}

/// How many a second, if each of `threads` does `work` again and again for a while; and the microseconds of processor for each.
fn rate(threads: usize, work: impl Fn(usize, usize) + Sync) -> (f64, f64) {
    let (start, processor, done) = (Instant::now(), process_time_us(), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (work, done) = (&work, &done);
            scope.spawn(move || {
                let mut number = 0;
                while start.elapsed() < MEASURED {
                    work(thread, number);
                    number += 1;
                }
                done.fetch_add(number as u64, Ordering::Relaxed);
            });
        }
    });
    let (took, done) = (start.elapsed().as_secs_f64(), done.into_inner() as f64);
    (done / took, (process_time_us() - processor) / done)
}

/// The least that a log can do: blocks go one behind the other into a file of zeros, and whoever comes while nobody syncs does so for all.
fn raw_group_commit(threads: usize) -> (f64, f64) {
    #[derive(Default)]
    struct Group {
        written: u64,
        synced: u64,
        syncing: bool,
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = File::options().read(true).write(true).create_new(true).open(folder.path().join("log"));
    let file = file.expect("made");
    let zeros = vec![0; 1 << 20];
    for at in (0..RAW_BYTES).step_by(zeros.len()) {
        file.write_all_at(&zeros, at).expect("space");
    }
    file.sync_all().expect("synced");
    let (tail, group, changed) = (AtomicU64::new(0), Mutex::new(Group::default()), Condvar::new());
    let block = [b'x'; SIZE];
    rate(threads, |_, _| {
        let at = tail.fetch_add(SIZE as u64, Ordering::Relaxed) % RAW_BYTES;
        file.write_all_at(&block, at).expect("space");
        let mut state = group.lock().expect("no panic");
        state.written += 1;
        let own = state.written;
        while state.synced < own {
            if state.syncing {
                state = changed.wait(state).expect("no panic");
                continue;
            }
            state.syncing = true;
            let upto = state.written;
            drop(state);
            file.sync_data().expect("synced");
            state = group.lock().expect("no panic");
            state.syncing = false;
            state.synced = upto;
            changed.notify_all();
        }
    })
}

/// Write, sync, rename, sync the folder.
fn maildir_pattern(threads: usize) -> (f64, f64) {
    let folder = tempfile::tempdir().expect("a folder");
    let of = |thread: usize, name: &str| folder.path().join(format!("user{thread}")).join(name);
    for thread in 0..threads {
        for name in ["tmp", "new"] {
            std::fs::create_dir_all(of(thread, name)).expect("made");
        }
    }
    let sync_folder = |path: &Path| File::open(path).and_then(|folder| folder.sync_all()).expect("synced");
    let block = [b'x'; SIZE];
    rate(threads, |thread, number| {
        let (new, name) = (of(thread, "new"), number.to_string());
        let temporary = of(thread, "tmp").join(&name);
        let file = File::options().write(true).create_new(true).open(&temporary).expect("made");
        file.write_all_at(&block, 0).expect("space");
        file.sync_all().expect("synced");
        std::fs::rename(&temporary, new.join(&name)).expect("renamed");
        sync_folder(&new);
    })
}

fn message(thread: usize, number: usize) -> Vec<u8> {
    let mut bytes = mail(&format!("{thread}-{number}"));
    while bytes.len() < SIZE {
        bytes.extend_from_slice(b"The quick brown fox jumps over the lazy dog, and again and again.\r\n");
    }
    bytes
}

/// Messages come octet by octet through the scanner, get their record, directory cell and mailbox cell, and are waited for.
fn deliveries(threads: usize) -> (f64, f64) {
    let place = Place::on_disk();
    let store = place.open();
    let users: Vec<_> =
        (0..threads).map(|thread| store.ensure_user(&format!("user{thread}")).expect("made")).collect();
    let messages: Vec<Vec<u8>> = (0..64).map(|number| message(0, number)).collect();
    rate(threads, |thread, number| {
        let bytes = &messages[number % messages.len()];
        store.wait(deliver(&store, bytes, vec![to(inbox(users[thread]))]).ticket).expect("durable");
    })
}

/// Deliveries and flag changes a second, each by so many, for a while.
fn mixed(deliverers: usize, changers: usize) -> (f64, f64) {
    let place = Place::on_disk();
    let store = place.open();
    let ann = store.ensure_user("ann").expect("made");
    for number in 0..100 {
        deliver(&store, &message(0, number), vec![to(inbox(ann))]);
    }
    let start = Instant::now();
    let until = start + MEASURED;
    let (delivered, changed) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for thread in 0..deliverers {
            let (store, delivered) = (&store, &delivered);
            scope.spawn(move || {
                let bytes = message(thread, 0);
                while Instant::now() < until {
                    store.wait(deliver(store, &bytes, vec![to(inbox(ann))]).ticket).expect("durable");
                    delivered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for thread in 0..changers {
            let (store, changed) = (&store, &changed);
            scope.spawn(move || change_flags(store, ann, CellIndex(thread as u32), until, changed));
        }
    });
    let seconds = start.elapsed().as_secs_f64();
    (delivered.into_inner() as f64 / seconds, changed.into_inner() as f64 / seconds)
}

fn change_flags(
    store: &Arc<Store>,
    ann: store::UserId,
    cell: CellIndex,
    until: Instant,
    changed: &AtomicU64,
) {
    let mut operation = FlagOperation::Add;
    while Instant::now() < until {
        let mut txn = store.begin();
        txn.store_flags(inbox(ann), &[cell], flags(operation, SystemFlags::DRAFT, &[]));
        store.wait(txn.commit().expect("stored").ticket).expect("durable");
        changed.fetch_add(1, Ordering::Relaxed);
        operation = if operation == FlagOperation::Add { FlagOperation::Remove } else { FlagOperation::Add };
    }
}
