//! Sessions in several processes on one mailbox, all changing it at once, against a model.
//!
//! Each session keeps the view that RFC 3501 lets a client keep: a list of messages, changed by EXISTS, EXPUNGE and FETCH alone. It
//! checks every reply against that view. In the end all views, a new session's view and the model agree.
//!
//! The model needs no order between sessions: every session sets and clears only its own keyword, and a message is only ever
//! expunged, never brought back. So the last acknowledged command of a session decides about its keyword.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tests::imap::{Event, Imap, Reply, Status, event};
use tests::mail;
use tests::random::{Random, seed};
use tests::server::{Options, Server};

const SESSIONS: usize = 6;

/// What all sessions together have acknowledged.
#[derive(Default)]
struct Model {
    /// ids of messages that were delivered, appended or copied.
    added: BTreeSet<String>,
    /// UIDs that were marked \Deleted by somebody, acknowledged or not.
    marked: BTreeSet<u32>,
    /// UIDs that an acknowledged UID EXPUNGE named.
    expunged: BTreeSet<u32>,
    /// UID → session → whether its keyword was set last. A command without a known end leaves nothing.
    keywords: BTreeMap<u32, BTreeMap<usize, bool>>,
    /// UIDs from APPENDUID and COPYUID.
    uids: BTreeSet<u32>,
    /// UID of a copy → UID of its original, whose \Deleted it may have inherited.
    originals: BTreeMap<u32, u32>,
}

impl Model {
    /// Whether the message, or one that it is a copy of, was marked \Deleted.
    fn may_be_gone(&self, uid: u32) -> bool {
        let mut line = std::iter::successors(Some(uid), |uid| self.originals.get(uid).copied());
        line.any(|uid| self.marked.contains(&uid))
    }
}

#[derive(Clone, Debug, Default)]
struct Message {
    uid: Option<u32>,
    flags: Option<Vec<String>>,
}

/// Whether a command may be answered with EXPUNGE (RFC 3501, section 7.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Numbers {
    /// FETCH, STORE, SEARCH: sequence numbers stay.
    Stay,
    /// Anything else.
    MayMove,
}

struct Session {
    index: usize,
    imap: Imap,
    view: Vec<Message>,
}

impl Session {
    fn open(server: &Server, index: usize) -> Session {
        let mut imap = server.imap("ann");
        let reply = imap.ok("SELECT INBOX");
        let view = vec![Message::default(); reply.exists().unwrap_or(0) as usize];
        Session { index, imap, view }
    }

    fn keyword(&self) -> String {
        format!("$Session{}", self.index)
    }

    /// Runs a command and takes its untagged replies into the view.
    #[track_caller]
    fn run(&mut self, command: &str, numbers: Numbers) -> Reply {
        let reply = self
            .imap
            .command(command)
            .unwrap_or_else(|fault| panic!("session {}: {command}: {fault}", self.index));
        assert_ne!(reply.status, Status::Bad, "session {}: {command}: {}", self.index, reply.text);
        for line in &reply.untagged {
            self.take(line, command, numbers);
        }
        reply
    }

    #[track_caller]
    fn take(&mut self, line: &[u8], command: &str, numbers: Numbers) {
        let place = format!("session {}, {command}: {}", self.index, String::from_utf8_lossy(line));
        match event(line).unwrap_or_else(|fault| panic!("{place}: {fault}")) {
            Event::Exists(count) => {
                assert!(count as usize >= self.view.len(), "{place}: EXISTS falls from {}", self.view.len());
                self.view.resize(count as usize, Message::default());
            }
            Event::Expunge(seq) => {
                assert_eq!(numbers, Numbers::MayMove, "{place}: EXPUNGE is forbidden here");
                let index = (seq as usize).checked_sub(1).filter(|index| *index < self.view.len());
                self.view.remove(index.unwrap_or_else(|| panic!("{place}: there is no such message")));
            }
            Event::Fetch(fetch) => {
                let uid = fetch.uid();
                let index = (fetch.seq as usize).checked_sub(1).filter(|index| *index < self.view.len());
                let index = index.unwrap_or_else(|| panic!("{place}: of {} messages", self.view.len()));
                if let (Some(uid), Some(known)) = (uid, self.view[index].uid) {
                    assert_eq!(uid, known, "{place}: the sequence number moved");
                }
                let neighbours = |message: &Message| message.uid;
                if let Some(uid) = uid {
                    let before = self.view[..index].iter().filter_map(neighbours).max();
                    let after = self.view[index + 1..].iter().filter_map(neighbours).min();
                    assert!(before.is_none_or(|before| before < uid), "{place}: UID not above {before:?}");
                    assert!(after.is_none_or(|after| after > uid), "{place}: UID not below {after:?}");
                    self.view[index].uid = Some(uid);
                }
                if let Some(mut flags) = fetch.flags() {
                    flags.retain(|flag| flag != "\\Recent");
                    self.view[index].flags = Some(flags);
                }
            }
            Event::Search(found) => {
                if !command.starts_with("UID") {
                    let all = found.iter().all(|seq| *seq >= 1 && *seq as usize <= self.view.len());
                    assert!(all, "{place}: beyond {} messages", self.view.len());
                }
            }
            Event::Bye => panic!("{place}"),
            Event::Other => {}
        }
    }

