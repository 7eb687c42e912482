//! Compressed mbox files (`.zst`, `.gz`): unpacked to a temporary file without a name, because the mbox reader needs to look ahead and
//! come back. The file is in `$TMPDIR` (else `/tmp`), and gone when it is closed.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use flate2::read::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    /// Not at all.
    None,
    /// Zstandard (RFC 8878).
    Zstandard,
    /// gzip (RFC 1952).
    Gzip,
}

impl Packing {
    /// How `file` is compressed, by its first octets.
    pub(crate) fn of(file: &File) -> io::Result<Packing> {
        let mut magic = [0; 4];
        let length = file.read_at(&mut magic, 0)?;
        Ok(match magic[..length] {
            [0x28, 0xb5, 0x2f, 0xfd] => Packing::Zstandard,
            [0x1f, 0x8b, 8, _] => Packing::Gzip,
            _ => Packing::None,
        })
    }
}

/// Opens `path`; a compressed file is unpacked first.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let packed = File::open(path)?;
    match Packing::of(&packed)? {
        Packing::None => Ok(packed),
        packing => {
            let mut plain = tempfile::tempfile()?;
            io::copy(&mut decoder(packed, packing)?, &mut plain)?;
            Ok(plain)
        }
    }
}

/// The first octets of `path`, unpacked: enough to see what it is.
pub(crate) fn beginning(path: &Path, length: usize) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let packing = Packing::of(&file)?;
    let mut octets = Vec::with_capacity(length);
    match decoder(file, packing)?.take(length as u64).read_to_end(&mut octets) {
        // What can be read is enough here; that the rest is damaged is said when it is unpacked.
        Err(error) if octets.is_empty() => Err(error),
        _ => Ok(octets),
    }
}

fn decoder(file: File, packing: Packing) -> io::Result<Box<dyn Read>> {
    let file = io::BufReader::with_capacity(128 * 1_024, file);
    Ok(match packing {
        Packing::None => Box::new(file),
        Packing::Gzip => Box::new(MultiGzDecoder::new(file)),
        Packing::Zstandard => Box::new(Frames { source: Some(file), frame: None }),
    })
}

/// The frames of a Zstandard file, of which there may be several (RFC 8878, 3).
struct Frames {
    source: Option<io::BufReader<File>>,
    frame: Option<Box<StreamingDecoder<io::BufReader<File>, ruzstd::decoding::FrameDecoder>>>,
}

impl Read for Frames {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(mut frame) = self.frame.take() {
                let length = frame.read(buffer)?;
                if length > 0 || buffer.is_empty() {
                    self.frame = Some(frame);
                    return Ok(length);
                }
                self.source = Some((*frame).into_inner());
            }
            let Some(mut source) = self.source.take() else { return Ok(0) };
            if io::BufRead::fill_buf(&mut source)?.is_empty() {
                return Ok(0);
            }
            let frame = StreamingDecoder::new(source).map_err(|error| {
                io::Error::new(io::ErrorKind::InvalidData, format!("damaged Zstandard data: {error}"))
            })?;
            self.frame = Some(Box::new(frame));
        }
    }
}
