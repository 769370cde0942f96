//! What is said of interfaces, against interfaces that were made so.

use std::time::{Duration, Instant};

use lastack::link::{self, Change, Error, Monitor, Promiscuous};

use super::is_root;
use super::veth::{Elsewhere, in_new_namespace, run, run_with, wire};

#[test]
fn an_interface_is_described_as_it_is() {
    if !is_root("an_interface_is_described_as_it_is") {
        return;
    }
    in_new_namespace(|| {
        wire(4, 3);
        run("ip link set la-a mtu 9000 address 02:00:00:00:0a:01");
        let link = link::find("la-a").unwrap();
        assert_eq!((link.name.as_str(), link.mtu, link.kind.as_deref()), ("la-a", 9_000, Some("veth")));
        assert_eq!(link.mac, Some([2, 0, 0, 0, 0x0a, 1]));
        assert_eq!((link.rx_queues, link.tx_queues, link.xdp_program), (4, 3, None));
        assert!(link.up && link.carrier);
        // Queues in use, not those that were allocated.
        run("ethtool -L la-a rx 2 tx 1");
        let link = link::find("la-a").unwrap();
        assert_eq!((link.rx_queues, link.tx_queues), (2, 1));
        run("ip link set la-b down");
        let link = link::find("la-a").unwrap();
        assert!(link.up && !link.carrier, "switched on, but the other side is not");
    });
}

#[test]
fn a_missing_interface_is_told_with_the_nearest_name() {
    if !is_root("a_missing_interface_is_told") {
        return;
    }
    in_new_namespace(|| {
        wire(1, 1);
        for (name, hint) in
            [("la-aa", "did you mean la-a?"), ("a-name-longer-than-the-kernel-allows", "there are lo, ")]
        {
            let error = link::find(name).unwrap_err();
            assert!(matches!(error, Error::Missing { .. }), "{error:?}");
            assert!(error.to_string().contains(hint), "{error}");
        }
    });
}

#[test]
fn promiscuous_mode_lasts_as_long_as_its_value() {
    if !is_root("promiscuous_mode_lasts_as_long_as_its_value") {
        return;
    }
    in_new_namespace(|| {
        wire(1, 1);
        let index = link::find("la-a").unwrap().index;
        let promiscuity = |count: u32| {
            let shown = run("ip -details link show la-a");
            assert!(shown.contains(&format!("promiscuity {count} ")), "{count}: {shown}");
        };
        promiscuity(0);
        let one = Promiscuous::set(index).unwrap();
        let other = Promiscuous::set(index).unwrap();
        promiscuity(2);
        drop(one);
        promiscuity(1);
        drop(other);
        promiscuity(0);
        assert_eq!(Promiscuous::set(9_999).unwrap_err().raw_os_error(), Some(libc::ENODEV));
    });
}

/// The changes of la-a until there is one such as is waited for.
fn changes_until(monitor: &mut Monitor, is_last: impl Fn(&Change) -> bool) -> Vec<Change> {
    let start = Instant::now();
    let mut seen: Vec<Change> = Vec::new();
    while !seen.last().is_some_and(&is_last) {
        assert!(start.elapsed() < Duration::from_secs(10), "only {seen:?}");
        seen.extend(monitor.changes().unwrap().into_iter().filter(|change| change.name != "la-b"));
    }
    seen
}

#[test]
fn changes_of_interfaces_are_told_once_each() {
    if !is_root("changes_of_interfaces_are_told_once_each") {
        return;
    }
    in_new_namespace(|| {
        wire(1, 1);
        let index = link::find("la-a").unwrap().index;
        let mut monitor = Monitor::open().unwrap();
        let first = monitor.changes().unwrap();
        assert!(
            first.contains(&Change { index, name: "la-a".into(), up: true, deleted: false }),
            "{first:?}"
        );
        // Nothing that is announced changes what matters.
        run("ip link set la-a mtu 1400");
        assert_eq!(monitor.changes().unwrap(), []);

        run("ip link set la-b down");
        assert_eq!(changes_until(&mut monitor, |change| !change.up).len(), 1, "the other side went");
        run("ip link set la-b up");
        assert_eq!(changes_until(&mut monitor, |change| change.up).len(), 1, "and came back");
        run("ip link set la-a down");
        assert_eq!(changes_until(&mut monitor, |change| !change.up).len(), 1, "switched off");
        run("ip link set la-a name la-c");
        let renamed = changes_until(&mut monitor, |change| change.name == "la-c");
        assert_eq!(renamed.last().map(|change| change.index), Some(index));
        run("ip link delete la-c");
        let gone = changes_until(&mut monitor, |change| change.deleted);
        assert_eq!(gone.last().map(|change| change.index), Some(index));
    });
}

