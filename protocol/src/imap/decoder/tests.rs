//! Framing: literals, refusals, limits, APPEND, and the lines of AUTHENTICATE and IDLE.

use super::*;
use crate::imap::command::Command;
use crate::imap::fuzz::{Event, run};

const SMALL: Limits =
    Limits { line: 80, literals: 20, append: 100, skip: 200, depth: 5, ranges: 8, ..Limits::BEFORE_LOGIN };

/// A decoder and what it has not consumed.
struct Peer {
    decoder: Decoder,
    unread: Vec<u8>,
}

impl Peer {
    fn new(limits: Limits) -> Peer {
        Peer { decoder: Decoder::new(limits), unread: Vec::new() }
    }

    fn send(&mut self, octets: impl AsRef<[u8]>) -> &mut Peer {
        self.unread.extend_from_slice(octets.as_ref());
        self
    }

    fn next(&mut self) -> Decoded {
        let (consumed, decoded) = self.decoder.decode(&self.unread);
        self.unread.drain(..consumed);
        decoded
    }

    fn command(&mut self) -> (String, Command) {
        match self.next() {
            Decoded::Command(Tagged { tag, command }) => (tag.as_str().to_owned(), command),
            other => panic!("{other:?}"),
        }
    }

    /// The reply that a refusal would be.
    fn refusal(&mut self) -> String {
        match self.next() {
            Decoded::Bad(refusal) => {
                let mut out = Vec::new();
                refusal.write(&mut out);
                String::from_utf8(out).expect("ASCII")
            }
            other => panic!("{other:?}"),
        }
    }

    fn append(&mut self) -> AppendLiteral {
        match self.next() {
            Decoded::AppendLiteral(append) => append,
            other => panic!("{other:?}"),
        }
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        self.unread.drain(..length).collect()
    }

    fn noop(&mut self) {
        assert_eq!(self.send("n NOOP\r\n").command(), ("n".to_owned(), Command::Noop));
        assert_eq!(self.next(), Decoded::NeedMore);
        assert!(self.unread.is_empty() && self.decoder.is_between_commands(&self.unread));
    }
}

#[test]
fn commands_come_one_after_another() {
    let mut peer = Peer::new(SMALL);
    assert_eq!(peer.next(), Decoded::NeedMore);
    peer.send("a NOOP\r\nb CHECK\nc CLO");
    assert_eq!(peer.command(), ("a".to_owned(), Command::Noop));
    assert_eq!(peer.command(), ("b".to_owned(), Command::Check));
    assert_eq!(peer.next(), Decoded::NeedMore);
    assert!(!peer.decoder.is_between_commands(&peer.unread));
    assert_eq!(peer.send("SE\r\n").command(), ("c".to_owned(), Command::Close));
    peer.noop();
}

#[test]
fn literals_of_both_kinds() {
    let mut peer = Peer::new(SMALL);
    peer.send("a LOGIN {3}\r\n");
    assert_eq!((peer.next(), peer.next()), (Decoded::Continue, Decoded::NeedMore));
    peer.send("u\r\n {2}\r\n");
    assert_eq!((peer.next(), peer.next()), (Decoded::Continue, Decoded::NeedMore));
    match peer.send("p\n\r\n").command() {
        (_, Command::Login(login)) => {
            assert_eq!((&login.user[..], &login.password[..]), (&b"u\r\n"[..], &b"p\n"[..]))
        }
        other => panic!("{other:?}"),
    }
    match peer.send("a LOGIN {1+}\r\nu {1+}\r\np\r\n").command() {
        (_, Command::Login(login)) => {
            assert_eq!((&login.user[..], &login.password[..]), (&b"u"[..], &b"p"[..]))
        }
        other => panic!("{other:?}"),
    }
    peer.noop();
}

#[test]
fn literals_of_commands_that_are_refused_are_skipped() {
    for (sent, reply) in [
        ("a FOO {5+}\r\n", "a BAD Unknown command\r\n"),
        ("a NOOP {5+}\r\n", "a BAD The command takes no arguments\r\n"),
        ("a APPEND (x) {5+}\r\n", "a BAD Expected a string\r\n"),
        ("a APPEND x (\\Foo) {5+}\r\n", "a BAD Unknown system flag\r\n"),
        ("{5+}\r\n", "* BAD Expected a tag\r\n"),
        ("a {5+}\r\n", "a BAD Expected a command\r\n"),
    ] {
        let mut peer = Peer::new(SMALL);
        assert_eq!(peer.send(sent).refusal(), reply, "{sent}");
        peer.send("b NOO").next();
        peer.send(" x {3+}\r\nc\r\n");
        assert_eq!(peer.next(), Decoded::NeedMore);
        peer.send(" more\r\n");
        peer.noop();
    }
    let mut peer = Peer::new(SMALL);
    assert_eq!(peer.send("a FOO {5}\r\n").refusal(), "a BAD Unknown command\r\n");
    peer.noop();
    // The rest of a command that is skipped may wait for leave, too: the refusal is the answer.
    assert_eq!(peer.send("a FOO {1+}\r\nx {5}\r\n").refusal(), "a BAD Unknown command\r\n");
    peer.noop();
}

