//! How names of mailboxes travel, which depends on what the client has enabled (RFC 9051 appendix A.1, RFC 6855 section 3).

/// How names of mailboxes are written in commands and replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NameEncoding {
    /// Modified UTF-7: what a client gets that has enabled nothing. Strings in quotes are ASCII in replies.
    #[default]
    ModifiedUtf7,
    /// UTF-8 in quotes, for clients that have enabled IMAP4rev2 or UTF8=ACCEPT. What looks like modified UTF-7 is a name like
    /// any other.
    Utf8,
}
