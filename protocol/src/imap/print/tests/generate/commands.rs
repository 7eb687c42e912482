//! Commands, but for what is in those about messages.

use super::Draw;
use crate::imap::command::Command;
use crate::imap::command::authenticate::AuthenticateArguments;
use crate::imap::command::list::{ListArguments, ListForm, ListReturn, ListSelection, LsubArguments};
use crate::imap::command::mailbox::{CreateArguments, RenameArguments, SelectArguments};
use crate::imap::command::session::LoginArguments;
use crate::imap::command::status::{StatusArguments, StatusItem};
use crate::imap::extension::acl::AclCommand;
use crate::imap::extension::compress::Algorithm;
use crate::imap::extension::context::CancelUpdateArguments;
use crate::imap::extension::enable::EnableArguments;
use crate::imap::extension::id::IdParameters;
use crate::imap::extension::metadata::EntryName;
use crate::imap::extension::qresync::{QResync, SelectParameters, SequenceMatch};
use crate::imap::extension::special_use::SpecialUse;
use crate::imap::extension::uid_batches::UidBatchesArguments;
use crate::imap::extension::urlauth::{
    GenUrlAuthArguments, ResetKeyArguments, UrlContent, UrlFetchArguments, UrlFetchItem, UrlFetchParameters,
};
use crate::imap::syntax::mailbox_name::MailboxName;
use crate::imap::syntax::name_encoding::NameEncoding;
use crate::imap::syntax::sequence_set::SequenceSet;

impl Draw {
    pub(in super::super) fn command(&mut self, names: NameEncoding) -> Command {
        match self.below(38) {
            0 => self.one(&[
                Command::Capability,
                Command::Noop,
                Command::Logout,
                Command::StartTls,
                Command::Unauthenticate,
                Command::Namespace,
                Command::Check,
                Command::Close,
                Command::Unselect,
                Command::Idle,
                Command::Compress(Algorithm::Deflate),
                Command::Compress(Algorithm::Other),
                Command::Expunge(None),
            ]),
            1 => Command::Authenticate(AuthenticateArguments {
                mechanism: self.one(&["PLAIN", "SCRAM-SHA-256", "X_1"]).to_owned(),
                initial: self.maybe(2, Draw::text),
            }),
            2 => Command::Login(LoginArguments { user: self.text(), password: self.text() }),
            3 => Command::Id(IdParameters(self.some(0, 4, |draw| {
                let field = draw.words().into_bytes();
                (field, draw.maybe(2, |draw| draw.words().into_bytes()))
            }))),
            4 => Command::Enable(EnableArguments(self.some(1, 4, |draw| draw.atom().to_ascii_uppercase()))),
            5 => Command::Select(self.select(names)),
            6 => Command::Examine(self.select(names)),
            7 => Command::Create(CreateArguments {
                mailbox: self.new_mailbox(names),
                special_use: self.each_once(&SpecialUse::EVERY),
            }),
            8 => Command::Delete(self.mailbox(names)),
            9 => Command::Rename(RenameArguments { from: self.mailbox(names), to: self.new_mailbox(names) }),
            10 => Command::Subscribe(self.mailbox(names)),
            11 => Command::Unsubscribe(self.mailbox(names)),
            12 | 13 => Command::List(self.list_arguments()),
            14 => Command::Lsub(LsubArguments { reference: self.words(), pattern: self.words() }),
            15 => {
                Command::Status(StatusArguments { mailbox: self.mailbox(names), items: self.status_items() })
            }
            16 => Command::Acl(self.acl(names)),
            17 => Command::Expunge(Some(self.set())),
            18 => Command::GenUrlAuth(GenUrlAuthArguments(
                self.some(1, 3, |draw| (draw.text(), draw.one(&["INTERNAL", "X-1.2"]).to_owned())),
            )),
            19 => Command::UrlFetch(UrlFetchArguments(self.some(1, 3, Draw::url_fetch_item))),
            20 => Command::ResetKey(self.reset_key(names)),
            21 => Command::CancelUpdate(CancelUpdateArguments(self.some(1, 3, Draw::tag))),
            22 => Command::UidBatches(UidBatchesArguments {
                size: self.number_32(),
                batches: self.maybe(2, |draw| (draw.number_32(), draw.number_32())),
            }),
            23 => Command::MultiSearch(self.multi_search(names)),
            24 => Command::Sort(self.sort()),
            25 => Command::Thread(self.thread()),
            26 | 27 => Command::Search(self.search()),
            28 => Command::Store(self.store()),
            29 => Command::Copy(self.copy(names)),
            31 | 32 => Command::Metadata(self.metadata(names)),
            33 => Command::Quota(self.quota(names)),
            34 => Command::Notify(self.notify(names)),
            30 => Command::Move(self.copy(names)),
            _ => Command::Fetch(self.fetch()),
        }
    }

