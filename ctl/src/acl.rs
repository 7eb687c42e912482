//! `lode acl`: who may do what with a user's mailboxes (RFC 4314).

use std::path::Path;

use clap::{Args, Subcommand};
use serde_json::Value;
use store::rights::{ANYONE, RightsChange, subject};
use store::{MailboxId, Rights};

use crate::context::{Context, Mailboxes};
use crate::failure::{Failure, Result};
use crate::output::Table;

/// List, set and delete what others may do with a user's mailboxes
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List who may do what, with all mailboxes of a user or with one
    #[command(after_help = "Example:\n  lode acl list --user ann --mailbox Work")]
    List(ListArguments),
    /// Set what somebody may do with a mailbox
    #[command(after_help = "Examples:\n  lode acl set --user ann --mailbox Work bob lrs\n  \
                      lode acl set --user ann --mailbox Work bob +te\n  \
                      lode acl set --user ann --mailbox Work anyone l\n\n\
                      Rights: l see it in lists, r read, s keep own seen marks, w other flags, i put messages in,\n\
                      p send mail to it, k make mailboxes below, x delete and rename it, t mark deleted, e expunge,\n\
                      a change these rights, n annotate. With + they are added, with - taken away. -bob takes rights\n\
                      away from bob that bob has as anyone. Running servers obey at once.")]
    Set(SetArguments),
    /// Delete what is said of somebody
    #[command(after_help = "Example:\n  lode acl delete --user ann --mailbox Work bob")]
    Delete(DeleteArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    /// The user whose mailboxes they are
    #[arg(long, value_name = "NAME")]
    user: String,
    /// The mailbox; all mailboxes without it
    #[arg(long, value_name = "MAILBOX")]
    mailbox: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SetArguments {
    /// The user whose mailbox it is
    #[arg(long, value_name = "NAME")]
    user: String,
    /// The mailbox
    #[arg(long, value_name = "MAILBOX")]
    mailbox: String,
    /// Who: a user, anyone, or either with - before it
    #[arg(allow_hyphen_values = true)]
    who: String,
    /// The rights, perhaps with + or - before them
    #[arg(allow_hyphen_values = true)]
    rights: String,
    /// Print what holds then as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArguments {
    /// The user whose mailbox it is
    #[arg(long, value_name = "NAME")]
    user: String,
    /// The mailbox
    #[arg(long, value_name = "MAILBOX")]
    mailbox: String,
    /// Who: a user, anyone, or either with - before it
    #[arg(allow_hyphen_values = true)]
    who: String,
    /// Print what holds then as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(verb: &Verb, config: Option<&Path>) -> Result<()> {
    let context = Context::load(config)?;
    match verb {
        Verb::List(ListArguments { user, mailbox, json }) => {
            finish(context.mailboxes_of(user)?, mailbox.as_deref(), *json)
        }
        Verb::Set(SetArguments { user, mailbox, who, rights, json }) => {
            let change = change_of(rights)?;
            let who = identifier(&context, who, true)?;
            let mailboxes = context.mailboxes_of(user)?;
            set(&mailboxes, mailbox, &who, change)?;
            finish(mailboxes, Some(mailbox), *json)
        }
        Verb::Delete(DeleteArguments { user, mailbox, who, json }) => {
            let who = identifier(&context, who, false)?;
            let mailboxes = context.mailboxes_of(user)?;
            set(&mailboxes, mailbox, &who, RightsChange::Forget)?;
            finish(mailboxes, Some(mailbox), *json)
        }
    }
}

fn change_of(rights: &str) -> Result<RightsChange> {
    let (make, letters): (fn(Rights) -> RightsChange, &str) = match rights.split_at_checked(1) {
        Some(("+", letters)) => (RightsChange::Add, letters),
        Some(("-", letters)) => (RightsChange::Remove, letters),
        _ => (RightsChange::Set, rights),
    };
    let known = Rights::from_letters(letters);
    let unknown =
        || Failure::Usage(format!("\"{letters}\" are not all rights: those are {}", Rights::ALL.letters()));
    known.map(make).ok_or_else(unknown)
}

/// Whom it is about, as it is kept. `is_known`: only somebody whom the users file knows.
fn identifier(context: &Context, who: &str, is_known: bool) -> Result<String> {
    let whose = subject(who);
    let name = if whose.eq_ignore_ascii_case(ANYONE) {
        ANYONE.to_owned()
    } else if is_known {
        context.known_user(whose)?
    } else {
        config::users::user_name(whose)
            .map_err(|error| Failure::Usage(format!("\"{whose}\" is no user name: {error}")))?
    };
    Ok(if whose == who { name } else { format!("-{name}") })
}

fn set(mailboxes: &Mailboxes, name: &str, who: &str, change: RightsChange) -> Result<()> {
    let tried = format!("cannot change what {who} may do with {name} of {}", mailboxes.name);
    let store = &mailboxes.store;
    let mailbox = MailboxId { user: mailboxes.user, number: number_of(mailboxes, name)? };
    if matches!(change, RightsChange::Set(_) | RightsChange::Add(_)) {
        store.ensure_user(subject(who)).map_err(Failure::because(&tried))?;
    }
    let mut txn = store.begin();
    txn.set_rights(mailbox, who, change);
    let committed = txn.commit().map_err(Failure::because(&tried))?;
    mailboxes.finish(&committed).map_err(Failure::because(tried))
}

fn number_of(mailboxes: &Mailboxes, name: &str) -> Result<u32> {
    let user = &mailboxes.name;
    let list = mailboxes.list()?;
    let missing = || {
        Failure::Failed(format!("{user} has no mailbox {name} (`lode mailbox list --user {user}` shows all)"))
    };
    list.find(name).map(|entry| entry.number).ok_or_else(missing)
}

/// Shows who may do what, the last thing that is done.
fn finish(mailboxes: Mailboxes, mailbox: Option<&str>, json: bool) -> Result<()> {
    let wanted = mailbox.map(|name| number_of(&mailboxes, name)).transpose()?;
    let mut table = Table::new(&["mailbox", "identifier", "rights"]);
    for entry in mailboxes.list()?.entries() {
        if wanted.is_some_and(|number| number != entry.number) {
            continue;
        }
        for said in mailboxes.list()?.acl(entry.number) {
            let names = [entry.name.as_str(), said.identifier.as_str()].map(Value::from);
            let [mailbox, identifier] = names;
            table.row(vec![mailbox, identifier, said.rights.letters().into()]);
        }
    }
    mailboxes.close()?;
    table.print(json, "Nobody but the owner has rights.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_set_added_and_taken_away() {
        let rights = |letters| Rights::from_letters(letters).unwrap_or_default();
        assert!(matches!(change_of("lrs"), Ok(RightsChange::Set(set)) if set == rights("lrs")));
        assert!(matches!(change_of("+te"), Ok(RightsChange::Add(set)) if set == rights("te")));
        assert!(matches!(change_of("-d"), Ok(RightsChange::Remove(set)) if set == rights("te")));
        assert!(matches!(change_of(""), Ok(RightsChange::Set(set)) if set == Rights::NONE));
        for wrong in ["q", "l r", "L", "++l", "é"] {
            assert!(matches!(change_of(wrong), Err(Failure::Usage(_))), "{wrong}");
        }
    }
}
