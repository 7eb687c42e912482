//! Schemes that are a plain digest, with or without a salt, and the password itself. They are read because existing
//! files have them; nothing here is ever written.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

use super::Verdict;

/// Base64 with or without padding: both are found in users files.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The verdict of `scheme` (in upper case), or `None` when it is none of these. A suffix `.HEX` or `.B64` says how
/// the octets are written.
pub(super) fn verify(scheme: &str, value: &str, password: &[u8]) -> Option<Verdict> {
    let (name, written) = match scheme.rsplit_once('.') {
        Some((name, "HEX")) => (name, Written::Hex),
        Some((name, "B64" | "BASE64")) => (name, Written::Base64),
        Some(_) => return None,
        None => (scheme, Written::as_usual(scheme)),
    };
    let check: fn(&[u8], &[u8]) -> Option<bool> = match name {
        "PLAIN" | "CLEAR" | "CLEARTEXT" => |stored, password| Some(stored.ct_eq(password).into()),
        "PLAIN-MD5" | "LDAP-MD5" => plain::<Md5>,
        "SHA" | "SHA1" => plain::<Sha1>,
        "SHA256" => plain::<Sha256>,
        "SHA512" => plain::<Sha512>,
        "SMD5" => salted::<Md5>,
        "SSHA" => salted::<Sha1>,
        "SSHA256" => salted::<Sha256>,
        "SSHA512" => salted::<Sha512>,
        _ => return None,
    };
    let stored = match written {
        Written::AsIs => Some(value.as_bytes().to_vec()),
        Written::Hex => unhex(value),
        Written::Base64 => BASE64.decode(value).ok(),
    };
    Some(match stored.and_then(|stored| check(&stored, password)) {
        Some(right) => Verdict::of(right),
        None => Verdict::unreadable(format!("what follows {{{scheme}}} is cut short or wrongly written")),
    })
}

/// How the octets of a digest are written.
enum Written {
    AsIs,
    Hex,
    Base64,
}

impl Written {
    fn as_usual(scheme: &str) -> Written {
        match scheme {
            "PLAIN" | "CLEAR" | "CLEARTEXT" => Written::AsIs,
            "PLAIN-MD5" => Written::Hex,
            _ => Written::Base64,
        }
    }
}

fn plain<D: Digest>(stored: &[u8], password: &[u8]) -> Option<bool> {
    let digest = D::digest(password);
    (stored.len() == digest.len()).then(|| digest.as_slice().ct_eq(stored).into())
}

/// The digest of password and salt, followed by the salt.
fn salted<D: Digest>(stored: &[u8], password: &[u8]) -> Option<bool> {
    let (expected, salt) = stored.split_at_checked(<D as Digest>::output_size())?;
    let digest = D::new().chain_update(password).chain_update(salt).finalize();
    Some(digest.as_slice().ct_eq(expected).into())
}

/// The octets of a hexadecimal text.
pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |octet: u8| (octet as char).to_digit(16).map(|value| value as u8);
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
        return None;
    };
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}
