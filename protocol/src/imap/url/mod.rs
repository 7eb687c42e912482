//! IMAP URLs (RFC 5092) that stand for a message or a part of one: in CATENATE (RFC 4469), GENURLAUTH and URLFETCH (RFC 4467), with
//! PARTIAL (RFC 5550 section 5.7.1).
//!
//! ```text
//! imap://user@host/mailbox;UIDVALIDITY=n/;UID=n/;SECTION=s/;PARTIAL=n.n;EXPIRE=date;URLAUTH=access:mechanism:token
//! └─ server ─────┘└─ mailbox ──────────┘└─ message ──────────────────┘ └─ authorization ──────────────────────────┘
//! ```
//!
//! Without a server the path begins with `/`, or is relative to the selected mailbox: a name beside it, or `;UID=n` for a message in it.
//! URLs of mailboxes, of lists of them and of searches are not parsed: no command here takes them.

mod authorization;
mod percent;
#[cfg(test)]
mod tests;

pub use authorization::{Access, Authorization, Token, rump};

use super::command::fetch::SectionItem;
use super::limits::Limits;
use super::reply::text;
use super::syntax::mailbox_name::MailboxName;
use super::syntax::section::{Partial, Section};

/// The longest URL, in octets.
pub const LENGTH_MAX: usize = 8 * 1024;

/// A URL of a message or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageUrl {
    /// Whose mailbox it is, and where; `None` for a relative URL.
    pub server: Option<Server>,
    /// The mailbox.
    pub mailbox: UrlMailbox,
    /// UIDVALIDITY, if the message is to be looked for only while that is the same.
    pub uid_validity: Option<u32>,
    /// The message; never 0.
    pub uid: u32,
    /// What of the message.
    pub section: Section,
    /// Which octets of that.
    pub partial: Option<UrlPartial>,
    /// What allows others to use the URL.
    pub authorization: Option<Authorization>,
}

/// The server of an absolute URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Whose names of mailboxes are meant; `None` for anybody.
    pub user: Option<String>,
    /// Host and port as they came.
    pub host: String,
}

/// The mailbox of a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UrlMailbox {
    /// The mailbox of this name.
    Named(MailboxName),
    /// One whose name is relative to that of the selected mailbox: it takes the place of its last level.
    Beside(MailboxName),
    /// The selected one.
    Selected,
}

/// `;PARTIAL=start.length`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UrlPartial {
    /// The first octet, from 0.
    pub start: u64,
    /// How many at most; `None` for all that follow. Never 0.
    pub length: Option<u64>,
}

/// Octets that are no URL of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAUrl;

impl MessageUrl {
    /// The URL in `octets`.
    ///
    /// # Errors
    /// They are none, or one of something else, or longer than [`LENGTH_MAX`].
    pub fn parse(octets: &[u8]) -> Result<MessageUrl, NotAUrl> {
        if octets.len() > LENGTH_MAX || !octets.iter().all(|octet| matches!(octet, b'!'..=b'~')) {
            return Err(NotAUrl);
        }
        let url = std::str::from_utf8(octets).map_err(|_| NotAUrl)?;
        let scheme = "imap://";
        let (server, path) = match url.split_at_checked(scheme.len()) {
            Some((start, rest)) if start.eq_ignore_ascii_case(scheme) => {
                let (server, path) = rest.split_at(rest.find('/').ok_or(NotAUrl)?);
                (Some(Server::parse(server)?), path)
            }
            _ if url.starts_with("//") => return Err(NotAUrl),
            _ => (None, url),
        };
        let (path, authorization) = Authorization::split(path)?;
        if authorization.is_some() && server.is_none() {
            return Err(NotAUrl);
        }
        let mut rest = path;
        let (mailbox, uid_validity) = Self::parse_mailbox(&mut rest)?;
        let uid = number(take_parameter(&mut rest, "UID").ok_or(NotAUrl)?)?;
        let section = match take_parameter(&mut rest, "SECTION") {
            Some("") => return Err(NotAUrl),
            Some(section) => {
                let decoded = percent::decode(section).ok_or(NotAUrl)?;
                Section::from_text(&decoded, &Limits::LOGGED_IN).map_err(|_| NotAUrl)?
            }
            None => Section::default(),
        };
        let partial = take_parameter(&mut rest, "PARTIAL").map(UrlPartial::parse).transpose()?;
        if !rest.is_empty() {
            return Err(NotAUrl);
        }
        Ok(MessageUrl { server, mailbox, uid_validity, uid, section, partial, authorization })
    }

