//! Power cuts: takes images of what one would leave, at every sync and now and then in between, recovers each and reads what is there. Some are
//! cut short in recovery, by one more power cut, and some are gone on with.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::compare::{Whole, compare_live, model_of};
use super::history::DURABLE;
use super::kill;
use super::limits::set_limits;
use super::model::{Difference, Model};
use super::observe::{check_counts, check_structure, limits_out_of_reach};
use super::random::Random;
use super::resolve::told;
use super::run::Run;
use super::step::USER_NAMES;
use super::wish::{Wish, user_name};
use crate::change::ZonedTime;
use crate::disk::simulated::{Call, Failure, Image, SimulatedDisk, SimulatedOptions, SyncPoint, When};
use crate::disk::{Disk, Mutation};
use crate::gc::GcOptions;
use crate::ids::{MailboxId, PageId};
use crate::quota::Limits;
use crate::store::{Background, OpenOptions, Store, WriterChoice};
use crate::txn::FlagOperation;

/// Images of which it is remembered what was shown after them.
const KNOWN_MOST: usize = 500;

/// The disk of a run, its clock, and the power cuts that came.
pub(super) struct World {
    folder: PathBuf,
    disk: SimulatedDisk,
    boot: u64,
    now_seconds: u64,
    room: Option<u64>,
    mutation: Option<Mutation>,
    images: Arc<Mutex<Images>>,
    /// Syncs of disks that are gone.
    syncs_before: u64,
}

/// Where images are taken.
struct Images {
    folder: PathBuf,
    random: Random,
    taken: Vec<Crash>,
    count: u64,
    failed: Option<String>,
}

/// One power cut.
#[derive(Debug)]
pub(super) struct Crash {
    pub(super) number: u64,
    /// When it came.
    when: String,
    /// What it left.
    image: Image,
    /// Where a machine starts with it.
    root: PathBuf,
}

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "power cut {} {}", self.number, self.when)
    }
}

/// What is there after one.
pub(super) struct Recovered {
    pub(super) crash: Crash,
    pub(super) whole: Arc<Whole>,
}

/// What was shown after power cuts that left a certain image at a certain time. Recovery is the same for all that left it, so it is done once.
pub(super) type Known = HashMap<(u128, u64), Arc<Whole>>;

impl Images {
    /// Takes one of what a power cut now would leave.
    fn take(&mut self, disk: &SimulatedDisk, when: String) {
        self.count += 1;
        let root = self.folder.join(format!("image{}", self.count));
        let seed = self.random.next();
        let taken = disk.power_cut(seed).and_then(|image| {
            if super::is_told() {
                image.write(&root.with_extension("left"))?;
            }
            Ok(image)
        });
        match taken {
            Ok(image) => self.taken.push(Crash { number: self.count, when, image, root }),
            Err(error) => self.failed = Some(format!("{}: {error}", root.display())),
        }
    }

    /// Whether one is taken at this point: one at every sync, before or after it, and some where names change.
    fn wants(&mut self, point: &SyncPoint) -> bool {
        match point.call {
            Call::Sync | Call::SyncFolder | Call::SyncFileSystem => {
                let before = (point.number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 63) == 0;
                before == (point.when == When::Before) || self.random.once_in(8)
            }
            _ => self.random.once_in(6),
        }
    }
}

fn watch(disk: &SimulatedDisk, images: &Arc<Mutex<Images>>) {
    let watched = disk.clone();
    let images = Arc::clone(images);
    disk.on_sync(Some(Box::new(move |point| {
        kill::not_counted(|| {
            let mut images = images.lock().unwrap_or_else(PoisonError::into_inner);
            if images.wants(point) {
                let name = point.path.strip_prefix(watched.root()).unwrap_or(&point.path).display();
                let side = if point.when == When::Before { "before" } else { "after" };
                images.take(&watched, format!("{side} {:?} of {name}", point.call));
            }
        });
    })));
}

