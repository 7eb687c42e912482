//! What a caller asks a transaction for, and what it learns when it is committed.

use crate::change::{Flags, SystemFlags, ZonedTime};
use crate::ids::{CellIndex, MailboxId, ModSeq, Ticket, Uid};
use crate::quota::Resource;

/// One recipient of a message.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The mailbox that gets it.
    pub mailbox: MailboxId,
    /// Its system flags there.
    pub flags: SystemFlags,
    /// Its keywords there, by name.
    pub keywords: Vec<String>,
    /// INTERNALDATE there.
    pub internal_date: ZonedTime,
}

/// What STORE does with the flags it names (RFC 3501, 6.4.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlagOperation {
    /// They replace all others.
    Set,
    /// The keywords replace all others; system flags stay, and none are named.
    SetKeywords,
    /// They are set, the others stay.
    Add,
    /// They are cleared, the others stay.
    Remove,
}

/// A change of flags, the same for every message it is asked for.
#[derive(Clone, Debug)]
pub struct FlagChange {
    /// What is done with the flags.
    pub operation: FlagOperation,
    /// System flags.
    pub system: SystemFlags,
    /// Keywords by name. Case is ignored when a keyword is looked up, kept when it is new.
    pub keywords: Vec<String>,
}

/// Where a message was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The mailbox.
    pub mailbox: MailboxId,
    /// UIDVALIDITY of the mailbox.
    pub uid_validity: u32,
    /// The new message's identifier.
    pub uid: Uid,
    /// Its modseq.
    pub modseq: ModSeq,
}

/// Why one recipient did not get a message that others got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The mailbox is gone.
    NoSuchMailbox,
    /// The user would have more of it than allowed.
    OverQuota(Resource),
    /// The mailbox could not be opened or can take no more; the text is for the log.
    Unusable(String),
}

/// What became of deposits that were put into a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deposited {
    /// UIDVALIDITY of the mailbox.
    pub uid_validity: u32,
    /// The new messages, in the order in which they were given; ascending.
    pub uids: Vec<Uid>,
    /// Their modseq.
    pub modseq: ModSeq,
    /// The modseq of the expunge of the message that was replaced.
    pub expunged_modseq: Option<ModSeq>,
}

/// What COPY and MOVE did. Messages that had been expunged meanwhile are in neither list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// UIDVALIDITY of the mailbox they were copied to.
    pub uid_validity: u32,
    /// Source UIDs, ascending, and what each became.
    pub uids: Vec<(Uid, Uid)>,
    /// Modseq of the new cells.
    pub modseq: ModSeq,
    /// For MOVE, the modseq of the expunge in the source mailbox.
    pub expunged_modseq: Option<ModSeq>,
}

/// An annotation that a message gets (RFC 5257).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAnnotation {
    /// The entry's name, such as `/comment`.
    pub entry: String,
    /// Whether all who may read the mailbox see it; else it is the actor's alone.
    pub is_shared: bool,
    /// What it says; `None`: it goes.
    pub value: Option<Vec<u8>>,
}

/// Messages whose annotations a change altered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotated {
    /// The modseq of the change; the mailbox's highest one if nothing was altered.
    pub modseq: ModSeq,
    /// The altered messages, ascending. A message that had these annotations already is not among them.
    pub messages: Vec<(CellIndex, Uid)>,
    /// Of each of `messages`, the modseq it had before: whoever changed it last may not be the caller.
    pub modseqs_before: Vec<ModSeq>,
    /// Messages that were left as they are because they were changed after the modseq that the caller named; ascending.
    pub newer: Vec<(CellIndex, Uid)>,
}

/// Messages whose flags a change altered, with all their flags after it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlagsChanged {
    /// The modseq of the change; the mailbox's highest one if nothing was altered.
    pub modseq: ModSeq,
    /// The altered messages. A message that had these flags already is not among them.
    pub messages: Vec<(CellIndex, Uid, Flags)>,
    /// Of each of `messages`, the modseq it had before: whoever changed it last may not be the caller.
    pub modseqs_before: Vec<ModSeq>,
    /// Messages that were left as they are because they were changed after the modseq that the caller named; ascending.
    pub newer: Vec<(CellIndex, Uid)>,
}

/// What became of one operation of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Of `deliver`: one result a delivery, in their order.
    Delivered(Vec<Result<Appended, Refused>>),
    /// Of `add_deposits` and `replace`.
    Deposited(Deposited),
    /// Of `copy` and `move_messages`.
    Copied(Copied),
    /// Of `store_flags`.
    Flags(FlagsChanged),
    /// Of `annotate`.
    Annotated(Annotated),
    /// Of `expunge`: the UIDs that are now gone, and the modseq of that.
    Expunged(Vec<Uid>, ModSeq),
    /// Of `create_mailbox`: the new mailbox.
    Created(MailboxId),
    /// Of the other operations.
    Done,
}

/// What a committed transaction did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Once this is durable, the changes are. 0 (always durable) if nothing was changed.
    pub ticket: Ticket,
    /// One outcome an operation, in the order they were asked for.
    pub outcomes: Vec<Outcome>,
    /// Mailboxes whose cells changed: whoever has one selected wants to know.
    pub touched: Vec<MailboxId>,
}
