//! Reference counts after views were made again: exact, whatever they were before.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::change::{SystemFlags, ZonedTime};
use crate::ids::{CellIndex, MailboxId, MessageId, UserId};
use crate::page::directory::Directory;
use crate::store::{OpenOptions, Store, WriterChoice};
use crate::txn::Delivery;

fn open(folder: &Path) -> Arc<Store> {
    let options = OpenOptions::new(folder.join("store"), folder.join("run"), WriterChoice::Handler(0));
    Store::open(options).expect("opens")
}

fn deliver(store: &Arc<Store>, text: &str, to: &[MailboxId]) {
    let mut draft = store.draft().expect("open");
    draft.write(format!("Subject: {text}\r\n\r\n{text}\r\n").as_bytes()).expect("space");
    let to = to.iter().map(|mailbox| Delivery {
        mailbox: *mailbox,
        flags: SystemFlags::default(),
        keywords: Vec::new(),
        internal_date: ZonedTime { seconds: 0, zone_minutes: 0 },
    });
    let mut txn = store.begin();
    txn.deliver(draft.finish().expect("space"), to.collect());
    txn.commit().expect("delivered");
}

/// What the directories count, and what the cells of all mailboxes that are named hold.
fn counts(store: &Store, users: &[UserId]) -> (BTreeMap<MessageId, u32>, BTreeMap<MessageId, u32>) {
    let mut held = BTreeMap::new();
    for user in users {
        for entry in store.mailbox_list(*user).expect("a list").entries() {
            let open = store.mailbox(MailboxId { user: *user, number: entry.number }).expect("there");
            for index in (0..open.cell_count().expect("readable")).map(CellIndex) {
                let cell = open.cell(index).expect("whole");
                *held.entry(cell.message).or_default() += u32::from(cell.holds_reference());
            }
        }
    }
    let mut counted = BTreeMap::new();
    for page in store.pages.all().expect("readable") {
        let directory = store.pages.directory(page).expect("there");
        for index in 0..directory.given_out().expect("readable") {
            let references = directory.references(index).expect("there");
            if references > 0 {
                counted.insert(MessageId { page, index }, references);
            }
        }
    }
    (counted, held)
}

#[test]
fn counts_are_exact_when_all_views_were_made_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let users = ["ann", "bob"].map(|name| store.ensure_user(name).expect("made"));
    let [ann, bob] = users.map(|user| MailboxId { user, number: 1 });
    for count in 0..20 {
        deliver(&store, &format!("m{count}"), &[ann, bob]);
    }
    let some: Vec<CellIndex> = (0..6).map(CellIndex).collect();
    let mut txn = store.begin();
    txn.copy(ann, &some, bob);
    txn.commit().expect("copied");
    let mut txn = store.begin();
    txn.expunge(ann, &some);
    store.wait(txn.commit().expect("expunged").ticket).expect("durable");
    let (counted, held) = counts(&store, &users);
    assert_eq!(counted, held);
    // One that is too high, as a death leaves it.
    let message = store.mailbox(ann).expect("there").cell(CellIndex(0)).expect("whole").message;
    store.pages.directory(message.page).expect("there").add_reference(message.index).expect("there");
    let page = store.pages.folder(message.page);
    store.close().expect("closed");
    drop(store);
    // The directory is gone: cells and lists are not.
    std::fs::remove_file(page.join("directory")).expect("there");
    let store = open(folder.path());
    assert_eq!(counts(&store, &users), (counted.clone(), held.clone()));
    store.close().expect("closed");
    drop(store);
    std::fs::remove_dir_all(folder.path().join("store/p0/users")).expect("there");
    std::fs::remove_file(folder.path().join("store/catalog")).expect("there");
    let store = open(folder.path());
    assert_eq!(counts(&store, &users), (counted, held));
}

/// What a machine that goes down leaves: the frame of the last message is cut off, and so is the directory, so many octets into its cell.
fn after_power_cut(octets_of_cell: u64) -> usize {
    let folder = tempfile::tempdir().expect("a folder");
    let left = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let ann = MailboxId { user: store.ensure_user("ann").expect("made"), number: 1 };
    deliver(&store, "one", &[ann]);
    deliver(&store, "two", &[ann]);
    let cell = store.mailbox(ann).expect("there").cell(CellIndex(1)).expect("whole");
    let directory = store.pages.directory(cell.message.page).expect("there");
    let place = directory.place(cell.message.index).expect("whole").expect("there");
    copy_all(&folder.path().join("store"), &left.path().join("store"));
    let page = store.pages.folder(cell.message.page);
    let page = left.path().join(page.strip_prefix(folder.path()).expect("below it"));
    let cut = |name: &str, len: u64| {
        let file = std::fs::File::options().write(true).open(page.join(name)).expect("there");
        file.set_len(len).expect("cut");
    };
    cut(&format!("bucket.{}.{}", place.writer, place.bucket), place.frame_offset + 40);
    cut("directory", Directory::offset_of(cell.message.index) + octets_of_cell);

    let (path, run) = (left.path().join("store"), left.path().join("run"));
    let mut options = OpenOptions::new(path, run, WriterChoice::Handler(0));
    options.pretend_boot_id = Some("another boot".to_string());
    let store = Store::open(options).expect("opens");
    let open = store.mailbox(ann).expect("there");
    let cells = (0..open.cell_count().expect("readable")).map(CellIndex);
    let live: Vec<_> = cells.map(|at| open.cell(at).expect("whole")).filter(|cell| !cell.expunged).collect();
    assert!(live.iter().all(|cell| store.message(cell.message).is_ok()), "what is shown is there");
    live.len()
}

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(from).expect("there") {
        let entry = entry.expect("there");
        let to = to.join(entry.file_name());
        match entry.file_type().expect("there").is_dir() {
            true => copy_all(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).expect("copied")),
        }
    }
}

#[test]
fn a_directory_cell_that_a_power_cut_has_torn_is_one_of_a_lost_message() {
    // Within the count, the place, and the last checksum.
    for octets in [0, 5, 8, 12, 30, 63] {
        assert_eq!(after_power_cut(octets), 1, "{octets} octets of the cell are left");
    }
}
