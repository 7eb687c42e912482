//! FILTER (RFC 5466): search keys that a user keeps under a name, put in the place of the name.
//!
//! A filter is an entry of the server's metadata, `/private/filters/values/NAME` of the user, or `/shared/…` where that does not exist. Filters may
//! name other filters; how deep, and how many in one search, has a limit, which a loop reaches, too.

use protocol::imap::Limits;
use protocol::imap::command::search::SearchKey;
use store::Store;
use store::lists::MailboxList;

use super::super::metadata;

/// How deep filters may name each other. RFC 5466, 3.1 asks for 3.
const PASSES_MAX: u32 = 8;
/// Filters that one search may come by.
const FILTERS_MAX: u32 = 64;
/// How deep the keys of one filter may be nested.
const DEPTH_MAX: u32 = 20;

/// A filter that does not exist, is no search key, or leads back to itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UndefinedFilter(pub(crate) String);

/// A key with filters of `list` in the places of their names; `None` if it names none.
///
/// # Errors
/// A filter that cannot be used.
pub(crate) fn substitute(
    key: &SearchKey,
    list: &MailboxList,
    store: &Store,
) -> Result<Option<SearchKey>, UndefinedFilter> {
    let of = |name: &str| {
        // Names of metadata are the same in any case (RFC 5464, 4.1).
        let name = name.to_ascii_lowercase();
        let private = list.attribute(None, &format!("meta/private/filters/values/{name}"));
        // One that cannot be read is as one that is not there.
        private.map(<[u8]>::to_vec).or_else(|| metadata::server_filter(store, &name).ok().flatten())
    };
    substitute_with(key, &of)
}

fn substitute_with(
    key: &SearchKey,
    filter_of: &dyn Fn(&str) -> Option<Vec<u8>>,
) -> Result<Option<SearchKey>, UndefinedFilter> {
    if !key.has_filter() {
        return Ok(None);
    }
    let mut filters = Filters { filter_of, left: FILTERS_MAX };
    filters.replace(key, PASSES_MAX).map(Some)
}

struct Filters<'a> {
    filter_of: &'a dyn Fn(&str) -> Option<Vec<u8>>,
    /// How many more may be used.
    left: u32,
}

impl Filters<'_> {
    fn replace(&mut self, key: &SearchKey, passes: u32) -> Result<SearchKey, UndefinedFilter> {
        Ok(match key {
            SearchKey::And(keys) => {
                SearchKey::And(keys.iter().map(|key| self.replace(key, passes)).collect::<Result<_, _>>()?)
            }
            SearchKey::Or(keys) => {
                SearchKey::Or(Box::new((self.replace(&keys.0, passes)?, self.replace(&keys.1, passes)?)))
            }
            SearchKey::Not(key) => SearchKey::Not(Box::new(self.replace(key, passes)?)),
            SearchKey::Fuzzy(key) => SearchKey::Fuzzy(Box::new(self.replace(key, passes)?)),
            SearchKey::Filter(name) => {
                let undefined = || UndefinedFilter(name.clone());
                let (passes, left) =
                    passes.checked_sub(1).zip(self.left.checked_sub(1)).ok_or_else(undefined)?;
                self.left = left;
                let octets = (self.filter_of)(name).ok_or_else(undefined)?;
                let limits = Limits { depth: DEPTH_MAX, ..Limits::LOGGED_IN };
                let key = SearchKey::parse_filter(&octets, &limits).map_err(|_| undefined())?;
                self.replace(&key, passes)?
            }
            key => key.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> SearchKey {
        SearchKey::parse_filter(text.as_bytes(), &Limits::LOGGED_IN).expect(text)
    }

    fn replaced(text: &str, filters: &[(&str, &str)]) -> Result<Option<SearchKey>, UndefinedFilter> {
        let of = |name: &str| {
            let found = filters.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.as_bytes().to_vec())
        };
        substitute_with(&key(text), &of)
    }

    #[test]
    fn filters_stand_in_the_place_of_their_names() {
        assert_eq!(replaced("SEEN", &[]), Ok(None));
        let filters =
            [("road", "OR SMALLER 5000 FROM boss"), ("all", "(FILTER road) UNSEEN"), ("a", "FILTER all")];
        assert_eq!(
            replaced("UID 3:9 NOT FILTER road", &filters),
            Ok(Some(key("UID 3:9 NOT OR SMALLER 5000 FROM boss")))
        );
        assert_eq!(
            replaced("FUZZY FILTER a", &filters),
            Ok(Some(key("FUZZY (OR SMALLER 5000 FROM boss UNSEEN)")))
        );
    }

    #[test]
    fn what_is_no_filter_is_told_by_its_name() {
        let undefined = |name: &str| Err(UndefinedFilter(name.to_owned()));
        let filters = [
            ("part", "OR SMALLER"),
            ("empty", ""),
            ("loop", "FILTER pool"),
            ("pool", "FILTER loop"),
            ("deep", &format!("{} ALL", "NOT ".repeat(DEPTH_MAX as usize + 1).trim_end())),
        ];
        for name in ["none", "part", "empty", "deep"] {
            assert_eq!(replaced(&format!("SEEN FILTER {name}"), &filters), undefined(name), "{name}");
        }
        assert!(replaced("FILTER loop", &filters).is_err());
        let many = |count: u32| (0..count).map(|_| "FILTER a ").collect::<String>();
        assert!(replaced(many(FILTERS_MAX).trim_end(), &[("a", "SEEN")]).is_ok());
        assert!(replaced(many(FILTERS_MAX + 1).trim_end(), &[("a", "SEEN")]).is_err());
        // Doubling at every pass ends at the limit, too.
        let doubling = [("a", "FILTER b FILTER b"), ("b", "FILTER c FILTER c"), ("c", "FILTER a FILTER a")];
        assert!(replaced("FILTER a", &doubling).is_err());
    }
}
