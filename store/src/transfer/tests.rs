//! Export files that are written, read, damaged and cut; snapshots while messages move.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::change::{Change, SpecialUse, SystemFlags, ZonedTime};
use crate::ids::{CellIndex, MailboxId, UserId};
use crate::quota::{Limit, Limits};
use crate::store::{OpenOptions, Store, WriterChoice};
use crate::txn::{Delivery, NewAnnotation, Outcome};

fn open(folder: &Path, handler: u16) -> Arc<Store> {
    Store::open(OpenOptions::new(folder.join("store"), folder.join("run"), WriterChoice::Handler(handler)))
        .expect("opens")
}

fn deliver(store: &Arc<Store>, mailbox: MailboxId, octets: &[u8]) {
    let mut draft = store.draft().expect("open");
    draft.write(octets).expect("space");
    let internal_date = ZonedTime { seconds: 77, zone_minutes: -60 };
    let keywords = vec!["$Work".to_string()];
    let to = Delivery { mailbox, flags: SystemFlags::SEEN, keywords, internal_date };
    let mut txn = store.begin();
    txn.deliver(draft.finish().expect("space"), vec![to]);
    txn.commit().expect("delivered");
}

/// A user with three mailboxes and some messages, one of them big.
fn made(store: &Arc<Store>) -> UserId {
    let user = store.ensure_user("ann").expect("made");
    let mut txn = store.begin();
    txn.create_mailbox(user, "Sent", Some(SpecialUse::Sent));
    txn.create_mailbox(user, "A/b", None);
    txn.subscribe(user, "A/b", true);
    txn.set_quota(
        user,
        Limits { octets: Limit::Most(1 << 40), mailboxes: Limit::Most(99), ..Limits::default() },
    );
    txn.set_attribute(user, None, "meta/private/comment", Some(b"hers"));
    txn.set_attribute(user, None, "shared/7", Some(b""));
    txn.set_attribute(user, Some(1), "acl/bob", Some(b"lrs 17"));
    txn.set_attribute(user, Some(1), "meta/reader/17/comment", Some(b"his"));
    txn.set_attribute(user, Some(1), "urlauth/17", Some(b"a key"));
    txn.commit().expect("made");
    let inbox = MailboxId { user, number: 1 };
    for number in 0..5 {
        deliver(store, inbox, format!("Subject: {number}\r\n\r\nx\r\n").as_bytes());
    }
    deliver(store, inbox, &b"Subject: big\r\n\r\n0123456789abcdef\r\n".repeat(60_000));
    deliver(store, MailboxId { user, number: 2 }, b"Subject: sent\r\n\r\nx\r\n");
    let mut txn = store.begin();
    txn.expunge(inbox, &[CellIndex(1)]);
    txn.commit().expect("expunged");
    let mut txn = store.begin();
    txn.annotate(inbox, &[CellIndex(2)], annotations(), None);
    txn.commit().expect("annotated");
    user
}

/// What one of the messages is annotated with.
fn annotations() -> Vec<NewAnnotation> {
    let one = |is_shared, value: &[u8]| NewAnnotation {
        entry: "/comment".to_string(),
        is_shared,
        value: Some(value.to_vec()),
    };
    vec![one(true, b"for all"), one(false, b"\0")]
}

fn export(store: &Arc<Store>, user: UserId) -> Vec<u8> {
    let snapshot = UserSnapshot::take(store, user, &|_| true).expect("taken");
    let mut writer = ExportWriter::begin(store, &snapshot, Vec::new()).expect("begun");
    for mailbox in snapshot.mailboxes.iter().filter(|mailbox| !mailbox.facts.placeholder) {
        for cell in snapshot.cells(store, mailbox).expect("readable") {
            let cell = cell.expect("whole");
            let annotations = snapshot.annotations(store, mailbox, cell.uid).expect("read");
            writer.message(store, mailbox.id.number, &cell, &annotations).expect("written").expect("whole");
        }
    }
    let (sums, file) = writer.finish().expect("written");
    assert_eq!((sums.messages, sums.octets), (6, file.len() as u64));
    file
}

