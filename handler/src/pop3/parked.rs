//! What is kept of a POP3 session between two commands, so that another handler can go on with it (`crate::parked`).
//!
//! A maildrop is its view, which never changes, and the marks. The marks are in the cell as long as they are few numbers. The maildrop's
//! lock went with the handler that had it, so it is taken again; if somebody else has it by then, the session ends and nothing is
//! deleted.

use std::borrow::Cow;

use protocol::pop3::reply::{self, Code};
use serde::{Deserialize, Serialize};
use store::ModSeq;
use store::UserId;
use store::view::{ParkedView, View};

use super::maildrop::Maildrop;
use super::{Pop3Session, Running, Stage};
use crate::conversation::Turn;
use crate::maildrops::{Taken, inbox_of};
use crate::output::Output;
use crate::parked::{Parking, Unreadable};

/// Words of marks that are kept in the cell.
const MARKS_IN_CELL_MAX: usize = 8;

/// The small state.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Parked<'a> {
    stage: ParkedStage<'a>,
    failed_logins: u32,
    bad_commands: u32,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum ParkedStage<'a> {
    New,
    Authorization(Option<Cow<'a, str>>),
    Transaction(ParkedMaildrop<'a>),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct ParkedMaildrop<'a> {
    pub(super) user: u32,
    pub(super) name: Cow<'a, str>,
    pub(super) uid_upto: u32,
    pub(super) expunged_upto: u64,
    pub(super) exists: u32,
    /// A bit for each message that is marked; none if they are in the annex.
    pub(super) marks: Option<Cow<'a, [u64]>>,
    /// The sizes of these messages together.
    pub(super) marked_octets: u64,
}

impl Pop3Session {
    /// What is to be kept of the session now.
    pub(crate) fn parking(&self) -> Parking<'_> {
        if !matches!(self.running, Running::Nothing) || !self.decoder.is_fresh() {
            return Parking::Later;
        }
        let mut stamp = 0;
        let stage = match &self.stage {
            Stage::New => ParkedStage::New,
            Stage::Authorization { name } => ParkedStage::Authorization(name.as_deref().map(Cow::Borrowed)),
            Stage::Transaction(maildrop) => {
                let marks = maildrop.marks();
                let mut parked = maildrop.park();
                if marks.len() > MARKS_IN_CELL_MAX {
                    parked.marks = None;
                    stamp = maildrop.marks_stamp();
                }
                ParkedStage::Transaction(parked)
            }
        };
        let parked = Parked { stage, failed_logins: self.failed_logins, bad_commands: self.bad_commands };
        Parking::Yes(crate::parked::Parked::Pop3(parked), stamp)
    }

    /// Says goodbye: the session cannot go on.
    pub(crate) fn say_lost(&mut self, text: &str, output: &mut Output) {
        reply::error(output.bytes(), Some(Code::SystemTemporary), text);
    }

    /// The part of the state that is in the annex: the marks.
    pub(crate) fn large(&self) -> Vec<u8> {
        match &self.stage {
            Stage::Transaction(maildrop) => shm_abi::encode_annex(&maildrop.marks()).unwrap_or_default(),
            _ => Vec::new(),
        }
    }

    /// The session that was parked so, with its maildrop.
    ///
    /// # Errors
    /// The state makes no sense, or the maildrop cannot be had any more.
    pub(crate) fn resume(
        parked: Parked<'_>,
        large: &[u8],
        turn: &mut Turn<'_>,
    ) -> Result<Pop3Session, Unreadable> {
        let mut session = Pop3Session::new();
        session.failed_logins = parked.failed_logins;
        session.bad_commands = parked.bad_commands;
        session.stage = match parked.stage {
            ParkedStage::New => Stage::New,
            ParkedStage::Authorization(name) => Stage::Authorization { name: name.map(Cow::into_owned) },
            ParkedStage::Transaction(maildrop) => {
                Stage::Transaction(Box::new(resume_maildrop(maildrop, large, turn)?))
            }
        };
        Ok(session)
    }
}

fn resume_maildrop(
    parked: ParkedMaildrop<'_>,
    large: &[u8],
    turn: &Turn<'_>,
) -> Result<Maildrop, Unreadable> {
    let shared = turn.shared;
    let marks = match parked.marks {
        Some(marks) => marks.into_owned(),
        None => shm_abi::decode_annex(large).map_err(|_| Unreadable("it makes no sense"))?,
    };
    let user = UserId(parked.user);
    // The login counted once.
    let held = match shared.maildrops.take(user, (turn.slot, turn.generation), 0, shared.unix_ms()) {
        Ok(Taken::Held(held)) => held,
        Ok(Taken::InUse | Taken::TooSoon(_)) => return Err(Unreadable("another session has the maildrop")),
        Err(_) => return Err(Unreadable("the maildrop cannot be locked")),
    };
    let view = ParkedView {
        uid_upto: parked.uid_upto,
        expunged_upto: ModSeq(parked.expunged_upto),
        flags_upto: ModSeq(parked.expunged_upto),
    };
    let view = View::resting(view, parked.exists);
    let maildrop = Maildrop::reopen(
        &shared.store,
        user,
        parked.name.into_owned(),
        held,
        view,
        marks,
        parked.marked_octets,
    )
    .map_err(|_| Unreadable("the maildrop was reorganized meanwhile"))?;
    if let Some(cell) = turn.cell() {
        let key = inbox_of(user).key();
        cell.set_mailbox(Some((shared.table.row_of(key), key)));
        cell.set_maildrop(true);
    }
    Ok(maildrop)
}
