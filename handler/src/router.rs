//! The channel to the router: what comes over it, and what is said back.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use config::Settings;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use shm_abi::{
    Accepted, Adopt, Cell, CellState, Channel, Connection, FromHandler, Incoming, Protocol, ReceiveError,
    Refusal, Refused, SendError, SessionId, ToHandler,
};

use crate::conversation::{Answer, Conversation, Peer};
use crate::imap::ImapSession;
use crate::keeping::Keeping;
use crate::lmtp::LmtpSession;
use crate::log;
use crate::orders::Order;
use crate::pace::Pace;
use crate::parked::{Place, Raw, Unreadable};
use crate::pop3::Pop3Session;
use crate::process::default_limits;
use crate::session::{Session, Socket};
use crate::shared::Shared;
use store::in_hand::{Mutex, RwLock};

/// The sending side of the channel, and the receiving one, which the poll thread alone uses.
pub(crate) struct RouterLink {
    channel: Mutex<Channel>,
    sender: RwLock<Arc<Channel>>,
    is_open: AtomicBool,
}

/// What the router's words ask of the poll thread.
pub(crate) enum Wish {
    /// Nothing beyond what was done.
    None,
    /// End within this time.
    End(Duration),
    /// Look for another router: this one is gone.
    Orphaned,
    /// Another router has taken the handler in.
    Welcomed {
        /// It has no eventfds yet.
        wants_eventfds: bool,
    },
}

impl RouterLink {
    /// Over the channel that the handler was started with.
    ///
    /// # Errors
    /// The operating system's, when the descriptor cannot be duplicated.
    pub(crate) fn new(channel: Channel) -> std::io::Result<RouterLink> {
        channel.set_nonblocking(true)?;
        let sender = RwLock::new(Arc::new(duplicate(&channel)?));
        Ok(RouterLink { channel: Mutex::new(channel), sender, is_open: AtomicBool::new(true) })
    }

    /// The sending side, whose descriptor is the one to watch. It is another after [`RouterLink::replace`].
    pub(crate) fn descriptor(&self) -> Arc<Channel> {
        Arc::clone(&self.sender.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether there is a router at the other end, as far as is known, that has the sockets of all sessions.
    pub(crate) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::SeqCst)
    }

    /// The other end is closed: what is said from now on is for nobody.
    pub(crate) fn close(&self) {
        self.is_open.store(false, Ordering::SeqCst);
    }

    /// Goes on with another channel, until [`RouterLink::open`] for little more than to hand sockets over.
    ///
    /// # Errors
    /// The operating system's; then the link is as it was.
    pub(crate) fn replace(&self, channel: Channel) -> std::io::Result<()> {
        channel.set_nonblocking(true)?;
        let sender = Arc::new(duplicate(&channel)?);
        *self.channel.lock().unwrap_or_else(PoisonError::into_inner) = channel;
        *self.sender.write().unwrap_or_else(PoisonError::into_inner) = sender;
        Ok(())
    }

    /// The router at the other end has the sockets of all sessions.
    pub(crate) fn open(&self) {
        self.is_open.store(true, Ordering::SeqCst);
    }

    /// Tells the router something with descriptors, if the channel has room for it now.
    ///
    /// # Errors
    /// Why nothing was sent.
    pub(crate) fn try_send(
        &self,
        record: &FromHandler,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), SendError> {
        self.descriptor().send(record, descriptors)
    }

    /// Tells the router something. Waits while the channel is full: the router reads it before all else.
    pub(crate) fn send(&self, record: &FromHandler) {
        let sender = self.descriptor();
        loop {
            match sender.send(record, &[]) {
                Ok(()) | Err(SendError::Closed) => return,
                Err(SendError::WouldBlock) => {
                    let mut writable = [PollFd::new(sender.as_fd(), PollFlags::POLLOUT)];
                    // Interrupted or not, the next attempt tells.
                    let _ = poll(&mut writable, PollTimeout::from(1000u16));
                }
                Err(error) => {
                    log::error!("send to router", why = error);
                    return;
                }
            }
        }
    }

