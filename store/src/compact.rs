//! Rewriting mailboxes without the tombstones that nobody needs: when, and in which order. What is written is `mailbox/rewrite.rs`, who keeps it from
//! happening `pins.rs`; the argument is in `FORMAT.md`, "Rewriting a mailbox".

use crate::error::{Result, StoreError};
use crate::ids::MailboxId;
use crate::locks::LockKey;
use crate::pins::Pin;
use crate::store::Store;

/// Fewer tombstones are left where they are: they are one block.
const LEAST_TOMBSTONES: u32 = 64;

/// What came of an attempt to rewrite a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compaction {
    /// It was rewritten, without so many tombstones.
    Done(u32),
    /// It has few tombstones that could go, or is not there.
    NothingToGain,
    /// Somebody relies on the places of its cells.
    Pinned,
}

impl Store {
    /// Keeps the cells of `mailbox` where they are until the pin is dropped, whatever other processes do. Whoever remembers a
    /// [`CellIndex`](crate::CellIndex) of it, or a view, from one call to the next holds a pin that is older than what is remembered:
    /// a session from SELECT on, also while it is parked; whoever looks cells up for a transaction, until that is done.
    ///
    /// Errors: `NotFound` if the mailbox is not there.
    pub fn pin(&self, mailbox: MailboxId) -> Result<Pin> {
        let pin = self.pins.pin(mailbox)?;
        if self.derived.mailbox(mailbox)?.is_perhaps_replaced() {
            // It is being rewritten now: wait for the end. Or its rewriter died: then the flag goes away.
            let held = self.take(&[LockKey::Mailbox(mailbox)])?;
            self.mailbox_held(mailbox, &held)?;
        }
        Ok(pin)
    }

    /// Rewrites the cells of `mailbox` without tombstones that hold no messages any more, if these outweigh everything else in it and nobody
    /// has it pinned. Messages keep their UIDs and all that is known of them.
    ///
    /// Errors: `Corrupt` if a cell is damaged: the file is left as it is, for repair.
    pub fn compact(&self, mailbox: MailboxId) -> Result<Compaction> {
        self.compact_if(mailbox, |released, cells| released >= LEAST_TOMBSTONES && released > cells / 2)
    }

    /// As [`Store::compact`], for the sake of a single tombstone. For tests.
    #[doc(hidden)]
    pub fn compact_at_once(&self, mailbox: MailboxId) -> Result<Compaction> {
        self.compact_if(mailbox, |released, _| released > 0)
    }

    fn compact_if(&self, mailbox: MailboxId, is_worth_it: impl Fn(u32, u32) -> bool) -> Result<Compaction> {
        self.check_writable()?;
        let gone = |error| match error {
            StoreError::NotFound(_) => Ok(Compaction::NothingToGain),
            error => Err(error),
        };
        // Most mailboxes have nothing to gain, and need no lock to find out.
        match self.derived.mailbox(mailbox) {
            Ok(open) => {
                if !is_worth_it(open.released_tombstones()?, open.cell_count()?) {
                    return Ok(Compaction::NothingToGain);
                }
            }
            Err(error) => return gone(error),
        }
        // Under the list's lock no folder is put away with its user, so that the name stays this mailbox's.
        let held = self.take(&[LockKey::Mailbox(mailbox), LockKey::List(mailbox.user)])?;
        let open = match self.mailbox_held(mailbox, &held) {
            Ok(open) if self.derived.cells_path(mailbox).is_ok_and(|path| path == open.path()) => open,
            Ok(_) => return Ok(Compaction::NothingToGain),
            Err(error) => return gone(error),
        };
        // After a writer that died: counts are made anew.
        open.writer()?.publish(open.highest_modseq()?, open.uid_next()?);
        if !is_worth_it(open.released_tombstones()?, open.cell_count()?) {
            return Ok(Compaction::NothingToGain);
        }
        open.begin_rewriting();
        let outcome = match self.pins.is_pinned(mailbox) {
            Ok(true) => Ok(Compaction::Pinned),
            Ok(false) => open.rewrite(&self.derived.disk).and_then(|made| {
                open.put_in_place(&self.derived.disk, &made)?;
                Ok(Compaction::Done(made.dropped))
            }),
            Err(error) => Err(error),
        };
        match outcome {
            Ok(Compaction::Done(_)) => {
                self.derived.forget(mailbox);
                self.counters.compactions.add(1);
            }
            _ => open.end_rewriting(),
        }
        outcome
    }
}

/// Where a rewriter dies, in tests.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiedRewriting {
    BeforeTheFile,
    BeforeTheName,
    AfterTheName,
}

impl Store {
    /// For tests: does what one has done that dies with the locks while it rewrites.
    #[doc(hidden)]
    pub fn die_rewriting_for_tests(&self, mailbox: MailboxId, died: DiedRewriting) {
        let work = || -> Result<()> {
            let held = self.take(&[LockKey::Mailbox(mailbox), LockKey::List(mailbox.user)])?;
            let open = self.mailbox_held(mailbox, &held)?;
            open.begin_rewriting();
            if died != DiedRewriting::BeforeTheFile {
                let made = open.rewrite(&self.derived.disk)?;
                if died == DiedRewriting::AfterTheName {
                    made.put_in_place_for_tests(&self.derived.disk, open.path())?;
                }
            }
            held.die();
            Ok(())
        };
        std::thread::scope(|scope| scope.spawn(work).join().expect("no panic").expect("possible"));
    }

    /// For tests: all tombstones of a mailbox let go of their messages, without the care that collection takes. Returns how many did.
    #[doc(hidden)]
    pub fn release_all_for_tests(&self, mailbox: MailboxId) -> Result<u32> {
        let held = self.take(&[LockKey::Mailbox(mailbox)])?;
        let open = self.mailbox_held(mailbox, &held)?;
        let mut writer = open.writer()?;
        let mut released = 0;
        for index in (0..open.cell_count()?).map(crate::CellIndex) {
            if let Some(message) = writer.release(index) {
                released += 1;
                self.pages.directory(message.page)?.drop_reference(message.index)?;
            }
        }
        writer.publish(open.highest_modseq()?, open.uid_next()?);
        Ok(released)
    }
}