    /// Takes the mailbox up to `/;UID=`, of which the slash stays.
    fn parse_mailbox(rest: &mut &str) -> Result<(UrlMailbox, Option<u32>), NotAUrl> {
        let (is_absolute, path) = match rest.strip_prefix('/') {
            Some(path) => (true, path),
            None => (false, *rest),
        };
        let at = path.find(';').ok_or(NotAUrl)?;
        // A colon in the first segment would be that of a scheme (RFC 3986, `path-noscheme`).
        let first_segment = path[..at].split('/').next().unwrap_or_default();
        if !is_absolute && first_segment.contains(':') {
            return Err(NotAUrl);
        }
        let (name, mut parameters) = path.split_at(at);
        let validity = take_word(&mut parameters, ";UIDVALIDITY=");
        let uid_validity = match validity {
            Some(()) => {
                let end = parameters.find('/').ok_or(NotAUrl)?;
                let (digits, behind) = parameters.split_at(end);
                parameters = behind;
                Some(number(digits)?)
            }
            None => None,
        };
        // Without UIDVALIDITY the slash before the message is the last octet of what was taken for the name.
        let name = match (uid_validity, name) {
            (Some(_), name) => name,
            (None, "") if !is_absolute => "",
            (None, name) => name.strip_suffix('/').ok_or(NotAUrl)?,
        };
        *rest = parameters;
        if name.is_empty() {
            let is_selected = !is_absolute && uid_validity.is_none();
            return if is_selected { Ok((UrlMailbox::Selected, None)) } else { Err(NotAUrl) };
        }
        let decoded = percent::decode(name).and_then(|name| String::from_utf8(name).ok()).ok_or(NotAUrl)?;
        let name = MailboxName::from_utf8(&decoded).map_err(|_| NotAUrl)?;
        let mailbox = if is_absolute { UrlMailbox::Named(name) } else { UrlMailbox::Beside(name) };
        Ok((mailbox, uid_validity))
    }

    /// Appends the URL, as short as it can be said.
    pub fn write(&self, out: &mut Vec<u8>) {
        if let Some(server) = &self.server {
            out.extend_from_slice(b"imap://");
            if let Some(user) = &server.user {
                percent::encode(user.as_bytes(), percent::is_achar, out);
                out.push(b'@');
            }
            out.extend_from_slice(server.host.as_bytes());
        }
        match &self.mailbox {
            UrlMailbox::Named(name) => {
                out.push(b'/');
                percent::encode(name.as_str().as_bytes(), percent::is_bchar, out);
            }
            UrlMailbox::Beside(name) => percent::encode(name.as_str().as_bytes(), percent::is_bchar, out),
            UrlMailbox::Selected => {}
        }
        if let Some(uid_validity) = self.uid_validity {
            out.extend_from_slice(b";UIDVALIDITY=");
            text::number(out, u64::from(uid_validity));
        }
        if self.mailbox != UrlMailbox::Selected {
            out.push(b'/');
        }
        out.extend_from_slice(b";UID=");
        text::number(out, u64::from(self.uid));
        if self.section != Section::default() {
            let mut section = Vec::new();
            self.section.write(&mut section);
            out.extend_from_slice(b"/;SECTION=");
            percent::encode(&section[1..section.len() - 1], percent::is_bchar, out);
        }
        if let Some(partial) = self.partial {
            out.extend_from_slice(b"/;PARTIAL=");
            text::number(out, partial.start);
            if let Some(length) = partial.length {
                out.push(b'.');
                text::number(out, length);
            }
        }
        if let Some(authorization) = &self.authorization {
            authorization.write(out);
        }
    }

    /// The octets that FETCH would have to be asked for.
    pub fn section_item(&self) -> SectionItem {
        let partial = self.partial.map(|partial| Partial {
            start: partial.start,
            length: partial.length.unwrap_or(i64::MAX as u64),
        });
        SectionItem { section: self.section.clone(), partial, peek: true }
    }
}

impl Server {
    fn parse(server: &str) -> Result<Server, NotAUrl> {
        let (user, host) = match server.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, server),
        };
        let is_host = |octet: u8| octet.is_ascii_alphanumeric() || b"-._~:[]%".contains(&octet);
        if host.is_empty() || !host.bytes().all(is_host) {
            return Err(NotAUrl);
        }
        // What is said of how to log in does not matter to who is.
        let user =
            user.map(|user| user.split(';').next().unwrap_or_default()).filter(|user| !user.is_empty());
        let user = match user {
            Some(user) => {
                Some(percent::decode(user).and_then(|user| String::from_utf8(user).ok()).ok_or(NotAUrl)?)
            }
            None => None,
        };
        Ok(Server { user, host: host.to_owned() })
    }
}

impl UrlPartial {
    fn parse(range: &str) -> Result<UrlPartial, NotAUrl> {
        let (start, length) = match range.split_once('.') {
            Some((start, length)) => (start, Some(long_number(length)?)),
            None => (range, None),
        };
        if length == Some(0) {
            return Err(NotAUrl);
        }
        Ok(UrlPartial { start: long_number(start)?, length })
    }
}

/// Takes `;NAME=value` with a slash before it, or at the beginning of what is left; the value goes to the next one's slash.
fn take_parameter<'a>(rest: &mut &'a str, name: &str) -> Option<&'a str> {
    let mut ahead = rest.strip_prefix('/').unwrap_or(rest).strip_prefix(';')?;
    take_word(&mut ahead, name)?;
    ahead = ahead.strip_prefix('=')?;
    let end = ahead.find("/;").unwrap_or(ahead.len());
    let (value, behind) = ahead.split_at(end);
    *rest = behind;
    Some(value)
}

/// Takes a word, in any case of letters.
fn take_word(rest: &mut &str, word: &str) -> Option<()> {
    let (start, behind) = rest.split_at_checked(word.len())?;
    start.eq_ignore_ascii_case(word).then(|| *rest = behind)
}

/// A number from 1 to 2^32 - 1.
fn number(digits: &str) -> Result<u32, NotAUrl> {
    let number = long_number(digits)?;
    u32::try_from(number).ok().filter(|&number| number != 0).ok_or(NotAUrl)
}

/// A number of up to 63 bits.
fn long_number(digits: &str) -> Result<u64, NotAUrl> {
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(NotAUrl);
    }
    digits.parse().ok().filter(|&number| number <= i64::MAX as u64).ok_or(NotAUrl)
}