impl Drop for World {
    fn drop(&mut self) {
        // The hook holds the disk, and the disk holds files open.
        self.disk.on_sync(None);
        self.disk.power_off();
    }
}

impl World {
    pub(super) fn new(seed: u64, folder: &Path, mutation: Option<Mutation>) -> Result<World, Difference> {
        let options = SimulatedOptions { mutation, ..SimulatedOptions::new(seed) };
        let disk = SimulatedDisk::new(&folder.join("disk"), options).map_err(|error| error.to_string())?;
        let images = Arc::new(Mutex::new(Images {
            folder: folder.to_path_buf(),
            random: Random::new(!seed),
            taken: Vec::new(),
            count: 0,
            failed: None,
        }));
        watch(&disk, &images);
        Ok(World {
            folder: folder.to_path_buf(),
            disk,
            boot: 0,
            now_seconds: options.now_seconds,
            room: None,
            mutation,
            images,
            syncs_before: 0,
        })
    }

    pub(super) fn store_path(&self) -> PathBuf {
        self.disk.root().join("store")
    }

    pub(super) fn disk(&self) -> Disk {
        self.disk.disk()
    }

    pub(super) fn boot_id(&self) -> String {
        format!("boot{}", self.boot)
    }

    pub(super) fn set_clock(&mut self, by_seconds: i64) {
        self.now_seconds = self.now_seconds.saturating_add_signed(by_seconds);
        self.disk.set_now(self.now_seconds);
    }

    /// Where the store is backed up to.
    pub(super) fn backup_path(&self) -> PathBuf {
        self.disk.root().join("backup")
    }

    /// A machine without a store that starts with what a power cut now would leave, and the backup's folder on it.
    pub(super) fn machine_with_backup(&mut self, seed: u64) -> Result<(Machine, PathBuf), Difference> {
        let said = |error: std::io::Error| format!("the disk with the backup: {error}");
        let root = self.folder.join(format!("restoring-{seed:x}"));
        let image = self.disk.power_cut(seed).map_err(said)?;
        let disk = SimulatedDisk::after(&image, &root, self.options(seed)).map_err(said)?;
        let run = self.folder.join("machine.restoring");
        let machine = Machine { root: root.join("restored"), run, disk, boots: 1, is_watched: false };
        Ok((machine, root.join("backup")))
    }

    /// The day it is.
    pub(super) fn today(&self) -> PageId {
        self.disk.disk().today()
    }

    /// The disk has so much room from now on. What it had before, as far as it was said.
    pub(super) fn set_room(&mut self, room: Option<u64>) -> Option<u64> {
        self.disk.set_room(room);
        std::mem::replace(&mut self.room, room)
    }

    /// The so-manieth sync of a file from now on fails, and if that is an even one, so does the next of the whole disk; 0: none.
    pub(super) fn fail_sync(&mut self, after: u32) {
        if after == 0 {
            self.disk.forget_failures();
            return;
        }
        self.disk.fail(Call::Sync, u64::from(after), Failure::Io);
        if after.is_multiple_of(2) {
            self.disk.fail(Call::SyncFileSystem, 1, Failure::Io);
        }
    }

    /// The so-manieth sync of a folder from now on fails.
    pub(super) fn fail_folder_sync(&mut self, after: u32) {
        self.disk.fail(Call::SyncFolder, u64::from(after), Failure::Io);
    }

    /// How many failures were asked for and have not come yet.
    pub(super) fn failures_to_come(&self) -> usize {
        self.disk.failures_to_come()
    }

    /// A power cut that comes now, while nothing is done.
    pub(super) fn crash_now(&mut self) {
        let mut images = self.images.lock().unwrap_or_else(PoisonError::into_inner);
        images.take(&self.disk, "between steps".to_string());
    }

