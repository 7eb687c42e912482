//! ANNOTATION in FETCH replies (RFC 5257 section 4.4): entries with what was asked of them, or the names of those that changed.

use super::text;
use crate::imap::extension::annotate::{Attribute, Scope};
use crate::imap::syntax::string;

/// Appends `ANNOTATION (entry (attribute value …) …)`, entry by entry.
pub struct Annotations<'a> {
    out: &'a mut Vec<u8>,
    is_first: bool,
}

impl<'a> Annotations<'a> {
    /// Appends `ANNOTATION (`.
    pub fn begin(out: &'a mut Vec<u8>) -> Annotations<'a> {
        out.extend_from_slice(b"ANNOTATION (");
        Annotations { out, is_first: true }
    }

    /// Appends an entry with its attributes, of which there is one at least. `value` says what is there for whom.
    pub fn entry<'v>(
        &mut self,
        name: &str,
        attributes: impl IntoIterator<Item = (Attribute, Scope)>,
        value: impl Fn(Scope) -> Option<&'v [u8]>,
    ) {
        self.name(name);
        self.out.extend_from_slice(b" (");
        for (place, (attribute, scope)) in attributes.into_iter().enumerate() {
            if place > 0 {
                self.out.push(b' ');
            }
            self.out.extend_from_slice(attribute.name().as_bytes());
            self.out.extend_from_slice(scope.suffix().as_bytes());
            self.out.push(b' ');
            match attribute {
                Attribute::Value => string::write_nstring8(self.out, value(scope)),
                Attribute::Size => {
                    self.out.push(b'"');
                    text::number(self.out, value(scope).map_or(0, <[u8]>::len) as u64);
                    self.out.push(b'"');
                }
            }
        }
        self.out.push(b')');
    }

    /// Appends the name of an entry alone.
    pub fn name(&mut self, name: &str) {
        if !std::mem::replace(&mut self.is_first, false) {
            self.out.push(b' ');
        }
        string::write_astring(self.out, name.as_bytes());
    }

    /// Appends `)`.
    pub fn end(self) {
        self.out.push(b')');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_have_what_was_asked_of_them() {
        let mut out = Vec::new();
        let mut annotations = Annotations::begin(&mut out);
        let both = [Attribute::Value, Attribute::Size].map(|attribute| (attribute, Scope::Private));
        annotations.entry("/comment", both, |_| Some(b"My comment"));
        let shared = [(Attribute::Size, Scope::Shared), (Attribute::Value, Scope::Shared)];
        annotations.entry("/a b", shared, |scope| (scope == Scope::Private).then_some(b"x"));
        annotations.entry("/x", [(Attribute::Value, Scope::Shared)], |_| Some(b"a\0"));
        annotations.end();
        let want = "ANNOTATION (/comment (value.priv \"My comment\" size.priv \"10\") \
                    \"/a b\" (size.shared \"0\" value.shared NIL) /x (value.shared ~{2}\r\na\0))";
        assert_eq!(String::from_utf8_lossy(&out), want);
    }

    #[test]
    fn names_stand_alone() {
        let mut out = Vec::new();
        let mut annotations = Annotations::begin(&mut out);
        ["/comment", "/1.2/comment"].iter().for_each(|name| annotations.name(name));
        annotations.end();
        assert_eq!(out, b"ANNOTATION (/comment /1.2/comment)");
        out.clear();
        Annotations::begin(&mut out).end();
        assert_eq!(out, b"ANNOTATION ()");
    }
}
