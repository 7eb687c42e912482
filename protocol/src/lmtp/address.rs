//! Paths of MAIL and RCPT (RFC 5321 section 4.1.2, RFC 6531 section 3.3): `<route:local@domain>`.
//!
//! A source route is dropped, quoting is undone, and what is left is checked: no control characters, no part too long.
//! What no server on the way minded, such as dots in a row in a local part, is not minded here either.

use std::fmt;

/// The longest path that is taken, and the longest of its parts, in octets. RFC 5321 section 4.5.3.1 asks for 64 of a
/// local part; longer ones are in use.
const LOCAL_OCTETS_MAX: usize = 255;
const DOMAIN_OCTETS_MAX: usize = 255;

/// One mail address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// What is left of the `@`, without quoting.
    pub local: String,
    /// What is right of it; `None` where there is no `@`, as in `<postmaster>`.
    pub domain: Option<String>,
}

/// Why something is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressFault {
    /// It is not in `<` and `>`.
    Brackets,
    /// The local part is empty, too long, or has what it may not have.
    Local,
    /// The domain is.
    Domain,
}

impl Address {
    /// Whether SMTPUTF8 is not needed for it.
    pub fn is_ascii(&self) -> bool {
        self.local.is_ascii() && self.domain.as_ref().is_none_or(|domain| domain.is_ascii())
    }
}

/// As it is written in a path, with quoting where it is needed.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dots = self.local.starts_with('.') || self.local.ends_with('.') || self.local.contains("..");
        if self.local.chars().all(|c| is_atom(c) || c == '.') && !dots {
            f.write_str(&self.local)?;
        } else {
            f.write_str("\"")?;
            for c in self.local.chars() {
                if matches!(c, '"' | '\\') {
                    f.write_str("\\")?;
                }
                write!(f, "{c}")?;
            }
            f.write_str("\"")?;
        }
        match &self.domain {
            Some(domain) => write!(f, "@{domain}"),
            None => Ok(()),
        }
    }
}

/// Takes a path in brackets from the front of `text`: the address, `None` for `<>`, and what follows the bracket.
pub(super) fn path(text: &str) -> Result<(Option<Address>, &str), AddressFault> {
    let inside = text.strip_prefix('<').ok_or(AddressFault::Brackets)?;
    if let Some(rest) = inside.strip_prefix('>') {
        return Ok((None, rest));
    }
    let inside = match inside.strip_prefix('@') {
        // A route ends at the colon; none of its domains has one outside of brackets.
        Some(route) => after_route(route).ok_or(AddressFault::Domain)?,
        None => inside,
    };
    let (local, rest) = if let Some(quoted) = inside.strip_prefix('"') {
        quoted_string(quoted)?
    } else {
        dot_string(inside)?
    };
    if local.is_empty() || local.len() > LOCAL_OCTETS_MAX {
        return Err(AddressFault::Local);
    }
    if let Some(rest) = rest.strip_prefix('>') {
        return Ok((Some(Address { local, domain: None }), rest));
    }
    let domain = rest.strip_prefix('@').ok_or(AddressFault::Local)?;
    let (domain, rest) = domain.split_once('>').ok_or(AddressFault::Brackets)?;
    if !is_domain(domain) {
        return Err(AddressFault::Domain);
    }
    Ok((Some(Address { local, domain: Some(domain.to_owned()) }), rest))
}

fn after_route(route: &str) -> Option<&str> {
    let mut in_literal = false;
    for (at, c) in route.char_indices() {
        match c {
            '[' => in_literal = true,
            ']' => in_literal = false,
            ':' if !in_literal => return Some(&route[at + 1..]),
            '>' | '"' | ' ' => return None,
            _ => {}
        }
    }
    None
}

fn dot_string(text: &str) -> Result<(String, &str), AddressFault> {
    let end = text.find(|c| !(is_atom(c) || c == '.')).ok_or(AddressFault::Brackets)?;
    Ok((text[..end].to_owned(), &text[end..]))
}

/// The rest of a quoted string whose first quote is gone.
fn quoted_string(text: &str) -> Result<(String, &str), AddressFault> {
    let mut local = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        let c = match c {
            '"' => return Ok((local, &text[at + 1..])),
            '\\' => chars.next().ok_or(AddressFault::Local)?.1,
            c => c,
        };
        if c.is_control() {
            return Err(AddressFault::Local);
        }
        local.push(c);
    }
    Err(AddressFault::Local)
}

/// `atext` of RFC 5322 section 3.2.3, and what RFC 6531 adds.
fn is_atom(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || (!c.is_ascii() && !c.is_control())
}

fn is_domain(domain: &str) -> bool {
    if domain.is_empty() || domain.len() > DOMAIN_OCTETS_MAX {
        return false;
    }
    match domain.strip_prefix('[') {
        Some(literal) => literal.strip_suffix(']').is_some_and(|literal| {
            !literal.is_empty() && literal.chars().all(|c| c.is_ascii_graphic() && !"[]\\<>@".contains(c))
        }),
        None => {
            let known = |c: char| {
                c.is_ascii_alphanumeric() || matches!(c, '-' | '_') || (!c.is_ascii() && !c.is_control())
            };
            domain.split('.').all(|label| !label.is_empty() && label.chars().all(known))
        }
    }
}
