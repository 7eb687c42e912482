//! Descriptors that are kept for the last step of a change (`last_step.rs`): open files that nobody needs, closed when a file must be opened and there is no
//! descriptor for it. It is as with the reserve on the disk: what must not fail has something that others cannot take.

use std::fs::File;
use std::io;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};

use super::relief::{ask_all, with_relief};
use crate::error::Result;
use crate::in_hand::Mutex;

/// More than a last step has open at one time (a mailbox, its marks or annotations, a directory, the usage view, a list), for who else opens something at
/// that moment may take some of them.
const KEPT: usize = 16;

/// The descriptors that one open store keeps.
#[derive(Debug)]
pub(crate) struct Spare {
    kept: Mutex<Vec<File>>,
    /// Whether all are there; only who has `kept` locked changes it.
    is_whole: AtomicBool,
}

impl Spare {
    /// As many of them as can be had.
    pub(crate) fn new() -> Spare {
        let spare = Spare { kept: Mutex::new(Vec::with_capacity(KEPT)), is_whole: AtomicBool::new(false) };
        let _ = spare.make_whole();
        spare
    }

    /// Sees to it that all are there.
    ///
    /// Errors: that of the system if they cannot be had.
    pub(crate) fn make_whole(&self) -> io::Result<()> {
        if self.is_whole.load(Ordering::Acquire) {
            return Ok(());
        }
        self.fill(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn fill(&self, kept: &mut Vec<File>) -> io::Result<()> {
        while kept.len() < KEPT {
            kept.push(with_relief(|| File::open("/dev/null"))?);
        }
        self.is_whole.store(true, Ordering::Release);
        Ok(())
    }

    /// Does `work` with half of them given up for it; as long as it is short of something, again with half of those that are left. By one thread at a
    /// time.
    pub(crate) fn spend<T>(&self, mut work: impl FnMut() -> Result<T>) -> Result<T> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_whole.store(false, Ordering::Release);
        ask_all();
        let done = loop {
            let left = kept.len() / 2;
            kept.truncate(left);
            match work() {
                Err(error) if error.is_shortage() && left > 0 => (),
                done => break done,
            }
        };
        // What cannot be had now is asked for again by the next change.
        let _ = self.fill(&mut kept);
        done
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use nix::errno::Errno;

    use super::*;
    use crate::error::StoreError;

    #[test]
    fn what_was_spent_is_there_again() {
        let spare = Spare::new();
        let kept = || spare.kept.lock().expect("not poisoned").len();
        assert_eq!(kept(), KEPT);
        let during = spare.spend(|| Ok(spare.is_whole.load(Ordering::Acquire)));
        assert!(!during.expect("done"), "others wait until they are there again");
        assert_eq!(kept(), KEPT);
        let mut tries = 0;
        let short = || StoreError::io(Path::new("x"), "open")(Errno::EMFILE.into());
        let done = spare.spend(|| {
            tries += 1;
            if tries < 3 { Err(short()) } else { Ok(tries) }
        });
        assert_eq!((done.expect("done"), kept()), (3, KEPT));
        spare.spend(|| Err::<(), _>(short())).expect_err("there is an end");
        assert_eq!(kept(), KEPT);
        spare.make_whole().expect("nothing is missing");
        assert_eq!(kept(), KEPT);
    }
}
