//! Framing: literals, refusals, limits, APPEND, and the lines of AUTHENTICATE and IDLE.

use super::*;
use crate::imap::command::Command;
use crate::imap::command::append::{AppendLiteral, LiteralKind};
use crate::imap::fuzz::{Event, run};

const SMALL: Limits = Limits {
    line: 80,
    literals: 20,
    append: 100,
    append_text: 200,
    skip: 200,
    depth: 5,
    ranges: 8,
    ..Limits::BEFORE_LOGIN
};

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

    fn begin(&mut self) -> AppendBegin {
        match self.next() {
            Decoded::AppendBegin(begin) => begin,
            other => panic!("{other:?}"),
        }
    }

    /// An APPEND up to the octets of its first message.
    fn append(&mut self) -> (AppendBegin, AppendLiteral) {
        let begin = self.begin();
        assert!(matches!(self.next(), Decoded::AppendPiece(AppendPiece::Message(_))));
        (begin, self.literal())
    }

    fn literal(&mut self) -> AppendLiteral {
        match self.next() {
            Decoded::AppendPiece(AppendPiece::Literal(literal)) => literal,
            other => panic!("{other:?}"),
        }
    }

    /// All that comes up to the end of an APPEND or its refusal, in short.
    fn pieces(&mut self) -> String {
        let mut all = Vec::new();
        loop {
            match self.next() {
                Decoded::AppendBegin(begin) => all.push(format!("{}>", begin.mailbox.as_str())),
                Decoded::AppendPiece(AppendPiece::Message(header)) => {
                    all.push(if header.date.is_some() { "M@" } else { "M" }.to_owned());
                }
                Decoded::AppendPiece(AppendPiece::Url(url)) => {
                    all.push(format!("U:{}", String::from_utf8_lossy(&url)));
                }
                Decoded::AppendPiece(AppendPiece::Literal(literal)) => {
                    let taken = self.take(literal.length as usize);
                    let kind = match literal.kind {
                        LiteralKind::Text => "T",
                        LiteralKind::Binary => "B",
                        LiteralKind::Utf8 => "8",
                    };
                    all.push(format!("{kind}:{}", String::from_utf8_lossy(&taken)));
                    self.decoder.append_rest();
                }
                Decoded::AppendEnd => {
                    all.push(".".to_owned());
                    return all.join(" ");
                }
                Decoded::Bad(refusal) => {
                    all.push(refusal.fault.text.to_owned());
                    return all.join(" ");
                }
                Decoded::Continue => all.push("+".to_owned()),
                other => panic!("{other:?} after {all:?}"),
            }
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
        ("a REPLACE 1:2 x {5+}\r\n", "a BAD REPLACE takes one message\r\n"),
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
        "a APPEND {18446744073709551615+}\r\n",
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
    let (begin, literal) = peer.append();
    assert_eq!((begin.tag.as_str(), begin.mailbox.as_str()), ("A003", "saved-messages"));
    let expected = AppendLiteral { kind: LiteralKind::Text, length: 10, synchronising: true, is_part: false };
    assert_eq!(literal, expected);
    peer.send("a NOOP\r\n\r\n\r\nb NOOP\r\n");
    assert_eq!(peer.next(), Decoded::NeedMore, "the message is not for the decoder");
    assert_eq!(peer.take(10), b"a NOOP\r\n\r\n");
    peer.decoder.append_rest();
    assert_eq!(peer.next(), Decoded::AppendEnd);
    assert_eq!(peer.command().0, "b");

    peer.send("c APPEND {5}\r\n");
    assert_eq!(peer.next(), Decoded::Continue);
    let (begin, literal) = peer.send("inbox {3+}\r\nabc \r\n").append();
    assert_eq!((begin.mailbox.as_str(), literal.length, literal.synchronising), ("INBOX", 3, false));
    assert_eq!(peer.take(3), b"abc");
    peer.decoder.append_rest();
    assert_eq!(peer.next(), Decoded::AppendEnd);
    peer.noop();
}

#[test]
fn messages_of_every_form() {
    for (sent, pieces) in [
        ("a APPEND x {3+}\r\nabc {0+}\r\n ~{1+}\r\nd\r\n", "x> M T:abc M T: M B:d ."),
        (
            "a APPEND x () \"17-Jul-1996 02:44:25 -0700\" {1+}\r\na (\\Seen) {1+}\r\nb\r\n",
            "x> M@ T:a M T:b .",
        ),
        ("a append x utf8 (~{3+}\r\n\u{e9}a) {1+}\r\nb\r\n", "x> M 8:\u{e9}a M T:b ."),
        ("a APPEND x CATENATE (URL /y/;UID=1)\r\n", "x> M U:/y/;UID=1 ."),
        ("a APPEND x CATENATE (UTF8 (~{1+}\r\na) URL u)\r\n", "x> M 8:a U:u ."),
        ("a APPEND x CATENATE (UTF8 (~{1+}\r\na URL u)\r\n", "x> M 8:a Expected ) behind the part"),
        (
            "a APPEND x CATENATE ( URL \"u v\" TEXT {2+}\r\nab TEXT ~{1+}\r\nc URL {3+}\r\nd\r\n URL e ) {1+}\r\nf\r\n",
            "x> M U:u v T:ab B:c U:d\r\n U:e M T:f .",
        ),
        ("a APPEND x CATENATE (URL {1}\r\nu)\r\n", "x> M + U:u ."),
        ("a APPEND {1}\r\nx CATENATE (URL {1}\r\nu URL {1}\r\nv)\r\n", "+ x> M + U:u + U:v ."),
        // Literals in annotations (RFC 5257).
        ("a APPEND x ANNOTATION (/a (value.priv {2}\r\nab)) {1}\r\nc\r\n", "x> + M T:c ."),
        ("a APPEND x ANNOTATION (/a (value.priv ~{1+}\r\n\0 value.shared NIL)) {1+}\r\nc\r\n", "x> M T:c ."),
        ("a APPEND {1+}\r\nx () ANNOTATION ({2+}\r\n/a (value.priv NIL)) {1+}\r\nc\r\n", "x> M T:c ."),
        (
            "a APPEND x ANNOTATION (/a (value {1+}\r\nb)) {1+}\r\nc\r\n",
            "x> Expected value.priv or value.shared",
        ),
        ("a APPEND x ANNOTATION () {1+}\r\nc\r\n", "x> ANNOTATION needs an entry"),
        ("a APPEND x (\\Foo {1+}\r\nc\r\n", "x> Unknown system flag"),
        ("a UID REPLACE 7 x {1+}\r\na\r\n", "x> M T:a ."),
        ("a replace * {1}\r\nx {1+}\r\na\r\n", "+ x> M T:a ."),
        // What is none.
        ("a APPEND x\r\n", "x> Expected a literal with the message"),
        ("a APPEND\r\n", "Expected a space and another argument"),
        ("a APPEND x (\\Foo) {1+}\r\na\r\n", "x> Unknown system flag"),
        ("a APPEND x text\r\n", "x> M Expected flags, a date or a literal"),
        ("a APPEND x UTF8 ({1+}\r\na)\r\n", "x> M Expected ~{ behind UTF8 ("),
        ("a APPEND x UTF8 (~{1+}\r\na\r\n", "x> M 8:a Expected ) behind the message"),
        ("a APPEND x CATENATE ()\r\n", "x> M Expected TEXT or URL"),
        ("a APPEND x CATENATE (TEXT a)\r\n", "x> M Expected a literal behind TEXT"),
        ("a APPEND x CATENATE (URL a\r\n", "x> M U:a Expected a space and another argument"),
        ("a APPEND x CATENATE (URL a) b\r\n", "x> M U:a M Expected flags, a date or a literal"),
        ("a APPEND x CATENATE (URL {21+}\r\n123456789012345678901)\r\n", "x> M A literal is too long"),
        ("a APPEND x CATENATE (URL {1+}\r\n\0)\r\n", "x> M A literal contains NUL"),
        ("a REPLACE 1 x {1+}\r\na {1+}\r\nb\r\n", "x> M T:a REPLACE takes one message"),
        ("a REPLACE 0 x {1+}\r\na\r\n", "Invalid set of messages"),
    ] {
        let mut peer = Peer::new(SMALL);
        assert_eq!(peer.send(sent).pieces(), pieces, "{sent}");
        assert_eq!(peer.next(), Decoded::NeedMore, "{sent}");
        peer.noop();
    }
}

#[test]
fn literals_in_annotations_are_no_text_of_a_line_and_are_limited_together() {
    let sent = |values: usize| {
        let entry = |value: usize| format!("/{value} (value.priv {{60+}}\r\n{})", "v".repeat(60));
        let entries: Vec<String> = (1000..1000 + values).map(entry).collect();
        format!("a APPEND x ANNOTATION (/x (value.priv NIL) {}) {{1+}}\r\nc\r\n", entries.join(" "))
    };
    let limits = Limits { line: 120, literals: 60, append_text: 300, ..SMALL };
    let mut peer = Peer::new(limits);
    peer.send(sent(2).replace("/1", "/a"));
    assert_eq!(peer.pieces(), "x> M T:c .");
    peer.noop();
    let mut peer = Peer::new(Limits { append_text: 115, ..limits });
    peer.send(sent(2).replace("/1", "/a"));
    assert_eq!(peer.pieces(), "x> A literal is too long");
    peer.noop();
}

#[test]
fn all_the_text_of_an_append_is_limited() {
    let message = " (\\Seen) {1+}\r\na";
    let sent = |messages: usize| format!("a APPEND x{}\r\n", message.repeat(messages));
    let mut peer = Peer::new(SMALL);
    assert!(peer.send(sent(12)).pieces().ends_with("T:a ."));
    peer.noop();
    let mut peer = Peer::new(SMALL);
    peer.send(sent(14));
    loop {
        match peer.next() {
            Decoded::AppendPiece(AppendPiece::Literal(_)) => {
                peer.take(1);
                peer.decoder.append_rest();
            }
            Decoded::AppendBegin(_) | Decoded::AppendPiece(_) => {}
            other => {
                assert_eq!(other, Decoded::Fatal("A line is too long"));
                break;
            }
        }
    }
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
    // At the beginning, or between two messages, with more of the line and behind it.
    for refused_at in 0..6 {
        let mut peer = Peer::new(Limits { skip: 400, ..SMALL });
        peer.send("a APPEND x CATENATE (URL u TEXT {5+}\r\n01234 URL {2+}\r\nab) {3+}\r\nabc\r\n");
        for _ in 0..refused_at {
            if let Decoded::AppendPiece(AppendPiece::Literal(literal)) = peer.next() {
                peer.take(literal.length as usize);
                peer.decoder.append_rest();
            }
        }
        assert!(!matches!(peer.next(), Decoded::AppendEnd | Decoded::NeedMore));
        peer.decoder.append_refuse();
        assert_eq!(peer.next(), Decoded::NeedMore);
        peer.noop();
    }
    let refusal = "a NO [TOOBIG] The message is too large\r\n";
    for (sent, left) in [("{101}\r\n", 0), ("{101+}\r\n", 101), ("CATENATE (TEXT {101+}\r\n", 101)] {
        peer.send(format!("a APPEND x {sent}")).begin();
        assert!(matches!(peer.next(), Decoded::AppendPiece(AppendPiece::Message(_))));
        assert_eq!(peer.refusal(), refusal);
        if left > 0 {
            peer.send(vec![b'x'; left]).send("\r\n");
        }
        peer.noop();
    }
}

#[test]
fn only_a_line_end_or_a_message_may_follow_a_message() {
    for (rest, left) in [(" x\r\n", ""), (" x {3}\r\n", ""), (" x {3+}\r\n", "abc\r\n"), ("a NOOP\r\n", "")] {
        let mut peer = Peer::new(SMALL);
        peer.send("a APPEND x {1+}\r\nm").append();
        peer.take(1);
        peer.decoder.append_rest();
        peer.send(rest);
        if rest.starts_with(' ') {
            assert!(matches!(peer.next(), Decoded::AppendPiece(AppendPiece::Message(_))));
        }
        assert!(peer.refusal().starts_with("a BAD Expected "), "{rest}");
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
    assert_eq!((commands, refusals, whole.len()), (5, 2, 14), "{whole:?}");
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
