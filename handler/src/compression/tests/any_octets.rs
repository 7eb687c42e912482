//! Whatever octets come, in whatever pieces, with rests and other handlers between: they inflate to the same, or are refused, and little is held.
//!
//! The same inputs each time; `LODE_FUZZ_SECONDS` makes others for so long, from `LODE_SEED` if that is set.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::{TINFLStatus, decompress_to_vec_with_limit};

use super::super::deflate::Deflater;
use super::super::inflate::{Broken, Inflater};
use super::{deflated, noise};

/// Inputs of the short form.
const INPUTS: u64 = 3000;
/// Octets that an input may become before it is given up: a bomb has its own test.
const INFLATED_MAX: usize = 1 << 20;
/// Octets that may be held beside what was not inflated yet.
const HELD_MAX: usize = 128 * 1024;

/// Numbers from a seed (xorshift).
struct Draw(u64);

impl Draw {
    fn new(seed: u64) -> Draw {
        Draw(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 16) % end as u64) as usize
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }
}

/// What clients could send: each kind of block, flushed or ended.
fn streams() -> Vec<Vec<u8>> {
    let lines = b"a1 UID FETCH 1:* (FLAGS UID)\r\na2 NOOP\r\n".repeat(40);
    let mixed = [&lines[..], &noise(3000), &lines].concat();
    let mut streams: Vec<Vec<u8>> = [0, 1, 6, 9].map(|level| compress_to_vec(&mixed, level)).to_vec();
    streams.push(compress_to_vec(&lines[..60], 9));
    streams.push(compress_to_vec(&noise(70_000), 0));
    let mut deflater = Deflater::default();
    let mut flushed = Vec::new();
    for round in 0..6 {
        flushed.extend(deflated(&mut deflater, format!("a{round} NOOP\r\n").as_bytes()));
        flushed.extend(deflated(&mut deflater, &lines[..100 * round]));
    }
    streams.push(flushed);
    streams
}

fn input(draw: &mut Draw, streams: &[Vec<u8>]) -> Vec<u8> {
    let mut octets = streams[draw.below(streams.len())].clone();
    for _ in 0..draw.below(6) {
        let at = draw.below(octets.len() + 1);
        match draw.below(6) {
            0 => octets.truncate(at),
            1 if at < octets.len() => octets[at] ^= 1 << draw.below(8),
            2 => octets.insert(at, draw.below(256) as u8),
            // The first octets have the kinds of blocks and their tables.
            3 if !octets.is_empty() => {
                let near = draw.below(octets.len().min(80));
                octets[near] = draw.below(256) as u8;
            }
            4 => {
                let end = (at + draw.below(40)).min(octets.len());
                octets.drain(at..end);
            }
            _ => {
                let other = &streams[draw.below(streams.len())];
                let from = draw.below(other.len());
                let end = (from + draw.below(200)).min(other.len());
                octets.splice(at..at, other[from..end].iter().copied());
            }
        }
    }
    octets
}

/// All that comes of the octets, and whether they were refused.
struct Run {
    inflated: Vec<u8>,
    end: Result<(), Broken>,
}

/// Inflates the octets in pieces of the sizes that `size` says, and does what `between` likes when there is nothing more to inflate.
fn run(octets: &[u8], mut size: impl FnMut() -> usize, mut between: impl FnMut(Inflater) -> Inflater) -> Run {
    let mut inflater = Inflater::default();
    let mut inflated = Vec::new();
    let mut rest = octets;
    while !rest.is_empty() && inflated.len() < INFLATED_MAX {
        let (piece, later) = rest.split_at(size().clamp(1, rest.len()));
        rest = later;
        inflater.extend(piece);
        loop {
            let before = inflated.len();
            match inflater.inflate(&mut inflated) {
                Ok(has_more) => {
                    assert!(inflated.len() - before <= 16 * 1024, "a piece is small");
                    assert!(inflater.held_octets() <= HELD_MAX + 2 * octets.len(), "little is held");
                    if !has_more || inflated.len() >= INFLATED_MAX {
                        break;
                    }
                }
                Err(broken) => return Run { inflated, end: Err(broken) },
            }
        }
        inflater = between(inflater);
    }
    Run { inflated, end: Ok(()) }
}

fn check(draw: &mut Draw, octets: &[u8]) {
    let whole = run(octets, || octets.len(), |inflater| inflater);
    let longest = 1 + draw.below(300);
    let mut sizes = Draw(draw.0);
    let pieces = run(
        octets,
        || 1 + sizes.below(longest),
        |mut inflater| {
            if draw.chance(2) {
                inflater.rest();
            }
            match inflater.keep() {
                Some(kept) if draw.chance(3) => Inflater::resume(&kept).expect("what was kept"),
                _ => inflater,
            }
        },
    );
    if whole.inflated.len() < INFLATED_MAX && pieces.inflated.len() < INFLATED_MAX {
        assert_eq!(whole.end, pieces.end, "refused or not");
    }
    let same = whole.inflated.len().min(pieces.inflated.len());
    assert!(whole.inflated[..same] == pieces.inflated[..same], "inflated otherwise in pieces");
    if whole.end.is_ok() {
        assert!(whole.inflated.len() >= INFLATED_MAX || whole.inflated.len() == pieces.inflated.len());
    }
    // What the library makes of all of it at once, if it is a whole stream or the beginning of one.
    let expected = match decompress_to_vec_with_limit(octets, INFLATED_MAX) {
        Ok(expected) => Some(expected),
        Err(error) if error.status == TINFLStatus::FailedCannotMakeProgress => {
            let mut output = error.output;
            // There are zeros behind it, up to what it had room for.
            assert!(output.len() >= whole.inflated.len());
            assert!(output[whole.inflated.len()..].iter().all(|octet| *octet == 0));
            output.truncate(whole.inflated.len());
            Some(output)
        }
        Err(_) => None,
    };
    if let (Some(expected), Ok(())) = (expected, whole.end) {
        assert!(expected == whole.inflated, "{} octets, and not {}", whole.inflated.len(), expected.len());
    }
    // The end of compression is found, or awaited, or the octets are refused.
    let mut inflater = Inflater::default();
    inflater.extend(octets);
    if inflater.inflate(&mut Vec::new()).is_ok() {
        let _ = inflater.end();
    }
    let _ = Inflater::resume(octets);
}

#[test]
fn any_octets_inflate_alike_in_any_pieces() {
    let streams = streams();
    let seconds = std::env::var("LODE_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    let until = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let from_clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| now.as_secs() << 24);
    let given = std::env::var("LODE_SEED").ok().and_then(|text| text.parse().ok());
    let first: u64 = given.unwrap_or_else(|| if until.is_some() { from_clock() } else { 0 });
    let mut refused = 0;
    let mut count = 0;
    while until.map_or(count < INPUTS, |until| Instant::now() < until) {
        let seed = first.wrapping_add(count);
        count += 1;
        let octets = input(&mut Draw::new(seed), &streams);
        let outcome = std::panic::catch_unwind(|| {
            check(&mut Draw::new(!seed), &octets);
            run(&octets, || octets.len(), |inflater| inflater).end.is_err()
        });
        match outcome {
            Ok(is_refused) => refused += u64::from(is_refused),
            Err(panic) => {
                println!("to repeat it: LODE_SEED={seed}, with LODE_FUZZ_SECONDS=1");
                std::panic::resume_unwind(panic);
            }
        }
    }
    println!("{count} inputs from seed {first}, {refused} of them refused");
    assert!(refused > 0 && refused < count, "{refused} of {count}");
}
