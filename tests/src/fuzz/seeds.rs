//! What inputs are made from: the files in `fuzz/corpus`, and the words in `fuzz/dictionaries`.

use super::Target;
use std::fs;
use std::path::{Path, PathBuf};

/// The seeds of a target, in the order of their files' names.
pub(super) fn of(target: &Target) -> Vec<Vec<u8>> {
    let folder = folder().join("corpus").join(target.name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map_while(Result::ok).map(|entry| entry.path()).collect();
    paths.sort();
    let mut seeds: Vec<Vec<u8>> = paths.iter().map(|path| read(path)).collect();
    if target.name == "message" {
        // Records of messages are read by the same entry. Made here, they have the format that the code has.
        let records = seeds.iter().map(|seed| {
            let mut scanner = message::Scanner::new();
            scanner.push(seed);
            message::encode(&scanner.finish())
        });
        let records: Vec<Vec<u8>> = records.collect();
        seeds.extend(records);
    }
    seeds
}

/// The words of a target.
pub(super) fn dictionary(target: &Target) -> Vec<Vec<u8>> {
    let Some(name) = target.dictionary else { return vec![vec![0xff], vec![0xfb, 0xff], vec![0xfd; 9]] };
    let path = folder().join("dictionaries").join(format!("{name}.dict"));
    let text = read(&path);
    let lines = text.split(|&octet| octet == b'\n').filter(|line| line.starts_with(b"\""));
    lines.map(|line| word(line).unwrap_or_else(|| panic!("{}: {line:?}", path.display()))).collect()
}

/// A line of a dictionary, in libFuzzer's form: quotes, `\\`, `\"` and `\xAB`.
fn word(line: &[u8]) -> Option<Vec<u8>> {
    let mut rest = line.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let mut word = Vec::new();
    while let [octet, behind @ ..] = rest {
        (word, rest) = match (octet, behind) {
            (b'\\', [b'x', digits @ ..]) => {
                let (digits, behind) = digits.split_at_checked(2)?;
                word.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
                (word, behind)
            }
            (b'\\', [escaped, behind @ ..]) => {
                word.push(*escaped);
                (word, behind)
            }
            _ => {
                word.push(*octet);
                (word, behind)
            }
        };
    }
    Some(word)
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::super::TARGETS;
    use super::*;

    #[test]
    fn words_as_libfuzzer_writes_them() {
        assert_eq!(word(br#""a\\\"\x0d\xff""#).as_deref(), Some(&b"a\\\"\r\xff"[..]));
        assert_eq!(word(br#""\x0""#), None);
        assert_eq!(word(b"\"a"), None);
    }

    #[test]
    fn every_target_has_seeds() {
        for target in TARGETS {
            assert!(of(&target).len() >= 10, "{}", target.name);
            assert!(!dictionary(&target).is_empty(), "{}", target.name);
        }
    }

    #[test]
    fn every_record_among_the_seeds_is_one() {
        let kinds = |seed: &[u8]| {
            [
                shm_abi::decode::<shm_abi::ToHandler>(seed).is_ok(),
                shm_abi::decode::<shm_abi::FromHandler>(seed).is_ok(),
                shm_abi::decode::<shm_abi::ControlAnswer>(seed).is_ok(),
            ]
        };
        let broken = of(&super::super::RECORDS).iter().filter(|seed| !kinds(seed).contains(&true)).count();
        assert_eq!(broken, 1, "only the one that announces a length it does not have");
    }
}
