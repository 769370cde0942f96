//! Who is compared with the kernels: what the middlebox says of its connections.

use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::tcp::State;

/// How long the middlebox may take for an answer.
const PATIENCE: Duration = Duration::from_secs(2);

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
        let mut stream = UnixStream::connect(&self.path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(b"{\"command\":\"list\"}\n")?;
        read_list(BufReader::new(stream))
    }
}

/// Reads the answer to `list`: records, one to a line, up to the one that ends them.
fn read_list(answer: impl BufRead) -> io::Result<Vec<Tracked>> {
    let mut found = Vec::new();
    for line in answer.lines() {
        let line = line?;
        let malformed = |error| io::Error::new(ErrorKind::InvalidData, format!("{error}: {line}"));
        match serde_json::from_str(&line).map_err(malformed)? {
            Answer::Snapshot {} => {}
            Answer::Connection(connection) => found.extend(connection.tracked()),
            Answer::End {} => return Ok(found),
            Answer::Error { message } => return Err(io::Error::other(message)),
        }
    }
    Err(ErrorKind::UnexpectedEof.into())
}

/// One line of the answer, as far as it matters here.
#[derive(Debug, Deserialize)]
#[serde(tag = "record", rename_all = "lowercase")]
enum Answer {
    Snapshot {},
    Connection(Connection),
    End {},
    Error { message: String },
}

#[derive(Debug, Deserialize)]
struct Connection {
    id: u64,
    protocol: String,
    original: Tuple,
    states: Option<[String; 2]>,
}

#[derive(Debug, Deserialize)]
struct Tuple {
    source: IpAddr,
    source_port: Option<u16>,
    destination: IpAddr,
    destination_port: Option<u16>,
}

impl Connection {
    /// `None` if it is not TCP.
    fn tracked(&self) -> Option<Tracked> {
        let ends = &self.original;
        let [originator, responder] = self.states.as_ref().filter(|_| self.protocol == "tcp")?;
        Some(Tracked {
            id: self.id,
            originator: SocketAddr::new(ends.source, ends.source_port?),
            responder: SocketAddr::new(ends.destination, ends.destination_port?),
            states: [state(originator)?, state(responder)?],
        })
    }
}

fn state(name: &str) -> Option<State> {
    State::ALL.into_iter().find(|state| state.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SNAPSHOT: &str = r#"{"record":"snapshot","time":1.5,"sequences":[3]}"#;
    const TCP: &str = r#"{"record":"connection","id":7,"zone":0,"protocol":"tcp","original":{"source":"fd00::1","source_port":40001,"destination":"fd00::2","destination_port":80},"states":["FIN_WAIT_2","CLOSE_WAIT"],"end":null}"#;
    const ICMP: &str = r#"{"record":"connection","id":8,"protocol":"icmp","original":{"source":"10.0.0.1","source_port":null,"destination":"10.0.0.2","destination_port":null},"icmp_id":1,"states":null}"#;
    const END: &str = r#"{"record":"end"}"#;

    fn list(lines: &[&str]) -> io::Result<Vec<Tracked>> {
        read_list(lines.join("\n").as_bytes())
    }

    #[test]
    fn a_list_yields_its_tcp_connections() {
        let expected = Tracked {
            id: 7,
            originator: "[fd00::1]:40001".parse().unwrap(),
            responder: "[fd00::2]:80".parse().unwrap(),
            states: [State::FinWait2, State::CloseWait],
        };
        assert_eq!(list(&[SNAPSHOT, TCP, ICMP, END]).unwrap(), [expected]);
    }

    #[test]
    fn a_list_that_breaks_off_is_an_error() {
        assert_eq!(list(&[SNAPSHOT, TCP]).unwrap_err().kind(), ErrorKind::UnexpectedEof);
        assert_eq!(list(&[SNAPSHOT, &TCP[..50]]).unwrap_err().kind(), ErrorKind::InvalidData);
    }

    #[test]
    fn a_refusal_is_passed_on() {
        let refusal = r#"{"record":"error","message":"no such command"}"#;
        assert_eq!(list(&[refusal]).unwrap_err().to_string(), "no such command");
    }
}
