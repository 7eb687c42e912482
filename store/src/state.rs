//! Who has the store open: the files `FORMAT` and `state`, and the locks on files that die with their process.
//!
//! Everybody who has the store open holds a shared lock on `FORMAT`. Who gets it exclusively has the store to itself: the first
//! opener, which runs recovery and makes the locks file, and the last one to close. All of these are open-file-description
//! locks (`F_OFD_SETLK`): the kernel gives them up when the process dies.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

use crate::disk::{Disk, DiskFile};
use crate::error::{Result, StoreError};
use crate::locks::{Locks, Syncs};
use crate::reserve::Reserve;
use crate::text::{with_crc, without_crc};

const FORMAT_LINE: &str = "lode store 1";
const STATE_LINE: &str = "lode state 1";
const BOOT_ID_FILE: &str = "/proc/sys/kernel/random/boot_id";
/// The first opener may have much to replay.
const OPEN_WAIT_MOST: Duration = Duration::from_secs(600);
/// A writer number becomes free when the process that had it is gone.
const WRITER_WAIT_MOST: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(10);
/// The first writer number of tools; handlers have those below.
pub(crate) const FIRST_TOOL: u16 = 64;
const LAST_TOOL: u16 = 4095;

/// How the store was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Somebody has it open, or had when the machine went down.
    Open,
    /// Recovery from a power cut was begun; until it is done, the views may be of both epochs.
    Recovering,
    /// The last one to close it made all of it durable.
    Clean,
}

/// The file `state`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// The boot in which the store was opened last.
    pub(crate) boot_id: String,
    /// Raised by every recovery from a power cut.
    pub(crate) epoch: u32,
    pub(crate) left: Left,
    /// Which making of the locks file is in use, and where it is.
    pub(crate) locks_id: u64,
    pub(crate) locks_path: PathBuf,
}

impl State {
    /// The state of the store in `folder`; `None` if it has none yet.
    pub(crate) fn read(disk: &Disk, folder: &Path) -> Result<Option<State>> {
        let path = folder.join("state");
        let bytes = match disk.read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io(&path, "read")(error)),
        };
        let state = State::parse(&bytes);
        state.map(Some).ok_or_else(|| StoreError::corrupt(&path, 0, "the store's state"))
    }

    /// The state under which the first opener in the boot `boot_id` takes the store over: *recovering*, under a new epoch, if the
    /// machine went down while it was open or being recovered.
    pub(crate) fn taken_over(&self, boot_id: &str, locks_id: u64, locks_path: &Path) -> State {
        let machine_went_down = self.left != Left::Clean && self.boot_id != boot_id;
        let left = match self.left {
            _ if machine_went_down => Left::Recovering,
            Left::Recovering => Left::Recovering,
            Left::Open | Left::Clean => Left::Open,
        };
        State {
            boot_id: boot_id.to_string(),
            epoch: self.epoch.saturating_add(u32::from(machine_went_down)),
            left,
            locks_id,
            locks_path: locks_path.to_path_buf(),
        }
    }

    /// Whether syncs are to be trusted by the first opener in the boot `boot_id`. What the system had in memory is gone after another boot, and on the disk
    /// when the store was closed; else it is known from the locks file, which says so once.
    pub(crate) fn syncs(&self, boot_id: &str) -> Result<Syncs> {
        if self.boot_id != boot_id || self.left == Left::Clean {
            return Ok(Syncs::Trusted);
        }
        Locks::take_word(&self.locks_path, self.locks_id)
    }

    pub(crate) fn write(&self, disk: &Disk, folder: &Path) -> Result<()> {
        let path = folder.join("state");
        Reserve::State
            .with(disk, folder, || disk.replace_file(&path, self.to_text().as_bytes()))
            .map_err(StoreError::io(&path, "write"))
    }

    fn to_text(&self) -> String {
        let left = match self.left {
            Left::Open => "open",
            Left::Recovering => "recovering",
            Left::Clean => "clean",
        };
        let State { boot_id, epoch, locks_id, .. } = self;
        let locks = self.locks_path.display();
        with_crc(format!(
            "{STATE_LINE}\nboot {boot_id}\nepoch {epoch}\nleft {left}\nlocks {locks_id:016x} {locks}\n"
        ))
    }

    /// The state that the octets of a file are.
    pub(crate) fn parse(bytes: &[u8]) -> Option<State> {
        let mut lines = without_crc(bytes)?.lines();
        if lines.next()? != STATE_LINE {
            return None;
        }
        let boot_id = lines.next()?.strip_prefix("boot ")?.to_string();
        let epoch = lines.next()?.strip_prefix("epoch ")?.parse().ok()?;
        let left = match lines.next()?.strip_prefix("left ")? {
            "open" => Left::Open,
            "recovering" => Left::Recovering,
            "clean" => Left::Clean,
            _ => return None,
        };
        let (id, path) = lines.next()?.strip_prefix("locks ")?.split_once(' ')?;
        let locks_id = u64::from_str_radix(id, 16).ok()?;
        Some(State { boot_id, epoch, left, locks_id, locks_path: PathBuf::from(path) })
    }
}

