//! Puts mail that comes with all its numbers into the store: from an export in Lode's own format (`import/lode.rs`), or from a backup (`restore/`). What is decided
//! here is where each mailbox goes, and whether its UIDs can be kept.
//!
//! - A user who is not there comes as is, all mailboxes under their UIDVALIDITY and UIDs. So does one who is there but never had mail.
//! - A mailbox that is not there comes as is, if no other of the user's has its UIDVALIDITY.
//! - A mailbox that is there gets what it lacks, or another one does: under new UIDs.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use store::change::{Added, Change};
use store::error::ChangeError;
use store::ids::{MailboxId, Ticket, UserId};
use store::lists::MailboxList;
use store::mailbox::Mailbox;
use store::transfer::UserSnapshot;
use store::txn::{
    AdoptedMailbox, AdoptedMessage, AdoptedUser, Appended, Committed, Delivery, NewAnnotation, Outcome,
    Refused, Txn, is_keyword,
};
use store::{Content, Store, StoreError};

use crate::failure::{Failure, Result};
use crate::import::known::Known;
use crate::notify::Notifier;
use crate::output::Table;

/// Messages that may be on their way to the disk at once.
const IN_FLIGHT: u32 = 256;

/// A user as of elsewhere: mailboxes with the numbers by which messages name them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// The user's name there.
    pub(crate) name: String,
    /// The mailboxes; names above others before these.
    pub(crate) mailboxes: Vec<(u32, AdoptedMailbox)>,
    /// Subscribed names.
    pub(crate) subscriptions: Vec<String>,
    /// The limits of the user's mail.
    pub(crate) limits: store::Limits,
    /// What is said of the user.
    pub(crate) attributes: Vec<(String, Vec<u8>)>,
}

impl Facts {
    /// Those of a snapshot.
    pub(crate) fn of(snapshot: &UserSnapshot) -> Facts {
        Facts {
            name: snapshot.name.clone(),
            mailboxes: snapshot
                .mailboxes
                .iter()
                .map(|mailbox| (mailbox.id.number, mailbox.facts.clone()))
                .collect(),
            subscriptions: snapshot.subscriptions.clone(),
            limits: snapshot.limits,
            attributes: snapshot.attributes.clone(),
        }
    }

    /// Takes in facts as an export file tells them.
    pub(crate) fn learn(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::UserCreate { name, .. } => self.name = name,
                Change::Quota { limits, .. } => self.limits = limits,
                Change::Subscribe { name, subscribed: true, .. } => self.subscriptions.push(name),
                Change::MailboxCreate { mailbox, uid_validity, name, special_use, placeholder, .. } => {
                    let facts = AdoptedMailbox {
                        name,
                        uid_validity,
                        special_use,
                        placeholder,
                        uid_next: 1,
                        highest_modseq: store::ids::ModSeq(1),
                        keywords: Vec::new(),
                        attributes: Vec::new(),
                    };
                    self.mailboxes.push((mailbox.number, facts));
                }
                Change::MailboxNumbers { mailbox, uid_next, highest_modseq } => {
                    if let Some(facts) = self.mailbox_mut(mailbox.number) {
                        (facts.uid_next, facts.highest_modseq) = (uid_next, highest_modseq);
                    }
                }
                Change::Attribute { mailbox: None, name, value: Some(value), .. } => {
                    self.attributes.push((name, value));
                }
                Change::Attribute { mailbox: Some(number), name, value: Some(value), .. } => {
                    if let Some(facts) = self.mailbox_mut(number) {
                        facts.attributes.push((name, value));
                    }
                }
                Change::Keyword { mailbox, bit, name } if is_keyword(&name) => {
                    if let Some(facts) = self.mailbox_mut(mailbox.number) {
                        facts.keywords.push((bit, name));
                    }
                }
                _ => (),
            }
        }
    }

    fn mailbox_mut(&mut self, number: u32) -> Option<&mut AdoptedMailbox> {
        // The one that was named last is asked for most.
        let found = self.mailboxes.iter_mut().rev().find(|(known, _)| *known == number);
        found.map(|(_, facts)| facts)
    }
}

