//! The socket's place in the file system: whose it is, who may reach it, what was there before.

use nix::fcntl::{Flock, FlockArg};

use super::*;

fn bind(scratch: &Scratch) -> Result<(Poll, Server), Error> {
    let poll = Poll::new().unwrap();
    let server = Server::bind(&scratch.socket(), poll.registry(), FIRST_TOKEN)?;
    Ok((poll, server))
}

#[test]
fn the_socket_is_for_owner_and_group_and_goes_with_the_server() {
    let scratch = Scratch::new();
    let server = bind(&scratch).unwrap();
    let file = std::fs::metadata(scratch.socket()).unwrap();
    assert!(file.file_type().is_socket());
    assert_eq!(file.permissions().mode() & 0o777, 0o660);
    drop(server);
    assert!(!scratch.socket().exists());
}

#[test]
fn a_second_server_is_refused_and_the_first_goes_on() {
    let scratch = Scratch::new();
    let first = bind(&scratch).unwrap();
    let error = bind(&scratch).unwrap_err();
    assert!(error.to_string().contains("another lastack is running with this socket"), "{error}");
    assert!(UnixStream::connect(scratch.socket()).is_ok());
    drop(first);
    bind(&scratch).unwrap();
}

/// What is there once nobody is: nothing, whether the directory was made or found.
#[test]
fn a_server_leaves_nothing_behind_but_what_it_found() {
    let scratch = Scratch::new();
    let names = |scratch: &Scratch| -> Vec<String> {
        let entries = std::fs::read_dir(&scratch.0).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    drop(bind(&scratch).unwrap());
    assert_eq!(names(&scratch), [""; 0], "the directory was made for it");
    std::fs::create_dir(scratch.socket().parent().unwrap()).unwrap();
    drop(bind(&scratch).unwrap());
    assert_eq!(names(&scratch), ["run"], "the directory was there before");
    assert_eq!(std::fs::read_dir(scratch.0.join("run")).unwrap().count(), 0);
}

#[test]
fn a_server_that_cannot_be_leaves_nothing_behind_either() {
    let scratch = Scratch::new();
    let poll = Poll::new().unwrap();
    // The address of a socket has room for 107 bytes, the name of a file for 255.
    let path = scratch.0.join("run/deeper").join("x".repeat(120));
    let error = Server::bind(&path, poll.registry(), FIRST_TOKEN).unwrap_err();
    assert!(matches!(error, Error::System(..)), "{error}");
    assert_eq!(std::fs::read_dir(&scratch.0).unwrap().count(), 0);
}

/// Bound and not listening yet, a live socket looks like one that was left behind.
#[test]
fn a_socket_whose_lock_is_held_is_not_taken_for_a_stale_one() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.socket().parent().unwrap()).unwrap();
    drop(std::os::unix::net::UnixListener::bind(scratch.socket()).unwrap());
    let lock = std::fs::File::create(scratch.socket().with_extension("sock.lock")).unwrap();
    let held = Flock::lock(lock, FlockArg::LockExclusiveNonblock).unwrap();
    let error = bind(&scratch).unwrap_err();
    assert!(matches!(error, Error::AnotherIsRunning(_)), "{error}");
    assert!(scratch.socket().exists());
    drop(held);
    bind(&scratch).unwrap();
}

/// Whichever it is, and however their steps fall between each other.
#[test]
fn of_those_that_start_at_once_one_runs_and_answers() {
    for _ in 0..20 {
        let scratch = Scratch::new();
        std::fs::create_dir(scratch.socket().parent().unwrap()).unwrap();
        drop(std::os::unix::net::UnixListener::bind(scratch.socket()).unwrap());
        let servers: Vec<Result<(Poll, Server), Error>> = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..4).map(|_| scope.spawn(|| bind(&scratch))).collect();
            starts.into_iter().map(|start| start.join().unwrap()).collect()
        });
        assert_eq!(servers.iter().filter(|server| server.is_ok()).count(), 1, "{servers:?}");
        assert!(UnixStream::connect(scratch.socket()).is_ok());
    }
}

#[test]
fn a_socket_that_answers_without_a_lock_is_another_one_too() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.socket().parent().unwrap()).unwrap();
    let _other = std::os::unix::net::UnixListener::bind(scratch.socket()).unwrap();
    let error = bind(&scratch).unwrap_err();
    assert!(matches!(error, Error::AnotherIsRunning(_)), "{error}");
    assert!(UnixStream::connect(scratch.socket()).is_ok());
}

#[test]
fn no_symbolic_link_is_followed() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.socket().parent().unwrap()).unwrap();
    let target = scratch.0.join("target");
    for (link, what) in [("run/control.sock", "exists and is not a socket"), ("run/control.sock.lock", "")] {
        std::os::unix::fs::symlink(&target, scratch.0.join(link)).unwrap();
        let error = bind(&scratch).unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
        assert!(!target.exists(), "made through {link}");
        std::fs::remove_file(scratch.0.join(link)).unwrap();
    }
    bind(&scratch).unwrap();
}

#[test]
fn what_a_killed_process_left_is_replaced() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.socket().parent().unwrap()).unwrap();
    // The standard library's listener does not remove its file.
    drop(std::os::unix::net::UnixListener::bind(scratch.socket()).unwrap());
    assert!(scratch.socket().exists());
    bind(&scratch).unwrap();
}

#[test]
fn what_is_not_a_socket_is_left_alone() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.socket().parent().unwrap()).unwrap();
    std::fs::write(scratch.socket(), "dear").unwrap();
    let error = bind(&scratch).unwrap_err();
    assert!(error.to_string().contains("not a socket"), "{error}");
    assert_eq!(std::fs::read_to_string(scratch.socket()).unwrap(), "dear");
}

#[test]
fn a_socket_that_another_process_put_there_is_not_removed() {
    let scratch = Scratch::new();
    let server = bind(&scratch).unwrap();
    std::fs::remove_file(scratch.socket()).unwrap();
    let _other = std::os::unix::net::UnixListener::bind(scratch.socket()).unwrap();
    drop(server);
    assert!(scratch.socket().exists());
}

#[test]
fn a_place_that_cannot_be_is_named() {
    let poll = Poll::new().unwrap();
    let path = std::path::Path::new("/proc/nowhere/control.sock");
    let error = Server::bind(path, poll.registry(), FIRST_TOKEN).unwrap_err();
    assert!(error.to_string().starts_with("/proc/nowhere/control.sock: "), "{error}");
}
