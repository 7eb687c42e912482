//! Tells whether a process named in the table still is the one that was meant.
//!
//! A pid alone comes back with another process (in a container quickly, even for the router itself); a pid with
//! its start time does not.

use std::fs;

/// A process: its pid and when it started, in clock ticks since boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// Process number.
    pub pid: u32,
    /// Start time in clock ticks since boot, 0 when it could not be learnt.
    pub start_ticks: u64,
}

impl Process {
    /// The calling process.
    pub fn current() -> Process {
        let pid = std::process::id();
        Process { pid, start_ticks: process_start_ticks(pid).unwrap_or(0) }
    }

    /// True while that very process runs. A zombie does not run.
    pub fn is_alive(&self) -> bool {
        self.pid != 0 && process_start_ticks(self.pid).is_some_and(|ticks| ticks == self.start_ticks)
    }
}

/// When process `pid` started, in clock ticks since boot; `None` if there is no such process or it is a zombie.
pub fn process_start_ticks(pid: u32) -> Option<u64> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command's name is in parentheses and may hold anything, so count from the last one.
    let after_name = &line[line.rfind(')')? + 1..];
    let mut fields = after_name.split_ascii_whitespace();
    let state = fields.next()?;
    if state == "Z" || state == "X" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_itself_and_not_a_stranger_with_its_pid() {
        let own = Process::current();
        assert!(own.is_alive());
        assert!(!Process { pid: own.pid, start_ticks: own.start_ticks + 1 }.is_alive());
        assert!(!Process { pid: 0, start_ticks: 0 }.is_alive());
    }
}
