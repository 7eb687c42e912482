//! POP3's maildrop over processes and restarts: who has it, who may have it next, and the names of messages in it.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tests::mail;
use tests::pop3::Pop3;
use tests::server::{Options, PASSWORD, Server, Victim};

/// The answer to PASS for `ann`; a connection that was let in ends at once.
fn login(server: &Server) -> Result<Pop3, String> {
    Pop3::login(server.addresses().pop3, &server.user("ann"), PASSWORD).map_err(|fault| fault.to_string())
}

fn unique_ids(server: &Server) -> Vec<String> {
    let mut pop3 = server.pop3("ann");
    let lines = pop3.lines("UIDL").expect("a list");
    pop3.command("QUIT").expect("gone");
    lines
        .iter()
        .map(|line| String::from_utf8_lossy(line).split(' ').nth(1).expect("a name").to_string())
        .collect()
}

/// The cells of the one INBOX below `folder`.
fn cells_of_inbox(folder: &Path) -> Option<PathBuf> {
    std::fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path())).find_map(|path| {
        if path.ends_with("m1/cells") {
            Some(path)
        } else {
            path.is_dir().then(|| cells_of_inbox(&path)).flatten()
        }
    })
}

#[test]
fn unique_ids_survive_restarts_crashes_and_a_move_to_another_store() {
    let mut from = Server::with(Options::default().users(&["ann"]));
    if from.skip_on_peer("lode export") {
        return;
    }
    for number in 0..5 {
        from.deliver("ann", &mail::small(&format!("m{number}")));
    }
    let mut pop3 = from.pop3("ann");
    pop3.command("DELE 2").expect("marked");
    pop3.command("QUIT").expect("deleted");
    let names = unique_ids(&from);
    assert_eq!(names.len(), 4);
    from.restart();
    assert_eq!(unique_ids(&from), names);
    from.crash(Victim::All);
    assert_eq!(unique_ids(&from), names);

    // The cells of INBOX are made again from the logs.
    from.stop();
    let cells = cells_of_inbox(&from.folder().join("store")).expect("a file");
    std::fs::remove_file(&cells).expect("removed");
    from.lode(&["check", "--repair"]);
    from.restart();
    assert!(cells.is_file());
    assert_eq!(unique_ids(&from), names);

    let exported = from.folder().join("ann.tar").display().to_string();
    from.lode(&["export", "--user", "ann", "--format", "lode", "-o", &exported]);
    let to = Server::with(Options::default().users(&["ann"]));
    to.lode(&["import", "--format", "lode", &exported]);
    assert_eq!(unique_ids(&to), names);
    // What comes next gets a name that nothing had.
    to.deliver("ann", &mail::small("next"));
    let later = unique_ids(&to);
    assert_eq!(later[..4], names);
    assert!(!names.contains(&later[4]));
}

#[test]
fn who_has_a_maildrop_is_shown_and_keeps_it_until_the_session_ends() {
    // One session a handler, so that the second comes to another process.
    let server = Server::with(Options::default().users(&["ann"]).handlers(3, 1));
    if server.skip_on_peer("lode who") {
        return;
    }
    let mut holder = server.pop3("ann");
    let who = server.lode(&["who", "--json"]);
    assert!(who.contains("\"lock\": \"maildrop\"") && who.contains("\"mailbox\": \"1/1\""), "{who}");
    let refused = login(&server).expect_err("refused");
    assert!(refused.contains("[IN-USE]"), "{refused}");
    holder.command("NOOP").expect("still there");

    // Its process is killed: the session goes on in another, and keeps the maildrop.
    let handlers = server.handlers();
    kill(Pid::from_raw(handlers[0] as i32), Signal::SIGKILL).expect("killed");
    holder.command("NOOP").expect("goes on");
    let refused = login(&server).expect_err("refused");
    assert!(refused.contains("[IN-USE]"), "{refused}");

    // It ends: the next one is let in at once.
    holder.command("QUIT").expect("gone");
    drop(holder);
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut next = loop {
        match login(&server) {
            Ok(pop3) => break pop3,
            Err(why) => assert!(Instant::now() < deadline, "{why}{}", server.tail()),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    next.command("QUIT").expect("gone");
    let mut last = server.pop3("ann");
    assert!(server.lode(&["who"]).contains("maildrop"));
    last.command("QUIT").expect("gone");
}

#[test]
fn logins_keep_their_distance_over_processes() {
    let options =
        Options::default().users(&["ann"]).handlers(3, 1).set("pop3", "login_delay_seconds", "3600");
    let mut server = Server::with(options);
    if server.skip_on_peer("[pop3] login_delay_seconds") {
        return;
    }
    server.pop3("ann").command("QUIT").expect("gone");
    let refused = login(&server).expect_err("refused");
    assert!(refused.contains("[LOGIN-DELAY]"), "{refused}");
    server.crash(Victim::Handler(0));
    let refused = login(&server).expect_err("refused");
    assert!(refused.contains("[LOGIN-DELAY]"), "{refused}");
}
