//! Tests of POP3.

use super::reply::{Capabilities, Code, Expire};
use super::*;

fn decode(input: &str) -> Vec<Result<Command, Fault>> {
    let mut decoder = Decoder::new();
    let mut unread = input.as_bytes();
    let mut seen = Vec::new();
    loop {
        let (consumed, decoded) = decoder.decode(unread);
        unread = &unread[consumed..];
        match decoded {
            Decoded::NeedMore => break,
            Decoded::Ready(command) => seen.push(Ok(command)),
            Decoded::Wrong(fault) => seen.push(Err(fault)),
        }
    }
    seen
}

fn one(line: &str) -> Result<Command, Fault> {
    let mut seen = decode(&format!("{line}\r\n"));
    assert_eq!(seen.len(), 1, "{line}");
    seen.remove(0)
}

#[test]
fn every_command() {
    let password = |text: &str| Password(text.as_bytes().to_vec());
    for (line, command) in [
        ("USER mrose", Command::User { name: "mrose".into() }),
        ("user  Ann@example.org ", Command::User { name: "Ann@example.org".into() }),
        ("PASS  two words ", Command::Pass { password: password(" two words ") }),
        ("PASS ", Command::Pass { password: password("") }),
        ("APOP mrose c4c9334bac560ecc979e58001b3e22fb", Command::Apop { name: "mrose".into() }),
        ("STAT", Command::Stat),
        ("stat ", Command::Stat),
        ("LIST", Command::List { message: None }),
        ("LIST 2", Command::List { message: Some(2) }),
        ("LIST 99999999999999999999999", Command::List { message: Some(u32::MAX) }),
        ("RETR 1", Command::Retr { message: 1 }),
        ("DELE 0", Command::Dele { message: 0 }),
        ("TOP 1 10", Command::Top { message: 1, lines: 10 }),
        ("top 1 0", Command::Top { message: 1, lines: 0 }),
        ("UIDL", Command::Uidl { message: None }),
        ("UIDL 3", Command::Uidl { message: Some(3) }),
        ("NOOP", Command::Noop),
        ("RSET", Command::Rset),
        ("QUIT", Command::Quit),
        ("CAPA", Command::Capa),
        ("STLS", Command::Stls),
        ("utf8", Command::Utf8),
        ("LANG", Command::Lang { range: None }),
        ("LANG *", Command::Lang { range: Some("*".into()) }),
        ("lang sr-Latn-RS", Command::Lang { range: Some("sr-Latn-RS".into()) }),
        ("AUTH", Command::Auth(Auth::List)),
        ("AUTH plain", Command::Auth(Auth::Start { mechanism: Mechanism::Plain, initial: None })),
        (
            "AUTH LOGIN =",
            Command::Auth(Auth::Start { mechanism: Mechanism::Login, initial: Some(password("")) }),
        ),
        (
            // RFC 5034 section 6.
            "AUTH PLAIN dGVzdAB0ZXN0AHRlc3Q=",
            Command::Auth(Auth::Start {
                mechanism: Mechanism::Plain,
                initial: Some(password("test\0test\0test")),
            }),
        ),
        ("AUTH GSSAPI", Command::Auth(Auth::Start { mechanism: Mechanism::Other, initial: None })),
    ] {
        assert_eq!(one(line), Ok(command), "{line}");
    }
}

#[test]
fn what_is_wrong_is_said() {
    for (line, fault) in [
        ("", Fault::Unknown),
        ("XTND XMIT", Fault::Unknown),
        ("STATUS", Fault::Unknown),
        ("RETRIEVE 1", Fault::Unknown),
        (" STAT", Fault::Unknown),
        ("STAT 1", Fault::Arguments("STAT")),
        ("USER", Fault::Arguments("USER name")),
        ("PASS", Fault::Arguments("PASS password")),
        ("APOP mrose", Fault::Arguments("APOP name digest")),
        ("LIST x", Fault::Arguments("LIST [message]")),
        ("LIST -1", Fault::Arguments("LIST [message]")),
        ("LIST 1 2", Fault::Arguments("LIST [message]")),
        ("RETR", Fault::Arguments("RETR message")),
        ("TOP 1", Fault::Arguments("TOP message lines")),
        ("TOP 1 2 3", Fault::Arguments("TOP message lines")),
        ("AUTH PLAIN !!!", Fault::Base64),
        ("AUTH PLAIN AA== x", Fault::Arguments("AUTH [mechanism [initial-response]]")),
        ("UTF8 on", Fault::Arguments("UTF8")),
        ("LANG en de", Fault::Arguments("LANG [language-range]")),
        ("LANG e_n", Fault::Arguments("LANG [language-range]")),
        ("LANG en-", Fault::Arguments("LANG [language-range]")),
        ("LANG abcdefghi", Fault::Arguments("LANG [language-range]")),
        (
            "LANG a-b-c-d-e-f-g-h-i-j-k-l-m-n-o-p-q-r-s-t-u-v-w-x-y-z-a-b-c-d-e-f-g",
            Fault::Arguments("LANG [language-range]"),
        ),
        ("USER a\0b", Fault::Octets),
    ] {
        assert_eq!(one(line), Err(fault), "{line}");
    }
}

