#![allow(unsafe_code)]
//! X-FAULT kind [message], a command that no release has (feature `fault-injection`): brings down the session that says it, or the whole handler, in a way
//! that it names. For tests of what a crash may do to others.
//!
//! `segv`, `bus`, `fpe`, `ill`, `stack` and `panic` happen where nothing is in hand. `malloc` happens in the allocator, `lock` with a lock
//! of the process held, `abort` and `oom` end the process by themselves, `hang` keeps a worker busy for ever.

use std::alloc::{Layout, handle_alloc_error};
use std::hint::black_box;
use std::ptr;

use nix::libc;
use store::StoreError;

use super::{Flow, ImapSession, Stage, begin_in_table};
use crate::conversation::{Next, Turn};

/// A line that is longer is no X-FAULT.
const LINE_OCTETS: usize = 100;

impl ImapSession {
    /// Does an X-FAULT that is next in the input; `None` if something else is.
    pub(super) fn begin_fault(&mut self, turn: &mut Turn<'_>) -> Option<Flow> {
        let unread = turn.input.unread();
        let end = unread.iter().take(LINE_OCTETS).position(|octet| *octet == b'\n')?;
        let line = std::str::from_utf8(&unread[..end]).ok()?.trim_end();
        let words: Vec<&str> = line.split(' ').collect();
        let (tag, kind, message) = match words[..] {
            [tag, "X-FAULT", kind] => (tag, kind, None),
            [tag, "X-FAULT", kind, message] => (tag, kind, message.parse().ok()),
            _ => return None,
        };
        if !self.is_authenticated() {
            return None;
        }
        let (tag, kind) = (tag.to_owned(), kind.to_owned());
        turn.input.consume(end + 1);
        begin_in_table(turn, "X-FAULT");
        let text = match message.map(|message| self.read_first(message, turn)) {
            None | Some(Ok(())) => {
                bring_down(&kind, turn);
                // Only what is no kind of fault comes here.
                format!("{tag} BAD There is no such fault\r\n")
            }
            Some(Err(error)) => format!("{tag} NO {error}\r\n"),
        };
        turn.output.bytes().extend_from_slice(text.as_bytes());
        Some(Flow::Wait(Next::Again))
    }

    /// Reads a message of the selected mailbox, as if that were what brings the session down.
    fn read_first(&mut self, sequence: u32, turn: &mut Turn<'_>) -> Result<(), StoreError> {
        let Stage::Selected(_, selected) = &mut self.stage else {
            return Err(StoreError::NotFound("mailbox"));
        };
        let found = selected.view.cells_in_seq_range(sequence..=sequence).next();
        let (_, cell) = found.ok_or(StoreError::NotFound("message"))?;
        let id = selected.mailbox(&turn.shared.store)?.cells()?.cell(cell)?.message;
        turn.shared.store.message(id).map(|_| ())
    }
}

fn bring_down(kind: &str, turn: &Turn<'_>) {
    match kind {
        "segv" => touch_nothing(),
        "bus" => touch_cut_off(),
        "fpe" => divide(),
        "ill" => run_nonsense(),
        "stack" => {
            black_box(descend(1));
        }
        "panic" => panic!("asked for by X-FAULT"),
        "abort" => std::process::abort(),
        "malloc" => crate::allocator::crash_inside(touch_nothing),
        "lock" => turn.shared.changes.with_lock(touch_nothing),
        "hang" => loop {
            std::thread::park();
        },
        "oom" => handle_alloc_error(Layout::new::<[u8; 4096]>()),
        _ => {}
    }
}

fn touch_nothing() {
    // SAFETY: there is none: the address is not mapped, and that is the point.
    unsafe { ptr::write_volatile(black_box(16 as *mut u8), 1) };
}

/// Reads from a mapping of a file that is shorter by now.
fn touch_cut_off() {
    // SAFETY: memory of a file of our own, read behind its end: the kernel answers with a signal, and that is the point.
    unsafe {
        let file = libc::memfd_create(c"fault".as_ptr(), libc::MFD_CLOEXEC);
        libc::ftruncate(file, 4096);
        let start =
            libc::mmap(ptr::null_mut(), 4096, libc::PROT_READ, libc::MAP_SHARED, file, 0).cast::<u8>();
        libc::ftruncate(file, 0);
        libc::close(file);
        black_box(ptr::read_volatile(start));
    }
}

#[cfg(target_arch = "x86_64")]
fn divide() {
    // SAFETY: there is none: a division by 0, which the processor answers with a fault.
    unsafe {
        std::arch::asm!("xor ecx, ecx", "xor edx, edx", "mov eax, 1", "div ecx", out("eax") _, out("ecx") _, out("edx") _);
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn divide() {
    let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGFPE);
}

#[cfg(target_arch = "x86_64")]
fn run_nonsense() {
    // SAFETY: there is none: an instruction that is defined not to be one.
    unsafe { std::arch::asm!("ud2") };
}

#[cfg(not(target_arch = "x86_64"))]
fn run_nonsense() {
    let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGILL);
}

#[inline(never)]
fn descend(depth: u64) -> u64 {
    let room = black_box([depth; 64]);
    if black_box(depth) == 0 { 0 } else { descend(depth + 1) + room[(depth % 64) as usize] }
}
