//! Why a command was not done, in the words and codes of RFC 5530.

use protocol::imap::command::Tag;
use protocol::imap::reply::code::Code;
use protocol::imap::reply::status::{self as reply, Condition};
use protocol::imap::syntax::mailbox_name::MailboxName;
use store::quota::Resource;
use store::{ChangeError, StoreError};

use super::names::Unfound;
use super::selected::Unresolved;
use super::{Flow, ImapSession, Stage};
use crate::conversation::Turn;
use crate::crashes;
use crate::log;

impl ImapSession {
    /// Ends a command that did nothing.
    pub(super) fn refuse(
        &mut self,
        turn: &mut Turn<'_>,
        tag: &Tag,
        condition: Condition,
        code: Option<Code<'_>>,
        text: &str,
    ) -> Flow {
        if let Stage::Selected(_, selected) = &mut self.stage {
            selected.client_modseq.settle();
        }
        reply::tagged(turn.output.bytes(), tag, condition, code, text);
        Flow::Continue
    }

    /// Ends a command that named messages which are not there.
    pub(super) fn refuse_unresolved(&mut self, turn: &mut Turn<'_>, tag: &Tag, error: &Unresolved) -> Flow {
        match error {
            Unresolved::NoSuchMessage => {
                self.refuse(turn, tag, Condition::Bad, None, "No message has such a sequence number")
            }
            Unresolved::Store(error) => self.refuse_store(turn, tag, error),
        }
    }

    /// Ends a command that would have put messages into a mailbox that is not there. TRYCREATE is for names that CREATE would
    /// take (RFC 3501, 6.3.11).
    pub(super) fn refuse_target(
        &mut self,
        turn: &mut Turn<'_>,
        tag: &Tag,
        mailbox: &MailboxName,
        error: &Unfound,
    ) -> Flow {
        if !matches!(error, Unfound::NonExistent) {
            return self.refuse_unfound(turn, tag, error);
        }
        let created = self.place(mailbox.as_str(), turn).and_then(|place| {
            self.may_create(&place)?;
            Ok(store::lists::normalize_name(&place.name).is_ok())
        });
        let code = match created {
            Ok(true) => Code::TryCreate,
            Ok(false) => Code::Cannot,
            Err(_) => Code::NonExistent,
        };
        self.refuse(turn, tag, Condition::No, Some(code), "There is no such mailbox")
    }

    /// Ends a command that named a mailbox which the user may not use so (RFC 4314, 6).
    pub(super) fn refuse_unfound(&mut self, turn: &mut Turn<'_>, tag: &Tag, error: &Unfound) -> Flow {
        let (code, text) = match error {
            Unfound::NonExistent => (Code::NonExistent, "There is no such mailbox"),
            Unfound::NoPermission => (Code::NoPerm, "You have no right to do that with this mailbox"),
            Unfound::Store(error) => return self.refuse_store(turn, tag, error),
        };
        self.refuse(turn, tag, Condition::No, Some(code), text)
    }

    /// Ends a command that could not read the store.
    pub(super) fn refuse_store(&mut self, turn: &mut Turn<'_>, tag: &Tag, error: &StoreError) -> Flow {
        let (code, text) = match error {
            StoreError::NotFound("mailbox") => (Code::NonExistent, "There is no such mailbox"),
            StoreError::NotFound(_) | StoreError::Gone(_) => (Code::NonExistent, "It is gone"),
            StoreError::Withheld(message) => {
                let text = crashes::quarantined(*message);
                return self.refuse(turn, tag, Condition::No, Some(Code::ServerBug), &text);
            }
            StoreError::Corrupt { .. } => (Code::Corruption, "Damaged; the server's log says where"),
            StoreError::Busy(_) => (Code::InUse, "Busy; try again"),
            StoreError::Unusable { .. } => (Code::Unavailable, "The mail store cannot be used"),
            StoreError::Failed(_) => (Code::ServerBug, "The mail store takes no changes after a disk error"),
            error if error.is_out_of_space() => (Code::OverQuota, "No space left"),
            error if error.is_shortage() => {
                (Code::Unavailable, "The server is short of files or of memory; try again later")
            }
            StoreError::Io { .. } => (Code::ServerBug, "The disk failed; the server's log says more"),
        };
        if !error.is_gone() {
            log::error!("command failed", tag = tag.as_str(), why = error);
        }
        self.refuse(turn, tag, Condition::No, Some(code), text)
    }

    /// Ends a command that would bring a user above a limit (RFC 9208, 4.3).
    pub(super) fn refuse_over_quota(&mut self, turn: &mut Turn<'_>, tag: &Tag, what: Resource) -> Flow {
        self.refuse(turn, tag, Condition::No, Some(Code::OverQuota), &over_quota(what))
    }

    /// Ends a command whose change was refused. `missing` is the code for a mailbox that is not there.
    pub(super) fn refuse_change(
        &mut self,
        turn: &mut Turn<'_>,
        tag: &Tag,
        error: &ChangeError,
        missing: Code<'_>,
    ) -> Flow {
        let (code, text) = match error {
            ChangeError::NoSuchMailbox => (missing, "There is no such mailbox".to_owned()),
            ChangeError::MailboxExists => (Code::AlreadyExists, "There is such a mailbox already".to_owned()),
            ChangeError::InvalidName(_) | ChangeError::NotAllowed(_) => (Code::Cannot, error.to_string()),
            ChangeError::Limit(_) => (Code::Limit, error.to_string()),
            ChangeError::TooManyAnnotations => (Code::AnnotateTooMany, error.to_string()),
            ChangeError::OverQuota(what) => (Code::OverQuota, over_quota(*what)),
            ChangeError::Store(error) => return self.refuse_store(turn, tag, error),
        };
        self.refuse(turn, tag, Condition::No, Some(code), &text)
    }
}

fn over_quota(what: Resource) -> String {
    format!("Quota exceeded: more {what} than allowed")
}
