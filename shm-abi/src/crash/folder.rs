//! The folder `crashes` of the runtime folder.
//!
//! ```text
//! crashes/<time in ms>-<pid>-<thread>.toml   a report; the newest REPORTS_MAX are kept
//! crashes/mail/<page>.<index>.<n>            the n-th crash while this message was being read; empty
//! ```
//!
//! A message is quarantined from the file with n = [`QUARANTINE_AFTER`] on. Files are made by `O_EXCL`, so that processes that count the same
//! message at the same moment count to two; they are never written, so that nothing can be half there. That they are in the runtime folder, and
//! not in the store, is on purpose: it is this program that cannot read the message. After the next boot, or the next version that clears the
//! folder, it gets another chance.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::crash::CrashReport;

/// Crashes after which a message is not read any more.
pub const QUARANTINE_AFTER: u32 = 2;
/// Reports kept.
const REPORTS_MAX: usize = 100;
/// A report that is longer was not written by us.
const REPORT_OCTETS_MAX: u64 = 64 * 1024;
/// Messages kept count of. More than that are no accident of single messages.
const MAIL_MAX: usize = 1000;

/// The folder with what is kept of crashes.
#[derive(Debug, Clone)]
pub struct CrashFolder {
    path: PathBuf,
}

/// A message that was being read when a session crashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CrashedMessage {
    /// Page in the high half, index in the low.
    pub id: u64,
    /// How often, as far as it is counted.
    pub crashes: u32,
}

impl CrashFolder {
    /// In this runtime folder. Nothing is made there before there is something to keep.
    pub fn new(runtime_dir: &Path) -> CrashFolder {
        CrashFolder { path: runtime_dir.join("crashes") }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn mail(&self) -> PathBuf {
        self.path.join("mail")
    }

    /// Keeps a report; the oldest go.
    ///
    /// # Errors
    /// The file system's.
    pub fn keep(&self, report: &CrashReport) -> io::Result<PathBuf> {
        make_folder(&self.path)?;
        let text = toml::to_string(report).map_err(io::Error::other)?;
        let name = format!("{}-{}-{}", report.at_ms, report.pid, report.thread);
        let path = self.path.join(format!("{name}.toml"));
        let new = self.path.join(format!("{name}.new"));
        let mut file = private().truncate(true).open(&new)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&new, &path)?;
        self.prune()?;
        Ok(path)
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names: Vec<String> =
            list(&self.path)?.into_iter().filter(|name| name.ends_with(".toml")).collect();
        // The time comes first and keeps its number of digits for some centuries.
        names.sort_unstable();
        Ok(names)
    }

    fn prune(&self) -> io::Result<()> {
        let names = self.names()?;
        for name in &names[..names.len().saturating_sub(REPORTS_MAX)] {
            remove(&self.path.join(name))?;
        }
        Ok(())
    }

    /// All reports, oldest first, with their names. One that cannot be read is left out.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn reports(&self) -> io::Result<Vec<(String, CrashReport)>> {
        let mut reports = Vec::new();
        for name in self.names()? {
            let path = self.path.join(&name);
            if fs::metadata(&path).is_ok_and(|facts| facts.len() <= REPORT_OCTETS_MAX)
                && let Ok(text) = fs::read_to_string(&path)
                && let Ok(report) = toml::from_str(&text)
            {
                reports.push((name.trim_end_matches(".toml").to_owned(), report));
            }
        }
        Ok(reports)
    }

    /// Removes all reports. Messages stay quarantined.
    ///
    /// # Errors
    /// The file system's.
    pub fn clear(&self) -> io::Result<usize> {
        let names = self.names()?;
        for name in &names {
            remove(&self.path.join(name))?;
        }
        Ok(names.len())
    }

    /// A session crashed while it read this message: how often that has happened now.
    ///
    /// # Errors
    /// The file system's.
    pub fn count_message(&self, id: u64) -> io::Result<u32> {
        make_folder(&self.path)?;
        make_folder(&self.mail())?;
        if list(&self.mail())?.len() >= MAIL_MAX {
            return Ok(0);
        }
        for crashes in 1..QUARANTINE_AFTER {
            match private().create_new(true).open(self.mark(id, crashes)) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                other => return other.map(|_| crashes),
            }
        }
        File::create(self.mark(id, QUARANTINE_AFTER)).map(|_| QUARANTINE_AFTER)
    }

    fn mark(&self, id: u64, crashes: u32) -> PathBuf {
        self.mail().join(format!("{}.{}.{crashes}", id >> 32, id as u32))
    }

    /// The messages that were being read when sessions crashed, ascending.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn messages(&self) -> io::Result<Vec<CrashedMessage>> {
        let mut messages: Vec<CrashedMessage> =
            list(&self.mail())?.iter().filter_map(|name| parse_mark(name)).collect();
        messages.sort_unstable_by_key(|message| (message.id, std::cmp::Reverse(message.crashes)));
        messages.dedup_by_key(|message| message.id);
        Ok(messages)
    }

    /// Those that are not to be read any more.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn quarantined(&self) -> io::Result<Vec<u64>> {
        let messages = self.messages()?.into_iter();
        Ok(messages.filter(|message| message.crashes >= QUARANTINE_AFTER).map(|message| message.id).collect())
    }

    /// Lets a message be read again, as one that never crashed a session. False if none was counted for it.
    ///
    /// # Errors
    /// The file system's.
    pub fn lift(&self, id: u64) -> io::Result<bool> {
        let mut found = false;
        for crashes in (1..=QUARANTINE_AFTER).rev() {
            found |= remove(&self.mark(id, crashes))?;
        }
        Ok(found)
    }

    /// A number that is another whenever the messages have changed; none while there are no messages. For who looks often.
    pub fn messages_changed(&self) -> Option<SystemTime> {
        fs::metadata(self.mail()).and_then(|facts| facts.modified()).ok()
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).mode(0o600);
    options
}

