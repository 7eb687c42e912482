//! QUOTA and QUOTAROOT replies (RFC 9208 section 4.2).

use super::text;
use crate::imap::extension::quota::QuotaResource;
use crate::imap::syntax::mailbox_name::write_mailbox;
use crate::imap::syntax::name_encoding::NameEncoding;
use crate::imap::syntax::string;

/// Appends `* QUOTA root (resource usage limit …)`.
pub fn quota(out: &mut Vec<u8>, root: &str, resources: impl IntoIterator<Item = (QuotaResource, u64, u64)>) {
    out.extend_from_slice(b"* QUOTA ");
    string::write_astring(out, root.as_bytes());
    out.extend_from_slice(b" (");
    let mut is_first = true;
    for (resource, usage, limit) in resources {
        if !std::mem::replace(&mut is_first, false) {
            out.push(b' ');
        }
        out.extend_from_slice(resource.name().as_bytes());
        out.push(b' ');
        text::number(out, usage);
        out.push(b' ');
        text::number(out, limit);
    }
    out.extend_from_slice(b")\r\n");
}

/// Appends `* QUOTAROOT mailbox root …`.
pub fn quota_root<'a>(
    out: &mut Vec<u8>,
    name: &str,
    encoding: NameEncoding,
    roots: impl IntoIterator<Item = &'a str>,
) {
    out.extend_from_slice(b"* QUOTAROOT ");
    write_mailbox(out, name, encoding);
    for root in roots {
        out.push(b' ');
        string::write_astring(out, root.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_written() {
        let mut out = Vec::new();
        quota_root(&mut out, "INBOX", NameEncoding::Utf8, ["user/ann b"]);
        quota_root(&mut out, "x", NameEncoding::Utf8, []);
        quota(&mut out, "", [(QuotaResource::Storage, 10, 512), (QuotaResource::Mailbox, 1, 2)]);
        quota(&mut out, "user/ann", []);
        let want = "* QUOTAROOT INBOX \"user/ann b\"\r\n* QUOTAROOT x\r\n\
                    * QUOTA \"\" (STORAGE 10 512 MAILBOX 1 2)\r\n* QUOTA user/ann ()\r\n";
        assert_eq!(String::from_utf8_lossy(&out), want);
    }
}
