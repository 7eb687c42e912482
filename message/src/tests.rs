//! Whole messages through scanner, record and reader: the corpus, and cases written here.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::search::part_text;
use crate::{Analysis, Globals, PartKind, Record, Scanner, SectionText, encode, fuzz};

fn analyse(message: &[u8]) -> Analysis {
    let mut scanner = Scanner::new();
    scanner.push(message);
    scanner.finish()
}

fn record_of(message: &[u8]) -> Vec<u8> {
    encode(&analyse(message))
}

/// A small generator of numbers, the same in every run.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit.max(1)
    }
}

fn analyse_in_chunks(message: &[u8], longest: usize, numbers: &mut Numbers) -> Analysis {
    let mut scanner = Scanner::new();
    let mut rest = message;
    while !rest.is_empty() {
        let (chunk, behind) = rest.split_at(rest.len().min(numbers.below(longest + 1)));
        scanner.push(chunk);
        rest = behind;
    }
    scanner.finish()
}

/// The corpus, or a note that there is none.
fn corpus() -> Option<PathBuf> {
    let path = std::env::var_os("LODE_CORPUS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus"), PathBuf::from);
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("skipped: there is no corpus at {}", path.display());
    None
}

/// Every message of some folders of the corpus; an mbox is cut at its `From ` lines.
fn corpus_messages(folders: &[&str]) -> Vec<(String, Vec<u8>)> {
    let Some(corpus) = corpus() else { return Vec::new() };
    let mut messages = Vec::new();
    let mut todo: Vec<PathBuf> = folders.iter().map(|folder| corpus.join(folder)).collect();
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).expect("a folder of the corpus can be read");
            todo.extend(entries.map(|entry| entry.expect("an entry of the corpus can be read").path()));
            continue;
        }
        let octets = std::fs::read(&path).expect("a file of the corpus can be read");
        let name = path.display().to_string();
        if name.ends_with(".mbox") {
            let mut start = 0;
            for next in memchr::memmem::find_iter(&octets, b"\nFrom ")
                .map(|newline| newline + 1)
                .chain([octets.len()])
            {
                let behind_from =
                    memchr::memchr(b'\n', &octets[start..next]).map_or(next, |end| start + end + 1);
                messages.push((format!("{name} at {start}"), octets[behind_from..next].to_vec()));
                start = next;
            }
        }
        messages.push((name, octets));
    }
    messages
}

/// A part of every packed mailing list of the corpus, if `zstd` is there to unpack it.
fn list_messages(octets_each: usize) -> Vec<Vec<u8>> {
    let Some(corpus) = corpus() else { return Vec::new() };
    let mut messages = Vec::new();
    let mut todo = vec![corpus.join("lists")];
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).expect("a folder of the corpus can be read");
            todo.extend(entries.map(|entry| entry.expect("an entry of the corpus can be read").path()));
        } else if path.extension().is_some_and(|extension| extension == "zst") {
            let Ok(unpacked) = std::process::Command::new("zstd").arg("-dc").arg(&path).output() else {
                eprintln!("skipped: there is no zstd to unpack {}", path.display());
                return messages;
            };
            let octets = &unpacked.stdout[..unpacked.stdout.len().min(octets_each)];
            let mut start = 0;
            for next in memchr::memmem::find_iter(octets, b"\n\nFrom ").map(|at| at + 2) {
                let behind_from =
                    memchr::memchr(b'\n', &octets[start..next]).map_or(next, |end| start + end + 1);
                messages.push(octets[behind_from..next].to_vec());
                start = next;
            }
        }
    }
    messages
}

#[test]
fn lists_are_described_by_small_records() {
    let messages = list_messages(4 << 20);
    let mut octets = 0;
    let mut numbers = Numbers(5);
    for message in &messages {
        let analysis = analyse(message);
        assert!(analyse_in_chunks(message, 4096, &mut numbers) == analysis);
        let encoded = encode(&analysis);
        let record = Record::parse(&encoded).expect("a new record parses");
        check_sections("list", message, &record);
        check_wire("list", record.envelope());
        check_wire("list", record.body_structure());
        octets += encoded.len();
    }
    if !messages.is_empty() {
        let mean = octets / messages.len();
        eprintln!("{} messages, {mean} octets a record", messages.len());
        assert!(mean < 1500, "{mean} octets a record");
    }
}