/// What is to be done with mailboxes that are there already.
#[derive(Clone, Debug)]
pub(crate) enum WhereThere {
    /// They get what they lack.
    Fill,
    /// Another mailbox gets what they lack: the one that this makes of the name.
    Beside(Beside),
}

/// Which other mailbox.
#[derive(Clone, Debug)]
pub(crate) enum Beside {
    /// The one of this name.
    Into(String),
    /// The one of that name with this behind it.
    Named(String),
}

impl Beside {
    fn name(&self, name: &str) -> String {
        match self {
            Beside::Into(into) => into.clone(),
            Beside::Named(behind) => format!("{name} {behind}"),
        }
    }
}

/// How a user's mail comes in.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    pub(crate) where_there: WhereThere,
    /// Whether all that comes goes below a mailbox of this name.
    pub(crate) below: Option<String>,
    /// Whether UIDs may have been given out since the numbers were taken down: not so for what comes from another store.
    pub(crate) skip_numbers: bool,
}

/// What became of the messages of one mailbox.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sums {
    /// Where they went.
    pub(crate) mailbox: String,
    /// In with the UIDs they had.
    pub(crate) kept: u64,
    /// In under new UIDs.
    pub(crate) renumbered: u64,
    pub(crate) already_there: u64,
    pub(crate) failed: u64,
}

impl Sums {
    /// Whether anything came in, or failed to.
    pub(crate) fn has_news(&self) -> bool {
        self.kept + self.renumbered + self.failed > 0
    }
}

/// Where the messages of a mailbox go.
struct Place {
    /// `None` until the first message comes that is lacking.
    mailbox: Option<Arc<Mailbox>>,
    adopted: bool,
    known: Vec<Known>,
    keywords: Vec<(u8, String)>,
    sums: Sums,
}

/// Mail on its way into the store.
pub(crate) struct IntoStore<'a> {
    store: &'a Arc<Store>,
    notifier: &'a Notifier,
    user: UserId,
    /// Whether the user is new, or as good as new.
    pub(crate) user_was_made: bool,
    places: BTreeMap<u32, Place>,
    last_ticket: Ticket,
    in_flight: u32,
}

