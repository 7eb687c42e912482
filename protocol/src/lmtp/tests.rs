//! Tests of LMTP.

use super::trace::{Received, received, return_path};
use super::*;
use crate::pop3::DotStuffer;

fn decode(input: &[u8]) -> Vec<Result<Command, Fault>> {
    let mut decoder = Decoder::new();
    let mut unread = input;
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
    let mut seen = decode(format!("{line}\r\n").as_bytes());
    assert_eq!(seen.len(), 1, "{line}");
    seen.remove(0)
}

fn address(local: &str, domain: &str) -> Address {
    Address { local: local.to_owned(), domain: Some(domain.to_owned()) }
}

#[test]
fn the_example_of_the_rfc() {
    // RFC 2033 section 4.2, pipelined.
    let seen = decode(
        b"LHLO foo.edu\r\nMAIL FROM:<chris@bar.com>\r\nRCPT TO:<pat@foo.edu>\r\nRCPT TO:<jones@foo.edu>\r\n\
          RCPT TO:<green@foo.edu>\r\nDATA\r\n",
    );
    assert_eq!(seen.len(), 6);
    assert_eq!(seen[0], Ok(Command::Lhlo { domain: "foo.edu".into() }));
    let Ok(Command::Mail(mail)) = &seen[1] else { panic!("MAIL is taken") };
    assert_eq!(mail.sender, Some(address("chris", "bar.com")));
    assert_eq!(seen[3], Ok(Command::Rcpt { recipient: address("jones", "foo.edu") }));
    assert_eq!(seen[5], Ok(Command::Data));
}

#[test]
fn commands_without_arguments_and_unknown_ones() {
    for (line, expected) in [
        ("rset", Ok(Command::Rset)),
        ("NOOP anything", Ok(Command::Noop)),
        ("VRFY ann", Ok(Command::Vrfy)),
        ("HELP", Ok(Command::Help)),
        ("QUIT ", Ok(Command::Quit)),
        ("DATA now", Err(Fault::Arguments("DATA"))),
        ("LHLO", Err(Fault::Arguments("LHLO domain"))),
        ("HELO foo", Err(Fault::NotSmtp)),
        ("EHLO foo", Err(Fault::NotSmtp)),
        ("EXPN list", Err(Fault::NotImplemented)),
        ("", Err(Fault::Unknown)),
        ("MAIL", Err(Fault::Arguments("MAIL FROM:<address>"))),
        ("MAIL TO:<a@b>", Err(Fault::Arguments("MAIL FROM:<address>"))),
        ("RCPT FROM:<a@b>", Err(Fault::Arguments("RCPT TO:<address>"))),
        ("NO\0OP", Err(Fault::Octets)),
    ] {
        assert_eq!(one(line), expected, "{line}");
    }
    assert_eq!(decode(b"NOOP \xff\r\nNOOP\n"), [Err(Fault::Octets), Ok(Command::Noop)]);
}

#[test]
fn paths() {
    for (path, expected) in [
        ("<ann@example.org>", address("ann", "example.org")),
        ("<Ann.Smith+x@[127.0.0.1]>", address("Ann.Smith+x", "[127.0.0.1]")),
        ("<a@[IPv6:::1]>", address("a", "[IPv6:::1]")),
        ("<@one.net,@two.net:ann@example.org>", address("ann", "example.org")),
        ("<@[IPv6:::1]:ann@example.org>", address("ann", "example.org")),
        ("<\"a b\"@example.org>", address("a b", "example.org")),
        ("<\"a\\\"b\\\\>@\"@example.org>", address("a\"b\\>@", "example.org")),
        ("<jürgen@bücher.example>", address("jürgen", "bücher.example")),
        ("<a..b.@example.org>", address("a..b.", "example.org")),
        ("<postmaster>", Address { local: "postmaster".into(), domain: None }),
    ] {
        assert_eq!(
            one(&format!("RCPT TO:{path}")),
            Ok(Command::Rcpt { recipient: expected.clone() }),
            "{path}"
        );
        assert_eq!(
            one(&format!("rcpt to: <{expected}>")),
            Ok(Command::Rcpt { recipient: expected }),
            "{path}"
        );
    }
    let long = format!("<{}@example.org>", "x".repeat(256));
    for (path, fault) in [
        ("ann@example.org", AddressFault::Brackets),
        ("<ann@example.org", AddressFault::Brackets),
        ("<ann", AddressFault::Brackets),
        ("<>", AddressFault::Local),
        ("<@example.org>", AddressFault::Domain),
        ("<ann@>", AddressFault::Domain),
        ("<ann@a..b>", AddressFault::Domain),
        ("<ann@a b>", AddressFault::Domain),
        ("<a b@example.org>", AddressFault::Local),
        ("<a\tb@example.org>", AddressFault::Local),
        ("<\"a@example.org>", AddressFault::Local),
        ("<\"\"@example.org>", AddressFault::Local),
        ("<a@b@c>", AddressFault::Domain),
        (long.as_str(), AddressFault::Local),
    ] {
        assert_eq!(one(&format!("RCPT TO:{path}")), Err(Fault::Recipient(fault)), "{path}");
    }
    assert_eq!(one("MAIL FROM:ann"), Err(Fault::Sender(AddressFault::Brackets)));
}

