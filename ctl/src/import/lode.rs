//! `lode import --format lode`: an export in Lode's own format. Users, mailboxes and messages come with the numbers they had wherever that can be.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use store::transfer::{ExportItem, ExportReader, ReadError};
use store::{Draft, Store, StoreError};

use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::import::progress::Progress;
use crate::into_store::{Facts, IntoStore, Policy, WhereThere, print_sums};
use crate::notify::Notifier;

/// Problems that are named one by one; the others are counted.
const NAMED_MAX: u64 = 20;
const BUFFER_BYTES: usize = 256 << 10;

/// What is asked for.
pub(crate) struct Wanted<'a> {
    pub(crate) path: &'a Path,
    /// Another user than the one in the file.
    pub(crate) user: Option<&'a str>,
    /// Everything goes below this mailbox.
    pub(crate) below: Option<&'a str>,
    pub(crate) keep_going: bool,
    pub(crate) json: bool,
}

/// Whether the file begins like an export in this format.
pub(crate) fn is_export(path: &Path) -> bool {
    let mut magic = [0; 8];
    path.is_file()
        && File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok()
        && &magic == b"LODEEXP1"
}

type Reader = ExportReader<BufReader<Box<dyn Read>>>;

/// The messages that are being read, and what became of them.
struct Run<'a> {
    wanted: &'a Wanted<'a>,
    store: &'a Arc<Store>,
    into: IntoStore<'a>,
    reader: Reader,
    progress: &'a Progress,
    problems: u64,
}

pub(crate) fn run(wanted: &Wanted<'_>, config: Option<&Path>) -> Result<()> {
    let context = Context::load(config)?;
    let name = wanted.path.display();
    let (input, octets): (Box<dyn Read>, u64) = if wanted.path == Path::new("-") {
        (Box::new(io::stdin().lock()), 0)
    } else {
        let file = File::open(wanted.path).map_err(Failure::because(format!("cannot read {name}")))?;
        let octets = file.metadata().map_or(0, |metadata| metadata.len());
        (Box::new(file), octets)
    };
    let unreadable = || Failure::because(format!("cannot import {name}"));
    let input = BufReader::with_capacity(BUFFER_BYTES, input);
    let mut reader = ExportReader::open(input).map_err(unreadable())?;
    let mut facts = Facts::default();
    while let Some(item) = reader.next_fact().map_err(unreadable())? {
        match item {
            ExportItem::Facts(changes) => facts.learn(changes),
            ExportItem::Unknown(kind) => note_unknown(kind),
            ExportItem::Message { .. } | ExportItem::End(_) => (),
        }
    }
    let user = context.known_user(wanted.user.unwrap_or(&facts.name))?;
    let store = context.open_store()?;
    let notifier = Notifier::attach(&context.settings.runtime.dir);
    let policy =
        Policy { where_there: WhereThere::Fill, below: wanted.below.map(str::to_owned), skip_numbers: false };
    let progress = Progress::new(octets);
    progress.begin(&user, octets);
    let into = IntoStore::begin(&store, &notifier, &user, &facts, &policy)?;
    let mut run = Run { wanted, store: &store, into, reader, progress: &progress, problems: 0 };
    let outcome = run.read_messages();
    let (problems, user_was_made) = (run.problems, run.into.user_was_made);
    let sums = run.into.finish()?;
    progress.finish();
    print_sums("imported", &user, user_was_made, &sums, wanted.json)?;
    store.close().map_err(Failure::because("cannot close the store"))?;
    outcome?;
    match problems {
        0 => Ok(()),
        1 => Err(Failure::Failed("there was 1 problem, named above".to_owned())),
        problems => Err(Failure::Failed(format!("there were {problems} problems, named above"))),
    }
}

impl Run<'_> {
    fn read_messages(&mut self) -> Result<()> {
        loop {
            let mut draft: Option<Draft> = None;
            let item = self.reader.next(&mut |octets| {
                let draft = match &mut draft {
                    Some(draft) => draft,
                    None => draft.insert(self.store.draft()?),
                };
                draft.write(octets)
            });
            self.progress.set_done(self.reader.offset());
            match item {
                Ok(None) => return Ok(()),
                Ok(Some(ExportItem::Message { mailbox, added, annotations })) => {
                    let written = draft.map_or_else(|| self.store.draft(), Ok).and_then(Draft::finish);
                    let content = written.map_err(stopped)?;
                    if self.into.wants(mailbox, content.len(), content.hash()).map_err(stopped)?
                        && let Err(why) = self.into.put(mailbox, &added, annotations, content)?
                    {
                        let name = self.into.name_of(mailbox).to_owned();
                        self.problem(&format!("message {} of {name}: {why}", added.uid));
                    }
                }
                Ok(Some(ExportItem::Unknown(kind))) => note_unknown(kind),
                Ok(Some(ExportItem::Facts(_) | ExportItem::End(_))) => (),
                Err(ReadError::Refused(error)) => return Err(stopped(error)),
                Err(error @ ReadError::Damaged { .. }) => {
                    let what = format!("{} is {error}", self.wanted.path.display());
                    if !self.wanted.keep_going {
                        return Err(Failure::Failed(format!(
                            "{what}; what came before is imported. --keep-going goes on behind damage, and nothing that is there is doubled"
                        )));
                    }
                    self.problem(&what);
                    if !self.reader.skip_damage().map_err(Failure::because("cannot read on"))? {
                        return Ok(());
                    }
                }
                Err(error) => return Err(Failure::because("cannot read on")(error)),
            }
        }
    }

    fn problem(&mut self, what: &str) {
        self.problems += 1;
        if self.problems <= NAMED_MAX {
            self.progress.note(what);
        }
    }
}

fn note_unknown(kind: u8) {
    eprintln!("lode: left out something of type {kind}, which this release does not know");
}

fn stopped(error: StoreError) -> Failure {
    let hint = if error.is_out_of_space() { " (make room, then run the import again)" } else { "" };
    Failure::Failed(format!("the import stopped: {error}{hint}"))
}
