//! Threads of records, without a store: rules of RFC 5256 one by one, and what somebody may make on purpose.

use message::{Record, Scanner};
use protocol::imap::Numbering;
use protocol::imap::extension::sort::ThreadAlgorithm::{self, OrderedSubject, References};
use store::{MessageId, PageId};

use super::super::sort::gather::{Facts, Sink};
use super::tree::tests::told;
use super::{Joining, Reading};

/// The reply for messages with these headers; each was sent as many seconds after 1970 as the number before it says.
fn threads(algorithm: ThreadAlgorithm, headers: &[(i64, &str)]) -> String {
    let mut reading = Reading::new(Numbering::Sequence, algorithm, headers.len());
    let mut all = Vec::new();
    for (place, &(sent, header)) in headers.iter().enumerate() {
        let mut scanner = Scanner::new();
        scanner.push(header.as_bytes());
        let encoded = message::encode(&scanner.finish());
        let sequence = place as u32 + 1;
        let message = MessageId { page: PageId(1), index: sequence };
        let facts = Facts { sequence, uid: sequence, message, arrived: 0, sent, size: 0 };
        reading.message(place, &facts, Some(&Record::parse(&encoded).expect("a new record")));
        all.push(facts);
    }
    while !reading.chunk(&all, &|| true) {}
    finish(reading)
}

/// The same for ids and references that are given as they are; none has a subject.
fn linked(messages: &[(u64, Vec<u64>)]) -> String {
    let mut reading = Reading::new(Numbering::Sequence, References, messages.len());
    for (number, (id, references)) in (1..).zip(messages) {
        let links = reading.links.as_mut().expect("REFERENCES");
        links.push(Some(*id).filter(|&id| id != 0), references.iter().copied());
        reading.messages.push(number, i64::from(number), 0);
    }
    finish(reading)
}

fn finish(reading: Reading) -> String {
    let (mut joining, messages): (Joining, _) = reading.join();
    let mut planting = loop {
        if let Some(planting) = joining.go_on(&messages, &|| true) {
            break planting;
        }
    };
    while !planting.go_on(&|| true) {}
    told(planting.finish(messages.into_numbers()))
}

#[test]
fn subjects_in_order() {
    let headers = [
        (3, "Subject: b\n"),
        (2, "Subject: Re: A\n"),
        (1, "Subject: a\n"),
        (4, "\n"),
        (4, "Subject: Fwd: a\n"),
        (0, "Subject: [x] B\n"),
        (9, "Subject: Re:\n"),
    ];
    assert_eq!(threads(OrderedSubject, &headers), "(6 1)(3 (2)(5))(4 7)");
    assert_eq!(threads(OrderedSubject, &[]), "");
}

#[test]
fn references_make_parents() {
    let headers = [
        (1, "Message-ID: <1@x>\n"),
        (2, "Message-ID: <2@x>\nReferences: <1@x>\n"),
        (3, "Message-ID: <3@x>\nReferences: <1@x> <2@x>\n"),
        (4, "Message-ID: <4@x>\nIn-Reply-To: <1@x> <3@x>\n"),
        (5, "Message-ID: <5@x>\nReferences: none\nIn-Reply-To: <\"3\"@x>\n"),
        (6, "Message-ID: <6@x>\nReferences: <1@X>\n"),
    ];
    assert_eq!(threads(References, &headers), "(1 (2 3 5)(4))(6)");
}

#[test]
fn dummies_are_pruned() {
    // 10 is there in no message: one child takes its place, two do not.
    assert_eq!(linked(&[(1, vec![10])]), "(1)");
    assert_eq!(linked(&[(1, vec![10]), (2, vec![10])]), "((1)(2))");
    assert_eq!(linked(&[(1, vec![10, 11, 12]), (2, vec![10, 11])]), "((1)(2))");
    assert_eq!(linked(&[(1, vec![10, 11]), (2, vec![10, 11, 1])]), "(1 2)");
    assert_eq!(linked(&[(1, vec![]), (2, vec![1, 10]), (3, vec![1, 10])]), "(1 (2)(3))");
}

#[test]
fn links_that_are_there_stay_but_for_the_last_reference() {
    // 3 comes below 2 first. Then 3 itself says 1.
    assert_eq!(linked(&[(1, vec![]), (2, vec![1]), (4, vec![1, 2, 3]), (3, vec![1])]), "(1 (2)(4 3))");
}

