//! Untagged replies, read strictly.

use tests::value::{Value, read};

/// An untagged reply.
#[derive(Debug)]
pub(crate) enum Untagged {
    Exists(usize),
    Recent,
    Expunge(usize),
    /// Whether it has EARLIER, and the set.
    Vanished(bool, String),
    /// FETCH with a sequence number or, with true, UIDFETCH with a UID.
    Fetch {
        by_uid: bool,
        number: u32,
        items: Vec<(String, Value)>,
    },
    Search(Vec<u32>),
    /// OK with its code and the code's arguments.
    Ok(String, String),
    /// What says nothing of messages: FLAGS, LIST, STATUS, ENABLED, ESEARCH.
    Other,
}

/// Reads one. Whatever is not known fails.
pub(crate) fn parse(line: &[u8]) -> Untagged {
    let text = String::from_utf8_lossy(line).into_owned();
    if let Some(rest) = text.strip_prefix("* OK ") {
        let code = rest.strip_prefix('[').and_then(|code| code.split_once(']')).map_or("", |(code, _)| code);
        let (name, arguments) = code.split_once(' ').unwrap_or((code, ""));
        return Untagged::Ok(name.to_ascii_uppercase(), arguments.to_string());
    }
    let values = read(line).unwrap_or_else(|what| panic!("{what} in {text}"));
    let word = |at: usize| values.get(at).map(|value| value.text().to_ascii_uppercase()).unwrap_or_default();
    if let Some(number) = values.get(1).and_then(Value::number) {
        let number = u32::try_from(number).unwrap_or_else(|_| panic!("{text}"));
        return match (word(2).as_str(), values.len()) {
            ("EXISTS", 3) => Untagged::Exists(number as usize),
            ("RECENT", 3) => Untagged::Recent,
            ("EXPUNGE", 3) => Untagged::Expunge(number as usize),
            (name @ ("FETCH" | "UIDFETCH"), 4) => {
                let list = values[3].items();
                assert!(!list.is_empty() && list.len().is_multiple_of(2), "{text}");
                let items =
                    list.chunks_exact(2).map(|pair| (pair[0].text().to_ascii_uppercase(), pair[1].clone()));
                Untagged::Fetch { by_uid: name == "UIDFETCH", number, items: items.collect() }
            }
            _ => panic!("unexpected {text}"),
        };
    }
    match word(1).as_str() {
        "VANISHED" if values.len() == 3 => Untagged::Vanished(false, values[2].text()),
        "VANISHED" => {
            assert_eq!(values.len(), 4, "{text}");
            assert_eq!(values[2], Value::List(vec![Value::Atom(b"EARLIER".to_vec())]), "{text}");
            Untagged::Vanished(true, values[3].text())
        }
        "SEARCH" => {
            let found = values[2..].iter().filter_map(Value::number).map(|number| number as u32);
            Untagged::Search(found.collect())
        }
        "FLAGS" | "LIST" | "STATUS" | "ENABLED" | "ESEARCH" | "CAPABILITY" => Untagged::Other,
        _ => panic!("unexpected {text}"),
    }
}
