//! INPROGRESS (RFC 9585): a command that takes long says now and then how far it is, so that nobody thinks the server is gone.
//!
//! Used by every command that goes on for many turns without writing anything: searches, sorting, threads.

use protocol::imap::command::Tag;
use protocol::imap::reply::code::Code;
use protocol::imap::reply::status::{self as reply, Condition};

use crate::conversation::{Next, Turn};

/// How long a command is silent at most, in milliseconds. RFC 9585, 4 recommends 10 to 15 seconds.
const SILENCE_MS: u64 = 10_000;

/// When a command that goes on last said so.
pub(crate) struct InProgress {
    next_ms: u64,
}

impl InProgress {
    /// A command that begins now.
    pub(crate) fn new(turn: &Turn<'_>) -> InProgress {
        InProgress { next_ms: turn.shared.now_ms() + SILENCE_MS }
    }

    /// Says that `done` things of `of` are done, if it is time.
    pub(crate) fn tell(&mut self, turn: &mut Turn<'_>, tag: &Tag, done: u64, of: u64) {
        let now_ms = turn.shared.now_ms();
        self.write(turn.output.bytes(), now_ms, tag, done, of);
    }

    /// The same for a command that waits for `next` now, and so is silent, or not.
    pub(crate) fn tell_of(&mut self, turn: &mut Turn<'_>, tag: &Tag, next: Next, done: u32, of: u32) {
        if next == Next::Again {
            self.tell(turn, tag, u64::from(done), u64::from(of));
        }
    }

    fn write(&mut self, out: &mut Vec<u8>, now_ms: u64, tag: &Tag, done: u64, of: u64) {
        if now_ms < self.next_ms {
            return;
        }
        self.next_ms = now_ms + SILENCE_MS;
        // As many as there are would mean that the command has ended.
        let done = done.min(of.saturating_sub(1));
        let code = Code::InProgress(tag, done, (of > 0).then_some(of));
        reply::untagged(out, Condition::Ok, Some(code), "Still at it");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_so_every_ten_seconds_and_never_that_all_is_done() {
        let tag = Tag::new(b"A001").expect("a tag");
        let mut progress = InProgress { next_ms: 10_000 };
        let mut told = |now_ms, done, of| {
            let mut out = Vec::new();
            progress.write(&mut out, now_ms, &tag, done, of);
            String::from_utf8(out).expect("ASCII")
        };
        assert_eq!(told(9_999, 1, 1000), "");
        assert_eq!(told(10_000, 454, 1000), "* OK [INPROGRESS (\"A001\" 454 1000)] Still at it\r\n");
        assert_eq!(told(19_999, 500, 1000), "");
        assert_eq!(told(25_000, 1000, 1000), "* OK [INPROGRESS (\"A001\" 999 1000)] Still at it\r\n");
        assert_eq!(told(34_999, 1000, 1000), "");
        assert_eq!(told(99_000, 0, 0), "* OK [INPROGRESS (\"A001\" 0 NIL)] Still at it\r\n");
    }
}
