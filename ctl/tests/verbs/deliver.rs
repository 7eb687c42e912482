//! `lode deliver`.

use crate::installation::Installation;

#[test]
fn a_message_from_a_pipe_is_delivered() {
    let installation = Installation::with_ann();
    let message = b"From bob@example.org Fri Feb 22 23:06:12 2008\nSubject: hello\n\nFrom here.\n";
    let ran = installation.run_with(&["deliver", "--user", "ann"], message);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (0, "", ""));
    assert_eq!(installation.messages_in("INBOX"), Some(1));
    let rows = installation.json(&["mailbox", "list", "--user", "ann"]);
    assert_eq!(rows[0]["octets"], "Subject: hello\r\n\r\nFrom here.\r\n".len());
    assert_eq!(rows[0]["unseen"], 1);
}

#[test]
fn what_can_never_be_delivered_is_refused() {
    let installation = Installation::with_ann();
    let message = b"Subject: x\n\nx\n";
    for (arguments, said) in [
        (&["deliver", "--user", "bob"][..], "there is no user bob"),
        (&["deliver", "--user", "ann", "--mailbox", "None"], "ann has no mailbox None"),
    ] {
        let ran = installation.run_with(arguments, message);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.stderr.contains(said), "{ran:?}");
    }
    let empty = installation.run_with(&["deliver", "--user", "ann"], b"");
    assert_eq!(empty.code, 1, "{empty:?}");
    assert!(empty.stderr.contains("nothing was delivered"), "{empty:?}");
    assert_eq!(installation.messages_in("INBOX"), Some(0));
}

#[test]
fn a_store_that_cannot_be_opened_is_a_reason_to_try_again() {
    let installation = Installation::with_ann();
    std::fs::write(installation.path("store"), "in the way").expect("written");
    let ran = installation.run_with(&["deliver", "--user", "ann"], b"Subject: x\n\nx\n");
    assert_eq!(ran.code, 75, "{ran:?}");
    assert!(ran.stderr.contains("cannot open the store"), "{ran:?}");
    std::fs::write(installation.path("lode.toml"), "[store").expect("written");
    assert_eq!(installation.run_with(&["deliver", "--user", "ann"], b"Subject: x\n\nx\n").code, 75);
}

#[test]
fn a_message_over_the_limit_is_refused_whole() {
    let installation = Installation::with_ann();
    let settings = std::fs::read_to_string(installation.path("lode.toml")).expect("read");
    std::fs::write(installation.path("lode.toml"), format!("{settings}[limits]\nmessage_bytes = 1000000\n"))
        .expect("written");
    let mut message = b"Subject: x\r\n\r\n".to_vec();
    message.resize(1_000_000, b'x');
    assert_eq!(installation.run_with(&["deliver", "--user", "ann"], &message).code, 0);
    message.push(b'x');
    let ran = installation.run_with(&["deliver", "--user", "ann"], &message);
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr.contains("larger than 1000000 octets") && ran.stderr.contains("message_bytes"),
        "{ran:?}"
    );
    assert_eq!(installation.messages_in("INBOX"), Some(1));
}
