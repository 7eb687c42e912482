//! Everything that is counted or measured, with the name under which it is shown: family, labels, meaning.
//!
//! To add one: a line in `tallies!`, `gauges!` or `histograms!`, and, if its family is new, one in [`FAMILIES`]. The rest
//! (the metrics endpoint, its test) goes by these tables. A family's name is without the `_total` of a counter.

use super::Scale;

/// A label and its value.
pub type Label = (&'static str, &'static str);

/// What kind of numbers a family has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Values in buckets.
    Histogram,
}

/// A family of numbers that differ by their labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// What kind of numbers it has.
    pub kind: Kind,
    /// The unit, which the name ends with; empty if there is none.
    pub unit: &'static str,
    /// What it means.
    pub help: &'static str,
}

const fn counter(name: &'static str, help: &'static str) -> Family {
    Family { name, kind: Kind::Counter, unit: "", help }
}

const fn gauge(name: &'static str, unit: &'static str, help: &'static str) -> Family {
    Family { name, kind: Kind::Gauge, unit, help }
}

const fn histogram(name: &'static str, unit: &'static str, help: &'static str) -> Family {
    Family { name, kind: Kind::Histogram, unit, help }
}

/// All families of what is in the rows.
pub const FAMILIES: &[Family] = &[
    counter("lode_logins", "Logins that were asked for, by protocol and result."),
    counter("lode_logouts", "Sessions of users that ended by a goodbye of theirs, by protocol."),
    counter("lode_deliveries", "Recipients that LMTP answered for, by result and reason."),
    counter("lode_delivered_messages", "Messages that LMTP has delivered to at least one recipient."),
    Family {
        name: "lode_delivered_bytes",
        kind: Kind::Counter,
        unit: "bytes",
        help: "Octets of the messages that LMTP has delivered.",
    },
    counter("lode_expunged_messages", "Messages that IMAP and POP3 sessions have expunged."),
    counter("lode_output_blocked", "Times that a session had to wait for its client to read."),
    counter("lode_session_crashes", "Sessions that ended by a crash of their own, by kind."),
    counter("lode_handler_deaths", "Handlers that ended without being told to, by cause."),
    counter("lode_adoptions", "Sessions of another handler that were gone on with, by result."),
    counter("lode_migrations", "Sessions that moved from one living handler to another."),
    counter("lode_kicks", "Sessions that an administrator ended."),
    counter("lode_limited", "Connections, commands and logins that a limit has refused, by limit."),
    counter("lode_log_lines_dropped", "Log lines that could not be written at once."),
    counter("lode_metrics_requests", "Requests to the metrics endpoint, by result."),
    counter("lode_syncs", "Calls of fdatasync by commits."),
    gauge("lode_run_queue_sessions", "", "Sessions that are ready and wait for a worker."),
    gauge("lode_run_queue_sessions_most", "", "The longest the run queue was within the last second."),
    gauge("lode_store_bytes", "bytes", "RFC822.SIZE of all messages of the store together."),
    gauge("lode_store_messages", "", "Messages in all mailboxes."),
    gauge("lode_store_mailboxes", "", "Mailboxes of all users."),
    gauge("lode_store_users", "", "Users that the store knows."),
    gauge("lode_store_pages", "", "Pages (days with content) of the store."),
    gauge("lode_store_journals", "", "Journals of the store."),
    gauge("lode_store_disk_bytes", "bytes", "Size of the file system that has the store."),
    gauge("lode_store_disk_free_bytes", "bytes", "Free octets of the file system that has the store."),
    gauge("lode_store_disk_free_files", "", "Files that the file system of the store can still hold."),
    gauge("lode_store_measured_timestamp_seconds", "seconds", "When the sizes of the store were looked at."),
    histogram(
        "lode_command_duration_seconds",
        "seconds",
        "From a command that was read to its last reply, durable where it changes something; by protocol and class.",
    ),
    histogram("lode_commit_wait_seconds", "seconds", "From a commit to its durability."),
    histogram("lode_sync_duration_seconds", "seconds", "Time of one fdatasync."),
    histogram("lode_tickets_per_sync", "", "Commits that became durable at one time."),
    histogram(
        "lode_run_queue_wait_seconds",
        "seconds",
        "Time from a wake-up to the worker that runs the session.",
    ),
    histogram("lode_turn_duration_seconds", "seconds", "Time that a worker runs a session at a stretch."),
];

