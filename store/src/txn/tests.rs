//! Owners of locks that die between the steps of a change.

use std::sync::Arc;

use crate::change::{Added, Change, SystemFlags, ZonedTime, codec};
use crate::ids::{CellIndex, MailboxId, ModSeq, Uid, UserId};
use crate::locks::{Intent, LockKey};
use crate::log::FrameHead;
use crate::quota::{Limit, Limits, Resource};
use crate::store::{OpenOptions, Store, WriterChoice};
use crate::txn::{Delivery, FlagChange, FlagOperation, Outcome, Refused};

fn open(folder: &std::path::Path, handler: u16) -> Arc<Store> {
    let writer = WriterChoice::Handler(handler);
    Store::open(OpenOptions::new(folder.join("store"), folder.join("run"), writer)).expect("opens")
}

fn deliver(store: &Arc<Store>, to: MailboxId) -> u32 {
    let mut draft = store.draft().expect("open");
    draft.write(b"Subject: x\r\n\r\nx\r\n").expect("space");
    let mut txn = store.begin();
    let internal_date = ZonedTime { seconds: 0, zone_minutes: 0 };
    let delivery =
        Delivery { mailbox: to, flags: SystemFlags::default(), keywords: Vec::new(), internal_date };
    txn.deliver(draft.finish().expect("space"), vec![delivery]);
    match &txn.commit().expect("delivered").outcomes[..] {
        [Outcome::Delivered(results)] => results[0].as_ref().expect("delivered").uid.get(),
        other => panic!("{other:?}"),
    }
}

/// How far a change gets before its thread dies with the locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Death {
    AfterIntent,
    AfterFrame,
    InViews,
}

/// A copy of message 1 to both mailboxes, up to `death`.
fn die(store: &Arc<Store>, mailboxes: [MailboxId; 2], death: Death) {
    let store = Arc::clone(store);
    let thread = std::thread::spawn(move || {
        // As a change does that must know of limits.
        let lists = mailboxes.map(|mailbox| LockKey::List(mailbox.user));
        let keys = [&mailboxes.map(LockKey::Mailbox)[..], &lists].concat();
        let held = store.take(&keys).expect("free");
        let changes: Vec<Change> = mailboxes
            .iter()
            .map(|mailbox| {
                let open = store.mailbox_held(*mailbox, &held).expect("there");
                let cell = store.mailbox_held(mailboxes[0], &held).expect("there").cell(CellIndex(0));
                let cell = cell.expect("whole");
                let added = Added {
                    uid: Uid::new(open.uid_next().expect("readable")).expect("not 0"),
                    modseq: ModSeq(open.highest_modseq().expect("readable").0 + 1),
                    flags: cell.flags,
                    internal_date: cell.internal_date,
                    save_seconds: 1,
                    sent_date: None,
                    size: cell.size,
                    message: cell.message,
                };
                Change::Add { mailbox: *mailbox, added }
            })
            .collect();
        let mut bytes = Vec::new();
        codec::encode(&changes, &mut bytes);
        let log = store.logs.journal().expect("space");
        if death == Death::AfterIntent {
            held.announce(Intent { log: log.name(), offset: log.tail() });
        } else {
            let head = FrameHead::of_changes(log.id(), &bytes, 1_800_000_000);
            let announce = |offset| held.announce(Intent { log: log.name(), offset });
            let in_flight = log.append(&head, &[], &bytes, announce).expect("space");
            if death == Death::InViews {
                let open = store.mailbox_held(mailboxes[0], &held).expect("there");
                let Change::Add { added, .. } = &changes[0] else { panic!("made above") };
                let mut writer = open.writer().expect("patched");
                writer.apply_add(added).expect("space");
                // Dropped, not published.
            }
            // As when the process is gone: it never says that the frame is in the views.
            std::mem::forget(in_flight);
        }
        held.die();
    });
    thread.join().expect("ended");
}

