//! What the two kernels' TCP is made to do, one script for each connection.
//!
//! A script does something with its sockets and then names the moment: which states the kernels must reach
//! by it. The [director](super::stage) waits for them, compares, and lets the script go on.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

use super::act::{Act, Stop};
use crate::tcp::State;
use State::{CloseWait, Closed, Established, FinWait2, Listen, SynSent, TimeWait};

/// How long a reader of the table gets between two moments.
const BEAT: Duration = Duration::from_millis(1_100);
/// How long the half-closed download takes.
const DOWNLOAD: Duration = Duration::from_millis(3_500);
/// What it sends at a time, in bytes.
const CHUNK: usize = 32 << 10;

/// One connection's script.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scenario {
    /// What it shows.
    pub(super) title: &'static str,
    /// The port that the server listens on, or would.
    pub(super) port: u16,
    /// Whether it goes over IPv6.
    pub(super) is_v6: bool,
    /// The script.
    pub(super) play: fn(&Act<'_>) -> Result<(), Stop>,
}

/// Every script; all are played at once.
pub(super) const SCENARIOS: [Scenario; 8] = [
    Scenario { title: "request and answer", port: 80, is_v6: false, play: request_and_answer },
    Scenario { title: "server closes first", port: 443, is_v6: true, play: server_closes_first },
    Scenario { title: "half-closed download", port: 8080, is_v6: false, play: half_closed_download },
    Scenario { title: "abort", port: 22, is_v6: false, play: abort },
    Scenario { title: "refused", port: 23, is_v6: false, play: refused },
    Scenario { title: "port reused in TIME_WAIT", port: 8443, is_v6: false, play: reuse },
    Scenario { title: "SYN without an answer", port: 3306, is_v6: false, play: unanswered },
    Scenario { title: "server that never closes", port: 5432, is_v6: false, play: never_closes },
];

fn request_and_answer(act: &Act<'_>) -> Result<(), Stop> {
    let listener = act.listen(16)?;
    let (client, mut server) = act.connect(&listener)?;
    exchange(&client, &server)?;
    act.moment("request and answer", [Established, Established])?;
    act.pause(BEAT)?;
    client.shutdown(Shutdown::Write)?;
    read_to_the_end(&mut server)?;
    act.moment("client has closed its side", [FinWait2, CloseWait])?;
    act.pause(BEAT)?;
    drop(server);
    act.moment("server has closed too", [TimeWait, Closed])
}

fn server_closes_first(act: &Act<'_>) -> Result<(), Stop> {
    let listener = act.listen(16)?;
    let (mut client, server) = act.connect(&listener)?;
    exchange(&client, &server)?;
    act.moment("request and answer", [Established, Established])?;
    act.pause(BEAT)?;
    server.shutdown(Shutdown::Write)?;
    read_to_the_end(&mut client)?;
    act.moment("server closes first", [CloseWait, FinWait2])?;
    act.pause(BEAT)?;
    drop(client);
    act.moment("client has closed too", [Closed, TimeWait])
}

fn half_closed_download(act: &Act<'_>) -> Result<(), Stop> {
    let listener = act.listen(16)?;
    let (mut client, mut server) = act.connect(&listener)?;
    act.moment("connected", [Established, Established])?;
    act.pause(BEAT)?;
    client.write_all(b"everything, please\n")?;
    client.shutdown(Shutdown::Write)?;
    read_to_the_end(&mut server)?;
    act.moment("client has closed its side", [FinWait2, CloseWait])?;
    download(act, &mut client, &mut server)?;
    act.moment("server goes on sending", [FinWait2, CloseWait])?;
    download(act, &mut client, &mut server)?;
    drop(server);
    read_to_the_end(&mut client)?;
    act.moment("download is complete", [TimeWait, Closed])
}