    /// The machine starts again with what a power cut leaves. All stores are gone.
    pub(super) fn power_cut(&mut self) -> Result<(), Difference> {
        self.syncs_before += syncs(&self.disk);
        self.boot += 1;
        let root = self.folder.join(format!("disk{}", self.boot));
        let seed = self.images.lock().unwrap_or_else(PoisonError::into_inner).random.next();
        let options = self.options(seed);
        let again = self.disk.power_cut(seed).and_then(|image| SimulatedDisk::after(&image, &root, options));
        self.disk.power_off();
        self.disk.on_sync(None);
        let _ = fs::remove_dir_all(self.disk.root());
        self.disk = again.map_err(|error| error.to_string())?;
        self.room = None;
        watch(&self.disk, &self.images);
        Ok(())
    }

    /// For a disk that is gone on with.
    fn options(&self, seed: u64) -> SimulatedOptions {
        let SimulatedOptions { sizes, .. } = SimulatedOptions::new(seed);
        SimulatedOptions { seed, now_seconds: self.now_seconds, sizes, mutation: self.mutation }
    }

    pub(super) fn syncs(&self) -> u64 {
        self.syncs_before + syncs(&self.disk)
    }

    /// A number made of all that was asked of the disk.
    pub(super) fn trace(&self) -> u64 {
        let calls: Vec<u8> = Call::ALL.iter().flat_map(|call| self.disk.calls(*call).to_le_bytes()).collect();
        xxhash_rust::xxh3::xxh3_64(&calls)
    }
}

fn syncs(disk: &SimulatedDisk) -> u64 {
    [Call::Sync, Call::SyncFolder, Call::SyncFileSystem].map(|call| disk.calls(call)).iter().sum()
}

impl Run {
    /// What is there after each of the power cuts that came since this was asked last.
    pub(super) fn crashes_so_far(&mut self) -> Result<Vec<Recovered>, Difference> {
        let taken = {
            let mut images = self.world.images.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(failed) = images.failed.take() {
                return Err(failed);
            }
            std::mem::take(&mut images.taken)
        };
        let mut all = Vec::new();
        for crash in taken {
            self.tally.crashes += 1;
            self.recover(crash, &mut all)?;
        }
        Ok(all)
    }

    fn recover(&mut self, crash: Crash, all: &mut Vec<Recovered>) -> Result<(), Difference> {
        let within = self.random.once_in(12);
        let goes_on = self.random.once_in(8);
        let seed = self.random.next();
        let key = (crash.image.hash(), self.world.now_seconds);
        if !within
            && !goes_on
            && let Some(whole) = self.known.get(&key)
        {
            all.push(Recovered { crash, whole: Arc::clone(whole) });
            return Ok(());
        }
        let mut machine = Machine::start(&crash, self.folder.join("machine"), self.world.options(seed))?;
        let again = within.then(|| machine.watch(seed));
        let store = machine.open().map_err(|what| format!("{crash}: {what}"))?;
        let whole = self.read(&store).map_err(|what| format!("{crash}: {what}"))?;
        if let Some(images) = again {
            machine.disk.on_sync(None);
            let cuts = std::mem::take(&mut images.lock().unwrap_or_else(PoisonError::into_inner).taken);
            let keep = self.random.below(cuts.len().max(1) as u64) as usize;
            for (number, cut) in cuts.into_iter().enumerate() {
                if number.abs_diff(keep) > 1 {
                    continue;
                }
                self.tally.crashes += 1;
                self.tally.crashes_in_recovery += 1;
                let cut = Crash { when: format!("{}, in recovery from {crash}", cut.when), ..cut };
                let key = (cut.image.hash(), self.world.now_seconds);
                if let Some(whole) = self.known.get(&key) {
                    all.push(Recovered { crash: cut, whole: Arc::clone(whole) });
                    continue;
                }
                let run = self.folder.join("machine.again");
                let mut machine = Machine::start(&cut, run, self.world.options(seed ^ number as u64))?;
                machine.boots += 1;
                let store = machine.open().map_err(|what| format!("{cut}: {what}"))?;
                let whole = self.read(&store).map_err(|what| format!("{cut}: {what}"))?;
                store.abandon();
                drop(store);
                machine.end();
                let whole = self.remember(key, whole);
                all.push(Recovered { crash: cut, whole });
            }
        }
        if goes_on {
            machine
                .go_on(store, &whole, seed, self.model.sync_failed)
                .map_err(|what| format!("{crash}: going on with it: {what}"))?;
        } else {
            store.abandon();
            drop(store);
        }
        machine.end();
        let whole = self.remember(key, whole);
        all.push(Recovered { crash, whole });
        Ok(())
    }

