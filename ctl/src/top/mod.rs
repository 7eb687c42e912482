//! `lode top`: a live screen of handlers and sessions.
//!
//! What is shown comes from the shared table alone (`source.rs`, `sample.rs`), so that it works while daemons hang. What keys change is in
//! `model.rs` and `keys.rs`, which know no terminal; `draw.rs` turns both into cells. Only kick and migrate ask the router, and wait for it in a
//! thread of their own (`deed.rs`). `terminal.rs` gives the terminal back whatever ends the program.

mod columns;
mod deed;
mod draw;
mod keys;
mod model;
mod once;
mod palette;
mod sample;
mod source;
mod terminal;
#[cfg(test)]
mod tests;

use std::io::IsTerminal;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;
use ratatui::crossterm::event::{self, Event, KeyEventKind};

use crate::context::Context;
use crate::failure::{Failure, Result};
use deed::Deeds;
use keys::Effect;
use model::{Model, Order};
use palette::Palette;
use sample::History;
use source::Source;
use terminal::{Signals, Terminal};

/// How often signals and answers of the router are looked at between two looks at the table.
const LOOK: Duration = Duration::from_millis(100);

/// Watch handlers and sessions
#[derive(Debug, Args)]
#[command(
    after_help = "Everything shown is read from the shared table, so it works while daemons hang. CPU is time that workers spent on a session, waits\n\
                        for the disk included; rates are of the last few seconds. `?` shows the keys. With NO_COLOR set there are no colours.\n\
                        Examples:\n  lode top\n  lode top --once --sort octets --filter 'imap ann'"
)]
pub(crate) struct Arguments {
    /// Print one screen and end
    #[arg(long)]
    once: bool,
    /// Which sessions come first
    #[arg(long, value_enum, default_value_t = Order::Cpu)]
    sort: Order,
    /// Show only sessions that have all these words, in whatever column
    #[arg(long, default_value = "")]
    filter: String,
    /// Seconds between two looks at the table
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = interval)]
    interval: Duration,
}

fn interval(text: &str) -> std::result::Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "write a number of seconds, such as 0.5".to_owned())?;
    if (0.1..=60.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("from 0.1 to 60 seconds are possible".to_owned())
    }
}

pub(crate) fn run(arguments: &Arguments, config: Option<&Path>) -> Result<()> {
    let context = Context::load(config)?;
    let mut source = Source::open(&context.settings.runtime.dir)?;
    let mut history = History::default();
    let mut model = Model::new(arguments.sort, &arguments.filter);
    if let hang_seconds @ 1.. = context.settings.limits.hang_seconds {
        model.stale_seconds = hang_seconds.into();
    }
    if arguments.once {
        history.push(source.read());
        std::thread::sleep(arguments.interval);
        return once::print_screen(&history.push(source.read()), &model);
    }
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() || terminal::is_dumb() {
        return Err(Failure::Usage(
            "`lode top` needs a terminal that it can draw on; `lode top --once` prints one screen".to_owned(),
        ));
    }
    let signals = Signals::catch().map_err(Failure::because("cannot catch signals"))?;
    let mut terminal = Terminal::open().map_err(Failure::because("cannot use the terminal"))?;
    let shown = watch(arguments.interval, &mut source, &mut history, &mut model, &signals, &mut terminal);
    drop(terminal);
    shown.map_err(Failure::because("cannot use the terminal"))?;
    signals.pass_on();
    Ok(())
}

/// Shows and obeys until a key or a signal ends it.
fn watch(
    interval: Duration,
    source: &mut Source,
    history: &mut History,
    model: &mut Model,
    signals: &Signals,
    terminal: &mut Terminal,
) -> std::io::Result<()> {
    let palette = Palette::of_environment();
    let deeds = Deeds::new(source.runtime_dir());
    let mut sample = history.push(source.read());
    let mut next_look = Instant::now() + interval;
    model.follow(&sample);
    let mut is_changed = true;
    loop {
        // To sort and to draw a million sessions takes a while: only when there is something new.
        if is_changed {
            terminal.draw(|frame| draw::screen(frame, &sample, model, &palette))?;
            is_changed = false;
        }
        let wait = LOOK.min(next_look.saturating_duration_since(Instant::now()));
        if event::poll(wait)? {
            // Several keys may wait, of a paste for example: one drawing does for all.
            is_changed = true;
            while event::poll(Duration::ZERO)? {
                let Event::Key(key) = event::read()? else { continue };
                if key.kind == KeyEventKind::Release {
                    continue;
                }
                match keys::press(key, model, &sample) {
                    Effect::None => {}
                    Effect::Quit => return Ok(()),
                    Effect::Suspend => terminal.suspend()?,
                    Effect::Do(deed) => model.say(deeds.begin(deed)),
                }
            }
        }
        if signals.is_caught() {
            return Ok(());
        }
        if let Some(answer) = deeds.take_answer() {
            model.say(answer);
            is_changed = true;
        }
        if Instant::now() >= next_look {
            next_look = Instant::now() + interval;
            if !model.paused {
                sample = history.push(source.read());
                model.follow(&sample);
                is_changed = true;
            }
        }
    }
}
