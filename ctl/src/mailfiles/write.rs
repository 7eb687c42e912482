//! What the writers of all formats share: what they are told of a message, and how its lines are turned into those of a Unix file.

use std::io::{self, Read, Write};

use store::change::ZonedTime;

use super::MailFlags;

const CHUNK: usize = 64 * 1_024;

/// What a writer is told of a message besides its octets.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    /// Its flags and keywords.
    pub(crate) flags: MailFlags,
    /// INTERNALDATE.
    pub(crate) date: ZonedTime,
    /// Its UID, for names.
    pub(crate) uid: u32,
    /// Whether it ends within a line.
    pub(crate) open_end: bool,
}

/// Writes the messages of one mailbox.
pub(crate) trait MailWriter {
    /// Adds a message.
    fn append(&mut self, mail: &Outgoing, content: &mut dyn Read) -> io::Result<()>;

    /// Writes what belongs behind the last message. Keywords that the format has no room for are returned.
    fn finish(self: Box<Self>) -> io::Result<Vec<String>>;
}

/// Whether lines that begin with `From `, behind any number of `>`, get one more `>`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quote {
    /// No.
    Nothing,
    /// Yes (mboxrd).
    FromLines,
}

/// Copies `content` with CRLF turned into LF. A CR CR LF stays as it is, so that reading gives it back.
pub(crate) fn copy_lines(content: &mut dyn Read, into: &mut dyn Write, quote: Quote) -> io::Result<()> {
    let mut rest = Vec::with_capacity(2 * CHUNK);
    let mut at_line_start = true;
    loop {
        let kept = rest.len();
        rest.resize(kept + CHUNK, 0);
        let length = match content.read(&mut rest[kept..]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                rest.truncate(kept);
                continue;
            }
            other => other?,
        };
        rest.truncate(kept + length);
        let mut at = 0;
        while let Some(line_feed) = memchr::memchr(b'\n', &rest[at..]) {
            write_piece(&rest[at..=at + line_feed], at_line_start, into, quote)?;
            at += line_feed + 1;
            at_line_start = true;
        }
        rest.drain(..at);
        if length == 0 {
            return write_piece(&rest, at_line_start, into, quote);
        }
        if rest.len() > CHUNK {
            // A CR at the end may belong to a line end of which the LF has not come.
            let whole = rest.len() - 2;
            write_piece(&rest[..whole], at_line_start, into, quote)?;
            rest.drain(..whole);
            at_line_start = false;
        }
    }
}

/// Writes a line or a part of one.
fn write_piece(piece: &[u8], at_line_start: bool, into: &mut dyn Write, quote: Quote) -> io::Result<()> {
    if quote == Quote::FromLines && at_line_start {
        let marks = piece.iter().take_while(|&&octet| octet == b'>').count();
        if piece[marks..].starts_with(b"From ") {
            into.write_all(b">")?;
        }
    }
    match piece {
        [.., b'\r', b'\r', b'\n'] => into.write_all(piece),
        [text @ .., b'\r', b'\n'] => {
            into.write_all(text)?;
            into.write_all(b"\n")
        }
        _ => into.write_all(piece),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(content: &[u8], quote: Quote) -> Vec<u8> {
        let mut output = Vec::new();
        copy_lines(&mut &content[..], &mut output, quote).expect("written");
        output
    }

    #[test]
    fn line_ends_become_lf() {
        assert_eq!(written(b"a\r\nb\r\r\nc\nd\re\r\n\r\n", Quote::Nothing), b"a\nb\r\r\nc\nd\re\n\n");
        assert_eq!(written(b"", Quote::Nothing), b"");
        assert_eq!(written(b"open\r", Quote::Nothing), b"open\r");
    }

    #[test]
    fn from_lines_are_quoted() {
        let content = b"From a\r\n>From b\r\n >From c\r\nFrom: d\r\nFrom ";
        assert_eq!(written(content, Quote::FromLines), b">From a\n>>From b\n >From c\nFrom: d\n>From ");
        assert_eq!(written(b"From a\r\n", Quote::Nothing), b"From a\n");
    }

    #[test]
    fn long_lines_are_cut_into_pieces_without_harm() {
        for shift in 0..4 {
            let mut content = vec![b'x'; 3 * CHUNK - shift];
            content.extend_from_slice(b"\r\nFrom y\r\n");
            let mut expected = vec![b'x'; 3 * CHUNK - shift];
            expected.extend_from_slice(b"\n>From y\n");
            assert!(written(&content, Quote::FromLines) == expected, "shift {shift}");
        }
    }
}
