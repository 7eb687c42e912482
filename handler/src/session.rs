//! One client connection: its socket, what came, what is to go, and the conversation over it. Run by a worker, one turn
//! after the other, until it must wait.

mod tap;

use std::io::{ErrorKind, Read};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use shm_abi::{Counter, Tally};
use store::Ticket;

use crate::command_timer::CommandTimer;
use crate::conversation::{Answer, Conversation, Input, Next, Patience, Peer, Stopped, Turn};
use crate::keeping::{self, Desk, Keeping};
use crate::log;
use crate::memory::Account;
use crate::orders::Order;
use crate::output::{Flushed, Output};
use crate::pace::Pace;
use crate::parked::Kept;
use crate::shared::Shared;
use crate::slots::{Causes, NEVER_MS, SlotNumber};
use crate::trace::Tap;

/// Turns that a session may take before others have theirs.
const TURNS_IN_A_ROW: usize = 32;
/// Input that may wait unconsumed. A conversation that wants more than that is at fault: its own limits are lower.
const INPUT_LIMIT_OCTETS: usize = 512 * 1024;
/// Silence after which a session gives back its buffers and caches, in milliseconds.
const REST_AFTER_MS: u64 = 1000;

/// Silence after which a peer that is looked after is asked whether it is there, in seconds; then how often, and how many times.
const KEEP_ALIVE_AFTER_SECONDS: u32 = 60;
const KEEP_ALIVE_EVERY_SECONDS: u32 = 15;
const KEEP_ALIVE_TIMES: u32 = 4;

/// The connection's socket.
pub(crate) enum Socket {
    /// TCP.
    Tcp(TcpStream),
    /// A local stream socket.
    Unix(UnixStream),
}

impl Socket {
    /// The socket that the router handed over, made non-blocking.
    pub(crate) fn new(descriptor: OwnedFd, is_unix: bool) -> std::io::Result<Socket> {
        if is_unix {
            let stream = UnixStream::from(descriptor);
            stream.set_nonblocking(true)?;
            Ok(Socket::Unix(stream))
        } else {
            let stream = TcpStream::from(descriptor);
            stream.set_nonblocking(true)?;
            Ok(Socket::Tcp(stream))
        }
    }

    /// Puts a local socket in this one's place, under the same number: that number is known elsewhere, for the case of a crash. What was there is
    /// closed and not shut down.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn replace(&mut self, by: OwnedFd) -> std::io::Result<()> {
        let by = UnixStream::from(by);
        by.set_nonblocking(true)?;
        let mut number: OwnedFd = match std::mem::replace(self, Socket::Unix(by)) {
            Socket::Tcp(stream) => stream.into(),
            Socket::Unix(stream) => stream.into(),
        };
        nix::unistd::dup3(self.as_fd(), &mut number, nix::fcntl::OFlag::O_CLOEXEC)?;
        *self = Socket::Unix(number.into());
        Ok(())
    }

    /// Has the system find out within some two minutes that the peer is gone without a word, for protocols whose sessions keep others
    /// out: a client that lost its network comes back by another connection.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn look_after(&self) -> nix::Result<()> {
        use nix::sys::socket::{setsockopt, sockopt};
        if let Socket::Tcp(stream) = self {
            setsockopt(stream, sockopt::TcpKeepIdle, &KEEP_ALIVE_AFTER_SECONDS)?;
            setsockopt(stream, sockopt::TcpKeepInterval, &KEEP_ALIVE_EVERY_SECONDS)?;
            setsockopt(stream, sockopt::TcpKeepCount, &KEEP_ALIVE_TIMES)?;
            setsockopt(stream, sockopt::KeepAlive, &true)?;
        }
        Ok(())
    }

    fn read(&self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Socket::Tcp(stream) => (&*stream).read(buffer),
            Socket::Unix(stream) => (&*stream).read(buffer),
        }
    }

    /// Ends both directions at once, so that no other copy of the descriptor keeps the connection alive.
    fn shut_down(&self) {
        // It may be gone already, which is as well.
        let _ = match self {
            Socket::Tcp(stream) => stream.shutdown(Shutdown::Both),
            Socket::Unix(stream) => stream.shutdown(Shutdown::Both),
        };
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Socket::Tcp(stream) => stream.as_fd(),
            Socket::Unix(stream) => stream.as_fd(),
        }
    }
}

/// What a worker does with a session after it ran.
pub(crate) enum Outcome {
    /// Park it until one of the causes or the deadline (on the handler's clock, in milliseconds).
    Park(Causes, u64),
    /// Queue it again.
    Requeue,
    /// Give it to the router, which has it go on elsewhere.
    Release,
    /// End it.
    End,
}

