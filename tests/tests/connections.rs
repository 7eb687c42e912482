//! Many idle connections: memory each, and that they slow nobody.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::time::{Duration, Instant};
use tests::imap::Imap;
use tests::mail;
use tests::process;
use tests::server::{Options, Server};

/// The promise: 4 KiB of PSS a connection over all processes. Asserted with 10,000; with fewer the fixed cost of a process weighs
/// more, so the short form allows three times that.
const PROMISE_OCTETS: u64 = 4096;

#[test]
fn idle_connections_cost_little() {
    let count: usize = if tests::full() { 10_000 } else { 1_000 };
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    if hard < count as u64 + 200 {
        println!("skipped: no more than {hard} descriptors here");
        return;
    }
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("the limit raised");
    let handlers = 4u32;
    let sessions = count as u32 / handlers + 50;
    let server = Server::with(Options::default().handlers(handlers, sessions).set(
        "limits",
        "connections_per_user",
        "0",
    ));

    // One session in each process first, so that what a process needs once is not counted; the router fills the emptiest handler
    // that has room, so all handlers are there only when the first ones are full.
    let mut connections: Vec<Imap> = Vec::with_capacity(count);
    let base = count / 10;
    connections.extend((0..base).map(|_| server.imap("ann")));
    let before = memory(&server);
    let begin = Instant::now();
    while connections.len() < count {
        let mut imap = server.imap("ann");
        imap.ok("SELECT INBOX");
        connections.push(imap);
    }
    println!("{count} connections, the last {} in {:?}", count - base, begin.elapsed());
    // A silent session gives back its buffers after a second.
    std::thread::sleep(Duration::from_millis(2500));
    let after = memory(&server);
    if server.is_lode() {
        let processes = server.handlers().len();
        let each = after.saturating_sub(before) / (count - base) as u64;
        println!(
            "PSS {} KiB with {base}, {} KiB with {count}, {processes} handlers: {each} octets a connection",
            before >> 10,
            after >> 10
        );
        let allowed = if tests::full() { PROMISE_OCTETS } else { 3 * PROMISE_OCTETS };
        assert!(each <= allowed, "{each} octets a connection, {allowed} allowed");
    }

    let mut idler = server.imap("ann");
    idler.ok("SELECT INBOX");
    idler.begin("IDLE").expect("sent");
    idler.response().expect("a continuation");
    let begin = Instant::now();
    server.deliver("ann", &mail::small("m"));
    idler.response().expect("an idler is told");
    println!("a delivery beside {count} connections reached an idler in {:?}", begin.elapsed());
    if server.is_lode() {
        let limit = if tests::full() { 50 } else { 1000 };
        assert!(begin.elapsed() < Duration::from_millis(limit), "{:?}", begin.elapsed());
    }

    // All are still there.
    for imap in connections.iter_mut().step_by(97) {
        imap.ok("NOOP");
    }
    drop(connections);
    if server.is_lode() {
        let deadline = Instant::now() + Duration::from_secs(20);
        let open = || server.handlers().iter().map(|pid| process::descriptors(*pid)).sum::<usize>();
        while open() > 400 {
            assert!(Instant::now() < deadline, "{} descriptors stay open", open());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn memory(server: &Server) -> u64 {
    if server.is_lode() { process::pss(&server.processes()) } else { 0 }
}
