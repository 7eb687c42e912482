//! What a client sent, inflated piece by piece: never more than is asked for, however much it would become.

use std::fmt;

use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::core::inflate_flags::{
    TINFL_FLAG_HAS_MORE_INPUT, TINFL_FLAG_STOP_ON_BLOCK_BOUNDARY,
};
use miniz_oxide::inflate::core::{BlockBoundaryState, DecompressorOxide, decompress_with_limit};
use miniz_oxide::inflate::{TINFLStatus, decompress_to_vec_with_limit};

use crate::parked::next_stamp;

/// How far back a client may refer, in octets; a power of two.
const WINDOW_OCTETS: usize = 32 * 1024;
/// Octets that one call adds at most.
const PIECE_OCTETS: usize = 16 * 1024;
/// Blocks that one call goes through at most: they may be empty.
const BLOCKS_MAX: usize = 256;
/// The empty stored block of a sync flush, behind its three bits of header.
const SYNC_MARKER: [u8; 4] = [0, 0, 0xff, 0xff];

/// What came is no DEFLATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("the compressed octets make no sense")
    }
}

/// The way in.
#[derive(Default)]
pub(crate) struct Inflater {
    compressed: Vec<u8>,
    /// What of `compressed` was inflated.
    consumed: usize,
    state: State,
    /// Compression ends as soon as the block that has begun does.
    is_ending: bool,
    /// Another number whenever more came.
    stamp: u64,
}

/// Where in the client's stream it stands.
enum State {
    /// Between two blocks, with what stands before.
    Resting { boundary: BlockBoundaryState, history: History },
    /// On the way.
    Active(Box<Active>),
    /// Behind the last block.
    Ended,
}

impl Default for State {
    fn default() -> State {
        State::Resting { boundary: BlockBoundaryState::default(), history: History::Plain(Vec::new()) }
    }
}

/// The last octets that were inflated.
enum History {
    Plain(Vec<u8>),
    Deflated(Vec<u8>),
}

struct Active {
    core: DecompressorOxide,
    window: Vec<u8>,
    position: usize,
    /// Octets in the window that came from the client.
    filled: usize,
    /// All that came is between two blocks.
    is_at_boundary: bool,
    /// The block that has begun, or that ended last, had no octets.
    is_block_empty: bool,
    /// The last octet.
    last: u8,
}

impl Inflater {
    /// Adds what came.
    pub(crate) fn extend(&mut self, came: &[u8]) {
        if self.consumed > 0 {
            self.compressed.drain(..self.consumed);
            self.consumed = 0;
        }
        self.compressed.extend_from_slice(came);
        self.stamp = next_stamp();
    }

    /// Whether there is something to inflate.
    pub(crate) fn has_more(&self) -> bool {
        self.consumed < self.compressed.len()
            || matches!(&self.state, State::Active(active) if !active.is_at_boundary)
    }

    /// Appends a piece of what came to `into`, and stops behind a block that ends a line: what follows may be for a session that does
    /// not compress any more. True if there may be more without anything new from the client.
    ///
    /// # Errors
    /// [`Broken`]; nothing can come after that.
    pub(crate) fn inflate(&mut self, into: &mut Vec<u8>) -> Result<bool, Broken> {
        let mut left = PIECE_OCTETS;
        for _ in 0..BLOCKS_MAX {
            let input = &self.compressed[self.consumed..];
            let active = match &mut self.state {
                State::Ended if input.is_empty() => return Ok(false),
                State::Ended => return Err(Broken),
                State::Active(active) => active,
                State::Resting { .. } if input.is_empty() => return Ok(false),
                State::Resting { boundary, history } => {
                    let active = Active::wake(boundary, history)?;
                    self.state = State::Active(Box::new(active));
                    continue;
                }
            };
            if active.is_at_boundary && input.is_empty() {
                return Ok(false);
            }
            let before = left;
            let (status, taken) = active.step(input, &mut left, into);
            self.consumed += taken;
            if self.is_ending && left < before {
                return Err(Broken);
            }
            match status {
                TINFLStatus::BlockBoundary => {
                    let is_line_end = left < PIECE_OCTETS && active.last == b'\n';
                    if is_line_end && !active.is_before_marker(&self.compressed[self.consumed..])
                        || self.is_ending
                    {
                        return Ok(true);
                    }
                }
                // What is behind it may be for a session that does not compress any more.
                TINFLStatus::Done => {
                    self.state = State::Ended;
                    return Ok(true);
                }
                TINFLStatus::HasMoreOutput if left == 0 => return Ok(true),
                TINFLStatus::HasMoreOutput => {}
                TINFLStatus::NeedsMoreInput => return Ok(false),
                _ => return Err(Broken),
            }
        }
        Ok(true)
    }

    /// The client compresses no more behind the command that was read last (RFC 8437, 3). What is behind it, once all that belongs to
    /// the compressed stream has come; `None` until then.
    pub(crate) fn end(&mut self) -> Result<Option<Vec<u8>>, Broken> {
        while !self.is_whole() {
            self.is_ending = true;
            let before = self.consumed;
            self.inflate(&mut Vec::new())?;
            if self.consumed == before {
                return Ok(None);
            }
        }
        Ok(Some(self.compressed.split_off(self.consumed)))
    }

    /// Whether the stream may end here: behind its last block, or behind the empty one of a flush.
    fn is_whole(&self) -> bool {
        match &self.state {
            State::Ended | State::Resting { .. } => true,
            State::Active(active) => active.is_at_boundary && active.is_block_empty,
        }
    }

    /// Whether all that came was inflated and ends between two blocks: then it can be kept for another handler.
    pub(crate) fn can_be_kept(&self) -> bool {
        let is_between = match &self.state {
            State::Resting { .. } => true,
            State::Active(active) => active.is_at_boundary,
            State::Ended => false,
        };
        is_between && !self.is_ending && self.consumed == self.compressed.len()
    }

