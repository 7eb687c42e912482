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

/// A session of ann's that searches.
fn begin_session(table: &Table) {
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
}

#[test]
fn sessions_are_shown_although_nobody_answers() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let table = table(folder.path());
    let output = lode(folder.path(), &["who"]);
    assert_eq!((said(&output).as_str(), output.status.code()), ("nobody is connected\n", Some(0)));

    begin_session(&table);
    let text = said(&lode(folder.path(), &["who"]));
    let mut lines = text.lines();
    let columns =
        ["SESSION", "PROTOCOL", "USER", "PEER", "MAILBOX", "STATE", "COMMAND", "AGE", "IDLE", "BYTES IN"];
    assert!(lines.next().is_some_and(|head| columns.iter().all(|name| head.contains(name))), "{text}");
    let row = lines.next().unwrap_or_default();
    for fact in [
        "1.0.1 ",
        " imap ",
        " ann ",
        "192.0.2.7:4242",
        " 7/1 ",
        " running ",
        "UID SEARCH 1m0",
        "1m3",
        " 4096",
    ] {
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

/// Every documented field is printed, and every printed field is documented.
#[test]
fn the_fields_of_json_are_those_of_the_page() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let table = table(folder.path());
    begin_session(&table);
    let page = include_str!("../JSON.md");
    for (verb, part) in [("who", 1), ("status", 2)] {
        let section = page.split("\n## ").nth(part).expect("a section for each verb");
        let documented: Vec<&str> =
            section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
        let text = said(&lode(folder.path(), &[verb, "--json"]));
        let value = serde_json::from_str(&text).expect("JSON");
        let mut printed = Vec::new();
        names("", &value, &mut printed);
        assert_eq!(printed, documented, "{verb}");
    }
}

/// The names of all fields, those of objects within behind a dot, in order.
fn names(within: &str, value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Array(all) => all.iter().for_each(|each| names(within, each, found)),
        serde_json::Value::Object(fields) => {
            for (name, value) in fields {
                let name = if within.is_empty() { name.clone() } else { format!("{within}.{name}") };
                found.push(name.clone());
                names(&name, value, found);
            }
        }
        _ => {}
    }
}

#[test]
fn a_copy_is_read_when_everybody_is_dead() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let table = table(folder.path());
    begin_session(&table);
    let octets = std::fs::read(format!("/dev/shm{}", table.name())).expect("read");
    drop(table);
    let copy = folder.path().join("copy");
    std::fs::write(&copy, &octets).expect("written");
    // Not even settings are needed.
    let read = |verb: &str, file: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lode"));
        command.args([verb, "--json", "--config", "/nonexistent/lode.toml", "--post-mortem"]).arg(file);
        command.output().expect("lode runs")
    };
    let who = read("who", &copy);
    let text = said(&who);
    assert!(text.contains("\"user\": \"ann\"") && text.contains("\"session\": \"1.0.1\""), "{text}");
    // Ages are counted to the last sign of life, which was when the last octet came.
    assert!(text.contains("\"idle_seconds\": 0,") && text.contains("\"age_seconds\": 33,"), "{text}");
    assert!(String::from_utf8_lossy(&who.stderr).contains("as of "), "{who:?}");
    let status = read("status", &copy);
    let text = said(&status);
    assert_eq!(status.status.code(), Some(0), "{status:?}");
    assert!(text.contains("\"post_mortem\": true") && text.contains("\"state\": \"serving\""), "{text}");

    let refused = |octets: &[u8], why: &str| {
        std::fs::write(&copy, octets).expect("written");
        for verb in ["who", "status"] {
            let output = read(verb, &copy);
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.code() == Some(1) && told.contains(why), "{told}");
        }
    };
    refused(b"", "the copy is not whole: it has 0 octets");
    refused(&octets[..octets.len() - 4096], "the copy is not whole");
    refused(b"From: ann\n".repeat(100).as_slice(), "not a copy of a table");
    let mut other = octets.clone();
    other[8] = 77;
    refused(&other, "of a table of version 77");
    other = octets.clone();
    other[20] ^= 0xff;
    refused(&other, "use the `lode` of the build that ran");
    for no_file in [folder.path(), Path::new("/dev/null"), Path::new("/nonexistent/copy")] {
        assert_eq!(read("who", no_file).status.code(), Some(1), "{}", no_file.display());
    }

    // Torn: the writer of the cell was in the middle of it when the copy was made.
    other = octets.clone();
    let user = other.windows(8).position(|octets| octets == b"ann\0\0\0\0\0").expect("the cell's user");
    other[user - 64 + 8] |= 1;
    std::fs::write(&copy, &other).expect("written");
    let torn = read("who", &copy);
    assert!(
        said(&torn).contains("\"user\": null") && said(&torn).contains("\"bytes_out\": 4096"),
        "{torn:?}"
    );
    assert!(String::from_utf8_lossy(&torn.stderr).contains("being written at that moment: 1;"), "{torn:?}");
}
