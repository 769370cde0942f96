//! Who talks through the middlebox: programs, kernel sockets, and packet sockets for what no kernel would send.

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{ChildStdout, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;

use lastack::lab::{CLIENT_INTERFACE, Lab, Namespace, SERVER_INTERFACE};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrLike, bind, recv, send, socket,
};

use crate::middlebox::{PATIENCE, Process, beside, run};

pub(crate) const CLIENT_V4: IpAddr = IpAddr::V4(Lab::CLIENT.0);
pub(crate) const CLIENT_V6: IpAddr = IpAddr::V6(Lab::CLIENT.1);
pub(crate) const SERVER_V4: IpAddr = IpAddr::V4(Lab::SERVER.0);
pub(crate) const SERVER_V6: IpAddr = IpAddr::V6(Lab::SERVER.1);

/// An HTTP server in the server's namespace.
pub(crate) struct Web {
    address: IpAddr,
    _process: Process,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Web {
    pub(crate) fn start(lab: &Lab, address: IpAddr) -> Web {
        let mut python = Command::new("python3");
        python.arg(beside("serve.py")).arg(address.to_string());
        let mut process = Process::start(&lab.server, &[], &python);
        let mut lines = BufReader::new(process.stdout()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "listening");
        Web { address, _process: process, lines }
    }

    /// Has curl fetch so many MiB, at most `rate` bytes a second if there is one, and holds that what arrives
    /// is what was sent.
    #[track_caller]
    pub(crate) fn fetch(&mut self, lab: &Lab, mebibytes: usize, rate: Option<&str>) {
        let url = format!("http://{}/{mebibytes}", SocketAddr::new(self.address, 80));
        let limit = rate.map_or(String::new(), |rate| format!("--limit-rate {rate}"));
        let fetch =
            format!("curl --silent --show-error --fail --max-time 120 {limit} --globoff '{url}' | sha256sum");
        let received = run(&lab.client, "sh", &["-c", &fetch]);
        let sent = self.lines.next().unwrap().unwrap();
        assert_eq!(received.split_whitespace().next(), Some(sent.as_str()), "{mebibytes} MiB");
    }
}

/// A thread of the server's that goes on until it is dropped.
pub(crate) struct Service {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Service {
    fn start(namespace: &Namespace, work: impl FnOnce(&AtomicBool) + Send + 'static) -> Service {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = namespace.spawn("service", move || work(&told)).unwrap();
        Service { stop, thread: Some(thread) }
    }

    /// Sends every datagram back to where it came from.
    pub(crate) fn udp_echo(namespace: &Namespace, address: SocketAddr) -> Service {
        let socket = namespace.run(|| UdpSocket::bind(address)).unwrap().unwrap();
        socket.set_read_timeout(Some(std::time::Duration::from_millis(20))).unwrap();
        Service::start(namespace, move |stop| {
            let mut buffer = vec![0; 1 << 16];
            while !stop.load(Relaxed) {
                if let Ok((length, from)) = socket.recv_from(&mut buffer) {
                    // The other side may have gone; whoever misses the answer tells.
                    let _ = socket.send_to(&buffer[..length], from);
                }
            }
        })
    }

