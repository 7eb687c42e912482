//! Response codes (RFC 3501 section 7.1, RFC 5530, UIDPLUS of RFC 4315, RFC 7162, RFC 9586, RFC 9738).

use super::text;
use crate::imap::command::Tag;
use crate::imap::syntax::flag::SystemFlags;
use crate::imap::syntax::sequence_set::NumberSet;

/// What stands in brackets behind OK, NO, BAD, PREAUTH or BYE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code<'a> {
    /// ALERT: the text must be shown to the user.
    Alert,
    /// ALREADYEXISTS: there is such a mailbox.
    AlreadyExists,
    /// APPENDUID: UIDVALIDITY of the mailbox, and the UIDs of what was appended.
    AppendUid(u32, &'a NumberSet),
    /// AUTHENTICATIONFAILED: wrong name or password, and no more is said.
    AuthenticationFailed,
    /// AUTHORIZATIONFAILED: may not act as that user.
    AuthorizationFailed,
    /// BADCHARSET, with those that are known.
    BadCharset(&'a [&'a str]),
    /// BADEVENT (RFC 5465): the events that can be asked for.
    BadEvent(&'a [&'a str]),
    /// BADURL (RFC 4469): this URL of a CATENATE is the first that stands for nothing.
    BadUrl(&'a [u8]),
    /// CANNOT: it is right, but cannot be done here, ever.
    Cannot,
    /// CAPABILITY: names with spaces between them.
    Capability(&'a str),
    /// CLIENTBUG: the client did what it should not.
    ClientBug,
    /// CLOSED (RFC 7162): what follows is about another mailbox.
    Closed,
    /// COMPRESSIONACTIVE (RFC 4978): it is compressed already.
    CompressionActive,
    /// CONTACTADMIN: a human must help.
    ContactAdmin,
    /// COPYUID: UIDVALIDITY of the mailbox copied to, the UIDs there were, the UIDs there are; both ascending and as many.
    CopyUid(u32, &'a NumberSet, &'a NumberSet),
    /// CORRUPTION: the server's data are damaged.
    Corruption,
    /// EXPIRED: the password is too old.
    Expired,
    /// EXPUNGEISSUED: somebody expunged some of the messages.
    ExpungeIssued,
    /// HIGHESTMODSEQ (RFC 7162): the client knows everything up to this modification sequence.
    HighestModSeq(u64),
    /// HASCHILDREN: the mailbox has children, and so cannot be deleted.
    HasChildren,
    /// INPROGRESS (RFC 9585): the command goes on. How many things of how many are done; only untagged.
    InProgress(&'a Tag, u64, Option<u64>),
    /// INUSE: a lock is held by another session.
    InUse,
    /// LIMIT: too many or too large.
    Limit,
    /// MAILBOXID (RFC 8474): the identifier of the mailbox that was made or selected.
    MailboxId(&'a str),
    /// MESSAGELIMIT (RFC 9738): how many messages a command may have to do with, and the lowest UID that it came to.
    MessageLimit(u32, Option<u32>),
    /// ANNOTATE TOOBIG (RFC 5257): a value is too long.
    AnnotateTooBig,
    /// ANNOTATE TOOMANY: a message would have too many annotations.
    AnnotateTooMany,
    /// ANNOTATIONS: how long values may be; `None`: none can be set.
    Annotations(Option<u32>),
    /// METADATA LONGENTRIES (RFC 5464): values were left out, the largest of which has so many octets.
    MetadataLongEntries(u64),
    /// METADATA MAXSIZE: a value may have so many octets.
    MetadataMaxSize(u64),
    /// METADATA NOPRIVATE: there are no private entries there.
    MetadataNoPrivate,
    /// METADATA TOOMANY: there are as many entries as there may be.
    MetadataTooMany,
    /// MODIFIED (RFC 7162): messages that a conditional STORE left as they are, by number or UID as in the command.
    Modified(&'a NumberSet),
    /// NONEXISTENT: there is no such mailbox.
    NonExistent,
    /// NOPERM: not allowed.
    NoPerm,
    /// NOTSAVED (RFC 5182): the result of a SEARCH could not be saved.
    NotSaved,
    /// NOUPDATE (RFC 5267): there will be no news of the results of this command.
    NoUpdate(&'a Tag),
    /// NOTIFICATIONOVERFLOW (RFC 5465): there is too much to tell; nothing is told from now on.
    NotificationOverflow,
    /// OVERQUOTA
    OverQuota,
    /// PARSE: a message cannot be parsed.
    Parse,
    /// PERMANENTFLAGS: system flags, and whether new keywords may be made. Keywords in use are in the second list.
    PermanentFlags(SystemFlags, &'a [&'a str], NewKeywords),
    /// PRIVACYREQUIRED: only with TLS.
    PrivacyRequired,
    /// READ-ONLY
    ReadOnly,
    /// READ-WRITE
    ReadWrite,
    /// REFERRAL (RFC 2221): the URL of the user's mail on another server.
    Referral(&'a str),
    /// SERVERBUG
    ServerBug,
    /// TOOBIG (RFC 4469): the message is too large.
    TooBig,
    /// TOOFEW (RFC 10022): fewer messages in a batch than a client may ask for.
    TooFew,
    /// TRYCREATE: there is no such mailbox, but it could be created.
    TryCreate,
    /// UIDNEXT
    UidNext(u32),
    /// UIDREQUIRED (RFC 9586): message numbers are not to be used.
    UidRequired,
    /// UIDNOTSTICKY: UIDs do not last.
    UidNotSticky,
    /// UIDVALIDITY
    UidValidity(u32),
    /// UNDEFINED-FILTER (RFC 5466): there is no such filter, or none that can be used.
    UndefinedFilter(&'a str),
    /// UNAVAILABLE: a part of the server does not answer now.
    Unavailable,
    /// UNKNOWN-CTE (RFC 3516): a transfer encoding that cannot be decoded.
    UnknownCte,
    /// UNSEEN: the sequence number of the first message that is not seen.
    Unseen(u32),
    /// URLMECH (RFC 4467): the mechanisms by which URLs are authorized, INTERNAL alone.
    UrlMech,
    /// USEATTR (RFC 6154): this special use cannot be.
    UseAttribute,
}

/// Whether a client may make new keywords by using them: `\*` in PERMANENTFLAGS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewKeywords {
    /// It may.
    Allowed,
    /// It may not.
    Refused,
}

impl Code<'_> {
    /// Appends the code with its brackets.
    pub fn write(self, out: &mut Vec<u8>) {
        out.push(b'[');
        out.extend_from_slice(self.name().as_bytes());
        match self {
            Code::AppendUid(uid_validity, uids) => {
                separated_number(out, uid_validity);
                out.push(b' ');
                uids.write(out);
            }
            Code::CopyUid(uid_validity, from, to) => {
                separated_number(out, uid_validity);
                out.push(b' ');
                from.write(out);
                out.push(b' ');
                to.write(out);
            }
            Code::BadCharset(charsets) | Code::BadEvent(charsets) => {
                out.extend_from_slice(b" (");
                out.extend_from_slice(charsets.join(" ").as_bytes());
                out.push(b')');
            }
            Code::BadUrl(url) => {
                out.push(b' ');
                write_url(out, url);
            }
            Code::InProgress(tag, done, of) => in_progress(out, tag, done, of),
            Code::NoUpdate(tag) => {
                // What may be in a tag needs no escape.
                out.extend_from_slice(b" \"");
                out.extend_from_slice(tag.as_str().as_bytes());
                out.push(b'"');
            }
            Code::UndefinedFilter(name) => {
                out.push(b' ');
                out.extend_from_slice(name.as_bytes());
            }
            Code::Capability(text) | Code::Referral(text) => {
                out.push(b' ');
                out.extend_from_slice(text.as_bytes());
            }
            Code::MailboxId(identifier) => {
                out.extend_from_slice(b" (");
                out.extend_from_slice(identifier.as_bytes());
                out.push(b')');
            }
            Code::PermanentFlags(system, keywords, new) => {
                out.push(b' ');
                let any: &[&str] = if new == NewKeywords::Allowed { &["\\*"] } else { &[] };
                super::mailbox::flag_list(out, system, keywords.iter().chain(any).copied());
            }
            Code::HighestModSeq(number)
            | Code::MetadataLongEntries(number)
            | Code::MetadataMaxSize(number) => {
                out.push(b' ');
                text::number(out, number);
            }
            Code::MessageLimit(limit, lowest) => {
                separated_number(out, limit);
                if let Some(uid) = lowest {
                    separated_number(out, uid);
                }
            }
            Code::Modified(messages) => {
                out.push(b' ');
                messages.write(out);
            }
            Code::Annotations(None) => out.extend_from_slice(b" READ-ONLY"),
            Code::Annotations(Some(octets)) => separated_number(out, octets),
            Code::UidNext(number) | Code::UidValidity(number) | Code::Unseen(number) => {
                separated_number(out, number);
            }
            _ => {}
        }
        out.push(b']');
    }

    fn name(self) -> &'static str {
        match self {
            Code::Alert => "ALERT",
            Code::AlreadyExists => "ALREADYEXISTS",
            Code::AnnotateTooBig => "ANNOTATE TOOBIG",
            Code::AnnotateTooMany => "ANNOTATE TOOMANY",
            Code::Annotations(_) => "ANNOTATIONS",
            Code::AppendUid(..) => "APPENDUID",
            Code::AuthenticationFailed => "AUTHENTICATIONFAILED",
            Code::AuthorizationFailed => "AUTHORIZATIONFAILED",
            Code::BadCharset(_) => "BADCHARSET",
            Code::BadEvent(_) => "BADEVENT",
            Code::BadUrl(_) => "BADURL",
            Code::Cannot => "CANNOT",
            Code::Capability(_) => "CAPABILITY",
            Code::ClientBug => "CLIENTBUG",
            Code::Closed => "CLOSED",
            Code::CompressionActive => "COMPRESSIONACTIVE",
            Code::ContactAdmin => "CONTACTADMIN",
            Code::CopyUid(..) => "COPYUID",
            Code::Corruption => "CORRUPTION",
            Code::Expired => "EXPIRED",
            Code::ExpungeIssued => "EXPUNGEISSUED",
            Code::HasChildren => "HASCHILDREN",
            Code::HighestModSeq(_) => "HIGHESTMODSEQ",
            Code::InProgress(..) => "INPROGRESS",
            Code::InUse => "INUSE",
            Code::Limit => "LIMIT",
            Code::MailboxId(_) => "MAILBOXID",
            Code::MessageLimit(..) => "MESSAGELIMIT",
            Code::MetadataLongEntries(_) => "METADATA LONGENTRIES",
            Code::MetadataMaxSize(_) => "METADATA MAXSIZE",
            Code::MetadataNoPrivate => "METADATA NOPRIVATE",
            Code::MetadataTooMany => "METADATA TOOMANY",
            Code::Modified(_) => "MODIFIED",
            Code::NonExistent => "NONEXISTENT",
            Code::NoPerm => "NOPERM",
            Code::NotSaved => "NOTSAVED",
            Code::NoUpdate(_) => "NOUPDATE",
            Code::NotificationOverflow => "NOTIFICATIONOVERFLOW",
            Code::OverQuota => "OVERQUOTA",
            Code::Parse => "PARSE",
            Code::PermanentFlags(..) => "PERMANENTFLAGS",
            Code::PrivacyRequired => "PRIVACYREQUIRED",
            Code::ReadOnly => "READ-ONLY",
            Code::ReadWrite => "READ-WRITE",
            Code::Referral(_) => "REFERRAL",
            Code::ServerBug => "SERVERBUG",
            Code::TooBig => "TOOBIG",
            Code::TooFew => "TOOFEW",
            Code::TryCreate => "TRYCREATE",
            Code::UidNext(_) => "UIDNEXT",
            Code::UidNotSticky => "UIDNOTSTICKY",
            Code::UidRequired => "UIDREQUIRED",
            Code::UidValidity(_) => "UIDVALIDITY",
            Code::UndefinedFilter(_) => "UNDEFINED-FILTER",
            Code::Unavailable => "UNAVAILABLE",
            Code::UnknownCte => "UNKNOWN-CTE",
            Code::Unseen(_) => "UNSEEN",
            Code::UrlMech => "URLMECH INTERNAL",
            Code::UseAttribute => "USEATTR",
        }
    }
}

/// A URL as it may stand in a response code: what may not, and no URL has without percent codes, becomes one.
fn write_url(out: &mut Vec<u8>, url: &[u8]) {
    for &octet in url {
        if matches!(octet, b'!'..=b'~') && octet != b']' {
            out.push(octet);
        } else {
            out.push(b'%');
            out.extend([octet >> 4, octet & 15].map(|digit| b"0123456789ABCDEF"[usize::from(digit)]));
        }
    }
    if url.is_empty() {
        out.extend_from_slice(b"\"\"");
    }
}

/// Appends ` ("tag" done of)`. A tag that would end the code is left out (RFC 9585 section 4).
fn in_progress(out: &mut Vec<u8>, tag: &Tag, done: u64, of: Option<u64>) {
    out.extend_from_slice(b" (");
    if tag.as_str().contains(']') {
        out.extend_from_slice(b"NIL");
    } else {
        out.push(b'"');
        out.extend_from_slice(tag.as_str().as_bytes());
        out.push(b'"');
    }
    out.push(b' ');
    text::number(out, done);
    match of {
        Some(of) => {
            out.push(b' ');
            text::number(out, of);
        }
        None => out.extend_from_slice(b" NIL"),
    }
    out.push(b')');
}

fn separated_number(out: &mut Vec<u8>, number: u32) {
    out.push(b' ');
    text::number(out, u64::from(number));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(code: Code<'_>) -> String {
        let mut out = Vec::new();
        code.write(&mut out);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn codes_with_and_without_arguments() {
        let (from, to) =
            (NumberSet::from_ascending([304, 319, 320]), NumberSet::from_ascending([3956, 3957, 3958]));
        assert_eq!(written(Code::CopyUid(38_505, &from, &to)), "[COPYUID 38505 304,319:320 3956:3958]");
        assert_eq!(
            written(Code::AppendUid(38_505, &NumberSet::from_ascending([3955]))),
            "[APPENDUID 38505 3955]"
        );
        assert_eq!(written(Code::BadCharset(&["US-ASCII", "UTF-8"])), "[BADCHARSET (US-ASCII UTF-8)]");
        assert_eq!(written(Code::MailboxId("F1-2")), "[MAILBOXID (F1-2)]");
        assert_eq!(written(Code::UidNext(4392)), "[UIDNEXT 4392]");
        assert_eq!(
            written(Code::BadUrl(b"/a;UID=1/;SECTION=] \r\n")),
            "[BADURL /a;UID=1/;SECTION=%5D%20%0D%0A]"
        );
        assert_eq!(written(Code::ReadWrite), "[READ-WRITE]");
        assert_eq!(written(Code::HighestModSeq(i64::MAX as u64)), "[HIGHESTMODSEQ 9223372036854775807]");
        assert_eq!(written(Code::Modified(&NumberSet::from_ascending([7, 8, 12]))), "[MODIFIED 7:8,12]");
        assert_eq!(written(Code::MessageLimit(1000, Some(23_221))), "[MESSAGELIMIT 1000 23221]");
        assert_eq!(written(Code::MessageLimit(1000, None)), "[MESSAGELIMIT 1000]");
        assert_eq!(written(Code::MetadataLongEntries(2199)), "[METADATA LONGENTRIES 2199]");
        assert_eq!(written(Code::MetadataMaxSize(1024)), "[METADATA MAXSIZE 1024]");
        assert_eq!(written(Code::MetadataTooMany), "[METADATA TOOMANY]");
        assert_eq!(written(Code::UidRequired), "[UIDREQUIRED]");
        let (tag, odd) = (Tag::new(b"A1").expect("a tag"), Tag::new(b"A]").expect("a tag"));
        assert_eq!(written(Code::InProgress(&tag, 175, Some(1000))), "[INPROGRESS (\"A1\" 175 1000)]");
        assert_eq!(written(Code::InProgress(&odd, 175, None)), "[INPROGRESS (NIL 175 NIL)]");
        assert_eq!(written(Code::NoUpdate(&tag)), "[NOUPDATE \"A1\"]");
        assert_eq!(written(Code::UndefinedFilter("on-the-road")), "[UNDEFINED-FILTER on-the-road]");
        assert_eq!(written(Code::Capability("IMAP4rev1 IDLE")), "[CAPABILITY IMAP4rev1 IDLE]");
        let system = SystemFlags::DELETED.union(SystemFlags::SEEN);
        assert_eq!(
            written(Code::PermanentFlags(system, &["$Junk"], NewKeywords::Allowed)),
            "[PERMANENTFLAGS (\\Deleted \\Seen $Junk \\*)]"
        );
        assert_eq!(
            written(Code::PermanentFlags(SystemFlags::default(), &[], NewKeywords::Refused)),
            "[PERMANENTFLAGS ()]"
        );
    }
}
