//! `lode user`: who may log in and get mail. A user is a line of the users file; mail comes into being when it arrives.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;

use clap::{Args, Subcommand};
use config::user_name;
use config::users::{edit, hash_password};
use serde_json::Value;
use store::Store;
use store::ids::{MailboxId, UserId};

use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::notify::Notifier;
use crate::output::{Table, print};
use crate::password;

/// Add, remove and list users, change passwords
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Add a user, who can log in and get mail at once
    #[command(
        after_help = "Examples:\n  lode user add ann\n  printf %s SECRET | lode user add ann --password-stdin"
    )]
    Add(PasswordArguments),
    /// Remove a user from the users file; the mail stays unless --purge says otherwise
    Del(DelArguments),
    /// List users with the size of their mail
    List(ListArguments),
    /// Change a user's password
    #[command(
        after_help = "Examples:\n  lode user passwd ann\n  printf %s SECRET | lode user passwd ann --password-stdin"
    )]
    Passwd(PasswordArguments),
}

#[derive(Debug, Args)]
pub(crate) struct PasswordArguments {
    /// The user's name, for example ann or ann@example.org
    name: String,
    /// Take the password from the first line of standard input instead of asking for it
    #[arg(long)]
    password_stdin: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DelArguments {
    /// The user's name
    name: String,
    /// Also delete all mailboxes and messages of the user; this cannot be undone
    #[arg(long)]
    purge: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(verb: &Verb, config: Option<&Path>) -> Result<()> {
    let context = Context::load(config)?;
    match verb {
        Verb::Add(arguments) => add(&context, arguments),
        Verb::Del(arguments) => delete(&context, arguments),
        Verb::List(arguments) => list(&context, arguments.json),
        Verb::Passwd(arguments) => passwd(&context, arguments),
    }
}

fn add(context: &Context, arguments: &PasswordArguments) -> Result<()> {
    let name = checked_name(&arguments.name)?;
    // Before a person types a password twice.
    if context.users()?.get(&name).is_some() {
        return Err(Failure::Failed(format!(
            "there is a user {name} already (`lode user passwd {name}` changes the password)"
        )));
    }
    let password = password::ask(&name, arguments.password_stdin)?;
    add_user(context, &name, &password)?;
    print(&format!("Added {name}.\n"))
}

/// Adds a user with a password to the users file.
pub(crate) fn add_user(context: &Context, name: &str, password: &str) -> Result<()> {
    let hash = hash_password(password.as_bytes()).map_err(Failure::because("cannot hash the password"))?;
    edit::add(&context.settings.auth.users, name, &hash)
        .map_err(Failure::because(format!("cannot add {name}")))
}

fn passwd(context: &Context, arguments: &PasswordArguments) -> Result<()> {
    let name = context.known_user(&arguments.name)?;
    let password = password::ask(&name, arguments.password_stdin)?;
    let hash = hash_password(password.as_bytes()).map_err(Failure::because("cannot hash the password"))?;
    edit::set_hash(&context.settings.auth.users, &name, &hash)
        .map_err(Failure::because(format!("cannot change the password of {name}")))?;
    print(&format!("Changed the password of {name}.\n"))
}

fn delete(context: &Context, arguments: &DelArguments) -> Result<()> {
    let name = checked_name(&arguments.name)?;
    let listed = context.users()?.get(&name).is_some();
    // Mail may be left of somebody who was removed earlier.
    if !listed && !arguments.purge {
        context.known_user(&name)?;
    }
    if !arguments.yes {
        let what = if arguments.purge { " and ALL MAIL of this user, for ever" } else { "; the mail stays" };
        confirm(&format!("Remove {name}{what}?"))?;
    }
    if listed {
        edit::remove(&context.settings.auth.users, &name)
            .map_err(Failure::because(format!("cannot remove {name}")))?;
    }
    let purged = if arguments.purge && context.store_exists() { purge(context, &name)? } else { None };
    match (listed, purged) {
        (_, Some(messages)) => print(&format!("Removed {name} and {messages} messages.\n")),
        (true, None) => print(&format!("Removed {name}.\n")),
        (false, None) => Err(Failure::Failed(format!("there is neither a user {name} nor mail of one"))),
    }
}

/// Deletes a user's mailboxes with all messages. How many messages there were; `None` when the store does not know the user.
fn purge(context: &Context, name: &str) -> Result<Option<u64>> {
    let store = context.open_store()?;
    let failed = || format!("cannot delete the mail of {name}");
    let Some(user) = store.find_user(name).map_err(Failure::because(failed()))? else { return Ok(None) };
    // Counted before; a damaged mailbox goes like the others.
    let messages = measure(&store, user).map_or(0, |usage| usage.messages);
    let mut change = store.begin();
    change.delete_user(user);
    let committed = change.commit().map_err(Failure::because(failed()))?;
    store.wait(committed.ticket).map_err(Failure::because(failed()))?;
    let notifier = Notifier::attach(&context.settings.runtime.dir);
    committed.touched.iter().for_each(|mailbox| notifier.changed(*mailbox));
    store.close().map_err(Failure::because("cannot close the store"))?;
    Ok(Some(messages))
}

fn confirm(question: &str) -> Result<()> {
    if !io::stdin().is_terminal() {
        return Err(Failure::Usage(
            "there is no terminal to ask on; --yes goes on without asking".to_owned(),
        ));
    }
    let unanswered = || Failure::because("cannot ask on the terminal");
    let mut terminal = io::stderr();
    write!(terminal, "{question} [y/N] ").and_then(|()| terminal.flush()).map_err(unanswered())?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(unanswered())?;
    if matches!(answer.trim(), "y" | "Y" | "yes" | "Yes") {
        Ok(())
    } else {
        Err(Failure::Failed("nothing was removed".to_owned()))
    }
}

fn list(context: &Context, json: bool) -> Result<()> {
    let users = context.users()?;
    for problem in users.problems() {
        eprintln!("lode: {}:{}: {}", users.path().display(), problem.line, problem.what);
    }
    let mut names: Vec<(String, bool)> = users.iter().map(|user| (user.name.to_owned(), true)).collect();
    let store = if context.store_exists() { Some(context.open_store()?) } else { None };
    if let Some(store) = &store {
        let known = store.users().map_err(Failure::because("cannot read the users of the store"))?;
        let left = known.into_iter().filter(|(_, name)| users.get(name).is_none());
        names.extend(left.map(|(_, name)| (name, false)));
    }
    names.sort();
    let mut table = Table::new(&["user", "login", "mailboxes", "messages", "octets"]);
    for (name, login) in names {
        let mut usage = Usage::default();
        if let Some(store) = &store {
            let failed = || Failure::because(format!("cannot read the mail of {name}"));
            if let Some(user) = store.find_user(&name).map_err(failed())? {
                usage = measure(store, user).map_err(failed())?;
            }
        }
        let numbers = [usage.mailboxes, usage.messages, usage.octets].map(Value::from);
        let mut row = vec![Value::from(name), login.into()];
        row.extend(numbers);
        // Somebody without login and without mail is nobody.
        if login || usage.messages > 0 {
            table.row(row);
        }
    }
    table.print(json, "There are no users yet; `lode user add NAME` makes one.")
}

/// What a user's mail comes to.
#[derive(Default)]
struct Usage {
    mailboxes: u64,
    messages: u64,
    octets: u64,
}

fn measure(store: &Store, user: UserId) -> store::error::Result<Usage> {
    let mut usage = Usage::default();
    for entry in store.mailbox_list(user)?.entries().iter().filter(|entry| !entry.placeholder) {
        let status = store.mailbox(MailboxId { user, number: entry.number })?.status()?;
        usage.mailboxes += 1;
        usage.messages += u64::from(status.exists);
        usage.octets += status.size;
    }
    Ok(usage)
}

fn checked_name(name: &str) -> Result<String> {
    user_name(name).map_err(|error| Failure::Usage(format!("\"{name}\" is no user name: {error}")))
}