#[test]
fn parameters_of_mail_and_rcpt() {
    let mail = |line: &str| match one(line) {
        Ok(Command::Mail(mail)) => Ok(mail),
        Ok(other) => panic!("{other:?}"),
        Err(fault) => Err(fault),
    };
    assert_eq!(
        mail("MAIL FROM:<> SIZE=1000 body=8bitmime SMTPUTF8 RET=HDRS ENVID=x AUTH=<>"),
        Ok(Mail {
            sender: None,
            size_octets: Some(1000),
            body: Body::EightBit,
            smtputf8: true,
            envelope_id: Some("x".to_owned()),
        })
    );
    assert_eq!(
        mail("MAIL FROM:<> SIZE=99999999999999999999").map(|mail| mail.size_octets),
        Ok(Some(u64::MAX))
    );
    assert_eq!(mail("MAIL FROM:<>").map(|mail| (mail.size_octets, mail.body)), Ok((None, Body::SevenBit)));
    for line in ["SIZE", "SIZE=", "SIZE=x", "SIZE=1 SIZE=1", "BODY=9BIT", "SMTPUTF8=1", "=x", "SIZE=-1"] {
        assert_eq!(mail(&format!("MAIL FROM:<> {line}")), Err(Fault::Parameter), "{line}");
    }
    assert_eq!(mail("MAIL FROM:<> FOO=BAR"), Err(Fault::UnknownParameter));
    assert!(matches!(mail("MAIL FROM:<>SIZE=1"), Err(Fault::Arguments(_))));
    assert_eq!(mail("MAIL FROM:<jürgen@example.org>"), Err(Fault::NeedsSmtpUtf8));
    assert!(mail("MAIL FROM:<jürgen@example.org> SMTPUTF8").is_ok());
    assert_eq!(mail("MAIL FROM:<> BODY=binarymime").map(|mail| mail.body), Ok(Body::Binary));
    let envelope = mail("MAIL FROM:<> ENVID=QQ+2B314159").map(|mail| mail.envelope_id);
    assert_eq!(envelope, Ok(Some("QQ+314159".to_owned())));
    let long = |octets: usize| format!("ENVID={}", "x".repeat(octets));
    assert!(mail(&format!("MAIL FROM:<> {}", long(100))).is_ok());
    for parameter in [
        long(101).as_str(),
        "ENVID=a+0Ab",
        "ENVID=+",
        "ENVID",
        "RET=ALL",
        "RET",
        "RET=FULL RET=FULL",
        "ENVID=x ENVID=x",
    ] {
        assert_eq!(mail(&format!("MAIL FROM:<> {parameter}")), Err(Fault::Parameter), "{parameter}");
    }
    for parameters in [
        "NOTIFY=NEVER ORCPT=rfc822;a@b",
        "NOTIFY=success,FAILURE,Delay",
        "NOTIFY=DELAY ORCPT=x400;a+2Bb",
        "ORCPT=utf-8;jürgen@example.org",
        "ORCPT=utf-8;j\\x{FC}rgen@example.org",
    ] {
        assert!(one(&format!("RCPT TO:<a@b> {parameters}")).is_ok(), "{parameters}");
    }
    let long = format!("ORCPT=rfc822;{}", "x".repeat(500));
    for parameters in [
        "NOTIFY=NEVER,SUCCESS",
        "NOTIFY=DELAY,DELAY",
        "NOTIFY=,",
        "NOTIFY=SOMETIMES",
        "NOTIFY=NEVER NOTIFY=NEVER",
        "ORCPT=a@b",
        "ORCPT=;a@b",
        "ORCPT=rfc822;",
        "ORCPT=rfc822;a+2b@b",
        "ORCPT=rfc822;jürgen@b",
        "ORCPT=rfc822;a ORCPT=rfc822;a",
        &long,
    ] {
        assert_eq!(one(&format!("RCPT TO:<a@b> {parameters}")), Err(Fault::Parameter), "{parameters}");
    }
    assert_eq!(one("RCPT TO:<a@b> NOTIFY"), Err(Fault::Parameter));
    assert_eq!(one("RCPT TO:<a@b> SIZE=1"), Err(Fault::UnknownParameter));
}

