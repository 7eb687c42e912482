//! Runs the scripts under `wire/` against any server: `cargo xtask wire --imap HOST:PORT --user USER --password PASSWORD`.
//!
//! `--server` names one whose differences the scripts know; `--differences` prints them. Each script needs two users without mail: a `%d` in the user's name becomes the script's number, and that with a `b` behind it.

use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use tests::script;
use tests::server::Addresses;
use tests::wire::{Outcome, Stage, run};

const USAGE: &str =
    "wire --imap HOST:PORT [--pop3 HOST:PORT] [--lmtp HOST:PORT] --user USER%d --password PASSWORD \
                     [--server NAME] [--administrator NAME] [SCRIPT...]
wire --differences NAME";

fn main() -> ExitCode {
    let mut values = std::collections::BTreeMap::new();
    let mut chosen = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match (argument.strip_prefix("--"), argument.as_str()) {
            (Some(name), _) => {
                let Some(value) = arguments.next() else { return usage() };
                values.insert(name.to_string(), value);
            }
            (None, script) => chosen.push(script.to_string()),
        }
    }
    if let Some(server) = values.get("differences") {
        return match script::differences(server) {
            Ok(table) => {
                print!("{table}");
                ExitCode::SUCCESS
            }
            Err(what) => {
                eprintln!("{what}");
                ExitCode::FAILURE
            }
        };
    }
    let address = |name: &str| -> Option<SocketAddr> { values.get(name)?.to_socket_addrs().ok()?.next() };
    let Some(imap) = address("imap") else { return usage() };
    let (Some(user), Some(password)) = (values.get("user"), values.get("password")) else { return usage() };
    let addresses =
        Addresses { imap, pop3: address("pop3").unwrap_or(imap), lmtp: address("lmtp").unwrap_or(imap) };
    let mut failed = 0;
    for (number, script) in script::all().into_iter().enumerate() {
        let protocol_given = script.split('/').next().is_some_and(|protocol| values.contains_key(protocol));
        if !protocol_given
            || (!chosen.is_empty() && !chosen.iter().any(|each| script.contains(each.as_str())))
        {
            continue;
        }
        let stage = Stage {
            addresses,
            user: user.replace("%d", &number.to_string()),
            friend: user.replace("%d", &format!("{number}b")),
            administrator: values.get("administrator").cloned().unwrap_or_default(),
            password: password.clone(),
            folder: None,
            server: values.get("server").cloned().unwrap_or_default(),
        };
        match run(&script, &stage) {
            Ok(Outcome::Passed) => println!("ok       {script}"),
            Ok(Outcome::Differs(reason)) => println!("differs  {script}: {reason}"),
            Ok(Outcome::Lacks(capability)) => println!("lacks    {script}: {capability}"),
            Err(what) => {
                failed += 1;
                println!("FAILED   {what}");
            }
        }
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}
