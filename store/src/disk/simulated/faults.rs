//! What goes wrong on a simulated disk, by order of whoever runs it.

use std::collections::BTreeMap;
use std::io;

use super::random::Random;

/// Kinds of calls, as they are counted and fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    /// Opening a file that is there.
    Open,
    /// Making a file.
    Create,
    /// Making a folder.
    CreateFolder,
    /// Reading from a file.
    Read,
    /// Reading the names in a folder, and `stat`.
    Look,
    /// Writing to a file.
    Write,
    /// Changing the length of a file.
    SetLen,
    /// Taking space, or giving it back.
    Allocate,
    /// `fdatasync` and `fsync` of a file.
    Sync,
    /// `fsync` of a folder.
    SyncFolder,
    /// `syncfs`.
    SyncFileSystem,
    /// Giving a file or folder another name.
    Rename,
    /// Giving a file one more name.
    Link,
    /// Taking away the name of a file or of an empty folder.
    Remove,
}

impl Call {
    /// All kinds.
    pub const ALL: [Call; 14] = [
        Call::Open,
        Call::Create,
        Call::CreateFolder,
        Call::Read,
        Call::Look,
        Call::Write,
        Call::SetLen,
        Call::Allocate,
        Call::Sync,
        Call::SyncFolder,
        Call::SyncFileSystem,
        Call::Rename,
        Call::Link,
        Call::Remove,
    ];
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// EIO. A write may have written a part; a sync has written some sectors, and those that it has not are never tried again.
    Io,
    /// ENOSPC. A write may have written a part.
    NoSpace,
    /// EMFILE, for calls that open.
    TooManyFiles,
}

impl Failure {
    pub(super) fn error(self) -> io::Error {
        io::Error::from_raw_os_error(match self {
            Failure::Io => libc::EIO,
            Failure::NoSpace => libc::ENOSPC,
            Failure::TooManyFiles => libc::EMFILE,
        })
    }
}

/// Counts calls and says which fail.
#[derive(Debug, Default)]
pub(super) struct Faults {
    made: BTreeMap<Call, u64>,
    planned: Vec<Planned>,
    /// Octets that can still be taken; `None` if there is no end.
    room: Option<u64>,
    off: bool,
}

#[derive(Debug)]
struct Planned {
    call: Call,
    number: u64,
    failure: Failure,
}

impl Faults {
    /// Counts a call; how it fails, if it does.
    pub(super) fn call(&mut self, call: Call) -> Result<(), Failure> {
        if self.off {
            return Err(Failure::Io);
        }
        let made = self.made.entry(call).or_default();
        *made += 1;
        let number = *made;
        match self.planned.iter().position(|planned| planned.call == call && planned.number == number) {
            Some(place) => Err(self.planned.swap_remove(place).failure),
            None => Ok(()),
        }
    }

    pub(super) fn made(&self, call: Call) -> u64 {
        self.made.get(&call).copied().unwrap_or(0)
    }

    /// The `nth` call of that kind from now on, from 1, fails.
    pub(super) fn plan(&mut self, call: Call, nth: u64, failure: Failure) {
        self.planned.push(Planned { call, number: self.made(call) + nth, failure });
    }

    pub(super) fn planned(&self) -> usize {
        self.planned.len()
    }

    pub(super) fn forget_planned(&mut self) {
        self.planned.clear();
    }

    pub(super) fn set_room(&mut self, room: Option<u64>) {
        self.room = room;
    }

    pub(super) fn power_off(&mut self) {
        self.off = true;
    }

    pub(super) fn is_off(&self) -> bool {
        self.off
    }

    /// Takes `bytes` octets more; how many of them there are.
    pub(super) fn take_room(&mut self, bytes: u64) -> u64 {
        let Some(room) = &mut self.room else { return bytes };
        let taken = bytes.min(*room);
        *room -= taken;
        taken
    }

    /// Octets were given back.
    pub(super) fn give_room(&mut self, bytes: u64) {
        if let Some(room) = &mut self.room {
            *room = room.saturating_add(bytes);
        }
    }

    /// Whether a new file or folder finds a place.
    pub(super) fn has_room(&self) -> bool {
        self.room != Some(0)
    }
}

/// How much of a write that fails is written.
pub(super) fn part_written(bytes: usize, random: &mut Random) -> usize {
    match random.below(3) {
        0 => 0,
        1 => random.below(bytes as u64 + 1) as usize,
        _ => (random.below(bytes as u64 + 1) as usize).next_multiple_of(512).min(bytes),
    }
}
