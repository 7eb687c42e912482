//! Searches where a conversation would be too long: limits, many messages, filters that are in the store already.

use super::Rig;

/// The lines of an answer without their ends, but for the tagged one.
fn untagged(answer: &[String]) -> Vec<&str> {
    answer[..answer.len() - 1].iter().map(|line| line.trim_end()).collect()
}

#[test]
fn more_contexts_than_a_session_may_have_are_answered_without_updates() {
    let rig = Rig::start();
    let mut client = rig.imap("ann");
    client.append("INBOX", b"Subject: x\r\n\r\ny\r\n");
    client.ok("SELECT INBOX");
    for _ in 0..16 {
        let answer = client.ok("UID SEARCH RETURN (UPDATE COUNT) FLAGGED");
        assert_eq!(answer.len(), 2, "{answer:?}");
    }
    let answer = client.ok("UID SEARCH RETURN (UPDATE COUNT) FLAGGED");
    assert!(answer[0].ends_with("COUNT 0\r\n"), "{answer:?}");
    let tag = answer[2].split(' ').next().expect("a tag").to_owned();
    assert!(answer[1].starts_with(&format!("* NO [NOUPDATE \"{tag}\"]")), "{answer:?}");
    let told = client.ok("STORE 1 +FLAGS.SILENT (\\Flagged)");
    assert_eq!(told.iter().filter(|line| line.contains("ADDTO (0 1)")).count(), 16, "{told:?}");
}

#[test]
fn every_result_of_a_context_that_changes_is_told_once() {
    let rig = Rig::start();
    let (mut client, mut other) = (rig.imap("ann"), rig.imap("ann"));
    for _ in 0..4 {
        client.append("INBOX", b"Subject: x\r\n\r\ny\r\n");
    }
    client.ok("SELECT INBOX");
    for _ in 0..6 {
        client.ok("COPY 1:* INBOX");
        client.ok("NOOP");
    }
    client.ok("STORE 1:100 +FLAGS.SILENT (\\Flagged)");
    client.ok("UID SEARCH RETURN (UPDATE) FLAGGED");
    // What comes, goes and changes between two commands is told by what it comes to.
    other.ok("SELECT INBOX");
    other.ok("STORE 50:150 -FLAGS.SILENT (\\Flagged)");
    other.ok("STORE 200:210 +FLAGS.SILENT (\\Flagged)");
    other.ok("STORE 10:12,90:92,205 +FLAGS.SILENT (\\Deleted)");
    other.ok("EXPUNGE");
    other.ok("COPY 1 INBOX");
    let answer = client.ok("NOOP");
    let told: Vec<&str> = untagged(&answer).into_iter().filter(|line| line.contains("ESEARCH")).collect();
    let [gone, changed] = told.as_slice() else { panic!("{answer:?}") };
    assert!(!gone.is_empty() && answer[0].contains("ESEARCH"), "it comes before the EXPUNGEs");
    assert!(gone.ends_with("UID REMOVEFROM (0 10:12,90:92)"), "{gone}");
    assert!(changed.ends_with("UID REMOVEFROM (0 50:89,93:100) ADDTO (0 200:204,206:210,257)"), "{changed}");
}

#[test]
fn filters_of_the_user_stand_in_the_place_of_their_names() {
    let rig = Rig::start();
    let mut client = rig.imap("ann");
    client.append("INBOX", b"Subject: apples\r\n\r\nx\r\n");
    client.append("INBOX", "Subject: =?utf-8?q?=C3=A4pfel?=\r\n\r\nx\r\n".as_bytes());
    client.append("INBOX", b"Subject: pears\r\n\r\nx\r\n");
    client.ok("SELECT INBOX");
    let store = &rig.shared.store;
    let ann = store.find_user("ann").expect("the store answers").expect("she has logged in");
    let mut txn = store.begin();
    let entry = |name: &str| format!("meta/private/filters/values/{name}");
    txn.set_attribute(ann, None, &entry("fruit"), Some("OR SUBJECT apples SUBJECT \"Ä\"".as_bytes()));
    txn.set_attribute(ann, None, &entry("both"), Some(b"NOT FILTER fruit"));
    txn.set_attribute(ann, None, &entry("half"), Some(b"OR SUBJECT apples"));
    let anyone = store.ensure_user(store::rights::ANYONE).expect("it is made");
    txn.set_attribute(anyone, None, "meta/shared/filters/values/fruit", Some(b"ALL"));
    txn.set_attribute(anyone, None, "meta/shared/filters/values/pears", Some(b"SUBJECT pears"));
    txn.commit().expect("the change is made");
    assert_eq!(untagged(&client.ok("SEARCH FILTER fruit")), ["* SEARCH 1 2"]);
    assert_eq!(untagged(&client.ok("SEARCH 1:3 FILTER FRUIT NOT 1")), ["* SEARCH 2"]);
    assert_eq!(untagged(&client.ok("SEARCH FILTER both")), ["* SEARCH 3"]);
    assert_eq!(untagged(&client.ok("SEARCH FILTER pears")), ["* SEARCH 3"]);
    let refused = client.command("SEARCH FILTER half");
    assert!(refused[0].contains("NO [UNDEFINED-FILTER half]"), "{refused:?}");
    let found = client.ok("ESEARCH IN (personal) RETURN (COUNT) FILTER fruit");
    assert!(found[0].ends_with("UID COUNT 2\r\n"), "{found:?}");
}

