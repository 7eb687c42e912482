//! What is kept of an IMAP session between two commands, so that another handler can go on with it (`crate::parked`).
//!
//! The view of the selected mailbox is three numbers and a count; the count tells whether the mailbox was rewritten while nobody had it
//! pinned, and messages of the view are lost: then the session ends. What is large is in [`Large`].

use std::borrow::Cow;
use std::ops::Range;

use protocol::imap::command::Tag;
use protocol::imap::reply::code::Code;
use protocol::imap::reply::status::{self as reply, Condition};
use protocol::imap::syntax::sequence_set::NumberSet;
use serde::{Deserialize, Serialize};
use store::view::{ParkedView, View};
use store::{MailboxId, ModSeq, Rights, UserId};

use super::enabled::Enabled;
use super::metadata::{ParkedWatch, Watch};
use super::notify::ParkedNotify;
use super::selected::{Access, Selected};
use super::{ImapSession, Running, Stage, User};
use crate::conversation::Turn;
use crate::output::Output;
use crate::parked::{Parking, Unreadable};

/// Ranges of `$` that are kept in the cell.
const SAVED_IN_CELL_MAX: usize = 4;

/// The small state.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Parked<'a> {
    stage: ParkedStage<'a>,
    enabled: u8,
    failed_logins: u32,
    bad_commands: u32,
    /// The tag of an IDLE that goes on.
    idle: Option<Cow<'a, str>>,
    /// The tags of searches that were kept up to date. They end when another handler goes on: it says so (RFC 5267, 4.3.1).
    contexts: Vec<Cow<'a, str>>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum ParkedStage<'a> {
    New,
    NotAuthenticated,
    Authenticated(ParkedUser<'a>),
    Selected(ParkedUser<'a>, ParkedSelected<'a>),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct ParkedUser<'a> {
    id: u32,
    name: Cow<'a, str>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct ParkedSelected<'a> {
    owner: u32,
    mailbox: u32,
    rights: u16,
    is_read_only: bool,
    tells_annotations: bool,
    uid_upto: u32,
    expunged_upto: u64,
    flags_upto: u64,
    exists: u32,
    client_modseq: (u64, u64, Option<u64>),
    recent: Cow<'a, [Range<u32>]>,
    recent_told: u32,
    announced_keywords: u32,
    /// The ranges of `$`, if they are few.
    saved: Option<Cow<'a, [(u32, u32)]>>,
}

/// The large state.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Large<'a> {
    /// The ranges of `$`.
    saved: Cow<'a, [(u32, u32)]>,
    notify: Option<ParkedNotify<'a>>,
    metadata: Option<ParkedWatch<'a>>,
}

impl ImapSession {
    /// What is to be kept of the session now.
    pub(crate) fn parking(&self) -> Parking<'_> {
        let idle = match &self.running {
            Running::Nothing => None,
            Running::Idle(idle) if !idle.is_telling() => Some(Cow::Borrowed(idle.tag().as_str())),
            _ => return Parking::Later,
        };
        if !self.decoder.awaits_first_line() {
            return Parking::Later;
        }
        if self.notify.as_ref().is_some_and(|notify| !notify.can_be_kept()) {
            return Parking::Never("has asked for too much to be told");
        }
        if self.notify.as_ref().is_some_and(|notify| notify.is_telling()) {
            return Parking::Later;
        }
        let parts = [
            self.notify.as_ref().map_or(0, |notify| notify.stamp()),
            self.metadata_watch.as_ref().map_or(0, |watch| watch.stamp()),
            self.saved_stamp(),
        ];
        // Parts have numbers of their own each time that they change, so no two states have one sum.
        let stamp =
            parts.into_iter().fold(0, |sum: u64, part| sum.wrapping_mul(0x1_0000_01b3).wrapping_add(part));
        let mut contexts = Vec::new();
        let stage = match &self.stage {
            Stage::New => ParkedStage::New,
            Stage::NotAuthenticated => ParkedStage::NotAuthenticated,
            Stage::Authenticated(user) => ParkedStage::Authenticated(ParkedUser::of(user)),
            Stage::Selected(user, selected) => {
                contexts.extend(selected.contexts.tags().map(|tag| Cow::Borrowed(tag.as_str())));
                ParkedStage::Selected(ParkedUser::of(user), selected.park())
            }
        };
        let parked = Parked {
            stage,
            enabled: self.enabled.number(),
            failed_logins: self.failed_logins,
            bad_commands: self.bad_commands,
            idle,
            contexts,
        };
        Parking::Yes(crate::parked::Parked::Imap(parked), stamp)
    }

    /// Another number whenever `$` is another of so many ranges that they are in the annex; else 0.
    fn saved_stamp(&self) -> u64 {
        match &self.stage {
            Stage::Selected(_, selected) if selected.saved.ranges().len() > SAVED_IN_CELL_MAX => {
                selected.saved_stamp()
            }
            _ => 0,
        }
    }

    /// Says goodbye: the session cannot go on.
    pub(crate) fn say_lost(&mut self, text: &str, output: &mut Output) {
        self.running = Running::Nothing;
        reply::untagged(output.bytes(), Condition::Bye, Some(Code::Unavailable), text);
    }

    /// The part of the state that is in the annex.
    pub(crate) fn large(&self) -> Vec<u8> {
        let mut large = Large {
            notify: self.notify.as_ref().and_then(|notify| notify.park()),
            metadata: self.metadata_watch.as_ref().map(|watch| watch.park()),
            ..Large::default()
        };
        if let Stage::Selected(_, selected) = &self.stage
            && selected.saved.ranges().len() > SAVED_IN_CELL_MAX
        {
            large.saved = Cow::Borrowed(selected.saved.ranges());
        }
        // All parts have limits, which together are below that of an annex.
        shm_abi::encode_annex(&large).unwrap_or_default()
    }

    /// The session that was parked so. It has the mailbox pinned and watched again when this returns.
    ///
    /// # Errors
    /// The state makes no sense, or what it stands for is gone.
    pub(crate) fn resume(
        parked: Parked<'_>,
        large: &[u8],
        turn: &mut Turn<'_>,
    ) -> Result<ImapSession, Unreadable> {
        let large: Large<'static> = match large {
            [] => Large::default(),
            large => shm_abi::decode_annex(large).map_err(|_| Unreadable("it makes no sense"))?,
        };
        let mut session = ImapSession::new();
        session.failed_logins = parked.failed_logins;
        session.bad_commands = parked.bad_commands;
        let enabled = Enabled::from_number(parked.enabled);
        session.stage = match parked.stage {
            ParkedStage::New => Stage::New,
            ParkedStage::NotAuthenticated => Stage::NotAuthenticated,
            ParkedStage::Authenticated(user) => Stage::Authenticated(user.into_user()),
            ParkedStage::Selected(user, selected) => {
                let user = user.into_user();
                let selected = Selected::resume(selected, large.saved, &user, enabled, turn)?;
                Stage::Selected(user, Box::new(selected))
            }
        };
        if session.is_authenticated() {
            session.raise_limits(turn);
        }
        session.set_enabled(enabled);
        session.metadata_watch = large.metadata.map(|watch| Box::new(Watch::resume(watch)));
        if let Some(notify) = large.notify {
            session.resume_notify(notify, turn)?;
        }
        if let Some(tag) = parked.idle {
            session.go_on_idling(read_tag(&tag)?, turn);
        }
        for tag in parked.contexts {
            let tag = read_tag(&tag)?;
            let code = Some(Code::NoUpdate(&tag));
            let text = "The results are not kept up to date any more";
            reply::untagged(turn.output.bytes(), Condition::No, code, text);
        }
        Ok(session)
    }
}

