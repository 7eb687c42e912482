//! The parts of a CATENATE that URLs stand for (RFC 4469): copied through memory piece by piece.

use std::ops::Range;

use protocol::imap::reply::code::Code;
use protocol::imap::reply::status::Condition;
use store::StoredMessage;

use super::super::content::Content;
use super::super::{Flow, ImapSession, Running};
use super::{Append, Step};
use crate::conversation::{Next, Turn};
use crate::log;

/// Octets that are copied before others have their turn.
const PIECE_OCTETS: u64 = 256 * 1024;

/// Octets of another message.
pub(super) struct Copying {
    message: StoredMessage,
    /// Those that are not copied yet.
    range: Range<u64>,
}

impl ImapSession {
    pub(super) fn begin_copy(&mut self, mut append: Box<Append>, url: &[u8], turn: &mut Turn<'_>) -> Flow {
        let (message, content) = match self.resolve_url(url, turn) {
            Ok(Some(found)) => found,
            Ok(None) => return self.refuse_url(&append, url, turn),
            Err(error) => {
                log::warning!("url not readable", why = error);
                return self.refuse_url(&append, url, turn);
            }
        };
        if let Err(flow) = self.check_size(&append, content.len(), turn) {
            self.decoder.append_refuse();
            return flow;
        }
        match content {
            Content::Range(range) => self.copy_octets(append, Copying { message, range }, turn),
            Content::Fields(fields) => {
                let Some(message) = &mut append.message else { return Flow::Continue };
                if let Err(error) = message.draft.write(&fields) {
                    self.decoder.append_refuse();
                    return self.refuse_store(turn, &append.tag, &error);
                }
                self.running = Running::Append(append);
                Flow::Continue
            }
        }
    }

    pub(super) fn copy_octets(
        &mut self,
        mut append: Box<Append>,
        mut copying: Copying,
        turn: &mut Turn<'_>,
    ) -> Flow {
        let Some(message) = &mut append.message else { return Flow::Continue };
        let Range { start, end } = copying.range;
        let until = end.min(start + PIECE_OCTETS);
        let mut octets = Vec::new();
        let copied = turn
            .shared
            .store
            .read_range(&copying.message, start..until, &mut octets)
            .and_then(|()| message.draft.write(&octets));
        if let Err(error) = copied {
            self.decoder.append_refuse();
            return self.refuse_store(turn, &append.tag, &error);
        }
        copying.range.start = until;
        let is_done = copying.range.is_empty();
        if !is_done {
            append.step = Step::Copy(copying);
        }
        self.running = Running::Append(append);
        if is_done { Flow::Continue } else { Flow::Wait(Next::Again) }
    }

    fn refuse_url(&mut self, append: &Append, url: &[u8], turn: &mut Turn<'_>) -> Flow {
        self.decoder.append_refuse();
        let text = "The URL stands for no message or part here";
        self.refuse(turn, &append.tag, Condition::No, Some(Code::BadUrl(url)), text)
    }
}
