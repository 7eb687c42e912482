//! Changes of flags that leave messages as they are if somebody changed them since (RFC 7162, 3.1.3), also when two processes race.

mod common;

use common::{Place, deliver, flags, inbox, mail, to};
use store::change::SystemFlags;
use store::txn::{FlagOperation, FlagsChanged, Outcome};
use store::{CellIndex, ModSeq};

#[test]
fn of_those_who_change_a_message_unless_it_is_newer_one_does() {
    let place = Place::new();
    let stores = [place.open(), place.open_as(1)];
    let mailbox = inbox(stores[0].ensure_user("ann").expect("made"));
    deliver(&stores[0], &mail("one"), vec![to(mailbox)]);
    deliver(&stores[0], &mail("two"), vec![to(mailbox)]);
    let cells = [CellIndex(0), CellIndex(1)];
    for round in 0..20 {
        let since = stores[0].mailbox(mailbox).expect("there").highest_modseq().expect("readable");
        // Another change of one of them: everybody must leave that as it is.
        let mut txn = stores[0].begin();
        let system = if round % 2 == 0 { SystemFlags::FLAGGED } else { SystemFlags::default() };
        txn.store_flags(mailbox, &cells[1..], flags(FlagOperation::Set, system, &[]));
        txn.commit().expect("stored");
        let outcomes: Vec<FlagsChanged> = std::thread::scope(|scope| {
            let racers = stores.each_ref().map(|store| {
                scope.spawn(move || {
                    let operation = if round % 2 == 0 { FlagOperation::Add } else { FlagOperation::Remove };
                    let change = flags(operation, SystemFlags::SEEN, &["$Mine"]);
                    let mut txn = store.begin();
                    txn.store_flags_unless_newer(mailbox, &cells, change, since);
                    let committed = txn.commit().expect("committed");
                    match committed.outcomes.into_iter().next() {
                        Some(Outcome::Flags(changed)) => changed,
                        other => panic!("{other:?}"),
                    }
                })
            });
            racers.into_iter().map(|racer| racer.join().expect("no panic")).collect()
        });
        let won: Vec<&FlagsChanged> =
            outcomes.iter().filter(|outcome| !outcome.messages.is_empty()).collect();
        assert_eq!(won.len(), 1, "round {round}: {outcomes:?}");
        assert_eq!(won[0].messages[0].0, cells[0]);
        assert!(won[0].modseqs_before[0] <= since && won[0].modseq > since);
        let newer = |outcome: &FlagsChanged| outcome.newer.iter().map(|(cell, _)| *cell).collect::<Vec<_>>();
        for outcome in &outcomes {
            let lost = outcome.messages.is_empty();
            assert_eq!(newer(outcome), if lost { cells.to_vec() } else { vec![cells[1]] });
        }
    }
}

#[test]
fn a_keyword_can_be_taken_by_one_alone() {
    let place = Place::new();
    let store = place.open();
    let mailbox = inbox(store.ensure_user("ann").expect("made"));
    deliver(&store, &mail("one"), vec![to(mailbox)]);
    let take = |operation, system, keyword: &str| {
        let mut txn = store.begin();
        let change = flags(operation, system, &[keyword]);
        txn.store_flags_unless_newer(mailbox, &[CellIndex(0)], change, ModSeq(0));
        match txn.commit().expect("committed").outcomes.into_iter().next() {
            Some(Outcome::Flags(changed)) => changed.newer.is_empty(),
            other => panic!("{other:?}"),
        }
    };
    let none = SystemFlags::default();
    assert!(take(FlagOperation::Add, none, "$MDNSent"));
    assert!(!take(FlagOperation::Add, none, "$mdnsent"));
    assert!(take(FlagOperation::Add, none, "$Other"));
    assert!(!take(FlagOperation::Add, SystemFlags::SEEN, "$Third"), "a system flag is always there");
    assert!(!take(FlagOperation::Set, none, "$Third"), "and all of them are set");
}
