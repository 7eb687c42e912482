//! What a mailbox's name may be, and the order of names.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::ListError;

/// The mailbox that every user has (RFC 3501, 5.1).
pub const INBOX: &str = "INBOX";
/// Octets of a name at most.
pub const LONGEST_NAME_BYTES: usize = 512;
/// Parts of a name at most.
pub const MOST_NAME_PARTS: usize = 32;

/// The name as a list keeps it: INBOX in capitals, alone or as the first part, and no '/' at the end (RFC 3501, 6.3.3: a client
/// says so that it will make names below). Or why it cannot be a name.
pub fn normalize_name(name: &str) -> Result<String, ListError> {
    let name = name.strip_suffix('/').unwrap_or(name);
    if name.is_empty() {
        return Err(ListError::InvalidName("it is empty"));
    }
    if name.len() > LONGEST_NAME_BYTES {
        return Err(ListError::InvalidName("it is longer than 512 octets"));
    }
    if name.chars().any(char::is_control) {
        return Err(ListError::InvalidName("it has a control character"));
    }
    if name.split('/').any(str::is_empty) {
        return Err(ListError::InvalidName("a part of it is empty"));
    }
    if name.split('/').count() > MOST_NAME_PARTS {
        return Err(ListError::InvalidName("it has more than 32 parts"));
    }
    Ok(with_inbox(name).into_owned())
}

/// The name with its first part in capitals if that is INBOX.
pub(super) fn with_inbox(name: &str) -> Cow<'_, str> {
    let (first, rest) = name.split_at(name.find('/').unwrap_or(name.len()));
    if first != INBOX && first.eq_ignore_ascii_case(INBOX) {
        Cow::Owned(format!("{INBOX}{rest}"))
    } else {
        Cow::Borrowed(name)
    }
}

/// Order of two names: INBOX first, a name before those below it, and they before whatever else.
pub(super) fn order(one: &str, other: &str) -> Ordering {
    let key = |name: &str| name != INBOX && !is_below(name, INBOX);
    key(one).cmp(&key(other)).then_with(|| {
        // '/' counts as lower than any other octet, so that what is below a name follows it directly.
        let rank = |octet: u8| if octet == b'/' { 0 } else { u16::from(octet) + 1 };
        one.bytes().map(rank).cmp(other.bytes().map(rank))
    })
}

/// Whether `name` is below `upper`.
pub(super) fn is_below(name: &str, upper: &str) -> bool {
    name.strip_prefix(upper).is_some_and(|rest| rest.starts_with('/'))
}

/// The names above `name`, the uppermost first.
pub(super) fn above(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('/').map(|(place, _)| &name[..place])
}
