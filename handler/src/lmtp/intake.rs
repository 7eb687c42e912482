//! DATA and BDAT: the message on its way from the input into a draft, behind the trace lines of final delivery. Memory does not depend
//! on its size. A message that cannot be kept is read to its end all the same, for only then may the peer be answered.

use std::sync::OnceLock;

use protocol::lmtp::trace::{Received, received, return_path};
use protocol::lmtp::{ChunkDecoder, Data, DataDecoder, Reply};
use store::{Draft, StoreError};

use super::delivery::reply_to_store_error;
use super::origin::Client;
use super::transaction::Transaction;
use crate::clock;
use crate::conversation::Turn;
use crate::log;

/// A message that is coming.
pub(super) struct Intake {
    /// For whom it is, and from whom.
    pub(super) transaction: Box<Transaction>,
    /// What finds the message in the log; it is in the Received line.
    pub(super) id: String,
    /// What has come of it.
    pub(super) sink: Sink,
    /// The client that a trusted peer has it from, for the log; empty if it did not say.
    pub(super) client: String,
    /// Octets that came, without dots that were added on the way.
    pub(super) octets: u64,
    /// Whether a NUL was among them.
    pub(super) has_nul: bool,
}

/// Where the octets go.
pub(super) enum Sink {
    /// Into a draft.
    Draft(Box<Draft>),
    /// Nowhere: the message will be refused with this reply.
    Refused(Reply),
}

impl Intake {
    /// Begins a draft with the trace lines of `transaction`, which is number `number` of its session and came from `client`. If no
    /// message can be taken now, its sink says so.
    pub(super) fn begin(
        transaction: Box<Transaction>,
        client: &Client,
        number: u32,
        turn: &Turn<'_>,
    ) -> Intake {
        let shared = turn.shared;
        let now = clock::now();
        let id = format!("{:x}.{}.{}.{}.{number}", now.seconds, shared.handler, turn.slot, turn.generation);
        let mut lines = Vec::with_capacity(512);
        return_path(&mut lines, transaction.mail.sender.as_ref());
        let line = Received {
            from: client.called(),
            peer: &client.at(&turn.peer.endpoint),
            by: host(),
            with: if transaction.mail.smtputf8 { "UTF8LMTP" } else { "LMTP" },
            id: &id,
            recipient: transaction.only_recipient.as_ref(),
            at_seconds: now.seconds,
        };
        received(&mut lines, &line);
        let draft = shared.store.draft().and_then(|mut draft| draft.write(&lines).map(|()| draft));
        let sink = match draft {
            Ok(draft) => Sink::Draft(Box::new(draft)),
            Err(error) => Sink::Refused(refuse(&id, &error)),
        };
        Intake { transaction, id, sink, client: client.for_log(), octets: 0, has_nul: false }
    }

    /// Why the message will be refused, if that is known already.
    pub(super) fn refusal(&self) -> Option<&Reply> {
        match &self.sink {
            Sink::Draft(_) => None,
            Sink::Refused(reply) => Some(reply),
        }
    }

    /// Takes what has come of a chunk. Whether that has ended.
    pub(super) fn take_chunk(&mut self, chunk: &mut ChunkDecoder, turn: &mut Turn<'_>) -> bool {
        let octets = chunk.next(turn.input.unread());
        if !octets.is_empty() {
            self.keep(octets);
        }
        let taken = octets.len();
        turn.input.consume(taken);
        chunk.is_ended()
    }

    /// Takes what has come behind DATA. Whether the message has ended.
    pub(super) fn take(&mut self, decoder: &mut DataDecoder, turn: &mut Turn<'_>) -> bool {
        loop {
            let (taken, data) = decoder.next(turn.input.unread());
            let ended = match data {
                Data::Octets(octets) => {
                    self.keep(octets);
                    None
                }
                Data::More => Some(false),
                Data::End => Some(true),
            };
            turn.input.consume(taken);
            if let Some(ended) = ended {
                return ended;
            }
        }
    }

    fn keep(&mut self, octets: &[u8]) {
        let Sink::Draft(draft) = &mut self.sink else { return };
        self.octets += octets.len() as u64;
        if self.octets > self.transaction.message_octets_max() {
            self.sink = Sink::Refused(Reply::TOO_LARGE);
            return;
        }
        self.has_nul |= octets.contains(&0);
        if let Err(error) = draft.write(octets) {
            self.sink = Sink::Refused(refuse(&self.id, &error));
        }
    }
}

/// The name of this machine, as the kernel has it.
pub(super) fn host() -> &'static str {
    static HOST: OnceLock<String> = OnceLock::new();
    HOST.get_or_init(|| {
        let name =
            nix::sys::utsname::uname().ok().and_then(|names| names.nodename().to_str().map(str::to_owned));
        name.filter(|name| !name.is_empty() && !name.contains(char::is_whitespace))
            .unwrap_or_else(|| "localhost".to_owned())
    })
}

fn refuse(id: &str, error: &StoreError) -> Reply {
    log::error!("message not taken", id = id, why = error);
    reply_to_store_error(error)
}
