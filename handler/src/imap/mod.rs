//! An IMAP session (RFC 3501, RFC 9051): its state, and which command goes where. One file a command or family of commands.
//!
//! A command that cannot end at once leaves its state in [`Running`]; the next turn goes on with it. The order of replies is the
//! order of commands: nothing is read while a command runs. `pipeline.rs` has the exception: a command whose change is made and only
//! not durable yet does not keep others waiting.

mod acl;
mod annotate;
mod append;
mod capability;
mod class;
mod compress;
mod content;
mod copy;
mod enabled;
mod ending;
mod expunge;
#[cfg(feature = "fault-injection")]
mod fault;
mod fetch;
mod flags;
mod idle;
mod in_progress;
mod list;
mod list_others;
mod login;
mod mailboxes;
mod message_limit;
mod metadata;
mod modseq;
mod names;
mod notify;
mod object_id;
mod parked;
mod pipeline;
mod quota;
mod refusal;
mod search;
mod select;
mod selected;
mod sort;
mod start_tls;
mod status;
mod thread;
mod too_much;
mod uid_batches;
mod unauthenticate;
mod untagged;
mod url;
mod urlauth;

pub(crate) use self::names::below_other_users;
pub(crate) use self::parked::Parked;
use protocol::imap::command::{Command, Tag, Tagged};
use protocol::imap::reply::code::Code;
use protocol::imap::reply::status::{self as reply, Condition};
use protocol::imap::reply::{mailbox, session};
use protocol::imap::{Decoded, Decoder, Limits};
use store::{StoreError, Ticket, UserId};

use self::append::Append;
use self::class::class_of;
use self::enabled::Enabled;
use self::ending::{Ending, Tell};
use self::fetch::Fetch;
use self::idle::Idle;
use self::list::List;
use self::login::Login;
use self::metadata::Watch;
use self::notify::{Notify, Setup};
use self::search::{MultiSearch, Search};
use self::selected::Selected;
use self::sort::Sort;
use self::thread::Thread;
use self::urlauth::UrlFetch;
use crate::conversation::{Handshake, Next, Turn};
use crate::log;
use crate::shared::Shared;
use crate::slots::Causes;

/// Commands that were not understood, one after the other, before a peer that has not logged in is cut off.
const BAD_COMMANDS_MAX: u32 = 10;
/// The same for one that has. It is no client of IMAP, or it has lost count of a literal.
const BAD_COMMANDS_OF_USERS_MAX: u32 = 100;

/// Who is logged in.
pub(crate) struct User {
    /// The number in the store.
    pub(crate) id: UserId,
    /// The name.
    pub(crate) name: String,
}

/// The states of RFC 3501, 3.
enum Stage {
    /// The greeting was not sent yet.
    New,
    /// Not authenticated.
    NotAuthenticated,
    /// Authenticated.
    Authenticated(User),
    /// Selected.
    Selected(User, Box<Selected>),
}

/// What is being done.
#[derive(Default)]
enum Running {
    /// Nothing: the next command is awaited.
    #[default]
    Nothing,
    /// LOGIN or AUTHENTICATE.
    Login(Box<Login>),
    /// APPEND.
    Append(Box<Append>),
    /// FETCH, or the replies of STORE.
    Fetch(Box<Fetch>),
    /// SEARCH.
    Search(Box<Search>),
    /// SORT.
    Sort(Box<Sort>),
    /// THREAD.
    Thread(Box<Thread>),
    /// ESEARCH.
    MultiSearch(Box<MultiSearch>),
    /// LIST or LSUB.
    List(Box<List>),
    /// URLFETCH.
    UrlFetch(Box<UrlFetch>),
    /// STARTTLS.
    Secure(Handshake),
    /// IDLE.
    Idle(Box<Idle>),
    /// NOTIFY SET.
    Notify(Box<Setup>),
    /// The change of a command is made and not durable yet.
    Commit(Tag, Ticket, Box<Running>),
    /// Everything is done but the last replies.
    Ending(Box<Ending>),
}

