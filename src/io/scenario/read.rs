//! Lines: the head of a scenario, and which kind of row a row is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::words::{Piece, Problem};
use super::{Act, BYTE_ORDER_MARK, Endpoint, Row, Scenario, Setting, Side, expect, packet};
use crate::io::Timestamp;

/// What a line of the head can begin with, for messages.
const HEAD: &str = "`scenario:`, `shows:`, `set`, `endpoint` or a time in seconds";

/// Reads the whole text.
pub(super) fn read(bytes: &[u8]) -> Result<Scenario, Problem> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => return Err(not_text(bytes, error.valid_up_to())),
    };
    let mut reader = Reader::default();
    let mut last = Piece::line(1, "");
    for (number, line) in (1_u32..).zip(text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text).lines()) {
        last = Piece::line(number, line);
        reader.read_line(last)?;
    }
    reader.finish(last)
}

fn not_text(bytes: &[u8], at: usize) -> Problem {
    let before = String::from_utf8_lossy(&bytes[..at]).into_owned();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let message = "not UTF-8; save the file as UTF-8 text".to_owned();
    Problem { line: number(line), column: number(column), message }
}

/// A scenario under construction.
#[derive(Debug)]
struct Reader {
    title: Option<String>,
    shows: Option<String>,
    settings: Vec<Setting>,
    sides: Sides,
    rows: Vec<Row>,
}

impl Default for Reader {
    fn default() -> Reader {
        let [a, b, router] = [1, 2, 254].map(|host| IpAddr::V4(Ipv4Addr::new(10, 0, 0, host)));
        let endpoint = |name: &str, address, port| Endpoint { name: name.to_owned(), address, port };
        let endpoints = vec![endpoint("a", a, 40_000), endpoint("b", b, 80), endpoint("r", router, 0)];
        Reader {
            title: None,
            shows: None,
            settings: Vec::new(),
            sides: Sides { endpoints, is_router_given: false },
            rows: Vec::new(),
        }
    }
}

impl Reader {
    fn read_line(&mut self, line: Piece<'_>) -> Result<(), Problem> {
        if line.is_empty() {
            return Ok(());
        }
        let mut rest = line;
        let word = rest.take_word();
        let is_row = word.text().starts_with(|first: char| first.is_ascii_digit());
        if self.title.is_none() && word.text() != "scenario:" {
            let message = "a scenario begins with its title: `scenario: What is true, in one sentence.`";
            return Err(word.problem(message.to_owned()));
        }
        if !is_row && !self.rows.is_empty() {
            return Err(word.wrong("a time in seconds; behind the first row there are only rows"));
        }
        match word.text() {
            "scenario:" => set_once(&mut self.title, word, rest, "a sentence that says what is true"),
            "shows:" => set_once(&mut self.shows, word, rest, "what it shows, such as RFC 9293 section 3.5"),
            "set" => self.read_setting(rest),
            "endpoint" => self.sides.read(rest),
            _ if is_row => self.read_row(word, rest),
            _ => Err(word.wrong(HEAD)),
        }
    }

    fn read_setting(&mut self, rest: Piece<'_>) -> Result<(), Problem> {
        let what = "KEY = VALUE, such as tcp.msl = \"5s\"";
        let (key, Some(value)) = rest.split("=") else { return Err(rest.wrong(what)) };
        if key.is_empty() || value.is_empty() {
            return Err(rest.wrong(what));
        }
        let assignment = format!("{}={}", key.text(), value.text());
        self.settings.push(Setting { line: rest.line_number(), assignment });
        Ok(())
    }

    fn read_row(&mut self, time: Piece<'_>, mut rest: Piece<'_>) -> Result<(), Problem> {
        let nanoseconds = time.seconds("a time in seconds with at most nine decimals, such as 60.25")?;
        let at = Timestamp::from_nanoseconds(i128::from(nanoseconds));
        if let Some(before) = self.rows.last().filter(|before| at < before.time) {
            let message =
                format!("the time goes back: line {} is at {} s", before.line, before.time.seconds());
            return Err(time.problem(message));
        }
        let act = match rest.text().split_whitespace().next() {
            Some("table") => {
                rest.take_word();
                Act::Table(expect::table(rest)?)
            }
            Some("connection") => {
                rest.take_word();
                let (number, fate) = expect::connection(rest)?;
                Act::Connection(number, fate)
            }
            Some(_) | None => Act::Packet(packet::read(&self.sides, rest)?),
        };
        self.rows.push(Row { line: time.line_number(), time: at, act });
        Ok(())
    }

