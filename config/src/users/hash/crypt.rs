//! Schemes that are slow on purpose: Argon2, bcrypt, SHA-crypt, PBKDF2. Each names its own cost, which is bounded
//! here before it is paid.

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{Error, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use sha_crypt::ShaCrypt;
use subtle::ConstantTimeEq;

use super::Verdict;
use super::digest::unhex;

/// Bounds on what one check may cost: memory, and a few seconds of one processor.
const ARGON2_MEMORY_KIB_MAX: u32 = 512 * 1024;
const ARGON2_WORK_KIB_MAX: u64 = 4 * 1024 * 1024;
const BCRYPT_COST_MAX: u32 = 16;
const SHA_CRYPT_ROUNDS_MAX: u32 = 5_000_000;
const PBKDF2_ROUNDS_MAX: u32 = 10_000_000;

const TOO_COSTLY: &str = "the hash asks for more memory or time than a login may cost";

/// `$argon2id$v=19$m=…,t=…,p=…$salt$hash` (RFC 9106), and `argon2i` and `argon2d` likewise.
pub(super) fn argon2(value: &str, password: &[u8]) -> Verdict {
    let unreadable =
        || Verdict::unreadable("not an Argon2 hash of the form $argon2id$v=19$m=…,t=…,p=…$salt$hash");
    let Ok(hash) = PasswordHash::new(value) else {
        return unreadable();
    };
    // A hash that does not say its version is of the first one.
    let version = hash.version.map_or(Ok(Version::V0x10), Version::try_from);
    let (Ok(algorithm), Ok(version), Ok(params)) =
        (Algorithm::try_from(hash.algorithm.as_str()), version, Params::try_from(&hash))
    else {
        return unreadable();
    };
    let (Some(salt), Some(expected)) = (&hash.salt, &hash.hash) else {
        return unreadable();
    };
    let work = u64::from(params.m_cost()) * u64::from(params.t_cost());
    if params.m_cost() > ARGON2_MEMORY_KIB_MAX || work > ARGON2_WORK_KIB_MAX {
        return Verdict::unreadable(TOO_COSTLY);
    }
    let mut output = vec![0; expected.len()];
    match Argon2::new(algorithm, version, params).hash_password_into(password, salt, &mut output) {
        Ok(()) => Verdict::of(output.ct_eq(expected.as_bytes()).into()),
        Err(_) => unreadable(),
    }
}

/// The form of crypt(3): `$2a$`, `$2b$`, `$2x$`, `$2y$` is bcrypt, `$5$` and `$6$` SHA-crypt.
pub(super) fn crypt(value: &str, password: &[u8]) -> Verdict {
    match value.split('$').nth(1) {
        Some("2a" | "2b" | "2x" | "2y") => bcrypt(value, password),
        Some("5" | "6") => sha_crypt(value, password),
        Some("argon2id" | "argon2i" | "argon2d") => argon2(value, password),
        _ => Verdict::unreadable(
            "neither bcrypt ($2…$) nor SHA-crypt ($5$, $6$); set the password again with `lode user passwd`",
        ),
    }
}

fn bcrypt(value: &str, password: &[u8]) -> Verdict {
    let cost = value.split('$').nth(2).and_then(|cost| cost.parse::<u32>().ok());
    if cost.is_some_and(|cost| cost > BCRYPT_COST_MAX) {
        return Verdict::unreadable(TOO_COSTLY);
    }
    match bcrypt::verify(password, value) {
        Ok(right) => Verdict::of(right),
        Err(_) => Verdict::unreadable("not a bcrypt hash of the form $2b$12$ and 53 characters"),
    }
}

fn sha_crypt(value: &str, password: &[u8]) -> Verdict {
    let rounds = value.split('$').nth(2).and_then(|field| field.strip_prefix("rounds="));
    if rounds
        .and_then(|rounds| rounds.parse::<u32>().ok())
        .is_some_and(|rounds| rounds > SHA_CRYPT_ROUNDS_MAX)
    {
        return Verdict::unreadable(TOO_COSTLY);
    }
    match ShaCrypt::default().verify_password(password, value) {
        Ok(()) => Verdict::Accepted,
        Err(Error::PasswordInvalid) => Verdict::Refused,
        Err(_) => Verdict::unreadable("not a SHA-crypt hash of the form $6$salt$hash"),
    }
}

/// Dovecot's form: `$1$salt$rounds$hash`, PBKDF2 with HMAC-SHA-1, the hash in hex.
pub(super) fn pbkdf2(value: &str, password: &[u8]) -> Verdict {
    let unreadable = || Verdict::unreadable("not a PBKDF2 hash of the form $1$salt$rounds$hash");
    let fields: Vec<&str> = value.splitn(6, '$').collect();
    let ["", "1", salt, rounds, hash] = fields[..] else {
        return unreadable();
    };
    let (Ok(rounds), Some(expected)) = (rounds.parse::<u32>(), unhex(hash)) else {
        return unreadable();
    };
    if rounds == 0 || expected.len() != 20 {
        return unreadable();
    }
    if rounds > PBKDF2_ROUNDS_MAX {
        return Verdict::unreadable(TOO_COSTLY);
    }
    let mut output = [0; 20];
    ::pbkdf2::pbkdf2_hmac::<sha1::Sha1>(password, salt.as_bytes(), rounds, &mut output);
    Verdict::of(output.ct_eq(expected.as_slice()).into())
}
