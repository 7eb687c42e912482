//! Message-IDs (RFC 5322 3.6.4) in the form in which THREAD compares them (RFC 5256 3): without brackets and quotes.

use crate::header::{Known, KnownFields};
use crate::limits::REFERENCES_MAX;
use crate::wire;

/// The id of a Message-ID field. One without brackets is taken whole.
pub(crate) fn of_field(raw: &[u8]) -> Option<String> {
    bracketed(raw).next().map(normal).or_else(|| {
        let value = wire::unfold(raw);
        (!value.is_empty()).then(|| normal(&value))
    })
}

/// The ids of References or, if it has none, the first of In-Reply-To.
pub(crate) fn references(fields: &KnownFields<'_>) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    for id in fields.all(Known::References).flat_map(bracketed) {
        if ids.len() == 2 * REFERENCES_MAX {
            drop_middle(&mut ids);
        }
        ids.push(normal(id));
    }
    if ids.len() > REFERENCES_MAX {
        drop_middle(&mut ids);
    }
    if ids.is_empty() {
        ids.extend(fields.all(Known::InReplyTo).flat_map(bracketed).next().map(normal));
    }
    ids
}

/// Leaves the first id and the last ones: the root of the thread and the nearest ancestors.
fn drop_middle(ids: &mut Vec<String>) {
    ids.drain(1..ids.len() - (REFERENCES_MAX - 1));
}

/// Everything in angle brackets.
fn bracketed(raw: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = raw;
    std::iter::from_fn(move || {
        loop {
            rest = &rest[memchr::memchr(b'<', rest)? + 1..];
            let end = memchr::memchr2(b'<', b'>', rest)?;
            let (id, behind) = rest.split_at(end);
            rest = behind;
            if behind[0] == b'>' && !id.trim_ascii().is_empty() {
                return Some(id);
            }
        }
    })
}

fn normal(id: &[u8]) -> String {
    let kept = |octet: &u8| !matches!(octet, 0..=b' ' | b'"' | b'\\' | 127);
    String::from_utf8_lossy(&id.iter().copied().filter(kept).collect::<Vec<u8>>()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_ids() {
        assert_eq!(of_field(b" <a@x>\r\n").as_deref(), Some("a@x"));
        assert_eq!(of_field(b" <\"a\"@x>").as_deref(), Some("a@x"));
        assert_eq!(of_field(b" bare@x ").as_deref(), Some("bare@x"));
        assert_eq!(of_field(b"  "), None);
    }

    #[test]
    fn prefers_references() {
        let read = |header: &[u8]| references(&KnownFields::read(header));
        assert_eq!(read(b"References: <a@x> (c)\r\n <b@x><\nIn-Reply-To: <c@x>\n"), ["a@x", "b@x"]);
        assert_eq!(read(b"References: none\nIn-Reply-To: Your mail <c@x> <d@x>\n"), ["c@x"]);
        assert!(read(b"Subject: <a@x>\n").is_empty());
    }

    #[test]
    fn keeps_first_and_last_of_many() {
        let mut header = b"References:".to_vec();
        (0..9000).for_each(|number| header.extend_from_slice(format!("\n <{number}@x>").as_bytes()));
        let ids = references(&KnownFields::read(&header));
        assert_eq!(ids.len(), REFERENCES_MAX);
        assert_eq!((ids[0].as_str(), ids[1].as_str()), ("0@x", "8745@x"));
        assert_eq!(ids.last().map(String::as_str), Some("8999@x"));
    }
}