#[test]
fn pipelined_and_overlong() {
    let text =
        format!("USER a\r\n{}\r\nNOOP\nAUTH PLAIN {}\r\nQUIT\r\nhalf", "x".repeat(9999), "A".repeat(4000));
    let seen = decode(&text);
    assert_eq!(seen.len(), 5);
    assert_eq!(seen[1], Err(Fault::TooLong));
    assert_eq!(seen[2], Ok(Command::Noop));
    assert!(matches!(seen[3], Ok(Command::Auth(Auth::Start { .. }))));
    assert_eq!(seen[4], Ok(Command::Quit));
    assert_eq!(
        decode(&format!("NOOP\r\nAUTH PLAIN {}\r\nNOOP\r\n", "A".repeat(13_000)))[1],
        Err(Fault::TooLong)
    );
    // A long AUTH may follow what was too long, whatever piece they come in.
    let mut decoder = Decoder::new();
    let start = "x".repeat(600);
    assert_eq!(decoder.decode(start.as_bytes()), (514, Decoded::Wrong(Fault::TooLong)));
    let text = format!("x\r\nAUTH PLAIN {}\r\n", "A".repeat(4000));
    let (consumed, decoded) = decoder.decode(text.as_bytes());
    assert_eq!(consumed, text.len());
    assert!(matches!(decoded, Decoded::Ready(Command::Auth(Auth::Start { .. }))));
}

#[test]
fn sasl_exchanges() {
    let password = |text: &str| Password(text.as_bytes().to_vec());
    let mut decoder = Decoder::new();
    let input = b"dGVzdAB0ZXN0AHRlc3Q=\r\n*\r\n?\r\n\r\nQUIT\r\n";
    let octets = |text| Decoded::Ready(Response::Octets(password(text)));
    assert_eq!(decoder.decode_response(input), (22, octets("test\0test\0test")));
    assert_eq!(decoder.decode_response(&input[22..]), (3, Decoded::Ready(Response::Cancelled)));
    assert_eq!(decoder.decode_response(&input[25..]), (3, Decoded::Wrong(Fault::Base64)));
    assert_eq!(decoder.decode_response(&input[28..]), (2, octets("")));
    assert_eq!(decoder.decode(&input[30..]), (6, Decoded::Ready(Command::Quit)));
    assert_eq!(decoder.decode(&input[36..]), (0, Decoded::NeedMore));

    let credentials = |authorize: Option<&str>| {
        Step::Done(Credentials {
            name: "ann".into(),
            password: password("secret"),
            authorize: authorize.map(str::to_owned),
        })
    };
    assert_eq!(Exchange::Plain.step(password("\0ann\0secret")), credentials(None));
    assert_eq!(Exchange::Plain.step(password("ann\0ann\0secret")), credentials(None));
    assert_eq!(Exchange::Plain.step(password("bob\0ann\0secret")), credentials(Some("bob")));
    for wrong in ["", "ann", "\0ann", "\0\0secret", "\0ann\0", "\0ann\0secret\0"] {
        assert_eq!(Exchange::Plain.step(password(wrong)), Step::Malformed, "{wrong:?}");
    }
    let Some(login) = Exchange::start(Mechanism::Login) else { panic!("LOGIN is offered") };
    assert_eq!(login.challenge(), "VXNlcm5hbWU6");
    let Step::Next(login) = login.step(password("ann")) else { panic!("the password is asked for") };
    assert_eq!(login.challenge(), "UGFzc3dvcmQ6");
    assert_eq!(login.step(password("secret")), credentials(None));
    assert_eq!(Exchange::start(Mechanism::Other), None);
    assert_eq!(format!("{:?}", password("secret")), "Password(…)");
}

