//! The screen, drawn from a sample and the model. Whatever the size: what has no room is left out, least important first.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, Cell, Clear, Paragraph, Row, Table, TableState};
use shm_abi::{HandlerState, Heartbeat};

use super::columns::{self, facts, short, since};
use super::deed::Deed;
use super::keys;
use super::model::{Model, Order, Over, why_no_migration, why_not};
use super::palette::Palette;
use super::sample::{Handler, Sample};
use crate::shared_table::{seconds_since, span};

/// Screens with fewer lines show no handlers.
const LINES_FOR_HANDLERS: u16 = 10;

/// Draws everything.
pub(super) fn screen(frame: &mut Frame<'_>, sample: &Sample, model: &Model, palette: &Palette) {
    let area = frame.area();
    let head_lines = match area.height {
        0..3 => 0,
        3..8 => 1,
        _ => 2,
    };
    let handler_lines = if area.height < LINES_FOR_HANDLERS {
        0
    } else {
        let room = usize::from(area.height / 3);
        (sample.handlers.len() + 1).min(room) as u16 + 1
    };
    let [head, handlers, sessions, bottom] = Layout::vertical([
        Constraint::Length(head_lines),
        Constraint::Length(handler_lines),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .areas(area);
    frame.render_widget(headline(sample, palette), head);
    draw_handlers(frame, handlers, sample, model, palette);
    draw_sessions(frame, sessions, sample, model, palette);
    frame.render_widget(bottom_line(sample, model, palette), bottom);
    match &model.over {
        Over::Details => draw_details(frame, area, sample, model, palette),
        Over::Help => draw_help(frame, area),
        Over::Nothing | Over::Filter { .. } | Over::Confirm(_) | Over::MigrateTo { .. } => {}
    }
}

/// The router, and sums over all handlers.
pub(super) fn headline(sample: &Sample, palette: &Palette) -> Text<'static> {
    let info = &sample.info;
    let up = span(seconds_since(info.created_ms, sample.now_ms).unwrap_or(0));
    let room = u64::from(info.limits.handlers) * u64::from(info.limits.sessions);
    let router = if sample.router_alive {
        Span::raw(format!("router {} up {up}", info.router.pid))
    } else {
        Span::styled(format!("router {} is DEAD; this is what it left", info.router.pid), palette.alarm)
    };
    let sum = |of: fn(&Handler) -> f64| sample.handlers.iter().map(of).sum::<f64>();
    let crashes: u64 = sample.handlers.iter().map(crashes).fold(0, u64::saturating_add);
    let first = Line::from(vec![
        Span::styled("lode  ", palette.strong),
        router,
        Span::raw(format!("  sessions {} of {room}", sample.sessions.len())),
        Span::raw(format!("  taken {}  turned away {}", info.accepted, info.turned_away)),
    ]);
    let second = Line::raw(format!(
        "handlers {} of {}  commands/s {}  commits/s {}  octets/s in {} out {}  crashes {crashes}",
        sample.handlers.len(),
        info.limits.handlers,
        short(sum(|handler| handler.commands)),
        short(sum(|handler| handler.commits)),
        short(sum(|handler| handler.octets_in)),
        short(sum(|handler| handler.octets_out)),
    ));
    Text::from(vec![first, second])
}

/// Titles and widths of the columns of handlers.
const HANDLER_COLUMNS: [(&str, u16); 11] = [
    ("HANDLER", 7),
    ("STATE", 9),
    ("SESSIONS", 8),
    ("HEARTBEAT", 9),
    ("CMD/S", 5),
    ("COMMIT/S", 8),
    ("IN/S", 5),
    ("OUT/S", 5),
    ("CRASHES", 7),
    ("UP", 6),
    ("PID", 7),
];

fn draw_handlers(frame: &mut Frame<'_>, area: Rect, sample: &Sample, model: &Model, palette: &Palette) {
    let is_in_trouble = |handler: &Handler| is_in_trouble(handler, sample.now_ms, model.stale_seconds);
    let mut handlers: Vec<&Handler> = sample.handlers.iter().collect();
    // Those in trouble first, in case there is no room for all.
    handlers.sort_by_key(|handler| (!is_in_trouble(handler), handler.info.handler));
    let rows = handlers.into_iter().map(|handler| {
        let trouble = is_in_trouble(handler);
        let style = if trouble { palette.alarm } else { Style::new() };
        Row::new(handler_cells(handler, sample.now_ms).map(Cell::from)).style(style)
    });
    let head = Row::new(HANDLER_COLUMNS.map(|(title, _)| title)).style(palette.head);
    let widths = HANDLER_COLUMNS.map(|(_, width)| Constraint::Length(width));
    frame.render_widget(Table::new(rows, widths).header(head), area);
}

/// What is said of a handler, by [`HANDLER_COLUMNS`].
pub(super) fn handler_cells(handler: &Handler, now_ms: u64) -> [String; 11] {
    let info = &handler.info;
    let beat = |thread: Heartbeat| {
        let age = seconds_since(info.heartbeats_ms[thread as usize], now_ms);
        age.map_or_else(|| "-".to_owned(), |age| age.min(999).to_string())
    };
    let beats = [Heartbeat::Poll, Heartbeat::CriticalSignal, Heartbeat::Commit].map(beat).join("/");
    [
        info.handler.to_string(),
        info.state.name().to_owned(),
        info.sessions.to_string(),
        beats,
        short(handler.commands),
        short(handler.commits),
        short(handler.octets_in),
        short(handler.octets_out),
        crashes(handler).to_string(),
        since(info.started_ms, now_ms),
        info.process.pid.to_string(),
    ]
}

/// The titles of what [`handler_cells`] says.
pub(super) fn handler_titles() -> [&'static str; 11] {
    HANDLER_COLUMNS.map(|(title, _)| title)
}

fn crashes(handler: &Handler) -> u64 {
    handler.info.counters[shm_abi::Counter::Crashes as usize]
}

/// Whether somebody should look at a handler.
fn is_in_trouble(handler: &Handler, now_ms: u64, stale_seconds: u64) -> bool {
    let info = &handler.info;
    // Threads that never beat are not there.
    let stale = |then_ms: u64| seconds_since(then_ms, now_ms).is_some_and(|age| age >= stale_seconds);
    match info.state {
        HandlerState::Serving | HandlerState::Draining => {
            stale(info.heartbeats_ms[Heartbeat::Poll as usize])
                || stale(info.heartbeats_ms[Heartbeat::CriticalSignal as usize])
        }
        HandlerState::Condemned | HandlerState::Dead => true,
        HandlerState::Free | HandlerState::Starting => false,
    }
}

fn draw_sessions(frame: &mut Frame<'_>, area: Rect, sample: &Sample, model: &Model, palette: &Palette) {
    let shown = columns::that_fit(area.width);
    let sorted_by = match model.order {
        Order::Cpu => "CPU%",
        Order::Octets => "OUT",
        Order::Age => "AGE",
        Order::Command => "COMMAND",
        Order::Memory => "MEM",
    };
    let title = |column: &&columns::Column| {
        let mark = match (column.title == sorted_by, model.reversed) {
            (false, _) => "",
            (true, false) => "v",
            (true, true) => "^",
        };
        aligned(format!("{}{mark}", column.title), column.numeric)
    };
    let head = Row::new(shown.iter().map(title)).style(palette.head);
    let sessions = model.rows(sample);
    let height = usize::from(area.height.saturating_sub(1));
    // Only what is seen becomes text: there may be a million sessions.
    let first = model.position().saturating_sub(height.saturating_sub(1) / 2);
    let first = first.min(sessions.len().saturating_sub(height));
    let rows = sessions.iter().skip(first).take(height).map(|session| {
        let cells = shown.iter().map(|column| aligned((column.say)(session, sample.now_ms), column.numeric));
        Row::new(cells)
    });
    let widths: Vec<Constraint> = shown.iter().map(|column| Constraint::Length(column.width)).collect();
    let table = Table::new(rows, widths).header(head).row_highlight_style(palette.selected);
    let selected = model.selected.map(|_| model.position().saturating_sub(first));
    let mut state = TableState::default().with_selected(selected);
    frame.render_stateful_widget(table, area, &mut state);
}

fn aligned(text: String, numeric: bool) -> Text<'static> {
    if numeric { Text::from(text).right_aligned() } else { Text::from(text) }
}

