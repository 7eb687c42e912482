//! ENABLE (RFC 5161): which extensions a session has enabled, which change what the server says.
//!
//! The set grows only, by [`ImapSession::enable_extension`] alone, which keeps the copy in the selected mailbox equal. ENABLE calls it, and so does
//! every command that enables CONDSTORE by being used (RFC 7162 section 3.1). A session that logs out of its user forgets it.

use protocol::imap::command::Tag;
use protocol::imap::extension::enable::EnableArguments;
use protocol::imap::reply::code::Code;
use protocol::imap::reply::session;
use protocol::imap::reply::status::{self as reply, Condition};
use protocol::imap::syntax::name_encoding::NameEncoding;

use super::ending::Tell;
use super::modseq::ClientModSeq;
use super::{Flow, ImapSession, Stage};
use crate::conversation::Turn;

/// An extension that a client must enable before it changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Extension {
    /// CONDSTORE (RFC 7162): every FETCH reply that tells of a change of flags has MODSEQ.
    CondStore,
    /// QRESYNC (RFC 7162): VANISHED in place of EXPUNGE. Enables CONDSTORE.
    QResync,
    /// UIDONLY (RFC 9586): no message numbers.
    UidOnly,
    /// IMAP4rev2 (RFC 9051).
    Imap4Rev2,
    /// UTF8=ACCEPT (RFC 6855).
    Utf8Accept,
    /// METADATA (RFC 5464): changes of entries of mailboxes and of the server are told.
    Metadata,
    /// METADATA-SERVER (RFC 5464): changes of the server's entries are told.
    MetadataServer,
}

impl Extension {
    /// Those that ENABLE accepts. An extension stands here, and in `capability.rs`, once all of it works.
    const OFFERED: [Extension; 7] = [
        Extension::CondStore,
        Extension::QResync,
        Extension::UidOnly,
        Extension::Imap4Rev2,
        Extension::Utf8Accept,
        Extension::Metadata,
        Extension::MetadataServer,
    ];

    /// Its capability.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Extension::CondStore => "CONDSTORE",
            Extension::QResync => "QRESYNC",
            Extension::UidOnly => "UIDONLY",
            Extension::Imap4Rev2 => "IMAP4rev2",
            Extension::Utf8Accept => "UTF8=ACCEPT",
            Extension::Metadata => "METADATA",
            Extension::MetadataServer => "METADATA-SERVER",
        }
    }

    /// It and what it enables with it.
    fn with_implied(self) -> Enabled {
        match self {
            Extension::QResync => Enabled(self.bit() | Extension::CondStore.bit()),
            _ => Enabled(self.bit()),
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// The extensions that are enabled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Enabled(u8);

impl Enabled {
    /// A number for them, to be kept.
    pub(crate) fn number(self) -> u8 {
        self.0
    }

    /// Those with this number; what is no extension is left out.
    pub(crate) fn from_number(number: u8) -> Enabled {
        let known = Extension::OFFERED.into_iter().fold(0, |bits, extension| bits | extension.bit());
        Enabled(number & known)
    }

    /// Whether it is enabled.
    pub(crate) fn has(self, extension: Extension) -> bool {
        self.0 & extension.bit() != 0
    }

    /// Whether messages have modification sequences in replies.
    pub(crate) fn condstore(self) -> bool {
        self.has(Extension::CondStore)
    }

    /// Whether VANISHED takes the place of EXPUNGE.
    pub(crate) fn vanished(self) -> bool {
        self.has(Extension::QResync) || self.uid_only()
    }

    /// Whether RFC 9051 holds where it is not as RFC 3501.
    pub(crate) fn rev2(self) -> bool {
        self.has(Extension::Imap4Rev2)
    }

    /// How names of mailboxes travel.
    pub(crate) fn names(self) -> NameEncoding {
        if self.rev2() || self.has(Extension::Utf8Accept) {
            NameEncoding::Utf8
        } else {
            NameEncoding::ModifiedUtf7
        }
    }

    /// Whether message numbers are neither taken nor sent.
    pub(crate) fn uid_only(self) -> bool {
        self.has(Extension::UidOnly)
    }
}

impl ImapSession {
    /// Enables `extension` and what it implies. Whether it was not enabled before.
    pub(super) fn enable_extension(&mut self, extension: Extension) -> bool {
        let is_new = !self.enabled.has(extension);
        self.enabled = Enabled(self.enabled.0 | extension.with_implied().0);
        self.decoder.set_names(self.enabled.names());
        if let Stage::Selected(_, selected) = &mut self.stage {
            selected.enabled = self.enabled;
        }
        is_new
    }

    /// These are enabled, in a session that another handler had.
    pub(super) fn set_enabled(&mut self, enabled: Enabled) {
        self.enabled = enabled;
        self.decoder.set_names(enabled.names());
    }

    /// Enables CONDSTORE, because a command was used that does so. The first one tells HIGHESTMODSEQ (RFC 7162, 3.1).
    pub(super) fn enable_condstore(&mut self, turn: &mut Turn<'_>) {
        if !self.enable_extension(Extension::CondStore) {
            return;
        }
        if let Stage::Selected(_, selected) = &mut self.stage {
            let upto = selected.view.parked().expunged_upto;
            selected.client_modseq = ClientModSeq::new(upto);
            let code = Some(Code::HighestModSeq(upto.0));
            reply::untagged(turn.output.bytes(), Condition::Ok, code, "Highest modification sequence");
        }
    }

    /// ENABLE: tells which of the extensions are enabled by it. Others are passed over.
    pub(super) fn enable(&mut self, tag: Tag, arguments: &EnableArguments, turn: &mut Turn<'_>) -> Flow {
        let mut names = Vec::new();
        for extension in Extension::OFFERED {
            let is_named = arguments.0.iter().any(|name| name.eq_ignore_ascii_case(extension.name()));
            if is_named && !self.enabled.has(extension) {
                names.push(extension);
            }
        }
        session::enabled(turn.output.bytes(), names.iter().map(|extension| extension.name()));
        if names.iter().any(|extension| extension.with_implied().condstore()) {
            self.enable_condstore(turn);
        }
        for extension in names {
            self.enable_extension(extension);
        }
        if let Stage::Selected(_, selected) = &mut self.stage
            && self.enabled.uid_only()
        {
            selected.contexts.end_those_with_numbers(turn.output.bytes());
        }
        self.end(turn, tag, Tell::Everything, "ENABLE completed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_bit_of_its_own_and_qresync_brings_condstore() {
        let all = Extension::OFFERED;
        for extension in all {
            let enabled = extension.with_implied();
            for other in all {
                let implied = extension == Extension::QResync && other == Extension::CondStore;
                assert_eq!(enabled.has(other), extension == other || implied, "{extension:?} {other:?}");
            }
        }
        assert!(Extension::QResync.with_implied().vanished());
        assert!(Extension::UidOnly.with_implied().vanished());
        for extension in all {
            let is_utf8 = matches!(extension, Extension::Imap4Rev2 | Extension::Utf8Accept);
            let expected = if is_utf8 { NameEncoding::Utf8 } else { NameEncoding::ModifiedUtf7 };
            assert_eq!(extension.with_implied().names(), expected, "{extension:?}");
            assert_eq!(extension.with_implied().rev2(), extension == Extension::Imap4Rev2);
        }
        assert!(!Extension::CondStore.with_implied().vanished());
    }
}
