//! REPLACE (RFC 8508): the order of what is told, which scripts do not look at.

use tests::imap::{Event, Imap};
use tests::server::{PASSWORD, Server};

#[test]
fn the_new_message_is_told_before_the_old_one_goes() {
    let server = Server::start();
    for uid in [false, true] {
        let user = server.user(if uid { "ann" } else { "bob" });
        let login = || Imap::login(server.addresses().imap, &user, PASSWORD).expect("a session");
        let (mut imap, mut other) = (login(), login());
        for subject in ["one", "two", "three"] {
            imap.append_ok("INBOX", "", format!("Subject: {subject}\r\n\r\nx\r\n").as_bytes());
        }
        imap.ok("SELECT INBOX");
        other.ok("SELECT INBOX");
        // What others did is told with it, with UIDs if the command has them.
        other.ok("STORE 3 +FLAGS.SILENT (\\Flagged)");
        let prefix = if uid { "UID " } else { "" };
        let message = "Subject: four\r\n\r\nx\r\n";
        let reply = imap.ok(&format!("{prefix}REPLACE 1 INBOX {{{}+}}\r\n{message}", message.len()));
        let mut told = Vec::new();
        for event in reply.events() {
            match event {
                Event::Exists(count) => told.push(format!("{count} EXISTS")),
                Event::Expunge(sequence) => told.push(format!("{sequence} EXPUNGE")),
                Event::Fetch(fetch) => {
                    assert_eq!(fetch.seq, 3, "sequence numbers have not moved yet");
                    assert_eq!(fetch.uid(), uid.then_some(3), "{prefix}REPLACE");
                    told.push("FETCH".to_owned());
                }
                Event::Search(_) | Event::Bye | Event::Other => {}
            }
        }
        assert_eq!(told, ["4 EXISTS", "FETCH", "1 EXPUNGE"], "{prefix}REPLACE");
        let appended =
            reply.untagged.iter().position(|line| String::from_utf8_lossy(line).contains("APPENDUID"));
        let expunged =
            reply.untagged.iter().position(|line| String::from_utf8_lossy(line).contains("EXPUNGE"));
        assert!(appended < expunged && appended.is_some(), "{prefix}REPLACE");
    }
}
