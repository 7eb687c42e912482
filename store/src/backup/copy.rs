//! Copies a range of a log, verifying the frames that pass. Blocks of zeros are not written: punched messages stay holes.

use crate::disk::DiskFile;
use crate::error::{Result, StoreError};
use crate::log::FrameWalk;
use std::path::Path;

const STEP_BYTES: u64 = 1 << 20;
/// What is all zeros in such a block becomes a hole.
const BLOCK_BYTES: usize = 4096;

/// Appends octets `from..to` of `source` to `copy`, whose octets from `from` on are thrown away. `passed` is told how many octets went by. Returns how many
/// were written.
///
/// Errors: `Io`; `Corrupt` if the source ends before `to`.
pub(super) fn copy_range(
    (source, source_path): (&DiskFile, &Path),
    (copy, copy_path): (&DiskFile, &Path),
    from: u64,
    to: u64,
    walk: &mut FrameWalk,
    passed: &mut dyn FnMut(u64),
) -> Result<u64> {
    // Whatever a backup that was cut short left there.
    copy.set_len(from).map_err(StoreError::io(copy_path, "cut"))?;
    let mut buffer = vec![0; STEP_BYTES as usize];
    let mut written = 0;
    let mut at = from;
    while at < to {
        let end = ((at / STEP_BYTES + 1) * STEP_BYTES).min(to);
        let bytes = &mut buffer[..(end - at) as usize];
        source.read_exact_at(bytes, at).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => {
                StoreError::corrupt(source_path, at, "the log ends before its last frame")
            }
            _ => StoreError::io(source_path, "read")(error),
        })?;
        walk.push(bytes);
        written += write_data(copy, bytes, at).map_err(StoreError::io(copy_path, "write"))?;
        passed(end - at);
        at = end;
    }
    copy.set_len(to).map_err(StoreError::io(copy_path, "lengthen"))?;
    Ok(written)
}

/// Writes what is not zeros in whole blocks; how many octets that were.
fn write_data(copy: &DiskFile, bytes: &[u8], offset: u64) -> std::io::Result<u64> {
    let mut written = 0;
    let mut run = 0..0;
    let mut at = 0;
    while at < bytes.len() {
        let in_block = (offset as usize + at) % BLOCK_BYTES;
        let end = (at + BLOCK_BYTES - in_block).min(bytes.len());
        if bytes[at..end].iter().any(|octet| *octet != 0) {
            run = if run.end == at && !run.is_empty() { run.start..end } else { at..end };
        }
        let run_ends = run.end < end || end == bytes.len();
        if run_ends && !run.is_empty() {
            copy.write_all_at(&bytes[run.clone()], offset + run.start as u64)?;
            written += run.len() as u64;
            run = end..end;
        }
        at = end;
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Disk;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn octets_come_over_and_zeros_stay_holes() {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = Disk::real();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        let mut octets: Vec<u8> = (0..3_000_000u32).map(|octet| (octet % 251) as u8 + 1).collect();
        octets[700_000..2_100_000].fill(0);
        octets[4096..8192].fill(0);
        std::fs::write(&from, &octets).expect("written");
        std::fs::write(&to, [9; 500_000]).expect("written");
        let (source, copy) = (disk.open(&from).expect("open"), disk.open_writable(&to).expect("open"));
        copy.write_all_at(&octets[..100_001], 0).expect("written");
        let mut walk = FrameWalk::new(1, 64);
        let mut passed = 0;
        let mut count = |octets| passed += octets;
        let written = copy_range((&source, &from), (&copy, &to), 100_001, 2_999_999, &mut walk, &mut count);
        assert!(written.expect("copied") < 1_600_000);
        assert_eq!(passed, 2_999_999 - 100_001);
        assert_eq!(std::fs::read(&to).expect("readable"), octets[..2_999_999]);
        assert!(std::fs::metadata(&to).expect("there").blocks() * 512 < 2_000_000);
        let short = copy_range((&source, &from), (&copy, &to), 0, 3_000_001, &mut walk, &mut |_| ());
        assert!(matches!(short, Err(StoreError::Corrupt { .. })));
    }
}
