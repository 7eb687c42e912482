//! ANNOTATION in FETCH replies (RFC 5257, 4.3 and 4.4).

use protocol::imap::command::fetch::FetchItem;
use protocol::imap::extension::annotate::{FetchAnnotation, Scope};
use protocol::imap::reply::annotate::Annotations as Reply;
use store::annotations::Annotation;
use store::{Mailbox, StoreError, Uid, UserId};

/// What somebody sees of a message's annotations.
pub(in crate::imap) struct Annotations(Vec<Annotation>);

impl Annotations {
    /// Those of a message, if one of `items` asks for some.
    ///
    /// # Errors
    /// They cannot be read.
    pub(in crate::imap) fn if_asked(
        items: &[FetchItem],
        mailbox: &Mailbox,
        uid: Uid,
        reader: UserId,
    ) -> Result<Option<Annotations>, StoreError> {
        if !items.iter().any(|item| matches!(item, FetchItem::Annotation(_))) {
            return Ok(None);
        }
        Ok(Some(Annotations(mailbox.annotations_for(uid, reader)?)))
    }

    /// Whether there is anything to tell: the grammar has no reply without an entry.
    pub(in crate::imap) fn has_any(&self, asked: &FetchAnnotation) -> bool {
        !self.entries(asked).is_empty()
    }

    /// Appends `ANNOTATION (…)`.
    pub(in crate::imap) fn write(&self, asked: &FetchAnnotation, out: &mut Vec<u8>) {
        let mut reply = Reply::begin(out);
        for entry in self.entries(asked) {
            reply.entry(entry, asked.told(), |scope| self.value(entry, scope));
        }
        reply.end();
    }

    /// Names that were asked for: those without wildcards whether they are there or not, in the order of the command.
    fn entries<'a>(&'a self, asked: &'a FetchAnnotation) -> Vec<&'a str> {
        let is_asked = |annotation: &Annotation| asked.told().any(|(_, scope)| scope == scope_of(annotation));
        let mut there: Vec<&str> = self
            .0
            .iter()
            .filter(|annotation| is_asked(annotation))
            .map(|found| found.entry.as_str())
            .collect();
        there.sort_unstable();
        let mut entries: Vec<&str> = Vec::new();
        for pattern in &asked.entries {
            match pattern.as_name() {
                Some(name) => entries.push(name),
                None => entries.extend(there.iter().filter(|name| pattern.matches(name))),
            }
        }
        let mut told = std::collections::HashSet::new();
        entries.retain(|name| told.insert(*name));
        entries
    }

    fn value(&self, entry: &str, scope: Scope) -> Option<&[u8]> {
        let found = self.0.iter().find(|found| found.entry == entry && scope_of(found) == scope);
        found.map(|annotation| annotation.value.as_slice())
    }
}

fn scope_of(annotation: &Annotation) -> Scope {
    if annotation.reader.is_some() { Scope::Private } else { Scope::Shared }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::imap::extension::annotate::{Attribute, AttributeSpecifier, EntryPattern};
    use store::ModSeq;

    fn annotation(reader: Option<u32>, entry: &str, value: &str) -> Annotation {
        let value = value.as_bytes().to_vec();
        Annotation { reader: reader.map(UserId), entry: entry.to_owned(), modseq: ModSeq(1), value }
    }

    fn asked(entries: &[&str], attribute: Attribute, scope: Option<Scope>) -> FetchAnnotation {
        let entries = entries.iter().map(|entry| EntryPattern::new(entry.as_bytes()).expect("a pattern"));
        let attributes = vec![AttributeSpecifier { attribute, scope }];
        FetchAnnotation { entries: entries.collect(), attributes }
    }

    #[test]
    fn names_are_told_always_and_what_wildcards_find_if_it_is_there() {
        let annotations = Annotations(vec![
            annotation(None, "/b", "for all"),
            annotation(None, "/1/comment", "part"),
            annotation(Some(7), "/a", "mine"),
            annotation(Some(7), "/b", "mine, too"),
        ]);
        let told = |entries: &[&str], attribute, scope| {
            let asked = asked(entries, attribute, scope);
            let mut out = Vec::new();
            annotations.write(&asked, &mut out);
            assert_eq!(annotations.has_any(&asked), out != b"ANNOTATION ()");
            String::from_utf8(out).expect("text")
        };
        use Attribute::{Size, Value};
        assert_eq!(
            told(&["/z", "/%", "/a"], Value, None),
            "ANNOTATION (/z (value.priv NIL value.shared NIL) /a (value.priv \"mine\" value.shared NIL) \
             /b (value.priv \"mine, too\" value.shared \"for all\"))"
        );
        let shared = told(&["*"], Size, Some(Scope::Shared));
        assert_eq!(shared, "ANNOTATION (/1/comment (size.shared \"4\") /b (size.shared \"7\"))");
        assert_eq!(told(&["/x*"], Value, None), "ANNOTATION ()");
    }
}
