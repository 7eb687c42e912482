//! The untagged reply of a search, written piece by piece: it may be as long as the mailbox has messages.
//!
//! Results come as runs of ascending numbers in the requested order: that of the mailbox for SEARCH, any for SORT.

use std::collections::VecDeque;

use protocol::imap::Numbering;
use protocol::imap::extension::result_options::{ResultOption, ResultOptions};
use protocol::imap::reply::esearch::{self, Correlator, NumberItem};
use protocol::imap::reply::mailbox as reply;
use protocol::imap::reply::sort;

use crate::output::Output;

/// Runs of numbers, both ends included, each ascending.
type Runs = Vec<(u32, u32)>;

/// What a reply ends with.
const LINE_END: &[u8] = b"\r\n";
/// Ranges that are written between two looks at how full the output is.
const STRIDE: usize = 256;

/// A reply on its way.
pub(crate) struct Answer {
    pieces: VecDeque<Piece>,
}

enum Piece {
    /// These octets.
    Octets(Vec<u8>),
    /// Ranges with commas between them; of how many the first were written.
    Ranges(Runs, usize),
    /// Scores with spaces between them; of how many the first were written.
    Scores(Vec<u8>, usize),
    /// Numbers with spaces before them; the run and the number in it that come next.
    Numbers(Runs, usize, u32),
}

impl Answer {
    /// No reply.
    pub(crate) fn none() -> Answer {
        Answer { pieces: VecDeque::new() }
    }

    /// `* SEARCH` with these numbers.
    pub(crate) fn search(runs: Runs) -> Answer {
        let mut begin = Vec::new();
        reply::search_begin(&mut begin);
        Answer::numbers(begin, runs)
    }

    /// `* SORT` with these numbers.
    pub(crate) fn sort(runs: Runs) -> Answer {
        let mut begin = Vec::new();
        sort::sort_begin(&mut begin);
        Answer::numbers(begin, runs)
    }

    fn numbers(begin: Vec<u8>, runs: Runs) -> Answer {
        let mut end = Vec::new();
        reply::search_end(&mut end);
        Answer {
            pieces: VecDeque::from([Piece::Octets(begin), Piece::Numbers(runs, 0, 0), Piece::Octets(end)]),
        }
    }

    /// `* ESEARCH` with what `options` ask for of these results. `scores` are how well each of them fits, for RELEVANCY.
    pub(crate) fn esearch(
        correlator: Correlator<'_>,
        numbering: Numbering,
        options: &ResultOptions,
        runs: Runs,
        mut scores: Vec<u8>,
    ) -> Answer {
        let mut pieces = VecDeque::new();
        let mut octets = Vec::new();
        esearch::begin(&mut octets, correlator, numbering);
        if let (true, Some(&(first, _))) = (options.has(ResultOption::Min), runs.first()) {
            esearch::number(&mut octets, NumberItem::Min, u64::from(first));
        }
        if let (true, Some(&(_, last))) = (options.has(ResultOption::Max), runs.last()) {
            esearch::number(&mut octets, NumberItem::Max, u64::from(last));
        }
        let count = count(&runs);
        if options.has(ResultOption::Count) {
            esearch::number(&mut octets, NumberItem::Count, count);
        }
        if let Some(range) = options.partial() {
            esearch::partial_begin(&mut octets, range);
            let places = range.resolve(count);
            let place = |place: u64| usize::try_from(place).unwrap_or(usize::MAX).min(scores.len());
            scores = scores[place(places.start)..place(places.end)].to_vec();
            let part = slice(&runs, places);
            if part.is_empty() {
                esearch::partial_nil(&mut octets);
            } else {
                pieces.push_back(Piece::Octets(std::mem::take(&mut octets)));
                pieces.push_back(Piece::Ranges(part, 0));
            }
            esearch::close(&mut octets);
        } else if options.has(ResultOption::All) && !runs.is_empty() {
            esearch::all_begin(&mut octets);
            pieces.push_back(Piece::Octets(std::mem::take(&mut octets)));
            pieces.push_back(Piece::Ranges(runs, 0));
        }
        if options.has(ResultOption::Relevancy) && !scores.is_empty() {
            esearch::relevancy_begin(&mut octets);
            pieces.push_back(Piece::Octets(std::mem::take(&mut octets)));
            pieces.push_back(Piece::Scores(scores, 0));
            esearch::close(&mut octets);
        }
        esearch::end(&mut octets);
        pieces.push_back(Piece::Octets(octets));
        Answer { pieces }
    }

