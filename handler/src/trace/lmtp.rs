//! What may be shown of an LMTP conversation (RFC 2033): commands and replies, without the messages between them.

use super::Place;
use super::lines::{Dotted, Line, Lines, MASKED, is_one_of, split_word};

/// Commands whose arguments are no secret.
const OPEN: &[&str] = &[
    "BDAT", "DATA", "EHLO", "EXPN", "HELO", "HELP", "LHLO", "MAIL", "NOOP", "QUIT", "RCPT", "RSET",
    "STARTTLS", "VRFY",
];

/// The mask.
#[derive(Debug)]
pub(super) struct LmtpMask {
    client: Line,
    server: Line,
    message: Message,
    place: Place,
}

/// The part of a message that the client sends.
#[derive(Debug)]
enum Message {
    None,
    /// DATA's.
    Dotted(Dotted),
    /// BDAT's: its size, and what is still to come.
    Chunk(u64, u64),
}

impl LmtpMask {
    pub(super) fn new(place: Place) -> LmtpMask {
        LmtpMask { client: Line::default(), server: Line::default(), message: Message::None, place }
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
            let (taken, size) = match &mut self.message {
                Message::Dotted(message) => message.take(left),
                Message::Chunk(size, to_come) => {
                    let taken = usize::try_from(*to_come).unwrap_or(usize::MAX).min(left.len());
                    *to_come -= taken as u64;
                    (taken, (*to_come == 0).then_some(*size))
                }
                Message::None => {
                    let (taken, is_complete) = self.client.take(left);
                    if is_complete {
                        self.client_line(lines);
                        self.client.clear();
                    }
                    (taken, None)
                }
            };
            left = &left[taken..];
            if let Some(size) = size {
                self.message = Message::None;
                lines.add('C', format!("[message of {size} octets]").as_bytes());
            }
        }
    }

    fn client_line(&mut self, lines: &mut Lines) {
        let (name, arguments) = split_word(self.client.text());
        if is_one_of(name, &["BDAT"]) {
            let size =
                std::str::from_utf8(split_word(arguments).0).ok().and_then(|digits| digits.parse().ok());
            if let Some(size @ 1..) = size {
                self.message = Message::Chunk(size, size);
            }
        }
        let shown = if is_one_of(name, OPEN) { self.client.shown() } else { MASKED.as_bytes().to_vec() };
        lines.add('C', &shown);
    }

    pub(super) fn server(&mut self, octets: &[u8], lines: &mut Lines) {
        let mut left = octets;
        while !left.is_empty() {
            let (taken, is_complete) = self.server.take(left);
            left = &left[taken..];
            if is_complete {
                self.server_line(lines);
                self.server.clear();
            }
        }
    }

    fn server_line(&mut self, lines: &mut Lines) {
        lines.add('S', &self.server.shown());
        let text = self.server.text();
        if text.starts_with(b"354") {
            self.place = Place::BetweenCommands;
            if self.client.is_empty() {
                self.message = Message::Dotted(Dotted::new());
            }
        } else if text.len() >= 3 && text[..3].iter().all(u8::is_ascii_digit) && text.get(3) != Some(&b'-') {
            self.place = Place::BetweenCommands;
        }
    }
}