    /// Does all that the router has said. Called by the poll thread when the channel is readable.
    pub(crate) fn receive(&self, shared: &Arc<Shared>) -> Wish {
        loop {
            let received = self.channel.lock().unwrap_or_else(PoisonError::into_inner).receive::<ToHandler>();
            match received {
                Ok(Incoming { record: ToHandler::Connection(connection), descriptors }) => {
                    take_connection(shared, &connection, descriptors, None);
                }
                Ok(Incoming { record: ToHandler::Shutdown { grace_ms }, .. }) => {
                    return Wish::End(Duration::from_millis(grace_ms));
                }
                Ok(Incoming { record: ToHandler::Reload { settings_text }, .. }) => {
                    reload(shared, &settings_text)
                }
                Ok(Incoming { record: ToHandler::Adopt(adopt), descriptors }) => {
                    adopt_session(shared, adopt, descriptors);
                }
                Ok(Incoming { record: ToHandler::Kick { cell, generation, reason }, .. }) => {
                    shared.orders.give(shared, cell, generation, Order::Leave(reason.into()));
                }
                Ok(Incoming { record: ToHandler::Secured { cell, generation, facts }, descriptors }) => {
                    let answer = match descriptors.into_iter().next() {
                        Some(socket) => Answer::Secured(socket, facts),
                        None => Answer::NotSecured,
                    };
                    shared.answer(cell, generation, answer);
                }
                Ok(Incoming { record: ToHandler::NotSecured { cell, generation }, .. })
                | Err(ReceiveError::DescriptorsLost(ToHandler::Secured { cell, generation, .. })) => {
                    shared.answer(cell, generation, Answer::NotSecured);
                }
                Ok(Incoming { record: ToHandler::Drain, .. }) => shared.drain(),
                Ok(Incoming { record: ToHandler::Hello(_), .. }) => log::error!("a second hello"),
                Ok(Incoming { record: ToHandler::Release { cell, generation }, .. }) => {
                    shared.orders.give(shared, cell, generation, Order::Move);
                }
                Ok(Incoming { record: ToHandler::Trace { cell, generation }, descriptors }) => {
                    if let Some(pipe) = descriptors.into_iter().next() {
                        shared.traces.give(shared, cell, generation, pipe);
                    }
                }
                Ok(Incoming { record: ToHandler::SetLogLevels { levels }, .. }) => {
                    logging::take_levels(&levels)
                }
                Ok(Incoming { record: ToHandler::Welcome { wants_eventfds, .. }, .. }) => {
                    return Wish::Welcomed { wants_eventfds };
                }
                Err(ReceiveError::DescriptorsLost(ToHandler::Connection(connection))) => {
                    // For the next one; this one the router gives to another handler, or here again.
                    shared.store.give_back_files();
                    refuse(shared, &connection, Refusal::OutOfDescriptors);
                }
                Err(ReceiveError::DescriptorsLost(ToHandler::Adopt(adopt))) => {
                    refuse(shared, &adopt.connection, Refusal::OutOfDescriptors);
                }
                Err(ReceiveError::DescriptorsLost(_)) => {
                    log::warning!("no descriptor left for what the router passed");
                }
                Err(ReceiveError::WouldBlock) => return Wish::None,
                Err(ReceiveError::Closed) => return Wish::Orphaned,
                Err(error) => {
                    log::error!("receive from router", why = error);
                    return Wish::None;
                }
            }
        }
    }
}

fn duplicate(channel: &Channel) -> std::io::Result<Channel> {
    Ok(Channel::new(channel.as_fd().try_clone_to_owned()?))
}

fn reload(shared: &Shared, text: &str) {
    match Settings::parse(text, &shared.settings_path) {
        Ok(settings) => {
            shared.store.set_default_limits(default_limits(&settings));
            logging::begin_as("handler", settings.log.format.name(), &settings.log.levels());
            shared.set_settings(settings);
        }
        Err(error) => log::error!("settings not taken", why = error),
    }
}

fn refuse(shared: &Shared, connection: &Connection, why: Refusal) {
    let refused = Refused { cell: connection.cell, generation: connection.generation, why };
    shared.router.send(&FromHandler::Refused(refused));
}

/// Whether a mail server calls that is trusted, or is behind an exempt address: it has mail of all users, and knows its own pace.
fn is_mail_server(settings: &Settings, connection: &Connection) -> bool {
    let address = connection.peer.address();
    let is_trusted = || settings.lmtp.trusted_peers.iter().any(|network| network.contains(address));
    connection.protocol == Protocol::Lmtp && (settings.limits.is_exempt(address) || is_trusted())
}

