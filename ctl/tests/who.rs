//! `lode who` and `lode status` read the table alone: here no daemon answers anything, because there is none but this test,
//! which has made a table as a router does.

use std::path::Path;
use std::process::{Command, Output};

use shm_abi::{
    CellState, Endpoint, HandlerState, Limits, Process, Protocol, RowIndex, Table, table_name,
    write_table_name,
};

fn lode(folder: &Path, words: &[&str]) -> Output {
    let settings = folder.join("lode.toml");
    let text = format!("[store]\npath = \"{0}/store\"\n[runtime]\ndir = \"{0}/run\"\n", folder.display());
    std::fs::write(&settings, text).expect("written");
    Command::new(env!("CARGO_BIN_EXE_lode"))
        .args(words)
        .arg("--config")
        .arg(settings)
        .output()
        .expect("lode runs")
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

/// A table as a router of `handlers` handlers makes it.
fn table(folder: &Path) -> Table {
    let runtime = folder.join("run");
    std::fs::create_dir_all(&runtime).expect("made");
    let name = table_name(&runtime);
    write_table_name(&runtime, &name).expect("written");
    Table::create(&name, Limits { handlers: 2, sessions: 10 }, 1, 1_000).expect("made")
}

#[test]
fn sessions_are_shown_although_nobody_answers() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let table = table(folder.path());
    let output = lode(folder.path(), &["who"]);
    assert_eq!((said(&output).as_str(), output.status.code()), ("nobody is connected\n", Some(0)));

    table.begin_handler(1, 1_000).expect("a free row");
    table.handler(1).set_process(Process::current());
    table.handler(1).set_state(HandlerState::Serving);
    let now_ms = std::time::UNIX_EPOCH.elapsed().expect("a clock").as_millis() as u64;
    let peer = Endpoint::Inet("192.0.2.7:4242".parse().expect("an address"));
    let (cell, generation) = table.assign(1, Protocol::Imap, peer, now_ms - 95_000).expect("room");
    let session = table.cell(1, cell, generation).expect("the cell");
    session.set_user("ann", now_ms - 94_000);
    session.set_state(CellState::Running);
    session.set_mailbox(Some((RowIndex(3), 7 << 32 | 1)));
    session.begin_command("UID SEARCH", now_ms - 65_000);
    session.add_bytes(120, 4_096, now_ms - 61_500);

    let text = said(&lode(folder.path(), &["who"]));
    let mut lines = text.lines();
    let columns =
        ["SESSION", "PROTOCOL", "USER", "PEER", "MAILBOX", "STATE", "COMMAND", "AGE", "IDLE", "BYTES IN"];
    assert!(lines.next().is_some_and(|head| columns.iter().all(|name| head.contains(name))), "{text}");
    let row = lines.next().unwrap_or_default();
    for fact in
        ["1/0 ", " imap ", " ann ", "192.0.2.7:4242", " 7/1 ", " running ", "UID SEARCH 1m0", "1m3", " 4096"]
    {
        assert!(row.contains(fact), "{fact} is not in {row}");
    }

    let text = said(&lode(folder.path(), &["who", "--json"]));
    for fact in
        ["\"user\": \"ann\"", "\"command\": \"UID SEARCH\"", "\"bytes_out\": 4096", "\"state\": \"running\""]
    {
        assert!(text.contains(fact), "{fact} is not in {text}");
    }
}

#[test]
fn status_shows_handlers_and_that_the_router_does_not_answer() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let table = table(folder.path());
    table.begin_handler(0, 1_000).expect("a free row");
    table.handler(0).set_process(Process::current());
    let output = lode(folder.path(), &["status"]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(
        text.contains(&format!("process {}", std::process::id())) && text.contains("not known"),
        "{text}"
    );
    assert!(text.contains("starting"), "{text}");
    let text = said(&lode(folder.path(), &["status", "--json"]));
    assert!(text.contains("\"answers\": false") && text.contains("\"sessions_each\": 10"), "{text}");
}

#[test]
fn without_a_router_both_fail_and_say_what_to_do() {
    let folder = tempfile::tempdir().expect("temporary folder");
    for verb in ["who", "status"] {
        let output = lode(folder.path(), &[verb]);
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains("`lode serve`"));
    }
}
