//! Does the steps of a run: several writers in one process, each with its own number, over one simulated disk, one operation after the other.
//! After each step the power cuts that came in it are recovered from (`crash`).

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Tally;
use super::compare::{Whole, compare_live, compare_recovered, settle};
use super::crash::{Crash, Known, Recovered};
use super::history::{DURABLE, Mark};
use super::kill::{Death, until_killed};
use super::model::{CellState, Difference, Model};
use super::observe::{Seen, check_structure, limits_out_of_reach};
use super::random::Random;
use super::resolve::{brought_back, found_out, is_same_list, list_after, told};
use super::session::Selected;
use super::step::{Operation, Step, WRITERS};
use super::wish::{Done, Wish};
use crate::disk::Mutation;
use crate::draft::{Content, Draft};
use crate::error::{ChangeError, StoreError};
use crate::ids::{MailboxId, Ticket, UserId};
use crate::lists::INBOX;
use crate::locks::LockKey;
use crate::store::{Background, OpenOptions, Store, WriterChoice};
use crate::txn::Committed;

/// Why a run ended before its last step.
#[derive(Clone, Debug)]
pub(super) struct Stop {
    /// The step.
    pub(super) step: usize,
    /// When within it.
    pub(super) place: String,
    pub(super) difference: Difference,
}

/// Runs `steps`. The folder is emptied before.
pub(super) fn run(
    seed: u64,
    steps: &[Step],
    folder: &Path,
    mutation: Option<Mutation>,
) -> (Tally, Result<(), Stop>) {
    let mut run = match Run::new(seed, folder, mutation) {
        Ok(run) => run,
        Err(difference) => {
            return (Tally::default(), Err(Stop { step: 0, place: String::new(), difference }));
        }
    };
    let mut outcome = Ok(());
    for (number, step) in steps.iter().enumerate() {
        run.place = format!("step {number}: {step:?}");
        run.tally.steps += 1;
        let done = catch_unwind(AssertUnwindSafe(|| run.step(step)));
        let done = done.unwrap_or_else(|payload| Err(format!("panicked: {}", text_of(&*payload))));
        if let Err(difference) = done {
            let place = std::mem::take(&mut run.place);
            outcome = Err(Stop { step: number, place, difference });
            break;
        }
    }
    if outcome.is_ok()
        && let Err(difference) = catch_unwind(AssertUnwindSafe(|| run.end()))
            .unwrap_or_else(|payload| Err(format!("panicked: {}", text_of(&*payload))))
    {
        let place = format!("at the end; {}", run.place);
        outcome = Err(Stop { step: steps.len(), place, difference });
    }
    run.abandon_all();
    let tally = run.finish();
    (tally, outcome)
}

