//! URLFETCH (RFC 4467, with the extended form of RFC 5524): the content behind URLs that somebody authorized. A URL that is no URL, has
//! expired, is not for this user, is not proven or leads nowhere is answered with NIL alike.

use message::{Encoding, PartKind, Record, decoded_structure, part_structure};
use protocol::imap::command::Tag;
use protocol::imap::extension::urlauth::{UrlContent, UrlFetchArguments, UrlFetchItem, UrlFetchParameters};
use protocol::imap::reply::urlauth as reply;
use protocol::imap::url::{Access, Authorization, MessageUrl, UrlMailbox};
use store::{MailboxId, Store, StoreError, StoredMessage, UserId};

use super::super::content::Content;
use super::super::content::decoding::{Decoding, Sent};
use super::super::ending::Tell;
use super::super::url::content_of;
use super::super::{Flow, ImapSession, Running};
use super::key::Key;
use crate::clock;
use crate::conversation::{Next, Turn};
use crate::log;
use crate::output::Output;

/// Content up to this many octets is copied into the output; more is sent from the file.
const COPIED_OCTETS: u64 = 16 * 1024;

/// A URLFETCH on its way.
pub(in crate::imap) struct UrlFetch {
    tag: Tag,
    items: std::vec::IntoIter<UrlFetchItem>,
    /// The part that is being decoded.
    decoding: Option<Decoded>,
}

/// A part that is being decoded, and what is told of it.
struct Decoded {
    decoding: Decoding,
    /// The part's structure, if that was asked for.
    structure: Option<Vec<u8>>,
    is_measured: bool,
}

impl ImapSession {
    pub(in crate::imap) fn begin_url_fetch(&mut self, tag: Tag, arguments: UrlFetchArguments) -> Flow {
        let fetch = UrlFetch { tag, items: arguments.0.into_iter(), decoding: None };
        self.running = Running::UrlFetch(Box::new(fetch));
        Flow::Continue
    }

    pub(in crate::imap) fn go_on_url_fetch(&mut self, mut fetch: Box<UrlFetch>, turn: &mut Turn<'_>) -> Flow {
        loop {
            if turn.output.is_full() {
                self.running = Running::UrlFetch(fetch);
                return Flow::Wait(Next::Output);
            }
            if let Some(mut decoded) = fetch.decoding.take() {
                let next = match decoded.run(&turn.shared.store, turn.output) {
                    Ok(Sent::All) => {
                        reply::end(turn.output.bytes());
                        continue;
                    }
                    Ok(Sent::Again) => Next::Again,
                    Ok(Sent::OutputFull) => Next::Output,
                    Err(error) => {
                        // What was promised cannot be taken back.
                        log::error!("reply cut short", why = error);
                        return Flow::Wait(Next::Close);
                    }
                };
                fetch.decoding = Some(decoded);
                self.running = Running::UrlFetch(fetch);
                return Flow::Wait(next);
            }
            let Some(item) = fetch.items.next() else {
                return self.end(turn, fetch.tag, Tell::Everything, "URLFETCH completed");
            };
            let found = self.authorized(&item.url, turn).and_then(|found| match found {
                Some((id, url)) => Found::read(&turn.shared.store, id, &url),
                None => Ok(None),
            });
            let mark = turn.output.mark();
            reply::begin(turn.output.bytes(), &item.url);
            let written = found.and_then(|found| match found {
                Some(found) => found.write(item.parameters, &turn.shared.store, turn.output),
                None => {
                    reply::nothing(turn.output.bytes());
                    Ok(None)
                }
            });
            match written {
                Ok(Some(decoded)) => fetch.decoding = Some(decoded),
                Ok(None) => reply::end(turn.output.bytes()),
                Err(error) => {
                    log::warning!("url not readable", why = error);
                    turn.output.reset_to(mark);
                    reply::begin(turn.output.bytes(), &item.url);
                    reply::nothing(turn.output.bytes());
                    reply::end(turn.output.bytes());
                }
            }
        }
    }

    /// The mailbox of a URL that somebody authorized for this session.
    fn authorized(
        &self,
        octets: &[u8],
        turn: &Turn<'_>,
    ) -> Result<Option<(MailboxId, MessageUrl)>, StoreError> {
        let Ok(url) = MessageUrl::parse(octets) else { return Ok(None) };
        let store = &turn.shared.store;
        let (Some(server), Some(authorization)) = (&url.server, &url.authorization) else { return Ok(None) };
        let (Some(owner), Some(token)) = (&server.user, &authorization.token) else { return Ok(None) };
        let found = match store.find_user(owner)? {
            Some(owner) => mailbox_of(store, owner, &url)?.map(|mailbox| (owner, mailbox)),
            None => None,
        };
        let key = match found {
            Some((owner, mailbox)) => Key::of(store, owner, mailbox)?,
            None => None,
        };
        let (key, is_known) = match key {
            Some(key) => (key, true),
            None => (Key::random()?, false),
        };
        let is_proven = key.verifies(octets, token);
        let is_allowed = self.may_use(authorization, turn);
        Ok(found.filter(|_| is_known && is_proven && is_allowed).map(|(_, mailbox)| (mailbox, url)))
    }

