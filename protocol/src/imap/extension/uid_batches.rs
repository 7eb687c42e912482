//! UIDBATCHES (RFC 10022): ranges of UIDs that cut a mailbox into batches of about as many messages.

use crate::imap::command::Tag;
use crate::imap::reply::text;
use crate::imap::syntax::cursor::{Cursor, Fault};

/// Which batches are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UidBatchesArguments {
    /// How many messages a batch is to have; not 0.
    pub size: u32,
    /// Which batches, counted from 1, the newest messages being in the first; `None` for all. As sent: the first may be above the last.
    pub batches: Option<(u32, u32)>,
}

impl UidBatchesArguments {
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        cursor.space()?;
        let size = cursor.nonzero_number()?;
        let mut batches = None;
        if cursor.take_space_before_more() {
            let first = cursor.nonzero_number()?;
            cursor.expect(b':', "Expected a range of batches such as 1:10")?;
            batches = Some((first, cursor.nonzero_number()?));
        }
        Ok(UidBatchesArguments { size, batches })
    }
}

/// Appends `* UIDBATCHES (TAG "…")` with ranges, the highest UIDs first, and in each the higher end first. There may be none.
pub fn reply(out: &mut Vec<u8>, tag: &Tag, ranges: &[(u32, u32)]) {
    out.extend_from_slice(b"* UIDBATCHES (TAG \"");
    out.extend_from_slice(tag.as_str().as_bytes());
    out.extend_from_slice(b"\")");
    for (index, &(high, low)) in ranges.iter().enumerate() {
        out.push(if index == 0 { b' ' } else { b',' });
        text::number(out, u64::from(high));
        out.push(b':');
        text::number(out, u64::from(low));
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::limits::Limits;

    fn parse(text: &str) -> Result<(u32, Option<(u32, u32)>), Fault> {
        let mut cursor = Cursor::new(text.as_bytes(), &Limits::LOGGED_IN);
        let arguments = UidBatchesArguments::parse(&mut cursor)?;
        cursor.end()?;
        Ok((arguments.size, arguments.batches))
    }

    #[test]
    fn sizes_and_batches() {
        assert_eq!(parse(" 2000"), Ok((2000, None)));
        assert_eq!(parse(" 1000 10:20"), Ok((1000, Some((10, 20)))));
        assert_eq!(parse(" 500 20:10"), Ok((500, Some((20, 10)))));
        for text in [
            "",
            " ",
            " 0",
            " x",
            " 500 10",
            " 500 0:1",
            " 500 1:*",
            " 500 1:2 3",
            " 500 1:2,4:5",
            " -1",
            " $",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn batches_descend() {
        let tag = Tag::new(b"A143").expect("a tag");
        let mut out = Vec::new();
        reply(&mut out, &tag, &[(215_295, 99_696), (99_695, 1)]);
        reply(&mut out, &tag, &[]);
        assert_eq!(
            String::from_utf8(out).expect("ASCII"),
            "* UIDBATCHES (TAG \"A143\") 215295:99696,99695:1\r\n* UIDBATCHES (TAG \"A143\")\r\n"
        );
    }
}