fn abort(act: &Act<'_>) -> Result<(), Stop> {
    let listener = act.listen(16)?;
    let (client, server) = act.connect(&listener)?;
    exchange(&client, &server)?;
    act.moment("request and answer", [Established, Established])?;
    act.pause(2 * BEAT)?;
    // Closing then sends RST in place of FIN.
    client.set_linger(Some(Duration::ZERO))?;
    drop(client);
    act.moment("client aborts: RST", [Closed, Closed])?;
    drop(server);
    Ok(())
}

fn refused(act: &Act<'_>) -> Result<(), Stop> {
    act.pause(BEAT)?;
    let client = act.client_socket()?;
    match act.connect_to_server(&client) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
        Err(error) => return Err(error.into()),
        Ok(()) => return Err(Stop::Failed("somebody listens where nobody should".to_owned())),
    }
    drop(client);
    act.moment("nobody listens: RST", [Closed, Closed])
}

fn reuse(act: &Act<'_>) -> Result<(), Stop> {
    let listener = act.listen(16)?;
    let (mut client, server) = act.connect(&listener)?;
    exchange(&client, &server)?;
    act.moment("request and answer", [Established, Established])?;
    act.pause(BEAT)?;
    drop(server);
    read_to_the_end(&mut client)?;
    drop(client);
    act.moment("server has closed first", [Closed, TimeWait])?;
    act.pause(2 * BEAT)?;
    let (client, server) = act.connect(&listener)?;
    exchange(&client, &server)?;
    act.moment("same port connects again", [Established, Established])?;
    act.keep([client, server, listener]);
    Ok(())
}

fn unanswered(act: &Act<'_>) -> Result<(), Stop> {
    // A queue of none holds one connection that nobody accepts; SYNs after that are dropped.
    let listener = act.listen(0)?;
    let filler = act.unlisted_socket()?;
    act.connect_to_server(&filler)?;
    act.pause(BEAT)?;
    let client = act.client_socket()?;
    act.begin_to_connect(&client)?;
    act.moment("server's queue is full", [SynSent, Listen])?;
    let (first, _) = listener.accept()?;
    // Its next SYN, a second after the first one, finds a place.
    let (server, _) = listener.accept()?;
    act.accepted();
    client.set_nonblocking(false)?;
    exchange(&client, &server)?;
    act.moment("repeated SYN is answered", [Established, Established])?;
    act.keep([client, server, filler, first, listener]);
    Ok(())
}

fn never_closes(act: &Act<'_>) -> Result<(), Stop> {
    let listener = act.listen(16)?;
    let (client, server) = act.connect(&listener)?;
    exchange(&client, &server)?;
    act.moment("request and answer", [Established, Established])?;
    act.pause(3 * BEAT)?;
    drop(client);
    act.moment("client gone, server stays", [FinWait2, CloseWait])?;
    act.keep([server, listener]);
    Ok(())
}

fn exchange(mut client: &Socket, mut server: &Socket) -> io::Result<()> {
    let mut buffer = [0; 64];
    client.write_all(b"a request of thirty-two bytes..\n")?;
    server.read_exact(&mut buffer[..32])?;
    server.write_all(b"an answer of thirty bytes....\n")?;
    client.read_exact(&mut buffer[..30])
}

fn read_to_the_end(socket: &mut Socket) -> io::Result<()> {
    io::copy(socket, &mut io::sink()).map(drop)
}

/// Carries data from the server to the client for a while.
fn download(act: &Act<'_>, client: &mut Socket, server: &mut Socket) -> Result<(), Stop> {
    let mut chunk = vec![7; CHUNK];
    let turns = 100;
    for _ in 0..turns {
        server.write_all(&chunk)?;
        client.read_exact(&mut chunk)?;
        act.pause(DOWNLOAD / turns)?;
    }
    Ok(())
}

/// A TCP socket that gives up after a while, whatever it waits for.
pub(super) fn socket(address: SocketAddr, patience: Duration) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    let options = SockRef::from(&socket);
    options.set_reuse_address(true)?;
    options.set_read_timeout(Some(patience))?;
    options.set_write_timeout(Some(patience))?;
    socket.bind(&address.into())?;
    Ok(socket)
}
