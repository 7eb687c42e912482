//! User numbers and names: signatures.
#![allow(missing_docs, unused_variables)]

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::ids::UserId;

/// The catalog of a store.
#[derive(Debug)]
pub struct Catalog {}

impl Catalog {
    /// Opens the catalog of the store at `store` (its folder), or makes an empty one. `users` is the partition's users folder.
    pub fn open(catalog: &Path, users: &Path) -> Result<Catalog> { todo!() }
    pub fn find(&self, name: &str) -> Result<Option<UserId>> { todo!() }
    pub fn name(&self, user: UserId) -> Result<Option<String>> { todo!() }
    pub fn users(&self) -> Result<Vec<(UserId, String)>> { todo!() }
    /// The user's folder, by name.
    pub fn user_directory(&self, name: &str) -> PathBuf { todo!() }
    /// The number the next user gets. Under the catalog's lock.
    pub(crate) fn next_user(&self) -> Result<UserId> { todo!() }
    pub(crate) fn apply_create(&self, user: UserId, name: &str) -> Result<()> { todo!() }
    pub(crate) fn apply_delete(&self, user: UserId) -> Result<()> { todo!() }
}

/// Whether a user may have this name: 1 to 255 octets, no control characters.
pub fn is_user_name(name: &str) -> bool { todo!() }
/// `<user folder>/m<number>/cells`
pub fn cells_path(user_directory: &Path, mailbox: u32) -> PathBuf { todo!() }
