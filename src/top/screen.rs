//! The terminal: taken, drawn on, listened to, and given back as it was.
//!
//! It is given back by dropping [`Screen`], and by the panic hook before the message is printed, which would
//! else be lost with the alternate screen.
//!
//! A terminal that is closed says so to whoever polls it. crossterm does not ask, and would go on reading
//! nothing for ever; so it is asked only while the terminal is there.

use std::io::{self, Stdout};
use std::mem::ManuallyDrop;
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
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
    /// Never dropped: it would show the cursor, as [`give_back`] does, and panic where the terminal is closed
    /// and standard error with it.
    terminal: ManuallyDrop<Terminal<CrosstermBackend<Stdout>>>,
    /// Tells of standard input: that there is some, and that there will never be any more.
    poll: Poll,
    events: Events,
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
        let poll = Poll::new()?;
        poll.registry().register(&mut SourceFd(&io::stdin().as_raw_fd()), Token(0), Interest::READABLE)?;
        let terminal = ManuallyDrop::new(Terminal::new(CrosstermBackend::new(io::stdout()))?);
        give_back_on_panic();
        enable_raw_mode()?;
        // From here on an error has to give it back: `taken` does when it is dropped.
        let taken = Screen { terminal, poll, events: Events::with_capacity(4), end };
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

    /// What the terminal tells within `time`; at once where there is something. It fails where the terminal
    /// was closed.
    pub(super) fn inputs(&mut self, time: Duration) -> io::Result<Vec<Input>> {
        if let Err(error) = self.poll.poll(&mut self.events, Some(time))
            && error.kind() != io::ErrorKind::Interrupted
        {
            return Err(error);
        }
        if self.events.iter().any(|event| event.is_read_closed() || event.is_error()) {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it was closed"));
        }
        let mut inputs = Vec::new();
        while inputs.len() < AT_ONCE && is_something_there()? {
            inputs.push(match event::read()? {
                Event::Key(key) => Input::Key(key),
                Event::Resize(..)
                | Event::FocusGained
                | Event::FocusLost
                | Event::Mouse(_)
                | Event::Paste(_) => Input::Resized,
            });
        }
        Ok(inputs)
    }
}

/// Whether there is something to read; a signal in between is nothing.
fn is_something_there() -> io::Result<bool> {
    match event::poll(Duration::ZERO) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
        result => result,
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
