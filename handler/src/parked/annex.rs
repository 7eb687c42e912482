//! The file beside a cell: four parts, all but the last with their lengths, and a checksum that the cell has.
//!
//! A file is never changed: a new one gets another name, so that what a cell names is whole or gone, whenever a writer dies.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use shm_abi::MAX_ANNEX_OCTETS;

use super::{Parts, Unreadable};

/// All parts as one.
pub(super) fn join(parts: &Parts<'_>) -> Vec<u8> {
    let Parts { unread, small, wire, large } = parts;
    let mut joined = Vec::with_capacity(12 + unread.len() + small.len() + wire.len() + large.len());
    for part in [unread, small, wire] {
        // No part is larger than an annex.
        joined.extend_from_slice(&(part.len() as u32).to_le_bytes());
        joined.extend_from_slice(part);
    }
    joined.extend_from_slice(large);
    joined
}

/// The parts; `None` if a length is none.
pub(super) fn split(joined: &[u8]) -> Option<Parts<'_>> {
    let (unread, rest) = split_part(joined)?;
    let (small, rest) = split_part(rest)?;
    let (wire, large) = split_part(rest)?;
    Some(Parts { unread, small, wire, large })
}

fn split_part(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = octets.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_le_bytes(*length) as usize)
}

/// Against damage, not against forgers.
pub(super) fn checksum(octets: &[u8]) -> u32 {
    let mut sum = 0xcbf2_9ce4_8422_2325 ^ octets.len() as u64;
    for chunk in octets.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        sum = (sum ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }
    (sum ^ sum >> 32) as u32
}

/// Writes a file that is not there yet.
pub(super) fn write(folder: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    if content.len() > MAX_ANNEX_OCTETS {
        return Err(io::Error::other("it is too large"));
    }
    let path = folder.join(name);
    let open = || fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
    let mut file = match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            open()?
        }
        other => other?,
    };
    io::Write::write_all(&mut file, content).inspect_err(|_| remove(folder, name))
}

/// Reads a file whole.
pub(super) fn read(folder: &Path, name: &str, expected: u32) -> Result<Vec<u8>, Unreadable> {
    if !name.bytes().all(|octet| octet.is_ascii_digit() || octet == b'-') {
        return Err(Unreadable("the rest of it has no name of ours"));
    }
    let mut content = Vec::new();
    let read = fs::File::open(folder.join(name))
        .and_then(|file| file.take(MAX_ANNEX_OCTETS as u64 + 1).read_to_end(&mut content));
    if read.is_err() || content.len() > MAX_ANNEX_OCTETS {
        return Err(Unreadable("the rest of it is missing"));
    }
    if checksum(&content) != expected {
        return Err(Unreadable("the rest of it is damaged"));
    }
    Ok(content)
}

/// Removes a file that nobody needs any more.
pub(super) fn remove(folder: &Path, name: &str) {
    // Gone with the folder is gone as well.
    let _ = fs::remove_file(folder.join(name));
}
