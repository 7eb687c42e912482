//! How a verb fails: what happened and where, what to do next, and the exit code that says so to scripts.

use std::fmt;
use std::process::ExitCode;

/// Why a verb did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It failed; exit code 1.
    Failed(String),
    /// It was used wrongly in a way that the parser of the command line cannot see; exit code 2.
    Usage(String),
    /// Trying again later makes sense; exit code 75 (EX_TEMPFAIL), which mail servers understand. For `lode deliver` alone.
    Temporary(String),
}

/// What every verb returns.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// For `map_err`: the error behind a sentence that says what was tried.
    pub(crate) fn because<E: fmt::Display>(tried: impl fmt::Display) -> impl FnOnce(E) -> Failure {
        move |error| Failure::Failed(format!("{tried}: {error}"))
    }

    /// The exit code.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Failure::Failed(_) => 1,
            Failure::Usage(_) => 2,
            Failure::Temporary(_) => 75,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Failed(what) | Failure::Usage(what) | Failure::Temporary(what) => f.write_str(what),
        }
    }
}
