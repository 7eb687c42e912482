//! Replies that say the same in other words or another order, which a script must accept alike.
//!
//! The items of FETCH, STATUS, ESEARCH, METADATA and QUOTA, the attributes of LIST and the flags of FLAGS come as the server likes
//! (RFC 9051, 7.3.4, 7.5.2 and 9), and so do the entries of an ACL and the rights in it (RFC 4314). A string is quoted or a literal.
//! Rights are compared in the order of [`RIGHTS`], the flags of a FETCH as they come and by the alphabet, those of the system first.
//!
//! [`crate::wire`] compares untagged replies with this. A reply with more than [`ITEMS_MAX`] items is taken only as it stands.

use crate::pattern::{Variables, matches};

/// So many items are tried in every order: 720 of them.
const ITEMS_MAX: usize = 6;

/// The rights of RFC 4314 as scripts write them.
const RIGHTS: &[u8] = b"lrswipkxteacd";

/// Whether the reply, or one that says the same, matches.
pub fn matches_in_any_order(pattern: &str, line: &[u8], variables: &mut Variables) -> bool {
    let sorted = with_rights_in_order(line);
    let line = sorted.as_deref().unwrap_or(line);
    let quoted = with_quoted_strings(line);
    let flagged = with_flags_in_order(quoted.as_deref().unwrap_or(line));
    let forms = [Some(line), quoted.as_deref(), flagged.as_deref()];
    forms.iter().flatten().any(|line| matches(pattern, line, variables))
        || forms.iter().flatten().any(|line| in_another_order(pattern, line, variables))
}

fn in_another_order(pattern: &str, line: &[u8], variables: &mut Variables) -> bool {
    let Some((head, items, tail)) = parts(line) else { return false };
    if items.len() < 2 || items.len() > ITEMS_MAX {
        return false;
    }
    // The first words decide before anything is tried.
    let word = |text: &[u8]| text.split(|octet| *octet == b' ').nth(1).map(<[u8]>::to_ascii_uppercase);
    if word(pattern.as_bytes()) != word(line) && !pattern.starts_with("* {") {
        return false;
    }
    let mut order: Vec<usize> = (0..items.len()).collect();
    while next(&mut order) {
        let mut other = head.to_vec();
        for (place, item) in order.iter().enumerate() {
            other.extend_from_slice(if place > 0 { b" " } else { b"" });
            other.extend_from_slice(items[*item]);
        }
        other.extend_from_slice(tail);
        if matches(pattern, &other, variables) {
            return true;
        }
    }
    false
}

/// A FETCH reply with its flags by the alphabet, those of the system first; nothing if there are no two.
fn with_flags_in_order(line: &[u8]) -> Option<Vec<u8>> {
    const LIST: &[u8] = b"FLAGS (";
    let is_list = |window: &[u8]| window[1..].eq_ignore_ascii_case(LIST) && b" (".contains(&window[0]);
    let begin = line.windows(LIST.len() + 1).position(is_list)? + LIST.len() + 1;
    let end = begin + line[begin..].iter().position(|octet| *octet == b')')?;
    let mut flags: Vec<&[u8]> = line[begin..end].split(|octet| *octet == b' ').collect();
    flags.sort_by_key(|flag| (!flag.starts_with(b"\\"), flag.to_ascii_lowercase()));
    (flags.len() > 1).then(|| [&line[..begin], &flags.join(&b' '), &line[end..]].concat())
}

/// The reply with quoted strings for the literals that can be one: a server may choose (RFC 9051, 4.3). Nothing if there is none.
fn with_quoted_strings(line: &[u8]) -> Option<Vec<u8>> {
    let (mut quoted, mut from, mut at) = (Vec::new(), 0, 0);
    while at < line.len() {
        match line[at] {
            b'"' => at = end_of_quoted(line, at),
            b'{' if at == 0 || line[at - 1] != b'~' => {
                if let Some(literal) = literal(line, at) {
                    let end = literal.end;
                    if !line[literal.clone()].iter().any(|octet| b"\r\n\0\"\\".contains(octet)) {
                        quoted.extend_from_slice(&line[from..at]);
                        quoted.push(b'"');
                        quoted.extend_from_slice(&line[literal]);
                        quoted.push(b'"');
                        from = end;
                    }
                    at = end;
                    continue;
                }
            }
            _ => {}
        }
        at += 1;
    }
    quoted.extend_from_slice(line.get(from..)?);
    (from > 0).then_some(quoted)
}

