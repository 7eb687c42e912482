//! NOTIFY, where it takes more mailboxes than a script would name.

use super::Rig;

/// More than a session may be told of.
const TOO_MANY: usize = 1001;

fn create(rig: &Rig, from: usize, upto: usize) {
    let mut client = rig.imap("ann");
    let commands: String = (from..upto).map(|number| format!("c{number} CREATE m{number}\r\n")).collect();
    client.send(commands.as_bytes());
    for number in from..upto {
        let line = client.line();
        assert!(line.starts_with(&format!("c{number} OK ")), "{line}");
    }
}

#[test]
fn too_many_mailboxes_are_not_told_of() {
    let rig = Rig::start();
    // INBOX is one of them.
    create(&rig, 0, TOO_MANY - 3);
    let mut client = rig.imap("ann");
    let told = client.ok("NOTIFY SET STATUS (personal (MailboxName MessageNew MessageExpunge))");
    assert_eq!(told.len(), TOO_MANY - 1, "each mailbox has its STATUS");
    create(&rig, TOO_MANY - 3, TOO_MANY - 2);
    assert!(client.line().starts_with("* LIST ("));
    // One more is one too many, and then nothing is told any more.
    create(&rig, TOO_MANY - 2, TOO_MANY - 1);
    assert!(client.line().starts_with("* OK [NOTIFICATIONOVERFLOW] "));
    create(&rig, TOO_MANY, TOO_MANY + 1);
    assert_eq!(client.ok("NOOP").len(), 1);
    let refused = client.command("NOTIFY SET (personal (MessageNew MessageExpunge))");
    assert!(refused[0].contains(" NO [NOTIFICATIONOVERFLOW] "), "{refused:?}");
    assert_eq!(client.ok("NOTIFY SET (mailboxes (m1 m2) (MessageNew MessageExpunge))").len(), 1);
    rig.imap("ann").append("m2", b"Subject: x\r\n\r\ny\r\n");
    assert!(client.line().starts_with("* STATUS m2 (MESSAGES 1 "));
}

#[test]
fn many_changes_are_all_told_of_in_the_end() {
    let rig = Rig::start();
    create(&rig, 0, 200);
    let mut client = rig.imap("ann");
    client.ok("NOTIFY SET (personal (MessageNew MessageExpunge))");
    let mut writer = rig.imap("ann");
    for number in 0..200 {
        writer.append(&format!("m{number}"), b"Subject: x\r\n\r\ny\r\n");
    }
    let mut missing: std::collections::BTreeSet<usize> = (0..200).collect();
    while !missing.is_empty() {
        let line = client.line();
        let number = line.strip_prefix("* STATUS m").and_then(|rest| rest.split(' ').next()?.parse().ok());
        assert!(line.contains("(MESSAGES 1 UIDNEXT 2 "), "{line}");
        assert!(number.is_some_and(|number| missing.remove(&number)), "{line}");
    }
}
