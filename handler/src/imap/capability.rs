//! What the server says it can do (RFC 9051, 6.1.1): one table, to which each extension adds its line in the change in which it
//! works. What is not in the table is not announced; what is there has a wire script.
//!
//! Of LITERAL+ and LITERAL- only one may be told (RFC 7888, 6): LITERAL+, which allows all that LITERAL- does. IMAP4rev2 asks
//! for no more than LITERAL-.

use config::{Plaintext, Settings};

use super::message_limit;
use crate::conversation::Turn;

/// When a capability is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// In every state. Some clients ask only once, before the login.
    Always,
    /// While somebody may log in over this connection.
    Login,
    /// While nobody may, because others could read the password.
    NoLogin,
    /// Before the login, while TLS may be begun.
    BeforeTls,
    /// While somebody may log in, and after that: it belongs to a login, but is looked for later, too.
    LoginAndUser,
    /// After the login.
    User,
}

/// What is told.
enum Name {
    /// Always the same.
    Fixed(&'static str),
    /// A name with a value, or one that depends on settings; `None` tells nothing.
    Set(fn(&Settings) -> Option<String>),
}

use Name::{Fixed, Set};
use Shown::{Always, BeforeTls, Login, LoginAndUser, NoLogin, User};

/// All capabilities, in the order in which they are told.
const TABLE: &[(Shown, Name)] = &[
    (Always, Fixed("IMAP4rev1")),
    (Always, Fixed("IMAP4rev2")),
    (Always, Fixed("LITERAL+")),
    (Always, Fixed("ID")),
    (Always, Fixed("ENABLE")),
    (Always, Fixed("IDLE")),
    (LoginAndUser, Fixed("SASL-IR")),
    (Login, Fixed("AUTH=PLAIN")),
    (Login, Fixed("AUTH=LOGIN")),
    // Told where it means something: the setting names users who are elsewhere.
    (Login, Set(|settings| (!settings.auth.referrals.is_empty()).then(|| "LOGIN-REFERRALS".to_owned()))),
    (NoLogin, Fixed("LOGINDISABLED")),
    (BeforeTls, Fixed("STARTTLS")),
    (User, Fixed("NAMESPACE")),
    (User, Fixed("ACL")),
    (User, Fixed("RIGHTS=kxten")),
    (User, Fixed("LIST-MYRIGHTS")),
    (User, Fixed("UIDPLUS")),
    (User, Fixed("ESEARCH")),
    (User, Fixed("ESORT")),
    (User, Fixed("I18NLEVEL=1")),
    (User, Fixed("SORT")),
    (User, Fixed("SORT=DISPLAY")),
    (User, Fixed("THREAD=ORDEREDSUBJECT")),
    (User, Fixed("THREAD=REFERENCES")),
    (User, Fixed("SEARCHRES")),
    (User, Fixed("PARTIAL")),
    (User, Fixed("WITHIN")),
    (User, Fixed("CONTEXT=SEARCH")),
    (User, Fixed("CONTEXT=SORT")),
    (User, Fixed("MULTISEARCH")),
    (User, Fixed("SEARCH=FUZZY")),
    (User, Fixed("INPROGRESS")),
    (User, Fixed("UIDBATCHES")),
    (User, Fixed("MOVE")),
    (User, Fixed("UNSELECT")),
    (User, Fixed("CHILDREN")),
    (User, Fixed("LIST-EXTENDED")),
    (User, Fixed("LIST-STATUS")),
    (User, Fixed("SPECIAL-USE")),
    (User, Fixed("CREATE-SPECIAL-USE")),
    (User, Fixed("STATUS=SIZE")),
    (User, Fixed("OBJECTID")),
    (User, Fixed("SAVEDATE")),
    (User, Fixed("PREVIEW")),
    (User, Fixed("METADATA")),
    (User, Fixed("METADATA-SERVER")),
    (User, Fixed("LIST-METADATA")),
    (User, Fixed("FILTERS")),
    (User, Fixed("QUOTA")),
    (User, Fixed("QUOTASET")),
    (User, Fixed("QUOTA=RES-STORAGE")),
    (User, Fixed("QUOTA=RES-MESSAGE")),
    (User, Fixed("QUOTA=RES-MAILBOX")),
    (User, Fixed("QUOTA=RES-ANNOTATION-STORAGE")),
    (User, Fixed("ANNOTATE-EXPERIMENT-1")),
    (User, Fixed("NOTIFY")),
    (User, Fixed("UNAUTHENTICATE")),
    (User, Fixed("COMPRESS=DEFLATE")),
    (User, Fixed("UTF8=ACCEPT")),
    (User, Fixed("CONDSTORE")),
    (User, Fixed("QRESYNC")),
    (User, Fixed("UIDONLY")),
    (User, Set(|_| Some(format!("MESSAGELIMIT={}", message_limit::MESSAGES_MAX)))),
    (User, Set(|settings| Some(format!("APPENDLIMIT={}", settings.limits.message_bytes)))),
    (User, Fixed("BINARY")),
    (User, Fixed("CATENATE")),
    (User, Fixed("URL-PARTIAL")),
    (User, Fixed("MULTIAPPEND")),
    (User, Fixed("REPLACE")),
    (User, Fixed("URLAUTH")),
    (User, Fixed("URLAUTH=BINARY")),
];

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nobody is logged in, and somebody may be.
    MayLogin,
    /// Nobody is logged in, and nobody may over this connection.
    MayNotLogin,
    /// Somebody is logged in.
    LoggedIn,
}