#[test]
fn loops_are_not_made() {
    assert_eq!(linked(&[(1, vec![1])]), "(1)");
    assert_eq!(linked(&[(1, vec![2]), (2, vec![1])]), "(2 1)");
    assert_eq!(linked(&[(1, vec![2, 3, 2, 1]), (2, vec![3]), (3, vec![2])]), "(1)(2 3)");
}

#[test]
fn an_id_belongs_to_the_first_message_that_has_it() {
    assert_eq!(linked(&[(1, vec![]), (1, vec![]), (2, vec![1]), (1, vec![2])]), "(1 3 4)(2)");
    assert_eq!(linked(&[(2, vec![1]), (0, vec![1]), (1, vec![]), (1, vec![])]), "(3 (1)(2))(4)");
}

#[test]
fn threads_with_the_same_subject_are_merged() {
    let (original, reply) = ("Subject: s\n", "Subject: Re: s\n");
    let own = |number: u32, header: &str| format!("Message-ID: <{number}@x>\n{header}");
    // A reply comes below what is none, whichever is first.
    assert_eq!(threads(References, &[(1, original), (2, reply)]), "(1 2)");
    assert_eq!(threads(References, &[(1, reply), (2, original)]), "(2 1)");
    // Two of a kind become siblings.
    assert_eq!(threads(References, &[(1, original), (2, original)]), "((1)(2))");
    assert_eq!(threads(References, &[(2, reply), (1, reply), (3, reply)]), "((2)(1)(3))");
    // Once there is a dummy, it is the parent of all.
    assert_eq!(threads(References, &[(1, original), (2, original), (3, reply)]), "((1)(2)(3))");
    // A dummy that was there takes the others in, and so other dummies' children.
    let below = "References: <10@x>\n";
    let first = own(1, &format!("{below}{reply}"));
    let second = own(2, &format!("{below}{reply}"));
    let other = "References: <20@x>\n";
    let third = own(3, &format!("{other}{original}"));
    let fourth = own(4, &format!("{other}Subject: t\n"));
    assert_eq!(
        threads(
            References,
            &[(5, original), (1, &first), (2, &second), (3, &third), (4, &fourth), (6, reply)]
        ),
        "((2)(3)(4)(5)(1)(6))"
    );
    // No subject is no subject in common.
    assert_eq!(threads(References, &[(1, "Subject: Re:\n"), (2, "\n"), (3, "Subject:\n")]), "(1)(2)(3)");
}

#[test]
fn siblings_are_in_order_of_their_dates() {
    let id = |number: u32| format!("Message-ID: <{number}@x>\n");
    let below = |number: u32, parent: u32| format!("{}References: <{parent}@x>\n", id(number));
    let (second, third, fourth) = (below(2, 1), below(3, 1), below(4, 1));
    assert_eq!(
        threads(References, &[(9, &id(1)), (5, &second), (4, &third), (5, &fourth), (7, &id(5))]),
        "(5)(1 (3)(2)(4))"
    );
    // A dummy is where its first child would be.
    let (first, second) = (below(1, 10), below(2, 10));
    assert_eq!(threads(References, &[(9, &first), (2, &second), (1, &id(3)), (3, &id(4))]), "(3)((2)(1))(4)");
}

#[test]
fn long_chains_are_no_trouble() {
    let count = 50_000_u64;
    // Forwards, backwards, and all below the end of one long chain of messages that are not there.
    let forwards: Vec<_> =
        (1..=count).map(|id| (id, vec![id - 1].into_iter().filter(|&id| id > 0).collect())).collect();
    assert!(linked(&forwards).starts_with("(1 2 3 4 5 6"));
    let backwards: Vec<(u64, Vec<u64>)> = (1..=count)
        .map(|id| (count - id + 1, vec![count - id].into_iter().filter(|&id| id > 0).collect()))
        .collect();
    assert!(linked(&backwards).starts_with("(50000 49999 49998"));
    let mut below = vec![(1, (1000..3000).collect::<Vec<u64>>())];
    for id in 1..count / 100 {
        below
            .push((100_000 + id, (0..50).flat_map(|number| [2999, 1_000_000 + id * 100 + number]).collect()));
    }
    let reply = linked(&below);
    assert!(reply.starts_with("((1)(2)(3)"), "{}", &reply[..40]);
}
