//! RETR and TOP (RFC 1939, 5 and 7): a message in pieces, from the bucket through the dot-stuffer into the output. Memory is
//! bounded by one piece and what the output holds, however large the message is.

use protocol::pop3::reply;
use protocol::pop3::{DotStuffer, Wants};
use store::{StoreError, StoredMessage};

use super::Refused;
use super::maildrop::Maildrop;
use crate::conversation::Turn;

/// Octets of a message that are read at a time.
const PIECE_OCTETS: u64 = 64 * 1024;
/// What TOP reads beyond the header for each line, as a first guess.
const TOP_LINE_OCTETS: u64 = 80;

/// A message on its way out.
pub(super) struct Retrieval {
    message: StoredMessage,
    stuffer: DotStuffer,
    /// Octets of the message that went through the stuffer.
    done_octets: u64,
}

/// How far a turn came.
pub(super) enum Progress {
    /// The output is full.
    OutputFull,
    /// Everything is in the output.
    Done,
}

/// The message could not be read to its end after the client was promised all of it.
#[derive(Debug)]
pub(super) struct Broken(pub(super) StoreError);

impl Retrieval {
    /// Finds the message, and writes the first line of the answer and the first piece. `lines`: of the body, for TOP.
    ///
    /// # Errors
    /// There is no such message, or it cannot be read; then nothing was written.
    pub(super) fn begin(
        maildrop: &mut Maildrop,
        message: u32,
        lines: Option<u64>,
        turn: &mut Turn<'_>,
    ) -> Result<Retrieval, Refused> {
        let store = &turn.shared.store;
        let (mailbox, cell) = maildrop.find(store, message)?;
        let message = store.message(mailbox.cell(cell)?.message)?;
        let (stuffer, first_octets) = match lines {
            None => (DotStuffer::whole(), PIECE_OCTETS),
            Some(lines) => {
                let guess =
                    lines.saturating_mul(TOP_LINE_OCTETS).saturating_add(u64::from(message.header_size));
                (DotStuffer::top(lines), guess.min(PIECE_OCTETS))
            }
        };
        let mut retrieval = Retrieval { message, stuffer, done_octets: 0 };
        let piece = retrieval.read(first_octets, turn)?;
        let text = match lines {
            None => format!("{} octets", retrieval.message.size),
            Some(_) => "Top of the message follows".to_owned(),
        };
        reply::ok(turn.output.bytes(), &text);
        retrieval.write(&piece, turn);
        Ok(retrieval)
    }

    /// Goes on until the output is full or the message has ended.
    ///
    /// # Errors
    /// The message cannot be read; the client has a part of it.
    pub(super) fn run(&mut self, turn: &mut Turn<'_>) -> Result<Progress, Broken> {
        while self.done_octets < self.message.size {
            if turn.output.is_full() {
                return Ok(Progress::OutputFull);
            }
            let piece = self.read(PIECE_OCTETS, turn).map_err(Broken)?;
            self.write(&piece, turn);
        }
        self.stuffer.finish(turn.output.bytes());
        Ok(Progress::Done)
    }

    fn read(&self, octets: u64, turn: &Turn<'_>) -> Result<Vec<u8>, StoreError> {
        let end = self.message.size.min(self.done_octets.saturating_add(octets));
        let mut piece = Vec::new();
        turn.shared.store.read_range(&self.message, self.done_octets..end, &mut piece)?;
        Ok(piece)
    }

    fn write(&mut self, piece: &[u8], turn: &mut Turn<'_>) {
        self.done_octets = match self.stuffer.push(piece, turn.output.bytes()) {
            Wants::More => self.done_octets + piece.len() as u64,
            Wants::Nothing => self.message.size,
        };
    }
}
