//! The base subject (RFC 5256 2.1).
//!
//! White space is what the grammar there has: spaces and tabs, and line ends, whether they fold the field or come out of an
//! encoded word. Other spaces of Unicode are characters like others.

use std::borrow::Cow;

/// Octets of a subject that are looked at.
const SUBJECT_OCTETS_MAX: usize = 4096;

/// What is left of a subject without its artifacts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Base<'a> {
    /// The base subject: a part of the subject as it stands, unless white space had to be made one.
    pub(crate) text: Cow<'a, str>,
    /// Whether something was taken off that marks a reply or a forwarded message (RFC 5256, THREAD).
    pub(crate) is_reply: bool,
}

/// The base of a decoded subject.
pub(crate) fn base(subject: &str) -> Base<'_> {
    let mut end = subject.len().min(SUBJECT_OCTETS_MAX);
    while !subject.is_char_boundary(end) {
        end -= 1;
    }
    match with_single_spaces(&subject[..end]) {
        Cow::Borrowed(text) => {
            let (text, is_reply) = strip(text);
            Base { text: Cow::Borrowed(text), is_reply }
        }
        Cow::Owned(text) => {
            let (text, is_reply) = strip(&text);
            Base { text: Cow::Owned(text.to_owned()), is_reply }
        }
    }
}

/// Step 1: tabs and line ends are spaces, and several are one.
fn with_single_spaces(text: &str) -> Cow<'_, str> {
    let is_space = |octet: u8| matches!(octet, b' ' | b'\t' | b'\r' | b'\n');
    let octets = text.as_bytes();
    let is_single = !octets.iter().any(|&octet| is_space(octet) && octet != b' ')
        && !octets.windows(2).any(|pair| pair == b"  ");
    if is_single {
        return Cow::Borrowed(text);
    }
    let mut single = String::with_capacity(text.len());
    for character in text.chars() {
        let is_space = u8::try_from(character).is_ok_and(is_space);
        if !is_space {
            single.push(character);
        } else if !single.ends_with(' ') {
            single.push(' ');
        }
    }
    Cow::Owned(single)
}

/// Steps 2 to 6.
fn strip(text: &str) -> (&str, bool) {
    let mut rest = text;
    let mut is_reply = false;
    loop {
        while let Some(stripped) = strip_trailer(rest) {
            is_reply |= stripped.len() + 1 < rest.len();
            rest = stripped;
        }
        loop {
            rest = rest.trim_start_matches(' ');
            // Blobs count only as a prefix of `re:`, or if something is left behind them.
            let behind_blobs = skip_blobs(rest);
            if let Some(stripped) = strip_reply(behind_blobs) {
                is_reply = true;
                rest = stripped;
                continue;
            }
            if !behind_blobs.is_empty() {
                rest = behind_blobs;
            } else if let Some(last) = last_blob(rest) {
                rest = last;
            }
            break;
        }
        match strip_wrapper(rest) {
            Some(inside) => {
                is_reply = true;
                rest = inside;
            }
            None => return (rest, is_reply),
        }
    }
}

/// Without a subj-trailer: `(fwd)` or white space.
fn strip_trailer(text: &str) -> Option<&str> {
    if let Some(stripped) = text.strip_suffix(' ') {
        return Some(stripped);
    }
    let start = text.len().checked_sub(5)?;
    text.get(start..).filter(|tail| tail.eq_ignore_ascii_case("(fwd)")).map(|_| &text[..start])
}

/// Without `re`, `fw` or `fwd`, a blob, and a colon.
fn strip_reply(text: &str) -> Option<&str> {
    let word = ["fwd", "fw", "re"]
        .into_iter()
        .find(|word| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word)))?;
    let rest = text[word.len()..].trim_start_matches(' ');
    strip_blob(rest).unwrap_or(rest).strip_prefix(':')
}

/// Without a subj-blob, `[…]` and white space behind it.
fn strip_blob(text: &str) -> Option<&str> {
    let inside = text.strip_prefix('[')?;
    let end = inside.find(['[', ']'])?;
    inside[end..].strip_prefix(']').map(|rest| rest.trim_start_matches(' '))
}

fn skip_blobs(mut text: &str) -> &str {
    while let Some(rest) = strip_blob(text) {
        text = rest;
    }
    text
}

/// Of a text that is nothing but blobs, the last one.
fn last_blob(mut text: &str) -> Option<&str> {
    let mut last = None;
    while let Some(rest) = strip_blob(text) {
        last = Some(text);
        text = rest;
    }
    last
}

/// The inside of `[fwd: …]`.
fn strip_wrapper(text: &str) -> Option<&str> {
    let inside = text.strip_suffix(']')?;
    inside.get(..5).filter(|start| start.eq_ignore_ascii_case("[fwd:")).map(|_| &inside[5..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_base() {
        let cases = [
            ("hello", "hello", false),
            ("Re: hello", "hello", true),
            ("RE: Fwd : [list] re[2]: hello (fwd) (FWD)", "hello", true),
            ("[list] hello  there", "hello there", false),
            ("[a][b] [c]", "[c]", false),
            ("[a] Re: [b] hello", "hello", true),
            ("[fwd: Re: hello]", "hello", true),
            ("[fwd: [fwd: hello]]", "hello", true),
            ("Re:", "", true),
            ("", "", false),
            ("reply: x", "reply: x", false),
            ("re [x hello", "re [x hello", false),
            ("é", "é", false),
            ("a\u{a0}\u{3000}b\u{a0}", "a\u{a0}\u{3000}b\u{a0}", false),
            ("\u{a0}re: x", "\u{a0}re: x", false),
            ("\tRe:\r\n\tx  y\t", "x y", true),
            ("Re: [a] [b] Re [c] : [d][e] x", "x", true),
            ("[fwd: a] [b]", "[b]", false),
            ("Re [a] [b]: x", "Re [a] [b]: x", false),
            ("(fwd) x", "(fwd) x", false),
            ("x(fwd)", "x", true),
            ("[fwd: [list] x (fwd)]", "x", true),
            ("[fwd: Re: x] y", "y", false),
            ("fwd fwd: x", "fwd fwd: x", false),
            ("re: (fwd)", "", true),
            ("[]", "[]", false),
        ];
        for (subject, base_subject, is_reply) in cases {
            let found = base(subject);
            assert_eq!((found.text.as_ref(), found.is_reply), (base_subject, is_reply), "{subject}");
        }
    }

    #[test]
    fn ends_on_repetition() {
        for text in ["[a]", "[", "re:", "(fwd)", "[fwd:", "[fwd:]", "re["] {
            base(&text.repeat(5000));
        }
    }
}
