//! Drives the decoder with arbitrary octets, as a session would, and checks what must hold whatever they are.
//!
//! Called by the fuzz target and by the seeded tests. It panics when an invariant is broken.

use super::command::Tagged;
use super::command::append::{AppendLiteral, AppendPiece};
use super::command::search::SearchKey;
use super::decoder::{Decoded, Decoder, Refusal};
use super::limits::Limits;
use super::print;
use super::syntax::name_encoding::NameEncoding;
use super::url::MessageUrl;

/// What a session saw, for comparing runs with the same octets in other pieces.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// The decoder's answer, but for NeedMore and the literals of an APPEND.
    Decoded(Decoded),
    /// A literal of an APPEND.
    Literal(AppendLiteral, Vec<u8>),
}

/// Limits so small that arbitrary octets reach them.
pub const LIMITS: Limits = Limits {
    line: 400,
    literals: 100,
    append: 200,
    append_text: 600,
    skip: 1000,
    depth: 5,
    ranges: 8,
    ..Limits::BEFORE_LOGIN
};

/// Decodes `octets`, first whole, then in pieces whose sizes the octets themselves decide; and as a session does that has enabled
/// UTF-8, for which ASCII means the same. Then the octets are a filter, and what is between spaces and quotes are URLs.
pub fn fuzz_entry(octets: &[u8]) {
    let whole = run(octets, |_| usize::MAX);
    let pieces = run(octets, |index| 1 + usize::from(octets[index % octets.len()] % 7));
    assert_eq!(whole, pieces, "the same octets in pieces give the same answers");
    let utf8 = run_with(Limits { names: NameEncoding::Utf8, ..LIMITS }, octets, |_| usize::MAX);
    if octets.is_ascii() && !octets.contains(&b'&') {
        assert_eq!(whole, utf8, "ASCII is the same in both encodings of names");
    }
    let _ = SearchKey::parse_filter(octets, &LIMITS);
    octets.split(|octet| matches!(octet, b' ' | b'"' | b'\r' | b'\n')).for_each(check_url);
}

/// A URL that is written parses to one that is written so.
fn check_url(octets: &[u8]) {
    if let Ok(url) = MessageUrl::parse(octets) {
        let (mut written, mut again) = (Vec::new(), Vec::new());
        url.write(&mut written);
        match MessageUrl::parse(&written) {
            Ok(parsed) => parsed.write(&mut again),
            Err(_) => panic!("no URL: {}", written.escape_ascii()),
        }
        assert_eq!(written, again);
    }
}

/// Feeds `octets` to a decoder in pieces of the sizes that `size` says, given a place. Refuses an APPEND at every fourth of its literals.
pub fn run(octets: &[u8], size: impl Fn(usize) -> usize) -> Vec<Event> {
    run_with(LIMITS, octets, size)
}

fn run_with(limits: Limits, octets: &[u8], size: impl Fn(usize) -> usize) -> Vec<Event> {
    let mut session = Session {
        decoder: Decoder::new(limits),
        events: Vec::new(),
        unread: Vec::new(),
        done: 0,
        literals: 0,
        left: 0,
    };
    let mut fed = 0;
    while fed < octets.len() {
        let piece = size(fed).min(octets.len() - fed);
        session.unread.extend_from_slice(&octets[fed..fed + piece]);
        fed += piece;
        let flow = session.drain();
        session.unread.drain(..session.done);
        session.done = 0;
        if flow == Flow::Close {
            break;
        }
    }
    session.events
}

/// A command that is printed parses to the same, and prints the same again.
pub fn check_print(tagged: &Tagged, limits: &Limits) {
    let mut printed = Vec::new();
    print::command(&mut printed, tagged, limits.names);
    match Tagged::parse(&printed, limits) {
        Ok(again) => {
            assert_eq!(again, *tagged, "{}", printed.escape_ascii());
            let mut twice = Vec::new();
            print::command(&mut twice, &again, limits.names);
            assert_eq!(twice, printed);
        }
        Err((_, fault)) => panic!("{fault:?} of {tagged:?} as {}", printed.escape_ascii()),
    }
}

struct Session {
    decoder: Decoder,
    events: Vec<Event>,
    unread: Vec<u8>,
    /// How many octets of `unread` are consumed. They are dropped together, so that the time is linear.
    done: usize,
    /// How many literals of APPENDs were announced.
    literals: usize,
    /// How many octets of the last one are to be taken yet.
    left: usize,
}

#[derive(PartialEq, Eq)]
enum Flow {
    Read,
    Close,
}

