//! A part without its transfer encoding (RFC 3516), in turns: first its length is found, then it is decoded once more while it is sent. No more of it
//! than a piece is ever in memory.

use std::ops::Range;

use message::{Encoding, TransferDecoder};
use store::{Store, StoreError, StoredMessage};

use crate::output::Output;

/// Octets that are read at a time.
const PIECE_OCTETS: u64 = 64 * 1024;
/// Octets that are looked through before others have their turn.
const TURN_OCTETS: u64 = 1024 * 1024;

/// A part on its way.
pub(crate) struct Decoding {
    message: StoredMessage,
    /// The encoded octets.
    encoded: Range<u64>,
    encoding: Encoding,
    /// Which of the decoded octets are wanted.
    wanted: Range<u64>,
    run: Run,
    measured: Measured,
}

/// What is known of the octets that are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Measured {
    /// How many there are.
    pub(crate) length: u64,
    /// Whether there is a NUL among them.
    pub(crate) has_nul: bool,
}

/// How far a run through the part came.
struct Run {
    /// The next octet to read.
    at: u64,
    /// `None` once all has come.
    decoder: Option<TransferDecoder>,
    /// Octets that were decoded.
    decoded: u64,
}

/// How far a turn came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// There is more to do, but others should have their turn.
    Again,
    /// The output is full.
    OutputFull,
    /// All of it is in the output.
    All,
}

impl Decoding {
    /// Decodes `encoded` octets of a message, of which those decoded ones are wanted that `partial` names by start and length. `None`: the encoding is
    /// not known.
    pub(crate) fn new(
        message: StoredMessage,
        encoded: Range<u64>,
        encoding: Encoding,
        partial: Option<(u64, u64)>,
    ) -> Option<Decoding> {
        let run = Run::new(&encoded, encoding)?;
        let wanted = partial.map_or(0..u64::MAX, |(start, length)| start..start.saturating_add(length));
        Some(Decoding { message, encoded, encoding, wanted, run, measured: Measured::default() })
    }

    /// Looks through some of it; `None`: there is more to look through.
    ///
    /// # Errors
    /// The message cannot be read.
    pub(crate) fn measure(&mut self, store: &Store) -> Result<Option<Measured>, StoreError> {
        let until = self.run.at.saturating_add(TURN_OCTETS);
        while self.run.at < until {
            let Some(piece) = self.next_piece(store)? else {
                if let Some(run) = Run::new(&self.encoded, self.encoding) {
                    self.run = run;
                }
                return Ok(Some(self.measured));
            };
            self.measured.length += piece.len() as u64;
            self.measured.has_nul |= piece.contains(&0);
        }
        Ok(None)
    }

    /// Sends some of what was measured.
    ///
    /// # Errors
    /// The message cannot be read, or is not what was measured: what was promised cannot be sent.
    pub(crate) fn send(&mut self, store: &Store, output: &mut Output) -> Result<Sent, StoreError> {
        if self.encoding == Encoding::Identity && self.measured.length > PIECE_OCTETS {
            let start = self.encoded.start.saturating_add(self.wanted.start);
            output.push_range(store.file_range(&self.message, start..start + self.measured.length)?);
            self.measured.length = 0;
        }
        let until = self.run.at.saturating_add(TURN_OCTETS);
        while self.measured.length > 0 {
            if output.is_full() {
                return Ok(Sent::OutputFull);
            }
            if self.run.at >= until {
                return Ok(Sent::Again);
            }
            let piece = self.next_piece(store)?.ok_or(StoreError::Gone(self.message.id))?;
            // Not longer than what was measured, for it is the same.
            self.measured.length = self.measured.length.saturating_sub(piece.len() as u64);
            output.bytes().extend_from_slice(&piece);
        }
        Ok(Sent::All)
    }

    /// The next decoded octets that are wanted, perhaps none of a piece; `None` after the last.
    fn next_piece(&mut self, store: &Store) -> Result<Option<Vec<u8>>, StoreError> {
        let Run { at, decoder, decoded } = &mut self.run;
        if *decoded >= self.wanted.end {
            return Ok(None);
        }
        let mut piece = Vec::new();
        if *at < self.encoded.end {
            let Some(decoder) = decoder else { return Ok(None) };
            let end = self.encoded.end.min(*at + PIECE_OCTETS);
            let mut octets = Vec::new();
            store.read_range(&self.message, *at..end, &mut octets)?;
            decoder.push(&octets, &mut piece);
            *at = end;
        } else {
            let Some(decoder) = decoder.take() else { return Ok(None) };
            decoder.finish(&mut piece);
        }
        let before = *decoded;
        *decoded += piece.len() as u64;
        // Within the piece, whose length fits.
        let skipped = self.wanted.start.saturating_sub(before).min(piece.len() as u64) as usize;
        let kept = self.wanted.end.saturating_sub(before).min(piece.len() as u64) as usize;
        piece.truncate(kept);
        piece.drain(..skipped.min(kept));
        Ok(Some(piece))
    }
}

impl Run {
    fn new(encoded: &Range<u64>, encoding: Encoding) -> Option<Run> {
        Some(Run { at: encoded.start, decoder: Some(TransferDecoder::new(encoding)?), decoded: 0 })
    }
}
