//! ACL, LISTRIGHTS and MYRIGHTS replies (RFC 4314 sections 3.6 to 3.8). Rights are letters; names and identifiers are UTF-8.

use crate::imap::syntax::mailbox_name::write_mailbox;
use crate::imap::syntax::name_encoding::NameEncoding;
use crate::imap::syntax::string;

/// Appends `* ACL name identifier rights …`.
pub fn acl<'a>(
    out: &mut Vec<u8>,
    name: &str,
    encoding: NameEncoding,
    entries: impl IntoIterator<Item = (&'a str, &'a str)>,
) {
    begin(out, "ACL", name, encoding);
    for (identifier, rights) in entries {
        argument(out, identifier);
        argument(out, rights);
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends `* LISTRIGHTS name identifier required optional …`: rights in one of `optional` are given together.
pub fn list_rights<'a>(
    out: &mut Vec<u8>,
    name: &str,
    encoding: NameEncoding,
    identifier: &str,
    required: &str,
    optional: impl IntoIterator<Item = &'a str>,
) {
    begin(out, "LISTRIGHTS", name, encoding);
    argument(out, identifier);
    argument(out, required);
    for rights in optional {
        argument(out, rights);
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends `* MYRIGHTS name rights`.
pub fn my_rights(out: &mut Vec<u8>, name: &str, encoding: NameEncoding, rights: &str) {
    begin(out, "MYRIGHTS", name, encoding);
    argument(out, rights);
    out.extend_from_slice(b"\r\n");
}

fn begin(out: &mut Vec<u8>, reply: &str, name: &str, encoding: NameEncoding) {
    out.extend_from_slice(b"* ");
    out.extend_from_slice(reply.as_bytes());
    out.push(b' ');
    write_mailbox(out, name, encoding);
}

fn argument(out: &mut Vec<u8>, text: &str) {
    out.push(b' ');
    string::write_astring(out, text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    const UTF7: NameEncoding = NameEncoding::ModifiedUtf7;

    #[test]
    fn replies_are_written() {
        let mut out = Vec::new();
        acl(&mut out, "INBOX/ä", UTF7, [("ann", "lr"), ("bob smith", ""), ("-anyone", "e")]);
        list_rights(&mut out, "x y", UTF7, "ann", "", ["l", "te"]);
        my_rights(&mut out, "INBOX", NameEncoding::Utf8, "lrs");
        let want = "* ACL INBOX/&AOQ- ann lr \"bob smith\" \"\" -anyone e\r\n\
                    * LISTRIGHTS \"x y\" ann \"\" l te\r\n\
                    * MYRIGHTS INBOX lrs\r\n";
        assert_eq!(String::from_utf8_lossy(&out), want);
    }
}
