//! `lode export --format lode`: a user or one mailbox in one file, with all numbers, as of one moment.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use store::transfer::{ExportWriter, UserSnapshot};

use crate::context::Mailboxes;
use crate::failure::{Failure, Result};
use crate::import::progress::Progress;
use crate::output::Table;

const BUFFER_BYTES: usize = 256 << 10;

/// Where the file goes.
enum Output {
    File(BufWriter<File>),
    Standard(BufWriter<io::Stdout>),
}

impl Write for Output {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        match self {
            Output::File(file) => file.write(octets),
            Output::Standard(stream) => stream.write(octets),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Output::File(file) => file.flush(),
            Output::Standard(stream) => stream.flush(),
        }
    }
}

/// Exports into the file `path`, or to standard output if that is `-`.
pub(crate) fn run(mailboxes: &Mailboxes, mailbox: Option<&str>, path: &Path, json: bool) -> Result<()> {
    // The name as the list has it: INBOX in capitals.
    let only = match mailbox {
        Some(name) => {
            mailboxes.find(name)?;
            mailboxes.list()?.find(name).map(|entry| entry.name.clone())
        }
        None => None,
    };
    let wanted = |name: &str| only.as_ref().is_none_or(|only| only == name);
    let user = &mailboxes.name;
    let snapshot = UserSnapshot::take(&mailboxes.store, mailboxes.user, &wanted)
        .map_err(Failure::because(format!("cannot read the mailboxes of {user}")))?;
    let failed = || Failure::because(format!("cannot write {}", path.display()));
    let to_standard = path == Path::new("-");
    let output = if to_standard {
        Output::Standard(BufWriter::with_capacity(BUFFER_BYTES, io::stdout()))
    } else {
        Output::File(BufWriter::with_capacity(BUFFER_BYTES, File::create_new(path).map_err(failed())?))
    };
    let mut table = Table::new(&["mailbox", "exported", "failed"]);
    let outcome = write(mailboxes, &snapshot, output, &mut table, to_standard);
    let failures = match outcome {
        Ok(failures) => failures,
        Err(error) => {
            if !to_standard {
                // Half a file is none.
                let _ = std::fs::remove_file(path);
            }
            return Err(failed()(error));
        }
    };
    if !to_standard {
        table.print(json, "There is nothing to export.")?;
    }
    match failures {
        0 => Ok(()),
        failures => Err(Failure::Failed(format!(
            "{failures} messages could not be read and are not in the export, for the reasons above; `lode check` says more"
        ))),
    }
}

/// How many messages could not be read.
fn write(
    mailboxes: &Mailboxes,
    snapshot: &UserSnapshot,
    output: Output,
    table: &mut Table,
    to_standard: bool,
) -> io::Result<u64> {
    let store = &mailboxes.store;
    let progress = if to_standard { Progress::none() } else { Progress::new(0) };
    let mut writer = ExportWriter::begin(store, snapshot, output)?;
    let mut failures = 0;
    for mailbox in snapshot.mailboxes.iter().filter(|mailbox| !mailbox.facts.placeholder) {
        let name = &mailbox.facts.name;
        progress.begin(name, mailbox.octets);
        let (mut exported, mut failed) = (0u64, 0u64);
        let mut note = |what: &dyn std::fmt::Display| {
            failed += 1;
            progress.note(&format!("{name}: {what}"));
        };
        match snapshot.cells(store, mailbox) {
            Ok(cells) => {
                for cell in cells {
                    match cell {
                        Ok(cell) => {
                            let annotations = match snapshot.annotations(store, mailbox, cell.uid) {
                                Ok(annotations) => annotations,
                                Err(error) => {
                                    note(&format!("annotations of message {}: {error}", cell.uid));
                                    Vec::new()
                                }
                            };
                            match writer.message(store, mailbox.id.number, &cell, &annotations)? {
                                Ok(()) => exported += 1,
                                Err(error) => note(&format!("message {}: {error}", cell.uid)),
                            }
                            progress.advance(u64::from(cell.size));
                        }
                        Err(error) => note(&error),
                    }
                }
            }
            Err(error) => note(&error),
        }
        failures += failed;
        table.row(vec![name.as_str().into(), exported.into(), failed.into()]);
    }
    let (_, output) = writer.finish()?;
    progress.finish();
    if let Output::File(file) = output {
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    }
    Ok(failures)
}