/// What is asked, said, typed, or the keys.
fn bottom_line(sample: &Sample, model: &Model, palette: &Palette) -> Line<'static> {
    let of = |id: shm_abi::SessionId| {
        let session = sample.sessions.iter().find(|session| session.info.id == id);
        let user =
            session.map(|session| session.info.user.replace(char::is_control, "?")).unwrap_or_default();
        if user.is_empty() { id.to_string() } else { format!("{id} of {user}") }
    };
    match &model.over {
        Over::Filter { .. } => {
            return Line::from(vec![
                Span::styled("filter: ", palette.strong),
                Span::raw(model.filter.clone()),
                Span::raw("_"),
            ]);
        }
        Over::Confirm(Deed::Kick(id)) => {
            return Line::styled(format!("Kick session {}? [y/N]", of(*id)), palette.strong);
        }
        Over::Confirm(Deed::Migrate(id, to)) => {
            return Line::styled(format!("Move session {} to handler {to}? [y/N]", of(*id)), palette.strong);
        }
        Over::MigrateTo { session, typed } => {
            let text = format!("Move session {} to handler number (Esc: do not): {typed}_", of(*session));
            return Line::styled(text, palette.strong);
        }
        Over::Nothing | Over::Details | Over::Help => {}
    }
    if let Some(message) = &model.message {
        return Line::styled(message.replace(char::is_control, "?"), palette.strong);
    }
    let mut spans = Vec::new();
    if model.paused {
        spans.push(Span::styled("PAUSED  ", palette.alarm));
    }
    if !model.filter.is_empty() {
        spans.push(Span::styled(format!("filter: {}  ", model.filter), palette.strong));
    }
    let possible = |reason: Option<&str>| if reason.is_some() { palette.dim } else { Style::new() };
    spans.push(Span::raw("q quit  ? help  c o a m b sort  / filter  Enter details  "));
    spans.push(Span::styled("K kick  ", possible(why_not(sample))));
    spans.push(Span::styled("M migrate", possible(why_no_migration(sample))));
    if let Some(why) = why_no_migration(sample) {
        spans.push(Span::styled(format!(" ({why})"), palette.dim));
    }
    Line::from(spans)
}

