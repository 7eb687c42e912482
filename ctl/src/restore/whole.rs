//! The whole store from a backup.

use std::path::Path;

use serde_json::json;
use store::Store;
use store::backup::{PlaceHow, lay_out};
use store::disk::Disk;
use store::ids::MailboxId;

use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::import::progress::Progress;
use crate::moment::Moment;
use crate::output::print;

pub(super) fn run(backup: &Path, json: bool, config: Option<&Path>) -> Result<()> {
    let context = Context::load(config)?;
    let path = &context.settings.store.path;
    let is_empty = std::fs::read_dir(path).map_or(true, |mut names| names.next().is_none());
    if !is_empty {
        return Err(Failure::Failed(format!(
            "there is something in {}, and a whole backup is restored into an empty folder alone: stop the server and move it aside, or \
             name a part with --user, --mailbox or --day",
            path.display()
        )));
    }
    context.make_folder(path)?;
    context.become_daemon_user()?;
    let progress = Progress::new(0);
    progress.begin("restore", 0);
    let mut show = |at: store::backup::Progress| progress.set(at.done_octets, at.total_octets);
    let placed = lay_out(&Disk::real(), backup, path, PlaceHow::Copy, &mut show);
    progress.finish();
    let tried = format!("cannot restore {}", backup.display());
    let placed = placed.map_err(Failure::because(&tried))?;
    // The first opener makes all that is derived.
    let store = context.open_store()?;
    let (users, messages) = count(&store).map_err(Failure::because(&tried))?;
    store.close().map_err(Failure::because("cannot close the store"))?;
    if json {
        let value = json!({"moment": placed.seconds, "users": users, "messages": messages});
        return print(&format!("{value:#}\n"));
    }
    let moment = Moment(u32::try_from(placed.seconds).unwrap_or(u32::MAX)).shown();
    print(&format!("Restored {users} users with {messages} messages, as of {moment} UTC.\n"))
}

/// Users, and messages in their mailboxes.
fn count(store: &Store) -> store::error::Result<(u64, u64)> {
    let users = store.users()?;
    let mut messages = 0;
    for (user, _) in &users {
        for entry in store.mailbox_list(*user)?.entries().iter().filter(|entry| !entry.placeholder) {
            let id = MailboxId { user: *user, number: entry.number };
            messages += u64::from(store.mailbox(id)?.status()?.exists);
        }
    }
    Ok((users.len() as u64, messages))
}