    /// With the highest modseq of the results at the end (RFC 7162, 3.1.6; RFC 4731, 3.2).
    pub(crate) fn with_modseq(mut self, options: Option<&ResultOptions>, modseq: u64) -> Answer {
        if let Some(Piece::Octets(octets)) = self.pieces.back_mut() {
            let end = octets.len().saturating_sub(LINE_END.len());
            debug_assert_eq!(octets.get(end..), Some(LINE_END));
            octets.truncate(end);
            match options {
                None => reply::search_modseq(octets, modseq),
                Some(_) => esearch::number(octets, NumberItem::ModSeq, modseq),
            }
            octets.extend_from_slice(LINE_END);
        }
        self
    }

    /// Writes until the output is full; true when all was written.
    pub(crate) fn write(&mut self, output: &mut Output) -> bool {
        while let Some(piece) = self.pieces.front_mut() {
            if output.is_full() {
                return false;
            }
            let is_done = match piece {
                Piece::Octets(octets) => {
                    output.bytes().append(octets);
                    true
                }
                Piece::Ranges(runs, told) => {
                    let end = (*told + STRIDE).min(runs.len());
                    esearch::ranges(output.bytes(), &runs[*told..end], *told > 0);
                    *told = end;
                    end == runs.len()
                }
                Piece::Scores(scores, told) => {
                    let end = (*told + STRIDE).min(scores.len());
                    esearch::scores(output.bytes(), &scores[*told..end], *told > 0);
                    *told = end;
                    end == scores.len()
                }
                Piece::Numbers(runs, run, next) => {
                    write_numbers(output, runs, run, next);
                    *run == runs.len()
                }
            };
            if is_done {
                self.pieces.pop_front();
            }
        }
        true
    }
}

fn write_numbers(output: &mut Output, runs: &Runs, run: &mut usize, next: &mut u32) {
    while let Some(&(first, last)) = runs.get(*run) {
        for number in first.max(*next)..=last {
            if output.is_full() {
                *next = number;
                return;
            }
            reply::search_number(output.bytes(), number);
        }
        *run += 1;
        *next = 0;
    }
}

/// How many numbers the runs have.
pub(crate) fn count(runs: &[(u32, u32)]) -> u64 {
    runs.iter().map(|&(first, last)| u64::from(last - first) + 1).sum()
}

/// The results at these places, the first being 0.
pub(crate) fn slice(runs: &[(u32, u32)], places: std::ops::Range<u64>) -> Runs {
    let mut part = Vec::new();
    let mut before = 0;
    for &(first, last) in runs {
        let length = u64::from(last - first) + 1;
        let from = places.start.saturating_sub(before).min(length);
        let until = places.end.saturating_sub(before).min(length);
        if from < until {
            // Both are at most the length of a run, which is one of numbers of 32 bits.
            part.push((first + from as u32, first + (until - 1) as u32));
        }
        before += length;
        if before >= places.end {
            break;
        }
    }
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_those_of_the_numbers_one_by_one() {
        let runs = [(3, 5), (9, 9), (12, 15)];
        let numbers: Vec<u32> = runs.iter().flat_map(|&(first, last)| first..=last).collect();
        assert_eq!(count(&runs), 8);
        for start in 0..10_usize {
            for end in start..10 {
                let part: Vec<u32> = slice(&runs, start as u64..end as u64)
                    .iter()
                    .flat_map(|&(first, last)| first..=last)
                    .collect();
                assert_eq!(part, numbers[start.min(8)..end.min(8)], "{start}..{end}");
            }
        }
        assert_eq!(slice(&[(1, u32::MAX)], 0..u64::from(u32::MAX)), [(1, u32::MAX)]);
    }
}
