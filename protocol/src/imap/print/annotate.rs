//! Prints ANNOTATION (RFC 5257) of FETCH, STORE, APPEND, SEARCH and SORT.

use super::Printer;
use crate::imap::extension::annotate::{
    AnnotationValue, AttributeSpecifier, FetchAnnotation, Scope, SearchAnnotation, SortAnnotation,
};
use crate::imap::syntax::string;

impl Printer<'_> {
    pub(super) fn fetch_annotation(&mut self, annotation: &FetchAnnotation) {
        self.word("ANNOTATION");
        self.list(|printer| {
            printer.list(|printer| {
                annotation.entries.iter().for_each(|entry| printer.string(entry.as_str().as_bytes()));
            });
            printer.list(|printer| {
                annotation.attributes.iter().for_each(|specifier| printer.attribute(*specifier));
            });
        });
    }

    /// Values in their order, those of one entry that follow each other together.
    pub(super) fn annotations(&mut self, values: &[AnnotationValue]) {
        self.word("ANNOTATION");
        self.list(|printer| {
            for of_entry in values.chunk_by(|one, other| one.entry == other.entry) {
                printer.astring(of_entry[0].entry.as_str().as_bytes());
                printer.list(|printer| {
                    for AnnotationValue { scope, value, .. } in of_entry {
                        printer.value_of(Some(*scope));
                        printer.value8(value.as_deref());
                    }
                });
            }
        });
    }

    pub(super) fn search_annotation(&mut self, annotation: &SearchAnnotation) {
        self.word("ANNOTATION");
        self.string(annotation.entry.as_str().as_bytes());
        self.value_of(annotation.scope);
        self.value8(annotation.text.as_deref());
    }

    pub(super) fn sort_annotation(&mut self, annotation: &SortAnnotation) {
        self.word("ANNOTATION");
        self.astring(annotation.entry.as_str().as_bytes());
        self.value_of(Some(annotation.scope));
    }

    fn attribute(&mut self, specifier: AttributeSpecifier) {
        self.word(&format!("{}{}", specifier.attribute.name(), specifier.scope.map_or("", Scope::suffix)));
    }

    fn value_of(&mut self, scope: Option<Scope>) {
        self.word(&format!("value{}", scope.map_or("", Scope::suffix)));
    }

    /// NIL, a string, or a literal8 if there is a NUL in it.
    pub(super) fn value8(&mut self, value: Option<&[u8]>) {
        string::write_nstring8(self.begin(), value);
    }
}
