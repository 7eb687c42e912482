//! Single operations, by the clock.

use std::sync::Arc;
use std::time::Instant;

use crate::common::*;
use store::Store;
use store::change::SystemFlags;
use store::ids::{CellIndex, UserId};
use store::txn::{FlagOperation, Outcome};

/// Runs `work` and says what one of `count` cost: by the clock, before any sync.
fn measure(what: &str, count: u32, work: impl FnOnce()) {
    let start = Instant::now();
    work();
    let each = start.elapsed() / count;
    println!("{what:<48} {each:>12.2?}");
}

/// What it costs that nothing is read unverified: beside the bare reading of the same octets.
fn reading(store: &Arc<Store>, place: &Place, ann: UserId) {
    use std::os::unix::fs::FileExt;
    let mut big = mail("big");
    big.extend((0..25_000_000u32).map(|at| (at % 251) as u8));
    store.wait(deliver(store, &big, vec![to(inbox(ann))]).ticket).expect("durable");
    let cells = live(store, inbox(ann));
    let messages: Vec<_> = cells.iter().map(|cell| store.message(cell.message).expect("there")).collect();
    let (large, small) = messages.split_last().expect("filled");
    let mut octets = Vec::with_capacity(8192);
    measure("read a body of 4 KB, verified", small.len() as u32, || {
        for message in small {
            octets.clear();
            store.read_range(message, 0..u64::MAX, &mut octets).expect("whole");
        }
    });
    let mut files = Vec::new();
    let mut folders = vec![place.store_path().join("p0/pages")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("there") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    let length = |path: &std::path::PathBuf| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    files.sort_by_key(length);
    let bucket = std::fs::File::open(files.last().expect("a bucket")).expect("there");
    let mut piece = vec![0; 4096];
    measure("pread of 4 KB, for comparison", 20_000, || {
        for number in 0..20_000 {
            bucket.read_exact_at(&mut piece, number * 4200 % 20_000_000).expect("there");
        }
    });
    measure("read 100 octets of 25 MB, verified", 20_000, || {
        for number in 0..20_000u64 {
            octets.clear();
            let start = number * 1201;
            store.read_range(large, start..start + 100, &mut octets).expect("whole");
        }
    });
    measure("lend 25 MB and verify it", 20, || {
        for _ in 0..20 {
            let mut lent = store.file_range(large, 0..u64::MAX).expect("whole");
            while !lent.is_empty() {
                let verified = lent.verified().expect("whole");
                lent.advance(verified).expect("whole");
            }
        }
    });
    let mut piece = vec![0; 65_536];
    measure("pread of 25 MB by 64 KiB, for comparison", 20, || {
        for _ in 0..20 {
            for number in 0..380 {
                bucket.read_exact_at(&mut piece, number * 65_536).expect("there");
            }
        }
    });
}

pub(crate) fn run() {
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
    reading(&store, &place, ann);
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
