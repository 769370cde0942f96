//! `lastack top`: a running middlebox on a terminal, once a second.
//!
//! ```text
//!   control socket ── feed (its own thread) ── News ──┐
//!                       ▲ filter                      ▼
//!   keyboard ── action ── Action ────────────► App ── draw ──► terminal
//!                                               │
//!                       Stats, Stats ─ Moment ──┘  rates are differences of two answers
//! ```
//!
//! `App` and `draw` are pure: what was heard and pressed goes in, a screen comes out, and a test looks at
//! it without a terminal. Only `feed` knows the socket and only `screen` the terminal.
//!
//! Life cycle: the command line calls [`run`] once. It connects before it takes the terminal, so that what is
//! wrong from the start is one line on standard error; later, what is wrong is said on the screen and tried
//! again. The terminal is given back at the end, on a panic, and on SIGTERM, SIGINT and SIGHUP.
//!
//! | file | its one concern |
//! |---|---|
//! | `app` | what is shown, and what a key or an answer changes of it |
//! | `action` | which key is which wish |
//! | `query` | a filter as it is typed |
//! | `moment` | two answers of the middlebox as rates and warnings |
//! | `busiest` | two listings as the busiest connections |
//! | `history` | the last minutes, as sparklines |
//! | `number` | numbers in few characters |
//! | `draw` | the screen |
//! | `feed` | the control socket |
//! | `screen` | the terminal |

mod action;
mod app;
mod busiest;
mod draw;
mod feed;
mod history;
mod moment;
mod number;
mod query;
mod screen;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::time::Duration;

use crate::config;
use crate::control::{Client, client};
use crate::time::SystemClock;

use app::App;
use draw::{Theme, draw};
use feed::Feed;
use screen::{Input, Screen};

/// How long the keyboard is waited for before the screen is looked after: ages on it go on.
const TURN: Duration = Duration::from_millis(200);

/// What is asked of it.
#[derive(Debug, Clone)]
pub struct Options {
    /// The control socket.
    pub socket: PathBuf,
    /// What is warned of.
    pub limits: config::Top,
}

/// Why there is no screen, or no more.
#[derive(Debug)]
pub enum Error {
    /// Standard input or output is none.
    NotATerminal,
    /// The middlebox could not be asked when it began.
    Control(client::Error),
    /// The terminal does not do what it is told.
    Terminal(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NotATerminal => f.write_str(
                "top needs a terminal; for a program, there are `lastack stats` and `lastack list`",
            ),
            Error::Control(error) => error.fmt(f),
            Error::Terminal(error) => write!(f, "the terminal cannot be used: {error}"),
        }
    }
}

impl std::error::Error for Error {}

/// Shows the middlebox until somebody wants no more of it.
///
/// # Errors
/// There is no terminal, or no middlebox to begin with.
pub fn run(options: &Options) -> Result<(), Error> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Err(Error::NotATerminal);
    }
    let client = Client::connect(&options.socket).map_err(Error::Control)?;
    let clock = SystemClock::new();
    let theme = Theme::of_environment();
    let mut screen = Screen::take().map_err(Error::Terminal)?;
    let feed = Feed::start(options.socket.clone(), client);
    let mut app = App::new(options.limits, clock.now());
    while !app.is_over() && !screen.is_asked_to_end() {
        for news in feed.news() {
            app.hear(news, clock.now());
        }
        app.tick(clock.now());
        screen.show(|frame| draw(frame, &app, theme)).map_err(Error::Terminal)?;
        for input in screen.inputs(TURN).map_err(Error::Terminal)? {
            match input {
                Input::Key(key) => {
                    if let Some(action) = action::of(key, app.mode()) {
                        app.act(action);
                    }
                }
                Input::Resized => {}
            }
        }
        if let Some(filter) = app.take_wish() {
            feed.wish(filter);
        }
    }
    Ok(())
}
