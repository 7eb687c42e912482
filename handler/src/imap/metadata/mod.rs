//! GETMETADATA and SETMETADATA (RFC 5464), and METADATA in LIST (RFC 9590): what is said of mailboxes and of the server.
//!
//! `entries` says where entries are kept and what their limits are, `set` changes them, `changes` tells other sessions' changes to who has enabled it.
//!
//! Who may (RFC 5464, 3.3): entries of a mailbox are for who may look it up and has one of the rights r, s, w, i, p. Shared ones of another user's mailbox are
//! changed with the right w. Everybody sees the server's shared entries; administrators change them, but `/shared/admin`, which is a setting.

mod changes;
mod entries;
mod parked;
mod set;

use protocol::imap::command::Tag;
use protocol::imap::extension::metadata::{Depth, EntryName, GetMetadataArguments, MetadataCommand};
use protocol::imap::reply::code::Code;
use protocol::imap::reply::metadata as reply;
use protocol::imap::reply::status::Condition;
use protocol::imap::syntax::mailbox_name::MailboxName;
use store::lists::MailboxEntry;
use store::{MailboxId, Right, Rights, StoreError};

pub(crate) use self::changes::Watch;
pub(super) use self::changes::entry_of;
use self::entries::Entries;
pub(crate) use self::entries::server_filter;
pub(super) use self::entries::server_list;
pub(super) use self::parked::ParkedWatch;
use super::ending::{Ending, Tell};
use super::names::{Place, Unfound, permitted};
use super::{Flow, ImapSession, User};
use crate::conversation::Turn;

/// One of these is needed beside the right to look a mailbox up.
const ONE_OF: [Right; 5] = [Right::Read, Right::Seen, Right::Write, Right::Insert, Right::Post];

impl ImapSession {
    pub(super) fn metadata(&mut self, tag: Tag, command: MetadataCommand, turn: &mut Turn<'_>) -> Flow {
        match command {
            MetadataCommand::Get(arguments) => self.get_metadata(tag, &arguments, turn),
            MetadataCommand::Set(arguments) => self.set_metadata(tag, &arguments, turn),
        }
    }

    fn get_metadata(&mut self, tag: Tag, arguments: &GetMetadataArguments, turn: &mut Turn<'_>) -> Flow {
        let name = arguments.mailbox.as_ref().map_or("", MailboxName::as_str);
        let names = self.enabled.names();
        let entries = match self.entries_of(arguments.mailbox.as_ref(), turn) {
            Ok(entries) => entries,
            Err(error) => return self.refuse_unfound(turn, &tag, &error),
        };
        let found = entries.find(&arguments.entries, arguments.depth, arguments.max_size);
        reply::values(turn.output.bytes(), name, names, found.told());
        let code = found.longest.map(Code::MetadataLongEntries);
        let ending = Ending::with(tag, Tell::Everything, Condition::Ok, code, "GETMETADATA completed");
        self.go_on_ending(Box::new(ending), turn)
    }

    /// The entries of a mailbox, or of the server.
    fn entries_of(&self, name: Option<&MailboxName>, turn: &Turn<'_>) -> Result<Entries, Unfound> {
        let user = self.user().ok_or(Unfound::NonExistent)?;
        let Some(name) = name else { return Ok(Entries::of_server(user.id, turn)?) };
        let place = self.place_of(name, turn)?;
        let (entry, _) = annotated(&place, user)?;
        Ok(Entries::of_mailbox(place.list.clone(), entry, user.id))
    }

    /// Appends the METADATA reply for a mailbox that LIST tells (RFC 9590).
    pub(super) fn write_list_metadata(
        &self,
        out: &mut Vec<u8>,
        name: &str,
        id: MailboxId,
        asked: &[EntryName],
        turn: &Turn<'_>,
    ) -> Result<(), StoreError> {
        let list = turn.shared.store.mailbox_list(id.user)?;
        let (Some(user), Some(entry)) = (self.user(), list.by_number(id.number)) else { return Ok(()) };
        if !may_see(list.rights_of(entry.number, user.id, &user.name)) {
            return Ok(());
        }
        let entries = Entries::of_mailbox(list.clone(), entry, user.id);
        let found = entries.find(asked, Depth::Zero, None);
        reply::values(out, name, self.enabled.names(), found.told());
        Ok(())
    }
}

/// The mailbox of that name, if the user may see its entries, and what else the user may do with it.
fn annotated<'p>(place: &'p Place, user: &User) -> Result<(&'p MailboxEntry, Rights), Unfound> {
    let entry = place.entry().filter(|entry| !entry.placeholder).ok_or(Unfound::NonExistent)?;
    let rights = permitted(place.rights(entry, user), Right::Lookup)?;
    if may_see(rights) { Ok((entry, rights)) } else { Err(Unfound::NoPermission) }
}

fn may_see(rights: Rights) -> bool {
    rights.has(Right::Lookup) && ONE_OF.into_iter().any(|right| rights.has(right))
}
