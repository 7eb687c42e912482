//! The first words of a message, for lists of messages (PREVIEW, RFC 8970 3.3): plain text in one line, without what the message
//! only repeats or ends with.
//!
//! The caller reads the beginning of each of [`readable_parts`] until one has something to say. Left out are quoted lines and the line
//! that introduces them, a signature, and what is encrypted. All of it is linear in the octets that are read, which are at most
//! [`octets_max`] of a part.

use crate::search::part_text;
use crate::{Media, PartKind, Record, Section};

/// Characters of a preview at most.
pub const CHARACTERS_MAX: usize = 200;
/// Parts that are tried, one after the other.
pub const PARTS_MAX: usize = 3;

/// How many octets of a part's body are worth reading. Those of HTML begin with styles.
pub fn octets_max(media: Media) -> u64 {
    if media == Media::Html { 32 * 1024 } else { 8 * 1024 }
}

/// The parts that have text, in the order in which they are to be tried.
pub fn readable_parts<'a>(record: &Record<'a>) -> impl Iterator<Item = Section<'a>> + use<'a> {
    let is_readable = |part: &Section<'_>| {
        part.kind == PartKind::Leaf
            && matches!(part.media, Media::Text | Media::Html)
            && !part.body.is_empty()
    };
    record.parts().filter(is_readable).take(PARTS_MAX)
}

/// The preview of a part, given the first octets of its body; empty if there is nothing to show.
pub fn preview(raw: &[u8], part: &Section<'_>) -> String {
    let is_cut = (raw.len() as u64) < part.body.end - part.body.start;
    // Half a line may be half a character or half a tag.
    let whole_lines = memchr::memrchr(b'\n', raw).map_or(raw.len(), |end| end + 1);
    let raw = if is_cut { &raw[..whole_lines] } else { raw };
    match part.media {
        Media::Html => {
            let html = part_text(raw, part.encoding, part.charset, Media::Text);
            let own = &html[..find_tag(&html, "blockquote").unwrap_or(html.len())];
            let text = fold(plain(own).lines());
            if text.is_empty() { fold(plain(&html).lines()) } else { text }
        }
        _ => {
            let text = part_text(raw, part.encoding, part.charset, Media::Text);
            if text.trim_start().starts_with("-----BEGIN PGP MESSAGE-----") {
                return String::new();
            }
            let own = fold(own_lines(&text).into_iter());
            if own.is_empty() {
                fold(text.lines().map(|line| line.trim_start_matches(['>', ' '])))
            } else {
                own
            }
        }
    }
}

/// The lines that the author wrote here: no quotes, no line that introduces them, nothing from the signature on.
fn own_lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = Vec::new();
    for line in text.lines() {
        if is_end(line) {
            break;
        }
        if line.starts_with('>') {
            drop_introduction(&mut lines);
        } else if is_drawn(line) {
            // It says nothing, and separates what stands above and below it.
        } else if !line.trim().is_empty() {
            lines.push(line);
        } else if lines.last().is_some_and(|last| !last.is_empty()) {
            lines.push("");
        }
    }
    lines
}

/// Whether a signature (RFC 3676 4.3) begins here, or the message that is answered, as some programs append it; or whether a
/// line is drawn across the page.
fn is_end(line: &str) -> bool {
    let line = line.trim_end();
    line == "--"
        || line.starts_with("-----Original Message-----")
        || (line.len() >= 20 && line.bytes().all(|octet| octet == b'_'))
}

/// Whether a line is drawn with punctuation.
fn is_drawn(line: &str) -> bool {
    let line = line.trim();
    line.len() >= 5 && line.bytes().all(|octet| octet.is_ascii_punctuation() || octet == b' ')
}

/// Takes away the paragraph before a quote, of at most three lines, if it ends with a colon: "On Monday somebody wrote:".
fn drop_introduction(lines: &mut Vec<&str>) {
    while lines.last().is_some_and(|last| last.is_empty()) {
        lines.pop();
    }
    if !lines.last().is_some_and(|last| last.trim_end().ends_with(':')) {
        return;
    }
    let start = lines.iter().rposition(|line| line.is_empty()).map_or(0, |gap| gap + 1);
    if lines.len() - start <= 3 {
        lines.truncate(start);
    } else {
        lines.pop();
    }
}

/// Tags that stand within a word or a sentence; where any other stands, words end.
const INLINE: [&str; 22] = [
    "a", "abbr", "b", "bdo", "big", "cite", "code", "em", "font", "i", "ins", "kbd", "mark", "q", "s",
    "small", "span", "strong", "sub", "sup", "tt", "u",
];

/// HTML without its tags.
fn plain(html: &str) -> String {
    let mut spaced = String::with_capacity(html.len() + html.len() / 8);
    let mut rest = html;
    while let Some(start) = memchr::memchr(b'<', rest.as_bytes()) {
        let (before, tag) = rest.split_at(start);
        spaced.push_str(before);
        let name = tag[1..].trim_start_matches('/');
        let end = name.find(|character: char| !character.is_ascii_alphanumeric()).unwrap_or(name.len());
        let is_inline = INLINE.iter().any(|inline| inline.eq_ignore_ascii_case(&name[..end]));
        if !is_inline {
            spaced.push(' ');
        }
        spaced.push('<');
        rest = &tag[1..];
    }
    spaced.push_str(rest);
    mail_parser::decoders::html::html_to_text(&spaced)
}

