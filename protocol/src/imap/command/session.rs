//! LOGIN (RFC 3501 section 6.2.3). CAPABILITY, NOOP, LOGOUT and STARTTLS have no arguments.

use crate::imap::syntax::cursor::{Cursor, Fault};
use crate::imap::syntax::string;

/// Who wants in.
#[derive(Clone, PartialEq, Eq)]
pub struct LoginArguments {
    /// The user's name, as sent.
    pub user: Vec<u8>,
    /// The password, as sent.
    pub password: Vec<u8>,
}

/// The password stays out of logs.
impl std::fmt::Debug for LoginArguments {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("LoginArguments").field("user", &self.user).finish_non_exhaustive()
    }
}

impl LoginArguments {
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        cursor.space()?;
        let user = string::parse_astring(cursor)?.into_owned();
        cursor.space()?;
        let password = string::parse_astring(cursor)?.into_owned();
        Ok(LoginArguments { user, password })
    }
}
