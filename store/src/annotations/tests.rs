//! Annotations in a store: who sees which, what goes along with a message, that they last, and what the file does when it is thin, cut or damaged.

use std::path::Path;
use std::sync::Arc;

use super::file::{self, AnnotationFile, Record};
use super::{Annotation, ENTRIES_MOST, GONE_MOST, VALUE_MOST_BYTES};
use crate::change::{AnnotationEntry, SystemFlags, ZonedTime};
use crate::disk::Disk;
use crate::error::{ChangeError, StoreError};
use crate::ids::{CellIndex, MailboxId, ModSeq, Uid, UserId};
use crate::mailbox::tests::{ID, Random, uid};
use crate::quota::{Limit, Limits, Resource};
use crate::rights::{Rights, RightsChange};
use crate::store::{OpenOptions, Store, WriterChoice};
use crate::txn::{Annotated, Delivery, NewAnnotation, Outcome};
use crate::view::{Refresh, View};

fn open(folder: &Path) -> Arc<Store> {
    let options = OpenOptions::new(folder.join("store"), folder.join("run"), WriterChoice::Handler(0));
    Store::open(options).expect("opens")
}

fn inbox(user: UserId) -> MailboxId {
    MailboxId { user, number: 1 }
}

/// A store in which bob may do everything in ann's INBOX, which has so many messages, and cy may read there.
fn shared(folder: &Path, messages: u32) -> (Arc<Store>, MailboxId, [UserId; 2]) {
    let store = open(folder);
    let [ann, bob, cy] = ["ann", "bob", "cy"].map(|name| store.ensure_user(name).expect("made"));
    let mut txn = store.begin();
    txn.set_rights(inbox(ann), "bob", RightsChange::Set(Rights::ALL));
    txn.set_rights(inbox(ann), "cy", RightsChange::Set(Rights::from_letters("lrs").expect("rights")));
    txn.commit().expect("set");
    for _ in 0..messages {
        append(&store, ann, inbox(ann), Vec::new()).expect("appended");
    }
    (store, inbox(ann), [bob, cy])
}

fn append(
    store: &Arc<Store>,
    actor: UserId,
    mailbox: MailboxId,
    annotations: Vec<NewAnnotation>,
) -> Result<Uid, ChangeError> {
    let mut draft = store.draft().expect("open");
    draft.write(b"Subject: x\r\n\r\nx\r\n").expect("space");
    let internal_date = ZonedTime { seconds: 0, zone_minutes: 0 };
    let delivery = Delivery { mailbox, flags: SystemFlags::default(), keywords: Vec::new(), internal_date };
    let mut txn = store.begin_as(actor);
    txn.deliver(draft.finish().expect("space"), vec![delivery]);
    txn.annotate_added(mailbox, 0, annotations);
    match &txn.commit()?.outcomes[0] {
        Outcome::Delivered(results) => Ok(results[0].as_ref().expect("delivered").uid),
        other => panic!("{other:?}"),
    }
}

fn one(entry: &str, is_shared: bool, value: Option<&str>) -> NewAnnotation {
    NewAnnotation { entry: entry.to_owned(), is_shared, value: value.map(|value| value.as_bytes().to_vec()) }
}

fn annotate(
    store: &Store,
    actor: UserId,
    id: MailboxId,
    cells: &[u32],
    wanted: Vec<NewAnnotation>,
    since: Option<ModSeq>,
) -> Result<Annotated, ChangeError> {
    let cells: Vec<CellIndex> = cells.iter().copied().map(CellIndex).collect();
    let mut txn = store.begin_as(actor);
    txn.annotate(id, &cells, wanted, since);
    match txn.commit()?.outcomes.remove(0) {
        Outcome::Annotated(annotated) => Ok(annotated),
        other => panic!("{other:?}"),
    }
}

/// What a reader sees of a message: `entry` or `entry*` for a private one, and the value.
fn seen_by(store: &Store, id: MailboxId, reader: UserId, number: u32) -> Vec<(String, String)> {
    let mailbox = store.mailbox_as(id, reader).expect("opens");
    texts(mailbox.annotations_for(uid(number), reader).expect("read"))
}

fn texts(annotations: Vec<Annotation>) -> Vec<(String, String)> {
    let text = |Annotation { reader, entry, value, .. }: Annotation| {
        let mark = if reader.is_some() { "*" } else { "" };
        (format!("{entry}{mark}"), String::from_utf8(value).expect("text"))
    };
    annotations.into_iter().map(text).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(entry, value)| (entry.to_string(), value.to_string())).collect()
}

