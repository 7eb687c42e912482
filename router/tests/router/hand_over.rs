//! Connections reach handlers, whatever happens to those.

use crate::rig::{Client, PLAIN, Plan, Rig, eventually};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use shm_abi::{CellState, Endpoint, HandlerState, Protocol};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn a_connection_is_served_and_seen_in_the_table() {
    let rig = Rig::new(&PLAIN);
    let mut imap = rig.connect("imap");
    assert!(imap.line().starts_with("handler 0 generation 1 cell "));
    imap.echo("a noop");
    let mut pop3 = rig.connect("pop3");
    pop3.line();
    let mut lmtp = Client::unix(&rig.runtime().join("lmtp"));
    lmtp.line();
    lmtp.echo("LHLO x");
    let mut sessions = rig.view().sessions();
    sessions.sort_by_key(|session| session.protocol.map(Protocol::name));
    let protocols: Vec<_> = sessions.iter().filter_map(|session| session.protocol).collect();
    assert_eq!(protocols, [Protocol::Imap, Protocol::Lmtp, Protocol::Pop3]);
    assert!(sessions.iter().all(|session| session.state == CellState::Parked));
    let uid = nix::unistd::Uid::current().as_raw();
    assert_eq!(sessions[1].peer, Some(Endpoint::Unix { pid: std::process::id(), uid }));
    imap.say("QUIT");
    assert_eq!(imap.line(), "");
    eventually("one session less", || rig.view().sessions().len() == 2, || rig.log());
}

#[test]
fn a_second_handler_is_started_when_the_first_is_full() {
    let rig = Rig::new(&Plan { handlers: "max = 2\nsessions = 2", ..PLAIN });
    let mut clients: Vec<Client> = (0..4).map(|_| rig.connect("imap")).collect();
    let mut handlers: Vec<String> = clients
        .iter_mut()
        .map(|client| client.line().split(" generation").next().unwrap().to_string())
        .collect();
    handlers.sort();
    assert_eq!(handlers, ["handler 0", "handler 0", "handler 1", "handler 1"]);
    // With one free place in each, the next two go to one each.
    assert_eq!(rig.view().info().spawned, 2);
}

#[test]
fn a_killed_handler_is_replaced() {
    let rig = Rig::new(&Plan { handlers: "max = 1\nsessions = 10", ..PLAIN });
    for generation in 1..=3 {
        let mut client = rig.connect("imap");
        let greeting = client.line();
        assert!(greeting.starts_with(&format!("handler 0 generation {generation} ")), "{greeting}");
        kill(rig.handler_pid(0), Signal::SIGKILL).unwrap();
        // Its handler has parked nothing of it.
        assert!(client.line().starts_with("* BYE [UNAVAILABLE]"));
        assert_eq!(client.line(), "");
        rig.log_has("how=SIGKILL");
        eventually("the dead one's sessions are gone", || rig.view().sessions().is_empty(), || rig.log());
    }
}

#[test]
fn what_a_dead_handler_had_not_acknowledged_goes_to_another() {
    let rig = Rig::new(&Plan { mode: "silent", handlers: "max = 1\nsessions = 10", ..PLAIN });
    let silent = rig.handler_pid(0);
    let mut clients = [rig.connect("imap"), rig.connect("pop3")];
    eventually("both are assigned", || rig.view().sessions().len() == 2, || rig.log());
    rig.set_mode("");
    kill(silent, Signal::SIGKILL).unwrap();
    for client in &mut clients {
        assert!(client.line().starts_with("handler 0 generation 2 "));
        client.echo("here I am");
    }
    rig.log_has("on_their_way=2");
}

#[test]
fn a_connection_that_no_handler_keeps_is_turned_away() {
    let rig = Rig::new(&Plan { mode: "silent", handlers: "max = 1\nsessions = 10", ..PLAIN });
    let mut client = rig.connect("imap");
    for deaths in 1..=3 {
        eventually("it is assigned", || rig.view().sessions().len() == 1, || rig.log());
        kill(rig.handler_pid(0), Signal::SIGKILL).unwrap();
        eventually("the handler is reaped", || rig.log_count("on_their_way=1") == deaths, || rig.log());
    }
    assert!(client.line().starts_with("* BYE [UNAVAILABLE]"));
}

/// Handlers that park nothing are killed all the time. A client may lose its connection with its handler, and is told so; it never
/// hangs, and the next connection is served.
#[test]
fn nobody_hangs_while_handlers_are_killed() {
    let rig = Rig::new(&Plan { mode: "quick", handlers: "max = 2\nsessions = 3", ..PLAIN });
    let address = rig.address("imap");
    let end = Instant::now() + Duration::from_secs(3);
    let threads: Vec<_> = (0..4)
        .map(|_| {
            thread::spawn(move || {
                let (mut served, mut cut) = (0, 0);
                while Instant::now() < end {
                    let mut client = Client::new(TcpStream::connect(address).unwrap());
                    let greeting = client.line();
                    let told = ["handler ", "* BYE [UNAVAILABLE] The session"];
                    let is_known = told.iter().any(|start| greeting.starts_with(start));
                    assert!(greeting.is_empty() || is_known, "{greeting}");
                    if client.tries_to_echo("a noop") {
                        served += 1;
                    } else {
                        cut += 1;
                    }
                }
                (served, cut)
            })
        })
        .collect();
    let mut kills = 0;
    while Instant::now() < end {
        thread::sleep(Duration::from_millis(40));
        let serving = rig.view().handlers().into_iter().find(|info| info.state == HandlerState::Serving);
        if let Some(info) = serving {
            kills += i32::from(kill(Pid::from_raw(info.process.pid as i32), Signal::SIGKILL).is_ok());
        }
    }
    let (mut served, mut cut) = (0, 0);
    for thread in threads {
        let counts = thread.join().unwrap();
        (served, cut) = (served + counts.0, cut + counts.1);
    }
    println!("{kills} kills, {served} served, {cut} cut off");
    assert!(kills > 20 && served > 200, "{kills} kills, {served} served, {cut} cut off\n{}", rig.log());
    assert_eq!(rig.view().info().turned_away, 0);
    rig.connect("imap").line();
    eventually("all cells are free but one", || rig.view().sessions().len() <= 1, || rig.log());
}

#[test]
fn two_thousand_quick_connections_and_none_is_lost() {
    let rig = Rig::new(&Plan { mode: "quick", handlers: "max = 4\nsessions = 50", ..PLAIN });
    let address = rig.address("imap");
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            thread::spawn(move || {
                for number in 0..250 {
                    let mut client = Client::new(TcpStream::connect(address).unwrap());
                    assert!(client.line().starts_with("handler "), "{thread} {number}");
                    client.echo(&format!("{thread} {number}"));
                    client.say("QUIT");
                    assert_eq!(client.line(), "");
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(rig.view().info().accepted, 2000);
    assert_eq!(rig.view().info().turned_away, 0);
    eventually("all cells are free", || rig.view().sessions().is_empty(), || rig.log());
}

#[test]
fn a_burst_larger_than_the_queue_waits_for_handlers_that_start() {
    let rig = Rig::new(&Plan {
        mode: "quick",
        handlers: "max = 8\nsessions = 50",
        limits: "queue = 10\ngrace_seconds = 1",
        ..PLAIN
    });
    let mut clients: Vec<Client> = (0..400).map(|_| rig.connect("imap")).collect();
    for client in &mut clients {
        assert!(client.line().starts_with("handler "), "{}", rig.log());
    }
    assert_eq!(rig.view().info().turned_away, 0);
}
