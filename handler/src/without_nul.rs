//! A message with NUL in it: what FETCH BODY sends may have none (RFC 9051, 4.3), so the parts that have some are stored in base64, and say so
//! (RFC 3516, 4.4). All else stays as it came. APPEND of a literal8 and LMTP's BDAT bring such messages.
//!
//! The message is stored as it is first, and never shown; then it is written anew from there, in turns and piece by piece. What was stored
//! first is given back by collection.

use std::ops::Range;
use std::sync::Arc;

use message::{Encoding, PartKind, Record, header_fields};
use store::{Draft, MailboxId, Store, StoreError, StoredMessage};

/// Octets that are read at a time: whole lines of base64, 57 octets each.
const PIECE_OCTETS: u64 = 57 * 1024;
/// Octets that are written before others have their turn.
const TURN_OCTETS: u64 = 1024 * 1024;
/// A part's header that is longer is not written anew.
const HEADER_OCTETS_MAX: u64 = 1024 * 1024;
/// Octets of a line of base64 before it is encoded (RFC 2045, 6.8).
const LINE_OCTETS: usize = 57;

/// A message that is being written anew.
pub(crate) struct WithoutNul {
    message: StoredMessage,
    /// What is left to be done, in the order of the message.
    pieces: std::vec::IntoIter<Piece>,
    /// The piece that is being written.
    piece: Option<Piece>,
    draft: Draft,
}

/// A message whose NUL cannot be encoded.
pub(crate) struct AsItCame(StoredMessage);

/// A stretch of the message.
struct Piece {
    range: Range<u64>,
    how: How,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    /// As it is.
    Copy,
    /// A header, whose body will be in base64.
    Header,
    /// In base64.
    Encode,
}

impl WithoutNul {
    /// Stores what `draft` has, for `mailbox` or others, and looks what must be done with it. The inner error is the message as it
    /// came: there is NUL where it cannot be encoded, in a header or in a part that is encoded already.
    ///
    /// # Errors
    /// The store's.
    pub(crate) fn begin(
        store: &Arc<Store>,
        draft: Draft,
        mailbox: MailboxId,
    ) -> Result<Result<WithoutNul, AsItCame>, StoreError> {
        let deposit = store.deposit(draft.finish()?, mailbox)?;
        let message = store.message(deposit.id())?;
        Ok(match pieces_of(store, &message)? {
            Some(pieces) => {
                Ok(WithoutNul { message, pieces: pieces.into_iter(), piece: None, draft: store.draft()? })
            }
            None => Err(AsItCame(message)),
        })
    }

    /// The message, all of which is written.
    pub(crate) fn into_draft(self) -> Draft {
        self.draft
    }

    /// Writes some of it, for one turn; true when all is written.
    ///
    /// # Errors
    /// The store's.
    pub(crate) fn run(&mut self, store: &Store) -> Result<bool, StoreError> {
        let mut left = TURN_OCTETS;
        let mut octets = Vec::new();
        while left > 0 {
            let piece = match &mut self.piece {
                Some(piece) if !piece.range.is_empty() => piece,
                _ => match self.pieces.next() {
                    Some(piece) => self.piece.insert(piece),
                    None => return Ok(true),
                },
            };
            let Range { start, end } = piece.range;
            let until = if piece.how == How::Header { end } else { end.min(start + PIECE_OCTETS) };
            piece.range.start = until;
            octets.clear();
            store.read_range(&self.message, start..until, &mut octets)?;
            match piece.how {
                How::Copy => self.draft.write(&octets)?,
                How::Header => self.draft.write(&encoded_header(&octets, start == 0))?,
                How::Encode => self.draft.write(&encoded(&octets, until == end))?,
            }
            left = left.saturating_sub(until - start);
        }
        Ok(false)
    }
}

impl AsItCame {
    /// Writes it anew without a change.
    ///
    /// # Errors
    /// The store's.
    pub(crate) fn copy(self, store: &Arc<Store>) -> Result<WithoutNul, StoreError> {
        let AsItCame(message) = self;
        let pieces = vec![Piece { range: 0..message.size, how: How::Copy }].into_iter();
        Ok(WithoutNul { message, pieces, piece: None, draft: store.draft()? })
    }
}

