//! `lode import`.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::installation::{Installation, corpus};

fn sums(rows: &[Value]) -> (u64, u64, u64) {
    let sum = |column: &str| rows.iter().map(|row| row[column].as_u64().expect("a number")).sum();
    (sum("imported"), sum("already_there"), sum("failed"))
}

const FROM: &str = "From a@example.org Fri Feb 22 23:06:12 2008\n";

#[test]
fn a_second_import_adds_nothing() {
    let installation = Installation::with_ann();
    let path = installation.path("old.mbox");
    let name = path.to_str().expect("UTF-8");
    let one = format!("{FROM}Subject: one\n\nx\n\n");
    let big = format!("{FROM}Subject: big\n\n{}\n\n", "0123456789abcdef\n".repeat(20_000));
    // The same message twice in one file is two messages.
    fs::write(&path, format!("{one}{one}{big}")).expect("written");
    let import =
        |mailbox: &str| sums(&installation.json(&["import", "--user", "ann", "--mailbox", mailbox, name]));
    assert_eq!(import("Old"), (3, 0, 0));
    assert_eq!(import("Old"), (0, 3, 0));
    assert_eq!(import("INBOX"), (3, 0, 0));
    fs::write(&path, format!("{one}{one}{one}{big}{FROM}Subject: new\n\nx\n\n")).expect("written");
    assert_eq!(import("Old"), (2, 3, 0));
    assert_eq!(installation.messages_in("Old"), Some(5));
}

#[test]
fn the_table_says_what_went_where() {
    let installation = Installation::with_ann();
    let path = installation.path("mail");
    fs::create_dir_all(path.join("Lists")).expect("made");
    fs::write(path.join("1.eml"), "Subject: 1\n\nx\n").expect("written");
    fs::write(path.join("notes.json"), "{}").expect("written");
    fs::write(path.join("Lists/rust.mbox"), format!("{FROM}Subject: 2\n\nx\n")).expect("written");
    let ran = installation.run(&["import", "--user", "ann", path.to_str().expect("UTF-8")]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let lines: Vec<Vec<&str>> = ran.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["MAILBOX", "IMPORTED", "ALREADY", "THERE", "FAILED", "FROM"]);
    assert_eq!(lines[1][..4], ["INBOX", "1", "0", "0"]);
    assert_eq!(lines[2][..4], ["Lists/rust", "1", "0", "0"]);
    assert!(ran.stderr.contains("left out") && ran.stderr.contains("notes.json"), "{ran:?}");
}

#[test]
fn what_is_no_mail_is_refused_before_anything_is_imported() {
    let installation = Installation::with_ann();
    let good = installation.path("good.eml");
    let bad = installation.path("bad.json");
    fs::write(&good, "Subject: 1\n\nx\n").expect("written");
    fs::write(&bad, "{}").expect("written");
    let paths =
        [good, bad, installation.path("missing.mbox")].map(|path| path.to_str().expect("UTF-8").to_owned());
    let said = installation.fails(&["import", "--user", "ann", &paths[0], &paths[1]], 1);
    assert!(said.contains("bad.json is no mail in a format that Lode knows"), "{said}");
    let said = installation.fails(&["import", "--user", "ann", &paths[0], &paths[2]], 1);
    assert!(said.contains("cannot read") && said.contains("missing.mbox"), "{said}");
    assert_eq!(installation.messages_in("INBOX"), Some(0));
}

#[test]
fn a_message_over_the_limit_does_not_stop_the_others() {
    let installation = Installation::with_ann();
    let settings = fs::read_to_string(installation.path("lode.toml")).expect("read");
    fs::write(installation.path("lode.toml"), format!("{settings}[limits]\nmessage_bytes = 1000000\n"))
        .expect("written");
    let path = installation.path("old.mbox");
    let big = "x".repeat(1_000_000);
    let text = format!("{FROM}Subject: 1\n\nx\n\n{FROM}Subject: 2\n\n{big}\n\n{FROM}Subject: 3\n\nx\n\n");
    fs::write(&path, text).expect("written");
    let ran = installation.run(&["import", "--user", "ann", path.to_str().expect("UTF-8"), "--json"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("old.mbox, octet 59: it has 1000016 octets"), "{ran:?}");
    assert!(ran.stderr.contains("1 message was not imported"), "{ran:?}");
    let rows: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(sums(rows.as_array().expect("an array")), (2, 0, 1));
}

#[test]
fn an_import_that_was_killed_is_finished_by_the_next() {
    let installation = Installation::with_ann();
    let path = installation.path("old.mbox");
    let messages = 4_000;
    let text: String =
        (0..messages).map(|number| format!("{FROM}Subject: {number}\n\n{}\n", "text\n".repeat(50))).collect();
    fs::write(&path, text).expect("written");
    let arguments = ["import", "--user", "ann", "--mailbox", "Old", path.to_str().expect("UTF-8")];
    let mut killed = 0;
    for wait_ms in [100, 150, 250] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_lode"))
            .args(arguments)
            .env("LODE_CONFIG", installation.path("lode.toml"))
            .stdout(Stdio::null())
            .spawn()
            .expect("lode started");
        std::thread::sleep(Duration::from_millis(wait_ms));
        child.kill().expect("killed");
        killed += u32::from(!child.wait().expect("ended").success());
    }
    let (imported, already_there, failed) = sums(&installation.json(&arguments));
    println!("killed {killed} times; then {already_there} were there and {imported} came");
    assert_eq!((imported + already_there, failed), (messages, 0));
    assert_eq!(installation.messages_in("Old"), Some(messages));
    assert_eq!(sums(&installation.json(&arguments)), (0, messages, 0));
}

#[test]
fn a_list_archive_of_the_corpus_is_imported() {
    let Some(corpus) = corpus() else { return };
    let installation = Installation::with_ann();
    let path = corpus.join("lists/apache-ponymail-corpus/commits_ponymail_apache_org_2016-06.mbox.zst");
    let arguments = ["import", "--user", "ann", "--mailbox", "Lists/commits", path.to_str().expect("UTF-8")];
    assert_eq!(sums(&installation.json(&arguments)), (82, 0, 0));
    assert_eq!(sums(&installation.json(&arguments)), (0, 82, 0));
    let maildir = corpus.join("messages/djcb-mu/testdir");
    assert_eq!(
        sums(&installation.json(&["import", "--user", "ann", maildir.to_str().expect("UTF-8")])),
        (19, 0, 0)
    );
}
