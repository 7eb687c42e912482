//! What the server says it can do (RFC 3501, 6.1.1). Everything announced here has a file of its own or a place in one.

use config::Plaintext;

use crate::conversation::Turn;

/// Known to everybody; IDLE too, for there are clients that ask only before the login.
const ALWAYS: &str = "IMAP4rev1 LITERAL+ ID ENABLE IDLE";
/// Useful before a login.
const LOGIN: &str = " SASL-IR AUTH=PLAIN AUTH=LOGIN";
/// Of use to a user.
const LOGGED_IN: &str = " SASL-IR NAMESPACE UIDPLUS MOVE UNSELECT CHILDREN LIST-EXTENDED LIST-STATUS SPECIAL-USE \
                         CREATE-SPECIAL-USE STATUS=SIZE";

/// The capabilities in this state, with spaces between them.
pub(crate) fn names(turn: &Turn<'_>, is_authenticated: bool) -> String {
    let more = if is_authenticated {
        LOGGED_IN
    } else if allows_login(turn) {
        LOGIN
    } else {
        " LOGINDISABLED"
    };
    format!("{ALWAYS}{more}")
}

/// Whether a password may be sent over this connection.
pub(crate) fn allows_login(turn: &Turn<'_>) -> bool {
    turn.peer.is_private || turn.shared.settings().auth.plaintext == Plaintext::Always
}
