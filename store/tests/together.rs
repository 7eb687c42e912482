//! Several processes with one store, each played by a `Store` of its own: what one does to users and mailboxes, another that has
//! them open learns; and the last to close leaves the store closed.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};

use common::*;
use store::ids::UserId;
use store::txn::Outcome;
use store::{ChangeError, StoreError, Ticket, WriterChoice};

#[test]
fn what_another_process_has_open_of_a_deleted_user_takes_no_more_mail() {
    let place = Place::new();
    let one = place.open_as(0);
    let other = place.open_as(1);
    let ann = one.ensure_user("ann").expect("made");
    let first = deliver(&other, &mail("first"), vec![to(inbox(ann))]);
    other.wait(first.ticket).expect("durable");
    let open = other.mailbox(inbox(ann)).expect("there");
    drop(one);

    // This one never had the mailbox open.
    let one = place.open_as(0);
    let mut txn = one.begin();
    txn.delete_user(ann);
    one.wait(txn.commit().expect("deleted").ticket).expect("durable");
    assert!(open.is_deleted().expect("readable"), "who has it open is told");
    let late = deliver(&other, &mail("late"), vec![to(inbox(ann))]);
    assert!(matches!(&late.outcomes[..], [Outcome::Delivered(results)] if results[0].is_err()), "{late:?}");
    assert!(matches!(other.mailbox(inbox(ann)), Err(StoreError::NotFound(_))));
    let mut txn = other.begin();
    txn.create_mailbox(ann, "Late", None);
    assert!(matches!(txn.commit(), Err(ChangeError::Store(StoreError::NotFound("user")))));
    let mut txn = other.begin();
    txn.delete_user(ann);
    assert!(matches!(txn.commit(), Err(ChangeError::Store(StoreError::NotFound("user")))));

    // The name can be given again, and the old mail is not there.
    let next = other.ensure_user("ann").expect("made");
    assert_ne!(next, ann);
    assert_eq!(one.mailbox(inbox(next)).expect("there").status().expect("readable").exists, 0);
    drop((one, other));
    let store = place.open();
    assert_eq!(store.users().expect("readable"), vec![(next, "ann".to_string())]);
    assert!(live(&store, inbox(next)).is_empty());
}

#[test]
fn a_user_who_is_found_has_an_inbox() {
    const USERS: u32 = 60;
    let place = Place::on_disk();
    let one = place.open_as(0);
    let other = place.open_as(1);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..USERS {
                one.ensure_user(&format!("user{number}")).expect("made");
            }
            done.store(true, Ordering::Release);
        });
        let mut number = 0;
        while number < USERS {
            let ended = done.load(Ordering::Acquire);
            let Some(user) = other.find_user(&format!("user{number}")).expect("readable") else {
                assert!(!ended, "user{number} is missing");
                continue;
            };
            let list = other.mailbox_list(user).expect("readable");
            assert!(list.find("INBOX").is_some(), "user{number} has no INBOX");
            assert_eq!(other.mailbox(inbox(user)).expect("there").status().expect("readable").exists, 0);
            number += 1;
        }
    });
}

#[test]
fn the_same_user_and_mailbox_made_by_all_at_once_are_made_once() {
    let place = Place::new();
    let stores: Vec<_> = (0..3).map(|handler| place.open_as(handler)).collect();
    for round in 0..20 {
        let name = format!("user{round}");
        let users: Vec<UserId> = std::thread::scope(|scope| {
            let makers: Vec<_> = stores
                .iter()
                .map(|store| {
                    scope.spawn(|| {
                        let user = store.ensure_user(&name).expect("made");
                        let mut txn = store.begin();
                        txn.create_mailbox(user, "Box", None);
                        match txn.commit() {
                            Ok(committed) => store.wait(committed.ticket).expect("durable"),
                            Err(ChangeError::MailboxExists) => (),
                            Err(error) => panic!("{error}"),
                        }
                        user
                    })
                })
                .collect();
            makers.into_iter().map(|maker| maker.join().expect("made")).collect()
        });
        assert!(users.windows(2).all(|pair| pair[0] == pair[1]), "{users:?}");
        let list = stores[0].mailbox_list(users[0]).expect("readable");
        assert_eq!(list.entries().len(), 2, "{list:?}");
    }
}

