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
        let symbol = || {
            let symbol = program.find_symbol(address)?;
            Some(addr2line::demangle_auto(symbol.into(), None).into_owned())
        };
        let mut places: Vec<(Option<String>, Option<String>)> = Vec::new();
        if let Ok(mut frames) = program.find_frames(address) {
            while let Ok(Some(frame)) = frames.next() {
                let name = frame.function.as_ref().and_then(|function| function.demangle().ok());
                let location =
                    frame.location.as_ref().and_then(|location| Some((location.file?, location.line?)));
                places.push((
                    name.map(|name| name.into_owned()),
                    location.map(|(file, line)| format!("{file}:{line}")),
                ));
            }
        }
        // Tables of lines name only functions that were put into others; the one around them is known by its symbol.
        match places.last_mut() {
            Some((name @ None, _)) => *name = symbol(),
            Some(_) => {}
            None => places.push((symbol(), None)),
        }
        let text = |(name, location)| match (name, location) {
            (Some(name), Some(location)) => Some(format!("{name} at {location}")),
            (name, location) => name.or(location),
        };
        places.into_iter().filter_map(text).collect()
    }
}

fn parse(address: &str) -> Option<u64> {
    u64::from_str_radix(address.strip_prefix("0x")?, 16).ok()
}
