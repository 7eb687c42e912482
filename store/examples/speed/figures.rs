//! Single operations, by the clock.

use std::time::Instant;

use crate::common::*;
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
