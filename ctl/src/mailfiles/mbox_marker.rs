//! The lines that `lode export` puts between a From_ line and the message, and `lode import` takes away again:
//!
//! ```text
//! X-Lode-Export: 3; date=Fri, 22 Feb 2008 23:06:12 +0200
//! Status: RO
//! X-Status: AF
//! X-Keywords: $Label1 project
//! ```
//!
//! The number counts the lines that follow. `; end=open` says that the message has no line end after its last line, and that the
//! one in the file is not its own. Other programs read the usual fields and leave the first alone. Status lines without the marker
//! are part of the message.

use store::change::{SystemFlags, ZonedTime};

use super::{MailFlags, dates};

const NAME: &[u8] = b"X-Lode-Export: ";

/// The first line of the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marker {
    /// Lines of the block behind this one.
    pub(crate) lines: u8,
    /// INTERNALDATE with its zone, which a From_ line cannot state.
    pub(crate) date: Option<ZonedTime>,
    /// Whether the message ends within a line.
    pub(crate) open_end: bool,
}

/// `line` (without its end) as a marker.
pub(crate) fn recognise(line: &[u8]) -> Option<Marker> {
    let rest = std::str::from_utf8(line.strip_prefix(NAME)?).ok()?;
    let mut fields = rest.split("; ");
    let mut marker = Marker { lines: fields.next()?.parse().ok()?, date: None, open_end: false };
    for field in fields {
        match field.split_once('=')? {
            ("date", date) => marker.date = Some(dates::parse(date)?),
            ("end", "open") => marker.open_end = true,
            _ => return None,
        }
    }
    (marker.lines <= 3).then_some(marker)
}

/// The block, with LF line ends.
pub(crate) fn block(flags: &MailFlags, date: ZonedTime, open_end: bool) -> String {
    let mut lines = Vec::new();
    let seen = if flags.has(SystemFlags::SEEN) { "R" } else { "" };
    lines.push(format!("Status: {seen}O"));
    let letters: String = [
        ('A', SystemFlags::ANSWERED),
        ('F', SystemFlags::FLAGGED),
        ('D', SystemFlags::DELETED),
        ('T', SystemFlags::DRAFT),
    ]
    .into_iter()
    .filter(|(_, flag)| flags.has(*flag))
    .map(|(letter, _)| letter)
    .collect();
    if !letters.is_empty() {
        lines.push(format!("X-Status: {letters}"));
    }
    if !flags.keywords.is_empty() {
        lines.push(format!("X-Keywords: {}", flags.keywords.join(" ")));
    }
    let end = if open_end { "; end=open" } else { "" };
    let date = dates::format_rfc5322(date);
    format!("X-Lode-Export: {}; date={date}{end}\n{}\n", lines.len(), lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let mut flags = MailFlags::default();
        flags.add(SystemFlags::SEEN);
        flags.add(SystemFlags::FLAGGED);
        flags.add_keyword("$Label1");
        let date = ZonedTime { seconds: 1_203_714_372, zone_minutes: 120 };
        let block = block(&flags, date, true);
        assert_eq!(
            block,
            "X-Lode-Export: 3; date=Fri, 22 Feb 2008 23:06:12 +0200; end=open\nStatus: RO\nX-Status: F\n\
             X-Keywords: $Label1\n"
        );
        let first = block.lines().next().expect("a line");
        assert_eq!(recognise(first.as_bytes()), Some(Marker { lines: 3, date: Some(date), open_end: true }));
    }

    #[test]
    fn refuses_other_fields() {
        for line in ["X-Lode-Export: 9", "X-Lode-Export: x", "Status: RO", "X-Lode-Export: 1; other=1"] {
            assert_eq!(recognise(line.as_bytes()), None, "{line}");
        }
    }
}
