//! Readers of another user's mailbox in a store: what each has seen, and that it lasts.

use std::path::Path;
use std::sync::Arc;

use crate::change::{SystemFlags, ZonedTime};
use crate::ids::{CellIndex, MailboxId, UserId};
use crate::mailbox::Mailbox;
use crate::rights::{Rights, RightsChange};
use crate::store::{OpenOptions, Store, WriterChoice};
use crate::txn::{Delivery, FlagChange, FlagOperation, Outcome};
use crate::view::{Refresh, View};

fn open(folder: &Path) -> Arc<Store> {
    let options = OpenOptions::new(folder.join("store"), folder.join("run"), WriterChoice::Handler(0));
    Store::open(options).expect("opens")
}

/// A store in which bob and cy may use ann's INBOX, which has so many messages.
fn shared(folder: &Path, messages: u32) -> (Arc<Store>, MailboxId, [UserId; 2]) {
    let store = open(folder);
    let [ann, bob, cy] = ["ann", "bob", "cy"].map(|name| store.ensure_user(name).expect("made"));
    let inbox = MailboxId { user: ann, number: 1 };
    let mut txn = store.begin();
    txn.set_rights(inbox, "bob", RightsChange::Set(Rights::ALL));
    txn.set_rights(inbox, "cy", RightsChange::Set(Rights::from_letters("lrs").expect("rights")));
    txn.commit().expect("set");
    for _ in 0..messages {
        append(&store, ann, inbox, SystemFlags::default());
    }
    (store, inbox, [bob, cy])
}

fn append(store: &Arc<Store>, actor: UserId, mailbox: MailboxId, flags: SystemFlags) -> u32 {
    let mut draft = store.draft().expect("open");
    draft.write(b"Subject: x\r\n\r\nx\r\n").expect("space");
    let internal_date = ZonedTime { seconds: 0, zone_minutes: 0 };
    let delivery = Delivery { mailbox, flags, keywords: vec!["$k".to_string()], internal_date };
    let mut txn = store.begin_as(actor);
    txn.deliver(draft.finish().expect("space"), vec![delivery]);
    match &txn.commit().expect("delivered").outcomes[..] {
        [Outcome::Delivered(results)] => results[0].as_ref().expect("delivered").uid.get(),
        other => panic!("{other:?}"),
    }
}

fn flag(store: &Store, actor: UserId, id: MailboxId, cells: &[u32], operation: FlagOperation, system: u8) {
    let cells: Vec<CellIndex> = cells.iter().copied().map(CellIndex).collect();
    let mut txn = store.begin_as(actor);
    let change = FlagChange { operation, system: SystemFlags(system), keywords: Vec::new() };
    txn.store_flags(id, &cells, change);
    txn.commit().expect("stored");
}

/// The system flags of all messages as a user sees them.
fn flags(mailbox: &Mailbox) -> Vec<u8> {
    let cells = mailbox.cells().expect("cells");
    (0..cells.count()).map(|index| cells.flags(CellIndex(index)).expect("whole").flags.system.0).collect()
}

const SEEN: u8 = SystemFlags::SEEN.0;
const FLAGGED: u8 = SystemFlags::FLAGGED.0;
const DELETED: u8 = SystemFlags::DELETED.0;

#[test]
fn everybody_has_a_seen_of_their_own_and_the_other_flags_in_common() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, inbox, [bob, cy]) = shared(folder.path(), 4);
    let ann = inbox.user;
    let of = |user| flags(&store.mailbox_as(inbox, user).expect("opens"));
    flag(&store, ann, inbox, &[0], FlagOperation::Add, SEEN);
    flag(&store, bob, inbox, &[1, 2], FlagOperation::Add, SEEN | FLAGGED);
    // Cy has no right to other flags: they stay as they are.
    flag(&store, cy, inbox, &[2, 3], FlagOperation::Set, SEEN | DELETED);
    assert_eq!(of(ann), [SEEN, FLAGGED, FLAGGED, 0]);
    assert_eq!(of(bob), [0, SEEN | FLAGGED, SEEN | FLAGGED, 0]);
    assert_eq!(of(cy), [0, FLAGGED, SEEN | FLAGGED, SEEN]);
    let unseen = |user| store.mailbox_as(inbox, user).expect("opens").status().expect("status").unseen;
    assert_eq!((unseen(ann), unseen(bob), unseen(cy)), (3, 2, 2));
    flag(&store, bob, inbox, &[1], FlagOperation::Remove, SEEN);
    assert_eq!(of(bob), [0, FLAGGED, SEEN | FLAGGED, 0]);
    assert_eq!(of(ann), [SEEN, FLAGGED, FLAGGED, 0]);
    let files = super::readers(&store.derived.disk, &store.derived.cells_path(inbox).expect("a path"));
    assert_eq!(files.expect("read"), [bob, cy]);
}

