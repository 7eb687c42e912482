//! What the conversations under `wire/` must be as a whole: each played, each capability shown by one, each difference explained.

use std::collections::BTreeSet;
use tests::script;
use tests::server::Server;
use tests::wire::{Protocol, capabilities, stage};

/// The name of the server that the scripts are compared with.
const COMPARED: &str = "dovecot";

/// Capabilities that the announcing server shows by tests of its own, because a script cannot change its settings.
const SHOWN_ELSEWHERE: [&str; 2] = ["LOGIN-REFERRALS", "LOGINDISABLED"];

fn needed(prefix: &str) -> BTreeSet<String> {
    let scripts = script::all().into_iter().filter(|script| script.starts_with(prefix));
    let texts = scripts.map(|script| script::read(&script).unwrap());
    texts.flat_map(|text| script::needs(&text).into_iter().map(str::to_string).collect::<Vec<_>>()).collect()
}

#[test]
fn every_announced_imap_capability_has_a_script() {
    let server = Server::start();
    if server.peer().is_some() {
        println!("skipped: another server announces what it likes");
        return;
    }
    let needed = needed("imap/");
    let announced = capabilities(Protocol::Imap, &stage(&server, "ann")).unwrap();
    assert!(announced.iter().any(|each| each == "IMAP4rev2"), "{announced:?}");
    let is_shown = |announced: &str| {
        needed.iter().any(|need| script::is_meant(need, announced)) || SHOWN_ELSEWHERE.contains(&announced)
    };
    let unshown: Vec<&String> = announced.iter().filter(|each| !is_shown(each)).collect();
    assert!(unshown.is_empty(), "no script under wire/imap has a line `needs` with {unshown:?}");
}

#[test]
fn every_script_is_played() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let players: String = ["imap_commands.rs", "pop3_commands.rs", "lmtp_commands.rs"]
        .map(|file| std::fs::read_to_string(folder.join(file)).unwrap())
        .concat();
    for script in script::all() {
        assert!(players.contains(&format!("\"{script}\"")), "{script} is played by no test");
    }
}

#[test]
fn every_difference_has_its_reason() {
    for script in script::all() {
        let text = script::read(&script).unwrap();
        let (reasons, without) = script::reasons(&text, COMPARED);
        assert!(without.is_empty(), "{script}: no `why {COMPARED}:` behind the lines {without:?}");
        assert!(reasons.iter().all(|(line, _)| *line > 0), "{script}: a reason for nothing: {reasons:?}");
    }
}

#[test]
fn the_list_of_differences_is_the_one_of_the_scripts() {
    let kept = script::read("DOVECOT.md").unwrap();
    let table = script::differences(COMPARED).unwrap();
    assert!(
        kept.ends_with(&table),
        "tests/wire/DOVECOT.md is old: put the output of `cargo xtask wire --differences {COMPARED}` at its end"
    );
}
