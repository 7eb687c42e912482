//! The names of a mailbox's keywords.

/// Keyword names of a mailbox, copied out: bit → name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keywords {
    names: Vec<String>,
}

impl Keywords {
    /// Keywords a mailbox can have.
    pub const MOST: usize = 64;
    /// Octets of the longest name.
    pub const LONGEST_NAME_BYTES: usize = 63;

    pub(super) fn new(names: Vec<String>) -> Keywords {
        Keywords { names }
    }

    /// The bit of a keyword; case is ignored (RFC 3501, 9: flag keywords are atoms, compared without case).
    pub fn find(&self, name: &str) -> Option<u8> {
        let place = self.names.iter().position(|known| !known.is_empty() && known.eq_ignore_ascii_case(name))?;
        u8::try_from(place).ok()
    }

    /// The name of bit `bit`.
    pub fn name(&self, bit: u8) -> Option<&str> {
        self.names.get(usize::from(bit)).map(String::as_str).filter(|name| !name.is_empty())
    }

    /// All names with their bits, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &str)> {
        (0..Keywords::MOST as u8).filter_map(|bit| Some((bit, self.name(bit)?)))
    }

    /// The lowest bit without a name, if one is left.
    pub fn first_free(&self) -> Option<u8> {
        (0..Keywords::MOST as u8).find(|bit| self.name(*bit).is_none())
    }
}
