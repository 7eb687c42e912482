//! TERM and INT, HUP: a flag each, and one pipe that wakes the poll.

use nix::libc::{SIGHUP, SIGINT, SIGTERM};
use nix::sys::signal::{SigSet, Signal};
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What came since the last question.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    stop: Arc<AtomicBool>,
    reload: Arc<AtomicBool>,
}

/// The signals that are caught.
fn caught() -> SigSet {
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP].into_iter().collect()
}

/// Has the signals wait until [`unblock`], also over exec.
pub(crate) fn block() {
    // It fails for sets that do not exist.
    let _ = caught().thread_block();
}

/// Has the signals come that have waited.
pub(crate) fn unblock() {
    let _ = caught().thread_unblock();
}

/// Begins to catch the signals. The stream becomes readable with each.
pub(crate) fn catch() -> io::Result<(Signals, mio::net::UnixStream)> {
    let signals = Signals::default();
    let (wakes, woken) = UnixStream::pair()?;
    wakes.set_nonblocking(true)?;
    woken.set_nonblocking(true)?;
    let flags = [(SIGTERM, &signals.stop), (SIGINT, &signals.stop), (SIGHUP, &signals.reload)];
    for (signal, flag) in flags {
        // Actions run in this order: who is woken finds the flag set.
        signal_hook::flag::register(signal, flag.clone())?;
        signal_hook::low_level::pipe::register(signal, wakes.try_clone()?)?;
    }
    Ok((signals, mio::net::UnixStream::from_std(woken)))
}

impl Signals {
    /// True once after TERM or INT.
    pub(crate) fn take_stop(&self) -> bool {
        self.stop.swap(false, Ordering::SeqCst)
    }

    /// True once after HUP.
    pub(crate) fn take_reload(&self) -> bool {
        self.reload.swap(false, Ordering::SeqCst)
    }
}

/// Empties the stream.
pub(crate) fn drain(stream: &mut mio::net::UnixStream) {
    let mut octets = [0; 64];
    while matches!(stream.read(&mut octets), Ok(1..)) {}
}
