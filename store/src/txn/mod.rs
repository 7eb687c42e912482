//! The one door for changes. A transaction gathers operations; `commit` does them under the locks of all mailboxes they
//! touch, in one log frame, in the order that `FORMAT.md` argues ("Order of a change").
//!
//! - `outcome`: what callers ask for and learn
//! - `plan`: reads the views and decides the changes; nothing is changed there
//! - `cells`, `names`, `rights`, `room`: the decisions about messages, about mailbox lists, about who may do what, and about limits
//! - `acting`: what of it somebody may do who is not the owner, and whose \Seen it is
//! - `annotate`: annotations of messages
//! - `bring_back`: messages that were expunged, or were in a mailbox that was deleted
//! - `own`, `equal`: the message of a transaction, and whether it came before
//! - `deposit`: messages that are stored first, and put into a mailbox together or in the place of another
//! - `adopt`: users, mailboxes and messages that keep the numbers they had elsewhere

mod acting;
mod adopt;
mod annotate;
mod bring_back;
mod cells;
mod deposit;
pub(crate) mod equal;
mod names;
mod outcome;
mod own;
mod plan;
mod rights;
mod room;
#[cfg(test)]
mod tests;

pub use adopt::{AdoptedMailbox, AdoptedMessage, AdoptedUser, is_keyword};
pub use deposit::{Deposit, DepositDelivery};
pub use outcome::{
    Annotated, Appended, Committed, Copied, Delivery, Deposited, FlagChange, FlagOperation, FlagsChanged,
    NewAnnotation, Outcome, Refused,
};

use std::sync::Arc;

use crate::change::{Change, SpecialUse, codec};
use crate::derived::{Pass, Source};
use crate::disk::{Disk, Mutation};
use crate::draft::{Body, Content};
use crate::error::{ChangeError, StoreError};
use crate::ids::{CellIndex, MailboxId, ModSeq, Ticket, UserId};
use crate::locks::{Held, Intent, LockKey};
use crate::log::frame::CHANGES_MOST_BYTES;
use crate::log::{FrameHead, FrameType, InFlight, LogFile};
use crate::quota::Limits;
use crate::rights::RightsChange;
use crate::store::Store;
pub(crate) use bring_back::BroughtBack;
use own::OwnMessage;
use plan::{Plan, Planned, Stop};

/// How often the plan may find that it needs one more lock.
const TRIES_MOST: usize = 16;
/// Messages that one transaction may add: fewer than the UIDs that are skipped after a power cut.
pub const MESSAGES_MOST: usize = 1 << 18;

/// Changes of one transaction that may be seen before they are durable.
const UNSYNCED_MOST: usize = 1 << 16;

/// One operation, as it was asked for.
#[derive(Debug)]
pub(crate) enum Operation {
    Deliver { to: Vec<Delivery> },
    AddDeposits { to: MailboxId, messages: Vec<DepositDelivery>, replaced: Option<(MailboxId, CellIndex)> },
    Copy { from: MailboxId, cells: Vec<CellIndex>, to: MailboxId, expunge: bool },
    BringBack { from: MailboxId, messages: Vec<BroughtBack>, to: MailboxId },
    StoreFlags { mailbox: MailboxId, cells: Vec<CellIndex>, change: FlagChange, since: Option<ModSeq> },
    Annotate { mailbox: MailboxId, cells: Vec<CellIndex>, wanted: Vec<NewAnnotation>, since: Option<ModSeq> },
    AnnotateAdded { mailbox: MailboxId, place: usize, wanted: Vec<NewAnnotation> },
    Expunge { mailbox: MailboxId, cells: Vec<CellIndex> },
    CreateUser { name: String },
    DeleteUser { user: UserId, unused: bool },
    CreateMailbox { user: UserId, name: String, special_use: Option<SpecialUse> },
    RenameMailbox { user: UserId, from: String, to: String },
    DeleteMailbox { user: UserId, name: String },
    Subscribe { user: UserId, name: String, subscribed: bool },
    SpecialUse { user: UserId, name: String, special_use: Option<SpecialUse> },
    Quota { user: UserId, limits: Limits },
    Rights { mailbox: MailboxId, identifier: String, change: RightsChange },
    Attribute { user: UserId, mailbox: Option<u32>, name: String, value: Option<Vec<u8>> },
    AdoptUser { user: AdoptedUser },
    AdoptMailbox { user: UserId, mailbox: AdoptedMailbox },
    AdoptMessage { message: AdoptedMessage },
}

