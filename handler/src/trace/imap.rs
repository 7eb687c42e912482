//! What may be shown of an IMAP conversation (RFC 9051): commands that carry no secret, with the sizes of their literals; replies.

use shm_abi::OPEN_IMAP_COMMANDS;

use super::Place;
use super::lines::{Line, Lines, MASKED, is_one_of, masked_behind, split_word};

/// Commands with URLs, of which only the part that is a secret is masked. Of all that are neither these nor open the arguments are masked, and the name
/// too, which may be a mistyped argument.
const WITH_URLS: &[&str] = &["GENURLAUTH", "URLFETCH"];
/// Literals up to this long are shown: names of mailboxes, words to search for.
const SHOWN_LITERAL_OCTETS: u64 = 64;
/// What stands before the secret of a URL (RFC 4467).
const URL_SECRET: &[u8] = b":internal:";

/// The mask.
#[derive(Debug)]
pub(super) struct ImapMask {
    client: Direction,
    server: Direction,
    /// What the client's line is.
    command: CommandPart,
    /// The tag of an AUTHENTICATE that is not answered yet.
    authenticating: Option<Vec<u8>>,
    place: Place,
}

/// What the next line of the client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CommandPart {
    /// A new command.
    Begin,
    /// More of a command whose literal has come.
    More { secret: bool },
}

/// One direction.
#[derive(Debug, Default)]
struct Direction {
    line: Line,
    literal: Option<Literal>,
}

#[derive(Debug)]
struct Literal {
    octets: u64,
    left: u64,
    /// Kept of a short one.
    kept: Vec<u8>,
    secret: bool,
    /// Whether some of it was in a file, where nobody looked.
    unseen: bool,
    /// Whether it waits for the server's word.
    waits: bool,
}

impl ImapMask {
    pub(super) fn new(place: Place) -> ImapMask {
        ImapMask {
            client: Direction::default(),
            server: Direction::default(),
            command: CommandPart::Begin,
            authenticating: None,
            place,
        }
    }

    pub(super) fn client(&mut self, octets: &[u8], lines: &mut Lines) {
        if self.place == Place::Unknown {
            // It may be anything, a password for example.
            return lines.add(
                'C',
                format!("{MASKED} ({} octets in the middle of a command)", octets.len()).as_bytes(),
            );
        }
        let mut left = octets;
        while !left.is_empty() {
            let (taken, event) = self.client.take(left);
            left = &left[taken..];
            match event {
                Some(Event::Line) => self.client_line(lines),
                Some(Event::Literal(literal)) => lines.add('C', &literal.shown()),
                None => {}
            }
        }
    }

    fn client_line(&mut self, lines: &mut Lines) {
        let line = &self.client.line;
        let literal = literal_at_end(line.end());
        let (shown, secret) = match self.command {
            _ if self.authenticating.is_some() => (MASKED.as_bytes().to_vec(), true),
            CommandPart::More { secret: true } => (MASKED.as_bytes().to_vec(), true),
            CommandPart::More { secret: false } => (without_url_secrets(line.shown()), false),
            CommandPart::Begin => self.command_line(),
        };
        lines.add('C', &shown);
        self.command = CommandPart::Begin;
        if let Some((octets, waits)) = literal {
            self.client.literal = Some(Literal::new(octets, secret, waits));
            self.command = CommandPart::More { secret };
        }
        self.client.line.clear();
    }

    /// What to show of a line that begins a command, and whether the rest of it is secret.
    fn command_line(&mut self) -> (Vec<u8>, bool) {
        let line = &self.client.line;
        let text = line.text();
        let (tag, rest) = split_word(text);
        let (name, arguments) = split_word(rest);
        if name.is_empty() && (tag.is_empty() || is_one_of(tag, &["DONE"])) {
            (tag.to_vec(), false)
        } else if is_one_of(name, OPEN_IMAP_COMMANDS) || is_one_of(name, WITH_URLS) {
            (without_url_secrets(line.shown()), false)
        } else if is_one_of(name, &["AUTHENTICATE"]) {
            self.authenticating = Some(tag.to_vec());
            let (mechanism, initial) = split_word(arguments);
            let all = [tag, name, mechanism];
            let shown = if initial.is_empty() { all.join(&b' ') } else { masked_behind(&all) };
            (shown, true)
        } else if is_one_of(name, &["LOGIN"]) {
            (masked_behind(&[tag, name]), true)
        } else if name.is_empty() {
            (MASKED.as_bytes().to_vec(), true)
        } else {
            (masked_behind(&[tag]), true)
        }
    }

