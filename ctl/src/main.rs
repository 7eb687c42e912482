//! The `lode` command: a table of contents. One file a verb.

mod acl;
mod backup;
mod check;
mod completions;
mod config_file;
mod context;
mod crashes;
mod deliver;
mod demo;
mod drain;
mod export;
mod failure;
mod gc;
mod history;
mod import;
mod into_store;
mod kick;
mod log_level;
mod mailbox;
mod mailfiles;
mod migrate;
mod moment;
mod notify;
mod output;
mod password;
mod quota;
mod reload;
mod restore;
mod router;
mod serve;
mod shared_table;
mod status;
mod stop;
mod top;
mod trace;
mod upgrade;
mod user;
mod who;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Lode, an IMAP, POP3 and LMTP message store.
#[derive(Debug, Parser)]
#[command(
    name = "lode",
    version,
    max_term_width = 100,
    after_help = "New here? `lode demo` starts a server with mail in it; it needs no root and no settings.\n\
                  Exit codes: 0 done, 1 failed, 2 used wrongly."
)]
struct Arguments {
    /// Settings file [default: $LODE_CONFIG, else /etc/lode/lode.toml]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Demo(demo::Arguments),
    Serve(serve::Arguments),
    #[command(subcommand)]
    User(user::Verb),
    #[command(subcommand)]
    Mailbox(mailbox::Verb),
    #[command(subcommand)]
    Quota(quota::Verb),
    #[command(subcommand)]
    Acl(acl::Verb),
    Undelete(history::UndeleteArguments),
    Restore(restore::Arguments),
    Gc(gc::Arguments),
    Check(check::Arguments),
    Deliver(deliver::Arguments),
    Import(import::Arguments),
    Export(export::Arguments),
    Backup(backup::Arguments),
    Stop(stop::Arguments),
    Reload(reload::Arguments),
    LogLevel(log_level::Arguments),
    Drain(drain::Arguments),
    Migrate(migrate::Arguments),
    Kick(kick::Arguments),
    Upgrade(upgrade::Arguments),
    Who(who::Arguments),
    Status(status::Arguments),
    Top(top::Arguments),
    Crashes(crashes::Arguments),
    Trace(trace::Arguments),
    #[command(subcommand)]
    Config(config_file::Verb),
    Completions(completions::CompletionsArguments),
    #[command(hide = true)]
    Manual(completions::ManualArguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments.verb, arguments.config.as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("lode: {failure}");
            failure.exit_code()
        }
    }
}

fn run(verb: Verb, config: Option<&Path>) -> failure::Result<()> {
    match verb {
        Verb::Demo(arguments) => demo::run(&arguments),
        Verb::Serve(arguments) => serve::run(&arguments, config),
        Verb::User(verb) => user::run(&verb, config),
        Verb::Mailbox(verb) => mailbox::run(&verb, config),
        Verb::Quota(verb) => quota::run(&verb, config),
        Verb::Acl(verb) => acl::run(&verb, config),
        Verb::Undelete(arguments) => history::undelete(&arguments, config),
        Verb::Restore(arguments) => restore::run(&arguments, config),
        Verb::Gc(arguments) => gc::run(&arguments, config),
        Verb::Check(arguments) => check::run(&arguments, config),
        Verb::Deliver(arguments) => deliver::run(&arguments, config),
        Verb::Import(arguments) => import::run(&arguments, config),
        Verb::Export(arguments) => export::run(&arguments, config),
        Verb::Backup(arguments) => backup::run(&arguments, config),
        Verb::Stop(arguments) => stop::run(&arguments, config),
        Verb::Reload(arguments) => reload::run(&arguments, config),
        Verb::LogLevel(arguments) => log_level::run(&arguments, config),
        Verb::Drain(arguments) => drain::run(&arguments, config),
        Verb::Migrate(arguments) => migrate::run(&arguments, config),
        Verb::Kick(arguments) => kick::run(&arguments, config),
        Verb::Upgrade(arguments) => upgrade::run(&arguments, config),
        Verb::Who(arguments) => who::run(&arguments, config),
        Verb::Status(arguments) => status::run(&arguments, config),
        Verb::Crashes(arguments) => crashes::run(&arguments, config),
        Verb::Top(arguments) => top::run(&arguments, config),
        Verb::Trace(arguments) => trace::run(&arguments, config),
        Verb::Config(verb) => config_file::run(&verb, config),
        Verb::Completions(arguments) => completions::completions::<Arguments>(&arguments),
        Verb::Manual(arguments) => completions::manual::<Arguments>(&arguments),
    }
}
