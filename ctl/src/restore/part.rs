//! A user, a mailbox or a day from a backup, into the store that is in use. The backup becomes a store of its own for a while, in a folder within its own, from links
//! to its files; then mail goes from the one store to the other.

use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use store::backup::{PlaceHow, Placed, lay_out};
use store::disk::Disk;
use store::ids::{PageId, UserId};
use store::mailbox::Cell;
use store::transfer::UserSnapshot;
use store::txn::NewAnnotation;
use store::{Background, Content, OpenOptions, Store, StoreError, WriterChoice};
use tempfile::TempDir;

use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::import::progress::Progress;
use crate::into_store::{Beside, Facts, IntoStore, Policy, Sums, WhereThere, print_sums};
use crate::moment::Moment;
use crate::notify::Notifier;

/// Octets of a message that are in memory at one time.
const STEP_BYTES: u64 = 1 << 20;
/// No handler has it: the store made of the backup never goes on with a log that is the backup's.
const READER: WriterChoice = WriterChoice::Handler(63);

/// What is to come back.
pub(super) struct Wanted<'a> {
    pub(super) folder: &'a Path,
    pub(super) user: Option<&'a str>,
    pub(super) mailbox: Option<&'a str>,
    pub(super) day: Option<PageId>,
    pub(super) into: Option<&'a str>,
    pub(super) json: bool,
}

/// A backup as a store. Fields are dropped in this order: the store before its folder.
struct Then {
    store: Arc<Store>,
    _placed: Placed,
    _folder: TempDir,
}

pub(super) fn run(wanted: &Wanted<'_>, config: Option<&Path>) -> Result<()> {
    let context = Context::load(config)?;
    let now = context.open_store()?;
    let then = open_backup(wanted.folder)?;
    let unreadable = || Failure::because("cannot read the users of the backup");
    let users: Vec<(UserId, String)> = match wanted.user {
        Some(name) => {
            let user = then.store.find_user(name).map_err(unreadable())?;
            vec![(user.ok_or_else(|| not_there(&then.store, name))?, name.to_owned())]
        }
        None => then.store.users().map_err(unreadable())?,
    };
    let notifier = Notifier::attach(&context.settings.runtime.dir);
    let mut failed = 0;
    for (user, name) in &users {
        let (sums, user_was_made) = restore_user(wanted, &then.store, *user, &now, &notifier)?;
        failed += sums.iter().map(|sums| sums.failed).sum::<u64>();
        // Of many users, those are told who got something.
        let of_interest: Vec<Sums> =
            sums.into_iter().filter(|sums| users.len() == 1 || sums.has_news()).collect();
        if users.len() == 1 || !of_interest.is_empty() {
            print_sums("restored", name, user_was_made, &of_interest, wanted.json)?;
        }
        if user_was_made && context.users()?.get(name).is_none() {
            eprintln!("lode: {name} has mail again, but is not in the users file: `lode user add {name}`");
        }
    }
    drop(then);
    now.close().map_err(Failure::because("cannot close the store"))?;
    match failed {
        0 => Ok(()),
        failed => Err(Failure::Failed(format!("{failed} messages were not restored, for the reasons above"))),
    }
}

fn not_there(then: &Store, name: &str) -> Failure {
    let known = then.users().map_or(0, |users| users.len());
    Failure::Failed(format!("the backup has no user {name} (it has {known})"))
}

/// Opens the backup as a store.
fn open_backup(backup: &Path) -> Result<Then> {
    let tried = format!("cannot open the backup {}", backup.display());
    let folder =
        tempfile::Builder::new().prefix("restoring.").tempdir_in(backup).map_err(Failure::because(&tried))?;
    let path = folder.path().join("store");
    let progress = Progress::new(0);
    progress.begin("open backup", 0);
    let mut show = |at: store::backup::Progress| progress.set(at.done_octets, at.total_octets);
    let placed = lay_out(&Disk::real(), backup, &path, PlaceHow::Link, &mut show);
    progress.finish();
    let placed = placed.map_err(Failure::because(&tried))?;
    let mut options = OpenOptions::new(path, folder.path().join("run"), READER);
    options.background = Background::Manual;
    let store = Store::open(options).map_err(Failure::because("cannot read the backup"))?;
    Ok(Then { store, _placed: placed, _folder: folder })
}

