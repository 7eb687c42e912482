//! What is large: one mailbox of very many messages, a store of very many users and directory cells; and what it takes to open them after a crash and
//! after a power cut. Each phase is a process of its own, so that times and memory are those of a process that has just begun.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::common::*;
use crate::machine::{memory, processor_time_ns};
use store::change::SystemFlags;
use store::ids::{CellIndex, MailboxId, UserId};
use store::txn::FlagOperation;
use store::view::{Refresh, View};
use store::{OpenOptions, Store, WriterChoice};

/// Messages that are copied at a time.
const BATCH: u32 = 50_000;

pub(crate) fn run(arguments: &[String]) {
    let number =
        |place: usize, usual: u32| arguments.get(place).map_or(usual, |text| text.parse().expect("a number"));
    if arguments.first().is_some_and(|first| first == "phase") {
        return phase(&arguments[1..]);
    }
    let (messages, users, cells) = (number(0, 1_000_000), number(1, 10_000), number(2, 1_000_000));
    let place = Place::on_disk();
    let run = |phase: &str, boot: &str, count: u32| {
        let status = Command::new(std::env::current_exe().expect("known"))
            .args(["large", "phase", phase, boot, &count.to_string()])
            .arg(place.folder.path())
            .status();
        assert!(status.is_ok_and(|status| status.code() == Some(7)), "{phase} failed");
    };
    println!("one mailbox of {messages} messages:");
    run("make-mailbox", "one", messages);
    run("mailbox", "one", messages);
    println!(" after a crash:");
    run("mailbox", "one", messages);
    println!(" after a power cut:");
    run("mailbox", "two", messages);
    for some in [100, users] {
        println!("{some} users in all, after a crash, and after a power cut:");
        run("make-users", "two", some);
        run("login", "two", some);
        run("login", &format!("three{some}"), some);
        run("login", "two", some);
    }
    println!("{cells} directory cells more:");
    run("make-cells", "two", cells);
    for boot in ["two", "four"] {
        run("login", boot, users);
        run("mailbox", boot, messages);
    }
}

/// One phase; ends as a process does that is killed.
fn phase(arguments: &[String]) {
    let [name, boot, count, folder] = arguments else { panic!("four arguments") };
    let count: u32 = count.parse().expect("a number");
    let store = timed("store opened", || open(Path::new(folder), boot));
    match &name[..] {
        "make-mailbox" => make_mailbox(&store, count),
        "mailbox" => mailbox(&store),
        "make-users" => make_users(&store, count),
        "login" => login(&store, count),
        _ => make_cells(&store, count),
    }
    println!("  {:<44} {:>7.1} MB", "memory (PSS)", memory() as f64 / 1e6);
    std::process::exit(7);
}

fn open(folder: &Path, boot: &str) -> Arc<Store> {
    let mut options = OpenOptions::new(folder.join("store"), folder.join("run"), WriterChoice::Handler(0));
    options.pretend_boot_id = Some(boot.to_string());
    Store::open(options).expect("opens")
}

/// Prints how long `work` takes, and how much of that this thread had a processor.
fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let (start, processor) = (Instant::now(), processor_time_ns());
    let value = work();
    let took = start.elapsed();
    let processor = Duration::from_nanos(processor_time_ns() - processor);
    println!("  {what:<44} {took:>10.1?} {processor:>10.1?}");
    value
}

/// As [`timed`], the second time it is done.
fn warm<T>(what: &str, mut work: impl FnMut() -> T) -> T {
    work();
    timed(what, work)
}

fn big(store: &Store) -> MailboxId {
    let ann = store.find_user("ann").expect("readable").expect("there");
    let list = store.mailbox_list(ann).expect("readable");
    MailboxId { user: ann, number: list.find("Big").expect("there").number }
}

fn make_mailbox(store: &Arc<Store>, count: u32) {
    let ann = store.ensure_user("ann").expect("made");
    let mut txn = store.begin();
    txn.create_mailbox(ann, "Big", None);
    store.wait(txn.commit().expect("made").ticket).expect("durable");
    let big = big(store);
    let first = BATCH.min(count);
    timed("messages delivered to another", || {
        for number in 0..first {
            deliver(store, &mail(&number.to_string()), vec![to(inbox(ann))]);
        }
    });
    let cells: Vec<CellIndex> = (0..first).map(CellIndex).collect();
    timed("copies of them made", || {
        let mut made = 0;
        while made < count {
            let some = &cells[..(count - made).min(first) as usize];
            let mut txn = store.begin();
            txn.copy(inbox(ann), some, big);
            store.wait(txn.commit().expect("copied").ticket).expect("durable");
            made += some.len() as u32;
        }
    });
    timed("checkpoint", || store.checkpoint().expect("written"));
}