#[test]
fn the_next_owner_finishes_what_a_dead_one_began() {
    for death in [Death::AfterIntent, Death::AfterFrame, Death::InViews] {
        for another_process in [false, true] {
            let folder = tempfile::tempdir().expect("a folder");
            let store = open(folder.path(), 0);
            let users = ["ann", "bob"].map(|name| store.ensure_user(name).expect("made"));
            let mailboxes = users.map(|user: UserId| MailboxId { user, number: 1 });
            deliver(&store, mailboxes[0]);
            die(&store, mailboxes, death);
            let next = if another_process { open(folder.path(), 1) } else { Arc::clone(&store) };
            let done = u32::from(death != Death::AfterIntent);
            let mut txn = next.begin();
            let change =
                FlagChange { operation: FlagOperation::Add, system: SystemFlags::SEEN, keywords: Vec::new() };
            txn.store_flags(mailboxes[0], &[CellIndex(1)], change);
            let committed = txn.commit().expect("stored");
            let Outcome::Flags(changed) = &committed.outcomes[0] else { panic!("{committed:?}") };
            assert_eq!(changed.messages.len() as u32, done, "{death:?}");
            assert_eq!(
                next.mailbox(mailboxes[0]).expect("there").status().expect("readable").exists,
                1 + done,
                "{death:?}"
            );
            assert_eq!(deliver(&next, mailboxes[1]), 1 + done, "{death:?}");
            assert_eq!(deliver(&next, mailboxes[0]), 2 + done, "{death:?}");
            // The stripes of some may be one, and those of the lists are not taken again.
            assert!((1..=4).contains(&next.counters().repairs.get()), "{death:?}");
            let message =
                next.mailbox(mailboxes[0]).expect("there").cell(CellIndex(0)).expect("whole").message;
            let references = next.pages.directory(message.page).expect("there").references(message.index);
            assert!(references.expect("there") > 2 * done, "{death:?}: a count is never too low");
        }
    }
}

#[test]
fn who_opens_a_mailbox_sees_what_a_dead_one_began() {
    for death in [Death::AfterIntent, Death::AfterFrame, Death::InViews] {
        for another_process in [false, true] {
            let folder = tempfile::tempdir().expect("a folder");
            let store = open(folder.path(), 0);
            let users = ["ann", "bob"].map(|name| store.ensure_user(name).expect("made"));
            let mailboxes = users.map(|user: UserId| MailboxId { user, number: 1 });
            deliver(&store, mailboxes[0]);
            // Opened before, so that it is the reader that makes good and not who opens the store.
            let next = if another_process { open(folder.path(), 1) } else { Arc::clone(&store) };
            die(&store, mailboxes, death);
            let done = u32::from(death != Death::AfterIntent);
            for (mailbox, before) in [(mailboxes[0], 1), (mailboxes[1], 0)] {
                let open = next.mailbox(mailbox).expect("there");
                assert_eq!(open.status().expect("readable").exists, before + done, "{death:?}");
            }
            let repairs = next.counters().repairs.get();
            assert!((1..=4).contains(&repairs), "{death:?}");
            assert_eq!(deliver(&next, mailboxes[0]), 2 + done, "{death:?}");
            assert_eq!(deliver(&next, mailboxes[1]), 1 + done, "{death:?}");
        }
    }
}

#[test]
fn who_opens_a_mailbox_waits_for_no_living_writer() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path(), 0);
    let user = store.ensure_user("ann").expect("made");
    let inbox = MailboxId { user, number: 1 };
    deliver(&store, inbox);
    let keys = [LockKey::Mailbox(inbox), LockKey::List(user)];
    let held = store.take(&keys).expect("free");
    let log = store.logs.journal().expect("space");
    held.announce(Intent { log: log.name(), offset: log.tail() });
    // By the writer itself, and by another.
    let read = || {
        let exists = store.mailbox(inbox).expect("there").status().expect("readable").exists;
        (exists, store.mailbox_list(user).expect("there").find("INBOX").is_some())
    };
    assert_eq!(read(), (1, true));
    std::thread::scope(|scope| assert_eq!(scope.spawn(read).join().expect("ended"), (1, true)));
    assert!(!held.left_behind().is_empty(), "the writer's work is its own");
    held.clear();
    drop(held);
    assert_eq!(store.counters().repairs.get(), 0);
    assert_eq!(deliver(&store, inbox), 2);
}

#[test]
fn a_limit_holds_whatever_the_owner_of_the_locks_left_behind() {
    for death in [Death::AfterIntent, Death::AfterFrame, Death::InViews] {
        let folder = tempfile::tempdir().expect("a folder");
        let store = open(folder.path(), 0);
        let ann = store.ensure_user("ann").expect("made");
        let mut txn = store.begin();
        let messages = if death == Death::AfterIntent { 3 } else { 4 };
        txn.set_quota(ann, Limits { messages: Limit::Most(messages), ..Limits::default() });
        for name in ["a", "b"] {
            txn.create_mailbox(ann, name, None);
        }
        txn.commit().expect("made");
        let [inbox, a, b] = [1, 2, 3].map(|number| MailboxId { user: ann, number });
        // Who opens the store finishes everything first; this one has it open already.
        let next = open(folder.path(), 1);
        deliver(&next, inbox);
        die(&store, [inbox, a], death);
        // There is room for just as many as this adds.
        if death == Death::AfterIntent {
            deliver(&next, b);
        }
        deliver(&next, b);
        let mut draft = next.draft().expect("open");
        draft.write(b"Subject: x\r\n\r\nx\r\n").expect("space");
        let mut txn = next.begin();
        let internal_date = ZonedTime { seconds: 0, zone_minutes: 0 };
        let delivery =
            Delivery { mailbox: b, flags: SystemFlags::default(), keywords: Vec::new(), internal_date };
        txn.deliver(draft.finish().expect("space"), vec![delivery]);
        let committed = txn.commit().expect("done");
        let refused = vec![Err(Refused::OverQuota(Resource::Messages))];
        assert_eq!(committed.outcomes, [Outcome::Delivered(refused)], "{death:?}");
        let usage = next.quota(ann).expect("counted").usage;
        assert_eq!((usage.messages, usage.octets), (messages, 17 * messages), "{death:?}");
    }
}

