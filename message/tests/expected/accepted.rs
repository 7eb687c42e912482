//! Differences that are right as they are, with their reasons.

use std::collections::{BTreeMap, BTreeSet};

use crate::Difference;

/// What is accepted of one set of fixtures.
#[derive(Clone, Copy)]
pub(crate) struct Accepted {
    /// Of what no row accepts, the first that applies accepts. With each the number of differences that it must accept.
    rules: &'static [(Rule, usize)],
    rows: &'static [Row],
}

/// Accepts a class of differences.
struct Rule {
    reason: &'static str,
    applies: fn(message: &[u8], difference: &Difference) -> bool,
}

/// Accepts differences of one fixture.
struct Row {
    fixture: &'static str,
    /// The fields that differ. Every one of them must.
    fields: &'static [&'static str],
    reason: &'static str,
}

/// Counts what agrees and what is accepted.
pub(crate) struct Ledger {
    accepted: Accepted,
    compared: usize,
    agreeing: usize,
    by_rule: Vec<usize>,
    /// Differences by reason.
    by_row: BTreeMap<&'static str, usize>,
    entered: BTreeSet<String>,
    failures: Vec<String>,
}

impl Ledger {
    pub(crate) fn new(accepted: Accepted) -> Self {
        Ledger {
            accepted,
            compared: 0,
            agreeing: 0,
            by_rule: vec![0; accepted.rules.len()],
            by_row: BTreeMap::new(),
            entered: BTreeSet::new(),
            failures: Vec::new(),
        }
    }

    /// Enters what differs in a fixture.
    pub(crate) fn enter(&mut self, fixture: &str, message: &[u8], differences: &[Difference]) {
        self.compared += 1;
        self.agreeing += usize::from(differences.is_empty());
        self.entered.insert(fixture.to_owned());
        let row = self.accepted.rows.iter().find(|row| row.fixture == fixture);
        let in_row = |field: &str| row.is_some_and(|row| row.fields.contains(&field));
        for field in row.into_iter().flat_map(|row| row.fields) {
            if !differences.iter().any(|difference| difference.field == *field) {
                self.failures.push(format!("{fixture}: {field} is accepted but agrees"));
            }
        }
        for difference in differences {
            if let Some(row) = row.filter(|_| in_row(&difference.field)) {
                *self.by_row.entry(row.reason).or_default() += 1;
                continue;
            }
            match self.accepted.rules.iter().position(|(rule, _)| (rule.applies)(message, difference)) {
                Some(rule) => self.by_rule[rule] += 1,
                None => self.failures.push(format!(
                    "{fixture}: {}\n    want {:.300}\n    got  {:.300}",
                    difference.field, difference.want, difference.got
                )),
            }
        }
    }

    /// Prints the counts.
    ///
    /// # Panics
    /// If something differs that is not accepted, or something is accepted that does not differ.
    pub(crate) fn settle(mut self, folder: &str) {
        let differing = self.compared - self.agreeing;
        println!("{folder}: {} compared, {} agree, {differing} differ", self.compared, self.agreeing);
        for ((rule, expected), count) in self.accepted.rules.iter().zip(&self.by_rule) {
            println!("  accepted {count:3} by rule: {}", rule.reason);
            if count != expected {
                self.failures.push(format!("{count}, not {expected}, accepted by rule: {}", rule.reason));
            }
        }
        for (reason, count) in &self.by_row {
            println!("  accepted {count:3} by row:  {reason}");
        }
        for row in self.accepted.rows.iter().filter(|row| !self.entered.contains(row.fixture)) {
            self.failures.push(format!("{}: accepted but not there", row.fixture));
        }
        assert!(self.failures.is_empty(), "{} failures:\n{}", self.failures.len(), self.failures.join("\n"));
    }
}

const NO_PARTS: Rule = Rule {
    reason: "IMAP has no form for a multipart without parts (RFC 3501, 9): it is a text, which clients show",
    applies: |_, difference| {
        let is_kind = difference.want == "(Multipart, 0)" && difference.got == "(Leaf, 0)";
        let is_media = difference.want.starts_with("\"multipart/") && difference.got == "\"text/plain\"";
        is_kind && difference.field.ends_with("kind") || is_media && difference.field.ends_with("media")
    },
};

