//! The life of the handler: hello, threads, service, goodbye. What runs here is the init thread.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use config::users::Users;
use config::{Amount, Settings};
use mio::Poll;
use shm_abi::{
    Channel, FromHandler, HandlerState, Heartbeat, Hello, Histogram, Incoming, Table, Tally, ToHandler,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use store::{CommitTime, Limit, Limits, OpenOptions, Store, WriterChoice};

use crate::changes::Changes;
use crate::commits::Commits;
use crate::crashes::Crashes;
use crate::critical;
use crate::keeping;
use crate::log;
use crate::maildrops::Maildrops;
use crate::memory::Memory;
use crate::mend::Workers;
use crate::orders::Orders;
use crate::panics;
use crate::passwords::Passwords;
use crate::poll::{self, Registrar};
use crate::recipients::Recipients;
use crate::released::Released;
use crate::router::RouterLink;
use crate::run_queue::RunQueue;
use crate::seats::Seats;
use crate::shared::{Shared, State};
use crate::signals;
use crate::slots::Slots;
use crate::store_sizes::StoreSizes;
use crate::trace::Traces;

/// The environment variable with the number of the channel's descriptor.
const CHANNEL_VARIABLE: &str = "LODE_CHANNEL_FD";
/// Stack of a helper thread, in octets. Nothing here recurses over input.
const STACK_OCTETS: usize = 1024 * 1024;
/// The least workers: one may be in a slow read of the disk while others serve.
const WORKERS_MIN: usize = 2;

/// A handler that is ready to serve.
pub(crate) struct Handler {
    /// What its threads share.
    pub(crate) shared: Arc<Shared>,
    poll: Poll,
    threads: Vec<thread::JoinHandle<()>>,
}

/// Serves until the router says otherwise. The program itself.
///
/// # Errors
/// What kept the handler from starting or serving, in words for the log.
pub(crate) fn run() -> Result<(), Box<dyn Error>> {
    // Signals are the router's business: it tells us. A terminal's Ctrl-C reaches us too.
    for signal in [SIGINT, SIGTERM, SIGHUP, SIGUSR1] {
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))?;
    }
    let channel = Channel::from_environment(CHANNEL_VARIABLE)
        .ok_or("not started by a router: start `lode serve` instead of this program")?;
    let handler = Handler::start(channel)?;
    signals::own_the_process(Arc::clone(&handler.shared));
    handler.serve()
}

impl Handler {
    /// Takes the router's hello from `channel`, opens the table and the store, starts the threads, and reports for duty.
    ///
    /// # Errors
    /// What kept the handler from starting, in words for the log.
    pub(crate) fn start(mut channel: Channel) -> Result<Handler, Box<dyn Error>> {
        let Incoming { record, descriptors } =
            channel.receive::<ToHandler>().map_err(|error| error.to_string())?;
        let ToHandler::Hello(hello) = record else {
            return Err("the router did not begin with a hello".into());
        };
        if descriptors.len() != hello.eventfds as usize || hello.handler >= hello.eventfds {
            return Err("the router's hello came without its descriptors".into());
        }
        let table = Table::open(&hello.table)?;
        if table.handler(hello.handler).generation() != hello.generation {
            return Err("the router has given up this handler".into());
        }
        let settings = Settings::parse(&hello.settings_text, Path::new(&hello.settings_path))?;
        logging::begin_as("handler", settings.log.format.name(), &settings.log.levels());
        let poll = Poll::new()?;
        let shared = Arc::new(Shared {
            handler: hello.handler,
            slots: Slots::new(table.limits().sessions as usize),
            run_queue: RunQueue::new(),
            commits: Commits::default(),
            changes: Changes::new(hello.handler),
            store: open_store(&hello, &settings)?,
            passwords: Passwords::new(
                Users::load(&settings.auth.users)?,
                hello.boot_key.0,
                settings.auth.remember_seconds,
            ),
            maildrops: Maildrops::open(&settings.runtime.dir)?,
            sizes: StoreSizes::default(),
            recipients: Recipients::default(),
            memory: Memory::new(&settings),
            orders: Orders::default(),
            traces: Traces::default(),
            registrar: Registrar::new(&poll)?,
            router: RouterLink::new(channel)?,
            released: Released::default(),
            table,
            eventfds: descriptors,
            annex_folder: settings.runtime.dir.join("parked"),
            settings_path: PathBuf::from(&hello.settings_path),
            seats: Seats::new()?,
            workers: Workers::new(worker_count()),
            crashes: Crashes::new(&settings.runtime.dir),
            state: State::new(settings),
        });
        signals::install()?;
        panics::install();
        shared.crashes.look(&shared);
        let threads = start_threads(&shared)?;
        let row = shared.table.handler(hello.handler);
        row.beat(Heartbeat::Init, shared.unix_ms());
        row.set_state(HandlerState::Serving);
        shared.table.post_start(hello.handler);
        shared.router.send(&FromHandler::Ready);
        Ok(Handler { shared, poll, threads })
    }

