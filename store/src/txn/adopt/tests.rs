//! Users and mailboxes that keep their numbers: made, filled, refused, and made again from the logs.

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::annotations::Annotation;
use crate::change::SystemFlags;
use crate::quota::Limit;
use crate::store::{OpenOptions, Store, WriterChoice};
use crate::txn::{Committed, Delivery, NewAnnotation};

fn open(folder: &Path) -> Arc<Store> {
    Store::open(OpenOptions::new(folder.join("store"), folder.join("run"), WriterChoice::Handler(0)))
        .expect("opens")
}

fn adopted(name: &str, uid_validity: u32) -> AdoptedMailbox {
    AdoptedMailbox {
        name: name.to_string(),
        uid_validity,
        special_use: None,
        placeholder: false,
        uid_next: 1000,
        highest_modseq: ModSeq(5000),
        keywords: vec![(3, "$Work".to_string())],
        attributes: Vec::new(),
    }
}

fn ann() -> AdoptedUser {
    let sent = AdoptedMailbox { special_use: Some(SpecialUse::Sent), ..adopted("Sent", 70) };
    let upper = AdoptedMailbox { placeholder: true, ..adopted("Lists", 60) };
    AdoptedUser {
        name: "ann".to_string(),
        mailboxes: vec![adopted("INBOX", 100), upper, adopted("Lists/rust", 65), sent],
        subscriptions: vec!["INBOX".to_string(), "Lists/rust".to_string(), "Gone".to_string()],
        limits: Limits {
            octets: Limit::Most(1 << 30),
            mailboxes: Limit::Most(1),
            annotations: Limit::Most(1),
            ..Limits::default()
        },
        attributes: vec![("meta/private/comment".to_string(), b"hers".to_vec())],
    }
}

fn content(store: &Arc<Store>, text: &str) -> crate::Content {
    let mut draft = store.draft().expect("open");
    draft.write(format!("Subject: {text}\r\n\r\nx\r\n").as_bytes()).expect("space");
    draft.finish().expect("space")
}

fn fill(store: &Arc<Store>, mailbox: MailboxId, uid: u32, modseq: u64) -> Result<Appended, Refused> {
    fill_or(store, mailbox, uid, modseq, false)
}

fn fill_or(
    store: &Arc<Store>,
    mailbox: MailboxId,
    uid: u32,
    modseq: u64,
    or_next_uid: bool,
) -> Result<Appended, Refused> {
    let message = AdoptedMessage {
        or_next_uid,
        mailbox,
        uid: Uid::new(uid).expect("not 0"),
        modseq: ModSeq(modseq),
        flags: Flags { system: SystemFlags::SEEN, keywords: 1 << 3 | 1 << 5 },
        internal_date: ZonedTime { seconds: i64::from(uid), zone_minutes: 60 },
        save_seconds: 7,
    };
    let mut txn = store.begin();
    txn.adopt_message(content(store, &uid.to_string()), message);
    txn.annotate_added(mailbox, 0, vec![comment(uid)]);
    result_of(txn.commit().expect("planned"))
}

/// What a message is annotated with.
fn comment(uid: u32) -> NewAnnotation {
    NewAnnotation {
        entry: "/comment".to_string(),
        is_shared: uid.is_multiple_of(2),
        value: Some(uid.to_string().into_bytes()),
    }
}

fn result_of(committed: Committed) -> Result<Appended, Refused> {
    match committed.outcomes.into_iter().next() {
        Some(Outcome::Delivered(results)) => results.into_iter().next().expect("one"),
        other => panic!("{other:?}"),
    }
}

fn deliver(store: &Arc<Store>, mailbox: MailboxId) -> u32 {
    let internal_date = ZonedTime { seconds: 0, zone_minutes: 0 };
    let to = Delivery { mailbox, flags: SystemFlags(0), keywords: Vec::new(), internal_date };
    let mut txn = store.begin();
    txn.deliver(content(store, "new"), vec![to]);
    result_of(txn.commit().expect("planned")).expect("delivered").uid.get()
}

/// All that a client sees of a mailbox, but for UIDNEXT and HIGHESTMODSEQ.
fn seen(store: &Store, mailbox: MailboxId) -> Vec<(u32, u64, Flags, ZonedTime, u32)> {
    let cells = store.mailbox(mailbox).expect("there").cells().expect("readable");
    let cells = (0..cells.count()).map(|index| cells.cell(CellIndex(index)).expect("whole"));
    cells
        .filter(|cell| !cell.expunged)
        .map(|cell| (cell.uid.get(), cell.modseq.0, cell.flags, cell.internal_date, cell.save_seconds))
        .collect()
}

