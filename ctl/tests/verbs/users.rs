//! `lode user`.

use std::fs;

use crate::installation::Installation;

#[test]
fn users_come_and_go() {
    let installation = Installation::new();
    assert_eq!(
        installation.ok(&["user", "list"]),
        "There are no users yet; `lode user add NAME` makes one.\n"
    );
    let added = installation.run_with(&["user", "add", "Ann", "--password-stdin"], b"first\n");
    assert_eq!((added.stdout.as_str(), added.code), ("Added ann.\n", 0), "{added:?}");
    let file = fs::read_to_string(installation.path("users")).expect("a users file");
    assert!(file.starts_with("ann:") && !file.contains("first"), "{file}");

    let again = installation.run_with(&["user", "add", "ann", "--password-stdin"], b"other\n");
    assert_eq!(again.code, 1);
    assert!(again.stderr.contains("lode user passwd ann"), "{again:?}");

    let changed = installation.run_with(&["user", "passwd", "ann", "--password-stdin"], b"second\n");
    assert_eq!((changed.stdout.as_str(), changed.code), ("Changed the password of ann.\n", 0));
    assert_ne!(fs::read_to_string(installation.path("users")).expect("a users file"), file);

    let list = installation.json(&["user", "list"]);
    assert_eq!(list.len(), 1);
    assert_eq!((&list[0]["user"], &list[0]["login"]), (&"ann".into(), &true.into()));

    // Nobody can be asked.
    assert!(installation.fails(&["user", "del", "ann"], 2).contains("--yes"));
    assert_eq!(installation.ok(&["user", "del", "ann", "--yes"]), "Removed ann.\n");
    assert!(
        installation.fails(&["user", "passwd", "ann", "--password-stdin"], 1).contains("lode user add ann")
    );
}

#[test]
fn passwords_and_names_are_checked() {
    let installation = Installation::new();
    let ran = installation.run_with(&["user", "add", "ann", "--password-stdin"], b"\n");
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("empty"), "{ran:?}");
    assert!(installation.fails(&["user", "add", "ann"], 2).contains("--password-stdin"));
    assert_eq!(installation.run_with(&["user", "add", "a:b", "--password-stdin"], b"x\n").code, 2);
    assert!(!installation.path("users").exists());
}

#[test]
fn mail_goes_only_when_asked_for() {
    let installation = Installation::with_ann();
    for mailbox in ["INBOX", "Lists/rust"] {
        if mailbox != "INBOX" {
            installation.ok(&["mailbox", "create", "--user", "ann", mailbox]);
        }
        let ran =
            installation.run_with(&["deliver", "--user", "ann", "--mailbox", mailbox], b"Subject: x\n\nx\n");
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    let list = installation.json(&["user", "list"]);
    assert_eq!((&list[0]["mailboxes"], &list[0]["messages"]), (&3.into(), &2.into()));
    assert_eq!(installation.ok(&["user", "del", "ann", "--yes"]), "Removed ann.\n");
    let list = installation.json(&["user", "list"]);
    assert_eq!((&list[0]["login"], &list[0]["messages"]), (&false.into(), &2.into()));
    assert_eq!(installation.ok(&["user", "del", "ann", "--yes", "--purge"]), "Removed ann and 2 messages.\n");
    assert_eq!(installation.json(&["user", "list"]).len(), 0);
    // The name is free; who gets it finds nothing of the one before.
    let ran = installation.run_with(&["user", "add", "ann", "--password-stdin"], b"secret\n");
    assert_eq!(ran.code, 0, "{ran:?}");
    let list = installation.json(&["user", "list"]);
    assert_eq!((&list[0]["mailboxes"], &list[0]["messages"]), (&0.into(), &0.into()));
    let said = installation.fails(&["user", "del", "bob", "--yes", "--purge"], 1);
    assert!(said.contains("neither a user bob nor mail of one"), "{said}");
}
