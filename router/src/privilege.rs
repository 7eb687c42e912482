//! From root to the user of the settings, and from the soft limit of descriptors to the hard one.

use config::Settings;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Uid, User, initgroups, setgid, setuid};
use std::ffi::CString;
use std::{fs, io};

/// Lets this process, and the handlers after it, have as many descriptors as the system allows. Gives the number.
pub(crate) fn raise_descriptor_limit() -> u64 {
    match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((_, hard)) if setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() => hard,
        Ok((soft, _)) => soft,
        Err(_) => 0,
    }
}

/// How many descriptors this process may have.
pub(crate) fn descriptor_limit() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft)
}

/// The user to become, or `None` to stay who we are.
pub(crate) fn run_user(settings: &Settings) -> Result<Option<User>, String> {
    let name = &settings.run.user;
    if name.is_empty() {
        return Ok(None);
    }
    match User::from_name(name) {
        Ok(Some(user)) if user.uid == Uid::effective() => Ok(None),
        Ok(Some(user)) if Uid::effective().is_root() => Ok(Some(user)),
        Ok(Some(_)) => {
            Err(format!("cannot become {name}: start it as root, or remove [run] user from the settings"))
        }
        Ok(None) => Err(format!("[run] user: there is no user {name} (useradd --system {name} makes one)")),
        Err(errno) => Err(format!("cannot look up the user {name}: {}", errno.desc())),
    }
}

/// Makes the folders of the settings that do not exist, as the property of `owner`.
pub(crate) fn make_folders(settings: &Settings, owner: Option<&User>) -> Result<(), String> {
    use std::os::unix::fs::DirBuilderExt;
    for (path, mode) in [(&settings.runtime.dir, 0o755), (&settings.store.path, 0o700)] {
        let made: io::Result<()> = (|| {
            if !path.is_dir() {
                fs::DirBuilder::new().recursive(true).mode(mode).create(path)?;
            }
            crate::listen::give_to(path, owner)
        })();
        made.map_err(|error| format!("cannot make the folder {}: {error}", path.display()))?;
    }
    Ok(())
}

/// Becomes `user`, with that user's groups and without a way back.
pub(crate) fn become_user(user: &User) -> Result<(), String> {
    let change = || -> nix::Result<()> {
        let name = CString::new(user.name.as_str()).map_err(|_| nix::errno::Errno::EINVAL)?;
        initgroups(&name, user.gid)?;
        setgid(user.gid)?;
        setuid(user.uid)
    };
    change().map_err(|errno| format!("cannot become {}: {}", user.name, errno.desc()))?;
    if setuid(Uid::from_raw(0)).is_ok() && !user.uid.is_root() {
        return Err(format!("became {} and could go back to root", user.name));
    }
    Ok(())
}