/// Where the quoted string that begins there ends: its last quote, or the end of the line.
fn end_of_quoted(line: &[u8], begin: usize) -> usize {
    let mut at = begin + 1;
    while at < line.len() && line[at] != b'"' {
        at += if line[at] == b'\\' { 2 } else { 1 };
    }
    at.min(line.len())
}

/// The octets of the literal whose brace stands there.
fn literal(line: &[u8], brace: usize) -> Option<std::ops::Range<usize>> {
    let digits = line[brace + 1..].iter().take_while(|octet| octet.is_ascii_digit()).count();
    let length: usize = std::str::from_utf8(&line[brace + 1..brace + 1 + digits]).ok()?.parse().ok()?;
    let begin = brace + 1 + digits + b"}\r\n".len();
    let end = begin.checked_add(length)?;
    (line[brace + 1 + digits..].starts_with(b"}\r\n") && end <= line.len()).then_some(begin..end)
}

/// A reply about rights with the rights in the order of [`RIGHTS`]; nothing if it is another reply.
fn with_rights_in_order(line: &[u8]) -> Option<Vec<u8>> {
    let mut words: Vec<Vec<u8>> = tokens(line).into_iter().map(|token| line[token].to_vec()).collect();
    let place = |right: &u8| RIGHTS.iter().position(|each| each == right).unwrap_or(RIGHTS.len());
    match words.get(1)?.to_ascii_uppercase().as_slice() {
        b"MYRIGHTS" => words.get_mut(3)?.sort_by_key(place),
        b"ACL" => words.iter_mut().skip(4).step_by(2).for_each(|rights| rights.sort_by_key(place)),
        b"LISTRIGHTS" => {
            words.iter_mut().skip(4).for_each(|rights| rights.sort_by_key(place));
            words.get_mut(5..)?.sort_by_key(|rights| rights.first().map(place));
        }
        _ => return None,
    }
    Some(words.join(&b' '))
}

/// A reply with a list in it: what stands before the items, the items, and what stands behind them.
type Parts<'a> = (&'a [u8], Vec<&'a [u8]>, &'a [u8]);

fn parts(line: &[u8]) -> Option<Parts<'_>> {
    let tokens = tokens(line);
    let word = |index: usize| tokens.get(index).map(|token| line[token.clone()].to_ascii_uppercase());
    let is = |index: usize, name: &str| word(index).is_some_and(|word| word == name.as_bytes());
    // Where the list is, and of how many words an item is.
    let (list, words) = match () {
        () if is(2, "FETCH") || is(2, "UIDFETCH") => (3, 2),
        () if is(1, "STATUS") || is(1, "METADATA") => (3, 2),
        () if is(1, "QUOTA") => (3, 3),
        () if is(1, "LIST") || is(1, "FLAGS") => (2, 1),
        () if is(1, "ACL") => {
            let begin = tokens.get(3)?.start;
            return Some((&line[..begin], grouped(line, &tokens[3..], 0, 2)?, b""));
        }
        () if is(1, "ESEARCH") => {
            let mut first = 2;
            first += usize::from(tokens.get(first).is_some_and(|token| line[token.start] == b'('));
            first += usize::from(is(first, "UID"));
            let begin = tokens.get(first)?.start;
            return Some((&line[..begin], grouped(line, &tokens[first..], 0, 2)?, b""));
        }
        () => return None,
    };
    let token = tokens.get(list)?;
    let inner = line[token.clone()].strip_prefix(b"(")?.strip_suffix(b")")?;
    let begin = token.start + 1;
    let found = self::tokens(inner);
    Some((&line[..begin], grouped(line, &found, begin, words)?, &line[begin + inner.len()..]))
}

fn grouped<'a>(
    line: &'a [u8],
    tokens: &[std::ops::Range<usize>],
    offset: usize,
    words: usize,
) -> Option<Vec<&'a [u8]>> {
    if !tokens.len().is_multiple_of(words) {
        return None;
    }
    let item = |group: &[std::ops::Range<usize>]| {
        Some(&line[offset + group.first()?.start..offset + group.last()?.end])
    };
    tokens.chunks(words).map(item).collect()
}

