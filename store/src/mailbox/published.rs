//! The header of a cells file, copied out: its numbers are of one moment, and are those that were stored.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::fence;

use super::layout::{self, header, header_tail};
use super::{CONSISTENT_TRIES, Mailbox, head, tail, wait_a_little};
use crate::error::{Result, StoreError};
use crate::ids::ModSeq;
use crate::mapping::{LINE_BYTES, Line, Region};

/// Both lines of a header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    first: [u8; LINE_BYTES],
    second: [u8; LINE_BYTES],
}

impl Header {
    pub(super) fn copy(region: &Region) -> Header {
        Header { first: head(region).copy_out(), second: tail(region).copy_out() }
    }

    fn is_whole(&self) -> bool {
        layout::header_check(&self.first, &self.second) == layout::u32_at(&self.second, header_tail::CHECK)
    }

    pub(super) fn uid_next(&self) -> u32 {
        layout::u32_at(&self.first, header::UID_NEXT)
    }

    pub(super) fn highest_modseq(&self) -> ModSeq {
        ModSeq(layout::u64_at(&self.first, header::HIGHEST_MODSEQ))
    }

    pub(super) fn cells_used(&self) -> u32 {
        layout::u32_at(&self.first, header::CELLS_USED)
    }

    pub(super) fn live(&self) -> u32 {
        layout::u32_at(&self.first, header::LIVE)
    }

    pub(super) fn unseen(&self) -> u32 {
        layout::u32_at(&self.first, header::UNSEEN)
    }

    pub(super) fn deleted(&self) -> u32 {
        layout::u32_at(&self.first, header::DELETED)
    }

    pub(super) fn size(&self) -> u64 {
        layout::u64_at(&self.first, header::SIZE)
    }

    pub(super) fn keywords_used(&self) -> u32 {
        layout::u32_at(&self.second, header_tail::KEYWORDS_USED)
    }

    pub(super) fn unreleased(&self) -> u32 {
        layout::u32_at(&self.second, header_tail::UNRELEASED)
    }

    pub(super) fn settled_uid(&self) -> u32 {
        layout::u32_at(&self.second, header_tail::SETTLED_UID)
    }

    pub(super) fn expunge_floor(&self) -> ModSeq {
        ModSeq(layout::u64_at(&self.second, header_tail::EXPUNGE_FLOOR))
    }

    pub(super) fn deleted_at(&self) -> u32 {
        layout::u32_at(&self.second, header_tail::DELETED_AT)
    }
}

impl Mailbox {
    /// The header of this moment: read between two publications, by the counter that a writer makes odd while it stores into the header.
    ///
    /// A check that is wrong is damage if no patch is under way. Within one, and where a writer died in a publication, what is there is
    /// taken, for nobody may wait here, and the next owner of the lock makes it right.
    ///
    /// Errors: `Corrupt`.
    pub(super) fn header(&self) -> Result<Header> {
        self.header_by(Header::copy)
    }

    /// As `header`, copying by `copy`.
    pub(super) fn header_by(&self, mut copy: impl FnMut(&Region) -> Header) -> Result<Header> {
        let region = self.mapping.region();
        let tail = tail(&region);
        for turn in 0..CONSISTENT_TRIES {
            let patches = tail.load_u32::<{ header_tail::PATCHES }>(Acquire);
            let before = tail.load_u32::<{ header_tail::PUBLICATIONS }>(Acquire);
            let header = copy(&region);
            fence(Acquire);
            let after = tail.load_u32::<{ header_tail::PUBLICATIONS }>(Relaxed);
            if before == after && before.is_multiple_of(2) {
                if header.is_whole() {
                    return Ok(header);
                }
                let patches_after = tail.load_u32::<{ header_tail::PATCHES }>(Relaxed);
                if patches == patches_after && patches.is_multiple_of(2) {
                    return Err(StoreError::corrupt(self.path(), 0, "the check of the header is wrong"));
                }
            }
            wait_a_little(turn);
        }
        Ok(copy(&region))
    }

    /// The flags of the mailbox.
    ///
    /// Errors: `Corrupt`.
    pub(super) fn flags_word(&self) -> Result<u32> {
        let word = tail(&self.mapping.region()).load_u32::<{ header_tail::FLAGS }>(Acquire);
        layout::mailbox_flags(word).ok_or_else(|| {
            let place = header_tail::LINE + header_tail::FLAGS as u64;
            StoreError::corrupt(self.path(), place, "the flags of the mailbox are damaged")
        })
    }
}

/// Changes the flags of the mailbox. Under its lock. Bits that are damaged stay so.
pub(super) fn change_flags(region: &Region, change: impl FnOnce(u32) -> u32) {
    let line = tail(region);
    let word = line.load_u32::<{ header_tail::FLAGS }>(Relaxed);
    let low = (1 << header_tail::FLAGS_BITS) - 1;
    let other = (word ^ change(word & low)) & low;
    line.store_u32::<{ header_tail::FLAGS }>(word ^ other ^ other << header_tail::FLAGS_BITS, Release);
}

/// Has `store` put numbers of one moment into the header; see [`Mailbox::header`].
pub(super) fn count_publication(region: &Arc<Region>, store: impl FnOnce(Line<'_>)) {
    let tail = tail(region);
    let begun = tail.load_u32::<{ header_tail::PUBLICATIONS }>(Relaxed) | 1;
    tail.store_u32::<{ header_tail::PUBLICATIONS }>(begun, Relaxed);
    fence(Release);
    store(head(region));
    seal(region);
    tail.store_u32::<{ header_tail::PUBLICATIONS }>(begun.wrapping_add(1), Release);
}

/// Makes the check that of what is there.
pub(super) fn seal(region: &Region) {
    let Header { first, second } = Header::copy(region);
    tail(region).store_u32::<{ header_tail::CHECK }>(layout::header_check(&first, &second), Relaxed);
}
