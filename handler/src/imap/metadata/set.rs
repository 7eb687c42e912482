//! SETMETADATA: all of a command's entries, or none. Everything is looked at before anything is changed, and what is changed is one transaction.

use protocol::imap::command::Tag;
use protocol::imap::extension::metadata::{EntryName, Scope, SetMetadataArguments};
use protocol::imap::extension::special_use as wire;
use protocol::imap::reply::code::Code;
use protocol::imap::reply::status::Condition;
use store::change::SpecialUse;
use store::rights::ANYONE;
use store::{ChangeError, Right, Store, Txn, UserId};

use super::super::ending::{Ending, Tell};
use super::super::mailboxes::stored_use;
use super::super::names::{Place, Unfound};
use super::super::{Flow, ImapSession};
use super::entries::{
    ADMINISTRATOR, ENTRIES_MAX, Entries, GUEST_ENTRIES_MAX, GUEST_VALUE_BYTES_MAX, SPECIAL_USE,
    VALUE_BYTES_MAX,
};
use super::{annotated, changes};
use crate::conversation::Turn;

/// Why nothing is set.
enum Refusal {
    Unfound(Unfound),
    Change(ChangeError),
    Code(Code<'static>, &'static str),
}

impl From<Unfound> for Refusal {
    fn from(error: Unfound) -> Refusal {
        Refusal::Unfound(error)
    }
}

impl From<store::StoreError> for Refusal {
    fn from(error: store::StoreError) -> Refusal {
        Refusal::Unfound(error.into())
    }
}

impl From<ChangeError> for Refusal {
    fn from(error: ChangeError) -> Refusal {
        Refusal::Change(error)
    }
}

/// What is set of which list.
struct Target {
    entries: Entries,
    /// The owner of the list that has the private entries; those that are shared may be in another.
    owner: UserId,
    mailbox: Option<u32>,
    /// The mailbox's name in its list, if it is the user's own.
    own_name: Option<String>,
    may_share: bool,
    entries_max: usize,
    value_bytes_max: usize,
}

/// One change.
enum Step {
    Attribute { user: UserId, name: String, value: Option<Vec<u8>> },
    SpecialUse(Option<SpecialUse>),
}

impl ImapSession {
    pub(super) fn set_metadata(
        &mut self,
        tag: Tag,
        arguments: &SetMetadataArguments,
        turn: &mut Turn<'_>,
    ) -> Flow {
        let done = self.planned(arguments, turn).and_then(|(target, steps)| {
            let committed = self.commit(turn, |txn| steps.iter().for_each(|step| step.put(&target, txn)))?;
            Ok((target, steps, committed))
        });
        match done {
            Ok((target, steps, committed)) => {
                if let Some(watch) = &mut self.metadata_watch {
                    for step in &steps {
                        step.note(&target, watch);
                    }
                }
                self.note_own_names(&[arguments.mailbox.as_ref().map_or("", |name| name.as_str())]);
                let ending = Ending::ok(tag.clone(), Tell::Everything, "SETMETADATA completed");
                self.end_after(tag, committed.ticket, ending)
            }
            Err(Refusal::Unfound(error)) => self.refuse_unfound(turn, &tag, &error),
            Err(Refusal::Change(ChangeError::Limit(_))) => {
                self.refuse(turn, &tag, Condition::No, Some(Code::MetadataTooMany), TOO_MANY)
            }
            Err(Refusal::Change(error)) => self.refuse_change(turn, &tag, &error, Code::NonExistent),
            Err(Refusal::Code(code, text)) => self.refuse(turn, &tag, Condition::No, Some(code), text),
        }
    }

    fn planned(
        &self,
        arguments: &SetMetadataArguments,
        turn: &Turn<'_>,
    ) -> Result<(Target, Vec<Step>), Refusal> {
        let target = match &arguments.mailbox {
            None => self.server_target(turn)?,
            Some(name) => self.mailbox_target(&self.place_of(name, turn)?)?,
        };
        let steps = arguments
            .values
            .iter()
            .map(|(name, value)| self.step(&target, name, value.as_deref(), &turn.shared.store));
        let steps = steps.collect::<Result<Vec<_>, _>>()?;
        for scope in [Scope::Private, Scope::Shared] {
            let of = |name: &&(EntryName, Option<Vec<u8>>)| name.0.parts().0 == scope;
            let named = || arguments.values.iter().filter(of);
            let made = named().filter(|(name, value)| value.is_some() && !target.entries.has(name)).count();
            let gone = named().filter(|(name, value)| value.is_none() && target.entries.has(name)).count();
            let before = target.entries.scope(scope).map_or(0, |entries| entries.all().count());
            if made > gone && before + made - gone > target.entries_max {
                return Err(Refusal::Code(Code::MetadataTooMany, TOO_MANY));
            }
        }
        Ok((target, steps))
    }

