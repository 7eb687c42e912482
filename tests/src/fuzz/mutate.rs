//! New inputs out of seeds.

use crate::random::Random;

/// Makes inputs. The same numbers give the same inputs.
pub(super) struct Mutator {
    seeds: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
}

/// What is opened and closed, for nests.
const BRACKETS: [(&[u8], &[u8]); 7] = [
    (b"(", b")"),
    (b"<", b">"),
    (b"[", b"]"),
    (b"{", b"}"),
    (b"NOT ", b""),
    (b"OR ALL ", b""),
    (b"Content-Type: message/rfc822\r\n\r\n", b""),
];

/// Numbers at which arithmetic goes wrong.
const NUMBERS: [&[u8]; 8] = [
    b"0",
    b"1",
    b"2147483648",
    b"4294967295",
    b"4294967296",
    b"9223372036854775808",
    b"18446744073709551615",
    b"99999999999999999999999",
];

impl Mutator {
    pub(super) fn new(seeds: Vec<Vec<u8>>, words: Vec<Vec<u8>>) -> Mutator {
        assert!(!seeds.is_empty() && !words.is_empty());
        Mutator { seeds, words }
    }

    pub(super) fn seeds(&self) -> &[Vec<u8>] {
        &self.seeds
    }

    /// A seed that was changed in some places, of at most `octets_max` octets.
    pub(super) fn input(&self, random: &mut Random, octets_max: usize) -> Vec<u8> {
        let mut input = match random.below(16) {
            0 => Vec::new(),
            _ => self.seed(random).to_vec(),
        };
        // Mostly little is changed, so that much of the seed is still understood.
        let changes = 1 + random.below(4) * random.below(6);
        for _ in 0..changes {
            self.change(random, &mut input);
            input.truncate(octets_max);
        }
        input
    }

    fn seed(&self, random: &mut Random) -> &[u8] {
        random.pick(&self.seeds).map_or(&[], Vec::as_slice)
    }

    /// A word of the dictionary.
    pub(super) fn word(&self, random: &mut Random) -> &[u8] {
        random.pick(&self.words).map_or(&[], Vec::as_slice)
    }

    fn change(&self, random: &mut Random, input: &mut Vec<u8>) {
        let at = random.below(input.len() + 1);
        match random.below(13) {
            0 if at < input.len() => input[at] ^= 1 << random.below(8),
            1 if at < input.len() => input[at] = random.bits() as u8,
            2 => insert(input, at, &[random.bits() as u8]),
            3 => input.truncate(at),
            4 => {
                let end = (at + 1 + random.below(32)).min(input.len());
                input.drain(at..end);
            }
            5..=7 => insert(input, at, self.word(random)),
            8 => {
                let other = self.seed(random);
                let piece = stretch(random, other);
                insert(input, at, piece);
            }
            9 => {
                let piece = stretch(random, input);
                let piece = piece[..piece.len().min(256)].repeat(1 + random.below(8));
                insert(input, at, &piece);
            }
            10 => {
                let mut run = self.word(random).to_vec();
                if random.below(2) == 0 {
                    run = vec![random.bits() as u8];
                }
                let octets = 1 << random.below(13);
                insert(input, at, &run.repeat(octets / run.len().max(1)));
            }
            11 => {
                let (open, close) = BRACKETS[random.below(BRACKETS.len())];
                let depth = 1 << random.below(9);
                let closed = random.below(depth + 1);
                insert(
                    input,
                    at,
                    &[open.repeat(depth), self.word(random).to_vec(), close.repeat(closed)].concat(),
                );
            }
            _ => replace_number(random, input, at),
        }
    }
}

fn insert(input: &mut Vec<u8>, at: usize, piece: &[u8]) {
    input.splice(at..at, piece.iter().copied());
}

fn stretch<'a>(random: &mut Random, octets: &'a [u8]) -> &'a [u8] {
    let start = random.below(octets.len() + 1);
    &octets[start..start + random.below(octets.len() - start + 1)]
}

/// Puts another number in the place of the next one.
fn replace_number(random: &mut Random, input: &mut Vec<u8>, at: usize) {
    let Some(start) = input[at..].iter().position(u8::is_ascii_digit).map(|offset| at + offset) else {
        return;
    };
    let digits = input[start..].iter().take_while(|octet| octet.is_ascii_digit()).count();
    let number = NUMBERS[random.below(NUMBERS.len())];
    input.splice(start..start + digits, number.iter().copied());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_repeat_and_differ_and_stay_short() {
        let mutator = Mutator::new(vec![b"a LOGIN {5}\r\nabcde 12\r\n".to_vec()], vec![b"word".to_vec()]);
        let inputs = |seed: u64| (0..200).map(move |number| Random::new(seed + number));
        let made: Vec<Vec<u8>> = inputs(1).map(|mut random| mutator.input(&mut random, 300)).collect();
        let again: Vec<Vec<u8>> = inputs(1).map(|mut random| mutator.input(&mut random, 300)).collect();
        assert_eq!(made, again);
        assert!(made.iter().all(|input| input.len() <= 300) && made.iter().any(|input| input.len() == 300));
        let mut distinct = made;
        distinct.sort();
        distinct.dedup();
        assert!(distinct.len() > 150);
    }
}
