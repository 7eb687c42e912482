//! `lode export`: a user's mailboxes as mail files that other programs read, and that `lode import` reads back.

mod lode;

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use store::change::Flags;
use store::ids::{CellIndex, MailboxId};
use store::mailbox::{Cell, Cells, Keywords, Mailbox};
use store::{Store, StoredMessage};

use crate::context::{Context, Mailboxes};
use crate::failure::{Failure, Result};
use crate::import::progress::Progress;
use crate::mailfiles::MailFlags;
use crate::mailfiles::write::{MailWriter, Outgoing};
use crate::mailfiles::write_maildir::{MaildirWriter, folder_path};
use crate::mailfiles::write_mbox::MboxWriter;
use crate::mailfiles::write_mh::MhWriter;
use crate::output::Table;

/// Octets of a message that are read at once.
const CHUNK: u64 = 256 * 1_024;

/// Export mailboxes as mbox, Maildir or MH, or with everything in Lode's own format
#[derive(Debug, Args)]
#[command(
    after_help = "With --mailbox, PATH becomes that one mailbox. Without it, all mailboxes are exported: as NAME.mbox files \
                        in the folder PATH, as one Maildir with subfolders, or as MH folders in the folder PATH. \
                        Flags, keywords and dates are kept as far as the format can. The format lode is one file that keeps everything: UIDs, \
                        UIDVALIDITY, modseqs, subscriptions, special use, limits; `lode import` reads it.\n\n\
                        Examples:\n  lode export --user ann --mailbox INBOX inbox.mbox\n  \
                        lode export --user ann --format maildir ann-maildir\n  \
                        lode export --user ann --format lode -o - | ssh other lode import --format lode -"
)]
pub(crate) struct Arguments {
    /// The user whose mail it is
    #[arg(long, value_name = "NAME")]
    user: String,
    /// The mailbox to export [default: all]
    #[arg(long, value_name = "NAME")]
    mailbox: Option<String>,
    /// mbox (in the dialect mboxrd), maildir (Maildir++), mh or lode
    #[arg(long, value_enum, default_value_t = ExportFormat::Mbox, hide_possible_values = true)]
    format: ExportFormat,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    /// Where to write; it must not exist. With --format lode, - is standard output
    #[arg(short = 'o', long = "output", value_name = "PATH", conflicts_with = "path")]
    output: Option<PathBuf>,
    /// The same, without an option
    #[arg(required_unless_present = "output")]
    path: Option<PathBuf>,
}

/// The formats that are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ExportFormat {
    Mbox,
    Maildir,
    Mh,
    Lode,
}

pub(crate) fn run(arguments: &Arguments, config: Option<&Path>) -> Result<()> {
    let context = Context::load(config)?;
    let mailboxes = context.mailboxes_of(&arguments.user)?;
    let path = arguments.output.as_ref().or(arguments.path.as_ref());
    let path = path.ok_or_else(|| Failure::Usage("-o PATH says where to write".to_owned()))?;
    if path.symlink_metadata().is_ok() {
        return Err(Failure::Failed(format!(
            "{} exists already, and nothing is overwritten; name another path or remove it first",
            path.display()
        )));
    }
    if arguments.format == ExportFormat::Lode {
        lode::run(&mailboxes, arguments.mailbox.as_deref(), path, arguments.json)?;
        return mailboxes.close();
    }
    let progress = Progress::new(0);
    let mut table = Table::new(&["mailbox", "exported", "to"]);
    let mut damage = Damage { progress: &progress, count: 0 };
    for (name, mailbox, target) in targets(&mailboxes, arguments, path)? {
        let mailbox = match mailbox {
            Ok(mailbox) => mailbox,
            Err(failure) => {
                damage.note(&format!("{failure}; it is not exported"));
                continue;
            }
        };
        let writer = create_writer(arguments.format, &target)
            .map_err(Failure::because(format!("cannot write {}", target.display())))?;
        let count = export_mailbox(&mailboxes.store, &name, &mailbox, writer, &target, &mut damage)?;
        table.row(vec![name.into(), count.into(), target.display().to_string().into()]);
    }
    let damaged = damage.count;
    progress.finish();
    mailboxes.close()?;
    table.print(arguments.json, "There is nothing to export.")?;
    if damaged > 0 {
        let what = format!(
            "{damaged} messages or mailboxes could not be read and are not exported; see `lode check`"
        );
        return Err(Failure::Failed(what));
    }
    Ok(())
}

/// What could not be read. Export goes on behind it.
struct Damage<'a> {
    progress: &'a Progress,
    count: u64,
}

impl Damage<'_> {
    fn note(&mut self, what: &str) {
        self.count += 1;
        self.progress.note(what);
    }
}

/// The name of a mailbox, the mailbox if it can be opened, and where it goes.
type Target = (String, Result<Arc<Mailbox>>, PathBuf);

/// The mailboxes to be exported, and where each goes.
fn targets(mailboxes: &Mailboxes, arguments: &Arguments, path: &Path) -> Result<Vec<Target>> {
    if let Some(name) = &arguments.mailbox {
        return Ok(vec![(name.clone(), Ok(mailboxes.find(name)?), path.to_owned())]);
    }
    let list = mailboxes.list()?;
    let mut targets = Vec::new();
    for entry in list.entries().iter().filter(|entry| !entry.placeholder) {
        let id = MailboxId { user: mailboxes.user, number: entry.number };
        let target = target_path(arguments.format, path, &entry.name);
        targets.push((entry.name.clone(), mailboxes.open(id, &entry.name), target));
    }
    Ok(targets)
}

