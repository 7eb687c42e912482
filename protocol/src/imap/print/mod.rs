//! Commands as a client would write them: the way back from [`super::command`]. What is printed parses to the same command, and
//! prints the same again.
//!
//! The tests print commands that they make up, and the fuzz entry prints every command that it was sent. One form of each is enough: no macros, lists
//! in parentheses, names in capitals.

mod annotate;
pub mod append;
mod extension;
mod mailbox;
mod message;
mod metadata;
mod notify;
mod search;
#[cfg(test)]
mod tests;

use super::command::{Command, Numbering, Tagged};
use super::extension::compress::Algorithm;
use super::syntax::flag::{Flags, SystemFlags};
use super::syntax::mailbox_name::{MailboxName, write_mailbox};
use super::syntax::name_encoding::NameEncoding;
use super::syntax::sequence_set::SequenceSet;
use super::syntax::string;

/// Appends a command without its last line end. `names` is how the client writes names of mailboxes.
pub fn command(out: &mut Vec<u8>, tagged: &Tagged, names: NameEncoding) {
    let mut printer = Printer { out, names, is_space_due: false };
    printer.word(tagged.tag.as_str());
    printer.command(&tagged.command);
}

/// Writes words with spaces between them.
struct Printer<'a> {
    out: &'a mut Vec<u8>,
    names: NameEncoding,
    /// Whether there is a word before, in the same parentheses.
    is_space_due: bool,
}

impl Printer<'_> {
    /// Begins a word, whose octets the caller appends.
    fn begin(&mut self) -> &mut Vec<u8> {
        if self.is_space_due {
            self.out.push(b' ');
        }
        self.is_space_due = true;
        self.out
    }

    fn word(&mut self, word: &str) {
        self.begin().extend_from_slice(word.as_bytes());
    }

    fn number(&mut self, number: u64) {
        super::reply::text::number(self.begin(), number);
    }

    fn astring(&mut self, octets: &[u8]) {
        string::write_astring(self.begin(), octets);
    }

    fn string(&mut self, octets: &[u8]) {
        string::write_string(self.begin(), octets);
    }

    fn set(&mut self, set: &SequenceSet) {
        set.write(self.begin());
    }

    /// The name as the client called it.
    fn mailbox(&mut self, mailbox: &MailboxName) {
        self.name(mailbox.sent_as().unwrap_or(mailbox.as_str()));
    }

    /// The name of a mailbox that is to be made, of which the parser takes a delimiter from the end.
    fn new_mailbox(&mut self, mailbox: &MailboxName) {
        let name = mailbox.sent_as().unwrap_or(mailbox.as_str());
        if name.len() > 1 && name.ends_with('/') {
            self.name(&format!("{name}/"));
        } else {
            self.name(name);
        }
    }

    /// The name of a mailbox, or a pattern.
    fn name(&mut self, name: &str) {
        let names = self.names;
        write_mailbox(self.begin(), name, names);
    }

    fn list(&mut self, inside: impl FnOnce(&mut Self)) {
        self.begin().push(b'(');
        self.is_space_due = false;
        inside(self);
        self.out.push(b')');
        self.is_space_due = true;
    }

    fn flags(&mut self, flags: &Flags) {
        self.list(|printer| {
            for (flag, name) in SystemFlags::NAMES {
                if flags.system.contains(flag) {
                    printer.word(name);
                }
            }
            for keyword in &flags.keywords {
                printer.word(keyword.as_str());
            }
        });
    }

    fn numbered(&mut self, numbering: Numbering, name: &str) {
        if numbering == Numbering::Uid {
            self.word("UID");
        }
        self.word(name);
    }

    fn command(&mut self, command: &Command) {
        match command {
            Command::Capability => self.word("CAPABILITY"),
            Command::Noop => self.word("NOOP"),
            Command::Logout => self.word("LOGOUT"),
            Command::StartTls => self.word("STARTTLS"),
            Command::Unauthenticate => self.word("UNAUTHENTICATE"),
            Command::Namespace => self.word("NAMESPACE"),
            Command::Check => self.word("CHECK"),
            Command::Close => self.word("CLOSE"),
            Command::Unselect => self.word("UNSELECT"),
            Command::Idle => self.word("IDLE"),
            Command::Notify(arguments) => self.notify(arguments),
            Command::Compress(Algorithm::Deflate) => self.word("COMPRESS DEFLATE"),
            Command::Compress(Algorithm::Other) => self.word("COMPRESS OTHER"),
            Command::Authenticate(arguments) => self.authenticate(arguments),
            Command::Login(arguments) => {
                self.word("LOGIN");
                self.astring(&arguments.user);
                self.astring(&arguments.password);
            }
            Command::Id(parameters) => self.id(parameters),
            Command::Enable(arguments) => {
                self.word("ENABLE");
                arguments.0.iter().for_each(|name| self.word(name));
            }
            Command::Select(arguments) => self.select("SELECT", arguments),
            Command::Examine(arguments) => self.select("EXAMINE", arguments),
            Command::Create(arguments) => self.create(arguments),
            Command::Delete(mailbox) => self.about("DELETE", mailbox),
            Command::Rename(arguments) => {
                self.about("RENAME", &arguments.from);
                self.new_mailbox(&arguments.to);
            }
            Command::Subscribe(mailbox) => self.about("SUBSCRIBE", mailbox),
            Command::Unsubscribe(mailbox) => self.about("UNSUBSCRIBE", mailbox),
            Command::List(arguments) => self.list_command(arguments),
            Command::Lsub(arguments) => {
                self.word("LSUB");
                self.name(&arguments.reference);
                self.name(&arguments.pattern);
            }
            Command::Status(arguments) => {
                self.about("STATUS", &arguments.mailbox);
                self.status_items(&arguments.items);
            }
            Command::Acl(command) => self.acl(command),
            Command::Metadata(command) => self.metadata(command),
            Command::Quota(command) => self.quota(command),
            Command::Expunge(None) => self.word("EXPUNGE"),
            Command::Expunge(Some(uids)) => {
                self.word("UID EXPUNGE");
                self.set(uids);
            }
            Command::GenUrlAuth(arguments) => self.gen_url_auth(arguments),
            Command::UrlFetch(arguments) => self.url_fetch(arguments),
            Command::ResetKey(arguments) => self.reset_key(arguments),
            Command::Search(arguments) => self.search(arguments),
            Command::Sort(arguments) => self.sort(arguments),
            Command::Thread(arguments) => self.thread(arguments),
            Command::MultiSearch(arguments) => self.multi_search(arguments),
            Command::CancelUpdate(arguments) => {
                self.word("CANCELUPDATE");
                arguments.0.iter().for_each(|tag| self.string(tag.as_str().as_bytes()));
            }
            Command::UidBatches(arguments) => {
                self.word("UIDBATCHES");
                self.number(u64::from(arguments.size));
                if let Some((first, last)) = arguments.batches {
                    self.word(&format!("{first}:{last}"));
                }
            }
            Command::Fetch(arguments) => self.fetch(arguments),
            Command::Store(arguments) => self.store(arguments),
            Command::Copy(arguments) => self.copy("COPY", arguments),
            Command::Move(arguments) => self.copy("MOVE", arguments),
        }
    }
}