    pub(super) fn server(&mut self, octets: &[u8], lines: &mut Lines) {
        let mut left = octets;
        while !left.is_empty() {
            let (taken, event) = self.server.take(left);
            left = &left[taken..];
            match event {
                Some(Event::Line) => self.server_line(lines),
                Some(Event::Literal(literal)) => lines.add('S', &literal.shown()),
                None => {}
            }
        }
    }

    /// So many octets of a file left.
    pub(super) fn server_content(&mut self, octets: u64, lines: &mut Lines) {
        let Some(literal) = &mut self.server.literal else { return };
        literal.unseen = true;
        literal.left = literal.left.saturating_sub(octets);
        if literal.left == 0
            && let Some(literal) = self.server.literal.take()
        {
            lines.add('S', &literal.shown());
        }
    }

    fn server_line(&mut self, lines: &mut Lines) {
        let line = &self.server.line;
        let text = line.text();
        let (first, rest) = split_word(text);
        let is_tagged = !first.is_empty()
            && !matches!(first, b"*" | b"+")
            && is_one_of(split_word(rest).0, &["OK", "NO", "BAD"]);
        if self.place == Place::Unknown && !is_tagged && !matches!(first, b"*" | b"+") {
            // Perhaps content.
            lines.add('S', b"...");
        } else if first == b"+" && self.authenticating.is_some() {
            lines.add('S', &masked_behind(&[b"+"]));
        } else {
            lines.add('S', &without_url_secrets(line.shown()));
        }
        if is_tagged {
            self.place = Place::BetweenCommands;
            if self.authenticating.as_deref().is_some_and(|tag| tag == first) {
                self.authenticating = None;
            }
            // A literal that was refused never comes.
            if self.client.literal.as_ref().is_some_and(|literal| literal.waits && literal.is_untouched()) {
                self.client.literal = None;
                self.command = CommandPart::Begin;
            }
        }
        if let Some((octets, _)) = literal_at_end(line.end()) {
            self.server.literal = Some(Literal::new(octets, false, false));
        }
        self.server.line.clear();
    }
}

enum Event {
    Line,
    Literal(Literal),
}

impl Direction {
    /// Takes some octets: how many, and what they complete.
    fn take(&mut self, octets: &[u8]) -> (usize, Option<Event>) {
        if let Some(literal) = &mut self.literal {
            let taken = usize::try_from(literal.left).unwrap_or(usize::MAX).min(octets.len());
            literal.take(&octets[..taken]);
            let done = if literal.left == 0 { self.literal.take() } else { None };
            return (taken, done.map(Event::Literal));
        }
        let (taken, is_complete) = self.line.take(octets);
        (taken, is_complete.then_some(Event::Line))
    }
}

impl Literal {
    fn new(octets: u64, secret: bool, waits: bool) -> Literal {
        Literal { octets, left: octets, kept: Vec::new(), secret, unseen: false, waits }
    }

    fn is_untouched(&self) -> bool {
        self.left == self.octets
    }

    fn take(&mut self, octets: &[u8]) {
        self.left -= octets.len() as u64;
        if self.octets <= SHOWN_LITERAL_OCTETS && !self.secret {
            self.kept.extend_from_slice(octets);
        }
    }

    fn shown(&self) -> Vec<u8> {
        if self.secret {
            return format!("[{MASKED}]").into_bytes();
        }
        if self.octets > SHOWN_LITERAL_OCTETS || self.unseen {
            return format!("[{} octets]", self.octets).into_bytes();
        }
        [b"[", self.kept.as_slice(), b"]"].concat()
    }
}

/// The literal that a line announces at its end: its size, and whether its sender waits for a word before it.
fn literal_at_end(end: &[u8]) -> Option<(u64, bool)> {
    let inner = end.strip_suffix(b"}")?;
    let at = inner.iter().rposition(|octet| *octet == b'{')?;
    let inner = &inner[at + 1..];
    let digits = inner.strip_suffix(b"+").or_else(|| inner.strip_suffix(b"-")).unwrap_or(inner);
    let waits = digits.len() == inner.len();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let octets: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    // None of no octets comes.
    (octets > 0).then_some((octets, waits))
}

/// The line with the secrets of URLs masked: who knows one may read the message that it names.
fn without_url_secrets(mut line: Vec<u8>) -> Vec<u8> {
    let mut from = 0;
    while let Some(at) =
        line[from..].windows(URL_SECRET.len()).position(|window| window.eq_ignore_ascii_case(URL_SECRET))
    {
        let begin = from + at + URL_SECRET.len();
        let length = line[begin..].iter().take_while(|octet| octet.is_ascii_alphanumeric()).count();
        line.splice(begin..begin + length, MASKED.bytes());
        from = begin + MASKED.len();
    }
    line
}