#[test]
fn skipping_holds_no_more_than_the_end_of_a_line() {
    let mut peer = Peer::new(Limits { skip: 1 << 20, ..SMALL });
    peer.send("a FOO {100000+}\r\n").refusal();
    for _ in 0..1000 {
        peer.send([b'x'; 100]);
        assert_eq!(peer.next(), Decoded::NeedMore);
        assert!(peer.unread.is_empty());
    }
    for _ in 0..1000 {
        peer.send([b'y'; 100]);
        assert_eq!(peer.next(), Decoded::NeedMore);
        assert!(peer.unread.len() <= 32);
    }
    peer.send(" {00000000000000000002+}\r");
    assert_eq!(peer.next(), Decoded::NeedMore);
    peer.send("\nzz\r\n");
    peer.noop();
}

#[test]
fn literals_beyond_the_limits() {
    let mut peer = Peer::new(SMALL);
    assert_eq!(peer.send("a LOGIN {21}\r\n").refusal(), "a BAD [LIMIT] A literal is too long\r\n");
    peer.noop();
    assert_eq!(peer.send("a LOGIN {4294967296}\r\n").refusal(), "a BAD [LIMIT] A literal is too long\r\n");
    peer.noop();
    assert_eq!(peer.send("a LOGIN {21+}\r\n").refusal(), "a BAD [LIMIT] A literal is too long\r\n");
    peer.send([b'x'; 21]).send("\r\n");
    peer.noop();
    // All literals of a command count together.
    peer.send("a LOGIN {15+}\r\nxxxxxxxxxxxxxxx {6+}\r\n");
    assert_eq!(peer.refusal(), "a BAD [LIMIT] A literal is too long\r\n");
    peer.send("yyyyyy\r\n");
    peer.noop();
    for sent in [
        "a LOGIN {4294967296+}\r\n",
        "a FOO {201+}\r\n",
        "a APPEND x {18446744073709551615+}\r\n",
        "a LOGIN {99999999999999999999+}\r\n",
    ] {
        let mut peer = Peer::new(SMALL);
        assert_eq!(peer.send(sent).next(), Decoded::Fatal("A literal is too long"), "{sent}");
        assert_eq!(peer.send("b NOOP\r\n").next(), Decoded::Fatal("A literal is too long"));
    }
    let mut peer = Peer::new(SMALL);
    peer.send("a FOO {150+}\r\n").refusal();
    peer.send([b'x'; 150]).send(" {60+}\r\n");
    assert_eq!(peer.next(), Decoded::Fatal("A literal is too long"));
}

#[test]
fn lines_beyond_the_limit() {
    let mut peer = Peer::new(SMALL);
    let line = |length: usize| format!("a LOGIN u {}\r\n", "p".repeat(length - "a LOGIN u \r\n".len()));
    assert!(matches!(peer.send(line(80)).next(), Decoded::Command(_)));
    assert_eq!(peer.send(line(81)).next(), Decoded::Fatal("A line is too long"));
    let mut peer = Peer::new(SMALL);
    peer.send([b'x'; 80]);
    assert_eq!(peer.next(), Decoded::NeedMore);
    peer.send("x");
    assert_eq!(peer.next(), Decoded::Fatal("A line is too long"));
    // Literals do not count, the lines around them do, together.
    let mut peer = Peer::new(SMALL);
    peer.send("a LOGIN u {20+}\r\n").send([b'x'; 20]).send(" ".repeat(61)).send("\r\n");
    assert!(matches!(peer.next(), Decoded::Command(_)));
    peer.send("a LOGIN u {20+}\r\n").send([b'x'; 20]).send(" ".repeat(62)).send("\r\n");
    assert_eq!(peer.next(), Decoded::Fatal("A line is too long"));
}

#[test]
fn a_message_is_taken() {
    let mut peer = Peer::new(SMALL);
    peer.send("A003 APPEND saved-messages (\\Seen) {10}\r\n");
    let append = peer.append();
    assert_eq!((append.tag.as_str(), append.length, append.synchronising), ("A003", 10, true));
    assert_eq!(append.header.mailbox.as_str(), "saved-messages");
    peer.send("a NOOP\r\n\r\n\r\nb NOOP\r\n");
    assert_eq!(peer.next(), Decoded::NeedMore, "the message is not for the decoder");
    assert_eq!(peer.take(10), b"a NOOP\r\n\r\n");
    peer.decoder.append_rest();
    assert_eq!(peer.next(), Decoded::AppendEnd);
    assert_eq!(peer.command().0, "b");

    peer.send("c APPEND {5}\r\n");
    assert_eq!(peer.next(), Decoded::Continue);
    let append = peer.send("inbox {3+}\r\nabc \r\n").append();
    assert_eq!((append.header.mailbox.as_str(), append.length, append.synchronising), ("INBOX", 3, false));
    assert_eq!(peer.take(3), b"abc");
    peer.decoder.append_rest();
    assert_eq!(peer.next(), Decoded::AppendEnd);
    peer.noop();
}