    /// After a silent change of its own a session does not know a message's flags from replies alone.
    fn forget_flags(&mut self, uid: u32) {
        self.view
            .iter_mut()
            .filter(|message| message.uid == Some(uid))
            .for_each(|message| message.flags = None);
    }

    fn known(&self, random: &mut Random) -> Option<u32> {
        let uids: Vec<u32> = self.view.iter().filter_map(|message| message.uid).collect();
        random.pick(&uids).copied()
    }

    /// One random step.
    fn step(&mut self, server: &Server, model: &Mutex<Model>, random: &mut Random) {
        let locked = || model.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let count = self.view.len();
        match random.below(100) {
            0..12 => {
                let id = format!("s{}-{:x}", self.index, random.bits());
                let mut lmtp = server.lmtp();
                let accepted = lmtp.deliver(&[&server.user("ann")], &mail::small(&id)).expect("a reply");
                assert_eq!(accepted, [true]);
                locked().added.insert(id);
            }
            12..22 => {
                let id = format!("s{}-{:x}", self.index, random.bits());
                let reply = self.imap.append("INBOX", "", &mail::small(&id)).expect("a reply to APPEND");
                assert_eq!(reply.status, Status::Ok, "{}", reply.text);
                for line in &reply.untagged {
                    self.take(line, "APPEND", Numbers::MayMove);
                }
                let uid = reply.code_number("APPENDUID", 1).expect("APPENDUID");
                let mut model = locked();
                model.added.insert(id);
                assert!(model.uids.insert(uid), "UID {uid} was given twice");
            }
            22..40 => {
                let Some(uid) = self.known(random) else { return };
                let set = random.below(2) == 0;
                let sign = if set { '+' } else { '-' };
                let silent = if random.below(3) == 0 { ".SILENT" } else { "" };
                let keyword = self.keyword();
                let reply =
                    self.run(&format!("UID STORE {uid} {sign}FLAGS{silent} ({keyword})"), Numbers::MayMove);
                if !silent.is_empty() {
                    self.forget_flags(uid);
                }
                let mut model = locked();
                let entry = model.keywords.entry(uid).or_default();
                if reply.status == Status::Ok {
                    entry.insert(self.index, set)
                } else {
                    entry.remove(&self.index)
                };
            }
            40..48 => {
                if count == 0 {
                    return;
                }
                let seq = 1 + random.below(count);
                let Some(uid) = self.view[seq - 1].uid else { return };
                let keyword = self.keyword();
                let reply = self.run(&format!("STORE {seq} +FLAGS ({keyword})"), Numbers::Stay);
                let mut model = locked();
                let entry = model.keywords.entry(uid).or_default();
                if reply.status == Status::Ok {
                    entry.insert(self.index, true)
                } else {
                    entry.remove(&self.index)
                };
            }
            48..56 => {
                let Some(uid) = self.known(random) else { return };
                let reply = self.run(&format!("UID COPY {uid} INBOX"), Numbers::MayMove);
                if reply.status == Status::Ok
                    && let Some(copy) = reply.code_number("COPYUID", 2)
                {
                    let mut model = locked();
                    assert!(model.uids.insert(copy), "UID {copy} was given twice");
                    model.originals.insert(copy, uid);
                }
            }
            56..62 => {
                // Keeps the mailbox from growing for ever: a message is marked and expunged by its UID.
                if count < 20 {
                    return;
                }
                let Some(uid) = self.known(random) else { return };
                locked().marked.insert(uid);
                self.run(&format!("UID STORE {uid} +FLAGS.SILENT (\\Deleted)"), Numbers::MayMove);
                self.forget_flags(uid);
                let reply = self.run(&format!("UID EXPUNGE {uid}"), Numbers::MayMove);
                if reply.status == Status::Ok {
                    locked().expunged.insert(uid);
                }
            }
            62..64 => {
                self.run("EXPUNGE", Numbers::MayMove);
            }
            64..74 => {
                if count > 0 {
                    let from = 1 + random.below(count);
                    let to = (from + random.below(10)).min(count);
                    let reply = self.run(&format!("FETCH {from}:{to} (UID FLAGS)"), Numbers::Stay);
                    if reply.status == Status::Ok {
                        let seqs: BTreeSet<u32> = reply.fetches().iter().map(|fetch| fetch.seq).collect();
                        assert!(seqs.iter().all(|seq| *seq as usize <= self.view.len()));
                    }
                }
            }
            74..80 => {
                if count > 0 {
                    let seq = 1 + random.below(count);
                    self.run(&format!("FETCH {seq} (UID BODY.PEEK[HEADER.FIELDS (X-Id)])"), Numbers::Stay);
                }
            }
            80..86 => {
                let keyword = self.keyword();
                self.run(&format!("SEARCH KEYWORD {keyword}"), Numbers::Stay);
            }
            86..90 => {
                self.run("UID FETCH 1:* (FLAGS)", Numbers::MayMove);
            }
            90..93 => self.idle(random),
            _ => {
                self.run("NOOP", Numbers::MayMove);
            }
        }
    }