/// The kernel's name for this run of it.
pub(crate) fn boot_id() -> Result<String> {
    let path = Path::new(BOOT_ID_FILE);
    let text = fs::read_to_string(path).map_err(StoreError::io(path, "read"))?;
    Ok(text.trim().to_string())
}

/// A store's folder that this process has a lock on.
#[derive(Debug)]
pub(crate) struct Claim {
    disk: Disk,
    path: PathBuf,
    format: DiskFile,
}

/// What an opener turned out to be.
#[derive(Debug)]
pub(crate) enum Opened {
    /// The first: nobody else has the store open, nor gets it until `share`.
    First(Claim),
    /// Another, of a store that is in use under this state.
    Another(Claim, State),
}

impl Claim {
    /// Claims the store in `folder`, making an empty one if the folder is absent or empty. `boot_id` is of now: a state of
    /// another boot was not left by a process that still lives.
    pub(crate) fn take(disk: &Disk, folder: &Path, boot_id: &str) -> Result<Opened> {
        let path = folder.join("FORMAT");
        let format = open_format(disk, folder, &path)?;
        let claim = Claim { disk: disk.clone(), path, format };
        let deadline = Instant::now() + OPEN_WAIT_MOST;
        loop {
            if claim.lock(libc::F_WRLCK)? {
                return Ok(Opened::First(claim));
            }
            if claim.lock(libc::F_RDLCK)? {
                match State::read(disk, folder)? {
                    Some(state) if state.left == Left::Open && state.boot_id == boot_id => {
                        return Ok(Opened::Another(claim, state));
                    }
                    // The first opener gave up, or the last closer has just gone: try to be the first.
                    _ => claim.lock(libc::F_UNLCK).map(drop)?,
                }
            }
            if Instant::now() > deadline {
                return Err(StoreError::Busy("the store, which another process is recovering,"));
            }
            std::thread::sleep(RETRY);
        }
    }

    /// Lets others in.
    pub(crate) fn share(&self) -> Result<()> {
        self.lock(libc::F_RDLCK).map(drop)
    }

    /// Whether nobody else has the store open under `locks_id`; then nobody gets it until `give_up`. Otherwise the claim is given
    /// up here: of several who close at the same time, one is the last.
    pub(crate) fn is_last(&self, folder: &Path, locks_id: u64) -> Result<bool> {
        if self.lock(libc::F_WRLCK)? {
            return Ok(true);
        }
        // The others may be waiting for this one to go.
        self.give_up()?;
        if !self.lock(libc::F_WRLCK)? {
            return Ok(false);
        }
        // Somebody may have opened and closed it in between, with locks of their own.
        let ours = State::read(&self.disk, folder)?
            .is_some_and(|state| state.left == Left::Open && state.locks_id == locks_id);
        if !ours {
            self.give_up()?;
        }
        Ok(ours)
    }

    /// Lets go of the store.
    pub(crate) fn give_up(&self) -> Result<()> {
        self.lock(libc::F_UNLCK).map(drop)
    }

    fn lock(&self, kind: libc::c_int) -> Result<bool> {
        lock_bytes(self.format.file(), kind, 0, 1).map_err(StoreError::io(&self.path, "lock"))
    }
}

fn open_format(disk: &Disk, folder: &Path, path: &Path) -> Result<DiskFile> {
    let open = || disk.open_writable(path);
    let file = match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_format(disk, folder, path)?;
            open()
        }
        file => file,
    };
    let file = file.map_err(StoreError::io(path, "open"))?;
    let mut first = [0; 64];
    let read = file.read_at(&mut first, 0).map_err(StoreError::io(path, "read"))?;
    let line = String::from_utf8_lossy(&first[..read]).lines().next().unwrap_or_default().to_string();
    if line == FORMAT_LINE {
        return match store_id(&first[..read]) {
            Some(_) => Ok(file),
            None => Err(StoreError::corrupt(path, 0, "the checksum of the file FORMAT is wrong")),
        };
    }
    Err(StoreError::Unusable {
        path: folder.to_path_buf(),
        reason: if line.starts_with("lode store ") {
            format!(
                "its format is {line:?}, this release of Lode knows {FORMAT_LINE:?}; use the release that made it"
            )
        } else {
            "its file FORMAT was not written by Lode; choose another folder".to_string()
        },
    })
}