/// What a step of a command comes to.
enum Flow {
    /// Go on.
    Continue,
    /// Wait.
    Wait(Next),
}

/// An IMAP session.
pub(crate) struct ImapSession {
    decoder: Decoder,
    stage: Stage,
    /// Changed by [`ImapSession::enable_extension`] alone.
    enabled: Enabled,
    running: Running,
    /// What is known of METADATA, by who has enabled to be told of changes.
    metadata_watch: Option<Box<Watch>>,
    /// What NOTIFY asked for, since it was used first.
    notify: Option<Box<Notify>>,
    /// The NOTIFY command that is about to be done, as it came.
    notify_command: Vec<u8>,
    failed_logins: u32,
    bad_commands: u32,
}

impl ImapSession {
    /// A session that has not greeted its peer.
    pub(crate) fn new() -> ImapSession {
        ImapSession {
            decoder: Decoder::new(Limits::BEFORE_LOGIN),
            stage: Stage::New,
            enabled: Enabled::default(),
            running: Running::Nothing,
            metadata_watch: None,
            notify: None,
            notify_command: Vec::new(),
            failed_logins: 0,
            bad_commands: 0,
        }
    }

    /// Whether a user is logged in.
    pub(crate) fn is_authenticated(&self) -> bool {
        matches!(self.stage, Stage::Authenticated(_) | Stage::Selected(..))
    }

    /// Lets go of what a silent session does not need.
    pub(crate) fn rest(&mut self) {
        if let Stage::Selected(_, selected) = &mut self.stage {
            selected.rest();
        }
    }

    /// Does what can be done now.
    pub(crate) fn run(&mut self, turn: &mut Turn<'_>) -> Next {
        if matches!(self.stage, Stage::New) {
            let names = capability::names(turn, false);
            reply::untagged(turn.output.bytes(), Condition::Ok, Some(Code::Capability(&names)), "Lode ready");
            self.stage = Stage::NotAuthenticated;
        }
        if turn.causes.has(Causes::TIME) {
            return goodbye(turn, "Silent for too long");
        }
        loop {
            if turn.output.is_full() {
                return Next::Output;
            }
            let flow = match std::mem::take(&mut self.running) {
                Running::Nothing => self.next_command(turn),
                Running::Login(login) => self.go_on_login(login, turn),
                Running::Append(append) => self.go_on_append(append, turn),
                Running::Fetch(fetch) => self.go_on_fetch(fetch, turn),
                Running::Search(search) => self.go_on_search(search, turn),
                Running::Sort(sort) => self.go_on_sort(sort, turn),
                Running::Thread(thread) => self.go_on_thread(thread, turn),
                Running::MultiSearch(search) => self.go_on_multi_search(search, turn),
                Running::List(list) => self.go_on_list(list, turn),
                Running::UrlFetch(fetch) => self.go_on_url_fetch(fetch, turn),
                Running::Secure(handshake) => self.go_on_start_tls(handshake, turn),
                Running::Idle(idle) => self.go_on_idle(idle, turn),
                Running::Notify(setup) => self.go_on_notify(setup, turn),
                Running::Commit(tag, ticket, then) => self.go_on_commit(tag, ticket, then, turn),
                Running::Ending(ending) => self.go_on_ending(ending, turn),
            };
            if let Flow::Wait(next) = flow {
                return next;
            }
        }
    }

