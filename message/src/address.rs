//! Address fields (RFC 5322 3.4 and 4.4, RFC 6532), as ENVELOPE needs them: encoded words stay as they are.
//!
//! The parser takes whatever comes and gives the best reading of it: comments, quoted strings, groups, routes, missing commas,
//! brackets that are never closed. One pass, no recursion; the octets of a fold count as white space.

/// What the parser finds, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    /// An address. A missing part is empty.
    Mailbox { name: &'a [u8], route: &'a [u8], local_part: &'a [u8], domain: &'a [u8] },
    /// A group begins.
    GroupStart { name: &'a [u8] },
    /// The group ends.
    GroupEnd,
}

/// Calls `found` for every item of an address field's raw value.
pub(crate) fn parse(raw: &[u8], found: &mut impl FnMut(Item<'_>)) {
    Parser { raw, ..Parser::default() }.run(found);
}

#[derive(Default)]
struct Parser<'a> {
    raw: &'a [u8],
    at: usize,
    in_group: bool,
    /// Words seen, one space between those that had white space between them.
    phrase: Vec<u8>,
    /// The same without any white space, for an address without angle brackets.
    spec: Spec,
    /// Text of the first comment.
    comment: Vec<u8>,
    space: bool,
    /// A quotation mark was seen that is never closed: so none behind it is.
    quotes_end: bool,
}

/// `local@domain` while it is gathered.
#[derive(Default)]
struct Spec {
    text: Vec<u8>,
    last_at: Option<usize>,
}

impl Spec {
    fn clear(&mut self) {
        self.text.clear();
        self.last_at = None;
    }

    fn push_at(&mut self) {
        self.last_at = Some(self.text.len());
        self.text.push(b'@');
    }

    fn parts(&self) -> (&[u8], &[u8]) {
        match self.last_at {
            Some(at) => (&self.text[..at], &self.text[at + 1..]),
            None => (&self.text, &[]),
        }
    }

    /// Does the domain, or its next label, still have to come?
    fn wants_domain(&self) -> bool {
        self.last_at.is_some() && matches!(self.text.last(), Some(b'@' | b'.'))
    }
}