#[test]
fn chunks_say_how_large_they_are() {
    for (line, octets, last) in
        [("BDAT 0", 0, false), ("bdat 86 last", 86, true), ("BDAT 99999999999999999999 LAST", u64::MAX, true)]
    {
        assert_eq!(one(line), Ok(Command::Bdat { octets, last }), "{line}");
    }
    for line in [
        "BDAT",
        "BDAT LAST",
        "BDAT -1",
        "BDAT 1x",
        "BDAT 10 FIRST",
        "BDAT 10 LAST 1",
        "BDAT 999999999999999999999",
    ] {
        assert_eq!(one(line), Err(Fault::ChunkSize), "{line}");
    }
    assert!(
        matches!(one("XCLIENT ADDR=192.0.2.1"), Ok(Command::Xclient(origin)) if origin.address.is_some())
    );
    assert!(
        matches!(one("XFORWARD NAME=x SOURCE=LOCAL"), Ok(Command::Xforward(origin)) if origin.name.is_some())
    );
    assert!(matches!(one("XCLIENT"), Err(Fault::Arguments(_))));
}

#[test]
fn an_overlong_line_is_reported_once() {
    let text = format!("NOOP {}\r\nNOOP {}\r\nQUIT\r\n", "x".repeat(2043), "x".repeat(100_000));
    assert_eq!(decode(text.as_bytes()), [Ok(Command::Noop), Err(Fault::TooLong), Ok(Command::Quit)]);
}

fn message(chunks: &[&[u8]]) -> (Vec<u8>, Option<Vec<u8>>) {
    let mut decoder = DataDecoder::new();
    let mut out = Vec::new();
    for (number, chunk) in chunks.iter().enumerate() {
        let taken = decoder.append(chunk, &mut out);
        if decoder.is_ended() {
            let rest = [&chunk[taken..]].into_iter().chain(chunks[number + 1..].iter().copied());
            return (out, Some(rest.flatten().copied().collect()));
        }
        assert_eq!(taken, chunk.len());
    }
    (out, None)
}