#[test]
fn corpus_is_described_the_same_in_any_chunks_and_in_time() {
    let mut numbers = Numbers(1);
    for (name, message) in corpus_messages(&["messages", "synthetic", "attachments"]) {
        let start = Instant::now();
        let analysis = analyse(&message);
        let encoded = encode(&analysis);
        assert!(start.elapsed() < Duration::from_secs(2), "{name} took {:?}", start.elapsed());
        for longest in [3, 100, 5000] {
            assert!(
                analyse_in_chunks(&message, longest, &mut numbers) == analysis,
                "{name} in chunks up to {longest}"
            );
        }
        let record = Record::parse(&encoded).expect("a new record parses");
        check_sections(&name, &message, &record);
        check_wire(&name, record.envelope());
        check_wire(&name, record.body());
        check_wire(&name, record.body_structure());
    }
}

/// Sections lie inside each other as parts do, and headers end where bodies begin.
fn check_sections(name: &str, message: &[u8], record: &Record<'_>) {
    assert_eq!(record.size(), message.len() as u64, "{name}");
    assert_eq!(record.section_range(&[], SectionText::Whole), Some(0..record.size()), "{name}");
    let mut open: Vec<(Vec<u32>, u32)> = vec![(Vec::new(), 0)];
    let mut visited = 0;
    while let Some((parent, number)) = open.pop() {
        let mut path = parent.clone();
        path.push(number + 1);
        let Some(section) = record.section(&path) else { continue };
        let outer = record.section_range(&parent, SectionText::Whole).expect("a parent has a section");
        for text in [SectionText::Whole, SectionText::Mime, SectionText::Header, SectionText::Text] {
            if let Some(range) = record.section_range(&path, text) {
                assert!(outer.start <= range.start && range.end <= outer.end, "{name} {path:?} {text:?}");
            }
        }
        assert_eq!(section.header.end, section.body.start, "{name} {path:?}");
        let body = &message[section.body.start as usize..section.body.end as usize];
        let newlines = body.iter().filter(|&&octet| octet == b'\n').count();
        assert_eq!(section.lines as usize, newlines, "{name} {path:?}");
        if section.kind == PartKind::Message {
            let header = record.section_range(&path, SectionText::Header).expect("a message has a header");
            let text = record.section_range(&path, SectionText::Text).expect("a message has a text");
            assert!(header.start == section.body.start && header.end == text.start, "{name} {path:?}");
            assert_eq!(text.end, section.body.end, "{name} {path:?}");
        }
        open.push((parent, number + 1));
        if section.kind != PartKind::Leaf {
            open.push((path, 0));
        }
        visited += 1;
        // Looking a part up goes past its siblings; a sample of a very long list is enough.
        if visited > 2000 {
            break;
        }
    }
}

/// A parenthesised list of strings, NIL and numbers, closed where it ends and not before.
fn check_wire(name: &str, wire: &[u8]) {
    let mut depth = 0;
    let mut at = 0;
    while at < wire.len() {
        match wire[at] {
            b'(' => depth += 1,
            b')' => {
                depth -= 1;
                assert!(depth > 0 || at + 1 == wire.len(), "{name}: closed at {at}");
            }
            b'"' => {
                at += 1;
                while wire[at] != b'"' {
                    assert!(
                        !matches!(wire[at], 0 | b'\r' | b'\n' | 128..),
                        "{name}: octet in quotes at {at}"
                    );
                    at += if wire[at] == b'\\' { 2 } else { 1 };
                }
            }
            b'{' => {
                let end =
                    at + wire[at..].iter().position(|&octet| octet == b'}').expect("a literal has a brace");
                let length: usize = std::str::from_utf8(&wire[at + 1..end])
                    .expect("a length is digits")
                    .parse()
                    .expect("a length is a number");
                assert_eq!(&wire[end + 1..end + 3], b"\r\n", "{name}");
                at = end + 2 + length;
            }
            octet => assert!(octet == b' ' || octet.is_ascii_alphanumeric(), "{name}: {octet} at {at}"),
        }
        at += 1;
    }
    assert_eq!(depth, 0, "{name}");
}

#[test]
fn charsets_decode_as_the_corpus_says() {
    let Some(corpus) = corpus() else { return };
    let truth = std::fs::read_to_string(corpus.join("synthetic/charset-groundtruth.tsv"))
        .expect("the truth is there");
    for row in truth.lines().skip(1) {
        let mut columns = row.split('\t');
        let (Some(file), Some(_), Some(want)) = (columns.next(), columns.next(), columns.next()) else {
            continue;
        };
        let message = std::fs::read(corpus.join("synthetic").join(file)).expect("the message is there");
        let encoded = record_of(&message);
        let part =
            Record::parse(&encoded).ok().and_then(|record| record.section(&[1])).expect("it has a part");
        let body = &message[part.body.start as usize..part.body.end as usize];
        let text = part_text(body, part.encoding, part.charset, part.media);
        assert_eq!(text.trim_start_matches('\u{feff}').trim(), want, "{file}");
    }
}