    fn may_use(&self, authorization: &Authorization, turn: &Turn<'_>) -> bool {
        let Some(user) = self.user() else { return false };
        let has_expired =
            authorization.expire.as_ref().is_some_and(|(_, seconds)| clock::now().seconds > *seconds);
        !has_expired
            && match &authorization.access {
                Access::User(name) => *name == user.name,
                Access::AuthUser | Access::Anonymous => true,
                Access::Submit(_) => turn.shared.settings().auth.submitters.contains(&user.name),
            }
    }
}

/// The mailbox of that name among a user's own.
fn mailbox_of(store: &Store, owner: UserId, url: &MessageUrl) -> Result<Option<MailboxId>, StoreError> {
    let UrlMailbox::Named(name) = &url.mailbox else { return Ok(None) };
    let list = store.mailbox_list(owner)?;
    let entry = list.find(name.as_str()).filter(|entry| !entry.placeholder);
    Ok(entry.map(|entry| MailboxId { user: owner, number: entry.number }))
}

/// What is behind a URL.
struct Found {
    message: StoredMessage,
    content: Content,
    /// The record, for what the extended form asks.
    record: Vec<u8>,
    part: Option<Vec<u32>>,
    partial: Option<(u64, u64)>,
}

impl Found {
    fn read(store: &Store, id: MailboxId, url: &MessageUrl) -> Result<Option<Found>, StoreError> {
        let Some((message, content)) = content_of(store, id, url)? else { return Ok(None) };
        let record = store.record(message.id)?;
        // What is a part of a message can be decoded, and has a structure.
        let part = url.section.text.is_none().then(|| url.section.part.clone());
        let partial = url.partial.map(|partial| (partial.start, partial.length.unwrap_or(u64::MAX)));
        Ok(Some(Found { message, content, record, part, partial }))
    }

    /// Writes what is asked for, or all of it that comes before a part which is to be decoded.
    fn write(
        self,
        parameters: Option<UrlFetchParameters>,
        store: &Store,
        output: &mut Output,
    ) -> Result<Option<Decoded>, StoreError> {
        let Some(parameters) = parameters else {
            reply::content(output.bytes(), self.content.len());
            self.write_content(store, output)?;
            return Ok(None);
        };
        let structure = if parameters.structure { self.structure()? } else { None };
        match parameters.content {
            Some(UrlContent::Binary) => match self.decoding()? {
                Some(decoding) => Ok(Some(Decoded { decoding, structure, is_measured: false })),
                None => {
                    write_structure(structure, output);
                    reply::not_decoded(output.bytes());
                    Ok(None)
                }
            },
            Some(UrlContent::Body) => {
                write_structure(structure, output);
                reply::body(output.bytes(), self.content.len());
                self.write_content(store, output)?;
                reply::end_item(output.bytes());
                Ok(None)
            }
            None => {
                // Without anything to tell, nothing is all there is to say.
                if structure.is_none() {
                    reply::nothing(output.bytes());
                }
                write_structure(structure, output);
                Ok(None)
            }
        }
    }

    fn record(&self) -> Result<Record<'_>, StoreError> {
        Record::parse(&self.record).map_err(|_| StoreError::NotFound("record that can be read"))
    }

    fn structure(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(part) = &self.part else { return Ok(None) };
        Ok(part_structure(self.record()?.body_structure(), part).map(<[u8]>::to_vec))
    }

    fn decoding(&self) -> Result<Option<Decoding>, StoreError> {
        let part = self.part.as_deref().filter(|part| !part.is_empty());
        let section = match part {
            Some(part) => self.record()?.section(part),
            None => None,
        };
        let (encoded, encoding) = match (section, &self.content) {
            (Some(section), _) if section.kind == PartKind::Leaf => (section.body, section.encoding),
            (Some(section), _) => (section.body, Encoding::Identity),
            (None, Content::Range(range)) => {
                // The range is cut already.
                return Ok(Decoding::new(self.message, range.clone(), Encoding::Identity, None));
            }
            (None, Content::Fields(_)) => return Ok(None),
        };
        Ok(Decoding::new(self.message, encoded, encoding, self.partial))
    }

    fn write_content(&self, store: &Store, output: &mut Output) -> Result<(), StoreError> {
        match &self.content {
            Content::Fields(fields) => output.bytes().extend_from_slice(fields),
            Content::Range(range) if range.end - range.start <= COPIED_OCTETS => {
                store.read_range(&self.message, range.clone(), output.bytes())?;
            }
            Content::Range(range) => output.push_range(store.file_range(&self.message, range.clone())?),
        }
        Ok(())
    }
}

impl Decoded {
    fn run(&mut self, store: &Store, output: &mut Output) -> Result<Sent, StoreError> {
        if !self.is_measured {
            let Some(measured) = self.decoding.measure(store)? else { return Ok(Sent::Again) };
            self.is_measured = true;
            let structure = self.structure.take();
            write_structure(structure.map(|part| decoded_structure(&part, measured.length)), output);
            reply::binary(output.bytes(), measured.length, measured.has_nul);
        }
        let sent = self.decoding.send(store, output)?;
        if sent == Sent::All {
            reply::end_item(output.bytes());
        }
        Ok(sent)
    }
}

fn write_structure(structure: Option<Vec<u8>>, output: &mut Output) {
    if let Some(structure) = structure {
        reply::structure(output.bytes(), &structure);
    }
}
