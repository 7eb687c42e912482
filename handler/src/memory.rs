//! How much memory sessions hold, and what becomes of those that hold too much.
//!
//! A session is charged with what its turns allocated less what they freed, as the allocator counts for each thread. Other threads
//! free some of that (a commit, the caches of the store), so the account of a session that lives long runs ahead of the truth:
//! whenever it waits for its client it is brought back to half of the limit at the most, for what a session holds between
//! commands is limited by structure. So it is one command that is stopped for what it takes, never a long life.
//!
//! For the handler as a whole the kernel is asked: anonymous memory, which is what a limit on the process is about. Above
//! `limits.handler_memory`, or nine tenths of what the control group may have, the session with the largest account ends, if it is sessions
//! that hold it.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use config::settings::Limits;
use config::{Amount, Settings};

use crate::allocator;
use crate::log;
use crate::orders::Order;
use crate::shared::Shared;
use crate::slots::SlotNumber;

/// What is said to a session that ends, and to who asked for too much.
pub(crate) const TOO_MUCH: &str = "This needs more memory than a session may have";
/// The same, when the handler has too little for all.
const TOO_MUCH_FOR_ALL: &str = "The server is short of memory";

/// No session is to end.
const NOBODY: u64 = u64::MAX;

/// The limits in force.
pub(crate) struct Memory {
    session_octets: AtomicU64,
    handler_octets: AtomicU64,
    cgroup_octets: u64,
    /// The session that is to end now: generation in the high half, slot in the low.
    victim: AtomicU64,
}

impl Memory {
    /// With the limits of the settings.
    pub(crate) fn new(settings: &Settings) -> Memory {
        let memory = Memory {
            session_octets: AtomicU64::new(u64::MAX),
            handler_octets: AtomicU64::new(u64::MAX),
            cgroup_octets: cgroup_limit().unwrap_or(u64::MAX),
            victim: AtomicU64::new(NOBODY),
        };
        memory.set(&settings.limits);
        memory
    }

    /// Takes new limits.
    pub(crate) fn set(&self, limits: &Limits) {
        let octets = |amount: Amount| match amount {
            Amount::Unlimited => u64::MAX,
            Amount::Most(octets) => octets,
        };
        self.session_octets.store(octets(limits.session_memory), Relaxed);
        self.handler_octets.store(octets(limits.handler_memory).min(self.cgroup_octets / 10 * 9), Relaxed);
    }

    /// Whether this session is to end to make room for the others.
    pub(crate) fn is_victim(&self, slot: SlotNumber, generation: u32) -> bool {
        self.victim.load(Relaxed) == name(slot, generation)
    }

    /// Looks at the whole handler; ends the session that holds most if it holds too much. Called about once a second.
    pub(crate) fn look(&self, shared: &Shared) {
        let most = self.handler_octets.load(Relaxed);
        if most == u64::MAX {
            return;
        }
        let Some(held) = anonymous_octets().filter(|held| *held > most) else {
            return self.victim.store(NOBODY, Relaxed);
        };
        allocator::give_back();
        let sessions = shared.accounts();
        let of_sessions: u64 = sessions.iter().map(|(.., octets)| octets).sum();
        let biggest = sessions.into_iter().max_by_key(|(.., octets)| *octets);
        // Where it is not sessions that hold it, the end of one would help nobody.
        let Some((slot, generation, octets)) = biggest.filter(|_| of_sessions > most / 2) else {
            log::warning!("short of memory", held = held, most = most, of_sessions = of_sessions);
            return self.victim.store(NOBODY, Relaxed);
        };
        log::warning!("short of memory", held = held, most = most, slot = slot, of_session = octets);
        self.victim.store(name(slot, generation), Relaxed);
        shared.orders.give(shared, slot, generation, Order::Leave(TOO_MUCH_FOR_ALL.into()));
    }
}

fn name(slot: SlotNumber, generation: u32) -> u64 {
    u64::from(generation) << 32 | u64::from(slot)
}

/// The account of one session.
#[derive(Debug)]
pub(crate) struct Account {
    octets: i64,
    /// What the thread's count was when the turn began.
    begin: i64,
}

impl Account {
    /// Of a session that holds so much when it begins.
    pub(crate) fn new(octets: usize) -> Account {
        Account { octets: octets as i64, begin: 0 }
    }

    /// A turn begins, on this thread.
    pub(crate) fn begin_turn(&mut self) {
        self.begin = allocator::allocated_by_this_thread();
    }

    /// What the session holds by now, in a turn.
    pub(crate) fn octets(&self) -> u64 {
        (self.octets + allocator::allocated_by_this_thread() - self.begin).max(0) as u64
    }

    /// Whether it is too much.
    pub(crate) fn is_above(&self, memory: &Memory) -> bool {
        self.octets() > memory.session_octets.load(Relaxed)
    }

    /// The session waits for its client: see the head of the file.
    pub(crate) fn settle(&mut self, memory: &Memory) {
        let most = memory.session_octets.load(Relaxed) / 2;
        let surplus = self.octets().saturating_sub(most);
        self.octets -= surplus as i64;
    }

    /// The turn ends; what the session holds.
    pub(crate) fn end_turn(&mut self) -> u64 {
        self.octets = self.octets() as i64;
        self.begin = allocator::allocated_by_this_thread();
        self.octets as u64
    }
}

/// Anonymous memory of this process, in octets, as the kernel has it.
fn anonymous_octets() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// What the control group of this process may have, if it has a limit.
fn cgroup_limit() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    fs::read_to_string(format!("/sys/fs/cgroup{own}/memory.max")).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(session_octets: u64) -> Memory {
        let limits = Limits { session_memory: Amount::Most(session_octets), ..Limits::default() };
        Memory::new(&Settings { limits, ..Settings::default() })
    }

    #[test]
    fn an_account_has_what_turns_left() {
        let memory = memory(1 << 20);
        let mut account = Account::new(100);
        account.begin_turn();
        let held: Vec<u8> = Vec::with_capacity(600_000);
        assert_eq!(account.octets(), 600_100);
        assert!(!account.is_above(&memory));
        let more: Vec<u8> = Vec::with_capacity(600_000);
        assert!(account.is_above(&memory));
        drop(more);
        assert_eq!(account.end_turn(), 600_100);
        // What the thread does between its turns is not the session's.
        let other: Vec<u8> = Vec::with_capacity(50_000);
        account.begin_turn();
        assert_eq!(account.octets(), 600_100);
        account.settle(&memory);
        assert_eq!(account.octets(), 1 << 19, "half of the limit");
        drop((held, other));
        assert_eq!(account.end_turn(), 0, "never below nothing");
    }

    #[test]
    fn the_kernel_tells_what_the_process_has() {
        let before = anonymous_octets().expect("a figure");
        let held = vec![1_u8; 64 << 20];
        assert!(anonymous_octets().expect("a figure") > before + (32 << 20), "{}", held.len());
    }
}
