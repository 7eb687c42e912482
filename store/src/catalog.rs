//! Users: number ↔ name. The file `catalog` has a row for each number ever given out; the file `number` in a user's folder is the
//! way back from the name, so that finding one user among many reads two small files and keeps nothing in memory.
//!
//! Invariants:
//! - A row once written keeps its number and name; a deleted user's row is marked. No number is given out twice.
//! - A `number` file counts only if the row of that number is there and says the same name.
//! - Both are derived from the logs, and applied idempotently, under the catalog's lock of the caller.
//!
//! Drawn in `FORMAT.md`, "Catalog".

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use crate::disk::{Disk, DiskFile};
use crate::error::{Result, StoreError};
use crate::ids::UserId;
use crate::lists::MailboxList;
use crate::mailbox::Mailbox;

/// Octets of a user's name at most.
pub const LONGEST_USER_NAME_BYTES: usize = 255;

const MAGIC: &[u8; 8] = b"LODECAT1";
/// A sector: a power cut leaves a row old or new, never half of each.
const ROW_BYTES: usize = 512;
const NAME_START: usize = 8;
/// Rows that are read at once when all users are listed.
const ROWS_AT_ONCE: usize = 256;
/// Octets of a folder's name that are the user's name; what is longer is told apart by a hash.
const LONGEST_FOLDER_NAME_BYTES: usize = 200;

const _: () = assert!(NAME_START + LONGEST_USER_NAME_BYTES < ROW_BYTES);

/// What a row says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Row {
    /// Never written, or lost by a power cut.
    Empty,
    /// There is this user.
    Live(String),
    /// There was, under this name.
    Deleted(String),
}

const STATE_LIVE: u8 = 1;
const STATE_DELETED: u8 = 2;

/// The open catalog.
#[derive(Debug)]
pub struct Catalog {
    disk: Disk,
    path: PathBuf,
    file: DiskFile,
    users: PathBuf,
}

impl Catalog {
    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of the users' folders.
    pub fn users_folder(&self) -> &Path {
        &self.users
    }

    /// Opens the catalog file, or makes an empty one. `users` is the folder of the users' folders.
    pub fn open(disk: &Disk, catalog: &Path, users: &Path) -> Result<Catalog> {
        let file = disk.open_or_create(catalog).map_err(StoreError::io(catalog, "open"))?;
        let mut head = [0; MAGIC.len()];
        let read = file.read_at(&mut head, 0).map_err(StoreError::io(catalog, "read"))?;
        if read == head.len() && head != [0; MAGIC.len()] && head != *MAGIC {
            return Err(StoreError::corrupt(catalog, 0, "this is not a catalog"));
        }
        if head != *MAGIC {
            let mut row = [0; ROW_BYTES];
            row[..MAGIC.len()].copy_from_slice(MAGIC);
            file.write_all_at(&row, 0).map_err(StoreError::io(catalog, "write"))?;
        }
        Ok(Catalog { disk: disk.clone(), path: catalog.to_path_buf(), file, users: users.to_path_buf() })
    }

    /// The user of that name.
    pub fn find(&self, name: &str) -> Result<Option<UserId>> {
        let Some(user) = read_number(&self.disk, &number_path(&self.user_directory(name)))? else {
            return Ok(None);
        };
        match self.row(user)? {
            Row::Live(known) if known == name => Ok(Some(user)),
            _ => Ok(None),
        }
    }

    /// The name of a user; `None` if there is none of that number (any more).
    pub fn name(&self, user: UserId) -> Result<Option<String>> {
        match self.row(user)? {
            Row::Live(name) => Ok(Some(name)),
            Row::Empty | Row::Deleted(_) => Ok(None),
        }
    }

    /// Whether there was a user of that number who is gone.
    pub(crate) fn is_deleted(&self, user: UserId) -> Result<bool> {
        self.row(user).map(|row| matches!(row, Row::Deleted(_)))
    }

    /// All users, in order of their numbers.
    pub fn users(&self) -> Result<Vec<(UserId, String)>> {
        let mut users = Vec::new();
        let mut bytes = vec![0; ROW_BYTES * ROWS_AT_ONCE];
        let mut number: u32 = 1;
        loop {
            let start = row_offset(UserId(number));
            let read = self.file.read_up_to(&mut bytes, start).map_err(StoreError::io(&self.path, "read"))?;
            for row in bytes[..read].chunks_exact(ROW_BYTES) {
                if let Row::Live(name) = self.decode(UserId(number), row)? {
                    users.push((UserId(number), name));
                }
                number += 1;
            }
            if read < bytes.len() {
                return Ok(users);
            }
        }
    }

