//! URLs of messages.

use super::Draw;
use crate::imap::syntax::mailbox_name::MailboxName;
use crate::imap::url::{Access, Authorization, MessageUrl, Server, Token, UrlMailbox, UrlPartial};

impl Draw {
    pub(in super::super) fn url(&mut self) -> MessageUrl {
        let server = self.maybe(2, |draw| Server {
            user: draw.maybe(2, |draw| format!("u{}", draw.words())),
            host: draw.one(&["example.com", "h:143", "[::1]:9"]).to_owned(),
        });
        let name = MailboxName::from_utf8(&format!("m{}m", self.words())).expect("a name");
        let mailbox = if server.is_some() {
            UrlMailbox::Named(name)
        } else {
            self.one(&[UrlMailbox::Named(name.clone()), UrlMailbox::Beside(name), UrlMailbox::Selected])
        };
        let is_selected = mailbox == UrlMailbox::Selected;
        let authorization = self.maybe(2, Draw::authorization).filter(|_| server.is_some());
        MessageUrl {
            server,
            mailbox,
            uid_validity: self.maybe(2, Draw::number_32).filter(|_| !is_selected),
            uid: self.number_32(),
            section: self.section(),
            partial: self.maybe(2, |draw| UrlPartial {
                start: draw.number_63(),
                length: draw.maybe(2, |draw| draw.number(1, i64::MAX as u64)),
            }),
            authorization,
        }
    }

    fn authorization(&mut self) -> Authorization {
        let user = format!("u{}", self.words());
        let kinds = [Access::Submit(user.clone()), Access::User(user), Access::AuthUser, Access::Anonymous];
        Authorization {
            expire: self.maybe(2, |_| ("2026-11-23T04:05:06Z".to_owned(), 1_795_406_706)),
            access: self.one(&kinds),
            token: self.maybe(2, |draw| Token {
                mechanism: "INTERNAL".to_owned(),
                octets: draw.some(Token::OCTETS_MIN, Token::OCTETS_MAX, |draw| draw.below(256) as u8),
            }),
        }
    }
}