/// Where a mailbox goes below `root`. No part of a name leads out of it.
fn target_path(format: ExportFormat, root: &Path, name: &str) -> PathBuf {
    let parts: Vec<&str> = name.split('/').collect();
    match format {
        ExportFormat::Maildir if name == "INBOX" => folder_path(root, &[]),
        ExportFormat::Maildir => folder_path(root, &parts),
        ExportFormat::Mh => root.join(safe_path(&parts)),
        // The format lode has no folders: it is one file.
        ExportFormat::Mbox | ExportFormat::Lode => {
            let mut path = root.join(safe_path(&parts)).into_os_string();
            path.push(".mbox");
            PathBuf::from(path)
        }
    }
}

/// Parts of a name as a relative path. Dots in front would hide a folder or lead upwards.
fn safe_path(parts: &[&str]) -> PathBuf {
    parts
        .iter()
        .map(|part| match part.strip_prefix('.') {
            Some(rest) => format!("_{rest}"),
            None => (*part).to_owned(),
        })
        .collect()
}

fn create_writer(format: ExportFormat, path: &Path) -> io::Result<Box<dyn MailWriter>> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    Ok(match format {
        ExportFormat::Mbox | ExportFormat::Lode => Box::new(MboxWriter::create(path)?),
        ExportFormat::Maildir => Box::new(MaildirWriter::create(path)?),
        ExportFormat::Mh => Box::new(MhWriter::create(path)?),
    })
}

fn export_mailbox(
    store: &Store,
    name: &str,
    mailbox: &Mailbox,
    mut writer: Box<dyn MailWriter>,
    target: &Path,
    damage: &mut Damage<'_>,
) -> Result<u64> {
    let read = || -> store::error::Result<(Cells, Keywords, u64)> {
        Ok((mailbox.cells()?, mailbox.keywords()?, mailbox.status()?.size))
    };
    let (cells, keywords, size) = match read() {
        Ok(read) => read,
        Err(error) => {
            damage.note(&format!("{name}: {error}; the mailbox is not exported"));
            writer.finish().map_err(Failure::because(format!("cannot write {}", target.display())))?;
            return Ok(0);
        }
    };
    damage.progress.begin(name, size);
    let mut count = 0;
    for index in (0..cells.count()).map(CellIndex) {
        let (mail, message) = match outgoing(store, &cells, index, &keywords) {
            Ok(None) => continue,
            Ok(Some(mail)) => mail,
            Err(error) => {
                let which =
                    cells.perhaps_uid(index).map_or("a message".to_owned(), |uid| format!("message {uid}"));
                damage.note(&format!("{which} of {name}: {error}; it is not exported"));
                continue;
            }
        };
        let mut content = MessageReader { store, message, offset: 0, chunk: Vec::new(), at: 0 };
        writer.append(&mail, &mut content).map_err(Failure::because(format!(
            "cannot export message {} of {name} to {}",
            mail.uid,
            target.display()
        )))?;
        damage.progress.advance(message.size);
        count += 1;
    }
    let lost = writer.finish().map_err(Failure::because(format!("cannot write {}", target.display())))?;
    if !lost.is_empty() {
        damage.progress.note(&format!(
            "{name}: a Maildir has room for 26 keywords; these are missing: {}",
            lost.join(" ")
        ));
    }
    Ok(count)
}

/// A live message as it is to be written, all of its octets read once: what is damaged is not begun to be written.
fn outgoing(
    store: &Store,
    cells: &Cells,
    index: CellIndex,
    keywords: &Keywords,
) -> store::error::Result<Option<(Outgoing, StoredMessage)>> {
    if cells.flags(index)?.expunged {
        return Ok(None);
    }
    let cell: Cell = cells.cell(index)?;
    let message = store.message(cell.message)?;
    let mut chunk = Vec::new();
    let mut offset = 0;
    while offset < message.size {
        chunk.clear();
        store.read_range(&message, offset..offset + CHUNK, &mut chunk)?;
        offset += CHUNK;
    }
    let mail = Outgoing {
        flags: named(cell.flags, keywords),
        date: cell.internal_date,
        uid: cell.uid.get(),
        open_end: chunk.last() != Some(&b'\n'),
    };
    Ok(Some((mail, message)))
}

fn named(flags: Flags, keywords: &Keywords) -> MailFlags {
    let mut named = MailFlags { system: flags.system, keywords: Vec::new() };
    for (_, keyword) in keywords.iter().filter(|(bit, _)| flags.keywords & (1 << bit) != 0) {
        named.add_keyword(keyword);
    }
    named
}

/// The octets of a stored message, in pieces.
struct MessageReader<'a> {
    store: &'a Store,
    message: StoredMessage,
    offset: u64,
    chunk: Vec<u8>,
    at: usize,
}

impl Read for MessageReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.chunk.len() && self.offset < self.message.size {
            self.chunk.clear();
            self.at = 0;
            let end = self.message.size.min(self.offset + CHUNK);
            self.store
                .read_range(&self.message, self.offset..end, &mut self.chunk)
                .map_err(io::Error::other)?;
            self.offset = end;
        }
        let rest = &self.chunk[self.at..];
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        self.at += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_the_folder() {
        let root = Path::new("/out");
        for (format, name, path) in [
            (ExportFormat::Mbox, "INBOX", "/out/INBOX.mbox"),
            (ExportFormat::Mbox, "Lists/v1.0", "/out/Lists/v1.0.mbox"),
            (ExportFormat::Mbox, "../../etc/passwd", "/out/_./_./etc/passwd.mbox"),
            (ExportFormat::Mh, "..", "/out/_."),
            (ExportFormat::Mh, ".hidden/x", "/out/_hidden/x"),
            (ExportFormat::Maildir, "INBOX", "/out"),
            (ExportFormat::Maildir, "Lists/Rust", "/out/.Lists.Rust"),
        ] {
            assert_eq!(target_path(format, root, name), Path::new(path), "{name}");
        }
    }
}