#[test]
fn what_moves_to_another_namespace_is_gone_and_what_leaves_a_bridge_is_not() {
    if !is_root("what_moves_to_another_namespace") {
        return;
    }
    in_new_namespace(|| {
        wire(1, 1);
        let mut monitor = Monitor::open().unwrap();
        monitor.changes().unwrap();
        run("ip link add la-bridge type bridge");
        run("ip link set la-a master la-bridge");
        run("ip link set la-a nomaster");
        let elsewhere = Elsewhere::new();
        run("ip link set la-b down");
        let until_down = changes_until(&mut monitor, |change| change.name == "la-a" && !change.up);
        assert!(until_down.iter().all(|change| !change.deleted), "{until_down:?}");
        run(&format!("ip link set la-a netns {}", elsewhere.thread));
        changes_until(&mut monitor, |change| change.name == "la-a" && change.deleted);
    });
}

#[test]
fn announcements_that_were_lost_are_made_up_for() {
    if !is_root("announcements_that_were_lost_are_made_up_for") {
        return;
    }
    in_new_namespace(|| {
        wire(1, 1);
        run("ip link add la-d type veth peer name la-e");
        let mut monitor = Monitor::open().unwrap();
        monitor.changes().unwrap();
        // More than the socket holds: what happens last is not announced any more.
        let mtus = |round: u32| format!("link set la-a mtu {}\n", 1_000 + round);
        let script: String =
            (0..400).map(mtus).chain(["link delete la-d\nlink set la-a down\n".to_owned()]).collect();
        run_with("ip -batch -", &script);
        let sockets = std::fs::read_to_string("/proc/thread-self/net/netlink").unwrap();
        let is_overrun = |line: &str| line.split_whitespace().nth(8).is_some_and(|drops| drops != "0");
        assert!(sockets.lines().skip(1).any(is_overrun), "nothing was lost: {sockets}");

        let changes = monitor.changes().unwrap();
        let of = |name: &str| changes.iter().rfind(|change| change.name == name);
        assert!(of("la-d").is_some_and(|change| change.deleted), "{changes:?}");
        assert!(of("la-e").is_some_and(|change| change.deleted), "{changes:?}");
        assert!(of("la-a").is_some_and(|change| !change.up && !change.deleted), "{changes:?}");
        assert_eq!(monitor.changes().unwrap(), []);
    });
}

#[test]
fn offloads_are_shown_as_they_are() {
    if !is_root("offloads_are_shown_as_they_are") {
        return;
    }
    in_new_namespace(|| {
        wire(1, 1);
        let on = link::offloads("la-a").unwrap();
        assert!(on.on.contains("tx-checksum-ip-generic") && on.joining().count() > 0, "{on:?}");
        on.joining().for_each(|feature| drop(run(&format!("ethtool -K la-a {feature} off"))));
        let on = link::offloads("la-a").unwrap();
        assert_eq!(on.joining().collect::<Vec<_>>(), [""; 0], "{on:?}");
        assert!(on.on.contains("tx-checksum-ip-generic"), "checksums are another matter: {on:?}");
        run("ethtool -K la-a tx off");
        let on = link::offloads("la-a").unwrap();
        assert!(!on.on.contains("tx-checksum-ip-generic"), "{on:?}");
        assert_eq!(link::offloads("la-z").unwrap_err().raw_os_error(), Some(libc::ENODEV));
    });
}
