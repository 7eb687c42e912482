//! What this process appends to record files: one file a page and writer. Records are made from the messages and can be made
//! again, so nothing here is synced, and a record that cannot be written is no error for the one whose message it is.

use std::sync::PoisonError;

use crate::disk::DiskFile;
use crate::error::{Result, StoreError};
use crate::ids::PageId;
use crate::in_hand::Mutex;
use crate::page::directory::RecordPlace;
use crate::page::{PageFile, Pages};

/// Record files kept open for appending: today's, and pages whose messages are analysed again.
const OPEN_MOST: usize = 8;

/// The record files of this writer.
#[derive(Debug)]
pub(crate) struct Records {
    writer: u16,
    open: Mutex<Vec<Open>>,
}

#[derive(Debug)]
struct Open {
    page: PageId,
    file: DiskFile,
    tail: u64,
}

impl Records {
    pub(crate) fn new(writer: u16) -> Records {
        Records { writer, open: Mutex::new(Vec::new()) }
    }

    /// Appends `record` to this writer's file in `page`.
    pub(crate) fn append(&self, pages: &Pages, page: PageId, record: &[u8]) -> Result<RecordPlace> {
        let path = || pages.path(PageFile::Records { page, writer: self.writer });
        let len = u32::try_from(record.len())
            .map_err(|_| StoreError::io(&path(), "write")(std::io::ErrorKind::FileTooLarge.into()))?;
        let (file, offset) = {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            let at = match open.iter().position(|open| open.page == page) {
                Some(at) => at,
                None => {
                    let folder = pages.folder(page);
                    pages.disk().make_folder(&folder).map_err(StoreError::io(&folder, "make"))?;
                    let file =
                        pages.disk().open_or_create(&path()).map_err(StoreError::io(&path(), "open"))?;
                    let tail = file.len().map_err(StoreError::io(&path(), "look at"))?;
                    if open.len() >= OPEN_MOST {
                        open.remove(0);
                    }
                    open.push(Open { page, file, tail });
                    open.len() - 1
                }
            };
            let offset = open[at].tail;
            open[at].tail += u64::from(len);
            (open[at].file.clone(), offset)
        };
        file.write_all_at(record, offset).map_err(StoreError::io(&path(), "write"))?;
        Ok(RecordPlace { writer: self.writer, offset, len, crc: crc32c::crc32c(record) })
    }
}
