//! Skips what is left of a command that was refused: literals that come in any case, and the text between and behind them.
//!
//! Invariants: what is skipped is consumed at once, but for the end of a line so far that may be the beginning of a
//! literal's size; and it is never more than the budget.

use super::framing::{Found, LineEnd, MARKER_MAX, literal_at_end};

/// What is still to be skipped.
#[derive(Debug)]
pub(super) struct Skip {
    /// Octets of the literal that is coming; 0 when a line is.
    literal: u64,
    /// The line that is coming, from the first octet that was not consumed.
    line: LineEnd,
    /// How many octets may be skipped yet.
    budget: u64,
}

/// What skipping came to.
pub(super) enum Outcome {
    /// There is more to skip.
    NeedMore,
    /// The next command begins.
    Done,
    /// The budget is spent.
    TooMuch,
}

impl Skip {
    /// Skips a literal and the rest of its command. `None` when the literal alone is beyond the budget.
    pub(super) fn new(literal: u64, budget: u64) -> Option<Skip> {
        let budget = budget.checked_sub(literal)?;
        Some(Skip { literal, line: LineEnd::default(), budget })
    }

    /// Skips what there is in `unread`. Returns how many octets of it are consumed.
    pub(super) fn advance(&mut self, unread: &[u8]) -> (usize, Outcome) {
        let mut consumed = 0;
        loop {
            let rest = &unread[consumed..];
            let of_literal = usize::try_from(self.literal).unwrap_or(usize::MAX).min(rest.len());
            self.literal -= of_literal as u64;
            consumed += of_literal;
            if self.literal > 0 {
                return (consumed, Outcome::NeedMore);
            }
            let rest = &unread[consumed..];
            let longest = usize::try_from(self.budget).unwrap_or(usize::MAX);
            match self.line.find(rest, longest) {
                Found::TooLong => return (consumed, Outcome::TooMuch),
                Found::Nothing => {
                    // One more than a marker, for the CR behind it.
                    let spare = rest.len().saturating_sub(MARKER_MAX + 1);
                    self.budget -= spare as u64;
                    self.line = LineEnd::default();
                    return (consumed + spare, Outcome::NeedMore);
                }
                Found::Line(line) => {
                    consumed += line.next;
                    self.budget -= line.next as u64;
                    self.line = LineEnd::default();
                    match literal_at_end(&rest[line.start..line.end]) {
                        Some(literal) if !literal.synchronising => {
                            if literal.length > self.budget {
                                return (consumed, Outcome::TooMuch);
                            }
                            self.budget -= literal.length;
                            self.literal = literal.length;
                        }
                        // The client waits for leave, and has the refusal instead: it goes on with another command.
                        _ => return (consumed, Outcome::Done),
                    }
                }
            }
        }
    }
}
