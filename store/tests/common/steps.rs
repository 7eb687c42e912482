//! A short run by two writers on a simulated disk, step by step: every kind of change, a checkpoint, another day.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::*;
use store::disk::simulated::SimulatedDisk;
use store::gc::GcOptions;
use store::{Background, StoreError, Txn};

/// What clients see: by user, mailbox and UIDVALIDITY, the messages by UID: flags and text.
pub(crate) type Seen = BTreeMap<(String, String, u32), BTreeMap<u32, (SystemFlags, String)>>;

pub(crate) fn options(disk: &SimulatedDisk, runtime: &Path, handler: u16, boot: &str) -> OpenOptions {
    let mut options = OpenOptions::new(disk.root().join("store"), runtime, WriterChoice::Handler(handler));
    options.disk = disk.disk();
    options.background = Background::Manual;
    options.pretend_boot_id = Some(boot.to_string());
    options
}

pub(crate) fn seen(store: &Store) -> Seen {
    let mut seen = Seen::new();
    for (user, name) in store.users().expect("readable") {
        for entry in store.mailbox_list(user).expect("readable").entries() {
            let id = MailboxId { user, number: entry.number };
            let messages = if entry.placeholder { Vec::new() } else { live(store, id) };
            let messages = messages.into_iter().map(|cell| {
                let text = String::from_utf8(body(store, cell.message)).expect("text");
                (cell.uid.get(), (cell.flags.system, text))
            });
            seen.insert((name.clone(), entry.name.clone(), entry.uid_validity), messages.collect());
        }
    }
    seen
}

/// Why a step was not done.
pub(crate) type Outcome = Result<(), String>;

