//! One entry for fuzzers and random drivers: any octets, every public function, and what must hold of the answers.

use crate::search::{Folded, contains_folded, decode_header_text, part_text};
use crate::{
    Encoding, HeaderKind, Media, Record, Scanner, SectionText, SortKey, encode, header_fields, header_values,
};

/// Treats `bytes` as a message, as a record, as a header and as a body. Panics if something is found that must not be.
pub fn fuzz_entry(bytes: &[u8]) {
    let mut whole = Scanner::new();
    whole.push(bytes);
    let analysis = whole.finish();

    let mut pieces = Scanner::new();
    let length = bytes.first().map_or(1, |&octet| usize::from(octet) % 17 + 1);
    bytes.chunks(length).for_each(|chunk| pieces.push(chunk));
    assert!(pieces.finish() == analysis, "the analysis depends on the chunks");

    let encoded = encode(&analysis);
    let Ok(record) = Record::parse(&encoded) else { panic!("a new record does not parse") };
    assert_eq!(record.size(), bytes.len() as u64);
    let message = 0..bytes.len() as u64;
    for part in record.parts() {
        assert!(part.header.end == part.body.start && part.body.end <= message.end);
        let raw = &bytes[part.body.start as usize..part.body.end as usize];
        part_text(raw, part.encoding, part.charset, part.media);
    }
    only_values(bytes, &record);
    read(&record);

    if let Ok(record) = Record::parse(bytes) {
        read(&record);
    }
    let text = decode_header_text(bytes);
    contains_folded(&text, &Folded::new("needle"));
    part_text(bytes, Encoding::QuotedPrintable, "utf-7", Media::Html);
    let mut out = Vec::new();
    header_fields(bytes, &[b"subject"], true, &mut out);
}

/// What the record says of a field that is there once must be what the message says.
fn only_values(message: &[u8], record: &Record<'_>) {
    let header = &message[..record.header_size() as usize];
    for name in [&b"date"[..], b"subject", b"in-reply-to", b"Message-ID"] {
        if let Some(value) = record.only_value(name) {
            let in_message: Vec<&[u8]> = header_values(header, name).collect();
            assert_eq!(in_message.len(), 1, "a field is there once");
            if !in_message[0].contains(&0) {
                assert_eq!(decode_header_text(&value), decode_header_text(in_message[0]));
            }
        }
    }
}

/// Asks a record everything. It may be damaged.
fn read(record: &Record<'_>) {
    let asked = record.envelope().len() + record.body().len() + record.body_structure().len();
    assert!(asked <= u32::MAX as usize);
    for path in [&[][..], &[0], &[1], &[2], &[1, 1], &[1, 2], &[2, 1, 1], &[u32::MAX, 1]] {
        for text in [SectionText::Whole, SectionText::Header, SectionText::Text, SectionText::Mime] {
            if let Some(range) = record.section_range(path, text) {
                assert!(range.start <= range.end && range.end <= record.size());
            }
        }
    }
    let stretch = record.header_stretch(&[b"subject", b"date"]);
    assert!(stretch.end <= record.header_size());
    for name in [&b"date"[..], b"subject", b"in-reply-to", b"Message-ID", b"from"] {
        record.only_value(name);
    }
    for header in [HeaderKind::Subject, HeaderKind::From, HeaderKind::To, HeaderKind::Cc, HeaderKind::Bcc] {
        record.search_text(header);
    }
    let mut keys = Vec::new();
    for key in [
        SortKey::BaseSubject,
        SortKey::From,
        SortKey::To,
        SortKey::Cc,
        SortKey::DisplayFrom,
        SortKey::DisplayTo,
    ] {
        record.sort_key(key, &mut keys);
    }
    record.sent().map(crate::SentDate::local_day);
    record.message_id();
    record.thread_root();
    record.references().count();
    record.is_reply();
    record.parts().count();
}