/// Where a tag of this name, in any case of letters, begins.
fn find_tag(html: &str, name: &str) -> Option<usize> {
    memchr::memchr_iter(b'<', html.as_bytes()).find(|&start| {
        html[start + 1..].get(..name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name))
    })
}

/// One line of at most [`CHARACTERS_MAX`] characters: white space folded, what shows nothing left out.
fn fold<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let mut folded = String::with_capacity(CHARACTERS_MAX);
    let mut count = 0;
    let mut wants_space = false;
    for character in lines.flat_map(|line| line.chars().chain(std::iter::once(' '))) {
        if character.is_whitespace() {
            wants_space = count > 0;
        } else if !is_invisible(character) {
            if wants_space {
                folded.push(' ');
                count += 1;
            }
            if count >= CHARACTERS_MAX {
                break;
            }
            folded.push(character);
            count += 1;
            wants_space = false;
        }
    }
    folded.truncate(folded.trim_end().len());
    folded
}

/// Characters that advertisers fill the beginning of a message with, so that nothing else is seen in previews; and controls.
fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fffc}' | '\u{fffd}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Scanner, encode};

    fn of(message: &str) -> String {
        let mut scanner = Scanner::new();
        scanner.push(message.as_bytes());
        let bytes = encode(&scanner.finish());
        let record = Record::parse(&bytes).expect("a record");
        let texts = readable_parts(&record).map(|part| {
            let end = part.body.end.min(part.body.start + octets_max(part.media));
            preview(&message.as_bytes()[part.body.start as usize..end as usize], &part)
        });
        texts.into_iter().find(|text| !text.is_empty()).unwrap_or_default()
    }

    fn plain_text(body: &str) -> String {
        of(&format!("Content-Type: text/plain; charset=utf-8\r\n\r\n{body}"))
    }

    #[test]
    fn white_space_is_folded_and_length_is_limited() {
        assert_eq!(plain_text("  Hello,\r\n\r\n\tworld \u{200b}\u{a0} again\r\n"), "Hello, world again");
        assert_eq!(plain_text(&"wörd ".repeat(100)).chars().count(), 199);
        assert_eq!(plain_text(&"ö".repeat(500)), "ö".repeat(200));
        assert_eq!(plain_text(""), "");
        assert_eq!(plain_text(" \r\n \r\n"), "");
    }

    #[test]
    fn quotes_and_signatures_are_left_out() {
        let text = "On Monday, somebody\r\nwrote:\r\n> old\r\n>> older\r\n\r\nNew.\r\n-- \r\nme\r\n";
        assert_eq!(plain_text(text), "New.");
        assert_eq!(plain_text("Yes.\r\n\r\nA. wrote:\r\n\r\n> old\r\n\r\nAnd no.\r\n"), "Yes. And no.");
        assert_eq!(plain_text("a:\r\nb\r\n> old\r\n"), "a: b");
        assert_eq!(
            plain_text("Invoice\r\n=======\r\n* * * *\r\nPay now.\r\n:-)\r\n"),
            "Invoice Pay now. :-)"
        );
        assert_eq!(plain_text("Top.\r\n-----Original Message-----\r\nFrom: x\r\n"), "Top.");
        // All of it is quoted: better that than nothing.
        assert_eq!(plain_text("> only this\r\n> > and this\r\n"), "only this and this");
    }

    #[test]
    fn html_becomes_plain() {
        let html = "<html><head><title>t</title><style>p{}</style></head><body><div>Caf&eacute;</div><div>a<b>b</b>c\
                    <td>d</td></div><blockquote>old</blockquote></body></html>";
        assert_eq!(of(&format!("Content-Type: text/html\r\n\r\n{html}")), "Café abc d");
        assert_eq!(of("Content-Type: text/html\r\n\r\n<BLOCKQUOTE>all of it</BLOCKQUOTE>"), "all of it");
        assert_eq!(of("Content-Type: text/html\r\n\r\n<"), "");
    }

    #[test]
    fn the_first_part_that_says_something_is_taken() {
        let message = "Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n \r\n--b\r\n\
                       Content-Type: text/html\r\n\r\n<p>Here</p>\r\n--b--\r\n";
        assert_eq!(of(message), "Here");
        assert_eq!(of("Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\niVBORw0K"), "");
    }

    #[test]
    fn what_is_encrypted_has_none() {
        assert_eq!(plain_text("\r\n-----BEGIN PGP MESSAGE-----\r\n\r\nabc\r\n"), "");
        let message = "Content-Type: multipart/encrypted; boundary=b; protocol=\"application/pgp-encrypted\"\r\n\r\n--b\r\n\
                       Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n--b\r\n\
                       Content-Type: application/octet-stream\r\n\r\n-----BEGIN PGP MESSAGE-----\r\n--b--\r\n";
        assert_eq!(of(message), "");
    }

    #[test]
    fn a_cut_part_ends_with_a_whole_line() {
        let body = format!("{}\r\n", "> quoted\r\n".repeat(2000));
        assert_eq!(plain_text(&body).split(' ').next(), Some("quoted"));
        let html = format!("<style>{}</style><p>text</p>", "x{}\r\n".repeat(3000));
        assert_eq!(of(&format!("Content-Type: text/html\r\n\r\n{html}")), "text");
    }
}
