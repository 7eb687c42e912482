//! Message-IDs (RFC 5322 3.6.4) in the form in which THREAD compares them (RFC 5256 3): without brackets and quotes, as hashes.
//!
//! A valid one is `<left@right>`. A hash is XXH3 of 64 bits, and 1 where that is 0: two of ten million ids are the same by accident
//! once in 400,000 mailboxes.

use std::borrow::Cow;

use xxhash_rust::xxh3::xxh3_64;

use crate::header::{Known, KnownFields};
use crate::limits::REFERENCES_MAX;

/// The id of a Message-ID field; 0: it has none that is valid.
pub(crate) fn of_field(raw: &[u8]) -> u64 {
    bracketed(raw).next().unwrap_or(0)
}

/// The hash of an id without its brackets; `None`: it is not valid.
pub(crate) fn hash(id: &[u8]) -> Option<u64> {
    let at = memchr::memchr(b'@', id)?;
    if id[..at].trim_ascii().is_empty() || id[at + 1..].trim_ascii().is_empty() {
        return None;
    }
    let is_dropped = |octet: u8| matches!(octet, 0..=b' ' | b'"' | b'\\' | 127);
    let normal = if id.iter().any(|&octet| is_dropped(octet)) {
        Cow::Owned(id.iter().copied().filter(|&octet| !is_dropped(octet)).collect())
    } else {
        Cow::Borrowed(id)
    };
    Some(xxh3_64(&normal).max(1))
}

/// The ids of References or, if it has none, the first of In-Reply-To.
pub(crate) fn references(fields: &KnownFields<'_>) -> Vec<u64> {
    let mut ids = Vec::new();
    for id in fields.all(Known::References).flat_map(bracketed) {
        if ids.len() == 2 * REFERENCES_MAX {
            drop_middle(&mut ids);
        }
        ids.push(id);
    }
    if ids.len() > REFERENCES_MAX {
        drop_middle(&mut ids);
    }
    if ids.is_empty() {
        ids.extend(fields.all(Known::InReplyTo).flat_map(bracketed).next());
    }
    ids
}

/// Leaves the first id and the last ones: the root of the thread and the nearest ancestors.
fn drop_middle(ids: &mut Vec<u64>) {
    ids.drain(1..ids.len() - (REFERENCES_MAX - 1));
}

/// Every valid id in angle brackets.
fn bracketed(raw: &[u8]) -> impl Iterator<Item = u64> {
    let mut rest = raw;
    std::iter::from_fn(move || {
        loop {
            rest = &rest[memchr::memchr(b'<', rest)? + 1..];
            let end = memchr::memchr2(b'<', b'>', rest)?;
            let (id, behind) = rest.split_at(end);
            rest = behind;
            if behind[0] == b'>'
                && let Some(hash) = hash(id)
            {
                return Some(hash);
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> u64 {
        xxh3_64(text.as_bytes())
    }

    #[test]
    fn reads_ids() {
        assert_eq!(of_field(b" <a@x>\r\n"), id("a@x"));
        assert_eq!(of_field(b" <\"a\"@x>"), id("a@x"));
        assert_eq!(of_field(b" (c) <a@\r\n x>"), id("a@x"));
        assert_ne!(of_field(b"<A@x>"), id("a@x"));
        for invalid in ["", " ", "bare@x", "<none>", "<@x>", "<a@>", "<>", "<a@x", "a@x>"] {
            assert_eq!(of_field(invalid.as_bytes()), 0, "{invalid}");
        }
    }

    #[test]
    fn prefers_references() {
        let read = |header: &[u8]| references(&KnownFields::read(header));
        let found = read(b"References: <a@x> (c)\r\n <b@x><\nIn-Reply-To: <c@x>\n");
        assert_eq!(found, [id("a@x"), id("b@x")]);
        let found = read(b"References: <none>\nIn-Reply-To: Your mail of <Monday> <c@x> <d@x>\n");
        assert_eq!(found, [id("c@x")]);
        assert!(read(b"Subject: <a@x>\n").is_empty());
    }

    #[test]
    fn keeps_first_and_last_of_many() {
        let mut header = b"References:".to_vec();
        (0..9000).for_each(|number| header.extend_from_slice(format!("\n <{number}@x>").as_bytes()));
        let ids = references(&KnownFields::read(&header));
        assert_eq!(ids.len(), REFERENCES_MAX);
        assert_eq!((ids[0], ids[1]), (id("0@x"), id("8745@x")));
        assert_eq!(ids.last(), Some(&id("8999@x")));
    }
}
