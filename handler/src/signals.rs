#![allow(unsafe_code)]
//! Critical signals: SIGSEGV, SIGBUS, SIGFPE, SIGILL, and SIGABRT; and SIGUSR2, by which the router says that a worker hangs.
//!
//! In a worker that runs a session, the signal handler stores what is known in the worker's row of the table, rings for the
//! critical-signal thread (`critical.rs`), waits until that has taken care of the session, and leaves. In any other thread, or when
//! nobody answers, the process ends: the router gives its sessions to another handler.
//!
//! Everything in the signal handler is a system call or a store into an atomic. It reads no lock, allocates nothing, and looks at nothing of
//! the session, which may be in any state.

use std::cell::Cell;
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::time::Duration;

use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use shm_abi::{CRASH_FRAMES, CrashFacts, HandlerState, MAX_WORKERS};

use crate::allocator;
use crate::raw_thread;
use crate::seats::Stage;
use crate::shared::Shared;

/// The row for a thread that is no worker.
pub(crate) const OTHERS_ROW: u32 = MAX_WORKERS - 1;
/// How long a crashed thread waits for the critical-signal thread.
const ANSWER_MOST: Duration = Duration::from_secs(2);
/// How much of a stack is looked through for return addresses, in octets.
const STACK_LOOKED_AT: usize = 256 * 1024;

/// Who a worker is, for its signal handler.
#[derive(Clone, Copy)]
struct Worker {
    shared: *const Shared,
    number: u32,
}

thread_local! {
    /// Has no destructor and is there from the beginning: the signal handler may read it at any time.
    static WORKER: Cell<Worker> = const { Cell::new(Worker { shared: ptr::null(), number: 0 }) };
}

/// The handler that this process is; null in tests, where a process has several.
static PROCESS: AtomicPtr<Shared> = AtomicPtr::new(ptr::null_mut());

/// Marks the calling thread as a worker while it lives.
pub(crate) struct AtWork(());

impl AtWork {
    /// The calling thread is this worker. `shared` outlives the value.
    pub(crate) fn begin(shared: &Shared, number: u32) -> AtWork {
        WORKER.set(Worker { shared, number });
        AtWork(())
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        WORKER.set(Worker { shared: ptr::null(), number: 0 });
    }
}

/// The worker that the calling thread is.
pub(crate) fn worker() -> Option<(&'static Shared, u32)> {
    let worker = WORKER.get();
    // SAFETY: set by `AtWork::begin` of this thread, which outlives what it marks; the reference is used by this thread, below that.
    unsafe { worker.shared.as_ref() }.map(|shared| (shared, worker.number))
}

/// The process is this handler and nothing else: a fault outside of the workers ends it in order.
pub(crate) fn own_the_process(shared: std::sync::Arc<Shared>) {
    // Never given back: signals may come until the last instruction.
    PROCESS.store(std::sync::Arc::into_raw(shared).cast_mut(), Ordering::SeqCst);
}

/// The handler that the process is.
pub(crate) fn process() -> Option<&'static Shared> {
    // SAFETY: null, or a value that `own_the_process` has leaked.
    unsafe { PROCESS.load(Ordering::SeqCst).as_ref() }
}

/// Has critical signals handled here from now on, in all threads.
///
/// # Errors
/// The operating system's.
pub(crate) fn install() -> nix::Result<()> {
    let action = SigAction::new(
        SigHandler::SigAction(on_signal),
        SaFlags::SA_SIGINFO | SaFlags::SA_ONSTACK,
        // A second fault in the signal handler ends the process: the kernel does not let a blocked signal of that kind pass.
        SigSet::all(),
    );
    for signal in [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGFPE, Signal::SIGILL, Signal::SIGABRT] {
        // SAFETY: the handler does nothing that is not allowed in one; see its head.
        unsafe { sigaction(signal, &action) }?;
    }
    let flags = SaFlags::SA_ONSTACK | SaFlags::SA_RESTART;
    let accusation = SigAction::new(SigHandler::Handler(on_accusation), flags, SigSet::empty());
    // SAFETY: the handler stores into an atomic and writes to an eventfd.
    unsafe { sigaction(Signal::SIGUSR2, &accusation) }.map(|_| ())
}

/// Any thread may be the one that hears it.
extern "C" fn on_accusation(_: libc::c_int) {
    if let Some(shared) = process() {
        shared.seats.accuse();
    }
}

/// Has a thread of this process meet SIGABRT where it is: its row says then what it did, as after any other critical signal.
pub(crate) fn interrupt(thread: u32) {
    // SAFETY: sends a signal to a thread of this process, or to none.
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread as libc::pid_t, libc::SIGABRT) };
}

extern "C" fn on_signal(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes both, whole, for as long as the handler runs.
    let facts = unsafe { facts(signal, info, context) };
    let message = message_read();
    if let Some((shared, number)) = worker() {
        let row = shared.table.worker(shared.handler, number);
        row.note_message(message);
        row.crash(&facts);
        let seat = shared.seats.seat(number);
        seat.set_stage(Stage::Crashed);
        shared.seats.ring();
        if seat.waits_to_leave(ANSWER_MOST) {
            raw_thread::leave();
        }
        die(shared);
    }
    if let Some(shared) = process() {
        let row = shared.table.worker(shared.handler, OTHERS_ROW);
        row.begin(raw_thread::thread_number());
        row.crash(&facts);
        die(shared);
    }
    // What would have happened without us. The faulty instruction is run again when this returns.
    if let Ok(signal) = Signal::try_from(signal) {
        let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
        // SAFETY: no handler of ours is involved any more.
        let _ = unsafe { sigaction(signal, &default) };
    }
}

