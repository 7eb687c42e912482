//! Raw header blocks: where each field begins and ends, and which ones matter here.
//!
//! A field is a line and the lines after it that begin with white space. A line that is no field (no colon, a name with a space,
//! an mbox `From ` line) has the empty name: it stays part of the header but is never found.

/// A field of a header block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field<'a> {
    /// All octets, line ends included.
    pub(crate) raw: &'a [u8],
    /// Name as written; empty if this is no field.
    pub(crate) name: &'a [u8],
    /// Everything behind the colon.
    pub(crate) value: &'a [u8],
}

/// The fields of a header block, up to its blank line or its end.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn new(header: &'a [u8]) -> Self {
        Fields { rest: header }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        let mut end = 0;
        loop {
            end = match memchr::memchr(b'\n', &self.rest[end..]) {
                Some(newline) => end + newline + 1,
                None => self.rest.len(),
            };
            if !matches!(self.rest.get(end), Some(b' ' | b'\t')) {
                break;
            }
        }
        let (raw, rest) = self.rest.split_at(end);
        if raw.is_empty() || is_blank_line(raw) {
            self.rest = &[];
            return None;
        }
        self.rest = rest;
        Some(split(raw))
    }
}

/// Is this line, with its line end, the one that ends a header? Extra CRs, as conversions of line ends that were already right leave
/// them, do not count, within reason.
pub(crate) fn is_blank_line(line: &[u8]) -> bool {
    match line {
        [b'\n'] | [b'\r', b'\n'] => true,
        [b'\r', crs @ .., b'\n'] => crs.len() < 8 && crs.iter().all(|&octet| octet == b'\r'),
        _ => false,
    }
}

fn split(raw: &[u8]) -> Field<'_> {
    let no_field = Field { raw, name: &[], value: &[] };
    let Some(colon) = memchr::memchr(b':', raw) else { return no_field };
    let name = raw[..colon].trim_ascii_end();
    if !name.iter().all(|octet| matches!(octet, 33..=126)) {
        return no_field;
    }
    Field { raw, name, value: &raw[colon + 1..] }
}

/// Cuts fields out of a header for HEADER.FIELDS and HEADER.FIELDS.NOT (RFC 3501 6.4.5): appends to `out` the octets of every
/// field whose name is in `names` (or, with `not`, is not), in their order, and a blank line. Names compare without case. Lines
/// that are no fields are left out.
pub fn header_fields(header: &[u8], names: &[&[u8]], not: bool, out: &mut Vec<u8>) {
    for field in Fields::new(header) {
        let named = names.iter().any(|name| name.eq_ignore_ascii_case(field.name));
        if !field.name.is_empty() && named != not {
            out.extend_from_slice(field.raw);
            if !field.raw.ends_with(b"\n") {
                out.extend_from_slice(b"\r\n");
            }
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// The raw values of all fields of that name, in their order. Names compare without case.
pub fn header_values<'a>(header: &'a [u8], name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let named = move |field: &Field<'_>| !field.name.is_empty() && field.name.eq_ignore_ascii_case(name);
    Fields::new(header).filter(named).map(|field| field.value)
}

/// All fields whole, name and folded lines, and lines that are no fields: what is to be searched one by one, so that nothing is found where one
/// field ends and the next begins.
pub fn header_lines(header: &[u8]) -> impl Iterator<Item = &[u8]> {
    Fields::new(header).map(|field| field.raw)
}

/// The fields that an analysis reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    Date,
    Subject,
    From,
    Sender,
    ReplyTo,
    To,
    Cc,
    Bcc,
    InReplyTo,
    MessageId,
    References,
    ContentType,
    ContentTransferEncoding,
    ContentDisposition,
    ContentDescription,
    ContentId,
    ContentMd5,
    ContentLanguage,
    ContentLocation,
}

fn known(name: &[u8]) -> Option<Known> {
    // By length first: few names of a header are of any interest, and most fall out here.
    let candidates: &[(&[u8], Known)] = match name.len() {
        2 => &[(b"to", Known::To), (b"cc", Known::Cc)],
        3 => &[(b"bcc", Known::Bcc)],
        4 => &[(b"date", Known::Date), (b"from", Known::From)],
        6 => &[(b"sender", Known::Sender)],
        7 => &[(b"subject", Known::Subject)],
        8 => &[(b"reply-to", Known::ReplyTo)],
        10 => &[
            (b"message-id", Known::MessageId),
            (b"references", Known::References),
            (b"content-id", Known::ContentId),
        ],
        11 => &[(b"in-reply-to", Known::InReplyTo), (b"content-md5", Known::ContentMd5)],
        12 => &[(b"content-type", Known::ContentType)],
        16 => &[(b"content-language", Known::ContentLanguage), (b"content-location", Known::ContentLocation)],
        19 => &[
            (b"content-disposition", Known::ContentDisposition),
            (b"content-description", Known::ContentDescription),
        ],
        25 => &[(b"content-transfer-encoding", Known::ContentTransferEncoding)],
        _ => &[],
    };
    candidates.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|&(_, known)| known)
}

