//! Octets of a conversation made into lines for a person: collected, shortened, without control characters.

/// Octets of a line that are kept.
const KEPT_OCTETS: usize = 600;
/// Octets kept of the end of a line that is longer: literals are announced there.
const TAIL_OCTETS: usize = 32;
/// Octets of a line as it is written, at most.
const WRITTEN_OCTETS: usize = 2000;

/// What stands for a secret.
pub(super) const MASKED: &str = "****";

/// Lines that wait to be written.
#[derive(Debug, Default)]
pub(super) struct Lines {
    unix_ms: u64,
    text: Vec<u8>,
    /// Where each line ends.
    ends: Vec<usize>,
}

impl Lines {
    /// When what follows was said.
    pub(super) fn set_time(&mut self, unix_ms: u64) {
        self.unix_ms = unix_ms;
    }

    /// Adds a line of a kind.
    pub(super) fn add(&mut self, kind: char, text: &[u8]) {
        self.text.extend_from_slice(format!("{} {kind} ", self.unix_ms).as_bytes());
        write_printable(text, &mut self.text);
        self.text.push(b'\n');
        self.ends.push(self.text.len());
    }

    /// A remark on its own.
    pub(super) fn remark(&self, text: &str) -> Vec<u8> {
        format!("{} - {text}\n", self.unix_ms).into_bytes()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Whole lines in pieces of at most `most` octets, with the number of lines in each.
    pub(super) fn batches(&self, most: usize) -> impl Iterator<Item = (&[u8], u64)> {
        let mut from = 0;
        let mut next = 0;
        std::iter::from_fn(move || {
            let first = next;
            while next < self.ends.len() && (next == first || self.ends[next] - from <= most) {
                next += 1;
            }
            let upto = *self.ends.get(next.checked_sub(1)?)?;
            let piece = &self.text[from..upto];
            from = upto;
            (next > first).then_some((piece, (next - first) as u64))
        })
    }

    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }
}

/// Writes text so that it commands no terminal: control characters and what is not UTF-8 as `\xNN`.
fn write_printable(text: &[u8], out: &mut Vec<u8>) {
    let end = out.len() + WRITTEN_OCTETS;
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            if out.len() + 12 > end {
                return out.extend_from_slice("…".as_bytes());
            }
            if character.is_control() {
                out.extend_from_slice(format!("\\x{:02x}", u32::from(character)).as_bytes());
            } else {
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        for octet in chunk.invalid() {
            out.extend_from_slice(format!("\\x{octet:02x}").as_bytes());
        }
    }
}

/// A line that is coming in.
#[derive(Debug, Default)]
pub(super) struct Line {
    kept: Vec<u8>,
    tail: Vec<u8>,
    octets: u64,
}

impl Line {
    /// Takes octets up to the end of the line: how many, and whether the line ended.
    pub(super) fn take(&mut self, octets: &[u8]) -> (usize, bool) {
        let end = octets.iter().position(|octet| *octet == b'\n');
        let taken = end.map_or(octets.len(), |at| at + 1);
        let part = &octets[..taken];
        self.octets += taken as u64;
        let room = (KEPT_OCTETS - self.kept.len()).min(taken);
        self.kept.extend_from_slice(&part[..room]);
        let rest = &part[room..];
        self.tail.extend_from_slice(&rest[rest.len().saturating_sub(TAIL_OCTETS)..]);
        let surplus = self.tail.len().saturating_sub(TAIL_OCTETS);
        self.tail.drain(..surplus);
        (taken, end.is_some())
    }

    /// The beginning of the line, without its end.
    pub(super) fn text(&self) -> &[u8] {
        if self.tail.is_empty() { trim_end(&self.kept) } else { &self.kept }
    }

    /// The end of the line, without CRLF.
    pub(super) fn end(&self) -> &[u8] {
        trim_end(if self.tail.is_empty() { &self.kept } else { &self.tail })
    }

    /// What to show of it: all of a short line, the beginning and the length of a long one.
    pub(super) fn shown(&self) -> Vec<u8> {
        let mut shown = self.text().to_vec();
        if !self.tail.is_empty() {
            shown.extend_from_slice(format!("… ({} octets)", self.octets).as_bytes());
        }
        shown
    }

    /// Whether nothing has come of it.
    pub(super) fn is_empty(&self) -> bool {
        self.octets == 0
    }

    pub(super) fn clear(&mut self) {
        self.kept.clear();
        self.tail.clear();
        self.octets = 0;
    }
}

fn trim_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Content that ends with a line of one dot, as DATA of LMTP and RETR of POP3 have it.
#[derive(Debug)]
pub(super) struct Dotted {
    octets: u64,
    /// How much of CR LF `.` CR LF has come.
    matched: usize,
}

const END: &[u8] = b"\r\n.\r\n";

impl Dotted {
    /// At the beginning of a line.
    pub(super) fn new() -> Dotted {
        Dotted { octets: 0, matched: 2 }
    }

    /// Takes octets up to the end of the content: how many, and the size of the content if it ended.
    pub(super) fn take(&mut self, octets: &[u8]) -> (usize, Option<u64>) {
        for (at, octet) in octets.iter().enumerate() {
            self.octets += 1;
            self.matched = match *octet {
                octet if octet == END[self.matched] => self.matched + 1,
                b'\r' => 1,
                _ => 0,
            };
            if self.matched == END.len() {
                return (at + 1, Some(self.octets.saturating_sub(3)));
            }
        }
        (octets.len(), None)
    }

    /// So many octets came that nobody looked at; they end with a line.
    pub(super) fn skip(&mut self, octets: u64) {
        self.octets += octets;
        self.matched = 2;
    }
}

/// Words of a line, with what is behind each.
pub(super) fn split_word(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|octet| matches!(octet, b' ' | b'\t')).unwrap_or(text.len());
    (&text[..end], text[end..].trim_ascii_start())
}

/// Whether `word` is one of `list`, in whatever case.
pub(super) fn is_one_of(word: &[u8], list: &[&str]) -> bool {
    list.iter().any(|each| each.as_bytes().eq_ignore_ascii_case(word))
}

/// The words in `shown`, and a mask for what is not to be shown behind them.
pub(super) fn masked_behind(shown: &[&[u8]]) -> Vec<u8> {
    let mut text = shown.join(&b' ');
    text.push(b' ');
    text.extend_from_slice(MASKED.as_bytes());
    text
}
