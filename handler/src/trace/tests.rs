//! Tests of the masks, and of a tap whose reader is slow or gone.

use std::io::Read;
use std::os::fd::OwnedFd;

use nix::fcntl::OFlag;
use nix::unistd::pipe2;
use shm_abi::Protocol;

use super::{Place, Tap, Trail};

/// A tap, and what its reader would see.
struct Rig {
    tap: Tap,
    reader: std::fs::File,
}

impl Rig {
    fn new(protocol: Protocol, place: Place) -> Rig {
        let (reader, writer): (OwnedFd, OwnedFd) = pipe2(OFlag::O_NONBLOCK).expect("a pipe");
        Rig { tap: Tap::begin(writer, protocol, place, 7), reader: reader.into() }
    }

    /// All lines so far, without their times.
    fn read(&mut self) -> Vec<String> {
        let mut text = Vec::new();
        let mut piece = [0; 65_536];
        while let Ok(count @ 1..) = self.reader.read(&mut piece) {
            text.extend_from_slice(&piece[..count]);
        }
        let text = String::from_utf8(text).expect("text");
        assert!(text.is_empty() || text.ends_with('\n'), "whole lines only");
        text.lines().map(|line| line.split_once(' ').expect("a time").1.to_owned()).collect()
    }

    fn client(&mut self, octets: &[u8]) {
        self.tap.client(octets, 8);
    }

    fn server(&mut self, octets: &[u8]) {
        let mut trail = Trail::default();
        trail.add(octets);
        self.tap.server(&mut trail, 9);
    }
}

/// What the reader sees of a conversation: lines that begin with `<` are the client's, others the server's. Said at once, and octet by octet.
fn shown(protocol: Protocol, place: Place, conversation: &[&[u8]]) -> Vec<String> {
    let run = |pieces: usize| {
        let mut rig = Rig::new(protocol, place);
        for said in conversation {
            match said.strip_prefix(b"<") {
                Some(said) => said.chunks(pieces).for_each(|piece| rig.client(piece)),
                None => said.chunks(pieces).for_each(|piece| rig.server(piece)),
            }
        }
        let lines = rig.read();
        assert_eq!(lines[0], "- the trace begins");
        lines[1..].to_vec()
    };
    let whole = run(usize::MAX);
    if place == Place::BetweenCommands {
        assert_eq!(run(1), whole);
    }
    whole
}

fn imap(conversation: &[&[u8]]) -> Vec<String> {
    shown(Protocol::Imap, Place::BetweenCommands, conversation)
}

#[test]
fn passwords_of_imap_are_never_shown() {
    let lines = imap(&[
        b"<a LOGIN ann hunter2\r\n",
        b"a NO Failed\r\n",
        b"<b login {3}\r\n",
        b"+ Ready\r\n",
        b"<ann {7}\r\n",
        b"+ Ready\r\n",
        b"<hunter2\r\n",
        b"b OK Done\r\n",
        b"<c LOGIN ann {7+}\r\nhunter2\r\nd AUTHENTICATE PLAIN AGFubgBodW50ZXIy\r\n",
        b"c OK Done\r\nd OK Done\r\n",
        b"<e authenticate login\r\n",
        b"+ VXNlcm5hbWU6\r\n",
        b"<YW5u\r\n",
        b"+ UGFzc3dvcmQ6\r\n",
        b"<aHVudGVyMg==\r\n",
        b"e OK Done\r\n",
        b"<f NOOP\r\n",
        b"<LOGIN ann hunter2\r\nhunter2\r\ng LOGNI ann hunter2\r\ng  LOGIN ann hunter2\r\n",
    ]);
    assert_eq!(
        lines,
        [
            "C a LOGIN ****",
            "S a NO Failed",
            "C b login ****",
            "S + Ready",
            "C [****]",
            "C ****",
            "S + Ready",
            "C [****]",
            "C ****",
            "S b OK Done",
            "C c LOGIN ****",
            "C [****]",
            "C ****",
            "C d AUTHENTICATE PLAIN ****",
            "S c OK Done",
            "S d OK Done",
            "C e authenticate login",
            "S + ****",
            "C ****",
            "S + ****",
            "C ****",
            "S e OK Done",
            "C f NOOP",
            "C LOGIN ****",
            "C ****",
            "C g ****",
            "C g LOGIN ****",
        ]
    );
    assert!(!lines.join("\n").contains("hunter"));
}

