//! What is said of a user and of mailboxes, by name: rights of others, annotations, keys. What a name or a value means is the business of who sets it.
//!
//! Invariants: sorted by mailbox (the user's own first) and name, no two of one name; never more of them than the limits below, which [`Attributes::check`]
//! keeps when a change is planned. Attributes go with their mailbox and stay when it gets another name.

use std::sync::Arc;

use super::ListError;

/// Attributes of a user and all mailboxes together at most.
pub const MOST_ATTRIBUTES: usize = 10_000;
/// Octets of all their names and values together at most.
pub const MOST_ATTRIBUTE_BYTES: usize = 4 << 20;
/// Octets of a name at most.
pub const LONGEST_ATTRIBUTE_NAME_BYTES: usize = 1024;
/// What the names of attributes begin with that are a reader's own: the number of the user follows, and `/`.
pub const OF_READERS: &str = "meta/reader/";
/// What the names of attributes begin with that are keys of URLs (RFC 4467): the number of the user follows.
pub const OF_URL_KEYS: &str = "urlauth/";
/// Octets of a value at most.
pub const LONGEST_ATTRIBUTE_VALUE_BYTES: usize = 64 << 10;

/// Whether an attribute means something in its own store alone: its name has the number of a user, who is another elsewhere. Exports leave it out.
pub(crate) fn stays_in_its_store(name: &str) -> bool {
    name.starts_with(OF_READERS) || name.starts_with(OF_URL_KEYS)
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Attribute {
    mailbox: Option<u32>,
    name: Arc<str>,
    value: Arc<[u8]>,
}

impl Attribute {
    fn key(&self) -> (Option<u32>, &str) {
        (self.mailbox, &self.name)
    }

    fn octets(&self) -> usize {
        self.name.len() + self.value.len()
    }
}

/// All attributes of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Attributes {
    sorted: Vec<Attribute>,
    octets: usize,
}

impl Attributes {
    pub(super) fn len(&self) -> usize {
        self.sorted.len()
    }

    pub(super) fn octets(&self) -> usize {
        self.octets
    }

    pub(super) fn get(&self, mailbox: Option<u32>, name: &str) -> Option<&[u8]> {
        let place = self.place(mailbox, name).ok()?;
        self.sorted.get(place).map(|attribute| &*attribute.value)
    }

    pub(super) fn of(&self, mailbox: Option<u32>) -> impl Iterator<Item = (&str, &[u8])> {
        let start = self.sorted.partition_point(|attribute| attribute.mailbox < mailbox);
        let rest = self.sorted[start..].iter().take_while(move |attribute| attribute.mailbox == mailbox);
        rest.map(|attribute| (&*attribute.name, &*attribute.value))
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (Option<u32>, &str, &[u8])> {
        self.sorted.iter().map(|attribute| (attribute.mailbox, &*attribute.name, &*attribute.value))
    }

    /// Whether an attribute may be set to `value`. It can always be removed.
    pub(super) fn check(
        &self,
        mailbox: Option<u32>,
        name: &str,
        value: Option<&[u8]>,
    ) -> Result<(), ListError> {
        let Some(value) = value else { return Ok(()) };
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err(ListError::InvalidName("an attribute's name is empty or has a control character"));
        }
        if name.len() > LONGEST_ATTRIBUTE_NAME_BYTES {
            return Err(ListError::Limit("octets in an attribute's name"));
        }
        if value.len() > LONGEST_ATTRIBUTE_VALUE_BYTES {
            return Err(ListError::Limit("octets in an attribute"));
        }
        let before = self.get(mailbox, name);
        if before.is_none() && self.sorted.len() >= MOST_ATTRIBUTES {
            return Err(ListError::Limit("attributes"));
        }
        let without = self.octets - before.map_or(0, |before| name.len() + before.len());
        if without + name.len() + value.len() > MOST_ATTRIBUTE_BYTES {
            return Err(ListError::Limit("octets in attributes"));
        }
        Ok(())
    }

    pub(super) fn set(&mut self, mailbox: Option<u32>, name: &str, value: Option<&[u8]>) {
        let place = self.place(mailbox, name);
        if let Ok(place) = place {
            self.octets -= self.sorted[place].octets();
        }
        match (place, value) {
            (Ok(place), None) => {
                self.sorted.remove(place);
            }
            (Err(_), None) => (),
            (place, Some(value)) => {
                let attribute = Attribute { mailbox, name: name.into(), value: value.into() };
                self.octets += attribute.octets();
                match place {
                    Ok(place) => self.sorted[place] = attribute,
                    Err(place) => self.sorted.insert(place, attribute),
                }
            }
        }
    }

