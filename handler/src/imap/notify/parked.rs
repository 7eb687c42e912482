//! What is kept of a session that NOTIFY was asked of (`crate::parked`): the command as it came, and what the client knows of each mailbox.
//!
//! The lists themselves are not kept, only their versions. If one has changed when the next handler goes on, what changed in it is not known any more:
//! then the client is told NOTIFICATIONOVERFLOW and nothing more, as RFC 5465, 5.8 has it.

use std::borrow::Cow;

use protocol::imap::command::{Command, Tagged};
use protocol::imap::extension::notify::NotifyArguments;
use protocol::imap::reply::code::Code;
use protocol::imap::reply::status::{self as reply, Condition};
use protocol::imap::{Decoded, Decoder};
use serde::{Deserialize, Serialize};
use store::{MailboxId, StoreError, UserId};

use super::super::ImapSession;
use super::{Known, MAILBOXES_MAX, Notify, State, known_lists};
use crate::conversation::Turn;
use crate::parked::Unreadable;

/// Octets of a NOTIFY command that are kept; one that is longer is not, and its session cannot go on elsewhere.
pub(in crate::imap) const COMMAND_OCTETS_MAX: usize = 32 * 1024;

/// What NOTIFY asked for, and what was told.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::imap) struct ParkedNotify<'a> {
    /// The command; empty after NOTIFY NONE.
    command: Cow<'a, [u8]>,
    /// Users and versions of the lists.
    lists: Vec<(u32, u64)>,
    mailboxes: Vec<ParkedMailbox>,
    own_names: Cow<'a, [String]>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct ParkedMailbox {
    owner: u32,
    number: u32,
    exists: u32,
    uid_next: u32,
    unseen: u32,
    highest_modseq: u64,
}

impl Notify {
    /// What is to be kept of it; nothing if that is too much.
    pub(in crate::imap) fn park(&self) -> Option<ParkedNotify<'_>> {
        if self.is_active() && self.command.is_empty() {
            return None;
        }
        let mailboxes = self.mailboxes.iter().map(|(id, known)| ParkedMailbox {
            owner: id.user.0,
            number: id.number,
            exists: known.state.exists,
            uid_next: known.state.uid_next,
            unseen: known.state.unseen,
            highest_modseq: known.state.highest_modseq,
        });
        Some(ParkedNotify {
            command: Cow::Borrowed(if self.is_active() { &self.command } else { &[] }),
            lists: self.lists.iter().map(|known| (known.list.user().0, known.list.version())).collect(),
            mailboxes: mailboxes.collect(),
            own_names: Cow::Borrowed(&self.own_names),
        })
    }

    /// A number that is another when something else is to be kept. Never 0.
    pub(in crate::imap) fn stamp(&self) -> u64 {
        self.stamp
    }

    /// Whether all of it can be kept.
    pub(in crate::imap) fn can_be_kept(&self) -> bool {
        !self.is_active() || !self.command.is_empty()
    }
}

impl ImapSession {
    /// Goes on telling what NOTIFY asked of the session in another handler.
    pub(in crate::imap) fn resume_notify(
        &mut self,
        parked: ParkedNotify<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Unreadable> {
        if parked.command.is_empty() {
            self.stop_notifying(turn);
            return Ok(());
        }
        let mut limits = *self.decoder.limits();
        limits.names = self.enabled.names();
        let (_, decoded) = Decoder::new(limits).decode(&parked.command);
        let Decoded::Command(Tagged { tag, command: Command::Notify(NotifyArguments::Set(set)) }) = decoded
        else {
            return Err(Unreadable("what it is to be told of makes no sense"));
        };
        let mut notify = Box::new(Notify::new(&tag, set.groups, parked.command.into_owned()));
        match self.find_again(&mut notify, &parked.lists, parked.mailboxes, turn) {
            Ok(true) => {
                notify.own_names = parked.own_names.into_owned();
                notify.own_names.truncate(MAILBOXES_MAX);
                self.notify = Some(notify);
                self.apply_notify();
                Ok(())
            }
            Ok(false) => {
                self.stop_notifying(turn);
                let code = Some(Code::NotificationOverflow);
                let text = "Mailboxes changed while the session moved: look at all of them";
                reply::untagged(turn.output.bytes(), Condition::Ok, code, text);
                Ok(())
            }
            Err(_) => Err(Unreadable("the mailboxes that it is to be told of cannot be read")),
        }
    }

    /// Watches what is to be told of, and knows of it what the client knows; false if that cannot be known.
    fn find_again(
        &self,
        notify: &mut Notify,
        lists: &[(u32, u64)],
        mailboxes: Vec<ParkedMailbox>,
        turn: &mut Turn<'_>,
    ) -> Result<bool, StoreError> {
        if notify.groups.is_empty() {
            self.watch(notify, turn);
            return Ok(true);
        }
        let owners = self.owners(&notify.groups, turn)?;
        turn.watch(owners.iter().map(|owner| MailboxId::list_of(*owner).key()).collect());
        notify.lists = known_lists(&owners, turn)?;
        let versions = notify.lists.iter().map(|known| (known.list.user().0, known.list.version()));
        let scope = self.scope(&notify.groups, turn)?;
        if !versions.eq(lists.iter().copied()) || scope.len() > MAILBOXES_MAX {
            return Ok(false);
        }
        // What has another generation than that of its row is looked at next.
        let unseen = |(id, (name, events))| {
            (id, Known { name, events, generation: u64::MAX, state: State::default() })
        };
        notify.mailboxes = scope.into_iter().map(unseen).collect();
        for parked in mailboxes {
            let id = MailboxId { user: UserId(parked.owner), number: parked.number };
            if let Some(known) = notify.mailboxes.get_mut(&id) {
                let ParkedMailbox { exists, uid_next, unseen, highest_modseq, .. } = parked;
                known.state = State { exists, uid_next, unseen, highest_modseq };
            }
        }
        self.watch(notify, turn);
        Ok(true)
    }
}
