//! Writes an MH folder: messages numbered from 1, their time of arrival as the files' modification time, flags and keywords as
//! sequences in `.mh_sequences`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use store::change::SystemFlags;

use super::mh::{FLAG_SEQUENCES, SEQUENCES_FILE, format_numbers};
use super::write::{MailWriter, Outgoing, Quote, copy_lines};
use super::write_maildir::set_time;

/// An MH folder being written.
pub(crate) struct MhWriter {
    path: PathBuf,
    last: u32,
    sequences: BTreeMap<String, Vec<u32>>,
}

impl MhWriter {
    /// Makes the folder, if there is none. It must not have messages yet.
    pub(crate) fn create(path: &Path) -> io::Result<MhWriter> {
        fs::create_dir_all(path)?;
        // Also tells readers of an empty folder what it is, and that this one is taken.
        File::create_new(path.join(SEQUENCES_FILE))?;
        Ok(MhWriter { path: path.to_owned(), last: 0, sequences: BTreeMap::new() })
    }
}

impl MailWriter for MhWriter {
    fn append(&mut self, mail: &Outgoing, content: &mut dyn Read) -> io::Result<()> {
        let file = loop {
            self.last += 1;
            match File::create_new(self.path.join(self.last.to_string())) {
                // A mailbox below may have a number for a name.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                other => break other?,
            }
        };
        let mut output = BufWriter::new(file);
        copy_lines(content, &mut output, Quote::Nothing)?;
        output.flush()?;
        set_time(output.get_ref(), mail.date.seconds)?;
        let flagged = FLAG_SEQUENCES.iter().filter(|(_, flag)| mail.flags.has(*flag)).map(|(name, _)| *name);
        let unseen = (!mail.flags.has(SystemFlags::SEEN)).then_some("unseen");
        let keywords = mail.flags.keywords.iter().map(String::as_str);
        for name in flagged.chain(unseen).chain(keywords) {
            self.sequences.entry(name.to_owned()).or_default().push(self.last);
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<Vec<String>> {
        let lines: String = self
            .sequences
            .iter()
            .map(|(name, numbers)| format!("{name}:{}\n", format_numbers(numbers)))
            .collect();
        fs::write(self.path.join(SEQUENCES_FILE), lines)?;
        Ok(Vec::new())
    }
}