#[test]
fn contents_of_imap_are_counted() {
    let long = [b"<".as_slice(), &[b'x'; 100]].concat();
    let lines = imap(&[
        b"<a APPEND INBOX {100}\r\n",
        b"+ Ready\r\n",
        &long,
        b"<\r\n",
        b"a OK Done\r\n",
        b"<b SEARCH TEXT {5+}\r\ngr\xc3\xbcn ALL\r\n",
        b"* 1 FETCH (BODY[] {70}\r\n",
        &[b'y'; 70],
        b" UID 5)\r\n",
        b"* 2 FETCH (BODY[1] {0}\r\n)\r\n",
    ]);
    assert_eq!(
        lines,
        [
            "C a APPEND INBOX {100}",
            "S + Ready",
            "C [100 octets]",
            "C ",
            "S a OK Done",
            "C b SEARCH TEXT {5+}",
            "C [gr\u{fc}n]",
            "C  ALL",
            "S * 1 FETCH (BODY[] {70}",
            "S [70 octets]",
            "S  UID 5)",
            "S * 2 FETCH (BODY[1] {0}",
            "S )",
        ]
    );
    // Content that went from the file to the socket.
    let mut rig = Rig::new(Protocol::Imap, Place::BetweenCommands);
    let mut trail = Trail::default();
    trail.add(b"* 1 FETCH (BODY[] {1000}\r\n");
    trail.add_range(400);
    trail.add_range(600);
    trail.add(b")\r\na OK Done\r\n");
    rig.tap.server(&mut trail, 9);
    assert_eq!(rig.read()[1..], ["S * 1 FETCH (BODY[] {1000}", "S [1000 octets]", "S )", "S a OK Done"]);
}

#[test]
fn a_literal_that_is_refused_is_not_waited_for() {
    let lines =
        imap(&[b"<a LOGIN ann {999999}\r\n", b"a BAD Too long\r\n", b"<b NOOP\r\n", b"b OK Done\r\n"]);
    assert_eq!(lines, ["C a LOGIN ****", "S a BAD Too long", "C b NOOP", "S b OK Done"]);
}

#[test]
fn a_key_in_a_url_is_no_text_to_show() {
    let lines = imap(&[b"* GENURLAUTH \"imap://h/x;urlauth=anonymous:INTERNAL:00ff\" \"y:internal:ab\"\r\n"]);
    assert_eq!(lines, ["S * GENURLAUTH \"imap://h/x;urlauth=anonymous:INTERNAL:****\" \"y:internal:****\""]);
}

#[test]
fn in_the_middle_of_something_nothing_of_the_client_is_shown_until_the_server_answers() {
    for (protocol, conversation) in [
        (Protocol::Imap, [b"<aHVudGVyMg==\r\n".as_slice(), b"more content\r\na OK Done\r\n", b"<b NOOP\r\n"]),
        (Protocol::Pop3, [b"<aHVudGVyMg==\r\n".as_slice(), b"more content\r\n+OK Done\r\n", b"<NOOP\r\n"]),
    ] {
        let lines = shown(protocol, Place::Unknown, &conversation);
        assert_eq!(lines.len(), 4, "{lines:?}");
        assert_eq!(lines[..2], ["C **** (14 octets in the middle of a command)", "S ..."]);
        assert!(lines[3].ends_with("NOOP"));
    }
    let lines =
        shown(Protocol::Lmtp, Place::Unknown, &[b"<text of a mail\r\n.\r\n", b"250 Done\r\n", b"<QUIT\r\n"]);
    assert_eq!(lines, ["C **** (19 octets in the middle of a command)", "S 250 Done", "C QUIT"]);
}

#[test]
fn passwords_and_messages_of_pop3_are_not_shown() {
    let lines = shown(Protocol::Pop3, Place::BetweenCommands, &[
        b"<USER ann\r\n", b"+OK\r\n", b"<pass hunter2 \r\n", b"-ERR no\r\n",
        b"<AUTH PLAIN\r\n", b"+ \r\n", b"<AGFubgBodW50ZXIy\r\n", b"-ERR no\r\n",
        b"<AUTH PLAIN AGFubgBodW50ZXIy\r\nPAS hunter2\r\n", b"+OK\r\n-ERR what\r\n",
        b"<APOP ann c4c9334bac560ecc979e58001b3e22fb\r\n", b"+OK\r\n",
        b"<LIST\r\nRETR 1\r\nTOP 2 0\r\nNOOP\r\n",
        b"+OK\r\n1 300\r\n.\r\n+OK 300 octets\r\n+OK is in the mail\r\n..\r\n.\r\n+OK\r\n.\r\n+OK noop\r\n",
    ]);
    assert_eq!(
        lines,
        [
            "C USER ann",
            "S +OK",
            "C pass ****",
            "S -ERR no",
            "C AUTH PLAIN",
            "S + ****",
            "C ****",
            "S -ERR no",
            "C AUTH PLAIN ****",
            "C ****",
            "S +OK",
            "S -ERR what",
            "C APOP ann ****",
            "S +OK",
            "C LIST",
            "C RETR 1",
            "C TOP 2 0",
            "C NOOP",
            "S +OK",
            "S 1 300",
            "S .",
            "S +OK 300 octets",
            "S [message of 24 octets]",
            "S +OK",
            "S [message of 0 octets]",
            "S +OK noop",
        ]
    );
}