impl Parser<'_> {
    fn run(mut self, found: &mut impl FnMut(Item<'_>)) {
        while let Some(&octet) = self.raw.get(self.at) {
            match octet {
                b' ' | b'\t' | b'\r' | b'\n' => {
                    self.space = true;
                    self.at += 1;
                }
                b'(' => self.comment(),
                b'<' => self.angle(found),
                b',' => {
                    self.flush(found);
                    self.at += 1;
                }
                b';' => {
                    self.flush(found);
                    self.end_group(found);
                    self.at += 1;
                }
                b':' => {
                    self.start_group(found);
                    self.at += 1;
                }
                b'>' => self.at += 1,
                b'@' => {
                    self.word_begins(b'@');
                    self.phrase.push(b'@');
                    self.spec.push_at();
                    self.at += 1;
                }
                b'[' if self.spec.last_at.is_some_and(|at| at + 1 == self.spec.text.len()) => {
                    let end = literal_end(&self.raw[self.at..]);
                    let literal = &self.raw[self.at..self.at + end];
                    self.phrase.extend_from_slice(literal);
                    self.spec.text.extend_from_slice(literal);
                    self.at += end;
                    self.space = false;
                }
                b'"' if !self.quotes_end => {
                    if let Some(end) = quoted_end(&self.raw[self.at..]) {
                        self.missing_comma(found, octet);
                        self.word_begins(octet);
                        let inside = &self.raw[self.at + 1..self.at + end - 1];
                        unescape(inside, &mut self.phrase);
                        unescape(inside, &mut self.spec.text);
                        self.at += end;
                    } else {
                        self.quotes_end = true;
                    }
                }
                b'"' => self.at += 1,
                _ => {
                    self.missing_comma(found, octet);
                    self.word_begins(octet);
                    self.phrase.push(octet);
                    self.spec.text.push(octet);
                    self.at += 1;
                }
            }
        }
        self.flush(found);
        self.end_group(found);
    }

    /// `a@x b@y`: a word behind white space behind a whole address begins another address.
    fn missing_comma(&mut self, found: &mut impl FnMut(Item<'_>), octet: u8) {
        if self.space && octet != b'.' && self.spec.last_at.is_some() && !self.spec.wants_domain() {
            self.flush(found);
        }
    }

    fn word_begins(&mut self, octet: u8) {
        if self.space && !self.phrase.is_empty() && octet != b'@' {
            self.phrase.push(b' ');
        }
        self.space = false;
    }

    fn comment(&mut self) {
        let keep = self.comment.is_empty();
        self.at = skip_comment(self.raw, self.at, keep.then_some(&mut self.comment));
        self.space = true;
    }

    fn start_group(&mut self, found: &mut impl FnMut(Item<'_>)) {
        if self.phrase.is_empty() {
            return;
        }
        // A group in a group is not allowed, and ENVELOPE has no form for it: the second ends the first.
        self.end_group(found);
        found(Item::GroupStart { name: &self.phrase });
        self.in_group = true;
        self.clear();
    }

    fn end_group(&mut self, found: &mut impl FnMut(Item<'_>)) {
        if self.in_group {
            found(Item::GroupEnd);
            self.in_group = false;
        }
    }

    /// What was gathered is an address without angle brackets.
    fn flush(&mut self, found: &mut impl FnMut(Item<'_>)) {
        if !self.spec.text.is_empty() {
            let name = self.comment.trim_ascii();
            match self.spec.last_at {
                Some(_) => {
                    let (local_part, domain) = self.spec.parts();
                    found(Item::Mailbox { name, route: &[], local_part, domain });
                }
                None => found(Item::Mailbox { name, route: &[], local_part: &self.phrase, domain: &[] }),
            }
        }
        self.clear();
    }

    fn clear(&mut self) {
        self.phrase.clear();
        self.spec.clear();
        self.comment.clear();
        self.space = false;
    }

    /// `<route:local@domain>`, with what came before as the name.
    fn angle(&mut self, found: &mut impl FnMut(Item<'_>)) {
        self.spec.clear();
        self.at += 1;
        let mut route = Vec::new();
        let mut may_be_route = true;
        while let Some(&octet) = self.raw.get(self.at) {
            match octet {
                b'>' => {
                    self.at += 1;
                    break;
                }
                // The bracket was forgotten, unless this is the comma of a route.
                b',' if !(may_be_route && self.spec.text.first() == Some(&b'@')) => break,
                b';' | b'<' => break,
                b':' if may_be_route => {
                    may_be_route = false;
                    if self.spec.text.first() == Some(&b'@') {
                        route = std::mem::take(&mut self.spec.text);
                    }
                    // Another word before the colon, such as `mailto`, is no part of an address.
                    self.spec.clear();
                    self.at += 1;
                }
                b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
                b'(' => self.comment(),
                b'@' => {
                    self.spec.push_at();
                    self.at += 1;
                }
                b'[' if self.spec.last_at.is_some_and(|at| at + 1 == self.spec.text.len()) => {
                    let end = literal_end(&self.raw[self.at..]);
                    self.spec.text.extend_from_slice(&self.raw[self.at..self.at + end]);
                    self.at += end;
                }
                b'"' if !self.quotes_end => match quoted_end(&self.raw[self.at..]) {
                    Some(end) => {
                        may_be_route = false;
                        unescape(&self.raw[self.at + 1..self.at + end - 1], &mut self.spec.text);
                        self.at += end;
                    }
                    None => self.quotes_end = true,
                },
                b'"' => self.at += 1,
                _ => {
                    self.spec.text.push(octet);
                    self.at += 1;
                }
            }
        }
        let name = if self.phrase.is_empty() { self.comment.trim_ascii() } else { &self.phrase };
        let (local_part, domain) = self.spec.parts();
        if !name.is_empty() || !self.spec.text.is_empty() {
            found(Item::Mailbox { name, route: &route, local_part, domain });
        }
        self.clear();
    }
}

/// The offset behind the comment that begins at `at`, or the end. Comments nest; their text goes to `text`.
pub(crate) fn skip_comment(raw: &[u8], mut at: usize, mut text: Option<&mut Vec<u8>>) -> usize {
    let mut depth = 0_usize;
    while let Some(&octet) = raw.get(at) {
        at += 1;
        let mut kept = octet;
        match octet {
            b'(' => {
                depth += 1;
                if depth == 1 {
                    continue;
                }
            }
            b')' => {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
            b'\\' => {
                let Some(&escaped) = raw.get(at) else { break };
                at += 1;
                kept = escaped;
            }
            b'\r' | b'\n' => continue,
            _ => {}
        }
        if let Some(text) = &mut text {
            text.push(kept);
        }
    }
    at
}

/// The length of the quoted string that `raw` begins with. `None`: it is never closed.
pub(crate) fn quoted_end(raw: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', raw.get(at..)?)?;
        if raw[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// Appends the inside of a quoted string without its escapes and folds.
pub(crate) fn unescape(inside: &[u8], out: &mut Vec<u8>) {
    let mut octets = inside.iter();
    while let Some(&octet) = octets.next() {
        match octet {
            b'\\' => out.extend(octets.next()),
            b'\r' | b'\n' => {}
            _ => out.push(octet),
        }
    }
}

/// The length of the domain literal that `raw` begins with, up to its bracket or, where that is missing, one octet.
fn literal_end(raw: &[u8]) -> usize {
    // A domain literal is short; one that runs on is a bracket that was never closed.
    let window = &raw[..raw.len().min(256)];
    memchr::memchr(b']', window).map_or(1, |end| end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: &str) -> String {
        let mut out = String::new();
        parse(raw.as_bytes(), &mut |item| {
            let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
            match item {
                Item::Mailbox { name, route, local_part, domain } => {
                    out += &format!("{}|{}|{}|{} ", text(name), text(route), text(local_part), text(domain));
                }
                Item::GroupStart { name } => out += &format!("{}{{ ", text(name)),
                Item::GroupEnd => out += "} ",
            }
        });
        out.trim_end().to_owned()
    }

    #[test]
    fn reads_addresses() {
        let cases = [
            ("a@x.example", "||a|x.example"),
            ("Joe Q. Public <joe@x.example>, b@y", "Joe Q. Public||joe|x.example ||b|y"),
            ("\"B, \\\"C\\\"\" <b@x>", "B, \"C\"||b|x"),
            ("user@domain (Real Name)", "Real Name||user|domain"),
            ("Name (comment) <n@x.example> (more)", "Name||n|x.example"),
            ("n @ x . example", "||n|x.example"),
            ("<@r.example,@two.example:u@three.example>", "|@r.example,@two.example|u|three.example"),
            ("a@b@c.example", "||a@b|c.example"),
            ("user@[IPv6:2001:db8::1], b@[192.0.2.1]", "||user|[IPv6:2001:db8::1] ||b|[192.0.2.1]"),
            ("\"very.(),:;<>[]\\\".VERY\"@strange.example", "||very.(),:;<>[]\".VERY|strange.example"),
            ("=?utf-8?q?J=C3=BCrgen?= <j@x>", "=?utf-8?q?J=C3=BCrgen?=||j|x"),
            ("\"\" <empty@x.example>", "||empty|x.example"),
            ("A\r\n B\r\n <a@x>", "A B||a|x"),
        ];
        for (raw, want) in cases {
            assert_eq!(read(raw), want, "{raw}");
        }
    }

    #[test]
    fn reads_groups() {
        assert_eq!(read("g: a@x, \"B, C\" <b@x>;"), "g{ ||a|x B, C||b|x }");
        assert_eq!(read("Undisclosed recipients:;"), "Undisclosed recipients{ }");
        assert_eq!(read("group:;, group2: (foo) ;"), "group{ } group2{ }");
        assert_eq!(read("Outer: Inner: a@x;;"), "Outer{ } Inner{ ||a|x }");
        assert_eq!(read("open: a@x"), "open{ ||a|x }");
    }

    #[test]
    fn makes_the_best_of_broken_ones() {
        let cases = [
            ("", ""),
            ("<>", ""),
            (",,,a@x,,", "||a|x"),
            ("user@", "||user|"),
            ("@domain.example", "|||domain.example"),
            ("<a@x", "||a|x"),
            ("a@x>", "||a|x"),
            ("\"unclosed <q@x>", "unclosed||q|x"),
            ("a@x b@y", "||a|x ||b|y"),
            ("a@x;b@y", "||a|x ||b|y"),
            ("Name1 <a@x> Name2 <b@y>", "Name1||a|x Name2||b|y"),
            ("root", "||root|"),
            ("<mailto:a@x>", "||a|x"),
            ("(unclosed", ""),
            ("Name <>", "Name|||"),
        ];
        for (raw, want) in cases {
            assert_eq!(read(raw), want, "{raw}");
        }
    }

    #[test]
    fn is_linear_in_brackets_and_quotes() {
        for octet in ["(", "\"", "[", "<", "@[", "\\", ":", "a:"] {
            parse(octet.repeat(100_000).as_bytes(), &mut |_| {});
        }
    }
}
