//! Reads what an open store shows, for comparing with the model.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{self, Difference, keyword_bits};
use crate::change::{SystemFlags, ZonedTime};
use crate::check::{CheckOptions, Fault, FaultKind};
use crate::error::StoreError;
use crate::gc::walk::{open_held, walk};
use crate::ids::{CellIndex, MailboxId, MessageId, UserId};
use crate::locks::LockKey;
use crate::mailbox::Cell;
use crate::page::directory::CellState;
use crate::quota::{Limit, Limits, Usage};
use crate::store::Store;

/// What stands for each octet of a message that the store says is damaged. No message of a run has it.
pub(super) const DAMAGED: u8 = 0xff;

/// What a mailbox shows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) uid_validity: u32,
    pub(super) uid_next: u32,
    pub(super) highest_modseq: u64,
    pub(super) cells: BTreeMap<u32, SeenCell>,
    /// Readers who are not the owner, and UIDs of what they have seen.
    pub(super) marks: BTreeSet<(UserId, u32)>,
    /// Annotations of the messages that are there.
    pub(super) annotations: model::Annotations,
}

/// What it shows of a message. Octets are of those that are there alone.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SeenCell {
    pub(super) state: model::CellState,
    pub(super) internal_date: ZonedTime,
    pub(super) message: MessageId,
    /// Whether the count of the message has it.
    pub(super) holds: bool,
    pub(super) content: Vec<u8>,
}

impl Seen {
    /// All of a mailbox, and whether the mailbox agrees with itself.
    pub(super) fn of(store: &Store, id: MailboxId) -> Result<Seen, Difference> {
        let name = || format!("mailbox {} of user {}", id.number, id.user.0);
        let open = store.mailbox(id).map_err(|error| format!("{} cannot be opened: {error}", name()))?;
        let keywords = open.keywords().map_err(|error| format!("{}: keywords: {error}", name()))?;
        let cells = open.cells().map_err(|error| format!("{}: {error}", name()))?;
        let said = |error: crate::error::StoreError| format!("{}: its header: {error}", name());
        let mut seen = Seen {
            uid_validity: open.uid_validity(),
            uid_next: open.uid_next().map_err(said)?,
            highest_modseq: open.highest_modseq().map_err(said)?.0,
            cells: BTreeMap::new(),
            marks: BTreeSet::new(),
            annotations: model::Annotations::new(),
        };
        let mut last = 0;
        let [mut exists, mut unseen, mut deleted, mut size] = [0u64; 4];
        for index in (0..cells.count()).map(CellIndex) {
            let cell = cells.cell(index).map_err(|error| format!("{}: {error}", name()))?;
            let uid = cell.uid.get();
            if uid <= last || uid >= seen.uid_next {
                let next = seen.uid_next;
                return Err(format!("{}: UID {uid} follows {last}, UIDNEXT is {next}", name()));
            }
            last = uid;
            if cell.modseq.0 > seen.highest_modseq {
                let (modseq, highest) = (cell.modseq.0, seen.highest_modseq);
                return Err(format!("{}: UID {uid} has modseq {modseq} above {highest}", name()));
            }
            let (state, content) = if cell.expunged {
                (model::CellState::Gone { modseq: cell.modseq.0 }, Vec::new())
            } else {
                let content =
                    content(store, &cell).map_err(|what| format!("{}: UID {uid}: {what}", name()))?;
                let annotations = open.annotations_of(cell.uid);
                let annotations =
                    annotations.map_err(|error| format!("{}: annotations of UID {uid}: {error}", name()))?;
                let by_entry =
                    annotations.into_iter().map(|said| ((uid, said.reader, said.entry), said.value));
                seen.annotations.extend(by_entry);
                exists += 1;
                unseen += u64::from(cell.flags.system.0 & 8 == 0);
                deleted += u64::from(cell.flags.system.0 & 4 != 0);
                size += u64::from(cell.size);
                let keywords = keyword_bits(cell.flags.keywords, &keywords)
                    .map_err(|what| format!("{}: UID {uid}: {what}", name()))?;
                let system = cell.flags.system.0;
                (model::CellState::Live { system, keywords, modseq: cell.modseq.0 }, content)
            };
            let Cell { internal_date, message, .. } = cell;
            let holds = cell.holds_reference();
            seen.cells.insert(uid, SeenCell { state, internal_date, message, holds, content });
        }
        seen.marks = marks(store, id).map_err(|error| format!("{}: readers: {error}", name()))?;
        let status = open.status().map_err(said)?;
        let says =
            [u64::from(status.exists), u64::from(status.unseen), u64::from(status.deleted), status.size];
        if says != [exists, unseen, deleted, size] {
            let is = [exists, unseen, deleted, size];
            return Err(format!("{}: messages, unseen, deleted, size are {is:?}, it says {says:?}", name()));
        }
        Ok(seen)
    }
}

