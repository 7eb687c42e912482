//! Where entries are kept: as attributes of mailbox lists ([`store::lists`]), under these names.
//!
//! | entry | list | attribute |
//! |---|---|---|
//! | of a mailbox, `/shared/…` | its owner's, of the mailbox | `meta/shared/…` |
//! | of a mailbox, `/private/…` of its owner | its owner's, of the mailbox | `meta/private/…` |
//! | of a mailbox, `/private/…` of another user | its owner's, of the mailbox | `meta/reader/<number>/…` |
//! | of the server, `/private/…` | the user's own | `meta/private/…` |
//! | of the server, `/shared/…` | that of `anyone` | `meta/shared/…` |
//!
//! So they go with the mailbox, and stay when it gets another name. Two are computed: `/private/specialuse` of one's own mailboxes (RFC 6154, 4), and
//! `/shared/admin` of the server.

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::imap::extension::metadata::{Depth, EntryName, Scope};
use protocol::imap::limits::METADATA_VALUE_MAX;
use store::lists::{MailboxEntry, MailboxList, OF_READERS};
use store::rights::ANYONE;
use store::{Store, StoreError, UserId};

use super::super::list::wire_use;
use crate::conversation::Turn;

/// Entries of one mailbox or of the server, in one scope of one user, at most. RFC 5464, 4.1 asks for 10.
pub(super) const ENTRIES_MAX: usize = 256;
/// Octets of a value at most. RFC 5464, 4.1 asks for 1,024.
pub(super) const VALUE_BYTES_MAX: usize = METADATA_VALUE_MAX;
/// Of a user's private entries in another user's mailbox, which take of that user's room.
pub(super) const GUEST_ENTRIES_MAX: usize = 32;
/// Octets of the value of such an entry at most.
pub(super) const GUEST_VALUE_BYTES_MAX: usize = 1024;

/// What a mailbox is used for.
pub(super) const SPECIAL_USE: &str = "/private/specialuse";
/// How to reach who runs the server.
pub(super) const ADMINISTRATOR: &str = "/shared/admin";

/// The entries that a user sees of a mailbox or of the server.
pub(super) struct Entries {
    private: Attributes,
    shared: Option<Attributes>,
    /// An entry that is no attribute.
    computed: Option<(&'static str, Vec<u8>)>,
}

/// The attributes that are the entries of one scope.
pub(super) struct Attributes {
    pub(super) list: Arc<MailboxList>,
    pub(super) mailbox: Option<u32>,
    /// What stands in place of `/private` or `/shared`.
    pub(super) prefix: String,
}

impl Attributes {
    /// The attribute of the entry whose name goes on with `rest`.
    pub(super) fn name(&self, rest: &str) -> String {
        format!("{}{rest}", self.prefix)
    }

    /// What follows the prefix in the names of all entries, with their values.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let all = self.list.attributes(self.mailbox);
        all.filter_map(|(name, value)| {
            let rest = name.strip_prefix(self.prefix.as_str())?;
            rest.starts_with('/').then_some((rest, value))
        })
    }
}

impl Entries {
    pub(super) fn of_mailbox(list: Arc<MailboxList>, entry: &MailboxEntry, user: UserId) -> Entries {
        let (mailbox, is_own) = (Some(entry.number), list.user() == user);
        let special_use = entry.special_use.filter(|_| is_own);
        let computed =
            special_use.map(|known| (SPECIAL_USE, wire_use(known).attribute().as_bytes().to_vec()));
        let prefix = if is_own { "meta/private".to_owned() } else { format!("{OF_READERS}{}", user.0) };
        let shared = Attributes { list: list.clone(), mailbox, prefix: "meta/shared".to_owned() };
        Entries { private: Attributes { list, mailbox, prefix }, shared: Some(shared), computed }
    }

