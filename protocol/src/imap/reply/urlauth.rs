//! The replies of URLAUTH (RFC 4467 section 8) and URLAUTH=BINARY (RFC 5524 section 3.2), URLFETCH piece by piece.

use super::text;
use crate::imap::syntax::string;

/// Appends `* GENURLAUTH` and the URLs.
pub fn generated<'a>(out: &mut Vec<u8>, urls: impl IntoIterator<Item = &'a [u8]>) {
    out.extend_from_slice(b"* GENURLAUTH");
    for url in urls {
        out.push(b' ');
        string::write_string(out, url);
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends `* URLFETCH` and a URL.
pub fn begin(out: &mut Vec<u8>, url: &[u8]) {
    out.extend_from_slice(b"* URLFETCH ");
    string::write_string(out, url);
}

/// Appends ` NIL`: there is nothing behind the URL.
pub fn nothing(out: &mut Vec<u8>) {
    out.extend_from_slice(b" NIL");
}

/// Appends ` {length}` and its line end; the octets must follow.
pub fn content(out: &mut Vec<u8>, length: u64) {
    out.push(b' ');
    text::literal_header(out, length);
}

/// Appends ` (BODYPARTSTRUCTURE …)`, which is given in wire form.
pub fn structure(out: &mut Vec<u8>, wire: &[u8]) {
    out.extend_from_slice(b" (BODYPARTSTRUCTURE ");
    out.extend_from_slice(wire);
    out.push(b')');
}

/// Appends ` (BODY {length}` and its line end; the octets and [`end_item`] must follow.
pub fn body(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b" (BODY ");
    text::literal_header(out, length);
}

/// Appends ` (BINARY {length}`, or with `~{length}` if there is a NUL among the octets, and its line end; the octets and [`end_item`] must
/// follow.
pub fn binary(out: &mut Vec<u8>, length: u64, has_nul: bool) {
    out.extend_from_slice(b" (BINARY ");
    if has_nul {
        text::literal8_header(out, length);
    } else {
        text::literal_header(out, length);
    }
}

/// Appends ` (BINARY NIL)`: it cannot be decoded.
pub fn not_decoded(out: &mut Vec<u8>) {
    out.extend_from_slice(b" (BINARY NIL)");
}

/// Appends `)`.
pub fn end_item(out: &mut Vec<u8>) {
    out.push(b')');
}

/// Appends the line end.
pub fn end(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}