#[test]
fn a_reader_is_told_of_own_marks_by_their_modseqs_and_the_owner_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, inbox, [bob, _]) = shared(folder.path(), 200);
    let as_bob = store.mailbox_as(inbox, bob).expect("opens");
    let as_ann = store.mailbox(inbox).expect("opens");
    let mut views = [&as_bob, &as_ann].map(|mailbox| View::open(mailbox).expect("a view"));
    let before = as_bob.highest_modseq().expect("read");
    assert_eq!(views[0].first_unseen(&as_bob).expect("read"), Some(1));
    flag(&store, bob, inbox, &(0..150).collect::<Vec<_>>(), FlagOperation::Add, SEEN);
    flag(&store, bob, inbox, &[70], FlagOperation::Remove, SEEN);
    let told = views[0].refresh(&as_bob, Refresh { expunges: true }).expect("refreshed");
    assert_eq!(told.flags.len(), 150);
    let told = views[1].refresh(&as_ann, Refresh { expunges: true }).expect("refreshed");
    assert!(told.is_empty());
    assert_eq!(views[0].first_unseen(&as_bob).expect("read"), Some(71));
    assert_eq!(views[1].first_unseen(&as_ann).expect("read"), Some(1));
    let cells = as_bob.cells().expect("cells");
    let modseq = |index| cells.flags(CellIndex(index)).expect("whole").modseq.0;
    assert_eq!((modseq(0), modseq(70), modseq(149)), (before.0 + 1, before.0 + 2, before.0 + 1));
    assert!(modseq(150) <= before.0);
    // Summaries say what the cells say.
    for block in 0..cells.blocks() {
        let summary = cells.block_summary(block).expect("whole");
        for bit in 0..64.min(cells.count() - block * 64) {
            let cell = cells.flags(CellIndex(block * 64 + bit)).expect("whole");
            assert_eq!(summary.seen >> bit & 1 == 1, cell.flags.system.contains(SystemFlags::SEEN));
            assert!(summary.max_modseq >= cell.modseq);
        }
    }
    assert_eq!(as_bob.status().expect("status").unseen, 51);
}

#[test]
fn seen_goes_along_with_ones_own_copies() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, inbox, [bob, cy]) = shared(folder.path(), 3);
    let own = MailboxId { user: bob, number: 1 };
    flag(&store, inbox.user, inbox, &[0], FlagOperation::Add, SEEN);
    flag(&store, bob, inbox, &[1], FlagOperation::Add, SEEN);
    let copy = |actor, from, cells: &[u32], to| {
        let cells: Vec<CellIndex> = cells.iter().copied().map(CellIndex).collect();
        let mut txn = store.begin_as(actor);
        txn.copy(from, &cells, to);
        txn.commit().expect("copied");
    };
    copy(bob, inbox, &[0, 1, 2], own);
    assert_eq!(flags(&store.mailbox(own).expect("opens")), [0, SEEN, 0]);
    copy(bob, own, &[0, 1], inbox);
    let as_user = |user| flags(&store.mailbox_as(inbox, user).expect("opens"));
    assert_eq!(as_user(bob)[3..], [0, SEEN]);
    assert_eq!(as_user(inbox.user)[3..], [0, 0]);
    // Within one owner's mailboxes the owner has seen it as before.
    copy(bob, inbox, &[0], inbox);
    assert_eq!((as_user(inbox.user)[5], as_user(bob)[5]), (SEEN, 0));
    append(&store, bob, inbox, SystemFlags(SEEN | FLAGGED));
    assert_eq!((as_user(inbox.user)[6], as_user(bob)[6]), (FLAGGED, SEEN | FLAGGED));
    append(&store, cy, inbox, SystemFlags(SEEN | FLAGGED));
    assert_eq!((as_user(inbox.user)[7], as_user(cy)[7], as_user(bob)[7]), (0, SEEN, 0));
    let keywords = store.mailbox(inbox).expect("opens").cell(CellIndex(7)).expect("whole").flags.keywords;
    assert_eq!(keywords, 0, "no right to keywords");
}

#[test]
fn what_was_seen_outlasts_closing_the_views_and_the_journals() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, inbox, [bob, cy]) = shared(folder.path(), 5);
    flag(&store, bob, inbox, &[0, 1, 3], FlagOperation::Add, SEEN);
    flag(&store, bob, inbox, &[1], FlagOperation::Remove, SEEN);
    flag(&store, cy, inbox, &[4], FlagOperation::Add, SEEN);
    let of = |store: &Store, user| {
        let mailbox = store.mailbox_as(inbox, user).expect("opens");
        let cells = mailbox.cells().expect("cells");
        let one = |index| cells.flags(CellIndex(index)).expect("whole");
        (0..5).map(one).map(|cell| (cell.flags.system.0, cell.modseq)).collect::<Vec<_>>()
    };
    let before = [of(&store, bob), of(&store, cy)];
    let cells = store.derived.cells_path(inbox).expect("a path");
    store.close().expect("closed");
    drop(store);

    let store = open(folder.path());
    assert_eq!([of(&store, bob), of(&store, cy)], before);
    // Damaged, it is told, and made again from the logs.
    let path = super::file::path(&cells, bob);
    let mut bytes = std::fs::read(&path).expect("read");
    bytes[40] ^= 1;
    std::fs::write(&path, &bytes).expect("written");
    assert!(store.mailbox_as(inbox, bob).expect("opens").cells().is_err());
    assert!(store.mailbox(inbox).expect("opens").cells().is_ok(), "the owner need not know");
    store.rebuild_mailbox(inbox).expect("made again");
    assert_eq!([of(&store, bob), of(&store, cy)], before);

    // A reader who is deleted leaves nothing, once space is collected; the others' stays.
    let mut txn = store.begin();
    txn.delete_user(cy);
    txn.commit().expect("deleted");
    store.forget_deleted_readers(inbox, &cells).expect("removed");
    assert_eq!(super::readers(&store.derived.disk, &cells).expect("read"), [bob]);
    assert_eq!(of(&store, bob), before[0]);
}