    /// Sends back what comes on each connection, one after another, until its end.
    pub(crate) fn tcp_echo(namespace: &Namespace, address: SocketAddr) -> Service {
        let listener = namespace.run(|| TcpListener::bind(address)).unwrap().unwrap();
        listener.set_nonblocking(true).unwrap();
        Service::start(namespace, move |stop| {
            let mut buffer = [0; 4096];
            while !stop.load(Relaxed) {
                let Ok((mut stream, _)) = listener.accept() else {
                    std::thread::sleep(std::time::Duration::from_micros(100));
                    continue;
                };
                stream.set_nonblocking(false).unwrap();
                while let Ok(length @ 1..) = stream.read(&mut buffer) {
                    if stream.write_all(&buffer[..length]).is_err() {
                        break;
                    }
                }
            }
        })
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A UDP socket in a namespace that waits for answers only as long as everybody else.
pub(crate) fn udp(namespace: &Namespace, local: SocketAddr) -> UdpSocket {
    let socket = namespace.run(|| UdpSocket::bind(local)).unwrap().unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// A connection through the middlebox: the client's socket and the server's.
#[track_caller]
pub(crate) fn connected(lab: &Lab, to: SocketAddr) -> (TcpStream, TcpStream) {
    let listener = lab.server.run(|| TcpListener::bind(to)).unwrap().unwrap();
    let client = lab.client.run(|| TcpStream::connect_timeout(&to, PATIENCE)).unwrap().unwrap();
    let server = listener.accept().unwrap().0;
    for stream in [&client, &server] {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    (client, server)
}

/// Sends one ping and holds that it is answered; what `ping` said. One, because for the last of several it
/// waits no longer than two of their round trips.
#[track_caller]
pub(crate) fn ping(from: &Namespace, to: IpAddr, arguments: &[&str]) -> String {
    run(from, "ping", &[&["-c", "1", "-W", "30"], arguments, &[&to.to_string()]].concat())
}

/// Holds that what is written at one end arrives at the other.
#[track_caller]
pub(crate) fn crosses(mut from: &TcpStream, mut to: &TcpStream, bytes: &[u8]) {
    from.write_all(bytes).unwrap();
    let mut received = vec![0; bytes.len()];
    to.read_exact(&mut received).unwrap();
    assert_eq!(received, bytes);
}

/// A packet socket at one end of the lab: whole frames, as they are on the wire.
pub(crate) struct Wire {
    socket: OwnedFd,
}

impl Wire {
    pub(crate) fn of_client(lab: &Lab) -> Wire {
        Wire::on(&lab.client, CLIENT_INTERFACE)
    }

    pub(crate) fn of_server(lab: &Lab) -> Wire {
        Wire::on(&lab.server, SERVER_INTERFACE)
    }

    fn on(namespace: &Namespace, interface: &str) -> Wire {
        let opened = namespace.run(|| {
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            let every_frame = Some(SockProtocol::EthAll);
            let socket = socket(AddressFamily::Packet, SockType::Raw, flags, every_frame).unwrap();
            // The interface's address of this family holds its index, which is all that is needed.
            let mut addresses = nix::ifaddrs::getifaddrs().unwrap();
            let address = addresses.find_map(|one| {
                let address =
                    one.address.filter(|address| address.family() == Some(AddressFamily::Packet))?;
                (one.interface_name == interface).then_some(address)
            });
            bind(socket.as_raw_fd(), &address.unwrap()).unwrap();
            Wire { socket }
        });
        opened.unwrap()
    }

    pub(crate) fn send(&self, frame: &[u8]) {
        assert_eq!(send(self.socket.as_raw_fd(), frame, MsgFlags::empty()), Ok(frame.len()));
    }

    /// The next frame, of either direction, if one is there.
    pub(crate) fn next(&self) -> Option<Vec<u8>> {
        let mut frame = vec![0; 1 << 16];
        match recv(self.socket.as_raw_fd(), &mut frame, MsgFlags::empty()) {
            Ok(length) => Some(frame[..length].to_vec()),
            Err(Errno::EAGAIN) => None,
            Err(error) => panic!("packet socket: {error}"),
        }
    }

    /// Waits for exactly this frame.
    #[track_caller]
    pub(crate) fn wait_for(&self, frame: &[u8]) {
        crate::eventually("a frame arrives", || self.has(frame));
    }

    /// Whether exactly this frame is among those that have come.
    pub(crate) fn has(&self, frame: &[u8]) -> bool {
        std::iter::from_fn(|| self.next()).any(|next| next == frame)
    }
}

/// A frame from the server to the client; those that a builder makes go the other way.
pub(crate) fn to_client(mut frame: Vec<u8>) -> Vec<u8> {
    frame[..6].copy_from_slice(&Lab::CLIENT_MAC.0);
    frame[6..12].copy_from_slice(&Lab::SERVER_MAC.0);
    frame
}
