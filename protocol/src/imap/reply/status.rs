//! Status replies and continuation requests (RFC 3501 sections 7.1 and 7.5).

use super::code::Code;
use super::text;
use crate::imap::command::Tag;
use crate::imap::decoder::Refusal;
use crate::imap::limits::METADATA_VALUE_MAX;
use crate::imap::syntax::cursor::FaultKind;

/// What a status reply says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// OK
    Ok,
    /// NO
    No,
    /// BAD
    Bad,
    /// PREAUTH: only untagged, as a greeting.
    PreAuth,
    /// BYE: only untagged.
    Bye,
}

/// Appends `tag OK [CODE] text`.
pub fn tagged(out: &mut Vec<u8>, tag: &Tag, condition: Condition, code: Option<Code<'_>>, human: &str) {
    out.extend_from_slice(tag.as_str().as_bytes());
    line(out, condition, code, human);
}

/// Appends `* OK [CODE] text`.
pub fn untagged(out: &mut Vec<u8>, condition: Condition, code: Option<Code<'_>>, human: &str) {
    out.push(b'*');
    line(out, condition, code, human);
}

/// Appends `+ text`: leave to send a literal, or to begin IDLE.
pub fn continuation(out: &mut Vec<u8>, human: &str) {
    out.extend_from_slice(b"+ ");
    text::human(out, human);
    out.extend_from_slice(b"\r\n");
}

/// Appends `+ ` and a challenge of an authentication in base64, which may be empty.
pub fn challenge(out: &mut Vec<u8>, octets: &[u8]) {
    out.extend_from_slice(b"+ ");
    crate::base64::encode(octets, out);
    out.extend_from_slice(b"\r\n");
}

fn line(out: &mut Vec<u8>, condition: Condition, code: Option<Code<'_>>, human: &str) {
    out.extend_from_slice(match condition {
        Condition::Ok => b" OK ".as_slice(),
        Condition::No => b" NO ",
        Condition::Bad => b" BAD ",
        Condition::PreAuth => b" PREAUTH ",
        Condition::Bye => b" BYE ",
    });
    if let Some(code) = code {
        code.write(out);
        out.push(b' ');
    }
    text::human(out, human);
    out.extend_from_slice(b"\r\n");
}

impl Refusal {
    /// Appends the reply that refuses the command.
    pub fn write(&self, out: &mut Vec<u8>) {
        let (condition, code) = match self.fault.kind {
            FaultKind::Syntax => (Condition::Bad, None),
            FaultKind::Limit => (Condition::Bad, Some(Code::Limit)),
            FaultKind::TooBig => (Condition::No, Some(Code::TooBig)),
            FaultKind::AnnotationTooBig => (Condition::No, Some(Code::AnnotateTooBig)),
            FaultKind::MetadataTooBig => {
                (Condition::No, Some(Code::MetadataMaxSize(METADATA_VALUE_MAX as u64)))
            }
            FaultKind::UseAttribute => (Condition::No, Some(Code::UseAttribute)),
            FaultKind::Cannot => (Condition::No, Some(Code::Cannot)),
        };
        match &self.tag {
            Some(tag) => tagged(out, tag, condition, code, self.fault.text),
            None => untagged(out, condition, code, self.fault.text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_and_clean() {
        let tag = Tag::new(b"A142").expect("a tag");
        let mut out = Vec::new();
        tagged(&mut out, &tag, Condition::Ok, Some(Code::ReadWrite), "SELECT completed");
        untagged(&mut out, Condition::Bye, None, "a\r\nb");
        untagged(&mut out, Condition::No, None, "");
        continuation(&mut out, "idling");
        challenge(&mut out, b"");
        challenge(&mut out, b"foo");
        assert_eq!(
            String::from_utf8(out).expect("ASCII"),
            "A142 OK [READ-WRITE] SELECT completed\r\n* BYE a??b\r\n* NO .\r\n+ idling\r\n+ \r\n+ Zm9v\r\n"
        );
    }
}