#[test]
fn whoever_closes_last_leaves_the_store_closed_even_if_all_close_at_once() {
    let place = Place::new();
    let open = |handler: u16, boot: &str| {
        let mut options = place.options(WriterChoice::Handler(handler));
        options.pretend_boot_id = Some(boot.to_string());
        store::Store::open(options).expect("opens")
    };
    let stores: Vec<_> = (0..3).map(|handler| open(handler, "one")).collect();
    let ann = stores[0].ensure_user("ann").expect("made");
    let first = deliver(&stores[1], &mail("first"), vec![to(inbox(ann))]);
    assert_eq!(only_uid(&first), 1);
    // Closed, but all still there, as processes are that are about to exit.
    stores.iter().for_each(|store| store.close().expect("closed"));
    assert!(matches!(stores[0].begin().commit(), Err(ChangeError::Store(StoreError::Failed(_)))));
    let next = open(3, "two");
    let second = deliver(&next, &mail("second"), vec![to(inbox(ann))]);
    assert_eq!(only_uid(&second), 2, "no power cut is suspected");
    drop(stores);
}

#[test]
fn a_store_that_is_closed_while_changes_run_keeps_what_it_acknowledged() {
    for round in 0..10 {
        let place = Place::new();
        let store = place.open();
        let ann = store.ensure_user("ann").expect("made");
        let acknowledged: Vec<u32> = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let mut uids = Vec::new();
                        while let Ok(mut draft) = store.draft() {
                            draft.write(&mail("x")).expect("space");
                            let mut txn = store.begin();
                            txn.deliver(draft.finish().expect("space"), vec![to(inbox(ann))]);
                            match txn.commit() {
                                Ok(committed) if store.wait(committed.ticket).is_ok() => {
                                    uids.push(only_uid(&committed));
                                }
                                // Too late for the commit thread: not acknowledged.
                                Ok(_) => (),
                                Err(ChangeError::Store(StoreError::Failed(_))) => break,
                                Err(error) => panic!("{error}"),
                            }
                        }
                        uids
                    })
                })
                .collect();
            while store.durable_ticket() < Ticket(4 * (1 + round)) {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            store.close().expect("closed");
            writers.into_iter().flat_map(|writer| writer.join().expect("ended")).collect()
        });
        let exists = live(&store, inbox(ann)).len();
        drop(store);
        let store = place.open();
        let found: Vec<u32> = live(&store, inbox(ann)).iter().map(|cell| cell.uid.get()).collect();
        assert_eq!(found.len(), exists, "nothing came after the end");
        assert!(acknowledged.iter().all(|uid| found.contains(uid)), "{acknowledged:?} {found:?}");
        assert!(!acknowledged.is_empty());
    }
}

#[test]
fn a_mailbox_that_one_deletes_while_another_fills_it_is_gone_for_both() {
    let place = Place::new();
    let one = place.open_as(0);
    let other = place.open_as(1);
    let ann = one.ensure_user("ann").expect("made");
    for round in 0..30 {
        let mut txn = one.begin();
        txn.create_mailbox(ann, "Box", None);
        let [Outcome::Created(mailbox)] = txn.commit().expect("made").outcomes[..] else { panic!() };
        let session = other.mailbox(mailbox).expect("there");
        let delivered = std::thread::scope(|scope| {
            let filling = scope.spawn(|| {
                for count in 0_u32.. {
                    let delivered = deliver(&other, &mail("x"), vec![to(mailbox), to(inbox(ann))]);
                    match &delivered.outcomes[..] {
                        [Outcome::Delivered(results)] if results[0].is_err() => return count,
                        _ => (),
                    }
                }
                0
            });
            std::thread::sleep(std::time::Duration::from_micros(300 * round));
            let mut txn = one.begin();
            txn.delete_mailbox(ann, "Box");
            one.wait(txn.commit().expect("deleted").ticket).expect("durable");
            filling.join().expect("ended")
        });
        assert!(session.is_deleted().expect("readable"));
        assert_eq!(session.status().expect("readable").exists, delivered, "none came after the end");
        assert!(matches!(other.mailbox(mailbox), Err(StoreError::NotFound(_))));
        // Its cells hold on to their messages until they are collected.
        assert!(session.path().exists() && !session.is_released().expect("readable"));
        assert!(session.deleted_at().expect("readable") > 0);
    }
}

#[test]
fn many_who_make_users_at_one_time_all_come_to_their_turn() {
    const THREADS: u32 = 24;
    const EACH: u32 = 12;
    let place = Place::new();
    let stores = [place.open_as(0), place.open_as(1)];
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let store = &stores[thread as usize % 2];
            scope.spawn(move || {
                for number in 0..EACH {
                    store.ensure_user(&format!("user{thread}.{number}")).expect("made");
                }
            });
        }
    });
    let users = stores[0].users().expect("readable");
    assert_eq!(users.len() as u32, THREADS * EACH);
}
