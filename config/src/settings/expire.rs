//! How long messages are kept, as POP3 clients are told: `"never"` or a number of days.

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What is said instead of a number.
const NEVER: &str = "never";

/// When messages go without anybody deleting them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expire {
    /// They do not.
    #[default]
    Never,
    /// After so many days.
    Days(u32),
}

impl Serialize for Expire {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Expire::Never => serializer.serialize_str(NEVER),
            Expire::Days(days) => serializer.serialize_u32(*days),
        }
    }
}

impl<'de> Deserialize<'de> for Expire {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Expire, D::Error> {
        struct Written;
        impl Visitor<'_> for Written {
            type Value = Expire;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of days, or \"never\"")
            }

            fn visit_i64<E: de::Error>(self, days: i64) -> Result<Expire, E> {
                let days = u32::try_from(days).map_err(|_| E::custom("no number of days"))?;
                Ok(Expire::Days(days))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Expire, E> {
                match text {
                    NEVER => Ok(Expire::Never),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
        }
        deserializer.deserialize_any(Written)
    }
}
