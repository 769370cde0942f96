//! Who is compared with the kernels: what the middlebox says of its connections.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::control::{Client, Command, Filter, Line, Request};
use crate::json::Connection;
use crate::tcp::State;

/// A TCP connection, as a tracker in the middle has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tracked {
    /// Its number; a new incarnation of the same ends has a higher one.
    pub id: u64,
    /// Who sent the first packet.
    pub originator: SocketAddr,
    /// To whom.
    pub responder: SocketAddr,
    /// Both endpoints' states, the originator's first.
    pub states: [State; 2],
}

/// Something that stands in the middle and can be asked.
pub trait Tracker {
    /// Every TCP connection in its table at this moment.
    ///
    /// # Errors
    /// It cannot be asked any more, or answers what cannot be understood.
    fn connections(&mut self) -> io::Result<Vec<Tracked>>;
}

/// A `lastack run`, asked through its control socket, a new connection for each question.
#[derive(Debug)]
pub struct ControlSocket {
    path: PathBuf,
}

impl ControlSocket {
    /// The socket at `path`, which need not be there yet.
    pub fn new(path: &Path) -> ControlSocket {
        ControlSocket { path: path.to_owned() }
    }
}

impl Tracker for ControlSocket {
    fn connections(&mut self) -> io::Result<Vec<Tracked>> {
        let mut client = Client::connect(&self.path).map_err(io::Error::other)?;
        let mut answer =
            client.ask(&Request::new(Command::List, Filter::default())).map_err(io::Error::other)?;
        let mut found = Vec::new();
        while let Some(line) = answer.next().map_err(io::Error::other)? {
            if let Line::Connection(connection) = line {
                found.extend(tracked(&connection));
            }
        }
        Ok(found)
    }
}

/// `None` if it is not TCP.
fn tracked(connection: &Connection<'_>) -> Option<Tracked> {
    let ends = &connection.original;
    Some(Tracked {
        id: connection.id,
        originator: SocketAddr::new(ends.source, ends.source_port?),
        responder: SocketAddr::new(ends.destination, ends.destination_port?),
        states: connection.states.as_ref()?.each_ref().map(|state| state.0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: &str = r#"{"id":7,"zone":0,"protocol":"tcp","original":{"source":"fd00::1","source_port":40001,"destination":"fd00::2","destination_port":80},"reply":{"source":"fd00::2","source_port":80,"destination":"fd00::1","destination_port":40001},"states":["FIN_WAIT_2","CLOSE_WAIT"],"end":null,"started":1.0,"last_seen":2.0,"expires_in":3.0,"packets":{"original":1,"reply":1},"bytes":{"original":60,"reply":60}}"#;

    #[test]
    fn only_tcp_can_be_compared_with_sockets() {
        let expected = Tracked {
            id: 7,
            originator: "[fd00::1]:40001".parse().unwrap(),
            responder: "[fd00::2]:80".parse().unwrap(),
            states: [State::FinWait2, State::CloseWait],
        };
        assert_eq!(tracked(&serde_json::from_str(TCP).unwrap()), Some(expected));
        let icmp = TCP.replace("\"tcp\"", "\"icmp\"").replace("[\"FIN_WAIT_2\",\"CLOSE_WAIT\"]", "null");
        assert_eq!(tracked(&serde_json::from_str(&icmp).unwrap()), None);
    }
}