    fn server_target(&self, turn: &Turn<'_>) -> Result<Target, Refusal> {
        let user = self.user().ok_or(Unfound::NonExistent)?;
        Ok(Target {
            entries: Entries::of_server(user.id, turn)?,
            owner: user.id,
            mailbox: None,
            own_name: None,
            may_share: self.is_administrator(turn),
            entries_max: ENTRIES_MAX,
            value_bytes_max: VALUE_BYTES_MAX,
        })
    }

    fn mailbox_target(&self, place: &Place) -> Result<Target, Refusal> {
        let user = self.user().ok_or(Unfound::NonExistent)?;
        let (entry, rights) = annotated(place, user)?;
        let is_own = place.owner == user.id;
        Ok(Target {
            entries: Entries::of_mailbox(place.list.clone(), entry, user.id),
            owner: place.owner,
            mailbox: Some(entry.number),
            own_name: is_own.then(|| entry.name.clone()),
            may_share: rights.has(Right::Write),
            entries_max: if is_own { ENTRIES_MAX } else { GUEST_ENTRIES_MAX },
            value_bytes_max: if is_own { VALUE_BYTES_MAX } else { GUEST_VALUE_BYTES_MAX },
        })
    }

    fn step(
        &self,
        target: &Target,
        name: &EntryName,
        value: Option<&[u8]>,
        store: &Store,
    ) -> Result<Step, Refusal> {
        let (scope, rest) = name.parts();
        if value.is_some_and(|value| value.len() > target.value_bytes_max) {
            let code = Code::MetadataMaxSize(target.value_bytes_max as u64);
            return Err(Refusal::Code(code, "A value is too long"));
        }
        let is_of_server = target.mailbox.is_none();
        if is_of_server && name.as_str() == ADMINISTRATOR {
            return Err(Refusal::Code(Code::NoPerm, "That entry is a setting of the server"));
        }
        if !is_of_server && name.as_str() == SPECIAL_USE {
            return self.special_use_step(target, value);
        }
        if scope == Scope::Shared && !target.may_share {
            return Err(Refusal::Code(Code::NoPerm, "You may not change what others see here"));
        }
        let user = match scope {
            Scope::Shared if is_of_server => store.ensure_user(ANYONE)?,
            _ => target.owner,
        };
        let name = match target.entries.scope(scope) {
            Some(entries) => entries.name(rest),
            None => format!("meta/shared{rest}"),
        };
        Ok(Step::Attribute { user, name, value: value.map(<[u8]>::to_vec) })
    }

    /// RFC 6154, 4: the entry is what the mailbox is for.
    fn special_use_step(&self, target: &Target, value: Option<&[u8]>) -> Result<Step, Refusal> {
        let refused = |text| Err(Refusal::Code(Code::UseAttribute, text));
        if target.own_name.is_none() {
            return refused("Only the owner says what a mailbox is for");
        }
        let text = value.map(String::from_utf8_lossy).unwrap_or_default();
        let mut uses = text.split_ascii_whitespace();
        let special_use = match (uses.next(), uses.next()) {
            (None, _) => None,
            (Some(attribute), None) => match wire::SpecialUse::from_attribute(attribute) {
                Some(wire::SpecialUse::All | wire::SpecialUse::Flagged) => {
                    return refused("A mailbox that messages are put into cannot be that");
                }
                Some(known) => Some(stored_use(known)),
                None => return refused("There is no such use"),
            },
            _ => return refused("A mailbox has one special use"),
        };
        Ok(Step::SpecialUse(special_use))
    }
}

const TOO_MANY: &str = "There are as many entries as there may be";

impl Step {
    fn put(&self, target: &Target, txn: &mut Txn<'_>) {
        match self {
            Step::Attribute { user, name, value } => {
                txn.set_attribute(*user, target.mailbox, name, value.as_deref());
            }
            Step::SpecialUse(special_use) => {
                if let Some(name) = &target.own_name {
                    txn.special_use(target.owner, name, *special_use);
                }
            }
        }
    }

    /// What the user did is not told to the user.
    fn note(&self, target: &Target, watch: &mut changes::Watch) {
        match self {
            Step::Attribute { user, name, value } => {
                watch.note(*user, target.mailbox, name, value.as_deref());
            }
            Step::SpecialUse(special_use) => {
                watch.note_special_use(target.owner, target.mailbox, *special_use);
            }
        }
    }
}