    /// A mailbox is gone.
    pub(super) fn remove_all_of(&mut self, mailbox: u32) {
        let octets = &mut self.octets;
        self.sorted.retain(|attribute| {
            let stays = attribute.mailbox != Some(mailbox);
            if !stays {
                *octets -= attribute.octets();
            }
            stays
        });
    }

    /// Puts an attribute behind all others, as a file has them; false if it does not belong there.
    pub(super) fn push(&mut self, mailbox: Option<u32>, name: &str, value: &[u8]) -> bool {
        if self.sorted.last().is_some_and(|last| last.key() >= (mailbox, name)) {
            return false;
        }
        let attribute = Attribute { mailbox, name: name.into(), value: value.into() };
        self.octets += attribute.octets();
        self.sorted.push(attribute);
        true
    }

    fn place(&self, mailbox: Option<u32>, name: &str) -> Result<usize, usize> {
        self.sorted.binary_search_by(|attribute| attribute.key().cmp(&(mailbox, name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Attributes {
        let mut attributes = Attributes::default();
        for (mailbox, name, value) in [
            (Some(2), "b", "two"),
            (None, "b", "own"),
            (Some(1), "a", "x"),
            (Some(2), "a", ""),
            (Some(2), "b", "2"),
        ] {
            attributes.set(mailbox, name, Some(value.as_bytes()));
        }
        attributes
    }

    #[test]
    fn what_is_set_last_counts_and_all_are_in_order() {
        let attributes = some();
        let all: Vec<_> = attributes.all().map(|(mailbox, name, _)| (mailbox, name)).collect();
        assert_eq!(all, [(None, "b"), (Some(1), "a"), (Some(2), "a"), (Some(2), "b")]);
        assert_eq!(attributes.get(Some(2), "b"), Some(&b"2"[..]));
        assert_eq!(attributes.get(Some(2), "a"), Some(&b""[..]));
        assert_eq!(attributes.get(None, "a"), None);
        assert_eq!(attributes.of(Some(2)).count(), 2);
        assert_eq!(attributes.octets(), 4 + 2 + 1 + 2);
    }

    #[test]
    fn what_is_removed_is_gone_and_not_counted() {
        let mut attributes = some();
        attributes.set(Some(2), "a", None);
        attributes.set(Some(2), "none", None);
        attributes.remove_all_of(1);
        assert_eq!((attributes.len(), attributes.octets()), (2, 6));
        attributes.remove_all_of(2);
        attributes.set(None, "b", None);
        assert_eq!(attributes, Attributes::default());
    }

    #[test]
    fn limits_hold_for_new_ones_and_not_for_removals() {
        let mut attributes = Attributes::default();
        let (long_name, long_value) = ("n".repeat(1025), vec![0; (64 << 10) + 1]);
        assert!(matches!(attributes.check(None, &long_name, Some(b"")), Err(ListError::Limit(_))));
        assert!(attributes.check(None, &long_name, None).is_ok());
        assert!(attributes.check(None, &long_name[1..], Some(&long_value[1..])).is_ok());
        assert!(matches!(attributes.check(None, "n", Some(&long_value)), Err(ListError::Limit(_))));
        assert!(matches!(attributes.check(None, "", Some(b"")), Err(ListError::InvalidName(_))));
        assert!(matches!(attributes.check(None, "a\nb", Some(b"")), Err(ListError::InvalidName(_))));
        for number in 0..MOST_ATTRIBUTES {
            attributes.set(Some(1), &format!("{number:05}"), Some(b""));
        }
        assert_eq!(attributes.check(Some(1), "more", Some(b"")), Err(ListError::Limit("attributes")));
        assert!(attributes.check(Some(1), "00001", Some(b"other")).is_ok());
        assert!(attributes.check(Some(1), "more", None).is_ok());

        let mut attributes = Attributes::default();
        let value = &long_value[1..];
        let full = (0..).take_while(|number| {
            let name = format!("{number:04}");
            let fits = attributes.check(None, &name, Some(value)).is_ok();
            if fits {
                attributes.set(None, &name, Some(value));
            }
            fits
        });
        assert_eq!(full.count(), 63);
        assert!(attributes.octets() <= MOST_ATTRIBUTE_BYTES);
        assert_eq!(
            attributes.check(None, "0063", Some(value)),
            Err(ListError::Limit("octets in attributes"))
        );
        assert!(attributes.check(None, "0000", Some(&value[1..])).is_ok());
    }
}
