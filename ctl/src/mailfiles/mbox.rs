//! Reads mbox files in all dialects, as offsets: a file of any size costs the memory of one line. The octets are read by
//! [`super::normalise`] when the message is wanted.
//!
//! Where a message ends:
//! 1. at the place that `Content-Length` names, if the file ends there or a From_ line stands there (mboxcl, mboxcl2). A count that was
//!    right when the file was written shows that nothing was quoted after counting, so the lines are taken as they are;
//! 2. else before the next line that [`from_line::separates`] accepts (mboxo, mboxrd); one level of `>From ` quoting is removed.
//!
//! The blank line before a From_ line, or at the end of the file, belongs to the file, unless it is the one that ends the header. Behind a
//! message that `lode export` wrote it always does.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use store::change::ZonedTime;

use super::from_line::{self, FromLine, Style, Surroundings};
use super::header_facts::HeaderFacts;
use super::lines::{Line, Lines};
use super::mbox_marker::{self, Marker};
use super::normalise::Quoting;
use super::{Body, MailItem};

/// UTF-8 signature, which some editors put in front of a file.
const SIGNATURE: &[u8] = b"\xef\xbb\xbf";

/// Walks the messages of an mbox file.
pub(crate) struct Mbox {
    file: Arc<File>,
    path: PathBuf,
    length: u64,
    first_style: Style,
    /// The From_ line of the next message.
    next: Option<(Line, FromLine)>,
}

/// Where a message lies, and what its header says.
struct Span {
    start: u64,
    end: u64,
    quoting: Quoting,
    marker: Option<Marker>,
    facts: HeaderFacts,
}

impl Mbox {
    /// Opens `file`, which is known as `path` to the user. `None` when it does not begin with a From_ line; an empty file is an empty mbox.
    pub(crate) fn open(file: Arc<File>, path: &Path) -> io::Result<Option<Mbox>> {
        let length = file.metadata()?.len();
        let mut mbox =
            Mbox { file: Arc::clone(&file), path: path.into(), length, first_style: Style::Full, next: None };
        let mut lines = Lines::from(&file, 0);
        while let Some(mut line) = lines.next_line()? {
            if line.start == 0 && line.prefix.starts_with(SIGNATURE) {
                line.prefix.drain(..SIGNATURE.len());
                line.start = SIGNATURE.len() as u64;
            }
            if line.is_blank() {
                continue;
            }
            let Some(from_line) = from_line::recognise(&line.prefix) else { return Ok(None) };
            mbox.first_style = from_line.style;
            mbox.next = Some((line, from_line));
            break;
        }
        Ok(Some(mbox))
    }

    fn read_message(&mut self, from: Line, from_line: FromLine) -> io::Result<MailItem> {
        let file = Arc::clone(&self.file);
        let span = self.find_end(&file, &from)?;
        let from_date: Option<ZonedTime> = from_line.date;
        let next_start = self.next.as_ref().map_or(self.length, |(line, _)| line.start);
        Ok(MailItem {
            flags: span.facts.flags,
            date: span
                .marker
                .and_then(|marker| marker.date)
                .or(from_date)
                .or(span.facts.received)
                .or(span.facts.date),
            place: format!("{}, octet {}", self.path.display(), from.start),
            input_octets: next_start - from.start,
            body: Body::Span { file, start: span.start, end: span.end, quoting: span.quoting },
        })
    }

