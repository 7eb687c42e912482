//! Who relies on the places of a mailbox's cells: sessions that have it selected, and whoever chose cells for a change. While one does, the
//! mailbox is not rewritten (`Store::compact`).
//!
//! Each process has a file of its own in the runtime folder, `pins.<writer>`, of 2^15 counters of 16 bits; a mailbox counts in the one that its
//! key hashes to. So a pin is two octets of memory that everybody can read, and one that a stranger's mailbox shares a counter with
//! is rewritten later, never too early.
//!
//! Why none is overlooked: who pins raises the counter, then looks whether the mailbox is being rewritten; who rewrites says so in its
//! header, then looks at the counters (a full fence between the two, on both sides). So at least one of them sees the other: the
//! rewriter gives up, or the one who pins waits for the mailbox's lock and opens what is there then.
//!
//! - A process that takes up a writer number sets the counters of its predecessor to 0: those sessions are gone. Counters of writers that do
//!   not live are not looked at.
//! - Whoever has the store to itself removes all of these files, before others can have them open.

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};
use std::sync::atomic::fence;
use std::sync::{Arc, PoisonError};

use crate::disk::Disk;
use crate::error::{Result, StoreError};
use crate::ids::MailboxId;
use crate::in_hand::{Mutex, RwLock};
use crate::mapping::Mapping;
use crate::state::is_writer_alive;

/// Counters of one writer: 2 to the power of this.
const COUNTERS_LOG2: u32 = 15;
const COUNTER_BYTES: u64 = 2;
const FILE_BYTES: u64 = COUNTER_BYTES << COUNTERS_LOG2;

/// The counters of this process and, for who asks, of all others.
#[derive(Debug)]
pub(crate) struct Pins {
    runtime_dir: PathBuf,
    writer: u16,
    own: Mapping,
    /// Whether the store was closed: its number may be another process's soon, and the counters with it. Pins that still live then count
    /// for nothing.
    closed: RwLock<bool>,
    others: Mutex<HashMap<u16, Mapping>>,
}

/// Keeps the cells of one mailbox where they are while it lives, in all processes. Cheap: two octets of shared memory.
#[derive(Debug)]
pub struct Pin {
    pins: Arc<Pins>,
    mailbox: MailboxId,
}

impl Pin {
    /// What is pinned.
    pub fn mailbox(&self) -> MailboxId {
        self.mailbox
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let closed = self.pins.closed.read().unwrap_or_else(PoisonError::into_inner);
        if !*closed {
            // It was raised when this was made, so it can be lowered.
            let _ = change(&self.pins.own, counter_of(self.mailbox), |count| count.checked_sub(1));
        }
    }
}

impl Pins {
    /// The counters of `writer`, all 0. The caller has that number.
    pub(crate) fn open(runtime_dir: &Path, writer: u16) -> Result<Pins> {
        let path = path_of(runtime_dir, writer);
        let disk = Disk::real();
        // Not another file: others have this one open.
        let own = match Mapping::open(&disk, &path) {
            Ok(own) if own.len() == FILE_BYTES => {
                let region = own.region();
                for word in (0..FILE_BYTES).step_by(8) {
                    if region.load_u64(word, Relaxed)? != 0 {
                        region.store_u64(word, 0, Relaxed)?;
                    }
                }
                own
            }
            Ok(_) => {
                fs::remove_file(&path).map_err(StoreError::io(&path, "replace"))?;
                Mapping::create(&disk, &path, FILE_BYTES)?
            }
            Err(StoreError::Io { error, .. }) if error.kind() == ErrorKind::NotFound => {
                Mapping::create(&disk, &path, FILE_BYTES)?
            }
            Err(error) => return Err(error),
        };
        let runtime_dir = runtime_dir.to_path_buf();
        Ok(Pins { runtime_dir, writer, own, closed: RwLock::new(false), others: Mutex::default() })
    }

    /// Removes what earlier runs left. For who has the store to itself, before anybody else may open it.
    pub(crate) fn remove_all(runtime_dir: &Path) -> Result<()> {
        for writer in writers(runtime_dir)? {
            let path = path_of(runtime_dir, writer);
            fs::remove_file(&path).map_err(StoreError::io(&path, "remove"))?;
        }
        Ok(())
    }

    /// Counts a pin of `mailbox`. The caller looks next whether it is being rewritten.
    ///
    /// Errors: `Busy` if the counter can count no more.
    pub(crate) fn pin(self: &Arc<Self>, mailbox: MailboxId) -> Result<Pin> {
        let closed = self.closed.read().unwrap_or_else(PoisonError::into_inner);
        if *closed {
            return Err(StoreError::Failed("it was closed".to_string()));
        }
        if !change(&self.own, counter_of(mailbox), |count| count.checked_add(1))? {
            return Err(StoreError::Busy("room for one more session with this mailbox"));
        }
        fence(SeqCst);
        Ok(Pin { pins: Arc::clone(self), mailbox })
    }

