//! What a user may be called. The one place that decides it, for the users file, for logins and for recipients.
//!
//! A name ends up in the users file (so no `:`), in folder names (so no `/` and no leading `.`), in log lines and
//! tables (so no control characters, no space at an end).

use std::fmt;

/// The longest user name, in octets: what a file name may have.
pub const NAME_OCTETS_MAX: usize = 255;

/// Who gives rights to this name gives them to everybody, so no user has it.
const EVERYBODY: &str = "anyone";

/// Why a name is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// It has no character.
    Empty,
    /// It has more than [`NAME_OCTETS_MAX`] octets.
    TooLong,
    /// It has this character, which no name may have.
    Forbidden(char),
    /// It begins with this character, which a name may only have further on.
    Beginning(char),
    /// It ends with a space.
    Ending,
    /// It means everybody (RFC 4314).
    Everybody,
}

/// The name in the form it is kept and compared in, which is lower case, or why it is none.
pub fn user_name(name: &str) -> Result<String, NameError> {
    // The first look bounds the work; lower case may be longer, so the length is looked at again.
    if name.len() > NAME_OCTETS_MAX {
        return Err(NameError::TooLong);
    }
    let Some(first) = name.chars().next() else {
        return Err(NameError::Empty);
    };
    if let Some(c) = name.chars().find(|c| c.is_control() || matches!(c, '/' | ':' | '\\' | '\u{fffd}')) {
        return Err(NameError::Forbidden(c));
    }
    if matches!(first, '.' | '#' | '{') || first.is_whitespace() {
        return Err(NameError::Beginning(first));
    }
    if name.ends_with(char::is_whitespace) {
        return Err(NameError::Ending);
    }
    let lower = name.to_lowercase();
    if lower.len() > NAME_OCTETS_MAX {
        Err(NameError::TooLong)
    } else if lower == EVERYBODY {
        Err(NameError::Everybody)
    } else {
        Ok(lower)
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NameError::Empty => write!(f, "a user name may not be empty"),
            NameError::TooLong => write!(f, "a user name may have at most {NAME_OCTETS_MAX} octets"),
            NameError::Forbidden(c) => write!(f, "a user name may not have {c:?}"),
            NameError::Beginning(c) => write!(f, "a user name may not begin with {c:?}"),
            NameError::Ending => write!(f, "a user name may not end with a space"),
            NameError::Everybody => write!(f, "no user may be called {EVERYBODY}: it means everybody"),
        }
    }
}

impl std::error::Error for NameError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_what_is_none() {
        for (name, kept) in [
            ("ann", "ann"),
            ("Ann.Smith@Example.ORG", "ann.smith@example.org"),
            ("JÜRGEN", "jürgen"),
            ("a b", "a b"),
        ] {
            assert_eq!(user_name(name).as_deref(), Ok(kept));
        }
        for (name, error) in [
            ("", NameError::Empty),
            ("Anyone", NameError::Everybody),
            ("a/b", NameError::Forbidden('/')),
            ("a:b", NameError::Forbidden(':')),
            ("a\nb", NameError::Forbidden('\n')),
            ("a\0", NameError::Forbidden('\0')),
            ("..", NameError::Beginning('.')),
            ("#a", NameError::Beginning('#')),
            (" a", NameError::Beginning(' ')),
            ("a ", NameError::Ending),
        ] {
            assert_eq!(user_name(name), Err(error), "{name:?}");
        }
        assert!(user_name(&"x".repeat(255)).is_ok());
        assert_eq!(user_name(&"x".repeat(256)), Err(NameError::TooLong));
        // U+0130 has two octets, its lower case three.
        assert_eq!(user_name(&"\u{130}".repeat(127)), Err(NameError::TooLong));
    }
}