    pub(super) fn of_server(user: UserId, turn: &Turn<'_>) -> Result<Entries, StoreError> {
        let store = &turn.shared.store;
        let contact = turn.shared.settings().auth.administrator_url.clone();
        let computed = (!contact.is_empty()).then(|| (ADMINISTRATOR, contact.into_bytes()));
        let own = |list, prefix: &str| Attributes { list, mailbox: None, prefix: prefix.to_owned() };
        Ok(Entries {
            private: own(store.mailbox_list(user)?, "meta/private"),
            shared: server_list(store)?.map(|list| own(list, "meta/shared")),
            computed,
        })
    }

    /// Those of a scope; `None` if there never were any.
    pub(super) fn scope(&self, scope: Scope) -> Option<&Attributes> {
        match scope {
            Scope::Private => Some(&self.private),
            Scope::Shared => self.shared.as_ref(),
        }
    }

    /// The entries that are asked for. One that has no value is told with NIL if nothing below it is asked for, or if there would be nothing to tell.
    pub(super) fn find(&self, asked: &[EntryName], depth: Depth, max_size: Option<u64>) -> Found<'_> {
        let mut found = Found::default();
        for wanted in asked {
            let (scope, rest) = wanted.parts();
            for (below, value) in self.scope(scope).into_iter().flat_map(Attributes::all) {
                if below.strip_prefix(rest).is_some_and(|below| depth.reaches(below)) {
                    found.add(name_of(scope, below), value, max_size);
                }
            }
            if let Some((name, value)) = &self.computed
                && name.strip_prefix(wanted.as_str()).is_some_and(|below| depth.reaches(below))
            {
                found.add((*name).to_owned(), value, max_size);
            }
        }
        if depth == Depth::Zero || (found.values.is_empty() && found.longest.is_none()) {
            for wanted in asked.iter().filter(|wanted| wanted.is_entry()) {
                if !self.has(wanted) {
                    found.values.insert(wanted.as_str().to_owned(), None);
                }
            }
        }
        found
    }

    /// Whether an entry has a value.
    pub(super) fn has(&self, name: &EntryName) -> bool {
        let (scope, rest) = name.parts();
        let is_attribute =
            self.scope(scope).is_some_and(|of| of.list.attribute(of.mailbox, &of.name(rest)).is_some());
        is_attribute || self.computed.as_ref().is_some_and(|(computed, _)| *computed == name.as_str())
    }
}

/// Entries to be told.
#[derive(Default)]
pub(super) struct Found<'e> {
    values: BTreeMap<String, Option<&'e [u8]>>,
    /// The length of the longest value that was too long.
    pub(super) longest: Option<u64>,
}

impl<'e> Found<'e> {
    pub(super) fn told(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        self.values.iter().map(|(name, value)| (name.as_str(), *value))
    }

    fn add(&mut self, name: String, value: &'e [u8], max_size: Option<u64>) {
        let length = value.len() as u64;
        if max_size.is_some_and(|max_size| length > max_size) {
            self.longest = self.longest.max(Some(length));
        } else {
            self.values.insert(name, Some(value));
        }
    }
}

/// The list that has the server's shared entries; `None` while nobody has set any.
pub(in crate::imap) fn server_list(store: &Store) -> Result<Option<Arc<MailboxList>>, StoreError> {
    match store.find_user(ANYONE)? {
        Some(anyone) => store.mailbox_list(anyone).map(Some),
        None => Ok(None),
    }
}

/// The value of a filter (RFC 5466) that everybody may use.
pub(crate) fn server_filter(store: &Store, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let list = server_list(store)?;
    let attribute = format!("meta/shared/filters/values/{name}");
    Ok(list.and_then(|list| list.attribute(None, &attribute).map(<[u8]>::to_vec)))
}

/// The name of an entry.
pub(super) fn name_of(scope: Scope, rest: &str) -> String {
    match scope {
        Scope::Private => format!("/private{rest}"),
        Scope::Shared => format!("/shared{rest}"),
    }
}