    fn next_command(&mut self, turn: &mut Turn<'_>) -> Flow {
        turn.end_command();
        if let Some(why) = turn.farewell() {
            return Flow::Wait(goodbye(turn, &why));
        }
        self.apply_notify();
        // What was begun to be told comes before what the next command says.
        if self.notify.as_ref().is_some_and(|notify| notify.is_telling())
            && let Some(next) = self.tell_between_commands(turn)
        {
            return Flow::Wait(next);
        }
        store::reading::forget();
        #[cfg(feature = "fault-injection")]
        if let Some(flow) = self.begin_fault(turn) {
            return flow;
        }
        let (consumed, decoded) = self.decoder.decode(turn.input.unread());
        if let Decoded::Command(Tagged { command: Command::Notify(_), .. }) = &decoded
            && consumed <= notify::COMMAND_OCTETS_MAX
        {
            self.notify_command = turn.input.unread()[..consumed].to_vec();
        }
        turn.input.consume(consumed);
        match decoded {
            Decoded::NeedMore => {
                if let Some(cell) = turn.cell() {
                    cell.end_command(turn.timer.unix_ms());
                }
                let next = self.tell_between_commands(turn);
                let is_notifying = self.notify.as_ref().is_some_and(|notify| notify.is_active());
                let wait = if is_notifying { Next::InputOrChange } else { Next::Input };
                return Flow::Wait(next.unwrap_or(wait));
            }
            Decoded::Continue => reply::continuation(turn.output.bytes(), "Ready for the literal"),
            Decoded::Command(tagged) => {
                self.bad_commands = 0;
                begin_in_table(turn, command_name(&tagged.command));
                turn.begin_command(class_of(&tagged.command));
                return self.begin(tagged, turn);
            }
            Decoded::AppendBegin(begin) => {
                self.bad_commands = 0;
                return self.begin_append(begin, turn);
            }
            // Only an APPEND that is running goes on or ends.
            Decoded::AppendPiece(_) | Decoded::AppendEnd => {}
            Decoded::Bad(refusal) => {
                refusal.write(turn.output.bytes());
                turn.pace.count();
                self.bad_commands += 1;
                let most = if self.is_authenticated() { BAD_COMMANDS_OF_USERS_MAX } else { BAD_COMMANDS_MAX };
                if self.bad_commands > most {
                    return Flow::Wait(goodbye(turn, "Too many commands that are none"));
                }
            }
            Decoded::Fatal(text) => return Flow::Wait(goodbye(turn, text)),
        }
        Flow::Continue
    }