#[test]
fn an_adopted_user_has_the_old_numbers_also_after_all_views_are_lost() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let mut txn = store.begin();
    txn.adopt_user(ann());
    txn.commit().expect("made");
    let user = store.find_user("ann").expect("readable").expect("there");
    let inbox = MailboxId { user, number: 1 };
    // Flags of the first were changed last.
    for (uid, modseq) in [(5, 4000), (6, 20), (900, 3000), (999, 30)] {
        assert_eq!(fill(&store, inbox, uid, modseq).expect("filled").uid.get(), uid);
    }
    let flags = Flags { system: SystemFlags::SEEN, keywords: 1 << 3 };
    let before = seen(&store, inbox);
    assert_eq!(before[0], (5, 4000, flags, ZonedTime { seconds: 5, zone_minutes: 60 }, 7));
    let open_inbox = store.mailbox(inbox).expect("there");
    assert_eq!((open_inbox.uid_validity(), open_inbox.uid_next().expect("readable")), (100, 1000));
    assert_eq!(open_inbox.highest_modseq().expect("readable"), ModSeq(5000));
    drop(open_inbox);
    let list = store.mailbox_list(user).expect("readable");
    store.close().expect("closed");
    drop(store);
    std::fs::remove_file(folder.path().join("store/catalog")).expect("there");
    std::fs::remove_dir_all(folder.path().join("store/p0/users")).expect("there");
    let store = open(folder.path());
    let again = store.mailbox_list(user).expect("readable");
    assert_eq!(again.entries(), list.entries());
    assert_eq!(again.subscriptions(), list.subscriptions());
    assert_eq!(again.limits(), list.limits());
    assert_eq!(again.limits().octets, Limit::Most(1 << 30));
    assert_eq!(again.find("Sent").expect("there").special_use, Some(SpecialUse::Sent));
    assert!(again.find("Lists").expect("there").placeholder);
    assert_eq!(seen(&store, inbox), before);
    let inbox = store.mailbox(inbox).expect("there");
    assert_eq!(inbox.keywords().expect("readable").find("$work"), Some(3));
    for (uid, modseq) in [(5, 4000), (6, 20), (900, 3000), (999, 30)] {
        let uid = Uid::new(uid).expect("not 0");
        let annotation = Annotation {
            reader: (!uid.get().is_multiple_of(2)).then_some(user),
            entry: "/comment".to_string(),
            modseq: ModSeq(modseq),
            value: uid.to_string().into_bytes(),
        };
        assert_eq!(inbox.annotations_for(uid, user).expect("readable"), [annotation], "never refused");
    }
    assert!(
        inbox.uid_next().expect("readable") >= 1000
            && inbox.highest_modseq().expect("readable") >= ModSeq(5000)
    );
}

#[test]
fn no_uid_is_given_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let mut txn = store.begin();
    txn.adopt_user(ann());
    txn.commit().expect("made");
    let inbox = MailboxId { user: store.find_user("ann").expect("readable").expect("there"), number: 1 };
    fill(&store, inbox, 10, 10).expect("filled");
    for taken in [9, 10, 1000, 5000] {
        assert!(matches!(fill(&store, inbox, taken, 10), Err(Refused::Unusable(_))), "{taken}");
    }
    assert_eq!(deliver(&store, inbox), 1000);
    assert!(matches!(fill(&store, inbox, 11, 10), Err(Refused::Unusable(_))));
    let appended = fill_or(&store, inbox, 11, 10, true).expect("filled");
    assert_eq!(appended.uid.get(), 1001);
    assert!(appended.modseq > ModSeq(5000));
    let other = MailboxId { user: store.ensure_user("bob").expect("made"), number: 1 };
    assert!(matches!(fill(&store, other, 11, 10), Err(Refused::Unusable(_))), "an ordinary mailbox");
    store.close().expect("closed");
    drop(store);
    let store = open(folder.path());
    let sent = MailboxId { number: 4, ..inbox };
    assert!(matches!(fill(&store, sent, 11, 10), Err(Refused::Unusable(_))), "made by an earlier process");
}