/// One step: which of the two writers, and what it does; a step that was done is durable.
pub(crate) struct Step {
    pub(crate) writer: usize,
    pub(crate) name: &'static str,
    pub(crate) run: fn(&Arc<Store>, &SimulatedDisk) -> Outcome,
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn user(store: &Store, name: &str) -> Result<UserId, String> {
    store.find_user(name).map_err(text)?.ok_or_else(|| format!("{name} is not there"))
}

fn mailbox(store: &Store, owner: &str, name: &str) -> Result<MailboxId, String> {
    let user = user(store, owner)?;
    let list = store.mailbox_list(user).map_err(text)?;
    let number = list.find(name).ok_or_else(|| format!("{owner} has no {name}"))?.number;
    Ok(MailboxId { user, number })
}

fn cells(store: &Store, id: MailboxId) -> Result<Vec<CellIndex>, String> {
    let cells = store.mailbox(id).and_then(|open| open.cells()).map_err(text)?;
    let all = (0..cells.count()).map(CellIndex);
    Ok(all.filter(|index| !cells.flags(*index).expect("whole").expunged).collect())
}

/// What a step says that was done for some of its recipients only; that much is durable.
pub(crate) const PARTLY: &str = "not for all";

fn change(store: &Store, change: impl FnOnce(&mut Txn<'_>)) -> Outcome {
    let mut txn = store.begin();
    change(&mut txn);
    let committed = txn.commit().map_err(text)?;
    store.wait(committed.ticket).map_err(text)?;
    for outcome in committed.outcomes {
        if let store::txn::Outcome::Delivered(results) = outcome
            && let Some(error) = results.into_iter().find_map(Result::err)
        {
            return Err(format!("{PARTLY}: {error:?}"));
        }
    }
    Ok(())
}

/// Delivers `bytes` to mailboxes of these users.
pub(crate) fn mail_to(store: &Arc<Store>, bytes: &[u8], owners: &[(&str, &str)]) -> Outcome {
    let owners = owners.iter().map(|(owner, name)| mailbox(store, owner, name).map(to));
    let owners = owners.collect::<Result<Vec<Delivery>, String>>()?;
    let content = store.draft().and_then(|mut draft| {
        bytes.chunks(70_000).try_for_each(|chunk| draft.write(chunk))?;
        draft.finish()
    });
    let content = content.map_err(|error: StoreError| text(error))?;
    change(store, |txn| txn.deliver(content, owners))
}

/// Gives back the space of all that is not needed, down to the last block.
fn collect(store: &Arc<Store>) -> Outcome {
    let options = GcOptions { recount: true, thin_percent: 95, thin_least_bytes: 0, ..GcOptions::default() };
    store.gc(options, &mut |_| ()).map(drop).map_err(text)
}

/// The run.
pub(crate) const STEPS: [Step; 27] = [
    Step { writer: 0, name: "a user", run: |store, _| store.ensure_user("ann").map(drop).map_err(text) },
    Step { writer: 1, name: "another", run: |store, _| store.ensure_user("bob").map(drop).map_err(text) },
    Step { writer: 0, name: "one", run: |store, _| mail_to(store, &mail("one"), BOTH) },
    Step { writer: 1, name: "two", run: |store, _| mail_to(store, &mail("two"), BOTH) },
    Step { writer: 0, name: "three", run: |store, _| mail_to(store, &mail("three"), BOTH) },
    Step { writer: 0, name: "four", run: |store, _| mail_to(store, &mail("four"), BOTH) },
    Step { writer: 1, name: "a big one", run: |store, _| mail_to(store, &[b'x'; 300_000], &[BOTH[1]]) },
    Step {
        writer: 1,
        name: "flags",
        run: |store, _| {
            let inbox = mailbox(store, "ann", "INBOX")?;
            let some = cells(store, inbox)?;
            let seen = flags(FlagOperation::Add, SystemFlags::SEEN, &["work"]);
            change(store, |txn| txn.store_flags(inbox, &some[..2], seen))
        },
    },
    Step {
        writer: 0,
        name: "a mailbox",
        run: |store, _| {
            let user = user(store, "ann")?;
            change(store, |txn| txn.create_mailbox(user, "a/b", None))
        },
    },
    Step {
        writer: 1,
        name: "a copy",
        run: |store, _| {
            let (inbox, copy) = (mailbox(store, "ann", "INBOX")?, mailbox(store, "ann", "a/b")?);
            let some = cells(store, inbox)?;
            change(store, |txn| txn.copy(inbox, &some[1..3], copy))
        },
    },
    Step { writer: 0, name: "a checkpoint", run: |store, _| store.checkpoint().map_err(text) },
    Step {
        writer: 0,
        name: "an expunge",
        run: |store, _| {
            let inbox = mailbox(store, "ann", "INBOX")?;
            let some = cells(store, inbox)?;
            change(store, |txn| txn.expunge(inbox, &some[..1]))
        },
    },
    Step {
        writer: 1,
        name: "a move",
        run: |store, _| {
            let (inbox, copy) = (mailbox(store, "ann", "INBOX")?, mailbox(store, "ann", "a/b")?);
            let some = cells(store, inbox)?;
            change(store, |txn| txn.move_messages(inbox, &some[..1], copy))
        },
    },
    Step {
        writer: 0,
        name: "a rename",
        run: |store, _| {
            let user = user(store, "ann")?;
            change(store, |txn| txn.rename_mailbox(user, "a/b", "c"))
        },
    },
    Step {
        writer: 1,
        name: "another day",
        run: |store, disk| {
            disk.pass(86_400);
            mail_to(store, &mail("five"), &[("ann", "c")])
        },
    },
    Step {
        writer: 1,
        name: "a mailbox less",
        run: |store, _| {
            let user = user(store, "ann")?;
            change(store, |txn| txn.delete_mailbox(user, "c"))
        },
    },
    Step {
        writer: 0,
        name: "a user less",
        run: |store, _| {
            let user = user(store, "bob")?;
            change(store, |txn| txn.delete_user(user))
        },
    },
    Step {
        writer: 0,
        name: "the name again",
        run: |store, _| store.ensure_user("bob").map(drop).map_err(text),
    },
    Step { writer: 1, name: "its mail", run: |store, _| mail_to(store, &mail("six"), &[BOTH[1]]) },
    Step {
        writer: 0,
        name: "days later",
        run: |store, disk| {
            disk.pass(3 * 86_400);
            mail_to(store, &mail("seven"), BOTH)
        },
    },
    Step { writer: 0, name: "a checkpoint of one", run: |store, _| store.checkpoint().map_err(text) },
    Step { writer: 1, name: "a checkpoint of the other", run: |store, _| store.checkpoint().map_err(text) },
    Step { writer: 0, name: "a collection", run: |store, _| collect(store) },
    Step {
        writer: 1,
        name: "a compaction",
        run: |store, _| {
            let inbox = mailbox(store, "ann", "INBOX")?;
            store.compact_at_once(inbox).map(drop).map_err(text)
        },
    },
    Step {
        writer: 0,
        name: "pruning",
        run: |store, disk| store.prune_journals(disk.disk().today()).map(drop).map_err(text),
    },
    Step { writer: 1, name: "eight", run: |store, _| mail_to(store, &mail("eight"), BOTH) },
    Step { writer: 1, name: "a last checkpoint", run: |store, _| store.checkpoint().map_err(text) },
];

pub(crate) const BOTH: &[(&str, &str)] = &[("ann", "INBOX"), ("bob", "INBOX")];
