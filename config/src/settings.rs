//! The settings file: one TOML table, read once at start and again on SIGHUP.
//!
//! Every option has a default, so an empty file is a valid one. A key that is not known is an error, because a
//! misspelt option that is silently ignored is worse than a refused start. [`Settings::parse`] checks the form,
//! [`Settings::check`] the meaning; [`Settings::load`] does both and is what daemons call.

mod amount;
mod check;
mod expire;
mod limits;
mod listen;
mod log;
mod metrics;
mod network;
mod text;
mod tls;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use amount::Amount;
pub use expire::Expire;
pub use limits::Limits;
pub use listen::Listen;
pub use log::{Log, LogFormat, LogLevel};
pub use metrics::Metrics;
pub use network::Network;
pub use tls::{CertificateFiles, MinimumVersion, Tls};

/// Where the settings are when nobody says otherwise.
pub const DEFAULT_PATH: &str = "/etc/lode/lode.toml";

/// The environment variable that names the settings file.
pub const PATH_VARIABLE: &str = "LODE_CONFIG";

/// A settings file larger than this is somebody's mistake, and is refused unread.
const FILE_OCTETS_MAX: u64 = 1 << 20;

/// Everything an administrator may choose.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where the mail is.
    pub store: Store,
    /// Where things live that last as long as the daemons run.
    pub runtime: Runtime,
    /// Where clients and mail servers connect.
    pub listen: Listeners,
    /// How many processes and sessions there may be.
    pub handlers: Handlers,
    /// What TLS is spoken with.
    pub tls: Tls,
    /// Who may log in, and how.
    pub auth: Auth,
    /// For whom mail is taken, and where it goes.
    pub lmtp: Lmtp,
    /// What POP3 clients are told, and held to.
    pub pop3: Pop3,
    /// How long and how large things may get.
    pub limits: Limits,
    /// How much mail a user may have for whom nothing else was set.
    pub quota: Quota,
    /// Where figures about the daemons can be read.
    pub metrics: Metrics,
    /// What is logged, and in what form.
    pub log: Log,
    /// As whom the daemons run.
    pub run: Run,
}

/// `[store]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// The folder of the store.
    pub path: PathBuf,
    /// How long expunged messages and deleted mailboxes can be brought back, in days.
    pub history_days: u32,
    /// Whether a message that came before on the same day is counted, not stored again.
    pub count_equal_messages: bool,
    /// After how many days journals may go, once what they say and is still so was written down anew. 0: never.
    pub journal_days: u32,
}

/// `[runtime]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Runtime {
    /// The folder of control socket and pid file; the name of the shared table follows from it.
    pub dir: PathBuf,
}

/// `[listen]`: any number of addresses for each protocol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listeners {
    /// IMAP without TLS.
    pub imap: Vec<Listen>,
    /// IMAP with TLS from the first octet.
    pub imaps: Vec<Listen>,
    /// POP3 without TLS.
    pub pop3: Vec<Listen>,
    /// POP3 with TLS from the first octet.
    pub pop3s: Vec<Listen>,
    /// LMTP; the one protocol that may also listen on a Unix socket.
    pub lmtp: Vec<Listen>,
}

/// `[handlers]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Handlers {
    /// The most handler processes, 1 to 64.
    pub max: u32,
    /// Sessions each of them may hold, 1 to 65,536.
    pub sessions: u32,
}

/// `[auth]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// The users file, see [`crate::users`].
    pub users: PathBuf,
    /// How long a verified password is remembered, in seconds; 0 checks the hash at every login.
    pub remember_seconds: u32,
    /// From where a password may come without TLS.
    pub plaintext: Plaintext,
    /// Users who submit mail for others: submission servers that may read what a URL made for `submit+` stands for.
    pub submitters: Vec<String>,
    /// Users who may set what others have: quota, and what the server says of itself to all (IMAP METADATA).
    pub administrators: Vec<String>,
    /// How clients reach an administrator: a URI, or empty.
    pub administrator_url: String,
    /// Users whose mail is on another server, each with that server: a host, perhaps with a port.
    pub referrals: BTreeMap<String, String>,
}

/// From where a password may come without TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Plaintext {
    /// From this machine only.
    Loopback,
    /// From everywhere.
    Always,
}

/// `[lmtp]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lmtp {
    /// Domains mail is taken for; empty takes any.
    pub domains: Vec<String>,
    /// Characters each of which stands between user and folder in a local part; none turns folders off.
    pub delimiter: String,
    /// What becomes of mail for `user+folder`.
    pub folders: Folders,
    /// The aliases file, see [`crate::aliases`]; empty if there is none.
    pub aliases: PathBuf,
    /// The address that gets what is for nobody; empty refuses it.
    pub catch_all: String,
    /// What is said of mail for a user who has as much as allowed.
    pub over_quota: OverQuota,
    /// Peers whose word is taken for where mail comes from (XCLIENT, XFORWARD).
    pub trusted_peers: Vec<Network>,
}

/// What becomes of mail for `user+folder`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Folders {
    /// It goes to INBOX.
    Ignore,
    /// It goes to the folder if there is one, and to INBOX otherwise.
    Existing,
    /// It goes to the folder, which is made if there is none.
    Create,
}

/// What is said of mail for a user who has as much as allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OverQuota {
    /// The peer may try again: 452 4.2.2.
    Defer,
    /// It goes back to the sender: 552 5.2.2.
    Reject,
}

/// `[pop3]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pop3 {
    /// The least time between two logins of a user, in seconds; 0 does without.
    pub login_delay_seconds: u32,
    /// When messages go without anybody deleting them, as clients are told. Lode itself removes none.
    pub expire: Expire,
}

