//! The analysis of a message against what the authors of other parsers expect of the same octets.
//!
//! Two of the corpus's fixture sets come with expected output: see [`stalwart`] and [`mime4j`]. A difference passes only by a rule or
//! a row of [`accepted`], each with its reason. A row that accepts what agrees, or a rule that accepts more or less than it did, fails
//! the test, so that the list stays true.

mod accepted;
mod mime4j;
mod ours;
mod stalwart;

use std::path::{Path, PathBuf};

use accepted::Accepted;

/// Something that is not as expected; the values as text.
pub(crate) struct Difference {
    /// The part (as [`ours::Part`] names it), a space, and what differs: `1.2 body`.
    pub(crate) field: String,
    pub(crate) want: String,
    pub(crate) got: String,
}

/// Collects what differs in one fixture.
#[derive(Default)]
pub(crate) struct Differences {
    pub(crate) found: Vec<Difference>,
}

impl Differences {
    pub(crate) fn check<T: PartialEq + std::fmt::Debug>(&mut self, part: &str, field: &str, want: T, got: T) {
        if want != got {
            let field = format!("{part} {field}").trim_start().to_owned();
            let [want, got] = [want, got].map(|value| format!("{value:?}"));
            self.found.push(Difference { field, want, got });
        }
    }
}

#[test]
fn stalwart_mail_parser() {
    compare("messages/stalwart-mail-parser", "json", accepted::STALWART, |expected, message, differences| {
        stalwart::compare(&read(expected), &read(message), differences);
    });
}

#[test]
fn apache_james_mime4j() {
    compare("messages/apache-james-mime4j", "xml", accepted::MIME4J, |expected, message, differences| {
        mime4j::compare(expected, &read(message), differences);
    });
}

/// Compares every file of `folder` with the extension `expected` with the message that it is about.
fn compare(
    folder: &str,
    expected: &str,
    accepted: Accepted,
    compare_one: impl Fn(&Path, &Path, &mut Differences),
) {
    let Some(corpus) = corpus() else { return };
    let root = corpus.join(folder);
    let mut files = Vec::new();
    collect(&root, expected, &mut files);
    assert!(!files.is_empty(), "no expected output in {}", root.display());
    let mut ledger = accepted::Ledger::new(accepted);
    for file in &files {
        let message = message_of(file);
        let name = file.strip_prefix(&root).expect("collected below").with_extension("");
        let mut differences = Differences::default();
        compare_one(file, &message, &mut differences);
        ledger.enter(&name.to_string_lossy(), &read(&message), &differences.found);
    }
    ledger.settle(folder);
}

/// The message that a file with expected output is about.
fn message_of(expected: &Path) -> PathBuf {
    let stem = expected.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    if expected.extension().is_some_and(|extension| extension == "json") {
        return expected.with_extension("eml");
    }
    expected.with_file_name(format!("{}.msg", stem.strip_suffix("_decoded").unwrap_or(&stem)))
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files below `folder` with that extension, sorted.
fn collect(folder: &Path, extension: &str, files: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("readable folder").path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            collect(&path, extension, files);
        } else if path.extension().is_some_and(|found| found == extension) {
            files.push(path);
        }
    }
}

/// The mail corpus, if it is at hand: `LODE_CORPUS`, or `../shared/corpus` beside the workspace.
fn corpus() -> Option<PathBuf> {
    let path = match std::env::var_os("LODE_CORPUS") {
        Some(path) => PathBuf::from(path),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus"),
    };
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: there is no mail corpus at {} (set LODE_CORPUS)", path.display());
    None
}
