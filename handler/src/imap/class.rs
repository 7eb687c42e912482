//! The class of each command, under which its time is shown.

use protocol::imap::command::Command;
use shm_abi::Histogram;

/// The class of a command. That of APPEND and REPLACE, which come in pieces, is [`Histogram::ImapAppend`].
pub(super) fn class_of(command: &Command) -> Histogram {
    match command {
        Command::Login(_) | Command::Authenticate(_) | Command::Unauthenticate => Histogram::ImapLogin,
        Command::Select(_) | Command::Examine(_) | Command::Close | Command::Unselect => {
            Histogram::ImapSelect
        }
        Command::Fetch(_) | Command::UrlFetch(_) => Histogram::ImapRead,
        Command::Search(_)
        | Command::Sort(_)
        | Command::Thread(_)
        | Command::MultiSearch(_)
        | Command::UidBatches(_) => Histogram::ImapSearch,
        Command::Store(_) | Command::Copy(_) | Command::Move(_) | Command::Expunge(_) => {
            Histogram::ImapChange
        }
        Command::List(_) | Command::Lsub(_) | Command::Status(_) | Command::Namespace => Histogram::ImapList,
        Command::Create(_)
        | Command::Delete(_)
        | Command::Rename(_)
        | Command::Subscribe(_)
        | Command::Unsubscribe(_)
        | Command::Acl(_)
        | Command::Metadata(_)
        | Command::Quota(_) => Histogram::ImapMailbox,
        Command::Idle | Command::Notify(_) => Histogram::ImapIdle,
        Command::Capability
        | Command::Noop
        | Command::Check
        | Command::Logout
        | Command::StartTls
        | Command::Id(_)
        | Command::Enable(_)
        | Command::Compress(_)
        | Command::GenUrlAuth(_)
        | Command::ResetKey(_)
        | Command::CancelUpdate(_) => Histogram::ImapOther,
    }
}