impl<'a> IntoStore<'a> {
    /// Makes what is missing of the user `name` and the mailboxes.
    pub(crate) fn begin(
        store: &'a Arc<Store>,
        notifier: &'a Notifier,
        name: &str,
        facts: &Facts,
        policy: &Policy,
    ) -> Result<IntoStore<'a>> {
        let tried = format!("cannot make the mailboxes of {name}");
        let mut facts = facts.clone();
        for (_, mailbox) in &mut facts.mailboxes {
            if policy.skip_numbers {
                mailbox.skip_numbers();
            }
            if let Some(below) = &policy.below {
                mailbox.name = format!("{below}/{}", mailbox.name);
                mailbox.special_use = None;
            }
        }
        let found = store.find_user(name).map_err(Failure::because(&tried))?;
        let (user, user_was_made) = match found {
            Some(user) if !forget_unused(store, user, &tried)? => (user, false),
            _ => (adopt_user(store, name, &facts, &tried)?, true),
        };
        let mut into = IntoStore {
            store,
            notifier,
            user,
            user_was_made,
            places: BTreeMap::new(),
            last_ticket: Ticket::default(),
            in_flight: 0,
        };
        for (number, mailbox) in &facts.mailboxes {
            if mailbox.placeholder {
                continue;
            }
            let place = if user_was_made {
                into.adopted(mailbox).map_err(Failure::because(&tried))?
            } else {
                into.place(mailbox, policy, &tried)?
            };
            into.places.insert(*number, place);
        }
        if !user_was_made && policy.below.is_none() {
            into.subscribe(&facts).map_err(Failure::because(&tried))?;
        }
        Ok(into)
    }

    /// Whether a message is to be put in: false if the mailbox has it already, which is counted, or if there is no such mailbox.
    pub(crate) fn wants(&mut self, mailbox: u32, size: u64, hash: u64) -> store::error::Result<bool> {
        let Some(place) = self.places.get_mut(&mailbox) else { return Ok(false) };
        for known in &mut place.known {
            if known.take(self.store, size, hash)? {
                place.sums.already_there += 1;
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Puts a message in. The inner error is this message's, others may go in.
    pub(crate) fn put(
        &mut self,
        mailbox: u32,
        added: &Added,
        annotations: Vec<NewAnnotation>,
        content: Content,
    ) -> Result<std::result::Result<(), String>> {
        let stopped = |error: ChangeError| {
            let hint = match &error {
                ChangeError::Store(error) if error.is_out_of_space() => {
                    " (make room, then do the same again; nothing is doubled)"
                }
                _ => "",
            };
            Failure::Failed(format!("stopped: {error}{hint}"))
        };
        let Some(place) = self.places.get_mut(&mailbox) else {
            return Ok(Err("it is in a mailbox that the file does not name".to_owned()));
        };
        let target = match &place.mailbox {
            Some(open) => Arc::clone(open),
            None => {
                let name = place.sums.mailbox.clone();
                let open = make(self.store, self.user, &name).map_err(stopped)?;
                place.mailbox = Some(Arc::clone(&open));
                open
            }
        };
        let mut change = self.store.begin();
        if place.adopted {
            let message = AdoptedMessage {
                mailbox: target.id(),
                uid: added.uid,
                or_next_uid: true,
                modseq: added.modseq,
                flags: added.flags,
                internal_date: added.internal_date,
                save_seconds: added.save_seconds,
            };
            change.adopt_message(content, message);
        } else {
            let named = |bit: u8| added.flags.keywords & 1u64.checked_shl(u32::from(bit)).unwrap_or(0) != 0;
            let keywords = place.keywords.iter().filter(|(bit, _)| named(*bit));
            let delivery = Delivery {
                mailbox: target.id(),
                flags: added.flags.system,
                keywords: keywords.map(|(_, name)| name.clone()).collect(),
                internal_date: added.internal_date,
            };
            change.deliver(content, vec![delivery]);
        }
        change.annotate_added(target.id(), 0, annotations);
        let committed = match change.commit() {
            Err(
                error @ (ChangeError::OverQuota(_) | ChangeError::TooManyAnnotations | ChangeError::Limit(_)),
            ) => {
                place.sums.failed += 1;
                return Ok(Err(error.to_string()));
            }
            committed => committed.map_err(stopped)?,
        };
        match result_of(&committed) {
            Some(Ok(appended)) if place.adopted && appended.uid == added.uid => place.sums.kept += 1,
            Some(Err(refused)) => {
                place.sums.failed += 1;
                return Ok(Err(match refused {
                    Refused::NoSuchMailbox => "its mailbox was deleted meanwhile".to_owned(),
                    Refused::OverQuota(_) => "the user has as much mail as allowed (`lode quota`)".to_owned(),
                    Refused::Unusable(why) => why,
                }));
            }
            _ => place.sums.renumbered += 1,
        }
        self.last_ticket = committed.ticket;
        self.in_flight += 1;
        if self.in_flight >= IN_FLIGHT {
            self.wait()?;
        }
        Ok(Ok(()))
    }

    /// A message of that mailbox could not be read.
    pub(crate) fn count_failed(&mut self, mailbox: u32) {
        if let Some(place) = self.places.get_mut(&mailbox) {
            place.sums.failed += 1;
        }
    }

    /// The name of the mailbox that messages go into.
    pub(crate) fn name_of(&self, mailbox: u32) -> &str {
        self.places.get(&mailbox).map_or("?", |place| &place.sums.mailbox)
    }

    /// Waits until all is durable; what became of each mailbox.
    pub(crate) fn finish(mut self) -> Result<Vec<Sums>> {
        self.wait()?;
        Ok(self.places.into_values().map(|place| place.sums).collect())
    }

    fn wait(&mut self) -> Result<()> {
        self.in_flight = 0;
        for place in self.places.values() {
            if let Some(mailbox) = &place.mailbox {
                self.notifier.changed(mailbox.id());
            }
        }
        self.store.wait(self.last_ticket).map_err(Failure::because("stopped"))
    }

    /// A mailbox that came with the user.
    fn adopted(&self, facts: &AdoptedMailbox) -> store::error::Result<Place> {
        let list = self.store.mailbox_list(self.user)?;
        let entry = list.find(&facts.name).ok_or(StoreError::NotFound("mailbox"))?;
        let open = self.store.mailbox(MailboxId { user: self.user, number: entry.number })?;
        Ok(place_of(facts, entry.name.clone(), Some(open), true))
    }

    /// Decides where a mailbox goes of a user who has others.
    fn place(&self, facts: &AdoptedMailbox, policy: &Policy, tried: &str) -> Result<Place> {
        let list = self.store.mailbox_list(self.user).map_err(Failure::because(tried))?;
        let there = open(self.store, &list, &facts.name).map_err(Failure::because(tried))?;
        match (&policy.where_there, there) {
            (WhereThere::Beside(Beside::Into(into)), there) => {
                self.beside(facts, &list, into.clone(), there).map_err(Failure::because(tried))
            }
            (WhereThere::Beside(beside), Some(there)) => {
                let name = beside.name(&facts.name);
                self.beside(facts, &list, name, Some(there)).map_err(Failure::because(tried))
            }
            (WhereThere::Fill, Some(there)) => {
                let known = Known::of(&there).map_err(Failure::because(tried))?;
                let mut place = place_of(facts, facts.name.clone(), Some(there), false);
                place.known.push(known);
                Ok(place)
            }
            (_, None) => {
                let mut change = self.store.begin();
                change.adopt_mailbox(self.user, facts.clone());
                match change.commit() {
                    Ok(committed) => {
                        let open = created(self.store, &committed).map_err(Failure::because(tried))?;
                        Ok(place_of(facts, facts.name.clone(), Some(open), true))
                    }
                    // Another mailbox has the UIDVALIDITY.
                    Err(ChangeError::NotAllowed(_)) => {
                        let open =
                            make(self.store, self.user, &facts.name).map_err(Failure::because(tried))?;
                        Ok(place_of(facts, facts.name.clone(), Some(open), false))
                    }
                    Err(error) => Err(Failure::because(tried)(error)),
                }
            }
        }
    }

    /// The mailbox `name` gets what neither it nor `there` has. It is made with the first such message.
    fn beside(
        &self,
        facts: &AdoptedMailbox,
        list: &MailboxList,
        name: String,
        there: Option<Arc<Mailbox>>,
    ) -> store::error::Result<Place> {
        let same = there.as_ref().map(|mailbox| mailbox.id());
        let target = open(self.store, list, &name)?;
        let mut known = Vec::new();
        if let Some(there) = &there {
            known.push(Known::of(there)?);
        }
        if let Some(target) = target.as_ref().filter(|target| Some(target.id()) != same) {
            known.push(Known::of(target)?);
        }
        let mut place = place_of(facts, name, target, false);
        place.known = known;
        Ok(place)
    }

    fn subscribe(&self, facts: &Facts) -> std::result::Result<(), ChangeError> {
        let list = self.store.mailbox_list(self.user)?;
        let adopted = |name: &str| {
            self.places.values().any(|place| place.adopted && place.sums.mailbox.eq_ignore_ascii_case(name))
        };
        for name in facts.subscriptions.iter().filter(|name| adopted(name) && !list.is_subscribed(name)) {
            change(self.store, |change| change.subscribe(self.user, name, true))?;
        }
        Ok(())
    }
}

fn place_of(facts: &AdoptedMailbox, name: String, mailbox: Option<Arc<Mailbox>>, adopted: bool) -> Place {
    Place {
        mailbox,
        adopted,
        known: Vec::new(),
        keywords: facts.keywords.clone(),
        sums: Sums { mailbox: name, ..Sums::default() },
    }
}

/// Makes the user with all mailboxes.
fn adopt_user(store: &Arc<Store>, name: &str, facts: &Facts, tried: &str) -> Result<UserId> {
    let user = AdoptedUser {
        name: name.to_owned(),
        mailboxes: facts.mailboxes.iter().map(|(_, mailbox)| mailbox.clone()).collect(),
        subscriptions: facts.subscriptions.clone(),
        limits: facts.limits,
        attributes: facts.attributes.clone(),
    };
    let everybody = format!("{}{}", store::rights::ACL, store::rights::ANYONE);
    let mut said = facts.mailboxes.iter().flat_map(|(_, mailbox)| &mailbox.attributes);
    if said.any(|(name, _)| *name == everybody) {
        store.ensure_user(store::rights::ANYONE).map_err(Failure::because(tried))?;
    }
    let committed =
        change(store, |change| change.adopt_user(user.clone())).map_err(Failure::because(tried))?;
    match committed.outcomes.first() {
        Some(Outcome::Created(inbox)) => Ok(inbox.user),
        _ => Err(Failure::Failed(format!("{tried}: there was no outcome"))),
    }
}

/// Deletes a user who has nothing but an INBOX in which there never was a message, as the first login makes one. False if there is more.
fn forget_unused(store: &Arc<Store>, user: UserId, tried: &str) -> Result<bool> {
    let list = store.mailbox_list(user).map_err(Failure::because(tried))?;
    let more = list.entries().len() > 1
        || list.subscriptions().iter().any(|name| name != store::lists::INBOX)
        || list.limits() != store::Limits::default();
    if more {
        return Ok(false);
    }
    match change(store, |change| change.delete_unused_user(user)) {
        Ok(_) => Ok(true),
        Err(ChangeError::NotAllowed(_)) => Ok(false),
        Err(error) => Err(Failure::because(tried)(error)),
    }
}

/// The mailbox of that name, if there is one that holds messages.
fn open(store: &Arc<Store>, list: &MailboxList, name: &str) -> store::error::Result<Option<Arc<Mailbox>>> {
    match list.find(name).filter(|entry| !entry.placeholder) {
        Some(entry) => store.mailbox(MailboxId { user: list.user(), number: entry.number }).map(Some),
        None => Ok(None),
    }
}

/// Makes a mailbox, subscribed, so that mail programs show it.
fn make(store: &Arc<Store>, user: UserId, name: &str) -> std::result::Result<Arc<Mailbox>, ChangeError> {
    let committed = change(store, |change| change.create_mailbox(user, name, None))?;
    change(store, |change| change.subscribe(user, name, true))?;
    Ok(created(store, &committed)?)
}

fn created(store: &Arc<Store>, committed: &Committed) -> store::error::Result<Arc<Mailbox>> {
    match committed.outcomes.first() {
        Some(Outcome::Created(mailbox)) => store.mailbox(*mailbox),
        _ => Err(StoreError::NotFound("mailbox")),
    }
}

/// One change, durable when this returns.
fn change(store: &Arc<Store>, ask: impl FnOnce(&mut Txn<'_>)) -> std::result::Result<Committed, ChangeError> {
    let mut change = store.begin();
    ask(&mut change);
    let committed = change.commit()?;
    store.wait(committed.ticket).map_err(|error| StoreError::Failed(error.to_string()))?;
    Ok(committed)
}

/// What became of the one message of a change.
fn result_of(committed: &Committed) -> Option<std::result::Result<Appended, Refused>> {
    committed.outcomes.iter().find_map(|outcome| match outcome {
        Outcome::Delivered(results) => results.first().cloned(),
        _ => None,
    })
}

/// Prints what became of each mailbox, and says plainly where messages have new UIDs. `done` is the verb: *imported*, *restored*.
pub(crate) fn print_sums(
    done: &'static str,
    user: &str,
    user_was_made: bool,
    sums: &[Sums],
    json: bool,
) -> Result<()> {
    let mut table = Table::new(&["user", "mailbox", "same_uids", "new_uids", "already_there", "failed"]);
    for Sums { mailbox, kept, renumbered, already_there, failed } in sums {
        let numbers = [kept, renumbered, already_there, failed].map(|number| Value::from(*number));
        let mut row = vec![Value::from(user), Value::from(mailbox.as_str())];
        row.extend(numbers);
        table.row(row);
    }
    table.print(json, "There are no mailboxes.")?;
    let renumbered: u64 = sums.iter().map(|sums| sums.renumbered).sum();
    if renumbered > 0 {
        let why = if user_was_made {
            "mail was delivered meanwhile"
        } else {
            "the mailbox was there already, or another has its UIDVALIDITY"
        };
        eprintln!("lode: {renumbered} messages were {done} under new UIDs: {why}");
    }
    Ok(())
}
