//! Settings as text: the commented file of defaults, and the file that says what is in force.

use super::Settings;

/// What `lode config default` prints. It parses to [`Settings::default`], which a test holds it to.
const DEFAULT_TEXT: &str = r#"# Settings of Lode. Every option is shown with its default; what is left out keeps it.
# `lode config check` looks for mistakes, `lode config show` prints what is in force.

[store]
# The folder of the store. It must be on a local file system.
path = "/var/lib/lode"
# For so many days what was expunged or deleted keeps its space and can be brought back (`lode undelete`, `lode restore --at`).
# 0 gives the space back soon.
history_days = 0
# A message that came before on the same day, octet for octet, is counted and not stored again. `lode gc --dry-run` says what that saves.
count_equal_messages = true
# After so many days the journals of a day are removed, once what they say and is still so was written down anew, shorter. They are compressed when
# their day is over. 0 keeps all of them.
journal_days = 0

[runtime]
# The folder of the control socket and the pid file.
dir = "/run/lode"

[listen]
# Addresses as "host:port"; lmtp may also have "unix:/path". An empty list turns a protocol off. imaps and pop3s need [tls].
# For IPv6 add "[::]:143" and so on.
imap = ["0.0.0.0:143"]
imaps = []
pop3 = ["0.0.0.0:110"]
pop3s = []
lmtp = ["unix:/run/lode/lmtp"]

[tls]
# Certificate (with those that vouch for it) and key, PEM files that the daemons' user can read. With them imaps and pop3s above can be listened on, and
# STARTTLS is offered on the other ports. "" is no TLS. The files are read again when they change.
certificate = ""
key = ""
# The least version, "1.2" or "1.3".
minimum = "1.2"
# Certificates for further names, as many as there are:
# [[tls.more]]
# certificate = "/etc/lode/mail.example.net.pem"
# key = "/etc/lode/mail.example.net.key"

[handlers]
# The most handler processes (1 to 64), and the sessions each may hold.
max = 16
sessions = 1000

[auth]
# One user a line, "name:{SCHEME}hash"; `lode user add` writes it.
users = "/etc/lode/users"
# How long a password that was found right is remembered, so that clients that reconnect often cost little.
# 0 computes the hash at every login.
remember_seconds = 3600
# Passwords that are not under TLS are taken from this machine only ("loopback") or from everywhere ("always").
plaintext = "loopback"
# Users as whom submission servers log in: they may read what users let them send by URL (IMAP URLAUTH, `submit+`).
submitters = []
# Users who may set quota and the server's own annotations over IMAP (SETQUOTA, SETMETADATA).
administrators = []
# How users reach an administrator, a URI that IMAP clients may show, for example "mailto:postmaster@example.org".
administrator_url = ""

[auth.referrals]
# Users whose mail is on another server. Who logs in as one of them is told where it is (IMAP LOGIN-REFERRALS), for example
# ann = "imap.example.org"

[lmtp]
# Domains mail is taken for, for example ["example.org", "example.net"]. Empty takes any domain.
# A recipient is the user with the full address as name, else the user with the local part as name.
domains = []
# Mail for "user+folder" goes to that folder of the user's, if there is one ("existing"), whether there is one or not ("create"),
# or to INBOX as if nothing were behind the delimiter ("ignore"). Each character of the delimiter is one; "" is none.
delimiter = "+"
folders = "existing"
# A file in the format of /etc/aliases: "postmaster: ann", "team: ann, bob@example.org", "@example.org: ann". Targets are users and aliases
# of this file. It is read again when it changes. "" is no file.
aliases = ""
# The address that gets mail for users who do not exist. "" refuses such mail.
catch_all = ""
# Mail for who has as much as [quota] allows is refused for the time being ("defer", 452 4.2.2), or goes back to its sender
# ("reject", 552 5.2.2).
over_quota = "defer"
# Peers that may say from where mail came to them (XCLIENT, XFORWARD), for the log and the Received line: addresses, networks like
# "10.0.0.0/8", or "unix".
trusted_peers = []

