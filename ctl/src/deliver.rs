//! `lode deliver`: one message from standard input into a mailbox. Mail servers use it as a pipe, so what may pass is exit code 75.

use std::io::{self, Read};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use store::change::{SystemFlags, ZonedTime};
use store::error::{ChangeError, StoreError};
use store::txn::{Delivery, Outcome, Refused};

use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::mailfiles::{Normalised, Quoting, is_from_line};
use crate::notify::Notifier;

const CHUNK: usize = 64 * 1_024;

/// Deliver one message from standard input
#[derive(Debug, Args)]
#[command(
    after_help = "Line ends become CRLF, and a From_ line in front (as pipes of mail servers add it) is left out.\n\
                        Exit codes: 0 delivered and safe on disk, 75 try again later, 1 will never work, 2 used wrongly.\n\n\
                        Examples:\n  lode deliver --user ann < message.eml\n  \
                        In Postfix' master.cf:\n    \
                        lode unix - n n - - pipe flags=R user=lode argv=/usr/bin/lode deliver --user ${user}"
)]
pub(crate) struct Arguments {
    /// The user who gets it
    #[arg(long, value_name = "NAME")]
    user: String,
    /// The mailbox it goes to, which must exist
    #[arg(long, value_name = "NAME", default_value = "INBOX")]
    mailbox: String,
}

pub(crate) fn run(arguments: &Arguments, config: Option<&Path>) -> Result<()> {
    // What an administrator can mend is no reason to send mail back: only a user and a mailbox that are not there are.
    let context = Context::load(config).map_err(temporary)?;
    context.users().map_err(temporary)?;
    let name = context.known_user(&arguments.user)?;
    let store = context.open_store().map_err(temporary)?;
    let user = store.ensure_user(&name).map_err(of_change)?;
    let mailboxes =
        crate::context::Mailboxes { store, user, name, runtime_dir: context.settings.runtime.dir.clone() };
    let list = mailboxes.list().map_err(temporary)?;
    let mailbox = match list.find(&arguments.mailbox) {
        Some(entry) if !entry.placeholder => mailboxes.find(&arguments.mailbox).map_err(temporary)?,
        _ => mailboxes.find(&arguments.mailbox)?,
    };
    let mut draft = mailboxes.store.draft().map_err(|error| of_store(&error))?;
    let mut message = without_from_line(io::stdin().lock()).map_err(|error| {
        Failure::Temporary(format!("cannot read the message from standard input: {error}"))
    })?;
    let mut chunk = vec![0; CHUNK];
    let limit = context.settings.limits.message_bytes;
    loop {
        let length = message.read(&mut chunk).map_err(|error| {
            Failure::Temporary(format!("cannot read the message from standard input: {error}"))
        })?;
        if length == 0 {
            break;
        }
        if draft.len() + length as u64 > limit {
            return Err(Failure::Failed(format!(
                "the message is larger than {limit} octets, which [limits] message_bytes in {} allows; \
                 nothing was delivered",
                context.path.display()
            )));
        }
        draft.write(&chunk[..length]).map_err(|error| of_store(&error))?;
    }
    if draft.is_empty() {
        return Err(Failure::Failed(
            "there was no message on standard input; nothing was delivered".to_owned(),
        ));
    }
    let content = draft.finish().map_err(|error| of_store(&error))?;
    let mut change = mailboxes.store.begin();
    let delivery = Delivery {
        mailbox: mailbox.id(),
        flags: SystemFlags::default(),
        keywords: Vec::new(),
        internal_date: now(),
    };
    change.deliver(content, vec![delivery]);
    let committed = change.commit().map_err(of_change)?;
    if let Some(Outcome::Delivered(results)) = committed.outcomes.into_iter().next() {
        for result in results {
            result.map_err(|refused| match refused {
                Refused::NoSuchMailbox => Failure::Failed(format!(
                    "{} was deleted meanwhile; nothing was delivered",
                    arguments.mailbox
                )),
                Refused::OverQuota(what) => Failure::Temporary(format!(
                    "{}: the user would have more {what} than allowed; nothing was delivered",
                    arguments.user
                )),
                Refused::Unusable(why) => Failure::Temporary(format!("{}: {why}", arguments.mailbox)),
            })?;
        }
    }
    mailboxes.store.wait(committed.ticket).map_err(|error| Failure::Temporary(error.to_string()))?;
    Notifier::attach(&context.settings.runtime.dir).changed(mailbox.id());
    // It is safe already; nothing that closing finds may lead to a second delivery.
    if let Err(failure) = mailboxes.close() {
        eprintln!("lode: the message was delivered, but {failure}");
    }
    Ok(())
}

/// Now, in UTC.
pub(crate) fn now() -> ZonedTime {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_secs());
    ZonedTime { seconds: seconds.try_into().unwrap_or(i64::MAX), zone_minutes: 0 }
}

/// The octets of a message, with CRLF line ends, behind a From_ line that may be there.
fn without_from_line(mut input: impl Read) -> io::Result<impl Read> {
    let mut beginning = Vec::new();
    // Line by line would be slow, and a message may be one line. The first octets tell.
    input.by_ref().take(1_024).read_to_end(&mut beginning)?;
    let line_end = beginning.iter().position(|&octet| octet == b'\n');
    if let Some(line_end) = line_end
        && is_from_line(&beginning[..line_end])
    {
        beginning.drain(..=line_end);
    }
    Ok(Normalised::new(io::Cursor::new(beginning).chain(input), Quoting::None))
}

fn temporary(failure: Failure) -> Failure {
    match failure {
        Failure::Failed(what) => Failure::Temporary(what),
        other => other,
    }
}

fn of_store(error: &StoreError) -> Failure {
    let what = format!("cannot store the message: {error}; nothing was delivered");
    match error {
        StoreError::NotFound(_) => Failure::Failed(what),
        _ => Failure::Temporary(what),
    }
}

fn of_change(error: ChangeError) -> Failure {
    match error {
        ChangeError::Store(error) => of_store(&error),
        ChangeError::Limit(_) | ChangeError::OverQuota(_) => {
            Failure::Temporary(format!("cannot store the message: {error}; nothing was delivered"))
        }
        other => Failure::Failed(format!("cannot store the message: {other}; nothing was delivered")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_from_line_in_front_goes() {
        for (input, expected) in [
            (
                &b"From a@example.org Fri Feb 22 23:06:12 2008\nSubject: x\n\nFrom here\n"[..],
                &b"Subject: x\r\n\r\nFrom here\r\n"[..],
            ),
            (b"From: a@example.org\n\nx", b"From: a@example.org\r\n\r\nx"),
            (b"", b""),
        ] {
            let mut output = Vec::new();
            without_from_line(input).expect("read").read_to_end(&mut output).expect("read");
            assert_eq!(output, expected);
        }
    }
}
