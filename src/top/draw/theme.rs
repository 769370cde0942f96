//! Colours, few and calm; without any where the user wants none.

use ratatui::style::{Color, Modifier, Style};

/// How things look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::top) struct Theme {
    has_colours: bool,
}

impl Theme {
    /// With colours, or in black and white.
    pub(in crate::top) const fn new(has_colours: bool) -> Theme {
        Theme { has_colours }
    }

    /// What the user wants: no colours where NO_COLOR is set and not empty.
    pub(in crate::top) fn of_environment() -> Theme {
        Theme::new(std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()))
    }

    const fn coloured(self, colour: Color) -> Style {
        if self.has_colours { Style::new().fg(colour) } else { Style::new() }
    }

    /// What is there to be found, not to be read: borders, headings, units.
    pub(super) const fn faint(self) -> Style {
        if self.has_colours { Style::new().fg(Color::DarkGray) } else { Style::new() }
    }

    /// What comes first in a row.
    pub(super) const fn name(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// Where keys have their effect.
    pub(super) const fn focus(self) -> Style {
        if self.has_colours {
            Style::new().fg(Color::Cyan).add_modifier(Modifier::BOLD)
        } else {
            Style::new().add_modifier(Modifier::REVERSED)
        }
    }

    /// Bars and sparklines.
    pub(super) const fn bar(self) -> Style {
        self.coloured(Color::Cyan)
    }

    /// What goes well.
    pub(super) const fn good(self) -> Style {
        self.coloured(Color::Green)
    }

    /// What deserves a look.
    pub(super) const fn warning(self) -> Style {
        self.coloured(Color::Yellow)
    }

    /// What is wrong.
    pub(super) const fn bad(self) -> Style {
        self.coloured(Color::Red).add_modifier(Modifier::BOLD)
    }
}
