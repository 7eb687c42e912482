//! `lode demo`: a store in a folder of its own, a user with mail, and a router on ports of this machine alone. No root, no
//! settings, nothing outside the folder.

mod mail;

use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use clap::Args;
use config::{Listen, Settings};
use shm_abi::{AskError, ControlRequest, ask_router};

use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::output::print;
use crate::serve;
use crate::user::add_user;

/// Name and password of the user.
const USER: &str = "demo";

/// Ports that are tried one after another when the usual one is taken.
const PORTS_TRIED: u16 = 100;

/// Start a server with mail in it, to play with
#[derive(Debug, Args)]
#[command(
    after_help = "Needs no root and no settings. Everything is in one folder: the settings, the store with its mail, the users file. \
                        The server runs until Ctrl-C; started again with the same folder, it goes on with what is there.\n\n\
                        Examples:\n  lode demo\n  lode demo --dir /tmp/lode"
)]
pub(crate) struct Arguments {
    /// The folder [default: lode-demo in $XDG_DATA_HOME, else in ~/.local/share]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Make the folder and say what is in it, but do not start the server
    #[arg(long, hide = true)]
    prepare_only: bool,
}

/// The ports of a demonstration.
#[derive(Clone, Copy, Debug)]
struct Ports {
    imap: u16,
    pop3: u16,
    lmtp: u16,
}

/// Those it has unless something else listens there.
const USUAL_PORTS: Ports = Ports { imap: 1143, pop3: 1110, lmtp: 1024 };

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if !arguments.prepare_only {
        serve::find_program("router")?;
    }
    let folder = folder(arguments.dir.as_deref())?;
    let ports = Ports {
        imap: free_port(USUAL_PORTS.imap)?,
        pop3: free_port(USUAL_PORTS.pop3)?,
        lmtp: free_port(USUAL_PORTS.lmtp)?,
    };
    let context = Context { path: folder.join("lode.toml"), settings: settings(&folder, ports)? };
    let runtime = &context.settings.runtime.dir;
    make_folders(&[&folder, runtime])?;
    if !matches!(ask_router(runtime, ControlRequest::Status), Err(AskError::NotRunning | AskError::Io(_))) {
        return Err(Failure::Failed(format!(
            "a demo runs from {} already; stop it with Ctrl-C first, or give this one another folder with --dir",
            folder.display()
        )));
    }
    std::fs::write(&context.path, context.settings.to_text())
        .map_err(Failure::because(format!("cannot write {}", context.path.display())))?;
    if context.users()?.get(USER).is_none() {
        add_user(&context, USER, USER)?;
    }
    let (messages, mailboxes) = fill(&context)?;
    print(&instructions(&context, &folder, ports, messages, mailboxes))?;
    if arguments.prepare_only {
        return Ok(());
    }
    serve::run(&serve::Arguments {}, Some(&context.path))
}

/// The folder, as an absolute path, because the daemons may change theirs.
fn folder(argument: Option<&Path>) -> Result<PathBuf> {
    let chosen = match argument {
        Some(folder) => folder.to_owned(),
        None => {
            let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
            variable("XDG_DATA_HOME")
                .or_else(|| Some(variable("HOME")?.join(".local/share")))
                .ok_or_else(|| Failure::Usage("$HOME is not set; name a folder with --dir".to_owned()))?
                .join("lode-demo")
        }
    };
    std::path::absolute(&chosen).map_err(Failure::because(format!("cannot use {}", chosen.display())))
}

fn make_folders(folders: &[&Path]) -> Result<()> {
    for folder in folders {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(Failure::because(format!("cannot make the folder {}", folder.display())))?;
    }
    Ok(())
}

/// `usual`, or the next port that nobody listens on.
fn free_port(usual: u16) -> Result<u16> {
    (usual..usual + PORTS_TRIED)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .ok_or_else(|| {
            Failure::Failed(format!("no port from {usual} to {} is free", usual + PORTS_TRIED - 1))
        })
}

/// The settings of a demo in `folder`, checked.
fn settings(folder: &Path, ports: Ports) -> Result<Settings> {
    let listen = |port| vec![Listen::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))];
    let mut settings = Settings::default();
    settings.store.path = folder.join("store");
    settings.runtime.dir = folder.join("run");
    settings.auth.users = folder.join("users");
    settings.listen.imap = listen(ports.imap);
    settings.listen.pop3 = listen(ports.pop3);
    settings.listen.lmtp = listen(ports.lmtp);
    settings.handlers.max = 2;
    settings.handlers.sessions = 200;
    let problems = settings.check();
    if problems.is_empty() {
        Ok(settings)
    } else {
        Err(Failure::Failed(format!(
            "the folder {} cannot be used: {}; name another one with --dir",
            folder.display(),
            problems.join("; ")
        )))
    }
}

/// Puts the mail in, if there is none yet. How many messages and mailboxes there are.
fn fill(context: &Context) -> Result<(u64, usize)> {
    let mailboxes = context.mailboxes_of(USER)?;
    let count = || -> Result<(u64, usize)> {
        let list = mailboxes.list()?;
        let mut messages = 0;
        let mut count = 0;
        for entry in list.entries().iter().filter(|entry| !entry.placeholder) {
            let status = mailboxes.find(&entry.name)?.status();
            messages += u64::from(status.map_err(Failure::because("cannot read a mailbox"))?.exists);
            count += 1;
        }
        Ok((messages, count))
    };
    // A folder in which everything was deleted stays as it was left.
    if count()? == (0, 1) {
        mail::fill(&mailboxes)?;
    }
    let counted = count()?;
    mailboxes.close()?;
    Ok(counted)
}

fn instructions(context: &Context, folder: &Path, ports: Ports, messages: u64, mailboxes: usize) -> String {
    let lode = std::env::args().next().unwrap_or_else(|| "lode".to_owned());
    let settings = context.path.display();
    let Ports { imap, pop3, lmtp } = ports;
    let mut text = format!(
        "The Lode demo is in {}\n  IMAP 127.0.0.1:{imap}   POP3 127.0.0.1:{pop3}   LMTP 127.0.0.1:{lmtp}\n  \
         user demo, password demo; {messages} messages in {mailboxes} mailboxes\n",
        folder.display(),
    );
    for (name, usual, port) in
        [("IMAP", USUAL_PORTS.imap, imap), ("POP3", USUAL_PORTS.pop3, pop3), ("LMTP", USUAL_PORTS.lmtp, lmtp)]
    {
        if usual != port {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  NOTE: port {usual} is taken, so {name} is on port {port}.");
        }
    }
    let _ = write!(
        text,
        "\nIn another terminal:\n  \
         curl -s 'imap://demo:demo@127.0.0.1:{imap}/INBOX;UID=1'\n  \
         curl -s 'imap://demo:demo@127.0.0.1:{imap}/INBOX' -X 'SEARCH BODY heron'\n  \
         curl -s 'pop3://demo:demo@127.0.0.1:{pop3}/'\n  \
         neomutt -n -F /dev/null -f imap://demo:demo@127.0.0.1:{imap}/INBOX\n  \
         printf 'From: me@example.org\\nSubject: hello\\n\\nIt works.\\n' | {lode} deliver --user demo --config '{settings}'\n  \
         {lode} mailbox list --user demo --config '{settings}'\n  \
         {lode} who --config '{settings}'\n\n\
         Ctrl-C stops it; {lode} demo --dir '{folder}' starts it again;\n\
         rm -r '{folder}' deletes it, mail and all.\n",
        folder = folder.display(),
    );
    text
}
