//! How much room files take ahead of what is in them. A simulated disk has small ones, so that its files stay small; nothing that is stored
//! depends on them.

/// Steps and limits, all in octets but the last three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Of a message that comes in, so many octets are gathered in memory; a longer one is written as it comes.
    pub gathered_most_bytes: usize,
    /// A log that has grown to this is not appended to any more.
    pub log_full_bytes: u64,
    /// Zeros are written, or extents reserved, so far ahead at least, in a log that has just been made …
    pub zero_ahead_least_bytes: u64,
    /// … and so far at most with zeros, in one that has grown to that, …
    pub zero_ahead_most_bytes: u64,
    /// … or with reserved extents.
    pub reserved_ahead_most_bytes: u64,
    /// A mapped file grows by half of what there is, but by so much at least, a multiple of 4,096 …
    pub mapping_step_least_bytes: u64,
    /// … and by so much at most.
    pub mapping_step_most_bytes: u64,
    /// A new directory has room for so many cells.
    pub directory_first_cells: u64,
    /// So many directory cells are skipped after a power cut: they may have been given out.
    pub directory_cells_skipped: u32,
    /// A file of annotations is made anew when so many octets of it do not count, and they outweigh the others.
    pub annotations_replaced_least_bytes: u64,
    /// A rebuild has so many changes in memory at one time, or a little more.
    pub rebuild_changes_at_once: u64,
}

impl Sizes {
    /// Those of a real disk.
    pub const REAL: Sizes = Sizes {
        gathered_most_bytes: 128 << 10,
        log_full_bytes: 256 << 20,
        zero_ahead_least_bytes: 256 << 10,
        zero_ahead_most_bytes: 1 << 20,
        reserved_ahead_most_bytes: 16 << 20,
        mapping_step_least_bytes: 4096,
        mapping_step_most_bytes: 1 << 20,
        directory_first_cells: 960,
        directory_cells_skipped: 1 << 16,
        annotations_replaced_least_bytes: 256 << 10,
        rebuild_changes_at_once: 1 << 20,
    };

    /// Those of a simulated disk: a store with some mail is some 100 KiB long.
    pub const SMALL: Sizes = Sizes {
        gathered_most_bytes: 2 << 10,
        log_full_bytes: 64 << 10,
        zero_ahead_least_bytes: 2 << 10,
        zero_ahead_most_bytes: 8 << 10,
        reserved_ahead_most_bytes: 16 << 10,
        mapping_step_least_bytes: 4096,
        mapping_step_most_bytes: 4096,
        directory_first_cells: 64,
        directory_cells_skipped: 256,
        annotations_replaced_least_bytes: 1 << 10,
        rebuild_changes_at_once: 500,
    };
}
