//! What real sockets see through the middle: throughput, round trips, connections.
//!
//! Every thread is in the client's or the server's namespace, and bound to the ends' core. Nothing waits for
//! ever: whatever gets stuck looks up every now and then whether it is over.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use lastack::lab::Namespace;
use socket2::SockRef;

use super::cores;
use super::middle::Middle;
use super::{ENDS, WARM_UP};
use crate::Failure;

/// How long a socket waits before it looks up.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(3);
/// How much is written and read at a time, in bytes.
const CHUNK: usize = 128 * 1024;
/// How many threads open connections.
const CALLERS: usize = 8;
/// No more connections than this: the client has a port for each.
const MOST_CONNECTIONS: u64 = 60_000;

/// Threads in the lab that go on until they are told.
struct Crew {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<(), Failure>>>,
}

impl Crew {
    fn new() -> Crew {
        Crew { stop: Arc::new(AtomicBool::new(false)), threads: Vec::new() }
    }

    fn add(
        &mut self,
        place: &Namespace,
        work: impl FnOnce(&AtomicBool) -> Result<(), Failure> + Send + 'static,
    ) -> Result<(), Failure> {
        let stop = Arc::clone(&self.stop);
        self.threads.push(place.spawn("traffic", move || {
            cores::bind(ENDS)?;
            work(&stop)
        })?);
        Ok(())
    }

    /// Ends them; the first failure is everybody's.
    fn end(mut self) -> Result<(), Failure> {
        self.stop.store(true, Relaxed);
        let threads = std::mem::take(&mut self.threads);
        let results: Vec<_> = threads.into_iter().map(JoinHandle::join).collect();
        results.into_iter().try_for_each(|result| result.map_err(|_| "a thread has panicked")?)
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
    }
}

