//! The octets that reach the disk for an octet of mail, the checkpoint and the closing of the store included.

use std::time::{Duration, Instant};

use crate::common::*;
use crate::machine::{made_dirty, written_to_disk};

pub(crate) fn run() {
    for size in [4096, 24 * 1024] {
        for threads in [1, 8] {
            deliveries(size, threads);
        }
    }
    for size in [4096, 24 * 1024] {
        thousand_recipients(size);
    }
}

fn message(size: usize) -> Vec<u8> {
    let mut bytes = mail("figures");
    while bytes.len() < size {
        bytes.extend_from_slice(b"The quick brown fox jumps over the lazy dog, and again and again.\r\n");
    }
    bytes.truncate(size);
    bytes
}

/// As if each message were another.
fn numbered(bytes: &mut [u8], number: usize) {
    let text = format!("{number:012}");
    let end = bytes.len();
    bytes[end - text.len()..].copy_from_slice(text.as_bytes());
}

fn deliveries(size: usize, threads: usize) {
    const COUNT: usize = 3_000;
    let place = Place::on_disk();
    let store = place.open();
    let ann = store.ensure_user("ann").expect("made");
    // What was written before is on the disk, and not counted.
    store.checkpoint().expect("written");
    let (dirty, disk, groups) = (made_dirty(), written_to_disk(), store.counters().commit_groups.get());
    let start = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let store = &store;
            scope.spawn(move || {
                let mut bytes = message(size);
                for number in 0..COUNT / threads {
                    numbered(&mut bytes, number * threads + thread);
                    store.wait(deliver(store, &bytes, vec![to(inbox(ann))]).ticket).expect("durable");
                }
            });
        }
    });
    let took = start.elapsed();
    let groups = store.counters().commit_groups.get() - groups;
    let in_time = made_dirty() - dirty;
    store.close().expect("closed");
    // What is left of the page cache is written by and by.
    std::thread::sleep(Duration::from_millis(50));
    let mail = (size * COUNT) as f64;
    let (dirty, disk) = (made_dirty() - dirty, written_to_disk() - disk);
    println!(
        "{size:>6} octets, {threads} at once: {groups:>5} groups in {took:>6.0?}; made dirty {:.2} x mail, with checkpoint and closing {:.2} x; \
         disk {:.2} x",
        in_time as f64 / mail,
        dirty as f64 / mail,
        disk as f64 / mail
    );
}

fn thousand_recipients(size: usize) {
    let place = Place::on_disk();
    let store = place.open();
    let users: Vec<_> =
        (0..1000).map(|number| store.ensure_user(&format!("user{number}")).expect("made")).collect();
    // The mailboxes have their first block of cells.
    store
        .wait(deliver(&store, &mail("first"), users.iter().map(|user| to(inbox(*user))).collect()).ticket)
        .expect("durable");
    store.checkpoint().expect("written");
    let counters = store.counters();
    let before =
        (counters.bucket_bytes_written.get(), counters.frames.get(), counters.syncs.get(), made_dirty());
    let start = Instant::now();
    let bytes = message(size);
    let committed = deliver(&store, &bytes, users.iter().map(|user| to(inbox(*user))).collect());
    let visible = start.elapsed();
    store.wait(committed.ticket).expect("durable");
    let durable = start.elapsed();
    let in_log = counters.bucket_bytes_written.get() - before.0;
    let dirty = made_dirty() - before.3;
    store.checkpoint().expect("written");
    println!(
        "{size:>6} octets to 1,000 recipients: {} frame of {in_log} octets ({:.2} x the message), {} sync; visible after {visible:.1?}, durable \
         after {durable:.1?}; made dirty {:.1} x, with the cells of 1,000 mailboxes",
        counters.frames.get() - before.1,
        in_log as f64 / size as f64,
        counters.syncs.get() - before.2,
        dirty as f64 / size as f64,
    );
}
