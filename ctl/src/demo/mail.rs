//! The mail of the demonstration: an mbox for each mailbox, written for it and part of the program. All people in it are made up.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use store::change::SpecialUse;

use crate::context::Mailboxes;
use crate::failure::{Failure, Result};
use crate::import::into_mailbox::{IntoMailbox, ItemError};
use crate::mailfiles::open_mbox;
use crate::notify::Notifier;

struct Shipped {
    name: &'static str,
    special_use: Option<SpecialUse>,
    mbox: &'static [u8],
}

const MAILBOXES: [Shipped; 7] = [
    Shipped { name: "INBOX", special_use: None, mbox: include_bytes!("../../demo/INBOX.mbox") },
    Shipped {
        name: "Archive",
        special_use: Some(SpecialUse::Archive),
        mbox: include_bytes!("../../demo/Archive.mbox"),
    },
    Shipped {
        name: "Drafts",
        special_use: Some(SpecialUse::Drafts),
        mbox: include_bytes!("../../demo/Drafts.mbox"),
    },
    Shipped {
        name: "Junk",
        special_use: Some(SpecialUse::Junk),
        mbox: include_bytes!("../../demo/Junk.mbox"),
    },
    Shipped {
        name: "Lists/footbridges",
        special_use: None,
        mbox: include_bytes!("../../demo/Lists-footbridges.mbox"),
    },
    Shipped {
        name: "Sent",
        special_use: Some(SpecialUse::Sent),
        mbox: include_bytes!("../../demo/Sent.mbox"),
    },
    Shipped {
        name: "Trash",
        special_use: Some(SpecialUse::Trash),
        mbox: include_bytes!("../../demo/Trash.mbox"),
    },
];

/// Fills the mailboxes of a user who has nothing but an INBOX.
pub(super) fn fill(mailboxes: &Mailboxes) -> Result<()> {
    let notifier = Notifier::none();
    for shipped in &MAILBOXES {
        let tried = || format!("cannot fill the mailbox {}", shipped.name);
        if shipped.name != "INBOX" {
            let mut change = mailboxes.store.begin();
            change.create_mailbox(mailboxes.user, shipped.name, shipped.special_use);
            change.commit().map_err(Failure::because(tried()))?;
            let mut change = mailboxes.store.begin();
            change.subscribe(mailboxes.user, shipped.name, true);
            change.commit().map_err(Failure::because(tried()))?;
        }
        let mut file = tempfile::tempfile().map_err(Failure::because(tried()))?;
        file.write_all(shipped.mbox).map_err(Failure::because(tried()))?;
        let messages =
            open_mbox(Arc::new(file), Path::new(shipped.name)).map_err(Failure::because(tried()))?;
        let mailbox = mailboxes.find(shipped.name)?;
        let mut target = IntoMailbox::new(&mailboxes.store, mailbox, &notifier, u64::MAX)
            .map_err(Failure::because(tried()))?;
        for message in messages {
            let message = message.map_err(Failure::because(tried()))?;
            target.take(&message).map_err(|(ItemError::Skip(why) | ItemError::Stop(why))| {
                Failure::Failed(format!("{}: {why}", tried()))
            })?;
        }
        target.wait().map_err(Failure::because(tried()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::change::SystemFlags;

    #[test]
    fn the_shipped_mail_is_a_few_dozen_messages_with_flags() {
        let mut messages = 0;
        let mut unseen = 0;
        let mut octets = 0;
        for shipped in &MAILBOXES {
            let mut file = tempfile::tempfile().expect("temporary file");
            file.write_all(shipped.mbox).expect("written");
            for message in open_mbox(Arc::new(file), Path::new(shipped.name)).expect("an mbox") {
                let message = message.expect("read");
                assert!(message.date.is_some(), "{}", message.place);
                messages += 1;
                unseen += u32::from(!message.flags.has(SystemFlags::SEEN));
                let mut first = [0; 14];
                std::io::Read::read_exact(&mut message.open().expect("opened"), &mut first).expect("read");
                assert!(!first.starts_with(b"X-Lode-Export"), "{}", message.place);
            }
            octets += shipped.mbox.len();
        }
        assert_eq!(messages, 38);
        assert!((5..30).contains(&unseen), "{unseen}");
        assert!(octets < 200_000);
    }
}
