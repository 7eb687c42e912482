//! Panics: one in a session's turn ends the session, as a critical signal does; one anywhere else, or with a lock of the process in hand,
//! ends the process, whose sessions go on in another handler.

use std::cell::{Cell, RefCell};
use std::panic::{PanicHookInfo, set_hook, take_hook};
use std::sync::Once;

use shm_abi::CrashFacts;

use crate::allocator;
use crate::raw_thread;
use crate::shared::Shared;
use crate::signals;

/// Octets kept of what a panic says.
const MESSAGE_OCTETS: usize = 500;

thread_local! {
    static IN_TURN: Cell<bool> = const { Cell::new(false) };
    static MESSAGE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// The calling worker runs a session while this lives.
pub(crate) struct InTurn(());

impl InTurn {
    pub(crate) fn begin() -> InTurn {
        IN_TURN.set(true);
        InTurn(())
    }
}

impl Drop for InTurn {
    fn drop(&mut self) {
        IN_TURN.set(false);
    }
}

/// Has panics handled as the head of this file says, from now on.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            // What ends a session alone is told by its report. The usual words would say it again, and with a backtrace in them they read
            // the program's symbols into memory, tens of megabytes that the process keeps.
            if !ends_session_alone() {
                before(info);
            }
            on_panic(info);
        }));
    });
}

/// What the last panic of the calling thread said, and where.
pub(crate) fn take_message() -> String {
    MESSAGE.take()
}

/// Whether a panic of the calling thread, here, leaves the rest of the process as it was.
fn ends_session_alone() -> bool {
    IN_TURN.get() && allocator::depth() == 0 && store::in_hand::depth() == 0 && signals::worker().is_some()
}

fn on_panic(info: &PanicHookInfo<'_>) {
    let mut facts = CrashFacts {
        allocator_depth: allocator::depth(),
        engine_depth: store::in_hand::depth(),
        program_base: signals::program_base(),
        ..CrashFacts::default()
    };
    match signals::worker() {
        Some((shared, number)) => {
            let here = &raw const facts as u64;
            facts.frames = signals::frames(shared.seats.seat(number).stack(), here);
            facts.instruction = place_of(info, facts.program_base);
            crash_row(shared, number, &facts);
            if ends_session_alone() {
                MESSAGE.set(message(info));
            } else {
                signals::die(shared);
            }
        }
        None => {
            if let Some(shared) = signals::process() {
                shared.table.worker(shared.handler, signals::OTHERS_ROW).begin(raw_thread::thread_number());
                crash_row(shared, signals::OTHERS_ROW, &facts);
                signals::die(shared);
            }
        }
    }
}

fn crash_row(shared: &Shared, number: u32, facts: &CrashFacts) {
    let row = shared.table.worker(shared.handler, number);
    row.note_message(signals::message_read());
    row.crash(facts);
}

/// A panic has no instruction of its own. The place in the source stands for it: it tells one panic from another.
fn place_of(info: &PanicHookInfo<'_>, program_base: u64) -> u64 {
    info.location().map_or(0, |location| {
        let line = u64::from(location.line()) << 16 | u64::from(location.column());
        let file = location.file().bytes().fold(0u64, |sum, octet| sum.wrapping_mul(31) + u64::from(octet));
        program_base.wrapping_add((file & 0xffff) << 40 | line)
    })
}

fn message(info: &PanicHookInfo<'_>) -> String {
    let payload = info.payload();
    let said = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref().map(String::as_str));
    let mut text = said.unwrap_or("no message").to_owned();
    let mut end = text.len().min(MESSAGE_OCTETS);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    if let Some(location) = info.location() {
        text.push_str(&format!(" (at {location})"));
    }
    text
}