fn make_folder(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Names in a folder; none if it is not there.
fn list(path: &Path) -> io::Result<Vec<String>> {
    match fs::read_dir(path) {
        Ok(entries) => {
            Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn parse_mark(name: &str) -> Option<CrashedMessage> {
    let mut parts = name.split('.');
    let mut number = || parts.next()?.parse::<u32>().ok();
    let (page, index, crashes) = (number()?, number()?, number()?);
    Some(CrashedMessage { id: u64::from(page) << 32 | u64::from(index), crashes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker_row::{CrashFacts, WorkerInfo, WorkerStage};

    #[test]
    fn reports_are_kept_up_to_a_number() {
        let runtime = tempfile::tempdir().unwrap();
        let folder = CrashFolder::new(runtime.path());
        assert!(folder.reports().unwrap().is_empty());
        let mut facts = CrashFacts {
            signal: 11,
            address: 8,
            instruction: 0x5500_1234,
            program_base: 0x5500_0000,
            engine_depth: 1,
            ..CrashFacts::default()
        };
        facts.frames[0] = 0x5500_4321;
        let worker = WorkerInfo {
            worker: 0,
            thread: 77,
            stage: WorkerStage::Crashed,
            session: Some((3, 4)),
            since_ms: 1,
            turns: 1,
            message: Some(20 << 32 | 5),
            input: b"a FETCH 1 BODY[]\r\n".to_vec(),
            input_came: 18,
            crash: Some(facts),
        };
        for number in 0..REPORTS_MAX as u64 + 5 {
            let report = CrashReport::of(&worker, None, (2, 99), "/bin/handler", 1_700_000_000_000 + number);
            folder.keep(&report).unwrap();
        }
        let reports = folder.reports().unwrap();
        assert_eq!(reports.len(), REPORTS_MAX);
        let (name, report) = &reports[0];
        assert_eq!(name, "1700000000005-99-77");
        assert_eq!((report.what.as_str(), report.address.as_str()), ("SIGSEGV", "0x8"));
        assert_eq!((report.instruction.as_str(), &report.backtrace), ("0x1234", &vec!["0x4321".to_owned()]));
        assert_eq!((report.session.as_str(), report.mail.as_str()), ("2.3.4", "20.5"));
        assert_eq!(report.locks_held, 1);
        // What somebody else put there does no harm.
        fs::write(folder.path().join("1-1-1.toml"), "what").unwrap();
        assert_eq!(folder.reports().unwrap().len(), REPORTS_MAX);
        assert_eq!(folder.clear().unwrap(), REPORTS_MAX + 1);
        assert!(folder.reports().unwrap().is_empty());
    }

    #[test]
    fn a_message_is_quarantined_by_its_second_crash_and_lifted() {
        let runtime = tempfile::tempdir().unwrap();
        let folder = CrashFolder::new(runtime.path());
        assert_eq!(folder.messages_changed(), None);
        let (one, other) = (20_000 << 32 | 7, 20_001 << 32);
        assert_eq!(folder.count_message(one).unwrap(), 1);
        assert_eq!(folder.count_message(other).unwrap(), 1);
        assert!(folder.quarantined().unwrap().is_empty());
        assert_eq!(folder.count_message(one).unwrap(), 2);
        assert_eq!(folder.count_message(one).unwrap(), 2);
        assert_eq!(folder.quarantined().unwrap(), [one]);
        assert_eq!(
            folder.messages().unwrap(),
            [CrashedMessage { id: one, crashes: 2 }, CrashedMessage { id: other, crashes: 1 }]
        );
        assert!(folder.messages_changed().is_some());
        assert!(folder.lift(one).unwrap() && !folder.lift(one).unwrap());
        assert!(folder.quarantined().unwrap().is_empty());
        assert_eq!(folder.count_message(one).unwrap(), 1);
    }
}
