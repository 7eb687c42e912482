//! What a client is sent, deflated.

use miniz_oxide::MZFlush;
use miniz_oxide::deflate::core::{CompressorOxide, create_comp_flags_from_zip_params};
use miniz_oxide::deflate::stream::deflate;

/// Replies repeat themselves so much that looking for longer repetitions gains little.
const LEVEL: i32 = 3;
/// The window bits of a raw stream, as zlib counts them.
const RAW: i32 = -15;
/// Room for what is deflated that is made at a time, in octets.
const ROOM_OCTETS: usize = 8 * 1024;
/// The most that a stored block can hold, in octets.
const STORED_MAX: usize = 0xffff;
/// The capacity that the emptied buffer may keep while its session runs, in octets.
const KEPT_CAPACITY_OCTETS: usize = 64 * 1024;

/// The way out.
#[derive(Default)]
pub(crate) struct Deflater {
    /// Remembers what the client has; made when there is something to send.
    core: Option<Box<CompressorOxide>>,
    wire: Vec<u8>,
    /// What of `wire` was sent.
    sent: usize,
    /// The compressor keeps something back until it is flushed.
    keeps_back: bool,
}

impl Deflater {
    /// Takes octets that are to be sent; most will stay in the compressor until [`Deflater::flush`].
    pub(crate) fn push(&mut self, octets: &[u8]) {
        self.keeps_back |= !octets.is_empty();
        self.run(octets, MZFlush::None);
    }

    /// As [`Deflater::push`], flushed; false if it did not become smaller, and then it is sent as it is.
    pub(crate) fn try_push(&mut self, octets: &[u8]) -> bool {
        self.flush();
        let before = self.wire.len();
        self.push(octets);
        self.flush();
        let is_smaller = self.wire.len() - before <= octets.len() - octets.len() / 16;
        if !is_smaller {
            self.wire.truncate(before);
            self.store(octets);
        }
        is_smaller
    }

    /// Takes octets that would not become smaller: they are sent in stored blocks. What the compressor remembers is no longer where it
    /// was, so it begins anew.
    pub(crate) fn store(&mut self, octets: &[u8]) {
        self.flush();
        self.core = None;
        for block in octets.chunks(STORED_MAX) {
            let length = block.len() as u16;
            self.wire.push(0);
            self.wire.extend_from_slice(&length.to_le_bytes());
            self.wire.extend_from_slice(&(!length).to_le_bytes());
            self.wire.extend_from_slice(block);
        }
    }

    /// Makes all that was taken readable for the client.
    pub(crate) fn flush(&mut self) {
        if std::mem::take(&mut self.keeps_back) {
            self.run(&[], MZFlush::Sync);
        }
    }

    /// Ends the stream.
    pub(crate) fn finish(&mut self) {
        self.run(&[], MZFlush::Finish);
        self.keeps_back = false;
        self.core = None;
    }

    /// What is ready to be sent.
    pub(crate) fn unsent(&self) -> &[u8] {
        &self.wire[self.sent..]
    }

    /// `octets` of that were sent.
    pub(crate) fn advance(&mut self, octets: usize) {
        self.sent += octets;
        if self.sent == self.wire.len() {
            self.sent = 0;
            self.wire.clear();
            if self.wire.capacity() > KEPT_CAPACITY_OCTETS {
                self.wire = Vec::new();
            }
        }
    }

    /// Whether nothing is on its way.
    pub(crate) fn is_empty(&self) -> bool {
        self.sent == self.wire.len() && !self.keeps_back
    }

    /// Lets go of what a silent session does not need.
    pub(crate) fn rest(&mut self) {
        if self.is_empty() {
            *self = Deflater::default();
        }
    }

    fn run(&mut self, mut octets: &[u8], flush: MZFlush) {
        let core = self.core.get_or_insert_with(|| {
            Box::new(CompressorOxide::new(create_comp_flags_from_zip_params(LEVEL, RAW, 0)))
        });
        loop {
            let before = self.wire.len();
            self.wire.resize(before + ROOM_OCTETS, 0);
            let done = deflate(core, octets, &mut self.wire[before..], flush);
            self.wire.truncate(before + done.bytes_written);
            octets = &octets[done.bytes_consumed..];
            // It is at an end only where it had room left; nothing to do is told as an error.
            if done.status.is_err() || done.bytes_written < ROOM_OCTETS && octets.is_empty() {
                return;
            }
        }
    }
}
