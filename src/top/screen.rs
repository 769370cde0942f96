//! The terminal: taken, drawn on, listened to, and given back as it was.
//!
//! It is given back by dropping [`Screen`], and by the panic hook before the message is printed, which would
//! else be lost with the alternate screen.

use std::io::{self, Stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, Event, KeyEvent};
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{cursor, execute};
use ratatui::{Frame, Terminal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// The most inputs that are taken at a time, so that a paste does not hold up the screen.
const AT_ONCE: usize = 256;

/// The terminal, as long as it is ours.
pub(super) struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    /// Set by a signal that asks for the end.
    end: Arc<AtomicBool>,
}

/// What the terminal tells.
pub(super) enum Input {
    /// A key.
    Key(KeyEvent),
    /// It has another size, or anything else that asks for a new picture.
    Resized,
}

impl Screen {
    /// Takes the terminal.
    pub(super) fn take() -> io::Result<Screen> {
        let end = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&end))?;
        }
        give_back_on_panic();
        enable_raw_mode()?;
        // From here on an error has to give it back: `taken` does when it is dropped.
        let taken = Screen { terminal: Terminal::new(CrosstermBackend::new(io::stdout()))?, end };
        execute!(io::stdout(), EnterAlternateScreen, cursor::Hide)?;
        Ok(taken)
    }

    /// Whether a signal has asked for the end.
    pub(super) fn is_asked_to_end(&self) -> bool {
        self.end.load(Ordering::Relaxed)
    }

    /// Shows what `draw` draws.
    pub(super) fn show(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(draw)?;
        Ok(())
    }

    /// What the terminal tells within `time`; at once where there is something.
    pub(super) fn inputs(&mut self, time: Duration) -> io::Result<Vec<Input>> {
        let mut inputs = Vec::new();
        let mut patience = time;
        while inputs.len() < AT_ONCE && self.poll(patience)? {
            inputs.push(match event::read()? {
                Event::Key(key) => Input::Key(key),
                Event::Resize(..)
                | Event::FocusGained
                | Event::FocusLost
                | Event::Mouse(_)
                | Event::Paste(_) => Input::Resized,
            });
            patience = Duration::ZERO;
        }
        Ok(inputs)
    }

    /// Whether there is something to read; a signal in between is nothing.
    fn poll(&self, time: Duration) -> io::Result<bool> {
        match event::poll(time) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
            result => result,
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Puts the terminal back; whatever fails of it, the rest is worth trying.
fn give_back() {
    let _ = execute!(io::stdout(), LeaveAlternateScreen, cursor::Show);
    let _ = disable_raw_mode();
}

fn give_back_on_panic() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        give_back();
        usual(panic);
    }));
}
