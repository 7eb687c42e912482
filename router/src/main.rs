//! Owns the listening sockets and hands each connection to a handler.
//!
//! `main` is the table of contents: what happens once is here in order, what happens all the time is in `server`.
//! The router sees no mail, no TLS, and no octet a client sends.

mod accept;
mod activation;
mod addresses;
mod adoption;
mod client;
mod control;
mod crashes;
mod escrow;
mod handlers;
mod left_over;
mod listen;
mod log;
mod metrics;
mod notify;
mod orders;
mod pid_file;
mod place;
mod privilege;
mod process;
mod queue;
mod reap;
mod records;
mod rejoin;
mod reload;
mod route;
mod server;
mod signals;
mod spawn;
mod stop;
mod throttle;
mod time;
mod watchdog;

use config::Settings;
use shm_abi::{Limits, MAX_HANDLERS, table_name, write_table_name};
use std::ffi::OsString;
use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "usage: router [--config FILE]";

fn main() -> ExitCode {
    let path = match arguments(std::env::args_os().skip(1)) {
        Ok(path) => Settings::path(path.as_deref()),
        Err(what) => {
            eprintln!("router: {what}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(path) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            log::event(log::Level::Error, "router-failed", &[("why", &why)]);
            ExitCode::FAILURE
        }
    }
}

fn arguments(mut arguments: impl Iterator<Item = OsString>) -> Result<Option<PathBuf>, String> {
    match arguments.next() {
        None => Ok(None),
        Some(word) if word == "--config" => match (arguments.next(), arguments.next()) {
            (Some(path), None) => Ok(Some(path.into())),
            (None, _) => Err("--config needs a file".into()),
            (_, Some(_)) => Err("there is an argument too many".into()),
        },
        Some(word) => Err(format!("there is no argument {}", word.to_string_lossy())),
    }
}

fn run(settings_path: PathBuf) -> Result<(), String> {
    let given = activation::Given::take();
    // Takes descriptor 3, unless something else has it: `spawn` counts on that.
    let _reserved = File::open("/dev/null").map_err(|error| format!("cannot open /dev/null: {error}"))?;
    let descriptors = privilege::raise_descriptor_limit();
    let settings = Settings::load(&settings_path).map_err(|error| error.to_string())?;
    log::begin(&settings);
    let program = spawn::find_handler()?;

    let user = privilege::run_user(&settings)?;
    privilege::make_folders(&settings, user.as_ref())?;
    let pid_file = pid_file::PidFile::take(&settings.runtime.dir, user.as_ref())?;
    let listeners = listen::bind_all(&settings, given, user.as_ref())?;
    if let Some(user) = &user {
        privilege::become_user(user)?;
    }

    let name = table_name(&settings.runtime.dir);
    let limits = Limits { handlers: settings.handlers.max, sessions: settings.handlers.sessions };
    // One row more than serve at a time: who takes the place of another is there before that is gone.
    let rows = Limits { handlers: (limits.handlers + 1).min(MAX_HANDLERS), ..limits };
    let table = left_over::make_table(&name, &settings.runtime.dir, rows)?;
    table.set_serving_max(limits.handlers);
    write_table_name(&settings.runtime.dir, &name)
        .map_err(|error| format!("cannot write {}/table: {error}", settings.runtime.dir.display()))?;

    log::event(
        log::Level::Info,
        "router-started",
        &[
            ("pid", &std::process::id()),
            ("table", &name),
            ("handlers_max", &limits.handlers),
            ("sessions_each", &limits.sessions),
            ("descriptors", &descriptors),
        ],
    );
    server::Server::new(settings_path, settings, program, table, listeners)?.serve()?;
    drop(pid_file);
    log::event(log::Level::Info, "router-stopped", &[]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_one_file_or_none() {
        let parse = |words: &[&str]| arguments(words.iter().map(OsString::from));
        assert_eq!(parse(&[]), Ok(None));
        assert_eq!(parse(&["--config", "/x"]), Ok(Some("/x".into())));
        for words in [&["--config"][..], &["--config", "/x", "y"], &["-v"]] {
            assert!(parse(words).is_err());
        }
    }
}