fn mailbox(store: &Arc<Store>) {
    let id = big(store);
    timed("mailbox opened for the first time", || store.mailbox(id).expect("there"));
    timed("view made for the first time", || {
        View::open(&store.mailbox(id).expect("there")).expect("readable").exists()
    });
    let select = || {
        let pin = store.pin(id).expect("there");
        let mailbox = store.mailbox(id).expect("there");
        let view = View::open(&mailbox).expect("readable");
        let first_unseen = view.first_unseen(&mailbox).expect("readable");
        let recent = mailbox.recent_count().expect("readable");
        (
            pin,
            mailbox.status().expect("readable"),
            mailbox.keywords().expect("readable"),
            view,
            first_unseen,
            recent,
        )
    };
    warm("SELECT, warm", select);
    let (_pin, status, _, mut view, ..) = select();
    let mailbox = store.mailbox(id).expect("there");
    let flags_of_all = || {
        let cells = mailbox.cells().expect("readable");
        let all = view.cells().filter_map(|(_, cell)| cells.flags(cell).ok());
        all.map(|cell| u64::from(cell.flags.system.0) + u64::from(cell.uid.get())).sum::<u64>()
    };
    warm("UID and flags of all", flags_of_all);
    warm("all of all cells, checksums verified", || {
        let cells = mailbox.cells().expect("readable");
        view.cells().map(|(_, cell)| u64::from(cells.cell(cell).expect("whole").size)).sum::<u64>()
    });
    let late = timed("one delivery, durable", || {
        let late = deliver(store, &mail("late"), vec![to(id)]);
        store.wait(late.ticket).expect("durable");
        only_uid(&late)
    });
    timed("a view of before is told of it", || {
        view.refresh(&mailbox, Refresh { expunges: true }).expect("readable")
    });
    let middle = view.cell_of_seq(status.exists / 2).expect("in view");
    timed("one expunge in the middle, durable", || {
        let mut txn = store.begin();
        txn.expunge(id, &[middle]);
        store.wait(txn.commit().expect("expunged").ticket).expect("durable");
    });
    timed("a view of before is told of it", || {
        let changes = view.refresh(&mailbox, Refresh { expunges: true }).expect("readable");
        assert_eq!(changes.expunged, [status.exists / 2]);
    });
    timed("flags of one stored, durable", || {
        let mut txn = store.begin();
        let cell = mailbox.find_uid(store::Uid::new(late).expect("not 0")).expect("readable").expect("there");
        txn.store_flags(id, &[cell], flags(FlagOperation::Add, SystemFlags::SEEN, &[]));
        store.wait(txn.commit().expect("stored").ticket).expect("durable");
    });
}

fn make_users(store: &Arc<Store>, count: u32) {
    // Ann is there, too.
    let made = store.users().expect("readable").len() as u32 - 1;
    timed("users made", || {
        std::thread::scope(|scope| {
            for thread in 0..16 {
                scope.spawn(move || {
                    for number in (made..count).filter(|number| number % 16 == thread) {
                        store.ensure_user(&format!("user{number}")).expect("made");
                    }
                });
            }
        });
    });
    timed("checkpoint", || store.checkpoint().expect("written"));
    let users: Vec<UserId> = store.users().expect("readable").iter().map(|(user, _)| *user).collect();
    timed("1,000 messages delivered behind it", || {
        for number in 0..1000 {
            let user = users[(number * 7919) % users.len()];
            let committed = deliver(store, &mail(&number.to_string()), vec![to(inbox(user))]);
            store.wait(committed.ticket).expect("durable");
        }
    });
}

fn login(store: &Arc<Store>, count: u32) {
    timed("first login and SELECT INBOX", || {
        let name = format!("user{}", count - 1);
        let user = store.find_user(&name).expect("readable").expect("there");
        let list = store.mailbox_list(user).expect("readable");
        assert!(list.find("INBOX").is_some());
        let pin = store.pin(inbox(user)).expect("there");
        let mailbox = store.mailbox(inbox(user)).expect("there");
        (pin, View::open(&mailbox).expect("readable").exists())
    });
    timed("one delivery, durable", || {
        let user = store.find_user("user99").expect("readable").expect("there");
        let late = deliver(store, &mail("late"), vec![to(inbox(user))]);
        store.wait(late.ticket).expect("durable");
    });
}

/// Messages as small as can be.
fn make_cells(store: &Arc<Store>, count: u32) {
    let users: Vec<UserId> = store.users().expect("readable").iter().map(|(user, _)| *user).collect();
    let mut last = None;
    timed("messages delivered", || {
        for number in 0..count {
            let bytes = format!("Subject: {number}\r\n\r\n");
            let user = users[number as usize % users.len()];
            last = Some(deliver(store, bytes.as_bytes(), vec![to(inbox(user))]).ticket);
        }
        store.wait(last.expect("some")).expect("durable");
    });
    timed("checkpoint", || store.checkpoint().expect("written"));
    std::thread::sleep(Duration::from_millis(10));
}
