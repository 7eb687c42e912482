//! Deposits: all of them or none, limits by what is left in the end, and what becomes of those that nobody wants.

use std::sync::Arc;

use super::*;
use crate::gc::tests::{Place, body, count, expunge, gc, inbox, mail};
use crate::page::directory::CellState;
use crate::quota::{Limit, Limits, Resource};
use crate::txn::{Committed, Outcome};

fn deposit(store: &Arc<Store>, octets: &[u8], mailbox: MailboxId) -> DepositDelivery {
    let mut draft = store.draft().expect("open");
    draft.write(octets).expect("space");
    DepositDelivery {
        deposit: store.deposit(draft.finish().expect("space"), mailbox).expect("space"),
        flags: SystemFlags::SEEN,
        keywords: vec!["$a".to_string()],
        internal_date: ZonedTime { seconds: 7, zone_minutes: 0 },
    }
}

fn put_together(
    store: &Store,
    to: MailboxId,
    messages: Vec<DepositDelivery>,
) -> Result<Deposited, ChangeError> {
    let mut txn = store.begin();
    txn.add_deposits(to, messages);
    deposited(store, txn.commit()?)
}

fn replace(
    store: &Store,
    (from, cell): (MailboxId, u32),
    to: MailboxId,
    message: DepositDelivery,
) -> Result<Deposited, ChangeError> {
    let mut txn = store.begin();
    txn.replace(from, CellIndex(cell), to, message);
    deposited(store, txn.commit()?)
}

fn deposited(store: &Store, committed: Committed) -> Result<Deposited, ChangeError> {
    store.wait(committed.ticket).expect("durable");
    match committed.outcomes.into_iter().next() {
        Some(Outcome::Deposited(deposited)) => Ok(deposited),
        other => panic!("{other:?}"),
    }
}

fn exists(store: &Store, mailbox: MailboxId) -> u32 {
    store.mailbox(mailbox).expect("there").status().expect("readable").exists
}

#[test]
fn messages_are_put_into_a_mailbox_together_in_their_order() {
    let place = Place::new();
    let store = place.open();
    let ann = inbox(store.ensure_user("ann").expect("made"));
    let octets = [mail("one", 300), mail("two", 900_000), mail("three", 20)];
    let messages: Vec<DepositDelivery> = octets.iter().map(|octets| deposit(&store, octets, ann)).collect();
    let ids: Vec<MessageId> = messages.iter().map(|message| message.deposit.id()).collect();
    assert_eq!(exists(&store, ann), 0, "nobody sees them");
    assert_eq!(count(&store, ids[0]), (0, CellState::InUse));
    let done = put_together(&store, ann, messages).expect("done");
    let uids: Vec<u32> = done.uids.iter().map(|uid| uid.get()).collect();
    assert_eq!((uids, done.expunged_modseq), (vec![1, 2, 3], None));
    drop(store);
    let store = place.open();
    let open = store.mailbox(ann).expect("there");
    assert_eq!(open.status().expect("readable").exists, 3);
    for (index, (octets, id)) in octets.iter().zip(&ids).enumerate() {
        let cell = open.cell(CellIndex(index as u32)).expect("there");
        assert_eq!((cell.message, cell.modseq), (*id, done.modseq));
        assert_eq!((cell.flags.system, cell.flags.keywords), (SystemFlags::SEEN, 1));
        assert_eq!(body(&store, *id).expect("there"), *octets);
        assert_eq!(count(&store, *id), (1, CellState::InUse));
    }
}

#[test]
fn deposits_that_nobody_takes_are_given_back_and_missed_by_a_late_transaction() {
    let place = Place::new();
    let store = place.open();
    let ann = inbox(store.ensure_user("ann").expect("made"));
    let messages = vec![deposit(&store, &mail("a", 300), ann), deposit(&store, &mail("b", 400), ann)];
    let (first, second) = (messages[0].deposit.id(), messages[1].deposit.id());
    gc(&store);
    assert_eq!(count(&store, first), (0, CellState::Freed));
    let late = put_together(&store, ann, messages);
    assert!(matches!(late, Err(ChangeError::Store(StoreError::Gone(_)))), "{late:?}");
    assert_eq!(exists(&store, ann), 0);
    assert_eq!(count(&store, second).0, 0, "nothing is held");
}

#[test]
fn a_message_is_replaced_at_once_or_stays() {
    let place = Place::new();
    let store = place.open();
    let user = store.ensure_user("ann").expect("made");
    let mut txn = store.begin();
    txn.create_mailbox(user, "Sent", None);
    txn.commit().expect("made");
    let (ann, sent) = (inbox(user), MailboxId { user, number: 2 });
    put_together(&store, ann, vec![deposit(&store, &mail("old", 300), ann)]).expect("done");
    let done = replace(&store, (ann, 0), ann, deposit(&store, &mail("new", 300), ann)).expect("done");
    assert_eq!(done.uids[0].get(), 2);
    assert!(done.expunged_modseq.is_some_and(|modseq| modseq > done.modseq));
    assert_eq!(exists(&store, ann), 1);
    // It is gone already.
    let late = replace(&store, (ann, 0), ann, deposit(&store, &mail("newer", 300), ann));
    assert!(matches!(late, Err(ChangeError::Store(StoreError::NotFound("message")))), "{late:?}");
    assert_eq!(exists(&store, ann), 1);
    let done = replace(&store, (ann, 1), sent, deposit(&store, &mail("sent", 300), sent)).expect("done");
    assert_eq!(done.uids[0].get(), 1);
    assert_eq!((exists(&store, ann), exists(&store, sent)), (0, 1));
    let nowhere = MailboxId { user, number: 9 };
    let refused = replace(&store, (sent, 0), nowhere, deposit(&store, &mail("x", 300), sent));
    assert!(matches!(refused, Err(ChangeError::NoSuchMailbox)), "{refused:?}");
    assert_eq!(exists(&store, sent), 1);
}

#[test]
fn limits_count_what_is_there_in_the_end() {
    let place = Place::new();
    let store = place.open();
    let user = store.ensure_user("ann").expect("made");
    let ann = inbox(user);
    let mut txn = store.begin();
    txn.set_quota(user, Limits { octets: Limit::Most(1000), messages: Limit::Most(2), ..Limits::default() });
    txn.commit().expect("done");
    let of = |octets: &[usize]| -> Vec<DepositDelivery> {
        octets.iter().map(|octets| deposit(&store, &mail("m", *octets), ann)).collect()
    };
    let refused = put_together(&store, ann, of(&[100, 100, 100]));
    assert!(matches!(refused, Err(ChangeError::OverQuota(Resource::Messages))), "{refused:?}");
    let refused = put_together(&store, ann, of(&[600, 600]));
    assert!(matches!(refused, Err(ChangeError::OverQuota(Resource::Octets))), "{refused:?}");
    assert_eq!(exists(&store, ann), 0);
    put_together(&store, ann, of(&[500, 500])).expect("there is room");
    let one = |octets: usize| of(&[octets]).remove(0);
    let refused = replace(&store, (ann, 0), ann, one(501));
    assert!(matches!(refused, Err(ChangeError::OverQuota(Resource::Octets))), "{refused:?}");
    replace(&store, (ann, 0), ann, one(500)).expect("no more than before");
    expunge(&store, ann, &[1]);
    replace(&store, (ann, 2), ann, one(1000)).expect("there is room");
    assert_eq!(store.quota(user).expect("counted").usage.octets, 1000);
}
