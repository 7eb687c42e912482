//! ANNOTATION (RFC 5257) of FETCH, STORE, APPEND, SEARCH and SORT.

use super::Draw;
use crate::imap::extension::annotate::{
    AnnotationValue, Attribute, AttributeSpecifier, EntryName, EntryPattern, FetchAnnotation, Scope,
    SearchAnnotation, SortAnnotation,
};

impl Draw {
    pub(super) fn fetch_annotation(&mut self) -> FetchAnnotation {
        let mut annotation = FetchAnnotation { entries: Vec::new(), attributes: Vec::new() };
        for entry in self.some(1, 4, Draw::entry_pattern) {
            if !annotation.entries.contains(&entry) {
                annotation.entries.push(entry);
            }
        }
        for attribute in self.some(1, 4, Draw::attribute) {
            if !annotation.attributes.contains(&attribute) {
                annotation.attributes.push(attribute);
            }
        }
        annotation
    }

    pub(super) fn annotations(&mut self) -> Vec<AnnotationValue> {
        let mut values: Vec<AnnotationValue> = Vec::new();
        for (entry, scope) in self.some(1, 4, |draw| (draw.entry(), draw.scope())) {
            let is_flag = entry.as_str().contains("/flags/");
            let value = if is_flag {
                self.maybe(2, |draw| draw.one(&[b"0", b"1"]).to_vec())
            } else {
                self.annotation()
            };
            if values.iter().all(|known| known.entry != entry || known.scope != scope) {
                values.push(AnnotationValue { entry, scope, value });
            }
        }
        values
    }

    pub(super) fn search_annotation(&mut self) -> SearchAnnotation {
        let (entry, text) = (self.entry_pattern(), self.annotation());
        SearchAnnotation { entry, scope: self.maybe(2, Draw::scope), text }
    }

    pub(super) fn sort_annotation(&mut self) -> SortAnnotation {
        SortAnnotation { entry: self.entry(), scope: self.scope() }
    }

    /// Octets, some of them with NUL, or none.
    fn annotation(&mut self) -> Option<Vec<u8>> {
        let mut octets = self.text();
        if self.chance(3) {
            octets.extend_from_slice(b"\0x");
        }
        self.maybe(2, |_| octets)
    }

    fn scope(&mut self) -> Scope {
        self.one(&Scope::EVERY)
    }

    fn attribute(&mut self) -> AttributeSpecifier {
        let attribute = self.one(&[Attribute::Value, Attribute::Size]);
        AttributeSpecifier { attribute, scope: self.maybe(2, Draw::scope) }
    }

    fn entry(&mut self) -> EntryName {
        let name =
            self.one(&["/comment", "/altsubject", "/1.2/comment", "/2/flags/seen", "/vendor/a b", "/\"\\)"]);
        EntryName::new(name.as_bytes()).expect("a name")
    }

    fn entry_pattern(&mut self) -> EntryPattern {
        let pattern = self.one(&["*", "/%", "/comment", "/1/*", "%/x y", "/1", "/flags/%"]);
        EntryPattern::new(pattern.as_bytes()).expect("a pattern")
    }
}
