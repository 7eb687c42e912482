//! What the kernel counts.

/// What the kernel says that this process had written, in octets (`write_bytes` of `/proc/self/io`: pages made dirty).
pub(crate) fn made_dirty() -> u64 {
    let text = std::fs::read_to_string("/proc/self/io").expect("readable");
    let line = text.lines().find_map(|line| line.strip_prefix("write_bytes: ")).expect("there");
    line.parse().expect("a number")
}

/// What the block device under the folder of tests has written, in octets.
pub(crate) fn written_to_disk() -> u64 {
    let text = std::fs::read_to_string("/proc/diskstats").expect("readable");
    let device = std::env::var("LODE_DEVICE").unwrap_or_else(|_| "vda".to_string());
    let row = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let row = row.into_iter().find(|row| row.get(2) == Some(&device.as_str()));
    row.and_then(|row| row.get(9)?.parse::<u64>().ok()).unwrap_or(0) * 512
}

/// The proportional set size of this process, in octets.
pub(crate) fn memory() -> u64 {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Nanoseconds for which this thread has had a processor.
pub(crate) fn processor_time_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Microseconds for which threads of this process have had a processor, in steps of 10 ms.
pub(crate) fn process_time_us() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |place: usize| fields.get(place).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) * 10_000.0
}
