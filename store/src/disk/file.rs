//! An open file of a [`Disk`](super::Disk).

use std::fs::{File, Metadata};
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use super::real::RealFile;
#[cfg(feature = "simulation")]
use super::simulated::SimulatedFile;

/// An open file. Clones are the same open file.
#[derive(Clone, Debug)]
pub struct DiskFile(Backend);

#[derive(Clone, Debug)]
enum Backend {
    Real(RealFile),
    #[cfg(feature = "simulation")]
    Simulated(SimulatedFile),
}

impl From<RealFile> for DiskFile {
    fn from(file: RealFile) -> DiskFile {
        DiskFile(Backend::Real(file))
    }
}

#[cfg(feature = "simulation")]
impl From<SimulatedFile> for DiskFile {
    fn from(file: SimulatedFile) -> DiskFile {
        DiskFile(Backend::Simulated(file))
    }
}

/// Calls the method of the same name of whichever disk's file it is.
macro_rules! of_backend {
    ($file:expr, $method:ident($($argument:expr),*)) => {
        match &$file {
            Backend::Real(file) => file.$method($($argument),*),
            #[cfg(feature = "simulation")]
            Backend::Simulated(file) => file.$method($($argument),*),
        }
    };
}

impl DiskFile {
    /// Reads into `bytes` from `offset`; how many octets were read, 0 at the end of the file.
    pub fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        of_backend!(self.0, read_at(bytes, offset))
    }

    /// Fills `bytes` from `offset`.
    ///
    /// Errors: `UnexpectedEof` if the file ends before.
    pub fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let read = self.read_up_to(bytes, offset)?;
        if read == bytes.len() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Fills `bytes` from `offset` as far as the file goes; how many octets were read.
    pub fn read_up_to(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < bytes.len() {
            match self.read_at(&mut bytes[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// Writes all of `bytes` at `offset`. After an error any part of them may have been written.
    pub fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        of_backend!(self.0, write_all_at(bytes, offset))
    }

    /// Writes all `parts`, one behind the other, by one call if the system takes them at once. After an error any part of them may have
    /// been written.
    pub fn write_parts_at(&self, parts: &[&[u8]], offset: u64) -> io::Result<()> {
        of_backend!(self.0, write_parts_at(parts, offset))
    }

    /// `fdatasync`: makes durable what was written, and the length.
    pub fn sync_data(&self) -> io::Result<()> {
        of_backend!(self.0, sync_data())
    }

    /// `fsync`: as [`DiskFile::sync_data`], and the dates. The name is made durable by its folder's sync, not by this.
    pub fn sync_all(&self) -> io::Result<()> {
        of_backend!(self.0, sync_all())
    }

    /// Cuts the file, or makes it longer by a hole.
    pub fn set_len(&self, bytes: u64) -> io::Result<()> {
        of_backend!(self.0, set_len(bytes))
    }

    /// Takes space on the disk for `bytes` octets from `offset`, where there is none yet; what is there stays. The file becomes so long,
    /// unless `keep_size`.
    pub fn allocate(&self, offset: u64, bytes: u64, keep_size: bool) -> io::Result<()> {
        of_backend!(self.0, allocate(offset, bytes, keep_size))
    }

    /// Gives back the space of `bytes` octets from `offset`: they read as zeros. The file keeps its length.
    pub fn punch(&self, offset: u64, bytes: u64) -> io::Result<()> {
        of_backend!(self.0, punch(offset, bytes))
    }

    /// Length in octets.
    #[expect(clippy::len_without_is_empty, reason = "it may fail")]
    pub fn len(&self) -> io::Result<u64> {
        self.metadata().map(|metadata| metadata.len())
    }

    /// What `fstat` says.
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.file().metadata()
    }

    /// Sets the date of the last change of its content.
    pub fn set_modified(&self, time: SystemTime) -> io::Result<()> {
        of_backend!(self.0, set_modified(time))
    }

    /// As [`Disk::mutated`](super::Disk::mutated).
    #[cfg_attr(not(feature = "simulation"), expect(unused_variables, reason = "no other disk asks for it"))]
    pub fn mutated(&self, mutation: super::Mutation) -> bool {
        match &self.0 {
            Backend::Real(_) => false,
            #[cfg(feature = "simulation")]
            Backend::Simulated(file) => file.mutated(mutation),
        }
    }

    /// The system's file: for mapping it, for `sendfile` and for locks alone.
    pub fn file(&self) -> &Arc<File> {
        of_backend!(self.0, file())
    }
}
