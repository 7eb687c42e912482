//! Which message a thread read last, and which messages are not to be read.
//!
//! The first is for who looks into a crash: content that crashes a program once does so again. The number is a word of the thread's own
//! storage without destructor, so that it can be asked for in a signal handler. The second is what is done about it: the store hands
//! out neither content nor record of such a message, and everything else goes on with it: flags, copies, expunges, backups.

use std::cell::Cell;
use std::collections::HashSet;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Result, StoreError};
use crate::ids::{MessageId, PageId};
use crate::in_hand::RwLock;

/// No message.
const NONE: u64 = u64::MAX;

thread_local! {
    static LAST: Cell<u64> = const { Cell::new(NONE) };
}

/// The message whose content or record the calling thread asked for last, since [`forget`].
pub fn last() -> Option<MessageId> {
    let last = LAST.get();
    (last != NONE).then_some(MessageId { page: PageId((last >> 32) as u32), index: last as u32 })
}

/// The calling thread has read no message.
pub fn forget() {
    LAST.set(NONE);
}

/// Messages that are not to be read.
#[derive(Debug, Default)]
pub(crate) struct Withheld {
    any: AtomicBool,
    messages: RwLock<HashSet<MessageId>>,
}

impl Withheld {
    /// These and no others.
    pub(crate) fn set(&self, messages: HashSet<MessageId>) {
        let mut withheld = self.messages.write().unwrap_or_else(PoisonError::into_inner);
        self.any.store(!messages.is_empty(), Ordering::Relaxed);
        *withheld = messages;
    }

    /// The calling thread is about to read `message`.
    pub(crate) fn begin(&self, message: MessageId) -> Result<()> {
        if self.any.load(Ordering::Relaxed)
            && self.messages.read().unwrap_or_else(PoisonError::into_inner).contains(&message)
        {
            return Err(StoreError::Withheld(message));
        }
        LAST.set(u64::from(message.page.0) << 32 | u64::from(message.index));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_withheld_is_not_read() {
        let message = |index| MessageId { page: PageId(7), index };
        let withheld = Withheld::default();
        forget();
        assert!(withheld.begin(message(1)).is_ok());
        assert_eq!(last(), Some(message(1)));
        withheld.set(HashSet::from([message(1)]));
        assert!(matches!(withheld.begin(message(1)), Err(StoreError::Withheld(id)) if id == message(1)));
        assert!(withheld.begin(message(2)).is_ok());
        assert_eq!(last(), Some(message(2)));
        withheld.set(HashSet::new());
        assert!(withheld.begin(message(1)).is_ok());
        forget();
        assert_eq!(last(), None);
    }
}
