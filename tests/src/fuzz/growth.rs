//! Does the work grow with the input, or with its square?
//!
//! Input of one shape is made in two sizes, one sixteen times the other. Linear work costs the same for each octet of
//! both, quadratic work sixteen times as much; what lies between fails from [`FACTOR_MAX`] on. What is measured is the
//! time that the thread had a processor, so other load disturbs little; the least of several runs counts; and a shape
//! must exceed the factor each time it is tried.

use super::mutate::Mutator;
use super::{Target, seeds};
use crate::random::Random;
use nix::time::{ClockId, clock_gettime};
use protocol::imap::command::append::AppendPiece;
use protocol::imap::{Decoded, Decoder, Limits};
use std::fmt;
use std::time::{Duration, Instant};

/// How many times the small input the large one has.
const STEP: usize = 16;

/// How many times as much an octet of the large input may cost.
const FACTOR_MAX: f64 = 5.0;

/// How often a shape is tried before it fails.
const TRIES: usize = 4;

/// An input of any size: a head, pieces that are repeated, a tail.
#[derive(Clone, Debug)]
pub struct Shape {
    head: Vec<u8>,
    /// The first is repeated, then the second, each for its share of the size.
    pieces: Vec<Vec<u8>>,
    tail: Vec<u8>,
}

impl Shape {
    /// One piece again and again between head and tail.
    pub fn new(head: impl AsRef<[u8]>, piece: impl AsRef<[u8]>, tail: impl AsRef<[u8]>) -> Shape {
        let pieces = vec![piece.as_ref().to_vec()];
        Shape { head: head.as_ref().to_vec(), pieces, tail: tail.as_ref().to_vec() }
    }

    /// Another piece is repeated behind those there are; all get the same share of the size.
    pub fn then(mut self, piece: impl AsRef<[u8]>) -> Shape {
        self.pieces.push(piece.as_ref().to_vec());
        self
    }

    fn of_size(&self, octets: usize) -> Vec<u8> {
        let room = octets.saturating_sub(self.head.len() + self.tail.len()) / self.pieces.len();
        let mut input = self.head.clone();
        for piece in &self.pieces {
            input.extend(piece.repeat(room / piece.len().max(1)));
        }
        input.extend_from_slice(&self.tail);
        input
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "\"{}\"", self.head.escape_ascii())?;
        for piece in &self.pieces {
            write!(out, ", then again and again \"{}\"", piece.escape_ascii())?;
        }
        write!(out, ", then \"{}\"", self.tail.escape_ascii())
    }
}

/// Panics if `entry` costs more than about linear time for inputs of this shape. `octets` is the size of the large one.
pub fn check(name: &str, entry: fn(&[u8]), shape: &Shape, octets: usize) {
    let mut least = f64::INFINITY;
    for _ in 0..TRIES {
        least = least.min(factor(entry, shape, octets));
        if least <= FACTOR_MAX {
            return;
        }
    }
    panic!(
        "{name}: an octet costs {least:.1} times as much when there are {STEP} times as many, of {octets} octets in all: \
         {shape}",
    );
}

/// How many times as much an octet costs in the large input as in the small one.
fn factor(entry: fn(&[u8]), shape: &Shape, octets: usize) -> f64 {
    let (small, large) = (shape.of_size(octets / STEP), shape.of_size(octets));
    let cost = |input: &[u8], runs: usize| {
        let times = (0..runs).map(|_| {
            let start = processor_time();
            entry(input);
            processor_time().saturating_sub(start)
        });
        times.min().unwrap_or_default().as_secs_f64() / input.len().max(1) as f64
    };
    // A cost below what the clock tells well is taken as that.
    let floor = 20e-6 / small.len().max(1) as f64;
    let cost_small = cost(&small, 5).max(floor);
    let cost_large = cost(&large, 1);
    if cost_large / cost_small <= FACTOR_MAX {
        return cost_large / cost_small;
    }
    cost(&large, 3) / cost_small
}

fn processor_time() -> Duration {
    match clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID) {
        Ok(time) => time.into(),
        Err(error) => panic!("the thread's processor time: {error}"),
    }
}

/// Checks every seed of a target as the piece of a shape; and, as long as `LODE_FUZZ_SECONDS` says, shapes of random
/// pieces.
pub fn seeds_repeated(target: Target, octets: usize) {
    let seeds = seeds::of(&target);
    for seed in &seeds {
        check(target.name, target.entry, &Shape::new("", seed, ""), octets);
    }
    let Some(seconds) = super::seconds() else { return };
    let seed = crate::random::seed();
    let end = Instant::now() + Duration::from_secs(seconds);
    let mutator = Mutator::new(seeds, seeds::dictionary(&target));
    let mut random = Random::new(seed);
    while Instant::now() < end {
        // What the small input has for the most part must be pieces.
        let head = mutator.input(&mut random, octets / STEP / 4);
        let mut shape = Shape::new(head, random_piece(&mutator, &mut random), mutator.input(&mut random, 64));
        if random.below(2) == 0 {
            shape = shape.then(random_piece(&mutator, &mut random));
        }
        check(target.name, target.entry, &shape, octets);
    }
}

fn random_piece(mutator: &Mutator, random: &mut Random) -> Vec<u8> {
    if random.below(2) == 0 {
        return mutator.word(random).to_vec();
    }
    let mut piece = mutator.input(random, 4096);
    piece.drain(..random.below(piece.len()));
    piece.truncate(1 + random.below(48));
    piece
}

/// Decodes `octets` as what a client sends that has logged in, whose lines are the longest.
pub fn imap_logged_in(octets: &[u8]) {
    let mut decoder = Decoder::new(Limits::LOGGED_IN);
    let mut unread = octets;
    loop {
        let (consumed, decoded) = decoder.decode(unread);
        unread = &unread[consumed..];
        match decoded {
            Decoded::NeedMore | Decoded::Fatal(_) => return,
            Decoded::AppendPiece(AppendPiece::Literal(_)) => decoder.append_refuse(),
            Decoded::AppendBegin(_) | Decoded::AppendPiece(_) => {}
            Decoded::Continue | Decoded::Command(_) | Decoded::AppendEnd | Decoded::Bad(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linear(octets: &[u8]) {
        std::hint::black_box(
            octets.iter().fold(0_u64, |sum, &octet| sum.wrapping_mul(31) + u64::from(octet)),
        );
    }

    fn quadratic(octets: &[u8]) {
        (0..octets.len()).step_by(8).for_each(|end| linear(&octets[..end]));
    }

    #[test]
    fn tells_linear_from_quadratic() {
        let shape = Shape::new("head", "piece", "tail");
        check("linear", linear, &shape, 1 << 20);
        let caught = std::panic::catch_unwind(|| check("quadratic", quadratic, &shape, 1 << 14));
        assert!(caught.is_err());
    }

    #[test]
    fn sizes() {
        assert_eq!(Shape::new("ab", "xyz", "c").of_size(10), b"abxyzxyzc");
        assert_eq!(Shape::new("a", "x", "").then("yz").of_size(9), b"axxxxyzyz");
    }
}