const ENCODED_MESSAGE: Rule = Rule {
    reason: "an encoded message/rfc822 is forbidden (RFC 2046, 5.2.1), and IMAP could not number or cut what is inside: it is a leaf",
    applies: |message, difference| {
        let is_kind = difference.want == "(Message, 1)" && difference.got == "(Leaf, 0)";
        let encoding = b"content-transfer-encoding: base64";
        let is_encoded =
            || message.windows(encoding.len()).any(|octets| octets.eq_ignore_ascii_case(encoding));
        is_kind && difference.field.ends_with("kind") && is_encoded()
    },
};

const EIGHT_BIT: Rule = Rule {
    reason: "octets above 127 without a charset: windows-1252 if they are no UTF-8, not replacement characters, so that they can be found",
    applies: |_, difference| {
        let is_text = difference.field.ends_with("subject") || difference.field.ends_with("text");
        let (mut want, mut got) = (difference.want.chars(), difference.got.chars());
        let alike = |(want, got): (char, char)| want == got || want == '\u{fffd}' && !got.is_ascii();
        is_text && want.by_ref().zip(got.by_ref()).all(alike) && want.next().is_none() && got.next().is_none()
    },
};

const PREFIX: &str = "a line that goes on behind the boundary is no boundary: the grammar of RFC 2046, 5.1.1, has nothing but white space \
     there; by the note beside it any line that begins so would be one, and with nested boundaries the wrong one";
const OUTER: &str = "a boundary of an outer multipart ends what is inside, closed or not (RFC 2046, 5.1.2); mail-parser reads on";
const EMPTY_PART: &str = "a boundary line begins a part, even one with nothing in it (RFC 2046, 5.1.1)";
const TWO_TYPES: &str =
    "of two Content-Type fields the first counts, as with all fields; for mail-parser it is the last";
const NO_BASE64: &str = "content that is no base64 keeps its type and encoding for IMAP; mail-parser makes a text of it, or drops its end";
const SPACE_IN_BOUNDARY: &str =
    "a boundary cannot end with white space: what stands there has been added on the way (RFC 2046, 5.1.1)";
const LONG_BOUNDARY: &str =
    "a boundary has at most 70 characters (RFC 2046, 5.1.1); Lode takes 998, not 7,000";
const NO_FIELD: &str = "the header ends at its blank line, so BODY[HEADER] may have lines that are no fields; with the same octets \
     mime4j expects this as well, where its option to begin the body at such a line is off";

