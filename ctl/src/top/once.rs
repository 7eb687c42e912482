//! `lode top --once`: the screen as plain text, all sessions of it, for scripts.

use super::columns;
use super::draw::{handler_cells, handler_titles, headline};
use super::model::Model;
use super::palette::Palette;
use super::sample::Sample;
use crate::failure::Result;
use crate::output::print;

/// Prints it.
pub(super) fn print_screen(sample: &Sample, model: &Model) -> Result<()> {
    let mut text = headline(sample, &Palette::plain()).to_string() + "\n\n";
    let handlers = sample.handlers.iter().map(|handler| handler_cells(handler, sample.now_ms).to_vec());
    text += &aligned(handler_titles().map(str::to_owned).to_vec(), handlers.collect());
    text.push('\n');
    let shown = columns::that_fit(u16::MAX);
    let titles = shown.iter().map(|column| column.title.to_owned()).collect();
    let sessions = model.rows(sample);
    let rows = sessions
        .iter()
        .map(|session| shown.iter().map(|column| (column.say)(session, sample.now_ms)).collect());
    text += &aligned(titles, rows.collect());
    print(&text)
}

/// Columns as wide as what is in them.
fn aligned(titles: Vec<String>, rows: Vec<Vec<String>>) -> String {
    let lines: Vec<Vec<String>> = std::iter::once(titles).chain(rows).collect();
    let width = |at: usize| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..lines[0].len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let cells: Vec<String> =
            line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text += cells.join("  ").trim_end();
        text.push('\n');
    }
    text
}