#[test]
fn replies() {
    let text = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("text")
    };
    assert_eq!(text(&|out| reply::ok(out, "ready")), "+OK ready\r\n");
    assert_eq!(text(&|out| reply::ok(out, "")), "+OK\r\n");
    assert_eq!(text(&|out| reply::ok(out, "a\r\nb")), "+OK a??b\r\n");
    assert_eq!(text(&|out| reply::ok(out, "[AUTH] no")), "+OK (AUTH] no\r\n");
    assert_eq!(
        text(&|out| reply::error(out, Some(Code::InUse), "other session")),
        "-ERR [IN-USE] other session\r\n"
    );
    assert_eq!(text(&|out| reply::error(out, Some(Code::SystemTemporary), "")), "-ERR [SYS/TEMP]\r\n");
    assert_eq!(text(&|out| reply::ok(out, &"ü".repeat(600))).len(), 4 + 480 + 2);
    assert_eq!(text(&|out| reply::challenge(out, "")), "+ \r\n");
    assert_eq!(text(&|out| reply::stat(out, 2, 320)), "+OK 2 320\r\n");
    assert_eq!(text(&|out| reply::list_line(out, 1, 120)), "1 120\r\n");
    assert_eq!(text(&|out| reply::uidl_one(out, 2, "QhdPYR:00WBw1Ph7x7")), "+OK 2 QhdPYR:00WBw1Ph7x7\r\n");
    let capabilities = |passwords, login_delay_seconds, expire| Capabilities {
        passwords,
        starttls: !passwords,
        login_delay_seconds,
        expire,
    };
    let open = text(&|out| reply::capabilities(out, capabilities(true, 0, Expire::Never)));
    assert!(open.starts_with("+OK ") && open.ends_with("\r\n.\r\n"));
    for capability in [
        "TOP",
        "UIDL",
        "RESP-CODES",
        "PIPELINING",
        "USER",
        "SASL PLAIN LOGIN",
        "EXPIRE NEVER",
        "UTF8",
        "LANG",
        "IMPLEMENTATION Lode",
    ] {
        assert!(open.contains(&format!("\r\n{capability}\r\n")), "{capability}");
    }
    assert!(!open.contains("LOGIN-DELAY"));
    let closed = text(&|out| reply::capabilities(out, capabilities(false, 900, Expire::Days(0))));
    assert!(closed.contains("\r\nLOGIN-DELAY 900\r\nEXPIRE 0\r\n"));
    assert!(closed.contains("\r\nSTLS\r\n") && !closed.contains("USER") && !closed.contains("SASL"));
}

#[test]
fn there_is_one_language() {
    let answer = |range: &str| {
        let mut out = Vec::new();
        reply::language(&mut out, range);
        String::from_utf8(out).expect("text")
    };
    assert!(answer("*").starts_with("+OK en ") && answer("EN").starts_with("+OK en "));
    assert!(answer("de").starts_with("-ERR ") && answer("en-GB").starts_with("-ERR "));
    let mut out = Vec::new();
    reply::languages(&mut out);
    assert!(out.ends_with(b"\r\nen English\r\n.\r\n"));
}

fn stuff(mut stuffer: DotStuffer, chunks: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in chunks {
        stuffer.push(chunk, &mut out);
    }
    stuffer.finish(&mut out);
    out
}

#[test]
fn stuffing_examples() {
    for (message, stuffed) in [
        ("", ".\r\n"),
        ("a\r\nb\r\n", "a\r\nb\r\n.\r\n"),
        ("a\nb", "a\r\nb\r\n.\r\n"),
        (".\r\n", "..\r\n.\r\n"),
        ("..\n.a\n", "...\r\n..a\r\n.\r\n"),
        ("a\r", "a\r\n.\r\n"),
        ("a\rb.\r\n", "a\rb.\r\n.\r\n"),
        ("\n.\n", "\r\n..\r\n.\r\n"),
        ("a\r.b", "a\r.b\r\n.\r\n"),
    ] {
        let whole = stuff(DotStuffer::whole(), &[message.as_bytes()]);
        assert_eq!(String::from_utf8_lossy(&whole), stuffed, "{message:?}");
        let octets: Vec<&[u8]> = message.as_bytes().chunks(1).collect();
        assert_eq!(stuff(DotStuffer::whole(), &octets), whole, "{message:?}");
    }
}

