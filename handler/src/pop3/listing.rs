//! LIST and UIDL (RFC 1939, 5 and 7): of one message at once, of all in turns, as much as the output takes.

use protocol::pop3::reply;
use store::StoreError;

use super::Refused;
use super::maildrop::Maildrop;
use crate::conversation::Turn;
use crate::log;

/// What is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// LIST
    Sizes,
    /// UIDL
    UniqueIds,
}

/// LIST or UIDL of all messages, on its way.
#[derive(Debug)]
pub(super) struct Listing {
    kind: Kind,
    /// The first message that was not listed yet.
    next: u32,
}

/// How far a turn came.
pub(super) enum Progress {
    /// The output is full.
    OutputFull,
    /// Everything is in the output.
    Done,
}

impl Listing {
    /// LIST.
    pub(super) fn sizes() -> Listing {
        Listing { kind: Kind::Sizes, next: 1 }
    }

    /// UIDL.
    pub(super) fn unique_ids() -> Listing {
        Listing { kind: Kind::UniqueIds, next: 1 }
    }

    /// Lists until the output is full or all is done. A message whose cell is damaged is left out, so that the others can
    /// still be had.
    ///
    /// # Errors
    /// The mailbox cannot be read.
    pub(super) fn run(
        &mut self,
        maildrop: &mut Maildrop,
        turn: &mut Turn<'_>,
    ) -> Result<Progress, StoreError> {
        let mailbox = maildrop.mailbox(&turn.shared.store)?;
        let cells = mailbox.cells()?;
        for (message, cell) in maildrop.messages_from(self.next) {
            if turn.output.is_full() {
                self.next = message;
                return Ok(Progress::OutputFull);
            }
            let out = turn.output.bytes();
            match self.kind {
                Kind::Sizes => match cells.cell(cell) {
                    Ok(cell) => reply::list_line(out, message, u64::from(cell.size)),
                    Err(error) => log::error!("message not listed", user = maildrop.name, why = error),
                },
                Kind::UniqueIds => match cells.uid(cell) {
                    Ok(uid) => reply::uidl_line(out, message, &unique_id(mailbox.uid_validity(), uid.get())),
                    Err(error) => log::error!("message not listed", user = maildrop.name, why = error),
                },
            }
        }
        reply::end(turn.output.bytes());
        Ok(Progress::Done)
    }
}

/// `LIST msg`
pub(super) fn size_of(maildrop: &mut Maildrop, message: u32, turn: &mut Turn<'_>) -> Result<(), Refused> {
    let (mailbox, cell) = maildrop.find(&turn.shared.store, message)?;
    reply::list_one(turn.output.bytes(), message, u64::from(mailbox.cell(cell)?.size));
    Ok(())
}

/// `UIDL msg`
pub(super) fn unique_id_of(
    maildrop: &mut Maildrop,
    message: u32,
    turn: &mut Turn<'_>,
) -> Result<(), Refused> {
    let (mailbox, cell) = maildrop.find(&turn.shared.store, message)?;
    let uid = mailbox.uid_at(cell)?;
    reply::uidl_one(turn.output.bytes(), message, &unique_id(mailbox.uid_validity(), uid.get()));
    Ok(())
}

/// A name for a message that no other message of the user's INBOX ever has: UIDs are not given twice under one UIDVALIDITY.
fn unique_id(uid_validity: u32, uid: u32) -> String {
    format!("{uid_validity}.{uid}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unique_ids_are_what_the_rfc_allows() {
        let longest = unique_id(u32::MAX, u32::MAX);
        assert!(longest.len() <= 70 && longest.bytes().all(|octet| (0x21..=0x7e).contains(&octet)));
        assert_ne!(unique_id(1, 11), unique_id(11, 1));
    }
}
