//! Which key is which wish.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// What the screen is about, and therefore what keys mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Looking.
    Watching,
    /// A filter is being typed.
    Typing,
    /// The help lies above everything.
    Reading,
}

/// A part of the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Panel {
    /// Ports and their queues.
    Ports,
    /// Workers.
    Workers,
    /// TCP connections by both endpoints' states.
    States,
    /// Packets by the reason for which they were dropped.
    Drops,
    /// The busiest connections.
    Connections,
}

impl Panel {
    /// Every panel, in the order of their keys.
    pub(super) const ALL: [Panel; 5] =
        [Panel::Ports, Panel::Workers, Panel::States, Panel::Drops, Panel::Connections];
}

/// A wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Enough.
    Quit,
    /// The panel so many places further on.
    Turn(i8),
    /// This panel.
    Focus(Panel),
    /// The next order of the panel's rows.
    Sort,
    /// The panel alone on the screen, or all again.
    Zoom,
    /// So many rows further down.
    Scroll(i32),
    /// Hold still, or go on.
    Pause,
    /// What the keys do.
    Help,
    /// Type a filter.
    Filter,
    /// A character of it.
    Type(char),
    /// The last character was wrong.
    Erase,
    /// All of it was.
    Clear,
    /// It is complete.
    Accept,
    /// Back to watching.
    Cancel,
}

/// How many rows a page is.
const PAGE: i32 = 10;

/// The wish behind a key.
#[expect(clippy::wildcard_enum_match_arm, reason = "a keyboard has more keys than this")]
pub(super) fn of(key: KeyEvent, mode: Mode) -> Option<Action> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    // In raw mode the terminal makes no signal of it.
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match (key.code, mode) {
            (KeyCode::Char('c'), _) => Some(Action::Quit),
            (KeyCode::Char('u'), Mode::Typing) => Some(Action::Clear),
            _ => None,
        };
    }
    match mode {
        Mode::Watching => watching(key.code),
        Mode::Typing => typing(key.code),
        Mode::Reading => match key.code {
            KeyCode::Char('q') => Some(Action::Quit),
            _ => Some(Action::Cancel),
        },
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "a keyboard has more keys than this")]
fn watching(code: KeyCode) -> Option<Action> {
    Some(match code {
        KeyCode::Char('q') => Action::Quit,
        KeyCode::Tab => Action::Turn(1),
        KeyCode::BackTab => Action::Turn(-1),
        KeyCode::Char(digit @ '1'..='5') => Action::Focus(Panel::ALL[digit as usize - '1' as usize]),
        KeyCode::Char('s') => Action::Sort,
        KeyCode::Char('z') | KeyCode::Enter => Action::Zoom,
        KeyCode::Char('p' | ' ') => Action::Pause,
        KeyCode::Char('?' | 'h') => Action::Help,
        KeyCode::Char('/') => Action::Filter,
        KeyCode::Esc => Action::Cancel,
        KeyCode::Down | KeyCode::Char('j') => Action::Scroll(1),
        KeyCode::Up | KeyCode::Char('k') => Action::Scroll(-1),
        KeyCode::PageDown => Action::Scroll(PAGE),
        KeyCode::PageUp => Action::Scroll(-PAGE),
        KeyCode::Home => Action::Scroll(i32::MIN),
        _ => return None,
    })
}

#[expect(clippy::wildcard_enum_match_arm, reason = "a keyboard has more keys than this")]
fn typing(code: KeyCode) -> Option<Action> {
    Some(match code {
        KeyCode::Char(character) => Action::Type(character),
        KeyCode::Backspace => Action::Erase,
        KeyCode::Enter => Action::Accept,
        KeyCode::Esc => Action::Cancel,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(code: KeyCode, mode: Mode) -> Option<Action> {
        of(KeyEvent::new(code, KeyModifiers::NONE), mode)
    }

    #[test]
    fn every_key_of_the_help_does_something_while_watching() {
        for (code, expected) in [
            (KeyCode::Char('q'), Action::Quit),
            (KeyCode::Tab, Action::Turn(1)),
            (KeyCode::BackTab, Action::Turn(-1)),
            (KeyCode::Char('1'), Action::Focus(Panel::Ports)),
            (KeyCode::Char('5'), Action::Focus(Panel::Connections)),
            (KeyCode::Char('s'), Action::Sort),
            (KeyCode::Char('z'), Action::Zoom),
            (KeyCode::Char('p'), Action::Pause),
            (KeyCode::Char('?'), Action::Help),
            (KeyCode::Char('/'), Action::Filter),
            (KeyCode::Down, Action::Scroll(1)),
            (KeyCode::PageUp, Action::Scroll(-10)),
        ] {
            assert_eq!(plain(code, Mode::Watching), Some(expected));
        }
        assert_eq!(plain(KeyCode::Char('6'), Mode::Watching), None);
    }

    #[test]
    fn a_filter_takes_letters_that_are_keys_elsewhere() {
        for letter in ['q', 's', '1', '/', '?'] {
            assert_eq!(plain(KeyCode::Char(letter), Mode::Typing), Some(Action::Type(letter)));
        }
        assert_eq!(plain(KeyCode::Enter, Mode::Typing), Some(Action::Accept));
        assert_eq!(plain(KeyCode::Esc, Mode::Typing), Some(Action::Cancel));
        let control_u = KeyEvent::new(KeyCode::Char('u'), KeyModifiers::CONTROL);
        assert_eq!(of(control_u, Mode::Typing), Some(Action::Clear));
    }

    #[test]
    fn control_c_ends_it_everywhere_and_any_key_ends_the_help() {
        let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        for mode in [Mode::Watching, Mode::Typing, Mode::Reading] {
            assert_eq!(of(control_c, mode), Some(Action::Quit));
        }
        assert_eq!(plain(KeyCode::Char('x'), Mode::Reading), Some(Action::Cancel));
    }

    #[test]
    fn a_key_that_is_let_go_says_nothing() {
        let released = KeyEvent::new_with_kind(KeyCode::Char('q'), KeyModifiers::NONE, KeyEventKind::Release);
        assert_eq!(of(released, Mode::Watching), None);
    }
}
