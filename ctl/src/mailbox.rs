//! `lode mailbox`: the mailboxes of a user.

use std::path::Path;

use clap::{Args, Subcommand};
use serde_json::Value;
use store::Txn;
use store::change::SpecialUse;
use store::ids::MailboxId;

use crate::context::{Context, Mailboxes};
use crate::failure::{Failure, Result};
use crate::history;
use crate::output::{Table, print};

/// List, create, delete and rename a user's mailboxes
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List a user's mailboxes with the number of messages
    List(ListArguments),
    /// Create a mailbox and subscribe to it
    #[command(after_help = "Example:\n  lode mailbox create --user ann Lists/rust")]
    Create(NameArguments),
    /// Delete a mailbox with all its messages; mailboxes below it stay
    Delete(NameArguments),
    /// Rename a mailbox together with those below it
    #[command(after_help = "Example:\n  lode mailbox rename --user ann Work Archive/Work")]
    Rename(RenameArguments),
    At(history::AtArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    /// The user
    #[arg(long, value_name = "NAME")]
    user: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct NameArguments {
    /// The user
    #[arg(long, value_name = "NAME")]
    user: String,
    /// The mailbox, with / between the parts of its name
    mailbox: String,
}

#[derive(Debug, Args)]
pub(crate) struct RenameArguments {
    /// The user
    #[arg(long, value_name = "NAME")]
    user: String,
    /// The name it has
    from: String,
    /// The name it gets
    to: String,
}

pub(crate) fn run(verb: &Verb, config: Option<&Path>) -> Result<()> {
    let context = Context::load(config)?;
    match verb {
        Verb::At(arguments) => history::show_at(&context, arguments),
        Verb::List(arguments) => {
            let mailboxes = context.mailboxes_of(&arguments.user)?;
            list(&mailboxes)?.print(arguments.json, "There are no mailboxes.")?;
            mailboxes.close()
        }
        Verb::Create(NameArguments { user, mailbox }) => {
            let mailboxes = context.mailboxes_of(user)?;
            create(&mailboxes, mailbox)?;
            mailboxes.close()?;
            print(&format!("Created {mailbox}.\n"))
        }
        Verb::Delete(NameArguments { user, mailbox }) => {
            let mailboxes = context.mailboxes_of(user)?;
            let id = mailboxes.user;
            change(&mailboxes, &format!("cannot delete {mailbox}"), |change| {
                change.delete_mailbox(id, mailbox)
            })?;
            mailboxes.close()?;
            print(&format!("Deleted {mailbox}.\n"))
        }
        Verb::Rename(RenameArguments { user, from, to }) => {
            let mailboxes = context.mailboxes_of(user)?;
            let id = mailboxes.user;
            change(&mailboxes, &format!("cannot rename {from} to {to}"), |change| {
                change.rename_mailbox(id, from, to);
            })?;
            mailboxes.close()?;
            print(&format!("Renamed {from} to {to}.\n"))
        }
    }
}

/// Makes a mailbox, subscribed, so that mail programs show it.
pub(crate) fn create(mailboxes: &Mailboxes, name: &str) -> Result<()> {
    let tried = format!("cannot create {name}");
    change(mailboxes, &tried, |change| change.create_mailbox(mailboxes.user, name, None))?;
    change(mailboxes, &tried, |change| change.subscribe(mailboxes.user, name, true))
}

/// One change, durable when this returns.
fn change(mailboxes: &Mailboxes, tried: &str, ask: impl FnOnce(&mut Txn<'_>)) -> Result<()> {
    let mut change = mailboxes.store.begin();
    ask(&mut change);
    let committed = change.commit().map_err(Failure::because(tried))?;
    mailboxes.finish(&committed).map_err(Failure::because(tried))
}

fn list(mailboxes: &Mailboxes) -> Result<Table> {
    let list = mailboxes.list()?;
    let mut table =
        Table::new(&["mailbox", "messages", "unseen", "octets", "subscribed", "special_use", "uid_validity"]);
    for entry in list.entries() {
        let mut row = vec![Value::from(entry.name.as_str())];
        if entry.placeholder {
            row.extend([Value::Null, Value::Null, Value::Null]);
        } else {
            let id = MailboxId { user: mailboxes.user, number: entry.number };
            let status = mailboxes
                .open(id, &entry.name)?
                .status()
                .map_err(Failure::because(format!("cannot read the mailbox {}", entry.name)))?;
            row.extend([Value::from(status.exists), status.unseen.into(), status.size.into()]);
        }
        row.push(list.is_subscribed(&entry.name).into());
        row.push(entry.special_use.map_or(Value::Null, |what| special_use_name(what).into()));
        row.push(entry.uid_validity.into());
        table.row(row);
    }
    Ok(table)
}

/// The attribute of RFC 6154, 2 (and of RFC 8457 for the last).
fn special_use_name(special_use: SpecialUse) -> &'static str {
    match special_use {
        SpecialUse::All => "\\All",
        SpecialUse::Archive => "\\Archive",
        SpecialUse::Drafts => "\\Drafts",
        SpecialUse::Flagged => "\\Flagged",
        SpecialUse::Junk => "\\Junk",
        SpecialUse::Sent => "\\Sent",
        SpecialUse::Trash => "\\Trash",
        SpecialUse::Important => "\\Important",
    }
}
