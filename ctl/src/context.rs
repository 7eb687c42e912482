//! What verbs need of the installation: the settings in force, the users file, the open store, a user and a mailbox by name.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::{Settings, Users, user_name};
use nix::unistd::{Uid, User, chown, initgroups, setgid, setuid};
use store::ids::{MailboxId, UserId};
use store::mailbox::Mailbox;
use store::txn::Committed;
use store::{CommitError, Limits, OpenOptions, Store, StoreError, WriterChoice};

use crate::failure::{Failure, Result};
use crate::notify::Notifier;
use crate::quota::limit;

/// The settings, and where they came from.
#[derive(Debug)]
pub(crate) struct Context {
    /// The settings file.
    pub(crate) path: PathBuf,
    /// What it says.
    pub(crate) settings: Settings,
}

/// The open store together with one user of it.
pub(crate) struct Mailboxes {
    /// The store.
    pub(crate) store: Arc<Store>,
    /// The user.
    pub(crate) user: UserId,
    /// The user's name as the users file has it.
    pub(crate) name: String,
    /// Where the router can be asked for its handlers.
    pub(crate) runtime_dir: PathBuf,
}

impl Context {
    /// Reads the settings of `--config`, else of `$LODE_CONFIG`, else of `/etc/lode/lode.toml`.
    pub(crate) fn load(argument: Option<&Path>) -> Result<Context> {
        let path = Settings::path(argument);
        let settings = Settings::load(&path).map_err(|error| Failure::Failed(error.to_string()))?;
        Ok(Context { path, settings })
    }

    /// The users file; one that is not there yet has nobody in it.
    pub(crate) fn users(&self) -> Result<Users> {
        let path = &self.settings.auth.users;
        if !path.exists() {
            return Ok(Users::empty(path));
        }
        Users::load(path).map_err(|error| Failure::Failed(error.to_string()))
    }

    /// The name `name` as the users file has it, or a failure that says what to do.
    pub(crate) fn known_user(&self, name: &str) -> Result<String> {
        let name = user_name(name)
            .map_err(|error| Failure::Usage(format!("\"{name}\" is no user name: {error}")))?;
        if self.users()?.get(&name).is_none() {
            return Err(Failure::Failed(format!(
                "there is no user {name} in {} (`lode user add {name}` makes one, `lode user list` shows all)",
                self.settings.auth.users.display()
            )));
        }
        Ok(name)
    }

    /// Whether there is a store already. To open one would make it.
    pub(crate) fn store_exists(&self) -> bool {
        self.settings.store.path.join("FORMAT").exists()
    }

    /// An error if there is no store, for verbs that have nothing to do in an empty one.
    pub(crate) fn need_store(&self) -> Result<()> {
        if self.store_exists() {
            return Ok(());
        }
        let path = self.settings.store.path.display();
        Err(Failure::Failed(format!(
            "there is no store in {path}; look at `path` under [store] in the settings, or make one with `lode user add NAME`"
        )))
    }

    /// Opens the store, as the user whom the daemons run as when this is root.
    pub(crate) fn open_store(&self) -> Result<Arc<Store>> {
        self.become_daemon_user()?;
        let settings = &self.settings;
        let mut options = OpenOptions::new(&settings.store.path, &settings.runtime.dir, WriterChoice::Tool);
        options.history_days = settings.store.history_days;
        options.count_equal_messages = settings.store.count_equal_messages;
        options.journal_days = settings.store.journal_days;
        options.default_limits = Limits {
            octets: limit(settings.quota.octets),
            messages: limit(settings.quota.messages),
            mailboxes: limit(settings.quota.mailboxes),
            annotations: limit(settings.quota.annotations),
        };
        Store::open(options).map_err(|error| {
            let hint = match &error {
                StoreError::Io { error, .. } if error.kind() == std::io::ErrorKind::PermissionDenied => {
                    " (do this as root, or as the user whom the server runs as)"
                }
                _ => "",
            };
            Failure::Failed(format!("cannot open the store {}: {error}{hint}", settings.store.path.display()))
        })
    }

