//! The changes that a log frame records, as values. Each says the state *after* it, never a difference, so that applying it
//! twice is applying it once. The encoding is drawn in `FORMAT.md`, "Changes".

pub(crate) mod codec;

use crate::ids::{MailboxId, MessageId, ModSeq, Uid, UserId};
use crate::quota::Limits;

/// System flags of a message in a mailbox, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SystemFlags(pub u8);

impl SystemFlags {
    /// `\Answered`
    pub const ANSWERED: SystemFlags = SystemFlags(1 << 0);
    /// `\Flagged`
    pub const FLAGGED: SystemFlags = SystemFlags(1 << 1);
    /// `\Deleted`
    pub const DELETED: SystemFlags = SystemFlags(1 << 2);
    /// `\Seen`
    pub const SEEN: SystemFlags = SystemFlags(1 << 3);
    /// `\Draft`
    pub const DRAFT: SystemFlags = SystemFlags(1 << 4);

    /// Whether all flags of `other` are set.
    pub fn contains(self, other: SystemFlags) -> bool {
        self.0 & other.0 == other.0
    }
}

/// All flags of a message in a mailbox. Bit *i* of `keywords` is the mailbox's keyword number *i*.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags {
    /// The system flags.
    pub system: SystemFlags,
    /// The keywords, by their bits in this mailbox.
    pub keywords: u64,
}

/// A moment with the zone in which it was stated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ZonedTime {
    /// Seconds since 1970-01-01 00:00 UTC.
    pub seconds: i64,
    /// Minutes east of UTC, −1023 to 1023.
    pub zone_minutes: i16,
}

impl ZonedTime {
    /// One number, never 0, that orders like the time itself ("packed date" in `FORMAT.md`). Times beyond ±2^52 seconds are
    /// brought back into that range.
    pub fn pack(self) -> u64 {
        let seconds = self.seconds.clamp(-(1 << 52) + 1, (1 << 52) - 1) + (1 << 52);
        let zone = i64::from(self.zone_minutes.clamp(-1023, 1023)) + 1024;
        (seconds as u64) << 11 | zone as u64
    }

    /// The time that `packed` stands for; `None` for 0.
    pub fn unpack(packed: u64) -> Option<ZonedTime> {
        if packed == 0 {
            return None;
        }
        Some(ZonedTime {
            seconds: (packed >> 11) as i64 - (1 << 52),
            zone_minutes: (packed & 0x7ff) as i16 - 1024,
        })
    }
}

/// What a mailbox gets when a message is added to it. All of it but the flags and the modseq stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Added {
    /// Identifier in the mailbox.
    pub uid: Uid,
    /// The change that added it.
    pub modseq: ModSeq,
    /// Its flags there.
    pub flags: Flags,
    /// INTERNALDATE (RFC 3501, 2.3.3).
    pub internal_date: ZonedTime,
    /// When it was put into this mailbox (RFC 8514), seconds since 1970.
    pub save_seconds: u32,
    /// The Date: header, if it has one that can be read.
    pub sent_date: Option<ZonedTime>,
    /// RFC822.SIZE in octets.
    pub size: u32,
    /// The message.
    pub message: MessageId,
}

/// What a mailbox is for (RFC 6154).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SpecialUse {
    /// `\All`
    All = 1,
    /// `\Archive`
    Archive = 2,
    /// `\Drafts`
    Drafts = 3,
    /// `\Flagged`
    Flagged = 4,
    /// `\Junk`
    Junk = 5,
    /// `\Sent`
    Sent = 6,
    /// `\Trash`
    Trash = 7,
    /// `\Important`
    Important = 8,
}

impl SpecialUse {
    /// The use that a file calls `number`.
    pub fn from_number(number: u8) -> Option<SpecialUse> {
        Some(match number {
            1 => SpecialUse::All,
            2 => SpecialUse::Archive,
            3 => SpecialUse::Drafts,
            4 => SpecialUse::Flagged,
            5 => SpecialUse::Junk,
            6 => SpecialUse::Sent,
            7 => SpecialUse::Trash,
            8 => SpecialUse::Important,
            _ => return None,
        })
    }
}