#[test]
fn names_of_mailboxes_change_only_when_that_lasts() {
    for rename in [true, false] {
        let folder = tempfile::tempdir().expect("a folder");
        let store = open(folder.path(), 0);
        let ann = store.ensure_user("ann").expect("made");
        let mut txn = store.begin();
        txn.create_mailbox(ann, "a", None);
        store.wait(txn.commit().expect("made").ticket).expect("durable");
        // The disk fails: another process must not find the name free and give it to another mailbox.
        store.pretend_sync_failure();
        let mut txn = store.begin();
        if rename {
            txn.rename_mailbox(ann, "a", "b");
        } else {
            txn.delete_mailbox(ann, "a");
        }
        assert!(txn.commit().is_err());
        let list = store.mailbox_list(ann).expect("readable");
        assert!(list.find("a").is_some() && list.find("b").is_none());
    }
}

#[test]
fn a_keyword_that_no_message_got_is_not_made_and_can_be_made_in_the_same_transaction() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path(), 0);
    let ann = store.ensure_user("ann").expect("made");
    let inbox = MailboxId { user: ann, number: 1 };
    deliver(&store, inbox);
    let set = || FlagChange {
        operation: FlagOperation::Add,
        system: SystemFlags::default(),
        keywords: vec!["$a".to_string()],
    };
    let mut txn = store.begin();
    txn.store_flags(inbox, &[], set());
    txn.store_flags(inbox, &[CellIndex(0)], set());
    txn.commit().expect("stored");
    let open = store.mailbox(inbox).expect("there");
    let (flags, _) = open.flags_at(CellIndex(0)).expect("there");
    assert_eq!(flags.keywords, 1);
    assert_eq!(open.keywords().expect("readable").name(0), Some("$a"));
}

#[test]
fn keywords_are_set_beside_the_system_flags() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path(), 0);
    let ann = store.ensure_user("ann").expect("made");
    let inbox = MailboxId { user: ann, number: 1 };
    deliver(&store, inbox);
    let set = |operation, system, names: &[&str]| {
        let keywords = names.iter().map(|&name| name.to_string()).collect();
        let mut txn = store.begin();
        txn.store_flags(inbox, &[CellIndex(0)], FlagChange { operation, system, keywords });
        txn.commit().expect("stored");
        let open = store.mailbox(inbox).expect("there");
        let (flags, _) = open.flags_at(CellIndex(0)).expect("there");
        let keywords = open.keywords().expect("readable");
        let names = keywords.iter().filter(|(bit, _)| flags.keywords & (1 << bit) != 0);
        (flags.system, names.map(|(_, name)| name.to_string()).collect::<Vec<_>>())
    };
    let none = SystemFlags::default();
    set(FlagOperation::Set, SystemFlags::SEEN, &["$a", "$b"]);
    let after = set(FlagOperation::SetKeywords, none, &["$b", "$c"]);
    assert_eq!(after, (SystemFlags::SEEN, vec!["$b".to_string(), "$c".to_string()]));
    assert_eq!(set(FlagOperation::SetKeywords, none, &[]), (SystemFlags::SEEN, Vec::new()));
}