/// Items, octets of messages, and what went wrong; goes on behind damage.
fn read_all(file: &[u8]) -> (Vec<ExportItem>, Vec<Vec<u8>>, Vec<u64>) {
    let (mut items, mut messages, mut faults) = (Vec::new(), Vec::new(), Vec::new());
    let mut reader = match ExportReader::open(file) {
        Ok(reader) => reader,
        Err(ReadError::NoExport) => return (items, messages, vec![0]),
        Err(error) => panic!("{error}"),
    };
    loop {
        let mut content = Vec::new();
        let item = reader.next(&mut |octets| {
            content.extend_from_slice(octets);
            Ok(())
        });
        match item {
            Ok(Some(item)) => {
                if matches!(item, ExportItem::Message { .. }) {
                    messages.push(content);
                }
                items.push(item);
            }
            Ok(None) => return (items, messages, faults),
            Err(ReadError::Damaged { offset, .. }) => {
                faults.push(offset);
                if !reader.skip_damage().expect("readable") {
                    return (items, messages, faults);
                }
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn what_is_written_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path(), 0);
    let user = made(&store);
    let (items, messages, faults) = read_all(&export(&store, user));
    assert!(faults.is_empty());
    assert_eq!(messages.len(), 6);
    assert_eq!(messages[1], b"Subject: 2\r\n\r\nx\r\n");
    assert_eq!(messages[4], b"Subject: big\r\n\r\n0123456789abcdef\r\n".repeat(60_000));
    let facts: Vec<&Change> = items
        .iter()
        .filter_map(|item| if let ExportItem::Facts(facts) = item { Some(facts) } else { None })
        .flatten()
        .collect();
    assert!(matches!(facts[0], Change::UserCreate { name, .. } if name == "ann"));
    assert!(
        matches!(facts[1], Change::Quota { limits, .. } if limits.octets == Limit::Most(1 << 40) && limits.mailboxes == Limit::Most(99))
    );
    let creates = facts.iter().filter(|fact| matches!(fact, Change::MailboxCreate { .. }));
    assert_eq!(creates.count(), 4);
    assert!(facts.iter().any(|fact| matches!(fact, Change::MailboxNumbers { uid_next: 7, .. })));
    assert!(facts.iter().any(|fact| matches!(fact, Change::Keyword { name, .. } if name == "$Work")));
    let said = facts.iter().filter_map(|fact| match fact {
        Change::Attribute { mailbox, name, value, .. } => Some((*mailbox, name.as_str(), value.as_deref())),
        _ => None,
    });
    let want = [(None, "meta/private/comment", Some(&b"hers"[..])), (Some(1), "acl/bob", Some(&b"lrs"[..]))];
    assert_eq!(said.collect::<Vec<_>>(), want, "numbers of users stay behind");
    let uids: Vec<(u32, u32)> = items
        .iter()
        .filter_map(|item| match item {
            ExportItem::Message { mailbox, added, .. } => Some((*mailbox, added.uid.get())),
            _ => None,
        })
        .collect();
    let annotated: Vec<_> = items
        .iter()
        .filter_map(|item| match item {
            ExportItem::Message { added, annotations, .. } if !annotations.is_empty() => {
                Some((added.uid.get(), annotations.clone()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(annotated, [(3, annotations())]);
    assert_eq!(uids, [(1, 1), (1, 3), (1, 4), (1, 5), (1, 6), (2, 1)]);
    assert_eq!(items.last(), Some(&ExportItem::End(6)));
}

#[test]
fn damage_costs_the_message_that_it_is_in_and_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path(), 0);
    let user = made(&store);
    let file = export(&store, user);
    let (_, whole, _) = read_all(&file);
    let mut at = 0;
    while at < file.len() {
        let mut altered = file.clone();
        altered[at] ^= 0x10;
        let (items, messages, faults) = read_all(&altered);
        if at < 64 {
            assert!(items.is_empty());
        } else if file[at] != 0 || !faults.is_empty() {
            // What is zero may be padding. The end tells that a message is missing, too.
            assert!((1..=2).contains(&faults.len()), "octet {at}: {faults:?}");
            assert!(faults[0] <= at as u64 && messages.len() + 1 >= whole.len(), "octet {at}");
            assert!(messages.iter().all(|message| whole.contains(message)), "octet {at}");
        }
        at += if at < 1500 { 7 } else { 60_000 };
    }
    for len in [70, 500, 900, file.len() / 2, file.len() - 1] {
        let (items, _, faults) = read_all(&file[..len]);
        assert!(!faults.is_empty() && !matches!(items.last(), Some(ExportItem::End(_))), "cut at {len}");
    }
    // Something in between that is no frame at all, at any distance.
    let second = file.len() - 400;
    let second = second - second % 8;
    let mut longer = file.clone();
    longer.splice(second..second, vec![7; 300_000]);
    let (items, _, faults) = read_all(&longer);
    assert!(!faults.is_empty() && !items.is_empty());
}

#[test]
fn a_message_that_moves_while_a_user_is_exported_is_in_one_of_the_mailboxes() {
    let folder = tempfile::tempdir().expect("a folder");
    let stores = [open(folder.path(), 0), open(folder.path(), 1)];
    let user = made(&stores[0]);
    let (one, two) = (MailboxId { user, number: 1 }, MailboxId { user, number: 2 });
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut from_to = (one, two);
            while !stop.load(Ordering::Relaxed) {
                let store = &stores[1];
                let cells: Vec<CellIndex> =
                    (0..store.mailbox(from_to.0).expect("there").cell_count().expect("readable"))
                        .map(CellIndex)
                        .collect();
                let mut txn = store.begin();
                txn.move_messages(from_to.0, &cells, from_to.1);
                let done = txn.commit().expect("moved");
                assert!(matches!(done.outcomes[0], Outcome::Copied(_)));
                from_to = (from_to.1, from_to.0);
            }
        });
        for _ in 0..30 {
            export(&stores[0], user);
        }
        stop.store(true, Ordering::Relaxed);
    });
}
