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
mod descriptors;
mod escrow;
mod handlers;
mod left_over;
mod listen;
mod log;
mod metrics;
mod notify;
mod orders;
mod parts;
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
mod secure;
mod server;
mod signals;
mod spawn;
mod stop;
mod throttle;
mod time;
mod upgrade;
mod watchdog;

use config::Settings;
use shm_abi::{Abi, Limits, MAX_HANDLERS, inherited, table_name, write_table_name};
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use upgrade::{TakeOver, Upgrade};

const USAGE: &str = "usage: router [--config FILE] | router --abi";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Task {
    /// Be the router.
    Serve { config: Option<PathBuf>, take_over: Option<TakeOver> },
    /// Say what table and records this program knows.
    Abi,
    /// Look whether the state on standard input can be gone on from.
    Rehearse,
}

fn main() -> ExitCode {
    let task = match arguments(std::env::args_os().skip(1)) {
        Ok(task) => task,
        Err(what) => {
            eprintln!("router: {what}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let done = match task {
        Task::Abi => {
            println!("{}", Abi::OWN.line());
            return ExitCode::SUCCESS;
        }
        Task::Rehearse => {
            let done =
                File::open("/proc/self/fd/0").map_err(|error| error.to_string()).and_then(upgrade::rehearse);
            if let Err(why) = done {
                eprintln!("{why}");
                return ExitCode::FAILURE;
            }
            return ExitCode::SUCCESS;
        }
        Task::Serve { config, take_over: None } => begin(Settings::path(config.as_deref())),
        Task::Serve { config, take_over: Some(take_over) } => {
            go_on(&Settings::path(config.as_deref()), take_over)
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            log::event(log::Level::Error, "router-failed", &[("why", &why)]);
            ExitCode::FAILURE
        }
    }
}

fn arguments(mut arguments: impl Iterator<Item = OsString>) -> Result<Task, String> {
    let mut config = None;
    let (mut state, mut old_program, mut refused) = (None, None, None);
    let mut rehearse = false;
    while let Some(word) = arguments.next() {
        let word = word.to_string_lossy().into_owned();
        let mut value = || arguments.next().ok_or_else(|| format!("{word} needs a value"));
        let number = |text: OsString| {
            text.to_str()
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| "that is no descriptor".to_string())
        };
        match word.as_str() {
            "--abi" => return Ok(Task::Abi),
            "--config" if config.is_none() => config = Some(PathBuf::from(value()?)),
            "--rehearse" => rehearse = true,
            "--take-over" => state = Some(number(value()?)?),
            "--return-to" => old_program = Some(number(value()?)?),
            "--refused" => refused = Some(value()?.to_string_lossy().into_owned()),
            _ => return Err(format!("there is no argument {word}, or not twice")),
        }
    }
    if rehearse {
        return Ok(Task::Rehearse);
    }
    let take_over = state.map(|state| TakeOver { state, old_program, refused });
    Ok(Task::Serve { config, take_over })
}

/// Begins anew, or takes over from a router that died.
fn begin(settings_path: PathBuf) -> Result<(), String> {
    let given = activation::Given::take();
    // Takes descriptor 3, unless something else has it: `spawn` counts on that.
    let _reserved = File::open("/dev/null").map_err(|error| format!("cannot open /dev/null: {error}"))?;
    let descriptors = privilege::raise_descriptor_limit();
    let settings = Settings::load(&settings_path).map_err(|error| error.to_string())?;
    logging::begin_as("router", settings.log.format.name(), &settings.log.levels());
    let program = spawn::find_program("handler")?;

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
    let parts = parts::Parts::new(settings_path, settings, program, table, pid_file, listeners)?;
    serve(parts, Upgrade::None)
}

/// Goes on from where the program before this one, in this process, left off.
fn go_on(settings_path: &Path, take_over: TakeOver) -> Result<(), String> {
    let _reserved = File::open("/dev/null").map_err(|error| format!("cannot open /dev/null: {error}"))?;
    let TakeOver { state, old_program, refused } = take_over;
    let path = format!("/proc/self/fd/{state}");
    let open = || File::open(&path).map_err(|error| format!("cannot open the state: {error}"));
    // All that may be missing is looked for while there is a way back.
    let looked =
        open().and_then(upgrade::rehearse).and_then(|()| upgrade::fails_on_purpose(refused.is_some()));
    if let (Err(why), Some(old_program)) = (&looked, old_program) {
        return Err(upgrade::return_to(old_program, settings_path, state, why));
    }
    let (head, items) = upgrade::state::read(open()?)?;
    let parts = upgrade::claim(head, items, refused.is_some())?;
    logging::begin_as("router", parts.settings.log.format.name(), &parts.settings.log.levels());
    // They are not needed any more, and must not travel on.
    drop((inherited(state), old_program.and_then(inherited)));
    let upgrade = match refused {
        None => Upgrade::Replacing,
        Some(why) => Upgrade::Refused(why),
    };
    let pid = std::process::id();
    log::event(log::Level::Info, "router-took-over", &[("pid", &pid), ("sessions", &parts.escrow.len())]);
    serve(parts, upgrade)
}

fn serve(parts: parts::Parts, upgrade: Upgrade) -> Result<(), String> {
    server::Server::new(parts, upgrade)?.serve()?;
    log::event(log::Level::Info, "router-stopped", &[]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_say_what_to_do() {
        let parse = |words: &[&str]| arguments(words.iter().map(OsString::from));
        let serve = |config: Option<&str>, take_over| {
            Ok(Task::Serve { config: config.map(PathBuf::from), take_over })
        };
        assert_eq!(parse(&[]), serve(None, None));
        assert_eq!(parse(&["--config", "/x"]), serve(Some("/x"), None));
        assert_eq!(parse(&["--abi"]), Ok(Task::Abi));
        assert_eq!(parse(&["--config", "/x", "--rehearse"]), Ok(Task::Rehearse));
        let new = TakeOver { state: 7, old_program: Some(8), refused: None };
        assert_eq!(parse(&["--take-over", "7", "--return-to", "8"]), serve(None, Some(new)));
        let old = TakeOver { state: 7, old_program: None, refused: Some("why".into()) };
        assert_eq!(parse(&["--take-over", "7", "--refused", "why"]), serve(None, Some(old)));
        for words in [&["--config"][..], &["--config", "/x", "y"], &["-v"], &["--take-over", "x"]] {
            assert!(parse(words).is_err());
        }
    }
}