/// A user in the making, up to the frame; then the thread dies with the locks.
fn die_making_user(store: &Arc<Store>, name: &str) {
    let store = Arc::clone(store);
    let name = name.to_string();
    let thread = std::thread::spawn(move || {
        let user = store.derived.catalog.next_user().expect("a number");
        let inbox = MailboxId { user, number: 1 };
        let keys = [LockKey::Catalog, LockKey::List(user), LockKey::Mailbox(inbox)];
        let held = store.take(&keys).expect("free");
        let mut changes = vec![Change::UserCreate { user, name }];
        changes.push(Change::MailboxCreate {
            mailbox: inbox,
            list_version: 1,
            uid_validity: 9,
            name: "INBOX".to_string(),
            special_use: None,
            placeholder: false,
        });
        let mut bytes = Vec::new();
        codec::encode(&changes, &mut bytes);
        let log = store.logs.journal().expect("space");
        let head = FrameHead::of_changes(log.id(), &bytes, 1_800_000_000);
        let announce = |offset| held.announce(Intent { log: log.name(), offset });
        std::mem::forget(log.append(&head, &[], &bytes, announce).expect("space"));
        held.die();
    });
    thread.join().expect("ended");
}

#[test]
fn a_user_whose_maker_died_has_an_inbox_whichever_lock_is_taken_next() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path(), 0);
    for number in 1..12 {
        let name = format!("user{number}");
        die_making_user(&store, &name);
        if number % 3 == 0 {
            // Somebody takes the catalog's lock alone.
            drop(store.take(&[LockKey::Catalog]).expect("free"));
        } else if number % 3 == 1 {
            drop(store.take(&[LockKey::List(UserId(number))]).expect("free"));
        }
        let next = open(folder.path(), 1);
        let user = next.find_user(&name).expect("readable").expect("made");
        assert_eq!(user, UserId(number));
        assert!(next.mailbox_list(user).expect("readable").find("INBOX").is_some(), "{name}");
        assert_eq!(deliver(&next, MailboxId { user, number: 1 }) % (1 << 20), 1, "{name}");
    }
}

#[test]
fn rights_are_said_to_both_sides_and_inherited() {
    use crate::rights::{ANYONE, Right, Rights, RightsChange};

    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path(), 0);
    let [ann, bob, everybody] = ["ann", "bob", ANYONE].map(|name| store.ensure_user(name).expect("made"));
    let inbox = MailboxId { user: ann, number: 1 };
    let change = |identifier: &str, change| {
        let mut txn = store.begin();
        txn.set_rights(inbox, identifier, change);
        txn.commit().map(|_| ())
    };
    let rights = |letters| Rights::from_letters(letters).expect("rights");
    let owners = |user| store.mailbox_list(user).expect("a list").owners().collect::<Vec<_>>();
    change("bob", RightsChange::Set(rights("lrk"))).expect("set");
    change("bob", RightsChange::Add(rights("s"))).expect("added");
    change("anyone", RightsChange::Set(rights("l"))).expect("set");
    change("-bob", RightsChange::Set(rights("r"))).expect("set");
    assert_eq!((owners(bob), owners(everybody)), (vec![ann], vec![ann]));
    let mut txn = store.begin();
    txn.create_mailbox(ann, "INBOX/a/b", None);
    txn.commit().expect("made");
    let list = store.mailbox_list(ann).expect("a list");
    for name in ["INBOX", "INBOX/a", "INBOX/a/b"] {
        let number = list.find(name).expect("there").number;
        assert_eq!(list.rights_of(number, bob, "bob").letters(), "lsk", "{name}");
        assert_eq!(list.rights_of(number, everybody, ANYONE), Right::Lookup.into(), "{name}");
    }
    assert_eq!(store.users().expect("users").len(), 2, "the reserved one is nobody");

    // The owner's rights are not to be had, nor those of nobody.
    assert!(change("ann", RightsChange::Remove(rights("a"))).is_err());
    assert!(change("nobody", RightsChange::Set(rights("l"))).is_err());
    change("nobody", RightsChange::Forget).expect("nothing to forget");

    // As long as one mailbox gives rights, the owner is named.
    change("bob", RightsChange::Forget).expect("forgotten");
    assert_eq!(owners(bob), [ann]);
    for name in ["INBOX/a/b", "INBOX/a"] {
        let mut txn = store.begin();
        txn.delete_mailbox(ann, name);
        txn.commit().expect("deleted");
    }
    change("bob", RightsChange::Set(rights("l"))).expect("set");
    change("bob", RightsChange::Remove(rights("lr"))).expect("taken away");
    assert_eq!(owners(bob), []);
    assert_eq!(store.mailbox_list(ann).expect("a list").acl(1).len(), 2, "-bob and anyone");

    // Another bob is not that bob.
    change("bob", RightsChange::Set(rights("l"))).expect("set");
    let mut txn = store.begin();
    txn.delete_user(bob);
    txn.commit().expect("deleted");
    let other = store.ensure_user("bob").expect("made");
    let list = store.mailbox_list(ann).expect("a list");
    assert_eq!(list.rights_of(1, other, "bob"), Right::Lookup.into(), "what everybody has");
    assert_eq!(owners(other), []);
}