/// The words between spaces; quoted strings, literals, parentheses and brackets are not cut.
fn tokens(line: &[u8]) -> Vec<std::ops::Range<usize>> {
    let (mut found, mut begin, mut depth, mut at) = (Vec::new(), 0, 0usize, 0);
    while at < line.len() {
        match line[at] {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            b'"' => at = end_of_quoted(line, at),
            b'{' => {
                if let Some(literal) = literal(line, at) {
                    at = literal.end;
                    continue;
                }
            }
            b' ' if depth == 0 => {
                found.push(begin..at);
                begin = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    if begin < line.len() {
        found.push(begin..line.len());
    }
    found
}

/// The next order in the dictionary of all; false after the last.
fn next(order: &mut [usize]) -> bool {
    let Some(place) = (1..order.len()).rev().find(|place| order[place - 1] < order[*place]) else {
        return false;
    };
    let pivot = order[place - 1];
    let larger = (place..order.len()).rev().find(|index| order[*index] > pivot).unwrap_or(place);
    order.swap(place - 1, larger);
    order[place..].reverse();
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(pattern: &str, line: &str) -> bool {
        matches_in_any_order(pattern, line.as_bytes(), &mut Variables::new())
    }

    #[test]
    fn items_come_in_any_order() {
        assert!(same("* STATUS Box (UNSEEN 3 MESSAGES {n})", "* STATUS Box (MESSAGES 3 UNSEEN 3)"));
        assert!(same(
            "* 1 FETCH (UID 1 FLAGS (\\Seen) BODY[TEXT] ...)",
            "* 1 FETCH (BODY[TEXT] {4}\r\nUID  FLAGS (\\Seen) UID 1)"
        ));
        assert!(same(
            "* ESEARCH (TAG \"a\") UID COUNT 2 ALL 1:2",
            "* ESEARCH (TAG \"a\") UID ALL 1:2 COUNT 2"
        ));
        assert!(same("* ESEARCH COUNT 2 MIN 1 ALL 1", "* ESEARCH ALL 1 COUNT 2 MIN 1"));
        assert!(same("* LIST (\\Sent \\HasNoChildren) ...", "* LIST (\\HasNoChildren \\Sent) \"/\" Box"));
        assert!(same("* METADATA Box (/a \"x\" /b \"y\")", "* METADATA Box (/b {1}\r\ny /a {1}\r\nx)"));
        assert!(same("* METADATA Box (/a {1}\r\nx /b {1}\r\ny)", "* METADATA Box (/b {1}\r\ny /a {1}\r\nx)"));
        assert!(same("* QUOTA \"\" (STORAGE 1 2 MESSAGE 3 4)", "* QUOTA \"\" (MESSAGE 3 4 STORAGE 1 2)"));
        assert!(same(
            "* 1 FETCH (FLAGS (\\Flagged \\Seen $a) UID 1)",
            "* 1 FETCH (UID 1 FLAGS ($a \\Seen \\Flagged))"
        ));
        assert!(same("* MYRIGHTS Box lrswi", "* MYRIGHTS Box irslw"));
        assert!(same("* ACL Box ann lrs bob l", "* ACL Box bob l ann srl"));
        assert!(same("* LISTRIGHTS Box ann \"\" l r s kx", "* LISTRIGHTS Box ann \"\" xk s r l"));
        assert!(same("* FLAGS (\\Seen \\Draft)", "* FLAGS (\\Draft \\Seen)"));
    }

    #[test]
    fn values_stay_with_their_names() {
        assert!(!same("* STATUS Box (UNSEEN 3 MESSAGES 2)", "* STATUS Box (MESSAGES 3 UNSEEN 2)"));
        assert!(!same("* STATUS Box (UNSEEN 3)", "* STATUS Box (MESSAGES 3 UNSEEN 3)"));
        assert!(!same("* 1 FETCH (FLAGS (\\Seen) UID 1)", "* 1 FETCH (UID (\\Seen) FLAGS 1)"));
        assert!(!same("* 1 FETCH (BODY[] \"UID 1\" UID 2)", "* 1 FETCH (UID 2 BODY[] \"1 UID\")"));
        assert!(!same("* METADATA Box (/a \"x\")", "* METADATA Box (/a ~{1}\r\nx)"));
        assert!(!same("* ACL Box ann lrs bob l", "* ACL Box bob lrs ann l"));
        assert!(!same("* LIST () \"/\" Box", "* STATUS Box (MESSAGES 3 UNSEEN 3)"));
    }

    #[test]
    fn broken_replies_are_no_harm() {
        for line in [
            "* 1 FETCH (A {9999999999999999999999}\r\n",
            "* 1 FETCH (A \"\\",
            "* STATUS",
            "* ESEARCH",
            "* LIST (",
            "* 1 FETCH (A {99}\r\nx)",
        ] {
            assert!(!same("* nothing", line));
        }
    }
}
