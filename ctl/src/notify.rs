//! Tells running handlers of mailboxes that a tool has changed, so that sessions in IDLE hear of it. The router's control socket
//! names the shared table and passes the handlers' eventfds; without a router there is nobody to tell.
//!
//! A failure here is no failure of the verb: the mail is stored, and sessions see it at their next command.

use std::os::fd::OwnedFd;
use std::path::Path;

use shm_abi::{ControlAnswer, ControlRequest, Table, ask_router};
use store::ids::MailboxId;

/// The way to the running handlers, if there are any.
pub(crate) struct Notifier {
    attached: Option<Attached>,
}

struct Attached {
    table: Table,
    /// One eventfd a handler row, in order.
    handlers: Vec<OwnedFd>,
}

impl Notifier {
    /// Asks the router whose runtime folder is `runtime_dir`.
    pub(crate) fn attach(runtime_dir: &Path) -> Notifier {
        Notifier { attached: attach(runtime_dir) }
    }

    /// Tells nobody.
    pub(crate) fn none() -> Notifier {
        Notifier { attached: None }
    }

    /// Announces that `mailbox` has changed. Call it when the change can be seen in the store.
    pub(crate) fn changed(&self, mailbox: MailboxId) {
        let Some(Attached { table, handlers }) = &self.attached else { return };
        table.announce(mailbox.key(), |handler| {
            if let Some(eventfd) = handlers.get(handler as usize) {
                // Full means that the handler will look anyway.
                let _ = nix::unistd::write(eventfd, &1u64.to_ne_bytes());
            }
        });
    }
}

fn attach(runtime_dir: &Path) -> Option<Attached> {
    let answer = ask_router(runtime_dir, ControlRequest::Attach).ok()?;
    let ControlAnswer::Attached { table } = answer.record else { return None };
    Some(Attached { table: Table::open(&table).ok()?, handlers: answer.descriptors })
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use nix::sys::eventfd::{EfdFlags, EventFd};
    use shm_abi::Limits;

    use super::*;
    use store::ids::UserId;

    #[test]
    fn a_handler_that_watches_is_woken_once() {
        let name = format!("/lode-notify-test-{}", std::process::id());
        let limits = Limits { handlers: 2, sessions: 4 };
        let table = Table::create(&name, limits, 1, 1).expect("a table");
        let watched = MailboxId { user: UserId(7), number: 1 };
        table.watch(1, watched.key());
        let eventfd = || EventFd::from_flags(EfdFlags::EFD_NONBLOCK).expect("an eventfd");
        let (first, second) = (eventfd(), eventfd());
        let handlers = [&first, &second].map(|eventfd| eventfd.as_fd().try_clone_to_owned().expect("a copy"));
        let notifier = Notifier { attached: Some(Attached { table, handlers: handlers.into() }) };
        notifier.changed(watched);
        notifier.changed(watched);
        assert_eq!(second.read(), Ok(1), "told twice, woken once");
        assert!(first.read().is_err(), "it watches nothing");
    }

    #[test]
    fn without_a_router_nothing_happens() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let notifier = Notifier::attach(folder.path());
        assert!(notifier.attached.is_none());
        notifier.changed(MailboxId { user: UserId(1), number: 1 });
    }
}
