//! How things look, with colours and without.

use ratatui::style::{Color, Modifier, Style};

/// The styles of the screen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Palette {
    /// Names of columns.
    pub(super) head: Style,
    /// The session that keys mean.
    pub(super) selected: Style,
    /// What somebody should look at.
    pub(super) alarm: Style,
    /// What cannot be done, or does not matter.
    pub(super) dim: Style,
    /// Figures and names that matter.
    pub(super) strong: Style,
}

impl Palette {
    /// Without colours when NO_COLOR is set to anything (no-color.org).
    pub(super) fn of_environment() -> Palette {
        if std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) {
            Palette::plain()
        } else {
            Palette::coloured()
        }
    }

    /// Weight and reversal alone.
    pub(super) fn plain() -> Palette {
        let style = Style::new();
        Palette {
            head: style.add_modifier(Modifier::REVERSED),
            selected: style.add_modifier(Modifier::REVERSED | Modifier::BOLD),
            alarm: style.add_modifier(Modifier::BOLD),
            dim: style.add_modifier(Modifier::DIM),
            strong: style.add_modifier(Modifier::BOLD),
        }
    }

    fn coloured() -> Palette {
        Palette {
            head: Style::new().fg(Color::Black).bg(Color::Cyan),
            selected: Style::new().fg(Color::Black).bg(Color::White),
            alarm: Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
            dim: Style::new().fg(Color::DarkGray),
            strong: Style::new().add_modifier(Modifier::BOLD),
        }
    }
}
