//! What was: `lode undelete`, `lode mailbox at`, and `lode restore --at`.

use std::path::Path;

use clap::Args;
use serde_json::{Value, json};
use store::change::SystemFlags;
use store::history::{BackAgain, DeletedMailbox, HistoryError, PastMailbox, Which};
use store::ids::{MailboxId, Uid};

use crate::context::{Context, Mailboxes};
use crate::failure::{Failure, Result};
use crate::mailbox;
use crate::mailfiles::dates::format_rfc5322;
use crate::moment::{FORMS, Moment};
use crate::notify::Notifier;
use crate::output::{Table, print};

/// UIDs that a sentence names; of more it says how many.
const UIDS_NAMED: usize = 20;

/// Bring expunged messages and deleted mailboxes back
#[derive(Debug, Args)]
#[command(after_help = format!(
    "What was expunged can come back until its space is given back, which [store] history_days in the settings delays. It comes as new messages, with \
     the flags it had but \\Deleted. With --all and --since, what is in another mailbox of the user now is left there.\n\n{FORMS}\n\nExamples:\n  \
     lode undelete --user ann --mailbox INBOX --since \"2h ago\"\n  lode undelete --user ann --mailbox INBOX --uid 17,20-25\n  \
     lode undelete --user ann --deleted\n  lode undelete --user ann --deleted --mailbox Work --into \"Work again\""
))]
pub(crate) struct UndeleteArguments {
    /// The user
    #[arg(long, value_name = "NAME")]
    user: String,
    /// The mailbox that the messages were in
    #[arg(long, value_name = "NAME", required_unless_present = "deleted")]
    mailbox: Option<String>,
    #[command(flatten)]
    what: What,
    /// Put them into this mailbox, made if it is not there [default: where they were]
    #[arg(long, value_name = "NAME")]
    into: Option<String>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// What is to come back.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct What {
    /// All messages that were expunged and are in no mailbox of the user
    #[arg(long)]
    all: bool,
    /// Those of them that were expunged at that time or later
    #[arg(long, value_name = "TIME")]
    since: Option<Moment>,
    /// The messages that had these UIDs
    #[arg(long, value_name = "UIDS", value_parser = parse_uids)]
    uid: Option<Uids>,
    /// A mailbox that was deleted; without --mailbox, list those there are
    #[arg(long)]
    deleted: bool,
}

/// `17,20-25`
#[derive(Clone, Debug, PartialEq, Eq)]
struct Uids(Vec<Uid>);

/// Show a mailbox as it was at some time
#[derive(Debug, Args)]
#[command(after_help = format!("{FORMS} All changes of that second are shown.\n\nExample:\n  \
                                lode mailbox at 2026-11-20T14:05 --user ann --mailbox INBOX"))]
pub(crate) struct AtArguments {
    /// When
    #[arg(value_name = "TIME")]
    time: Moment,
    /// The user
    #[arg(long, value_name = "NAME")]
    user: String,
    /// The name that the mailbox had then
    #[arg(long, value_name = "NAME")]
    mailbox: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What is to be restored as it was.
pub(crate) struct RestoreAt<'a> {
    pub(crate) time: Moment,
    pub(crate) user: &'a str,
    /// The name that the mailbox had then.
    pub(crate) mailbox: &'a str,
    /// The name it gets.
    pub(crate) into: Option<&'a str>,
    pub(crate) json: bool,
}

/// `lode undelete`
pub(crate) fn undelete(arguments: &UndeleteArguments, config: Option<&Path>) -> Result<()> {
    let context = Context::load(config)?;
    let mailboxes = context.mailboxes_of(&arguments.user)?;
    let name = match &arguments.mailbox {
        Some(name) => name,
        None => {
            let table = list_deleted(&mailboxes)?;
            mailboxes.close()?;
            return table.print(arguments.json, "There is no deleted mailbox that still holds its messages.");
        }
    };
    let into = arguments.into.as_deref().unwrap_or(name);
    let (from, which) = match &arguments.what {
        What { deleted: true, .. } => {
            let from = find_deleted(&mailboxes, name)?;
            if arguments.into.is_none() && mailboxes.list()?.find(into).is_some() {
                return Err(Failure::Failed(format!(
                    "there is a mailbox {into} again; --into NAME brings the old one back under another name"
                )));
            }
            (from, Which::All)
        }
        What { since: Some(since), .. } => (mailboxes.find(name)?.id(), Which::Since(since.0)),
        What { uid: Some(uids), .. } => (mailboxes.find(name)?.id(), Which::Uids(uids.0.clone())),
        _ => (mailboxes.find(name)?.id(), Which::All),
    };
    let to = find_or_make(&mailboxes, into)?;
    let again = mailboxes
        .store
        .undelete(from, &which, to)
        .map_err(Failure::because(format!("cannot bring messages back into {into}")))?;
    finish(&context, mailboxes, &again, Target { id: to, name: into }, arguments.json)
}

