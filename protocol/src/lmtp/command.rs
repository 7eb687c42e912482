//! One line of LMTP as a command (RFC 2033 section 4, RFC 5321 section 4.1).

use super::address::{Address, AddressFault, path};
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
}

/// What the octets of a message may be (RFC 6152).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// `7BIT`
    SevenBit,
    /// `8BITMIME`
    EightBit,
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
}

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
    let mut mail = Mail { sender, size_octets: None, body: Body::SevenBit, smtputf8: false };
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

/// What follows `FROM:` or `TO:`; a space behind the colon, which some send, is forgiven.
fn after_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (front, rest) = text.split_at_checked(word.len())?;
    front.eq_ignore_ascii_case(word).then(|| rest.trim_start_matches(' '))
}
