//! What is done when the process has no descriptor left: open files that nobody uses are closed, and the file is opened once more.
//!
//! Caches keep files open because that is cheaper than to open them again. They must not keep out what is needed now: the
//! message of a client, or the client itself. So whoever caches open files says here that it can give some back. It is asked by
//! whichever thread found none left, which may hold locks of the store: it must close files and do nothing else.

use std::io;
use std::sync::{Arc, PoisonError, Weak};

use nix::errno::Errno;

use crate::in_hand::Mutex;

/// One that has files open that it can do without.
pub(crate) trait GivesBack: Send + Sync {
    /// Closes what nobody uses.
    fn give_back(&self);
}

static HOLDERS: Mutex<Vec<Weak<dyn GivesBack>>> = Mutex::new(Vec::new());

/// From now on `holder` is asked, as long as it lives.
pub(crate) fn register(holder: Weak<dyn GivesBack>) {
    let mut holders = HOLDERS.lock().unwrap_or_else(PoisonError::into_inner);
    holders.retain(|known| known.strong_count() > 0);
    holders.push(holder);
}

/// Has everybody give back.
pub(crate) fn ask_all() {
    let holders: Vec<Arc<dyn GivesBack>> =
        HOLDERS.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade).collect();
    holders.iter().for_each(|holder| holder.give_back());
}

/// Runs `open`, and once more if there was no descriptor for it and others could be closed.
pub(super) fn with_relief<T>(open: impl Fn() -> io::Result<T>) -> io::Result<T> {
    match open() {
        Err(error) if is_shortage(&error) => {
            ask_all();
            open()
        }
        other => other,
    }
}

fn is_shortage(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EMFILE | Errno::ENFILE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    struct Holder(AtomicU32);

    impl GivesBack for Holder {
        fn give_back(&self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn what_found_no_descriptor_is_tried_once_more_and_nothing_else_is() {
        let holder = Arc::new(Holder(AtomicU32::new(0)));
        let weak: Weak<Holder> = Arc::downgrade(&holder);
        register(weak);
        let asked = || holder.0.load(Ordering::SeqCst);
        let shortage = || io::Error::from(Errno::EMFILE);
        let opened = with_relief(|| if asked() == 0 { Err(shortage()) } else { Ok(7) });
        assert_eq!(opened.expect("opens"), 7);
        // The second no is the answer.
        let before = asked();
        assert!(with_relief(|| Err::<(), _>(shortage())).is_err());
        assert_eq!(asked(), before + 1);
        let before = asked();
        assert!(with_relief(|| Err::<(), _>(io::Error::from(Errno::ENOENT))).is_err());
        assert_eq!(asked(), before);
        drop(holder);
        assert!(with_relief(|| Err::<(), _>(shortage())).is_err());
    }
}
