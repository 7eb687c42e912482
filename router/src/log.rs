//! What the router logs: events of the crate `logging`. Nothing here ever sees a password, or an octet that a client sent.

pub(crate) use logging::Level;

use logging::Field;

/// The part of the daemons that speaks, for `[log.targets]`.
const TARGET: &str = "router";

/// Logs an event.
pub(crate) fn event(level: Level, name: &str, facts: &[Field<'_>]) {
    event_of(TARGET, level, name, facts);
}

/// Logs who did what.
pub(crate) fn audit(name: &str, facts: &[Field<'_>]) {
    event_of(logging::AUDIT, Level::Info, name, facts);
}

fn event_of(target: &str, level: Level, name: &str, facts: &[Field<'_>]) {
    if logging::is_enabled(level, target) {
        logging::write(level, target, name, facts);
    }
}