/// What the file FORMAT of the store `id` says.
pub(crate) fn format_text(id: u64) -> String {
    with_crc(format!("{FORMAT_LINE}\nid {id:016x}\n"))
}

/// The id of the store whose file FORMAT holds `bytes`.
pub(crate) fn store_id(bytes: &[u8]) -> Option<u64> {
    let rest = without_crc(bytes)?.strip_prefix(FORMAT_LINE)?.strip_prefix("\nid ")?;
    u64::from_str_radix(rest.strip_suffix('\n')?, 16).ok()
}

/// Makes the file FORMAT, whole or not at all, in a folder that holds nothing else.
fn make_format(disk: &Disk, folder: &Path, path: &Path) -> Result<()> {
    disk.make_folder(folder).map_err(StoreError::io(folder, "make"))?;
    let entries = disk.read_dir(folder).map_err(StoreError::io(folder, "read"))?;
    // Others are what another process leaves that is making the store at this moment.
    let is_foreign = |name: &String| name != "FORMAT" && !name.starts_with("FORMAT.");
    let foreign = entries.into_iter().map(|entry| entry.name).find(is_foreign);
    if let Some(name) = foreign
        && !disk.exists(path)
    {
        return Err(StoreError::Unusable {
            path: folder.to_path_buf(),
            reason: format!(
                "this is no store, and not empty (there is {name:?}); choose an empty or a new folder"
            ),
        });
    }
    let id = disk.random_number()?;
    let temporary = folder.join(format!("FORMAT.{id:016x}"));
    let text = format_text(id);
    disk.replace_file(&temporary, text.as_bytes()).map_err(StoreError::io(&temporary, "write"))?;
    let linked = match disk.hard_link(&temporary, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(StoreError::io(path, "create")(error))
        }
        _ => Ok(()),
    };
    let _ = disk.remove_file(&temporary);
    linked
}

/// A writer number that nobody else has while this lives.
#[derive(Debug)]
pub(crate) struct WriterClaim {
    _file: File,
    number: u16,
}

impl WriterClaim {
    /// Takes `number`. Waits a while for a process that is about to end.
    pub(crate) fn take(runtime_dir: &Path, number: u16) -> Result<WriterClaim> {
        let (path, file) = open_writers(runtime_dir)?;
        let deadline = Instant::now() + WRITER_WAIT_MOST;
        while !lock_writer(&path, &file, number)? {
            if Instant::now() > deadline {
                return Err(StoreError::Busy("the writer number, which another process has,"));
            }
            std::thread::sleep(RETRY);
        }
        Ok(WriterClaim { _file: file, number })
    }

    /// Takes the lowest free number for a tool.
    pub(crate) fn take_for_tool(runtime_dir: &Path) -> Result<WriterClaim> {
        let (path, file) = open_writers(runtime_dir)?;
        for number in FIRST_TOOL..=LAST_TOOL {
            if lock_writer(&path, &file, number)? {
                return Ok(WriterClaim { _file: file, number });
            }
        }
        Err(StoreError::Busy("a writer number for tools"))
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }
}

/// Whether some process has the writer `number` now, this one included.
pub(crate) fn is_writer_alive(runtime_dir: &Path, number: u16) -> Result<bool> {
    // Through an open file of its own: a lock is in the way of this question whoever holds it.
    let (path, file) = open_writers(runtime_dir)?;
    let mut range = byte_range(libc::F_WRLCK, i64::from(number), 1);
    loop {
        match fcntl(&file, FcntlArg::F_OFD_GETLK(&mut range)) {
            Ok(_) => return Ok(i32::from(range.l_type) != libc::F_UNLCK),
            Err(Errno::EINTR) => (),
            Err(errno) => return Err(StoreError::io(&path, "look at the locks of")(errno.into())),
        }
    }
}

fn open_writers(runtime_dir: &Path) -> Result<(PathBuf, File)> {
    let path = runtime_dir.join("writers");
    let file = File::options().read(true).write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(StoreError::io(&path, "open"))?;
    Ok((path, file))
}

fn lock_writer(path: &Path, file: &File, number: u16) -> Result<bool> {
    lock_bytes(file, libc::F_WRLCK, i64::from(number), 1).map_err(StoreError::io(path, "lock"))
}