#[test]
fn the_last_results_are_found_from_the_end() {
    let rig = Rig::start();
    let mut client = rig.imap("ann");
    client.append("INBOX", b"Subject: x\r\n\r\ny\r\n");
    client.ok("SELECT INBOX");
    for _ in 0..14 {
        client.ok("COPY 1:* INBOX");
        client.ok("NOOP");
    }
    // Three windows and more of 16,384 messages.
    client.ok("STORE 5,4096:4098,8193,12288:12289,16000 +FLAGS.SILENT (\\Flagged)");
    let counters = rig.shared.store.counters();
    let mut asked = |command: &str| {
        let before = counters.blocks_searched.get();
        let answer = client.ok(command);
        let told = untagged(&answer)[0].split(") ").skip(1).collect::<Vec<_>>().join(") ");
        (told, counters.blocks_searched.get() - before)
    };
    assert_eq!(asked("SEARCH RETURN (MAX) FLAGGED"), ("MAX 16000".to_owned(), 64));
    assert_eq!(
        asked("SEARCH RETURN (PARTIAL -1:-2) FLAGGED"),
        ("PARTIAL (-1:-2 12289,16000)".to_owned(), 64)
    );
    assert_eq!(asked("SEARCH RETURN (PARTIAL -2:-4) FLAGGED").0, "PARTIAL (-2:-4 8193,12288:12289)");
    assert_eq!(asked("SEARCH RETURN (PARTIAL -4:-9) FLAGGED").0, "PARTIAL (-4:-9 5,4096:4098,8193)");
    assert_eq!(asked("SEARCH RETURN (PARTIAL -9:-12) FLAGGED").0, "PARTIAL (-9:-12 NIL)");
    assert_eq!(
        asked("SEARCH RETURN (PARTIAL -1:-2 MAX) FLAGGED NOT 16000").0,
        "MAX 12289 PARTIAL (-1:-2 12288:12289)"
    );
    assert_eq!(asked("SEARCH RETURN (PARTIAL -1:-2 MIN) FLAGGED").0, "MIN 5 PARTIAL (-1:-2 12289,16000)");
    assert_eq!(asked("SEARCH RETURN (MAX) 1:3 FLAGGED").0, "");
    assert_eq!(asked("SEARCH RETURN (MAX) 1:5 FLAGGED"), ("MAX 5".to_owned(), 1));
}

#[test]
fn batches_have_as_many_messages_as_was_asked_and_leave_no_gap() {
    let rig = Rig::start();
    let mut client = rig.imap("ann");
    client.append("INBOX", b"Subject: x\r\n\r\ny\r\n");
    client.ok("SELECT INBOX");
    for _ in 0..11 {
        client.ok("COPY 1:* INBOX");
        client.ok("NOOP");
    }
    // Of 2,048 messages, every fourth of the first thousand goes.
    for first in (1..=1000).step_by(4) {
        client.ok(&format!("UID STORE {first} +FLAGS.SILENT (\\Deleted)"));
    }
    client.ok("EXPUNGE");
    let answer = client.ok("UIDBATCHES 500");
    let ranges: Vec<(u32, u32)> = untagged(&answer)[0]
        .rsplit(' ')
        .next()
        .expect("ranges")
        .split(',')
        .map(|range| {
            let (high, low) = range.split_once(':').expect("a range");
            (high.parse().expect("a UID"), low.parse().expect("a UID"))
        })
        .collect();
    assert_eq!(ranges.first().map(|range| range.0), Some(2048));
    assert_eq!(ranges.last().map(|range| range.1), Some(1));
    assert!(ranges.windows(2).all(|pair| pair[0].1 == pair[1].0 + 1), "{ranges:?}");
    let counts: Vec<String> = ranges
        .iter()
        .map(|(high, low)| {
            let answer = client.ok(&format!("UID SEARCH RETURN (COUNT) UID {low}:{high}"));
            untagged(&answer)[0].rsplit(' ').next().expect("a count").to_owned()
        })
        .collect();
    assert_eq!(counts, ["500", "500", "500", "298"]);
    let some = client.ok("UIDBATCHES 500 2:3");
    let told = untagged(&some)[0].rsplit(' ').next().expect("ranges").to_owned();
    assert_eq!(told, format!("{}:{},{}:{}", ranges[1].0, ranges[1].1, ranges[2].0, ranges[2].1));
}
