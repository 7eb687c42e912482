//! Records to octets and back: the two functions behind which `bincode` stays.
//!
//! Both sides are the same release, so there is no version in a record; the table's version guards the pair.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;

/// Most octets one record may have, either way. Bounds what a decoder allocates.
pub const MAX_RECORD_OCTETS: usize = 128 * 1024;

const CONFIGURATION: bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Varint,
    bincode::config::Limit<MAX_RECORD_OCTETS>,
> = bincode::config::standard().with_limit::<MAX_RECORD_OCTETS>();

/// Why a record could not be written or read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WireError {
    /// The record would have more than [`MAX_RECORD_OCTETS`].
    TooLarge,
    /// The octets are no record of this kind.
    Malformed(String),
    /// A record, and this many octets behind it.
    Trailing(usize),
}

impl fmt::Display for WireError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WireError::TooLarge => write!(out, "record larger than {MAX_RECORD_OCTETS} octets"),
            WireError::Malformed(why) => write!(out, "malformed record: {why}"),
            WireError::Trailing(count) => write!(out, "{count} octets behind a record"),
        }
    }
}

impl std::error::Error for WireError {}

/// Encodes one record.
pub fn encode<T: Serialize>(record: &T) -> Result<Vec<u8>, WireError> {
    let bytes = bincode::serde::encode_to_vec(record, CONFIGURATION)
        .map_err(|error| WireError::Malformed(error.to_string()))?;
    if bytes.len() > MAX_RECORD_OCTETS { Err(WireError::TooLarge) } else { Ok(bytes) }
}

/// Encodes into `room`; how many octets were written, `None` if they do not fit. Allocates nothing.
pub fn encode_into<T: Serialize>(record: &T, room: &mut [u8]) -> Option<usize> {
    bincode::serde::encode_into_slice(record, room, CONFIGURATION).ok()
}

/// Decodes one record at the front of `bytes`: it, and how many octets it has.
pub fn decode_front<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, usize), WireError> {
    bincode::serde::decode_from_slice(bytes, CONFIGURATION)
        .map_err(|error| WireError::Malformed(error.to_string()))
}

/// Most octets of a part of a parked state that is kept in a file.
pub const MAX_ANNEX_OCTETS: usize = 8 * 1024 * 1024;

/// Encodes what may be larger than a record.
pub fn encode_annex<T: Serialize>(part: &T) -> Result<Vec<u8>, WireError> {
    let configuration = bincode::config::standard().with_limit::<MAX_ANNEX_OCTETS>();
    let bytes = bincode::serde::encode_to_vec(part, configuration)
        .map_err(|error| WireError::Malformed(error.to_string()))?;
    if bytes.len() > MAX_ANNEX_OCTETS { Err(WireError::TooLarge) } else { Ok(bytes) }
}

/// Decodes what fills `bytes` exactly and may be larger than a record.
pub fn decode_annex<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    if bytes.len() > MAX_ANNEX_OCTETS {
        return Err(WireError::TooLarge);
    }
    let configuration = bincode::config::standard().with_limit::<MAX_ANNEX_OCTETS>();
    let (part, consumed) = bincode::serde::decode_from_slice(bytes, configuration)
        .map_err(|error| WireError::Malformed(error.to_string()))?;
    if consumed == bytes.len() { Ok(part) } else { Err(WireError::Trailing(bytes.len() - consumed)) }
}

/// Decodes one record that fills `bytes` exactly.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    if bytes.len() > MAX_RECORD_OCTETS {
        return Err(WireError::TooLarge);
    }
    let (record, consumed) = bincode::serde::decode_from_slice(bytes, CONFIGURATION)
        .map_err(|error| WireError::Malformed(error.to_string()))?;
    if consumed == bytes.len() { Ok(record) } else { Err(WireError::Trailing(bytes.len() - consumed)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_and_nothing_else() {
        let record = (7u32, "text".to_string(), vec![1u8, 2, 3]);
        let mut bytes = encode(&record).unwrap();
        assert_eq!(decode::<(u32, String, Vec<u8>)>(&bytes).unwrap(), record);
        bytes.push(0);
        assert_eq!(decode::<(u32, String, Vec<u8>)>(&bytes), Err(WireError::Trailing(1)));
        assert!(matches!(decode::<(u32, String, Vec<u8>)>(&bytes[..4]), Err(WireError::Malformed(_))));
    }

    #[test]
    fn an_announced_length_allocates_nothing() {
        let mut bytes = vec![0xfd];
        bytes.extend_from_slice(&u64::MAX.to_le_bytes());
        assert!(decode::<Vec<u8>>(&bytes).is_err());
        assert!(encode(&"x".repeat(MAX_RECORD_OCTETS + 1)).is_err());
    }
}
