//! Real sockets on the loopback; the clock is an argument wherever a deadline is at stake.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use mio::{Events, Poll, Token};

use super::{CLIENTS, Endpoint, MOST_REQUEST, PATIENCE, exposure};
use crate::time::{SystemClock, Time};
use crate::view::{Plane, Watch};

const FIRST: Token = Token(40);
const SCRAPE: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// A middlebox without workers and ports: what is on the page is another test's concern (tests/metrics).
fn bare() -> Plane {
    Plane {
        workers: Vec::new(),
        ports: Vec::new(),
        clock: SystemClock::since_1970(),
        started: 0.0,
        umem_frames: 0,
        frame_size: 0,
        spare_frames: Watch::new(|| 0),
        table_memory: String::new(),
        table_bytes: 0,
        table_resident: Watch::new(|| None),
        table_huge: Watch::new(|| None),
    }
}

/// A middlebox's main loop, reduced to its metrics.
struct Loop {
    poll: Poll,
    endpoint: Endpoint,
    plane: Plane,
}

impl Loop {
    fn new() -> Loop {
        let poll = Poll::new().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let endpoint = Endpoint::bind(address, poll.registry(), FIRST).unwrap();
        Loop { poll, endpoint, plane: bare() }
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(self.endpoint.address().unwrap()).unwrap()
    }

    /// One round of events, as soon as there are any.
    fn round(&mut self) {
        let mut events = Events::with_capacity(64);
        self.poll.poll(&mut events, Some(Duration::from_millis(20))).unwrap();
        for event in &events {
            assert!(self.endpoint.owns(event.token()));
            self.endpoint.ready(self.poll.registry(), event, &self.plane);
        }
        self.endpoint.turn(self.poll.registry(), &self.plane);
    }

    /// Rounds until `is_so`; they are many and short, and a machine that is slow needs more of them.
    fn until(&mut self, what: &str, mut is_so: impl FnMut(&mut Loop) -> bool) {
        for _ in 0..1000 {
            if is_so(self) {
                return;
            }
            self.round();
        }
        panic!("it never came to this: {what}");
    }

    /// Everything the endpoint says to `client` until it closes.
    fn hear(&mut self, client: &mut TcpStream) -> String {
        client.set_nonblocking(true).unwrap();
        let mut bytes = Vec::new();
        self.until("the endpoint closes", |_| match client.read_to_end(&mut bytes) {
            Ok(_) => true,
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
                false
            }
        });
        String::from_utf8(bytes).unwrap()
    }

    fn ask(&mut self, request: &[u8]) -> String {
        let mut client = self.connect();
        client.write_all(request).unwrap();
        self.hear(&mut client)
    }
}

#[test]
fn a_scrape_gets_the_whole_page_and_leaves_nobody_behind() {
    let mut turning = Loop::new();
    let response = turning.ask(SCRAPE);
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(
        head.contains("\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n")
    );
    assert!(body.starts_with("# HELP ") && body.ends_with("# EOF\n"), "{body}");
    turning.until("no client is left", |turning| turning.endpoint.clients() == 0);
}

#[test]
fn a_request_that_comes_byte_by_byte_is_answered_at_its_end() {
    let mut turning = Loop::new();
    let mut client = turning.connect();
    for byte in SCRAPE {
        client.write_all(&[*byte]).unwrap();
        turning.round();
    }
    assert!(turning.hear(&mut client).starts_with("HTTP/1.1 200 "));
}

#[test]
fn whatever_else_is_asked_gets_its_own_status() {
    let mut turning = Loop::new();
    for (request, status) in [
        ("GET / HTTP/1.0\r\n\r\n", 404),
        ("POST /metrics HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc", 405),
        ("\u{1}\u{2} rubbish\r\n\r\n", 400),
    ] {
        let response = turning.ask(request.as_bytes());
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {response}");
    }
}

#[test]
fn a_request_longer_than_its_room_is_refused_and_the_refusal_arrives() {
    let mut turning = Loop::new();
    let endless = vec![b'a'; 4 * MOST_REQUEST];
    let response = turning.ask(&[b"GET /".as_slice(), &endless].concat());
    assert!(response.starts_with("HTTP/1.1 400 "), "{response}");
}

#[test]
fn a_silent_client_is_let_go_when_its_patience_is_over_and_not_before() {
    let mut turning = Loop::new();
    let before = turning.plane.clock.now();
    let mut client = turning.connect();
    client.write_all(b"GET /met").unwrap();
    turning.until("the client is there", |turning| turning.endpoint.clients() == 1);
    let after = turning.plane.clock.now();
    let later = |time: Time, by: Duration| Time::from_nanoseconds(time.nanoseconds() + by.as_nanos() as u64);
    let just_before = later(before, PATIENCE - Duration::from_nanos(1));
    turning.endpoint.expire(turning.poll.registry(), just_before);
    assert_eq!(turning.endpoint.clients(), 1);
    let wait = turning.endpoint.turn(turning.poll.registry(), &turning.plane).unwrap();
    assert!(wait <= PATIENCE, "the loop is woken in time: {wait:?}");
    turning.endpoint.expire(turning.poll.registry(), later(after, PATIENCE));
    assert_eq!(turning.endpoint.clients(), 0);
    assert_eq!(turning.endpoint.turn(turning.poll.registry(), &turning.plane), None);
}

#[test]
fn more_silent_clients_than_there_are_places_keep_nobody_out() {
    let mut turning = Loop::new();
    let silent: Vec<TcpStream> = (0..2 * CLIENTS).map(|_| turning.connect()).collect();
    turning.until("every place is taken", |turning| turning.endpoint.clients() == CLIENTS);
    assert!(turning.ask(SCRAPE).starts_with("HTTP/1.1 200 "));
    assert!(turning.endpoint.clients() <= CLIENTS);
    drop(silent);
    turning.until("they are gone", |turning| turning.endpoint.clients() == 0);
}

#[test]
fn a_client_that_vanishes_is_forgotten() {
    let mut turning = Loop::new();
    let client = turning.connect();
    turning.until("the client is there", |turning| turning.endpoint.clients() == 1);
    client.shutdown(Shutdown::Both).unwrap();
    turning.until("the client is gone", |turning| turning.endpoint.clients() == 0);
}

#[test]
fn an_address_that_is_taken_is_named_with_what_to_do() {
    let turning = Loop::new();
    let address = turning.endpoint.address().unwrap();
    let error = Endpoint::bind(address, turning.poll.registry(), Token(900)).unwrap_err().to_string();
    assert!(error.starts_with(&format!("[metrics] listen = \"{address}\": ")), "{error}");
    assert!(error.ends_with("another program listens there; choose another [metrics] listen"), "{error}");
}

#[test]
fn an_address_that_others_reach_is_warned_of() {
    for address in ["127.0.0.1:1", "127.8.8.8:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        assert_eq!(exposure(address.parse().unwrap()), None, "{address}");
    }
    for address in ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "[2001:db8::1]:1"] {
        let warning = exposure(address.parse().unwrap()).unwrap();
        assert!(warning.contains(&format!("\"{address}\"")), "{warning}");
    }
}
