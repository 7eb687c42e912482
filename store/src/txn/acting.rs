//! What somebody may do in a mailbox of another user, and what it comes to there: flags that the rights do not reach stay as they are, and \Seen is the actor's own
//! (`rights.rs`, `seen/`).

use std::sync::Arc;

use crate::change::{Change, Flags, SystemFlags};
use crate::error::StoreError;
use crate::ids::{CellIndex, MailboxId, ModSeq, Uid, UserId};
use crate::mailbox::Cells;
use crate::rights::{Right, Rights};
use crate::seen::SeenRuns;
use crate::store::Store;
use crate::txn::Txn;
use crate::txn::plan::{Plan, Stop};

/// Over so many cells that are no messages any more a range of UIDs goes on, at most.
const GAP_MOST: u32 = 64;

/// Somebody in a mailbox of another user.
#[derive(Clone, Copy, Debug)]
pub(super) struct Actor {
    pub(super) user: UserId,
    rights: Rights,
}

impl Actor {
    /// Whether the actor keeps a \Seen there.
    pub(super) fn may_see(self) -> bool {
        self.rights.has(Right::Seen)
    }

    /// Whether the actor may set keywords there.
    pub(super) fn may_write(self) -> bool {
        self.rights.has(Right::Write)
    }

    /// Whether the actor may keep private annotations there.
    pub(super) fn may_read(self) -> bool {
        self.rights.has(Right::Read)
    }

    /// Whether the actor may set shared annotations there.
    pub(super) fn may_annotate(self) -> bool {
        self.rights.has(Right::Annotate)
    }

    /// Those of the flags in cells that the actor may set and clear.
    fn reach(self) -> Flags {
        let mut reach = Flags::default();
        if self.rights.has(Right::DeleteMessage) {
            reach.system.0 |= SystemFlags::DELETED.0;
        }
        if self.may_write() {
            let others = [SystemFlags::ANSWERED, SystemFlags::FLAGGED, SystemFlags::DRAFT];
            reach.system.0 |= others.iter().fold(0, |all, flag| all | flag.0);
            reach.keywords = u64::MAX;
        }
        reach
    }

    /// What a cell says after the actor wished for `wanted`: `before` where the rights do not reach.
    pub(super) fn reached(self, before: Flags, wanted: Flags) -> Flags {
        let reach = self.reach();
        let system = before.system.0 & !reach.system.0 | wanted.system.0 & reach.system.0;
        let keywords = before.keywords & !reach.keywords | wanted.keywords & reach.keywords;
        Flags { system: SystemFlags(system), keywords }
    }
}

impl Store {
    /// Starts a transaction of a user, who may not own all that it is about. In a mailbox of another user only those flags change that the user's rights reach, and \Seen is the
    /// user's own. Whether the user may do the rest is for the caller to know.
    pub fn begin_as(&self, user: UserId) -> Txn<'_> {
        Txn::new(self, Some(user))
    }
}

impl Plan<'_> {
    /// Who acts in the mailbox, if it is another user's.
    pub(super) fn acting_in(&mut self, id: MailboxId) -> Result<Option<Actor>, Stop> {
        let Some(user) = self.actor.filter(|user| *user != id.user) else { return Ok(None) };
        let name = self.store.user_name(user)?;
        let list = self.store.mailbox_list(id.user)?;
        Ok(Some(Actor { user, rights: list.rights_of(id.number, user, &name) }))
    }

    /// What the actor has seen in another user's mailbox.
    pub(super) fn marks(&self, id: MailboxId, actor: Actor) -> Result<Arc<SeenRuns>, StoreError> {
        self.store.derived.seen_by(id, actor.user)?.get()
    }

    /// The actor has seen these messages, or has not.
    pub(super) fn mark(
        &mut self,
        mailbox: MailboxId,
        actor: Actor,
        seen: bool,
        modseq: ModSeq,
        ranges: Vec<(Uid, Uid)>,
    ) {
        if !ranges.is_empty() {
            self.changes.push(Change::Seen { mailbox, reader: actor.user, modseq, seen, ranges });
            self.touched.push(mailbox);
        }
    }
}

/// Ranges of UIDs, made of ascending cells.
#[derive(Default)]
pub(super) struct Ranges {
    ranges: Vec<(Uid, Uid)>,
    last: Option<CellIndex>,
}

impl Ranges {
    /// Adds a message; the range before goes on if nothing lies between but messages that are gone.
    pub(super) fn add(&mut self, cells: &Cells, index: CellIndex, uid: Uid) -> Result<(), StoreError> {
        let mut goes_on = false;
        if let Some(last) = self.last
            && index.0 - last.0 <= GAP_MOST
        {
            goes_on = true;
            for between in last.0 + 1..index.0 {
                goes_on &= cells.flags(CellIndex(between))?.expunged;
            }
        }
        self.last = Some(index);
        match self.ranges.last_mut() {
            Some(range) if goes_on => range.1 = uid,
            _ => self.ranges.push((uid, uid)),
        }
        Ok(())
    }

    /// Adds a new message, whose UID is one above that of the one added before or higher.
    pub(super) fn add_new(&mut self, uid: Uid) {
        match self.ranges.last_mut() {
            Some(range) if range.1.get() + 1 == uid.get() => range.1 = uid,
            _ => self.ranges.push((uid, uid)),
        }
    }

    pub(super) fn into_vec(self) -> Vec<(Uid, Uid)> {
        self.ranges
    }
}