#[test]
fn everybody_sees_the_shared_ones_and_their_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, id, [bob, cy]) = shared(folder.path(), 3);
    let ann = id.user;
    assert!(!store.mailbox(id).expect("opens").is_annotated().expect("read"));
    assert!(
        !file::path(&store.derived.cells_path(id).expect("a path")).exists(),
        "nobody has annotated anything"
    );
    assert_eq!(seen_by(&store, id, ann, 1), []);

    let mailbox = store.mailbox(id).expect("opens");
    let mut view = View::open(&mailbox).expect("a view");
    let before = mailbox.highest_modseq().expect("read");
    let both = vec![one("/comment", true, Some("for all")), one("/comment", false, Some("mine"))];
    let done = annotate(&store, ann, id, &[0, 2], both.clone(), None).expect("annotated");
    assert_eq!((done.modseq.0, done.messages.len()), (before.0 + 1, 2));
    annotate(&store, bob, id, &[0], vec![one("/comment", false, Some("bob's"))], None).expect("annotated");
    annotate(&store, cy, id, &[0], vec![one("/altsubject", false, Some(""))], None).expect("annotated");
    assert_eq!(seen_by(&store, id, ann, 1), pairs(&[("/comment", "for all"), ("/comment*", "mine")]));
    assert_eq!(seen_by(&store, id, bob, 1), pairs(&[("/comment", "for all"), ("/comment*", "bob's")]));
    assert_eq!(seen_by(&store, id, cy, 1), pairs(&[("/comment", "for all"), ("/altsubject*", "")]));
    assert_eq!(seen_by(&store, id, bob, 3), pairs(&[("/comment", "for all")]));
    assert_eq!(mailbox.annotations_of(uid(1)).expect("read").len(), 4);
    assert_eq!(mailbox.annotated_uids(uid(1), 9).expect("read"), [uid(1), uid(3)]);
    assert_eq!(mailbox.annotated_uids(uid(1), 1).expect("read"), [uid(1)]);
    assert_eq!(mailbox.annotated_uids(uid(2), 9).expect("read"), [uid(3)]);

    // The cells say that the messages were changed, and nothing else of them is.
    let told = view.refresh(&mailbox, Refresh { expunges: true }).expect("refreshed");
    assert_eq!(told.flags, [CellIndex(0), CellIndex(2)]);
    assert_eq!(mailbox.flags_at(CellIndex(2)).expect("read").1, done.modseq);
    let changed = |reader, since| mailbox.annotations_changed_since(uid(1), reader, since).expect("read");
    assert_eq!(changed(ann, before), ["/comment"]);
    assert_eq!(changed(ann, done.modseq), [""; 0]);
    assert_eq!(changed(cy, done.modseq), ["/altsubject"]);

    // The same once more is no change; what was changed meanwhile stays as it is for who says so.
    let again = annotate(&store, ann, id, &[0, 2], both.clone(), None).expect("annotated");
    assert_eq!(again.messages, []);
    let gone = vec![one("/comment", true, None), one("/nothing", true, None)];
    let late = annotate(&store, ann, id, &[0, 2], gone.clone(), Some(done.modseq)).expect("annotated");
    assert_eq!((late.newer, late.messages), (vec![(CellIndex(0), uid(1))], vec![(CellIndex(2), uid(3))]));
    assert_eq!(seen_by(&store, id, bob, 3), []);
    assert_eq!(mailbox.annotations_changed_since(uid(3), bob, done.modseq).expect("read"), ["/comment"]);

    // Without the right, nobody sets what all see; without any, nothing.
    let refused = annotate(&store, cy, id, &[1], both.clone(), None);
    assert!(matches!(refused, Err(ChangeError::NotAllowed(_))), "{refused:?}");
    let refused = annotate(&store, bob, inbox(cy), &[1], vec![one("/x", false, Some("y"))], None);
    assert!(matches!(refused, Err(ChangeError::NotAllowed(_))), "{refused:?}");
    assert_eq!(seen_by(&store, id, cy, 2), []);
}