/// A client connection.
pub(crate) struct Session {
    /// The connection.
    pub(crate) socket: Socket,
    /// Tells this session from earlier ones in the same slot.
    pub(crate) generation: u32,
    pub(crate) peer: Peer,
    pub(crate) input: Input,
    output: Output,
    conversation: Conversation,
    pub(crate) answer: Option<Answer>,
    /// Whether the socket may have more to read since the last look.
    pub(crate) may_read: bool,
    /// Whether the end of what the peer sends was announced: then every read must go on until it is met, since no other
    /// event will come.
    hung_up: bool,
    /// When the connection came, on the handler's clock.
    connected_ms: u64,
    closing: bool,
    /// The conversation goes on only when all of its output was sent.
    awaits_output: bool,
    /// The ticket whose settling wakes the session, so that what is held for it is sent.
    told_of: Option<Ticket>,
    received_octets: u64,
    /// What the session is parked for.
    waits_for: Causes,
    /// When the peer will have been silent for too long, on the handler's clock.
    pub(crate) idle_deadline_ms: u64,
    /// Why the session is to leave, once the router ordered so.
    leave: Option<Box<str>>,
    /// What it is charged with; the worker begins and ends its turns.
    pub(crate) memory: Account,
    pace: Pace,
    /// Until when the session rests whatever comes, on the handler's clock; 0 when it does not.
    paused_until_ms: u64,
    /// What would have woken it meanwhile.
    slept_through: Causes,
    /// Measures the commands.
    timer: CommandTimer,
    /// Who reads along.
    tap: Option<Box<Tap>>,
    keeping: Keeping,
}

impl Session {
    /// A session that has not greeted its peer yet; it was connected now, on the handler's clock.
    pub(crate) fn new(
        socket: Socket,
        generation: u32,
        peer: Peer,
        conversation: Conversation,
        connected_ms: u64,
        pace: Pace,
        keeping: Keeping,
    ) -> Session {
        Session {
            socket,
            generation,
            peer,
            input: Input::default(),
            output: Output::default(),
            conversation,
            answer: None,
            may_read: true,
            hung_up: false,
            connected_ms,
            closing: false,
            awaits_output: false,
            told_of: None,
            received_octets: 0,
            waits_for: Causes::default(),
            idle_deadline_ms: 0,
            leave: None,
            memory: Account::new(size_of::<Session>()),
            pace,
            paused_until_ms: 0,
            slept_through: Causes::default(),
            timer: CommandTimer::new(),
            tap: None,
            keeping,
        }
    }

