//! One line of LMTP as a command (RFC 2033 section 4, RFC 5321 section 4.1, RFC 3030 section 2).

use super::address::{Address, AddressFault, path};
use super::origin::{self, Origin};
use super::parameters;

/// What the mail server before us asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `LHLO domain`
    Lhlo {
        /// Who it says to be.
        domain: String,
    },
    /// `MAIL FROM:<…>`
    Mail(Mail),
    /// `RCPT TO:<…>`
    Rcpt {
        /// For whom. Whether it may have other than ASCII depends on SMTPUTF8 in MAIL, see [`Address::is_ascii`].
        recipient: Address,
    },
    /// `DATA`
    Data,
    /// `BDAT octets [LAST]`: so many octets of the message follow the line at once.
    Bdat {
        /// How many; [`u64::MAX`] for what is beyond all numbers.
        octets: u64,
        /// Whether the message ends with them.
        last: bool,
    },
    /// `XCLIENT attribute=value …`: the session is to be taken for one of this client.
    Xclient(Origin),
    /// `XFORWARD attribute=value …`: the next message came from this client.
    Xforward(Origin),
    /// `RSET`
    Rset,
    /// `NOOP`
    Noop,
    /// `VRFY`
    Vrfy,
    /// `HELP`
    Help,
    /// `QUIT`
    Quit,
}

/// `MAIL` and its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// Who sends; `None` is `<>`, a notification that nobody must answer.
    pub sender: Option<Address>,
    /// `SIZE=`: how large the message is said to be, in octets.
    pub size_octets: Option<u64>,
    /// `BODY=`
    pub body: Body,
    /// `SMTPUTF8`: addresses and header fields may be UTF-8.
    pub smtputf8: bool,
    /// `ENVID=`: what the sender calls the message (RFC 3461 section 4.4), decoded.
    pub envelope_id: Option<String>,
}

/// What the octets of a message may be (RFC 6152, RFC 3030 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// `7BIT`
    SevenBit,
    /// `8BITMIME`
    EightBit,
    /// `BINARYMIME`: it comes in chunks only.
    Binary,
}

/// Why a line is no command. [`super::Reply::from`] makes the answer of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The line is longer than permitted; it was dropped.
    TooLong,
    /// There is no such command.
    Unknown,
    /// HELO or EHLO, which an LMTP server must not take (RFC 2033 section 4.1).
    NotSmtp,
    /// A command of SMTP that is known and not to be had.
    NotImplemented,
    /// The arguments are not what the command takes; this is what is expected.
    Arguments(&'static str),
    /// What MAIL names is no path.
    Sender(AddressFault),
    /// What RCPT names is no path.
    Recipient(AddressFault),
    /// A parameter has a value that it cannot have, or is there twice.
    Parameter,
    /// A parameter is not known.
    UnknownParameter,
    /// The line is not UTF-8, or has a zero octet.
    Octets,
    /// An address has other than ASCII, and SMTPUTF8 was not said.
    NeedsSmtpUtf8,
    /// BDAT does not say how many octets follow: nobody knows where the next command is, and the connection must end.
    ChunkSize,
}

/// The most digits of a chunk's size: what 64 bits have.
const CHUNK_DIGITS_MAX: usize = 20;

/// The command a line holds; the line comes without its end.
pub(super) fn parse(line: &[u8]) -> Result<Command, Fault> {
    let text = std::str::from_utf8(line).map_err(|_| Fault::Octets)?;
    if text.contains('\0') {
        return Err(Fault::Octets);
    }
    let text = text.trim_end_matches(' ');
    let (keyword, rest) = text.split_once(' ').unwrap_or((text, ""));
    let rest = rest.trim_start_matches(' ');
    let none = |command, usage| if rest.is_empty() { Ok(command) } else { Err(Fault::Arguments(usage)) };
    match keyword.to_ascii_uppercase().as_str() {
        "LHLO" => {
            if rest.is_empty() || rest.contains(|c: char| c.is_control() || c == ' ') {
                return Err(Fault::Arguments("LHLO domain"));
            }
            Ok(Command::Lhlo { domain: rest.to_owned() })
        }
        "MAIL" => mail(rest).map(Command::Mail),
        "RCPT" => rcpt(rest),
        "BDAT" => bdat(rest),
        "XCLIENT" => origin::parse(rest).map(Command::Xclient),
        "XFORWARD" => origin::parse(rest).map(Command::Xforward),
        "DATA" => none(Command::Data, "DATA"),
        "RSET" => none(Command::Rset, "RSET"),
        "QUIT" => none(Command::Quit, "QUIT"),
        "NOOP" => Ok(Command::Noop),
        "VRFY" => Ok(Command::Vrfy),
        "HELP" => Ok(Command::Help),
        "HELO" | "EHLO" => Err(Fault::NotSmtp),
        "EXPN" | "TURN" | "SEND" | "SOML" | "SAML" => Err(Fault::NotImplemented),
        _ => Err(Fault::Unknown),
    }
}

fn mail(rest: &str) -> Result<Mail, Fault> {
    let text = after_word(rest, "FROM:").ok_or(Fault::Arguments("MAIL FROM:<address>"))?;
    let (sender, rest) = path(text).map_err(Fault::Sender)?;
    let mut mail =
        Mail { sender, size_octets: None, body: Body::SevenBit, smtputf8: false, envelope_id: None };
    parameters::of_mail(rest, &mut mail)?;
    if !mail.smtputf8 && mail.sender.as_ref().is_some_and(|sender| !sender.is_ascii()) {
        return Err(Fault::NeedsSmtpUtf8);
    }
    Ok(mail)
}

fn rcpt(rest: &str) -> Result<Command, Fault> {
    let text = after_word(rest, "TO:").ok_or(Fault::Arguments("RCPT TO:<address>"))?;
    let (recipient, rest) = path(text).map_err(Fault::Recipient)?;
    let recipient = recipient.ok_or(Fault::Recipient(AddressFault::Local))?;
    parameters::of_rcpt(rest)?;
    Ok(Command::Rcpt { recipient })
}

fn bdat(rest: &str) -> Result<Command, Fault> {
    let mut words = rest.split(' ').filter(|word| !word.is_empty());
    let (size, marker) = (words.next().unwrap_or_default(), words.next());
    let is_size =
        (1..=CHUNK_DIGITS_MAX).contains(&size.len()) && size.bytes().all(|octet| octet.is_ascii_digit());
    let last = match marker {
        None => false,
        Some(marker) if marker.eq_ignore_ascii_case("LAST") => true,
        Some(_) => return Err(Fault::ChunkSize),
    };
    if !is_size || words.next().is_some() {
        return Err(Fault::ChunkSize);
    }
    Ok(Command::Bdat { octets: size.parse().unwrap_or(u64::MAX), last })
}

/// What follows `FROM:` or `TO:`; a space behind the colon, which some send, is forgiven.
fn after_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (front, rest) = text.split_at_checked(word.len())?;
    front.eq_ignore_ascii_case(word).then(|| rest.trim_start_matches(' '))
}
