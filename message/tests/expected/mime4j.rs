//! `NAME.xml` and `NAME_decoded.xml` beside `NAME.msg`: the structure as Apache James mime4j reports it, part by part, with the raw
//! fields of each header. The first has the octets of bodies, the second the names of files with their decoded content.

use std::path::Path;

use message::search::part_text;
use message::{Encoding, Media, PartKind, Record, header_fields};
use roxmltree::{Document, Node};

use crate::Differences;
use crate::ours::{self, Part, child, parts};

pub(crate) fn compare(expected: &Path, message: &[u8], differences: &mut Differences) {
    // The octets of the message went into the file one by one, whatever their charset.
    let xml = latin1(&crate::read(expected));
    let document = Document::parse(&xml).expect("expected output is XML");
    let encoded = ours::record(message);
    let record = Record::parse(&encoded).expect("a new record parses");
    let ours = parts(&record);
    let mut waiting = vec![(String::new(), document.root_element())];
    while let Some((name, want)) = waiting.pop() {
        // What is missing has been found by the number of parts around it.
        let Some(got) = ours.iter().find(|part| part.name == name) else { continue };
        let (kind, inside) = content(want);
        differences.check(&name, "kind", (kind, inside.len()), (got.section.kind, got.children));
        compare_fields(want, got, message, differences);
        if kind == PartKind::Leaf && got.section.kind == PartKind::Leaf {
            compare_body(want, got, message, expected, differences);
        }
        let first = usize::from(kind == PartKind::Multipart);
        waiting.extend(inside.into_iter().enumerate().map(|(at, node)| (child(&name, first + at), node)));
    }
}

/// How a message or part is built, and what is inside it.
fn content<'a, 'input>(part: Node<'a, 'input>) -> (PartKind, Vec<Node<'a, 'input>>) {
    if let Some(multipart) = element(part, "multipart") {
        return (
            PartKind::Multipart,
            multipart.children().filter(|node| node.has_tag_name("body-part")).collect(),
        );
    }
    match element(part, "message") {
        Some(message) => (PartKind::Message, vec![message]),
        None => (PartKind::Leaf, Vec::new()),
    }
}

/// The fields of a header are those expected, octet for octet but for line ends, and in the same order.
fn compare_fields(want: Node<'_, '_>, got: &Part<'_>, message: &[u8], differences: &mut Differences) {
    let header = element(want, "header");
    let fields: Vec<&str> = (header.into_iter().flat_map(|header| header.children()))
        .filter(|node| node.has_tag_name("field"))
        .map(text)
        .collect();
    let names: Vec<&[u8]> = fields
        .iter()
        .map(|field| field.split(':').next().unwrap_or_default().trim_end().as_bytes())
        .collect();
    let raw = &message[got.section.header.start as usize..got.section.header.end as usize];
    let cut = |not| {
        let mut out = Vec::new();
        header_fields(raw, &names, not, &mut out);
        latin1(&out).replace("\r\n", "\n")
    };
    let want: String = fields.iter().flat_map(|field| [*field, "\n"]).chain(["\n"]).collect();
    differences.check(&got.name, "fields", want, cut(false));
    differences.check(&got.name, "other fields", "\n".to_owned(), cut(true));
}

fn compare_body(
    want: Node<'_, '_>,
    got: &Part<'_>,
    message: &[u8],
    expected: &Path,
    differences: &mut Differences,
) {
    let raw = &message[got.section.body.start as usize..got.section.body.end as usize];
    if let Some(body) = element(want, "body") {
        differences.check(&got.name, "body", text(body).to_owned(), latin1(raw).replace("\r\n", "\n"));
    }
    for tag in ["text-body", "binary-body"] {
        let Some(name) = element(want, tag).and_then(|body| body.attribute("name")) else { continue };
        let file = expected.with_file_name(name);
        // The corpus has no empty files.
        let octets = if file.exists() { crate::read(&file) } else { Vec::new() };
        // One octet is one character in this charset.
        let read = |octets: &[u8], encoding| part_text(octets, encoding, "windows-1252", Media::Text);
        let want = read(&octets, Encoding::Identity);
        differences.check(&got.name, "content", want, read(raw, got.section.encoding));
    }
}

fn element<'a, 'input>(parent: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    parent.children().find(|node| node.has_tag_name(name))
}

/// The text of an element; the line end behind its tag is not part of it.
fn text<'a>(node: Node<'a, '_>) -> &'a str {
    let text = node.text().unwrap_or_default();
    text.strip_prefix('\n').unwrap_or(text)
}

fn latin1(octets: &[u8]) -> String {
    octets.iter().map(|&octet| char::from(octet)).collect()
}
