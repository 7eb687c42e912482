//! ESEARCH (MULTISEARCH, RFC 7377): the same search in several mailboxes, one after the other, with a reply for each that has results.
//!
//! Mailboxes that the user may not read, or that are gone, are passed over (2.2). Each is looked at as it is when its turn comes; the selected one
//! as the session knows it.

use std::collections::HashSet;
use std::sync::Arc;

use message::search::decode_charset;
use protocol::imap::Numbering;
use protocol::imap::command::Tag;
use protocol::imap::command::search::{SearchCharset, SearchKey};
use protocol::imap::extension::mailbox_filter::MailboxFilter;
use protocol::imap::extension::multi_search::MultiSearchArguments;
use protocol::imap::extension::result_options::{ResultOption, ResultOptions};
use protocol::imap::reply::code::Code;
use protocol::imap::reply::esearch::Correlator;
use protocol::imap::reply::status::{self as reply, Condition};
use protocol::imap::syntax::mailbox_name::{HIERARCHY_DELIMITER, MailboxName};
use protocol::imap::syntax::name_encoding::NameEncoding;
use protocol::imap::syntax::sequence_set::NumberSet;
use store::view::View;
use store::{Mailbox, MailboxId, Pin, Right, StoreError, UserId};

use super::answer::Answer;
use super::condition::{Condition as Match, Given, charset_name};
use super::context::{Context, Results, without_sequence_numbers};
use super::finder::Finder;
use super::{TEXTS_MAX, Unsearchable, compile, kept, wanted};
use crate::clock;
use crate::conversation::{Next, Turn};
use crate::imap::ending::{Ending, Tell};
use crate::imap::in_progress::InProgress;
use crate::imap::names::{Unfound, below_other_users, name_of};
use crate::imap::selected::{Selected, uids_of_sequences};
use crate::imap::{Flow, ImapSession, Running, Stage};
use crate::log;

/// An ESEARCH on its way.
pub(crate) struct MultiSearch {
    tag: Tag,
    /// Who asks: everybody has a `\Seen` of their own.
    user: UserId,
    options: ResultOptions,
    charset: Option<SearchCharset>,
    key: SearchKey,
    names: NameEncoding,
    /// The mailboxes, and the next of them.
    sources: Vec<(MailboxId, String)>,
    next: usize,
    current: Option<Current>,
    progress: InProgress,
    failures: u32,
    /// UPDATE was asked for and could not be had.
    is_update_refused: bool,
    /// SAVE was asked for and could not be had.
    is_not_saved: bool,
}

/// The mailbox that is being searched.
struct Current {
    mailbox: Arc<Mailbox>,
    view: View,
    /// Keeps the places of cells that the view means.
    _pin: Pin,
    step: Step,
}

enum Step {
    Find(Box<Finder>),
    Tell(Answer),
}