[pop3]
# The least time between two logins of a user, in seconds: who comes back sooner is told to wait. 0 does without.
login_delay_seconds = 0
# What clients are told of how long mail is kept: "never" removed, or removed after so many days. Lode removes none by itself: a
# number is for who runs a job that does.
expire = "never"

[limits]
# A session that is silent for so long is ended.
imap_idle_seconds = 1800
pop3_idle_seconds = 600
lmtp_idle_seconds = 300
# A connection that has not logged in by then is ended.
login_seconds = 60
# The largest message that is taken, in octets (50 MiB; less than 4 GiB).
message_bytes = 52428800
# Connections that may wait for room when every handler is full.
queue = 1024
# What running commands get to finish when the daemons are stopped.
grace_seconds = 30
# How long a handler may show no sign of life, though it waits neither for the disk nor for a processor, before it is killed and its
# sessions go on in another. 0 waits for ever.
hang_seconds = 4
# How long handlers whose router died keep their sessions and wait for the next one. 0 ends them at once.
orphan_seconds = 60
# Connections that one address may have at a time, of all protocols together (IPv6: a network of 64 bits). 0 is any number.
connections_per_address = 500
# Peers whose addresses are not counted, neither connections nor failed logins: proxies and webmail, behind which many
# users are, and submission servers. Addresses, networks like "10.0.0.0/8", or "unix". Those of [lmtp] trusted_peers need not be here for LMTP.
exempt = ["127.0.0.0/8", "::1", "unix"]
# Sessions that one user may have at a time in each protocol. 0 is any number. [auth] submitters may have any.
connections_per_user = 50
# Commands that a session may give in a minute before it is slowed to that rate. 0 does not slow.
commands_per_minute = 100000
# Failed logins of one user from one address, and of all users from one address, before further ones are refused unlooked-at. Before that,
# answers come ever later. A password that was tried just before counts once. 0 refuses none.
failed_logins = 20
failed_logins_per_address = 200
# After so long failed logins are forgotten.
failed_logins_seconds = 600
# The memory that one session may hold: more ends what it asked for, or the session. 1M to 1024G, or "unlimited".
session_memory = "256M"
# The memory that the sessions of one handler may hold together: above that, the biggest of them is ended.
handler_memory = "2G"

[quota]
# How much mail a user may have for whom `lode quota set` has set nothing else: octets as 500M, 2G …, messages
# and mailboxes as numbers.
# Above that, mail is refused for the time being and cannot be copied; what is there stays.
octets = "unlimited"
messages = "unlimited"
mailboxes = "unlimited"

[metrics]
# Figures for a Prometheus server at /metrics, and how the daemons are at /healthz and /readyz, over HTTP and without a password.
# "" turns them off.
listen = "127.0.0.1:9143"

[log]
# "text": "level event key=value …" on standard error; "json": an object a line; "journald": systemd's journal, with a field for
# each key; "auto": the journal if standard error leads there, else text.
format = "auto"
# What is logged: "error", "warning", "info" or "debug" and what matters more. `lode log-level` changes it until the settings are read again.
level = "info"

[log.targets]
# Other levels for single parts and what is below them, for example
# "imap::login" = "debug"
# audit = "warning"

[run]
# The user to become after binding the sockets, when started as root. Empty stays as started.
user = ""
"#;

impl Settings {
    /// A commented file that sets every option to its default.
    pub fn default_text() -> &'static str {
        DEFAULT_TEXT
    }

    /// These settings as a file, without comments; [`Settings::parse`] gives them back. Paths that are not UTF-8,
    /// which [`Settings::check`] refuses, make this an empty text.
    pub fn to_text(&self) -> String {
        toml::to_string(self).unwrap_or_default()
    }
}