    /// The folder of the user of that name, whether or not there is one.
    pub fn user_directory(&self, name: &str) -> PathBuf {
        let hash = xxh3_64(name.as_bytes());
        let mut folder = String::with_capacity(name.len());
        for (place, octet) in name.bytes().enumerate() {
            let plain = octet.is_ascii_lowercase() || octet.is_ascii_digit() || b"@._+-".contains(&octet);
            if plain && (place > 0 || octet != b'.') {
                folder.push(char::from(octet));
            } else {
                // Writing to a string does not fail.
                let _ = write!(folder, "%{octet:02X}");
            }
        }
        if folder.len() > LONGEST_FOLDER_NAME_BYTES {
            folder.truncate(LONGEST_FOLDER_NAME_BYTES);
            let _ = write!(folder, "%~{hash:016x}");
        }
        self.users.join(format!("{:02x}", hash & 0xff)).join(folder)
    }

    /// The number that the next user gets. Under the catalog's lock.
    pub(crate) fn next_user(&self) -> Result<UserId> {
        let length = self.file.len().map_err(StoreError::io(&self.path, "look at"))?;
        let rows = length.div_ceil(ROW_BYTES as u64).max(1);
        let number = u32::try_from(rows)
            .map_err(|_| StoreError::corrupt(&self.path, length, "more users than can be numbered"))?;
        Ok(UserId(number))
    }

    /// There is a user. Under the catalog's lock, or a lock of one of the user's mailboxes or of the list. Nobody finds the user by name before [`Catalog::apply_name`].
    pub(crate) fn apply_create(&self, user: UserId, name: &str) -> Result<()> {
        match self.row(user) {
            Ok(Row::Deleted(_)) => return Ok(()),
            Ok(Row::Live(known)) if known != name => {
                return Err(StoreError::corrupt(
                    &self.path,
                    row_offset(user),
                    "the log names this user otherwise",
                ));
            }
            // The log knows what belongs into a damaged row.
            Ok(Row::Empty | Row::Live(_)) | Err(StoreError::Corrupt { .. }) => (),
            Err(error) => return Err(error),
        }
        if name.is_empty() || name.len() > LONGEST_USER_NAME_BYTES {
            return Err(StoreError::corrupt(
                &self.path,
                row_offset(user),
                "the log has a user's name that cannot be",
            ));
        }
        self.write_row(user, STATE_LIVE, name)?;
        let folder = self.user_directory(name);
        self.disk.create_dir_all(&folder).map_err(StoreError::io(&folder, "create"))
    }

    /// The user's mailboxes are there: from now on the name is found. Under the catalog's lock or that of the user's list, after [`Catalog::apply_create`].
    pub(crate) fn apply_name(&self, user: UserId, name: &str) -> Result<()> {
        match self.row(user)? {
            Row::Live(known) if known == name => (),
            // Deleted since.
            _ => return Ok(()),
        }
        let path = number_path(&self.user_directory(name));
        // Two who repair the work of a third may be here at the same time.
        let temporary = path.with_extension(format!("{:016x}.new", self.disk.random_number()?));
        self.disk
            .create_or_empty(&temporary)
            .and_then(|file| file.write_all_at(&number_bytes(user), 0))
            .map_err(StoreError::io(&temporary, "write"))?;
        self.disk.rename(&temporary, &path).map_err(StoreError::io(&path, "put in place"))
    }

    /// A user whom the catalog has lost was there once, and is gone. False, and nothing is done, if the user is there. Recovery only.
    pub(crate) fn apply_deleted(&self, user: UserId, name: &str) -> Result<bool> {
        match self.row(user) {
            Ok(Row::Live(_)) => return Ok(false),
            Ok(Row::Deleted(_)) => return Ok(true),
            Ok(Row::Empty) | Err(StoreError::Corrupt { .. }) => (),
            Err(error) => return Err(error),
        }
        let folder = self.user_directory(name);
        // What is damaged may be another's who has the name now.
        let is_theirs = match read_number(&self.disk, &number_path(&folder)) {
            Err(StoreError::Corrupt { .. }) => false,
            number => number? == Some(user),
        };
        if is_theirs {
            self.put_folder_away(&folder, user)?;
        }
        self.write_row(user, STATE_DELETED, name)?;
        Ok(true)
    }