    fn finish(self, last: Piece<'_>) -> Result<Scenario, Problem> {
        let missing = |what: &str| last.problem(format!("the scenario ends without {what}"));
        let title = self.title.ok_or_else(|| missing("its title, a line `scenario: …`"))?;
        let shows = self.shows.ok_or_else(|| missing("what it shows, a line `shows: …`"))?;
        if self.rows.is_empty() {
            return Err(missing("a row"));
        }
        let endpoints = self.sides.endpoints;
        Ok(Scenario { title, shows, settings: self.settings, endpoints, rows: self.rows })
    }
}

fn set_once(
    field: &mut Option<String>,
    keyword: Piece<'_>,
    value: Piece<'_>,
    what: &str,
) -> Result<(), Problem> {
    if value.is_empty() {
        return Err(value.wrong(what));
    }
    if field.is_some() {
        return Err(keyword.problem(format!("`{}` stands here twice", keyword.text())));
    }
    *field = Some(value.text().to_owned());
    Ok(())
}

/// The endpoints by name.
#[derive(Debug)]
pub(super) struct Sides {
    endpoints: Vec<Endpoint>,
    /// Whether `r` was given; else it takes the IP version of `a`.
    is_router_given: bool,
}

impl Sides {
    /// One `endpoint NAME ADDRESS PORT`.
    fn read(&mut self, mut rest: Piece<'_>) -> Result<(), Problem> {
        let name = rest.expect_word("a name, an address and a port")?;
        let is_name = name.text().starts_with(|first: char| first.is_ascii_lowercase())
            && name.text().bytes().all(|byte| byte.is_ascii_alphanumeric())
            && !matches!(name.text(), "table" | "connection");
        if !is_name {
            return Err(name.wrong("a name of small letters and digits, such as a or client2"));
        }
        let address: IpAddr = rest.expect_word("an address and a port")?.number("an IPv4 or IPv6 address")?;
        let port = rest.expect_word("a port")?.number("a port from 0 to 65535")?;
        rest.must_be_empty("the port")?;
        let endpoint = Endpoint { name: name.text().to_owned(), address, port };
        match self.endpoints.iter_mut().find(|other| other.name == endpoint.name) {
            Some(other) => *other = endpoint,
            None => self.endpoints.push(endpoint),
        }
        self.is_router_given |= name.text() == "r";
        if !self.is_router_given
            && let [a, _, router, ..] = &mut self.endpoints[..]
        {
            router.address = if a.address.is_ipv6() {
                IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0xfe))
            } else {
                IpAddr::V4(Ipv4Addr::new(10, 0, 0, 254))
            };
        }
        Ok(())
    }

    fn find(&self, name: Piece<'_>) -> Result<Side, Problem> {
        let found = self.endpoints.iter().position(|endpoint| endpoint.name == name.text());
        found.map(Side).ok_or_else(|| {
            let names: Vec<&str> = self.endpoints.iter().map(|endpoint| endpoint.name.as_str()).collect();
            name.wrong(&format!(
                "one of the sides {}; `endpoint NAME ADDRESS PORT` adds one",
                names.join(", ")
            ))
        })
    }

    /// `a>b`: who sends, and to whom; `b` by itself sends to `a`, and everybody else to `b`.
    ///
    /// # Errors
    /// There is no such side, or the two cannot talk.
    pub(super) fn way(&self, word: Piece<'_>) -> Result<Way, Problem> {
        let (from, to) = word.split(">");
        let from = self.find(from)?;
        let (to, is_given) = match to {
            Some(to) => (self.find(to)?, true),
            None if from == Side(1) => (Side(0), false),
            None => (Side(1), false),
        };
        self.check(word, from, to)?;
        Ok(Way { from, to, is_given })
    }

    /// Whether two sides can talk at all.
    ///
    /// # Errors
    /// Their addresses are of different IP versions.
    pub(super) fn check(&self, word: Piece<'_>, from: Side, to: Side) -> Result<(), Problem> {
        let is_v6 = |side: Side| self.is_v6(side);
        if is_v6(from) == is_v6(to) {
            return Ok(());
        }
        let name = |side: Side| self.endpoints.get(side.0).map_or("", |endpoint| &endpoint.name);
        let message = format!("{} and {} have addresses of different IP versions", name(from), name(to));
        Err(word.problem(message))
    }

    pub(super) fn is_v6(&self, side: Side) -> bool {
        self.endpoints.get(side.0).is_some_and(|endpoint| endpoint.address.is_ipv6())
    }
}

/// From whom to whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    pub(super) from: Side,
    pub(super) to: Side,
    /// Whether the receiver was named.
    pub(super) is_given: bool,
}
