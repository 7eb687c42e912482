//! ANNOTATE-EXPERIMENT-1 (RFC 5257): annotations of messages, in FETCH, STORE, APPEND, SEARCH and SORT.
//!
//! Names of entries and attributes are compared octet by octet. An entry that begins with a digit is one of a body part, whose number must be one that FETCH would take; that the message has such
//! a part is for the handler to see. `/flags` is reserved, and is not taken (section 3.5).

use std::fmt;

use crate::imap::limits::{
    ANNOTATION_FETCH_MAX, ANNOTATION_NAME_MAX, ANNOTATION_VALUE_MAX, ANNOTATION_VALUES_MAX,
};
use crate::imap::syntax::cursor::{Cursor, Fault};
use crate::imap::syntax::string;

/// The name of an entry, without wildcards.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryName(String);

/// Names of entries: `*` is any text of one octet or more, `%` any such text without `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryPattern(String);

/// What of an entry is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attribute {
    /// `value`
    Value,
    /// `size`: its octets.
    Size,
}

/// Who sees a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// `.priv`: who has set it.
    Private,
    /// `.shared`: all who may read the mailbox.
    Shared,
}

/// An attribute, of one scope or of both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttributeSpecifier {
    /// Which.
    pub attribute: Attribute,
    /// Of which scope; `None` for both.
    pub scope: Option<Scope>,
}

/// ANNOTATION of FETCH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchAnnotation {
    /// Which entries; at least one.
    pub entries: Vec<EntryPattern>,
    /// What of each; at least one.
    pub attributes: Vec<AttributeSpecifier>,
}

/// A value that STORE or APPEND sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnnotationValue {
    /// Of which entry.
    pub entry: EntryName,
    /// For whom.
    pub scope: Scope,
    /// `None`: it goes.
    pub value: Option<Vec<u8>>,
}

impl AnnotationValue {
    /// Whether it is longer than a value may be.
    pub fn is_too_big(&self) -> bool {
        self.value.as_ref().is_some_and(|value| value.len() > ANNOTATION_VALUE_MAX)
    }
}

/// ANNOTATION of SEARCH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchAnnotation {
    /// Which entries.
    pub entry: EntryPattern,
    /// Whose values; `None` for both scopes.
    pub scope: Option<Scope>,
    /// What a value must contain, in the charset of the command; `None` (NIL) is in no value.
    pub text: Option<Vec<u8>>,
}

/// ANNOTATION of SORT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SortAnnotation {
    /// The entry.
    pub entry: EntryName,
    /// Whose value.
    pub scope: Scope,
}

const NO_NAME: Fault = Fault::syntax("Not the name of an annotation");

/// What names and patterns have in common; `wildcards`: whether `*` and `%` may be in it.
fn checked(octets: &[u8], wildcards: bool) -> Result<String, Fault> {
    if octets.len() > ANNOTATION_NAME_MAX {
        return Err(Fault::limit("The name of an annotation is too long"));
    }
    let allowed = |octet: &u8| matches!(octet, b' '..=b'~') && (wildcards || !matches!(octet, b'*' | b'%'));
    let name = std::str::from_utf8(octets).map_err(|_| NO_NAME)?;
    let begins = name.starts_with('/') || wildcards && name.starts_with(['*', '%']);
    if !begins || !octets.iter().all(allowed) || name.ends_with('/') || name.contains("//") {
        return Err(NO_NAME);
    }
    Ok(name.to_owned())
}

/// The numbers of a part: `1.2`.
fn part_numbers(text: &str) -> Option<Vec<u32>> {
    let number = |digits: &str| {
        let is_number = digits.bytes().all(|octet| octet.is_ascii_digit()) && !digits.starts_with('0');
        digits.parse().ok().filter(|_| is_number)
    };
    text.split('.').map(number).collect()
}

