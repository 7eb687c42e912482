//! STARTTLS and STLS: the session waits while another process does the handshake, and goes on with the socket that comes back.
//!
//! What a peer sends behind the command before the handshake is nobody's: it may come from somebody on the way who wants it to be done
//! as if the peer had said it under TLS. So whoever sends any is cut off.

use shm_abi::FromHandler;

use crate::conversation::Answer;
use crate::log;
use crate::session::Session;
use crate::shared::Shared;
use crate::slots::SlotNumber;

/// How long the outcome of a handshake is waited for.
const PATIENCE_MS: u64 = 60_000;

impl Session {
    /// Gives the socket away for its handshake. False if the peer did not wait for it.
    pub(crate) fn begin_handshake(&mut self, slot: SlotNumber, shared: &Shared) -> bool {
        if !self.input.unread().is_empty() {
            log::warning!("more was sent before the handshake", peer = self.peer.endpoint);
            return false;
        }
        shared.registrar.forget(&self.socket);
        // Whoever does the handshake gives up before that. Only if it is gone, and nobody left to say so, does it come to this.
        self.idle_deadline_ms = shared.now_ms() + PATIENCE_MS;
        shared.router.send(&FromHandler::StartTls { cell: slot, generation: self.generation });
        true
    }

    /// Takes the socket that the handshake made, if that is what came. False if the session cannot go on.
    pub(crate) fn settle_handshake(&mut self, slot: SlotNumber, shared: &Shared) -> bool {
        match self.answer.take() {
            Some(Answer::Secured(descriptor, facts)) => {
                let taken =
                    self.socket.replace(descriptor).and_then(|()| shared.registrar.watch(&self.socket, slot));
                if let Err(error) = taken {
                    log::error!("socket of the handshake", peer = self.peer.endpoint, why = error);
                    return false;
                }
                self.peer.is_private = true;
                self.peer.tls = Some(facts);
                self.may_read = true;
                true
            }
            Some(Answer::NotSecured) => false,
            other => {
                self.answer = other;
                true
            }
        }
    }
}
