//! What handlers say, and what follows.

use crate::log::{Level, event};
use crate::server::{Notice, Server};
use shm_abi::{FromHandler, HandlerState, ReceiveError, Refusal, StartWait};
use std::os::fd::{AsFd, OwnedFd};

impl Server {
    /// Reads every record a handler has sent.
    pub(crate) fn read_records(&mut self, handler: u32) {
        loop {
            let Some(running) = self.handlers[handler as usize].as_mut() else { return };
            if running.closed_ms.is_some() {
                return;
            }
            match running.channel.receive::<FromHandler>() {
                Ok(incoming) => self.on_record(handler, incoming.record, incoming.descriptors),
                Err(ReceiveError::WouldBlock) => return,
                Err(ReceiveError::DescriptorsLost(record)) => self.on_record(handler, record, Vec::new()),
                Err(error) => {
                    if !matches!(error, ReceiveError::Closed) {
                        event(Level::Error, "channel-failed", &[("handler", &handler), ("why", &error)]);
                    }
                    self.close_channel(handler);
                    return;
                }
            }
        }
    }

    fn on_record(&mut self, handler: u32, record: FromHandler, descriptors: Vec<OwnedFd>) {
        let Some(running) = self.handlers[handler as usize].as_mut() else { return };
        match record {
            FromHandler::Ready => {
                event(
                    Level::Info,
                    "handler-ready",
                    &[("handler", &handler), ("pid", &running.process.pid())],
                );
            }
            FromHandler::Accepted(accepted) => {
                running.congested = false;
                let known = running.in_flight.get(&accepted.cell);
                if known.is_none_or(|known| known.generation != accepted.generation) {
                    return;
                }
                let Some(known) = running.in_flight.remove(&accepted.cell) else { return };
                let mut client = known.client;
                if let Some(resume) = client.resume.take()
                    && let Some(annex) = resume.annex
                {
                    self.remove_annex(&annex);
                }
                self.escrow.keep(handler, accepted.cell, accepted.generation, client);
            }
            FromHandler::Refused(refused) => {
                let known = running.in_flight.get(&refused.cell);
                if known.is_none_or(|known| known.generation != refused.generation) {
                    return;
                }
                // Until the next tick or acknowledgement it gets no more.
                running.congested = refused.why != Refusal::CannotResume;
                let Some(known) = running.in_flight.remove(&refused.cell) else { return };
                self.table.free(handler, refused.cell, refused.generation);
                let why = match refused.why {
                    Refusal::OutOfDescriptors => "out-of-descriptors",
                    Refusal::Draining => "draining",
                    Refusal::WrongCell => "wrong-cell",
                    Refusal::CannotResume => "cannot-resume",
                };
                event(Level::Warn, "connection-refused", &[("handler", &handler), ("why", &why)]);
                if refused.why == Refusal::CannotResume {
                    self.turn_away(known.client);
                } else {
                    self.try_elsewhere(known.client);
                }
            }
            // The turn ends with a look at the queue.
            FromHandler::Room => running.congested = false,
            FromHandler::Released { cell, generation } => self.on_released(handler, cell, generation),
            FromHandler::Worn => {
                event(Level::Warn, "handler-worn", &[("handler", &handler)]);
                self.replace(handler);
            }
            FromHandler::Sockets { sessions } => self.on_sockets(handler, sessions, descriptors),
            FromHandler::Eventfds => self.on_eventfds(handler, descriptors),
            FromHandler::StartTls { cell, generation } => self.begin_session_tls(handler, cell, generation),
            FromHandler::Rejoin { .. } => {
                event(Level::Warn, "rejoin-of-a-child", &[("handler", &handler)]);
            }
        }
    }

    /// The channel takes records again.
    pub(crate) fn on_writable(&mut self, handler: u32) {
        if let Some(running) = self.handlers[handler as usize].as_mut() {
            running.congested = false;
            let _ = running.flush();
        }
    }

    /// The handler has closed its end: it gets no more connections, and is reaped soon.
    fn close_channel(&mut self, handler: u32) {
        let now_ms = self.now_ms;
        let Some(running) = self.handlers[handler as usize].as_mut() else { return };
        running.closed_ms = Some(now_ms);
        running.condemned = self.table.handler(handler).state() == HandlerState::Condemned;
        running.congested = true;
        self.table.handler(handler).set_state(HandlerState::Condemned);
        if let Some(running) = &self.handlers[handler as usize] {
            self.unwatch(running.channel.as_fd());
        }
    }

    /// The wait for a handler's start event is over.
    pub(crate) fn on_start_notice(&mut self, notice: Notice) {
        self.awaited[notice.handler as usize] = false;
        let Some(running) = self.handlers[notice.handler as usize].as_mut() else { return };
        if running.generation != notice.generation {
            return;
        }
        match notice.outcome {
            StartWait::Started => {
                let took = self.now_ms.saturating_sub(running.started_ms);
                event(Level::Info, "handler-started", &[("handler", &notice.handler), ("took_ms", &took)]);
                self.tell_systemd();
            }
            StartWait::Gone => {}
            StartWait::TimedOut => {
                event(Level::Error, "handler-start-timed-out", &[("handler", &notice.handler)]);
                self.table.handler(notice.handler).set_state(HandlerState::Condemned);
                running.process.kill();
            }
        }
    }
}