#[test]
fn what_a_message_may_have_is_limited() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, id, _) = shared(folder.path(), 2);
    let ann = id.user;
    let set = |wanted| annotate(&store, ann, id, &[0, 1], wanted, None);
    let many = |from: usize, count: usize| {
        (from..from + count).map(|number| one(&format!("/{number}"), true, Some("x"))).collect::<Vec<_>>()
    };
    set(many(0, ENTRIES_MOST)).expect("as many as may be");
    assert!(matches!(set(many(ENTRIES_MOST, 1)), Err(ChangeError::TooManyAnnotations)));
    let mut others = many(ENTRIES_MOST, 1);
    others.push(one("/0", true, None));
    set(others).expect("one for another");
    let long = "x".repeat(VALUE_MOST_BYTES + 1);
    set(vec![one("/comment", false, Some(&long[1..]))]).expect("as long as may be");
    assert!(matches!(set(vec![one("/comment", false, Some(&long))]), Err(ChangeError::Limit(_))));
    assert!(matches!(set(vec![one(&long[..256], false, Some(""))]), Err(ChangeError::Limit(_))));
    // Of what is gone, some names are remembered.
    for number in 0..2 * GONE_MOST {
        set(vec![one(&format!("/gone/{number}"), false, Some("x"))]).expect("set");
        set(vec![one(&format!("/gone/{number}"), false, None)]).expect("set");
    }
    let mailbox = store.mailbox(id).expect("opens");
    let names = mailbox.annotations_changed_since(uid(1), ann, ModSeq(0)).expect("read");
    let gone: Vec<_> = names.iter().filter(|name| name.starts_with("/gone/")).collect();
    assert_eq!(gone.len(), GONE_MOST);
    assert!(names.contains(&format!("/gone/{}", 2 * GONE_MOST - 1)), "the newest are");
}

#[test]
fn copies_have_the_shared_ones_and_those_of_who_copies() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, id, [bob, cy]) = shared(folder.path(), 2);
    let both = |text: &str| vec![one("/comment", true, Some(text)), one("/comment", false, Some(text))];
    annotate(&store, id.user, id, &[0], both("ann"), None).expect("annotated");
    annotate(&store, bob, id, &[0], vec![one("/comment", false, Some("bob"))], None).expect("annotated");
    let copy = |actor, from, cell, to, expunge| {
        let mut txn = store.begin_as(actor);
        match expunge {
            true => txn.move_messages(from, &[CellIndex(cell)], to),
            false => txn.copy(from, &[CellIndex(cell)], to),
        }
        txn.commit().expect("copied");
    };
    copy(bob, id, 0, inbox(bob), false);
    assert_eq!(seen_by(&store, inbox(bob), bob, 1), pairs(&[("/comment", "ann"), ("/comment*", "bob")]));
    assert_eq!(store.mailbox(inbox(bob)).expect("opens").annotations_of(uid(1)).expect("read").len(), 2);
    copy(id.user, id, 0, id, true);
    assert_eq!(seen_by(&store, id, id.user, 3), pairs(&[("/comment", "ann"), ("/comment*", "ann")]));
    assert_eq!(seen_by(&store, id, bob, 3), pairs(&[("/comment", "ann")]));
    // Who may not set shared ones does not by a copy.
    annotate(&store, cy, id, &[2], vec![one("/comment", false, Some("cy"))], None).expect("annotated");
    let mut txn = store.begin();
    txn.set_rights(inbox(bob), "cy", RightsChange::Set(Rights::from_letters("lri").expect("rights")));
    txn.commit().expect("set");
    copy(cy, id, 2, inbox(bob), false);
    assert_eq!(seen_by(&store, inbox(bob), cy, 2), pairs(&[("/comment*", "cy")]));

    // With what is put in.
    let uid_of = append(&store, bob, id, both("new")).expect("appended");
    assert_eq!(seen_by(&store, id, bob, uid_of.get()), pairs(&[("/comment", "new"), ("/comment*", "new")]));
    assert_eq!(seen_by(&store, id, cy, uid_of.get()), pairs(&[("/comment", "new")]));
    assert!(append(&store, cy, id, both("new")).is_err());
}

#[test]
fn what_was_brought_back_has_all_of_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, id, [bob, _]) = shared(folder.path(), 1);
    annotate(&store, id.user, id, &[0], vec![one("/comment", false, Some("ann"))], None).expect("annotated");
    annotate(&store, bob, id, &[0], vec![one("/comment", false, Some("bob"))], None).expect("annotated");
    let mut txn = store.begin();
    txn.expunge(id, &[CellIndex(0)]);
    txn.commit().expect("expunged");
    assert_eq!(store.annotation_octets(id.user).expect("counted"), 0);
    let back = store.undelete(id, &crate::history::Which::All, id).expect("brought back");
    assert_eq!(back.back, [(uid(1), uid(2))]);
    assert_eq!(seen_by(&store, id, id.user, 2), pairs(&[("/comment*", "ann")]));
    assert_eq!(seen_by(&store, id, bob, 2), pairs(&[("/comment*", "bob")]));
    let of_both = 2 * "/comment".len() + "ann".len() + "bob".len();
    assert_eq!(store.annotation_octets(id.user).expect("counted"), of_both as u64);
}

