//! Closing the pages of days that are over: what was made ahead behind the last frame of each log is given back, and journals are compressed.
//!
//! A page is closed when the checkpoint of each writer says that its logs are in the views, so that nobody appends and nothing is replayed. The file `closed` in its folder
//! says that it was done; it is a view: without it, it is done again, which changes nothing.

use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use crate::error::{Result, StoreError};
use crate::gc::Gate;
use crate::ids::PageId;
use crate::log::logs::{log_path, logs_of_page};
use crate::log::pack::{end_of_whole, pack};
use crate::log::{LogKind, LogName, LogReader};
use crate::store::Store;

/// The file in the folder of a page that says that its logs are closed.
pub(crate) const MARK: &str = "closed";
const GATE_WAIT: Duration = Duration::from_secs(2);

/// What `Store::close_pages` did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CloseReport {
    /// Pages that are closed now and were not before.
    pub pages: u64,
    /// Journals that were compressed.
    pub journals: u64,
    /// Octets on the disk that were given back.
    pub octets: u64,
    /// Logs that are left for the next time: they are in use, being copied, or damaged.
    pub left: u64,
}

/// What became of a log.
enum Closed {
    Done { octets: u64, packed: bool },
    Left,
}

impl Store {
    /// Closes all pages of days that are over. Others use the store meanwhile.
    ///
    /// Errors: `Busy` if another process goes through the store to give space back.
    pub fn close_pages(&self) -> Result<CloseReport> {
        let pass = Gate::pass(&self.runtime_dir)?;
        let _pass =
            pass.ok_or(StoreError::Busy("the collection of free space, which another process is at,"))?;
        let mut report = CloseReport::default();
        for page in self.pages_to_close()? {
            self.close_page(page, &mut report)?;
        }
        Ok(report)
    }

    /// Pages of days that are over and that were not closed yet.
    pub(crate) fn pages_to_close(&self) -> Result<Vec<PageId>> {
        let today = self.derived.disk.today();
        let mut pages = self.pages.all()?;
        pages.retain(|page| *page < today && !self.derived.disk.exists(&self.pages.folder(*page).join(MARK)));
        Ok(pages)
    }

    /// Closes one page. The caller alone goes through the store.
    pub(crate) fn close_page(&self, page: PageId, report: &mut CloseReport) -> Result<()> {
        self.check_writable()?;
        let mut is_closed = true;
        for name in logs_of_page(&self.derived.disk, self.pages.root(), page)? {
            let closed = if self.is_in_views(name)? { self.close_log(name)? } else { Closed::Left };
            match closed {
                Closed::Done { octets, packed } => {
                    report.octets += octets;
                    report.journals += u64::from(packed);
                }
                Closed::Left => {
                    report.left += 1;
                    is_closed = false;
                }
            }
        }
        if is_closed {
            let mark = self.pages.folder(page).join(MARK);
            self.derived
                .disk
                .replace_file(&mark, b"lode closed 1\n")
                .map_err(StoreError::io(&mark, "write"))?;
            report.pages += 1;
        }
        Ok(())
    }

    fn close_log(&self, name: LogName) -> Result<Closed> {
        let disk = &self.derived.disk;
        let path = log_path(self.pages.root(), name);
        let reader = match LogReader::open(disk, &path, name) {
            Err(StoreError::Corrupt { .. }) => return Ok(Closed::Left),
            reader => reader?,
        };
        // One that was never written to the end holds nothing.
        let Some(reader) = reader else { return Ok(Closed::Done { octets: 0, packed: false }) };
        if reader.is_packed() {
            return Ok(Closed::Done { octets: 0, packed: false });
        }
        let Some(end) = end_of_whole(&reader)? else { return Ok(Closed::Left) };
        let before = self.octets_on_disk(&path)?;
        let aside = path.with_file_name(format!("{}.packed", name.file_name()));
        let packed = name.kind == LogKind::Journal && pack(disk, &reader, name, end, &aside)?;
        let Some(_gate) = Gate::exclusive(&self.runtime_dir, GATE_WAIT)? else {
            if packed {
                disk.remove_file(&aside).map_err(StoreError::io(&aside, "remove"))?;
            }
            return Ok(Closed::Left);
        };
        if packed {
            disk.rename(&aside, &path).map_err(StoreError::io(&path, "put in place"))?;
            disk.sync_folder_of(&path).map_err(StoreError::io(&path, "sync"))?;
        } else {
            let file = disk.open_writable(&path).map_err(StoreError::io(&path, "open"))?;
            // Also where it is no shorter: extents that were reserved behind the end go with this.
            let len = file.len().map_err(StoreError::io(&path, "look at"))?;
            file.set_len(len.min(end)).map_err(StoreError::io(&path, "cut"))?;
        }
        let octets = before.saturating_sub(self.octets_on_disk(&path)?);
        Ok(Closed::Done { octets, packed })
    }

    fn octets_on_disk(&self, path: &std::path::Path) -> Result<u64> {
        let metadata = self.derived.disk.metadata(path).map_err(StoreError::io(path, "look at"))?;
        Ok(metadata.blocks() * 512)
    }
}