fn byte_range(kind: libc::c_int, start: i64, len: i64) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start,
        l_len: len,
        l_pid: 0,
    }
}

/// Tries to lock octets of a file; false if another open file has a lock on them that is in the way.
pub(crate) fn lock_bytes(file: &File, kind: libc::c_int, start: i64, len: i64) -> io::Result<bool> {
    let range = byte_range(kind, start, len);
    loop {
        match fcntl(file, FcntlArg::F_OFD_SETLK(&range)) {
            Ok(_) => return Ok(true),
            Err(Errno::EINTR) => (),
            Err(Errno::EAGAIN | Errno::EACCES) => return Ok(false),
            Err(errno) => return Err(errno.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot() -> String {
        boot_id().expect("readable")
    }

    #[test]
    fn the_state_comes_back() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(State::read(&Disk::real(), folder.path()).expect("readable"), None);
        let state = State {
            boot_id: "a-b".to_string(),
            epoch: 3,
            left: Left::Clean,
            locks_id: 0xabc,
            locks_path: PathBuf::from("/run/with space/locks"),
        };
        state.write(&Disk::real(), folder.path()).expect("written");
        assert_eq!(State::read(&Disk::real(), folder.path()).expect("readable"), Some(state));
        fs::write(folder.path().join("state"), "lode state 2\n").expect("written");
        assert!(State::read(&Disk::real(), folder.path()).is_err());
    }

    #[test]
    fn one_is_first_and_others_wait_for_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = folder.path().join("store");
        let Opened::First(first) = Claim::take(&Disk::real(), &store, &boot()).expect("made") else {
            panic!("nobody else is there")
        };
        let state = State {
            boot_id: boot(),
            epoch: 1,
            left: Left::Open,
            locks_id: 1,
            locks_path: PathBuf::from("/x"),
        };
        let waiting = std::thread::spawn({
            let store = store.clone();
            move || Claim::take(&Disk::real(), &store, &boot())
        });
        std::thread::sleep(Duration::from_millis(50));
        assert!(!waiting.is_finished());
        state.write(&Disk::real(), &store).expect("written");
        first.share().expect("shared");
        let another = waiting.join().expect("no panic").expect("opened");
        assert!(matches!(&another, Opened::Another(_, seen) if *seen == state));
        assert!(!first.is_last(&store, 1).expect("asked"));
        let Opened::Another(another, _) = another else { panic!("seen above") };
        assert!(
            another.is_last(&store, 1).expect("asked"),
            "one that was told that it is not the last is gone"
        );
    }

    #[test]
    fn a_recovery_that_was_cut_short_is_begun_again() {
        let now = |boot: &str, left, epoch| State {
            boot_id: boot.to_string(),
            epoch,
            left,
            locks_id: 1,
            locks_path: PathBuf::from("/x"),
        };
        for (before, boot, after) in [
            (now("a", Left::Clean, 1), "b", (Left::Open, 1)),
            (now("a", Left::Open, 1), "a", (Left::Open, 1)),
            (now("a", Left::Open, 1), "b", (Left::Recovering, 2)),
            (now("b", Left::Recovering, 2), "b", (Left::Recovering, 2)),
            (now("b", Left::Recovering, 2), "c", (Left::Recovering, 3)),
        ] {
            let taken = before.taken_over(boot, 7, Path::new("/y"));
            assert_eq!((taken.left, taken.epoch, &taken.boot_id[..]), (after.0, after.1, boot), "{before:?}");
        }
    }

    #[test]
    fn folders_of_others_are_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("letter.txt"), "mine").expect("written");
        assert!(matches!(
            Claim::take(&Disk::real(), folder.path(), &boot()),
            Err(StoreError::Unusable { .. })
        ));
        let newer = folder.path().join("newer");
        fs::create_dir(&newer).expect("made");
        fs::write(newer.join("FORMAT"), "lode store 2\nid 0\n").expect("written");
        let error = Claim::take(&Disk::real(), &newer, &boot()).expect_err("refused").to_string();
        assert!(error.contains("lode store 2"), "{error}");
    }

    #[test]
    fn writer_numbers_are_taken_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let one = WriterClaim::take_for_tool(folder.path()).expect("free");
        let two = WriterClaim::take_for_tool(folder.path()).expect("free");
        assert_eq!((one.number(), two.number()), (64, 65));
        drop(one);
        assert_eq!(WriterClaim::take_for_tool(folder.path()).expect("free").number(), 64);
    }
}
