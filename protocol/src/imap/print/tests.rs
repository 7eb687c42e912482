//! Print → parse → print, for commands that are made up: every command, every option, in every combination that chance finds.

mod generate;

use self::generate::Draw;
use super::*;
use crate::imap::command::append::{AppendLiteral, AppendPiece, LiteralKind, MessageHeader};
use crate::imap::decoder::{Decoded, Decoder};
use crate::imap::fuzz::check_print;
use crate::imap::limits::Limits;
use crate::imap::url::MessageUrl;

fn limits(names: NameEncoding) -> Limits {
    Limits { names, ..Limits::LOGGED_IN }
}

#[test]
fn commands_that_are_made_up_come_back() {
    let mut draw = Draw::new(1);
    for _ in 0..30_000 {
        let names = draw.names();
        let tagged = Tagged { tag: draw.tag(), command: draw.command(names) };
        check_print(&tagged, &limits(names));
    }
}

/// A command through the decoder, literals and all, with others around it.
#[test]
fn what_is_printed_is_one_command_to_the_decoder() {
    let mut draw = Draw::new(2);
    for _ in 0..3_000 {
        let names = draw.names();
        let all: Vec<Tagged> = (0..draw.below(4) + 1)
            .map(|_| Tagged { tag: draw.tag(), command: draw.command(names) })
            .collect();
        let mut octets = Vec::new();
        for tagged in &all {
            command(&mut octets, tagged, names);
            octets.extend_from_slice(b"\r\n");
        }
        let mut decoder = Decoder::new(limits(names));
        let (mut done, mut decoded) = (0, Vec::new());
        loop {
            let (consumed, answer) = decoder.decode(&octets[done..]);
            done += consumed;
            match answer {
                Decoded::Command(tagged) => decoded.push(tagged),
                Decoded::Continue => {}
                Decoded::NeedMore => break,
                other => panic!("{other:?} of {}", octets.escape_ascii()),
            }
        }
        assert_eq!((decoded, done), (all, octets.len()));
    }
}

/// What one message of an APPEND is made of.
enum Part {
    Literal(AppendLiteral, Vec<u8>),
    Url(Vec<u8>),
}

fn parts(draw: &mut Draw) -> Vec<Part> {
    let is_part = draw.chance(2);
    let count = if is_part { draw.below(4) + 1 } else { 1 };
    (0..count)
        .map(|_| {
            if is_part && draw.chance(3) {
                return Part::Url(draw.text());
            }
            let octets = draw.text();
            // Only whole messages are announced as UTF-8.
            let kinds = [LiteralKind::Text, LiteralKind::Binary, LiteralKind::Utf8];
            let kind = kinds[draw.below(if is_part { 2 } else { 3 })];
            let length = octets.len() as u64;
            Part::Literal(AppendLiteral { kind, length, synchronising: draw.chance(2), is_part }, octets)
        })
        .collect()
}

fn print_message(out: &mut Vec<u8>, header: &MessageHeader, parts: &[Part]) {
    append::header(out, header);
    out.push(b' ');
    let is_catenate = !matches!(parts, [Part::Literal(AppendLiteral { is_part: false, .. }, _)]);
    if is_catenate {
        out.extend_from_slice(b"CATENATE (");
    }
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        match part {
            Part::Literal(literal, octets) => append::literal(out, literal, octets),
            Part::Url(url) => append::url(out, url),
        }
    }
    if is_catenate {
        out.push(b')');
    }
}

#[test]
fn appends_that_are_made_up_come_back() {
    let mut draw = Draw::new(3);
    for _ in 0..5_000 {
        let names = draw.names();
        let begin = draw.append_begin(names);
        let count = if begin.replaced.is_some() { 1 } else { draw.below(3) + 1 };
        let messages: Vec<(MessageHeader, Vec<Part>)> =
            (0..count).map(|_| (draw.message_header(), parts(&mut draw))).collect();
        let mut octets = Vec::new();
        append::begin(&mut octets, &begin, names);
        messages.iter().for_each(|(header, parts)| print_message(&mut octets, header, parts));
        octets.extend_from_slice(b"\r\n");

        let mut expected = vec![Decoded::AppendBegin(begin)];
        for (header, parts) in messages {
            expected.push(Decoded::AppendPiece(AppendPiece::Message(header)));
            expected.extend(parts.into_iter().map(|part| {
                Decoded::AppendPiece(match part {
                    Part::Literal(literal, _) => AppendPiece::Literal(literal),
                    Part::Url(url) => AppendPiece::Url(url),
                })
            }));
        }
        expected.push(Decoded::AppendEnd);
        let mut decoder = Decoder::new(limits(names));
        let (mut done, mut decoded) = (0, Vec::new());
        loop {
            let (consumed, answer) = decoder.decode(&octets[done..]);
            done += consumed;
            match answer {
                Decoded::NeedMore => break,
                Decoded::Continue => continue,
                Decoded::AppendPiece(AppendPiece::Literal(literal)) => {
                    done += literal.length as usize;
                    decoder.append_rest();
                    decoded.push(answer);
                }
                answer => decoded.push(answer),
            }
        }
        assert_eq!(decoded, expected, "{}", octets.escape_ascii());
        assert_eq!(done, octets.len());
    }
}

#[test]
fn urls_that_are_made_up_come_back() {
    let mut draw = Draw::new(4);
    for _ in 0..20_000 {
        let url = draw.url();
        let mut written = Vec::new();
        url.write(&mut written);
        let parsed = MessageUrl::parse(&written);
        assert_eq!(parsed.as_ref(), Ok(&url), "{}", written.escape_ascii());
        let mut again = Vec::new();
        url.write(&mut again);
        assert_eq!(again, written);
    }
}
