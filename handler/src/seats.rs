//! The seats of the workers: what a worker, its signal handler, the critical-signal thread and the poll thread tell each other about
//! the worker's end. Words only: the signal handler and the critical-signal thread must neither allocate nor lock.
//!
//! ```text
//!  free ──► working ──► crashed ──► leaving ──► free
//!   poll     signal      critical    poll (joins the thread, clears up behind the session, starts another worker)
//! ```

use std::ops::Range;
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use nix::sys::eventfd::{EfdFlags, EventFd};
use shm_abi::MAX_WORKERS;
use std::os::fd::AsFd;

/// Where a seat is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Stage {
    /// Nobody works here.
    Free = 0,
    /// A worker does.
    Working = 1,
    /// The worker met a critical signal, and waits in its signal handler.
    Crashed = 2,
    /// The worker was told to go. What it left behind is still there.
    Leaving = 3,
}

/// How long a thread waits in its signal handler between two looks.
const LOOK_EVERY: Duration = Duration::from_micros(200);

/// One worker's seat.
#[derive(Default)]
pub(crate) struct Seat {
    stage: AtomicU32,
    /// The socket of the session that is run, -1 for none.
    socket: AtomicI32,
    stack_start: AtomicUsize,
    stack_end: AtomicUsize,
}

impl Seat {
    /// Where it is in its life.
    pub(crate) fn stage(&self) -> Stage {
        match self.stage.load(Ordering::SeqCst) {
            0 => Stage::Free,
            1 => Stage::Working,
            2 => Stage::Crashed,
            _ => Stage::Leaving,
        }
    }

    pub(crate) fn set_stage(&self, stage: Stage) {
        self.stage.store(stage as u32, Ordering::SeqCst);
    }

    /// A worker runs a session with this socket.
    pub(crate) fn set_socket(&self, socket: Option<RawFd>) {
        self.socket.store(socket.unwrap_or(-1), Ordering::Relaxed);
    }

    /// The socket of the session that the worker runs, or ran when it crashed.
    pub(crate) fn socket(&self) -> Option<RawFd> {
        Some(self.socket.load(Ordering::Relaxed)).filter(|socket| *socket >= 0)
    }

    pub(crate) fn set_stack(&self, stack: Range<usize>) {
        self.stack_start.store(stack.start, Ordering::SeqCst);
        self.stack_end.store(stack.end, Ordering::SeqCst);
    }

    /// The addresses of the worker's stack.
    pub(crate) fn stack(&self) -> Range<usize> {
        self.stack_start.load(Ordering::SeqCst)..self.stack_end.load(Ordering::SeqCst)
    }

    /// Waits to be told to go; false if nobody tells within `at_most`. For the signal handler: it sleeps and looks.
    pub(crate) fn waits_to_leave(&self, at_most: Duration) -> bool {
        let mut waited = Duration::ZERO;
        while self.stage() == Stage::Crashed {
            if waited >= at_most {
                return false;
            }
            std::thread::sleep(LOOK_EVERY);
            waited += LOOK_EVERY;
        }
        true
    }
}

/// All seats, and the bell by which the critical-signal thread is called.
pub(crate) struct Seats {
    seats: Box<[Seat]>,
    bell: EventFd,
    ended: AtomicBool,
    accused: AtomicBool,
}

impl Seats {
    /// Nobody works yet.
    ///
    /// # Errors
    /// The operating system's, when there is no descriptor left.
    pub(crate) fn new() -> nix::Result<Seats> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let seats = std::iter::repeat_with(Seat::default).take(MAX_WORKERS as usize).collect();
        let bell = EventFd::from_value_and_flags(0, flags)?;
        Ok(Seats { seats, bell, ended: AtomicBool::new(false), accused: AtomicBool::new(false) })
    }

    /// The seat of a worker.
    pub(crate) fn seat(&self, worker: u32) -> &Seat {
        &self.seats[worker as usize]
    }

    /// All of them, with their numbers.
    pub(crate) fn all(&self) -> impl Iterator<Item = (u32, &Seat)> {
        (0..).zip(&self.seats)
    }

    /// Calls the critical-signal thread.
    pub(crate) fn ring(&self) {
        // A full counter rings as well.
        let _ = self.bell.write(1);
    }

    /// What rings, to wait for it.
    pub(crate) fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// The bell was heard.
    pub(crate) fn hush(&self) {
        let _ = self.bell.read();
    }

    /// The router found that a worker hangs. For the signal handler.
    pub(crate) fn accuse(&self) {
        self.accused.store(true, Ordering::SeqCst);
        self.ring();
    }

    /// Whether it did so since the last call.
    pub(crate) fn take_accusation(&self) -> bool {
        self.accused.swap(false, Ordering::SeqCst)
    }

    /// Lets the critical-signal thread end.
    pub(crate) fn close(&self) {
        self.ended.store(true, Ordering::SeqCst);
        self.ring();
    }

    /// Whether it is to end.
    pub(crate) fn are_closed(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }
}
