//! What is left to do behind a crashed session when its thread is told to go: the poll thread's part, which may allocate and lock.
//!
//! The session itself is never touched: it may be in any state. What it had outside of itself is found by its slot, and given back:
//! socket, watches, maildrop, slot, cell. Its memory is not, nor is the mark that keeps its mailbox from being compacted; both go with the
//! process, which is replaced when sessions crash in it again and again.

use std::ffi::CString;
use std::sync::{Arc, PoisonError};

use store::in_hand::Mutex;

use crate::critical;
use crate::log;
use crate::raw_thread::RawThread;
use crate::seats::Stage;
use crate::shared::Shared;
use crate::worker;

/// The workers' threads.
pub(crate) struct Workers {
    threads: Mutex<Vec<Option<RawThread>>>,
}

impl Workers {
    /// Places for `count` workers, none of which has begun.
    pub(crate) fn new(count: usize) -> Workers {
        Workers { threads: Mutex::new(std::iter::repeat_with(|| None).take(count).collect()) }
    }

    /// Starts the workers that are not there.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn start(&self, shared: &Arc<Shared>) -> std::io::Result<()> {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for (number, thread) in (0..).zip(threads.iter_mut()) {
            if thread.is_none() {
                *thread = Some(start(shared, number)?);
            }
        }
        Ok(())
    }

    fn take(&self, number: u32) -> Option<RawThread> {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.get_mut(number as usize)?.take()
    }

    /// Waits for the end of all workers, which the closing of the run queue brings about.
    pub(crate) fn join(&self) {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let threads: Vec<RawThread> = threads.iter_mut().filter_map(Option::take).collect();
        threads.into_iter().for_each(RawThread::join);
    }
}

fn start(shared: &Arc<Shared>, number: u32) -> std::io::Result<RawThread> {
    let seat = shared.seats.seat(number);
    seat.set_stage(Stage::Working);
    let name = CString::new(format!("worker-{number}")).unwrap_or_default();
    let shared_there = Arc::clone(shared);
    let thread = RawThread::spawn(
        &name,
        Box::new(move || {
            log::name_sessions(&shared_there);
            worker::run(&shared_there, number);
        }),
    );
    match &thread {
        Ok(thread) => seat.set_stack(thread.stack()),
        Err(_) => seat.set_stage(Stage::Free),
    }
    thread
}

/// Clears up behind workers that were told to go, and starts others in their places. Called by the poll thread whenever it was woken.
pub(crate) fn look(shared: &Arc<Shared>) {
    let mut is_missing = false;
    for (number, seat) in shared.seats.all() {
        if seat.stage() == Stage::Leaving {
            clear_up(shared, number);
            is_missing = true;
        }
    }
    if is_missing {
        start_missing(shared);
    }
}

/// Starts workers in places that are empty.
pub(crate) fn start_missing(shared: &Arc<Shared>) {
    if let Err(error) = shared.workers.start(shared) {
        log::error!("a worker cannot be started, and is tried again", why = error);
    }
}

fn clear_up(shared: &Arc<Shared>, number: u32) {
    // The kernel has released the locks of the store that it held once it is gone.
    if let Some(thread) = shared.workers.take(number) {
        thread.join();
    }
    shared.crashes.keep(shared, number, String::new());
    let row = shared.table.worker(shared.handler, number);
    let seat = shared.seats.seat(number);
    if let Some((slot, generation)) = row.session() {
        if let Some(socket) = seat.socket() {
            critical::say_last_words(shared, slot, generation, socket);
        }
        worker::end_lost(shared, slot, generation, seat.socket());
    }
    row.end();
    seat.set_socket(None);
    seat.set_stage(Stage::Free);
}
