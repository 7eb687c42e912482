//! What changes touch: APPEND, STORE, COPY, MOVE, EXPUNGE, REPLACE.

use super::touched::{Touched, fill, message};
use super::with_attachment;
use crate::tests::Rig;

/// A frame's head, and what is said once of a change.
const FRAME_OCTETS: u64 = 96;

#[test]
fn flags_of_many_messages_are_one_frame_of_a_few_octets_each() {
    let rig = Rig::start();
    let mut client = rig.imap("ann");
    fill(&mut client, "INBOX", 0, 400);
    client.ok("SELECT INBOX");
    let mut stored = |command: &str| Touched::by(&rig, &mut client, command);
    for (command, count) in [
        ("STORE 7 +FLAGS (\\Flagged)", 1),
        ("STORE 1:100 +FLAGS (\\Answered)", 100),
        ("STORE 1:200 +FLAGS (\\Draft keyword)", 200),
        ("STORE 1:400 FLAGS (\\Seen)", 400),
    ] {
        let touched = stored(command);
        assert!(touched.only_cells(), "no record and no message is read: {command} {touched:?}");
        assert_eq!((touched.commits, touched.frames, touched.replies.min(count)), (1, 1, count), "{command}");
        assert!(touched.syncs <= 2, "{command} {touched:?}");
        assert!(touched.octets_written <= FRAME_OCTETS + 4 * count, "{command} {touched:?}");
    }
    let again = stored("STORE 1:400 +FLAGS (\\Seen)");
    assert!(again.wrote_nothing() && again.only_cells(), "what is so already is no change: {again:?}");
    assert_eq!(stored("STORE 1:400 -FLAGS.SILENT (\\Seen)").replies, 0);
    let searched = stored("SEARCH RETURN (SAVE) 100:200");
    assert_eq!(searched.blocks, 3, "{searched:?}");
    assert_eq!(stored("STORE $ +FLAGS.SILENT (\\Seen)").blocks, 0, "what was found is not looked for again");
}

#[test]
fn annotations_cost_no_more_than_they_are_and_nothing_where_there_are_none() {
    let rig = Rig::start();
    let mut client = rig.imap("ann");
    fill(&mut client, "INBOX", 0, 400);
    client.ok("SELECT INBOX (ANNOTATE)");
    let mut touched = |command: &str| Touched::by(&rig, &mut client, command);
    for command in ["FETCH 1:* (UID ANNOTATION (/* value))", "SEARCH ANNOTATION * value \"x\""] {
        let touched = touched(command);
        assert!(touched.only_cells() && touched.wrote_nothing(), "{command} {touched:?}");
    }
    for count in [1, 100, 200] {
        let touched = touched(&format!("STORE 1:{count} ANNOTATION (/comment (value.priv \"{count}\"))"));
        assert!(touched.only_cells(), "no record and no message is read: {touched:?}");
        assert_eq!((touched.commits, touched.frames, touched.replies), (1, 1, 0), "{count}");
        assert!(touched.octets_written <= FRAME_OCTETS + 32 * count, "{count} {touched:?}");
    }
    let again = touched("STORE 1:200 ANNOTATION (/comment (value.priv \"200\"))");
    assert!(again.wrote_nothing(), "what is so already is no change: {again:?}");
    for command in [
        "FETCH 1:* (UID ANNOTATION (/* value))",
        "SEARCH ANNOTATION /comment value.priv \"200\"",
        "SORT (ANNOTATION /comment value.priv) UTF-8 ALL",
    ] {
        let touched = touched(command);
        assert!(touched.only_cells() && touched.wrote_nothing(), "{command} {touched:?}");
    }
    let found = touched("SEARCH ANNOTATION /comment value.priv \"none\"");
    assert_eq!(found.blocks, 4, "only blocks with annotated messages are visited: {found:?}");
}

#[test]
fn messages_are_copied_moved_and_expunged_by_their_cells() {
    let rig = Rig::start();
    let mut client = rig.imap("ann");
    fill(&mut client, "INBOX", 0, 600);
    client.ok("CREATE there");
    client.ok("SELECT INBOX");
    let mut changed = |command: &str| Touched::by(&rig, &mut client, command);
    for (command, count) in [
        ("COPY 1:100 there", 100),
        ("COPY 1:200 there", 200),
        ("MOVE 1:100 there", 100),
        ("MOVE 1:200 there", 200),
    ] {
        let touched = changed(command);
        assert!(touched.only_cells(), "no record and no message is read: {command} {touched:?}");
        assert_eq!((touched.commits, touched.cells_added), (1, count), "{command}");
        assert!(touched.frames <= 2 && touched.syncs <= 4, "{command} {touched:?}");
        assert!(touched.octets_written <= 2 * FRAME_OCTETS + 48 * count, "{command} {touched:?}");
    }
    for (count, command) in [(100, "EXPUNGE"), (200, "UID EXPUNGE 1:*")] {
        changed(&format!("STORE 1:{count} +FLAGS.SILENT (\\Deleted)"));
        let touched = changed(command);
        assert!(touched.only_cells(), "{command} {touched:?}");
        assert_eq!((touched.commits, touched.frames, touched.cells_added), (1, 1, 0), "{command}");
        assert!(touched.octets_written <= FRAME_OCTETS + 4 * count, "{command} {touched:?}");
    }
    let nothing = changed("EXPUNGE");
    assert!(nothing.wrote_nothing() && nothing.only_cells(), "{nothing:?}");
}

#[test]
fn an_appended_message_is_written_once() {
    let rig = Rig::start();
    let mut client = rig.imap("ann");
    client.ok("CREATE there");
    for octets in [1_000_000, 2_000_000] {
        let big = with_attachment(octets);
        let touched = Touched::while_it(&rig, || {
            client.append("there", &big);
            0
        });
        assert!(touched.only_cells(), "{touched:?}");
        assert_eq!((touched.commits, touched.frames, touched.syncs, touched.cells_added), (1, 1, 1, 1));
        let beside = touched.octets_written - big.len() as u64;
        assert!(beside <= 2 * FRAME_OCTETS, "{beside} octets beside the message");
    }
    let small = message(0).len() as u64;
    let touched = Touched::while_it(&rig, || {
        fill(&mut client, "INBOX", 1, 100);
        0
    });
    assert_eq!((touched.cells_added, touched.records), (100, 0));
    assert!(touched.octets_written <= 100 * (small + 2 * FRAME_OCTETS), "{touched:?}");
    assert!(touched.syncs < 100, "messages of one command share their syncs: {touched:?}");
    client.ok("SELECT INBOX");
    let next = message(101);
    let touched = Touched::while_it(&rig, || {
        client.append_with(&format!("REPLACE 1 INBOX {{{}+}}", next.len()), next.as_bytes());
        0
    });
    assert!(touched.only_cells() && touched.cells_added == 1, "{touched:?}");
    assert!(touched.frames <= 2 && touched.syncs <= 4, "{touched:?}");
    assert!(touched.octets_written <= small + 3 * FRAME_OCTETS, "{touched:?}");
}
