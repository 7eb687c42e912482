//! How much a peer may ask for before it is refused.
//!
//! The handler gives a [`Limits`] to the decoder and changes it when a session logs in. All sizes are octets.

use super::syntax::name_encoding::NameEncoding;

/// Annotations of messages (RFC 5257): octets of the name of an entry, or of a pattern.
pub const ANNOTATION_NAME_MAX: usize = 255;
/// Annotations: octets of a value. A longer one is refused with NO \[ANNOTATE TOOBIG].
pub const ANNOTATION_VALUE_MAX: usize = 32 << 10;
/// Entries of METADATA (RFC 5464): octets of a value. A longer one is refused with NO \[METADATA MAXSIZE].
pub const METADATA_VALUE_MAX: usize = 32 << 10;
/// Annotations: values that one STORE, or one message of an APPEND, may set.
pub const ANNOTATION_VALUES_MAX: usize = 128;
/// Annotations: entries, and attributes, that one ANNOTATION of FETCH may name.
pub const ANNOTATION_FETCH_MAX: usize = 64;

/// The limits of one session's decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The text of one command outside its literals, line ends included. A longer one ends the session.
    pub line: usize,
    /// All literals of one command together, but for the messages of an APPEND, whose other literals count one by one. A synchronising literal beyond it
    /// is refused with BAD, another is skipped.
    pub literals: usize,
    /// The message of an APPEND. A longer one is refused with NO \[TOOBIG].
    pub append: u64,
    /// The text of one APPEND with all its messages outside of their octets. More ends the session. Each line of it may be as long as
    /// [`Limits::line`] says.
    pub append_text: usize,
    /// What is skipped for a command that was refused, literals and text. A peer that goes beyond it is cut off.
    pub skip: u64,
    /// How deep search keys (parentheses, NOT, OR) may be nested.
    pub depth: u32,
    /// How many ranges a sequence set may have.
    pub ranges: usize,
    /// How names of mailboxes are written. No limit, but it changes as limits do: with what the session is.
    pub names: NameEncoding,
}

impl Limits {
    /// For a peer that has not logged in: enough for LOGIN, AUTHENTICATE and ID, and nothing to APPEND.
    pub const BEFORE_LOGIN: Limits = Limits {
        line: 8 << 10,
        literals: 4 << 10,
        append: 0,
        append_text: 8 << 10,
        skip: 64 << 10,
        depth: 4,
        ranges: 64,
        names: NameEncoding::ModifiedUtf7,
    };

    /// For a session that has logged in.
    ///
    /// RFC 7162 section 4 asks for lines of at least 8,192 octets; clients send sets of UIDs that are longer.
    /// `skip` is larger than `append`, so that a message that is somewhat too large gets a clear answer even when it
    /// comes in a non-synchronising literal.
    pub const LOGGED_IN: Limits = Limits {
        line: 64 << 10,
        literals: 64 << 10,
        append: 100 << 20,
        append_text: 1 << 20,
        skip: 256 << 20,
        depth: 100,
        ranges: 16 << 10,
        names: NameEncoding::ModifiedUtf7,
    };
}