macro_rules! listed {
    ($(#[$about:meta])* $type:ident: $($(#[$meaning:meta])* $name:ident = $family:literal $labels:expr;)*) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(usize)]
        pub enum $type { $($(#[$meaning])* $name),* }

        impl $type {
            /// All of them, in the order of their words.
            pub const ALL: &[$type] = &[$($type::$name),*];

            /// The name of its family.
            pub fn family(self) -> &'static str {
                match self { $($type::$name => $family),* }
            }

            /// What tells it from others of its family.
            pub fn labels(self) -> &'static [Label] {
                match self { $($type::$name => &$labels),* }
            }
        }
    };
}

listed! {
    /// What is counted.
    Tally:
    /// A login over IMAP.
    ImapLogin = "lode_logins" [("protocol", "imap"), ("result", "ok")];
    /// A login over IMAP that was refused.
    ImapLoginFailed = "lode_logins" [("protocol", "imap"), ("result", "failed")];
    /// A login over POP3.
    Pop3Login = "lode_logins" [("protocol", "pop3"), ("result", "ok")];
    /// A login over POP3 that was refused.
    Pop3LoginFailed = "lode_logins" [("protocol", "pop3"), ("result", "failed")];
    /// LOGOUT.
    ImapLogout = "lode_logouts" [("protocol", "imap")];
    /// QUIT.
    Pop3Logout = "lode_logouts" [("protocol", "pop3")];
    /// A recipient has the message.
    DeliveryOk = "lode_deliveries" [("result", "ok")];
    /// A recipient is over quota; the peer may try again.
    DeliveryDeferredQuota = "lode_deliveries" [("result", "deferred"), ("reason", "quota")];
    /// The disk is full.
    DeliveryDeferredSpace = "lode_deliveries" [("result", "deferred"), ("reason", "space")];
    /// Any other fault that may pass.
    DeliveryDeferredFault = "lode_deliveries" [("result", "deferred"), ("reason", "fault")];
    /// A recipient is over quota.
    DeliveryRejectedQuota = "lode_deliveries" [("result", "rejected"), ("reason", "quota")];
    /// There is no such recipient.
    DeliveryRejectedUnknown = "lode_deliveries" [("result", "rejected"), ("reason", "unknown-user")];
    /// The message is too large.
    DeliveryRejectedSize = "lode_deliveries" [("result", "rejected"), ("reason", "size")];
    /// Any other reason for good.
    DeliveryRejectedOther = "lode_deliveries" [("result", "rejected"), ("reason", "other")];
    /// A message that at least one recipient has.
    DeliveredMessages = "lode_delivered_messages" [];
    /// Its octets.
    DeliveredOctets = "lode_delivered_bytes" [];
    /// A message that a session has expunged.
    ExpungedMessages = "lode_expunged_messages" [];
    /// A session parks because its client does not read.
    OutputBlocked = "lode_output_blocked" [];
    /// A session panicked.
    CrashPanic = "lode_session_crashes" [("kind", "panic")];
    /// A session met a critical signal.
    CrashSignal = "lode_session_crashes" [("kind", "signal")];
    /// A handler was killed by a signal, or exited.
    HandlerDied = "lode_handler_deaths" [("cause", "died")];
    /// A handler was condemned by itself after a crash.
    HandlerCondemned = "lode_handler_deaths" [("cause", "condemned")];
    /// A handler did not beat any more and was killed.
    HandlerHung = "lode_handler_deaths" [("cause", "hung")];
    /// A session goes on in another handler.
    Adopted = "lode_adoptions" [("result", "resumed")];
    /// A session goes on in another handler, and its command is run again.
    AdoptedAgain = "lode_adoptions" [("result", "command-run-again")];
    /// A session could not be gone on with.
    AdoptionLost = "lode_adoptions" [("result", "lost")];
    /// A session moved.
    Migrated = "lode_migrations" [];
    /// A session was kicked.
    Kicked = "lode_kicks" [];
    /// Too many connections of an address.
    LimitedAddressConnections = "lode_limited" [("limit", "connections-per-address")];
    /// Too many connections of a user.
    LimitedUserConnections = "lode_limited" [("limit", "connections-per-user")];
    /// Too many commands in a time.
    LimitedCommands = "lode_limited" [("limit", "commands-per-time")];
    /// Too many failed logins in a time.
    LimitedLogins = "lode_limited" [("limit", "failed-logins-per-time")];
    /// A session took too much memory.
    LimitedMemory = "lode_limited" [("limit", "memory")];
    /// No descriptor was left.
    LimitedDescriptors = "lode_limited" [("limit", "descriptors")];
    /// A log line that was not written.
    LogLinesDropped = "lode_log_lines_dropped" [];
    /// The metrics endpoint answered.
    MetricsServed = "lode_metrics_requests" [("result", "ok")];
    /// The metrics endpoint refused, or cut somebody off.
    MetricsRefused = "lode_metrics_requests" [("result", "refused")];
    /// A sync.
    Syncs = "lode_syncs" [];
}

listed! {
    /// How things are.
    Gauge:
    /// Length of the run queue.
    RunQueue = "lode_run_queue_sessions" [];
    /// The most it was within a second.
    RunQueueMost = "lode_run_queue_sessions_most" [];
    /// Octets of all messages.
    StoreOctets = "lode_store_bytes" [];
    /// Messages in all mailboxes.
    StoreMessages = "lode_store_messages" [];
    /// Mailboxes.
    StoreMailboxes = "lode_store_mailboxes" [];
    /// Users.
    StoreUsers = "lode_store_users" [];
    /// Pages.
    StorePages = "lode_store_pages" [];
    /// Journals.
    StoreJournals = "lode_store_journals" [];
    /// Octets of the file system.
    DiskOctets = "lode_store_disk_bytes" [];
    /// Free octets of it.
    DiskFreeOctets = "lode_store_disk_free_bytes" [];
    /// Free files of it.
    DiskFreeFiles = "lode_store_disk_free_files" [];
    /// When the store was looked at, in seconds since 1970; 0 if it was not.
    StoreMeasured = "lode_store_measured_timestamp_seconds" [];
}

listed! {
    /// What is measured.
    Histogram:
    /// LOGIN, AUTHENTICATE, UNAUTHENTICATE.
    ImapLogin = "lode_command_duration_seconds" [("protocol", "imap"), ("class", "login")];
    /// SELECT, EXAMINE, CLOSE, UNSELECT.
    ImapSelect = "lode_command_duration_seconds" [("protocol", "imap"), ("class", "select")];
    /// FETCH, URLFETCH.
    ImapRead = "lode_command_duration_seconds" [("protocol", "imap"), ("class", "read")];
    /// SEARCH, SORT, THREAD, ESEARCH, UIDBATCHES.
    ImapSearch = "lode_command_duration_seconds" [("protocol", "imap"), ("class", "search")];
    /// STORE, EXPUNGE, COPY, MOVE.
    ImapChange = "lode_command_duration_seconds" [("protocol", "imap"), ("class", "change")];
    /// APPEND, from its last octet.
    ImapAppend = "lode_command_duration_seconds" [("protocol", "imap"), ("class", "append")];
    /// LIST, LSUB, STATUS, NAMESPACE.
    ImapList = "lode_command_duration_seconds" [("protocol", "imap"), ("class", "list")];
    /// CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE, and what changes rights, quota and metadata.
    ImapMailbox = "lode_command_duration_seconds" [("protocol", "imap"), ("class", "mailbox")];
    /// IDLE and NOTIFY, until they wait.
    ImapIdle = "lode_command_duration_seconds" [("protocol", "imap"), ("class", "idle")];
    /// All others, NOOP among them.
    ImapOther = "lode_command_duration_seconds" [("protocol", "imap"), ("class", "other")];
    /// USER, PASS, AUTH.
    Pop3Login = "lode_command_duration_seconds" [("protocol", "pop3"), ("class", "login")];
    /// RETR, TOP.
    Pop3Read = "lode_command_duration_seconds" [("protocol", "pop3"), ("class", "read")];
    /// STAT, LIST, UIDL.
    Pop3List = "lode_command_duration_seconds" [("protocol", "pop3"), ("class", "list")];
    /// DELE, RSET.
    Pop3Change = "lode_command_duration_seconds" [("protocol", "pop3"), ("class", "change")];
    /// QUIT, with what it deletes.
    Pop3Quit = "lode_command_duration_seconds" [("protocol", "pop3"), ("class", "quit")];
    /// All others.
    Pop3Other = "lode_command_duration_seconds" [("protocol", "pop3"), ("class", "other")];
    /// MAIL, RCPT.
    LmtpEnvelope = "lode_command_duration_seconds" [("protocol", "lmtp"), ("class", "envelope")];
    /// A message, from its last octet to its first answer.
    LmtpDelivery = "lode_command_duration_seconds" [("protocol", "lmtp"), ("class", "delivery")];
    /// All others.
    LmtpOther = "lode_command_duration_seconds" [("protocol", "lmtp"), ("class", "other")];
    /// From commit to durable.
    CommitWait = "lode_commit_wait_seconds" [];
    /// One sync.
    Sync = "lode_sync_duration_seconds" [];
    /// Commits that became durable at one time.
    TicketsPerSync = "lode_tickets_per_sync" [];
    /// From wake-up to worker.
    RunQueueWait = "lode_run_queue_wait_seconds" [];
    /// A worker's turn.
    Turn = "lode_turn_duration_seconds" [];
}

/// What the values of a histogram are.
pub(super) fn scale(histogram: Histogram) -> Scale {
    match histogram {
        Histogram::TicketsPerSync => Scale::Count,
        _ => Scale::Time,
    }
}

impl Histogram {
    /// What its values are.
    pub fn scale(self) -> Scale {
        scale(self)
    }
}
