//! A handler that does nothing any more is killed, and its sessions go on.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tests::process;
use tests::server::{Options, Server};

#[test]
fn a_stopped_handler_is_replaced_and_its_sessions_go_on() {
    let server = Server::with(Options::default().set("limits", "hang_seconds", "1"));
    if server.skip_on_peer("stopping a handler") {
        return;
    }
    let mut imap = server.imap("ann");
    imap.ok("SELECT INBOX");
    let mut pop3 = server.pop3("bob");
    server.until_parked();
    let handlers = server.handlers();
    for pid in &handlers {
        kill(Pid::from_raw(*pid as i32), Signal::SIGSTOP).expect("a handler to stop");
    }
    imap.ok("NOOP");
    pop3.command("STAT").expect("an answer");
    assert!(handlers.iter().all(|pid| !process::alive(*pid)), "{}", server.tail());
    let log = std::fs::read_to_string(server.folder().join("log")).expect("a log");
    assert!(log.contains("handler-hung"), "{log}");
}

#[test]
fn a_router_that_was_stopped_does_not_take_its_handlers_for_hung() {
    let server = Server::with(Options::default().set("limits", "hang_seconds", "1"));
    if server.skip_on_peer("stopping the router") {
        return;
    }
    let mut imap = server.imap("ann");
    let handlers = server.handlers();
    server.signal(Signal::SIGSTOP);
    std::thread::sleep(std::time::Duration::from_secs(3));
    imap.ok("NOOP");
    server.signal(Signal::SIGCONT);
    std::thread::sleep(std::time::Duration::from_millis(1500));
    imap.ok("NOOP");
    assert_eq!(server.handlers(), handlers, "{}", server.tail());
}
