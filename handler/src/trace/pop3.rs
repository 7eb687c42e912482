//! What may be shown of a POP3 conversation (RFC 1939): commands that carry no secret; replies, without the messages in them.

use std::collections::VecDeque;

use super::Place;
use super::lines::{Dotted, Line, Lines, MASKED, is_one_of, masked_behind, split_word};

/// Commands whose arguments are no secret.
const OPEN: &[&str] = &[
    "CAPA", "DELE", "LANG", "LAST", "LIST", "NOOP", "QUIT", "RETR", "RSET", "STAT", "STLS", "TOP", "UIDL",
    "USER", "UTF8",
];
/// Commands that are answered with a message.
const WITH_MESSAGE: &[&str] = &["RETR", "TOP"];
/// Commands of a pipeline that are remembered. Of a longer one more is masked than need be.
const REMEMBERED: usize = 1000;

/// The mask.
#[derive(Debug)]
pub(super) struct Pop3Mask {
    client: Line,
    server: Line,
    /// Commands that are not answered yet.
    waiting: VecDeque<Command>,
    /// The message that is being sent.
    message: Option<Dotted>,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Command {
    /// All its lines, and those of its answer, are masked.
    Auth,
    WithMessage,
    Other,
}

impl Pop3Mask {
    pub(super) fn new(place: Place) -> Pop3Mask {
        Pop3Mask {
            client: Line::default(),
            server: Line::default(),
            waiting: VecDeque::new(),
            message: None,
            place,
        }
    }

    pub(super) fn client(&mut self, octets: &[u8], lines: &mut Lines) {
        if self.place == Place::Unknown {
            return lines.add(
                'C',
                format!("{MASKED} ({} octets in the middle of a command)", octets.len()).as_bytes(),
            );
        }
        let mut left = octets;
        while !left.is_empty() {
            let (taken, is_complete) = self.client.take(left);
            left = &left[taken..];
            if is_complete {
                self.client_line(lines);
                self.client.clear();
            }
        }
    }

    fn client_line(&mut self, lines: &mut Lines) {
        if self.waiting.contains(&Command::Auth) || self.waiting.len() >= REMEMBERED {
            return lines.add('C', MASKED.as_bytes());
        }
        let (name, arguments) = split_word(self.client.text());
        let command = match name {
            _ if is_one_of(name, WITH_MESSAGE) => Command::WithMessage,
            _ if is_one_of(name, &["AUTH"]) && !arguments.is_empty() => Command::Auth,
            _ => Command::Other,
        };
        let shown = match name {
            _ if is_one_of(name, OPEN) => self.client.shown(),
            _ if is_one_of(name, &["AUTH"]) => {
                let (mechanism, initial) = split_word(arguments);
                let all = [name, mechanism];
                if initial.is_empty() {
                    all.join(&b' ').trim_ascii_end().to_vec()
                } else {
                    masked_behind(&all)
                }
            }
            _ if is_one_of(name, &["APOP"]) => masked_behind(&[name, split_word(arguments).0]),
            _ if is_one_of(name, &["PASS"]) => masked_behind(&[name]),
            _ => MASKED.as_bytes().to_vec(),
        };
        self.waiting.push_back(command);
        lines.add('C', &shown);
    }

    pub(super) fn server(&mut self, octets: &[u8], lines: &mut Lines) {
        let mut left = octets;
        while !left.is_empty() {
            if let Some(message) = &mut self.message {
                let (taken, size) = message.take(left);
                left = &left[taken..];
                if let Some(size) = size {
                    self.message = None;
                    lines.add('S', format!("[message of {size} octets]").as_bytes());
                }
                continue;
            }
            let (taken, is_complete) = self.server.take(left);
            left = &left[taken..];
            if is_complete {
                self.server_line(lines);
                self.server.clear();
            }
        }
    }

    /// So many octets of a file left.
    pub(super) fn server_content(&mut self, octets: u64) {
        if let Some(message) = &mut self.message {
            message.skip(octets);
        }
    }

    fn server_line(&mut self, lines: &mut Lines) {
        let (first, _) = split_word(self.server.text());
        let is_status = is_one_of(first, &["+OK", "-ERR"]);
        if self.place == Place::Unknown && !is_status {
            return lines.add('S', b"...");
        }
        if first == b"+" && self.waiting.contains(&Command::Auth) {
            return lines.add('S', &masked_behind(&[b"+"]));
        }
        lines.add('S', &self.server.shown());
        if is_status {
            self.place = Place::BetweenCommands;
            let command = self.waiting.pop_front();
            if command == Some(Command::WithMessage) && is_one_of(first, &["+OK"]) {
                self.message = Some(Dotted::new());
            }
        }
    }
}