/// What became of each mailbox of a user, and whether the user came back altogether.
fn restore_user(
    wanted: &Wanted<'_>,
    then: &Arc<Store>,
    user: UserId,
    now: &Arc<Store>,
    notifier: &Notifier,
) -> Result<(Vec<Sums>, bool)> {
    let list = then.mailbox_list(user).map_err(Failure::because("cannot read the backup"))?;
    let only = match wanted.mailbox {
        Some(name) => match list.find(name).filter(|entry| !entry.placeholder) {
            Some(entry) => Some(entry.name.clone()),
            None => return Err(Failure::Failed(format!("the backup has no mailbox {name} of that user"))),
        },
        None => None,
    };
    let snapshot =
        UserSnapshot::take(then, user, &|name: &str| only.as_ref().is_none_or(|only| only == name))
            .map_err(Failure::because("cannot read the backup"))?;
    let facts = Facts::of(&snapshot);
    let today = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_secs());
    let today = Moment(u32::try_from(today).unwrap_or(u32::MAX)).shown();
    let beside = match wanted.into {
        Some(into) => Beside::Into(into.to_owned()),
        None => Beside::Named(format!("(restored {})", &today[..today.len().min(10)])),
    };
    let policy = Policy { where_there: WhereThere::Beside(beside), below: None, skip_numbers: true };
    let mut into = IntoStore::begin(now, notifier, &snapshot.name, &facts, &policy)?;
    let progress = Progress::new(0);
    for mailbox in snapshot.mailboxes.iter().filter(|mailbox| !mailbox.facts.placeholder) {
        let (number, name) = (mailbox.id.number, &mailbox.facts.name);
        progress.begin(name, mailbox.octets);
        let cells = snapshot.cells(then, mailbox);
        for cell in cells.map_err(Failure::because(format!("cannot read {name} in the backup")))? {
            let outcome = match &cell {
                Ok(cell) if wanted.day.is_some_and(|day| cell.message.page != day) => Ok(()),
                Ok(cell) => match snapshot.annotations(then, mailbox, cell.uid) {
                    Ok(annotations) => transfer(then, now, &mut into, number, (cell, annotations))?,
                    Err(error) => {
                        into.count_failed(number);
                        Err(error.to_string())
                    }
                },
                Err(error) => {
                    into.count_failed(number);
                    Err(error.to_string())
                }
            };
            if let Err(why) = outcome {
                let message = cell.as_ref().map_or(String::new(), |cell| format!(" message {}", cell.uid));
                progress.note(&format!("{name}:{message} {why}"));
            }
            progress.advance(cell.map_or(0, |cell| u64::from(cell.size)));
        }
    }
    let user_was_made = into.user_was_made;
    let sums = into.finish()?;
    progress.finish();
    Ok((sums, user_was_made))
}

/// Puts one message in, if it is not there. The inner error is the message's.
fn transfer(
    then: &Arc<Store>,
    now: &Arc<Store>,
    into: &mut IntoStore<'_>,
    mailbox: u32,
    (cell, annotations): (&Cell, Vec<NewAnnotation>),
) -> Result<std::result::Result<(), String>> {
    let stopped = |error: StoreError| Failure::Failed(format!("stopped: {error}"));
    let message = match then.message(cell.message) {
        Ok(message) => message,
        Err(error) => {
            into.count_failed(mailbox);
            return Ok(Err(error.to_string()));
        }
    };
    if !into.wants(mailbox, message.size, message.content_hash).map_err(stopped)? {
        return Ok(Ok(()));
    }
    let mut draft = now.draft().map_err(stopped)?;
    let mut octets = Vec::new();
    let mut at = 0;
    while at < message.size {
        octets.clear();
        if let Err(error) = then.read_range(&message, at..message.size.min(at + STEP_BYTES), &mut octets) {
            into.count_failed(mailbox);
            return Ok(Err(error.to_string()));
        }
        draft.write(&octets).map_err(stopped)?;
        at += octets.len() as u64;
    }
    let content: Content = draft.finish().map_err(stopped)?;
    if content.hash() != message.content_hash {
        into.count_failed(mailbox);
        return Ok(Err("it is damaged in the backup".to_owned()));
    }
    into.put(mailbox, &cell.as_added(), annotations, content)
}
