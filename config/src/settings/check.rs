//! Whether settings that are well formed can be used. Looks at the values alone, never at the machine, so that
//! `lode config check` says the same everywhere.

use std::collections::HashSet;
use std::path::Path;

use super::{Expire, Listen, Settings};

/// The longest path of a Unix socket (`sun_path` less its final zero).
const SOCKET_PATH_OCTETS_MAX: usize = 107;

/// What the runtime folder's own socket names need of that.
const SOCKET_NAME_OCTETS_MAX: usize = 24;

/// A week: a longer time limit is no limit, and a shorter one keeps every sum of times small.
const SECONDS_MAX: u32 = 7 * 86_400;

/// A hundred years: what is to be kept longer is not expunged.
const HISTORY_DAYS_MAX: u64 = 36_500;

impl Settings {
    /// Everything that is wrong with the values, one sentence each, naming the option and what to do; empty when
    /// they can be used.
    pub fn check(&self) -> Vec<String> {
        let mut problems = Vec::new();
        self.check_paths(&mut problems);
        self.check_listeners(&mut problems);
        self.check_ranges(&mut problems);
        self.check_names(&mut problems);
        self.log.check(&mut problems);
        problems
    }

    fn check_paths(&self, problems: &mut Vec<String>) {
        let paths = [
            ("[store] path", &self.store.path),
            ("[runtime] dir", &self.runtime.dir),
            ("[auth] users", &self.auth.users),
        ];
        for (option, path) in paths {
            if let Some(what) = path_problem(path) {
                problems.push(format!("{option} {what}"));
            }
        }
        let aliases = &self.lmtp.aliases;
        if let Some(what) = path_problem(aliases).filter(|_| !aliases.as_os_str().is_empty()) {
            problems.push(format!("[lmtp] aliases {what}"));
        }
        for (option, path) in self.tls.paths() {
            if let Some(what) = path_problem(path) {
                problems.push(format!("{option} {what}"));
            }
        }
        if self.tls.key.as_os_str().is_empty() == self.tls.is_on() {
            problems.push("[tls] certificate and key belong together: give both, or none".to_owned());
        }
        if !self.tls.more.is_empty() && !self.tls.is_on() {
            problems.push("[[tls.more]] comes after [tls] certificate and key: give those first".to_owned());
        }
        if self.runtime.dir.as_os_str().len() > SOCKET_PATH_OCTETS_MAX - SOCKET_NAME_OCTETS_MAX {
            problems.push(format!(
                "[runtime] dir is too long for the sockets in it: at most {} octets",
                SOCKET_PATH_OCTETS_MAX - SOCKET_NAME_OCTETS_MAX
            ));
        }
        if self.store.path == self.runtime.dir {
            problems.push("[store] path and [runtime] dir are the same folder: give each its own".to_owned());
        }
    }

    fn check_listeners(&self, problems: &mut Vec<String>) {
        let listen = &self.listen;
        let tcp_only = [
            ("imap", &listen.imap),
            ("imaps", &listen.imaps),
            ("pop3", &listen.pop3),
            ("pop3s", &listen.pop3s),
        ];
        for (option, list) in tcp_only {
            if list.iter().any(|address| matches!(address, Listen::Unix(_))) {
                problems.push(format!("[listen] {option} has a unix: address, which only lmtp may have"));
            }
        }
        for (option, list) in [("imaps", &listen.imaps), ("pop3s", &listen.pop3s)] {
            if !list.is_empty() && !self.tls.is_on() {
                problems
                    .push(format!("[listen] {option} needs a certificate: give [tls] certificate and key"));
            }
        }
        if tcp_only.iter().all(|(_, list)| list.is_empty()) && listen.lmtp.is_empty() {
            problems.push("[listen] is empty: give at least one address to imap, pop3 or lmtp".to_owned());
        }
        let mut seen = HashSet::new();
        for (option, list) in tcp_only.into_iter().chain([("lmtp", &listen.lmtp)]) {
            for address in list {
                // Port 0 lets the system choose, so two of them are two different addresses.
                let free_choice = matches!(address, Listen::Tcp(socket) if socket.port() == 0);
                if !free_choice && !seen.insert(address) {
                    problems.push(format!("[listen] {option} has {address}, which is already listened on"));
                }
                if let Listen::Unix(path) = address {
                    if let Some(what) = path_problem(path) {
                        problems.push(format!("[listen] {option} {what}"));
                    }
                    if path.as_os_str().len() > SOCKET_PATH_OCTETS_MAX {
                        problems.push(format!(
                            "[listen] {option}: the path of a unix socket may have {SOCKET_PATH_OCTETS_MAX} octets, \
                             {address} has more"
                        ));
                    }
                }
            }
        }
    }

