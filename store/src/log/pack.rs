//! Making the compressed form of a journal, and cutting off what was made ahead behind the last frame of any log. Of logs that nobody appends to.

use std::path::Path;

use crate::disk::Disk;
use crate::error::{Result, StoreError};
use crate::log::frame::{LOG_HEAD_BYTES, LogHead, LogName, PackedHead};
use crate::log::packed;
use crate::log::reader::{LogReader, Search, Step};

const COMPARED_BYTES: usize = 256 * 1024;

/// Where the frames of a log end; `None` if any place of it is damaged, so that it is better left as it is.
pub(crate) fn end_of_whole(reader: &LogReader) -> Result<Option<u64>> {
    if reader.head_damage().is_some() {
        return Ok(None);
    }
    let mut offset = LOG_HEAD_BYTES;
    loop {
        match reader.step(offset, Search::Everywhere, false)? {
            Step::Frame(frame) => offset = frame.end(),
            Step::Damage { .. } => return Ok(None),
            Step::End => return Ok((!reader.is_noise(offset)?).then_some(offset)),
        }
    }
}

/// Makes the compressed form of the journal at `path`, whose frames end at `end`, durable at `to`, and compares it with the journal. False, and
/// nothing is there, if it would not be smaller.
pub(crate) fn pack(disk: &Disk, reader: &LogReader, name: LogName, end: u64, to: &Path) -> Result<bool> {
    let made = make(disk, reader, name, end, to);
    if !matches!(made, Ok(true)) {
        // Whatever is wrong, the journal is as it was.
        let _ = disk.remove_file(to);
    }
    made
}

fn make(disk: &Disk, reader: &LogReader, name: LogName, end: u64, to: &Path) -> Result<bool> {
    // The padding of the last frame need not be there.
    let whole = reader.len()?.min(end);
    let plain = reader.head();
    let packed = PackedHead { frame_id: plain.id, len: end };
    let head = LogHead { id: disk.random_number()?, packed: Some(packed), ..*plain };
    let file = disk.create_or_empty(to).map_err(StoreError::io(to, "create"))?;
    let read = |bytes: &mut [u8], at: u64| {
        bytes.fill(0);
        let there = usize::try_from(whole.saturating_sub(at)).unwrap_or(usize::MAX).min(bytes.len());
        match reader.octets(&mut bytes[..there], at)? {
            read if read == there => Ok(()),
            _ => Err(std::io::ErrorKind::UnexpectedEof.into()),
        }
    };
    packed::write(&file, &head, end, &mut { read }).map_err(StoreError::io(to, "write"))?;
    file.sync_all().map_err(StoreError::io(to, "sync"))?;
    if file.len().map_err(StoreError::io(to, "look at"))? >= whole {
        return Ok(false);
    }
    // It takes the journal's place, so it is looked at first.
    let again = LogReader::open(disk, to, name)?;
    let again = again.ok_or_else(|| StoreError::corrupt(to, 0, "the log that was just compressed"))?;
    let (mut one, mut two) = (vec![0; COMPARED_BYTES], vec![0; COMPARED_BYTES]);
    let mut at = LOG_HEAD_BYTES;
    while at < end {
        let step = (end - at).min(COMPARED_BYTES as u64) as usize;
        read(&mut one[..step], at).map_err(StoreError::io(reader.path(), "read"))?;
        let there = again.octets(&mut two[..step], at).map_err(StoreError::io(to, "read"))?;
        if there != step || one[..step] != two[..step] {
            return Err(StoreError::corrupt(to, at, "what was just compressed"));
        }
        at += step as u64;
    }
    Ok(true)
}
