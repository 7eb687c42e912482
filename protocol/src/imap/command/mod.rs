//! The commands of IMAP: what they are, and which parser reads which.
//!
//! The decoder calls [`Tagged::parse`] with the octets of a whole command. One file here has one family of commands; commands
//! of extensions are in [`crate::imap::extension`].

pub mod append;
pub mod authenticate;
pub mod copy;
pub mod fetch;
pub mod list;
pub mod mailbox;
pub mod search;
pub mod session;
pub mod status;
pub mod store;
#[cfg(test)]
mod tests;

use super::extension::{
    acl, compress, context, enable, id, metadata, multi_search, notify, quota, sort, uid_batches, urlauth,
};
use super::syntax::cursor::{Cursor, Fault, UpperName};
use super::syntax::mailbox_name::MailboxName;
use super::syntax::sequence_set::SequenceSet;
use super::syntax::string;

/// The tag of a command: ASCII without what may not be in a tag, 1 to [`Tag::LENGTH_MAX`] octets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag(Box<str>);

impl Tag {
    /// The longest tag, in octets.
    pub const LENGTH_MAX: usize = 128;

    /// The tag with these octets, if they are one.
    pub fn new(octets: &[u8]) -> Option<Tag> {
        let is_tag = octets.iter().all(|&octet| string::is_astring_octet(octet) && octet != b'+');
        if octets.is_empty() || octets.len() > Self::LENGTH_MAX || !is_tag {
            return None;
        }
        std::str::from_utf8(octets).ok().map(|tag| Tag(tag.into()))
    }

    /// The tag as it came.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Takes the tag and the space behind it.
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Option<Tag> {
        let octets = cursor.take_while(|octet| string::is_astring_octet(octet) && octet != b'+');
        let tag = Tag::new(octets)?;
        matches!(cursor.peek(), None | Some(b' ')).then_some(tag)
    }
}

/// How a command names messages, and how its replies do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbering {
    /// By sequence numbers.
    Sequence,
    /// By UIDs: the command came with `UID` before it.
    Uid,
}

/// A command and its tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tagged {
    /// To be repeated in the reply that ends the command.
    pub tag: Tag,
    /// What is to be done.
    pub command: Command,
}

