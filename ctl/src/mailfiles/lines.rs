//! Lines of a file with their offsets, in memory of a fixed size: a line longer than [`PREFIX_MAX`] is seen by its beginning only.
//! The mbox reader walks a file with this and remembers offsets; the octets are read again when the message is.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Octets of a line that are kept. No From_ line and no header field that matters here is longer.
const PREFIX_MAX: usize = 4_096;
const BUFFER_SIZE: usize = 128 * 1_024;

/// One line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Line {
    /// Where it begins in the file.
    pub(crate) start: u64,
    /// Where the next one begins, or the file ends.
    pub(crate) end: u64,
    /// Its first octets, without the line end.
    pub(crate) prefix: Vec<u8>,
    /// Octets of the line end: 0 (end of the file), 1 (LF) or 2 (CRLF).
    pub(crate) line_end: u8,
}

impl Line {
    /// Whether nothing but a line end is in it.
    pub(crate) fn is_blank(&self) -> bool {
        self.end - self.start == u64::from(self.line_end)
    }
}

/// Walks the lines of a file from any offset.
pub(crate) struct Lines<'a> {
    file: &'a File,
    buffer: Vec<u8>,
    /// Offset of the next line within `buffer`.
    at: usize,
    /// Offset in the file of what follows `buffer`.
    file_offset: u64,
}

impl<'a> Lines<'a> {
    /// The lines from `offset` on, which should be the beginning of one.
    pub(crate) fn from(file: &'a File, offset: u64) -> Lines<'a> {
        Lines { file, buffer: Vec::new(), at: 0, file_offset: offset }
    }

    /// The next line, or `None` at the end of the file.
    pub(crate) fn next_line(&mut self) -> io::Result<Option<Line>> {
        let mut line = Line { start: self.offset(), ..Line::default() };
        let mut last = 0;
        loop {
            if self.at == self.buffer.len() && !self.fill()? {
                line.end = self.offset();
                return Ok((line.end > line.start).then_some(line));
            }
            let rest = &self.buffer[self.at..];
            let (length, ended) = match memchr::memchr(b'\n', rest) {
                Some(position) => (position, true),
                None => (rest.len(), false),
            };
            let room = PREFIX_MAX.saturating_sub(line.prefix.len());
            line.prefix.extend_from_slice(&rest[..length.min(room)]);
            if let Some(octet) = rest[..length].last() {
                last = *octet;
            }
            self.at += length + usize::from(ended);
            if ended {
                line.end = self.offset();
                line.line_end = if last == b'\r' { 2 } else { 1 };
                let text = line.end - line.start - u64::from(line.line_end);
                if text < line.prefix.len() as u64 {
                    line.prefix.truncate(text as usize);
                }
                return Ok(Some(line));
            }
        }
    }

    /// Where the next line begins.
    fn offset(&self) -> u64 {
        self.file_offset - (self.buffer.len() - self.at) as u64
    }

    fn fill(&mut self) -> io::Result<bool> {
        self.buffer.resize(BUFFER_SIZE, 0);
        let length = loop {
            match self.file.read_at(&mut self.buffer, self.file_offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => break other,
            }
        };
        self.at = 0;
        self.buffer.truncate(*length.as_ref().unwrap_or(&0));
        self.file_offset += length? as u64;
        Ok(!self.buffer.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn gives_lines_with_offsets_and_ends() {
        let mut file = tempfile::tempfile().expect("temporary file");
        let long = "x".repeat(3 * BUFFER_SIZE);
        write!(file, "one\r\n\n{long}\r\n\r\nlast").expect("written");
        let mut lines = Lines::from(&file, 0);
        let mut seen = Vec::new();
        while let Some(line) = lines.next_line().expect("read") {
            seen.push((line.start, line.end - line.start, line.prefix.len(), line.line_end, line.is_blank()));
        }
        let long = long.len() as u64;
        assert_eq!(
            seen,
            [
                (0, 5, 3, 2, false),
                (5, 1, 0, 1, true),
                (6, long + 2, PREFIX_MAX, 2, false),
                (long + 8, 2, 0, 2, true),
                (long + 10, 4, 4, 0, false),
            ]
        );
        assert_eq!(Lines::from(&file, 5).next_line().expect("read").map(|line| line.end), Some(6));
    }
}
