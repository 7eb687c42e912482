//! A tolerant reader of IMAP replies: atoms, strings and lists, without knowing what they mean.

/// One element of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Anything that is not quoted: `NIL`, `23`, `\Seen`, `BODY[HEADER.FIELDS (TO)]<0>`.
    Atom(Vec<u8>),
    /// A quoted string or a literal, decoded.
    Text(Vec<u8>),
    /// A parenthesised list.
    List(Vec<Value>),
}

impl Value {
    /// The octets of an atom or a string; nothing for a list or NIL.
    pub fn octets(&self) -> Option<&[u8]> {
        match self {
            Value::Atom(octets) if octets.eq_ignore_ascii_case(b"NIL") => None,
            Value::Atom(octets) | Value::Text(octets) => Some(octets),
            Value::List(_) => None,
        }
    }

    /// The same as text, for messages and comparisons.
    pub fn text(&self) -> String {
        self.octets().map_or_else(String::new, |octets| String::from_utf8_lossy(octets).into_owned())
    }

    /// The number that an atom stands for.
    pub fn number(&self) -> Option<u64> {
        match self {
            Value::Atom(octets) => std::str::from_utf8(octets).ok()?.parse().ok(),
            _ => None,
        }
    }

    /// The elements of a list; none for anything else.
    pub fn items(&self) -> &[Value] {
        match self {
            Value::List(items) => items,
            _ => &[],
        }
    }
}

/// Reads all elements of a reply (with its literals in place).
pub fn read(line: &[u8]) -> Result<Vec<Value>, String> {
    let mut reader = Reader { octets: line, at: 0 };
    let mut open: Vec<Vec<Value>> = vec![Vec::new()];
    while let Some(octet) = reader.peek() {
        match octet {
            b' ' => reader.at += 1,
            b'(' => {
                reader.at += 1;
                open.push(Vec::new());
            }
            b')' => {
                reader.at += 1;
                let items = open.pop().filter(|_| !open.is_empty()).ok_or("a ) without its (")?;
                if let Some(outer) = open.last_mut() {
                    outer.push(Value::List(items));
                }
            }
            _ => {
                let value = reader.simple()?;
                if let Some(inner) = open.last_mut() {
                    inner.push(value);
                }
            }
        }
    }
    match (open.pop(), open.is_empty()) {
        (Some(items), true) => Ok(items),
        _ => Err("a ( without its )".to_string()),
    }
}

struct Reader<'a> {
    octets: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.octets.get(self.at).copied()
    }

    fn simple(&mut self) -> Result<Value, String> {
        match self.peek() {
            Some(b'"') => self.quoted(),
            Some(b'{') => self.literal(),
            _ => Ok(self.atom()),
        }
    }

    fn quoted(&mut self) -> Result<Value, String> {
        self.at += 1;
        let mut text = Vec::new();
        loop {
            let octet = self.peek().ok_or("a quoted string without an end")?;
            self.at += 1;
            match octet {
                b'"' => return Ok(Value::Text(text)),
                b'\\' => {
                    text.push(self.peek().ok_or("a backslash at the end")?);
                    self.at += 1;
                }
                b'\r' | b'\n' | 0 => return Err(format!("octet {octet} in a quoted string")),
                _ => text.push(octet),
            }
        }
    }

    fn literal(&mut self) -> Result<Value, String> {
        let rest = &self.octets[self.at..];
        let head = literal_head(rest).ok_or("a { that begins no literal")?;
        let begin = self.at + head.octets;
        let text = self.octets.get(begin..begin + head.length).ok_or("a literal that is cut off")?;
        self.at = begin + head.length;
        Ok(Value::Text(text.to_vec()))
    }

    /// Brackets keep what is in them together, as in `BODY[HEADER.FIELDS (TO CC)]`.
    fn atom(&mut self) -> Value {
        let begin = self.at;
        let mut depth = 0usize;
        while let Some(octet) = self.peek() {
            match octet {
                b'[' => depth += 1,
                b']' => depth = depth.saturating_sub(1),
                b' ' | b'(' | b')' if depth == 0 => break,
                b'"' if depth == 0 && self.at > begin => break,
                _ => {}
            }
            self.at += 1;
        }
        if self.at == begin {
            self.at += 1;
        }
        Value::Atom(self.octets[begin..self.at].to_vec())
    }
}

/// The length that `{12}` CRLF (or `{12+}`) announces, and how many octets the announcement itself takes.
pub struct LiteralHead {
    /// Octets of the literal.
    pub length: usize,
    /// Octets of the announcement, line end included.
    pub octets: usize,
}

/// Reads an announcement at the start of `octets`.
pub fn literal_head(octets: &[u8]) -> Option<LiteralHead> {
    let close = octets.iter().take(24).position(|&octet| octet == b'}')?;
    let digits = std::str::from_utf8(octets.get(1..close)?).ok()?;
    let length = digits.trim_end_matches('+').parse().ok()?;
    octets[close + 1..].starts_with(b"\r\n").then_some(LiteralHead { length, octets: close + 3 })
}

/// The length of a literal that a line (without its CRLF) announces at its end.
pub fn announced(line: &[u8]) -> Option<usize> {
    let open = line.iter().rposition(|&octet| octet == b'{')?;
    let digits = line.get(open + 1..line.len().checked_sub(1)?)?;
    if line.last() != Some(&b'}') || digits.is_empty() {
        return None;
    }
    std::str::from_utf8(digits).ok()?.trim_end_matches('+').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_nested_lists_and_literals() {
        let values =
            read(b"* 1 FETCH (UID 7 BODY[HEADER.FIELDS (TO CC)] {3}\r\na)b FLAGS (\\Seen) X \"a\\\"b\")")
                .unwrap();
        let items = values[3].items();
        assert_eq!(items[2], Value::Atom(b"BODY[HEADER.FIELDS (TO CC)]".to_vec()));
        assert_eq!(items[3], Value::Text(b"a)b".to_vec()));
        assert_eq!(items[5].items()[0].text(), "\\Seen");
        assert_eq!(items[7].text(), "a\"b");
    }

    #[test]
    fn refuses_unbalanced_lists() {
        assert!(read(b"(a").is_err());
        assert!(read(b"a)").is_err());
        assert!(read(b"\"a").is_err());
    }

    #[test]
    fn finds_announced_literals() {
        assert_eq!(announced(b"* 1 FETCH (BODY[] {310}"), Some(310));
        assert_eq!(announced(b"* OK {}"), None);
        assert_eq!(announced(b"* OK x"), None);
    }
}
