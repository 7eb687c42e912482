//! Sessions as the engine runs them: parked, woken, cut off.

use shm_abi::Protocol;

use super::Rig;

#[test]
fn a_command_cut_into_octets_is_one_command() {
    let rig = Rig::start();
    let mut client = rig.connect(Protocol::Imap);
    for octet in b"a LOGIN {3}\r\n" {
        client.send(&[*octet]);
    }
    assert!(client.line().starts_with("+ "));
    for octet in b"ann secret\r\n" {
        client.send(&[*octet]);
    }
    assert!(client.line().starts_with("a OK "));
}

#[test]
fn what_a_client_sent_before_it_hung_up_is_answered() {
    let rig = Rig::start();
    let mut client = rig.imap("ann");
    client.send(b"a NOOP\r\nb NOOP\r\n");
    client.stream.shutdown(std::net::Shutdown::Write).expect("half a close");
    assert!(client.line().starts_with("a OK "));
    assert!(client.line().starts_with("b OK "));
    assert!(client.is_closed());
}

#[test]
fn a_pipeline_is_answered_in_order() {
    let rig = Rig::start();
    let mut client = rig.imap("ann");
    let mut pipeline = Vec::new();
    for number in 0..2000 {
        pipeline.extend_from_slice(format!("p{number} NOOP\r\n").as_bytes());
    }
    client.send(&pipeline);
    for number in 0..2000 {
        assert!(client.line().starts_with(&format!("p{number} OK ")));
    }
}

#[test]
fn a_client_that_does_not_read_keeps_nobody_waiting() {
    let rig = Rig::start();
    let mut writer = rig.imap("ann");
    writer.append(
        "INBOX",
        &b"Subject: long\r\n\r\n".iter().chain(&[b'x'; 60_000]).copied().collect::<Vec<_>>(),
    );
    let mut stuck: Vec<_> = (0..8)
        .map(|_| {
            let mut client = rig.imap("ann");
            client.ok("SELECT INBOX");
            for number in 0..200 {
                client.send(format!("s{number} FETCH 1 BODY.PEEK[]\r\n").as_bytes());
            }
            client
        })
        .collect();
    for _ in 0..50 {
        writer.ok("NOOP");
    }
    // Those who begin to read get all of it.
    for client in &mut stuck {
        let mut answered = 0;
        while answered < 200 {
            let line = client.line();
            if let Some(size) = super::literal_size(&line) {
                let mut content = vec![0; size];
                std::io::Read::read_exact(&mut client.stream, &mut content).expect("the literal");
            }
            answered += u32::from(line.starts_with('s'));
        }
    }
}

#[test]
fn an_idler_hears_of_what_another_session_does() {
    let rig = Rig::start();
    let mut idler = rig.imap("ann");
    idler.ok("SELECT INBOX");
    idler.send(b"i IDLE\r\n");
    assert!(idler.line().starts_with("+ "));
    let mut other = rig.imap("ann");
    other.append("INBOX", b"Subject: x\r\n\r\ny\r\n");
    assert_eq!(idler.line(), "* 1 EXISTS\r\n");
    assert_eq!(idler.line(), "* 1 RECENT\r\n");
    other.ok("SELECT INBOX");
    other.ok("STORE 1 +FLAGS (\\Deleted)");
    let line = idler.line();
    assert!(line.starts_with("* 1 FETCH (FLAGS (") && line.contains("\\Deleted"), "{line}");
    other.ok("EXPUNGE");
    assert_eq!(idler.line(), "* 1 EXPUNGE\r\n");
    assert_eq!(idler.line(), "* 0 RECENT\r\n");
    idler.send(b"DONE\r\n");
    assert!(idler.line().starts_with("i OK "));
}

#[test]
fn a_message_expunged_by_another_keeps_its_number_until_it_may_go() {
    let rig = Rig::start();
    let mut one = rig.imap("ann");
    for number in 0..3 {
        one.append("INBOX", format!("Subject: {number}\r\n\r\ny\r\n").as_bytes());
    }
    one.ok("SELECT INBOX");
    let mut other = rig.imap("ann");
    other.ok("SELECT INBOX");
    other.ok("STORE 1 +FLAGS.SILENT (\\Deleted)");
    other.ok("EXPUNGE");
    let answer = one.ok("FETCH 1:3 (UID)");
    assert_eq!(answer[..3], ["* 1 FETCH (UID 1)\r\n", "* 2 FETCH (UID 2)\r\n", "* 3 FETCH (UID 3)\r\n"]);
    assert!(!one.ok("SEARCH ALL").iter().any(|line| line.contains("EXPUNGE")));
    assert_eq!(one.ok("NOOP")[0], "* 1 EXPUNGE\r\n");
    assert_eq!(one.ok("FETCH 1 (UID)")[0], "* 1 FETCH (UID 2)\r\n");
}

#[test]
fn sessions_leave_nothing_behind() {
    let rig = Rig::start();
    for _ in 0..200 {
        let mut client = rig.imap("ann");
        client.ok("SELECT INBOX");
        client.send(b"x LOGOUT\r\n");
        assert!(client.is_closed());
    }
    let mut client = rig.imap("ann");
    client.ok("NOOP");
    // The last of them may still be on its way out.
    for _ in 0..1000 {
        if rig.sessions() == 1 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert_eq!(rig.sessions(), 1);
    assert_eq!(rig.shared.slots.used(), 1);
}

#[test]
fn many_items_of_one_message_are_sent_as_they_are_read() {
    let rig = Rig::start();
    let mut client = rig.imap("ann");
    let mut message = b"Subject: x\r\n".to_vec();
    for number in 0..2000 {
        message.extend_from_slice(format!("X-Field-{number}: {}\r\n", "y".repeat(80)).as_bytes());
    }
    message.extend_from_slice(b"\r\ntext\r\n");
    client.append("INBOX", &message);
    client.ok("SELECT INBOX");
    let items: Vec<_> = (0..250).map(|number| format!("BODY.PEEK[HEADER.FIELDS.NOT (X-{number})]")).collect();
    let answer = client.ok(&format!("FETCH 1 ({})", items.join(" ")));
    // Each item stands on a line of its own, behind the literal of the one before.
    assert_eq!(answer.iter().filter(|line| line.contains("BODY[HEADER.FIELDS.NOT (X-")).count(), 250);
    assert!(answer[0].starts_with("* 1 FETCH (BODY[HEADER.FIELDS.NOT (X-0)] {"));
}

#[test]
fn a_search_for_very_many_texts_is_refused() {
    let rig = Rig::start();
    let mut client = rig.imap("ann");
    client.append("INBOX", b"Subject: x\r\n\r\nneedle\r\n");
    client.ok("SELECT INBOX");
    assert_eq!(client.ok("SEARCH BODY needle")[0], "* SEARCH 1\r\n");
    let last = client.command(&format!("SEARCH{}", " BODY needle".repeat(33))).pop().expect("an answer");
    assert!(last.contains(" NO [LIMIT] "), "{last}");
}

#[test]
fn an_octet_now_and_then_does_not_prolong_the_time_to_log_in() {
    let rig = Rig::with("limits.login_seconds = 1");
    let mut client = rig.connect(Protocol::Imap);
    let mut stream = client.stream.try_clone().expect("a second hold of the socket");
    let dribble = std::thread::spawn(move || {
        while std::io::Write::write_all(&mut stream, b"x").is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    });
    assert!(client.line().starts_with("* BYE "));
    drop(client);
    dribble.join().expect("the dribbling ends with the connection");
}
