#![allow(unsafe_code)]
//! Threads for the workers: POSIX threads on memory of our own, so that one can be ended in the middle of anything and cleared away by
//! another. `std::thread` gives neither an alternate stack of a chosen size nor a way to leave without unwinding.
//!
//! The memory of a thread, from low to high: a page that cannot be touched, the alternate stack on which signals are handled, another
//! such page, the stack. A stack that grows too far meets the page, and the signal that follows is handled on the alternate stack.
//!
//! A thread that left by the system call `exit` is joined as any other: the kernel clears the thread's number in the same way, which is
//! what `pthread_join` waits for, and releases the robust locks that it held.

use std::ffi::CStr;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};

use nix::libc;

/// The stack of a worker, in octets. Nothing here recurses over input.
const STACK_OCTETS: usize = 1024 * 1024;
/// The stack for signals, in octets: the kernel puts the whole state of the processor there, which may be large.
const ALTERNATE_OCTETS: usize = 64 * 1024;

/// Memory of one thread. Not given back by being dropped: the thread may be on it.
struct Memory {
    start: NonNull<libc::c_void>,
    page: usize,
}

/// What a thread begins with.
struct Start {
    alternate: usize,
    run: Box<dyn FnOnce() + Send>,
}

/// A thread, to be joined.
pub(crate) struct RawThread {
    handle: libc::pthread_t,
    memory: Memory,
}

// SAFETY: a thread's handle may be used by any thread, and the memory is touched by nobody but the thread itself until it is joined.
unsafe impl Send for RawThread {}

impl Memory {
    fn reserve() -> io::Result<Memory> {
        // SAFETY: asks for a number.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        let page = usize::try_from(page).map_err(|_| io::Error::last_os_error())?;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: new memory at an address that the kernel chooses.
        let start = unsafe { libc::mmap(ptr::null_mut(), Memory::octets(page), protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let memory = Memory { start: NonNull::new(start).expect("a mapping has an address"), page };
        for guard in [memory.address(), memory.address() + page + ALTERNATE_OCTETS] {
            // SAFETY: a page of the new memory, which nobody uses yet.
            if unsafe { libc::mprotect(guard as *mut libc::c_void, page, libc::PROT_NONE) } != 0 {
                let error = io::Error::last_os_error();
                memory.give_back();
                return Err(error);
            }
        }
        Ok(memory)
    }

    fn octets(page: usize) -> usize {
        2 * page + ALTERNATE_OCTETS + STACK_OCTETS
    }

    fn address(&self) -> usize {
        self.start.as_ptr() as usize
    }

    fn alternate(&self) -> usize {
        self.address() + self.page
    }

    fn stack(&self) -> usize {
        self.address() + 2 * self.page + ALTERNATE_OCTETS
    }

    /// Nobody is on it any more.
    fn give_back(self) {
        // SAFETY: mapped by `reserve` with this length; the caller knows that no thread is on it.
        unsafe { libc::munmap(self.start.as_ptr(), Memory::octets(self.page)) };
    }
}

impl RawThread {
    /// Starts a thread that does `run`.
    ///
    /// # Errors
    /// The operating system's, when there is no memory or no thread to be had.
    pub(crate) fn spawn(name: &CStr, run: Box<dyn FnOnce() + Send>) -> io::Result<RawThread> {
        let memory = Memory::reserve()?;
        let start = Box::into_raw(Box::new(Start { alternate: memory.alternate(), run }));
        let mut attributes = std::mem::MaybeUninit::<libc::pthread_attr_t>::uninit();
        let mut handle: libc::pthread_t = 0;
        // SAFETY: `attributes` is initialised by the first call before the others use it; the stack is memory of ours that nobody
        // else uses; `start` is a box that `begin` takes over, and that is taken back below if there is no thread.
        let outcome = unsafe {
            libc::pthread_attr_init(attributes.as_mut_ptr());
            libc::pthread_attr_setstack(
                attributes.as_mut_ptr(),
                memory.stack() as *mut libc::c_void,
                STACK_OCTETS,
            );
            let outcome = libc::pthread_create(&mut handle, attributes.as_ptr(), begin, start.cast());
            libc::pthread_attr_destroy(attributes.as_mut_ptr());
            outcome
        };
        if outcome != 0 {
            // SAFETY: no thread has it; it is the box from above.
            drop(unsafe { Box::from_raw(start) });
            memory.give_back();
            return Err(io::Error::from_raw_os_error(outcome));
        }
        // SAFETY: the thread is there until it is joined. A name that is not taken is no harm.
        unsafe { libc::pthread_setname_np(handle, name.as_ptr()) };
        Ok(RawThread { handle, memory })
    }

    /// The addresses of its stack.
    pub(crate) fn stack(&self) -> std::ops::Range<usize> {
        self.memory.stack()..self.memory.stack() + STACK_OCTETS
    }

    /// Waits for its end, in whatever way it ends, and gives its memory back.
    pub(crate) fn join(self) {
        // SAFETY: the handle of a thread that was not joined yet: this takes the one value that has it.
        let outcome = unsafe { libc::pthread_join(self.handle, ptr::null_mut()) };
        if outcome == 0 {
            self.memory.give_back();
        }
    }
}

extern "C" fn begin(argument: *mut libc::c_void) -> *mut libc::c_void {
    // SAFETY: the box that `spawn` made for this thread alone.
    let start = unsafe { Box::from_raw(argument.cast::<Start>()) };
    let alternate =
        libc::stack_t { ss_sp: start.alternate as *mut libc::c_void, ss_flags: 0, ss_size: ALTERNATE_OCTETS };
    // SAFETY: memory of this thread, which is given back only after it ended.
    unsafe { libc::sigaltstack(&alternate, ptr::null_mut()) };
    // A panic must not unwind into the C library. Whoever panicked has been heard by then.
    let _ = catch_unwind(AssertUnwindSafe(start.run));
    ptr::null_mut()
}

/// Ends the calling thread at once: nothing is unwound, no destructor runs. What it held of robust locks is released by the kernel.
pub(crate) fn leave() -> ! {
    loop {
        // SAFETY: ends this thread; it does not return.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
    }
}

/// The kernel's number of the calling thread.
pub(crate) fn thread_number() -> u32 {
    nix::unistd::gettid().as_raw() as u32
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn a_thread_runs_and_is_joined_however_it_ends() {
        let ran = Arc::new(AtomicU32::new(0));
        for way in 0..3 {
            let ran_there = Arc::clone(&ran);
            let run = move || {
                ran_there.fetch_add(1, Ordering::SeqCst);
                drop(ran_there);
                match way {
                    0 => {}
                    1 => leave(),
                    _ => panic!("on purpose"),
                }
            };
            let thread = RawThread::spawn(c"test", Box::new(run)).expect("started");
            assert_eq!(thread.stack().len(), STACK_OCTETS);
            thread.join();
        }
        assert_eq!(ran.load(Ordering::SeqCst), 3);
    }

    /// Memory of threads that left without a word is given back, and the C library's list of threads stays whole.
    #[test]
    fn many_threads_may_leave_without_a_word() {
        for _ in 0..200 {
            let threads: Vec<RawThread> =
                (0..4).map(|_| RawThread::spawn(c"test", Box::new(|| leave())).expect("started")).collect();
            threads.into_iter().for_each(RawThread::join);
        }
    }
}