#[test]
fn top_gives_header_and_lines() {
    let message = "A: 1\r\nB: 2\r\n\r\none\r\n.two\r\nthree\r\n";
    for (lines, top) in [
        (0, "A: 1\r\nB: 2\r\n\r\n.\r\n"),
        (1, "A: 1\r\nB: 2\r\n\r\none\r\n.\r\n"),
        (2, "A: 1\r\nB: 2\r\n\r\none\r\n..two\r\n.\r\n"),
        (3, "A: 1\r\nB: 2\r\n\r\none\r\n..two\r\nthree\r\n.\r\n"),
        (u64::MAX, "A: 1\r\nB: 2\r\n\r\none\r\n..two\r\nthree\r\n.\r\n"),
    ] {
        for step in 1..=message.len() {
            for text in [message.to_owned(), message.replace('\r', "")] {
                let chunks: Vec<&[u8]> = text.as_bytes().chunks(step).collect();
                assert_eq!(
                    String::from_utf8_lossy(&stuff(DotStuffer::top(lines), &chunks)),
                    top,
                    "{lines} {step}"
                );
            }
        }
    }
    let mut out = Vec::new();
    let mut stuffer = DotStuffer::top(1);
    assert_eq!(stuffer.push(b"A: 1\r\n\r\none\r", &mut out), Wants::More);
    assert_eq!(stuffer.push(b"\ntwo", &mut out), Wants::Nothing);
    assert_eq!(stuffer.push(b"three", &mut out), Wants::Nothing);
    stuffer.finish(&mut out);
    assert_eq!(out, b"A: 1\r\n\r\none\r\n.\r\n");
    assert_eq!(stuff(DotStuffer::top(5), &[b"A: 1\r\n"]), b"A: 1\r\n.\r\n");
}

/// Line ends made CRLF, the last one added: what a message is once it was sent.
pub(crate) fn normalised(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for line in message.split_inclusive(|octet| *octet == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        out.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        out.extend_from_slice(b"\r\n");
    }
    out
}

fn unstuffed(answer: &[u8]) -> Vec<u8> {
    let body = answer.strip_suffix(b".\r\n").expect("ended");
    let mut out = Vec::new();
    let mut at_start = true;
    let mut last = 0;
    for octet in body {
        if !(at_start && *octet == b'.') {
            out.push(*octet);
        }
        at_start = *octet == b'\n' && last == b'\r';
        last = *octet;
    }
    out
}

#[test]
fn random_messages_come_back_and_chunks_do_not_matter() {
    let mut random = random(20_240_501);
    for _ in 0..3000 {
        let length = random() as usize % 40;
        let message: Vec<u8> = (0..length).map(|_| b"..\r\n\n\rab"[random() as usize % 8]).collect();
        let whole = stuff(DotStuffer::whole(), &[&message]);
        assert_eq!(unstuffed(&whole), normalised(&message), "{message:?}");
        let cut = if length == 0 { 0 } else { random() as usize % length };
        assert_eq!(stuff(DotStuffer::whole(), &[&message[..cut], &message[cut..]]), whole, "{message:?}");
        fuzz::fuzz_entry(&message);
    }
}

#[test]
fn random_input_through_the_fuzz_entry() {
    let mut random = random(42);
    let pieces: [&[u8]; 14] = [
        b"USER ",
        b"PASS ",
        b"AUTH ",
        b"PLAIN ",
        b"LOGIN",
        b"LIST ",
        b"TOP 1 2",
        b"\r\n",
        b"\r\n",
        b"\n",
        b"dGVzdAB0ZXN0AHRlc3Q=",
        b"=",
        b"\0",
        b"\xff",
    ];
    for _ in 0..2000 {
        let mut input = Vec::new();
        for _ in 0..random() % 20 {
            match random() % 20 {
                0 => input.extend(std::iter::repeat_n(b'A', random() as usize % 1200)),
                1 => input.push(random() as u8),
                other => input.extend_from_slice(pieces[other as usize % pieces.len()]),
            }
        }
        fuzz::fuzz_entry(&input);
    }
}

/// A xorshift generator: tests need the same numbers every time.
pub(crate) fn random(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}