fn read_tag(tag: &str) -> Result<Tag, Unreadable> {
    Tag::new(tag.as_bytes()).ok_or(Unreadable("it has a tag that is none"))
}

impl ParkedUser<'_> {
    fn of(user: &User) -> ParkedUser<'_> {
        ParkedUser { id: user.id.0, name: Cow::Borrowed(&user.name) }
    }

    fn into_user(self) -> User {
        User { id: UserId(self.id), name: self.name.into_owned() }
    }
}

impl Selected {
    fn park(&self) -> ParkedSelected<'_> {
        let ParkedView { uid_upto, expunged_upto, flags_upto } = self.view.parked();
        let saved = self.saved.ranges();
        ParkedSelected {
            owner: self.id.user.0,
            mailbox: self.id.number,
            rights: self.rights.number(),
            is_read_only: self.access == Access::ReadOnly,
            tells_annotations: self.tells_annotations,
            uid_upto,
            expunged_upto: expunged_upto.0,
            flags_upto: flags_upto.0,
            exists: self.view.exists(),
            client_modseq: self.client_modseq.numbers(),
            recent: Cow::Borrowed(self.recent()),
            recent_told: self.recent_told,
            announced_keywords: self.announced_keywords as u32,
            saved: (saved.len() <= SAVED_IN_CELL_MAX).then_some(Cow::Borrowed(saved)),
        }
    }

    fn resume(
        parked: ParkedSelected<'_>,
        saved: Cow<'_, [(u32, u32)]>,
        user: &User,
        enabled: Enabled,
        turn: &Turn<'_>,
    ) -> Result<Selected, Unreadable> {
        let id = MailboxId { user: UserId(parked.owner), number: parked.mailbox };
        let view = ParkedView {
            uid_upto: parked.uid_upto,
            expunged_upto: ModSeq(parked.expunged_upto),
            flags_upto: ModSeq(parked.flags_upto),
        };
        let access = if parked.is_read_only { Access::ReadOnly } else { Access::ReadWrite };
        let rights = Rights::from_number(parked.rights);
        let view = View::resting(view, parked.exists);
        let mut selected = Selected::reopen(&turn.shared.store, id, user.id, rights, access, enabled, view)
            .map_err(|_| Unreadable("the selected mailbox is gone"))?;
        selected.tells_annotations = parked.tells_annotations;
        // The places of its messages were not kept while nobody had it pinned.
        selected
            .mailbox(&turn.shared.store)
            .map_err(|_| Unreadable("the selected mailbox was reorganized meanwhile"))?;
        selected.set_told(
            parked.client_modseq,
            parked.recent.into_owned(),
            parked.recent_told,
            parked.announced_keywords as usize,
        );
        let saved = parked.saved.unwrap_or(saved);
        if !selected.save(NumberSet::from_ranges(saved.into_owned())) {
            return Err(Unreadable("it has too many results of a search"));
        }
        if let Some(cell) = turn.cell() {
            cell.set_mailbox(Some((turn.shared.table.row_of(id.key()), id.key())));
        }
        Ok(selected)
    }
}
