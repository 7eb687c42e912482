//! The patterns of the scripts under `wire/`: literal text, `...` for any octets, `{name}` for a variable, `{<name}` for it as a
//! literal or a quoted string, `{~name}` for that or a literal8.

use std::collections::BTreeMap;

/// What the names of a script stand for so far.
pub type Variables = BTreeMap<String, Vec<u8>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part<'a> {
    Text(&'a [u8]),
    Anything,
    Variable(&'a str),
    /// `{<name}`: the variable as a literal or a quoted string.
    Literal(&'a str),
    /// `{~name}`: the same, or as a literal8.
    Binary(&'a str),
}

/// Matches a whole line. Names that are bound must be equal; others are bound to the token that stands there (no space, no
/// bracket, no parenthesis) if all of it matches. Letters match in either case.
pub fn matches(pattern: &str, line: &[u8], variables: &mut Variables) -> bool {
    let parts = split(pattern);
    let mut bound = variables.clone();
    let found = step(&parts, line, &mut bound);
    if found {
        *variables = bound;
    }
    found
}

/// Puts variables into text that is sent. Unknown names stay as they are.
pub fn fill(text: &str, variables: &Variables) -> Vec<u8> {
    let mut filled = Vec::new();
    for part in split_sent(text) {
        match part {
            Part::Variable(name) => match variables.get(name) {
                Some(value) => filled.extend_from_slice(value),
                None => filled.extend_from_slice(format!("{{{name}}}").as_bytes()),
            },
            Part::Text(text) => filled.extend_from_slice(text),
            _ => {}
        }
    }
    filled
}

fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(|octet| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-')
}

fn split_sent(text: &str) -> Vec<Part<'_>> {
    pieces(text, false)
}

fn split(pattern: &str) -> Vec<Part<'_>> {
    pieces(pattern, true)
}

fn pieces(text: &str, wildcards: bool) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let (mut rest, mut begin) = (text, 0);
    while begin < rest.len() {
        let here = &rest[begin..];
        let (part, length) = if wildcards && here.starts_with("...") {
            (Some(Part::Anything), 3)
        } else if let Some(end) = here.strip_prefix('{').and_then(|inner| inner.find('}')) {
            let name = &here[1..1 + end];
            match (name.get(..1), name.get(1..)) {
                (Some("<"), Some(name)) if is_name(name) => (Some(Part::Literal(name)), end + 2),
                (Some("~"), Some(name)) if is_name(name) => (Some(Part::Binary(name)), end + 2),
                _ if is_name(name) => (Some(Part::Variable(name)), end + 2),
                _ => (None, 1),
            }
        } else {
            (None, here.chars().next().map_or(1, char::len_utf8))
        };
        let Some(part) = part else {
            begin += length;
            continue;
        };
        if begin > 0 {
            parts.push(Part::Text(&rest.as_bytes()[..begin]));
        }
        parts.push(part);
        rest = &rest[begin + length..];
        begin = 0;
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.as_bytes()));
    }
    parts
}

fn step(parts: &[Part<'_>], line: &[u8], variables: &mut Variables) -> bool {
    let Some((part, rest)) = parts.split_first() else { return line.is_empty() };
    let prefixed = |text: &[u8]| line.len() >= text.len() && line[..text.len()].eq_ignore_ascii_case(text);
    match part {
        Part::Text(text) => prefixed(text) && step(rest, &line[text.len()..], variables),
        Part::Anything => (0..=line.len()).any(|from| step(rest, &line[from..], variables)),
        Part::Binary(name) => {
            let literal = line.strip_prefix(b"~").filter(|rest| rest.starts_with(b"{")).unwrap_or(line);
            let literally = [&[Part::Literal(name)], rest].concat();
            step(&literally, literal, variables)
        }
        Part::Literal(name) => {
            let value = variables.get(*name).cloned().unwrap_or_default();
            let mut wire = format!("{{{}}}\r\n", value.len()).into_bytes();
            wire.extend_from_slice(&value);
            let quoted = [b"\"", value.as_slice(), b"\""].concat();
            let form = [wire, quoted].into_iter().find(|form| line.starts_with(form));
            form.is_some_and(|form| step(rest, &line[form.len()..], variables))
        }
        Part::Variable(name) => match variables.get(*name).cloned() {
            Some(value) => prefixed(&value) && step(rest, &line[value.len()..], variables),
            None => {
                let end = line.iter().position(|octet| b" ()[]\r\n".contains(octet)).unwrap_or(line.len());
                if end == 0 {
                    return false;
                }
                variables.insert((*name).to_string(), line[..end].to_vec());
                let found = step(rest, &line[end..], variables);
                if !found {
                    variables.remove(*name);
                }
                found
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binds_and_compares() {
        let mut variables = Variables::new();
        assert!(matches("* OK [UIDNEXT {next}] ...", b"* OK [UIDNEXT 17] Predicted", &mut variables));
        assert_eq!(variables["next"], b"17");
        assert!(matches("* {next} EXISTS", b"* 17 EXISTS", &mut variables));
        assert!(!matches("* {next} EXISTS", b"* 18 EXISTS", &mut variables));
        assert!(matches("...(\\Seen...", b"* FLAGS (\\seen \\Draft)", &mut variables));
    }

    #[test]
    fn literals_and_sending() {
        let mut variables = Variables::from([("mail".to_string(), b"ab".to_vec())]);
        assert!(matches("BODY[] {<mail})", b"BODY[] {2}\r\nab)", &mut variables));
        assert!(!matches("BINARY[1] {<mail})", b"BINARY[1] ~{2}\r\nab)", &mut variables));
        for line in [b"BINARY[1] ~{2}\r\nab)".as_slice(), b"BINARY[1] {2}\r\nab)", b"BINARY[1] \"ab\")"] {
            assert!(matches("BINARY[1] {~mail})", line, &mut variables));
        }
        assert_eq!(fill("UID {3} {mail} {other}", &variables), b"UID {3} ab {other}");
    }
}
