//! What commands about mailboxes touch: STATUS, LIST, SELECT, what a returning client is told, and ESEARCH in several mailboxes.

use super::touched::{Touched, fill};
use crate::tests::{Client, Rig};

#[test]
fn mailboxes_are_listed_and_counted_without_their_messages() {
    let rig = Rig::start();
    let mut client = rig.imap("ann");
    for name in ["a", "b", "b/c"] {
        client.ok(&format!("CREATE {name}"));
        fill(&mut client, name, 0, 100);
    }
    for command in [
        "STATUS a (MESSAGES UNSEEN UIDNEXT UIDVALIDITY RECENT)",
        "STATUS a (SIZE DELETED HIGHESTMODSEQ MAILBOXID APPENDLIMIT)",
        "LIST \"\" *",
        "LIST (SUBSCRIBED) \"\" * RETURN (CHILDREN SPECIAL-USE)",
        "LIST \"\" (% b/%) RETURN (STATUS (MESSAGES UNSEEN SIZE DELETED) CHILDREN SUBSCRIBED)",
        "LSUB \"\" *",
        "NAMESPACE",
        "MYRIGHTS a",
        "GETACL a",
        "GETMETADATA a (/private/comment /shared/comment)",
        "GETQUOTAROOT a",
        "SELECT a",
        "EXAMINE b",
        "NOOP",
        "CLOSE",
    ] {
        let touched = Touched::by(&rig, &mut client, command);
        assert!(touched.only_cells() && touched.wrote_nothing(), "{command} {touched:?}");
        assert_eq!((touched.blocks, touched.cells, touched.syncs), (0, 0, 0), "{command}");
    }
    for command in [
        "CREATE d",
        "RENAME d e",
        "SUBSCRIBE e",
        "SETMETADATA e (/private/comment \"What it is for.\")",
        "DELETE e",
    ] {
        let touched = Touched::by(&rig, &mut client, command);
        assert!(touched.only_cells(), "{command} {touched:?}");
        assert_eq!((touched.commits, touched.frames), (1, 1), "{command}");
        assert!(touched.octets_written <= 128, "{command} {touched:?}");
    }
}

/// The number behind `word` in a reply.
fn number_behind(answer: &[String], word: &str) -> String {
    let found = answer.iter().find_map(|line| line.split_once(word)?.1.split_once(']'));
    found.expect("there is such a reply").0.to_owned()
}

#[test]
fn a_client_that_comes_back_is_told_what_changed_and_no_more() {
    let rig = Rig::start();
    let mut client = rig.imap("ann");
    fill(&mut client, "INBOX", 0, 1_000);
    client.ok("ENABLE QRESYNC");
    let answer = client.ok("SELECT INBOX");
    let validity = number_behind(&answer, "UIDVALIDITY ");
    let modseq = number_behind(&answer, "HIGHESTMODSEQ ");
    let come_back = |client: &mut Client, modseq: &str| {
        let select = format!("SELECT INBOX (QRESYNC ({validity} {modseq}))");
        let touched = Touched::by(&rig, client, &select);
        assert!(touched.only_cells() && touched.wrote_nothing(), "{touched:?}");
        touched.replies
    };
    let without_changes = come_back(&mut client, &modseq);
    client.ok("STORE 1:10,501:520 +FLAGS.SILENT (\\Seen)");
    assert_eq!(come_back(&mut client, &modseq), without_changes + 30, "a FETCH for each changed message");
    client.ok("STORE 900:999 +FLAGS.SILENT (\\Deleted)");
    client.ok("EXPUNGE");
    assert_eq!(come_back(&mut client, &modseq), without_changes + 31, "one VANISHED for a range");
    let fetch = format!("UID FETCH 1:* (FLAGS) (CHANGEDSINCE {modseq} VANISHED)");
    let touched = Touched::by(&rig, &mut client, &fetch);
    assert!(touched.only_cells() && touched.replies == 31, "{touched:?}");
    let answer = client.ok("SELECT INBOX");
    let now = number_behind(&answer, "HIGHESTMODSEQ ");
    assert_eq!(come_back(&mut client, &now), without_changes);
}

#[test]
fn a_search_of_several_mailboxes_costs_what_each_of_them_costs() {
    let rig = Rig::start();
    let mut client = rig.imap("ann");
    for (name, count) in [("a", 64), ("b", 640), ("c", 128)] {
        client.ok(&format!("CREATE {name}"));
        fill(&mut client, name, 0, count);
    }
    let mut searched = |command: &str| Touched::by(&rig, &mut client, command);
    let touched = searched("ESEARCH IN (mailboxes (a b)) RETURN (COUNT) UNSEEN");
    assert!(touched.only_cells(), "{touched:?}");
    assert_eq!((touched.blocks, touched.cells), (11, 0), "blocks of both, cells of none");
    let touched = searched("ESEARCH IN (personal) RETURN (ALL) LARGER 1");
    assert!(touched.only_cells(), "{touched:?}");
    assert_eq!((touched.blocks, touched.cells), (13, 832));
    let touched = searched("ESEARCH IN (mailboxes (a c)) RETURN (ALL) SUBJECT \"number 7\"");
    assert!(touched.no_message(), "{touched:?}");
    assert_eq!((touched.blocks, touched.records), (3, 192));
}