    /// Reads from behind the From_ line `from` to the next, which it remembers.
    fn find_end(&mut self, file: &File, from: &Line) -> io::Result<Span> {
        let mut lines = Lines::from(file, from.end);
        let mut span = Span {
            start: from.end,
            end: from.end,
            quoting: Quoting::Remove,
            marker: None,
            facts: HeaderFacts::default(),
        };
        let mut part = Part::Header;
        // The line before the current one, if it is blank and may belong to the file.
        let mut loose_blank: Option<u64> = None;
        let mut last_line_end = 0;
        let mut current = lines.next_line()?;
        while let Some(line) = current {
            let mut following = None;
            if let Some(from_line) = from_line::recognise(&line.prefix) {
                following = lines.next_line()?;
                let next: &[u8] = following.as_ref().map_or(b"", |next| &next.prefix);
                let behind_blank = loose_blank.is_some() || part == Part::BodyBegins;
                if from_line::separates(
                    from_line,
                    Surroundings { behind_blank, next, first_style: self.first_style },
                ) {
                    span.end = loose_blank.unwrap_or(line.start);
                    span.finish(last_line_end.min(from.line_end));
                    self.next = Some((line, from_line));
                    return Ok(span);
                }
            }
            loose_blank = None;
            match part {
                Part::Header if line.is_blank() => {
                    // Export adds a blank line behind every message, so even this one may be the file's.
                    if span.marker.is_some() {
                        loose_blank = Some(line.start);
                    }
                    span.facts.field_ended();
                    part = Part::BodyBegins;
                    if let Some(end) =
                        self.end_by_content_length(file, line.end, span.facts.content_length)?
                    {
                        span.end = end;
                        span.quoting = Quoting::None;
                        return Ok(span);
                    }
                }
                Part::Header => span.header_line(&line),
                Part::BodyBegins | Part::Body => {
                    part = Part::Body;
                    if line.is_blank() {
                        loose_blank = Some(line.start);
                    }
                }
            }
            if loose_blank.is_none() {
                last_line_end = line.line_end;
            }
            current = match following {
                Some(next) => Some(next),
                None => lines.next_line()?,
            };
        }
        span.facts.field_ended();
        span.end = loose_blank.unwrap_or(self.length);
        span.finish(last_line_end.min(from.line_end));
        self.next = None;
        Ok(span)
    }

    /// Where the body that begins at `body` ends by its `Content-Length`, if that can be believed. Remembers the From_ line there.
    fn end_by_content_length(
        &mut self,
        file: &File,
        body: u64,
        content_length: Option<u64>,
    ) -> io::Result<Option<u64>> {
        let Some(target) = content_length.and_then(|length| body.checked_add(length)) else {
            return Ok(None);
        };
        if target > self.length {
            return Ok(None);
        }
        let mut end = target;
        // Start a little earlier, to learn whether a line begins at the target.
        let mut lines = Lines::from(file, target.saturating_sub(1).max(body));
        let mut current = lines.next_line()?;
        if target > body {
            match &current {
                // The octet before the target is a line end.
                Some(line) if line.prefix.is_empty() && line.end == target => current = lines.next_line()?,
                // Counted without the last line end.
                Some(line) if line.end - u64::from(line.line_end) == target => {
                    end = line.end;
                    current = lines.next_line()?;
                }
                _ => return Ok(None),
            }
        }
        if current.as_ref().is_some_and(Line::is_blank) {
            current = lines.next_line()?;
        }
        let Some(line) = current else {
            self.next = None;
            return Ok(Some(end));
        };
        let Some(from_line) = from_line::recognise(&line.prefix) else { return Ok(None) };
        let following = lines.next_line()?;
        let next: &[u8] = following.as_ref().map_or(b"", |next| &next.prefix);
        let around = Surroundings { behind_blank: true, next, first_style: self.first_style };
        if !from_line::separates(from_line, around) {
            return Ok(None);
        }
        self.next = Some((line, from_line));
        Ok(Some(end))
    }
}

impl Iterator for Mbox {
    type Item = io::Result<MailItem>;

    fn next(&mut self) -> Option<io::Result<MailItem>> {
        let (from, from_line) = self.next.take()?;
        Some(self.read_message(from, from_line))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Header,
    /// The line before was the blank one that ends the header.
    BodyBegins,
    Body,
}

impl Span {
    fn header_line(&mut self, line: &Line) {
        if line.start == self.start && self.marker.is_none() {
            self.marker = mbox_marker::recognise(&line.prefix);
            if let Some(marker) = &mut self.marker {
                self.start = line.end;
                marker.lines += 1;
            }
        }
        match &mut self.marker {
            Some(marker) if marker.lines > 0 => {
                marker.lines -= 1;
                self.start = line.end;
                self.facts.line(&line.prefix);
            }
            // Status lines of the message itself are then not about this mailbox.
            Some(_) => self.facts.field_ended(),
            None => self.facts.line(&line.prefix),
        }
    }

    /// Leaves out a line end of so many octets that export added. (A CR before it may be the message's, so the file's own line ends say.)
    fn finish(&mut self, line_end: u8) {
        if self.marker.is_some_and(|marker| marker.open_end) && self.end > self.start {
            self.end -= u64::from(line_end);
        }
        self.facts.field_ended();
    }
}
