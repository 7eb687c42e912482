//! Takes messages from cells that nobody needs: of expunged messages, and of deleted mailboxes. First the cell says that it holds
//! nothing, then the message's count falls, both under the mailbox's lock; so a count is too high if this process dies in between,
//! never too low.
//!
//! Whoever calls this knows that the changes which made the cells needless are durable: all logs were synced since.

use std::collections::BTreeMap;
use std::path::Path;

use crate::disk::Mutation;
use crate::error::{Result, StoreError};
use crate::gc::walk::{Found, open_held};
use crate::ids::{CellIndex, MessageId, ModSeq};
use crate::locks::LockKey;
use crate::mailbox::{Cell, Mailbox};
use crate::store::Store;

/// So many cells are released under one taking of the lock.
const CELLS_AT_ONCE: usize = 4096;

/// A mailbox with something to release.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) found: Found,
    /// Changes up to here were there when it was looked at, before the logs were synced.
    pub(super) upto: ModSeq,
    /// Whether the whole mailbox is deleted.
    pub(super) is_dead: bool,
}

/// What was released.
#[derive(Debug, Default)]
pub(super) struct Released {
    /// A message of each cell, one as often as it was let go of.
    pub(super) messages: Vec<MessageId>,
    /// Whether the mailbox's folder was removed.
    pub(super) removed: bool,
    /// Whether cells could not be read; they keep what they hold.
    pub(super) damaged: bool,
}

/// Whether there is something to release in a mailbox, from what was expunged up to `cutoff` (seconds since 1970).
pub(super) fn look(store: &Store, found: &Found, cutoff: u32) -> Result<Option<Candidate>> {
    let open = match Mailbox::open(&store.derived.disk, &found.cells, found.id) {
        Err(StoreError::NotFound(_)) => return Ok(None),
        open => open?,
    };
    let upto = open.highest_modseq()?;
    let is_dead = open.is_deleted()? || found.user_is_deleted;
    // What a mailbox of an earlier epoch says of its tombstones may be wrong.
    let has_tombstones = open.unreleased()? > 0 || open.epoch() < store.derived.epoch;
    let wanted = if is_dead { open.deleted_at()? <= cutoff } else { has_tombstones };
    Ok(wanted.then(|| Candidate { found: found.clone(), upto, is_dead }))
}

/// Whether a cell may be released.
fn is_due(cell: &Cell, upto: ModSeq, cutoff: u32) -> bool {
    cell.expunged && cell.holds_reference() && cell.modseq <= upto && cell.expunged_at <= cutoff
}

/// Releases at most some thousand cells, from `from` on. Returns where to go on, if there may be more.
pub(super) fn tombstones(
    store: &Store,
    candidate: &Candidate,
    cutoff: u32,
    from: u32,
    released: &mut Released,
) -> Result<Option<u32>> {
    let held = store.take(&[LockKey::Mailbox(candidate.found.id)])?;
    let Some(open) = open_held(store, &candidate.found, &held)? else {
        return Ok(None);
    };
    let (due, next) = due_cells(&open, candidate.upto, cutoff, from, &mut released.damaged)?;
    if due.is_empty() {
        return Ok(next);
    }
    let mut messages = Vec::with_capacity(due.len());
    let counts_first = store.derived.disk.mutated(Mutation::CountBeforeRelease);
    if counts_first {
        let cells = open.cells()?;
        let held = due.iter().map(|index| cells.cell(*index).map(|cell| cell.message));
        drop_references(store, &held.collect::<Result<Vec<_>>>()?)?;
    }
    // Asked for once more, so that processes are killed here.
    let _ = store.derived.disk.mutated(Mutation::CountBeforeRelease);
    let mut writer = open.writer()?;
    for index in due {
        messages.extend(writer.release(index));
    }
    writer.publish(ModSeq(0), 0);
    if !counts_first {
        drop_references(store, &messages)?;
    }
    released.messages.extend(messages);
    Ok(next)
}