/// Whether a socket has only waited in vain.
fn is_patience(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// The rate at which `count` grows, in a second, once everything runs.
fn rate_of(count: &AtomicU64, duration: Duration) -> f64 {
    thread::sleep(WARM_UP);
    let (start, before) = (Instant::now(), count.load(Relaxed));
    thread::sleep(duration);
    (count.load(Relaxed) - before) as f64 / start.elapsed().as_secs_f64()
}

/// A listener in the server's namespace, which waits for so long.
fn listen(middle: &Middle, patience: Duration) -> Result<(TcpListener, SocketAddr), Failure> {
    let address = SocketAddr::from((middle.server(), 0));
    let listener = middle.lab.server.run(|| TcpListener::bind(address))??;
    SockRef::from(&listener).set_read_timeout(Some(patience))?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Bytes a second that arrive over so many TCP connections, from the client to the server.
pub(crate) fn throughput(middle: &Middle, connections: usize, duration: Duration) -> Result<f64, Failure> {
    let (listener, address) = listen(middle, CONNECT)?;
    let received = Arc::new(AtomicU64::new(0));
    let mut crew = Crew::new();
    for _ in 0..connections {
        // In the client's namespace, whose socket it is from then on.
        let sender = middle.lab.client.run(|| TcpStream::connect_timeout(&address, CONNECT))??;
        let (receiver, _) = listener.accept()?;
        let count = Arc::clone(&received);
        crew.add(&middle.lab.server, move |stop| receive(receiver, &count, stop))?;
        crew.add(&middle.lab.client, move |stop| send(sender, stop))?;
    }
    let rate = rate_of(&received, duration);
    crew.end()?;
    Ok(rate)
}

/// Opens a connection and closes it: whatever learns addresses from traffic knows both ends then.
pub(crate) fn greet(middle: &Middle) -> Result<(), Failure> {
    let (_listener, address) = listen(middle, CONNECT)?;
    middle.lab.client.run(|| TcpStream::connect_timeout(&address, CONNECT))??;
    Ok(())
}

fn send(mut stream: TcpStream, stop: &AtomicBool) -> Result<(), Failure> {
    stream.set_write_timeout(Some(PATIENCE))?;
    let chunk = vec![0; CHUNK];
    while !stop.load(Relaxed) {
        match stream.write(&chunk) {
            // The receiver may have left already.
            Err(error) if !is_patience(&error) && !stop.load(Relaxed) => return Err(error.into()),
            Ok(_) | Err(_) => {}
        }
    }
    Ok(())
}

fn receive(mut stream: TcpStream, count: &AtomicU64, stop: &AtomicBool) -> Result<(), Failure> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut buffer = vec![0; CHUNK];
    while !stop.load(Relaxed) {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => drop(count.fetch_add(length as u64, Relaxed)),
            Err(error) if is_patience(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// How long packets took to come back, in microseconds, the fastest first.
pub(crate) struct RoundTrips(Vec<f64>);

impl RoundTrips {
    /// So many of a hundred are no slower.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        self.0[(self.0.len() - 1) * percent / 100]
    }
}

/// Sends small UDP packets to the server and waits for each to come back; then for `pause`.
pub(crate) fn round_trips(
    middle: &Middle,
    pause: Duration,
    duration: Duration,
) -> Result<RoundTrips, Failure> {
    let address = SocketAddr::from((middle.server(), 0));
    let echo = middle.lab.server.run(|| UdpSocket::bind(address))??;
    let address = echo.local_addr()?;
    let socket = middle.lab.client.run(|| UdpSocket::bind("0.0.0.0:0"))??;
    socket.connect(address)?;
    let mut crew = Crew::new();
    crew.add(&middle.lab.server, move |stop| reflect(&echo, stop))?;
    let (answer, answered) = std::sync::mpsc::channel();
    crew.add(&middle.lab.client, move |_| Ok(answer.send(ping(&socket, pause, duration)?)?))?;
    let times = answered.recv();
    crew.end()?;
    let mut times = times?;
    if times.is_empty() {
        return Err("no packet has come back".into());
    }
    times.sort_by(f64::total_cmp);
    Ok(RoundTrips(times))
}

fn reflect(socket: &UdpSocket, stop: &AtomicBool) -> Result<(), Failure> {
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut buffer = [0; 64];
    while !stop.load(Relaxed) {
        match socket.recv_from(&mut buffer) {
            Ok((length, sender)) => drop(socket.send_to(&buffer[..length], sender)?),
            Err(error) if is_patience(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The times of all that came back within [`PATIENCE`].
fn ping(socket: &UdpSocket, pause: Duration, duration: Duration) -> Result<Vec<f64>, Failure> {
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut times = Vec::with_capacity(1 << 18);
    let start = Instant::now();
    let mut number: u64 = 0;
    while start.elapsed() < WARM_UP + duration {
        number += 1;
        let sent = Instant::now();
        socket.send(&number.to_ne_bytes())?;
        let mut answer = [0; 8];
        // An answer that comes too late must not be taken for the next one's.
        let is_back = loop {
            match socket.recv(&mut answer) {
                Ok(_) if answer == number.to_ne_bytes() => break true,
                Ok(_) => {}
                Err(error) if is_patience(&error) => break false,
                Err(error) => return Err(error.into()),
            }
        };
        if is_back && start.elapsed() > WARM_UP {
            times.push(sent.elapsed().as_secs_f64() * 1e6);
        }
        if !pause.is_zero() {
            thread::sleep(pause);
        }
    }
    Ok(times)
}

/// Connections a second that are opened, accepted and closed again, the client closing first.
pub(crate) fn connections(middle: &Middle, duration: Duration) -> Result<f64, Failure> {
    let (listener, address) = listen(middle, PATIENCE)?;
    let count = Arc::new(AtomicU64::new(0));
    let mut crew = Crew::new();
    crew.add(&middle.lab.server, move |stop| accept(&listener, stop))?;
    for _ in 0..CALLERS {
        let count = Arc::clone(&count);
        crew.add(&middle.lab.client, move |stop| call(address, &count, stop))?;
    }
    let rate = rate_of(&count, duration);
    crew.end()?;
    Ok(rate)
}

fn call(address: SocketAddr, count: &AtomicU64, stop: &AtomicBool) -> Result<(), Failure> {
    while !stop.load(Relaxed) && count.load(Relaxed) < MOST_CONNECTIONS {
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(stream) => {
                drop(stream);
                count.fetch_add(1, Relaxed);
            }
            // Whoever is still calling at the end finds nobody there any more.
            Err(error) if is_patience(&error) || stop.load(Relaxed) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn accept(listener: &TcpListener, stop: &AtomicBool) -> Result<(), Failure> {
    while !stop.load(Relaxed) {
        match listener.accept() {
            Ok((stream, _)) => drop(stream),
            Err(error) if is_patience(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
