//! Handlers die, and their sessions go on in others.
//!
//! The short form takes some seconds; `LODE_FULL=1` kills for ten minutes.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use shm_abi::HandlerState;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use tests::checking_client::{CheckingClient, Tally, lost_while_parked};
use tests::random::{Random, seed};
use tests::server::{Options, Server};

/// Clients of all kinds, and threads that drive them.
const CLIENTS: usize = 60;
const DRIVERS: usize = 6;
/// Handlers, and sessions that each takes.
const HANDLERS: (u32, u32) = (6, 20);
/// Time between two kills, of a machine that keeps up with them.
const PAUSE: Duration = Duration::from_millis(100);
/// Answers that are to come at least over all.
const ANSWERS_LEAST: u64 = 500;
/// How much longer than it should a run may last on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(300);

/// Who dies next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Killing {
    /// One handler, and so on without end.
    OneByOne,
    /// All of them at once, when the clients have come on since the last time.
    All,
}

/// What the clients say.
#[derive(Default)]
struct Outcome {
    tally: Tally,
    /// Their ends of sessions that ended while nothing was being done, as far as they know.
    lost_idle: Vec<SocketAddr>,
    /// The longest time that one step of a client took: an answer, or a new session and a look at all there is.
    longest: Duration,
    wrong: Vec<String>,
}

/// Runs clients until `stop`, then has each check what is there. `stop` is set when one was wronged.
fn drive(server: &Server, seed: u64, ready: &Barrier, stop: &AtomicBool, answers: &AtomicU64) -> Outcome {
    let outcome = Mutex::new(Outcome::default());
    thread::scope(|scope| {
        for driver in 0..DRIVERS {
            let outcome = &outcome;
            scope.spawn(move || {
                let mut random = Random::new(seed + driver as u64);
                let right = |done: Result<(), String>| {
                    done.unwrap_or_else(|why| {
                        stop.store(true, Ordering::Relaxed);
                        outcome.lock().expect("no panic").wrong.push(why);
                    });
                };
                let mut driven = Vec::new();
                for number in (0..CLIENTS).filter(|number| number % DRIVERS == driver) {
                    let (kind, user) = (number / DRIVERS + driver, format!("user{number}"));
                    match CheckingClient::of_kind(kind, server.addresses(), &user) {
                        Ok(client) => driven.push(client),
                        Err(why) => right(Err(why)),
                    }
                }
                ready.wait();
                let mut longest = Duration::ZERO;
                while !stop.load(Ordering::Relaxed) {
                    for client in &mut driven {
                        let (begun, before) = (Instant::now(), client.tally().answered);
                        right(client.step(&mut random));
                        longest = longest.max(begun.elapsed());
                        answers.fetch_add(client.tally().answered - before, Ordering::Relaxed);
                    }
                }
                for mut client in driven {
                    right(client.finish());
                    let mut outcome = outcome.lock().expect("no panic");
                    outcome.tally += client.tally();
                    outcome.lost_idle.extend(client.lost_idle());
                    outcome.longest = outcome.longest.max(longest);
                }
            });
        }
    });
    outcome.into_inner().expect("no panic")
}