    /// No number up to `highest` is given to a new user. Recovery only.
    pub(crate) fn reserve_numbers(&self, highest: UserId) -> Result<()> {
        if self.next_user()? > highest {
            return Ok(());
        }
        let row = [0; ROW_BYTES];
        self.file.write_all_at(&row, row_offset(highest)).map_err(StoreError::io(&self.path, "write"))
    }

    /// A user is gone. Under the catalog's lock. The folder becomes `.deleted.<number>` beside where it was, so that the name can
    /// be used again; what is in it may be removed when nobody has it open.
    pub(crate) fn apply_delete(&self, user: UserId) -> Result<()> {
        let (name, is_marked) = match self.row(user)? {
            Row::Live(name) => (name, false),
            Row::Deleted(name) => (name, true),
            Row::Empty => return Ok(()),
        };
        let folder = self.user_directory(&name);
        // A name is given to another only when the folder was put away: a damaged file there was this user's, if the row does not say more.
        let is_theirs = match read_number(&self.disk, &number_path(&folder)) {
            Err(StoreError::Corrupt { .. }) if !is_marked => true,
            Err(StoreError::Corrupt { .. }) | Ok(None) => self.holds_what_is_of(&folder, user)?,
            number => number? == Some(user),
        };
        if is_theirs {
            // Also where the row says it already: a power cut may have kept that and lost the folder's new name.
            self.put_folder_away(&folder, user)?;
        }
        if is_marked { Ok(()) } else { self.write_row(user, STATE_DELETED, &name) }
    }

