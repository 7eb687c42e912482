//! How much of something there may be, as it is written in the settings file and on command lines: `"500M"`, `"2G"`, `1000`, or `"unlimited"`.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The suffixes, with what they stand for.
const SUFFIXES: [(char, u64); 4] = [('K', 1 << 10), ('M', 1 << 20), ('G', 1 << 30), ('T', 1 << 40)];

/// What is said instead of a number.
const UNLIMITED: &str = "unlimited";

/// A limit. In text: a number, or one with `K`, `M`, `G` or `T` behind it (2^10, 2^20, 2^30, 2^40), or `unlimited`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Amount {
    /// As much as there is room for.
    #[default]
    Unlimited,
    /// At most so much; below 2^63.
    Most(u64),
}

impl FromStr for Amount {
    type Err = String;

    fn from_str(text: &str) -> Result<Amount, String> {
        if text.eq_ignore_ascii_case(UNLIMITED) {
            return Ok(Amount::Unlimited);
        }
        let suffix =
            SUFFIXES.iter().find(|(letter, _)| text.ends_with([*letter, letter.to_ascii_lowercase()]));
        let (digits, unit) = match suffix {
            Some((_, unit)) => (&text[..text.len() - 1], *unit),
            None => (text, 1),
        };
        let is_number = !digits.is_empty() && digits.bytes().all(|octet| octet.is_ascii_digit());
        let amount =
            digits.parse().ok().filter(|_| is_number).and_then(|number: u64| number.checked_mul(unit));
        amount.filter(|amount| *amount <= i64::MAX as u64).map(Amount::Most).ok_or_else(|| {
            format!(
                "`{text}` is not an amount: write a number, one like \"500M\" or \"2G\", or \"{UNLIMITED}\""
            )
        })
    }
}

impl fmt::Display for Amount {
    /// With the biggest suffix that says it exactly.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Amount::Unlimited => f.write_str(UNLIMITED),
            Amount::Most(amount) => {
                let exact = |(_, unit): &&(char, u64)| *amount > 0 && amount.is_multiple_of(*unit);
                match SUFFIXES.iter().rev().find(exact) {
                    Some((letter, unit)) => write!(f, "{}{letter}", amount / unit),
                    None => write!(f, "{amount}"),
                }
            }
        }
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Amount, D::Error> {
        struct Written;
        impl Visitor<'_> for Written {
            type Value = Amount;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, one like \"500M\" or \"2G\", or \"unlimited\"")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Amount, E> {
                let most = u64::try_from(number).map_err(|_| E::custom("an amount is not below 0"))?;
                Ok(Amount::Most(most))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Amount, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_and_written() {
        for (text, amount, written) in [
            ("0", Amount::Most(0), "0"),
            ("1000", Amount::Most(1000), "1000"),
            ("500M", Amount::Most(500 << 20), "500M"),
            ("2048k", Amount::Most(2 << 20), "2M"),
            ("1T", Amount::Most(1 << 40), "1T"),
            ("Unlimited", Amount::Unlimited, "unlimited"),
            ("9223372036854775807", Amount::Most(i64::MAX as u64), "9223372036854775807"),
        ] {
            assert_eq!(text.parse(), Ok(amount));
            assert_eq!(amount.to_string(), written);
            assert_eq!(written.parse(), Ok(amount));
        }
        for text in ["", "M", "-1", "+1", "1.5G", "1 G", "9223372036854775808", "99999999999T", "lots", "1GB"]
        {
            assert!(text.parse::<Amount>().is_err(), "{text}");
        }
    }
}