/// Everything a client can ask for. APPEND and REPLACE are missing: they come from [`crate::imap::Decoded::AppendBegin`] on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// CAPABILITY
    Capability,
    /// NOOP
    Noop,
    /// LOGOUT
    Logout,
    /// STARTTLS: what the client sent behind it must be thrown away.
    StartTls,
    /// AUTHENTICATE: go on with [`crate::imap::Decoder::decode_sasl`].
    Authenticate(authenticate::AuthenticateArguments),
    /// LOGIN
    Login(session::LoginArguments),
    /// UNAUTHENTICATE (RFC 8437)
    Unauthenticate,
    /// COMPRESS (RFC 4978): what the client sends behind it is compressed if it is obeyed.
    Compress(compress::Algorithm),
    /// ID (RFC 2971)
    Id(id::IdParameters),
    /// ENABLE (RFC 5161)
    Enable(enable::EnableArguments),
    /// NOTIFY (RFC 5465)
    Notify(notify::NotifyArguments),
    /// NAMESPACE (RFC 2342)
    Namespace,
    /// SELECT
    Select(mailbox::SelectArguments),
    /// EXAMINE
    Examine(mailbox::SelectArguments),
    /// CREATE
    Create(mailbox::CreateArguments),
    /// DELETE
    Delete(MailboxName),
    /// RENAME
    Rename(mailbox::RenameArguments),
    /// SUBSCRIBE
    Subscribe(MailboxName),
    /// UNSUBSCRIBE
    Unsubscribe(MailboxName),
    /// LIST
    List(list::ListArguments),
    /// LSUB
    Lsub(list::LsubArguments),
    /// STATUS
    Status(status::StatusArguments),
    /// SETACL, DELETEACL, GETACL, LISTRIGHTS and MYRIGHTS (RFC 4314)
    Acl(acl::AclCommand),
    /// GETMETADATA and SETMETADATA (RFC 5464)
    Metadata(metadata::MetadataCommand),
    /// GETQUOTA, GETQUOTAROOT and SETQUOTA (RFC 9208)
    Quota(quota::QuotaCommand),
    /// CHECK
    Check,
    /// CLOSE
    Close,
    /// UNSELECT (RFC 3691)
    Unselect,
    /// EXPUNGE, or UID EXPUNGE (RFC 4315) with its UIDs.
    Expunge(Option<SequenceSet>),
    /// GENURLAUTH (RFC 4467)
    GenUrlAuth(urlauth::GenUrlAuthArguments),
    /// URLFETCH (RFC 4467, RFC 5524)
    UrlFetch(urlauth::UrlFetchArguments),
    /// RESETKEY (RFC 4467)
    ResetKey(urlauth::ResetKeyArguments),
    /// IDLE (RFC 2177): go on with [`crate::imap::Decoder::decode_idle`].
    Idle,
    /// SEARCH and UID SEARCH
    Search(search::SearchArguments),
    /// SORT and UID SORT (RFC 5256)
    Sort(sort::SortArguments),
    /// THREAD and UID THREAD (RFC 5256)
    Thread(sort::ThreadArguments),
    /// ESEARCH (RFC 7377)
    MultiSearch(multi_search::MultiSearchArguments),
    /// CANCELUPDATE (RFC 5267)
    CancelUpdate(context::CancelUpdateArguments),
    /// UIDBATCHES (RFC 10022)
    UidBatches(uid_batches::UidBatchesArguments),
    /// FETCH and UID FETCH
    Fetch(fetch::FetchArguments),
    /// STORE and UID STORE
    Store(store::StoreArguments),
    /// COPY and UID COPY
    Copy(copy::CopyArguments),
    /// MOVE and UID MOVE (RFC 6851)
    Move(copy::CopyArguments),
}

impl Command {
    /// Whether it names messages by sequence numbers, or would answer with them: what UIDONLY forbids (RFC 9586 sections 3.2 and 3.5).
    pub fn uses_message_numbers(&self) -> bool {
        match self {
            Command::Fetch(fetch) => fetch.numbering == Numbering::Sequence,
            Command::Store(store) => store.numbering == Numbering::Sequence,
            Command::Copy(copy) | Command::Move(copy) => copy.numbering == Numbering::Sequence,
            Command::Search(search) => {
                search.numbering == Numbering::Sequence || search.key.has_message_numbers()
            }
            Command::MultiSearch(search) => search.key.has_message_numbers(),
            Command::Sort(sort) => sort.numbering == Numbering::Sequence || sort.key.has_message_numbers(),
            Command::Thread(thread) => {
                thread.numbering == Numbering::Sequence || thread.key.has_message_numbers()
            }
            Command::Select(select) | Command::Examine(select) => {
                select.parameters.qresync.as_ref().is_some_and(|qresync| qresync.sequence_match.is_some())
            }
            _ => false,
        }
    }
}

const UNKNOWN: Fault = Fault::syntax("Unknown command");

impl Tagged {
    /// Parses a whole command, `octets` being its lines and literals without the last line end.
    ///
    /// Errors: with the tag, if there is one, for the reply.
    pub fn parse(octets: &[u8], limits: &super::limits::Limits) -> Result<Tagged, (Option<Tag>, Fault)> {
        let mut cursor = Cursor::new(octets, limits);
        let Some(tag) = Tag::parse(&mut cursor) else {
            return Err((None, Fault::syntax("Expected a tag")));
        };
        match parse_command(&mut cursor) {
            Ok(command) => Ok(Tagged { tag, command }),
            Err(fault) => Err((Some(tag), fault)),
        }
    }
}

/// Takes the name of a command, in upper case.
pub(crate) fn parse_name(cursor: &mut Cursor<'_>) -> Result<UpperName, Fault> {
    if cursor.is_at_end() {
        return Err(Fault::syntax("Expected a command"));
    }
    cursor.space()?;
    let name = cursor.take_while(|octet| octet.is_ascii_alphanumeric() || octet == b'-');
    if name.is_empty() {
        return Err(Fault::syntax("Expected a command"));
    }
    UpperName::new(name).ok_or(UNKNOWN)
}