/// What readers who are not the owner have seen; each is shown as many as there are.
fn marks(store: &Store, id: MailboxId) -> Result<BTreeSet<(UserId, u32)>, Difference> {
    let told = |error: StoreError| error.to_string();
    let mut marks = BTreeSet::new();
    for reader in crate::seen::readers(&store.derived.disk, &store.derived.cells_path(id).map_err(told)?)
        .map_err(told)?
    {
        let open = store.mailbox_as(id, reader).map_err(told)?;
        let (cells, status) = (open.cells().map_err(told)?, open.status().map_err(told)?);
        let mut seen = 0;
        for index in (0..cells.count()).map(CellIndex) {
            let cell = cells.flags(index).map_err(told)?;
            if !cell.expunged && cell.flags.system.contains(SystemFlags::SEEN) {
                marks.insert((reader, cell.uid.get()));
                seen += 1;
            }
            if cell.modseq > status.highest_modseq {
                return Err(format!("a mark of UID {} has modseq {}", cell.uid, cell.modseq.0));
            }
        }
        if status.exists - status.unseen != seen {
            return Err(format!("{seen} are seen, and {} of {} are not", status.unseen, status.exists));
        }
    }
    Ok(marks)
}

/// All octets of a message, which must be as many as the cell says.
fn content(store: &Store, cell: &Cell) -> Result<Vec<u8>, Difference> {
    let stored = store.message(cell.message).map_err(|error| format!("the message: {error}"))?;
    let mut bytes = Vec::new();
    match store.read_range(&stored, 0..u64::MAX, &mut bytes) {
        // Told, and not shown as the message.
        Err(StoreError::Corrupt { .. }) => return Ok(vec![DAMAGED; cell.size as usize]),
        read => read.map_err(|error| format!("its octets: {error}"))?,
    }
    if bytes.len() as u64 != u64::from(cell.size) {
        return Err(format!("it has {} octets, and should have {}", bytes.len(), cell.size));
    }
    Ok(bytes)
}

/// How many cells hold on to each message, and how many of them show it.
fn references(seen: &BTreeMap<MailboxId, Seen>) -> BTreeMap<MessageId, (u32, u32)> {
    let mut found: BTreeMap<MessageId, (u32, u32)> = BTreeMap::new();
    for cell in seen.values().flat_map(|mailbox| mailbox.cells.values()) {
        let (holding, live) = found.entry(cell.message).or_default();
        *holding += u32::from(cell.holds);
        *live += u32::from(cell.state.is_live());
    }
    found
}

/// A complaint about a message whose count is below the cells that hold on to it. After a power cut no count is believed before it was counted
/// again. A message that was freed has none: a power cut may have taken back that its tombstones were released.
pub(super) fn check_references(store: &Store, seen: &BTreeMap<MailboxId, Seen>) -> Result<(), Difference> {
    for (message, (cells, live)) in references(seen) {
        let directory = store.pages.directory(message.page).map_err(|error| error.to_string())?;
        let believed = directory.recounted_epoch().map_err(|error| error.to_string())?;
        let now = directory.cell_use(message.index).map_err(|error| error.to_string())?;
        let is_freed = now.state == CellState::Freed && live == 0;
        if now.references < cells && believed >= store.derived.epoch && !is_freed {
            let counted = now.references;
            return Err(format!("message {message:?} has {cells} cells and a count of {counted}"));
        }
    }
    Ok(())
}