impl ImapSession {
    pub(in crate::imap) fn begin_multi_search(
        &mut self,
        tag: Tag,
        arguments: MultiSearchArguments,
        turn: &mut Turn<'_>,
    ) -> Flow {
        let MultiSearchArguments { sources, options, charset, key } = arguments;
        let sources = sources.unwrap_or_else(|| vec![MailboxFilter::Selected]);
        let names_selected = sources.contains(&MailboxFilter::Selected);
        let is_selected_alone = sources.iter().all(|source| *source == MailboxFilter::Selected);
        let wrong = match &self.stage {
            Stage::Selected(_, selected) => {
                let is_used = options.has(ResultOption::Update) && selected.contexts.has(&tag);
                is_used.then_some("An earlier search with this tag is still kept up to date")
            }
            _ if names_selected || options.has(ResultOption::Update) => Some("No mailbox is selected"),
            _ => None,
        };
        let is_saved_wrongly = options.has(ResultOption::Save) && !is_selected_alone;
        if let Some(text) = wrong.or(is_saved_wrongly.then_some("SAVE goes with the selected mailbox alone"))
        {
            return self.refuse(turn, &tag, Condition::Bad, None, text);
        }
        let prepared = self.prepare_key(charset.as_ref(), &key, turn).and_then(|key| {
            match decode_charset(charset_name(charset.as_ref()), b"") {
                Some(_) => Ok(key.into_owned()),
                None => Err(Unsearchable::Charset),
            }
        });
        let prepared =
            prepared.and_then(|key| Ok((self.user_id()?, key, self.source_mailboxes(&sources, turn)?)));
        let (user, key, sources) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                let is_lost = options.has(ResultOption::Save) && !error.is_bad();
                if let (true, Stage::Selected(_, selected)) = (is_lost, &mut self.stage) {
                    selected.saved = NumberSet::default();
                }
                return self.refuse_unsearchable(turn, &tag, &error);
            }
        };
        self.running = Running::MultiSearch(Box::new(MultiSearch {
            tag,
            user,
            options,
            charset,
            key,
            names: self.enabled.names(),
            sources,
            next: 0,
            current: None,
            progress: InProgress::new(turn),
            failures: 0,
            is_update_refused: false,
            is_not_saved: false,
        }));
        Flow::Continue
    }

    pub(in crate::imap) fn go_on_multi_search(
        &mut self,
        mut search: Box<MultiSearch>,
        turn: &mut Turn<'_>,
    ) -> Flow {
        let selected = match &mut self.stage {
            Stage::Selected(_, selected) => Some(&mut **selected),
            _ => None,
        };
        match search.go_on(selected, turn) {
            Ok(Some(next)) => {
                self.running = Running::MultiSearch(search);
                Flow::Wait(next)
            }
            Ok(None) => self.end_multi_search(*search, turn),
            Err(error) => self.refuse_unsearchable(turn, &search.tag, &error),
        }
    }

    fn end_multi_search(&mut self, search: MultiSearch, turn: &mut Turn<'_>) -> Flow {
        if search.is_update_refused {
            let code = Code::NoUpdate(&search.tag);
            reply::untagged(
                turn.output.bytes(),
                Condition::No,
                Some(code),
                "Too many contexts, or too many gaps",
            );
        }
        let tell = Tell::Everything;
        let ending = if search.failures > 0 {
            let text = format!("{} messages or mailboxes could not be read", search.failures);
            Ending::with(search.tag, tell, Condition::No, Some(Code::ServerBug), &text)
        } else if search.is_not_saved {
            let text = "The result has too many gaps to be saved";
            Ending::with(search.tag, tell, Condition::No, Some(Code::NotSaved), text)
        } else {
            Ending::ok(search.tag, tell, "ESEARCH completed")
        };
        self.go_on_ending(Box::new(ending), turn)
    }

    /// The mailboxes that are meant, each once, with their names.
    pub(in crate::imap) fn source_mailboxes(
        &self,
        sources: &[MailboxFilter],
        turn: &Turn<'_>,
    ) -> Result<Vec<(MailboxId, String)>, StoreError> {
        let mut found = Vec::new();
        for source in sources {
            match source {
                MailboxFilter::Selected | MailboxFilter::SelectedDelayed => {
                    found.extend(self.selected_name(turn)?);
                }
                // Mail may be delivered to any of them (RFC 5465, 6.3).
                MailboxFilter::Inboxes | MailboxFilter::Personal => {
                    let list = turn.shared.store.mailbox_list(self.user_id()?)?;
                    let entries = list.entries().iter().filter(|entry| !entry.placeholder);
                    found.extend(entries.map(|entry| {
                        (MailboxId { user: list.user(), number: entry.number }, entry.name.clone())
                    }));
                }
                MailboxFilter::Subscribed => {
                    let list = turn.shared.store.mailbox_list(self.user_id()?)?;
                    let names: Vec<_> = list
                        .subscriptions()
                        .iter()
                        .filter_map(|name| MailboxName::from_utf8(name).ok())
                        .collect();
                    self.add_named(&names, turn, &mut found)?;
                }
                MailboxFilter::Mailboxes(names) => self.add_named(names, turn, &mut found)?,
                MailboxFilter::Subtree(names) => self.add_below(names, usize::MAX, turn, &mut found)?,
                MailboxFilter::SubtreeOne(names) => self.add_below(names, 1, turn, &mut found)?,
            }
        }
        let mut seen = HashSet::new();
        found.retain(|(id, _)| seen.insert(*id));
        Ok(found)
    }

    /// The selected mailbox and its name now.
    fn selected_name(&self, turn: &Turn<'_>) -> Result<Option<(MailboxId, String)>, StoreError> {
        let Stage::Selected(user, selected) = &self.stage else { return Ok(None) };
        let list = turn.shared.store.mailbox_list(selected.id.user)?;
        let Some(entry) = list.entries().iter().find(|entry| entry.number == selected.id.number) else {
            return Ok(None);
        };
        let name = if selected.id.user == user.id {
            entry.name.clone()
        } else {
            name_of(&turn.shared.store.user_name(selected.id.user)?, &entry.name)
        };
        Ok(Some((selected.id, name)))
    }

    fn add_named(
        &self,
        names: &[MailboxName],
        turn: &Turn<'_>,
        found: &mut Vec<(MailboxId, String)>,
    ) -> Result<(), StoreError> {
        for name in names {
            match self.find(name, Right::Read, turn) {
                Ok(mailbox) => found.push((mailbox.id, name.as_str().to_owned())),
                Err(Unfound::Store(error)) => return Err(error),
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// The mailboxes with these names, and those down to `levels` levels below them.
    fn add_below(
        &self,
        names: &[MailboxName],
        levels: usize,
        turn: &Turn<'_>,
        found: &mut Vec<(MailboxId, String)>,
    ) -> Result<(), StoreError> {
        let Some(user) = self.user() else { return Ok(()) };
        for name in names {
            let place = match self.place(name.as_str(), turn) {
                Ok(place) => place,
                Err(Unfound::Store(error)) => return Err(error),
                Err(_) => continue,
            };
            for entry in place.list.entries().iter().filter(|entry| !entry.placeholder) {
                let Some(below) = entry.name.strip_prefix(&place.name) else { continue };
                let is_below = below.is_empty()
                    || (below.starts_with(HIERARCHY_DELIMITER)
                        && below.matches(HIERARCHY_DELIMITER).count() <= levels);
                let rights = place.rights(entry, user);
                // What is not named itself must be visible, too.
                let may = rights.has(Right::Read) && (below.is_empty() || rights.has(Right::Lookup));
                if is_below && may {
                    let id = MailboxId { user: place.owner, number: entry.number };
                    found.push((id, format!("{}{below}", name.as_str())));
                }
            }
            debug_assert!(place.owner == user.id || below_other_users(name.as_str()).is_some());
        }
        Ok(())
    }
}

impl MultiSearch {
    /// Goes on until it must wait; `None` when all is told.
    fn go_on(
        &mut self,
        mut selected: Option<&mut Selected>,
        turn: &mut Turn<'_>,
    ) -> Result<Option<Next>, Unsearchable> {
        loop {
            if let Some(current) = &mut self.current {
                match &mut current.step {
                    Step::Tell(answer) => {
                        if !answer.write(turn.output) {
                            return Ok(Some(Next::Output));
                        }
                        self.current = None;
                    }
                    Step::Find(finder) => {
                        let (id, _) = self.sources[self.next - 1];
                        let is_done = finder.go_on(id, &current.mailbox, &current.view, turn)?;
                        if is_done {
                            self.tell(selected.as_deref_mut())?;
                        } else {
                            let (done, of) = (self.next as u64 - 1, self.sources.len() as u64);
                            self.progress.tell(turn, &self.tag, done, of);
                        }
                        return Ok(Some(Next::Again));
                    }
                }
            }
            let Some(&(id, _)) = self.sources.get(self.next) else { return Ok(None) };
            self.next += 1;
            let here = selected.as_deref_mut().filter(|selected| selected.id == id);
            match self.enter(id, here, turn) {
                Ok(current) => self.current = Some(current),
                Err(Unsearchable::Store(error)) if error.is_gone() => {}
                Err(Unsearchable::Store(error)) => {
                    log::error!("mailbox not searched", mailbox = id.key(), why = error);
                    self.failures += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Begins with a mailbox.
    fn enter(
        &self,
        id: MailboxId,
        selected: Option<&mut Selected>,
        turn: &Turn<'_>,
    ) -> Result<Current, Unsearchable> {
        let store = &turn.shared.store;
        let pin = store.pin(id)?;
        let (mailbox, view, condition) = match selected {
            Some(selected) => {
                let condition = compile(selected, self.charset.as_ref(), &self.key, store)?;
                (selected.mailbox(store)?, selected.view.clone(), condition)
            }
            None => {
                let mailbox = store.mailbox_as(id, self.user)?;
                let view = View::open(&mailbox)?;
                let given = Given {
                    mailbox: &mailbox,
                    reader: self.user,
                    view: &view,
                    keywords: &mailbox.keywords()?,
                    // Nothing is recent, or was found before, in a mailbox that is not selected.
                    recent: NumberSet::default(),
                    saved: &NumberSet::default(),
                    charset: charset_name(self.charset.as_ref()),
                    now: clock::now().seconds,
                };
                let condition = Match::compile(&self.key, &given)?;
                (mailbox, view, condition)
            }
        };
        if condition.texts() > TEXTS_MAX {
            return Err(Unsearchable::TooManyTexts);
        }
        let mut finder = Finder::new(condition).wanting(wanted(Some(&self.options)));
        if self.options.has(ResultOption::Relevancy) {
            finder = finder.scoring();
        }
        Ok(Current { mailbox, view, _pin: pin, step: Step::Find(Box::new(finder)) })
    }

    /// Makes the reply of a mailbox that was searched.
    fn tell(&mut self, selected: Option<&mut Selected>) -> Result<(), StoreError> {
        let Some(current) = &mut self.current else { return Ok(()) };
        let (id, name) = &self.sources[self.next - 1];
        let finder = match &mut current.step {
            Step::Find(finder) => std::mem::replace(&mut **finder, Finder::new(Match::False)),
            Step::Tell(_) => return Ok(()),
        };
        self.failures += finder.failures();
        let mut finder = finder;
        let scores = finder.take_scores();
        let found = finder.into_found();
        let cells = current.mailbox.cells()?;
        let uids = uids_of_sequences(&current.view, &cells, &found)?;
        if let Some(selected) = selected.filter(|selected| selected.id == *id) {
            if self.options.has(ResultOption::Save) {
                let kept = if self.failures > 0 { NumberSet::default() } else { kept(&self.options, &uids) };
                self.is_not_saved = !selected.save(kept);
            }
            if self.options.has(ResultOption::Update) {
                let key = without_sequence_numbers(&self.key, selected, &current.mailbox)?;
                self.is_update_refused = !selected.contexts.add(Context {
                    tag: self.tag.clone(),
                    numbering: Numbering::Uid,
                    charset: self.charset.clone(),
                    key,
                    new_items: self.options.new_items().to_vec(),
                    results: Results::InMailbox(uids.clone()),
                });
            }
        }
        // A mailbox without results is not mentioned (RFC 7377, 2.1).
        let answer = if uids.is_empty() || !self.options.wants_reply() {
            Answer::none()
        } else {
            let mailbox = Some((name.as_str(), self.names, current.mailbox.uid_validity()));
            let correlator = Correlator { tag: &self.tag, mailbox };
            Answer::esearch(correlator, Numbering::Uid, &self.options, uids.into_ranges(), scores)
        };
        current.step = Step::Tell(answer);
        Ok(())
    }
}