/// `[quota]`: for users for whom `lode quota set` has set nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quota {
    /// RFC822.SIZE of all messages together.
    pub octets: Amount,
    /// Messages.
    pub messages: Amount,
    /// Mailboxes that can hold messages, INBOX among them.
    pub mailboxes: Amount,
    /// Octets of the annotations of all messages together, names and values (RFC 5257).
    pub annotations: Amount,
}

/// `[run]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Run {
    /// The user root becomes once the sockets are bound; empty keeps who started it.
    pub user: String,
}

impl Default for Store {
    fn default() -> Self {
        Store { path: "/var/lib/lode".into(), history_days: 0, journal_days: 0, count_equal_messages: true }
    }
}

impl Default for Runtime {
    fn default() -> Self {
        Runtime { dir: "/run/lode".into() }
    }
}

impl Default for Listeners {
    fn default() -> Self {
        let any = |port| Listen::Tcp(std::net::SocketAddr::from(([0, 0, 0, 0], port)));
        Listeners {
            imap: vec![any(143)],
            imaps: Vec::new(),
            pop3: vec![any(110)],
            pop3s: Vec::new(),
            lmtp: vec![Listen::Unix("/run/lode/lmtp".into())],
        }
    }
}

impl Default for Handlers {
    fn default() -> Self {
        Handlers { max: 16, sessions: 1000 }
    }
}

impl Default for Auth {
    fn default() -> Self {
        Auth {
            users: "/etc/lode/users".into(),
            remember_seconds: 3600,
            plaintext: Plaintext::Loopback,
            referrals: BTreeMap::new(),
            submitters: Vec::new(),
            administrators: Vec::new(),
            administrator_url: String::new(),
        }
    }
}

impl Default for Lmtp {
    fn default() -> Self {
        Lmtp {
            domains: Vec::new(),
            delimiter: "+".to_owned(),
            folders: Folders::Existing,
            aliases: PathBuf::new(),
            catch_all: String::new(),
            over_quota: OverQuota::Defer,
            trusted_peers: Vec::new(),
        }
    }
}

impl Settings {
    /// The file to read: what the command line named, else `$LODE_CONFIG` if it is not empty, else
    /// [`DEFAULT_PATH`].
    pub fn path(argument: Option<&Path>) -> PathBuf {
        Settings::path_from(argument, std::env::var_os(PATH_VARIABLE))
    }

    /// [`Settings::path`] with the value of the environment variable given.
    pub fn path_from(argument: Option<&Path>, variable: Option<OsString>) -> PathBuf {
        match (argument, variable) {
            (Some(path), _) => path.to_path_buf(),
            (None, Some(value)) if !value.is_empty() => PathBuf::from(value),
            (None, _) => PathBuf::from(DEFAULT_PATH),
        }
    }

    /// Reads, parses and checks a settings file. What this returns can be used as it is.
    pub fn load(path: &Path) -> Result<Settings, SettingsError> {
        let settings = Settings::read(path)?;
        match settings.check() {
            problems if problems.is_empty() => Ok(settings),
            problems => Err(SettingsError::Refused { path: path.to_path_buf(), problems }),
        }
    }

    /// Reads and parses a settings file without asking whether the values make sense together.
    pub fn read(path: &Path) -> Result<Settings, SettingsError> {
        let unreadable = |error| SettingsError::Unreadable { path: path.to_path_buf(), error };
        let size = std::fs::metadata(path).map_err(unreadable)?.len();
        if size > FILE_OCTETS_MAX {
            return Err(unreadable(std::io::Error::other("larger than 1 MiB, which no settings file is")));
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        Settings::parse(&text, path)
    }

    /// Parses the text of a settings file; `path` is for the error only.
    pub fn parse(text: &str, path: &Path) -> Result<Settings, SettingsError> {
        toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| line_of(text, span.start));
            SettingsError::Malformed { path: path.to_path_buf(), line, what: error.message().to_owned() }
        })
    }
}

/// The line of the octet at `offset`, counted from 1.
fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|octet| *octet == b'\n').count()
}

/// Why settings cannot be used. Its text names the file and says what to do.
#[derive(Debug)]
pub enum SettingsError {
    /// The file cannot be opened or read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The file is not TOML, or has an option or a value that is not known.
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, from 1, where it is known.
        line: Option<usize>,
        /// What is wrong there.
        what: String,
    },
    /// The values cannot be used, each for a reason of its own.
    Refused {
        /// The file.
        path: PathBuf,
        /// What [`Settings::check`] found, never empty.
        problems: Vec<String>,
    },
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SettingsError::Unreadable { path, error } => {
                write!(f, "cannot read the settings file {}: {error}", path.display())?;
                if error.kind() == std::io::ErrorKind::NotFound {
                    write!(f, " (name another with --config or ${PATH_VARIABLE}, or write one with")?;
                    write!(f, " `lode config default > {}`)", path.display())?;
                }
                Ok(())
            }
            SettingsError::Malformed { path, line, what } => {
                write!(f, "{}", path.display())?;
                if let Some(line) = line {
                    write!(f, ":{line}")?;
                }
                write!(f, ": {} (`lode config default` shows every option)", what.trim_end())
            }
            SettingsError::Refused { path, problems } => {
                write!(f, "{}: {}", path.display(), problems.join("; "))
            }
        }
    }
}

impl std::error::Error for SettingsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            SettingsError::Unreadable { error, .. } => Some(error),
            SettingsError::Malformed { .. } | SettingsError::Refused { .. } => None,
        }
    }
}