    /// Runs the session until it must wait. `scratch` is the worker's read buffer.
    pub(crate) fn run(&mut self, desk: Desk<'_>, scratch: &mut [u8]) -> Outcome {
        let Desk { shared, slot, .. } = desk;
        let mut causes = shared.slots.take_causes(slot);
        self.may_read |= causes.has(Causes::INPUT);
        self.hung_up |= causes.has(Causes::HANG_UP);
        if self.paused_until_ms > 0 {
            if shared.now_ms() < self.paused_until_ms && !causes.has(Causes::SHUTDOWN | Causes::ORDER) {
                self.slept_through = self.slept_through | causes.without(Causes::TIME);
                return Outcome::Park(Causes::default(), self.paused_until_ms);
            }
            self.paused_until_ms = 0;
            // The deadline was that of the pause.
            causes = causes.without(Causes::TIME) | std::mem::take(&mut self.slept_through);
        }
        let waited_for = std::mem::take(&mut self.waits_for);
        if causes.has(Causes::ORDER) {
            match shared.orders.take(slot, self.generation) {
                Some(Order::Leave(reason)) => self.leave = Some(reason),
                Some(Order::Move) => self.keeping.call_away(),
                None => {}
            }
        }
        if causes.has(Causes::ORDER)
            && let Some(pipe) = shared.traces.take(slot, self.generation)
        {
            self.begin_trace(pipe, slot, shared);
            // It was woken for nothing else, and goes on waiting.
            let waits_on = waited_for != Causes::default()
                && self.leave.is_none()
                && !self.keeping.is_called_away(shared);
            if waits_on && causes.without(Causes::TIME) == Causes::ORDER {
                self.waits_for = waited_for;
                let only_these = waited_for.has(Causes::COMMIT | Causes::HELPER);
                let until_ms = if only_these { NEVER_MS } else { self.sleep_until_ms(shared) };
                return Outcome::Park(waited_for, until_ms);
            }
        }
        self.look_after_reader(slot, shared);
        if causes.has(Causes::TIME) && shared.now_ms() < self.idle_deadline_ms {
            if causes == Causes::TIME
                && !self.keeping.is_to_resume()
                && waited_for.has(Causes::INPUT | Causes::OUTPUT)
            {
                self.rest();
                self.waits_for = waited_for;
                return Outcome::Park(waited_for, self.sleep_until_ms(shared));
            }
            causes = causes.without(Causes::TIME);
        }
        if causes.has(Causes::HELPER) {
            self.answer = shared.take_answer(slot, self.generation);
            if !self.settle_handshake(slot, shared) {
                return Outcome::End;
            }
        }
        for _ in 0..TURNS_IN_A_ROW {
            self.release(shared);
            match self.send(shared, slot) {
                Ok(Flushed::All) if self.closing => return Outcome::End,
                Ok(Flushed::Held(ticket)) if self.closing || self.awaits_output => {
                    self.wake_for(ticket, slot, shared);
                    return self.park(desk, Causes::COMMIT);
                }
                Ok(Flushed::All | Flushed::Held(_)) => {}
                Ok(Flushed::Blocked) => {
                    // A peer that reads on gets all of the running reply, also while the handler is being stopped.
                    if causes.has(Causes::TIME) || self.leave.is_some() {
                        return Outcome::End;
                    }
                    shared.metrics().count(Tally::OutputBlocked);
                    return self.park(desk, Causes::OUTPUT);
                }
                Err(error) => {
                    self.report_cut_short(&error);
                    return Outcome::End;
                }
            }
            let mut turn = Turn {
                shared,
                slot,
                generation: self.generation,
                input: &mut self.input,
                output: &mut self.output,
                causes: std::mem::take(&mut causes),
                answer: self.answer.take(),
                peer: &self.peer,
                timer: &mut self.timer,
                leave: self.leave.as_deref(),
                pace: &self.pace,
            };
            if self.keeping.is_to_resume() && !self.keeping.resume(&mut self.conversation, &mut turn) {
                self.closing = true;
                continue;
            }
            let next = self.conversation.run(&mut turn);
            if (self.memory.is_above(&shared.memory) || shared.memory.is_victim(slot, self.generation))
                && next != Next::Close
                && self.stop_for_memory()
            {
                shared.metrics().count(Tally::LimitedMemory);
                continue;
            }
            self.awaits_output = next == Next::Output;
            let mut rest = match next {
                Next::Again | Next::Output => continue,
                Next::Close => {
                    self.timer.end();
                    self.closing = true;
                    continue;
                }
                Next::Input => Causes::INPUT,
                Next::InputOrChange => Causes::INPUT | Causes::CHANGE,
                Next::Commit(ticket) => {
                    if shared.commits.is_settled(shared, ticket) {
                        continue;
                    }
                    if !self.send_early(shared, slot) {
                        return Outcome::End;
                    }
                    shared.commits.wake_when_settled(shared, ticket, slot);
                    Causes::COMMIT
                }
                Next::Helper => {
                    if !self.send_early(shared, slot) {
                        return Outcome::End;
                    }
                    Causes::HELPER
                }
                Next::Secure => {
                    if !self.begin_handshake(slot, shared) {
                        return Outcome::End;
                    }
                    self.waits_for = Causes::HELPER;
                    return Outcome::Park(Causes::HELPER, self.idle_deadline_ms);
                }
                Next::Pause(pause_ms) => return self.pause(pause_ms, desk),
            };
            if rest.has(Causes::INPUT) {
                self.memory.settle(&shared.memory);
                let slow_ms = self.pace.settle(shared.settings().limits.commands_per_minute, shared.now_ms());
                if slow_ms > 0 {
                    return self.pause(slow_ms, desk);
                }
                if self.may_read || self.input.has_compressed() {
                    match self.fill(desk, scratch) {
                        Filled::Some => continue,
                        Filled::Nothing => {}
                        Filled::Ended => {
                            if self.input.ended {
                                return Outcome::End;
                            }
                            self.input.ended = true;
                            continue;
                        }
                    }
                }
                if self.input.ended {
                    return Outcome::End;
                }
                match self.flush_prepared(desk) {
                    Ok(Flushed::All) => return self.park_kept(desk, rest),
                    Ok(Flushed::Held(ticket)) => {
                        self.wake_for(ticket, slot, shared);
                        keeping::note_whole(shared, slot, self.generation);
                        rest = rest | Causes::COMMIT;
                    }
                    Ok(Flushed::Blocked) => {
                        shared.metrics().count(Tally::OutputBlocked);
                        return self.park(desk, rest | Causes::OUTPUT);
                    }
                    Err(error) => {
                        self.report_cut_short(&error);
                        return Outcome::End;
                    }
                }
            }
            return self.park(desk, rest);
        }
        Outcome::Requeue
    }

