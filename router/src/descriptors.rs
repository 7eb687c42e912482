//! How many descriptors there are, and for what: a pure account, and the one that is kept in reserve.
//!
//! Handlers have the router's own limit. A handler needs one for each session and some for the store; the router one for each
//! session that it keeps for adoption, each connection that waits, and some for itself. Where the limit is too low for what the
//! settings allow, fewer sessions go to a handler, and fewer sockets are kept: a connection waits or is told, and none is lost on its way.

use std::fs::File;

/// What a handler needs beside its sessions: files of the store, the table, channel and threads. The store keeps more open where there is
/// room, and gives it back where there is not.
const HANDLER_OWN: u64 = 300;
/// What the router needs beside connections.
const ROUTER_OWN: u64 = 64;
/// Descriptors of each handler in the router: channel, process, eventfd, and those on their way.
const OF_A_HANDLER: u64 = 8;

/// For what descriptors are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Budget {
    /// Sessions that a handler may have.
    pub(crate) sessions_each: u32,
    /// Sockets that are kept for sessions that handlers have.
    pub(crate) kept_most: usize,
}

impl Budget {
    /// For a limit of descriptors, so many handlers of so many sessions, and so many connections that may wait.
    pub(crate) fn of(limit: u64, handlers: u32, sessions: u32, queue: u32) -> Budget {
        // Each handler is given an eventfd for every row.
        let own = (HANDLER_OWN + u64::from(handlers)).min(limit / 2);
        let waiting = u64::from(queue).min(limit / 4);
        let routers = (ROUTER_OWN + OF_A_HANDLER * u64::from(handlers)).min(limit / 4) + waiting;
        Budget {
            sessions_each: u32::try_from(limit - own).unwrap_or(u32::MAX).clamp(1, sessions),
            kept_most: usize::try_from(limit - routers).unwrap_or(usize::MAX),
        }
    }

    /// What is less than the settings allow, in words; `None` if nothing is.
    pub(crate) fn shortage(self, handlers: u32, sessions: u32) -> Option<String> {
        let all = handlers as usize * sessions as usize;
        let mut words = Vec::new();
        if self.sessions_each < sessions {
            words.push(format!("a handler gets {} sessions instead of {sessions}", self.sessions_each));
        }
        if self.kept_most < all {
            words.push(format!("{} sessions of {all} can go on when their handler dies", self.kept_most));
        }
        (!words.is_empty()).then(|| format!("{}: raise LimitNOFILE", words.join(", ")))
    }
}

/// One descriptor, kept to tell connections that there is no other.
#[derive(Debug)]
pub(crate) struct Reserve(Option<File>);

impl Reserve {
    /// Takes it.
    pub(crate) fn take() -> Reserve {
        Reserve(File::open("/dev/null").ok())
    }

    /// Runs `work` while the descriptor is free. False, and nothing done, if it was not there.
    pub(crate) fn lend(&mut self, work: impl FnOnce()) -> bool {
        let is_there = self.0.take().is_some();
        if is_there {
            work();
        }
        *self = Reserve::take();
        is_there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_enough_descriptors_all_is_as_the_settings_say() {
        let budget = Budget::of(524_288, 16, 1000, 1024);
        assert_eq!(budget.sessions_each, 1000);
        assert!(budget.kept_most >= 16_000);
        assert_eq!(budget.shortage(16, 1000), None);
    }

    #[test]
    fn with_few_there_are_fewer_sessions_and_never_none() {
        let budget = Budget::of(1024, 16, 1000, 1024);
        assert_eq!(budget.sessions_each, 708);
        assert!((256..1024).contains(&budget.kept_most), "{budget:?}");
        let words = budget.shortage(16, 1000).expect("a shortage");
        assert!(words.contains("708 sessions instead of 1000") && words.contains("LimitNOFILE"), "{words}");
        for limit in 0..200 {
            let budget = Budget::of(limit, 64, 1000, 1024);
            assert!((1..=1000).contains(&budget.sessions_each) && budget.kept_most <= limit as usize);
        }
    }

    #[test]
    fn the_reserve_is_lent_and_taken_back() {
        let mut reserve = Reserve::take();
        let mut lent = 0;
        assert!(reserve.lend(|| lent += 1) && reserve.lend(|| lent += 1));
        assert_eq!(lent, 2);
    }
}