    /// Whether anybody relies on the cells of `mailbox`, as far as can be told: one who does is never overlooked. The caller has its lock, and
    /// has said that it is being rewritten.
    pub(crate) fn is_pinned(&self, mailbox: MailboxId) -> Result<bool> {
        fence(SeqCst);
        let counter = counter_of(mailbox);
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        // Who makes a file later pins later, and sees that the mailbox is being rewritten.
        for writer in writers(&self.runtime_dir)? {
            let count = if writer == self.writer {
                read(&self.own, counter)?
            } else {
                let known = match others.entry(writer) {
                    std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
                    std::collections::hash_map::Entry::Vacant(place) => {
                        let opened = Mapping::open(&Disk::real(), &path_of(&self.runtime_dir, writer))?;
                        if opened.len() < FILE_BYTES {
                            // In the making: it will be zero. What comes then sees that the mailbox is being rewritten.
                            continue;
                        }
                        place.insert(opened)
                    }
                };
                read(known, counter)?
            };
            if count > 0 && (writer == self.writer || is_writer_alive(&self.runtime_dir, writer)?) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// From now on pins of this process count for nothing. The counters stay as they are until the writer's number is free.
    pub(crate) fn close(&self) {
        *self.closed.write().unwrap_or_else(PoisonError::into_inner) = true;
    }
}

fn path_of(runtime_dir: &Path, writer: u16) -> PathBuf {
    runtime_dir.join(format!("pins.{writer}"))
}

/// The writers that have a file.
fn writers(runtime_dir: &Path) -> Result<Vec<u16>> {
    let mut writers = Vec::new();
    for entry in fs::read_dir(runtime_dir).map_err(StoreError::io(runtime_dir, "read"))? {
        let name = entry.map_err(StoreError::io(runtime_dir, "read"))?.file_name();
        writers.extend(name.to_str().and_then(|name| name.strip_prefix("pins.")?.parse::<u16>().ok()));
    }
    Ok(writers)
}

/// Which counter, from 0.
fn counter_of(mailbox: MailboxId) -> u64 {
    // Fibonacci hashing: the upper bits of the product depend on all bits of the key.
    mailbox.key().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - COUNTERS_LOG2)
}

/// The word of a counter, and how far to the left the counter is in it.
fn place_of(counter: u64) -> (u64, u32) {
    (counter / 2 * 4, if counter.is_multiple_of(2) { 0 } else { 16 })
}

fn read(counters: &Mapping, counter: u64) -> Result<u16> {
    let (word, shift) = place_of(counter);
    Ok((counters.region().load_u32(word, SeqCst)? >> shift) as u16)
}

/// Changes a counter as `to` says; false if that says `None`.
fn change(counters: &Mapping, counter: u64, to: impl Fn(u16) -> Option<u16>) -> Result<bool> {
    let (word, shift) = place_of(counter);
    let region = counters.region();
    let mut seen = region.load_u32(word, Acquire)?;
    loop {
        let Some(count) = to((seen >> shift) as u16) else { return Ok(false) };
        let changed = seen & !(0xffff << shift) | u32::from(count) << shift;
        match region.compare_exchange_u32(word, seen, changed, SeqCst)? {
            Ok(_) => return Ok(true),
            Err(now) => seen = now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::UserId;
    use crate::state::WriterClaim;

    fn mailbox(number: u32) -> MailboxId {
        MailboxId { user: UserId(1), number }
    }

    #[test]
    fn a_pin_is_seen_by_all_until_it_or_its_process_is_gone() {
        let folder = tempfile::tempdir().expect("a folder");
        let (claim, _other_claim) = (
            WriterClaim::take(folder.path(), 3).expect("free"),
            WriterClaim::take(folder.path(), 70).expect("free"),
        );
        let one = Arc::new(Pins::open(folder.path(), 3).expect("made"));
        let other = Arc::new(Pins::open(folder.path(), 70).expect("made"));
        let pins = [one.pin(mailbox(1)).expect("room"), one.pin(mailbox(1)).expect("room")];
        assert!(
            one.is_pinned(mailbox(1)).expect("readable") && other.is_pinned(mailbox(1)).expect("readable")
        );
        assert!(!other.is_pinned(mailbox(2)).expect("readable"));
        let [first, second] = pins;
        drop(first);
        assert!(other.is_pinned(mailbox(1)).expect("readable"));
        drop(second);
        assert!(!other.is_pinned(mailbox(1)).expect("readable"));

        // The process dies with a pin.
        std::mem::forget(one.pin(mailbox(1)).expect("room"));
        let late = one.pin(mailbox(1)).expect("room");
        assert!(other.is_pinned(mailbox(1)).expect("readable"));
        one.close();
        assert!(one.pin(mailbox(1)).is_err());
        assert!(other.is_pinned(mailbox(1)).expect("readable"), "its sessions may still read");
        drop(claim);
        assert!(!other.is_pinned(mailbox(1)).expect("readable"));
        let _claim = WriterClaim::take(folder.path(), 3).expect("free");
        let next = Arc::new(Pins::open(folder.path(), 3).expect("made"));
        assert!(!other.is_pinned(mailbox(1)).expect("readable"), "the next one begins with none");
        let pin = next.pin(mailbox(1)).expect("room");
        drop(late);
        assert!(other.is_pinned(mailbox(1)).expect("readable"), "a pin of the old one is not taken for it");
        drop(pin);
        Pins::remove_all(folder.path()).expect("removed");
        assert_eq!(writers(folder.path()).expect("readable"), []);
    }

    #[test]
    fn counters_side_by_side_do_not_touch_one_another_and_end_at_their_limit() {
        let folder = tempfile::tempdir().expect("a folder");
        let counters =
            Mapping::create(&Disk::real(), &folder.path().join("pins.0"), FILE_BYTES).expect("made");
        for _ in 0..u16::MAX {
            assert!(change(&counters, 6, |count| count.checked_add(1)).expect("mapped"));
        }
        assert!(!change(&counters, 6, |count| count.checked_add(1)).expect("mapped"));
        assert!(change(&counters, 7, |count| count.checked_add(1)).expect("mapped"));
        assert!(!change(&counters, 8, |count| count.checked_sub(1)).expect("mapped"));
        let read = |counter| read(&counters, counter).expect("mapped");
        assert_eq!([read(5), read(6), read(7), read(8)], [0, u16::MAX, 1, 0]);
    }
}