/// `lode mailbox at`
pub(crate) fn show_at(context: &Context, arguments: &AtArguments) -> Result<()> {
    let mailboxes = context.mailboxes_of(&arguments.user)?;
    let past = find_past(&mailboxes, &arguments.mailbox, arguments.time)?;
    let mut table = Table::new(&["uid", "flags", "date", "octets", "subject"]);
    for message in &past.messages {
        let flags = flag_names(message.flags).map(str::to_owned).chain(message.keywords.iter().cloned());
        let subject = mailboxes.store.subject(message.message);
        let subject = subject.map_err(Failure::because(format!("cannot read UID {}", message.uid)))?;
        table.row(vec![
            message.uid.get().into(),
            flags.collect::<Vec<_>>().join(" ").into(),
            format_rfc5322(message.internal_date).into(),
            message.size.into(),
            subject.map_or(Value::Null, Value::from),
        ]);
    }
    mailboxes.close()?;
    if !past.unknown.is_empty() {
        eprintln!(
            "lode: {} more, of which nothing is known any more: UID {}",
            past.unknown.len(),
            named(&past.unknown)
        );
    }
    table.print(arguments.json, &format!("{} was empty at {}.", past.name, arguments.time.shown()))
}

/// `lode restore --at`
pub(crate) fn restore_at(wanted: &RestoreAt<'_>, config: Option<&Path>) -> Result<()> {
    let context = Context::load(config)?;
    let mailboxes = context.mailboxes_of(wanted.user)?;
    let past = find_past(&mailboxes, wanted.mailbox, wanted.time)?;
    let into = match wanted.into {
        Some(name) => name.to_owned(),
        None => format!("{} as of {}", past.name, wanted.time.in_a_name()),
    };
    if mailboxes.list()?.find(&into).is_some() {
        return Err(Failure::Failed(format!(
            "there is a mailbox {into} already; --into NAME restores under another name"
        )));
    }
    let to = find_or_make(&mailboxes, &into)?;
    let again = mailboxes
        .store
        .restore_past(&past, to)
        .map_err(Failure::because(format!("cannot restore into {into}")))?;
    finish(&context, mailboxes, &again, Target { id: to, name: &into }, wanted.json)
}

/// Where messages came to.
struct Target<'a> {
    id: MailboxId,
    name: &'a str,
}

fn finish(
    context: &Context,
    mailboxes: Mailboxes,
    again: &BackAgain,
    target: Target<'_>,
    json: bool,
) -> Result<()> {
    mailboxes.store.wait(again.ticket).map_err(Failure::because("cannot make it durable"))?;
    if !again.back.is_empty() {
        Notifier::attach(&context.settings.runtime.dir).changed(target.id);
    }
    mailboxes.close()?;
    print(&if json { as_json(again, target.name) } else { as_text(again, target.name) })
}

fn as_json(again: &BackAgain, into: &str) -> String {
    let uids = |uids: &[Uid]| Value::from(uids.iter().map(|uid| uid.get()).collect::<Vec<u32>>());
    let back: Vec<Value> =
        again.back.iter().map(|(old, new)| json!({"uid": old.get(), "new_uid": new.get()})).collect();
    let all = json!({
        "mailbox": into,
        "back": back,
        "gone": uids(&again.gone),
        "damaged": uids(&again.damaged),
        "there": uids(&again.there),
        "elsewhere": uids(&again.elsewhere),
    });
    format!("{all:#}\n")
}

fn as_text(again: &BackAgain, into: &str) -> String {
    let mut text = match again.back.len() {
        0 => "Nothing was brought back.\n".to_owned(),
        1 => format!("Brought 1 message back into {into}.\n"),
        count => format!("Brought {count} messages back into {into}.\n"),
    };
    for (uids, what) in [
        (&again.gone, "gone for good"),
        (&again.damaged, "damaged, and not brought back (`lode check` says where)"),
        (&again.there, "there already"),
        (
            &again.elsewhere,
            "in another mailbox of the user, and left there (--uid brings them back all the same)",
        ),
    ] {
        if !uids.is_empty() {
            let is = if uids.len() == 1 { "is" } else { "are" };
            text += &format!("UID {} {is} {what}.\n", named(uids));
        }
    }
    text
}

/// Some UIDs, and how many more.
fn named(uids: &[Uid]) -> String {
    let some: Vec<String> = uids.iter().take(UIDS_NAMED).map(ToString::to_string).collect();
    let more = uids.len() - some.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    some.join(", ") + &more
}