    /// A number that is another whenever more came. Never 0.
    pub(crate) fn stamp(&self) -> u64 {
        self.stamp.max(1)
    }

    /// What is to be kept of it: bits of the last octet that belong to the next block, and what may be referred to. `None` in the middle of a
    /// block.
    pub(crate) fn keep(&self) -> Option<Vec<u8>> {
        if !self.can_be_kept() {
            return None;
        }
        let (boundary, history) = match &self.state {
            State::Resting { boundary, history: History::Plain(octets) } => {
                (boundary.clone(), octets.clone())
            }
            State::Resting { boundary, history: History::Deflated(octets) } => {
                (boundary.clone(), decompress_to_vec_with_limit(octets, WINDOW_OCTETS).ok()?)
            }
            State::Active(active) => (active.core.block_boundary_state()?, active.octets()),
            State::Ended => return None,
        };
        Some([[boundary.num_bits, boundary.bit_buf].as_slice(), &history].concat())
    }

    /// What was kept so; `None` if it makes no sense.
    pub(crate) fn resume(kept: &[u8]) -> Option<Inflater> {
        let (&[num_bits, bit_buf], history) = kept.split_first_chunk()?;
        if num_bits > 7 || u32::from(bit_buf) >> num_bits != 0 || history.len() > WINDOW_OCTETS {
            return None;
        }
        let boundary = BlockBoundaryState { num_bits, bit_buf, ..BlockBoundaryState::default() };
        let state = State::Resting { boundary, history: History::Plain(history.to_vec()) };
        Some(Inflater { state, ..Inflater::default() })
    }

    /// Lets go of what a silent session does not need.
    pub(crate) fn rest(&mut self) {
        if self.consumed == self.compressed.len() {
            self.compressed = Vec::new();
            self.consumed = 0;
        }
        if let State::Active(active) = &self.state
            && let Some(boundary) = active.core.block_boundary_state()
            && active.is_at_boundary
        {
            self.state = State::Resting { boundary, history: active.history() };
        }
    }

    /// Octets that are held.
    #[cfg(test)]
    pub(crate) fn held_octets(&self) -> usize {
        self.compressed.capacity()
            + match &self.state {
                State::Resting { history: History::Plain(octets) | History::Deflated(octets), .. } => {
                    octets.capacity()
                }
                State::Active(active) => active.window.capacity() + size_of::<Active>(),
                State::Ended => 0,
            }
    }
}

impl Active {
    fn wake(boundary: &BlockBoundaryState, history: &History) -> Result<Active, Broken> {
        let inflated;
        let octets = match history {
            History::Plain(octets) => octets,
            History::Deflated(octets) => {
                inflated = decompress_to_vec_with_limit(octets, WINDOW_OCTETS).map_err(|_| Broken)?;
                &inflated
            }
        };
        let mut window = vec![0; WINDOW_OCTETS];
        window[..octets.len()].copy_from_slice(octets);
        Ok(Active {
            core: DecompressorOxide::from_block_boundary_state(boundary),
            window,
            position: octets.len() % WINDOW_OCTETS,
            filled: octets.len(),
            is_at_boundary: true,
            is_block_empty: true,
            last: 0,
        })
    }

    /// Inflates up to the end of a block, of `left`, or of the window. What of the input was taken.
    fn step(&mut self, input: &[u8], left: &mut usize, into: &mut Vec<u8>) -> (TINFLStatus, usize) {
        let flags = TINFL_FLAG_HAS_MORE_INPUT | TINFL_FLAG_STOP_ON_BLOCK_BOUNDARY;
        let Active { core, window, position, .. } = self;
        let (status, taken, given) = decompress_with_limit(core, input, window, *position, *left, flags);
        into.extend_from_slice(&window[*position..*position + given]);
        let is_new_block = self.is_at_boundary && (taken > 0 || given > 0);
        self.is_block_empty = given == 0 && (is_new_block || self.is_block_empty);
        if given > 0 {
            self.last = self.window[self.position + given - 1];
        }
        self.position = (self.position + given) % WINDOW_OCTETS;
        self.filled = (self.filled + given).min(WINDOW_OCTETS);
        self.is_at_boundary =
            status == TINFLStatus::BlockBoundary || self.is_at_boundary && taken == 0 && given == 0;
        *left -= given;
        (status, taken)
    }

    /// Whether the empty block of a sync flush is next.
    fn is_before_marker(&self, next: &[u8]) -> bool {
        let Some(at) = self.core.block_boundary_state() else { return false };
        let marker = match at.num_bits {
            3.. if at.bit_buf & 7 == 0 => next,
            bits @ ..3 => match next.split_first() {
                Some((first, marker)) if (u16::from(at.bit_buf) | u16::from(*first) << bits) & 7 == 0 => {
                    marker
                }
                _ => return false,
            },
            _ => return false,
        };
        marker.starts_with(&SYNC_MARKER)
    }

    fn history(&self) -> History {
        let octets = self.octets();
        let mut deflated = compress_to_vec(&octets, 6);
        if deflated.len() < octets.len() {
            deflated.shrink_to_fit();
            History::Deflated(deflated)
        } else {
            History::Plain(octets)
        }
    }

    /// The last octets that were inflated, in order.
    fn octets(&self) -> Vec<u8> {
        let mut octets = Vec::with_capacity(self.filled);
        if self.filled == WINDOW_OCTETS {
            octets.extend_from_slice(&self.window[self.position..]);
            octets.extend_from_slice(&self.window[..self.position]);
        } else {
            octets.extend_from_slice(&self.window[..self.filled]);
        }
        octets
    }
}
