//! Prints what the record of a message says: `describe FILE`. One line each for ENVELOPE, BODY and BODYSTRUCTURE, then one for
//! every part number with its ranges, so that other parsers can be compared with this one.

use std::io::Write;
use std::process::ExitCode;

use message::{PartKind, Record, Scanner, SectionText, encode};

fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1) else {
        eprintln!("usage: describe FILE");
        return ExitCode::FAILURE;
    };
    let octets = match std::fs::read(&path) {
        Ok(octets) => octets,
        Err(error) => {
            eprintln!("{}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    };
    let mut scanner = Scanner::new();
    octets.chunks(64 * 1024).for_each(|chunk| scanner.push(chunk));
    let encoded = encode(&scanner.finish());
    let Ok(record) = Record::parse(&encoded) else { return ExitCode::FAILURE };

    let mut out = Vec::new();
    for (label, text) in
        [("ENVELOPE", record.envelope()), ("BODY", record.body()), ("BODYSTRUCTURE", record.body_structure())]
    {
        out.extend_from_slice(label.as_bytes());
        out.push(b' ');
        out.extend_from_slice(text);
        out.push(b'\n');
    }
    out.extend_from_slice(format!("SIZE {}\nHEADER {}\n", record.size(), record.header_size()).as_bytes());
    if let Some(sent) = record.sent() {
        let line = format!("SENT {} {} {}\n", sent.seconds, sent.zone_minutes, sent.local_day());
        out.extend_from_slice(line.as_bytes());
    }
    let mut path = Vec::new();
    sections(&record, &mut path, &mut out);
    match std::io::stdout().write_all(&out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Walks the part numbers depth first. Records nest no deeper than `message::limits::NESTING_MAX`.
fn sections(record: &Record<'_>, path: &mut Vec<u32>, out: &mut Vec<u8>) {
    for number in 1.. {
        path.push(number);
        let Some(section) = record.section(path) else {
            path.pop();
            return;
        };
        let name: Vec<String> = path.iter().map(u32::to_string).collect();
        let mut line = format!(
            "SECTION {} {:?} {:?} {:?}",
            name.join("."),
            section.kind,
            section.media,
            section.encoding
        );
        for text in [SectionText::Whole, SectionText::Mime, SectionText::Header, SectionText::Text] {
            if let Some(range) = record.section_range(path, text) {
                line += &format!(" {text:?}={}..{}", range.start, range.end);
            }
        }
        out.extend_from_slice(
            format!("{line} lines={} charset={}\n", section.lines, section.charset).as_bytes(),
        );
        if section.kind != PartKind::Leaf {
            sections(record, path, out);
        }
        path.pop();
    }
}