impl EntryName {
    /// The name for these octets.
    ///
    /// Errors: it is none, one of no attributes (`/1`), a reserved one, or too long.
    pub fn new(octets: &[u8]) -> Result<EntryName, Fault> {
        let name = EntryName(checked(octets, false)?);
        if name.0 == "/flags" || name.0.starts_with("/flags/") {
            return Err(Fault::syntax("/flags is reserved (RFC 5257)"));
        }
        match name.0[1..].split_once('/') {
            _ if !name.0[1..].starts_with(|first: char| first.is_ascii_digit()) => Ok(name),
            Some((part, _)) if part_numbers(part).is_some() => Ok(name),
            _ => Err(Fault::syntax("Not the number of a part before an annotation")),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The numbers of the part that it is about, outermost first; `None` for the whole message.
    pub fn part(&self) -> Option<Vec<u32>> {
        part_numbers(self.0[1..].split_once('/')?.0)
    }

    /// Whether it is one of the flags of a part, which are 1 or 0 (section 3.2.1).
    fn is_flag(&self) -> bool {
        let flags = ["/flags/seen", "/flags/answered", "/flags/flagged", "/flags/forwarded"];
        self.part().is_some()
            && flags.iter().any(|flag| {
                // What is before it is the number of the part, and nothing else.
                self.0.strip_suffix(flag).is_some_and(|part| !part[1..].contains('/'))
            })
    }

    fn parse(cursor: &mut Cursor<'_>) -> Result<EntryName, Fault> {
        EntryName::new(&string::parse_astring(cursor)?)
    }
}

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl EntryPattern {
    /// The pattern for these octets.
    ///
    /// Errors: no name can be what it describes, or it is too long.
    pub fn new(octets: &[u8]) -> Result<EntryPattern, Fault> {
        checked(octets, true).map(EntryPattern)
    }

    /// The pattern.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The one name that it describes, if it has no wildcards.
    pub fn as_name(&self) -> Option<&str> {
        (!self.0.contains(['*', '%'])).then_some(&*self.0)
    }

    /// Whether it describes this name. In time at most the pattern's length times the name's.
    pub fn matches(&self, name: &str) -> bool {
        let pattern = self.0.as_bytes();
        // Offsets in the pattern from which the rest of the name may be matched, ascending.
        let (mut places, mut next) = (vec![0], Vec::new());
        for &octet in name.as_bytes() {
            let mut add = |place: usize| {
                if next.last() != Some(&place) {
                    next.push(place);
                }
            };
            for &place in &places {
                match pattern.get(place) {
                    Some(b'%') if octet == b'/' => {}
                    Some(b'*' | b'%') => {
                        add(place);
                        add(place + 1);
                    }
                    Some(&other) if other == octet => add(place + 1),
                    _ => {}
                }
            }
            std::mem::swap(&mut places, &mut next);
            next.clear();
        }
        places.contains(&pattern.len())
    }

    fn parse(cursor: &mut Cursor<'_>) -> Result<EntryPattern, Fault> {
        EntryPattern::new(&string::parse_list_mailbox(cursor)?)
    }
}

impl Attribute {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Attribute::Value => "value",
            Attribute::Size => "size",
        }
    }
}

impl Scope {
    /// Both.
    pub const EVERY: [Scope; 2] = [Scope::Private, Scope::Shared];

    /// What names of attributes end with.
    pub fn suffix(self) -> &'static str {
        match self {
            Scope::Private => ".priv",
            Scope::Shared => ".shared",
        }
    }
}

impl AttributeSpecifier {
    fn parse(cursor: &mut Cursor<'_>) -> Result<AttributeSpecifier, Fault> {
        let name = string::parse_astring(cursor)?;
        for attribute in [Attribute::Value, Attribute::Size] {
            let Some(suffix) = name.strip_prefix(attribute.name().as_bytes()) else { continue };
            let scope = Scope::EVERY.into_iter().find(|scope| suffix == scope.suffix().as_bytes());
            if suffix.is_empty() || scope.is_some() {
                return Ok(AttributeSpecifier { attribute, scope });
            }
        }
        Err(Fault::syntax("Unknown attribute of an annotation"))
    }

    /// `value`, or with a scope.
    fn parse_value(cursor: &mut Cursor<'_>) -> Result<Option<Scope>, Fault> {
        match AttributeSpecifier::parse(cursor)? {
            AttributeSpecifier { attribute: Attribute::Value, scope } => Ok(scope),
            _ => Err(Fault::syntax("Only values can be set, searched and sorted by")),
        }
    }

    /// `value.priv` or `value.shared`.
    fn parse_scoped_value(cursor: &mut Cursor<'_>) -> Result<Scope, Fault> {
        let scope = AttributeSpecifier::parse_value(cursor)?;
        scope.ok_or(Fault::syntax("Expected value.priv or value.shared"))
    }
}

