//! One event, and how it is written: as text, as JSON, as an entry of systemd's journal.

use crate::levels::Level;
use crate::moment::rfc3339;
use std::fmt::{Display, Write};

/// The most octets of a line, its end included: what a pipe takes in one piece (PIPE_BUF of Linux).
pub const LINE_OCTETS_MAX: usize = 4096;
/// The most octets of one value; longer ones are cut.
const VALUE_OCTETS_MAX: usize = 1000;
/// The most octets of names and values together, so that a line keeps its limit however much must be escaped: six octets for one.
const FIELDS_OCTETS_MAX: usize = 3200;
/// Fields of a line; more are left out.
const FIELDS_MAX: usize = 32;

/// An event with its fields, each already text.
#[derive(Debug)]
pub(crate) struct Line {
    level: Level,
    target: String,
    event: String,
    unix_ms: u64,
    fields: Vec<(String, String)>,
    octets: usize,
    is_cut: bool,
}

impl Line {
    pub(crate) fn new(level: Level, target: &str, event: &str, unix_ms: u64) -> Line {
        let (target, event) = (cut(target, 64).to_owned(), cut(event, 200).to_owned());
        Line { level, target, event, unix_ms, fields: Vec::new(), octets: 0, is_cut: false }
    }

    pub(crate) fn unix_ms(&self) -> u64 {
        self.unix_ms
    }

    /// Adds a field. What is too long is cut; what does not fit is left out, and the line says so.
    pub(crate) fn add(&mut self, name: &str, value: &dyn Display) {
        let value = value.to_string();
        let kept = cut(&value, VALUE_OCTETS_MAX);
        let octets = escaped_octets(name) + escaped_octets(kept) + 8;
        if self.fields.len() >= FIELDS_MAX || self.octets + octets > FIELDS_OCTETS_MAX {
            self.is_cut = true;
            return;
        }
        self.octets += octets;
        self.is_cut |= kept.len() < value.len();
        self.fields.push((name.to_owned(), kept.to_owned()));
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(known, _)| known == name)
    }

    /// `level event key=value …`. Values with spaces or control characters are quoted. Without a time, for who adds one.
    pub(crate) fn message(&self) -> String {
        let mut text = format!("{} {}", self.level.name(), self.event);
        for (name, value) in &self.fields {
            push_field(&mut text, name, value);
        }
        if self.is_cut {
            text.push_str(" cut=true");
        }
        text
    }

    /// The message and the time, with its end.
    pub(crate) fn text(&self) -> String {
        let mut text = self.message();
        push_field(&mut text, "time", &rfc3339(self.unix_ms));
        text.push('\n');
        text
    }

    /// The message as the journal reads it from standard error: with `<level>` before it and without a time.
    pub(crate) fn marked_text(&self) -> String {
        format!("<{}>{}\n", self.level as u8, self.message())
    }

    /// One JSON object, with its end: `time`, `level`, `target`, `event`, then the fields as strings.
    pub(crate) fn json(&self, program: &str) -> String {
        let mut text = String::with_capacity(256);
        let fixed = [
            ("time", rfc3339(self.unix_ms)),
            ("level", self.level.name().to_owned()),
            ("program", program.to_owned()),
            ("target", self.target.clone()),
            ("event", self.event.clone()),
        ];
        let cut = self.is_cut.then(|| ("cut".to_owned(), "true".to_owned()));
        let fixed = fixed.into_iter().map(|(name, value)| (name.to_owned(), value));
        let mut separator = '{';
        for (name, value) in fixed.chain(self.fields.iter().cloned()).chain(cut) {
            text.push(separator);
            separator = ',';
            push_json(&mut text, &name);
            text.push(':');
            push_json(&mut text, &value);
        }
        text.push_str("}\n");
        text
    }

    /// An entry in the journal's own protocol (systemd.journal-fields(7)): fields with `=`, or with their length when there is a line end
    /// in the value.
    pub(crate) fn journal(&self, program: &str) -> Vec<u8> {
        let mut entry = Vec::with_capacity(512);
        push_journal(&mut entry, "MESSAGE", &self.message());
        push_journal(&mut entry, "PRIORITY", &(self.level as u8).to_string());
        push_journal(&mut entry, "SYSLOG_IDENTIFIER", &format!("lode-{program}"));
        push_journal(&mut entry, "LODE_EVENT", &self.event);
        push_journal(&mut entry, "LODE_TARGET", &self.target);
        for (name, value) in &self.fields {
            let name: String = name
                .chars()
                .map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' })
                .collect();
            push_journal(&mut entry, &format!("LODE_{name}"), value);
        }
        entry
    }
}

