//! AUTHENTICATE (RFC 3501 section 6.2.2), with an initial response (SASL-IR, RFC 4959), and the lines that follow it.

use crate::base64;
use crate::imap::syntax::cursor::{Cursor, Fault};
use crate::imap::syntax::string;

/// How the client wants to show who it is.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthenticateArguments {
    /// The SASL mechanism, in upper case: letters, digits, `-` and `_`.
    pub mechanism: String,
    /// The initial response, decoded; empty when it was `=`.
    pub initial: Option<Vec<u8>>,
}

/// The response, often with a password, stays out of logs.
impl std::fmt::Debug for AuthenticateArguments {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("AuthenticateArguments")
            .field("mechanism", &self.mechanism)
            .finish_non_exhaustive()
    }
}

impl AuthenticateArguments {
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        cursor.space()?;
        let name = string::parse_atom(cursor)?;
        let is_mechanism =
            name.iter().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'));
        if !is_mechanism || name.len() > 20 {
            return Err(Fault::syntax("Invalid name of a mechanism"));
        }
        let mechanism = name.iter().map(|octet| char::from(octet.to_ascii_uppercase())).collect();
        let initial = if cursor.take_space_before_more() {
            let text = cursor.take_while(|octet| octet > b' ');
            let response = if text == b"=" { Some(Vec::new()) } else { base64::decode(text) };
            Some(response.ok_or(Fault::syntax("Invalid base64"))?)
        } else {
            None
        };
        Ok(AuthenticateArguments { mechanism, initial })
    }
}

/// One line of the client in an authentication.
#[derive(Clone, PartialEq, Eq)]
pub enum SaslLine {
    /// Not all of it is there.
    NeedMore,
    /// The client's response, decoded.
    Response(Vec<u8>),
    /// `*`: the client gives up. The command is to be answered with BAD.
    Cancelled,
    /// It is not base64. The command is to be answered with BAD.
    Bad,
    /// Longer than a line may be: say BYE and close.
    Fatal,
}

impl std::fmt::Debug for SaslLine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            SaslLine::NeedMore => "NeedMore",
            SaslLine::Response(_) => "Response(..)",
            SaslLine::Cancelled => "Cancelled",
            SaslLine::Bad => "Bad",
            SaslLine::Fatal => "Fatal",
        })
    }
}

impl SaslLine {
    /// Reads a line without its line end.
    pub(crate) fn parse(line: &[u8]) -> SaslLine {
        match line.trim_ascii_end() {
            b"*" => SaslLine::Cancelled,
            line => base64::decode(line).map_or(SaslLine::Bad, SaslLine::Response),
        }
    }
}
