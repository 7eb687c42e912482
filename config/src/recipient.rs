//! Which users a recipient address means: the one home of aliases, domains, folders behind a delimiter, and the catch-all.
//!
//! An address is looked for in this order, and the first that is found counts:
//! 1. the full address: an alias, then a user of that name; then the same for what stands in front of the delimiter;
//! 2. if the domain is none of `[lmtp] domains`, it is foreign;
//! 3. the local part, in the same way;
//! 4. the alias `@domain`, then `[lmtp] catch_all`.
//!
//! What follows the first delimiter of the local part is a detail (RFC 5233): the name of a folder. It is part of the user's name if
//! somebody has that name.
//!
//! Invariant: a target is a user who is there. An alias that is met again on the way from itself is the user of that name, if there
//! is one, so that `ann: ann, bob` keeps a copy for ann and no loop is followed twice.

use std::collections::HashSet;

use crate::aliases::Aliases;
use crate::settings::Lmtp;
use crate::users::{Users, user_name};

/// The most users that one address may mean.
const TARGETS_MAX: usize = 10_000;
/// How many aliases may stand for one another on the way to a user.
const DEPTH_MAX: usize = 32;

/// Whom mail is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The user's name.
    pub user: String,
    /// What stands behind the delimiter: the folder that is meant, as the address has it.
    pub detail: Option<String>,
}

/// What became of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipient {
    /// Mail for it goes to these; never empty, none twice.
    Targets(Vec<Target>),
    /// The domain is ours, but nobody has this name.
    UnknownUser,
    /// The domain is not one mail is taken for.
    ForeignDomain,
    /// It is an alias that leads to nobody here.
    DeadAlias,
}

/// All that decides about an address, as it is at one time.
#[derive(Clone, Copy, Debug)]
pub struct Directory<'a> {
    /// Domains, delimiter and catch-all.
    pub lmtp: &'a Lmtp,
    /// Who there is.
    pub users: &'a Users,
    /// Names that stand for others.
    pub aliases: &'a Aliases,
}

/// What one address is, before aliases are followed.
enum Found<'a> {
    User(Target),
    Alias(&'a str),
    Unknown,
    Foreign,
}

/// An address that is being resolved.
struct Expansion<'a> {
    targets: Vec<Target>,
    seen: HashSet<Target>,
    /// Aliases on the way to the one that is looked at.
    way: Vec<&'a str>,
    /// Aliases that were followed to their ends.
    done: HashSet<&'a str>,
}

impl<'a> Directory<'a> {
    /// Finds the users of `local@domain`, or of `local` alone. Both parts as they are meant, not as they are quoted.
    pub fn resolve(&self, local: &str, domain: Option<&str>) -> Recipient {
        let found = match self.find(local, domain) {
            Found::Unknown => self.catch_all(domain),
            found => found,
        };
        match found {
            Found::User(target) => Recipient::Targets(vec![target]),
            Found::Unknown => Recipient::UnknownUser,
            Found::Foreign => Recipient::ForeignDomain,
            Found::Alias(name) => {
                let mut expansion =
                    Expansion { targets: vec![], seen: HashSet::new(), way: vec![], done: HashSet::new() };
                self.follow(name, &mut expansion);
                if expansion.targets.is_empty() {
                    Recipient::DeadAlias
                } else {
                    Recipient::Targets(expansion.targets)
                }
            }
        }
    }

    fn find(&self, local: &str, domain: Option<&str>) -> Found<'a> {
        let split = self.split(local);
        if let Some(domain) = domain {
            let full = |local: &str| format!("{local}@{domain}");
            let front = split.map(|(front, detail)| (full(front), detail));
            if let Some(found) = self.named(&full(local), front) {
                return found;
            }
            let domain = domain.to_lowercase();
            if !self.lmtp.domains.is_empty()
                && !self.lmtp.domains.iter().any(|ours| ours.to_lowercase() == domain)
            {
                return Found::Foreign;
            }
        }
        let front = split.map(|(front, detail)| (front.to_owned(), detail));
        self.named(local, front).unwrap_or(Found::Unknown)
    }

    /// The alias or the user of that name, or of the front of it.
    fn named(&self, name: &str, front: Option<(String, &str)>) -> Option<Found<'a>> {
        let exact = self.aliases.get(name).map(|(alias, _)| Found::Alias(alias));
        exact.or_else(|| self.user(name, None).map(Found::User)).or_else(|| {
            let (front, detail) = front?;
            let alias = self.aliases.get(&front).map(|(alias, _)| Found::Alias(alias));
            alias.or_else(|| self.user(&front, Some(detail)).map(Found::User))
        })
    }

    fn user(&self, name: &str, detail: Option<&str>) -> Option<Target> {
        let user = self.users.get(&user_name(name).ok()?)?;
        let detail = detail.filter(|detail| !detail.is_empty()).map(str::to_owned);
        Some(Target { user: user.name.to_owned(), detail })
    }

    /// What stands before and behind the first delimiter, if there is something before it.
    fn split<'l>(&self, local: &'l str) -> Option<(&'l str, &'l str)> {
        let at = local.find(|c| self.lmtp.delimiter.contains(c))?;
        let detail = local[at..].chars().next().map_or(0, char::len_utf8) + at;
        (at > 0).then(|| (&local[..at], &local[detail..]))
    }

    /// For an address of ours that nobody has.
    fn catch_all(&self, domain: Option<&str>) -> Found<'a> {
        let of_domain = domain.and_then(|domain| self.aliases.get(&format!("@{domain}")));
        if let Some((alias, _)) = of_domain {
            return Found::Alias(alias);
        }
        match self.lmtp.catch_all.as_str() {
            "" => Found::Unknown,
            address => {
                let (local, domain) = parts(address);
                self.find(local, domain)
            }
        }
    }

    /// Follows an alias to all users it stands for.
    fn follow(&self, name: &'a str, expansion: &mut Expansion<'a>) {
        let Some((name, targets)) = self.aliases.get(name) else { return };
        if expansion.way.len() >= DEPTH_MAX || !expansion.done.insert(name) {
            return;
        }
        expansion.way.push(name);
        for target in targets {
            if expansion.targets.len() >= TARGETS_MAX {
                break;
            }
            let (target, user_only) = match target.strip_prefix('\\') {
                Some(target) => (target, true),
                None => (&**target, false),
            };
            let (local, domain) = parts(target);
            match self.find(local, domain) {
                Found::User(target) => expansion.add(target),
                Found::Alias(alias) if user_only || expansion.way.contains(&alias) => {
                    let none = Aliases::default();
                    let users_alone = Directory { aliases: &none, users: self.users, lmtp: self.lmtp };
                    if let Found::User(target) = users_alone.find(local, domain) {
                        expansion.add(target);
                    }
                }
                Found::Alias(alias) => self.follow(alias, expansion),
                Found::Unknown | Found::Foreign => {}
            }
        }
        expansion.way.pop();
    }
}

impl Expansion<'_> {
    fn add(&mut self, target: Target) {
        if self.seen.insert(target.clone()) {
            self.targets.push(target);
        }
    }
}

/// Local part and domain of an address as a person writes it.
fn parts(address: &str) -> (&str, Option<&str>) {
    match address.rsplit_once('@') {
        Some((local, domain)) => (local, Some(domain)),
        None => (address, None),
    }
}

#[cfg(test)]
mod tests;
