//! Prints commands that are whole extensions: AUTHENTICATE with its initial response (RFC 4959), ID (RFC 2971), URLAUTH (RFC 4467, RFC 5524).

use super::Printer;
use crate::base64;
use crate::imap::command::authenticate::AuthenticateArguments;
use crate::imap::extension::id::IdParameters;
use crate::imap::extension::urlauth::{
    GenUrlAuthArguments, ResetKeyArguments, UrlContent, UrlFetchArguments, UrlFetchItem,
};
use crate::imap::syntax::string;

impl Printer<'_> {
    pub(super) fn authenticate(&mut self, arguments: &AuthenticateArguments) {
        self.word("AUTHENTICATE");
        self.word(&arguments.mechanism);
        match arguments.initial.as_deref() {
            None => {}
            Some([]) => self.word("="),
            Some(octets) => base64::encode(octets, self.begin()),
        }
    }

    pub(super) fn id(&mut self, parameters: &IdParameters) {
        self.word("ID");
        if parameters.0.is_empty() {
            return self.word("NIL");
        }
        self.list(|printer| {
            for (field, value) in &parameters.0 {
                printer.string(field);
                string::write_nstring(printer.begin(), value.as_deref());
            }
        });
    }

    pub(super) fn gen_url_auth(&mut self, arguments: &GenUrlAuthArguments) {
        self.word("GENURLAUTH");
        for (url, mechanism) in &arguments.0 {
            self.astring(url);
            self.word(mechanism);
        }
    }

    pub(super) fn url_fetch(&mut self, arguments: &UrlFetchArguments) {
        self.word("URLFETCH");
        arguments.0.iter().for_each(|item| self.url_fetch_item(item));
    }

    fn url_fetch_item(&mut self, item: &UrlFetchItem) {
        let Some(parameters) = item.parameters else {
            return self.astring(&item.url);
        };
        self.list(|printer| {
            printer.astring(&item.url);
            if parameters.structure {
                printer.word("BODYPARTSTRUCTURE");
            }
            match parameters.content {
                Some(UrlContent::Body) => printer.word("BODY"),
                Some(UrlContent::Binary) => printer.word("BINARY"),
                None => {}
            }
        });
    }

    pub(super) fn reset_key(&mut self, arguments: &ResetKeyArguments) {
        match arguments {
            ResetKeyArguments::All => self.word("RESETKEY"),
            ResetKeyArguments::Mailbox(mailbox, mechanisms) => {
                self.about("RESETKEY", mailbox);
                mechanisms.iter().for_each(|mechanism| self.word(mechanism));
            }
        }
    }
}
