//! `lode import`: mail files into a user's mailboxes. What is imported is described for users in `IMPORT.md`.

pub(crate) mod into_mailbox;
pub(crate) mod known;
mod lode;
pub(crate) mod progress;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use store::ids::MailboxId;

use crate::context::{Context, Mailboxes};
use crate::failure::{Failure, Result};
use crate::mailbox;
use crate::mailfiles::folders::{MailFolder, find};
use crate::mailfiles::recognise::recognise;
use crate::notify::Notifier;
use crate::output::Table;

use into_mailbox::{Fate, IntoMailbox, ItemError};
use progress::Progress;

/// Failed messages that are named one by one; the others are counted.
const NAMED_MAX: u64 = 20;

/// Import mbox, Maildir, MH or .eml files
#[derive(Debug, Args)]
#[command(
    after_help = "What a path holds is recognised: an mbox in any dialect (also .gz and .zst), a Maildir with its \
                        subfolders, an MH folder, an .eml file, a folder of these, or what `lode export --format lode` wrote. \
                        Flags, keywords and dates are kept, and of the last all UIDs and mailboxes, too, if the user is new. \
                        Run it again after an interruption: what is there already is not imported twice.\n\n\
                        Examples:\n  lode import --user ann --mailbox Old old.mbox\n  lode import --user ann ~/Maildir\n  \
                        lode import --user ann --mailbox Archive/2019 2019.mbox.zst more/"
)]
pub(crate) struct Arguments {
    /// The user who gets the mail [default for --format lode: the one whose mail it was]
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// The mailbox to import into; folders become mailboxes below it. It is created when it is missing.
    /// Without it, messages go to INBOX and folders to mailboxes of their own names
    #[arg(long, value_name = "NAME")]
    mailbox: Option<String>,
    /// What PATH is, if that is not to be found out: lode is what `lode export --format lode` writes; then PATH may be - for
    /// standard input
    #[arg(long, value_enum)]
    format: Option<ImportFormat>,
    /// With --format lode: go on behind damage
    #[arg(long)]
    keep_going: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    /// Files and folders to import
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

/// Formats that can be named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ImportFormat {
    Lode,
}

/// What became of the messages of one mailbox.
#[derive(Debug, Default)]
struct Sums {
    imported: u64,
    already_there: u64,
    failed: u64,
}

pub(crate) fn run(arguments: &Arguments, config: Option<&Path>) -> Result<()> {
    if arguments.format == Some(ImportFormat::Lode)
        || arguments.paths.iter().any(|path| lode::is_export(path))
    {
        return import_exports(arguments, config);
    }
    let context = Context::load(config)?;
    let user = arguments.user.as_deref();
    let user = user.ok_or_else(|| Failure::Usage("--user says who gets the mail".to_owned()))?;
    let mailboxes = context.mailboxes_of(user)?;
    let mut table = Table::new(&["mailbox", "imported", "already_there", "failed", "from"]);
    let outcome = import_paths(&context, &mailboxes, arguments, &mut table);
    // What was done is worth knowing also when something failed.
    table.print(arguments.json, "No mailboxes were found.")?;
    let failed = outcome?;
    mailboxes.close()?;
    if failed > 0 {
        let messages = if failed == 1 { "1 message was" } else { &format!("{failed} messages were") };
        return Err(Failure::Failed(format!(
            "{messages} not imported, for the reasons above; when they are mended, run the same import again"
        )));
    }
    Ok(())
}

/// Imports files that Lode exported in its own format.
fn import_exports(arguments: &Arguments, config: Option<&Path>) -> Result<()> {
    for path in &arguments.paths {
        lode::run(
            &lode::Wanted {
                path,
                user: arguments.user.as_deref(),
                below: arguments.mailbox.as_deref(),
                keep_going: arguments.keep_going,
                json: arguments.json,
            },
            config,
        )?;
    }
    Ok(())
}

