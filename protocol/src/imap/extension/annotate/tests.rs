//! What is read of annotations, and what is not.

use super::*;
use crate::imap::Limits;
use crate::imap::command::fetch::FetchItem;
use crate::imap::command::search::SearchKey;
use crate::imap::command::store::StoreChange;
use crate::imap::command::{Command, Tagged};
use crate::imap::extension::sort::SortKey;

fn parse(line: &str) -> Result<Command, Fault> {
    match Tagged::parse(format!("a {line}").as_bytes(), &Limits::LOGGED_IN) {
        Ok(Tagged { command, .. }) => Ok(command),
        Err((_, fault)) => Err(fault),
    }
}

fn fetch(what: &str) -> FetchAnnotation {
    match parse(&format!("FETCH 1 (UID ANNOTATION {what})")) {
        Ok(Command::Fetch(fetch)) => match &fetch.items[..] {
            [FetchItem::Uid, FetchItem::Annotation(annotation)] => (**annotation).clone(),
            other => panic!("{other:?}"),
        },
        other => panic!("{what}: {other:?}"),
    }
}

/// An entry, who sees the value, and the value.
type Set = (String, Scope, Option<Vec<u8>>);

fn store(what: &str) -> Result<Vec<Set>, Fault> {
    match parse(&format!("STORE 1 ANNOTATION {what}"))? {
        Command::Store(store) => match store.change {
            StoreChange::Annotations(values) => {
                let parts = |value: AnnotationValue| (value.entry.to_string(), value.scope, value.value);
                Ok(values.into_iter().map(parts).collect())
            }
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn octets(text: &str) -> Option<Vec<u8>> {
    Some(text.as_bytes().to_vec())
}

#[test]
fn what_is_asked_for_is_read() {
    let one = fetch("(/comment value)");
    assert_eq!(one.entries, [EntryPattern("/comment".to_owned())]);
    let told: Vec<_> = one.told().collect();
    assert_eq!(told, [(Attribute::Value, Scope::Private), (Attribute::Value, Scope::Shared)]);
    let some = fetch("((/% \"/1/*\" {2+}\r\n/x) (size.shared value size.shared))");
    let names: Vec<_> = some.entries.iter().map(EntryPattern::as_str).collect();
    assert_eq!(names, ["/%", "/1/*", "/x"]);
    let told: Vec<_> = some.told().collect();
    use Attribute::{Size, Value};
    use Scope::{Private, Shared};
    assert_eq!(told, [(Size, Shared), (Value, Private), (Value, Shared)]);
    for line in [
        "FETCH 1 ANNOTATION",
        "FETCH 1 ANNOTATION ()",
        "FETCH 1 ANNOTATION (/comment)",
        "FETCH 1 ANNOTATION (() value)",
        "FETCH 1 ANNOTATION (/comment ())",
        "FETCH 1 ANNOTATION (/comment VALUE)",
        "FETCH 1 ANNOTATION (/comment value.both)",
        "FETCH 1 ANNOTATION (/comment value.)",
        "FETCH 1 ANNOTATION (/comment content)",
        "FETCH 1 ANNOTATION (comment value)",
        "FETCH 1 ANNOTATION (/comment/ value)",
        "FETCH 1 ANNOTATION (/a//b value)",
        "FETCH 1 ANNOTATION (\"/\u{e9}\" value)",
        "FETCH 1 ANNOTATION (/comment value size)",
        "FETCH 1 ANNOTATION /comment value",
    ] {
        assert!(parse(line).is_err(), "{line}");
    }
}

#[test]
fn what_is_set_is_read() {
    assert_eq!(
        store("(/comment (value.priv \"a\" value.shared NIL) /1.2/comment (value.shared ~{3+}\r\nx\0y))"),
        Ok(vec![
            ("/comment".to_owned(), Scope::Private, octets("a")),
            ("/comment".to_owned(), Scope::Shared, None),
            ("/1.2/comment".to_owned(), Scope::Shared, octets("x\0y")),
        ])
    );
    assert_eq!(store("(/2/flags/seen (value.priv \"1\"))").map(|values| values.len()), Ok(1));
    for what in [
        "",
        "()",
        "(/comment)",
        "(/comment ())",
        "(/comment (value \"a\"))",
        "(/comment (size.priv \"1\"))",
        "(/comment (value.priv a))",
        "(/comment (value.priv \"a\" value.priv \"b\"))",
        "(/comment (value.priv \"a\") /comment (value.priv \"b\"))",
        "(/comment (value.priv {1+}\r\n\0))",
        "(/% (value.priv \"a\"))",
        "(\"/com*\" (value.priv \"a\"))",
        "(/flags (value.priv \"1\"))",
        "(/flags/seen (value.priv \"1\"))",
        "(/2/flags/seen (value.priv \"2\"))",
        "(/ (value.priv \"a\"))",
        "(/1 (value.priv \"a\"))",
        "(/0/comment (value.priv \"a\"))",
        "(/01/comment (value.priv \"a\"))",
        "(/1./comment (value.priv \"a\"))",
        "(/1a/comment (value.priv \"a\"))",
        "(/4294967296/comment (value.priv \"a\"))",
    ] {
        assert!(store(what).is_err(), "{what}");
    }
    for line in
        ["STORE 1 +ANNOTATION (/c (value.priv \"a\"))", "STORE 1 ANNOTATION.SILENT (/c (value.priv \"a\"))"]
    {
        assert!(parse(line).is_err(), "{line}");
    }
}

#[test]
fn keys_of_search_and_sort_are_read() {
    let key = |text: &str| match parse(&format!("SEARCH {text}")) {
        Ok(Command::Search(search)) => match search.key {
            SearchKey::Annotation(annotation) => Ok(*annotation),
            other => panic!("{other:?}"),
        },
        Ok(other) => panic!("{other:?}"),
        Err(fault) => Err(fault),
    };
    let entry = |name: &str| EntryPattern(name.to_owned());
    let want = SearchAnnotation { entry: entry("/comment"), scope: None, text: octets("IMAP4") };
    assert_eq!(key("ANNOTATION /comment value \"IMAP4\""), Ok(want));
    let want = SearchAnnotation { entry: entry("*"), scope: Some(Scope::Private), text: None };
    assert_eq!(key("ANNOTATION * value.priv NIL"), Ok(want));
    for text in ["", " *", " * value", " * size \"x\"", " * value x", " x value \"x\"", " * VALUE \"x\""] {
        assert!(parse(&format!("SEARCH ANNOTATION{text}")).is_err(), "{text}");
    }
    let sort = |text: &str| -> Result<_, Fault> {
        match parse(&format!("SORT ({text}) UTF-8 ALL"))? {
            Command::Sort(sort) => Ok(sort.criteria),
            other => panic!("{other:?}"),
        }
    };
    let criteria =
        sort("REVERSE ANNOTATION /a value.priv ANNOTATION /a value.shared ANNOTATION /a value.priv");
    let scopes: Vec<_> = criteria
        .expect("criteria")
        .into_iter()
        .map(|criterion| match criterion.key {
            SortKey::Annotation(annotation) => annotation.scope,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(scopes, [Scope::Private, Scope::Shared]);
    for text in [
        "ANNOTATION",
        "ANNOTATION /a",
        "ANNOTATION /a value",
        "ANNOTATION /a size.priv",
        "ANNOTATION /% value.priv",
    ] {
        assert!(sort(text).is_err(), "{text}");
    }
}

#[test]
fn wildcards_stand_for_something() {
    for (pattern, name, expected) in [
        ("/comment", "/comment", true),
        ("/comment", "/Comment", false),
        ("/%", "/comment", true),
        ("/%", "/1/comment", false),
        ("/*", "/1/comment", true),
        ("*", "/comment", true),
        ("%", "/comment", false),
        ("%/%", "/1/comment", false),
        ("/%/%", "/1/comment", true),
        // One octet at least (section 4.3).
        ("/comment*", "/comment", false),
        ("/comment*", "/comments", true),
        ("/%c*", "/abc/d", true),
        ("/%c*", "/c/d", false),
        ("*comment", "/comment", true),
        ("/**", "/a", false),
        ("/**", "/ab", true),
    ] {
        let pattern = EntryPattern::new(pattern.as_bytes()).expect("a pattern");
        assert_eq!(pattern.matches(name), expected, "{pattern:?} {name}");
    }
    let hard = EntryPattern::new("*a".repeat(127).as_bytes()).expect("a pattern");
    assert!(hard.matches(&"a".repeat(254)) && !hard.matches(&"a".repeat(253)));
}

#[test]
fn names_values_and_lists_have_limits() {
    let long = |octets: usize| EntryName::new(format!("/{}", "x".repeat(octets - 1)).as_bytes());
    assert!(long(ANNOTATION_NAME_MAX).is_ok());
    assert_eq!(long(ANNOTATION_NAME_MAX + 1), Err(Fault::limit("The name of an annotation is too long")));
    let entry = EntryName::new(b"/x").expect("a name");
    let big = |octets: usize| {
        let value = Some(vec![0; octets]);
        AnnotationValue { entry: entry.clone(), scope: Scope::Private, value }.is_too_big()
    };
    assert!(!big(ANNOTATION_VALUE_MAX) && big(ANNOTATION_VALUE_MAX + 1));
    let many = |count: usize, each: &str| {
        (0..count)
            .map(|number| format!("/{}{}{each}", char::from(b'a' + (number % 26) as u8), number))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let set = |count| store(&format!("({})", many(count, " (value.priv NIL)"))).is_ok();
    assert_eq!((set(ANNOTATION_VALUES_MAX), set(ANNOTATION_VALUES_MAX + 1)), (true, false));
    let asked = |count| parse(&format!("FETCH 1 ANNOTATION (({}) value)", many(count, ""))).is_ok();
    assert_eq!((asked(ANNOTATION_FETCH_MAX), asked(ANNOTATION_FETCH_MAX + 1)), (true, false));
}
