//! How far a long work is: a bar when standard output is a terminal, nothing otherwise.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar that counts octets and says what is being worked on.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// A bar for `octets` of work.
    pub(crate) fn new(octets: u64) -> Progress {
        let bar = if std::io::stdout().is_terminal() {
            ProgressBar::with_draw_target(Some(octets), ProgressDrawTarget::stdout())
        } else {
            ProgressBar::hidden()
        };
        let style = "{msg:24!} {bar:30} {percent:>3}%  {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        Progress(bar)
    }

    /// A bar that counts things instead of octets.
    pub(crate) fn count() -> Progress {
        let progress = Progress::new(0);
        if let Ok(style) = ProgressStyle::with_template("{msg:24!} {bar:30} {percent:>3}%  {pos}/{len}") {
            progress.0.set_style(style);
        }
        progress
    }

    /// No bar at all.
    pub(crate) fn none() -> Progress {
        Progress(ProgressBar::hidden())
    }

    /// What comes now, and how much it is.
    pub(crate) fn begin(&self, what: &str, octets: u64) {
        self.0.set_message(what.replace(char::is_control, "?"));
        self.0.set_position(0);
        self.0.set_length(octets);
    }

    /// So many octets are done.
    pub(crate) fn set_done(&self, done: u64) {
        self.0.set_position(done);
    }

    /// So many octets of so many are done.
    pub(crate) fn set(&self, done: u64, total: u64) {
        self.0.set_length(total);
        self.0.set_position(done);
    }

    /// So many octets more are done.
    pub(crate) fn advance(&self, octets: u64) {
        self.0.inc(octets);
    }

    /// A line above the bar, on standard error.
    pub(crate) fn note(&self, line: &str) {
        self.0.suspend(|| eprintln!("lode: {line}"));
    }

    /// Takes the bar away.
    pub(crate) fn finish(self) {
        self.0.finish_and_clear();
    }
}
