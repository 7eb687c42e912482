//! New settings on SIGHUP: checked first; a file that is wrong changes nothing.

use crate::log::{self, Level, event};
use crate::server::Server;
use config::{LogLevel, Settings};
use logging::Levels;
use shm_abi::ToHandler;

impl Server {
    /// Reads the settings again and tells the handlers; the error is what the log says.
    pub(crate) fn reload(&mut self) -> Result<(), String> {
        self.notify.reloading();
        let done = self.read_settings();
        self.notify.ready();
        done
    }

    fn read_settings(&mut self) -> Result<(), String> {
        let new = match Settings::load(&self.settings_path) {
            Ok(new) => new,
            Err(error) => {
                event(Level::Error, "settings-kept", &[("why", &error)]);
                return Err(error.to_string());
            }
        };
        for option in needing_restart(&self.settings, &new) {
            event(Level::Warn, "setting-needs-restart", &[("option", &option)]);
        }
        logging::begin_as("router", new.log.format.name(), &new.log.levels());
        self.settings = new;
        self.begin_metrics();
        let settings_text = self.settings.to_text();
        for (handler, running) in self.handlers.iter_mut().enumerate() {
            if let Some(running) = running
                && let Err(error) = running.tell(ToHandler::Reload { settings_text: settings_text.clone() })
            {
                event(Level::Error, "reload-failed", &[("handler", &handler), ("why", &error)]);
            }
        }
        self.reload_tls();
        event(Level::Info, "settings-read", &[("file", &self.settings_path.display())]);
        Ok(())
    }

    /// Changes what is logged until the settings are read again, here and in all handlers, also those that are started later; the levels
    /// in force, or what is wrong with the change.
    pub(crate) fn change_log_level(&mut self, change: Option<&str>) -> Result<String, String> {
        let Some(change) = change else { return Ok(self.settings.log.levels()) };
        let (target, level) = Levels::parse_one(change).map_err(|error| error.to_string())?;
        let level = LogLevel::from_name(level.name()).unwrap_or_default();
        let mut new = self.settings.clone();
        match target {
            Some(target) => drop(new.log.targets.insert(target.to_owned(), level)),
            None => new.log.level = level,
        }
        // Only a target too many can be wrong with it.
        if let Some(problem) = new.check().into_iter().next() {
            return Err(problem);
        }
        self.settings = new;
        let levels = self.settings.log.levels();
        logging::take_levels(&levels);
        for (handler, running) in self.handlers.iter_mut().enumerate() {
            if let Some(running) = running
                && let Err(error) = running.tell(ToHandler::SetLogLevels { levels: levels.clone() })
            {
                event(Level::Error, "log-level-failed", &[("handler", &handler), ("why", &error)]);
            }
        }
        log::audit("log-levels", &[("levels", &levels)]);
        Ok(levels)
    }
}

/// Options that differ and that this process cannot change any more: sockets are bound and the table is made.
fn needing_restart(old: &Settings, new: &Settings) -> Vec<&'static str> {
    let differ = [
        ("store.path", old.store != new.store),
        ("runtime.dir", old.runtime != new.runtime),
        ("listen", old.listen != new.listen),
        ("handlers", old.handlers != new.handlers),
        ("run.user", old.run != new.run),
    ];
    differ.into_iter().filter_map(|(option, differs)| differs.then_some(option)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_a_restart_is_named() {
        let old = Settings::default();
        let mut new = old.clone();
        new.limits.queue += 1;
        assert_eq!(needing_restart(&old, &new), Vec::<&str>::new());
        new.handlers.max += 1;
        new.listen.imap.clear();
        assert_eq!(needing_restart(&old, &new), ["listen", "handlers"]);
    }
}