/// Of `messages/stalwart-mail-parser`.
pub(crate) const STALWART: Accepted = Accepted {
    rules: &[(NO_PARTS, 1), (ENCODED_MESSAGE, 1), (EIGHT_BIT, 7)],
    rows: &[
        Row {
            fixture: "legacy/049",
            fields: &["body end", "text"],
            reason: "a lone CR at the end of the file is part of the body",
        },
        Row { fixture: "malformed/000", fields: &["kind"], reason: EMPTY_PART },
        Row {
            fixture: "malformed/001",
            fields: &["kind", "1 kind", "1 media", "1 body end"],
            reason: PREFIX,
        },
        Row { fixture: "malformed/004", fields: &["kind", "media"], reason: PREFIX },
        Row { fixture: "malformed/007", fields: &["kind", "1 body end", "1 text"], reason: PREFIX },
        Row { fixture: "malformed/008", fields: &["kind", "1 kind", "1 body end"], reason: OUTER },
        Row {
            fixture: "malformed/009",
            fields: &["kind", "1 body end", "1.2 body end", "1.2 text"],
            reason: OUTER,
        },
        Row {
            fixture: "malformed/011",
            fields: &["kind", "1 body end", "1.2 body end", "1.2 text"],
            reason: OUTER,
        },
        Row {
            fixture: "malformed/012",
            fields: &["kind", "1 body end", "1.2 body end", "1.2.0 body end", "1.2.0 text"],
            reason: OUTER,
        },
        Row { fixture: "malformed/013", fields: &["2.2.2 kind"], reason: EMPTY_PART },
        Row { fixture: "malformed/014", fields: &["kind"], reason: EMPTY_PART },
        Row {
            fixture: "malformed/016",
            fields: &["kind", "1 body end", "1.1 kind", "1.1 body end"],
            reason: OUTER,
        },
        Row {
            fixture: "malformed/019",
            fields: &["5 body end", "5.2 body end"],
            reason: "a multipart that is never closed goes to the end of the message, last line end included",
        },
        Row { fixture: "malformed/020", fields: &["1 kind", "1 media", "1 body end"], reason: TWO_TYPES },
        Row { fixture: "malformed/021", fields: &["1 kind", "1 media", "1 body end"], reason: TWO_TYPES },
        Row {
            fixture: "malformed/022",
            fields: &["2 kind", "2 body end"],
            reason: "a message/rfc822 is one by its type, whatever is in it; mail-parser makes a text of it and misses the boundary",
        },
        Row {
            fixture: "rfc/000",
            fields: &["3.1 content kind", "3.1 text", "3.2 content kind", "3.2 text"],
            reason: NO_BASE64,
        },
        Row { fixture: "thirdparty/002", fields: &["2 text", "3 text"], reason: NO_BASE64 },
        Row {
            fixture: "thirdparty/005",
            fields: &["5 body end", "5 text"],
            reason: "a boundary stands at the beginning of a line (RFC 2046, 5.1.1), not within one",
        },
        Row {
            fixture: "thirdparty/015",
            fields: &[
                "kind",
                "2 body end",
                "2.0 kind",
                "2.0 media",
                "2.0 header start",
                "2.0 body start",
                "2.0 body end",
                "2.0 fields",
            ],
            reason: OUTER,
        },
    ],
};

/// Of `messages/apache-james-mime4j`.
pub(crate) const MIME4J: Accepted = Accepted {
    rules: &[(NO_PARTS, 9), (ENCODED_MESSAGE, 7)],
    rows: &[
        Row { fixture: "testmsgs/ending-boundaries", fields: &["kind"], reason: PREFIX },
        Row { fixture: "testmsgs/ending-boundaries_decoded", fields: &["kind"], reason: PREFIX },
        Row {
            fixture: "testmsgs/malformedHeaderStartsBody-nocrlfcrlf",
            fields: &["other fields", "body"],
            reason: NO_FIELD,
        },
        Row {
            fixture: "testmsgs/malformedHeaderStartsBody-nocrlfcrlf_decoded",
            fields: &["other fields", "content"],
            reason: NO_FIELD,
        },
        Row { fixture: "testmsgs/malformedHeaderStartsBody-noheader", fields: &["body"], reason: NO_FIELD },
        Row {
            fixture: "testmsgs/malformedHeaderStartsBody-noheader_decoded",
            fields: &["content"],
            reason: NO_FIELD,
        },
        Row {
            fixture: "testmsgs/very-long-boundary",
            fields: &["kind", "1 body"],
            reason: SPACE_IN_BOUNDARY,
        },
        Row {
            fixture: "testmsgs/very-long-boundary_decoded",
            fields: &["kind", "1 content"],
            reason: SPACE_IN_BOUNDARY,
        },
        Row { fixture: "testmsgs/very-very-long-boundary", fields: &["kind"], reason: LONG_BOUNDARY },
        Row { fixture: "testmsgs/very-very-long-boundary_decoded", fields: &["kind"], reason: LONG_BOUNDARY },
        Row { fixture: "testmsgs/weird-boundary", fields: &["kind", "1 body"], reason: SPACE_IN_BOUNDARY },
        Row {
            fixture: "testmsgs/weird-boundary_decoded",
            fields: &["kind", "1 content"],
            reason: SPACE_IN_BOUNDARY,
        },
    ],
};