#[test]
fn there_may_be_a_limit_for_a_user() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, id, [bob, _]) = shared(folder.path(), 2);
    let mut txn = store.begin();
    txn.set_quota(id.user, Limits { annotations: Limit::Most(20), ..Limits::default() });
    txn.commit().expect("set");
    let set = |cells: &[u32], value| annotate(&store, bob, id, cells, vec![one("/12", true, value)], None);
    set(&[0], Some("3456789")).expect("10 octets");
    let refused = set(&[0, 1], Some("34567890"));
    assert!(matches!(refused, Err(ChangeError::OverQuota(Resource::Annotations))), "{refused:?}");
    set(&[1], Some("3456789")).expect("20 octets");
    set(&[0], Some("345678")).expect("fewer");
    let refused = set(&[1], Some("123456789"));
    assert!(matches!(refused, Err(ChangeError::OverQuota(Resource::Annotations))), "{refused:?}");
    set(&[1], Some("34567890")).expect("20 octets again");
    let mut txn = store.begin();
    txn.copy(id, &[CellIndex(0)], id);
    assert!(matches!(txn.commit(), Err(ChangeError::OverQuota(Resource::Annotations))));
    assert!(append(&store, id.user, id, vec![one("/1", false, Some(""))]).is_err());
    assert_eq!(store.annotation_octets(id.user).expect("counted"), 20);
    let mut txn = store.begin();
    txn.move_messages(id, &[CellIndex(0)], inbox(bob));
    txn.commit().expect("bob has room");
    set(&[1], Some("123456789")).expect("room again");
}

#[test]
fn they_outlast_closing_the_views_and_the_journals() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, id, [bob, _]) = shared(folder.path(), 4);
    annotate(&store, id.user, id, &[0, 1], vec![one("/a", true, Some("1"))], None).expect("annotated");
    annotate(&store, bob, id, &[1, 3], vec![one("/a", false, Some("2"))], None).expect("annotated");
    annotate(&store, id.user, id, &[1], vec![one("/a", true, None), one("/b", false, Some("3"))], None)
        .expect("annotated");
    let all = |store: &Store| {
        let mailbox = store.mailbox(id).expect("opens");
        (1..=4).map(|number| mailbox.annotations_of(uid(number)).expect("read")).collect::<Vec<_>>()
    };
    let before = all(&store);
    assert_eq!(before.iter().map(Vec::len).collect::<Vec<_>>(), [1, 2, 0, 1]);
    let cells = store.derived.cells_path(id).expect("a path");
    store.close().expect("closed");
    drop(store);
    let store = open(folder.path());
    assert_eq!(all(&store), before);

    // Damaged, they are told to be, are found by a check, and are made again.
    let path = file::path(&cells);
    let whole = std::fs::read(&path).expect("read");
    let mut bytes = whole.clone();
    bytes[64 + 40 + 3] ^= 1;
    std::fs::write(&path, &bytes).expect("written");
    let mailbox = store.mailbox(id).expect("opens");
    assert!(matches!(mailbox.annotations_of(uid(1)), Err(StoreError::Corrupt { .. })));
    assert!(mailbox.annotations_of(uid(4)).is_ok());
    let refused = annotate(&store, id.user, id, &[0], vec![one("/a", true, Some("4"))], None);
    assert!(matches!(refused, Err(ChangeError::Store(StoreError::Corrupt { .. }))), "{refused:?}");
    drop(mailbox);
    store.rebuild_mailbox(id).expect("made again");
    assert_eq!(all(&store), before);
    std::fs::remove_file(&path).expect("removed");
    let mailbox = store.mailbox(id).expect("opens");
    assert!(matches!(mailbox.annotations_of(uid(1)), Err(StoreError::Corrupt { .. })), "it is missed");
    drop(mailbox);
    store.rebuild_mailbox(id).expect("made again");
    assert_eq!(all(&store), before);

    // So they are from snapshots alone.
    let batch = &mut Vec::new();
    assert_eq!(store.annotation_snapshot(id, uid(1), batch).expect("made"), None);
    for frame in std::mem::take(batch) {
        store.append_snapshot(frame).expect("appended");
    }
    store.rebuild_mailbox(id).expect("made again");
    assert_eq!(all(&store), before);
}

