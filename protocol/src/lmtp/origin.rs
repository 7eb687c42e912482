//! Where a message really came from, as a server or proxy before us tells it: XCLIENT and XFORWARD, commands of Postfix that others
//! speak, too. Attributes `NAME=value`, the values in xtext; `[UNAVAILABLE]` and `[TEMPUNAVAIL]` stand for what is not known.
//!
//! Whether the peer may say such a thing is the handler's to decide.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::command::Fault;
use super::xtext;

/// What XCLIENT takes, as LHLO announces it.
pub const XCLIENT_ATTRIBUTES: &str = "NAME ADDR PORT PROTO HELO LOGIN";
/// What XFORWARD takes.
pub const XFORWARD_ATTRIBUTES: &str = "NAME ADDR PORT PROTO HELO IDENT SOURCE";

/// The longest value, decoded: what a domain or a name may have.
const VALUE_OCTETS_MAX: usize = 255;

/// A client as somebody else knows it. What was not said, or is not known, is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Its host name.
    pub name: Option<String>,
    /// Its address.
    pub address: Option<IpAddr>,
    /// Its port.
    pub port: Option<u16>,
    /// What it called itself in EHLO.
    pub helo: Option<String>,
    /// What it spoke: SMTP, ESMTP.
    pub protocol: Option<String>,
    /// As whom it logged in.
    pub login: Option<String>,
}

impl Origin {
    /// Takes over what `later` knows; what it does not say stays.
    pub fn update(&mut self, later: Origin) {
        self.name = later.name.or(self.name.take());
        self.address = later.address.or(self.address);
        self.port = later.port.or(self.port);
        self.helo = later.helo.or(self.helo.take());
        self.protocol = later.protocol.or(self.protocol.take());
        self.login = later.login.or(self.login.take());
    }
}

/// The attributes behind the command. One that is given twice counts as it is given last.
pub(super) fn parse(rest: &str) -> Result<Origin, Fault> {
    let mut origin = Origin::default();
    let mut attributes = rest.split(' ').filter(|word| !word.is_empty()).peekable();
    if attributes.peek().is_none() {
        return Err(Fault::Arguments("NAME=value, ADDR=value …"));
    }
    for attribute in attributes {
        let (keyword, value) = attribute.split_once('=').ok_or(Fault::Parameter)?;
        let value = match value.to_ascii_uppercase().as_str() {
            "[UNAVAILABLE]" | "[TEMPUNAVAIL]" => None,
            _ => Some(text(value).ok_or(Fault::Parameter)?),
        };
        match keyword.to_ascii_uppercase().as_str() {
            "NAME" => origin.name = value,
            "ADDR" => origin.address = checked(value, address)?,
            "PORT" => origin.port = checked(value, |text| text.parse().ok())?,
            "HELO" => origin.helo = value,
            "PROTO" => origin.protocol = value,
            "LOGIN" => origin.login = value,
            // Of no use here: where the server before us listens, its names for the message and for where it came from.
            "DESTADDR" | "DESTPORT" | "IDENT" | "SOURCE" => {}
            _ => return Err(Fault::UnknownParameter),
        }
    }
    Ok(origin)
}

/// A value that can stand in a header field and in a log: no spaces, no controls.
fn text(value: &str) -> Option<String> {
    let text = xtext::decode(value)?;
    let known = |c: char| !c.is_control() && !c.is_whitespace();
    ((1..=VALUE_OCTETS_MAX).contains(&text.len()) && text.chars().all(known)).then_some(text)
}

fn checked<T>(value: Option<String>, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Fault> {
    value.map(|text| parse(&text).ok_or(Fault::Parameter)).transpose()
}

/// `192.0.2.1`, or `IPV6:2001:db8::1`.
fn address(text: &str) -> Option<IpAddr> {
    match text.split_at_checked("IPV6:".len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case("IPV6:") => {
            rest.parse::<Ipv6Addr>().ok().map(IpAddr::from)
        }
        _ => text.parse::<Ipv4Addr>().ok().map(IpAddr::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_and_checked() {
        let origin = parse(
            "NAME=spike.example ADDR=IPV6:2001:db8::1 PORT=2525 HELO=[UNAVAILABLE] LOGIN=a+40b proto=ESMTP",
        );
        let expected = Origin {
            name: Some("spike.example".to_owned()),
            address: "2001:db8::1".parse().ok(),
            port: Some(2525),
            helo: None,
            protocol: Some("ESMTP".to_owned()),
            login: Some("a@b".to_owned()),
        };
        assert_eq!(origin, Ok(expected.clone()));
        let mut merged = expected;
        merged.update(parse("ADDR=192.0.2.1 NAME=[TEMPUNAVAIL]").expect("parses"));
        assert_eq!(
            (merged.address, merged.name.as_deref()),
            ("192.0.2.1".parse().ok(), Some("spike.example"))
        );
        for (rest, fault) in [
            ("", Fault::Arguments("NAME=value, ADDR=value …")),
            ("NAME", Fault::Parameter),
            ("NAME=", Fault::Parameter),
            ("NAME=a+20b", Fault::Parameter),
            ("ADDR=nowhere", Fault::Parameter),
            ("ADDR=2001:db8::1", Fault::Parameter),
            ("PORT=65536", Fault::Parameter),
            ("COLOUR=red", Fault::UnknownParameter),
        ] {
            assert_eq!(parse(rest), Err(fault), "{rest}");
        }
        assert!(parse(&format!("NAME={}", "a".repeat(255))).is_ok());
        assert_eq!(parse(&format!("NAME={}", "a".repeat(256))), Err(Fault::Parameter));
    }
}
