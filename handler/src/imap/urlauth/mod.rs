//! URLAUTH (RFC 4467): GENURLAUTH and RESETKEY; URLFETCH is in `fetch`.
//!
//! Each user has a key for each mailbox: an attribute of the mailbox, named by the user's number, that goes with it. A proof is one octet that says how
//! it was made, 1, and HMAC-SHA256 of the URL up to it with that key. Nothing else is kept of a URL.

mod fetch;
mod key;

use protocol::imap::command::Tag;
use protocol::imap::extension::urlauth::{GenUrlAuthArguments, ResetKeyArguments};
use protocol::imap::reply::code::Code;
use protocol::imap::reply::status::Condition;
use protocol::imap::reply::urlauth as reply;
use protocol::imap::url::{MessageUrl, UrlMailbox};
use store::{MailboxId, Right, Ticket};

pub(super) use self::fetch::UrlFetch;
use self::key::Key;
use super::ending::{Ending, Tell};
use super::{Flow, ImapSession};
use crate::conversation::Turn;

/// The one mechanism there is.
const INTERNAL: &str = "INTERNAL";

impl ImapSession {
    pub(super) fn generate_urls(
        &mut self,
        tag: Tag,
        arguments: GenUrlAuthArguments,
        turn: &mut Turn<'_>,
    ) -> Flow {
        let mut urls = Vec::with_capacity(arguments.0.len());
        let mut ticket = Ticket(0);
        for (mut url, mechanism) in arguments.0 {
            let mailbox = match self.authorizable(&url, &mechanism, turn) {
                Ok(mailbox) => mailbox,
                Err(text) => return self.refuse(turn, &tag, Condition::Bad, None, text),
            };
            let Some(user) = self.user() else { return Flow::Continue };
            let key = match Key::of(&turn.shared.store, user.id, mailbox) {
                Ok(Some(key)) => key,
                Ok(None) => match Key::renew(&turn.shared.store, user.id, mailbox) {
                    Ok((key, made)) => {
                        ticket = ticket.max(made);
                        key
                    }
                    Err(error) => return self.refuse_change(turn, &tag, &error, Code::NonExistent),
                },
                Err(error) => return self.refuse_store(turn, &tag, &error),
            };
            key.prove(&mut url);
            urls.push(url);
        }
        let mut first = Vec::new();
        reply::generated(&mut first, urls.iter().map(Vec::as_slice));
        let ending = Ending::ok(tag.clone(), Tell::Everything, "GENURLAUTH completed").preceded_by(first);
        self.end_after(tag, ticket, ending)
    }

    /// The mailbox of a URL that the user may authorize, or what is wrong with it.
    fn authorizable(&self, url: &[u8], mechanism: &str, turn: &Turn<'_>) -> Result<MailboxId, &'static str> {
        let url = MessageUrl::parse(url).map_err(|_| "That is no URL of a message or part")?;
        let user = self.user().ok_or("Nobody is logged in")?;
        if mechanism != INTERNAL {
            return Err("Unknown mechanism; there is INTERNAL");
        }
        let owner = url.server.as_ref().and_then(|server| server.user.as_deref());
        if owner.is_none_or(|owner| owner != user.name) {
            return Err("The URL must name the user who is logged in");
        }
        if url.authorization.is_none_or(|authorization| authorization.token.is_some()) {
            return Err("The URL must end with ;URLAUTH= and an access identifier");
        }
        let UrlMailbox::Named(name) = &url.mailbox else { return Err("The URL must name a mailbox") };
        match self.find(name, Right::Read, turn) {
            Ok(found) => Ok(found.id),
            Err(_) => Err("There is no such mailbox"),
        }
    }

    pub(super) fn reset_key(&mut self, tag: Tag, arguments: &ResetKeyArguments, turn: &mut Turn<'_>) -> Flow {
        let Some(user) = self.user().map(|user| user.id) else { return Flow::Continue };
        let (name, mechanisms) = match arguments {
            ResetKeyArguments::All => {
                return match Key::forget_all(&turn.shared.store, user) {
                    Ok(ticket) => {
                        let ending = Ending::ok(tag.clone(), Tell::Everything, "All keys are gone");
                        self.end_after(tag, ticket, ending)
                    }
                    Err(error) => self.refuse_change(turn, &tag, &error, Code::NonExistent),
                };
            }
            ResetKeyArguments::Mailbox(name, mechanisms) => (name, mechanisms),
        };
        if mechanisms.iter().any(|mechanism| mechanism != INTERNAL) {
            let text = "Unknown mechanism; there is INTERNAL";
            return self.refuse(turn, &tag, Condition::No, Some(Code::Cannot), text);
        }
        let mailbox = match self.find(name, Right::Read, turn) {
            Ok(found) => found.id,
            Err(error) => return self.refuse_unfound(turn, &tag, &error),
        };
        match Key::renew(&turn.shared.store, user, mailbox) {
            Ok((_, ticket)) => {
                // Other sessions have nothing to learn of it: INTERNAL, all that URLMECH ever tells, has no data of its own.
                let code = Some(Code::UrlMech);
                let text = "The key is another; URLs that were made with the old one are void";
                self.end_after_with(tag, Tell::Everything, Condition::Ok, code, text, ticket)
            }
            Err(error) => self.refuse_change(turn, &tag, &error, Code::NonExistent),
        }
    }
}
