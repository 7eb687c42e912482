//! Reads messages and their records: exactly the range asked for, through a bounded cache of open files.

use std::fs::File;
use std::sync::Arc;

use crate::error::Result;
use crate::ids::MessageId;
use crate::store::Store;

/// Where a message is, copied out of its directory cell and checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredMessage {
    /// The message.
    pub id: MessageId,
    /// RFC822.SIZE in octets.
    pub size: u64,
    /// Octets of the header with the empty line behind it.
    pub header_size: u32,
    /// The writer whose bucket holds it.
    pub(crate) writer: u16,
    /// The bucket's number.
    pub(crate) bucket: u32,
    /// Where its frame begins in the bucket.
    pub(crate) frame_offset: u64,
}

/// A range of an open file, for `sendfile`.
#[derive(Clone, Debug)]
pub struct FileRange {
    /// The bucket.
    pub file: Arc<File>,
    /// First octet.
    pub offset: u64,
    /// Octets from there. All were there when the range was made.
    pub len: u64,
}

/// Reads the records of many messages, with read-ahead: one `pread` serves the records of neighbours.
pub struct RecordReader<'store> {
    #[expect(dead_code)]
    store: &'store Store,
}

impl RecordReader<'_> {
    /// The encoded record of a message, analysed from the bucket when it is missing or damaged. It is borrowed until the
    /// next call.
    pub fn record(&mut self, _id: MessageId) -> Result<&[u8]> {
        todo!()
    }
}
