//! Round trips, and records that are damaged.

use crate::tests::Numbers;
use crate::{HeaderKind, Record, Scanner, SortKey, encode, fuzz};

const MESSAGE: &[u8] = b"Date: Mon, 4 Mar 2024 23:30:00 -0500\r\nFrom: =?utf-8?q?J=C3=BCrgen?= <J@x.example>\r\n\
    To: a@x, b@y\r\nTo: c@z\r\nSubject: Re: [list] hello\r\nMessage-ID: <m@x>\r\nReferences: <r1@x>\r\n <r2@x>\r\n\
    Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html; charset=UTF-8\r\n\
    Content-Transfer-Encoding: base64\r\n\r\nPHA+\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\ny\r\n--b--\r\n";

fn record() -> Vec<u8> {
    let mut scanner = Scanner::new();
    scanner.push(MESSAGE);
    encode(&scanner.finish())
}

#[test]
fn answers_what_was_found() {
    let encoded = record();
    let record = Record::parse(&encoded).expect("a new record parses");
    assert_eq!(record.size(), MESSAGE.len() as u64);
    assert_eq!(record.sent().map(|sent| (sent.zone_minutes, sent.local_day())), Some((-300, 19_786)));
    assert_eq!(record.search_text(HeaderKind::From), "Jürgen <J@x.example>");
    assert_eq!(record.search_text(HeaderKind::To), "a@x, b@y\nc@z");
    assert_eq!(record.search_text(HeaderKind::Bcc), "");
    assert_eq!(record.message_id(), "m@x");
    assert_eq!(record.references().collect::<Vec<_>>(), ["r1@x", "r2@x"]);
    assert_eq!(record.sort_key(SortKey::BaseSubject), "hello");
    assert_eq!(record.sort_key(SortKey::From), "j");
    assert!(record.is_reply());
    let parts: Vec<_> = record.parts().map(|part| (part.media, part.encoding, part.charset)).collect();
    assert_eq!(
        format!("{parts:?}"),
        "[(Multipart, Identity, \"\"), (Html, Base64, \"utf-8\"), (Message, Identity, \"\"), (Text, Identity, \"\")]"
    );
    assert!(encoded.len() < 1500, "{} octets", encoded.len());
}

#[test]
fn addresses_are_found_whole() {
    for (field, expected) in [
        ("a@x, B <b@y>", "a@x, B <b@y>"),
        ("a@x (Anna), \"B\" <b@y>", "a@x (Anna), \"B\" <b@y>"),
        ("<a (c)@ (d) x.example>, b@y", "<a (c)@ (d) x.example>, b@y\na@x.example"),
        ("a @ x, b@y", "a @ x, b@y\na@x"),
        ("group: a@ x, b@y;", "group: a@ x, b@y;\na@x"),
        ("nobody (at all)", "nobody (at all)"),
    ] {
        let mut scanner = Scanner::new();
        scanner.push(format!("Cc: {field}\r\n\r\n").as_bytes());
        let encoded = encode(&scanner.finish());
        let record = Record::parse(&encoded).expect("a new record parses");
        assert_eq!(record.search_text(HeaderKind::Cc), expected);
    }
}

#[test]
fn layout_is_as_documented() {
    let encoded = record();
    assert_eq!(encoded[..4], [1, 7, 0xd4, 0xfe]);
    assert_eq!(encoded[4..8], (MESSAGE.len() as u32).to_le_bytes());
    assert_eq!(encoded[16..20], 4_u32.to_le_bytes());
    let envelope_end = u32::from_le_bytes([encoded[32], encoded[33], encoded[34], encoded[35]]) as usize;
    let blobs = 96 + 4 * 24;
    assert_eq!(encoded[blobs], b'(');
    assert_eq!(&encoded[blobs + envelope_end - 1..][..2], b")(");
    // The first part, a base64 leaf of HTML in charset 1.
    assert_eq!(encoded[96 + 24 + 20..96 + 48], [0, 2, 1, 1]);
}

#[test]
fn damage_is_survived() {
    let whole = record();
    for length in 0..whole.len() {
        assert!(Record::parse(&whole[..length]).is_err());
    }
    let mut numbers = Numbers(3);
    for _ in 0..3000 {
        let mut damaged = whole.clone();
        for _ in 0..=numbers.below(4) {
            let at = numbers.below(damaged.len());
            damaged[at] ^= 1 << numbers.below(8);
        }
        fuzz::fuzz_entry(&damaged);
    }
}
