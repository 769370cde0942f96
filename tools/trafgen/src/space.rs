//! Which connections there are: a number for each, and the addresses and ports that belong to it.
//!
//! ```text
//!   number ─► client port  first + number % ports                      fastest
//!             server port  first + number / ports % server ports
//!             client       first + number / (ports × server ports)     slowest
//!   number ◄─ the same three, by arithmetic: no table, however many there are
//! ```
//!
//! An address is known by its last 32 bits: all of an IPv4 address, the end of an IPv6 one whose beginning all
//! clients have in common.
//!
//! RFC 9693 (section 4.4) wants connections in pseudorandom order, each exactly once: [`Order`].

use std::net::IpAddr;
use std::ops::RangeInclusive;

/// A connection, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Number(pub(crate) u32);

/// One end of a connection: the last 32 bits of its address, and its port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Host {
    pub(crate) address: u32,
    pub(crate) port: u16,
}

/// Both ends of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tuple {
    pub(crate) client: Host,
    pub(crate) server: Host,
}

/// All connections that there can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Space {
    client: u32,
    client_ports: Ports,
    server: u32,
    server_ports: Ports,
}

/// A range of ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ports {
    first: u16,
    count: u32,
}

impl Ports {
    fn new(range: &RangeInclusive<u16>) -> Ports {
        Ports { first: *range.start(), count: u32::from(range.end() - range.start()) + 1 }
    }

    /// The place of a port in the range.
    fn place(self, port: u16) -> Option<u32> {
        let place = port.checked_sub(self.first).map(u32::from)?;
        (place < self.count).then_some(place)
    }

    /// The port at a place below `count`.
    fn at(self, place: u32) -> u16 {
        self.first + place as u16
    }
}

impl Space {
    /// Clients from `client` on, one after the other, each with all `client_ports`; one server with all of
    /// `server_ports`. Neither range may be empty.
    pub(crate) fn new(
        client: IpAddr,
        client_ports: &RangeInclusive<u16>,
        server: IpAddr,
        server_ports: &RangeInclusive<u16>,
    ) -> Space {
        Space {
            client: last_bits(client),
            client_ports: Ports::new(client_ports),
            server: last_bits(server),
            server_ports: Ports::new(server_ports),
        }
    }

    /// How many connections one client address has.
    pub(crate) fn per_client(&self) -> u64 {
        u64::from(self.client_ports.count) * u64::from(self.server_ports.count)
    }

    /// How many client addresses so many connections take.
    pub(crate) fn clients(&self, connections: u64) -> u64 {
        connections.div_ceil(self.per_client())
    }

    /// The ends of a connection.
    #[inline]
    pub(crate) fn tuple(&self, number: Number) -> Tuple {
        let client_port = self.client_ports.at(number.0 % self.client_ports.count);
        let rest = number.0 / self.client_ports.count;
        let server_port = self.server_ports.at(rest % self.server_ports.count);
        let address = self.client.wrapping_add(rest / self.server_ports.count);
        Tuple {
            client: Host { address, port: client_port },
            server: Host { address: self.server, port: server_port },
        }
    }

    /// The connection with these ends, if it is one.
    #[inline]
    pub(crate) fn number(&self, tuple: Tuple) -> Option<Number> {
        if tuple.server.address != self.server {
            return None;
        }
        let client_port = self.client_ports.place(tuple.client.port)?;
        let server_port = self.server_ports.place(tuple.server.port)?;
        let client = tuple.client.address.wrapping_sub(self.client);
        let rest = client.checked_mul(self.server_ports.count)?.checked_add(server_port)?;
        rest.checked_mul(self.client_ports.count)?.checked_add(client_port).map(Number)
    }
}

/// The last 32 bits of an address.
pub(crate) fn last_bits(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(address) => address.to_bits(),
        IpAddr::V6(address) => address.to_bits() as u32,
    }
}

/// A block of connections in pseudorandom order: each exactly once, then all over again in another order.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    first: u32,
    count: u32,
    step: u32,
    at: u32,
    /// How many of this round were given out.
    given: u32,
}

impl Order {
    /// The connections from `first` on; `count` is not 0.
    pub(crate) fn new(first: u32, count: u32) -> Order {
        Order { first, count, step: stride(count, 1), at: 0, given: 0 }
    }

    /// The next one.
    #[inline]
    pub(crate) fn next(&mut self) -> Number {
        let number = Number(self.first + self.at);
        // Both are below count, so one subtraction is enough.
        let next = u64::from(self.at) + u64::from(self.step);
        self.at = (if next >= u64::from(self.count) { next - u64::from(self.count) } else { next }) as u32;
        self.given += 1;
        if self.given == self.count {
            self.given = 0;
            self.step = stride(self.count, self.step.wrapping_add(1));
        }
        number
    }
}

/// A step by which all of `count` places are reached: it has no divisor in common with `count`. The golden
/// ratio spreads the places best; `from` makes the next one another.
fn stride(count: u32, from: u32) -> u32 {
    let golden = (f64::from(count) * 0.618_033_988_749_895) as u32;
    let mut step = golden.wrapping_add(from) % count;
    while greatest_divisor(step, count) != 1 {
        step = (step + 1) % count;
        if count == 1 {
            return 0;
        }
    }
    step
}

fn greatest_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space() -> Space {
        Space::new([10, 0, 0, 5].into(), &(1000..=1002), [10, 0, 1, 2].into(), &(80..=81))
    }

    #[test]
    fn every_number_has_a_tuple_of_its_own_and_is_found_by_it() {
        let space = space();
        let mut seen = std::collections::HashSet::new();
        for number in (0..60).map(Number) {
            let tuple = space.tuple(number);
            assert_eq!(space.number(tuple), Some(number));
            assert!(seen.insert((tuple.client, tuple.server.port)), "{number:?} has the tuple of another");
        }
        assert_eq!(space.tuple(Number(7)).client.address, 0x0a00_0006, "a second client after six");
        assert_eq!((space.per_client(), space.clients(7)), (6, 2));
    }

    #[test]
    fn what_is_not_of_the_space_has_no_number() {
        let space = space();
        let tuple = space.tuple(Number(0));
        let other = |change: fn(&mut Tuple)| {
            let mut other = tuple;
            change(&mut other);
            space.number(other)
        };
        assert_eq!(other(|tuple| tuple.client.port = 1003), None);
        assert_eq!(other(|tuple| tuple.client.port = 999), None);
        assert_eq!(other(|tuple| tuple.server.port = 82), None);
        assert_eq!(other(|tuple| tuple.server.address += 1), None);
        // The client before the first would be far behind the last.
        assert_eq!(other(|tuple| tuple.client.address -= 1), None);
    }

    #[test]
    fn an_order_gives_each_connection_once_in_every_round_and_another_order_in_the_next() {
        for count in [1, 2, 3, 4, 6, 30, 64, 1000, 4096, 64_512] {
            let mut order = Order::new(100, count);
            let mut rounds = Vec::new();
            for _ in 0..2 {
                let round: Vec<u32> = (0..count).map(|_| order.next().0).collect();
                let mut sorted = round.clone();
                sorted.sort_unstable();
                assert_eq!(sorted, (100..100 + count).collect::<Vec<_>>(), "of {count}");
                rounds.push(round);
            }
            assert!(count < 30 || rounds[0] != rounds[1], "of {count}");
            assert!(count < 30 || rounds[0].windows(2).all(|pair| pair[1] != pair[0] + 1), "of {count}");
        }
    }
}
