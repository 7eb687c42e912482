//! Password hashes as users files have them: `{SCHEME}` and what the scheme says follows, the names as in Dovecot.
//!
//! Every comparison takes the same time wherever the difference is. The cost a hash asks for is bounded, so that one
//! line of the file cannot take a machine's memory or minutes of its time.

mod crypt;
mod digest;

use std::fmt;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Params, Version};

/// The longest password that is looked at, in octets. Longer ones are refused.
const PASSWORD_OCTETS_MAX: usize = 4096;

/// Argon2id as RFC 9106 and OWASP advise where memory is shared by many logins: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const SALT_OCTETS: usize = 16;
const HASH_OCTETS: usize = 32;

/// Whether a password is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Accepted,
    /// It is not, or nobody has the name. Nobody is told which.
    Refused,
    /// The stored hash cannot be used. For the log, not for the client.
    Unreadable {
        /// File, line and what is wrong there.
        why: String,
    },
}

impl Verdict {
    fn of(right: bool) -> Verdict {
        if right { Verdict::Accepted } else { Verdict::Refused }
    }

    fn unreadable(why: impl Into<String>) -> Verdict {
        Verdict::Unreadable { why: why.into() }
    }
}

/// Why a password could not be hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashError {
    /// It is empty.
    Empty,
    /// It has more than 4096 octets.
    TooLong,
    /// It has a zero octet or a line end, which protocols cannot carry.
    Forbidden,
    /// The system gave no random numbers, or too little memory.
    System,
}

impl fmt::Display for HashError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HashError::Empty => write!(f, "a password may not be empty"),
            HashError::TooLong => write!(f, "a password may have at most {PASSWORD_OCTETS_MAX} octets"),
            HashError::Forbidden => write!(f, "a password may not have a zero octet or a line end"),
            HashError::System => write!(f, "the system gave no random numbers or too little memory"),
        }
    }
}

impl std::error::Error for HashError {}

/// The password field for a users file: `{ARGON2ID}` with a new salt.
pub fn hash_password(password: &[u8]) -> Result<String, HashError> {
    if password.is_empty() {
        return Err(HashError::Empty);
    }
    if password.len() > PASSWORD_OCTETS_MAX {
        return Err(HashError::TooLong);
    }
    if password.iter().any(|octet| matches!(octet, 0 | b'\r' | b'\n')) {
        return Err(HashError::Forbidden);
    }
    let mut salt = [0; SALT_OCTETS];
    getrandom::fill(&mut salt).map_err(|_| HashError::System)?;
    argon2_line(password, &salt).ok_or(HashError::System)
}

fn argon2_line(password: &[u8], salt: &[u8]) -> Option<String> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(HASH_OCTETS)).ok()?;
    let text = ParamsString::try_from(&params).ok()?;
    let mut output = [0; HASH_OCTETS];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password, salt, &mut output)
        .ok()?;
    let line = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: text,
        salt: Some(Salt::new(salt).ok()?),
        hash: Some(Output::new(&output).ok()?),
    };
    Some(format!("{{ARGON2ID}}{line}"))
}

/// Does the work of checking a password against the hash [`hash_password`] makes, and refuses: a name that nobody
/// has must not be told from one that somebody has by the time the answer takes.
pub(super) fn refuse_slowly(password: &[u8]) -> Verdict {
    if password.len() <= PASSWORD_OCTETS_MAX {
        std::hint::black_box(argon2_line(password, &[0; SALT_OCTETS]));
    }
    Verdict::Refused
}

/// Whether `password` is the one `stored` was made from.
pub(super) fn verify(stored: &str, password: &[u8]) -> Verdict {
    // An empty field, or one that begins as a locked account's does in /etc/shadow, is nobody's password.
    if password.len() > PASSWORD_OCTETS_MAX || stored.is_empty() || stored.starts_with(['!', '*']) {
        return refuse_slowly(password);
    }
    let (scheme, value) = match stored.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
        Some((scheme, value)) => (scheme.to_ascii_uppercase(), value),
        None if stored.starts_with('$') => ("CRYPT".to_owned(), stored),
        None => return Verdict::unreadable("no {SCHEME} before the hash"),
    };
    // A locked account in the form `passwd --lock` gives it.
    if value.is_empty() || value.starts_with('!') && scheme == "CRYPT" {
        return refuse_slowly(password);
    }
    match scheme.as_str() {
        "ARGON2ID" | "ARGON2I" | "ARGON2D" | "ARGON2" => crypt::argon2(value, password),
        "CRYPT" | "BLF-CRYPT" | "BCRYPT" | "SHA256-CRYPT" | "SHA512-CRYPT" => crypt::crypt(value, password),
        "PBKDF2" => crypt::pbkdf2(value, password),
        _ => digest::verify(&scheme, value, password).unwrap_or_else(|| {
            Verdict::unreadable(format!(
                "scheme {{{}}} is not known; set the password again with `lode user passwd`",
                scheme.escape_debug()
            ))
        }),
    }
}
