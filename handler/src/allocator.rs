#![allow(unsafe_code)]
//! The handler's allocator: the system's, with two numbers for each thread. How deep the thread is in it tells a crash that can be
//! survived from one that left the heap half done; how much it allocated in all tells what a session costs.
//!
//! Both are words of the thread's own storage without destructor: they can be read in a signal handler, and cost two additions.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    static NET_OCTETS: Cell<i64> = const { Cell::new(0) };
}

/// How deep the calling thread is in the allocator: 0 anywhere but in a signal handler that interrupted it.
pub(crate) fn depth() -> u32 {
    DEPTH.get()
}

/// Octets that the calling thread allocated, less those that it freed, since it began. Below 0 where it frees what others allocated.
/// The difference over a turn is what the turn added to its session, whoever frees it later.
pub(crate) fn allocated_by_this_thread() -> i64 {
    NET_OCTETS.get()
}

/// Gives memory that nobody holds back to the system, as far as its allocator can.
pub(crate) fn give_back() {
    // SAFETY: the function may be called at any time from any thread, and has no arguments that could be wrong.
    #[cfg(target_env = "gnu")]
    inside(|| unsafe { nix::libc::malloc_trim(0) });
}

/// Counts as being in the allocator while `work` runs.
fn inside<T>(work: impl FnOnce() -> T) -> T {
    DEPTH.set(DEPTH.get() + 1);
    // The compiler must not move the work out from between the two stores: a signal handler of this thread looks at them.
    std::sync::atomic::compiler_fence(std::sync::atomic::Ordering::SeqCst);
    let outcome = work();
    std::sync::atomic::compiler_fence(std::sync::atomic::Ordering::SeqCst);
    DEPTH.set(DEPTH.get() - 1);
    outcome
}

fn count(octets: i64) {
    NET_OCTETS.set(NET_OCTETS.get().wrapping_add(octets));
}

/// See the head of the file.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call is handed to the system's allocator as it came; what is counted beside it allocates nothing and cannot unwind.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise, passed on.
        let allocated = inside(|| unsafe { System.alloc(layout) });
        if !allocated.is_null() {
            count(layout.size() as i64);
        }
        allocated
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise, passed on.
        let allocated = inside(|| unsafe { System.alloc_zeroed(layout) });
        if !allocated.is_null() {
            count(layout.size() as i64);
        }
        allocated
    }

    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise, passed on.
        inside(|| unsafe { System.dealloc(address, layout) });
        count(-(layout.size() as i64));
    }

    unsafe fn realloc(&self, address: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's promise, passed on.
        let allocated = inside(|| unsafe { System.realloc(address, layout, new_size) });
        if !allocated.is_null() {
            count(new_size as i64 - layout.size() as i64);
        }
        allocated
    }
}

#[cfg(feature = "fault-injection")]
pub(crate) fn crash_inside(crash: impl FnOnce()) {
    inside(crash);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_knows_what_it_allocated_net() {
        let before = allocated_by_this_thread();
        let mut octets: Vec<u8> = Vec::with_capacity(1000);
        assert_eq!(allocated_by_this_thread() - before, 1000);
        octets.reserve_exact(5000);
        assert_eq!(allocated_by_this_thread() - before, 5000);
        let freed_elsewhere = std::thread::spawn(move || {
            let before = allocated_by_this_thread();
            drop(octets);
            allocated_by_this_thread() - before
        });
        assert_eq!(freed_elsewhere.join().expect("ends"), -5000);
        assert_eq!(depth(), 0);
        assert_eq!(inside(depth), 1);
    }
}