#[test]
fn messages_and_their_ends() {
    type Case = (&'static [u8], &'static [u8], Option<&'static [u8]>);
    let cases: &[Case] = &[
        (b".\r\n", b"", Some(b"")),
        (b"a\r\n.\r\nMAIL", b"a\r\n", Some(b"MAIL")),
        (b"..\r\n...a\r\n.\r\n", b".\r\n..a\r\n", Some(b"")),
        (b".a\r\n.\r\n", b"a\r\n", Some(b"")),
        (b"a\r\n.\r\r\n.\r\n", b"a\r\n\r\r\n", Some(b"")),
        (b"\r\n\r\n.\r\n.\r\n", b"\r\n\r\n", Some(b".\r\n")),
        // What must not end a message.
        (b"a\n.\n", b"a\n.\n", None),
        (b"a\n.\r\n", b"a\n.\r\n", None),
        (b"a\r\n.\n", b"a\r\n\n", None),
        (b"a\r.\r\n", b"a\r.\r\n", None),
        (b"a\r\n.\rb", b"a\r\n\rb", None),
        (b"a\r\n.\n.\r\n", b"a\r\n\n.\r\n", None),
        (b"a\r\n\n.\r\n", b"a\r\n\n.\r\n", None),
        (b".\n\r\n.\r\n", b"\n\r\n", Some(b"")),
    ];
    for (input, octets, rest) in cases {
        let name = String::from_utf8_lossy(input).escape_debug().to_string();
        for step in 1..=input.len() {
            let chunks: Vec<&[u8]> = input.chunks(step).collect();
            let (found, found_rest) = message(&chunks);
            assert_eq!(found, *octets, "{name} by {step}");
            assert_eq!(found_rest.as_deref(), *rest, "{name} by {step}");
        }
    }
}

#[test]
fn octets_are_given_as_they_stand() {
    let input = b"one\r\ntwo\r\n..three\r\n.\r\n";
    let mut decoder = DataDecoder::new();
    assert_eq!(decoder.next(input), (10, Data::Octets(b"one\r\ntwo\r\n")));
    // The first of the two dots is left out, and counted.
    assert_eq!(decoder.next(&input[10..]), (9, Data::Octets(b".three\r\n")));
    assert_eq!(decoder.next(&input[19..]), (3, Data::End));
    assert_eq!(decoder.next(b"QUIT\r\n"), (0, Data::End));
}

#[test]
fn what_was_stuffed_comes_back() {
    let mut random = crate::pop3::tests::random(7);
    for _ in 0..3000 {
        let length = random() as usize % 40;
        let octets: Vec<u8> = (0..length).map(|_| b"..\r\n\n\rab"[random() as usize % 8]).collect();
        let mut stuffed = Vec::new();
        let mut stuffer = DotStuffer::whole();
        stuffer.push(&octets, &mut stuffed);
        stuffer.finish(&mut stuffed);
        let plain = crate::pop3::tests::normalised(&octets);
        let cut = random() as usize % stuffed.len();
        assert_eq!(message(&[&stuffed[..cut], &stuffed[cut..]]), (plain, Some(Vec::new())), "{octets:?}");
        fuzz::fuzz_entry(&octets);
        fuzz::fuzz_entry(&stuffed);
    }
}

#[test]
fn random_input_through_the_fuzz_entry() {
    let mut random = crate::pop3::tests::random(43);
    let pieces: [&[u8]; 27] = [
        b"MAIL FROM:",
        b"RCPT TO:",
        b"LHLO x",
        b"DATA",
        b"<",
        b">",
        b"@",
        b"\"",
        b"\\",
        b"ann",
        b"example.org",
        b":",
        b" SIZE=",
        b" SMTPUTF8",
        b" ENVID=+2B",
        b" NOTIFY=DELAY,",
        b" ORCPT=utf-8;",
        b"BDAT 7",
        b" LAST",
        b"XCLIENT",
        b" ADDR=IPV6:::1",
        b"\r\n",
        b"\r\n",
        b"\n",
        b".",
        "ü".as_bytes(),
        b"[",
    ];
    for _ in 0..3000 {
        let mut input = Vec::new();
        for _ in 0..random() % 24 {
            match random() % 24 {
                0 => input.extend(std::iter::repeat_n(b'A', random() as usize % 1500)),
                1 => input.push(random() as u8),
                other => input.extend_from_slice(pieces[(other as usize + random() as usize) % pieces.len()]),
            }
        }
        fuzz::fuzz_entry(&input);
    }
}

#[test]
fn replies() {
    let text = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("text")
    };
    assert_eq!(text(&|out| Reply::NO_USER.write(out)), "550 5.1.1 No such user\r\n");
    assert_eq!(text(&|out| Reply::START_DATA.write(out)), "354 Go ahead, end with a line of one dot\r\n");
    assert_eq!(text(&|out| Reply::OK.with_text("a\r\nb").write(out)), "250 2.0.0 a??b\r\n");
    assert_eq!(text(&|out| Reply::OK.with_text("x".repeat(1000)).write(out)).len(), 10 + 480 + 2);
    assert_eq!(text(&|out| Reply::from(Fault::NotSmtp).write(out)), "500 5.5.1 This is LMTP, say LHLO\r\n");
    assert_eq!(Reply::from(Fault::UnknownParameter).code, 555);
    assert!(Reply::DELIVERED.is_positive() && !Reply::FAILED.is_positive());
    assert_eq!(
        text(&|out| reply::greeting(out, "mail.example.org")),
        "220 mail.example.org LMTP Lode ready\r\n"
    );
    assert_eq!(
        text(&|out| {
            reply::lhlo(out, "mail.example.org", Extensions { message_octets_max: 1000, origin: false });
        }),
        "250-mail.example.org\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n\
         250-ENHANCEDSTATUSCODES\r\n250-CHUNKING\r\n250 BINARYMIME\r\n"
    );
    let trusted =
        text(&|out| reply::lhlo(out, "m.example", Extensions { message_octets_max: 1, origin: true }));
    assert!(trusted.contains("\r\n250-XCLIENT NAME ADDR ") && trusted.contains("\r\n250 XFORWARD NAME "));
}

#[test]
fn trace_lines() {
    let mut out = Vec::new();
    return_path(&mut out, None);
    return_path(&mut out, Some(&address("a b", "example.org")));
    let recipient = address("ann", "example.org");
    let mut line = Received {
        from: "mx.example.net",
        peer: "[192.0.2.1](x)\r\n",
        by: "mail.example.org",
        with: "LMTP",
        id: "42",
        recipient: Some(&recipient),
        at_seconds: 1_704_067_199,
    };
    received(&mut out, &line);
    line.recipient = None;
    line.peer = "local";
    line.at_seconds += 1;
    received(&mut out, &line);
    assert_eq!(
        String::from_utf8(out).expect("text"),
        "Return-Path: <>\r\nReturn-Path: <\"a b\"@example.org>\r\n\
         Received: from mx.example.net ([192.0.2.1]?x???)\r\n\tby mail.example.org with LMTP id 42\r\n\
         \tfor <ann@example.org>;\r\n\tSun, 31 Dec 2023 23:59:59 +0000\r\n\
         Received: from mx.example.net (local)\r\n\tby mail.example.org with LMTP id 42;\r\n\
         \tMon, 1 Jan 2024 00:00:00 +0000\r\n"
    );
}
