//! One line an event, on standard error, where systemd's journal picks it up: the level, the event, then `key=value`.

use std::fmt::Display;
use std::io::Write;

/// How much an event matters. The numbers are those of syslog, which the journal reads from `<n>`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Level {
    /// Something failed that should not.
    Error = 3,
    /// Somebody should look some time.
    Warning = 4,
    /// What happens every day: logins, deliveries.
    Info = 6,
}

/// Writes one line. Values with spaces or control characters are quoted.
pub(crate) fn write(level: Level, event: &str, fields: &[(&str, &dyn Display)]) {
    let word = match level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Info => "info",
    };
    let mut line = format!("{word} {event}");
    for (name, value) in fields {
        let value = value.to_string();
        line.push_str(&format!(" {name}="));
        if value.is_empty() || value.bytes().any(|octet| octet <= b' ' || octet == b'"' || octet == 127) {
            line.push_str(&format!("{value:?}"));
        } else {
            line.push_str(&value);
        }
    }
    line.push('\n');
    // With standard error gone there is nobody to tell.
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}

/// Logs an event of level error: `error!("event", key = value, …)`.
macro_rules! error {
    ($event:expr $(, $name:ident = $value:expr)* $(,)?) => {
        $crate::log::write($crate::log::Level::Error, $event, &[$((stringify!($name), &$value)),*])
    };
}

/// Logs an event of level warning.
macro_rules! warning {
    ($event:expr $(, $name:ident = $value:expr)* $(,)?) => {
        $crate::log::write($crate::log::Level::Warning, $event, &[$((stringify!($name), &$value)),*])
    };
}

/// Logs an event of level info.
macro_rules! info {
    ($event:expr $(, $name:ident = $value:expr)* $(,)?) => {
        $crate::log::write($crate::log::Level::Info, $event, &[$((stringify!($name), &$value)),*])
    };
}

pub(crate) use {error, info, warning};
