//! Limits of users' mail: who is refused what, also by several processes at once, and that usage is right whatever became of its view.

mod common;

use std::sync::Arc;

use common::*;
use store::ids::{MailboxId, UserId};
use store::quota::{Limit, Limits, Resource, Usage};
use store::txn::{Outcome, Refused};
use store::{ChangeError, Store, WriterChoice};

fn limit(octets: Limit, messages: Limit) -> Limits {
    Limits { octets, messages, ..Limits::default() }
}

fn messages(most: u64) -> Limits {
    limit(Limit::Default, Limit::Most(most))
}

fn set(store: &Store, user: UserId, limits: Limits) {
    let mut txn = store.begin();
    txn.set_quota(user, limits);
    store.wait(txn.commit().expect("set").ticket).expect("durable");
}

fn make(store: &Store, user: UserId, name: &str) -> MailboxId {
    let mut txn = store.begin();
    txn.create_mailbox(user, name, None);
    match txn.commit().expect("made").outcomes[..] {
        [Outcome::Created(mailbox)] => mailbox,
        ref other => panic!("{other:?}"),
    }
}

fn usage(store: &Store, user: UserId) -> Usage {
    store.quota(user).expect("counted").usage
}

/// Whether a message of that size was taken; what else than a quota refuses it is a fault.
fn is_taken(store: &Arc<Store>, mailbox: MailboxId, octets: usize) -> bool {
    let committed = deliver(store, &vec![b'x'; octets], vec![to(mailbox)]);
    match &committed.outcomes[..] {
        [Outcome::Delivered(results)] => match &results[0] {
            Ok(_) => true,
            Err(Refused::OverQuota(_)) => false,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_delivery_fails_for_those_alone_who_have_too_much() {
    let place = Place::new();
    let store = place.open();
    let users = ["ann", "bob", "eve", "joe"].map(|name| store.ensure_user(name).expect("made"));
    let [ann, bob, eve, joe] = users;
    set(&store, ann, messages(1));
    set(&store, bob, limit(Limit::Most(150), Limit::Default));
    set(&store, eve, limit(Limit::Most(200), Limit::Most(2)));
    for round in 0..3 {
        let recipients = users.map(|user| to(inbox(user))).to_vec();
        let committed = deliver(&store, &[b'x'; 100], recipients);
        let Outcome::Delivered(results) = &committed.outcomes[0] else { panic!("{committed:?}") };
        let refused: Vec<Option<Refused>> = results.iter().map(|result| result.clone().err()).collect();
        let over = |what| Some(Refused::OverQuota(what));
        let expected = match round {
            0 => [None, None, None, None],
            1 => [over(Resource::Messages), over(Resource::Octets), None, None],
            _ => [over(Resource::Messages), over(Resource::Octets), over(Resource::Octets), None],
        };
        assert_eq!(refused, expected, "round {round}");
    }
    for (user, count) in [(ann, 1), (bob, 1), (eve, 2), (joe, 3)] {
        assert_eq!(usage(&store, user), Usage { octets: 100 * count, messages: count });
        assert_eq!(live(&store, inbox(user)).len() as u64, count);
    }
}

#[test]
fn copies_count_and_moves_within_a_user_do_not() {
    let place = Place::new();
    let store = place.open();
    let [ann, bob] = ["ann", "bob"].map(|name| store.ensure_user(name).expect("made"));
    let other = make(&store, ann, "Other");
    for _ in 0..2 {
        assert!(is_taken(&store, inbox(ann), 100));
    }
    set(&store, ann, messages(3));
    set(&store, bob, messages(1));
    let cells = live_indexes(&store, inbox(ann));
    let copy = |cells: &[_], to: MailboxId, moved: bool| {
        let mut txn = store.begin();
        if moved {
            txn.move_messages(inbox(ann), cells, to);
        } else {
            txn.copy(inbox(ann), cells, to);
        }
        txn.commit().map(drop)
    };
    let is_over = |outcome| matches!(outcome, Err(ChangeError::OverQuota(Resource::Messages)));
    assert!(is_over(copy(&cells, other, false)), "two more would be four");
    assert!(copy(&cells[..1], other, false).is_ok());
    assert!(is_over(copy(&cells[..1], other, false)), "that was the last");
    assert!(is_over(copy(&cells, inbox(bob), true)), "to another user it is a copy");
    assert!(copy(&cells, other, true).is_ok(), "within the user's mailboxes nothing is added");
    assert_eq!(usage(&store, ann), Usage { octets: 300, messages: 3 });
    assert_eq!(usage(&store, bob), Usage::default());

    // Two copies in one transaction are counted together.
    let cells = live_indexes(&store, other);
    let mut txn = store.begin();
    txn.copy(other, &cells[..1], inbox(bob));
    txn.copy(other, &cells[1..2], inbox(bob));
    assert!(is_over(txn.commit().map(drop)));

    // Renaming INBOX moves what is in it.
    assert!(is_taken(&store, inbox(bob), 100));
    let mut txn = store.begin();
    txn.rename_mailbox(bob, "INBOX", "Old");
    txn.commit().expect("renamed");
    assert!(!is_taken(&store, inbox(bob), 100));
}

#[test]
fn what_goes_away_makes_room() {
    let place = Place::new();
    let store = place.open();
    let ann = store.ensure_user("ann").expect("made");
    let other = make(&store, ann, "Other");
    set(&store, ann, messages(2));
    assert!(is_taken(&store, inbox(ann), 10) && is_taken(&store, other, 10));
    assert!(!is_taken(&store, inbox(ann), 10));
    let mut txn = store.begin();
    txn.expunge(other, &live_indexes(&store, other));
    txn.commit().expect("expunged");
    assert!(is_taken(&store, other, 10) && !is_taken(&store, other, 10));
    let mut txn = store.begin();
    txn.delete_mailbox(ann, "Other");
    txn.commit().expect("deleted");
    assert_eq!(usage(&store, ann), Usage { octets: 10, messages: 1 });
    let again = make(&store, ann, "Other");
    assert!(is_taken(&store, again, 10) && !is_taken(&store, again, 10));
    // Less than there is may be allowed: nothing goes, nothing comes.
    set(&store, ann, messages(0));
    assert!(!is_taken(&store, inbox(ann), 10));
    set(&store, ann, Limits::default());
    assert!(is_taken(&store, inbox(ann), 10));
    assert_eq!(usage(&store, ann), Usage { octets: 30, messages: 3 });
}

#[test]
fn the_default_holds_for_those_without_limits_of_their_own() {
    let place = Place::new();
    let mut options = place.options(WriterChoice::Handler(0));
    options.default_limits = messages(1);
    let store = Store::open(options).expect("opens");
    let [ann, bob] = ["ann", "bob"].map(|name| store.ensure_user(name).expect("made"));
    set(&store, bob, limit(Limit::Default, Limit::Unlimited));
    assert!(is_taken(&store, inbox(ann), 10) && !is_taken(&store, inbox(ann), 10));
    assert!(is_taken(&store, inbox(bob), 10) && is_taken(&store, inbox(bob), 10));
    let quota = store.quota(ann).expect("counted");
    let (mailboxes, annotations) = (Limit::Unlimited, Limit::Unlimited);
    let limits = Limits { mailboxes, annotations, ..limit(Limit::Unlimited, Limit::Most(1)) };
    assert_eq!((quota.own, quota.limits), (Limits::default(), limits));
    store.set_default_limits(messages(2));
    assert!(is_taken(&store, inbox(ann), 10) && !is_taken(&store, inbox(ann), 10));
}

#[test]
fn mailboxes_are_counted_in_the_list_and_lock_no_delivery() {
    let place = Place::new();
    let store = place.open();
    let ann = store.ensure_user("ann").expect("made");
    set(&store, ann, Limits { mailboxes: Limit::Most(3), ..Limits::default() });
    let create = |name: &str| {
        let mut txn = store.begin();
        txn.create_mailbox(ann, name, None);
        txn.commit().map(drop)
    };
    let rename = |from: &str, to: &str| {
        let mut txn = store.begin();
        txn.rename_mailbox(ann, from, to);
        txn.commit().map(drop)
    };
    let is_over = |outcome| matches!(outcome, Err(ChangeError::OverQuota(Resource::Mailboxes)));
    assert!(is_over(create("a/b/c")), "all of them, or none");
    assert!(create("a/b").is_ok());
    assert!(is_over(create("c")));
    assert!(is_over(rename("a/b", "x/b")), "x would be one more");
    assert!(is_over(rename("INBOX", "Old")), "INBOX stays");
    assert!(rename("a/b", "b").is_ok());
    assert_eq!(store.quota(ann).expect("read").mailboxes, 3);
    assert!(is_taken(&store, inbox(ann), 10));
    assert_eq!(usage_files(&place).len(), 0, "what is in them is not counted");
    // A name that only stands for what is below it is none, until it is made one.
    assert!(rename("b", "a/b").is_ok());
    let mut txn = store.begin();
    txn.delete_mailbox(ann, "a");
    txn.commit().expect("deleted");
    assert_eq!(store.quota(ann).expect("read").mailboxes, 2);
    assert!(create("d").is_ok() && is_over(create("a")));
    // It is in the log and in the list.
    drop(store);
    let store = place.open();
    let quota = store.quota(ann).expect("read");
    assert_eq!((quota.own.mailboxes, quota.mailboxes), (Limit::Most(3), 3));
    set(&store, ann, Limits::default());
    make(&store, ann, "a");
}

#[test]
fn who_has_no_limits_costs_nothing() {
    let place = Place::new();
    let store = place.open();
    let ann = store.ensure_user("ann").expect("made");
    for _ in 0..3 {
        assert!(is_taken(&store, inbox(ann), 10));
    }
    assert_eq!(usage(&store, ann).messages, 3);
    assert_eq!(usage_files(&place).len(), 0, "no view is made for those whom nobody limits");
    set(&store, ann, messages(9));
    assert!(is_taken(&store, inbox(ann), 10));
    assert_eq!(usage_files(&place).len(), 1);
}

fn usage_files(place: &Place) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![place.store_path().join("p0/users")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("readable") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.ends_with("usage") {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn two_processes_at_once_do_not_both_take_the_last_place() {
    const MOST: u64 = 60;
    let place = Place::new();
    let stores = [place.open_as(0), place.open_as(1)];
    let ann = stores[0].ensure_user("ann").expect("made");
    let mailboxes = [inbox(ann), make(&stores[0], ann, "Other")];
    // The second process has found her without limits before.
    assert!(is_taken(&stores[1], mailboxes[1], 10));
    set(&stores[0], ann, messages(MOST));
    let taken: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> = stores
            .iter()
            .zip(mailboxes)
            .map(|(store, mailbox)| {
                scope.spawn(move || (0..MOST).filter(|_| is_taken(store, mailbox, 10)).count() as u64)
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("ended")).sum()
    });
    assert_eq!(taken, MOST - 1);
    for store in &stores {
        assert_eq!(usage(store, ann), Usage { octets: 10 * MOST, messages: MOST });
    }
    // What one process sets, the other obeys at once.
    set(&stores[1], ann, messages(MOST + 1));
    assert!(is_taken(&stores[0], mailboxes[0], 10) && !is_taken(&stores[1], mailboxes[0], 10));
}

#[test]
fn usage_is_right_whatever_became_of_its_view() {
    for damage in ["none", "removed", "emptied", "rows", "power cut", "catalog", "cells"] {
        let place = Place::new();
        let mut options = place.options(WriterChoice::Handler(0));
        options.pretend_boot_id = Some("one".to_owned());
        let store = Store::open(options.clone()).expect("opens");
        let ann = store.ensure_user("ann").expect("made");
        let other = make(&store, ann, "Other");
        set(&store, ann, messages(4));
        for mailbox in [inbox(ann), inbox(ann), other] {
            assert!(is_taken(&store, mailbox, 10));
        }
        if damage == "power cut" {
            // It says that it is open: that is all a power cut leaves of it.
            let state = std::fs::read(place.store_path().join("state")).expect("readable");
            drop(store);
            std::fs::write(place.store_path().join("state"), state).expect("written");
            options.pretend_boot_id = Some("two".to_owned());
        } else {
            drop(store);
        }
        let files = usage_files(&place);
        let [file] = &files[..] else { panic!("{files:?}") };
        match damage {
            "removed" => std::fs::remove_file(file).expect("removed"),
            "emptied" => std::fs::write(file, b"").expect("emptied"),
            "rows" => {
                let mut bytes = std::fs::read(file).expect("readable");
                bytes[64 + 16] ^= 0x40;
                std::fs::write(file, bytes).expect("written");
            }
            "catalog" => std::fs::remove_file(place.store_path().join("catalog")).expect("removed"),
            "cells" => {
                std::fs::write(file.with_file_name("m2").join("cells"), b"x").expect("damaged");
                std::fs::remove_file(place.store_path().join("catalog")).expect("removed");
            }
            _ => (),
        }
        let store = Store::open(options).expect("opens");
        assert_eq!(usage(&store, ann), Usage { octets: 30, messages: 3 }, "{damage}");
        assert!(is_taken(&store, other, 10) && !is_taken(&store, inbox(ann), 10), "{damage}");
        assert_eq!(usage(&store, ann), Usage { octets: 40, messages: 4 }, "{damage}");
    }
}