    fn check_ranges(&self, problems: &mut Vec<String>) {
        let mut range = |option: &str, value: u64, least: u64, most: u64| {
            if value < least || value > most {
                problems.push(format!("{option} is {value}: it must be from {least} to {most}"));
            }
        };
        let seconds_max = u64::from(SECONDS_MAX);
        let limits = &self.limits;
        range("[handlers] max", self.handlers.max.into(), 1, 64);
        range("[handlers] sessions", self.handlers.sessions.into(), 1, 65_536);
        range("[auth] remember_seconds", self.auth.remember_seconds.into(), 0, seconds_max);
        range("[limits] imap_idle_seconds", limits.imap_idle_seconds.into(), 1, seconds_max);
        range("[limits] pop3_idle_seconds", limits.pop3_idle_seconds.into(), 1, seconds_max);
        range("[limits] lmtp_idle_seconds", limits.lmtp_idle_seconds.into(), 1, seconds_max);
        range("[limits] login_seconds", limits.login_seconds.into(), 1, seconds_max);
        range("[store] history_days", u64::from(self.store.history_days), 0, HISTORY_DAYS_MAX);
        range("[store] journal_days", u64::from(self.store.journal_days), 0, HISTORY_DAYS_MAX);
        range("[pop3] login_delay_seconds", self.pop3.login_delay_seconds.into(), 0, seconds_max);
        if let Expire::Days(days) = self.pop3.expire {
            range("[pop3] expire", days.into(), 0, HISTORY_DAYS_MAX);
        }
        range("[limits] message_bytes", limits.message_bytes, 1024, u64::from(u32::MAX));
        range("[limits] queue", limits.queue.into(), 0, 65_536);
        range("[limits] grace_seconds", limits.grace_seconds.into(), 0, 3600);
        limits.check_ranges(&mut range);
    }

    fn check_names(&self, problems: &mut Vec<String>) {
        if self.run.user.chars().any(|c| c.is_control() || c.is_whitespace() || c == ':' || c == '/') {
            problems.push("[run] user is not a user name of this system".to_owned());
        }
        for (option, users) in
            [("submitters", &self.auth.submitters), ("administrators", &self.auth.administrators)]
        {
            for user in users {
                if !crate::users::user_name(user).is_ok_and(|name| name == *user) {
                    problems.push(format!("[auth] {option} has `{user}`, which is no name of a user: write it as the users file does"));
                }
            }
        }
        let url = &self.auth.administrator_url;
        let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
        let is_uri = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
            && url.chars().all(|c| c.is_ascii_graphic());
        if !url.is_empty() && !is_uri {
            problems.push(format!("[auth] administrator_url is `{url}`, which is no URI: write for example \"mailto:postmaster@example.org\""));
        }
        for (user, server) in &self.auth.referrals {
            if !crate::users::user_name(user).is_ok_and(|name| name == *user) {
                problems.push(format!("[auth.referrals] has `{user}`, which is no name of a user: write it as the users file does"));
            }
            let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '[' | ']' | ':');
            if server.is_empty() || !server.chars().all(known) {
                problems.push(format!(
                    "[auth.referrals] has `{server}`, which is no server: write \"imap.example.org\" or \"imap.example.org:1143\""
                ));
            }
        }
        let is_delimiter = |c: char| {
            c.is_ascii_punctuation() && !matches!(c, '@' | '.' | '"' | '\\' | '<' | '>' | '(' | ')' | '/')
        };
        if !self.lmtp.delimiter.chars().all(is_delimiter) {
            problems.push(format!(
                "[lmtp] delimiter is `{}`: write characters like \"+\", \"-\" or \"+-\", or none",
                self.lmtp.delimiter
            ));
        }
        if self.lmtp.catch_all.contains(|c: char| c.is_control() || c.is_whitespace() || c == ',') {
            problems.push(format!(
                "[lmtp] catch_all is `{}`: write one address, or an alias for several",
                self.lmtp.catch_all
            ));
        }
        for domain in &self.lmtp.domains {
            let known = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_' | '[' | ']' | ':');
            if domain.is_empty() || domain.starts_with('.') || !domain.chars().all(known) {
                problems.push(format!(
                    "[lmtp] domains has `{domain}`, which is not a domain: write \"example.org\""
                ));
            }
        }
    }
}

/// What is wrong with a path, as the end of a sentence about it.
fn path_problem(path: &Path) -> Option<String> {
    if path.as_os_str().is_empty() {
        Some("is empty: give an absolute path".to_owned())
    } else if !path.is_absolute() {
        Some(format!("is `{}`: give an absolute path, a daemon has no folder of its own", path.display()))
    } else if path.to_str().is_none_or(|text| text.contains(char::is_control)) {
        Some("has a control character or is not UTF-8".to_owned())
    } else {
        None
    }
}