    /// Serves until the router says otherwise, or is gone.
    ///
    /// # Errors
    /// What kept the handler from serving or from closing the store cleanly.
    pub(crate) fn serve(self) -> Result<(), Box<dyn Error>> {
        let Handler { shared, mut poll, threads } = self;
        let grace = poll::run(&mut poll, &shared)?;
        say_goodbye(&mut poll, &shared, grace)?;
        shared.run_queue.close();
        shared.passwords.close();
        shared.sizes.close();
        shared.workers.join();
        shared.seats.close();
        for thread in threads {
            if thread.join().is_err() {
                log::error!("a thread panicked");
            }
        }
        shared.store.close()?;
        Ok(())
    }
}

fn open_store(hello: &Hello, settings: &Settings) -> Result<Arc<Store>, Box<dyn Error>> {
    let writer = WriterChoice::Handler(u16::try_from(hello.handler)?);
    let mut options = OpenOptions::new(&settings.store.path, &settings.runtime.dir, writer);
    options.default_limits = default_limits(settings);
    options.history_days = settings.store.history_days;
    options.count_equal_messages = settings.store.count_equal_messages;
    options.journal_days = settings.store.journal_days;
    Ok(Store::open(options)?)
}

/// What `[quota]` says.
pub(crate) fn default_limits(settings: &Settings) -> Limits {
    let limit = |amount: Amount| match amount {
        Amount::Unlimited => Limit::Unlimited,
        Amount::Most(most) => Limit::Most(most),
    };
    Limits {
        octets: limit(settings.quota.octets),
        messages: limit(settings.quota.messages),
        mailboxes: limit(settings.quota.mailboxes),
        annotations: limit(settings.quota.annotations),
    }
}

fn start_threads(shared: &Arc<Shared>) -> std::io::Result<Vec<thread::JoinHandle<()>>> {
    let commit_shared = Arc::downgrade(shared);
    shared.store.on_durable(Box::new(move |_| {
        if let Some(shared) = commit_shared.upgrade() {
            shared.commits.settle(&shared);
        }
    }));
    let change_shared = Arc::downgrade(shared);
    shared.store.before_change(Box::new(move || {
        if let Some(shared) = change_shared.upgrade() {
            keeping::note_change(&shared);
        }
    }));
    let measured_shared = Arc::downgrade(shared);
    shared.store.observe_commits(Box::new(move |time| {
        if let Some(shared) = measured_shared.upgrade() {
            observe_commit(&shared, &time);
        }
    }));
    let mut threads = Vec::with_capacity(3);
    let critical_shared = Arc::clone(shared);
    let named = thread::Builder::new().name("critical".into()).stack_size(STACK_OCTETS);
    threads.push(named.spawn(move || critical::run(&critical_shared))?);
    shared.workers.start(shared)?;
    let password_shared = Arc::clone(shared);
    let named = thread::Builder::new().name("passwords".into()).stack_size(STACK_OCTETS);
    threads.push(named.spawn(move || password_shared.passwords.run(&password_shared))?);
    let sizes_shared = Arc::clone(shared);
    let named = thread::Builder::new().name("sizes".into()).stack_size(STACK_OCTETS);
    threads.push(named.spawn(move || sizes_shared.sizes.run(&sizes_shared))?);
    Ok(threads)
}

/// One for each processor, and no more than the table has rows for.
fn worker_count() -> usize {
    let count = thread::available_parallelism().map_or(WORKERS_MIN, |count| count.get().max(WORKERS_MIN));
    count.min(signals::OTHERS_ROW as usize)
}

fn observe_commit(shared: &Shared, time: &CommitTime<'_>) {
    let metrics = shared.metrics();
    match time {
        CommitTime::Synced(took) => {
            metrics.count(Tally::Syncs);
            metrics.observe_time(Histogram::Sync, *took);
        }
        CommitTime::Durable(waits) => {
            metrics.observe(Histogram::TicketsPerSync, waits.len() as u64);
            for wait in *waits {
                metrics.observe_time(Histogram::CommitWait, *wait);
            }
        }
    }
}

/// Lets running commands finish and every session say BYE, for at most `grace`.
fn say_goodbye(poll: &mut Poll, shared: &Arc<Shared>, grace: Duration) -> std::io::Result<()> {
    shared.table.handler(shared.handler).set_state(HandlerState::Draining);
    shared.shut_down();
    let deadline = Instant::now() + grace;
    poll::linger(poll, shared, || shared.slots.used() == 0 || Instant::now() >= deadline)?;
    let left = shared.slots.used();
    if left > 0 {
        log::warning!("sessions cut off at the end of the grace time", sessions = left);
    }
    Ok(())
}
