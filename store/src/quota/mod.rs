//! Quota: how much mail a user may have, and how much there is.
//!
//! Limits are truth: a change in the sequence of the user's mailbox list, kept in that list. What a process takes for users
//! without limits of their own is an option of opening the store. Usage is a view.
//!
//! `usage` is the view, `known` what this process knows of limits, `of_store` asks both; `txn::room` refuses.
//!
//! What counts: messages that are not expunged, in all mailboxes of the user, each copy by itself; octets are RFC822.SIZE.
//! Mailboxes that can hold messages count by themselves; how many there may be keeps CREATE from making more, and nothing else.
//! A change that would bring a user above a limit is refused; what leaves the sum as it is or lowers it never is.

pub(crate) mod known;
mod of_store;
pub(crate) mod usage;

use std::fmt;

/// How much there may be of one resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Limit {
    /// What the store was opened with says it; nothing is limited if that says so, too.
    #[default]
    Default,
    /// Any number.
    Unlimited,
    /// At most so many; up to [`Limit::HIGHEST`].
    Most(u64),
}

/// The limits of a user, or those of all users who have none of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Limits {
    /// RFC822.SIZE of all messages together.
    pub octets: Limit,
    /// Messages.
    pub messages: Limit,
    /// Mailboxes that can hold messages, INBOX among them.
    pub mailboxes: Limit,
    /// Octets of the annotations of all messages together, names and values.
    pub annotations: Limit,
}

/// What a user's mail comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// RFC822.SIZE of all messages together.
    pub octets: u64,
    /// Messages.
    pub messages: u64,
}

/// A user's limits and usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// What was set for this user.
    pub own: Limits,
    /// What holds for this user: never [`Limit::Default`].
    pub limits: Limits,
    /// What there is now.
    pub usage: Usage,
    /// Mailboxes that there are now.
    pub mailboxes: u64,
}

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Octets.
    Octets,
    /// Messages.
    Messages,
    /// Mailboxes.
    Mailboxes,
    /// Octets of annotations.
    Annotations,
}

impl Limit {
    /// The highest limit that is not the same as none.
    pub const HIGHEST: u64 = u64::MAX - 2;

    /// As files and changes have it: 0 default, 1 unlimited, else the limit and 2.
    pub(crate) fn to_number(self) -> u64 {
        match self {
            Limit::Default => 0,
            Limit::Unlimited => 1,
            Limit::Most(most) => most.saturating_add(2),
        }
    }

    /// What `to_number` made `number` of.
    pub(crate) fn from_number(number: u64) -> Limit {
        match number {
            0 => Limit::Default,
            1 => Limit::Unlimited,
            number => Limit::Most(number - 2),
        }
    }

    /// This limit, or `default` where this one says so; never [`Limit::Default`].
    fn or(self, default: Limit) -> Limit {
        match (self, default) {
            (Limit::Default, Limit::Default) => Limit::Unlimited,
            (Limit::Default, default) => default,
            (own, _) => own,
        }
    }

    fn allows(self, amount: u64) -> bool {
        match self {
            Limit::Most(most) => amount <= most,
            Limit::Default | Limit::Unlimited => true,
        }
    }
}

impl Limits {
    /// What holds for a user with these limits where `defaults` are those of everybody.
    pub fn or(self, defaults: Limits) -> Limits {
        Limits {
            octets: self.octets.or(defaults.octets),
            messages: self.messages.or(defaults.messages),
            mailboxes: self.mailboxes.or(defaults.mailboxes),
            annotations: self.annotations.or(defaults.annotations),
        }
    }

    /// Whether what is in mailboxes is limited, so that usage is counted. How many mailboxes there are is seen in the list.
    pub fn is_limited(self) -> bool {
        [self.octets, self.messages].iter().any(|limit| matches!(limit, Limit::Most(_)))
    }

    /// Whether there may be so many mailboxes.
    pub fn allows_mailboxes(self, count: u64) -> bool {
        self.mailboxes.allows(count)
    }

    /// Whether octets of annotations are limited.
    pub fn limits_annotations(self) -> bool {
        matches!(self.annotations, Limit::Most(_))
    }

    /// Whether there may be so many octets of annotations.
    pub fn allows_annotations(self, octets: u64) -> bool {
        self.annotations.allows(octets)
    }

    /// What `usage` is too much of.
    pub fn exceeded_by(self, usage: Usage) -> Option<Resource> {
        if !self.octets.allows(usage.octets) {
            Some(Resource::Octets)
        } else if !self.messages.allows(usage.messages) {
            Some(Resource::Messages)
        } else {
            None
        }
    }
}

impl Usage {
    /// Both together.
    pub fn and(self, other: Usage) -> Usage {
        Usage {
            octets: self.octets.saturating_add(other.octets),
            messages: self.messages.saturating_add(other.messages),
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Resource::Octets => "octets",
            Resource::Messages => "messages",
            Resource::Mailboxes => "mailboxes",
            Resource::Annotations => "octets of annotations",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_survives_its_number() {
        for limit in
            [Limit::Default, Limit::Unlimited, Limit::Most(0), Limit::Most(7), Limit::Most(Limit::HIGHEST)]
        {
            assert_eq!(Limit::from_number(limit.to_number()), limit);
        }
    }

    #[test]
    fn own_limits_come_before_the_default() {
        let defaults = Limits { octets: Limit::Most(100), mailboxes: Limit::Most(9), ..Limits::default() };
        let own = Limits { messages: Limit::Most(3), ..Limits::default() };
        let both = Limits {
            octets: Limit::Most(100),
            messages: Limit::Most(3),
            mailboxes: Limit::Most(9),
            annotations: Limit::Unlimited,
        };
        assert_eq!(own.or(defaults), both);
        let free = Limits { octets: Limit::Unlimited, ..Limits::default() }.or(defaults);
        assert!(!free.is_limited());
        assert!(!Limits::default().or(Limits::default()).is_limited());
    }

    #[test]
    fn a_limit_is_what_may_be_there() {
        let limits = Limits {
            octets: Limit::Most(10),
            messages: Limit::Most(1),
            mailboxes: Limit::Most(2),
            annotations: Limit::Most(4),
        };
        assert!(limits.allows_annotations(4) && !limits.allows_annotations(5));
        assert!(limits.allows_mailboxes(2) && !limits.allows_mailboxes(3));
        assert_eq!(limits.exceeded_by(Usage { octets: 10, messages: 1 }), None);
        assert_eq!(limits.exceeded_by(Usage { octets: 11, messages: 1 }), Some(Resource::Octets));
        assert_eq!(limits.exceeded_by(Usage { octets: 0, messages: 2 }), Some(Resource::Messages));
    }
}
