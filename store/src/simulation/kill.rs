//! How a simulated process is killed: in the middle of an operation, when it has called the disk for the so-manieth time. Its thread is unwound
//! without anything being cleaned up: locks stay held, which the kernel tells their next owner when the thread is gone.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

thread_local! {
    /// Calls of the disk that the thread has left to live; 0: it lives on.
    static CALLS_LEFT: Cell<u32> = const { Cell::new(0) };
    static IS_DYING: Cell<bool> = const { Cell::new(false) };
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
        1 => {
            CALLS_LEFT.set(0);
            IS_DYING.set(true);
            resume_unwind(Box::new(Killed));
        }
        left => CALLS_LEFT.set(left - 1),
    }
}

/// Does `what` without its calls being counted.
pub(super) fn not_counted(what: impl FnOnce()) {
    let left = CALLS_LEFT.replace(0);
    what();
    CALLS_LEFT.set(left);
}

/// Does `what` in a thread of its own that is killed at that call, unless it comes to its end before. `None` if it was killed.
pub(super) fn until_killed<T: Send>(at_call: u32, what: impl FnOnce() -> T + Send) -> Option<T> {
    let outcome = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            CALLS_LEFT.set(at_call);
            let outcome = catch_unwind(AssertUnwindSafe(what));
            CALLS_LEFT.set(0);
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
        assert_eq!(until_killed(3, calls(2)), Some(()));
        assert_eq!(until_killed(3, calls(3)), None);
        count_call();
        assert!(!is_dying());
    }
}