/// The message that the calling thread reads, as the table has it.
pub(crate) fn message_read() -> Option<u64> {
    store::reading::last().map(|id| u64::from(id.page.0) << 32 | u64::from(id.index))
}

/// Ends the process at once, condemned. Its sessions go on in another handler, but for those of workers whose rows say that they crashed:
/// these the router ends, when it has kept the reports. No core is written: sessions would wait for it.
pub(crate) fn die(shared: &Shared) -> ! {
    shared.table.handler(shared.handler).set_state(HandlerState::Condemned);
    loop {
        let _ = nix::sys::signal::kill(nix::unistd::getpid(), Signal::SIGKILL);
    }
}

/// # Safety
/// `info` and `context` are what the kernel passed to a signal handler.
unsafe fn facts(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) -> CrashFacts {
    // SAFETY: see above; the address is there for these signals, and is whatever for others.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr() as u64) };
    // SAFETY: see above.
    let (instruction, stack) = unsafe { registers(context.cast()) };
    CrashFacts {
        signal,
        code,
        address: if signal == libc::SIGABRT { 0 } else { address },
        instruction,
        stack,
        allocator_depth: allocator::depth(),
        engine_depth: store::in_hand::depth(),
        program_base: text().base as u64,
        frames: [0; CRASH_FRAMES],
    }
}

/// Instruction and stack pointer of the interrupted code.
///
/// # Safety
/// `context` is what the kernel passed to a signal handler.
#[cfg(target_arch = "x86_64")]
unsafe fn registers(context: *const libc::ucontext_t) -> (u64, u64) {
    // SAFETY: see above.
    let registers = unsafe { &(*context).uc_mcontext.gregs };
    (registers[libc::REG_RIP as usize] as u64, registers[libc::REG_RSP as usize] as u64)
}

/// Instruction and stack pointer of the interrupted code.
///
/// # Safety
/// `context` is what the kernel passed to a signal handler.
#[cfg(target_arch = "aarch64")]
unsafe fn registers(context: *const libc::ucontext_t) -> (u64, u64) {
    // SAFETY: see above.
    let registers = unsafe { &(*context).uc_mcontext };
    (registers.pc, registers.sp)
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
unsafe fn registers(_: *const libc::ucontext_t) -> (u64, u64) {
    (0, 0)
}

/// Where the program is loaded.
struct Text {
    base: usize,
    end: usize,
}

fn text() -> Text {
    unsafe extern "C" {
        // The linker defines both.
        static __executable_start: u8;
        static etext: u8;
    }
    Text { base: &raw const __executable_start as usize, end: &raw const etext as usize }
}

/// The place of the program's instructions in memory; what a panic is known by is taken from it.
pub(crate) fn program_base() -> u64 {
    text().base as u64
}

/// Return addresses on a crashed thread's stack, innermost first: words that point behind a call instruction of this program. Words of calls
/// that have returned may be among them. The thread waits in its signal handler; nothing is allocated.
pub(crate) fn frames(stack: Range<usize>, pointer: u64) -> [u64; CRASH_FRAMES] {
    let mut frames = [0; CRASH_FRAMES];
    let text = text();
    let word = size_of::<usize>();
    let pointer = (pointer as usize).next_multiple_of(word);
    // The pointer of a stack that grew too far is below it.
    let from =
        if pointer >= stack.end || stack.is_empty() { return frames } else { pointer.max(stack.start) };
    let to = stack.end.min(from + STACK_LOOKED_AT);
    let mut found = 0;
    for at in (from..to.saturating_sub(word - 1)).step_by(word) {
        // SAFETY: an aligned word within the stack of a thread of ours, which is mapped until the thread is joined.
        let value = unsafe { ptr::read_volatile(at as *const usize) };
        if value < text.base + 16 || value > text.end || !follows_call(value) {
            continue;
        }
        frames[found] = value as u64;
        found += 1;
        if found == frames.len() {
            break;
        }
    }
    frames
}

#[cfg(target_arch = "x86_64")]
fn follows_call(address: usize) -> bool {
    // SAFETY: `address` is within the program's mapping, at least 16 octets behind its beginning (`frames`).
    let before = |octets: usize| unsafe { ptr::read_volatile((address - octets) as *const u8) };
    // call rel32, or call through a register or memory: FF with 2 in the middle of the next octet.
    before(5) == 0xe8 || [2, 3, 4, 6, 7].iter().any(|&at| before(at) == 0xff && before(at - 1) >> 3 & 7 == 2)
}

#[cfg(target_arch = "aarch64")]
fn follows_call(address: usize) -> bool {
    if !address.is_multiple_of(4) {
        return false;
    }
    // SAFETY: `address` is within the program's mapping, at least 16 octets behind its beginning (`frames`), and aligned.
    let before = unsafe { ptr::read_volatile((address - 4) as *const u32) };
    // bl, or blr.
    before >> 26 == 0b10_0101 || before & 0xffff_fc1f == 0xd63f_0000
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn follows_call(_: usize) -> bool {
    false
}