/// Imports everything; how many messages failed.
fn import_paths(
    context: &Context,
    mailboxes: &Mailboxes,
    arguments: &Arguments,
    table: &mut Table,
) -> Result<u64> {
    let mut folders = Vec::new();
    // All are looked at before anything is imported: a mistyped path should not be found after an hour.
    for path in &arguments.paths {
        let explain = |error| Failure::Failed(explain_unreadable(context, &error));
        let format = recognise(path).map_err(explain)?;
        let found = find(path, format).map_err(explain)?;
        match found.left_out.as_slice() {
            [] => {}
            [one] => eprintln!("lode: left out {}, which holds no mail", one.display()),
            [first, others @ ..] => eprintln!(
                "lode: left out {} and {} more files in {}, which hold no mail",
                first.display(),
                others.len(),
                path.display()
            ),
        }
        folders.extend(found.folders);
    }
    let notifier = Notifier::attach(&context.settings.runtime.dir);
    let progress = Progress::new(0);
    let mut failed = 0;
    for folder in &folders {
        let name = target_name(arguments.mailbox.as_deref(), &folder.names);
        let mut sums = Sums::default();
        let outcome = import_folder(context, mailboxes, folder, &name, &notifier, &progress, &mut sums);
        failed += sums.failed;
        let from = folder.path.display().to_string();
        table.row(vec![
            name.into(),
            sums.imported.into(),
            sums.already_there.into(),
            sums.failed.into(),
            from.into(),
        ]);
        outcome?;
    }
    progress.finish();
    Ok(failed)
}

fn import_folder(
    context: &Context,
    mailboxes: &Mailboxes,
    folder: &MailFolder,
    name: &str,
    notifier: &Notifier,
    progress: &Progress,
    sums: &mut Sums,
) -> Result<()> {
    let unreadable = || Failure::because(format!("cannot read {}", folder.path.display()));
    let items = folder.items().map_err(unreadable())?;
    let stopped = || format!("the import into {name} stopped");
    let id = find_or_create(mailboxes, name)?;
    let mailbox = mailboxes.open(id, name)?;
    let limit = context.settings.limits.message_bytes;
    let mut target =
        IntoMailbox::new(&mailboxes.store, mailbox, notifier, limit).map_err(Failure::because(stopped()))?;
    progress.begin(name, items.octets);
    for item in items.messages {
        let item = item.map_err(unreadable())?;
        match target.take(&item) {
            Ok(Fate::Imported) => sums.imported += 1,
            Ok(Fate::Known) => sums.already_there += 1,
            Err(ItemError::Skip(why)) => {
                sums.failed += 1;
                if sums.failed <= NAMED_MAX {
                    progress.note(&format!("{}: {why}", item.place));
                }
            }
            Err(ItemError::Stop(why)) => {
                return Err(Failure::Failed(format!(
                    "the import into {name} stopped at {}: {why}",
                    item.place
                )));
            }
        }
        progress.advance(item.input_octets);
    }
    target.wait().map_err(Failure::because(stopped()))
}

/// The mailbox for a folder whose name has these parts.
fn target_name(base: Option<&str>, names: &[String]) -> String {
    // A slash within a part would make two of it, and a mailbox's name has neither control characters nor empty parts.
    let parts = names.iter().map(|part| {
        match part.replace(|letter: char| letter == '/' || letter.is_control(), "_") {
            part if part.is_empty() => "_".to_owned(),
            part => part,
        }
    });
    let parts: Vec<String> = base.map(str::to_owned).into_iter().chain(parts).collect();
    if parts.is_empty() { "INBOX".to_owned() } else { parts.join("/") }
}

fn find_or_create(mailboxes: &Mailboxes, name: &str) -> Result<MailboxId> {
    let list = mailboxes.list()?;
    if list.find(name).is_none_or(|entry| entry.placeholder) {
        mailbox::create(mailboxes, name)?;
    }
    Ok(mailboxes.find(name)?.id())
}

/// With a hint when root gave up the right to read the files.
fn explain_unreadable(context: &Context, error: &crate::mailfiles::recognise::RecogniseError) -> String {
    use crate::mailfiles::recognise::RecogniseError;
    match error {
        RecogniseError::Unreadable(_, cause) if cause.kind() == std::io::ErrorKind::PermissionDenied => {
            let user = &context.settings.run.user;
            let who = if user.is_empty() {
                "you".to_owned()
            } else {
                format!("the user {user}, as whom Lode runs,")
            };
            format!("{error} ({who} must be able to read it)")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_get_the_names_of_mailboxes() {
        let names = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>();
        assert_eq!(target_name(None, &[]), "INBOX");
        assert_eq!(target_name(None, &names(&["Lists", "Rust"])), "Lists/Rust");
        assert_eq!(target_name(Some("Old"), &[]), "Old");
        assert_eq!(target_name(Some("Old/2019"), &names(&["a/b"])), "Old/2019/a_b");
        assert_eq!(target_name(None, &names(&["", "a\nb"])), "_/a_b");
    }
}
