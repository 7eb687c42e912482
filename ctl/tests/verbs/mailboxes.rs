//! `lode mailbox`.

use crate::installation::Installation;

#[test]
fn mailboxes_are_made_renamed_and_deleted() {
    let installation = Installation::with_ann();
    assert_eq!(
        installation.ok(&["mailbox", "create", "--user", "ann", "Work/Bridges"]),
        "Created Work/Bridges.\n"
    );
    let names = |installation: &Installation| -> Vec<String> {
        let rows = installation.json(&["mailbox", "list", "--user", "ann"]);
        rows.iter().map(|row| row["mailbox"].as_str().expect("a name").to_owned()).collect()
    };
    assert_eq!(names(&installation), ["INBOX", "Work", "Work/Bridges"]);
    let said = installation.fails(&["mailbox", "create", "--user", "ann", "Work/Bridges"], 1);
    assert!(said.contains("cannot create Work/Bridges: there is a mailbox of that name already"), "{said}");
    assert_eq!(
        installation.ok(&["mailbox", "rename", "--user", "ann", "Work", "Old"]),
        "Renamed Work to Old.\n"
    );
    assert_eq!(names(&installation), ["INBOX", "Old", "Old/Bridges"]);
    assert_eq!(
        installation.ok(&["mailbox", "delete", "--user", "ann", "Old/Bridges"]),
        "Deleted Old/Bridges.\n"
    );
    assert!(!names(&installation).contains(&"Old/Bridges".to_owned()));
    assert!(
        installation
            .fails(&["mailbox", "delete", "--user", "ann", "Old/Bridges"], 1)
            .contains("no such mailbox")
    );
    assert!(installation.fails(&["mailbox", "delete", "--user", "ann", "INBOX"], 1).contains("INBOX"));
}

#[test]
fn the_list_is_a_table() {
    let installation = Installation::with_ann();
    let table = installation.ok(&["mailbox", "list", "--user", "ann"]);
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("MAILBOX  MESSAGES  UNSEEN  OCTETS  SUBSCRIBED"), "{table}");
    assert!(lines[1].starts_with("INBOX           0       0       0"), "{table}");
    let said = installation.fails(&["mailbox", "list", "--user", "bob"], 1);
    assert!(said.contains("there is no user bob") && said.contains("lode user add bob"), "{said}");
}