    fn begin(&mut self, Tagged { tag, command }: Tagged, turn: &mut Turn<'_>) -> Flow {
        // Who leaves the mailbox need not be told that it may not be read any more.
        let leaves =
            matches!(command, Command::Select(_) | Command::Examine(_) | Command::Unselect | Command::Logout);
        if !leaves && let Err(next) = self.review_rights(turn) {
            return Flow::Wait(next);
        }
        match command {
            Command::Capability => {
                let names = capability::names(turn, self.is_authenticated());
                session::capability(turn.output.bytes(), &names);
                self.end(turn, tag, Tell::Everything, "CAPABILITY completed")
            }
            Command::Noop | Command::Check if self.is_ready_for(&command) => {
                self.end(turn, tag, Tell::Everything, "Completed")
            }
            Command::Logout => {
                reply::untagged(turn.output.bytes(), Condition::Bye, None, "Logging out");
                reply::tagged(turn.output.bytes(), &tag, Condition::Ok, None, "LOGOUT completed");
                if let Stage::Authenticated(user) | Stage::Selected(user, _) = &self.stage {
                    turn.shared.metrics().count(shm_abi::Tally::ImapLogout);
                    log::audit!("logout", protocol = "imap", user = user.name, peer = turn.peer.endpoint);
                }
                Flow::Wait(Next::Close)
            }
            Command::Id(parameters) => {
                log_client(&parameters, turn);
                let version = Some(env!("CARGO_PKG_VERSION"));
                session::id(turn.output.bytes(), &[("name", Some("Lode")), ("version", version)]);
                self.end(turn, tag, Tell::Everything, "ID completed")
            }
            Command::StartTls => self.start_tls(&tag, turn),
            Command::Login(_) | Command::Authenticate(_) if self.is_authenticated() => {
                self.refuse(turn, &tag, Condition::Bad, None, "Already logged in")
            }
            Command::Login(arguments) => self.begin_login(tag, arguments, turn),
            Command::Authenticate(arguments) => self.begin_authenticate(tag, arguments, turn),
            command if !self.is_authenticated() => {
                let text = format!("{} needs a login first", command_name(&command));
                self.refuse(turn, &tag, Condition::Bad, None, &text)
            }
            command if self.enabled.uid_only() && command.uses_message_numbers() => {
                let text = "Message numbers are not used once UIDONLY is enabled";
                self.refuse(turn, &tag, Condition::Bad, Some(Code::UidRequired), text)
            }
            Command::Enable(arguments) => self.enable(tag, &arguments, turn),
            Command::Unauthenticate => self.unauthenticate(&tag, turn),
            Command::Compress(algorithm) => self.compress(&tag, &algorithm, turn),
            Command::Namespace => {
                mailbox::namespace(turn.output.bytes(), names::OTHER_USERS_PREFIX, self.enabled.names());
                self.end(turn, tag, Tell::Everything, "NAMESPACE completed")
            }
            Command::Select(arguments) => self.select(tag, arguments, selected::Access::ReadWrite, turn),
            Command::Examine(arguments) => self.select(tag, arguments, selected::Access::ReadOnly, turn),
            Command::Create(arguments) => self.create(tag, &arguments, turn),
            Command::Delete(name) => self.delete(tag, &name, turn),
            Command::Rename(arguments) => self.rename(tag, &arguments, turn),
            Command::Subscribe(name) => self.subscribe(tag, &name, true, turn),
            Command::Unsubscribe(name) => self.subscribe(tag, &name, false, turn),
            Command::List(arguments) => self.begin_list(tag, &arguments, turn),
            Command::Lsub(arguments) => self.begin_lsub(tag, &arguments, turn),
            Command::Acl(command) => self.acl(tag, &command, turn),
            Command::Quota(command) => self.quota(tag, &command, turn),
            Command::Metadata(command) => self.metadata(tag, command, turn),
            Command::Status(arguments) => self.status(tag, &arguments, turn),
            Command::GenUrlAuth(arguments) => self.generate_urls(tag, arguments, turn),
            Command::UrlFetch(arguments) => self.begin_url_fetch(tag, arguments),
            Command::ResetKey(arguments) => self.reset_key(tag, &arguments, turn),
            Command::Idle => self.begin_idle(tag, turn),
            Command::Notify(arguments) => self.notify(tag, arguments, turn),
            Command::MultiSearch(arguments) => self.begin_multi_search(tag, arguments, turn),
            command if !matches!(self.stage, Stage::Selected(..)) => {
                let text = format!("{} needs a selected mailbox", command_name(&command));
                self.refuse(turn, &tag, Condition::Bad, None, &text)
            }
            Command::Close => self.close(tag, turn),
            Command::Unselect => self.unselect(tag, turn),
            Command::Expunge(uids) => self.expunge(tag, uids.as_ref(), turn),
            Command::Search(arguments) => self.begin_search(tag, &arguments, turn),
            Command::Sort(arguments) => self.begin_sort(tag, arguments, turn),
            Command::Thread(arguments) => self.begin_thread(tag, &arguments, turn),
            Command::CancelUpdate(arguments) => self.cancel_update(tag, &arguments, turn),
            Command::UidBatches(arguments) => self.uid_batches(tag, arguments, turn),
            Command::Fetch(arguments) => self.begin_fetch(tag, arguments, turn),
            Command::Store(arguments) => self.store(tag, arguments, turn),
            Command::Copy(arguments) => self.copy(tag, &arguments, copy::Kind::Copy, turn),
            Command::Move(arguments) => self.copy(tag, &arguments, copy::Kind::Move, turn),
            // The guards above have taken these.
            Command::Noop | Command::Check => {
                self.refuse(turn, &tag, Condition::Bad, None, "Not in this state")
            }
        }
    }

    /// NOOP goes in every state, CHECK with a mailbox selected.
    fn is_ready_for(&self, command: &Command) -> bool {
        *command == Command::Noop || matches!(self.stage, Stage::Selected(..))
    }