/// Takes the name of a command, of which not all has come yet.
///
/// Errors: there is no such command, or it takes no arguments, so that no literal can belong to it.
pub(crate) fn check_takes_literals(cursor: &mut Cursor<'_>) -> Result<(), Fault> {
    match parse_name(cursor)?.as_bytes() {
        b"LOGIN" | b"AUTHENTICATE" | b"COMPRESS" | b"NOTIFY" | b"GENURLAUTH" | b"URLFETCH" | b"RESETKEY"
        | b"ID" | b"ENABLE" | b"SELECT" | b"EXAMINE" | b"CREATE" | b"DELETE" | b"RENAME" | b"SUBSCRIBE"
        | b"UNSUBSCRIBE" | b"LIST" | b"LSUB" | b"SETACL" | b"DELETEACL" | b"GETACL" | b"LISTRIGHTS"
        | b"MYRIGHTS" | b"GETMETADATA" | b"SETMETADATA" | b"GETQUOTA" | b"GETQUOTAROOT" | b"SETQUOTA"
        | b"STATUS" | b"SEARCH" | b"SORT" | b"THREAD" | b"ESEARCH" | b"CANCELUPDATE" | b"UIDBATCHES"
        | b"FETCH" | b"STORE" | b"COPY" | b"MOVE" | b"UID" => Ok(()),
        b"CAPABILITY" | b"NOOP" | b"LOGOUT" | b"STARTTLS" | b"NAMESPACE" | b"CHECK" | b"CLOSE"
        | b"UNSELECT" | b"EXPUNGE" | b"IDLE" | b"UNAUTHENTICATE" => {
            Err(Fault::syntax("The command takes no arguments"))
        }
        _ => Err(UNKNOWN),
    }
}