#[test]
fn messages_of_lmtp_are_counted() {
    let lines = shown(
        Protocol::Lmtp,
        Place::BetweenCommands,
        &[
            b"<LHLO there\r\n",
            b"250-lode\r\n250 SIZE\r\n",
            b"<MAIL FROM:<>\r\nRCPT TO:<ann>\r\nDATA\r\n",
            b"250 ok\r\n250 ok\r\n354 go\r\n",
            b"<.. a\r\n.\r\nQUIT\r\n",
            b"250 done\r\n221 bye\r\n",
        ],
    );
    assert_eq!(
        lines,
        [
            "C LHLO there",
            "S 250-lode",
            "S 250 SIZE",
            "C MAIL FROM:<>",
            "C RCPT TO:<ann>",
            "C DATA",
            "S 250 ok",
            "S 250 ok",
            "S 354 go",
            "C [message of 6 octets]",
            "C QUIT",
            "S 250 done",
            "S 221 bye",
        ]
    );
    let lines =
        shown(Protocol::Lmtp, Place::BetweenCommands, &[b"<BDAT 5\r\nab\r\nqBDAT 0 LAST\r\nFOO bar\r\n"]);
    assert_eq!(lines, ["C BDAT 5", "C [message of 5 octets]", "C BDAT 0 LAST", "C ****"]);
}

#[test]
fn lines_are_printable_and_bounded() {
    let long = format!("* OK {}\x1b[2J\u{9b}31m\r\n", "z".repeat(100));
    let lines = imap(&[long.as_bytes(), b"* \xff\0\r\n"]);
    assert_eq!(lines[0], format!("S * OK {}\\x1b[2J\\x9b31m", "z".repeat(100)));
    assert_eq!(lines[1], "S * \\xff\\x00");
    let endless = [b"* LIST ".as_slice(), &[1; 1_000_000], b" {3}\r\nabc\r\n"].concat();
    let lines = imap(&[&endless]);
    assert_eq!(lines.len(), 3);
    assert!(lines[0].len() < 2100, "{}", lines[0].len());
    assert_eq!(lines[1..], ["S [abc]", "S "]);
}

/// Whatever comes in whatever pieces, nothing falls over, and lines stay lines.
#[test]
fn any_octets_in_any_pieces_are_taken() {
    let words: &[&[u8]] = &[
        b"a ",
        b"LOGIN ",
        b"AUTHENTICATE ",
        b"{3}\r\n",
        b"{3+}\r\n",
        b"{99999999999999999999}\r\n",
        b"{0}\r\n",
        b"\r\n",
        b"+ \r\n",
        b"a OK\r\n",
        b"* OK\r\n",
        b"+OK\r\n",
        b"-ERR\r\n",
        b"RETR 1\r\n",
        b"AUTH PLAIN\r\n",
        b".\r\n",
        b"\n.\n",
        b"354 \r\n",
        b"250 ok\r\n",
        b"DATA\r\n",
        b"BDAT 4\r\n",
        b"BDAT 18446744073709551616\r\n",
        b"\xff\x00",
        b"\xc3",
        b":internal:",
        b"DONE\r\n",
    ];
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for round in 0..600 {
        let protocol = [Protocol::Imap, Protocol::Pop3, Protocol::Lmtp][round % 3];
        let place = if round % 2 == 0 { Place::BetweenCommands } else { Place::Unknown };
        let mut rig = Rig::new(protocol, place);
        for _ in 0..60 {
            let word = words[next(words.len())];
            let cut = next(word.len() + 1);
            match next(3) {
                0 => {
                    rig.client(&word[..cut]);
                    rig.client(&word[cut..]);
                }
                1 => rig.server(word),
                _ => {
                    let mut trail = Trail::default();
                    trail.add(&word[..cut]);
                    trail.add_range(next(5) as u64);
                    trail.add(&word[cut..]);
                    rig.tap.server(&mut trail, 9);
                }
            }
        }
        let lines = rig.read();
        assert!(lines.iter().all(|line| matches!(&line[..2], "C " | "S " | "- ")), "{lines:?}");
    }
}

#[test]
fn a_slow_reader_loses_lines_and_is_told_how_many() {
    let mut rig = Rig::new(Protocol::Pop3, Place::BetweenCommands);
    let said = 20_000;
    for number in 0..said {
        rig.client(format!("USER number{number}\r\n").as_bytes());
        rig.server(b"+OK\r\n");
    }
    let read = rig.read();
    let lost = 2 * said + 1 - read.len();
    assert!(lost > 0 && !read.iter().any(|line| line.contains("lost")));
    rig.client(b"USER last\r\n");
    assert_eq!(rig.read(), [format!("- {lost} lines lost: the reader is slow"), "C USER last".to_owned()]);
    // One turn with more than a pipe holds.
    rig.client("USER again\r\n".repeat(10_000).as_bytes());
    rig.server(&b"+OK\r\n".repeat(10_000));
    assert!(!rig.tap.is_over());
}

#[test]
fn a_reader_that_is_gone_is_noticed() {
    let Rig { mut tap, reader } = Rig::new(Protocol::Imap, Place::BetweenCommands);
    assert!(!tap.is_over());
    drop(reader);
    assert!(tap.is_over());
    tap.client(b"a NOOP\r\n", 8);
}