fn due_cells(
    open: &Mailbox,
    upto: ModSeq,
    cutoff: u32,
    from: u32,
    damaged: &mut bool,
) -> Result<(Vec<CellIndex>, Option<u32>)> {
    let cells = open.cells()?;
    let mut due = Vec::new();
    let mut index = from;
    while index < cells.count() {
        let block = index / 64;
        let end = ((block + 1) * 64).min(cells.count());
        // Bits of the cells that there are; a block without tombstones is passed over.
        let all = crate::mailbox::low_bits(end - block * 64);
        if cells.block_summary(block).is_ok_and(|summary| summary.live & all == all) {
            index = end;
            continue;
        }
        for place in (index..end).map(CellIndex) {
            match cells.flags(place) {
                Ok(flags) if flags.expunged => match cells.cell(place) {
                    Ok(cell) if is_due(&cell, upto, cutoff) => due.push(place),
                    Ok(_) => (),
                    Err(StoreError::Corrupt { .. }) => *damaged = true,
                    Err(error) => return Err(error),
                },
                Ok(_) => (),
                Err(StoreError::Corrupt { .. }) => *damaged = true,
                Err(error) => return Err(error),
            }
        }
        index = end;
        if due.len() >= CELLS_AT_ONCE {
            return Ok((due, Some(index)));
        }
    }
    Ok((due, None))
}

/// Releases all cells of a deleted mailbox and removes its folder.
pub(super) fn dead_mailbox(store: &Store, candidate: &Candidate, released: &mut Released) -> Result<()> {
    let held = store.take(&[LockKey::Mailbox(candidate.found.id)])?;
    let Some(open) = open_held(store, &candidate.found, &held)? else {
        return Ok(());
    };
    // It may have been brought back meanwhile.
    if !open.is_deleted()? && !candidate.found.user_is_deleted {
        return Ok(());
    }
    if !open.is_released()? {
        let messages = held_messages(&open, &mut released.damaged)?;
        let mut writer = open.writer()?;
        writer.mark_released();
        writer.publish(ModSeq(0), 0);
        drop_references(store, &messages)?;
        released.messages.extend(messages);
    }
    store.derived.forget(candidate.found.id);
    released.removed = remove_folder_of(store, open.path())?;
    Ok(())
}

/// The messages that the cells of a mailbox hold.
fn held_messages(open: &Mailbox, damaged: &mut bool) -> Result<Vec<MessageId>> {
    let cells = open.cells()?;
    let mut messages = Vec::new();
    for index in (0..cells.count()).map(CellIndex) {
        match cells.cell(index) {
            Ok(cell) if cell.holds_reference() => messages.push(cell.message),
            Ok(_) => (),
            // Its count stays too high until it is counted anew.
            Err(StoreError::Corrupt { .. }) => *damaged = true,
            Err(error) => return Err(error),
        }
    }
    Ok(messages)
}

/// What would be released, without a lock: for a look only.
pub(super) fn would_release(store: &Store, candidate: &Candidate, cutoff: u32) -> Result<Vec<MessageId>> {
    let open = match Mailbox::open(&store.derived.disk, &candidate.found.cells, candidate.found.id) {
        Err(StoreError::NotFound(_)) => return Ok(Vec::new()),
        open => open?,
    };
    let mut damaged = false;
    if candidate.is_dead {
        return if open.is_released()? { Ok(Vec::new()) } else { held_messages(&open, &mut damaged) };
    }
    let cells = open.cells()?;
    let mut messages = Vec::new();
    let mut from = Some(0);
    while let Some(start) = from {
        let (due, next) = due_cells(&open, candidate.upto, cutoff, start, &mut damaged)?;
        for index in due {
            messages.push(cells.cell(index)?.message);
        }
        from = next;
    }
    Ok(messages)
}

fn drop_references(store: &Store, messages: &[MessageId]) -> Result<()> {
    let mut counts: BTreeMap<MessageId, u32> = BTreeMap::new();
    for message in messages {
        *counts.entry(*message).or_default() += 1;
    }
    for (message, count) in counts {
        store.pages.directory(message.page)?.drop_references(message.index, count)?;
    }
    Ok(())
}

fn remove_folder_of(store: &Store, cells: &Path) -> Result<bool> {
    let Some(folder) = cells.parent() else { return Ok(false) };
    match store.derived.disk.remove_dir_all(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        removed => removed.map(|()| true).map_err(StoreError::io(folder, "remove")),
    }
}
