//! Round trips, and records that are damaged.

use crate::tests::Numbers;
use crate::{HeaderKind, Record, Scanner, SortKey, encode, fuzz, message_id};

const MESSAGE: &[u8] = b"Date: Mon, 4 Mar 2024 23:30:00 -0500\r\nFrom: =?utf-8?q?J=C3=BCrgen?= <J@x.example>\r\n\
    To: a@x, b@y\r\nTo: c@z\r\nSubject: Re: [list] hello\r\nMessage-ID: <m@x>\r\nReferences: <r1@x>\r\n <r2@x>\r\n\
    Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html; charset=UTF-8\r\n\
    Content-Transfer-Encoding: base64\r\n\r\nPHA+\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\ny\r\n--b--\r\n";

fn record() -> Vec<u8> {
    let mut scanner = Scanner::new();
    scanner.push(MESSAGE);
    encode(&scanner.finish())
}

fn key(record: &Record<'_>, key: SortKey) -> String {
    let mut out = Vec::new();
    record.sort_key(key, &mut out);
    String::from_utf8_lossy(&out).into_owned()
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
    let id = |text: &str| message_id::hash(text.as_bytes());
    assert_eq!(record.message_id(), id("m@x"));
    assert_eq!(record.references().map(Some).collect::<Vec<_>>(), [id("r1@x"), id("r2@x")]);
    assert_eq!(record.thread_root(), id("r1@x"));
    assert_eq!(key(&record, SortKey::BaseSubject), "HELLO");
    assert_eq!(key(&record, SortKey::From), "J");
    assert_eq!(key(&record, SortKey::DisplayFrom), "JU\u{308}RGEN");
    assert_eq!(key(&record, SortKey::DisplayTo), "A@X");
    assert_eq!(key(&record, SortKey::Cc), "");
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
    let u32_at =
        |at: usize| u32::from_le_bytes([encoded[at], encoded[at + 1], encoded[at + 2], encoded[at + 3]]);
    assert_eq!(encoded[..4], [2, 15, 0xd4, 0xfe]);
    assert_eq!(encoded[4..8], (MESSAGE.len() as u32).to_le_bytes());
    assert_eq!(encoded[16..20], 4_u32.to_le_bytes());
    assert_eq!(encoded[20..24], [11, 0, 16, 0], "where hello is in Re: [list] hello");
    let envelope_end = u32_at(44) as usize;
    let blobs = 100 + 4 * 24;
    assert_eq!(encoded[blobs], b'(');
    assert_eq!(&encoded[blobs + envelope_end - 1..][..2], b")(");
    assert!(encoded[blobs + u32_at(32) as usize..].starts_with(b"(\"=?utf-8?q?J=C3=BCrgen?=\" NIL \"J\""));
    assert!(encoded[blobs + u32_at(36) as usize..].starts_with(b"(NIL NIL \"a\""));
    assert_eq!(u32_at(40), 0, "no Cc");
    // Three ids in blob 10, no key of the subject, one display key.
    assert_eq!(u32_at(44 + 40) - u32_at(44 + 36), 24);
    assert_eq!(u32_at(44 + 44), u32_at(44 + 40));
    assert_eq!(&encoded[encoded.len() - 8..], "JU\u{308}RGEN".as_bytes());
    // The first part, a base64 leaf of HTML in charset 1.
    assert_eq!(encoded[100 + 24 + 20..100 + 48], [0, 2, 1, 1]);
}

/// Records of version 1 were made by a release that wrote them; they say what those of the same messages say now.
#[test]
fn version_1_is_read() {
    let old: [(&[u8], &[u8]); 3] = [
        (include_bytes!("version_1/list.eml"), include_bytes!("version_1/list.record")),
        (include_bytes!("version_1/words.eml"), include_bytes!("version_1/words.record")),
        (include_bytes!("version_1/bare.eml"), include_bytes!("version_1/bare.record")),
    ];
    for (message, version_1) in old {
        assert_eq!(version_1[0], 1);
        let mut scanner = Scanner::new();
        scanner.push(message);
        let encoded = encode(&scanner.finish());
        let new = Record::parse(&encoded).expect("a new record parses");
        let old = Record::parse(version_1).expect("an old record parses");
        for sort_key in [
            SortKey::BaseSubject,
            SortKey::From,
            SortKey::To,
            SortKey::Cc,
            SortKey::DisplayFrom,
            SortKey::DisplayTo,
        ] {
            assert_eq!(key(&old, sort_key), key(&new, sort_key), "{sort_key:?}");
        }
        assert_eq!((old.message_id(), old.is_reply()), (new.message_id(), new.is_reply()));
        assert_eq!(old.references().collect::<Vec<_>>(), new.references().collect::<Vec<_>>());
        assert_eq!((old.envelope(), old.body_structure()), (new.envelope(), new.body_structure()));
        assert_eq!((old.size(), old.header_size(), old.sent()), (new.size(), new.header_size(), new.sent()));
        for header in [HeaderKind::Subject, HeaderKind::From, HeaderKind::To, HeaderKind::Cc, HeaderKind::Bcc]
        {
            assert_eq!(old.search_text(header), new.search_text(header));
        }
        assert_eq!(old.header_stretch(&[b"date"]), new.header_stretch(&[b"date"]));
        assert_eq!(old.parts().collect::<Vec<_>>(), new.parts().collect::<Vec<_>>());
    }
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