fn parse_command(cursor: &mut Cursor<'_>) -> Result<Command, Fault> {
    let name = parse_name(cursor)?;
    let command = match name.as_bytes() {
        b"FETCH" => Command::Fetch(fetch::FetchArguments::parse(cursor, Numbering::Sequence)?),
        b"STORE" => Command::Store(store::StoreArguments::parse(cursor, Numbering::Sequence)?),
        b"SEARCH" => Command::Search(search::SearchArguments::parse(cursor, Numbering::Sequence)?),
        b"SORT" => Command::Sort(sort::SortArguments::parse(cursor, Numbering::Sequence)?),
        b"THREAD" => Command::Thread(sort::ThreadArguments::parse(cursor, Numbering::Sequence)?),
        b"ESEARCH" => Command::MultiSearch(multi_search::MultiSearchArguments::parse(cursor)?),
        b"CANCELUPDATE" => Command::CancelUpdate(context::CancelUpdateArguments::parse(cursor)?),
        b"UIDBATCHES" => Command::UidBatches(uid_batches::UidBatchesArguments::parse(cursor)?),
        b"COPY" => Command::Copy(copy::CopyArguments::parse(cursor, Numbering::Sequence)?),
        b"MOVE" => Command::Move(copy::CopyArguments::parse(cursor, Numbering::Sequence)?),
        b"UID" => parse_uid_command(cursor)?,
        b"EXPUNGE" => Command::Expunge(None),
        b"NOOP" => Command::Noop,
        b"CHECK" => Command::Check,
        b"GENURLAUTH" => Command::GenUrlAuth(urlauth::GenUrlAuthArguments::parse(cursor)?),
        b"URLFETCH" => Command::UrlFetch(urlauth::UrlFetchArguments::parse(cursor)?),
        b"RESETKEY" => Command::ResetKey(urlauth::ResetKeyArguments::parse(cursor)?),
        b"IDLE" => Command::Idle,
        b"SELECT" => Command::Select(mailbox::SelectArguments::parse(cursor)?),
        b"EXAMINE" => Command::Examine(mailbox::SelectArguments::parse(cursor)?),
        b"CLOSE" => Command::Close,
        b"UNSELECT" => Command::Unselect,
        b"STATUS" => Command::Status(status::StatusArguments::parse(cursor)?),
        b"LIST" => Command::List(list::ListArguments::parse(cursor)?),
        b"LSUB" => Command::Lsub(list::LsubArguments::parse(cursor)?),
        b"CREATE" => Command::Create(mailbox::CreateArguments::parse(cursor)?),
        b"DELETE" => Command::Delete(mailbox::parse_one(cursor)?),
        b"RENAME" => Command::Rename(mailbox::RenameArguments::parse(cursor)?),
        b"SUBSCRIBE" => Command::Subscribe(mailbox::parse_one(cursor)?),
        b"UNSUBSCRIBE" => Command::Unsubscribe(mailbox::parse_one(cursor)?),
        b"SETACL" => Command::Acl(acl::AclCommand::parse_set(cursor)?),
        b"DELETEACL" => Command::Acl(acl::AclCommand::parse_delete(cursor)?),
        b"GETACL" => Command::Acl(acl::AclCommand::parse_get(cursor)?),
        b"LISTRIGHTS" => Command::Acl(acl::AclCommand::parse_list(cursor)?),
        b"MYRIGHTS" => Command::Acl(acl::AclCommand::parse_my(cursor)?),
        b"GETMETADATA" => {
            Command::Metadata(metadata::MetadataCommand::Get(metadata::GetMetadataArguments::parse(cursor)?))
        }
        b"SETMETADATA" => {
            Command::Metadata(metadata::MetadataCommand::Set(metadata::SetMetadataArguments::parse(cursor)?))
        }
        b"GETQUOTA" => Command::Quota(quota::QuotaCommand::parse_get(cursor)?),
        b"GETQUOTAROOT" => Command::Quota(quota::QuotaCommand::parse_get_root(cursor)?),
        b"SETQUOTA" => Command::Quota(quota::QuotaCommand::parse_set(cursor)?),
        b"NAMESPACE" => Command::Namespace,
        b"NOTIFY" => Command::Notify(notify::NotifyArguments::parse(cursor)?),
        b"UNAUTHENTICATE" => Command::Unauthenticate,
        b"COMPRESS" => Command::Compress(compress::Algorithm::parse(cursor)?),
        b"CAPABILITY" => Command::Capability,
        b"LOGIN" => Command::Login(session::LoginArguments::parse(cursor)?),
        b"AUTHENTICATE" => Command::Authenticate(authenticate::AuthenticateArguments::parse(cursor)?),
        b"LOGOUT" => Command::Logout,
        b"STARTTLS" => Command::StartTls,
        b"ID" => Command::Id(id::IdParameters::parse(cursor)?),
        b"ENABLE" => Command::Enable(enable::EnableArguments::parse(cursor)?),
        _ => return Err(UNKNOWN),
    };
    cursor.end()?;
    Ok(command)
}

fn parse_uid_command(cursor: &mut Cursor<'_>) -> Result<Command, Fault> {
    let name = parse_name(cursor)?;
    Ok(match name.as_bytes() {
        b"FETCH" => Command::Fetch(fetch::FetchArguments::parse(cursor, Numbering::Uid)?),
        b"STORE" => Command::Store(store::StoreArguments::parse(cursor, Numbering::Uid)?),
        b"SEARCH" => Command::Search(search::SearchArguments::parse(cursor, Numbering::Uid)?),
        b"SORT" => Command::Sort(sort::SortArguments::parse(cursor, Numbering::Uid)?),
        b"THREAD" => Command::Thread(sort::ThreadArguments::parse(cursor, Numbering::Uid)?),
        b"COPY" => Command::Copy(copy::CopyArguments::parse(cursor, Numbering::Uid)?),
        b"MOVE" => Command::Move(copy::CopyArguments::parse(cursor, Numbering::Uid)?),
        b"EXPUNGE" => {
            cursor.space()?;
            Command::Expunge(Some(SequenceSet::parse(cursor)?))
        }
        _ => return Err(Fault::syntax("Unknown command behind UID")),
    })
}