    /// Opens the store for a user whom the users file knows.
    pub(crate) fn mailboxes_of(&self, name: &str) -> Result<Mailboxes> {
        let name = self.known_user(name)?;
        let store = self.open_store()?;
        let user =
            store.ensure_user(&name).map_err(Failure::because(format!("cannot open the mail of {name}")))?;
        Ok(Mailboxes { store, user, name, runtime_dir: self.settings.runtime.dir.clone() })
    }

    /// When this is root: makes the folder `path` if it is missing, for the user whom the daemons run as. Before `become_daemon_user`, who may not be
    /// allowed to.
    pub(crate) fn make_folder(&self, path: &Path) -> Result<()> {
        let name = &self.settings.run.user;
        if path.exists() || name.is_empty() || !Uid::effective().is_root() {
            return Ok(());
        }
        let tried = format!("cannot make {}", path.display());
        std::fs::create_dir_all(path).map_err(Failure::because(&tried))?;
        match User::from_name(name).map_err(Failure::because(&tried))? {
            Some(user) => chown(path, Some(user.uid), Some(user.gid)).map_err(Failure::because(&tried)),
            // `become_daemon_user` says so.
            None => Ok(()),
        }
    }

    /// Files that root makes in the store could not be changed by the daemons.
    pub(crate) fn become_daemon_user(&self) -> Result<()> {
        let name = &self.settings.run.user;
        if name.is_empty() || !Uid::effective().is_root() {
            return Ok(());
        }
        let tried = format!("cannot become the user {name} of [run] in {}", self.path.display());
        let user = User::from_name(name)
            .map_err(Failure::because(&tried))?
            .ok_or_else(|| Failure::Failed(format!("{tried}: there is no such user")))?;
        let group_name = std::ffi::CString::new(user.name.as_str()).map_err(Failure::because(&tried))?;
        initgroups(&group_name, user.gid)
            .and_then(|()| setgid(user.gid))
            .and_then(|()| setuid(user.uid))
            .map_err(Failure::because(tried))
    }
}

impl Mailboxes {
    /// Waits until a change is durable, and tells running sessions of it.
    ///
    /// # Errors
    /// It may not last.
    pub(crate) fn finish(&self, committed: &Committed) -> std::result::Result<(), CommitError> {
        self.store.wait(committed.ticket)?;
        let notifier = Notifier::attach(&self.runtime_dir);
        committed.touched.iter().for_each(|touched| notifier.changed(*touched));
        Ok(())
    }

    /// The mailbox `name`, or a failure that says what to do.
    pub(crate) fn find(&self, name: &str) -> Result<Arc<Mailbox>> {
        let list = self.list()?;
        let entry = list.find(name).ok_or_else(|| {
            Failure::Failed(format!(
                "{} has no mailbox {name} (`lode mailbox list --user {}` shows all)",
                self.name, self.name
            ))
        })?;
        if entry.placeholder {
            return Err(Failure::Failed(format!("{name} holds no messages, only mailboxes below it")));
        }
        self.open(MailboxId { user: self.user, number: entry.number }, name)
    }

    /// The user's mailboxes.
    pub(crate) fn list(&self) -> Result<Arc<store::lists::MailboxList>> {
        self.store
            .mailbox_list(self.user)
            .map_err(Failure::because(format!("cannot read the mailbox list of {}", self.name)))
    }

    /// The mailbox `id`, which is `name` in the list.
    pub(crate) fn open(&self, id: MailboxId, name: &str) -> Result<Arc<Mailbox>> {
        self.store
            .mailbox(id)
            .map_err(Failure::because(format!("cannot open the mailbox {name} of {}", self.name)))
    }

    /// Ends the work on the store; all that was changed is durable when this returns.
    pub(crate) fn close(self) -> Result<()> {
        self.store.close().map_err(Failure::because("cannot close the store"))
    }
}
