//! How a simulated process is killed: in the middle of an operation, when it has called the disk for the so-manieth time, or has come to a
//! place where it could do something wrong on purpose. Its thread is unwound without anything being cleaned up: locks stay held, which the
//! kernel tells their next owner when the thread is gone.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::disk::Mutation;

thread_local! {
    /// Calls of the disk that the thread has left to live; 0: it lives on.
    static CALLS_LEFT: Cell<u32> = const { Cell::new(0) };
    /// A mutation, and how many of the places where it is asked for the thread has left to live.
    static PLACES_LEFT: Cell<Option<(Mutation, u32)>> = const { Cell::new(None) };
    static IS_DYING: Cell<bool> = const { Cell::new(false) };
}

/// When a process is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Death {
    /// At the so-manieth call of the disk.
    Call(u32),
    /// When it is asked for the so-manieth time whether the store does this wrong; whether it does or not.
    Asked(Mutation, u32),
}

/// What the thread of a killed process is unwound with.
struct Killed;

/// Whether this thread is of a process that was killed: it does nothing more.
pub(crate) fn is_dying() -> bool {
    IS_DYING.get()
}

/// A simulated disk is called, or a place is passed at which a process may be killed.
pub(crate) fn count_call() {
    match CALLS_LEFT.get() {
        0 => (),
        1 => die(),
        left => CALLS_LEFT.set(left - 1),
    }
}

/// It is asked whether the store does something wrong.
pub(crate) fn count_question(mutation: Mutation) {
    count_call();
    match PLACES_LEFT.get() {
        Some((of, 1)) if of == mutation => die(),
        Some((of, left)) if of == mutation => PLACES_LEFT.set(Some((of, left - 1))),
        _ => (),
    }
}

fn die() {
    CALLS_LEFT.set(0);
    PLACES_LEFT.set(None);
    IS_DYING.set(true);
    resume_unwind(Box::new(Killed));
}

/// Does `what` without its calls being counted.
pub(super) fn not_counted(what: impl FnOnce()) {
    let left = (CALLS_LEFT.replace(0), PLACES_LEFT.replace(None));
    what();
    CALLS_LEFT.set(left.0);
    PLACES_LEFT.set(left.1);
}

/// Does `what` in a thread of its own that is killed then, unless it comes to its end before. `None` if it was killed.
pub(super) fn until_killed<T: Send>(death: Death, what: impl FnOnce() -> T + Send) -> Option<T> {
    let outcome = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            match death {
                Death::Call(number) => CALLS_LEFT.set(number),
                Death::Asked(mutation, number) => PLACES_LEFT.set(Some((mutation, number))),
            }
            let outcome = catch_unwind(AssertUnwindSafe(what));
            CALLS_LEFT.set(0);
            PLACES_LEFT.set(None);
            outcome
        });
        // Joined, and not left to the scope: the locks are known to be left behind when the kernel has ended the thread.
        thread.join()
    });
    match outcome {
        Ok(Ok(done)) => Some(done),
        Ok(Err(payload)) | Err(payload) if payload.is::<Killed>() => None,
        Ok(Err(payload)) | Err(payload) => resume_unwind(payload),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_killed_at_its_call_or_not_at_all() {
        let calls = |count| move || (0..count).for_each(|_| count_call());
        assert_eq!(until_killed(Death::Call(3), calls(2)), Some(()));
        assert_eq!(until_killed(Death::Call(3), calls(3)), None);
        count_call();
        assert!(!is_dying());
    }

    #[test]
    fn a_thread_is_killed_where_it_is_asked() {
        let questions = || {
            count_question(Mutation::NoReplay);
            count_question(Mutation::SkipBucketSync);
            count_question(Mutation::NoReplay);
        };
        assert_eq!(until_killed(Death::Asked(Mutation::NoReplay, 2), questions), None);
        assert_eq!(until_killed(Death::Asked(Mutation::NoReplay, 3), questions), Some(()));
        assert_eq!(until_killed(Death::Asked(Mutation::SkipJournalSync, 1), questions), Some(()));
    }
}
