//! Which user a recipient address means. LMTP asks at RCPT, `lode deliver` asks once.
//!
//! The users file decides first: a user whose name is the full address gets its mail whatever the settings say of the
//! domain. Otherwise the domain must be one of `[lmtp] domains`, if any is set, and the local part is the user name.
//! In both, what follows the first `+` of the local part is a detail (RFC 5233) and is left out when nobody has the
//! name with it.

use crate::settings::Lmtp;
use crate::users::{Users, user_name};

/// What became of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipient {
    /// Mail for it goes to the user with this name.
    User(String),
    /// The domain is ours, but nobody has this name.
    UnknownUser,
    /// The domain is not one mail is taken for.
    ForeignDomain,
}

/// Finds the user of `local@domain`, or of `local` alone. Both parts as they are meant, not as they are quoted.
pub fn recipient(local: &str, domain: Option<&str>, lmtp: &Lmtp, users: &Users) -> Recipient {
    let find = |name: &str| {
        let name = user_name(name).ok()?;
        users.get(&name).map(|user| Recipient::User(user.name.to_owned()))
    };
    let plain = local.split_once('+').map(|(plain, _detail)| plain).filter(|plain| !plain.is_empty());
    let locals = || std::iter::once(local).chain(plain);
    if let Some(domain) = domain {
        if let Some(found) = locals().find_map(|local| find(&format!("{local}@{domain}"))) {
            return found;
        }
        let domain = domain.to_lowercase();
        if !lmtp.domains.is_empty() && !lmtp.domains.iter().any(|ours| ours.to_lowercase() == domain) {
            return Recipient::ForeignDomain;
        }
    }
    locals().find_map(find).unwrap_or(Recipient::UnknownUser)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_users_file_wins_then_the_domain_then_the_local_part() {
        let text = "ann:{PLAIN}a\nbob@Example.org:{PLAIN}b\nc+d:{PLAIN}c\neve@other.net:{PLAIN}e\n";
        let users = Users::from_reader(text.as_bytes(), Path::new("users")).expect("read");
        let any = Lmtp::default();
        let ours = Lmtp { domains: vec!["example.org".to_owned()] };
        let user = |name: &str| Recipient::User(name.to_owned());
        let cases = [
            ("Ann", Some("example.org"), &ours, user("ann")),
            ("ann", Some("EXAMPLE.org"), &ours, user("ann")),
            ("ann", Some("other.net"), &ours, Recipient::ForeignDomain),
            ("ann", Some("other.net"), &any, user("ann")),
            ("ann", None, &ours, user("ann")),
            ("ann+lists", Some("example.org"), &ours, user("ann")),
            ("bob+x", Some("example.org"), &ours, user("bob@example.org")),
            ("c+d", None, &any, user("c+d")),
            ("c", None, &any, Recipient::UnknownUser),
            ("bob", Some("example.org"), &ours, user("bob@example.org")),
            ("bob", None, &ours, Recipient::UnknownUser),
            ("eve", Some("other.net"), &ours, user("eve@other.net")),
            ("+ann", None, &any, Recipient::UnknownUser),
            ("../x", Some("example.org"), &any, Recipient::UnknownUser),
        ];
        for (local, domain, lmtp, expected) in cases {
            assert_eq!(recipient(local, domain, lmtp, &users), expected, "{local} {domain:?}");
        }
    }
}