fn find_past(mailboxes: &Mailboxes, name: &str, time: Moment) -> Result<PastMailbox> {
    let past = mailboxes.store.mailbox_at(mailboxes.user, name, time.0);
    past.map_err(|error| {
        let hint = match &error {
            HistoryError::Forgotten { before } => {
                format!("; they begin with {}", Moment(*before).shown())
            }
            _ => String::new(),
        };
        Failure::Failed(format!("{name} of {} at {}: {error}{hint}", mailboxes.name, time.shown()))
    })
}

fn deleted(mailboxes: &Mailboxes) -> Result<Vec<DeletedMailbox>> {
    let failed = Failure::because(format!("cannot list the deleted mailboxes of {}", mailboxes.name));
    mailboxes.store.deleted_mailboxes(mailboxes.user).map_err(failed)
}

fn list_deleted(mailboxes: &Mailboxes) -> Result<Table> {
    let mut table = Table::new(&["mailbox", "deleted", "messages", "octets", "number"]);
    for deleted in deleted(mailboxes)? {
        table.row(vec![
            deleted.name.map_or(Value::Null, Value::from),
            Moment(deleted.deleted_at).shown().into(),
            deleted.messages.into(),
            deleted.octets.into(),
            deleted.mailbox.number.into(),
        ]);
    }
    Ok(table)
}

/// By name, the one deleted last; or by the number that the list shows.
fn find_deleted(mailboxes: &Mailboxes, name: &str) -> Result<MailboxId> {
    let deleted = deleted(mailboxes)?;
    let by_name = deleted.iter().find(|deleted| deleted.name.as_deref() == Some(name));
    let by_number = || deleted.iter().find(|deleted| name.parse() == Ok(deleted.mailbox.number));
    by_name.or_else(by_number).map(|deleted| deleted.mailbox).ok_or_else(|| {
        Failure::Failed(format!(
            "{} has no deleted mailbox {name} that still holds its messages (`lode undelete --user {} --deleted` lists those \
             there are)",
            mailboxes.name, mailboxes.name
        ))
    })
}

/// The mailbox `name`, made if there is none.
fn find_or_make(mailboxes: &Mailboxes, name: &str) -> Result<MailboxId> {
    if mailboxes.list()?.find(name).is_none() {
        mailbox::create(mailboxes, name)?;
    }
    Ok(mailboxes.find(name)?.id())
}

fn flag_names(flags: SystemFlags) -> impl Iterator<Item = &'static str> {
    let all = [
        (SystemFlags::ANSWERED, "\\Answered"),
        (SystemFlags::FLAGGED, "\\Flagged"),
        (SystemFlags::DELETED, "\\Deleted"),
        (SystemFlags::SEEN, "\\Seen"),
        (SystemFlags::DRAFT, "\\Draft"),
    ];
    all.into_iter().filter(move |(flag, _)| flags.contains(*flag)).map(|(_, name)| name)
}

/// UIDs and ranges of them, with commas between.
fn parse_uids(text: &str) -> std::result::Result<Uids, String> {
    /// A range that is longer is somebody's mistake.
    const MOST: usize = 1 << 20;
    let wrong = || format!("`{text}` is no list of UIDs: write 17 or 17,20-25");
    let mut uids = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let uid = |text: &str| text.trim().parse::<u32>().ok().filter(|uid| *uid > 0).ok_or_else(wrong);
        let (first, last) = (uid(first)?, uid(last)?);
        if first > last || uids.len() + (last - first) as usize >= MOST {
            return Err(wrong());
        }
        uids.extend((first..=last).filter_map(Uid::new));
    }
    Ok(Uids(uids))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid(uid: u32) -> Uid {
        Uid::new(uid).expect("not 0")
    }

    #[test]
    fn lists_of_uids_are_read() {
        assert_eq!(parse_uids("17,20-22"), Ok(Uids([17, 20, 21, 22].map(uid).to_vec())));
        for text in ["", "0", "3-1", "1-4294967295", "a", "1,,2", "1-"] {
            assert!(parse_uids(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_became_of_each_is_told() {
        let again = BackAgain {
            back: vec![(uid(1), uid(9))],
            gone: (2..30).map(uid).collect(),
            there: vec![uid(40)],
            ..BackAgain::default()
        };
        let text = as_text(&again, "INBOX");
        assert!(text.starts_with("Brought 1 message back into INBOX.\nUID 2, 3, "), "{text}");
        assert!(text.contains("21 and 8 more are gone for good.\nUID 40 is there already.\n"), "{text}");
        assert!(as_json(&again, "INBOX").contains("\"new_uid\": 9"));
    }
}
