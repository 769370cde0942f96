//! The listening socket, and all clients.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::TcpListener;
use mio::{Interest, Registry, Token};

use super::exchange::{Exchange, Fate};
use super::{CLIENTS, exposition};
use crate::time::Time;
use crate::view::Plane;

/// How soon it is tried again when no client could be accepted, as where file descriptors have run out.
const PAUSE: Duration = Duration::from_millis(500);

/// The metrics' HTTP endpoint.
#[derive(Debug)]
pub struct Endpoint {
    listener: TcpListener,
    /// The listener's token; those of the clients follow.
    first: usize,
    clients: [Option<Exchange>; CLIENTS],
    /// Whether clients may be waiting that no event will tell of again.
    is_behind: bool,
}

/// Why there is no endpoint at an address.
#[derive(Debug)]
pub struct BindError {
    address: SocketAddr,
    source: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.source.kind();
        let advice = if kind == io::ErrorKind::AddrInUse {
            "another program listens there; choose another [metrics] listen"
        } else if kind == io::ErrorKind::AddrNotAvailable {
            "no interface has this address; see `ip address`"
        } else if kind == io::ErrorKind::PermissionDenied {
            "ports below 1024 need CAP_NET_BIND_SERVICE; choose a higher one"
        } else {
            "choose another [metrics] listen"
        };
        write!(f, "[metrics] listen = \"{}\": {}; {advice}", self.address, self.source)
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// What an operator has to know of an endpoint at `address`; nothing where only this machine reaches it.
pub fn exposure(address: SocketAddr) -> Option<String> {
    (!address.ip().to_canonical().is_loopback()).then(|| {
        format!(
            "[metrics] listen = \"{address}\": whoever reaches this address reads every counter, without a \
             password; let a firewall say who may, or use 127.0.0.1 and a proxy"
        )
    })
}

impl Endpoint {
    /// How many tokens it takes, from the first one on.
    pub const TOKENS: usize = 1 + CLIENTS;

    /// Listens at `address`, with [`Endpoint::TOKENS`] tokens from `first` on.
    ///
    /// # Errors
    /// The address is taken, is not of this machine, or may not be bound.
    pub fn bind(address: SocketAddr, registry: &Registry, first: Token) -> Result<Endpoint, BindError> {
        let refuse = |source| BindError { address, source };
        let mut listener = TcpListener::bind(address).map_err(refuse)?;
        registry.register(&mut listener, first, Interest::READABLE).map_err(refuse)?;
        Ok(Endpoint { listener, first: first.0, clients: Default::default(), is_behind: false })
    }

    /// Where it listens: with the port that the system chose, where the configuration says 0.
    ///
    /// # Errors
    /// The operating system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Whether an event with this token is for it.
    pub fn owns(&self, token: Token) -> bool {
        (self.first..self.first + Endpoint::TOKENS).contains(&token.0)
    }

    /// Does what `event`, which is for it, makes possible.
    pub fn ready(&mut self, registry: &Registry, event: &mio::event::Event, plane: &Plane) {
        match event.token().0.checked_sub(self.first + 1) {
            None => self.accept(registry, plane),
            Some(place) => self.advance(place, registry, plane),
        }
    }

    /// Does what time makes necessary, and says when that will be the case again: to be called after every
    /// round of events.
    pub fn turn(&mut self, registry: &Registry, plane: &Plane) -> Option<Duration> {
        if self.is_behind {
            self.accept(registry, plane);
        }
        let now = plane.clock.now();
        self.expire(registry, now);
        let next = self.clients.iter().flatten().map(Exchange::deadline).min();
        let next = next.map(|at| Duration::from_nanos(at.nanoseconds().saturating_sub(now.nanoseconds())));
        [next, self.is_behind.then_some(PAUSE)].into_iter().flatten().min()
    }

    /// Lets go of whoever has taken too long.
    pub(super) fn expire(&mut self, registry: &Registry, now: Time) {
        for place in 0..CLIENTS {
            if self.clients[place].as_ref().is_some_and(|client| client.deadline() <= now) {
                self.end(place, registry);
            }
        }
    }

    /// How many clients there are.
    #[cfg(test)]
    pub(super) fn clients(&self) -> usize {
        self.clients.iter().flatten().count()
    }

    fn accept(&mut self, registry: &Registry, plane: &Plane) {
        // So many in one turn, that a flood of clients holds up nobody else on this thread.
        for _ in 0..CLIENTS {
            match self.listener.accept() {
                Ok((mut stream, _)) => {
                    let place = self.place(registry);
                    let token = Token(self.first + 1 + place);
                    let interest = Interest::READABLE | Interest::WRITABLE;
                    if registry.register(&mut stream, token, interest).is_ok() {
                        self.clients[place] = Some(Exchange::new(stream, plane.clock.now()));
                        self.advance(place, registry, plane);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.is_behind = false;
                    return;
                }
                // A client that was gone before it was accepted, or a signal.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted
                    ) => {}
                Err(_) => break,
            }
        }
        self.is_behind = true;
    }

    /// A place for a new client: a free one, or that of whoever has waited longest.
    fn place(&mut self, registry: &Registry) -> usize {
        let oldest = |(_, client): &(usize, &Option<Exchange>)| client.as_ref().map(Exchange::deadline);
        let (place, _) = self.clients.iter().enumerate().min_by_key(oldest).unwrap_or((0, &None));
        self.end(place, registry);
        place
    }

    fn advance(&mut self, place: usize, registry: &Registry, plane: &Plane) {
        // An event can be older than the client's end: then there is none, or another one that loses nothing.
        let Some(client) = self.clients.get_mut(place).and_then(Option::as_mut) else { return };
        match client.advance(|| exposition(plane)) {
            Fate::Waits => {}
            Fate::Over => self.end(place, registry),
        }
    }

    fn end(&mut self, place: usize, registry: &Registry) {
        if let Some(mut client) = self.clients[place].take() {
            // Closing takes the socket off as well, and there is nothing else to be done if this fails.
            let _ = registry.deregister(&mut client.stream);
        }
    }
}
