//! From arguments to a generator on two interfaces.

use std::net::IpAddr;

use lastack::time::SystemClock;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::{Pid, Uid};

use crate::Failure;
use crate::arguments::Ends;
use crate::frame::{Addresses, CHECK_SEQUENCE, Path, Shape, headers, shortest, with_last_bits};
use crate::generator::Generator;
use crate::port::{Interfaces, Port};
use crate::space::{Space, last_bits};

/// Everything that a measurement needs.
pub(crate) struct Rig {
    pub(crate) generator: Generator,
    pub(crate) wire: Interfaces,
    clock: SystemClock,
}

impl Rig {
    /// Opens the interfaces for `connections`, of which there are enough numbers.
    pub(crate) fn open(ends: &Ends, connections: u32) -> Result<Rig, Failure> {
        if !Uid::effective().is_root() && !lastack::link::missing_capabilities().is_empty() {
            let missing = lastack::link::missing_capabilities().join(", ");
            return Err(format!(
                "AF_XDP needs privileges that this process lacks: {missing}; run it as root"
            )
            .into());
        }
        if ends.client == ends.server {
            return Err(format!(
                "--client and --server are both {}: the middlebox lies between two interfaces",
                ends.client
            )
            .into());
        }
        let open = |name: &str| Port::open(name, &ends.queues, ends.xdp);
        let wire = Interfaces { client: open(&ends.client)?, server: Some(open(&ends.server)?) };
        Rig::on(ends, connections, wire)
    }

    /// The same on interfaces that are open.
    pub(crate) fn on(ends: &Ends, connections: u32, wire: Interfaces) -> Result<Rig, Failure> {
        if let Some(cpu) = ends.cpu {
            bind(cpu)?;
        }
        let client_mac = wire.client.mac();
        let server_mac = wire.server.as_ref().map_or(client_mac, Port::mac);
        let generator = generator(ends, connections, [client_mac, server_mac])?;
        Ok(Rig { generator, wire, clock: SystemClock::new() })
    }

    /// Nanoseconds since it was opened.
    pub(crate) fn now(&self) -> u64 {
        self.clock.now().nanoseconds()
    }

    /// The parts that a phase needs.
    pub(crate) fn parts(&mut self) -> (&mut Generator, &mut Interfaces, impl FnMut() -> u64 + use<'_>) {
        let Rig { generator, wire, clock } = self;
        (generator, wire, || clock.now().nanoseconds())
    }
}

/// A generator for ends with these hardware addresses.
pub(crate) fn generator(ends: &Ends, connections: u32, macs: [[u8; 6]; 2]) -> Result<Generator, Failure> {
    let Ends { client_address, server_address, protocol, .. } = *ends;
    let space = Space::new(client_address, &ends.client_ports, server_address, &ends.server_ports);
    let clients = Addresses { first: client_address, count: space.clients(u64::from(connections)) };
    check_clients(&clients, server_address, connections)?;
    let shortest = shortest(protocol, client_address.is_ipv4());
    let length = ends.size.map_or(shortest, |size| usize::from(size) - CHECK_SEQUENCE);
    let to_server = Path {
        source: client_address,
        destination: server_address,
        source_mac: macs[0],
        destination_mac: ends.client_next_hop.unwrap_or(macs[1]),
    };
    let to_client = Path {
        source: server_address,
        destination: client_address,
        source_mac: macs[1],
        destination_mac: ends.server_next_hop.unwrap_or(macs[0]),
    };
    let shape = Shape::new(protocol, length, [to_server, to_client]);
    let shape = shape.ok_or_else(|| unfit(ends))?;
    let servers = Addresses { first: server_address, count: 1 };
    Ok(Generator::new(space, shape, connections, [clients, servers], macs))
}

fn check_clients(clients: &Addresses, server: IpAddr, connections: u32) -> Result<(), Failure> {
    let last = u64::from(last_bits(clients.first)) + clients.count - 1;
    let Ok(last) = u32::try_from(last) else {
        return Err(format!("there are no {} addresses from {} on", clients.count, clients.first).into());
    };
    if clients.contain(server) {
        return Err(format!(
            "{connections} connections take the client addresses {} to {}, and the server's, {server}, is among them: \
             choose others with --client-address or --server-address, or more ports",
            clients.first,
            with_last_bits(clients.first, last)
        )
        .into());
    }
    Ok(())
}

/// Why no frame can be made.
fn unfit(ends: &Ends) -> Failure {
    let is_v4 = ends.client_address.is_ipv4();
    if is_v4 != ends.server_address.is_ipv4() {
        return format!(
            "{} and {} are of different IP versions: both ends speak the same",
            ends.client_address, ends.server_address
        )
        .into();
    }
    let least = headers(ends.protocol, is_v4) + CHECK_SEQUENCE + 1;
    format!("--size: frames of so few bytes have no room for data; {least} is the least").into()
}

/// Keeps the calling thread on one core.
pub(crate) fn bind(cpu: usize) -> Result<(), Failure> {
    let mut set = CpuSet::new();
    set.set(cpu).and_then(|()| sched_setaffinity(Pid::from_raw(0), &set)).map_err(|error| {
        format!("--cpu {cpu}: there is no such core that this process may use: {error}").into()
    })
}