fn text_of(payload: &(dyn std::any::Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or(payload.downcast_ref::<&str>().copied()).unwrap_or("without a word")
}

/// An open store of a run.
pub(super) struct Writer {
    pub(super) store: Arc<Store>,
    /// Which opening it is.
    incarnation: u64,
    /// Messages that it has begun to take in.
    begun: VecDeque<(Draft, Arc<Vec<u8>>)>,
    /// What it has selected.
    pub(super) selected: Option<Selected>,
}

pub(super) struct Run {
    pub(super) folder: PathBuf,
    pub(super) random: Random,
    pub(super) world: super::crash::World,
    pub(super) model: Model,
    pub(super) tally: Tally,
    /// What was shown after power cuts so far.
    pub(super) known: Known,
    /// Where the run is, in words.
    pub(super) place: String,
    pub(super) writers: [Option<Writer>; WRITERS as usize],
    incarnations: u64,
    messages: u64,
    last_message: Arc<Vec<u8>>,
    /// Whether users have limits, which nobody reaches.
    limited: bool,
    /// Who has as much as is allowed.
    pub(super) full: Option<UserId>,
    /// Faults of the disk that were asked for may make operations fail.
    pub(super) faulty: bool,
    /// Power cuts that do not show what was there before the operation that is under way: they must show what is there after it.
    open_question: Option<Vec<(Crash, Arc<Whole>, Difference)>>,
}

/// What became of an operation.
enum Ended {
    /// The store said so.
    Told(Result<Committed, ChangeError>),
    /// The writer was killed.
    Killed,
}

impl Run {
    fn new(seed: u64, folder: &Path, mutation: Option<Mutation>) -> Result<Run, Difference> {
        let _ = std::fs::remove_dir_all(folder);
        std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(Run {
            folder: folder.to_path_buf(),

            random: Random::new(seed ^ 0x5eed_0fc4_a54e_5001),
            limited: seed % 2 == 1,
            world: super::crash::World::new(seed, folder, mutation)?,
            model: Model::default(),
            tally: Tally::default(),
            known: Known::default(),
            place: String::new(),
            writers: [const { None }; WRITERS as usize],
            incarnations: 0,
            messages: 0,
            last_message: Arc::new(Vec::new()),
            full: None,
            faulty: false,
            open_question: None,
        })
    }

    pub(super) fn step(&mut self, step: &Step) -> Result<(), Difference> {
        match step {
            Step::Do { writer, what } => self.operate(*writer, what, None)?,
            Step::KillIn { writer, what, at_call } => {
                self.operate(*writer, what, Some(Death::Call(*at_call)))?
            }
            Step::KillAsked { writer, what, mutation, number } => {
                self.operate(*writer, what, Some(Death::Asked(*mutation, *number)))?;
            }
            Step::KillCollecting { writer, mutation, number } => {
                self.kill_collecting(*writer, Death::Asked(*mutation, *number))?;
            }
            Step::Kill { writer } => self.kill(*writer),
            Step::Round { writer } => self.round(*writer)?,
            Step::Checkpoint { writer } => {
                if let Some(writer) = &self.writers[usize::from(*writer)] {
                    let outcome = writer.store.checkpoint();
                    self.may_fail(outcome, "a checkpoint")?;
                }
                self.crashes()?;
            }
            Step::Close { writer } => self.close(*writer)?,
            Step::Clock { seconds } => self.world.set_clock(*seconds),
            Step::Full { room } => {
                self.world.set_room(Some(*room));
                self.faulty = true;
            }
            Step::Room => drop(self.world.set_room(None)),
            Step::FailSync { after } => {
                self.model.sync_failed = true;
                self.world.fail_sync(*after);
                self.faulty = true;
            }
            Step::FailFolderSync { after } => {
                self.world.fail_folder_sync(*after);
                self.faulty = true;
            }
            Step::Cuts { count } => {
                (0..*count).for_each(|_| self.world.crash_now());
                self.crashes()?;
            }
            Step::PowerCut => self.power_cut()?,
            Step::Collect { writer, all, recount } => self.collect(*writer, *all, *recount)?,
            Step::Prune { writer } => self.prune(*writer)?,
            Step::OverQuota { writer, to, size } => self.over_quota(*writer, to, *size)?,
            Step::DoOverQuota { writer, what } => self.do_over_quota(*writer, what)?,
            Step::Select { writer, mailbox } => self.select(*writer, *mailbox)?,
            Step::Compact { writer } => self.compact(*writer, None)?,
            Step::KillCompacting { writer, at_call } => self.compact(*writer, Some(Death::Call(*at_call)))?,
            Step::BackUp { writer, meanwhile } => self.back_up(*writer, meanwhile)?,
            Step::Look { writer } => self.look(*writer)?,
        }
        self.abandon_failed();
        if self.random.once_in(8) {
            self.world.crash_now();
            self.crashes()?;
        }
        Ok(())
    }

    /// All is as it was shown, for whoever opens the store; and after the last writer closed it.
    fn end(&mut self) -> Result<(), Difference> {
        self.world.set_room(None);
        self.world.fail_sync(0);
        for writer in 0..WRITERS {
            if self.writers[usize::from(writer)].is_some() {
                self.look(writer)?;
                self.round(writer)?;
            }
        }
        self.abandon_failed();
        for writer in 0..WRITERS {
            self.close(writer)?;
        }
        self.look(0)?;
        self.world.crash_now();
        self.crashes()
    }

    fn finish(mut self) -> Tally {
        self.tally.syncs = self.world.syncs();
        self.tally.trace = self.world.trace();
        if !super::is_told() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
        self.tally
    }

    /// Opens the store for a writer, if it has not. False if the disk does not let it.
    pub(super) fn open(&mut self, writer: u8) -> Result<bool, Difference> {
        if self.writers[usize::from(writer)].is_some() {
            return Ok(true);
        }
        let number = if writer == 2 { WriterChoice::Tool } else { WriterChoice::Handler(u16::from(writer)) };
        let mut options = OpenOptions::new(self.world.store_path(), self.folder.join("run"), number);
        options.disk = self.world.disk();
        options.background = Background::Manual;
        options.pretend_boot_id = Some(self.world.boot_id());
        options.checkpoint_interval_ms = 3_600_000;
        if self.limited {
            options.default_limits = limits_out_of_reach();
        }
        let opened = Store::open(options);
        let store = match opened {
            Ok(store) => store,
            Err(error) => {
                self.may_fail(Err::<(), _>(error), "opening the store")?;
                self.crashes()?;
                return Ok(false);
            }
        };
        self.incarnations += 1;
        let opened = Writer { store, incarnation: self.incarnations, begun: VecDeque::new(), selected: None };
        self.writers[usize::from(writer)] = Some(opened);
        self.crashes()?;
        Ok(true)
    }

    /// An error is a difference, unless the disk was told to fail.
    pub(super) fn may_fail<T>(
        &self,
        outcome: Result<T, StoreError>,
        what: &str,
    ) -> Result<Option<T>, Difference> {
        match outcome {
            Ok(done) => Ok(Some(done)),
            Err(_) if self.faulty => Ok(None),
            Err(error) => Err(format!("{what} failed: {error}")),
        }
    }

    pub(super) fn kill(&mut self, writer: u8) {
        if let Some(writer) = self.writers[usize::from(writer)].take() {
            abandon(writer);
        }
    }

    fn abandon_all(&mut self) {
        (0..WRITERS).for_each(|writer| self.kill(writer));
    }

    /// Writers whose sync failed write nothing more: their processes end.
    fn abandon_failed(&mut self) {
        for writer in 0..WRITERS {
            let writing = self.writers[usize::from(writer)].as_ref();
            if writing.is_some_and(|writing| writing.store.failure().is_some()) {
                self.kill(writer);
            }
        }
    }

    fn round(&mut self, writer: u8) -> Result<(), Difference> {
        let Some(writing) = &self.writers[usize::from(writer)] else { return Ok(()) };
        writing.store.commit_round();
        // Nothing is acknowledged before it is durable.
        self.crashes()?;
        self.acknowledge(writer);
        if self.random.once_in(2) {
            self.world.crash_now();
            self.crashes()?;
        }
        Ok(())
    }

    pub(super) fn acknowledge(&mut self, writer: u8) {
        if let Some(writing) = &self.writers[usize::from(writer)] {
            self.model.unacknowledged.acknowledge(writing.incarnation, writing.store.durable_ticket());
        }
    }

    fn close(&mut self, writer: u8) -> Result<(), Difference> {
        let Some(mut writing) = self.writers[usize::from(writer)].take() else { return Ok(()) };
        writing.begun.clear();
        writing.selected = None;
        let outcome = writing.store.close();
        self.may_fail(outcome, "closing the store")?;
        self.crashes()?;
        let Writer { store, incarnation, .. } = writing;
        self.model.unacknowledged.acknowledge(incarnation, store.durable_ticket());
        Ok(())
    }

    /// As `may_fail`, for what is not done after a sync of any process has failed.
    pub(super) fn may_have_failed<T>(
        &self,
        outcome: Result<T, StoreError>,
        what: &str,
    ) -> Result<(), Difference> {
        match outcome {
            Err(StoreError::Busy(_)) => Ok(()),
            outcome => self.may_fail(outcome, what).map(drop),
        }
    }

    pub(super) fn look(&mut self, writer: u8) -> Result<(), Difference> {
        if !self.open(writer)? {
            return Ok(());
        }
        let Some(writing) = &self.writers[usize::from(writer)] else { return Ok(()) };
        let told = |what| format!("writer {writer} sees: {what}");
        let to_come = self.world.failures_to_come();
        let mut whole = Whole::read(&writing.store);
        // Looking may sync, and that may have been what was to fail.
        if whole.is_err() && self.world.failures_to_come() < to_come {
            whole = Whole::read(&writing.store);
        }
        let whole = whole.map_err(told)?;
        let to_come = self.world.failures_to_come();
        let mut checked = check_structure(&writing.store, self.model.sync_failed);
        if checked.is_err() && self.world.failures_to_come() < to_come {
            checked = check_structure(&writing.store, self.model.sync_failed);
        }
        checked.map_err(told)?;
        // Looking may have made things right that the model does not know of yet.
        self.crashes()?;
        compare_live(&mut self.model, &whole).map_err(told)?;
        self.check_selected().map_err(told)
    }

    /// The octets of a new message, or those of the last one again.
    pub(super) fn new_message(&mut self, size: u32, same: bool) -> Arc<Vec<u8>> {
        if same && !self.last_message.is_empty() {
            return Arc::clone(&self.last_message);
        }
        self.messages += 1;
        let mut octets = format!(
            "Subject: m{}\r\nFrom: a@example.org\r\nDate: Sun, 22 Nov 2026 10:00:00 +0100\r\n\r\n",
            self.messages
        )
        .into_bytes();
        let mut filler = Random::new(self.messages);
        while octets.len() < size as usize {
            octets.extend_from_slice(format!("{:x}\r\n", filler.next()).as_bytes());
        }
        octets.truncate(size as usize);
        self.last_message = Arc::new(octets);
        Arc::clone(&self.last_message)
    }

    fn operate(&mut self, writer: u8, what: &Operation, death: Option<Death>) -> Result<(), Difference> {
        if !self.open(writer)? {
            return Ok(());
        }
        match what {
            Operation::Begin { size } => return self.begin(writer, *size),
            Operation::Drop => {
                let begun = self.writers[usize::from(writer)].as_mut().map(|writing| &mut writing.begun);
                drop(begun.and_then(VecDeque::pop_front));
                return self.crashes();
            }
            _ => (),
        }
        let mut draft = None;
        let mut messages = Vec::new();
        if let Operation::Deliver { size, same, begun, .. } = what {
            if self.model.mailboxes().is_empty() {
                return Ok(());
            }
            let writing = self.writers[usize::from(writer)].as_mut();
            let ready = writing.and_then(|writing| if *begun { writing.begun.pop_front() } else { None });
            messages.push(match ready {
                Some((begun, octets)) => {
                    draft = Some(begun);
                    octets
                }
                None => self.new_message(*size, *same),
            });
        }
        if let Operation::Together { sizes, .. } = what {
            messages = sizes.iter().map(|size| self.new_message(*size, false)).collect();
        }
        let Some(wish) = Wish::of(what, &self.model, &messages) else { return Ok(()) };
        self.wish(writer, &wish, draft, death)
    }

    fn begin(&mut self, writer: u8, size: u32) -> Result<(), Difference> {
        let octets = self.new_message(size, false);
        let Some(writing) = self.writers[usize::from(writer)].as_mut() else { return Ok(()) };
        let taken = writing.store.draft().and_then(|mut draft| {
            for octets in octets.chunks(700) {
                draft.write(octets)?;
            }
            Ok(draft)
        });
        let taken = match taken {
            Ok(draft) => {
                writing.begun.push_back((draft, octets));
                Ok(())
            }
            Err(error) => Err(error),
        };
        self.may_fail(taken, "taking in a message")?;
        self.crashes()
    }

    /// Has a wish done, finds out what it came to, and recovers from the power cuts that came meanwhile: each finds all of it or nothing.
    pub(super) fn wish(
        &mut self,
        writer: u8,
        wish: &Wish,
        draft: Option<Draft>,
        death: Option<Death>,
    ) -> Result<(), Difference> {
        let Some(writing) = &self.writers[usize::from(writer)] else { return Ok(()) };
        let (store, incarnation) = (Arc::clone(&writing.store), writing.incarnation);
        let now_seconds = u32::try_from(store.derived.disk.now_seconds()).unwrap_or(u32::MAX);
        let perform = {
            let store = Arc::clone(&store);
            move || wish.perform(&store, taken_in(&store, wish, draft)?)
        };
        let ended = match death {
            None => Ended::Told(perform()),
            Some(death) => until_killed(death, perform).map_or(Ended::Killed, Ended::Told),
        };
        drop(store);
        self.open_question = Some(Vec::new());
        self.crashes()?;
        let ticket = match &ended {
            Ended::Told(Ok(committed)) => committed.ticket,
            _ => Ticket(u64::MAX),
        };
        let done = match ended {
            Ended::Told(Ok(_)) if self.is_too_much(wish) => {
                return Err(format!("{wish:?}: there was enough, and it was done"));
            }
            Ended::Told(Ok(committed)) => Some(told(&committed, self.faulty)?),
            Ended::Told(Err(error)) => self.refused(writer, wish, &error, now_seconds)?,
            Ended::Killed => {
                self.kill(writer);
                self.after_death(wish, now_seconds)?
            }
        };
        if death.is_some() {
            self.kill(writer);
        }
        // What came while it was found out shows what was there before, or all of it.
        self.crashes()?;
        if let Some(done) = done {
            self.happened(writer, wish, &done, incarnation, ticket, now_seconds)?;
        }
        self.crashes()?;
        for (crash, whole, before) in self.open_question.take().unwrap_or_default() {
            compare_recovered(&self.model, &whole).map_err(|after| {
                format!("{crash}: if nothing of it happened: {before}; if all of it: {after}")
            })?;
        }
        Ok(())
    }

    /// An operation was refused. With reason?
    fn refused(
        &mut self,
        writer: u8,
        wish: &Wish,
        error: &ChangeError,
        now_seconds: u32,
    ) -> Result<Option<Done>, Difference> {
        if let ChangeError::Store(cause) = error
            && !matches!(cause, StoreError::NotFound(_))
        {
            if !self.faulty {
                return Err(format!("refused: {error}"));
            }
            self.abandon_failed();
            let done = self.after_death(wish, now_seconds)?;
            if done.is_some() && (cause.is_out_of_space() || cause.is_shortage()) {
                return Err(format!("it was refused and happened: {error}"));
            }
            return Ok(done);
        }
        let expected = match wish {
            _ if self.is_too_much(wish) => true,
            Wish::CreateMailbox { .. }
            | Wish::RenameMailbox { .. }
            | Wish::DeleteMailbox { .. }
            | Wish::Subscribe { .. }
            | Wish::Attribute { .. }
            | Wish::SpecialUse { .. } => list_after(&self.model, wish, now_seconds).is_none(),
            _ => false,
        };
        if !expected {
            return Err(format!("writer {writer} refused what could be done: {error}"));
        }
        Ok(None)
    }

    /// A writer died, or failed, in an operation: others take the locks that it held, one after the other. What it did is done now, or
    /// nothing of it is.
    fn after_death(&mut self, wish: &Wish, now_seconds: u32) -> Result<Option<Done>, Difference> {
        let helper = self.random.below(u64::from(WRITERS)) as u8;
        let was_full = self.world.set_room(None);
        self.world.fail_sync(0);
        let opened = self.open(helper)?;
        let Some(helping) = self.writers[usize::from(helper)].as_ref().filter(|_| opened) else {
            return Err("nobody can open the store".to_string());
        };
        let store = Arc::clone(&helping.store);
        let mut keys: Vec<LockKey> = wish.mailboxes().into_iter().map(LockKey::Mailbox).collect();
        keys.extend(wish.list_of().map(LockKey::List));
        keys.push(LockKey::Catalog);
        while !keys.is_empty() {
            let next = self.random.below(keys.len() as u64) as usize;
            let key = keys.swap_remove(next);
            store.take(&[key]).map_err(|error| format!("{key:?} cannot be taken: {error}"))?;
        }
        // Locks of what it made are not known here.
        for stripe in crate::locks::Stripe::all() {
            store.take_stripe(stripe).map_err(|error| format!("{stripe:?} cannot be taken: {error}"))?;
        }
        let done = found_out(&self.model, wish, &store, now_seconds)?;
        self.world.set_room(was_full);
        Ok(done)
    }

    /// The model takes in what happened.
    fn happened(
        &mut self,
        writer: u8,
        wish: &Wish,
        done: &Done,
        incarnation: u64,
        ticket: Ticket,
        now_seconds: u32,
    ) -> Result<(), Difference> {
        if super::is_told() {
            println!("  {}: writer {writer}, ticket {}: {wish:?} came to {done:?}", self.place, ticket.0);
        }
        let back = match (wish, done) {
            (Wish::Undelete { to, .. }, Done::Copied(pairs, ..)) if !pairs.is_empty() => {
                let store = self.any_store()?.ok_or("nobody can open the store")?;
                brought_back(&store, *to, pairs)?
            }
            (Wish::Undelete { .. }, _) => Done::Back(Vec::new()),
            _ => done.clone(),
        };
        let id = self.model.next_transaction();
        let mut marks = self.model.take_in(wish, &back, id)?;
        if matches!(done, Done::Listed) {
            self.listed(wish, id, now_seconds, &mut marks)?;
        }
        if ticket != Ticket(0) {
            self.model.transaction(incarnation, ticket, format!("writer {writer}: {wish:?}"), marks);
        }
        Ok(())
    }

    /// Users or names changed: what is there now must be what the wish should come to.
    fn listed(
        &mut self,
        wish: &Wish,
        id: u64,
        now_seconds: u32,
        marks: &mut Vec<Mark>,
    ) -> Result<(), Difference> {
        let Some(store) = self.any_store()? else { return Ok(()) };
        let user = match wish {
            Wish::CreateUser { name } => {
                let user = store.find_user(name).map_err(|error| error.to_string())?;
                let user = user.ok_or_else(|| format!("user {name} was made and is not there"))?;
                match self.model.users.get(&user) {
                    Some(known) if known.there && known.name == *name => return Ok(()),
                    Some(known) => return Err(format!("user {} was {}, and is {name}", user.0, known.name)),
                    None => self.model.add_user(user, name),
                }
                user
            }
            Wish::DeleteUser { user } => {
                self.model.remove_user(*user);
                return Ok(());
            }
            _ => wish.list_of().ok_or("a wish without a list")?,
        };
        let list = store.mailbox_list(user).map_err(|error| error.to_string())?;
        if let Some(after) = list_after(&self.model, wish, now_seconds)
            && !is_same_list(&after, &list)
        {
            return Err(format!("the list is {list:?}, and should be {after:?}"));
        }
        let numbers = self.model.users[&user].list.entries().iter().map(|entry| entry.number).max();
        let before: Vec<u32> = self.model.users[&user].mailboxes.keys().copied().collect();
        self.model.set_list(user, &list, id);
        for number in self.model.users[&user].mailboxes.keys() {
            if !before.contains(number) && Some(*number) <= numbers {
                return Err(format!("mailbox {number} of user {} was given out twice", user.0));
            }
        }
        if let Wish::RenameMailbox { from, to, .. } = wish
            && from == INBOX
        {
            self.inbox_renamed(&store, user, &list, to, id, marks)?;
        }
        Ok(())
    }

    /// All messages of INBOX are in the mailbox `to` now, in their order.
    fn inbox_renamed(
        &mut self,
        store: &Store,
        user: UserId,
        list: &crate::lists::MailboxList,
        to: &str,
        id: u64,
        marks: &mut Vec<Mark>,
    ) -> Result<(), Difference> {
        let inbox = MailboxId { user, number: 1 };
        let target = list.find(to).ok_or("INBOX was renamed to what is not there")?;
        let target = MailboxId { user, number: target.number };
        let moved = self.model.mailbox(inbox).map(|known| known.live()).unwrap_or_default();
        if moved.is_empty() {
            return Ok(());
        }
        let seen = Seen::of(store, target)?;
        let new: Vec<(u32, u64)> = seen
            .cells
            .iter()
            .filter_map(|(uid, cell)| match cell.state {
                CellState::Live { modseq, .. } => Some((*uid, modseq)),
                CellState::Gone { .. } => None,
            })
            .collect();
        if new.len() != moved.len() {
            return Err(format!("{} messages were in INBOX, {} are in {to}", moved.len(), new.len()));
        }
        let modseq = new[0].1;
        let pairs: Vec<(u32, u32)> = moved.iter().copied().zip(new.iter().map(|(uid, _)| *uid)).collect();
        self.model.take_in_copies(inbox, target, &pairs, modseq, id, marks)?;
        let gone = Seen::of(store, inbox)?;
        let expunged = gone.cells.get(&moved[0]).map(|cell| cell.state);
        let modseq = match expunged {
            Some(CellState::Gone { modseq }) => modseq,
            None => gone.highest_modseq,
            Some(live) => return Err(format!("UID {} of INBOX is {live:?} and was moved", moved[0])),
        };
        self.model.expunge(inbox, &moved, modseq, id, marks)
    }

    /// An open store.
    fn any_store(&mut self) -> Result<Option<Arc<Store>>, Difference> {
        let open = self.writers.iter().flatten().next().map(|writing| Arc::clone(&writing.store));
        if open.is_some() {
            return Ok(open);
        }
        let room = self.world.set_room(None);
        let opened = self.open(0)?;
        self.world.set_room(room);
        let _ = opened;
        Ok(self.writers[0].as_ref().map(|writing| Arc::clone(&writing.store)))
    }

    /// The machine goes down, and the run goes on with what is left.
    fn power_cut(&mut self) -> Result<(), Difference> {
        self.abandon_all();
        self.world.power_cut()?;
        self.faulty = false;
        if !self.open(0)? {
            return Err("the store cannot be opened after a power cut".to_string());
        }
        let Some(writing) = &self.writers[0] else { return Ok(()) };
        let whole = Whole::read(&writing.store).map_err(|what| format!("after the power cut: {what}"))?;
        compare_recovered(&self.model, &whole).map_err(|what| format!("after the power cut: {what}"))?;
        settle(&mut self.model, &whole);
        Ok(())
    }

    /// Recovers from the crashes so far and compares each with the model.
    pub(super) fn crashes(&mut self) -> Result<(), Difference> {
        for Recovered { crash, whole } in self.crashes_so_far()? {
            let Err(difference) = compare_recovered(&self.model, &whole) else { continue };
            match &mut self.open_question {
                Some(open) => open.push((crash, whole, difference)),
                None => return Err(format!("{crash}: {difference}")),
            }
        }
        Ok(())
    }
}

const _: u64 = DURABLE;

/// Takes the message of a delivery in, the rest of it if that was begun.
fn taken_in(store: &Arc<Store>, wish: &Wish, draft: Option<Draft>) -> Result<Option<Content>, ChangeError> {
    let Wish::Deliver { content, .. } = wish else { return Ok(None) };
    let draft = match draft {
        Some(draft) => draft,
        None => {
            let mut draft = store.draft()?;
            for octets in content.chunks(700) {
                draft.write(octets)?;
            }
            draft
        }
    };
    Ok(Some(draft.finish()?))
}

/// The process is gone: nothing is finished, nothing is cleaned up.
fn abandon(writer: Writer) {
    if let Some(selected) = writer.selected {
        selected.die();
    }
    writer.store.abandon();
}
