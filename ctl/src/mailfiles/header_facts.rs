//! What an importer wants of a message's header: flags that other mail programs left there, dates, `Content-Length`. The lines are read
//! and left where they are: a message is imported with all octets it had.
//!
//! | field | written by | says |
//! |---|---|---|
//! | `Status` | everybody | `R` seen; `O` old, which Lode does not need |
//! | `X-Status` | Pine, mutt, Dovecot | `A` answered, `F` flagged, `D` deleted, `T` draft |
//! | `X-Keywords`, `X-Mozilla-Keys` | Dovecot, Thunderbird | keywords |
//! | `X-Mozilla-Status` | Thunderbird | bits: 1 seen, 2 answered, 4 flagged, 8 deleted |

use store::change::{SystemFlags, ZonedTime};

use super::{MailFlags, dates};

/// Octets of one unfolded field that are kept.
const FIELD_MAX: usize = 16 * 1_024;

/// Facts gathered from a header, line by line.
#[derive(Debug, Default)]
pub(crate) struct HeaderFacts {
    /// Flags and keywords.
    pub(crate) flags: MailFlags,
    /// Octets of the body, as the file counts them.
    pub(crate) content_length: Option<u64>,
    /// `Date:`, when it can be read.
    pub(crate) date: Option<ZonedTime>,
    /// The date of the topmost `Received:`: when the message came here.
    pub(crate) received: Option<ZonedTime>,
    /// The field that is being read, folded lines joined.
    field: Vec<u8>,
    received_seen: bool,
}

impl HeaderFacts {
    /// Takes a line of the header, without its end.
    pub(crate) fn line(&mut self, line: &[u8]) {
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            if self.field.len() + line.len() <= FIELD_MAX {
                self.field.extend_from_slice(line);
            }
            return;
        }
        self.field_ended();
        self.field.extend_from_slice(&line[..line.len().min(FIELD_MAX)]);
    }

    /// Takes what the last field says. To be called when the header has ended.
    pub(crate) fn field_ended(&mut self) {
        let field = std::mem::take(&mut self.field);
        let Some(colon) = field.iter().position(|&octet| octet == b':') else { return };
        let name = field[..colon].trim_ascii_end().to_ascii_lowercase();
        // Cheap for the many fields that mean nothing here.
        if !matches!(name.first(), Some(b's' | b'x' | b'c' | b'd' | b'r')) {
            return;
        }
        let value = String::from_utf8_lossy(&field[colon + 1..]);
        let value = value.trim();
        match name.as_slice() {
            b"status" => self.letters(value, &[('R', SystemFlags::SEEN)]),
            b"x-status" => self.letters(
                value,
                &[
                    ('R', SystemFlags::SEEN),
                    ('A', SystemFlags::ANSWERED),
                    ('F', SystemFlags::FLAGGED),
                    ('D', SystemFlags::DELETED),
                    ('T', SystemFlags::DRAFT),
                ],
            ),
            b"x-keywords" | b"x-mozilla-keys" => {
                for keyword in value.split_ascii_whitespace() {
                    self.flags.add_keyword(keyword);
                }
            }
            b"x-mozilla-status" => {
                let bits = u32::from_str_radix(value, 16).unwrap_or(0);
                for (bit, flag) in [
                    (1, SystemFlags::SEEN),
                    (2, SystemFlags::ANSWERED),
                    (4, SystemFlags::FLAGGED),
                    (8, SystemFlags::DELETED),
                ] {
                    if bits & bit != 0 {
                        self.flags.add(flag);
                    }
                }
            }
            b"content-length" => self.content_length = value.parse().ok(),
            b"date" => self.date = self.date.or_else(|| dates::parse(value)),
            b"received" if !self.received_seen => {
                self.received_seen = true;
                self.received = value.rsplit_once(';').and_then(|(_, date)| dates::parse(date));
            }
            _ => {}
        }
    }

    fn letters(&mut self, value: &str, meanings: &[(char, SystemFlags)]) {
        for (letter, flag) in meanings {
            if value.contains(*letter) {
                self.flags.add(*flag);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(header: &str) -> HeaderFacts {
        let mut facts = HeaderFacts::default();
        header.lines().for_each(|line| facts.line(line.as_bytes()));
        facts.field_ended();
        facts
    }

    #[test]
    fn reads_flags_of_several_programs() {
        let unix = facts("Status: RO\nX-Status: AF\nX-Keywords: $Label1 project\n  later\n");
        let expected = SystemFlags::SEEN.0 | SystemFlags::ANSWERED.0 | SystemFlags::FLAGGED.0;
        assert_eq!(unix.flags.system, SystemFlags(expected));
        assert_eq!(unix.flags.keywords, ["$Label1", "project", "later"]);
        let thunderbird = facts("X-Mozilla-Status: 0009\nX-Mozilla-Keys: $label2\n");
        assert_eq!(thunderbird.flags.system, SystemFlags(SystemFlags::SEEN.0 | SystemFlags::DELETED.0));
        assert_eq!(thunderbird.flags.keywords, ["$label2"]);
    }

    #[test]
    fn reads_the_first_of_dates() {
        let facts = facts(
            "Received: by a;\n Fri, 22 Feb 2008 23:06:12 +0200\nReceived: by b; Thu, 1 Jan 1970 00:00:00 +0000\n\
             Date: Fri, 22 Feb 2008 20:00:00 GMT\nContent-Length: 12\n",
        );
        assert_eq!(facts.received.map(|date| date.seconds), Some(1_203_714_372));
        assert_eq!(facts.date.map(|date| date.seconds), Some(1_203_710_400));
        assert_eq!(facts.content_length, Some(12));
    }
}