#[test]
fn mailboxes_are_adopted_under_free_names_and_numbers() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let user = store.ensure_user("ann").expect("made");
    let adopt = |mailbox: AdoptedMailbox| {
        let mut txn = store.begin();
        txn.adopt_mailbox(user, mailbox);
        txn.commit()
    };
    let high = store.mailbox_list(user).expect("readable").last_uid_validity() + 100;
    let made = adopt(adopted("A/b", high)).expect("made");
    let Outcome::Created(mailbox) = made.outcomes[0] else { panic!("{made:?}") };
    let open = store.mailbox(mailbox).expect("there");
    assert_eq!((open.uid_validity(), open.uid_next().expect("readable")), (high, 1000));
    assert_eq!(fill(&store, mailbox, 7, 7).expect("filled").uid.get(), 7);
    assert!(adopt(adopted("A/b", high + 200)).is_err(), "the name is taken");
    assert!(adopt(adopted("C", high)).is_err(), "the UIDVALIDITY is in use");
    assert!(adopt(adopted("C", 0)).is_err());
    assert!(adopt(adopted("C", u32::MAX)).is_err());
    assert!(adopt(AdoptedMailbox { uid_next: u32::MAX, ..adopted("C", high + 1) }).is_err());
    assert!(adopt(AdoptedMailbox { highest_modseq: ModSeq(u64::MAX), ..adopted("C", high + 1) }).is_err());
    assert!(is_keyword("$Work") && !is_keyword("a b") && !is_keyword("a\r\nb") && !is_keyword(""));
    // Deleted, and back as it was when its numbers were taken down.
    let mut txn = store.begin();
    txn.delete_mailbox(user, "A/b");
    txn.commit().expect("deleted");
    let made = adopt(adopted("A/b", high)).expect("made");
    let Outcome::Created(mailbox) = made.outcomes[0] else { panic!("{made:?}") };
    assert_eq!(store.mailbox(mailbox).expect("there").uid_next().expect("readable"), 1000 + UIDS_SKIPPED);
    assert_eq!(fill(&store, mailbox, 7, 7).expect("filled").uid.get(), 7);
    assert!(deliver(&store, mailbox) > 1000 + UIDS_SKIPPED - 1);
    let mut txn = store.begin();
    txn.adopt_user(ann());
    assert!(txn.commit().is_err(), "the user is there");
    let mut txn = store.begin();
    txn.delete_unused_user(user);
    assert!(txn.commit().is_err(), "there were messages");
    let mut txn = store.begin();
    txn.delete_unused_user(store.ensure_user("bob").expect("made"));
    txn.commit().expect("deleted");
    assert_eq!(store.find_user("bob").expect("readable"), None);
}

#[test]
fn an_inbox_that_did_not_come_along_gets_a_uidvalidity_that_no_other_has() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    // Made at this moment, as INBOX will be.
    let now = u32::try_from(store.derived.disk.now_seconds()).expect("in range");
    let mailboxes = (0..60).map(|number| adopted(&format!("Old {number}"), now + number)).collect();
    let user = AdoptedUser {
        name: "bob".to_string(),
        mailboxes,
        subscriptions: Vec::new(),
        limits: Limits::default(),
        attributes: Vec::new(),
    };
    let mut txn = store.begin();
    txn.adopt_user(user);
    let [Outcome::Created(inbox)] = txn.commit().expect("made").outcomes[..] else { panic!() };
    assert!(store.mailbox(inbox).expect("there").uid_validity() > now + 59);
}

#[test]
fn what_was_said_elsewhere_is_said_here_and_rights_find_their_users() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let bob = store.ensure_user("bob").expect("made");
    let mut user = ann();
    user.mailboxes[2].attributes =
        [("acl/bob", "lrs"), ("acl/cy", "lr"), ("acl/ann", "l"), ("meta/shared/comment", "x")]
            .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
            .to_vec();
    let mut txn = store.begin();
    txn.adopt_user(user);
    txn.commit().expect("adopted");
    let ann = store.find_user("ann").expect("found").expect("there");
    let list = store.mailbox_list(ann).expect("a list");
    let number = list.find("Lists/rust").expect("there").number;
    assert_eq!(list.attribute(None, "meta/private/comment"), Some(&b"hers"[..]));
    let said: Vec<_> = list.attributes(Some(number)).map(|(name, _)| name).collect();
    assert_eq!(said, ["acl/bob", "acl/cy", "meta/shared/comment"]);
    assert_eq!(list.rights_of(number, bob, "bob").letters(), "lrs");
    assert_eq!(store.mailbox_list(bob).expect("a list").owners().collect::<Vec<_>>(), [ann]);
    // Who comes later has the rights by the name.
    let cy = store.ensure_user("cy").expect("made");
    assert_eq!(list.rights_of(number, cy, "cy").letters(), "lr");
}
