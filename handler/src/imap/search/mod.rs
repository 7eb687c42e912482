//! SEARCH and UID SEARCH (RFC 3501, 6.4.4): goes through the messages in turns, then tells the numbers found.

mod matching;

use std::sync::Arc;

use message::search::decode_charset;
use protocol::imap::Numbering;
use protocol::imap::command::Tag;
use protocol::imap::command::search::{SearchArguments, SearchCharset};
use protocol::imap::reply::code::Code;
use protocol::imap::reply::mailbox as reply;
use protocol::imap::reply::status::Condition;
use store::{Store, StoreError};

use self::matching::{Candidate, Condition as Match, Given};
use super::ending::{Ending, Tell};
use super::selected::Selected;
use super::untagged::Known;
use super::{Flow, ImapSession, Running, Stage};
use crate::conversation::{Next, Turn};
use crate::log;

/// How long a search may keep a worker before others have their turn, in milliseconds.
const TURN_MS: u64 = 20;
/// Texts that one search may look for in the content of messages: each decodes them anew.
const TEXTS_MAX: usize = 32;
/// Messages that are looked at between two looks at the clock.
const STRIDE: u32 = 64;

/// A SEARCH on its way.
pub(crate) struct Search {
    tag: Tag,
    numbering: Numbering,
    condition: Match,
    /// The next sequence number to look at.
    next: u32,
    /// What was found, and how many of it were told, once telling has begun.
    found: Vec<u32>,
    told: Option<usize>,
    failures: u32,
}

impl ImapSession {
    pub(super) fn begin_search(
        &mut self,
        tag: Tag,
        arguments: &SearchArguments,
        turn: &mut Turn<'_>,
    ) -> Flow {
        if decode_charset(charset(arguments), b"").is_none() {
            let code = Code::BadCharset(&["US-ASCII", "UTF-8"]);
            return self.refuse(turn, &tag, Condition::No, Some(code), "Unknown charset");
        }
        let Stage::Selected(_, selected) = &mut self.stage else { return Flow::Continue };
        match compile(selected, arguments, &turn.shared.store) {
            Ok(condition) if condition.texts() > TEXTS_MAX => {
                let text = "Too many texts to look for in messages";
                self.refuse(turn, &tag, Condition::No, Some(Code::Limit), text)
            }
            Ok(condition) => {
                self.running = Running::Search(Box::new(Search {
                    tag,
                    numbering: arguments.numbering,
                    condition,
                    next: 1,
                    found: Vec::new(),
                    told: None,
                    failures: 0,
                }));
                Flow::Continue
            }
            Err(error) => self.refuse_store(turn, &tag, &error),
        }
    }

    pub(super) fn go_on_search(&mut self, mut search: Box<Search>, turn: &mut Turn<'_>) -> Flow {
        let Stage::Selected(_, selected) = &mut self.stage else { return Flow::Continue };
        if search.told.is_none() {
            match search.look(selected, turn) {
                Ok(true) => {
                    reply::search_begin(turn.output.bytes());
                    search.told = Some(0);
                }
                Ok(false) => {
                    self.running = Running::Search(search);
                    return Flow::Wait(Next::Again);
                }
                Err(error) => return self.refuse_store(turn, &search.tag, &error),
            }
        }
        let told = search.told.get_or_insert(0);
        while let Some(&number) = search.found.get(*told) {
            if turn.output.is_full() {
                self.running = Running::Search(search);
                return Flow::Wait(Next::Output);
            }
            reply::search_number(turn.output.bytes(), number);
            *told += 1;
        }
        reply::search_end(turn.output.bytes());
        let tell = Tell::by(search.numbering, Known::default());
        if search.failures == 0 {
            return self.end(turn, search.tag, tell, "SEARCH completed");
        }
        let text = format!("{} messages could not be read", search.failures);
        let ending = Ending::with(search.tag, tell, Condition::No, Some(Code::ServerBug), &text);
        self.go_on_ending(Box::new(ending), turn)
    }
}

fn compile(selected: &mut Selected, arguments: &SearchArguments, store: &Store) -> Result<Match, StoreError> {
    let mailbox = selected.mailbox(store)?;
    let keywords = mailbox.keywords()?;
    let given = Given {
        exists: selected.view.exists(),
        last_uid: selected.last_uid(&mailbox)?,
        keywords: &keywords,
        charset: charset(arguments),
    };
    Ok(Match::compile(&arguments.key, &given))
}

/// The charset of the texts; those of US-ASCII are UTF-8 too, and clients that say neither mean UTF-8.
fn charset(arguments: &SearchArguments) -> &[u8] {
    match &arguments.charset {
        Some(SearchCharset::Other(name)) => name,
        Some(SearchCharset::UsAscii | SearchCharset::Utf8) | None => b"UTF-8",
    }
}

impl Search {
    /// Looks at messages for a while; true when all were looked at.
    fn look(&mut self, selected: &mut Selected, turn: &Turn<'_>) -> Result<bool, StoreError> {
        let store: Arc<Store> = Arc::clone(&turn.shared.store);
        let mailbox = selected.mailbox(&store)?;
        let cells = mailbox.cells()?;
        let mut records = store.records();
        let until_ms = turn.shared.now_ms() + TURN_MS;
        let exists = selected.view.exists();
        for (sequence, index) in selected.view.cells_in_seq_range(self.next..=exists) {
            if sequence.is_multiple_of(STRIDE) && turn.shared.now_ms() >= until_ms && sequence > self.next {
                self.next = sequence;
                return Ok(false);
            }
            let cell = cells.cell(index)?;
            let mut candidate = Candidate {
                store: &store,
                records: &mut records,
                sequence,
                cell: &cell,
                is_recent: selected.is_recent(cell.uid.get()),
            };
            match candidate.meets(&self.condition) {
                Ok(true) => self.found.push(match self.numbering {
                    Numbering::Sequence => sequence,
                    Numbering::Uid => cell.uid.get(),
                }),
                Ok(false) => {}
                Err(error) => {
                    log::error!(
                        "message not searched",
                        mailbox = selected.id.key(),
                        uid = cell.uid,
                        why = error
                    );
                    self.failures += 1;
                }
            }
        }
        Ok(true)
    }
}
