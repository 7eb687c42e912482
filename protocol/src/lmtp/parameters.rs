//! Parameters of MAIL and RCPT (RFC 5321 section 4.1.2): ` KEYWORD[=value]`, any number.

use super::command::{Body, Fault, Mail};

/// Takes the parameters of MAIL.
pub(super) fn of_mail(text: &str, mail: &mut Mail) -> Result<(), Fault> {
    let (mut size, mut body, mut utf8) = (None, None, None);
    each(text, |keyword, value| {
        let parameter_fault = Fault::Parameter;
        match (keyword, value) {
            ("SIZE", Some(value)) => once(&mut size, octets(value).ok_or(parameter_fault)?),
            ("BODY", Some(value)) => once(&mut body, body_of(value).ok_or(parameter_fault)?),
            ("SMTPUTF8", None) => once(&mut utf8, true),
            // Of use for notifications (RFC 3461), which the server before us sends.
            ("RET" | "ENVID", Some(_)) => Ok(()),
            // Who sent it to the server before us (RFC 4954 section 5); it has no use at the end of the way.
            ("AUTH", Some(_)) => Ok(()),
            ("SIZE" | "BODY" | "SMTPUTF8" | "RET" | "ENVID" | "AUTH", _) => Err(parameter_fault),
            _ => Err(Fault::UnknownParameter),
        }
    })?;
    mail.size_octets = size;
    mail.body = body.unwrap_or(Body::SevenBit);
    mail.smtputf8 = utf8.unwrap_or(false);
    Ok(())
}

/// Checks the parameters of RCPT, none of which changes what is done.
pub(super) fn of_rcpt(text: &str) -> Result<(), Fault> {
    each(text, |keyword, value| match (keyword, value) {
        // RFC 3461 sections 4.1 and 4.2.
        ("ORCPT" | "NOTIFY", Some(_)) => Ok(()),
        ("ORCPT" | "NOTIFY", None) => Err(Fault::Parameter),
        _ => Err(Fault::UnknownParameter),
    })
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
