//! What daemons say of what happens: one line an event, on standard error or in systemd's journal.
//!
//! An event has a level, a target (the module that tells it, or `audit`), a name and fields. Nothing that is logged is a
//! password, a message's content, or what a client sent without being asked who it is.
//!
//! ```text
//! error! … audit! ──► levels.rs (wanted?) ──► line.rs (text, JSON, journal) ──► sink.rs (never waits)
//! ```
//!
//! Invariants: no line makes its writer wait; what cannot be written at once is dropped and counted ([`dropped`]), and the next
//! line that gets through says how many are missing. A line is at most [`LINE_OCTETS_MAX`] octets, so that lines of several
//! processes do not mix in a pipe.

mod context;
mod levels;
mod line;
mod moment;
mod sink;

pub use self::context::{clear_context, set_context};
pub use self::levels::{Level, Levels, NoLevels};
pub use self::line::LINE_OCTETS_MAX;
pub use self::sink::Format;

use self::line::Line;
use self::sink::Sink;
use std::fmt::Display;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

/// The target of lines that say who did what.
pub const AUDIT: &str = "audit";

/// A field of an event.
pub type Field<'a> = (&'a str, &'a dyn Display);

/// The least important level that any target wants; asked before all else.
static MOST: AtomicU8 = AtomicU8::new(Level::Info as u8);
static LEVELS: RwLock<Levels> = RwLock::new(Levels::all(Level::Info));
/// Taken out of its lock for each line, so that no lock is held while one is written.
static SINK: RwLock<Option<Arc<Sink>>> = RwLock::new(None);
static DROPPED: AtomicU64 = AtomicU64::new(0);
static DROPPED_TAKEN: AtomicU64 = AtomicU64::new(0);
/// How many of the dropped lines were owned up to.
static DROPPED_TOLD: AtomicU64 = AtomicU64::new(0);

/// Logs in this format from now on, as `program`. Before the first call, lines go to standard error as text.
pub fn begin(program: &'static str, format: Format) {
    *SINK.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(Sink::open(program, format)));
}

/// Begins as settings have it: a format by its name, levels as text (`info,imap=debug`). What is not understood is told, and left as it was.
pub fn begin_as(program: &'static str, format: &str, levels: &str) {
    begin(program, Format::from_name(format).unwrap_or(Format::Auto));
    take_levels(levels);
}

/// Logs what this text asks for from now on; levels that are none are told, and those before stay.
pub fn take_levels(text: &str) {
    match text.parse() {
        Ok(levels) => set_levels(levels),
        Err(error) => error!("log levels kept", why = error),
    }
}

/// Logs what these levels ask for from now on.
pub fn set_levels(levels: Levels) {
    MOST.store(levels.most() as u8, Ordering::Relaxed);
    *LEVELS.write().unwrap_or_else(PoisonError::into_inner) = levels;
}

/// Changes the level of one target, or of all that have none of their own.
pub fn set_level(target: Option<&str>, level: Level) {
    let mut levels = LEVELS.write().unwrap_or_else(PoisonError::into_inner);
    levels.set(target, level);
    MOST.store(levels.most() as u8, Ordering::Relaxed);
}

/// The levels in force.
pub fn levels() -> Levels {
    LEVELS.read().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Whether an event of this level and target is logged. One load when it is of no interest to anybody.
pub fn is_enabled(level: Level, target: &str) -> bool {
    level as u8 <= MOST.load(Ordering::Relaxed)
        && LEVELS.read().unwrap_or_else(PoisonError::into_inner).wants(level, target_of(target))
}

/// Lines that could not be written since the process began.
pub fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// Lines that could not be written since the last call, for who keeps sums elsewhere.
pub fn take_dropped() -> u64 {
    let dropped = dropped();
    dropped.saturating_sub(DROPPED_TAKEN.swap(dropped, Ordering::Relaxed))
}

/// Writes an event that is wanted. Use the macros.
pub fn write(level: Level, target: &str, event: &str, fields: &[Field<'_>]) {
    let unix_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64);
    let mut line = Line::new(level, target_of(target), event, unix_ms);
    for (name, value) in fields {
        line.add(name, value);
    }
    context::add_to(&mut line);
    send(&line);
}

fn send(line: &Line) {
    let sink = SINK.read().unwrap_or_else(PoisonError::into_inner).clone();
    let sink = sink.unwrap_or_else(|| Arc::new(Sink::open("lode", Format::Text)));
    let missing = DROPPED.load(Ordering::Relaxed).saturating_sub(DROPPED_TOLD.load(Ordering::Relaxed));
    if missing > 0 {
        let mut notice = Line::new(Level::Warn, "log", "log-lines-dropped", line.unix_ms());
        notice.add("count", &missing);
        if sink.write(&notice) {
            DROPPED_TOLD.fetch_add(missing, Ordering::Relaxed);
        }
    }
    if !sink.write(line) {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

/// The modules of a handler are known without its name.
fn target_of(path: &str) -> &str {
    path.strip_prefix("handler::").unwrap_or(path)
}

/// Logs an event: `event!(level, target, "event", key = value, …)`.
#[macro_export]
macro_rules! event {
    ($level:expr, $target:expr, $event:expr $(, $name:ident = $value:expr)* $(,)?) => {
        if $crate::is_enabled($level, $target) {
            $crate::write($level, $target, $event, &[$((stringify!($name), &$value)),*])
        }
    };
}

/// Logs an event of level error: something failed that should not.
#[macro_export]
macro_rules! error {
    ($($rest:tt)+) => { $crate::event!($crate::Level::Error, module_path!(), $($rest)+) };
}

/// Logs an event of level warning: somebody should look some time.
#[macro_export]
macro_rules! warning {
    ($($rest:tt)+) => { $crate::event!($crate::Level::Warn, module_path!(), $($rest)+) };
}

/// Logs an event of level info: what happens every day.
#[macro_export]
macro_rules! info {
    ($($rest:tt)+) => { $crate::event!($crate::Level::Info, module_path!(), $($rest)+) };
}

/// Logs an event of level debug: for who looks for a fault.
#[macro_export]
macro_rules! debug {
    ($($rest:tt)+) => { $crate::event!($crate::Level::Debug, module_path!(), $($rest)+) };
}

/// Logs who did what: level info, target `audit`.
#[macro_export]
macro_rules! audit {
    ($($rest:tt)+) => { $crate::event!($crate::Level::Info, $crate::AUDIT, $($rest)+) };
}

/// Logs who was kept from doing what: level warning, target `audit`.
#[macro_export]
macro_rules! audit_refusal {
    ($($rest:tt)+) => { $crate::event!($crate::Level::Warn, $crate::AUDIT, $($rest)+) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_of_a_handler_are_named_short() {
        assert_eq!(target_of("handler::imap::login"), "imap::login");
        assert_eq!(target_of("router::reap"), "router::reap");
        assert_eq!(target_of(AUDIT), "audit");
    }
}
