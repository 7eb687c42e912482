//! Parameters of MAIL and RCPT (RFC 5321 section 4.1.2): ` KEYWORD[=value]`, any number.
//!
//! Those of RFC 3461 are checked, so that a mistake is found here and not where a notification is made, but for ENVID they are
//! not kept: the mail server before us gets an answer for each recipient, and is the one to notify the sender (RFC 2033 section 4.2).

use super::command::{Body, Fault, Mail};
use super::xtext;

/// The longest ENVID and the longest ORCPT as they are written (RFC 3461 sections 4.4 and 4.2).
const ENVELOPE_ID_OCTETS_MAX: usize = 100;
const ORIGINAL_RECIPIENT_OCTETS_MAX: usize = 500;

/// Takes the parameters of MAIL.
pub(super) fn of_mail(text: &str, mail: &mut Mail) -> Result<(), Fault> {
    let (mut size, mut body, mut utf8) = (None, None, None);
    let (mut ret, mut envelope_id) = (None, None);
    each(text, |keyword, value| {
        let parameter_fault = Fault::Parameter;
        match (keyword, value) {
            ("SIZE", Some(value)) => once(&mut size, octets(value).ok_or(parameter_fault)?),
            ("BODY", Some(value)) => once(&mut body, body_of(value).ok_or(parameter_fault)?),
            ("SMTPUTF8", None) => once(&mut utf8, true),
            ("RET", Some(value)) => {
                let known = ["FULL", "HDRS"].iter().any(|known| value.eq_ignore_ascii_case(known));
                once(&mut ret, known.then_some(()).ok_or(parameter_fault)?)
            }
            ("ENVID", Some(value)) => {
                once(&mut envelope_id, self::envelope_id(value).ok_or(parameter_fault)?)
            }
            // Who sent it to the server before us (RFC 4954 section 5); it has no use at the end of the way.
            ("AUTH", Some(_)) => Ok(()),
            ("SIZE" | "BODY" | "SMTPUTF8" | "RET" | "ENVID" | "AUTH", _) => Err(parameter_fault),
            _ => Err(Fault::UnknownParameter),
        }
    })?;
    mail.size_octets = size;
    mail.body = body.unwrap_or(Body::SevenBit);
    mail.envelope_id = envelope_id;
    mail.smtputf8 = utf8.unwrap_or(false);
    Ok(())
}

/// Checks the parameters of RCPT, none of which changes what is done.
pub(super) fn of_rcpt(text: &str) -> Result<(), Fault> {
    let (mut notify, mut original) = (None, None);
    each(text, |keyword, value| match (keyword, value) {
        ("NOTIFY", Some(value)) => once(&mut notify, is_notify(value).then_some(()).ok_or(Fault::Parameter)?),
        ("ORCPT", Some(value)) => {
            once(&mut original, is_original_recipient(value).then_some(()).ok_or(Fault::Parameter)?)
        }
        ("ORCPT" | "NOTIFY", None) => Err(Fault::Parameter),
        _ => Err(Fault::UnknownParameter),
    })
}

/// RFC 3461 section 4.4: printable ASCII in xtext.
fn envelope_id(value: &str) -> Option<String> {
    let decoded = xtext::decode(value).filter(|_| value.len() <= ENVELOPE_ID_OCTETS_MAX)?;
    decoded.chars().all(|c| matches!(c, ' '..='~')).then_some(decoded)
}

/// RFC 3461 section 4.1: `NEVER`, or each of the others at most once.
fn is_notify(value: &str) -> bool {
    if value.eq_ignore_ascii_case("NEVER") {
        return true;
    }
    let known = ["SUCCESS", "FAILURE", "DELAY"];
    let mut seen = [false; 3];
    value.split(',').all(|event| {
        let place = known.iter().position(|known| event.eq_ignore_ascii_case(known));
        place.is_some_and(|place| !std::mem::replace(&mut seen[place], true))
    })
}

/// RFC 3461 section 4.2: `type;address` with the address in xtext, or as RFC 6533 section 3 has it for the type `utf-8`.
fn is_original_recipient(value: &str) -> bool {
    let Some((kind, address)) =
        value.split_once(';').filter(|_| value.len() <= ORIGINAL_RECIPIENT_OCTETS_MAX)
    else {
        return false;
    };
    let is_kind =
        !kind.is_empty() && kind.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-');
    let is_address = if kind.eq_ignore_ascii_case("utf-8") {
        !address.contains(char::is_control)
    } else {
        xtext::decode(address).is_some()
    };
    is_kind && !address.is_empty() && is_address
}

fn each(text: &str, mut take: impl FnMut(&str, Option<&str>) -> Result<(), Fault>) -> Result<(), Fault> {
    if !text.is_empty() && !text.starts_with(' ') {
        return Err(Fault::Arguments("a space between path and parameters"));
    }
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let (keyword, value) = match word.split_once('=') {
            Some((keyword, value)) => (keyword, Some(value)),
            None => (word, None),
        };
        let is_keyword = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-';
        if keyword.is_empty()
            || !keyword.bytes().all(is_keyword)
            || value.is_some_and(|value| value.is_empty())
        {
            return Err(Fault::Parameter);
        }
        take(&keyword.to_ascii_uppercase(), value)?;
    }
    Ok(())
}

fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), Fault> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Fault::Parameter),
    }
}

fn body_of(value: &str) -> Option<Body> {
    if value.eq_ignore_ascii_case("7BIT") {
        Some(Body::SevenBit)
    } else if value.eq_ignore_ascii_case("8BITMIME") {
        Some(Body::EightBit)
    } else if value.eq_ignore_ascii_case("BINARYMIME") {
        Some(Body::Binary)
    } else {
        None
    }
}

/// RFC 1870 section 6 permits 20 digits, which is more than 64 bits have: what is beyond them is as large as can be.
fn octets(value: &str) -> Option<u64> {
    if value.len() > 20 || !value.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    Some(value.parse().unwrap_or(u64::MAX))
}