impl Shown {
    fn is_told(self, state: State, may_begin_tls: bool) -> bool {
        match self {
            BeforeTls => state != State::LoggedIn && may_begin_tls,
            Always => true,
            Login => state == State::MayLogin,
            NoLogin => state == State::MayNotLogin,
            LoginAndUser => state != State::MayNotLogin,
            User => state == State::LoggedIn,
        }
    }
}

/// The capabilities in this state, with spaces between them.
pub(crate) fn names(turn: &Turn<'_>, is_authenticated: bool) -> String {
    let state = match (is_authenticated, allows_login(turn)) {
        (true, _) => State::LoggedIn,
        (false, true) => State::MayLogin,
        (false, false) => State::MayNotLogin,
    };
    names_in(state, turn.may_begin_tls(), &turn.shared.settings())
}

fn names_in(state: State, may_begin_tls: bool, settings: &Settings) -> String {
    let mut names = String::with_capacity(512);
    for (_, name) in TABLE.iter().filter(|(shown, _)| shown.is_told(state, may_begin_tls)) {
        let value;
        let name = match name {
            Name::Fixed(name) => *name,
            Name::Set(of) => match of(settings) {
                Some(told) => {
                    value = told;
                    &value
                }
                None => continue,
            },
        };
        if !names.is_empty() {
            names.push(' ');
        }
        names.push_str(name);
    }
    names
}

/// Whether a password may be sent over this connection.
pub(crate) fn allows_login(turn: &Turn<'_>) -> bool {
    turn.peer.is_private || turn.shared.settings().auth.plaintext == Plaintext::Always
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(state: State) -> Vec<String> {
        names_in(state, true, &Settings::default()).split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn each_state_has_its_own() {
        let has = |state, name: &str| told(state).iter().any(|told| told == name);
        for state in [State::MayLogin, State::MayNotLogin, State::LoggedIn] {
            assert!(has(state, "IMAP4rev1") && has(state, "LITERAL+") && !has(state, "LITERAL-"));
            assert_eq!(has(state, "LOGINDISABLED"), state == State::MayNotLogin);
            assert_eq!(has(state, "STARTTLS"), state != State::LoggedIn);
            assert_eq!(has(state, "AUTH=PLAIN"), state == State::MayLogin);
            assert_eq!(has(state, "NAMESPACE"), state == State::LoggedIn);
        }
    }

    #[test]
    fn no_name_is_told_twice() {
        for state in [State::MayLogin, State::MayNotLogin, State::LoggedIn] {
            let mut names = told(state);
            let count = names.len();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), count, "{state:?}");
            assert!(names.iter().all(|name| !name.is_empty()));
        }
    }
}