/// Kills handlers under clients that check every answer: as many times as `kills_least` at least, and for as long as `lasts`.
fn outlive(killing: Killing, kills_least: u64, lasts: Duration) {
    let names: Vec<String> = (0..CLIENTS).map(|number| format!("user{number}")).collect();
    let users: Vec<&str> = names.iter().map(String::as_str).collect();
    let server = Server::with(Options::default().handlers(HANDLERS.0, HANDLERS.1).users(&users));
    if server.skip_on_peer("killing handlers") {
        return;
    }
    let seed = seed();
    let (ready, stop) = (Barrier::new(DRIVERS + 1), AtomicBool::new(false));
    let (answers, mut kills, mut killed, mut waited) = (AtomicU64::new(0), 0, 0, 0);
    let (outcome, took) = thread::scope(|scope| {
        let driving = scope.spawn(|| drive(&server, seed, &ready, &stop, &answers));
        let mut random = Random::new(seed ^ 0x5eed);
        ready.wait();
        let (begun, mut answers_before) = (Instant::now(), 0);
        while !stop.load(Ordering::Relaxed) {
            let answers = answers.load(Ordering::Relaxed);
            if begun.elapsed() >= lasts && kills >= kills_least && answers >= ANSWERS_LEAST {
                break;
            }
            if begun.elapsed() > lasts + PATIENCE {
                println!("after {kills} kills and {answers} answers clients do not come on");
                break;
            }
            thread::sleep(PAUSE);
            let came_on = answers - answers_before;
            let serving =
                server.table().handlers().iter().filter(|row| row.state == HandlerState::Serving).count();
            let handlers = server.handlers();
            // A machine that starts handlers more slowly than they are killed would kill them while they start, and nobody would ever come on.
            let victims = match killing {
                Killing::OneByOne if serving >= 2 && came_on > 0 => {
                    random.pick(&handlers).into_iter().copied().collect()
                }
                Killing::All if serving >= 2 && came_on >= CLIENTS as u64 => handlers,
                _ => Vec::new(),
            };
            if victims.is_empty() {
                waited += 1;
                continue;
            }
            for pid in &victims {
                let _ = kill(Pid::from_raw(*pid as i32), Signal::SIGKILL);
            }
            (kills, killed, answers_before) = (kills + 1, killed + victims.len(), answers);
        }
        stop.store(true, Ordering::Relaxed);
        (driving.join().expect("the clients' threads"), begun.elapsed())
    });
    let log = server.log();
    let estates = [" adopted=", " told_goodbye=", " closed="].map(|name| sum_of(&log, name));
    let Outcome { tally, lost_idle, longest, wrong } = outcome;
    println!(
        "{killing:?}: {kills} kills of {killed} handlers in {took:?}, {waited} times there were not enough; {tally:?}; longest step {longest:?}; \
         sessions adopted, told goodbye, closed: {estates:?}; lost: {:?}",
        reasons(&log)
    );
    assert!(wrong.is_empty(), "{wrong:#?}{}", server.tail());
    assert!(
        tally.answered >= ANSWERS_LEAST && kills >= kills_least,
        "{kills} kills, {tally:?}{}",
        server.tail()
    );
    assert!(estates[0] > kills, "{estates:?} over {kills} kills{}", server.tail());
    let lost = lost_while_parked(&log, &lost_idle);
    assert!(lost.is_empty(), "{}{}", lost.join("\n"), server.tail());
}

/// Every 100 ms a handler is killed.
#[test]
fn sessions_outlive_handlers_that_are_killed_all_the_time() {
    outlive(Killing::OneByOne, 60, Duration::from_secs(if tests::full() { 600 } else { 12 }));
}

#[test]
fn sessions_outlive_all_handlers_at_once() {
    outlive(Killing::All, if tests::full() { 300 } else { 10 }, Duration::ZERO);
}

/// Adds up what the router's log says of the sessions of all handlers that ended.
fn sum_of(log: &str, name: &str) -> u64 {
    let numbers = log.lines().filter(|line| line.contains("handler-ended")).filter_map(|line| {
        let rest = line.split(name).nth(1)?;
        rest.split(' ').next()?.parse::<u64>().ok()
    });
    numbers.sum()
}

/// Why sessions were lost, and how many.
fn reasons(log: &str) -> std::collections::BTreeMap<&str, usize> {
    let mut found = std::collections::BTreeMap::new();
    for line in log.lines().filter(|line| line.contains("session-lost")) {
        let why = line.split("why=").nth(1).and_then(|rest| rest.split(' ').next());
        *found.entry(why.unwrap_or("?")).or_default() += 1;
    }
    found
}