/// Takes one thing, or some in parentheses.
fn one_or_some<T: PartialEq>(
    cursor: &mut Cursor<'_>,
    parse: impl Fn(&mut Cursor<'_>) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    let mut some = Vec::new();
    if cursor.peek() != Some(b'(') {
        some.push(parse(cursor)?);
        return Ok(some);
    }
    cursor.list(|cursor| {
        let one = parse(cursor)?;
        if some.len() == ANNOTATION_FETCH_MAX {
            return Err(Fault::limit("Too many annotations"));
        }
        if !some.contains(&one) {
            some.push(one);
        }
        Ok(())
    })?;
    if some.is_empty() { Err(Fault::syntax("Nothing in the parentheses")) } else { Ok(some) }
}

impl FetchAnnotation {
    /// Parses ` (entries attributes)`.
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<FetchAnnotation, Fault> {
        cursor.space()?;
        cursor.expect(b'(', "Expected ( behind ANNOTATION")?;
        cursor.skip_spaces();
        let entries = one_or_some(cursor, EntryPattern::parse)?;
        cursor.space()?;
        let attributes = one_or_some(cursor, AttributeSpecifier::parse)?;
        cursor.skip_spaces();
        cursor.expect(b')', "Expected ) behind ANNOTATION")?;
        Ok(FetchAnnotation { entries, attributes })
    }

    /// What is told of an entry, in the order of the reply.
    pub fn told(&self) -> impl Iterator<Item = (Attribute, Scope)> {
        self.attributes.iter().flat_map(|specifier| {
            let scopes = Scope::EVERY.into_iter();
            let wanted = scopes.filter(|scope| specifier.scope.is_none_or(|wanted| wanted == *scope));
            wanted.map(|scope| (specifier.attribute, scope))
        })
    }
}

impl AnnotationValue {
    /// Parses ` (entry (attribute value …) …)` behind ANNOTATION: at least one value, none twice.
    pub(crate) fn parse_all(cursor: &mut Cursor<'_>) -> Result<Vec<AnnotationValue>, Fault> {
        cursor.space()?;
        let mut values: Vec<AnnotationValue> = Vec::new();
        cursor.list(|cursor| {
            let entry = EntryName::parse(cursor)?;
            cursor.space()?;
            let before = values.len();
            cursor.list(|cursor| {
                let scope = AttributeSpecifier::parse_scoped_value(cursor)?;
                cursor.space()?;
                let value = string::parse_nstring8(cursor)?.map(|value| value.into_owned());
                if entry.is_flag() && !matches!(value.as_deref(), None | Some(b"0" | b"1")) {
                    return Err(Fault::syntax("A flag of a part is \"1\", \"0\" or NIL"));
                }
                if values.len() == ANNOTATION_VALUES_MAX {
                    return Err(Fault::limit("Too many annotations"));
                }
                if values.iter().any(|known| known.entry == entry && known.scope == scope) {
                    return Err(Fault::syntax("An annotation is set twice"));
                }
                values.push(AnnotationValue { entry: entry.clone(), scope, value });
                Ok(())
            })?;
            if values.len() == before { Err(Fault::syntax("An entry without attributes")) } else { Ok(()) }
        })?;
        if values.is_empty() { Err(Fault::syntax("ANNOTATION needs an entry")) } else { Ok(values) }
    }
}

impl SearchAnnotation {
    /// Parses ` entry attribute value`.
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<SearchAnnotation, Fault> {
        cursor.space()?;
        let entry = EntryPattern::parse(cursor)?;
        cursor.space()?;
        let scope = AttributeSpecifier::parse_value(cursor)?;
        cursor.space()?;
        let text = string::parse_nstring8(cursor)?.map(|text| text.into_owned());
        Ok(SearchAnnotation { entry, scope, text })
    }
}

impl SortAnnotation {
    /// Parses ` entry attribute`.
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<SortAnnotation, Fault> {
        cursor.space()?;
        let entry = EntryName::parse(cursor)?;
        cursor.space()?;
        let scope = AttributeSpecifier::parse_scoped_value(cursor)?;
        Ok(SortAnnotation { entry, scope })
    }
}

#[cfg(test)]
mod tests;
