//! CAPABILITY, ID and ENABLED (RFC 3501 section 7.2.1, RFC 2971, RFC 5161).

use crate::imap::syntax::string;

/// Appends `* CAPABILITY names`, names having spaces between them.
pub fn capability(out: &mut Vec<u8>, names: &str) {
    out.extend_from_slice(b"* CAPABILITY ");
    out.extend_from_slice(names.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Appends `* ENABLED names`, for those that were enabled by the command; there may be none.
pub fn enabled<'a>(out: &mut Vec<u8>, names: impl IntoIterator<Item = &'a str>) {
    out.extend_from_slice(b"* ENABLED");
    for name in names {
        out.push(b' ');
        out.extend_from_slice(name.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends `* ID (fields)`, or NIL when there are none.
pub fn id(out: &mut Vec<u8>, fields: &[(&str, Option<&str>)]) {
    out.extend_from_slice(b"* ID ");
    for (index, (name, value)) in fields.iter().enumerate() {
        out.push(if index == 0 { b'(' } else { b' ' });
        string::write_string(out, name.as_bytes());
        out.push(b' ');
        string::write_nstring(out, value.map(str::as_bytes));
    }
    out.extend_from_slice(if fields.is_empty() { b"NIL\r\n" } else { b")\r\n" });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_one_line() {
        let mut out = Vec::new();
        capability(&mut out, "IMAP4rev1 IDLE");
        enabled(&mut out, ["CONDSTORE"]);
        enabled(&mut out, []);
        id(&mut out, &[("name", Some("Lode")), ("version", None)]);
        id(&mut out, &[]);
        assert_eq!(
            String::from_utf8(out).expect("ASCII"),
            "* CAPABILITY IMAP4rev1 IDLE\r\n* ENABLED CONDSTORE\r\n* ENABLED\r\n\
             * ID (\"name\" \"Lode\" \"version\" NIL)\r\n* ID NIL\r\n"
        );
    }
}