    /// Whether what is in a folder without a number is this user's: a power cut may have taken the number and left the rest, or some of it.
    fn holds_what_is_of(&self, folder: &Path, user: UserId) -> Result<bool> {
        if matches!(MailboxList::read(&self.disk, &list_path(folder), user), Ok(Some(_))) {
            return Ok(true);
        }
        let entries = match self.disk.read_dir(folder) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(false);
            }
            entries => entries.map_err(StoreError::io(folder, "read"))?,
        };
        for entry in entries.into_iter().filter(|entry| entry.is_dir) {
            match Mailbox::id_in(&self.disk, &folder.join(entry.name).join("cells")) {
                Ok(mailbox) if mailbox.user == user => return Ok(true),
                Ok(_) | Err(StoreError::NotFound(_) | StoreError::Corrupt { .. }) => (),
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// A power cut may have kept this and lost the row that says so: what has the name then is the next one's.
    fn put_folder_away(&self, folder: &Path, user: UserId) -> Result<()> {
        let away = put_away(folder, user);
        if self.disk.exists(&away) {
            return Ok(());
        }
        self.disk.rename(folder, &away).map_err(StoreError::io(folder, "put away"))
    }

    /// Where the folder of a deleted user is, unless it has been removed. `None` for a number that was never given out.
    pub(crate) fn folder_put_away(&self, user: UserId) -> Result<Option<PathBuf>> {
        Ok(match self.row(user)? {
            Row::Live(name) | Row::Deleted(name) => Some(put_away(&self.user_directory(&name), user)),
            Row::Empty => None,
        })
    }

    fn row(&self, user: UserId) -> Result<Row> {
        if user.0 == 0 {
            return Ok(Row::Empty);
        }
        let mut bytes = [0; ROW_BYTES];
        let read = self.file.read_up_to(&mut bytes, row_offset(user));
        if read.map_err(StoreError::io(&self.path, "read"))? < ROW_BYTES {
            return Ok(Row::Empty);
        }
        self.decode(user, &bytes)
    }

    fn decode(&self, user: UserId, bytes: &[u8]) -> Result<Row> {
        let damaged = |what| StoreError::corrupt(&self.path, row_offset(user), what);
        if bytes.iter().all(|octet| *octet == 0) {
            return Ok(Row::Empty);
        }
        let Some((crc, rest)) = bytes.split_first_chunk::<4>() else { return Ok(Row::Empty) };
        if u32::from_le_bytes(*crc) != crc32c::crc32c(rest) {
            return Err(damaged("the checksum of a catalog row is wrong"));
        }
        let name = bytes.get(NAME_START..NAME_START + usize::from(bytes[5]));
        let name = name.and_then(|name| std::str::from_utf8(name).ok());
        match (bytes[4], name) {
            (STATE_LIVE, Some(name)) => Ok(Row::Live(name.to_owned())),
            (STATE_DELETED, name) => Ok(Row::Deleted(name.unwrap_or_default().to_owned())),
            _ => Err(damaged("a catalog row cannot be read")),
        }
    }

    fn write_row(&self, user: UserId, state: u8, name: &str) -> Result<()> {
        let mut bytes = [0; ROW_BYTES];
        bytes[4] = state;
        bytes[5] = name.len() as u8;
        bytes[NAME_START..NAME_START + name.len()].copy_from_slice(name.as_bytes());
        let crc = crc32c::crc32c(&bytes[4..]);
        bytes[..4].copy_from_slice(&crc.to_le_bytes());
        self.file.write_all_at(&bytes, row_offset(user)).map_err(StoreError::io(&self.path, "write"))
    }
}

/// Whether a user may have this name: 1 to 255 octets, no control characters.
pub fn is_user_name(name: &str) -> bool {
    (1..=LONGEST_USER_NAME_BYTES).contains(&name.len()) && !name.chars().any(char::is_control)
}

/// Where a mailbox's cells are, in its user's folder.
pub fn cells_path(user_directory: &Path, mailbox: u32) -> PathBuf {
    user_directory.join(format!("m{mailbox}")).join("cells")
}

/// Where the list of mailboxes is, in its user's folder.
pub fn list_path(user_directory: &Path) -> PathBuf {
    user_directory.join("mailboxes")
}

fn put_away(folder: &Path, user: UserId) -> PathBuf {
    folder.with_file_name(format!(".deleted.{}", user.0))
}

fn number_path(user_directory: &Path) -> PathBuf {
    user_directory.join("number")
}

fn row_offset(user: UserId) -> u64 {
    u64::from(user.0) * ROW_BYTES as u64
}

/// The number in a `number` file; `None` if there is none.
///
/// Errors: `Corrupt` if it is not whole.
fn read_number(disk: &Disk, path: &Path) -> Result<Option<UserId>> {
    let file = match disk.open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(StoreError::io(path, "open")(error)),
    };
    let mut bytes = [0; 9];
    let read = file.read_up_to(&mut bytes, 0).map_err(StoreError::io(path, "read"))?;
    let user = UserId(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
    if bytes[..read] == number_bytes(user) {
        return Ok(Some(user));
    }
    Err(StoreError::corrupt(path, 0, "the checksum of a user's number is wrong"))
}

/// What a `number` file holds: the number, and its complement behind it.
fn number_bytes(user: UserId) -> [u8; 8] {
    (u64::from(user.0) | u64::from(!user.0) << 32).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Catalog {
        fn create(&self, user: UserId, name: &str) -> Result<()> {
            self.apply_create(user, name)?;
            self.apply_name(user, name)
        }
    }

    fn catalog(folder: &Path) -> Catalog {
        Catalog::open(&Disk::real(), &folder.join("catalog"), &folder.join("users")).expect("a catalog")
    }

    #[test]
    fn users_are_found_by_name_and_number_and_never_come_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let one = catalog(folder.path());
        let other = catalog(folder.path());
        assert_eq!(one.next_user().expect("a number"), UserId(1));
        one.apply_create(UserId(1), "ann").expect("created");
        assert_eq!(other.find("ann").expect("looked"), None, "not before all is there");
        one.create(UserId(1), "ann").expect("created again");
        one.create(UserId(2), "Bob@Example.org").expect("created");
        assert_eq!(other.next_user().expect("a number"), UserId(3));
        assert_eq!(other.find("ann").expect("found"), Some(UserId(1)));
        assert_eq!(other.find("Bob@Example.org").expect("found"), Some(UserId(2)));
        assert_eq!(other.find("bob@example.org").expect("looked"), None);
        assert_eq!(other.name(UserId(2)).expect("a name").as_deref(), Some("Bob@Example.org"));
        assert_eq!(other.name(UserId(9)).expect("looked"), None);
        assert_eq!(other.name(UserId(0)).expect("looked"), None);
        assert!(one.create(UserId(1), "carl").is_err());

        one.apply_delete(UserId(1)).expect("deleted");
        one.apply_delete(UserId(1)).expect("deleted again");
        assert_eq!(other.find("ann").expect("looked"), None);
        one.create(UserId(1), "ann").expect("an old change");
        assert_eq!(other.find("ann").expect("looked"), None);
        assert_eq!(other.next_user().expect("a number"), UserId(3));
        one.create(UserId(3), "ann").expect("created");
        one.apply_delete(UserId(1)).expect("an old change");
        assert_eq!(other.find("ann").expect("found"), Some(UserId(3)));
        let users = vec![(UserId(2), "Bob@Example.org".to_owned()), (UserId(3), "ann".to_owned())];
        assert_eq!(other.users().expect("users"), users);
    }

    #[test]
    fn a_folder_that_is_put_away_stays_so_and_the_next_of_that_name_keeps_theirs() {
        let folder = tempfile::tempdir().expect("a folder");
        let catalog = catalog(folder.path());
        catalog.create(UserId(1), "ann").expect("created");
        catalog.apply_delete(UserId(1)).expect("deleted");
        catalog.create(UserId(2), "ann").expect("created");
        // What a power cut may leave: the names, but neither the row of the first nor what is in the second's file.
        catalog.write_row(UserId(1), STATE_LIVE, "ann").expect("written");
        let number = number_path(&catalog.user_directory("ann"));
        catalog.disk.create_or_empty(&number).expect("emptied");
        catalog.apply_delete(UserId(1)).expect("deleted again");
        assert!(catalog.disk.exists(&number), "it is the second's");
        catalog.create(UserId(2), "ann").expect("created again");
        assert_eq!(catalog.find("ann").expect("found"), Some(UserId(2)));
    }

    #[test]
    fn a_folder_is_put_away_though_the_row_says_already_that_its_user_is_gone() {
        for left in ["number", "m1/cells", "m7/cells"] {
            let folder = tempfile::tempdir().expect("a folder");
            let catalog = catalog(folder.path());
            catalog.create(UserId(1), "ann").expect("created");
            let theirs = catalog.user_directory("ann");
            if left != "number" {
                // The file is there, and not what was in it.
                catalog.disk.create_or_empty(&number_path(&theirs)).expect("emptied");
                let number = if left == "m1/cells" { 1 } else { 7 };
                let id = crate::ids::MailboxId { user: UserId(1), number };
                Mailbox::create(&catalog.disk, &theirs.join(left), id, 1, 1).expect("made");
            }
            // What a power cut may leave of a deletion: the row, and not the folder's new name.
            catalog.write_row(UserId(1), STATE_DELETED, "ann").expect("written");
            catalog.apply_delete(UserId(1)).expect("deleted again");
            assert!(!catalog.disk.exists(&theirs), "{left}");
            assert!(catalog.disk.exists(&put_away(&theirs, UserId(1))));
            catalog.create(UserId(2), "ann").expect("created");
            catalog.apply_delete(UserId(1)).expect("an old change");
            assert_eq!(catalog.find("ann").expect("found"), Some(UserId(2)));
        }
    }

    #[test]
    fn names_of_any_octets_have_folders_of_their_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let catalog = catalog(folder.path());
        let long = ["ä", "ö"].map(|end| format!("{}{end}", "ü".repeat(126)));
        let names = ["..", ".", "/", "a/b", "A", "a", "%41", "é", "x y", &long[0], &long[1]];
        for (number, name) in (1..).zip(names) {
            assert!(is_user_name(name));
            catalog.create(UserId(number), name).expect("created");
        }
        for (number, name) in (1..).zip(names) {
            assert_eq!(catalog.find(name).expect("found"), Some(UserId(number)), "{name}");
            let depth = catalog.user_directory(name);
            assert_eq!(depth.parent().and_then(Path::parent), Some(folder.path().join("users").as_path()));
        }
        assert!(!is_user_name("") && !is_user_name("a\nb") && !is_user_name(&"a".repeat(256)));
    }

    #[test]
    fn more_users_than_are_read_at_once_are_listed() {
        let folder = tempfile::tempdir().expect("a folder");
        let catalog = catalog(folder.path());
        let count = ROWS_AT_ONCE as u32 * 2 + 3;
        for number in (1..=count).filter(|number| number % 7 != 0) {
            catalog.write_row(UserId(number), STATE_LIVE, &format!("user{number}")).expect("written");
        }
        let users = catalog.users().expect("users");
        assert_eq!(users.len(), (1..=count).filter(|number| number % 7 != 0).count());
        assert!(users.iter().all(|(user, name)| *name == format!("user{}", user.0)));
    }

    #[test]
    fn a_damaged_row_is_reported() {
        let folder = tempfile::tempdir().expect("a folder");
        let catalog = catalog(folder.path());
        catalog.create(UserId(1), "ann").expect("created");
        catalog.file.write_all_at(b"b", row_offset(UserId(1)) + 9).expect("written");
        assert!(matches!(catalog.find("ann"), Err(StoreError::Corrupt { offset: 512, .. })));
        catalog.create(UserId(1), "ann").expect("made again");
        assert_eq!(catalog.find("ann").expect("found"), Some(UserId(1)));
    }
}