    /// Waits until `ticket` is durable, then ends the command.
    fn end_after(&mut self, tag: Tag, ticket: Ticket, ending: Ending) -> Flow {
        self.running = Running::Commit(tag, ticket, Box::new(Running::Ending(Box::new(ending))));
        Flow::Continue
    }

    fn user(&self) -> Option<&User> {
        match &self.stage {
            Stage::Authenticated(user) | Stage::Selected(user, _) => Some(user),
            Stage::New | Stage::NotAuthenticated => None,
        }
    }

    fn user_id(&self) -> Result<UserId, StoreError> {
        self.user().map(|user| user.id).ok_or(StoreError::NotFound("user"))
    }
}

/// Says BYE.
fn goodbye(turn: &mut Turn<'_>, text: &str) -> Next {
    reply::untagged(turn.output.bytes(), Condition::Bye, None, text);
    Next::Close
}

fn begin_in_table(turn: &Turn<'_>, name: &str) {
    turn.pace.count();
    if let Some(cell) = turn.cell() {
        cell.begin_command(name, turn.timer.unix_ms());
    }
    count_command(turn.shared);
}

fn count_command(shared: &Shared) {
    shared.table.handler(shared.handler).count(shm_abi::Counter::Commands, 1);
}

fn log_client(parameters: &protocol::imap::extension::id::IdParameters, turn: &Turn<'_>) {
    let value = |wanted: &[u8]| {
        let field = parameters.0.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        field.and_then(|(_, value)| value.as_deref()).map(String::from_utf8_lossy).unwrap_or_default()
    };
    log::info!("client", peer = turn.peer.endpoint, name = value(b"name"), version = value(b"version"));
}

fn command_name(command: &Command) -> &'static str {
    match command {
        Command::Capability => "CAPABILITY",
        Command::Noop => "NOOP",
        Command::Logout => "LOGOUT",
        Command::StartTls => "STARTTLS",
        Command::Authenticate(_) => "AUTHENTICATE",
        Command::Login(_) => "LOGIN",
        Command::Id(_) => "ID",
        Command::Enable(_) => "ENABLE",
        Command::Namespace => "NAMESPACE",
        Command::Unauthenticate => "UNAUTHENTICATE",
        Command::Compress(_) => "COMPRESS",
        Command::Select(_) => "SELECT",
        Command::Examine(_) => "EXAMINE",
        Command::Create(_) => "CREATE",
        Command::Delete(_) => "DELETE",
        Command::Rename(_) => "RENAME",
        Command::Subscribe(_) => "SUBSCRIBE",
        Command::Unsubscribe(_) => "UNSUBSCRIBE",
        Command::List(_) => "LIST",
        Command::Lsub(_) => "LSUB",
        Command::Status(_) => "STATUS",
        Command::Acl(command) => command.name(),
        Command::Metadata(command) => command.name(),
        Command::Quota(command) => command.name(),
        Command::Check => "CHECK",
        Command::Close => "CLOSE",
        Command::Unselect => "UNSELECT",
        Command::Expunge(_) => "EXPUNGE",
        Command::GenUrlAuth(_) => "GENURLAUTH",
        Command::UrlFetch(_) => "URLFETCH",
        Command::ResetKey(_) => "RESETKEY",
        Command::Idle => "IDLE",
        Command::Notify(_) => "NOTIFY",
        Command::Search(_) => "SEARCH",
        Command::Sort(_) => "SORT",
        Command::Thread(_) => "THREAD",
        Command::MultiSearch(_) => "ESEARCH",
        Command::CancelUpdate(_) => "CANCELUPDATE",
        Command::UidBatches(_) => "UIDBATCHES",
        Command::Fetch(_) => "FETCH",
        Command::Store(_) => "STORE",
        Command::Copy(_) => "COPY",
        Command::Move(_) => "MOVE",
    }
}