    /// A worker takes the session.
    pub(crate) fn begin_turn(&mut self, now: Instant, unix_ms: u64) {
        self.timer.begin_turn(now, unix_ms);
    }

    /// The worker is done with the session.
    pub(crate) fn end_turn(&mut self, now: Instant, shared: &Shared) {
        self.timer.end_turn(now, shared.metrics());
    }

    /// What is kept of the session.
    pub(crate) fn keeping(&mut self) -> &mut Keeping {
        &mut self.keeping
    }

    /// Sends what there is to send.
    fn send(&mut self, shared: &Shared, slot: SlotNumber) -> std::io::Result<Flushed> {
        if !self.output.is_empty() {
            keeping::note_answer(shared, slot, self.generation);
        }
        self.flush(shared)
    }

    /// The same, when nothing more is to be done until the peer says more: writes before what another handler needs to go on then, so that the
    /// session is that from the moment on in which everything is sent.
    fn flush_prepared(&mut self, desk: Desk<'_>) -> std::io::Result<Flushed> {
        let state = (&self.input, self.output.is_compressed());
        self.keeping.prepare(desk, self.generation, state, &self.conversation);
        let flushed = self.send(desk.shared, desk.slot)?;
        if flushed == Flushed::All {
            self.keeping.settle(desk, self.generation, self.output.is_compressed());
        }
        Ok(flushed)
    }

    /// The conversation, for a last word when the session ends.
    pub(crate) fn conversation(&mut self) -> &mut Conversation {
        &mut self.conversation
    }

    /// Adds to the cell what came and went since the last time.
    fn report_traffic(&mut self, slot: SlotNumber, shared: &Shared) {
        if let Some(cell) = shared.cell(slot, self.generation) {
            let received_octets = std::mem::take(&mut self.received_octets);
            let sent_octets = self.output.take_sent_octets();
            cell.add_bytes(received_octets, sent_octets, self.timer.unix_ms());
            let row = shared.table.handler(shared.handler);
            row.count(Counter::BytesIn, received_octets);
            row.count(Counter::BytesOut, sent_octets);
        }
    }

    /// Closes the connection for good.
    pub(crate) fn hang_up(&self) {
        self.socket.shut_down();
    }

