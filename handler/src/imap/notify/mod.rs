//! NOTIFY (RFC 5465): a client is told of changes in mailboxes, and of the list of them, at any time.
//!
//! A session that was asked to notify waits for input or for a change, as with IDLE. It watches the rows of all mailboxes that it tells of, and those of
//! the lists in which they are. A change wakes it; the generations of the rows say where to look, so nothing else is opened.
//!
//! - `scope.rs`: which mailboxes are meant now, and what is told of each;
//! - `lists.rs`: what became of the lists, as LIST and METADATA replies;
//! - `tell.rs`: looks, and tells.
//!
//! What is told of the selected mailbox goes the way of all commands' ends (`untagged.rs`), which asks [`SelectedEvents`].
//!
//! Invariants: rows are watched before what they stand for is looked at; no more than [`MAILBOXES_MAX`] mailboxes are kept, beyond that the session is told
//! NOTIFICATIONOVERFLOW and nothing more (5.8). What the session itself did to names is not told (5).

mod lists;
mod parked;
mod scope;
mod tell;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use protocol::imap::command::Tag;
use protocol::imap::command::fetch::FetchItem;
use protocol::imap::command::status::StatusItem;
use protocol::imap::extension::mailbox_filter::MailboxFilter;
use protocol::imap::extension::notify::{EventGroup, Events, NotifyArguments, NotifySet};
use protocol::imap::reply::code::Code;
use protocol::imap::reply::status::Condition;
use store::lists::MailboxList;
use store::{MailboxId, StoreError, UserId};

use super::ending::Tell;
use super::status::write_status;
use super::untagged::Untagged;
use super::{Flow, ImapSession, Running, Stage};
use crate::conversation::{Next, Turn};
use crate::log;
use crate::parked::next_stamp;

pub(super) use self::parked::{COMMAND_OCTETS_MAX, ParkedNotify};

/// Mailboxes and lists that a session may be told of.
const MAILBOXES_MAX: usize = 1000;
/// Mailboxes that are opened before other sessions have their turn.
const OPENED_A_TURN: usize = 64;

/// What a session tells of the selected mailbox.
#[derive(Clone, Default)]
pub(crate) enum SelectedEvents {
    /// Everything, as without NOTIFY.
    #[default]
    All,
    /// What NOTIFY asked for.
    Asked(Arc<SelectedRule>),
    /// Nothing.
    Nothing,
}

/// What NOTIFY asked for of the selected mailbox.
pub(crate) struct SelectedRule {
    /// Only when a command allows it is it told what was expunged.
    is_delayed: bool,
    /// Whether flags are told.
    pub(crate) tells_flags: bool,
    /// Whether it is told which annotations change.
    pub(crate) tells_annotations: bool,
    /// The tag of the command, and the items that are told of each new message.
    pub(crate) fetch: Option<(Tag, Vec<FetchItem>)>,
}

/// What a session tells.
pub(crate) struct Notify {
    groups: Vec<EventGroup>,
    selected: SelectedEvents,
    /// The lists in which the mailboxes are, the user's own first; none if nothing is told of any but the selected mailbox.
    lists: Vec<KnownList>,
    mailboxes: BTreeMap<MailboxId, Known>,
    /// The selected mailbox, if it is watched.
    watches_selected: Option<MailboxId>,
    /// Names that the session itself did something to since the lists were looked at.
    own_names: Vec<String>,
    /// News of the selected mailbox on their way.
    untagged: Option<Untagged>,
    /// The command as it came; empty if it is too long to be kept.
    command: Box<[u8]>,
    /// Another number whenever what is kept for another handler changes.
    stamp: u64,
}

/// A list as the client knows it.
struct KnownList {
    list: Arc<MailboxList>,
    /// Its row's, when it was looked at.
    generation: u64,
}

/// A mailbox as the client knows it.
struct Known {
    name: String,
    events: Events,
    /// Its row's, when it was looked at.
    generation: u64,
    state: State,
}

/// What the client knows of a mailbox's messages. Nothing at first.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct State {
    exists: u32,
    uid_next: u32,
    unseen: u32,
    highest_modseq: u64,
}

impl State {
    fn of(id: MailboxId, user: UserId, turn: &Turn<'_>) -> Result<State, StoreError> {
        let status = turn.shared.store.mailbox_as(id, user)?.status()?;
        let highest_modseq = status.highest_modseq.0;
        Ok(State { exists: status.exists, uid_next: status.uid_next, unseen: status.unseen, highest_modseq })
    }
}