impl Session {
    /// Decodes until there is nothing more.
    fn drain(&mut self) -> Flow {
        loop {
            if let (true, Some(Event::Literal(_, message))) = (self.left > 0, self.events.last_mut()) {
                let taken = self.left.min(self.unread.len() - self.done);
                message.extend_from_slice(&self.unread[self.done..self.done + taken]);
                self.done += taken;
                self.left -= taken;
                if self.left > 0 {
                    return Flow::Read;
                }
                self.decoder.append_rest();
            }
            let (consumed, decoded) = self.decoder.decode(&self.unread[self.done..]);
            self.done += consumed;
            assert!(self.done <= self.unread.len(), "no more is consumed than there is");
            match decoded {
                Decoded::NeedMore => {
                    let kept = self.unread.len() - self.done;
                    assert!(kept <= LIMITS.line + LIMITS.literals, "what is kept is limited");
                    return Flow::Read;
                }
                Decoded::AppendPiece(AppendPiece::Literal(literal)) => {
                    assert!(literal.length <= LIMITS.append && consumed > 0);
                    self.literals += 1;
                    self.left = 0;
                    if self.literals.is_multiple_of(4) {
                        self.decoder.append_refuse();
                    } else if literal.length == 0 {
                        self.decoder.append_rest();
                    } else {
                        self.left = literal.length as usize;
                    }
                    self.events.push(Event::Literal(literal, Vec::new()));
                    continue;
                }
                Decoded::Fatal(_) => {
                    self.events.push(Event::Decoded(decoded));
                    return Flow::Close;
                }
                Decoded::Bad(Refusal { fault, .. }) => {
                    assert!(fault.text.bytes().all(|octet| matches!(octet, b' '..=b'~')));
                    assert!(consumed > 0, "a refusal makes progress");
                }
                Decoded::Command(ref tagged) => {
                    assert!(consumed > 0, "a command makes progress");
                    check_print(tagged, self.decoder.limits());
                }
                Decoded::AppendBegin(_) | Decoded::AppendPiece(_) | Decoded::AppendEnd => {
                    assert!(consumed > 0, "a command makes progress")
                }
                Decoded::Continue => {}
            }
            self.events.push(Event::Decoded(decoded));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pieces of which commands are made, so that random input gets further than the first octet.
    const PIECES: &[&[u8]] = &[
        b"a1 ",
        b"T ",
        b"+ ",
        b"FETCH ",
        b"UID ",
        b"SEARCH ",
        b"STORE ",
        b"APPEND ",
        b"append INBOX ",
        b"REPLACE 1 ",
        b"UID REPLACE * box ",
        b"CATENATE (",
        b"TEXT ",
        b"URL ",
        b"UTF8 (",
        b"~{4}\r\n",
        b"~{6+}\r\n",
        b"/INBOX/;UID=1/;SECTION=1.MIME",
        b"LIST ",
        b"LOGIN ",
        b"IDLE",
        b"NOOP",
        b"SELECT ",
        b"STATUS ",
        b"CREATE ",
        b"ID ",
        b"1:*",
        b"1,2,3 ",
        b"(",
        b")",
        b"((((((",
        b"{5}\r\n",
        b"{3+}\r\n",
        b"{0}\r\n",
        b"{150+}\r\n",
        b"{201}\r\n",
        b"{300+}\r\n",
        b"{99999999999}\r\n",
        b"{4294967296+}\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b"abc",
        b"\"abc\" ",
        b"\"",
        b"\\Seen",
        b"FLAGS ",
        b"+FLAGS.SILENT ",
        b"BODY[",
        b"]",
        b"HEADER.FIELDS ",
        b"<0.5>",
        b"NOT ",
        b"OR ",
        b"TEXT ",
        b"CHARSET ",
        b"\0",
        b"\xff\xfe",
        b"&AOk-",
        b"*",
        b"%",
        b" ",
        b"RETURN (",
        b"USE (\\Sent)",
        b"\"17-Jul-1996 02:44:25 -0700\" ",
        b"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    ];

    #[test]
    fn random_commands_in_random_pieces() {
        let mut seed = 0x5eed_u64;
        let mut draw = move |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % below
        };
        for _ in 0..20_000 {
            let mut octets = Vec::new();
            for _ in 0..draw(40) {
                octets.extend_from_slice(PIECES[draw(PIECES.len())]);
                if draw(12) == 0 {
                    octets.push(draw(256) as u8);
                }
                if draw(6) == 0 {
                    octets.extend_from_slice(b"\r\n");
                }
            }
            fuzz_entry(&octets);
        }
    }
}