fn draw_details(frame: &mut Frame<'_>, area: Rect, sample: &Sample, model: &Model, palette: &Palette) {
    let Some(session) = model.session(sample) else { return };
    let lines: Vec<Line<'_>> = facts(session, sample)
        .into_iter()
        .map(|(name, value)| {
            Line::from(vec![Span::styled(format!("{name:<11}"), palette.strong), Span::raw(value)])
        })
        .collect();
    draw_over(frame, area, " session (Esc: back, K: kick, M: migrate) ", lines);
}

fn draw_help(frame: &mut Frame<'_>, area: Rect) {
    let lines = keys::HELP.iter().map(|(key, meaning)| Line::raw(format!("{key:<31}{meaning}"))).collect();
    draw_over(frame, area, " keys (any key: back) ", lines);
}

/// A box in the middle of the screen, as large as it may be.
fn draw_over(frame: &mut Frame<'_>, area: Rect, title: &str, lines: Vec<Line<'_>>) {
    let widest = lines.iter().map(Line::width).max().unwrap_or(0).max(title.len());
    let width = u16::try_from(widest + 4).unwrap_or(u16::MAX).min(area.width);
    let height = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX).min(area.height.saturating_sub(1));
    let place = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height.saturating_sub(1) - height) / 2,
        width,
        height,
    };
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(title.to_owned())), place);
}