/// One change, as a log frame records it.
#[expect(missing_docs, reason = "the fields are those of the drawing, and their types say what they are")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The content of this frame is the message of directory cell `index` in the page of the log.
    Message { index: u32, header_size: u32 },
    /// A message was put into a mailbox.
    Add { mailbox: MailboxId, added: Added },
    /// Flags of messages are now these.
    Flags { mailbox: MailboxId, modseq: ModSeq, messages: Vec<(Uid, Flags)> },
    /// Messages were expunged.
    Expunge { mailbox: MailboxId, modseq: ModSeq, uids: Vec<Uid> },
    /// Keyword number `bit` of the mailbox is `name`.
    Keyword { mailbox: MailboxId, bit: u8, name: String },
    /// UIDs below `uid_next` and modseqs up to `highest_modseq` are taken, whether or not messages have them.
    MailboxNumbers { mailbox: MailboxId, uid_next: u32, highest_modseq: ModSeq },
    /// A reader who is not the owner has seen these messages, or has not: UIDs from the one to the other of each pair, ascending.
    Seen { mailbox: MailboxId, reader: UserId, modseq: ModSeq, seen: bool, ranges: Vec<(Uid, Uid)> },
    /// Annotations of messages are now these: those that all see, or without them those of one reader. Messages ascend.
    Annotations {
        mailbox: MailboxId,
        reader: Option<UserId>,
        modseq: ModSeq,
        messages: Vec<(Uid, Vec<AnnotationEntry>)>,
    },
    /// There is a user.
    UserCreate { user: UserId, name: String },
    /// A user and all mailboxes are gone.
    UserDelete { user: UserId },
    /// There is a mailbox. `placeholder`: it holds no messages, only names below it (`\Noselect`).
    MailboxCreate {
        mailbox: MailboxId,
        list_version: u64,
        uid_validity: u32,
        name: String,
        special_use: Option<SpecialUse>,
        placeholder: bool,
    },
    /// A mailbox has another name.
    MailboxRename { mailbox: MailboxId, list_version: u64, name: String },
    /// A mailbox is gone.
    MailboxDelete { mailbox: MailboxId, list_version: u64 },
    /// A name is subscribed, or no longer.
    Subscribe { user: UserId, list_version: u64, name: String, subscribed: bool },
    /// What a mailbox is for.
    SpecialUse { mailbox: MailboxId, list_version: u64, special_use: Option<SpecialUse> },
    /// How much mail the user may have.
    Quota { user: UserId, list_version: u64, limits: Limits },
    /// Something that is said of a mailbox, or, without one, of the user: an attribute of that name is now `value`, or gone.
    Attribute { user: UserId, list_version: u64, mailbox: Option<u32>, name: String, value: Option<Vec<u8>> },
    /// All that cells say of a mailbox, or a part of it: see [`MailboxSnapshot`].
    MailboxSnapshot(Box<MailboxSnapshot>),
    /// A user and the list of the user's mailboxes as it was at that version, encoded as its file is: takes the place of all changes up to it.
    ListSnapshot { user: UserId, name: String, list_version: u64, list: Vec<u8> },
}

impl Change {
    /// The user whose list of mailboxes it changes.
    pub(crate) fn list(&self) -> Option<UserId> {
        match self {
            Change::MailboxCreate { mailbox, .. }
            | Change::MailboxRename { mailbox, .. }
            | Change::MailboxDelete { mailbox, .. }
            | Change::SpecialUse { mailbox, .. } => Some(mailbox.user),
            Change::Subscribe { user, .. }
            | Change::Quota { user, .. }
            | Change::Attribute { user, .. }
            | Change::ListSnapshot { user, .. }
            | Change::UserDelete { user } => Some(*user),
            Change::Message { .. }
            | Change::Add { .. }
            | Change::Flags { .. }
            | Change::Expunge { .. }
            | Change::Keyword { .. }
            | Change::MailboxNumbers { .. }
            | Change::Seen { .. }
            | Change::Annotations { .. }
            | Change::UserCreate { .. }
            | Change::MailboxSnapshot(_) => None,
        }
    }
}

/// One entry of a message's annotations (RFC 5257), as one reader sees it, or everybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnotationEntry {
    /// Its name, such as `/comment`.
    pub name: String,
    /// The change that made it so.
    pub modseq: ModSeq,
    /// What it says; `None` if it is gone.
    pub value: Option<Vec<u8>>,
}

/// A mailbox as its cells were at `highest_modseq`, or one of several parts of it. All parts together take the place of every change of this mailbox with
/// a modseq up to that; what none of them holds was expunged before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailboxSnapshot {
    /// The mailbox.
    pub mailbox: MailboxId,
    /// Which part this is, from 0.
    pub part: u32,
    /// How many there are.
    pub parts: u32,
    /// UIDNEXT.
    pub uid_next: u32,
    /// HIGHESTMODSEQ.
    pub highest_modseq: ModSeq,
    /// Names of keywords with their bits.
    pub keywords: Vec<(u8, String)>,
    /// The cells of this part that hold messages, by UID.
    pub cells: Vec<SnapshotCell>,
}

/// A cell in a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotCell {
    /// What the cell says, with the modseq of its last change.
    pub added: Added,
    /// When it was expunged, seconds since 1970; `None` while it is live.
    pub expunged_at: Option<u32>,
}