/// A NOTIFY SET on its way.
pub(crate) struct Setup {
    tag: Tag,
    notify: Box<Notify>,
    wants_status: bool,
    /// The mailbox that was looked at last.
    last: Option<MailboxId>,
}

impl ImapSession {
    pub(super) fn notify(&mut self, tag: Tag, arguments: NotifyArguments, turn: &mut Turn<'_>) -> Flow {
        let command = std::mem::take(&mut self.notify_command);
        match arguments {
            NotifyArguments::None => {
                self.stop_notifying(turn);
                self.end(turn, tag, Tell::Nothing, "You will be told nothing")
            }
            NotifyArguments::Set(set) if set.has_unknown_events => {
                let names = Events::ALL.map(|(_, name)| name);
                let code = Some(Code::BadEvent(&names));
                self.refuse(turn, &tag, Condition::No, code, "There is no such event")
            }
            NotifyArguments::Set(set) => self.begin_notify(tag, set, command, turn),
        }
    }

    fn begin_notify(&mut self, tag: Tag, set: NotifySet, command: Vec<u8>, turn: &mut Turn<'_>) -> Flow {
        let NotifySet { status, groups, .. } = set;
        let mut notify = Box::new(Notify::new(&tag, groups, command));
        let prepared = self.prepare(&mut notify, turn);
        match prepared {
            Ok(true) => {
                self.running =
                    Running::Notify(Box::new(Setup { tag, notify, wants_status: status, last: None }));
                Flow::Continue
            }
            Ok(false) => {
                // What was watched for the wishes before is watched again.
                self.watch_for_notify(turn);
                let text = "These are too many mailboxes to watch";
                self.refuse(turn, &tag, Condition::No, Some(Code::NotificationOverflow), text)
            }
            Err(error) => self.refuse_store(turn, &tag, &error),
        }
    }

    /// Watches what is to be watched and then looks at the lists; false if there is too much.
    fn prepare(&self, notify: &mut Notify, turn: &mut Turn<'_>) -> Result<bool, StoreError> {
        if notify.groups.is_empty() {
            self.watch(notify, turn);
            return Ok(true);
        }
        let owners = self.owners(&notify.groups, turn)?;
        if owners.len() > MAILBOXES_MAX {
            return Ok(false);
        }
        turn.watch(owners.iter().map(|owner| MailboxId::list_of(*owner).key()).collect());
        notify.lists = known_lists(&owners, turn)?;
        let scope = self.scope(&notify.groups, turn)?;
        if scope.len() > MAILBOXES_MAX {
            return Ok(false);
        }
        notify.mailboxes = scope
            .into_iter()
            .map(|(id, (name, events))| (id, Known { name, events, generation: 0, state: State::default() }))
            .collect();
        self.watch(notify, turn);
        self.tell_no_access(&notify.groups, turn);
        Ok(true)
    }

    /// Looks at the mailboxes, some a turn, and tells how they are if that is wished.
    pub(super) fn go_on_notify(&mut self, mut setup: Box<Setup>, turn: &mut Turn<'_>) -> Flow {
        let Ok(user) = self.user_id() else { return Flow::Continue };
        let (names, selected) = (self.enabled.names(), self.selected_id());
        let mut opened = 0;
        let from = setup.last.map_or(Bound::Unbounded, Bound::Excluded);
        for (&id, known) in setup.notify.mailboxes.range_mut((from, Bound::Unbounded)) {
            if turn.output.is_full() || opened == OPENED_A_TURN {
                let next = if opened == OPENED_A_TURN { Next::Again } else { Next::Output };
                self.running = Running::Notify(setup);
                return Flow::Wait(next);
            }
            setup.last = Some(id);
            if known.events.of_messages().is_empty() {
                continue;
            }
            opened += 1;
            known.generation = turn.generation(id);
            match State::of(id, user, turn) {
                Ok(state) => known.state = state,
                Err(error) => {
                    log::warning!("no status", mailbox = id.key(), why = error);
                    continue;
                }
            }
            if setup.wants_status && Some(id) != selected {
                let mut items = vec![StatusItem::Messages, StatusItem::UidNext, StatusItem::UidValidity];
                if known.events.has(Events::FLAG_CHANGE.union(Events::ANNOTATION_CHANGE)) {
                    items.push(StatusItem::HighestModSeq);
                }
                let written =
                    write_status(turn.output.bytes(), turn.shared, (id, user), (&known.name, names), &items);
                if let Err(error) = written {
                    log::warning!("no status", mailbox = id.key(), why = error);
                }
            }
        }
        let Setup { tag, notify, .. } = *setup;
        self.notify = Some(notify);
        // It ends as a NOOP does (3.1), whatever is told from now on.
        if let Stage::Selected(_, selected) = &mut self.stage {
            selected.events = SelectedEvents::All;
        }
        self.end(turn, tag, Tell::Everything, "You will be told")
    }

