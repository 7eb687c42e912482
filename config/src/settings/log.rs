//! `[log]`: what is logged, and in what form.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Targets that may have a level of their own.
const TARGETS_MAX: usize = 64;
/// The longest name of a target, in octets.
const TARGET_OCTETS_MAX: usize = 64;

/// `[log]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// How lines are written.
    pub format: LogFormat,
    /// The least important events that are logged.
    pub level: LogLevel,
    /// Other levels for single parts of the daemons, and what is below them.
    pub targets: BTreeMap<String, LogLevel>,
}

/// How lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Entries of systemd's journal if standard error leads there, else text.
    #[default]
    Auto,
    /// `level event key=value …`.
    Text,
    /// One JSON object a line.
    Json,
    /// Entries of systemd's journal.
    Journald,
}

impl LogFormat {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            LogFormat::Auto => "auto",
            LogFormat::Text => "text",
            LogFormat::Json => "json",
            LogFormat::Journald => "journald",
        }
    }
}

/// How much an event matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Something failed that should not.
    Error,
    /// Somebody should look some time.
    Warning,
    /// What happens every day.
    #[default]
    Info,
    /// What helps to find a fault.
    Debug,
}

impl LogLevel {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            LogLevel::Error => "error",
            LogLevel::Warning => "warning",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
        }
    }

    /// The level of that name.
    pub fn from_name(name: &str) -> Option<LogLevel> {
        let all = [LogLevel::Error, LogLevel::Warning, LogLevel::Info, LogLevel::Debug];
        all.into_iter().find(|level| level.name() == name)
    }
}

impl Log {
    /// All levels as one text: `info,imap=debug`.
    pub fn levels(&self) -> String {
        let targets = self.targets.iter().map(|(target, level)| format!(",{target}={}", level.name()));
        std::iter::once(self.level.name().to_owned()).chain(targets).collect()
    }

    pub(super) fn check(&self, problems: &mut Vec<String>) {
        if self.targets.len() > TARGETS_MAX {
            problems.push(format!("[log.targets] has more than {TARGETS_MAX} targets: name fewer"));
        }
        let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'_' || octet == b':';
        for target in self.targets.keys() {
            let is_name =
                !target.is_empty() && target.len() <= TARGET_OCTETS_MAX && target.bytes().all(is_plain);
            if !is_name {
                problems.push(format!(
                    "[log.targets] has `{target}`, which is no target: write `imap`, `imap::login`, `audit`, `router`"
                ));
            }
        }
    }
}