/// Goes on with a session that another handler had.
fn adopt_session(shared: &Arc<Shared>, adopt: Adopt, descriptors: Vec<OwnedFd>) {
    let Adopt { connection, parked, annex, input } = adopt;
    let raw = match Raw::read(&parked, annex.as_deref(), &shared.annex_folder) {
        // What it ran when the second handler died over it might kill the third.
        Ok(raw) if raw.is_again => Err(Unreadable("its command was done twice")),
        other => other,
    };
    match raw {
        Ok(mut raw) => {
            let is_again = !input.is_empty();
            raw.unread.extend_from_slice(&input);
            take_connection(shared, &connection, descriptors, Some((raw, is_again)));
        }
        Err(why) => {
            log::warning!("session not adopted", peer = connection.peer, why = why);
            refuse(shared, &connection, Refusal::CannotResume);
        }
    }
}

/// Takes a connection that is new, or one with a session that another handler had. Whatever there is to know of it is in its cell before the
/// router may forget it.
fn take_connection(
    shared: &Arc<Shared>,
    connection: &Connection,
    descriptors: Vec<OwnedFd>,
    resumed: Option<(Raw, bool)>,
) {
    let Some(descriptor) = descriptors.into_iter().next() else {
        return refuse(shared, connection, Refusal::OutOfDescriptors);
    };
    if shared.is_shutting_down() || shared.is_draining() {
        return refuse(shared, connection, Refusal::Draining);
    }
    let Some(cell) = shared.cell(connection.cell, connection.generation) else {
        return refuse(shared, connection, Refusal::WrongCell);
    };
    if !shared.slots.is_free(connection.cell) {
        return refuse(shared, connection, Refusal::WrongCell);
    }
    let socket = match Socket::new(descriptor, connection.has_local_socket()) {
        Ok(socket) => socket,
        Err(error) => {
            log::error!("socket handed over", peer = connection.peer, why = error);
            return refuse(shared, connection, Refusal::OutOfDescriptors);
        }
    };
    if connection.protocol == Protocol::Pop3
        && let Err(error) = socket.look_after()
    {
        log::warning!("a peer that goes without a word will keep its maildrop for long", why = error);
    }
    let peer = Peer {
        endpoint: connection.peer,
        is_private: connection.peer.is_local() || connection.tls.is_some(),
        tls: connection.tls,
    };
    let conversation = match connection.protocol {
        Protocol::Imap => Conversation::Imap(Box::new(ImapSession::new())),
        Protocol::Pop3 => Conversation::Pop3(Box::new(Pop3Session::new())),
        Protocol::Lmtp => Conversation::Lmtp(Box::new(LmtpSession::new())),
    };
    let place = Place {
        cell,
        id: SessionId { handler: shared.handler, cell: connection.cell, generation: connection.generation },
        folder: &shared.annex_folder,
    };
    let keeping = match resumed {
        None => Keeping::begin(&place, &conversation),
        Some((raw, is_again)) => Keeping::take_over(&place, raw, is_again),
    };
    let accepted = Accepted { cell: connection.cell, generation: connection.generation };
    shared.router.send(&FromHandler::Accepted(accepted));
    cell.set_state(CellState::Parked);
    shared.table.handler(shared.handler).count(shm_abi::Counter::Connections, 1);
    let connected_ms = connected_ms(shared, &cell, connection);
    let generation = connection.generation;
    let pace = Pace::new(!is_mail_server(&shared.settings(), connection));
    let session = Box::new(Session::new(socket, generation, peer, conversation, connected_ms, pace, keeping));
    if let Err(error) = shared.registrar.watch(&session.socket, connection.cell) {
        log::error!("watch socket", peer = connection.peer, why = error);
        shared.free_cell(connection.cell, connection.generation);
        return;
    }
    shared.slots.start(connection.cell, session, &shared.run_queue);
}

/// When the connection came, on the handler's clock: long ago, if another handler had it.
fn connected_ms(shared: &Shared, cell: &Cell<'_>, connection: &Connection) -> u64 {
    let accepted_ms = cell.session(shared.handler, connection.cell).map_or(0, |session| session.accepted_ms);
    let age_ms = shared.unix_ms().saturating_sub(accepted_ms);
    shared.now_ms().saturating_sub(if accepted_ms == 0 { 0 } else { age_ms })
}
