//! Names for the addresses of a report, from the debugging information of the program that crashed.

use addr2line::Loader;
use shm_abi::CrashReport;

use crate::crashes::unchanged_program;

/// What is known of a program's addresses; nothing if it is gone or was replaced.
pub(crate) struct Symbols {
    program: Option<Loader>,
}

impl Symbols {
    /// Of the program that a report is about.
    pub(crate) fn of(report: &CrashReport) -> Symbols {
        let is_asked_for = !report.backtrace.is_empty() || !report.instruction.is_empty();
        let path = if is_asked_for { unchanged_program(report) } else { None };
        Symbols { program: path.and_then(|path| Loader::new(path).ok()) }
    }

    /// The functions that an instruction is in, innermost first: several where they were put into each other.
    pub(crate) fn instruction(&self, address: &str) -> Vec<String> {
        parse(address).map_or(Vec::new(), |address| self.places(address))
    }

    /// The functions that a call returns to.
    pub(crate) fn call(&self, address: &str) -> Vec<String> {
        // The call is before the place to which it returns, which may be another function's.
        parse(address)
            .and_then(|address| address.checked_sub(1))
            .map_or(Vec::new(), |address| self.places(address))
    }

    fn places(&self, address: u64) -> Vec<String> {
        let Some(program) = &self.program else { return Vec::new() };
        let mut places = Vec::new();
        if let Ok(mut frames) = program.find_frames(address) {
            while let Ok(Some(frame)) = frames.next() {
                let name = frame.function.as_ref().and_then(|function| function.demangle().ok());
                let location =
                    frame.location.as_ref().and_then(|location| Some((location.file?, location.line?)));
                match (name, location) {
                    (Some(name), Some((file, line))) => places.push(format!("{name} at {file}:{line}")),
                    (Some(name), None) => places.push(name.into_owned()),
                    (None, Some((file, line))) => places.push(format!("{file}:{line}")),
                    (None, None) => {}
                }
            }
        }
        if places.is_empty()
            && let Some(symbol) = program.find_symbol(address)
        {
            places.push(addr2line::demangle_auto(symbol.into(), None).into_owned());
        }
        places
    }
}

fn parse(address: &str) -> Option<u64> {
    u64::from_str_radix(address.strip_prefix("0x")?, 16).ok()
}