    /// Tells the log of a reply that ends because of the disk, not of the peer.
    fn report_cut_short(&self, error: &std::io::Error) {
        if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::Other) {
            log::error!("reply cut short", peer = self.peer.endpoint, why = error);
        }
    }

    /// Lets go of replies whose changes are durable by now. Where one is not, the session ends with what is said instead.
    fn release(&mut self, shared: &Shared) {
        if let Err(error) = self.output.release(|ticket| shared.store.ticket_state(ticket)) {
            log::error!("commit failed", why = error);
            self.conversation.give_up(&mut self.output);
            self.closing = true;
        }
        self.timer.release(|ticket| shared.store.ticket_state(ticket).is_some(), shared.metrics());
    }

    /// Has the session woken when `ticket` is settled.
    fn wake_for(&mut self, ticket: Ticket, slot: SlotNumber, shared: &Shared) {
        if self.told_of != Some(ticket) {
            self.told_of = Some(ticket);
            shared.commits.wake_when_settled(shared, ticket, slot);
        }
    }

    /// Sends what earlier commands of a pipeline answered, before the session waits for something slow.
    fn send_early(&mut self, shared: &Shared, slot: SlotNumber) -> bool {
        let flushed = self.send(shared, slot);
        if matches!(flushed, Ok(Flushed::All | Flushed::Held(_))) {
            keeping::note_whole(shared, slot, self.generation);
        }
        flushed.inspect_err(|error| self.report_cut_short(error)).is_ok()
    }

    /// Stops what takes too much memory. False if there is nothing left to stop.
    fn stop_for_memory(&mut self) -> bool {
        if self.closing {
            return false;
        }
        log::warning!("too much memory", peer = self.peer.endpoint, octets = self.memory.octets());
        self.closing = self.conversation.stop_for_memory(&mut self.output) == Stopped::Closes;
        true
    }

    /// Does nothing for a time, but send what is there.
    fn pause(&mut self, pause_ms: u64, desk: Desk<'_>) -> Outcome {
        let Desk { shared, slot, .. } = desk;
        match self.flush_prepared(desk) {
            Ok(Flushed::All) => {}
            Ok(_) => self.keeping.forget(desk, self.generation, self.output.is_compressed()),
            Err(error) => {
                self.report_cut_short(&error);
                return Outcome::End;
            }
        }
        self.report_traffic(slot, shared);
        shared.metrics().count(Tally::LimitedCommands);
        self.paused_until_ms = shared.now_ms() + pause_ms;
        Outcome::Park(Causes::default(), self.paused_until_ms)
    }

    fn park(&mut self, desk: Desk<'_>, waits_for: Causes) -> Outcome {
        self.report_traffic(desk.slot, desk.shared);
        self.keeping.forget(desk, self.generation, self.output.is_compressed());
        self.wait(desk, waits_for)
    }

    /// Parks a session that is between two commands, with everything sent.
    fn park_kept(&mut self, desk: Desk<'_>, waits_for: Causes) -> Outcome {
        let Desk { shared, slot, .. } = desk;
        self.report_traffic(slot, shared);
        if self.keeping.is_called_away(shared) && self.leave.is_none() {
            match self.keeping.kept() {
                Kept::Yes => return Outcome::Release,
                Kept::Later => {}
                Kept::Never(why) => {
                    log::warning!("session not moved", peer = self.peer.endpoint, why = why);
                    self.leave = Some(format!("The session is to go elsewhere, and {why}").into());
                    return Outcome::Requeue;
                }
            }
        }
        self.wait(desk, waits_for)
    }

    fn wait(&mut self, desk: Desk<'_>, waits_for: Causes) -> Outcome {
        let Desk { shared, .. } = desk;
        self.waits_for = waits_for;
        if waits_for.has(Causes::COMMIT | Causes::HELPER) {
            return Outcome::Park(waits_for, NEVER_MS);
        }
        let now_ms = shared.now_ms();
        self.idle_deadline_ms = match self.conversation.patience(shared) {
            Patience::Silence(limit) => now_ms + limit.as_millis() as u64,
            Patience::Login(limit) => self.connected_ms + limit.as_millis() as u64,
        };
        Outcome::Park(waits_for, self.idle_deadline_ms.min(now_ms + REST_AFTER_MS))
    }

    /// Gives back what a silent session does not need.
    fn rest(&mut self) {
        self.timer.rest();
        self.input.shrink();
        self.output.shrink();
        self.conversation.rest();
    }

    fn fill(&mut self, desk: Desk<'_>, scratch: &mut [u8]) -> Filled {
        let shared = desk.shared;
        if self.input.unread().len() >= INPUT_LIMIT_OCTETS {
            log::error!(
                "input not understood",
                peer = self.peer.endpoint,
                octets = self.input.unread().len()
            );
            return Filled::Ended;
        }
        loop {
            if self.input.has_compressed() {
                let before = self.input.unread().len();
                match self.input.inflate() {
                    Ok(true) => {
                        desk.row.note_input(self.input.unread());
                        self.trace_input(before, shared);
                        return Filled::Some;
                    }
                    Ok(false) => {}
                    Err(error) => {
                        log::warning!("input not understood", peer = self.peer.endpoint, why = error);
                        self.input.ended = true;
                        return Filled::Ended;
                    }
                }
            }
            if !self.may_read {
                return Filled::Nothing;
            }
            keeping::note_reading(desk, self.generation);
            let came = self.socket.read(scratch);
            // What came compressed is noted when it is not any more; until then nobody else could make sense of it.
            let is_compressed = self.output.is_compressed() || self.input.has_compressed();
            if !(is_compressed && matches!(came, Ok(1..))) {
                let octets = came.as_ref().map_or(0, |count| *count);
                keeping::note_read(desk, self.generation, &scratch[..octets]);
            }
            return match came {
                Ok(0) => Filled::Ended,
                Ok(count) => {
                    // A short read empties a stream socket; what comes later is a new event (epoll(7), edge-triggered).
                    self.may_read = self.hung_up || count == scratch.len();
                    self.received_octets += count as u64;
                    let before = self.input.unread().len();
                    self.input.extend(&scratch[..count]);
                    self.trace_input(before, shared);
                    if self.input.has_compressed() {
                        continue;
                    }
                    Filled::Some
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.may_read = false;
                    Filled::Nothing
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => Filled::Ended,
            };
        }
    }
}

enum Filled {
    Some,
    Nothing,
    Ended,
}
