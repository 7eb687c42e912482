//! What operations cost, printed: `cargo run --release -p store --example speed`; with `-- octets`, the bytes that reach the disk.

#[path = "../tests/common/mod.rs"]
mod common;

use std::time::Instant;

use common::*;
use store::change::SystemFlags;
use store::ids::CellIndex;
use store::txn::{FlagOperation, Outcome};

/// Runs `work` and says what one of `count` cost: by the clock, before any sync.
fn measure(what: &str, count: u32, work: impl FnOnce()) {
    let start = Instant::now();
    work();
    let each = start.elapsed() / count;
    println!("{what:<48} {each:>12.2?}");
}

fn main() {
    if std::env::args().nth(1).as_deref() == Some("octets") {
        octets_written_for_an_octet_of_mail();
    } else {
        figures();
    }
}

fn figures() {
    let place = Place::on_disk();
    let store = place.open();
    let ann = store.ensure_user("ann").expect("made");
    let mut txn = store.begin();
    txn.create_mailbox(ann, "Other", None);
    let [Outcome::Created(other)] = txn.commit().expect("made").outcomes[..] else { panic!() };
    let mut bytes = mail("figures");
    while bytes.len() < 4096 {
        bytes.extend_from_slice(b"The quick brown fox jumps over the lazy dog, and again and again.\r\n");
    }
    let mut last = None;
    measure("draft of 4 KB, not delivered", 20_000, || {
        for _ in 0..20_000 {
            let mut draft = store.draft().expect("open");
            draft.write(&bytes).expect("space");
            draft.finish().expect("space");
        }
    });
    measure("deliver 4 KB to one mailbox, with its draft", 20_000, || {
        for _ in 0..20_000 {
            last = Some(deliver(&store, &bytes, vec![to(inbox(ann))]).ticket);
        }
    });
    measure("wait for the last of them", 1, || store.wait(last.expect("one")).expect("durable"));
    measure("deliver 4 KB and wait", 200, || {
        for _ in 0..200 {
            store.wait(deliver(&store, &bytes, vec![to(inbox(ann))]).ticket).expect("durable");
        }
    });
    let cells: Vec<CellIndex> = (0..1000).map(CellIndex).collect();
    measure("copy 1,000 messages", 20, || {
        for _ in 0..20 {
            let mut txn = store.begin();
            txn.copy(inbox(ann), &cells, other);
            txn.commit().expect("copied");
        }
    });
    measure("store flags of one message", 10_000, || {
        for number in 0..10_000u32 {
            let mut txn = store.begin();
            let operation = if number % 2 == 0 { FlagOperation::Add } else { FlagOperation::Remove };
            txn.store_flags(other, &[CellIndex(number % 500)], flags(operation, SystemFlags::SEEN, &[]));
            txn.store_flags(
                inbox(ann),
                &[CellIndex(number)],
                flags(FlagOperation::Add, SystemFlags::SEEN, &[]),
            );
            txn.commit().expect("stored");
        }
    });
    let inbox_cells = live(&store, inbox(ann));
    measure("read a record, neighbours in order", 10_000, || {
        let mut reader = store.records();
        for cell in &inbox_cells[..10_000] {
            reader.record(cell.message).expect("there");
        }
    });
    measure("read 4 KB of a message", 10_000, || {
        for cell in &inbox_cells[..10_000] {
            body(&store, cell.message);
        }
    });
    let users: Vec<_> =
        (0..50).map(|number| store.ensure_user(&format!("user{number}")).expect("made")).collect();
    measure("deliver 4 KB to 50 mailboxes", 1000, || {
        for _ in 0..1000 {
            deliver(&store, &bytes, users.iter().map(|user| to(inbox(*user))).collect());
        }
    });
    measure("32 threads deliver 4 KB and wait, each", 16_000, || {
        std::thread::scope(|scope| {
            for _ in 0..32 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        store.wait(deliver(&store, &bytes, vec![to(inbox(ann))]).ticket).expect("durable");
                    }
                });
            }
        });
    });
    measure("16 threads deliver or store flags, and wait, each", 8_000, || {
        std::thread::scope(|scope| {
            for thread in 0..16 {
                let (store, bytes) = (&store, &bytes);
                scope.spawn(move || {
                    for number in 0..500u32 {
                        let ticket = if thread % 2 == 0 {
                            deliver(store, bytes, vec![to(inbox(ann))]).ticket
                        } else {
                            let mut txn = store.begin();
                            let operation =
                                if number % 2 == 0 { FlagOperation::Add } else { FlagOperation::Remove };
                            let change = flags(operation, SystemFlags::DRAFT, &[]);
                            txn.store_flags(other, &[CellIndex(thread)], change);
                            txn.commit().expect("stored").ticket
                        };
                        store.wait(ticket).expect("durable");
                    }
                });
            }
        });
    });
    println!("{:?}", store.counters());
}

/// What the kernel says that this process had written, in octets (`write_bytes` of `/proc/self/io`: pages made dirty).
fn made_dirty() -> u64 {
    let text = std::fs::read_to_string("/proc/self/io").expect("readable");
    let line = text.lines().find_map(|line| line.strip_prefix("write_bytes: ")).expect("there");
    line.parse().expect("a number")
}

/// What the block device under the folder of tests has written, in octets.
fn written_to_disk() -> u64 {
    let text = std::fs::read_to_string("/proc/diskstats").expect("readable");
    let device = std::env::var("LODE_DEVICE").unwrap_or_else(|_| "vda".to_string());
    let row = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let row = row.into_iter().find(|row| row.get(2) == Some(&device.as_str()));
    row.and_then(|row| row.get(9)?.parse::<u64>().ok()).unwrap_or(0) * 512
}

fn octets_written_for_an_octet_of_mail() {
    for threads in [1, 8] {
        let place = Place::on_disk();
        let store = place.open();
        let ann = store.ensure_user("ann").expect("made");
        let mut bytes = mail("figures");
        bytes.resize(4096, b'x');
        let (dirty, disk) = (made_dirty(), written_to_disk());
        let groups = store.counters().commit_groups.get();
        let start = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    for _ in 0..3_000 / threads {
                        store.wait(deliver(&store, &bytes, vec![to(inbox(ann))]).ticket).expect("durable");
                    }
                });
            }
        });
        let mail = (bytes.len() * 3_000) as f64;
        let groups = store.counters().commit_groups.get() - groups;
        let (dirty, disk) = (made_dirty() - dirty, written_to_disk() - disk);
        println!(
            "{threads} at once, {groups} groups, {:.0?}: pages made dirty {:.1} MB ({:.1} x mail), disk {:.1} MB ({:.1} x)",
            start.elapsed(),
            dirty as f64 / 1e6,
            dirty as f64 / mail,
            disk as f64 / 1e6,
            disk as f64 / mail
        );
    }
}
