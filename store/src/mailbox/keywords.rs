//! The names of a mailbox's keywords: block 1 of the file, a line for each: length, octets and a checksum. A name never changes once its
//! bit is counted in `keywords used`, so readers copy the names without a lock.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, Release};

use super::layout::{self, KEYWORD_CRC, KEYWORD_NAME_BYTES, header_tail};
use super::{count_publication, tail};
use crate::error::{Result, StoreError};
use crate::mapping::{LINE_BYTES, Region};

/// Keyword names of a mailbox, copied out: bit → name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keywords {
    names: Vec<String>,
}

impl Keywords {
    /// Keywords a mailbox can have.
    pub const MOST: usize = 64;
    /// Octets of the longest name.
    pub const LONGEST_NAME_BYTES: usize = KEYWORD_NAME_BYTES;

    /// The bit of a keyword; case is ignored (RFC 3501, 9: flag keywords are atoms, compared without case).
    pub fn find(&self, name: &str) -> Option<u8> {
        let place =
            self.names.iter().position(|known| !known.is_empty() && known.eq_ignore_ascii_case(name))?;
        u8::try_from(place).ok()
    }

    /// The name of bit `bit`.
    pub fn name(&self, bit: u8) -> Option<&str> {
        self.names.get(usize::from(bit)).map(String::as_str).filter(|name| !name.is_empty())
    }

    /// All names with their bits, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &str)> {
        (0..Keywords::MOST as u8).filter_map(|bit| Some((bit, self.name(bit)?)))
    }

    /// The lowest bit without a name, if one is left.
    pub fn first_free(&self) -> Option<u8> {
        (0..Keywords::MOST as u8).find(|bit| self.name(*bit).is_none())
    }
}

/// The names of the first `used` bits.
pub(super) fn read(region: &Region, used: u32) -> Result<Keywords> {
    let used = used as usize;
    if used > Keywords::MOST {
        let place = header_tail::LINE + header_tail::KEYWORDS_USED as u64;
        return Err(StoreError::corrupt(region.path(), place, "more keywords than there can be"));
    }
    let mut names = Vec::with_capacity(used);
    for bit in 0..used {
        let offset = name_offset(bit);
        let line = region.copy_out(offset)?;
        if line == [0; LINE_BYTES] {
            // No keyword has this bit.
            names.push(String::new());
            continue;
        }
        let name = line.get(1..1 + usize::from(line[0])).and_then(|name| std::str::from_utf8(name).ok());
        match name {
            Some(name) if layout::u32_at(&line, KEYWORD_CRC) == crc32c::crc32c(&line[..KEYWORD_CRC]) => {
                names.push(name.to_owned());
            }
            _ => {
                return Err(StoreError::corrupt(
                    region.path(),
                    offset,
                    "the checksum of a keyword's name is wrong",
                ));
            }
        }
    }
    Ok(Keywords { names })
}

/// Names bit `bit`. Under the mailbox's lock; the same again changes nothing.
pub(super) fn write(region: &Arc<Region>, bit: u8, name: &str) -> Result<()> {
    let bit = usize::from(bit);
    let offset = name_offset(bit);
    if bit >= Keywords::MOST || name.is_empty() || name.len() > KEYWORD_NAME_BYTES {
        return Err(StoreError::corrupt(region.path(), offset, "a log names a keyword that cannot be"));
    }
    let mut line = [0; LINE_BYTES];
    line[0] = name.len() as u8;
    line[1..1 + name.len()].copy_from_slice(name.as_bytes());
    let crc = crc32c::crc32c(&line[..KEYWORD_CRC]);
    line[KEYWORD_CRC..].copy_from_slice(&crc.to_le_bytes());
    region.copy_in(offset, &line)?;
    count_publication(region, |_| {
        let tail = tail(region);
        let used = tail.load_u32::<{ header_tail::KEYWORDS_USED }>(Relaxed);
        tail.store_u32::<{ header_tail::KEYWORDS_USED }>(used.max(bit as u32 + 1), Release);
    });
    Ok(())
}

fn name_offset(bit: usize) -> u64 {
    layout::KEYWORDS_OFFSET + (bit * LINE_BYTES) as u64
}