fn records(from: u32, count: u32, modseq: u64, value: &[u8]) -> Vec<Record> {
    let modseq = ModSeq(modseq);
    let record = |number: u32| {
        let entry = AnnotationEntry { name: "/comment".to_owned(), modseq, value: Some(value.to_vec()) };
        (uid(number), number.is_multiple_of(2).then_some(UserId(7)), modseq, vec![entry])
    };
    (from..from + count).map(record).collect()
}

#[test]
fn a_file_is_read_by_all_who_have_it_open_and_is_made_anew_when_it_is_thin() {
    let folder = tempfile::tempdir().expect("a folder");
    let cells = folder.path().join("cells");
    let [writer, reader] = [0, 1].map(|_| AnnotationFile::new(&Disk::real(), &cells, ID));
    let value = vec![b'v'; 1000];
    let all = |file: &AnnotationFile| {
        let mut all = Vec::new();
        file.each(&mut |record| {
            all.push(record);
            Ok(())
        })
        .expect("read");
        all
    };
    assert_eq!(all(&reader), []);
    let mut random = Random(9);
    let mut lengths = Vec::new();
    for modseq in 1..=600 {
        let from = 1 + random.below(40) as u32;
        writer.append(&records(from, 10, modseq, &value)).expect("appended");
        // An older change than what is there does nothing.
        writer.append(&records(from, 10, modseq - 1, b"old")).expect("passed over");
        writer.tidy(None).expect("tidied");
        lengths.push(std::fs::metadata(writer.path()).expect("there").len());
        assert_eq!(all(&reader), all(&writer), "{modseq}");
    }
    let most = lengths.iter().max().copied().unwrap_or_default();
    assert!(most < 500_000, "{most}");
    assert!(lengths.windows(2).any(|two| two[1] < two[0]), "it never became shorter");
    // What nobody needs goes, once it outweighs the rest.
    let before = all(&writer);
    let needed = |uid: Uid, _: Option<UserId>| Ok(uid.get().is_multiple_of(20));
    writer.append(&records(100, 1000, 9999, &value)).expect("appended");
    writer.tidy(Some(&needed)).expect("tidied");
    let after = all(&reader);
    assert!(after.iter().all(|(uid, ..)| uid.get() % 20 == 0) && after.len() > 40, "{}", after.len());
    assert!(before.iter().filter(|(uid, ..)| uid.get() % 20 == 0).all(|record| after.contains(record)));
}

#[test]
fn what_was_not_written_whole_is_not_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let cells = folder.path().join("cells");
    let new = || AnnotationFile::new(&Disk::real(), &cells, ID);
    new().append(&records(1, 3, 1, b"one")).expect("appended");
    let before = std::fs::read(file::path(&cells)).expect("read");
    new().append(&records(4, 3, 2, b"two")).expect("appended");
    let after = std::fs::read(file::path(&cells)).expect("read");
    // The records are there, in whole or in part, and the word that says so is not.
    let mut torn = after.clone();
    torn[..64].copy_from_slice(&before[..64]);
    for len in (before.len()..=after.len()).step_by(8) {
        std::fs::write(file::path(&cells), &torn[..len]).expect("written");
        let file = new();
        assert_eq!(file.uids(uid(1), 9).expect("read"), [uid(1), uid(2), uid(3)]);
        file.append(&records(4, 3, 2, b"two")).expect("appended");
        assert_eq!(std::fs::read(file::path(&cells)).expect("read"), after);
    }
}

#[test]
fn damaged_octets_are_told_or_mean_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let cells = folder.path().join("cells");
    let new = || AnnotationFile::new(&Disk::real(), &cells, ID);
    new().append(&records(1, 3, 1, b"value")).expect("appended");
    let whole = std::fs::read(file::path(&cells)).expect("read");
    let told = |bytes: &[u8]| {
        std::fs::write(file::path(&cells), bytes).expect("written");
        let mut all = Vec::new();
        let read = new().each(&mut |record| {
            all.push(record);
            Ok(())
        });
        match read {
            Err(StoreError::Corrupt { .. }) => true,
            Err(error) => panic!("{error}"),
            Ok(()) => {
                assert_eq!(all, records(1, 3, 1, b"value"));
                false
            }
        }
    };
    let mut unnoticed = 0;
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 4;
        unnoticed += usize::from(!told(&bytes));
        assert!(told(&whole[..at]), "cut at {at}");
    }
    // Unused octets of the head, and what fills up records.
    assert!(unnoticed < 36 + 3 * 8, "{unnoticed}");
}