/// The beginning of `text`, at most `octets` of it, whole characters.
fn cut(text: &str, octets: usize) -> &str {
    let mut end = octets.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The most octets that a text can take in any of the formats, its quotes not counted.
fn escaped_octets(text: &str) -> usize {
    text.chars()
        .map(|letter| match letter {
            '"' | '\\' | '\'' => 2,
            // `\u{10ffff}` of `Debug`, `\u0000` of JSON.
            _ if letter.is_control() || (!letter.is_ascii() && !letter.is_alphanumeric()) => 10,
            _ => letter.len_utf8(),
        })
        .sum()
}

fn push_field(text: &mut String, name: &str, value: &str) {
    text.push(' ');
    text.push_str(name);
    text.push('=');
    let is_plain = |letter: char| !letter.is_whitespace() && !letter.is_control() && letter != '"';
    if !value.is_empty() && value.chars().all(is_plain) {
        text.push_str(value);
    } else {
        // Writing into a String does not fail.
        let _ = write!(text, "{value:?}");
    }
}

fn push_json(text: &mut String, value: &str) {
    text.push('"');
    for letter in value.chars() {
        match letter {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            // Line separators of Unicode, too: some readers of lines end a line there.
            _ if letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}') => {
                let _ = write!(text, "\\u{:04x}", letter as u32);
            }
            _ => text.push(letter),
        }
    }
    text.push('"');
}

fn push_journal(entry: &mut Vec<u8>, name: &str, value: &str) {
    entry.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        entry.push(b'\n');
        entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        entry.push(b'=');
    }
    entry.extend_from_slice(value.as_bytes());
    entry.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(fields: &[(&str, &str)]) -> Line {
        let mut line = Line::new(Level::Warn, "imap::login", "bad-thing", 1000);
        for (name, value) in fields {
            line.add(name, value);
        }
        line
    }

    #[test]
    fn a_line_stays_one_line() {
        let line = line(&[("pid", "7"), ("why", "a \"b\"\nc"), ("none", "")]);
        assert_eq!(line.message(), r#"warning bad-thing pid=7 why="a \"b\"\nc" none="""#);
        let text = line.text();
        assert!(text.ends_with(" time=1970-01-01T00:00:01.000Z\n") && text.matches('\n').count() == 1);
        assert_eq!(line.marked_text(), format!("<4>{}\n", line.message()));
    }

    #[test]
    fn json_is_json() {
        let value = "a \"b\"\n\\ \u{1} \u{2028} é";
        let json = line(&[("why", value)]).json("router");
        assert!(json.ends_with("}\n") && json.matches('\n').count() == 1);
        let parsed: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(parsed["why"], value);
        assert_eq!(parsed["level"], "warning");
        assert_eq!(parsed["event"], "bad-thing");
        assert_eq!(parsed["target"], "imap::login");
        assert_eq!(parsed["time"], "1970-01-01T00:00:01.000Z");
    }

    #[test]
    fn the_journal_gets_fields_of_its_own() {
        let entry = line(&[("user", "ann"), ("why", "a\nb")]).journal("router");
        let text = String::from_utf8_lossy(&entry);
        assert!(text.contains("PRIORITY=4\n") && text.contains("LODE_USER=ann\n"));
        assert!(text.contains("SYSLOG_IDENTIFIER=lode-router\n"));
        assert!(entry.windows(15).any(|part| part == b"LODE_WHY\n\x03\0\0\0\0\0"));
        assert!(text.ends_with("a\nb\n"));
    }

    #[test]
    fn every_line_has_its_limit() {
        let long = "x".repeat(5000);
        let control = "\u{1}\u{202e}".repeat(3000);
        let odd = "\"'\\".repeat(3000);
        for value in [&long, &control, &odd] {
            let mut line = Line::new(Level::Error, &long, &long, u64::MAX / 2);
            for number in 0..100 {
                line.add(&format!("name{number}"), value);
            }
            for number in 0..100 {
                line.add(&format!("small{number}"), &1);
            }
            for text in [line.text(), line.json("handler"), line.marked_text()] {
                assert!(text.len() <= LINE_OCTETS_MAX, "{}", text.len());
                assert!(text.contains("cut"));
            }
            serde_json::from_str::<serde_json::Value>(&line.json("handler")).unwrap();
        }
    }
}
