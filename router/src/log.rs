//! What the router logs: events of the crate `logging`. Nothing here ever sees a password, or an octet that a client sent.

pub(crate) use logging::Level;

use config::{LogFormat, Settings};
use logging::Field;

/// The part of the daemons that speaks, for `[log.targets]`.
const TARGET: &str = "router";

/// Logs as the settings say from now on.
pub(crate) fn begin(settings: &Settings) {
    let format = match settings.log.format {
        LogFormat::Auto => logging::Format::Auto,
        LogFormat::Text => logging::Format::Text,
        LogFormat::Json => logging::Format::Json,
        LogFormat::Journald => logging::Format::Journald,
    };
    logging::begin("router", format);
    set_levels(&settings.log.levels());
}

/// Logs what these levels ask for from now on: `info,imap=debug`.
pub(crate) fn set_levels(text: &str) {
    match text.parse() {
        Ok(levels) => logging::set_levels(levels),
        Err(error) => event(Level::Error, "log-levels-kept", &[("why", &error)]),
    }
}

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