    fn idle(&mut self, random: &mut Random) {
        let tag = self.imap.begin("IDLE").expect("sent");
        let until = Instant::now() + Duration::from_millis(random.below(40) as u64);
        loop {
            let line = self.imap.response().expect("a continuation");
            if line.starts_with(b"+") {
                break;
            }
            self.take(&line, "IDLE", Numbers::MayMove);
        }
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            if self.imap.stream().ready(left) {
                let line = self.imap.response().expect("news");
                self.take(&line, "IDLE", Numbers::MayMove);
            }
        }
        self.imap.stream().send(b"DONE\r\n").expect("sent");
        let reply = self.imap.finish(&tag).expect("the end of IDLE");
        for line in &reply.untagged {
            self.take(line, "IDLE", Numbers::MayMove);
        }
    }
}

/// UID → flags, from a session's own view.
fn summary(session: &mut Session) -> BTreeMap<u32, Vec<String>> {
    session.run("NOOP", Numbers::MayMove);
    // What the session was told in pieces must be what a whole FETCH says.
    let told = session.view.clone();
    session.run("FETCH 1:* (UID FLAGS)", Numbers::Stay);
    for (seq, (before, now)) in told.iter().zip(&session.view).enumerate() {
        if let Some(flags) = &before.flags {
            assert_eq!(
                Some(flags),
                now.flags.as_ref(),
                "session {}: message {} UID {:?} changed without a word",
                session.index,
                seq + 1,
                now.uid
            );
        }
    }
    let view = session.view.iter();
    view.map(|message| (message.uid.expect("a UID"), message.flags.clone().expect("flags"))).collect()
}

#[test]
fn sessions_agree_with_each_other_and_the_model() {
    let seed = seed();
    let time = Duration::from_secs(if tests::full() { 60 } else { 8 });
    let server = Server::with(Options::default().handlers(4, 4));
    let model = Mutex::new(Model::default());
    for index in 0..10 {
        let id = format!("first{index}");
        server.deliver("ann", &mail::small(&id));
        model.lock().expect("no panic yet").added.insert(id);
    }
    let mut sessions: Vec<Session> = (0..SESSIONS).map(|index| Session::open(&server, index)).collect();
    if server.is_lode() {
        assert!(server.handlers().len() >= 2, "all sessions are in one process");
    }
    let steps: usize = std::thread::scope(|scope| {
        let workers: Vec<_> = sessions
            .iter_mut()
            .map(|session| {
                let (server, model) = (&server, &model);
                scope.spawn(move || {
                    let mut random = Random::new(seed.wrapping_add(session.index as u64 * 7919));
                    let end = Instant::now() + time;
                    let mut steps = 0;
                    while Instant::now() < end {
                        session.step(server, model, &mut random);
                        steps += 1;
                    }
                    steps
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().expect("a session failed")).sum()
    });
    println!("{steps} steps in {SESSIONS} sessions");
    assert!(steps > SESSIONS * 10);

    let mut fresh = Session::open(&server, SESSIONS);
    let truth = summary(&mut fresh);
    for session in &mut sessions {
        assert_eq!(truth, summary(session), "session {} sees something else than a new one", session.index);
    }
    let model = model.lock().expect("no panic");
    for uid in &model.expunged {
        assert!(!truth.contains_key(uid), "UID {uid} was expunged and is there");
    }
    for uid in &model.uids {
        assert!(truth.contains_key(uid) || model.may_be_gone(*uid), "UID {uid} was acknowledged and is gone");
    }
    for (uid, flags) in &truth {
        for (index, set) in model.keywords.get(uid).into_iter().flatten() {
            let has = flags.contains(&format!("$Session{index}"));
            assert_eq!(has, *set, "UID {uid}: keyword of session {index}, flags {flags:?}");
        }
    }
    // Every message that was added and never marked is there, by what is in it.
    let mut ids = BTreeSet::new();
    for fetch in fresh.run("FETCH 1:* (UID BODY.PEEK[HEADER.FIELDS (X-Id)])", Numbers::Stay).fetches() {
        let header = fetch
            .items
            .iter()
            .find(|(name, _)| name.starts_with("BODY[HEADER"))
            .map(|(_, value)| value.text());
        ids.insert(mail::id(header.unwrap_or_default().as_bytes()).expect("an id"));
    }
    let gone: Vec<&String> = model.added.iter().filter(|id| !ids.contains(*id)).collect();
    assert!(
        gone.len() <= model.marked.len(),
        "{} messages are gone, {} were marked",
        gone.len(),
        model.marked.len()
    );
    println!("{} messages at the end, {} expunged", truth.len(), model.expunged.len());
}
