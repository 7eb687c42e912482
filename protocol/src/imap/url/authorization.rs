//! `;EXPIRE=date;URLAUTH=access:mechanism:token` (RFC 4467 section 3): who may use a URL, until when, and the proof of it.

use super::{NotAUrl, percent};
use crate::imap::syntax::date::DateTime;

/// The authorization at the end of a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    /// The last moment, as it came and in seconds since 1970; `None` for ever.
    pub expire: Option<(String, i64)>,
    /// Who may use it.
    pub access: Access,
    /// The proof; `None` while there is none yet.
    pub token: Option<Token>,
}

/// Who may use a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// `submit+user`: one who sends mail for that user.
    Submit(String),
    /// `user+user`: that user.
    User(String),
    /// `authuser`: whoever has logged in as a user.
    AuthUser,
    /// `anonymous`: anybody.
    Anonymous,
}

/// A proof, and how it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The mechanism, in upper case.
    pub mechanism: String,
    /// The octets; at least 16.
    pub octets: Vec<u8>,
}

impl Token {
    /// The fewest octets of a proof (RFC 4467 section 2.5).
    pub const OCTETS_MIN: usize = 16;
    /// The most that are looked at.
    pub const OCTETS_MAX: usize = 256;
}

impl Authorization {
    /// Splits a path from its authorization.
    pub(super) fn split(path: &str) -> Result<(&str, Option<Authorization>), NotAUrl> {
        // Lower case in ASCII leaves every octet in its place.
        let lower = path.to_ascii_lowercase();
        let expires = lower.find(EXPIRE);
        let Some(at) = lower.find(URLAUTH) else {
            return if expires.is_none() { Ok((path, None)) } else { Err(NotAUrl) };
        };
        let (end, expire) = match expires {
            Some(start) => {
                let text = path.get(start + EXPIRE.len()..at).ok_or(NotAUrl)?;
                let moment = DateTime::parse_rfc3339(text).ok_or(NotAUrl)?;
                (start, Some((text.to_owned(), moment.unix_seconds())))
            }
            None => (at, None),
        };
        let value = &path[at + URLAUTH.len()..];
        let (access, token) = match value.split_once(':') {
            Some((access, token)) => (access, Some(Token::parse(token)?)),
            None => (value, None),
        };
        Ok((&path[..end], Some(Authorization { expire, access: Access::parse(access)?, token })))
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        if let Some((text, _)) = &self.expire {
            out.extend_from_slice(b";EXPIRE=");
            out.extend_from_slice(text.as_bytes());
        }
        out.extend_from_slice(b";URLAUTH=");
        self.access.write(out);
        if let Some(token) = &self.token {
            token.write(out);
        }
    }
}

const EXPIRE: &str = ";expire=";
const URLAUTH: &str = ";urlauth=";

/// What of a URL the proof is of: all before the colon and the mechanism. No octet of it may be another when it comes back
/// (RFC 4467 section 6).
pub fn rump(url: &[u8]) -> &[u8] {
    let lower = url.to_ascii_lowercase();
    let start = lower.windows(URLAUTH.len()).position(|window| window == URLAUTH.as_bytes());
    let colon =
        start.and_then(|start| url[start..].iter().position(|&octet| octet == b':').map(|at| start + at));
    &url[..colon.unwrap_or(url.len())]
}

impl Access {
    fn parse(access: &str) -> Result<Access, NotAUrl> {
        let user = |name: &str| {
            let name = percent::decode(name).and_then(|name| String::from_utf8(name).ok());
            name.filter(|name| !name.is_empty()).ok_or(NotAUrl)
        };
        let lower = access.to_ascii_lowercase();
        if lower == "authuser" {
            Ok(Access::AuthUser)
        } else if lower == "anonymous" {
            Ok(Access::Anonymous)
        } else if lower.starts_with("submit+") {
            Ok(Access::Submit(user(&access["submit+".len()..])?))
        } else if lower.starts_with("user+") {
            Ok(Access::User(user(&access["user+".len()..])?))
        } else {
            Err(NotAUrl)
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        let (word, user) = match self {
            Access::Submit(user) => ("submit+", user.as_str()),
            Access::User(user) => ("user+", user.as_str()),
            Access::AuthUser => ("authuser", ""),
            Access::Anonymous => ("anonymous", ""),
        };
        out.extend_from_slice(word.as_bytes());
        percent::encode(user.as_bytes(), percent::is_achar, out);
    }
}

impl Token {
    fn parse(text: &str) -> Result<Token, NotAUrl> {
        let (mechanism, digits) = text.split_once(':').ok_or(NotAUrl)?;
        let is_mechanism = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.');
        if mechanism.is_empty() || !mechanism.bytes().all(is_mechanism) {
            return Err(NotAUrl);
        }
        let digits = digits.as_bytes();
        let count = digits.len() / 2;
        if digits.len() % 2 != 0 || !(Self::OCTETS_MIN..=Self::OCTETS_MAX).contains(&count) {
            return Err(NotAUrl);
        }
        let mut octets = Vec::with_capacity(count);
        for pair in digits.chunks_exact(2) {
            let [high, low] = [pair[0], pair[1]].map(|digit| char::from(digit).to_digit(16));
            // Two hex digits fit.
            octets.push((high.ok_or(NotAUrl)? << 4 | low.ok_or(NotAUrl)?) as u8);
        }
        Ok(Token { mechanism: mechanism.to_ascii_uppercase(), octets })
    }

    /// Appends `:mechanism:token`.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(b':');
        out.extend_from_slice(self.mechanism.as_bytes());
        out.push(b':');
        for octet in &self.octets {
            out.extend([octet >> 4, octet & 15].map(|digit| b"0123456789abcdef"[usize::from(digit)]));
        }
    }
}
