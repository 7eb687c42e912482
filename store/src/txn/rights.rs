//! The decision about who may do what with a mailbox (`rights.rs`): what the owner's list says, and, in the same frame, what the list of who gets rights says of
//! the owner.

use crate::change::Change;
use crate::error::ChangeError;
use crate::ids::{MailboxId, UserId};
use crate::lists::plan_attribute;
use crate::rights::{ACL, ANYONE, Rights, RightsChange, SHARED, decode, encode, subject};
use crate::txn::Outcome;
use crate::txn::plan::{Plan, Stop};

impl Plan<'_> {
    pub(super) fn set_rights(
        &mut self,
        mailbox: MailboxId,
        identifier: &str,
        change: RightsChange,
    ) -> Result<Outcome, Stop> {
        let whose = subject(identifier);
        let user = self.store.find_user(whose)?;
        if user == Some(mailbox.user) {
            return Err(ChangeError::NotAllowed("the owner of a mailbox has all rights in it").into());
        }
        let attribute = format!("{ACL}{identifier}");
        let list = self.list(mailbox.user)?;
        let known = list.attribute(Some(mailbox.number), &attribute);
        let known = known.map(decode).filter(|(_, number)| number.is_none() || *number == user);
        let rights = change.of(known.map_or(Rights::NONE, |(rights, _)| rights));
        let is_empty = rights == Rights::NONE;
        if user.is_none() && !is_empty {
            return Err(ChangeError::NotAllowed("rights for a user that is not there").into());
        }
        let value = encode(rights, user.filter(|_| whose != ANYONE));
        let value = (!is_empty).then_some(&value[..]);
        let changes = plan_attribute(list, Some(mailbox.number), &attribute, value)?;
        self.change_list(mailbox.user, changes);
        match user {
            // What is only taken away shows nobody anything.
            Some(user) if whose == identifier => self.name_owner(mailbox.user, user, identifier)?,
            _ => (),
        }
        Ok(Outcome::Done)
    }

    /// The user's list names the owner while any mailbox of that one gives the identifier rights.
    fn name_owner(&mut self, owner: UserId, user: UserId, identifier: &str) -> Result<(), Stop> {
        let speaks = self.list(owner)?.speaks_of(identifier);
        let name = format!("{SHARED}{}", owner.0);
        let changes: Vec<Change> = plan_attribute(self.list(user)?, None, &name, speaks.then_some(b""))?;
        self.change_list(user, changes);
        Ok(())
    }
}
