//! The octets of a message as the store wants them, in pieces: a bare LF becomes CRLF, and one level of mbox quoting is taken away where
//! there is one.
//!
//! A bare CR, a NUL and octets that are no text stay as they are. A last line without an end stays without one.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

const BUFFER_SIZE: usize = 64 * 1_024;

/// Whether lines that begin with `>From ` (any number of `>`) lose one `>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quoting {
    /// Lines are as they are.
    None,
    /// As mboxrd: one `>` goes. An mboxo file reads the same but for lines that had a `>` before they were quoted.
    Remove,
}

/// A range of a file, read without moving anybody's position.
pub(crate) struct FileSpan {
    file: Arc<File>,
    offset: u64,
    end: u64,
}

impl FileSpan {
    /// The octets from `start` to `end` of `file`.
    pub(crate) fn new(file: Arc<File>, start: u64, end: u64) -> FileSpan {
        FileSpan { file, offset: start, end }
    }
}

impl Read for FileSpan {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(self.end - self.offset).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(rest);
        if wanted == 0 {
            return Ok(0);
        }
        let length = self.file.read_at(&mut buffer[..wanted], self.offset)?;
        if length == 0 {
            let what = format!("the file became shorter while it was read, at octet {}", self.offset);
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, what));
        }
        self.offset += length as u64;
        Ok(length)
    }
}

/// Reads `source` with line ends normalised and quoting removed.
pub(crate) struct Normalised<R> {
    source: R,
    quoting: Quoting,
    input: Vec<u8>,
    input_at: usize,
    output: Vec<u8>,
    output_at: usize,
    last_was_cr: bool,
    at_line_start: bool,
}

impl<R: Read> Normalised<R> {
    /// The octets of `source`, which stands at the beginning of a line.
    pub(crate) fn new(source: R, quoting: Quoting) -> Normalised<R> {
        Normalised {
            source,
            quoting,
            input: Vec::new(),
            input_at: 0,
            output: Vec::new(),
            output_at: 0,
            last_was_cr: false,
            at_line_start: true,
        }
    }

    /// Reads more input behind what is left of it. `false` at the end.
    fn read_more(&mut self) -> io::Result<bool> {
        self.input.drain(..self.input_at);
        self.input_at = 0;
        let kept = self.input.len();
        self.input.resize(kept + BUFFER_SIZE, 0);
        let length = loop {
            match self.source.read(&mut self.input[kept..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.input.truncate(kept + length.as_ref().unwrap_or(&0));
        Ok(length? > 0)
    }

    /// Turns input into output. Wants more input when a line begins in a way that cannot be judged yet.
    fn convert(&mut self) -> io::Result<()> {
        self.output.clear();
        self.output_at = 0;
        while self.output.is_empty() {
            if self.input_at == self.input.len() && !self.read_more()? {
                return Ok(());
            }
            while self.input_at < self.input.len() {
                if self.at_line_start && self.quoting == Quoting::Remove {
                    match quoted(&self.input[self.input_at..]) {
                        Quoted::Yes => self.input_at += 1,
                        Quoted::No => {}
                        // A buffer full of `>` alone is no From_ line that anybody quoted.
                        Quoted::Unclear if self.input.len() - self.input_at >= BUFFER_SIZE => {}
                        Quoted::Unclear => {
                            if self.read_more()? {
                                continue;
                            }
                        }
                    }
                }
                self.convert_line();
            }
        }
        Ok(())
    }

    /// Moves the rest of a line, or what there is of it.
    fn convert_line(&mut self) {
        let rest = &self.input[self.input_at..];
        let Some(line_feed) = memchr::memchr(b'\n', rest) else {
            self.output.extend_from_slice(rest);
            self.last_was_cr = rest.last() == Some(&b'\r');
            self.input_at = self.input.len();
            self.at_line_start = false;
            return;
        };
        let text = &rest[..line_feed];
        self.output.extend_from_slice(text);
        let carriage_return =
            text.last().map_or(self.last_was_cr && !self.at_line_start, |&last| last == b'\r');
        self.output.extend_from_slice(if carriage_return { b"\n" } else { b"\r\n" });
        self.input_at += line_feed + 1;
        self.last_was_cr = false;
        self.at_line_start = true;
    }
}

impl<R: Read> Read for Normalised<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.output_at == self.output.len() {
            self.convert()?;
        }
        let rest = &self.output[self.output_at..];
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        self.output_at += length;
        Ok(length)
    }
}

enum Quoted {
    Yes,
    No,
    Unclear,
}

/// Whether a line that begins so is a quoted From_ line.
fn quoted(rest: &[u8]) -> Quoted {
    let marks = rest.iter().take_while(|&&octet| octet == b'>').count();
    if marks == 0 {
        return if rest.is_empty() { Quoted::Unclear } else { Quoted::No };
    }
    let behind = &rest[marks..];
    if behind.starts_with(b"From ") {
        Quoted::Yes
    } else if b"From ".starts_with(behind) {
        Quoted::Unclear
    } else {
        Quoted::No
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalise(input: &[u8], quoting: Quoting) -> Vec<u8> {
        let mut output = Vec::new();
        Normalised::new(input, quoting).read_to_end(&mut output).expect("read");
        output
    }

    #[test]
    fn line_ends_become_crlf_and_nothing_else_changes() {
        assert_eq!(
            normalise(b"a\nb\r\nc\rd\r\r\n\n\0\xff", Quoting::None),
            b"a\r\nb\r\nc\rd\r\r\n\r\n\0\xff"
        );
        assert_eq!(normalise(b"", Quoting::None), b"");
        assert_eq!(normalise(b"\n\r\n", Quoting::None), b"\r\n\r\n");
    }

    #[test]
    fn one_level_of_quoting_goes() {
        let input = b">From a\n>>From b\nx >From c\n>from d\n> From e\n>From";
        assert_eq!(
            normalise(input, Quoting::Remove),
            b"From a\r\n>From b\r\nx >From c\r\n>from d\r\n> From e\r\n>From"
        );
        assert_eq!(normalise(b">From a\n", Quoting::None), b">From a\r\n");
    }

    #[test]
    fn a_span_is_read_to_its_end_or_fails() {
        let mut file = tempfile::tempfile().expect("temporary file");
        std::io::Write::write_all(&mut file, b"0123456789").expect("written");
        let file = Arc::new(file);
        let mut text = String::new();
        FileSpan::new(Arc::clone(&file), 2, 7).read_to_string(&mut text).expect("read");
        assert_eq!(text, "23456");
        assert!(FileSpan::new(file, 5, 11).read_to_string(&mut text).is_err());
    }

    #[test]
    fn borders_of_the_buffer_do_not_show() {
        for shift in 0..12 {
            let mut input = vec![b'x'; BUFFER_SIZE - shift];
            input.extend_from_slice(b"\r\n>>From y\nz\n");
            let mut expected = vec![b'x'; BUFFER_SIZE - shift];
            expected.extend_from_slice(b"\r\n>From y\r\nz\r\n");
            assert!(normalise(&input, Quoting::Remove) == expected, "shift {shift}");
        }
        let marks = vec![b'>'; 3 * BUFFER_SIZE];
        assert!(normalise(&marks, Quoting::Remove) == marks);
    }
}
