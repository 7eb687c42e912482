//! Commands that are sent at once: what they cost, and that they are answered in order.

use super::{Client, Rig};

/// Syncs that a piece of work takes.
fn syncs(rig: &Rig, work: impl FnOnce()) -> u64 {
    let counters = rig.shared.store.counters();
    let before = counters.syncs.get();
    work();
    counters.syncs.get() - before
}

fn with_messages(rig: &Rig, count: usize) -> Client {
    let mut client = rig.imap("ann");
    for number in 0..count {
        client.append("INBOX", format!("Subject: {number}\r\n\r\ntext\r\n").as_bytes());
    }
    client.ok("SELECT INBOX");
    client
}

/// The lines up to the tagged replies of `p0` to `p99`, which must come in this order and be OK.
fn hear_hundred(client: &mut Client) {
    for number in 0..100 {
        loop {
            let line = client.line();
            if !line.starts_with('*') {
                assert!(line.starts_with(&format!("p{number} OK")), "{line}");
                break;
            }
        }
    }
}

#[test]
fn a_hundred_stores_at_once_share_their_syncs() {
    let rig = Rig::start();
    let mut client = with_messages(&rig, 10);
    let alone = syncs(&rig, || {
        for number in 0..100 {
            client.ok(&format!("STORE {} FLAGS ($k{})", number % 10 + 1, number / 10));
        }
    });
    let at_once = syncs(&rig, || {
        let commands: Vec<String> = (0..100)
            .map(|number| format!("p{number} STORE {} FLAGS ($k{})\r\n", number % 10 + 1, number / 10))
            .collect();
        client.send(commands.concat().as_bytes());
        hear_hundred(&mut client);
    });
    println!("100 STOREs: {alone} syncs one by one, {at_once} at once");
    assert!(alone >= 100, "each waited for its own: {alone}");
    // How many fewer depends on how long the disk takes for one; the commands do not wait for it.
    assert!(at_once < alone, "{at_once} syncs");
}

#[test]
fn a_hundred_appends_at_once_share_their_syncs() {
    let rig = Rig::start();
    let mut client = with_messages(&rig, 1);
    let at_once = syncs(&rig, || {
        let message = "Subject: x\r\n\r\ny\r\n";
        let commands: Vec<String> = (0..100)
            .map(|number| format!("p{number} APPEND INBOX {{{}+}}\r\n{message}\r\n", message.len()))
            .collect();
        client.send(commands.concat().as_bytes());
        hear_hundred(&mut client);
    });
    println!("100 APPENDs at once: {at_once} syncs");
    assert!(at_once < 100, "{at_once} syncs");
    assert!(client.ok("STATUS INBOX (MESSAGES)")[0].contains("MESSAGES 101"));
}

#[test]
fn more_than_may_be_held_goes_through() {
    let rig = Rig::start();
    let mut client = with_messages(&rig, 1);
    let commands: Vec<String> =
        (0..3000).map(|number| format!("q{number} STORE 1 FLAGS (${})\r\n", number % 7)).collect();
    client.send(commands.concat().as_bytes());
    client.send(b"q LOGOUT\r\n");
    let mut next = 0;
    loop {
        let line = client.line();
        if line.starts_with("q ") {
            break;
        }
        if line.starts_with('q') {
            assert!(line.starts_with(&format!("q{next} OK")), "{line}");
            next += 1;
        }
    }
    assert_eq!(next, 3000);
}
