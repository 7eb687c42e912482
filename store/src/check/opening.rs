//! Mends what a store cannot be opened without: the files `FORMAT` and `state`.
//!
//! One flipped bit is put back: there is one bit whose flip gives the checksum that stands in the file. A `state` that is damaged beyond that is
//! made anew as after a power cut, under an epoch above all that the store's files name.

use std::path::Path;

use crate::date::parse_page_name;
use crate::disk::Disk;
use crate::error::{Result, StoreError};
use crate::gc::walk::walk;
use crate::log::LogReader;
use crate::log::logs::{log_path, logs_of_page};
use crate::mailbox::Mailbox;
use crate::state::{Claim, Left, Opened, State, boot_id, store_id};

/// Makes the store in `folder` one that can be opened. Says what was done; nothing if nothing had to be.
///
/// Errors: `Corrupt` if a file is damaged in more than one bit and cannot be made anew, or if the store is in use.
pub fn mend_opening(disk: &Disk, folder: &Path) -> Result<Vec<String>> {
    let mut done = Vec::new();
    let path = folder.join("FORMAT");
    let bytes = disk.read(&path).map_err(StoreError::io(&path, "read"))?;
    if store_id(&bytes).is_none() {
        let whole = put_back(&bytes, &|bytes| store_id(bytes).is_some());
        let whole = whole
            .ok_or_else(|| StoreError::corrupt(&path, 0, "more than a bit of the file FORMAT is damaged"))?;
        // In place: who has the store open has a lock on this very file.
        let file = disk.open_writable(&path).map_err(StoreError::io(&path, "open"))?;
        file.write_all_at(&whole, 0)
            .and_then(|()| file.sync_all())
            .map_err(StoreError::io(&path, "write"))?;
        done.push(format!("a flipped bit of {}", path.display()));
    }
    let path = folder.join("state");
    let bytes = match disk.read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(done),
        bytes => bytes.map_err(StoreError::io(&path, "read"))?,
    };
    if State::parse(&bytes).is_some() {
        return Ok(done);
    }
    if let Some(whole) = put_back(&bytes, &|bytes| State::parse(bytes).is_some()) {
        disk.replace_file(&path, &whole).map_err(StoreError::io(&path, "write"))?;
        done.push(format!("a flipped bit of {}", path.display()));
        return Ok(done);
    }
    // With the store to itself, or not at all.
    if let Opened::First(claim) = Claim::take(disk, folder, &boot_id()?)? {
        let state = State {
            boot_id: "of-a-damaged-state".to_string(),
            epoch: highest_epoch(disk, folder)?,
            left: Left::Open,
            locks_id: 0,
            locks_path: folder.join("locks"),
        };
        state.write(disk, folder)?;
        claim.give_up()?;
        done.push(format!("{}, as after a power cut", path.display()));
    }
    Ok(done)
}

/// `bytes` with the one bit put back that makes them whole, if there is one.
fn put_back(bytes: &[u8], is_whole: &dyn Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    // Longer files than these two are none of them.
    if bytes.len() > 64 << 10 {
        return None;
    }
    let mut tried = bytes.to_vec();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            tried[at] ^= 1 << bit;
            if is_whole(&tried) {
                return Some(tried);
            }
            tried[at] ^= 1 << bit;
        }
    }
    None
}

/// The highest epoch that logs and mailboxes name.
fn highest_epoch(disk: &Disk, folder: &Path) -> Result<u32> {
    let mut epoch = 1;
    let pages = folder.join("p0").join("pages");
    for entry in disk.read_dir(&pages).map_err(StoreError::io(&pages, "read"))? {
        let Some(page) = parse_page_name(&entry.name) else { continue };
        for name in logs_of_page(disk, &pages, page)? {
            if let Ok(Some(reader)) = LogReader::open(disk, &log_path(&pages, name), name) {
                epoch = epoch.max(reader.head().epoch);
            }
        }
    }
    for found in walk(disk, &folder.join("p0").join("users"))?.mailboxes {
        if let Ok(open) = Mailbox::open(disk, &found.cells, found.id)
            && open.status().is_ok()
        {
            epoch = epoch.max(open.epoch());
        }
    }
    Ok(epoch)
}
