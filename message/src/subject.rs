//! The base subject (RFC 5256 2.1).

/// Octets of a subject that are looked at.
const SUBJECT_OCTETS_MAX: usize = 4096;

/// The base of a decoded subject, and whether what was taken off it marks a reply or a forwarded message.
pub(crate) fn base(subject: &str) -> (String, bool) {
    let mut end = subject.len().min(SUBJECT_OCTETS_MAX);
    while !subject.is_char_boundary(end) {
        end -= 1;
    }
    let text = subject[..end].split_whitespace().collect::<Vec<_>>().join(" ");
    let mut rest = text.as_str();
    let mut is_reply = false;
    loop {
        while let Some(stripped) = strip_trailer(rest) {
            is_reply |= stripped.len() + 1 < rest.len();
            rest = stripped;
        }
        loop {
            rest = rest.trim_start();
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
            None => return (rest.to_owned(), is_reply),
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
    let rest = text[word.len()..].trim_start();
    strip_blob(rest).unwrap_or(rest).strip_prefix(':')
}

/// Without a subj-blob, `[…]` and white space behind it.
fn strip_blob(text: &str) -> Option<&str> {
    let inside = text.strip_prefix('[')?;
    let end = inside.find(['[', ']'])?;
    inside[end..].strip_prefix(']').map(str::trim_start)
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
        ];
        for (subject, base_subject, is_reply) in cases {
            assert_eq!(base(subject), (base_subject.to_owned(), is_reply), "{subject}");
        }
    }

    #[test]
    fn ends_on_repetition() {
        for text in ["[a]", "[", "re:", "(fwd)", "[fwd:", "[fwd:]", "re["] {
            base(&text.repeat(5000));
        }
    }
}
