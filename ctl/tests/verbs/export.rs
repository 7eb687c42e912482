//! `lode export`, and that `lode import` reads back what it wrote: octets, flags, keywords, dates.

use std::fs;
use std::path::Path;

use crate::installation::Installation;

const MAILBOX: &str = "From a@example.org Fri Feb 22 21:06:12 2008
X-Lode-Export: 3; date=Fri, 22 Feb 2008 23:06:12 +0200
Status: RO
X-Status: AF
X-Keywords: $Forwarded work
Subject: one

>From here
>>From there

From a@example.org Thu Feb  8 18:49:08 1996
X-Lode-Export: 1; date=Thu, 8 Feb 1996 18:49:08 +0000; end=open
Status: O
Subject: two

no end

";

fn installation() -> Installation {
    let installation = Installation::with_ann();
    let path = installation.path("start.mbox");
    fs::write(&path, MAILBOX).expect("written");
    installation.ok(&["import", "--user", "ann", path.to_str().expect("UTF-8")]);
    installation.ok(&[
        "import",
        "--user",
        "ann",
        "--mailbox",
        "Lists/Entwürfe",
        path.to_str().expect("UTF-8"),
    ]);
    installation
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn an_mbox_comes_back_as_it_was() {
    let installation = installation();
    let path = installation.path("out.mbox");
    let name = path.to_str().expect("UTF-8");
    let table = installation.ok(&["export", "--user", "ann", "--mailbox", "INBOX", name]);
    assert!(table.starts_with("MAILBOX  EXPORTED  TO\nINBOX           2  "), "{table}");
    assert_eq!(text(&path), MAILBOX.replace("From a@example.org", "From MAILER-DAEMON"));
    let said = installation.fails(&["export", "--user", "ann", "--mailbox", "INBOX", name], 1);
    assert!(said.contains("exists already"), "{said}");
}

#[test]
fn every_format_is_read_back() {
    for format in ["mbox", "maildir", "mh"] {
        let installation = installation();
        let path = installation.path(format);
        let name = path.to_str().expect("UTF-8");
        let rows = installation.json(&["export", "--user", "ann", "--format", format, name]);
        // "Lists" was made as the parent of another.
        assert_eq!(rows.len(), 3, "{format}: {rows:?}");
        // All of it is known: the octets are the same, and so are the mailboxes' names.
        let rows = installation.json(&["import", "--user", "ann", name]);
        assert_eq!(rows.len(), 3, "{format}: {rows:?}");
        for row in &rows {
            let known = if row["mailbox"] == "Lists" { 0 } else { 2 };
            assert_eq!(
                (&row["imported"], &row["already_there"]),
                (&0.into(), &known.into()),
                "{format}: {row}"
            );
        }
        // In an empty mailbox flags and dates come back too.
        let copy = format!("Copy {format}");
        installation.ok(&["import", "--user", "ann", "--mailbox", &copy, name]);
        let again = installation.path(&format!("{format}-again.mbox"));
        let source = if format == "maildir" { copy.clone() } else { format!("{copy}/INBOX") };
        installation.ok(&["export", "--user", "ann", "--mailbox", &source, again.to_str().expect("UTF-8")]);
        let mut expected = MAILBOX.replace("From a@example.org", "From MAILER-DAEMON");
        if format != "mbox" {
            // A file's time has no zone.
            expected = expected.replace("23:06:12 +0200", "21:06:12 +0000");
        }
        // Maildir is read in order of arrival.
        let sorted = |text: &str| {
            let mut messages: Vec<String> = text.split("From MAILER-DAEMON").map(str::to_owned).collect();
            messages.sort();
            messages
        };
        let keywords = |text: &str| text.replace("work $Forwarded", "$Forwarded work");
        assert_eq!(sorted(&keywords(&text(&again))), sorted(&expected), "{format}");
    }
}

#[test]
fn files_are_where_other_programs_expect_them() {
    let installation = installation();
    let path = installation.path("maildir");
    installation.ok(&["export", "--user", "ann", "--format", "maildir", path.to_str().expect("UTF-8")]);
    let mut names: Vec<String> = fs::read_dir(path.join("cur"))
        .expect("a Maildir")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert_eq!(names, ["0823805348.U2.lode:2,", "1203714372.U1.lode:2,FPRSa"]);
    assert_eq!(text(&path.join("dovecot-keywords")), "0 work\n");
    assert!(path.join(".Lists.Entw&APw-rfe/cur").is_dir());
    let path = installation.path("mh");
    installation.ok(&["export", "--user", "ann", "--format", "mh", path.to_str().expect("UTF-8")]);
    assert_eq!(text(&path.join("INBOX/1")), "Subject: one\n\nFrom here\n>From there\n");
    assert_eq!(
        text(&path.join("INBOX/.mh_sequences")),
        "$Forwarded: 1\nflagged: 1\nreplied: 1\nunseen: 2\nwork: 1\n"
    );
    assert!(path.join("Lists/Entwürfe/2").is_file());
}
