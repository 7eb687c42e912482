#![allow(unsafe_code)]
//! Starts a handler: its row, its channel, its process, and the wait for its start event.
//!
//! The one place of `unsafe` in this crate: what happens in the child between fork and exec.

use crate::process::HandlerProcess;
use crate::server::Notice;
use shm_abi::{Channel, Table};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::{env, io, thread};

use crate::handlers::Running;

/// Where a handler finds its channel.
const CHANNEL_DESCRIPTOR: i32 = 3;
/// Where the other programs are when they are not beside the router.
pub(crate) const INSTALLED: &str = "/usr/libexec/lode";
/// How long a handler may take to start; it may have to recover its store first.
const START_SECONDS: u32 = 120;

/// Another of the daemons' programs: beside this one, or where it is installed.
pub(crate) fn find_program(name: &str) -> Result<PathBuf, String> {
    let beside = env::current_exe().ok().and_then(|own| own.parent().map(|dir| dir.join(name)));
    let places = [beside, Some(Path::new(INSTALLED).join(name))];
    places
        .into_iter()
        .flatten()
        .find(|path| path.is_file())
        .ok_or_else(|| format!("there is no program {name} beside this one, and none in {INSTALLED}"))
}

/// Starts a process in the free row `handler`. The caller sends the hello.
pub(crate) fn start(
    program: &Path,
    table: &Arc<Table>,
    handler: u32,
    clock: (u64, u64),
    notices: &mpsc::Sender<Notice>,
    waker: &Arc<mio::Waker>,
) -> io::Result<Running> {
    let (now_ms, wall_ms) = clock;
    let generation = table
        .begin_handler(handler, wall_ms)
        .ok_or_else(|| io::Error::other("the handler's row in the shared table is not free"))?;
    let started = Channel::pair().and_then(|(ours, theirs)| {
        ours.set_nonblocking(true)?;
        Ok((HandlerProcess::of_child(execute(program, &theirs)?)?, ours))
    });
    let (process, channel) = match started {
        Ok(started) => started,
        Err(error) => {
            table.clear_handler(handler);
            return Err(error);
        }
    };
    table.handler(handler).set_process(process.identity());
    let awaited = wait_apart(table.clone(), handler, generation, notices.clone(), waker.clone());
    Ok(Running { awaited, ..Running::new(process, channel, generation, now_ms) })
}

/// Starts a program with its end of a channel.
pub(crate) fn execute(program: &Path, channel: &Channel) -> io::Result<Child> {
    let descriptor = channel.as_raw_fd();
    let mut command = Command::new(program);
    // A process group of its own: an interrupt typed at a terminal goes to the router, which ends handlers in order.
    command.env("LODE_CHANNEL_FD", CHANNEL_DESCRIPTOR.to_string()).stdin(Stdio::null()).process_group(0);
    for variable in crate::notify::VARIABLES {
        command.env_remove(variable);
    }
    // SAFETY: between fork and exec this makes system calls only; it allocates nothing and takes no lock. Descriptor 3
    // is not the pipe on which `Command` reports: `main` sees to it that 3 is taken before.
    unsafe {
        command.pre_exec(move || {
            // Whatever the router itself was started with stays behind.
            libc::syscall(libc::SYS_close_range, 4u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
            let done = if descriptor == CHANNEL_DESCRIPTOR {
                libc::fcntl(descriptor, libc::F_SETFD, 0)
            } else {
                libc::dup2(descriptor, CHANNEL_DESCRIPTOR)
            };
            if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
        });
    }
    command.spawn()
}

/// Waits for the start event in a thread of its own, so that connections go on, and reports how it ended. Without a
/// thread the handler's `Ready` does; the answer says whether there will be a notice.
fn wait_apart(
    table: Arc<Table>,
    handler: u32,
    generation: u32,
    notices: mpsc::Sender<Notice>,
    waker: Arc<mio::Waker>,
) -> bool {
    let wait = move || {
        let outcome = table.wait_for_start(handler, generation, START_SECONDS);
        // Both fail only when the router is ending.
        let _ = notices.send(Notice { handler, generation, outcome });
        let _ = waker.wake();
    };
    thread::Builder::new().name(format!("start-{handler}")).stack_size(128 * 1024).spawn(wait).is_ok()
}
