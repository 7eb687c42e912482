//! What a program says of itself when it is asked `--abi`: whether it can go on with the table and the handlers of another.
//!
//! Three numbers must be the same: the version of the table, its layout, and the records between router and handler. The third is a
//! hash of the source of those records, comments and spaces left out, so that nobody has to remember to raise it.

use crate::layout::{ABI_VERSION, FINGERPRINT};
use std::fmt;

/// What the line begins with.
const WORD: &str = "lode-abi";

/// What two programs must have in common to work on one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abi {
    /// Version of the table.
    pub version: u32,
    /// Fingerprint of the table's layout.
    pub layout: u64,
    /// Hash of the records.
    pub records: u64,
}

impl Abi {
    /// This program's.
    pub const OWN: Abi = Abi { version: ABI_VERSION, layout: FINGERPRINT, records: RECORDS };

    /// The line that a program prints when it is asked.
    pub fn line(&self) -> String {
        format!("{WORD} {} {:016x} {:016x}", self.version, self.layout, self.records)
    }

    /// Reads such a line; what follows the three numbers is for later versions.
    pub fn parse(line: &str) -> Option<Abi> {
        let mut words = line.split_ascii_whitespace();
        if words.next()? != WORD {
            return None;
        }
        let version = words.next()?.parse().ok()?;
        let mut number = || u64::from_str_radix(words.next()?, 16).ok();
        Some(Abi { version, layout: number()?, records: number()? })
    }
}

impl fmt::Display for Abi {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "table version {}, layout {:016x}, records {:016x}",
            self.version, self.layout, self.records
        )
    }
}

const RECORDS: u64 = {
    let hash = hash_of_code(0xcbf2_9ce4_8422_2325, include_bytes!("handover.rs"));
    let hash = hash_of_code(hash, include_bytes!("endpoint.rs"));
    hash_of_code(hash, include_bytes!("parked.rs"))
};

/// Goes on hashing with the code of a file, up to its tests. No text in these files has two slashes. For records that two programs
/// have in common.
pub const fn hash_of_code(mut hash: u64, source: &[u8]) -> u64 {
    const TESTS: &[u8] = b"#[cfg(test)]";
    let mut at = 0;
    while at < source.len() && !has_at(source, at, TESTS) {
        if has_at(source, at, b"//") {
            while at < source.len() && source[at] != b'\n' {
                at += 1;
            }
        } else {
            if !source[at].is_ascii_whitespace() {
                hash = (hash ^ source[at] as u64).wrapping_mul(0x0000_0100_0000_01b3);
            }
            at += 1;
        }
    }
    hash
}

const fn has_at(source: &[u8], at: usize, what: &[u8]) -> bool {
    let mut same = 0;
    while same < what.len() && at + same < source.len() && source[at + same] == what[same] {
        same += 1;
    }
    same == what.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_read_back() {
        assert_eq!(Abi::parse(&Abi::OWN.line()), Some(Abi::OWN));
        assert_eq!(Abi::parse(&format!("{} and more\n", Abi::OWN.line())), Some(Abi::OWN));
        for wrong in
            ["", "lode-abi", "lode-abi 1", "lode-abi 1 2", "lode-abi x 2 3", "abi 1 2 3", "usage: router"]
        {
            assert_eq!(Abi::parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn comments_spaces_and_tests_are_no_records() {
        let hash = |text: &str| hash_of_code(7, text.as_bytes());
        assert_eq!(hash("struct A { b: u8 }"), hash("/// Says.\nstruct A {\n    b: u8 // c\n}\n"));
        assert_eq!(hash("struct A;"), hash("struct A;\n#[cfg(test)]\nmod tests {}"));
        assert_ne!(hash("struct A { b: u8 }"), hash("struct A { b: u16 }"));
        assert_ne!(hash("struct A;"), 7);
    }
}
