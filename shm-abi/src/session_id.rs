//! The name of a session: how logs, tools and files call it.
//!
//! It is written `HANDLER.CELL.GENERATION`, for example `3.17.42`: the handler's row, the cell within it, and how many
//! times that cell was given away. No two sessions of one table have the same. A session that goes on in another handler
//! has a new one there; both are logged when that happens.

use crate::layout::{MAX_HANDLERS, MAX_SESSIONS};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The name of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionId {
    /// The handler's row.
    pub handler: u32,
    /// The cell, a number within the handler's row.
    pub cell: u32,
    /// The generation of the cell.
    pub generation: u32,
}

impl fmt::Display for SessionId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}.{}", self.handler, self.cell, self.generation)
    }
}

/// A text that names no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoSessionId;

impl fmt::Display for NoSessionId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(
            "a session is written HANDLER.CELL.GENERATION, for example 3.17.42 (`lode who` shows them)",
        )
    }
}

impl std::error::Error for NoSessionId {}

impl FromStr for SessionId {
    type Err = NoSessionId;

    /// Three numbers in decimal digits and two dots, nothing else; handler and cell within what any table can hold.
    fn from_str(text: &str) -> Result<SessionId, NoSessionId> {
        let mut parts = text.split('.');
        let mut number = || {
            let digits = parts.next().ok_or(NoSessionId)?;
            // `parse` alone would take a plus sign.
            if !digits.bytes().all(|octet| octet.is_ascii_digit()) {
                return Err(NoSessionId);
            }
            digits.parse::<u32>().map_err(|_| NoSessionId)
        };
        let id = SessionId { handler: number()?, cell: number()?, generation: number()? };
        let is_possible = id.handler < MAX_HANDLERS && id.cell < MAX_SESSIONS && parts.next().is_none();
        is_possible.then_some(id).ok_or(NoSessionId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written() {
        for (handler, cell, generation) in [(0, 0, 0), (3, 17, 42), (63, 65_535, u32::MAX)] {
            let id = SessionId { handler, cell, generation };
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        assert_eq!(SessionId { handler: 3, cell: 17, generation: 42 }.to_string(), "3.17.42");
    }

    #[test]
    fn other_texts_name_no_session() {
        for text in [
            "",
            "3",
            "3.17",
            "3.17.",
            ".17.42",
            "3.17.42.1",
            "3.17.+42",
            "3.17.-1",
            "3/17/42",
            " 3.17.42",
            "3.17.4294967296",
            "64.0.1",
            "0.65536.1",
            "ann",
            "192.0.2.7",
        ] {
            assert_eq!(text.parse::<SessionId>(), Err(NoSessionId), "{text}");
        }
    }
}