    /// Tells nothing from now on, of the selected mailbox neither.
    fn stop_notifying(&mut self, turn: &Turn<'_>) {
        turn.unwatch();
        self.notify = Some(Box::new(Notify {
            groups: Vec::new(),
            selected: SelectedEvents::Nothing,
            lists: Vec::new(),
            mailboxes: BTreeMap::new(),
            watches_selected: None,
            own_names: Vec::new(),
            untagged: None,
            command: Box::default(),
            stamp: next_stamp(),
        }));
        self.apply_notify();
    }

    /// Has the selected mailbox told of as NOTIFY asked, if it did.
    pub(super) fn apply_notify(&mut self) {
        if let (Some(notify), Stage::Selected(_, selected)) = (&self.notify, &mut self.stage) {
            selected.events = notify.selected.clone();
        }
    }

    /// The session itself changed something about these names of the user's own, which need not be told.
    pub(super) fn note_own_names(&mut self, names: &[&str]) {
        let Some(notify) = &mut self.notify else { return };
        for name in names {
            let parent = name.rsplit_once('/').map(|(parent, _)| parent);
            notify.own_names.extend([Some(*name), parent].into_iter().flatten().map(str::to_owned));
        }
        // If that many changed, being told of some is no harm.
        notify.own_names.truncate(MAILBOXES_MAX);
        notify.stamp = next_stamp();
    }

    /// Watches the rows of all that is told of.
    fn watch(&self, notify: &mut Notify, turn: &Turn<'_>) {
        notify.watches_selected =
            self.selected_id().filter(|_| matches!(notify.selected, SelectedEvents::Asked(_)));
        let with_messages =
            notify.mailboxes.iter().filter(|(_, known)| !known.events.of_messages().is_empty());
        let lists = notify.lists.iter().map(|known| MailboxId::list_of(known.list.user()));
        let ids = with_messages.map(|(id, _)| *id).chain(lists).chain(notify.watches_selected);
        turn.watch(ids.map(MailboxId::key).collect());
    }

    /// Watches what NOTIFY asked for; false if nothing.
    pub(super) fn watch_for_notify(&mut self, turn: &Turn<'_>) -> bool {
        let Some(mut notify) = self.notify.take() else { return false };
        self.watch(&mut notify, turn);
        self.notify = Some(notify);
        true
    }
}

impl Notify {
    fn new(tag: &Tag, groups: Vec<EventGroup>, command: Vec<u8>) -> Notify {
        let (selected, groups): (Vec<_>, Vec<_>) = groups.into_iter().partition(EventGroup::is_selected);
        let selected = selected.into_iter().find(|group| !group.events.is_empty());
        let rule = selected.map(|group| SelectedRule {
            is_delayed: group.mailboxes == MailboxFilter::SelectedDelayed,
            tells_flags: group.events.has(Events::FLAG_CHANGE),
            tells_annotations: group.events.has(Events::ANNOTATION_CHANGE),
            fetch: (!group.fetch.is_empty()).then(|| (tag.clone(), group.fetch)),
        });
        Notify {
            groups: groups.into_iter().filter(|group| !group.events.is_empty()).collect(),
            selected: rule.map_or(SelectedEvents::Nothing, |rule| SelectedEvents::Asked(Arc::new(rule))),
            lists: Vec::new(),
            mailboxes: BTreeMap::new(),
            watches_selected: None,
            own_names: Vec::new(),
            untagged: None,
            command: command.into(),
            stamp: next_stamp(),
        }
    }

    /// Whether there is anything to wait for.
    pub(super) fn is_active(&self) -> bool {
        !self.groups.is_empty() || matches!(self.selected, SelectedEvents::Asked(_))
    }

    /// Whether news were begun and must be told before anything else.
    pub(super) fn is_telling(&self) -> bool {
        self.untagged.is_some()
    }
}

/// The lists of these users as they are, the generations of their rows read before.
fn known_lists(owners: &[UserId], turn: &Turn<'_>) -> Result<Vec<KnownList>, StoreError> {
    let mut lists = Vec::with_capacity(owners.len());
    for &owner in owners {
        let generation = turn.generation(MailboxId::list_of(owner));
        lists.push(KnownList { list: turn.shared.store.mailbox_list(owner)?, generation });
    }
    Ok(lists)
}
