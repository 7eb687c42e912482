//! The control socket, `control` in the runtime folder: status, eventfds for tools, stop, reload.
//!
//! Only the user the router runs as, and root, can connect. A tool that connects and says nothing costs a descriptor,
//! and there are few of them.

use crate::listen::remove_stale_socket;
use crate::log::{Level, event};
use crate::orders::Counted;
use crate::server::{Phase, Server};
use shm_abi::{Channel, ChannelListener, ControlAnswer, ControlRequest, ReceiveError, RouterStatus};
use std::collections::HashMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Tools connected at once; more are not answered.
const CLIENTS_MAX: usize = 32;

/// The listening socket and those who are connected.
#[derive(Debug)]
pub(crate) struct Control {
    listener: ChannelListener,
    path: PathBuf,
    clients: HashMap<usize, Channel>,
    next: usize,
}

impl Control {
    /// Makes the socket, in place of one that a dead router left.
    pub(crate) fn open(runtime_dir: &Path) -> io::Result<Control> {
        let path = runtime_dir.join("control");
        remove_stale_socket(&path)?;
        let listener = ChannelListener::bind(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok(Control { listener, path, clients: HashMap::new(), next: 0 })
    }
}

impl Control {
    /// The socket that the program before this one made.
    pub(crate) fn inherited(socket: OwnedFd, runtime_dir: &Path) -> Control {
        let path = runtime_dir.join("control");
        Control { listener: ChannelListener::new(socket), path, clients: HashMap::new(), next: 0 }
    }
}

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Server {
    /// Takes in everybody who connected to the control socket.
    pub(crate) fn accept_control(&mut self) {
        loop {
            let channel = match self.control.listener.accept() {
                Ok(Some(channel)) => channel,
                Ok(None) => return,
                Err(error) => return event(Level::Warn, "control-failed", &[("why", &error)]),
            };
            let number = self.control.next;
            if self.control.clients.len() >= CLIENTS_MAX
                || self.watch_control_client(number, channel.as_fd()).is_err()
            {
                continue;
            }
            self.control.next += 1;
            self.control.clients.insert(number, channel);
            // What was sent before the poll knew of it makes no event on some kernels.
            self.answer_control(number);
        }
    }

    /// Answers what a tool asks.
    pub(crate) fn answer_control(&mut self, number: usize) {
        let Some(mut channel) = self.control.clients.remove(&number) else { return };
        loop {
            let request = match channel.receive::<ControlRequest>() {
                Ok(incoming) => incoming,
                Err(ReceiveError::WouldBlock) => break,
                Err(_) => return self.unwatch(channel.as_fd()),
            };
            let asked_by = channel.peer_pid().ok().zip(channel.peer_uid().ok());
            let answer = self.answer(request.record, request.descriptors, asked_by);
            let descriptors: Vec<_> = match answer {
                ControlAnswer::Attached { .. } => self.eventfds.iter().map(AsFd::as_fd).collect(),
                _ => Vec::new(),
            };
            if channel.send(&answer, &descriptors).is_err() {
                return self.unwatch(channel.as_fd());
            }
        }
        self.control.clients.insert(number, channel);
    }

    fn answer(
        &mut self,
        request: ControlRequest,
        attached: Vec<OwnedFd>,
        asked_by: Option<(u32, u32)>,
    ) -> ControlAnswer {
        match request {
            ControlRequest::Status => ControlAnswer::Status(self.status()),
            ControlRequest::Attach => ControlAnswer::Attached { table: self.table.name().to_string() },
            ControlRequest::Stop => {
                self.begin_stop("control");
                ControlAnswer::Done
            }
            ControlRequest::Reload => match self.reload() {
                Ok(()) => ControlAnswer::Done,
                Err(why) => ControlAnswer::Failed(why),
            },
            ControlRequest::LogLevel { change } => match self.change_log_level(change.as_deref()) {
                Ok(levels) => ControlAnswer::LogLevels(levels),
                Err(why) => ControlAnswer::Failed(why),
            },
            ControlRequest::Drain { handler } => match self.drain(handler) {
                Ok(()) => ControlAnswer::Done,
                Err(why) => ControlAnswer::Failed(why),
            },
            ControlRequest::Migrate { sessions, to } => counted(self.migrate(&sessions, to)),
            ControlRequest::Kick { sessions, reason } => counted(self.kick(&sessions, &reason)),
            ControlRequest::Trace { session } => {
                match self.trace(session, attached.into_iter().next(), asked_by) {
                    Ok(()) => ControlAnswer::Done,
                    Err(why) => ControlAnswer::Failed(why),
                }
            }
            ControlRequest::Upgrade => match self.begin_upgrade() {
                Ok(()) => ControlAnswer::Done,
                Err(why) => ControlAnswer::Failed(why),
            },
            ControlRequest::UpgradeState => ControlAnswer::Upgrade(self.upgrade_state()),
        }
    }

    fn status(&self) -> RouterStatus {
        let describe =
            |listener: &crate::listen::Listener| format!("{} {}", listener.service.name(), listener.address);
        RouterStatus {
            table: self.table.name().to_string(),
            listening: self.listeners.iter().map(describe).collect(),
            queued: self.queue.len() as u32,
            in_flight: self.handlers.iter().flatten().map(|running| running.in_flight.len() as u32).sum(),
            stopping: self.phase != Phase::Serving,
        }
    }
}

fn counted(result: Result<Counted, String>) -> ControlAnswer {
    match result {
        Ok(Counted { told, gone }) => ControlAnswer::Sessions { told, gone },
        Err(why) => ControlAnswer::Failed(why),
    }
}