#[test]
fn a_message_is_refused() {
    let mut peer = Peer::new(SMALL);
    peer.send("a APPEND x {10}\r\n").append();
    peer.decoder.append_refuse();
    peer.noop();
    peer.send("a APPEND x {10+}\r\n").append();
    peer.decoder.append_refuse();
    peer.send("0123456789\r\n");
    peer.noop();
    // After leave was given and a part was taken.
    peer.send("a APPEND x {10}\r\n").append();
    peer.send("01234").take(4);
    peer.decoder.append_skip(6);
    peer.send("56789\r\n");
    peer.noop();
    assert_eq!(peer.send("a APPEND x {101}\r\n").refusal(), "a NO [TOOBIG] The message is too large\r\n");
    peer.noop();
    assert_eq!(peer.send("a APPEND x {101+}\r\n").refusal(), "a NO [TOOBIG] The message is too large\r\n");
    peer.send([b'x'; 101]).send("\r\n");
    peer.noop();
}

#[test]
fn only_a_line_end_may_follow_a_message() {
    for (rest, left) in
        [(" x\r\n", ""), (" {3}\r\n", ""), (" (\\Seen) {3+}\r\n", "abc\r\n"), ("a NOOP\r\n", "")]
    {
        let mut peer = Peer::new(SMALL);
        peer.send("a APPEND x {1+}\r\nm").append();
        peer.take(1);
        peer.decoder.append_rest();
        assert_eq!(peer.send(rest).refusal(), "a BAD Expected the end of the command behind the message\r\n");
        peer.send(left);
        peer.noop();
    }
    let mut peer = Peer::new(SMALL);
    peer.send("a APPEND x {1+}\r\nm").append();
    peer.take(1);
    peer.decoder.append_rest();
    assert_eq!(peer.send([b' '; 81]).next(), Decoded::Fatal("A line is too long"));
}

#[test]
fn lines_of_an_authentication() {
    let mut decoder = Decoder::new(SMALL);
    assert_eq!(decoder.decode_sasl(b"Zm"), (0, SaslLine::NeedMore));
    assert_eq!(decoder.decode_sasl(b"Zm9v\r\nrest"), (6, SaslLine::Response(b"foo".to_vec())));
    assert_eq!(decoder.decode_sasl(b"\r\n"), (2, SaslLine::Response(Vec::new())));
    assert_eq!(decoder.decode_sasl(b"*\r\n"), (3, SaslLine::Cancelled));
    assert_eq!(decoder.decode_sasl(b"a NOOP\n"), (7, SaslLine::Bad));
    assert_eq!(decoder.decode_sasl(&[b'A'; 81]), (0, SaslLine::Fatal));
    assert_eq!(decoder.decode(b"").1, Decoded::Fatal("A line is too long"));
}

#[test]
fn the_line_that_ends_idle() {
    let mut decoder = Decoder::new(SMALL);
    assert_eq!(decoder.decode_idle(b"DO"), (0, IdleLine::NeedMore));
    assert_eq!(decoder.decode_idle(b"DONE\r\nb NOOP"), (6, IdleLine::Done));
    assert_eq!(decoder.decode_idle(b"done \n"), (6, IdleLine::Done));
    assert_eq!(decoder.decode_idle(b"b NOOP\r\n"), (8, IdleLine::Bad));
    assert_eq!(decoder.decode_idle(&[b'x'; 81]), (0, IdleLine::Fatal));
}

#[test]
fn a_conversation_in_every_cut_is_the_same() {
    let conversation = b"a LOGIN {4+}\r\nuser \"pass\"\r\nb SELECT inbox\r\nc FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (From)])\r\n\
        d APPEND x (\\Seen) {12}\r\nFrom: a\r\n\r\nb\r\ne FOO {3+}\r\nabc {2+}\r\nde\r\nf SEARCH TEXT {3}\r\nabc\r\ng APPEND x {201+}\r\n";
    let mut conversation = conversation.to_vec();
    conversation.extend_from_slice(&[b'm'; 201]);
    conversation.extend_from_slice(b"\r\nh LOGOUT\r\n");
    let whole = run(&conversation, |_| usize::MAX);
    let commands = whole.iter().filter(|event| matches!(event, Event::Decoded(Decoded::Command(_)))).count();
    let refusals = whole.iter().filter(|event| matches!(event, Event::Decoded(Decoded::Bad(_)))).count();
    assert_eq!((commands, refusals, whole.len()), (5, 2, 10), "{whole:?}");
    for size in 1..60 {
        assert_eq!(run(&conversation, |_| size), whole, "pieces of {size}");
    }
}

#[test]
fn a_long_line_that_trickles_in_is_scanned_once() {
    let limits = Limits { line: 4 << 20, ..Limits::LOGGED_IN };
    let mut decoder = Decoder::new(limits);
    let line = vec![b'x'; 4 << 20];
    for length in (0..line.len()).step_by(16) {
        assert_eq!(decoder.decode(&line[..length]), (0, Decoded::NeedMore));
    }
}

#[test]
fn an_idle_decoder_is_small() {
    assert!(std::mem::size_of::<Decoder>() <= 160, "{}", std::mem::size_of::<Decoder>());
}
