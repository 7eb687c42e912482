//! At the maximum: a queue, then a polite refusal, never silence.

use crate::rig::{Client, PLAIN, Plan, Rig};
use std::time::{Duration, Instant};

#[test]
fn at_the_maximum_connections_wait_or_are_told() {
    let rig = Rig::new(&Plan {
        handlers: "max = 1\nsessions = 1",
        limits: "queue = 1\ngrace_seconds = 1",
        ..PLAIN
    });
    let mut first = rig.connect("imap");
    assert!(first.line().starts_with("handler 0"));
    let mut second = rig.connect("imap");
    std::thread::sleep(Duration::from_millis(100));
    let texts = [
        (rig.connect("imap"), "* BYE [UNAVAILABLE] "),
        (rig.connect("pop3"), "-ERR [SYS/TEMP] "),
        (Client::unix(&rig.runtime().join("lmtp")), "421 4.3.2 "),
    ];
    for (mut client, text) in texts {
        let line = client.line();
        assert!(line.starts_with(text), "{line}");
        assert_eq!(client.line(), "");
    }
    assert!(rig.view().queue_waiting());
    let before = Instant::now();
    first.say("QUIT");
    assert!(second.line().starts_with("handler 0"));
    assert!(before.elapsed() < Duration::from_millis(500), "the queue moves when a cell is freed");
    assert_eq!(rig.view().info().turned_away, 3);
}

#[test]
fn nobody_waits_for_ever() {
    let rig = Rig::new(&Plan {
        handlers: "max = 1\nsessions = 1",
        limits: "queue = 5\ngrace_seconds = 1",
        ..PLAIN
    });
    let mut first = rig.connect("imap");
    first.line();
    let before = Instant::now();
    let mut second = rig.connect("pop3");
    assert!(second.line().starts_with("-ERR [SYS/TEMP] "));
    let waited = before.elapsed();
    assert!(waited > Duration::from_secs(4) && waited < Duration::from_secs(8), "{waited:?}");
    first.echo("still served");
}
