//! Reference counts after views were made again: exact, whatever they were before.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::change::{SystemFlags, ZonedTime};
use crate::ids::{CellIndex, MailboxId, MessageId, UserId};
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
