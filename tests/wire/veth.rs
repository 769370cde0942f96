//! Wires between network namespaces of threads' own.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use nix::sched::{CloneFlags, unshare};

/// Runs `work` on a thread in a new network namespace, which ends with it.
pub(crate) fn in_new_namespace(work: impl FnOnce() + Send) {
    thread::scope(|scope| {
        let inside = scope.spawn(|| {
            enter_new_namespace();
            work();
        });
        if let Err(panic) = inside.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

fn enter_new_namespace() {
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    // Nothing on a wire but what a test sends: IPv6 would announce itself whenever an interface comes up.
    for interfaces in ["all", "default"] {
        // A kernel without IPv6 has nothing to be switched off.
        let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{interfaces}/disable_ipv6"), "1");
    }
}

/// Runs a program in this thread's namespace; what it printed.
pub(crate) fn run(command: &str) -> String {
    run_with(command, "")
}

/// Runs a program with something to read.
pub(crate) fn run_with(command: &str, input: &str) -> String {
    let mut words = command.split_whitespace();
    let program = words.next().unwrap();
    let mut child = Command::new(program)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Makes la-a and la-b, both in this namespace and up, with so many queues for receiving and for sending.
pub(crate) fn wire(receive: u32, send: u32) {
    let queues = format!("numrxqueues {receive} numtxqueues {send}");
    run(&format!("ip link add la-a {queues} type veth peer name la-b {queues}"));
    run("ip link set la-a up");
    run("ip link set la-b up");
}

/// A namespace of a thread that does what it is told, for as long as this value lives.
pub(crate) struct Elsewhere {
    /// What its thread is called by other programs.
    pub(crate) thread: u32,
    tasks: Sender<Box<dyn FnOnce() + Send>>,
}

impl Elsewhere {
    pub(crate) fn new() -> Elsewhere {
        let (tasks, received) = channel::<Box<dyn FnOnce() + Send>>();
        let (ready, is_ready) = channel();
        thread::spawn(move || {
            enter_new_namespace();
            let itself = fs::read_link("/proc/thread-self").unwrap();
            let number = itself.file_name().unwrap().to_str().unwrap().parse().unwrap();
            ready.send(number).unwrap();
            received.iter().for_each(|task| task());
        });
        Elsewhere { thread: is_ready.recv().unwrap(), tasks }
    }

    /// Does `work` there and waits for its result.
    pub(crate) fn call<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (answer, answered) = channel();
        self.tasks.send(Box::new(move || drop(answer.send(work())))).unwrap();
        answered.recv().expect("the thread elsewhere panicked")
    }
}