#[test]
fn random_messages_keep_the_rules() {
    let pieces: [&[u8]; 28] = [
        b"\r\n",
        b"\n",
        b"--a",
        b"--a--",
        b"--b",
        b"--b--",
        b"\r\n\r\n",
        b"\n\n",
        b" ",
        b"\t",
        b"\r",
        b"\0",
        b"\xff",
        b"text",
        b"-",
        b"--",
        b"Content-Type: multipart/mixed; boundary=a\r\n",
        b"Content-Type: multipart/digest; boundary=\"b\"\n",
        b"Content-Type: message/rfc822\r\n",
        b"Content-Type: text/plain; charset=utf-8\n",
        b"Subject: =?utf-8?q?=C3?= =?utf-8?b?qQ==?=\r\n",
        b"From: A <a@x>, g: b@y;\r\n",
        b"Date: Mon, 4 Mar 2024 10:00:00 +0530\n",
        b"Content-Transfer-Encoding: base64\r\n",
        b"References: <a@x> <b@x>\r\n",
        b"Content-Disposition: attachment; filename=\"x\\\"",
        b"=?",
        b"<",
    ];
    let mut numbers = Numbers(7);
    for _ in 0..3000 {
        let mut message = Vec::new();
        for _ in 0..numbers.below(60) {
            message.extend_from_slice(pieces[numbers.below(pieces.len())]);
        }
        fuzz::fuzz_entry(&message);
        let encoded = record_of(&message);
        let record = Record::parse(&encoded).expect("a new record parses");
        check_sections("random", &message, &record);
        check_wire("random", record.body_structure());
        check_wire("random", record.envelope());
    }
}

#[test]
fn limits_hold() {
    let mut deep = Vec::new();
    for level in 0..500 {
        deep.extend_from_slice(
            format!("Content-Type: multipart/mixed; boundary=b{level}\r\n\r\n--b{level}\r\n").as_bytes(),
        );
    }
    let encoded = record_of(&deep);
    let record = Record::parse(&encoded).expect("a new record parses");
    assert_eq!(record.parts().count(), crate::limits::NESTING_MAX + 1);

    let mut many = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n".to_vec();
    (0..20_000).for_each(|_| many.extend_from_slice(b"--b\r\n\r\nx\r\n"));
    many.extend_from_slice(b"--b--\r\n");
    let encoded = record_of(&many);
    let record = Record::parse(&encoded).expect("a new record parses");
    assert_eq!(record.parts().count(), crate::limits::PARTS_MAX);
    assert_eq!(record.parts().last().map(|part| part.body.end), Some(many.len() as u64));

    let mut wide = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n".to_vec();
    for _ in 0..200 {
        wide.extend_from_slice(b"--b\r\nContent-Type: a/b; x=\"");
        wide.resize(wide.len() + 60_000, b'x');
        wide.extend_from_slice(b"\"\r\n\r\n");
    }
    let analysis = analyse(&wide);
    assert!(analysis.arena.len() < 2 * crate::limits::DESCRIPTION_OCTETS_MAX);
    assert_eq!(analysis.nodes.len(), 201);
}

