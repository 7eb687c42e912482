//! `lode quota`: how much mail users have, and how much they may have.

use std::path::Path;

use clap::{Args, Subcommand};
use config::Amount;
use serde_json::Value;
use store::quota::{Limit, Limits, Quota};

use crate::context::{Context, Mailboxes};
use crate::failure::{Failure, Result};
use crate::output::Table;

/// Show, set and unset how much mail users may have
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Show what users have and may have, all of them or one
    #[command(after_help = "Example:\n  lode quota show --user ann")]
    Show(ShowArguments),
    /// Set what a user may have, instead of what [quota] in the settings says for all
    #[command(after_help = "Examples:\n  lode quota set --user ann --octets 2G --messages 100000\n  \
                      lode quota set --user bob --octets unlimited\n\n\
                      What is there stays, however much it is. Running servers obey at once.")]
    Set(SetArguments),
    /// Go back to what [quota] in the settings says for all
    #[command(after_help = "Example:\n  lode quota unset --user ann")]
    Unset(UnsetArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ShowArguments {
    /// The user; all users without it
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SetArguments {
    /// The user
    #[arg(long, value_name = "NAME")]
    user: String,
    #[command(flatten)]
    wanted: Wanted,
    /// Print what holds then as JSON
    #[arg(long)]
    json: bool,
}

/// What is to be set, one of them at least.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct Wanted {
    /// All messages together: 500M, 2G …, or unlimited
    #[arg(long, value_name = "AMOUNT")]
    octets: Option<Amount>,
    /// Messages: a number, or unlimited
    #[arg(long, value_name = "AMOUNT")]
    messages: Option<Amount>,
    /// Mailboxes, INBOX among them: a number, or unlimited
    #[arg(long, value_name = "AMOUNT")]
    mailboxes: Option<Amount>,
    /// Annotations of all messages together, names and values: 500K, 2M …, or unlimited
    #[arg(long, value_name = "AMOUNT")]
    annotations: Option<Amount>,
}

#[derive(Debug, Args)]
pub(crate) struct UnsetArguments {
    /// The user
    #[arg(long, value_name = "NAME")]
    user: String,
    /// Print what holds then as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(verb: &Verb, config: Option<&Path>) -> Result<()> {
    let context = Context::load(config)?;
    match verb {
        Verb::Show(ShowArguments { user: None, json }) => show_all(&context, *json),
        Verb::Show(ShowArguments { user: Some(name), json }) => {
            let mailboxes = context.mailboxes_of(name)?;
            finish(mailboxes, *json)
        }
        Verb::Set(SetArguments { user, wanted, json }) => {
            let mailboxes = context.mailboxes_of(user)?;
            let mut limits = quota_of(&mailboxes)?.own;
            if let Some(octets) = wanted.octets {
                limits.octets = limit(octets);
            }
            if let Some(messages) = wanted.messages {
                limits.messages = limit(messages);
            }
            if let Some(mailboxes) = wanted.mailboxes {
                limits.mailboxes = limit(mailboxes);
            }
            if let Some(annotations) = wanted.annotations {
                limits.annotations = limit(annotations);
            }
            set(&mailboxes, limits)?;
            finish(mailboxes, *json)
        }
        Verb::Unset(UnsetArguments { user, json }) => {
            let mailboxes = context.mailboxes_of(user)?;
            set(&mailboxes, Limits::default())?;
            finish(mailboxes, *json)
        }
    }
}

/// An amount of the settings or the command line as the store takes it.
pub(crate) fn limit(amount: Amount) -> Limit {
    match amount {
        Amount::Unlimited => Limit::Unlimited,
        Amount::Most(most) => Limit::Most(most),
    }
}

fn set(mailboxes: &Mailboxes, limits: Limits) -> Result<()> {
    let failed = format!("cannot set the limits of {}", mailboxes.name);
    let mut change = mailboxes.store.begin();
    change.set_quota(mailboxes.user, limits);
    let committed = change.commit().map_err(Failure::because(&failed))?;
    mailboxes.store.wait(committed.ticket).map_err(Failure::because(failed))
}

fn quota_of(mailboxes: &Mailboxes) -> Result<Quota> {
    let failed = Failure::because(format!("cannot read the mail of {}", mailboxes.name));
    mailboxes.store.quota(mailboxes.user).map_err(failed)
}

/// Shows one user's quota, the last thing that is done.
fn finish(mailboxes: Mailboxes, json: bool) -> Result<()> {
    let mut table = table();
    let quota = quota_of(&mailboxes)?;
    let failed = Failure::because(format!("cannot read the annotations of {}", mailboxes.name));
    let annotations = mailboxes.store.annotation_octets(mailboxes.user).map_err(failed)?;
    row(&mut table, &mailboxes.name, (&quota, annotations));
    mailboxes.close()?;
    table.print(json, "")
}

fn show_all(context: &Context, json: bool) -> Result<()> {
    let mut table = table();
    if context.store_exists() {
        let store = context.open_store()?;
        for (user, name) in store.users().map_err(Failure::because("cannot read the users of the store"))? {
            let known = store.quota(user).and_then(|quota| Ok((quota, store.annotation_octets(user)?)));
            match known {
                Ok((quota, annotations)) => row(&mut table, &name, (&quota, annotations)),
                // Deleted since.
                Err(store::StoreError::NotFound(_)) => {}
                // One damaged mailbox must not keep all others from being shown.
                Err(error) => eprintln!("lode: cannot read the mail of {name}: {error}"),
            }
        }
        store.close().map_err(Failure::because("cannot close the store"))?;
    }
    table.print(json, "No user has mail yet.")
}

fn table() -> Table {
    Table::new(&[
        "user",
        "octets",
        "octets_limit",
        "messages",
        "messages_limit",
        "mailboxes",
        "mailboxes_limit",
        "annotations",
        "annotations_limit",
        "set",
    ])
}

fn row(table: &mut Table, name: &str, (quota, annotations): (&Quota, u64)) {
    let of = |limit: Limit| match limit {
        Limit::Most(most) => Value::from(most),
        Limit::Default | Limit::Unlimited => Value::Null,
    };
    let set = quota.own != Limits::default();
    table.row(vec![
        name.into(),
        quota.usage.octets.into(),
        of(quota.limits.octets),
        quota.usage.messages.into(),
        of(quota.limits.messages),
        quota.mailboxes.into(),
        of(quota.limits.mailboxes),
        annotations.into(),
        of(quota.limits.annotations),
        set.into(),
    ]);
}