/// The known fields of one header block, in order.
#[derive(Debug, Default)]
pub(crate) struct KnownFields<'a> {
    fields: Vec<(Known, &'a [u8])>,
}

impl<'a> KnownFields<'a> {
    /// Remembers the field if it is a known one.
    pub(crate) fn add(&mut self, field: Field<'a>) {
        if let Some(known) = known(field.name) {
            self.fields.push((known, field.value));
        }
    }

    /// Reads a whole header block.
    pub(crate) fn read(header: &'a [u8]) -> Self {
        let mut fields = KnownFields { fields: Vec::with_capacity(16) };
        Fields::new(header).for_each(|field| fields.add(field));
        fields
    }

    /// The raw value of the first field of this name.
    pub(crate) fn first(&self, known: Known) -> Option<&'a [u8]> {
        self.all(known).next()
    }

    /// The raw values of all fields of this name.
    pub(crate) fn all(&self, known: Known) -> impl Iterator<Item = &'a [u8]> + '_ {
        self.fields.iter().filter(move |(name, _)| *name == known).map(|&(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &[u8] = b"From me Mon Jan  1\r\nSubject: a\r\n b\r\nX : y\nno colon\nTo: c\r\n\r\nbody: no";

    #[test]
    fn walks_fields() {
        let names: Vec<&[u8]> = Fields::new(HEADER).map(|field| field.name).collect();
        assert_eq!(names, [&b""[..], b"Subject", b"X", b"", b"To"]);
        let all: usize = Fields::new(HEADER).map(|field| field.raw.len()).sum();
        assert_eq!(&HEADER[all..], b"\r\nbody: no");
    }

    #[test]
    fn finds_values() {
        let header = b"A: 1\r\nB: 2\r\na : 3\r\n 4\r\n: 5\r\n\r\nA: 6";
        assert_eq!(header_values(header, b"A").collect::<Vec<_>>(), [&b" 1\r\n"[..], b" 3\r\n 4\r\n"]);
        assert_eq!(header_values(header, b"").count(), 0);
    }

    #[test]
    fn cuts_fields() {
        let mut out = Vec::new();
        header_fields(HEADER, &[b"to", b"SUBJECT"], false, &mut out);
        assert_eq!(out, b"Subject: a\r\n b\r\nTo: c\r\n\r\n");
        out.clear();
        header_fields(HEADER, &[b"to", b"SUBJECT"], true, &mut out);
        assert_eq!(out, b"X : y\n\r\n");
        out.clear();
        header_fields(b"A: b", &[b"a"], false, &mut out);
        assert_eq!(out, b"A: b\r\n\r\n");
    }

    #[test]
    fn knows_names() {
        assert_eq!(known(b"CONTENT-transfer-Encoding"), Some(Known::ContentTransferEncoding));
        assert_eq!(known(b"content-tipe"), None);
        let fields = KnownFields::read(HEADER);
        assert_eq!(fields.first(Known::Subject), Some(&b" a\r\n b\r\n"[..]));
        assert_eq!(fields.first(Known::Cc), None);
    }

    #[test]
    fn blank_lines() {
        for line in [&b"\n"[..], b"\r\n", b"\r\r\n"] {
            assert!(is_blank_line(line));
        }
        for line in [&b""[..], b"\r", b" \n", b"a\n"] {
            assert!(!is_blank_line(line));
        }
    }
}
