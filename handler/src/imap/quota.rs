//! GETQUOTA, GETQUOTAROOT and SETQUOTA (RFC 9208; RFC 2087): how much mail users have and may have.
//!
//! Each user is one quota root, `user/<name>`, over all mailboxes that the user owns. Of another user's root, which others' mailboxes lead to, only who may read
//! one of those mailboxes, or an administrator, is told; it does not exist for others. Administrators ([auth] administrators in the settings) set limits.
//!
//! STORAGE is RFC822.SIZE of all messages, ANNOTATION-STORAGE names and values of their annotations, both in units of 1,024 octets: what is used rounded up, what may be used rounded down.

use protocol::imap::command::Tag;
use protocol::imap::extension::quota::{QuotaCommand, QuotaResource, QuotaRoot, ResourceLimit};
use protocol::imap::reply::code::Code;
use protocol::imap::reply::quota as reply;
use protocol::imap::reply::status::Condition;
use protocol::imap::syntax::mailbox_name::MailboxName;
use store::lists::MailboxList;
use store::quota::{Limit, Limits};
use store::rights::ANYONE;
use store::{Right, StoreError, UserId};

use super::ending::{Ending, Tell};
use super::names::{Place, Unfound, permitted};
use super::{Flow, ImapSession, User};
use crate::conversation::Turn;

/// What the names of quota roots begin with.
const ROOT_PREFIX: &str = "user/";
/// A unit of STORAGE and ANNOTATION-STORAGE, in octets.
const STORAGE_UNIT: u64 = 1024;

/// Whose quota a root is.
struct Root {
    user: UserId,
    name: String,
}

impl ImapSession {
    pub(super) fn quota(&mut self, tag: Tag, command: &QuotaCommand, turn: &mut Turn<'_>) -> Flow {
        match command {
            QuotaCommand::Get(root) => self.get_quota(tag, root, turn),
            QuotaCommand::GetRoot(mailbox) => self.get_quota_root(tag, mailbox, turn),
            QuotaCommand::Set(root, limits) => self.set_quota(tag, root, limits, turn),
        }
    }

    /// Whether the settings name the user as an administrator.
    pub(super) fn is_administrator(&self, turn: &Turn<'_>) -> bool {
        let settings = turn.shared.settings();
        self.user().is_some_and(|user| settings.auth.administrators.contains(&user.name))
    }

    fn get_quota(&mut self, tag: Tag, root: &QuotaRoot, turn: &mut Turn<'_>) -> Flow {
        let told = self.root(root, turn).and_then(|root| match root {
            Some(root) => write_quota(&root, turn).map(Some),
            None => Ok(None),
        });
        match told {
            Ok(Some(())) => self.end(turn, tag, Tell::Everything, "GETQUOTA completed"),
            Ok(None) => self.refuse_root(&tag, turn),
            Err(error) => self.refuse_store(turn, &tag, &error),
        }
    }

    fn get_quota_root(&mut self, tag: Tag, mailbox: &MailboxName, turn: &mut Turn<'_>) -> Flow {
        let root = match self.root_of(mailbox, turn) {
            Ok(root) => root,
            Err(error) => return self.refuse_unfound(turn, &tag, &error),
        };
        let (name, names) = (mailbox.as_str(), self.enabled.names());
        let mark = turn.output.mark();
        reply::quota_root(turn.output.bytes(), name, names, [root.name.as_str()]);
        match write_quota(&root, turn) {
            Ok(()) => self.end(turn, tag, Tell::Everything, "GETQUOTAROOT completed"),
            Err(error) => {
                turn.output.reset_to(mark);
                self.refuse_store(turn, &tag, &error)
            }
        }
    }

    fn set_quota(
        &mut self,
        tag: Tag,
        root: &QuotaRoot,
        limits: &[ResourceLimit],
        turn: &mut Turn<'_>,
    ) -> Flow {
        let root = match self.root(root, turn) {
            Ok(Some(root)) => root,
            Ok(None) => return self.refuse_root(&tag, turn),
            Err(error) => return self.refuse_store(turn, &tag, &error),
        };
        if !self.is_administrator(turn) {
            let text = "Only administrators set quota";
            return self.refuse(turn, &tag, Condition::No, Some(Code::NoPerm), text);
        }
        let Some(limits) = limits_of(limits) else {
            let text = "There is a resource that is not limited here";
            return self.refuse(turn, &tag, Condition::No, Some(Code::Cannot), text);
        };
        let mut txn = self.begin_change(turn);
        txn.set_quota(root.user, limits);
        let committed = match txn.commit() {
            Ok(committed) => committed,
            Err(error) => return self.refuse_change(turn, &tag, &error, Code::NonExistent),
        };
        let mut told = Vec::new();
        if let Err(error) = quota_reply(&mut told, &root, turn) {
            // The limits are set; the reply is not asked for (RFC 9208, 4.1.3).
            crate::log::warning!("no QUOTA after SETQUOTA", user = root.name, why = error);
        }
        let ending = Ending::ok(tag.clone(), Tell::Everything, "SETQUOTA completed");
        self.end_after(tag, committed.ticket, ending.preceded_by(told))
    }

    fn refuse_root(&mut self, tag: &Tag, turn: &mut Turn<'_>) -> Flow {
        let text = "There is no such quota root";
        self.refuse(turn, tag, Condition::No, Some(Code::NonExistent), text)
    }