/// Operations that are done together or not at all. Each sees the mailboxes as they were before the transaction, so two
/// operations on the same cells do not belong in one.
pub struct Txn<'store> {
    store: &'store Store,
    content: Option<Content>,
    operations: Vec<Operation>,
    /// Who does it; `None` for the owner of whatever it is about.
    actor: Option<UserId>,
}

impl<'store> Txn<'store> {
    pub(crate) fn new(store: &'store Store, actor: Option<UserId>) -> Txn<'store> {
        Txn { store, content: None, operations: Vec::new(), actor }
    }

    /// Puts a message into mailboxes: its bytes are written once, whatever their number. Once a transaction; a second message
    /// takes the place of the first.
    pub fn deliver(&mut self, content: Content, to: Vec<Delivery>) {
        self.set_content(content);
        self.operations.push(Operation::Deliver { to });
    }

    /// Puts messages that were stored before into `to`, all or none, in their order. Once a transaction.
    ///
    /// Its `commit` fails with `Gone` if one of them has been given back meanwhile, because it was there for so long.
    pub fn add_deposits(&mut self, to: MailboxId, messages: Vec<DepositDelivery>) {
        self.operations.push(Operation::AddDeposits { to, messages, replaced: None });
    }

    /// Puts a message that was stored before into `to`, and expunges the one of `cell` in `from`, of which at no time there is neither.
    ///
    /// Its `commit` fails with `NotFound` if that one was expunged meanwhile; and as that of `add_deposits`.
    pub fn replace(&mut self, from: MailboxId, cell: CellIndex, to: MailboxId, message: DepositDelivery) {
        let replaced = Some((from, cell));
        self.operations.push(Operation::AddDeposits { to, messages: vec![message], replaced });
    }

    fn set_content(&mut self, content: Content) {
        self.operations.retain(|operation| {
            !matches!(operation, Operation::Deliver { .. } | Operation::AdoptMessage { .. })
        });
        self.content = Some(content);
    }

    /// Puts the messages of `cells` also into `to`, with their flags, keywords and dates. No message byte is read or written.
    pub fn copy(&mut self, from: MailboxId, cells: &[CellIndex], to: MailboxId) {
        self.operations.push(Operation::Copy { from, cells: ascending(cells), to, expunge: false });
    }

    /// `copy`, and expunges them from `from` (RFC 6851).
    pub fn move_messages(&mut self, from: MailboxId, cells: &[CellIndex], to: MailboxId) {
        self.operations.push(Operation::Copy { from, cells: ascending(cells), to, expunge: true });
    }

    /// Puts messages that `from` still holds into `to`, expunged ones as well; `from` may be a mailbox that was deleted. Their content should have been
    /// verified: it will not be.
    pub(crate) fn bring_back(&mut self, from: MailboxId, messages: Vec<BroughtBack>, to: MailboxId) {
        self.operations.push(Operation::BringBack { from, messages, to });
    }

    /// Changes flags.
    pub fn store_flags(&mut self, mailbox: MailboxId, cells: &[CellIndex], change: FlagChange) {
        let cells = ascending(cells);
        self.operations.push(Operation::StoreFlags { mailbox, cells, change, since: None });
    }

    /// `store_flags`, but leaves messages as they are that were changed after `since` (RFC 7162, 3.1.3). Each is looked at under the mailbox's
    /// lock, so that nobody's change comes between.
    pub fn store_flags_unless_newer(
        &mut self,
        mailbox: MailboxId,
        cells: &[CellIndex],
        change: FlagChange,
        since: ModSeq,
    ) {
        let cells = ascending(cells);
        self.operations.push(Operation::StoreFlags { mailbox, cells, change, since: Some(since) });
    }

    /// Sets annotations of messages, or takes them away; each message gets all of them, or none does. With `since`, messages that were changed after it are left as they are.
    ///
    /// Its `commit` fails with `TooManyAnnotations` if a message would have too many, with `OverQuota` if the user would.
    pub fn annotate(
        &mut self,
        mailbox: MailboxId,
        cells: &[CellIndex],
        wanted: Vec<NewAnnotation>,
        since: Option<ModSeq>,
    ) {
        let cells = ascending(cells);
        self.operations.push(Operation::Annotate { mailbox, cells, wanted, since });
    }

    /// Annotates a message that an earlier operation of this transaction puts into `mailbox`: the one with this place, from 0, among those that it gets.
    ///
    /// Its `commit` fails as that of `annotate`.
    pub fn annotate_added(&mut self, mailbox: MailboxId, place: usize, wanted: Vec<NewAnnotation>) {
        if !wanted.is_empty() {
            self.operations.push(Operation::AnnotateAdded { mailbox, place, wanted });
        }
    }

    /// Expunges messages, whether or not they are marked \Deleted.
    pub fn expunge(&mut self, mailbox: MailboxId, cells: &[CellIndex]) {
        self.operations.push(Operation::Expunge { mailbox, cells: ascending(cells) });
    }

    /// Makes a mailbox, and those above it that are missing.
    pub fn create_mailbox(&mut self, user: UserId, name: &str, special_use: Option<SpecialUse>) {
        self.operations.push(Operation::CreateMailbox { user, name: name.to_string(), special_use });
    }

    /// Gives the mailbox and those below it another name. For INBOX: makes the other one and moves all messages there (RFC 3501,
    /// 6.3.5).
    pub fn rename_mailbox(&mut self, user: UserId, from: &str, to: &str) {
        self.operations.push(Operation::RenameMailbox { user, from: from.to_string(), to: to.to_string() });
    }

    /// Deletes the mailbox of that name (RFC 3501, 6.3.4).
    pub fn delete_mailbox(&mut self, user: UserId, name: &str) {
        self.operations.push(Operation::DeleteMailbox { user, name: name.to_string() });
    }

    /// Subscribes to a name, or no longer.
    pub fn subscribe(&mut self, user: UserId, name: &str, subscribed: bool) {
        self.operations.push(Operation::Subscribe { user, name: name.to_string(), subscribed });
    }

    /// Says what a mailbox is for.
    pub fn special_use(&mut self, user: UserId, name: &str, special_use: Option<SpecialUse>) {
        self.operations.push(Operation::SpecialUse { user, name: name.to_string(), special_use });
    }

    /// Says how much mail a user may have. What is there already stays, however much it is.
    pub fn set_quota(&mut self, user: UserId, limits: Limits) {
        self.operations.push(Operation::Quota { user, limits });
    }

    /// Says something of mailbox number `mailbox` of a user, or, without one, of the user; without a value, says it no longer. The limits are those of
    /// [`crate::lists`].
    pub fn set_attribute(&mut self, user: UserId, mailbox: Option<u32>, name: &str, value: Option<&[u8]>) {
        let (name, value) = (name.to_string(), value.map(<[u8]>::to_vec));
        self.operations.push(Operation::Attribute { user, mailbox, name, value });
    }

    /// Changes what an identifier may do with a mailbox (`rights`). Refused for a name that no user has, but to take rights away.
    pub fn set_rights(&mut self, mailbox: MailboxId, identifier: &str, change: RightsChange) {
        let identifier = identifier.to_string();
        self.operations.push(Operation::Rights { mailbox, identifier, change });
    }

    /// Deletes a user and all that is theirs. The name can be given to another one, who gets another number.
    pub fn delete_user(&mut self, user: UserId) {
        self.operations.push(Operation::DeleteUser { user, unused: false });
    }

    /// Deletes a user, unless there ever was a message in any of the mailboxes: then it is refused.
    pub fn delete_unused_user(&mut self, user: UserId) {
        self.operations.push(Operation::DeleteUser { user, unused: true });
    }

    /// Makes a user with mailboxes that keep the numbers they had elsewhere. Refused if there is such a user.
    pub fn adopt_user(&mut self, user: AdoptedUser) {
        self.operations.push(Operation::AdoptUser { user });
    }

    /// Makes a mailbox that keeps the numbers it had elsewhere, or here before it was deleted. Refused if there is one of that name or with
    /// that UIDVALIDITY.
    pub fn adopt_mailbox(&mut self, user: UserId, mailbox: AdoptedMailbox) {
        self.operations.push(Operation::AdoptMailbox { user, mailbox });
    }

    /// Puts a message into a mailbox that was adopted by this very store value, under the UID that it had, above all UIDs in it. Its outcome
    /// is that of a delivery. It takes the place of a message given before.
    pub fn adopt_message(&mut self, content: Content, message: AdoptedMessage) {
        self.set_content(content);
        self.operations.push(Operation::AdoptMessage { message });
    }

    pub(crate) fn create_user(&mut self, name: &str) {
        self.operations.push(Operation::CreateUser { name: name.to_string() });
    }

    /// Does it all. When this returns, every process sees the changes; they last once the ticket is durable. An error means
    /// that nothing was changed, but for an error of the disk, or a damaged file, while the views were patched: then whoever takes a lock next completes the
    /// change. Too few descriptors, too little memory and a full disk refuse a change before it is in the log, and none after that, as far as what is
    /// kept for the last step reaches (`last_step.rs`).
    pub fn commit(self) -> Result<Committed, ChangeError> {
        let Txn { store, mut content, operations, actor } = self;
        store.check_writable()?;
        store.tell_before_change();
        store.sync_deposits(deposits(&operations))?;
        let mut message = content.as_mut().map(|content| OwnMessage::prepare(store, content)).transpose()?;
        let mut keys: Vec<LockKey> = operations.iter().flat_map(Operation::keys).collect();
        keys.extend(room::keys(store, &operations));
        let mut uncounted = Vec::new();
        for _ in 0..TRIES_MOST {
            let held = store.take(&keys)?;
            let plan = Plan::new(store, &held, message.as_ref(), &uncounted, actor);
            match plan.run(&operations) {
                Ok(planned) => {
                    if let (Some(own), Some(content)) = (&mut message, &mut content)
                        && own.is_counted()
                        && !own.hold(store)?
                    {
                        // The message that was to be counted has been freed: then this one is stored.
                        drop(held);
                        *own = OwnMessage::new(store, content)?;
                        continue;
                    }
                    let held_deposits = store.hold_deposits(deposits(&operations))?;
                    let written = write(store, &held, content, message.as_ref(), planned);
                    drop(held_deposits);
                    if let Some(own) = &message {
                        own.let_go(store);
                    }
                    return written;
                }
                Err(Stop::Needs(more)) => keys.extend(more),
                Err(Stop::Refused(error)) => return Err(error),
                Err(Stop::Uncounted(mailboxes)) => {
                    // Each has a lock of its own.
                    drop(held);
                    uncounted.extend(store.make_usage(&mailboxes)?);
                }
            }
        }
        Err(StoreError::Busy("a mailbox list that others keep changing").into())
    }
}

/// All deposits that operations put into mailboxes.
fn deposits(operations: &[Operation]) -> impl Iterator<Item = &Deposit> {
    operations
        .iter()
        .flat_map(|operation| match operation {
            Operation::AddDeposits { messages, .. } => messages.as_slice(),
            _ => &[],
        })
        .map(|message| &message.deposit)
}

fn ascending(cells: &[CellIndex]) -> Vec<CellIndex> {
    let mut cells = cells.to_vec();
    cells.sort_unstable();
    cells.dedup();
    cells
}

/// Steps 2 to 5 of a change: intent, frame, views, ticket.
fn write(
    store: &Store,
    held: &Held<'_>,
    content: Option<Content>,
    message: Option<&OwnMessage>,
    planned: Planned,
) -> Result<Committed, ChangeError> {
    let Planned { mut changes, outcomes, touched, reserves, others, adopted } = planned;
    if changes.is_empty() {
        return Ok(Committed { ticket: Ticket(0), outcomes, touched });
    }
    for (mailbox, cells) in reserves {
        mailbox.reserve(cells)?;
    }
    let delivers = changes.iter().any(
        |change| matches!((change, message), (Change::Add { added, .. }, Some(own)) if added.message == own.id),
    );
    // A message that is counted has its frame already.
    let own = message.filter(|own| delivers && !own.is_counted()).zip(content);
    if let Some((own, _)) = &own {
        changes.insert(0, Change::Message { index: own.id.index, header_size: own.header_size });
    }
    let mut bytes = Vec::with_capacity(64 * changes.len());
    codec::encode(&changes, &mut bytes);
    if bytes.len() > CHANGES_MOST_BYTES {
        return Err(ChangeError::Limit("messages at once"));
    }
    store.derived.last_step.prepare(&changes)?;
    let (log, head, in_flight) = append(store, held, own.as_ref(), &bytes)?;
    if must_be_durable_first(&changes) && !is_mutated_order(&store.derived.disk, &changes) {
        store.committer.sync_now(&log, &store.logs)?;
    }
    let source = Source::new(log.name(), in_flight.offset(), &head);
    let mut pass = Pass::First;
    store.derived.last_step.finish(|| {
        let of_this_try = std::mem::replace(&mut pass, Pass::Resumed);
        put_into_views(store, held, own.as_ref(), &source, &changes, of_this_try)
    })?;
    if changes.iter().any(|change| matches!(change, Change::Quota { .. })) {
        store.count_quota_change();
    }
    held.clear();
    in_flight.applied();
    store.note_adopted(adopted);
    store.counters.commits.add(1);
    store.count_changes(weight(&changes));
    store.note_expunged(&changes);
    let ticket = store.committer.ticket(&log, others);
    match (&own, message) {
        (Some((own, content)), _) => store.equal.remember(content.hash, content.size, own.id),
        (None, Some(counted)) if delivers => counted.note_saved(store),
        _ => (),
    }
    Ok(Committed { ticket, outcomes, touched })
}

/// Step 4 of a change. If it was short of something on the way, it may be done again, as [`Pass::Resumed`].
fn put_into_views(
    store: &Store,
    held: &Held<'_>,
    own: Option<&(&OwnMessage, Content)>,
    source: &Source,
    changes: &[Change],
    pass: Pass,
) -> Result<(), StoreError> {
    if let Some((own, content)) = own {
        let adds = changes.iter().filter(|change| matches!(change, Change::Add { .. })).count();
        let directory = store.pages.directory(own.id.page)?;
        let references = u32::try_from(adds).unwrap_or(u32::MAX);
        directory.fill(own.id.index, &source.place(own.header_size), references)?;
        if let Some(record) = &content.record_place {
            directory.set_record(own.id.index, record)?;
        }
    }
    let concerns = |key: LockKey| held.covers(key);
    store.derived.apply(source, changes, &concerns, pass)
}

/// Appends the frame: to the bucket that has or gets the content, or else to the journal.
fn append(
    store: &Store,
    held: &Held<'_>,
    own: Option<&(&OwnMessage, Content)>,
    changes: &[u8],
) -> Result<(Arc<LogFile>, FrameHead, InFlight), ChangeError> {
    let bucket = own.and_then(|(own, _)| own.log());
    let log = bucket.map_or_else(|| store.logs.journal(), |log| Ok(Arc::clone(log)))?;
    let mut head = FrameHead::of_changes(log.id(), changes, store.derived.now());
    if let Some((_, content)) = own {
        head.frame_type = FrameType::Delivery;
        (head.content_len, head.content_hash) = (content.size, content.hash);
    }
    let disk = &store.derived.disk;
    let late = disk.mutated(Mutation::IntentAfterFrame);
    let announce = |offset| {
        if !late {
            held.announce(Intent { log: log.name(), offset });
        }
    };
    let appended = match own.map(|(_, content)| &content.body) {
        Some(Body::Streamed(_)) => log.append_written(&head, changes, announce),
        Some(Body::Gathered(bytes)) => log.append(&head, bytes, changes, announce),
        None => log.append(&head, &[], changes, announce),
    };
    let in_flight = match appended {
        Ok(in_flight) => in_flight,
        Err(error) => {
            // Nothing of the frame is left, unless even that failed: then the next owner of these locks looks.
            if !log.is_broken() {
                held.clear();
            }
            return Err(error.into());
        }
    };
    if disk.mutated(Mutation::IntentAfterFrame) {
        held.announce(Intent { log: log.name(), offset: in_flight.offset() });
    }
    store.counters.frames.add(1);
    let written = match own {
        Some(_) => &store.counters.bucket_bytes_written,
        None => &store.counters.journal_bytes_written,
    };
    written.add(head.frame_len());
    Ok((log, head, in_flight))
}

/// Whether nobody may see these changes before they are durable, even if others then wait for the locks meanwhile:
/// - what readers of another user's mailbox have seen, for the file that says it is replaced as a whole, and never ahead of its log; annotations likewise, whose file is
///   durable as soon as it has them;
/// - users, all that is said in a list of mailboxes, and names of keywords, for other processes may soon log changes that mean something else
///   without them (a name that a rename has made free is given to another mailbox), and sync those first; and a list is a file that is
///   durable at once, so that after a power cut it would say what no log says;
/// - messages that are moved, for after a power cut the view of the one mailbox may have lost them, and that of the other not got
///   them;
/// - several messages that are copied, expunged or given flags at once, for after a power cut the views may show it of some of them: a part
///   of what the frame would have said, had it not been lost. (A message that is delivered is in its frame, and lost with it, whoever got it.)
/// - more messages at once than a few transactions may leave unsynced in a mailbox, for the UIDs that are skipped after a power
///   cut are not without number.
pub(crate) fn must_be_durable_first(changes: &[Change]) -> bool {
    let defines = |change: &Change| {
        let is_of_list = crate::derived::list_of(change).is_some();
        is_of_list
            || matches!(
                change,
                Change::UserCreate { .. }
                    | Change::UserDelete { .. }
                    | Change::Keyword { .. }
                    | Change::Seen { .. }
                    | Change::Annotations { .. }
            )
    };
    let delivers = matches!(changes.first(), Some(Change::Message { .. }));
    let is_delivery = |change: &Change| matches!(change, Change::Message { .. } | Change::Add { .. });
    changes.len() > UNSYNCED_MOST
        || changes.iter().any(defines)
        || if delivers { !changes.iter().all(is_delivery) } else { weight(changes) > 1 }
}

/// Whether the order of a change is broken on purpose.
fn is_mutated_order(disk: &Disk, changes: &[Change]) -> bool {
    let of_cells = |change: &Change| crate::derived::mailbox_of_cells(change).is_some();
    let mutation = match changes.iter().all(of_cells) {
        true => Mutation::SeveralNotDurableFirst,
        false => Mutation::NamesNotDurableFirst,
    };
    disk.mutated(mutation)
}

/// How much there is to replay in these changes, in messages.
fn weight(changes: &[Change]) -> usize {
    changes
        .iter()
        .map(|change| match change {
            Change::Flags { messages, .. } => messages.len(),
            Change::Expunge { uids, .. } => uids.len(),
            Change::Seen { ranges, .. } => ranges.len(),
            Change::Annotations { messages, .. } => messages.len(),
            _ => 1,
        })
        .sum()
}