#[test]
fn sections_are_numbered_as_rfc_3501_says() {
    let message = b"Subject: outer\r\nContent-Type: multipart/mixed; boundary=m\r\n\r\npreamble\r\n--m\r\n\r\none\r\n\
        --m\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ninner text\r\n--m\r\nContent-Type: message/rfc822\r\n\r\n\
        Content-Type: multipart/alternative; boundary=a\r\n\r\n--a\r\n\r\nthree one\r\n--a--\r\n--m--\r\nepilogue";
    let encoded = record_of(message);
    let record = Record::parse(&encoded).expect("a new record parses");
    let text = |path: &[u32], text| {
        record.section_range(path, text).map(|range| {
            String::from_utf8_lossy(&message[range.start as usize..range.end as usize]).into_owned()
        })
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(text(&[1], SectionText::Whole), some("one"));
    assert_eq!(text(&[1], SectionText::Mime), some("\r\n"));
    assert_eq!(text(&[1], SectionText::Header), None);
    assert_eq!(text(&[1, 1], SectionText::Whole), None);
    assert_eq!(text(&[2], SectionText::Whole), some("Subject: inner\r\n\r\ninner text"));
    assert_eq!(text(&[2], SectionText::Header), some("Subject: inner\r\n\r\n"));
    assert_eq!(text(&[2], SectionText::Text), some("inner text"));
    assert_eq!(text(&[2], SectionText::Mime), some("Content-Type: message/rfc822\r\n\r\n"));
    assert_eq!(text(&[2, 1], SectionText::Whole), some("inner text"));
    assert_eq!(text(&[2, 1, 1], SectionText::Whole), None);
    assert_eq!(text(&[3, 1], SectionText::Whole), some("three one"));
    assert_eq!(text(&[3, 2], SectionText::Whole), None);
    assert_eq!(text(&[4], SectionText::Whole), None);
    assert_eq!(text(&[0], SectionText::Whole), None);
    assert_eq!(text(&[], SectionText::Mime), None);
    assert!(text(&[], SectionText::Text).is_some_and(|text| text.ends_with("epilogue")));
    assert_eq!(
        String::from_utf8_lossy(record.body()),
        "((\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 3 0)(\"MESSAGE\" \"RFC822\" NIL NIL NIL \"7BIT\" 28 \
         (NIL \"inner\" NIL NIL NIL NIL NIL NIL NIL NIL) (\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 10 0) 2)\
         (\"MESSAGE\" \"RFC822\" NIL NIL NIL \"7BIT\" 74 (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) \
         ((\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 9 0) \"ALTERNATIVE\") 5) \"MIXED\")"
    );
    let stretch = record.header_stretch(&[b"SUBJECT"]);
    assert_eq!(stretch, 0..16);
    assert!(record.header_stretch(&[b"x-none"]).is_empty());
}

#[test]
fn of_a_field_that_is_there_once_the_record_has_the_text() {
    let message = b"Message-ID: <a@x>\r\nSubject: one\r\nSUBJECT: two\r\nDate: Mon,\r\n 1 Jan 2026\r\nTo: a@b\r\n\r\nText";
    let bytes = record_of(message);
    let record = Record::parse(&bytes).expect("a record");
    let value = |name: &str| record.only_value(name.as_bytes()).map(|value| value.into_owned());
    assert_eq!(value("message-id").as_deref(), Some(&b"<a@x>"[..]));
    assert_eq!(value("DATE").as_deref(), Some(&b"Mon, 1 Jan 2026"[..]));
    for name in ["subject", "in-reply-to", "to", "x"] {
        assert_eq!(value(name), None, "{name}");
    }
}

#[test]
fn extension_data_is_there() {
    let message = b"Content-Type: multipart/related; boundary=r; Type=\"text/html\"\n\n--r\nContent-Type: image/gif; name=\"a b\"\n\
        Content-ID: <i@x>\nContent-Description: a\n picture\nContent-Transfer-Encoding: base64\nContent-Language: en, de\n\
        Content-Location: http://x/\nContent-MD5: abc=\nContent-Disposition: inline; filename*=utf-8''%41\n\nR0lG\n--r--";
    let encoded = record_of(message);
    let record = Record::parse(&encoded).expect("a new record parses");
    assert_eq!(
        String::from_utf8_lossy(record.body_structure()),
        "((\"IMAGE\" \"GIF\" (\"name\" \"a b\") \"<i@x>\" \"a picture\" \"BASE64\" 4 \"abc=\" \
         (\"inline\" (\"filename*\" \"utf-8''%41\")) (\"en\" \"de\") \"http://x/\") \
         \"RELATED\" (\"boundary\" \"r\" \"Type\" \"text/html\") NIL NIL NIL)"
    );
}

#[test]
fn a_global_message_is_a_message_for_who_asks() {
    let text = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: message/global\r\n\r\nSubject: inner\r\n\r\nbody\r\n--b--\r\n";
    let record_with = |globals| {
        let mut scanner = Scanner::with_globals(globals);
        scanner.push(text);
        encode(&scanner.finish())
    };
    let (parts, messages) = (record_with(Globals::Parts), record_with(Globals::Messages));
    let parts = Record::parse(&parts).expect("a record");
    let messages = Record::parse(&messages).expect("a record");
    assert!(parts.has_global() && messages.has_global());
    assert_eq!(parts.body(), b"((\"MESSAGE\" \"GLOBAL\" NIL NIL NIL \"7BIT\" 22) \"MIXED\")");
    let structure = String::from_utf8_lossy(messages.body()).into_owned();
    assert!(
        structure.starts_with("((\"MESSAGE\" \"GLOBAL\" NIL NIL NIL \"7BIT\" 22 (NIL \"inner\""),
        "{structure}"
    );
    assert!(messages.section(&[1, 1]).is_some() && parts.section_range(&[1], SectionText::Header).is_none());
}
