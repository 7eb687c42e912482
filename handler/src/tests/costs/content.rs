//! What FETCH and SEARCH read: cells, records, and of messages no more than they must.

use super::touched::{Touched, fill, message};
use super::{READS_OF_NEIGHBOURS_MAX, with_attachment};
use crate::tests::Rig;

#[test]
fn what_cells_and_records_know_is_not_read_from_messages() {
    let rig = Rig::start();
    let mut client = rig.imap("ann");
    fill(&mut client, "INBOX", 0, 200);
    client.ok("EXAMINE INBOX");
    let mut touched = |command: &str| Touched::by(&rig, &mut client, command);
    for command in [
        "FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE MODSEQ EMAILID SAVEDATE)",
        "UID FETCH 1:* (FLAGS) (CHANGEDSINCE 1)",
        "UID FETCH 1:* (FLAGS) (PARTIAL -1:-50)",
    ] {
        let touched = touched(command);
        assert!(touched.only_cells() && touched.wrote_nothing(), "{command} {touched:?}");
    }
    for count in [100, 200] {
        for item in ["ENVELOPE", "BODY", "BODYSTRUCTURE", "THREADID", "(ENVELOPE BODYSTRUCTURE THREADID)"] {
            let touched = touched(&format!("FETCH 1:{count} {item}"));
            assert!(touched.no_message() && touched.wrote_nothing(), "{item} {touched:?}");
            // Once more where the output was full within a message.
            assert!((count..count + 8).contains(&touched.records), "each record once: {item} {touched:?}");
            assert!(
                touched.preads <= READS_OF_NEIGHBOURS_MAX,
                "neighbours are read together: {item} {touched:?}"
            );
        }
    }
}

#[test]
fn of_a_message_no_more_is_read_than_is_asked_for() {
    let rig = Rig::start();
    let mut client = rig.imap("ann");
    fill(&mut client, "INBOX", 0, 200);
    client.ok("EXAMINE INBOX");
    let all: usize = (0..200).map(|number| message(number).len()).sum();
    let half: usize = (0..100).map(|number| message(number).len()).sum();
    for (item, times) in [
        ("BODY.PEEK[]", 1),
        ("BODY.PEEK[HEADER]", 1),
        ("BODY.PEEK[HEADER.FIELDS (SUBJECT)]", 1),
        ("BODY.PEEK[TEXT]", 1),
        ("PREVIEW", 1),
        ("BINARY.SIZE[1]", 1),
        // Once for the length that is announced, and once to send it.
        ("BINARY.PEEK[1]", 2),
    ] {
        for (count, octets) in [(100, half), (200, all)] {
            let touched = Touched::by(&rig, &mut client, &format!("FETCH 1:{count} {item}"));
            let octets = times * octets as u64;
            assert!(touched.octets_read <= octets, "{item} {touched:?}");
            assert!(touched.records <= count && touched.preads <= times * count + 8, "{item} {touched:?}");
        }
    }
}

#[test]
fn a_big_message_is_read_only_where_it_must_be() {
    const BLOCK: u64 = 16_384;
    let rig = Rig::start();
    let mut client = rig.imap("ann");
    let big = with_attachment(2_000_000);
    client.append("INBOX", &big);
    client.ok("EXAMINE INBOX");
    let mut touched = |item: &str| Touched::by(&rig, &mut client, &format!("FETCH 1 {item}"));
    for item in ["PREVIEW", "BODY.PEEK[HEADER.FIELDS (SUBJECT)]", "BODY.PEEK[1]", "BINARY.PEEK[1]<0.5>"] {
        let touched = touched(item);
        assert!(touched.octets_read <= 2 * BLOCK && touched.octets_lent == 0, "{item} {touched:?}");
    }
    let whole = touched("BODY.PEEK[]");
    assert_eq!((whole.octets_read, whole.octets_lent), (0, big.len() as u64), "sent from the file");
    let decoded = touched("BINARY.SIZE[2]");
    assert!(decoded.octets_read <= big.len() as u64 * 5 / 4, "{decoded:?}");
    assert!(decoded.octets_read >= big.len() as u64 / 2, "only decoding tells the length");
    let decoded = touched("BINARY.PEEK[2]");
    assert!(decoded.octets_read <= big.len() as u64 * 5 / 2, "{decoded:?}");
}

#[test]
fn searches_by_what_the_record_has_open_no_message() {
    let rig = Rig::start();
    let mut client = rig.imap("ann");
    fill(&mut client, "INBOX", 0, 200);
    client.ok("EXAMINE INBOX");
    let mut touched = |command: &str| Touched::by(&rig, &mut client, command);
    // 200 messages are in 4 blocks.
    for (key, cells, records) in [
        ("ALL", 0, 0),
        ("UNSEEN NOT DELETED", 0, 0),
        ("MODSEQ 5", 0, 0),
        ("UIDAFTER 3", 0, 0),
        ("KEYWORD none", 0, 0),
        ("LARGER 10", 200, 0),
        ("SMALLER 10000", 200, 0),
        ("SINCE 1-Jan-2000", 200, 0),
        ("BEFORE 1-Jan-2000", 200, 0),
        ("SENTON 3-Nov-2026", 200, 0),
        ("SAVEDSINCE 1-Jan-2000", 200, 0),
        ("YOUNGER 100", 200, 0),
        ("FROM ann7", 200, 200),
        ("TO bob", 200, 200),
        ("CC nobody", 200, 200),
        ("BCC nobody", 200, 200),
        ("SUBJECT number", 200, 200),
        ("HEADER Subject number", 200, 200),
        ("HEADER Message-ID <77@example.org>", 200, 200),
        ("HEADER Date Nov", 200, 200),
        ("HEADER X-Missing there", 200, 200),
        ("HEADER References 1@x", 200, 200),
        ("HEADER X-Missing \"\"", 200, 200),
    ] {
        let touched = touched(&format!("SEARCH {key}"));
        assert!(touched.no_message() && touched.wrote_nothing(), "{key} {touched:?}");
        assert!(touched.blocks <= 4 && touched.preads <= READS_OF_NEIGHBOURS_MAX, "{key} {touched:?}");
        assert_eq!((touched.cells, touched.records), (cells, records), "{key}");
    }
    let octets: usize = (0..200).map(|number| message(number).len()).sum();
    for (key, times) in [("BODY nothing", 1), ("TEXT nothing", 2)] {
        let touched = touched(&format!("SEARCH {key}"));
        assert!(touched.octets_read <= times * octets as u64, "{key} {touched:?}");
        assert_eq!(touched.records, 200, "{key}");
    }
}