    /// What a recovered store shows. Its structures agree with each other.
    fn read(&self, store: &Store) -> Result<Whole, Difference> {
        let whole = Whole::read(store)?;
        check_structure(store, self.model.sync_failed)?;
        Ok(whole)
    }

    fn remember(&mut self, key: (u128, u64), whole: Whole) -> Arc<Whole> {
        let whole = Arc::new(whole);
        if self.known.len() >= KNOWN_MOST {
            self.known.clear();
        }
        self.known.insert(key, Arc::clone(&whole));
        whole
    }
}

/// A machine that starts with what a power cut left.
pub(super) struct Machine {
    root: PathBuf,
    /// Its runtime folder. What another machine left there is of no use to it.
    run: PathBuf,
    disk: SimulatedDisk,
    boots: u64,
    is_watched: bool,
}

impl Machine {
    fn start(crash: &Crash, run: PathBuf, options: SimulatedOptions) -> Result<Machine, Difference> {
        let disk = SimulatedDisk::after(&crash.image, &crash.root, options)
            .map_err(|error| format!("{crash}: {error}"))?;
        Ok(Machine { root: crash.root.clone(), run, disk, boots: 1, is_watched: false })
    }

    /// Has power cuts come from now on.
    fn watch(&mut self, seed: u64) -> Arc<Mutex<Images>> {
        self.is_watched = true;
        let folder = self.root.with_extension("again");
        let made = fs::create_dir_all(&folder).err().map(|error| error.to_string());
        let images = Arc::new(Mutex::new(Images {
            folder,
            random: Random::new(seed),
            taken: Vec::new(),
            count: 0,
            failed: made,
        }));
        watch(&self.disk, &images);
        images
    }

    pub(super) fn disk(&self) -> Disk {
        self.disk.disk()
    }

    pub(super) fn store_path(&self) -> PathBuf {
        self.root.join("store")
    }

    pub(super) fn open(&mut self) -> Result<Arc<Store>, Difference> {
        let mut options = OpenOptions::new(self.store_path(), &self.run, WriterChoice::Handler(0));
        options.disk = self.disk.disk();
        options.background = Background::Manual;
        options.default_limits = limits_out_of_reach();
        options.pretend_boot_id = Some(format!("another boot {}", self.boots));
        Store::open(options).map_err(|error| format!("the store cannot be opened: {error}"))
    }

    /// Goes on with a recovered store: it can be changed, closed and opened, and shows what was done.
    pub(super) fn go_on(
        &mut self,
        store: Arc<Store>,
        whole: &Whole,
        seed: u64,
        sync_failed: bool,
    ) -> Result<(), Difference> {
        let mut model = model_of(whole);
        let mut random = Random::new(seed);
        for (user, _) in &whole.users {
            // The power may have failed while somebody had as much as was allowed.
            let quota = store.quota(*user).map_err(|error| error.to_string())?;
            if quota.own != Limits::default() {
                set_limits(&store, *user, Limits::default())?;
            }
        }
        for number in 0..2 + random.below(4) {
            let Some(wish) = wish(&model, &mut random, number) else { break };
            wish_done(&mut model, &store, &wish).map_err(|what| format!("{wish:?}: {what}"))?;
        }
        store.commit_round();
        compare_live(&mut model, &Whole::read(&store)?)?;
        if random.once_in(2) {
            let options = GcOptions { recount: true, thin_least_bytes: 512, ..GcOptions::default() };
            let collected = store.gc(options, &mut |_| ()).map_err(|error| format!("gc: {error}"))?;
            check_counts(&store).map_err(|what| format!("{what}; what was collected: {collected:?}"))?;
            check_structure(&store, sync_failed)?;
            compare_live(&mut model, &Whole::read(&store)?)?;
        }
        store.close().map_err(|error| format!("closing: {error}"))?;
        drop(store);
        let store = self.open()?;
        let outcome = Whole::read(&store).and_then(|whole| compare_live(&mut model, &whole));
        let outcome = outcome.map_err(|what| format!("opened again: {what}"));
        store.abandon();
        outcome
    }

