//! Parked sessions: what is written of a session when it waits for its next command, so that another handler can go on with it
//! (`shm-abi/ABI.md`, "Session cell"; the design is in ARCHITECTURE.md).
//!
//! The cell has what changes with every command: what was read and not understood yet, and the small state of the conversation, which
//! each protocol defines beside itself (`imap/parked.rs`, `pop3/parked.rs`, `lmtp/parked.rs`). What is large, or does not fit, is in the
//! annex, a file of the runtime folder that is written anew only when its part of the state has changed.
//!
//! ```text
//!  cell:   octet 0: flags · octet 1: length of unread · unread · small state (bincode)
//!  annex:  u32 length · unread · u32 length · small state · u32 length · compression · large state (bincode)
//! ```
//!
//! With the flag [`IN_ANNEX`] unread and the small state are in the annex. Nothing that is read back is trusted: lengths are checked, and what
//! makes no sense is refused, which the client is told with a goodbye.

mod annex;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use shm_abi::{Annex, Cell, PARKED_OCTETS, SessionId};

use crate::conversation::{Conversation, Input};
use crate::{imap, lmtp, pop3};

/// Version of what is written here. Another version's states are refused.
pub(crate) const VERSION: u16 = 1;

/// What was read was there before another handler went on with the session, and is being done again.
const AGAIN: u8 = 1 << 0;
/// Unread and small state are in the annex.
const IN_ANNEX: u8 = 1 << 1;
/// Unread octets that the cell may have.
const UNREAD_OCTETS_MAX: usize = 96;
/// Unread octets that the annex may have; a session that has more waits for the end of a large command, and stays where it is.
const UNREAD_IN_ANNEX_MAX: usize = 64 * 1024;

/// The small state of a conversation.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Parked<'a> {
    /// IMAP.
    Imap(imap::Parked<'a>),
    /// POP3.
    Pop3(pop3::Parked<'a>),
    /// LMTP.
    Lmtp(lmtp::Parked<'a>),
}

/// Whether a conversation can be parked so that another handler can go on.
// It lives for some instructions; a box would be an allocation for every command.
#[allow(clippy::large_enum_variant)]
pub(crate) enum Parking<'a> {
    /// Yes. The number is another whenever the large state is another; 0 if there is none.
    Yes(Parked<'a>, u64),
    /// Not before the running command has ended.
    Later,
    /// Not as long as the session has what these words name, for the client.
    Never(&'static str),
}

/// What became of the wish to park a session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Kept {
    /// All of it is kept.
    Yes,
    /// A command is being done.
    #[default]
    Later,
    /// It cannot be kept, for this reason.
    Never(&'static str),
}

/// A session's state as it was parked, not understood yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Raw {
    /// The last handler had done the unread octets again when it died.
    pub(crate) is_again: bool,
    /// What came and was not understood.
    pub(crate) unread: Vec<u8>,
    small: Vec<u8>,
    wire: Vec<u8>,
    large: Vec<u8>,
}

/// What an annex has.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Parts<'a> {
    unread: &'a [u8],
    small: &'a [u8],
    /// What is needed to understand what comes compressed.
    wire: &'a [u8],
    large: &'a [u8],
}

/// Why a state cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unreadable(pub(crate) &'static str);

impl std::fmt::Display for Unreadable {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.0)
    }
}

/// Where a session is kept.
pub(crate) struct Place<'a> {
    /// Its cell.
    pub(crate) cell: Cell<'a>,
    /// Its name.
    pub(crate) id: SessionId,
    /// The folder for annexes.
    pub(crate) folder: &'a Path,
}

/// Keeps one session: knows what was written last.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    annex: Option<Annex>,
    /// Files written so far.
    number: u32,
    /// Of the large state that is in the annex.
    stamp: u64,
}

impl Keeper {
    /// Writes what there is of the session.
    pub(crate) fn keep(&mut self, place: &Place<'_>, input: &Input, conversation: &Conversation) -> Kept {
        let (parked, stamp) = match conversation.parking() {
            Parking::Yes(parked, stamp) => (parked, stamp),
            Parking::Later => return Kept::Later,
            Parking::Never(why) => return Kept::Never(why),
        };
        let Some(wire_stamp) = input.wire_stamp() else { return Kept::Later };
        let unread = input.unread();
        // Either is a number that no other state has had.
        let stamp = stamp.wrapping_mul(0x1_0000_01b3).wrapping_add(wire_stamp);
        let mut room = [0; PARKED_OCTETS];
        if let Some(at) = put_unread(&mut room, unread)
            && let Some(length) = shm_abi::encode_into(&parked, &mut room[at..])
        {
            let octets = &room[..at + length];
            let kept = match stamp {
                0 => self.put(place, octets, None),
                stamp if stamp == self.stamp && self.annex.is_some() => self.put(place, octets, self.annex),
                _ => {
                    let parts =
                        Parts { wire: &input.wire(), large: &conversation.large(), ..Parts::default() };
                    self.put_with_annex(place, octets, &parts, stamp)
                }
            };
            return kept;
        }
        let Ok(small) = shm_abi::encode(&parked) else { return Kept::Never(TOO_MUCH) };
        if unread.len() > UNREAD_IN_ANNEX_MAX {
            return Kept::Later;
        }
        let large = if stamp == 0 { Vec::new() } else { conversation.large() };
        // Whatever the next state is, its annex is another.
        let parts = Parts { unread, small: &small, wire: &input.wire(), large: &large };
        self.put_with_annex(place, &[IN_ANNEX], &parts, 0)
    }