/// A complaint if any structure does not agree with another. Octets that a failed sync has left behind may be damaged after a power cut, and are
/// told as that.
pub(super) fn check_structure(store: &Store, sync_failed: bool) -> Result<(), Difference> {
    let report = store.check(&CheckOptions::default(), &|_| ()).map_err(|error| format!("check: {error}"))?;
    let is_explained =
        |fault: &&Fault| sync_failed && matches!(fault.kind, FaultKind::Content | FaultKind::Log);
    match report.faults.iter().find(|fault| !is_explained(fault)) {
        Some(fault) => Err(format!("check finds {fault:?}")),
        None => Ok(()),
    }
}

/// A complaint about a message whose count is not that of the cells that hold it, of all mailboxes, also deleted ones. Of a store that nobody changes
/// and whose references were counted.
pub(super) fn check_counts(store: &Store) -> Result<(), Difference> {
    let said = |error: StoreError| format!("counting references: {error}");
    let mut cells: BTreeMap<MessageId, (u32, u32)> = BTreeMap::new();
    let found = walk(&store.derived.disk, &store.path().join("p0/users")).map_err(said)?;
    if let Some(path) = found.damaged.first() {
        return Err(format!("{} is damaged", path.display()));
    }
    for found in &found.mailboxes {
        let held = store.take(&[LockKey::Mailbox(found.id)]).map_err(said)?;
        let Some(open) = open_held(store, found, &held).map_err(said)? else { continue };
        if open.is_released().map_err(said)? {
            continue;
        }
        let is_shown = !found.user_is_deleted && !open.is_deleted().map_err(said)?;
        let all = open.cells().map_err(said)?;
        for index in (0..all.count()).map(CellIndex) {
            let cell = all.cell(index).map_err(said)?;
            let (holding, live) = cells.entry(cell.message).or_default();
            *holding += u32::from(cell.holds_reference());
            *live += u32::from(is_shown && !cell.expunged);
        }
    }
    for page in store.pages.all().map_err(said)? {
        let directory = store.pages.directory(page).map_err(said)?;
        if directory.recounted_epoch().map_err(said)? != store.derived.epoch {
            return Err(format!("page {page:?} was not counted"));
        }
        for index in 0..directory.given_out().map_err(said)? {
            let message = MessageId { page, index };
            let (holding, live) = cells.remove(&message).unwrap_or_default();
            let now = directory.cell_use(index).map_err(said)?;
            let is_right = match now.state {
                CellState::InUse => now.references == holding,
                CellState::Free | CellState::Lost | CellState::Freed => live == 0,
            };
            if !is_right {
                return Err(format!(
                    "message {message:?} is held by {holding} cells, live {live}; it is {now:?}"
                ));
            }
        }
    }
    match cells.into_iter().find(|(_, (_, live))| *live > 0) {
        Some((message, _)) => Err(format!("message {message:?} is in a mailbox, and was not given out")),
        None => Ok(()),
    }
}

/// A complaint if what a user's mailboxes are said to come to is not what is in them.
pub(super) fn check_usage(
    store: &Store,
    user: UserId,
    seen: &BTreeMap<MailboxId, Seen>,
) -> Result<(), Difference> {
    let of_user = seen.iter().filter(|(id, _)| id.user == user);
    let live = of_user.flat_map(|(_, mailbox)| mailbox.cells.values()).filter(|cell| cell.state.is_live());
    let expected = live.fold(Usage::default(), |sum, cell| {
        sum.and(Usage { octets: cell.content.len() as u64, messages: 1 })
    });
    match store.quota(user) {
        Ok(quota) if quota.usage == expected => Ok(()),
        Ok(quota) => Err(format!("user {}: {:?} is said to be {:?}", user.0, expected, quota.usage)),
        // The view of it cannot be made on a disk that is full or broken.
        Err(StoreError::Io { .. } | StoreError::Failed(_)) => Ok(()),
        Err(error) => Err(format!("usage of user {}: {error}", user.0)),
    }
}

/// Limits that nobody reaches: usage is kept, and lists are locked, as for users with limits.
pub(super) fn limits_out_of_reach() -> Limits {
    let highest = Limit::Most(Limit::HIGHEST);
    Limits { octets: highest, messages: highest, mailboxes: highest, annotations: highest }
}
