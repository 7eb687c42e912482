//! METADATA replies (RFC 5464 section 4.4): entries with their values, or the names of those that somebody changed.

use crate::imap::syntax::mailbox_name::write_mailbox;
use crate::imap::syntax::name_encoding::NameEncoding;
use crate::imap::syntax::string;

/// Appends `* METADATA name (entry value …)`; `name` is empty for the server. Nothing if there are no entries: the grammar has no such reply.
pub fn values<'a>(
    out: &mut Vec<u8>,
    name: &str,
    encoding: NameEncoding,
    entries: impl IntoIterator<Item = (&'a str, Option<&'a [u8]>)>,
) {
    let mut before: &[u8] = b" (";
    let start = out.len();
    begin(out, name, encoding);
    for (entry, value) in entries {
        out.extend_from_slice(std::mem::replace(&mut before, b" "));
        string::write_astring(out, entry.as_bytes());
        out.push(b' ');
        string::write_nstring8(out, value);
    }
    if before == b" (" {
        out.truncate(start);
    } else {
        out.extend_from_slice(b")\r\n");
    }
}

/// Appends `* METADATA name entry …`: these entries have changed. Nothing if there are none.
pub fn changed<'a>(
    out: &mut Vec<u8>,
    name: &str,
    encoding: NameEncoding,
    entries: impl IntoIterator<Item = &'a str>,
) {
    let mut entries = entries.into_iter().peekable();
    if entries.peek().is_none() {
        return;
    }
    begin(out, name, encoding);
    for entry in entries {
        out.push(b' ');
        string::write_astring(out, entry.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

fn begin(out: &mut Vec<u8>, name: &str, encoding: NameEncoding) {
    out.extend_from_slice(b"* METADATA ");
    write_mailbox(out, name, encoding);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_written() {
        let (mut out, utf7) = (Vec::new(), NameEncoding::ModifiedUtf7);
        let entries =
            [("/shared/comment", Some(&b"a b"[..])), ("/private/x y", None), ("/shared/z", Some(b"\0"))];
        values(&mut out, "ä", utf7, entries);
        values(&mut out, "", utf7, [("/shared/a", Some(&b"\r\n"[..]))]);
        values(&mut out, "x", utf7, []);
        changed(&mut out, "", NameEncoding::Utf8, ["/shared/a", "/private/b c"]);
        changed(&mut out, "", utf7, []);
        let want = "* METADATA &AOQ- (/shared/comment \"a b\" \"/private/x y\" NIL /shared/z ~{1}\r\n\0)\r\n\
                    * METADATA \"\" (/shared/a {2}\r\n\r\n)\r\n\
                    * METADATA \"\" /shared/a \"/private/b c\"\r\n";
        assert_eq!(String::from_utf8_lossy(&out), want);
    }
}