    /// Writes a state that came from another handler, before the session is understood.
    pub(crate) fn keep_raw(&mut self, place: &Place<'_>, raw: &Raw, is_again: bool) -> Kept {
        let again = if is_again { AGAIN } else { 0 };
        let mut room = [0; PARKED_OCTETS];
        if let Some(at) = put_unread(&mut room, &raw.unread)
            && let Some(end) = at.checked_add(raw.small.len()).filter(|end| *end <= PARKED_OCTETS)
        {
            room[0] |= again;
            room[at..end].copy_from_slice(&raw.small);
            if raw.large.is_empty() && raw.wire.is_empty() {
                return self.put(place, &room[..end], None);
            }
            let parts = Parts { wire: &raw.wire, large: &raw.large, ..Parts::default() };
            return self.put_with_annex(place, &room[..end], &parts, 0);
        }
        let parts = Parts { unread: &raw.unread, small: &raw.small, wire: &raw.wire, large: &raw.large };
        self.put_with_annex(place, &[IN_ANNEX | again], &parts, 0)
    }

    /// The session is over: what is kept beside its cell is removed.
    pub(crate) fn remove(&mut self, place: &Place<'_>) {
        self.forget_annex(place);
    }

    fn put(&mut self, place: &Place<'_>, octets: &[u8], annex: Option<Annex>) -> Kept {
        if !place.cell.park(VERSION, octets, annex) {
            return Kept::Never(TOO_MUCH);
        }
        if annex != self.annex {
            self.forget_annex(place);
            self.annex = annex;
        }
        Kept::Yes
    }

    /// Writes the annex, then the cell that names it; only then goes the annex before.
    fn put_with_annex(&mut self, place: &Place<'_>, octets: &[u8], parts: &Parts<'_>, stamp: u64) -> Kept {
        let number = self.number.wrapping_add(1).max(1);
        let content = annex::join(parts);
        let annex = Annex { number, checksum: annex::checksum(&content) };
        if let Err(error) = annex::write(place.folder, &file_name(annex, place.id), &content) {
            crate::log::error!("session not parked", session = place.id, why = error);
            place.cell.unpark();
            return Kept::Never("has more state than can be kept now");
        }
        self.number = number;
        let kept = self.put(place, octets, Some(annex));
        self.stamp = stamp;
        kept
    }

    fn forget_annex(&mut self, place: &Place<'_>) {
        self.stamp = 0;
        if let Some(annex) = self.annex.take() {
            annex::remove(place.folder, &file_name(annex, place.id));
        }
    }
}

/// A number that no large state of this process has had. Never 0.
pub(crate) fn next_stamp() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Removes what a session that crashed kept beside its cell, as far as the cell still says so; the rest goes with the process.
pub(crate) fn remove_lost(place: &Place<'_>) {
    if let Some(annex) = place.cell.parked().and_then(|parked| parked.annex) {
        annex::remove(place.folder, &file_name(annex, place.id));
    }
}

const TOO_MUCH: &str = "has more state than can be kept";

fn file_name(annex: Annex, id: SessionId) -> String {
    annex.file_name(id.handler, id.cell, id.generation)
}

/// Puts flags and unread octets to the front of `room`; where they end, or `None` if they are too many.
fn put_unread(room: &mut [u8; PARKED_OCTETS], unread: &[u8]) -> Option<usize> {
    let end = 2 + unread.len();
    if unread.len() > UNREAD_OCTETS_MAX {
        return None;
    }
    room[1] = unread.len() as u8;
    room[2..end].copy_from_slice(unread);
    Some(end)
}

impl Raw {
    /// What a router handed over.
    ///
    /// # Errors
    /// It is of another version, not whole, or its annex is gone.
    pub(crate) fn read(
        parked: &shm_abi::Parked,
        annex_name: Option<&str>,
        folder: &Path,
    ) -> Result<Raw, Unreadable> {
        if parked.version != VERSION {
            return Err(Unreadable("it is of another version"));
        }
        let annex = match (parked.annex, annex_name) {
            (Some(annex), Some(name)) => Some(annex::read(folder, name, annex.checksum)?),
            (None, _) => None,
            (Some(_), None) => return Err(Unreadable("the rest of it is missing")),
        };
        let (&flags, rest) = parked.octets.split_first().ok_or(Unreadable("it is empty"))?;
        let is_again = flags & AGAIN != 0;
        if flags & !(AGAIN | IN_ANNEX) != 0 {
            return Err(Unreadable("it has unknown flags"));
        }
        let parts = match annex.as_deref().map(annex::split) {
            None => Parts::default(),
            Some(Some(parts)) => parts,
            Some(None) => return Err(Unreadable("the rest of it is damaged")),
        };
        let (unread, small) = match flags & IN_ANNEX {
            0 => {
                let (&length, rest) = rest.split_first().ok_or(Unreadable("it is cut off"))?;
                rest.split_at_checked(length.into()).ok_or(Unreadable("it is cut off"))?
            }
            _ => (parts.unread, parts.small),
        };
        let (wire, large) = (parts.wire.to_vec(), parts.large.to_vec());
        Ok(Raw { is_again, unread: unread.to_vec(), small: small.to_vec(), wire, large })
    }

    /// What is needed to understand what comes, empty if it does not come compressed.
    pub(crate) fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// The small state of the conversation.
    ///
    /// # Errors
    /// It makes no sense.
    pub(crate) fn small(&self) -> Result<Parked<'static>, Unreadable> {
        shm_abi::decode(&self.small).map_err(|_| Unreadable("it makes no sense"))
    }

    /// The large state of the conversation, empty if there is none.
    pub(crate) fn large(&self) -> &[u8] {
        &self.large
    }
}
