//! The server's side of AUTH: PLAIN (RFC 4616) and LOGIN, from responses to credentials.

use super::command::{Fault, Mechanism, Password};

/// The longest name or password taken from an exchange, in octets.
const PART_OCTETS_MAX: usize = 4096;

/// Who somebody says to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Whose password it is.
    pub name: String,
    /// The password.
    pub password: Password,
    /// As whom to act, where that is said and somebody else.
    pub authorize: Option<String>,
}

/// An exchange that waits for the client's next response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// PLAIN: the one response has everything.
    Plain,
    /// LOGIN: the name comes next.
    LoginName,
    /// LOGIN: the password comes next.
    LoginPassword {
        /// The name that came before.
        name: String,
    },
}

/// What a response led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Another challenge must be sent.
    Next(Exchange),
    /// The client said all there is.
    Done(Credentials),
    /// The response is not what the mechanism has.
    Malformed,
}

impl Exchange {
    /// The beginning of an exchange, or `None` for a mechanism that is not offered.
    pub fn start(mechanism: Mechanism) -> Option<Exchange> {
        match mechanism {
            Mechanism::Plain => Some(Exchange::Plain),
            Mechanism::Login => Some(Exchange::LoginName),
            Mechanism::Other => None,
        }
    }

    /// The challenge to send, already in base64.
    pub fn challenge(&self) -> &'static str {
        match self {
            Exchange::Plain => "",
            // "Username:" and "Password:", which is what clients look for.
            Exchange::LoginName => "VXNlcm5hbWU6",
            Exchange::LoginPassword { .. } => "UGFzc3dvcmQ6",
        }
    }

    /// Takes the client's decoded response.
    pub fn step(self, response: Password) -> Step {
        let Password(octets) = response;
        match self {
            Exchange::Plain => plain(&octets).map_or(Step::Malformed, Step::Done),
            Exchange::LoginName => match name(&octets) {
                Some(name) => Step::Next(Exchange::LoginPassword { name }),
                None => Step::Malformed,
            },
            Exchange::LoginPassword { name } if is_part(&octets) => {
                Step::Done(Credentials { name, password: Password(octets), authorize: None })
            }
            Exchange::LoginPassword { .. } => Step::Malformed,
        }
    }
}

/// `[authzid] NUL authcid NUL passwd`
fn plain(octets: &[u8]) -> Option<Credentials> {
    let mut parts = octets.split(|octet| *octet == 0);
    let (authorize, authenticate, password) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || !is_part(password) {
        return None;
    }
    let name = name(authenticate)?;
    let authorize = if authorize.is_empty() { None } else { Some(self::name(authorize)?) };
    let authorize = authorize.filter(|authorize| *authorize != name);
    Some(Credentials { name, password: Password(password.to_vec()), authorize })
}

fn name(octets: &[u8]) -> Option<String> {
    if !is_part(octets) {
        return None;
    }
    std::str::from_utf8(octets).ok().map(str::to_owned)
}

fn is_part(octets: &[u8]) -> bool {
    (1..=PART_OCTETS_MAX).contains(&octets.len()) && !octets.contains(&0)
}

/// The octets of a response.
pub(super) fn decode(response: &[u8]) -> Result<Vec<u8>, Fault> {
    crate::base64::decode(response).ok_or(Fault::Base64)
}
