//! Handlers die, and their sessions go on in others.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Barrier, Mutex};
use std::time::{Duration, Instant};
use tests::checking_client::{CheckingClient, Tally};
use tests::random::{Random, seed};
use tests::server::{Options, Server};

/// Threads that drive clients.
const DRIVERS: usize = 6;

fn users(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("user{number}")).collect()
}

/// Runs clients of all kinds until `stop`, then has each check what is there. What they counted.
fn drive(server: &Server, clients: usize, seed: u64, (ready, stop): (&Barrier, &AtomicBool)) -> Tally {
    let total = Mutex::new(Tally::default());
    std::thread::scope(|scope| {
        for driver in 0..DRIVERS {
            let (total, addresses) = (&total, server.addresses());
            scope.spawn(move || {
                let mut random = Random::new(seed + driver as u64);
                let numbers = (0..clients).filter(|number| number % DRIVERS == driver);
                let right = |done: Result<(), String>| done.unwrap_or_else(|why| panic!("{why}"));
                let mut driven: Vec<CheckingClient> = numbers
                    .map(|number| {
                        CheckingClient::of_kind(
                            number / DRIVERS + driver,
                            addresses,
                            &format!("user{number}"),
                        )
                    })
                    .map(|made| made.unwrap_or_else(|why| panic!("{why}")))
                    .collect();
                ready.wait();
                while !stop.load(Ordering::Relaxed) {
                    for client in &mut driven {
                        right(client.step(&mut random));
                    }
                }
                for client in &mut driven {
                    right(client.finish());
                    *total.lock().expect("no panic") += client.tally();
                }
            });
        }
    });
    total.into_inner().expect("no panic")
}

fn kill_one(pid: u32) {
    let _ = kill(Pid::from_raw(pid as i32), Signal::SIGKILL);
}

/// Every 100 ms a handler is killed, now and then all of them.
#[test]
fn sessions_outlive_handlers_that_are_killed_all_the_time() {
    let clients = 60;
    let names = users(clients);
    let users: Vec<&str> = names.iter().map(String::as_str).collect();
    let server = Server::with(Options::default().handlers(6, 20).users(&users));
    if server.skip_on_peer("killing handlers") {
        return;
    }
    let seed = seed();
    let lasts = Duration::from_secs(if tests::full() { 600 } else { 12 });
    let (ready, stop) = (Barrier::new(DRIVERS + 1), AtomicBool::new(false));
    let mut kills = 0;
    let tally = std::thread::scope(|scope| {
        let driving = scope.spawn(|| drive(&server, clients, seed, (&ready, &stop)));
        let mut random = Random::new(seed ^ 0x5eed);
        ready.wait();
        let end = Instant::now() + lasts;
        while Instant::now() < end && !driving.is_finished() {
            std::thread::sleep(Duration::from_millis(100));
            let handlers = server.handlers();
            kills += 1;
            if kills % 40 == 0 {
                handlers.iter().copied().for_each(kill_one);
            } else if let Some(victim) = random.pick(&handlers) {
                kill_one(*victim);
            }
        }
        stop.store(true, Ordering::Relaxed);
        driving.join().unwrap_or_else(|_| panic!("a client was wronged{}", server.tail()))
    });
    let (adopted, told, closed) = estates(&server);
    println!("{kills} kills: {tally:?}; sessions adopted {adopted}, told goodbye {told}, closed {closed}");
    assert!(tally.answered > 500, "{tally:?}");
    assert!(adopted > kills, "{adopted} sessions adopted over {kills} kills{}", server.tail());
    assert_eq!(tally.lost_idle, 0, "{tally:?}{}", server.tail());
}

/// What the router's log says of the sessions of all handlers that ended.
fn estates(server: &Server) -> (u64, u64, u64) {
    let log = std::fs::read_to_string(server.folder().join("log")).expect("a log");
    let sum = |name: &str| {
        let numbers = log.lines().filter(|line| line.contains("handler-ended")).filter_map(|line| {
            let rest = line.split(&format!(" {name}=")).nth(1)?;
            rest.split(' ').next()?.parse::<u64>().ok()
        });
        numbers.sum::<u64>()
    };
    (sum("adopted"), sum("told_goodbye"), sum("closed"))
}
