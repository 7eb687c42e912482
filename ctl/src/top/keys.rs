//! What each key does.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::deed::Deed;
use super::model::{Model, Order, Over, add_typed, why_no_migration, why_not};
use super::sample::Sample;

/// Rows of a page, for PgUp and PgDn.
const PAGE_ROWS: isize = 10;

/// The keys of the list, for the help: key and meaning.
pub(super) const HELP: &[(&str, &str)] = &[
    ("c o a m b", "sort by CPU, octets, age, command (longest first), memory"),
    ("r", "the other way round"),
    ("/", "filter: words that a session must have in any column"),
    ("Esc", "no filter"),
    ("arrows j k PgUp PgDn Home End", "select a session"),
    ("Enter", "all that is known of it"),
    ("K", "kick: end it, with a last word to the client"),
    ("M", "migrate: move it to another handler"),
    ("p", "pause: look no more"),
    ("Ctrl-Z", "suspend"),
    ("q Ctrl-C", "quit"),
    ("", ""),
    ("STATE t", "somebody reads along (lode trace)"),
    ("heartbeat", "ages of poll, critical signal and commit thread, in seconds"),
];

/// What is to be done outside the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing.
    None,
    /// End.
    Quit,
    /// Stop until continued.
    Suspend,
    /// Ask the router.
    Do(Deed),
}

/// A key was pressed.
pub(super) fn press(key: KeyEvent, model: &mut Model, sample: &Sample) -> Effect {
    model.message = None;
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            KeyCode::Char('c') => Effect::Quit,
            KeyCode::Char('z') => Effect::Suspend,
            _ => Effect::None,
        };
    }
    match std::mem::replace(&mut model.over, Over::Nothing) {
        Over::Nothing => in_list(key.code, model, sample),
        Over::Filter { before } => {
            in_filter(key.code, before, model);
            model.select_first(sample);
            Effect::None
        }
        Over::Details => in_details(key.code, model, sample),
        Over::Confirm(deed) => match key.code {
            KeyCode::Char('y' | 'Y') => Effect::Do(deed),
            _ => {
                model.say("nothing was done".to_owned());
                Effect::None
            }
        },
        Over::MigrateTo { session, typed } => in_migrate_to(key.code, session, typed, model, sample),
        // Any key takes it away.
        Over::Help => Effect::None,
    }
}

fn in_list(code: KeyCode, model: &mut Model, sample: &Sample) -> Effect {
    match code {
        KeyCode::Char('q') => return Effect::Quit,
        KeyCode::Char('c') => model.set_order(Order::Cpu, sample),
        KeyCode::Char('o') => model.set_order(Order::Octets, sample),
        KeyCode::Char('a') => model.set_order(Order::Age, sample),
        KeyCode::Char('m') => model.set_order(Order::Command, sample),
        KeyCode::Char('b') => model.set_order(Order::Memory, sample),
        KeyCode::Char('r') => {
            model.reversed = !model.reversed;
            model.select_first(sample);
        }
        KeyCode::Char('/') => model.over = Over::Filter { before: model.filter.clone() },
        KeyCode::Esc => {
            model.filter.clear();
            model.follow(sample);
        }
        KeyCode::Char('p') => model.paused = !model.paused,
        KeyCode::Char('?' | 'h') | KeyCode::F(1) => model.over = Over::Help,
        KeyCode::Enter if model.selected.is_some() => model.over = Over::Details,
        KeyCode::Down | KeyCode::Char('j') => model.step(1, sample),
        KeyCode::Up | KeyCode::Char('k') => model.step(-1, sample),
        KeyCode::PageDown => model.step(PAGE_ROWS, sample),
        KeyCode::PageUp => model.step(-PAGE_ROWS, sample),
        KeyCode::Home => model.select_first(sample),
        KeyCode::End => model.step(isize::MAX, sample),
        KeyCode::Char('K' | 'M') => ask_for_deed(code, model, sample),
        _ => {}
    }
    Effect::None
}

fn in_details(code: KeyCode, model: &mut Model, sample: &Sample) -> Effect {
    match code {
        KeyCode::Char('K' | 'M') => ask_for_deed(code, model, sample),
        KeyCode::Esc | KeyCode::Enter | KeyCode::Char('q') => {}
        KeyCode::Down | KeyCode::Char('j') | KeyCode::Up | KeyCode::Char('k') => {
            let by = if matches!(code, KeyCode::Down | KeyCode::Char('j')) { 1 } else { -1 };
            model.step(by, sample);
            model.over = Over::Details;
        }
        _ => model.over = Over::Details,
    }
    Effect::None
}

fn in_filter(code: KeyCode, before: String, model: &mut Model) {
    match code {
        KeyCode::Enter => return,
        KeyCode::Esc => {
            model.filter = before;
            return;
        }
        KeyCode::Backspace => {
            model.filter.pop();
        }
        KeyCode::Char(typed) => add_typed(&mut model.filter, typed),
        _ => {}
    }
    model.over = Over::Filter { before };
}

/// Nothing is done to a session before it was asked whether that is meant.
fn ask_for_deed(code: KeyCode, model: &mut Model, sample: &Sample) {
    let is_kick = code == KeyCode::Char('K');
    let why = if is_kick { why_not(sample) } else { why_no_migration(sample) };
    if let Some(why) = why {
        return model.say(why.to_owned());
    }
    let Some(session) = model.selected else {
        return model.say("no session is selected".to_owned());
    };
    model.over = if is_kick {
        Over::Confirm(Deed::Kick(session))
    } else {
        Over::MigrateTo { session, typed: String::new() }
    };
}

fn in_migrate_to(
    code: KeyCode,
    session: shm_abi::SessionId,
    mut typed: String,
    model: &mut Model,
    sample: &Sample,
) -> Effect {
    match code {
        KeyCode::Esc => {
            model.say("nothing was done".to_owned());
            return Effect::None;
        }
        KeyCode::Enter => {
            let to = typed.parse().ok();
            let is_there = |to: &u32| sample.handlers.iter().any(|handler| handler.info.handler == *to);
            match to.filter(is_there) {
                Some(to) if to == session.handler => model.say("it is there already".to_owned()),
                Some(to) => return Effect::Do(Deed::Migrate(session, to)),
                None => model.say(format!("there is no handler {typed}")),
            }
            return Effect::None;
        }
        KeyCode::Backspace => {
            typed.pop();
        }
        KeyCode::Char(digit) if digit.is_ascii_digit() => add_typed(&mut typed, digit),
        _ => {}
    }
    model.over = Over::MigrateTo { session, typed };
    Effect::None
}