    pub(super) fn end(self) {
        self.disk.power_off();
        self.disk.on_sync(None);
        if self.is_watched {
            let _ = fs::remove_dir_all(self.root.with_extension("again"));
        }
        // What was recovered can be looked at when runs tell what they do.
        if !super::is_told() {
            self.disk.remove_root();
        }
    }
}

/// Something to be done with a recovered store.
fn wish(model: &Model, random: &mut Random, number: u64) -> Option<Wish> {
    // One who was there, perhaps, and is gone: whoever comes next has the name.
    let has_name = |name: &String| model.users.values().any(|user| user.name == *name);
    let free_name = (0..USER_NAMES).map(user_name).find(|name| !has_name(name));
    let mailboxes = model.mailboxes();
    let Some(mailbox) = mailboxes.get(random.below(mailboxes.len().max(1) as u64) as usize).copied() else {
        return free_name.map(|name| Wish::CreateUser { name });
    };
    let live = model.mailbox(mailbox)?.live();
    let uid = live.get(random.below(live.len().max(1) as u64) as usize).copied();
    let uids: Vec<u32> = uid.into_iter().collect();
    Some(match (random.below(6), uids.is_empty()) {
        (0, _) => {
            Wish::CreateMailbox { user: mailbox.user, name: format!("after/{number}"), special_use: None }
        }
        (1, false) => Wish::Copy { from: mailbox, uids, to: mailboxes[0], expunge: random.once_in(2) },
        (2, false) => {
            Wish::StoreFlags { mailbox, uids, how: FlagOperation::Add, system: 2, keywords: 1 + number as u8 }
        }
        (3, false) => Wish::Expunge { mailbox, uids },
        (4, _) if free_name.is_some() => Wish::CreateUser { name: free_name.unwrap_or_default() },
        _ => Wish::Deliver {
            content: Arc::new(format!("Subject: after {number}\r\n\r\n").into_bytes()),
            to: mailboxes.iter().copied().take(5).collect(),
            system: 0,
            keywords: 2,
            date: ZonedTime { seconds: 5, zone_minutes: 0 },
            full: None,
        },
    })
}

fn wish_done(model: &mut Model, store: &Arc<Store>, wish: &Wish) -> Result<(), Difference> {
    let content = match wish {
        Wish::Deliver { content, .. } => {
            let draft = store.draft().and_then(|mut draft| {
                draft.write(content)?;
                draft.finish()
            });
            Some(draft.map_err(|error| error.to_string())?)
        }
        _ => None,
    };
    let committed = wish.perform(store, content).map_err(|error| error.to_string())?;
    let done = told(&committed, false)?;
    model.take_in(wish, &done, DURABLE)?;
    if let Wish::CreateUser { name } = wish {
        let user = store.find_user(name).map_err(|error| error.to_string())?;
        let user = user.ok_or_else(|| format!("user {name} was made and is not there"))?;
        model.add_user(user, name);
        let list = store.mailbox_list(user).map_err(|error| error.to_string())?;
        model.set_list(user, &list, DURABLE);
    }
    if let Some(user) = wish.list_of() {
        let numbers: Vec<MailboxId> = model.mailboxes();
        let list = store.mailbox_list(user).map_err(|error| error.to_string())?;
        model.set_list(user, &list, DURABLE);
        if model.mailboxes().len() <= numbers.len() {
            return Err("it made no mailbox".to_string());
        }
    }
    Ok(())
}
