//! IDLE (RFC 2177): what the client sends while the server tells it about changes.

/// One line of the client during IDLE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdleLine {
    /// Not all of it is there.
    NeedMore,
    /// DONE: IDLE ends with OK.
    Done,
    /// Anything else: IDLE ends with BAD, and the line is gone.
    Bad,
    /// Longer than a line may be: say BYE and close.
    Fatal,
}

impl IdleLine {
    /// Reads a line without its line end.
    pub(crate) fn parse(line: &[u8]) -> IdleLine {
        if line.trim_ascii_end().eq_ignore_ascii_case(b"DONE") { IdleLine::Done } else { IdleLine::Bad }
    }
}