    fn status_items(&mut self) -> Vec<StatusItem> {
        let mut items = self.each_once(&[
            StatusItem::Recent,
            StatusItem::UidNext,
            StatusItem::UidValidity,
            StatusItem::Unseen,
            StatusItem::Size,
            StatusItem::Deleted,
            StatusItem::MailboxId,
            StatusItem::AppendLimit,
            StatusItem::HighestModSeq,
            StatusItem::DeletedStorage,
        ]);
        items.push(StatusItem::Messages);
        items
    }

    /// A name as CREATE and RENAME leave it.
    fn new_mailbox(&mut self, names: NameEncoding) -> MailboxName {
        self.mailbox(names).without_last_delimiter()
    }

    fn select(&mut self, names: NameEncoding) -> SelectArguments {
        let mailbox = self.mailbox(names);
        let qresync = self.maybe(2, |draw| QResync {
            uid_validity: draw.number_32(),
            modseq: draw.number(1, i64::MAX as u64),
            known_uids: draw.maybe(2, |draw| draw.numbers(false)),
            sequence_match: draw.maybe(2, Draw::sequence_match),
        });
        SelectArguments {
            mailbox,
            parameters: SelectParameters { condstore: self.chance(3), qresync, annotate: self.chance(3) },
        }
    }

    fn sequence_match(&mut self) -> SequenceMatch {
        let (first, uid, more) = (1 + self.below(9), 10 + self.below(90), self.below(9));
        let sequences = format!("{first}:{},100,200:201", first + more);
        let uids = format!("{uid}:{},4294967293:4294967295", uid + more);
        let [sequences, uids] = [sequences, uids].map(|text| self.parsed(&text, SequenceSet::parse));
        SequenceMatch::new(sequences, uids).expect("as many")
    }

    fn list_arguments(&mut self) -> ListArguments {
        let (reference, pattern) = (self.words(), self.words());
        if self.chance(3) {
            return ListArguments { reference, patterns: vec![pattern], ..ListArguments::default() };
        }
        let (subscribed, special_use) = (self.chance(3), self.chance(3));
        let selection = ListSelection {
            subscribed,
            special_use,
            remote: self.chance(3),
            recursive_match: (subscribed || special_use) && self.chance(2),
        };
        let entries = ["/shared/comment", "/private/x\"y", "/private/vendor/a"];
        let entries = entries.map(|name| EntryName::new(name.as_bytes()).expect("the name of an entry"));
        let returns = ListReturn {
            subscribed: subscribed || self.chance(2),
            special_use: special_use || self.chance(2),
            children: self.chance(2),
            status: self.maybe(2, Draw::status_items),
            my_rights: self.chance(2),
            metadata: self.each_once(&entries),
        };
        let patterns = self.some(1, 3, Draw::words);
        ListArguments { selection, reference, patterns, returns, form: ListForm::Extended }
    }

    fn acl(&mut self, names: NameEncoding) -> AclCommand {
        let mailbox = self.mailbox(names);
        let whose = self.one(&["anyone", "-bob", "\"a b\"", "{2}\r\n\u{e9}"]);
        let rights = self.one(&["lrs", "+te", "-x0", "\"\"", "+"]);
        let parsed = self.parsed(&format!(" x {whose} {rights}"), AclCommand::parse_set);
        let AclCommand::SetAcl { identifier, modification, .. } = parsed else {
            panic!("SETACL is {parsed:?}");
        };
        match self.below(5) {
            0 => AclCommand::GetAcl(mailbox),
            1 => AclCommand::MyRights(mailbox),
            2 => AclCommand::DeleteAcl(mailbox, identifier),
            3 => AclCommand::ListRights(mailbox, identifier),
            _ => AclCommand::SetAcl { mailbox, identifier, modification },
        }
    }

    fn url_fetch_item(&mut self) -> UrlFetchItem {
        let content = self.maybe(2, |draw| draw.one(&[UrlContent::Body, UrlContent::Binary]));
        let parameters = UrlFetchParameters { structure: self.chance(2), content };
        let parameters = Some(parameters).filter(|given| *given != UrlFetchParameters::default());
        UrlFetchItem { url: self.text(), parameters }
    }

    fn reset_key(&mut self, names: NameEncoding) -> ResetKeyArguments {
        if self.chance(3) {
            return ResetKeyArguments::All;
        }
        let mechanisms = self.some(0, 2, |draw| draw.one(&["INTERNAL", "X.1"]).to_owned());
        ResetKeyArguments::Mailbox(self.mailbox(names), mechanisms)
    }
}
