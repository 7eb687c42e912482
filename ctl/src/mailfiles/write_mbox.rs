//! Writes an mbox: mboxrd quoting, LF line ends, a blank line behind each message; flags, keywords and the date with its zone in the
//! lines of [`super::mbox_marker`].

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use super::write::{MailWriter, Outgoing, Quote, copy_lines};
use super::{dates, mbox_marker};

/// An mbox being written.
pub(crate) struct MboxWriter {
    output: BufWriter<File>,
}

impl MboxWriter {
    /// Makes the file, which must not exist.
    pub(crate) fn create(path: &Path) -> io::Result<MboxWriter> {
        Ok(MboxWriter { output: BufWriter::with_capacity(128 * 1_024, File::create_new(path)?) })
    }
}

impl MailWriter for MboxWriter {
    fn append(&mut self, mail: &Outgoing, content: &mut dyn Read) -> io::Result<()> {
        writeln!(self.output, "From MAILER-DAEMON {}", dates::format_asctime(mail.date))?;
        self.output.write_all(mbox_marker::block(&mail.flags, mail.date, mail.open_end).as_bytes())?;
        copy_lines(content, &mut self.output, Quote::FromLines)?;
        self.output.write_all(if mail.open_end { b"\n\n" } else { b"\n" })
    }

    fn finish(self: Box<Self>) -> io::Result<Vec<String>> {
        self.output.into_inner()?.sync_all()?;
        Ok(Vec::new())
    }
}