/// What is to be done with which stretch of a message. `None`: there is NUL where it cannot be encoded.
fn pieces_of(store: &Store, message: &StoredMessage) -> Result<Option<Vec<Piece>>, StoreError> {
    let record = store.record(message.id)?;
    let record = Record::parse(&record).map_err(|_| StoreError::NotFound("record that can be read"))?;
    let mut leaves: Vec<_> = record.parts().filter(|part| part.kind == PartKind::Leaf).collect();
    leaves.sort_by_key(|part| part.header.start);
    let mut pieces = Vec::new();
    let mut at = 0;
    for leaf in leaves {
        if leaf.header.start < at
            || leaf.body.start < leaf.header.end
            || !has_nul(store, message, &leaf.body)?
        {
            continue;
        }
        let header = leaf.header.end - leaf.header.start;
        if leaf.encoding != Encoding::Identity || header > HEADER_OCTETS_MAX {
            return Ok(None);
        }
        pieces.push(Piece { range: at..leaf.header.start, how: How::Copy });
        pieces.push(Piece { range: leaf.header.clone(), how: How::Header });
        pieces.push(Piece { range: leaf.body.clone(), how: How::Encode });
        at = leaf.body.end;
    }
    pieces.push(Piece { range: at..message.size, how: How::Copy });
    pieces.retain(|piece| !piece.range.is_empty());
    for piece in pieces.iter().filter(|piece| piece.how != How::Encode) {
        if has_nul(store, message, &piece.range)? {
            return Ok(None);
        }
    }
    Ok(Some(pieces))
}

fn has_nul(store: &Store, message: &StoredMessage, range: &Range<u64>) -> Result<bool, StoreError> {
    let mut octets = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let until = range.end.min(at + TURN_OCTETS);
        octets.clear();
        store.read_range(message, at..until, &mut octets)?;
        if octets.contains(&0) {
            return Ok(true);
        }
        at = until;
    }
    Ok(false)
}

/// A header that says that its body is in base64.
fn encoded_header(header: &[u8], is_of_message: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(header.len() + 64);
    header_fields(header, &[b"Content-Transfer-Encoding"], true, &mut out);
    // The empty line goes behind what is added.
    out.truncate(out.strip_suffix(b"\r\n").or(out.strip_suffix(b"\n")).map_or(out.len(), <[u8]>::len));
    let mut version = Vec::new();
    header_fields(header, &[b"MIME-Version"], false, &mut version);
    if is_of_message && version.trim_ascii().is_empty() {
        out.extend_from_slice(b"MIME-Version: 1.0\r\n");
    }
    out.extend_from_slice(b"Content-Transfer-Encoding: base64\r\n\r\n");
    out
}

/// Base64 in lines; behind the last one no line end is written, for one follows or the message ends.
fn encoded(octets: &[u8], is_last: bool) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = Vec::with_capacity(octets.len() / 3 * 4 + octets.len() / 28 + 8);
    let mut lines = octets.chunks(LINE_OCTETS).peekable();
    while let Some(line) = lines.next() {
        for group in line.chunks(3) {
            let bits = group.iter().fold(0u32, |bits, octet| bits << 8 | u32::from(*octet))
                << (8 * (3 - group.len()));
            for place in 0..4 {
                let digit = DIGITS[(bits >> (18 - 6 * place) & 63) as usize];
                out.push(if place <= group.len() { digit } else { b'=' });
            }
        }
        if lines.peek().is_some() || !is_last {
            out.extend_from_slice(b"\r\n");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_in_lines() {
        assert_eq!(encoded(b"", true), b"");
        assert_eq!(encoded(b"a", true), b"YQ==");
        assert_eq!(encoded(b"ab", true), b"YWI=");
        assert_eq!(encoded(b"abc\0", true), b"YWJjAA==");
        let line = encoded(&[0; 57], true);
        assert_eq!(line, [b'A'; 76]);
        assert_eq!(encoded(&[0; 114], false), [&[b'A'; 76][..], b"\r\n", &[b'A'; 76], b"\r\n"].concat());
        assert_eq!(encoded(&[0; 60], true), [&[b'A'; 76][..], b"\r\nAAAA"].concat());
    }

    #[test]
    fn a_header_says_how_its_body_is_encoded() {
        let header = b"Subject: x\r\nContent-Transfer-Encoding:\r\n binary\r\nTo: y\r\n\r\n";
        let expected: &[u8] =
            b"Subject: x\r\nTo: y\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: base64\r\n\r\n";
        assert_eq!(encoded_header(header, true), expected);
        let part = b"Content-Type: a/b\r\n\r\n";
        let expected: &[u8] = b"Content-Type: a/b\r\nContent-Transfer-Encoding: base64\r\n\r\n";
        assert_eq!(encoded_header(part, false), expected);
    }
}
