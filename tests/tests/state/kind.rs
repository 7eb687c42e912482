//! What a session enables, and who it is.

use tests::server::Server;

use super::MAILBOXES;

/// What a session enables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) condstore: bool,
    pub(crate) qresync: bool,
    pub(crate) uid_only: bool,
    pub(crate) rev2: bool,
    /// Another user, who has rights in the mailboxes and `\Seen` flags alone (RFC 4314, 4).
    pub(crate) guest: bool,
}

impl Kind {
    /// All kinds that the server knows, some of them twice.
    pub(crate) fn offered(server: &Server) -> Vec<Kind> {
        let kind =
            |condstore, qresync, uid_only, rev2| Kind { condstore, qresync, uid_only, rev2, guest: false };
        let mut kinds = vec![
            kind(false, false, false, false),
            kind(false, false, false, false),
            kind(true, false, false, false),
            kind(true, true, false, false),
            kind(true, true, false, false),
            kind(false, false, true, false),
            kind(true, true, true, false),
        ];
        let reply = server.imap("ann").ok("CAPABILITY");
        let names = String::from_utf8_lossy(&reply.untagged.concat()).into_owned();
        if names.split_ascii_whitespace().any(|name| name == "IMAP4rev2") {
            kinds.extend([
                kind(false, false, false, true),
                kind(true, true, false, true),
                kind(true, true, true, true),
            ]);
        }
        if names.split_ascii_whitespace().any(|name| name == "ACL") {
            let guests = [
                kind(false, false, false, false),
                kind(true, true, false, false),
                kind(true, true, true, false),
            ];
            kinds.extend(guests.map(|kind| Kind { guest: true, ..kind }));
        }
        kinds
    }

    /// Who it is.
    pub(crate) fn user(self) -> &'static str {
        if self.guest { "bob" } else { "ann" }
    }

    /// A mailbox as this user calls it, in quotes.
    pub(crate) fn mailbox(self, number: usize) -> String {
        let before = if self.guest { "Other Users/ann/" } else { "" };
        format!("\"{before}{}\"", MAILBOXES[number])
    }

    /// The arguments of ENABLE.
    pub(crate) fn names(self) -> String {
        let all = [
            (self.condstore && !self.qresync, "CONDSTORE"),
            (self.qresync, "QRESYNC"),
            (self.uid_only, "UIDONLY"),
            (self.rev2, "IMAP4rev2"),
        ];
        let names: Vec<&str> =
            all.iter().filter(|(is_wanted, _)| *is_wanted).map(|(_, name)| *name).collect();
        names.join(" ")
    }

    /// Whether VANISHED takes the place of EXPUNGE.
    pub(crate) fn vanished(self) -> bool {
        self.qresync || self.uid_only
    }
}