    /// The root of that name, if the user may know of it.
    fn root(&self, root: &QuotaRoot, turn: &Turn<'_>) -> Result<Option<Root>, StoreError> {
        let name = std::str::from_utf8(root.as_bytes()).ok().and_then(|name| name.strip_prefix(ROOT_PREFIX));
        let (Some(name), Some(user)) = (name.filter(|name| *name != ANYONE), self.user()) else {
            return Ok(None);
        };
        let store = &turn.shared.store;
        let Some(owner) = store.find_user(name)? else { return Ok(None) };
        if owner != user.id && !self.is_administrator(turn) && !reads_any(&*store.mailbox_list(owner)?, user)
        {
            return Ok(None);
        }
        Ok(Some(Root { user: owner, name: format!("{ROOT_PREFIX}{name}") }))
    }

    /// The root of a mailbox, which need not be there yet (RFC 9208, 4.1.2).
    fn root_of(&self, mailbox: &MailboxName, turn: &Turn<'_>) -> Result<Root, Unfound> {
        let user = self.user().ok_or(Unfound::NonExistent)?;
        let place = self.place_of(mailbox, turn)?;
        if place.owner != user.id && !self.is_administrator(turn) {
            self.may_know_root(&place, user)?;
        }
        let name = turn.shared.store.user_name(place.owner)?;
        Ok(Root { user: place.owner, name: format!("{ROOT_PREFIX}{name}") })
    }

    /// RFC 9208, 6: how much there is, is for who may read the mailbox.
    fn may_know_root(&self, place: &Place, user: &User) -> Result<(), Unfound> {
        match place.entry() {
            Some(entry) => permitted(place.rights(entry, user), Right::Read).map(|_| ()),
            None => self.may_create(place),
        }
    }
}

/// Whether a user may read one of another's mailboxes.
fn reads_any(list: &MailboxList, user: &User) -> bool {
    let may_read = |number| list.rights_of(number, user.id, &user.name).has(Right::Read);
    list.entries().iter().any(|entry| !entry.placeholder && may_read(entry.number))
}

fn write_quota(root: &Root, turn: &mut Turn<'_>) -> Result<(), StoreError> {
    let mut told = Vec::new();
    quota_reply(&mut told, root, turn)?;
    turn.output.bytes().append(&mut told);
    Ok(())
}

/// Appends the QUOTA reply of a user: what is limited, with what there is of it.
fn quota_reply(out: &mut Vec<u8>, root: &Root, turn: &Turn<'_>) -> Result<(), StoreError> {
    let quota = turn.shared.store.quota(root.user)?;
    let annotations = match quota.limits.annotations {
        Limit::Most(_) => turn.shared.store.annotation_octets(root.user)?,
        Limit::Default | Limit::Unlimited => 0,
    };
    let resources = QuotaResource::EVERY.into_iter().filter_map(|resource| {
        let (usage, limit) = match resource {
            QuotaResource::Storage => (quota.usage.octets.div_ceil(STORAGE_UNIT), quota.limits.octets),
            QuotaResource::Message => (quota.usage.messages, quota.limits.messages),
            QuotaResource::Mailbox => (quota.mailboxes, quota.limits.mailboxes),
            QuotaResource::AnnotationStorage => {
                (annotations.div_ceil(STORAGE_UNIT), quota.limits.annotations)
            }
        };
        let is_in_units = matches!(resource, QuotaResource::Storage | QuotaResource::AnnotationStorage);
        match limit {
            Limit::Most(most) if is_in_units => Some((resource, usage, most / STORAGE_UNIT)),
            Limit::Most(most) => Some((resource, usage, most.min(i64::MAX as u64))),
            Limit::Default | Limit::Unlimited => None,
        }
    });
    reply::quota(out, &root.name, resources);
    Ok(())
}

/// Limits as the store has them: what is not named is not limited (RFC 9208, 4.1.3). `None` if one is of a resource that is not limited here.
fn limits_of(limits: &[ResourceLimit]) -> Option<Limits> {
    let unlimited = Limit::Unlimited;
    let mut made =
        Limits { octets: unlimited, messages: unlimited, mailboxes: unlimited, annotations: unlimited };
    for limit in limits {
        let octets = limit.limit.saturating_mul(STORAGE_UNIT).min(Limit::HIGHEST);
        match limit.resource? {
            QuotaResource::Storage => made.octets = Limit::Most(octets),
            QuotaResource::AnnotationStorage => made.annotations = Limit::Most(octets),
            QuotaResource::Message => made.messages = Limit::Most(limit.limit),
            QuotaResource::Mailbox => made.mailboxes = Limit::Most(limit.limit),
        }
    }
    Some(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_is_not_limited() {
        let limit = |resource, limit| ResourceLimit { resource, limit };
        let made = limits_of(&[
            limit(Some(QuotaResource::Storage), 2),
            limit(Some(QuotaResource::Mailbox), 0),
            limit(Some(QuotaResource::AnnotationStorage), 3),
        ]);
        let (octets, mailboxes, unlimited) = (Limit::Most(2048), Limit::Most(0), Limit::Unlimited);
        assert_eq!(
            made,
            Some(Limits { octets, messages: unlimited, mailboxes, annotations: Limit::Most(3072) })
        );
        let highest = limits_of(&[limit(Some(QuotaResource::Storage), i64::MAX as u64)]);
        assert_eq!(highest.map(|limits| limits.octets), Some(Limit::Most(Limit::HIGHEST)));
        assert_eq!(limits_of(&[limit(None, 1)]), None);
    }
}
