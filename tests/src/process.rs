//! What `/proc` says about the server's processes.

use std::fs;

/// The children of a process, oldest first.
pub fn children(parent: u32) -> Vec<u32> {
    let mut found: Vec<(u64, u32)> = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Some(fields) = stat(pid) else { continue };
        // Behind the name: state, ppid, …, and the start time is field 22 of the whole line.
        if fields.first().is_some_and(|state| state != "Z")
            && fields.get(1).is_some_and(|ppid| *ppid == parent.to_string())
        {
            found.push((fields.get(19).and_then(|ticks| ticks.parse().ok()).unwrap_or(0), pid));
        }
    }
    found.sort_unstable();
    found.into_iter().map(|(_, pid)| pid).collect()
}

/// Whether a process is there and not a zombie.
pub fn alive(pid: u32) -> bool {
    stat(pid).and_then(|fields| fields.first().cloned()).is_some_and(|state| state != "Z" && state != "X")
}

/// Proportional set size of the processes together, in octets.
pub fn pss(pids: &[u32]) -> u64 {
    pids.iter().map(|pid| smaps(*pid, "Pss:")).sum()
}

/// The part of [`pss`] that is no file's: what the processes allocated.
pub fn pss_anonymous(pids: &[u32]) -> u64 {
    pids.iter().map(|pid| smaps(*pid, "Pss_Anon:")).sum()
}

/// Number of open file descriptors.
pub fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// Processor time used so far, in seconds.
pub fn cpu_seconds(pid: u32) -> f64 {
    let fields = stat(pid).unwrap_or_default();
    let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

fn smaps(pid: u32, field: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_string).collect())
}
