//! Finishes what the owner of a lock left half-done: it died, or failed, between the steps of a change (FORMAT.md, "Order of a change"). Called by whoever takes a
//! lock, and by who is about to read what a lock protects, if that can be had at once.
//!
//! Invariant: nothing is read under a lock before its part of the change is in the views.

use crate::derived::{Derived, Pass, Source, mailbox_of_cells};
use crate::error::Result;
use crate::ids::MailboxId;
use crate::locks::{Held, Intent, LockKey, Locks, Stripe, Syncs};
use crate::log::LogReader;
use crate::log::frame::LOG_HEAD_BYTES;
use crate::log::logs::{log_path, write_again};
use crate::txn::must_be_durable_first;

/// Takes the locks of `stripes`, ascending and distinct, and finishes what earlier owners left half-done.
pub(crate) fn take_and_repair<'a>(
    locks: &'a Locks,
    derived: &Derived,
    stripes: &[Stripe],
) -> Result<Held<'a>> {
    let held = locks.take(stripes)?;
    finish(locks, derived, &held)?;
    Ok(held)
}

/// Finishes what earlier owners of the locks that are `held` left half-done.
pub(crate) fn finish(locks: &Locks, derived: &Derived, held: &Held<'_>) -> Result<()> {
    for (stripe, intent) in held.left_behind() {
        derived.last_step.finish(|| repair(locks, derived, stripe, &intent))?;
        // They may have been among what was repaired.
        locks.count_quota_change();
        held.clear_one(stripe);
        derived.counters.repairs.add(1);
    }
    Ok(())
}

/// The owner of `stripe` died, or failed, between writing a frame and having its changes in the views. If the frame is whole, the
/// part of it that this stripe protects is put there; if not, nothing happened.
fn repair(locks: &Locks, derived: &Derived, stripe: Stripe, intent: &Intent) -> Result<()> {
    let path = log_path(derived.pages.root(), intent.log);
    let Some(reader) = LogReader::open(&derived.disk, &path, intent.log)? else {
        return Ok(());
    };
    let Some(frame) = reader.frame_at(intent.offset)? else {
        return Ok(());
    };
    if must_be_durable_first(&frame.changes) {
        // Who reads the log finds no frame behind a hole, and a failed sync may have left one before this frame.
        let from = match locks.syncs() {
            Syncs::Trusted => frame.offset,
            Syncs::Doubtful => LOG_HEAD_BYTES,
        };
        write_again(&derived.disk, &path, from..frame.end())?;
    }
    let source = Source::new(intent.log, intent.offset, &frame.head);
    let concerns = |key: LockKey| key.stripe() == stripe;
    derived.apply(&source, &frame.changes, &concerns, Pass::Again)?;
    // Who holds the lock of a list next counts on rows whose mailboxes are repaired later, with locks of their own.
    let elsewhere =
        |mailbox: &MailboxId| concerns(LockKey::List(mailbox.user)) && !concerns(LockKey::Mailbox(*mailbox));
    frame
        .changes
        .iter()
        .filter_map(mailbox_of_cells)
        .filter(elsewhere)
        .try_for_each(|mailbox| derived.forget_usage(mailbox))
}
