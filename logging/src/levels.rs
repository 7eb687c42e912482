//! Which events are logged: a level for all, and others for single targets.

use std::fmt;
use std::str::FromStr;

/// Targets that may have a level of their own; more is somebody's mistake.
const TARGETS_MAX: usize = 64;
/// The longest name of a target, in octets.
const TARGET_OCTETS_MAX: usize = 64;

/// How much an event matters. The numbers are those of syslog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Something failed that should not.
    Error = 3,
    /// Somebody should look some time.
    Warn = 4,
    /// What happens every day: logins, deliveries.
    Info = 6,
    /// What helps to find a fault.
    Debug = 7,
}

impl Level {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warn => "warning",
            Level::Info => "info",
            Level::Debug => "debug",
        }
    }

    /// The level of that name.
    pub fn from_name(name: &str) -> Option<Level> {
        match name {
            "error" => Some(Level::Error),
            "warning" | "warn" => Some(Level::Warn),
            "info" => Some(Level::Info),
            "debug" => Some(Level::Debug),
            _ => None,
        }
    }
}

/// A text that says no level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoLevels(String);

impl fmt::Display for NoLevels {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?} is no level: write error, warning, info or debug, or TARGET=LEVEL", self.0)
    }
}

impl std::error::Error for NoLevels {}

/// The least important level that is logged, of each target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Levels {
    all: Level,
    targets: Vec<(String, Level)>,
}

impl Levels {
    /// One level for everything.
    pub const fn all(level: Level) -> Levels {
        Levels { all: level, targets: Vec::new() }
    }

    /// Changes the level of one target and what is below it (`imap` has `imap::login` below it), or of all that have none of their own. A target too
    /// many is left out.
    pub fn set(&mut self, target: Option<&str>, level: Level) {
        let Some(target) = target else {
            self.all = level;
            return;
        };
        let place = self.targets.iter().position(|(known, _)| known == target);
        match place {
            Some(place) => self.targets[place].1 = level,
            None if self.targets.len() < TARGETS_MAX => self.targets.push((target.to_owned(), level)),
            None => {}
        }
    }

    /// Reads `LEVEL` or `TARGET=LEVEL`.
    ///
    /// # Errors
    /// Neither is there.
    pub fn parse_one(text: &str) -> Result<(Option<&str>, Level), NoLevels> {
        let fault = || NoLevels(text.chars().take(TARGET_OCTETS_MAX).collect());
        let (target, level) = match text.split_once('=') {
            Some((target, level)) => (Some(target), level),
            None => (None, text),
        };
        let is_name = |name: &str| {
            let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'_' || octet == b':';
            !name.is_empty() && name.len() <= TARGET_OCTETS_MAX && name.bytes().all(is_plain)
        };
        if target.is_some_and(|target| !is_name(target)) {
            return Err(fault());
        }
        Ok((target, Level::from_name(level).ok_or_else(fault)?))
    }

    /// Whether an event is logged: the longest target that it is at or below decides.
    pub(crate) fn wants(&self, level: Level, target: &str) -> bool {
        let above = |known: &str| {
            target.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        };
        let nearest =
            self.targets.iter().filter(|(known, _)| above(known)).max_by_key(|(known, _)| known.len());
        level <= nearest.map_or(self.all, |(_, level)| *level)
    }

    /// The least important level that any target wants.
    pub(crate) fn most(&self) -> Level {
        self.targets.iter().map(|(_, level)| *level).fold(self.all, Level::max)
    }
}

impl FromStr for Levels {
    type Err = NoLevels;

    /// Levels with commas between them, as `info,imap=debug`.
    fn from_str(text: &str) -> Result<Levels, NoLevels> {
        let mut levels = Levels::all(Level::Info);
        for one in text.split(',').filter(|one| !one.is_empty()) {
            let (target, level) = Levels::parse_one(one)?;
            levels.set(target, level);
        }
        Ok(levels)
    }
}

impl fmt::Display for Levels {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.all.name())?;
        self.targets.iter().try_for_each(|(target, level)| write!(out, ",{target}={}", level.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_target_decides() {
        let levels: Levels = "warn,imap=debug,imap::login=error,audit=info".parse().unwrap();
        for (level, target, wanted) in [
            (Level::Warn, "session", true),
            (Level::Info, "session", false),
            (Level::Debug, "imap", true),
            (Level::Debug, "imap::fetch::message", true),
            (Level::Info, "imap::login", false),
            (Level::Error, "imap::login", true),
            (Level::Info, "imaps", false),
            (Level::Info, "audit", true),
        ] {
            assert_eq!(levels.wants(level, target), wanted, "{level:?} {target}");
        }
        assert_eq!(levels.most(), Level::Debug);
        assert_eq!(levels.to_string().parse(), Ok(levels));
    }

    #[test]
    fn what_is_no_level_is_refused() {
        for text in
            ["loud", "imap=", "=info", "imap=loud", "a b=info", "info,x", &format!("{}=info", "x".repeat(65))]
        {
            assert!(text.parse::<Levels>().is_err(), "{text}");
        }
        assert_eq!("".parse(), Ok(Levels::all(Level::Info)));
    }

    #[test]
    fn targets_are_bounded() {
        let mut levels = Levels::all(Level::Info);
        for number in 0..1000 {
            levels.set(Some(&format!("t{number}")), Level::Debug);
        }
        assert_eq!(levels.targets.len(), TARGETS_MAX);
        levels.set(Some("t0"), Level::Error);
        assert!(!levels.wants(Level::Warn, "t0"));
    }
}
