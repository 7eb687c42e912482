//! The terminal: taken over, and given back whatever ends the program: a key, an error, a panic, a signal.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::signal::{Signal, raise};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, enable_raw_mode};
use ratatui::{DefaultTerminal, Frame};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

/// Whether the terminal says that it can only print.
pub(super) fn is_dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|name| name.is_empty() || name == "dumb")
}

/// The terminal while it is ours.
pub(super) struct Terminal {
    terminal: DefaultTerminal,
}

impl Terminal {
    /// Takes the terminal over: raw, its other screen. A panic gives it back before it speaks.
    pub(super) fn open() -> io::Result<Terminal> {
        Ok(Terminal { terminal: ratatui::try_init()? })
    }

    /// Draws one screen, of the size that the terminal has now.
    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(draw).map(|_| ())
    }

    /// Stops the program as Ctrl-Z does for others; goes on with a new screen when it is continued.
    pub(super) fn suspend(&mut self) -> io::Result<()> {
        ratatui::restore();
        raise(Signal::SIGTSTP)?;
        enable_raw_mode()?;
        execute!(io::stdout(), EnterAlternateScreen)?;
        self.terminal.clear()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Signals that end the program, kept until the terminal is given back.
pub(super) struct Signals {
    caught: Arc<AtomicUsize>,
}

impl Signals {
    /// Catches them from now on.
    pub(super) fn catch() -> io::Result<Signals> {
        let caught = Arc::new(AtomicUsize::new(0));
        for signal in [SIGHUP, SIGINT, SIGQUIT, SIGTERM] {
            signal_hook::flag::register_usize(signal, Arc::clone(&caught), signal as usize)?;
        }
        Ok(Signals { caught })
    }

    /// Whether one came.
    pub(super) fn is_caught(&self) -> bool {
        self.caught.load(Ordering::SeqCst) != 0
    }

    /// Ends the program as the signal that came would have done.
    pub(super) fn pass_on(&self) {
        let signal = self.caught.load(Ordering::SeqCst) as i32;
        if signal != 0 {
            // Where that does not work, an ordinary end is near enough.
            let _ = signal_hook::low_level::emulate_default_handler(signal);
        }
    }
}
