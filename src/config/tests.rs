//! The configuration as its users meet it: files, `--set`s, messages.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::schema::SECTIONS;
use super::*;
use crate::tcp::{InexactRst, TimeWaitOverflow, TimeWaitReuse};
use crate::time::Span;

/// Two ports and a bridge, to change something of.
const BASE: &str = r#"
[[port]]
name = "inside"
interface = "eth1"

[[port]]
name = "outside"
interface = "eth2"

[[bridge]]
ports = ["inside", "outside"]
"#;

fn owned(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(|&argument| argument.to_owned()).collect()
}

/// The configuration that `content` and `sets` make; both are right.
fn right(content: &str, sets: &[&str]) -> Config {
    parse("lastack.toml", content, &owned(sets)).unwrap_or_else(|errors| panic!("{errors}"))
}

/// Every line that is reported about `content` and `sets`.
fn wrong(content: &str, sets: &[&str]) -> Vec<String> {
    match parse("lastack.toml", content, &owned(sets)) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.lines().to_vec(),
    }
}

fn span(milliseconds: u32) -> Span {
    Span::from_milliseconds(milliseconds)
}

/// A key, a value that is not its default, and what that does to a configuration.
type Row = (&'static str, &'static str, fn(&mut Config));

const ROWS: &[Row] = &[
    ("table.max_connections", "2_000", |c| c.capacity = Capacity::Connections(2_000)),
    ("table.memory", "\"2GiB\"", |c| c.capacity = Capacity::Memory(2 << 30)),
    ("workers.cpus", "[3, 1]", |c| c.workers.cpus = Some(vec![3, 1])),
    ("workers.wait", "\"busy\"", |c| c.workers.wait = Wait::Busy),
    ("workers.steering", "\"hash\"", |c| c.workers.steering = Steering::Hash),
    ("port.1.interface", "\"eth9\"", |c| c.ports[1].interface = "eth9".to_owned()),
    ("port.0.queues", "[0, 1]", |c| c.ports[0].queues = Queues::Some(vec![0, 1])),
    ("port.0.xdp", "\"zero-copy\"", |c| c.ports[0].xdp = Xdp::ZeroCopy),
    ("bridge.0.ports", "[\"outside\", \"inside\"]", |c| {
        c.bridges[0].ports.reverse();
        c.bridges[0].new_from.reverse();
    }),
    ("bridge.0.new_from", "[\"inside\"]", |c| c.bridges[0].new_from = vec!["inside".to_owned()]),
    ("bridge.0.multicast", "\"track\"", |c| c.bridges[0].multicast = Multicast::Track),
    ("bridge.0.on_invalid", "\"pass\"", |c| c.bridges[0].on_invalid = OnInvalid::Pass),
    ("tcp.syn_sent", "\"1s\"", |c| c.tcp.timeouts.syn_sent = span(1_000)),
    ("tcp.syn_received", "\"2s\"", |c| c.tcp.timeouts.syn_received = span(2_000)),
    ("tcp.established", "\"5d\"", |c| c.tcp.timeouts.established = span(432_000_000)),
    ("tcp.fin_wait_1", "\"4s\"", |c| c.tcp.timeouts.fin_wait_1 = span(4_000)),
    ("tcp.fin_timeout", "\"5s\"", |c| c.tcp.timeouts.fin_timeout = span(5_000)),
    ("tcp.half_closed", "\"6s\"", |c| c.tcp.timeouts.half_closed = span(6_000)),
    ("tcp.closing", "\"7s\"", |c| c.tcp.timeouts.closing = span(7_000)),
    ("tcp.msl", "\"250ms\"", |c| c.tcp.timeouts.msl = span(250)),
    ("tcp.closed", "\"9s\"", |c| c.tcp.timeouts.closed = span(9_000)),
    ("tcp.orphan_retries", "15", |c| c.tcp.orphan_retries = 15),
    ("tcp.time_wait_reuse", "\"off\"", |c| c.tcp.time_wait_reuse = TimeWaitReuse::Off),
    ("tcp.time_wait_reuse", "\"rfc1122\"", |c| c.tcp.time_wait_reuse = TimeWaitReuse::Rfc1122),
    ("tcp.time_wait_reuse", "\"always\"", |c| c.tcp.time_wait_reuse = TimeWaitReuse::Always),
    ("tcp.time_wait_assassination", "true", |c| c.tcp.time_wait_assassination = true),
    ("tcp.time_wait_restart", "false", |c| c.tcp.time_wait_restart = false),
    ("tcp.time_wait_max", "0x10", |c| c.tcp.time_wait_max = 16),
    ("tcp.time_wait_overflow", "\"skip\"", |c| c.tcp.time_wait_overflow = TimeWaitOverflow::Skip),
    ("tcp.time_wait_truncation", "true", |c| c.tcp.time_wait_truncation = true),
    ("tcp.quiet_time", "\"2m\"", |c| c.tcp.quiet_time = span(120_000)),
    ("tcp.loose", "false", |c| c.tcp.loose = false),
    ("tcp.liberal", "true", |c| c.tcp.liberal = true),
    ("tcp.inexact_rst", "\"drop\"", |c| c.tcp.inexact_rst = InexactRst::Drop),
    ("tcp.check_window", "false", |c| c.tcp.check_window = false),
    ("tcp.check_checksum", "false", |c| c.checks.tcp = false),
    ("udp.unreplied", "\"1s\"", |c| c.flow.udp_unreplied = span(1_000)),
    ("udp.replied", "\"2s\"", |c| c.flow.udp_replied = span(2_000)),
    ("udp.check_checksum", "false", |c| c.checks.udp = false),
    ("icmp.timeout", "\"1s\"", |c| c.flow.icmp = span(1_000)),
    ("icmp.check_checksum", "false", |c| c.checks.icmp = false),
    ("other.timeout", "\"1s\"", |c| c.flow.other = span(1_000)),
    ("ip.check_checksum", "false", |c| c.checks.ip = false),
    ("fragments.max", "1", |c| c.fragments.max = 1),
    ("fragments.timeout", "\"1s\"", |c| c.fragments.timeout = span(1_000)),
    ("control.socket", "\"/tmp/\\\"a b\\\".sock\"", |c| {
        c.control_socket = PathBuf::from("/tmp/\"a b\".sock")
    }),
    ("metrics.listen", "\"[::1]:9464\"", |c| {
        c.metrics = Some(SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 9464)))
    }),
    ("top.time_wait_warn", "\"1%\"", |c| c.top.time_wait_warn = Limit::Percent(1)),
    ("top.close_wait_warn", "1_000", |c| c.top.close_wait_warn = Limit::Count(1_000)),
    ("top.syn_received_warn", "0", |c| c.top.syn_received_warn = Limit::Count(0)),
];

#[test]
fn every_key_changes_its_own_field_and_no_other() {
    for (key, value, change) in ROWS {
        let mut expected = right(BASE, &[]);
        change(&mut expected);
        assert_ne!(expected, right(BASE, &[]), "{key} = {value} is the default");
        assert_eq!(right(BASE, &[&format!("{key}={value}")]), expected, "--set {key}={value}");
        if let [section, name] = key.split('.').collect::<Vec<_>>()[..] {
            let file = format!("{BASE}\n[{section}]\n{name} = {value}\n");
            assert_eq!(right(&file, &[]), expected, "[{section}] {name} = {value} in a file");
        }
    }
}

#[test]
fn no_key_is_left_untested() {
    for section in SECTIONS {
        for name in section.names() {
            let is_tested = ROWS.iter().any(|(key, ..)| {
                let parts: Vec<&str> = key.split('.').collect();
                parts.first() == Some(&section.name) && parts.last() == Some(&name)
            });
            // A name alone can only be changed together with the bridge that uses it: the next test.
            assert!(is_tested || (section.name, name) == ("port", "name"), "[{}] {name}", section.name);
        }
    }
}

#[test]
fn a_port_is_known_to_its_bridge_by_its_name() {
    let config = right(BASE, &["port.0.name=lan", "bridge.0.ports=['lan', 'outside']"]);
    assert_eq!(config.ports[0].name, "lan");
    assert_eq!(config.bridges[0].ports, ["lan", "outside"]);
}

#[test]
fn connections_begin_at_both_ports_unless_one_is_named() {
    assert_eq!(right(BASE, &[]).bridges[0].new_from, ["inside", "outside"]);
}

#[test]
fn every_value_lies_where_the_contract_puts_its_default() {
    let config = right("", &[]);
    assert_eq!(config, Config::default());
    assert_eq!(config.capacity, Capacity::Connections(1_000_000));
    assert_eq!(config.tcp, crate::tcp::Policy::DEFAULT);
    assert_eq!(config.flow, crate::flow::Policy::DEFAULT);
    assert_eq!(config.checks, crate::wire::Checks::ALL);
    assert_eq!(config.fragments, crate::fragments::Policy { max: 4096, timeout: span(15_000) });
    assert_eq!(config.metrics, None);
}

#[test]
fn what_is_printed_reads_as_the_same_configuration() {
    let mut all = BASE.to_owned();
    for (key, value, _) in ROWS {
        let config = right(BASE, &[&format!("{key}={value}")]);
        assert_eq!(right(&config.to_string(), &[]), config, "{key} = {value}");
        all = right(&all, &[&format!("{key}={value}")]).to_string();
    }
    let config = right(&all, &[]);
    assert_eq!(right(&config.to_string(), &[]), config);
    assert_eq!(right(&Config::default().to_string(), &[]), Config::default());
}

#[test]
fn what_is_printed_says_every_default() {
    let text = Config::default().to_string();
    for line in
        ["max_connections = 1_000_000", "established = \"2h4m\"", "orphan_retries = 8", "# cpus = [1, 2]"]
    {
        assert!(text.lines().any(|printed| printed == line), "{line}");
    }
    let first = "# How large the connection table is.\n[table]\n\
                 # The most connections of the whole process, split over the shards; reserved at the start. An\n\
                 # integer from 1 to 268_435_456; default 1_000_000.\nmax_connections = 1_000_000\n";
    assert!(text.starts_with(first), "{text}");
}

#[test]
fn the_reference_in_docs_is_the_one_that_the_code_prints() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    if std::env::var_os("LASTACK_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, reference()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == reference(),
        "docs/configuration.md is out of date; regenerate it: LASTACK_BLESS=1 cargo test --lib config"
    );
}

#[test]
fn sets_are_read_behind_the_file_and_in_order() {
    let config = right("[tcp]\nmsl = \"1s\"\n", &["tcp.msl=2s", "tcp.msl = 3s", "tcp.loose=false"]);
    assert_eq!(config.tcp.timeouts.msl, span(3_000));
    assert!(!config.tcp.loose);
}

#[test]
fn a_bare_word_is_a_string_and_toml_is_toml() {
    for set in ["tcp.time_wait_reuse=off", "tcp.time_wait_reuse=\"off\"", "tcp.time_wait_reuse='off'"] {
        assert_eq!(right("", &[set]).tcp.time_wait_reuse, TimeWaitReuse::Off, "{set}");
    }
    assert_eq!(right("", &["table.memory=2GiB"]).capacity, Capacity::Memory(2 << 30));
    assert_eq!(right("", &["control.socket=/tmp/a=b"]).control_socket, PathBuf::from("/tmp/a=b"));
    let listen = right("", &["metrics.listen=127.0.0.1:1"]).metrics;
    assert_eq!(listen, Some(SocketAddr::from(([127, 0, 0, 1], 1))));
}

#[test]
fn the_capacity_that_is_set_last_holds() {
    let file = "[table]\nmemory = \"1GiB\"\n";
    assert_eq!(right(file, &["table.max_connections=7"]).capacity, Capacity::Connections(7));
    let both = right("", &["table.max_connections=7", "table.memory=1GiB"]);
    assert_eq!(both.capacity, Capacity::Memory(1 << 30));
}

/// Files, `--set`s, and every line that is reported about them.
type Case = (&'static str, &'static [&'static str], &'static [&'static str]);

fn assert_reported(cases: &[Case]) {
    for (content, sets, expected) in cases {
        assert_eq!(wrong(content, sets), *expected, "\nfile: {content}\n--set: {sets:?}");
    }
}

#[test]
fn unknown_names_come_with_the_nearest_right_one() {
    assert_reported(&[
        (
            "[tcp]\n  fin_timout = \"3s\"",
            &[],
            &["lastack.toml:2:3: [tcp] fin_timout: unknown key; did you mean `fin_timeout`?"],
        ),
        (
            "[udp]\nlinger = 1",
            &[],
            &["lastack.toml:2:1: [udp] linger: unknown key; the keys of [udp] are unreplied, replied and \
               check_checksum"],
        ),
        (
            "[udp.a]\nb = 1",
            &["ip.chek_checksum=1"],
            &[
                "lastack.toml:1:6: [udp] a: unknown key; the keys of [udp] are unreplied, replied and check_checksum",
                "--set ip.chek_checksum=1: [ip] chek_checksum: unknown key; did you mean `check_checksum`?",
            ],
        ),
        ("[tpc]", &[], &["lastack.toml:1:2: [tpc]: unknown section; did you mean [tcp]?"]),
        ("[[ports]]", &[], &["lastack.toml:1:3: [ports]: unknown section; did you mean [[port]]?"]),
        (
            "[logging]",
            &[],
            &[
                "lastack.toml:1:2: [logging]: unknown section; the sections are [table], [workers], [[port]], \
               [[bridge]], [tcp], [udp], [icmp], [other], [ip], [fragments], [control], [metrics] and [top]",
            ],
        ),
        ("msl = 1", &[], &["lastack.toml:1:1: msl: a key outside of any section; it belongs to [tcp]"]),
        (
            "timeout = 1",
            &[],
            &["lastack.toml:1:1: timeout: a key outside of any section; it belongs to [icmp], [other] or \
               [fragments]"],
        ),
        ("x = 1", &[], &["lastack.toml:1:1: x: a key outside of any section, and of none that exists"]),
    ]);
}

#[test]
fn a_section_in_the_wrong_brackets_says_which_are_right() {
    assert_reported(&[
        ("[[tcp]]", &[], &["lastack.toml:1:3: tcp is a section, and there is one of it: write [tcp]"]),
        ("tcp = 5", &[], &["lastack.toml:1:1: tcp is a section, and there is one of it: write [tcp]"]),
        ("[port]", &[], &["lastack.toml:1:2: port is a section for each port: write [[port]]"]),
        ("bridge = [1]", &[], &["lastack.toml:1:11: bridge is a section for each bridge: write [[bridge]]"]),
        ("bridge = 1", &[], &["lastack.toml:1:1: bridge is a section for each bridge: write [[bridge]]"]),
    ]);
}

#[test]
fn a_wrong_value_says_what_would_be_right() {
    assert_reported(&[
        (
            "[tcp]\nmsl = 30",
            &["tcp.msl=31"],
            &[
                "lastack.toml:2:7: [tcp] msl = 30: a duration is a string with a unit, such as \"30s\"",
                "--set tcp.msl=31: [tcp] msl = 31: a duration is a string with a unit, such as \"30s\"",
            ],
        ),
        (
            "[tcp]\nmsl = \"0s\"",
            &[],
            &["lastack.toml:2:7: [tcp] msl = \"0s\": must be a duration from 1ms to 10d"],
        ),
        (
            "[tcp]\nmsl = \"11d\"",
            &[],
            &["lastack.toml:2:7: [tcp] msl = \"11d\": must be a duration from 1ms to 10d"],
        ),
        (
            "[udp]\nreplied = \"21d\"",
            &[],
            &["lastack.toml:2:11: [udp] replied = \"21d\": must be at most 20d"],
        ),
        ("[tcp]\nloose = \"yes\"", &[], &["lastack.toml:2:9: [tcp] loose = \"yes\": must be true or false"]),
        (
            "[tcp]\norphan_retries = 16",
            &["tcp.orphan_retries=-1", "tcp.orphan_retries=2.0", "tcp.orphan_retries=99999999999999999999"],
            &[
                "lastack.toml:2:18: [tcp] orphan_retries = 16: must be an integer from 0 to 15",
                "--set tcp.orphan_retries=-1: [tcp] orphan_retries = -1: must be an integer from 0 to 15",
                "--set tcp.orphan_retries=2.0: [tcp] orphan_retries = 2.0: must be an integer from 0 to 15",
                "--set tcp.orphan_retries=99999999999999999999: [tcp] orphan_retries = 99999999999999999999: must \
                 be an integer from 0 to 15",
            ],
        ),
        (
            "[tcp]\ntime_wait_reuse = \"rfc6192\"",
            &["tcp.time_wait_reuse=false"],
            &[
                "lastack.toml:2:19: [tcp] time_wait_reuse = \"rfc6192\": must be \"off\", \"rfc1122\", \"rfc6191\" \
                 or \"always\"; did you mean \"rfc6191\"?",
                "--set tcp.time_wait_reuse=false: [tcp] time_wait_reuse = false: must be \"off\", \"rfc1122\", \
                 \"rfc6191\" or \"always\"",
            ],
        ),
        (
            "[workers]\ncpus = []",
            &["workers.cpus=[1,2,1]", "workers.cpus=[8192]", "workers.cpus=1"],
            &[
                "lastack.toml:2:8: [workers] cpus = []: must name a core; leave the key out for one worker on any \
                 core",
                "--set workers.cpus=[1,2,1]: [workers] cpus = [1,2,1]: names core 1 twice; each core has one worker",
                "--set workers.cpus=[8192]: [workers] cpus = [8192]: must be a list of cores, each an integer from \
                 0 to 8191",
                "--set workers.cpus=1: [workers] cpus = 1: must be a list of cores, each an integer from 0 to 8191",
            ],
        ),
        (
            "[metrics]\nlisten = \"localhost\"",
            &[],
            &["lastack.toml:2:10: [metrics] listen = \"localhost\": must be an address and a port, such as \
               \"127.0.0.1:9464\" or \"[::1]:9464\""],
        ),
        (
            "[control]\nsocket = \"\"",
            &["control.socket="],
            &[
                "lastack.toml:2:10: [control] socket = \"\": must be a path of 1 to 107 bytes",
                "--set control.socket=: [control] socket = \"\": must be a path of 1 to 107 bytes",
            ],
        ),
        (
            "[tcp.msl]\na = 1",
            &[],
            &["lastack.toml:1:1: [tcp] msl = {…}: a duration is a string with a unit, such as \"30s\""],
        ),
    ]);
}

#[test]
fn the_table_is_sized_in_one_way_and_not_too_small() {
    assert_reported(&[
        (
            "[table]\nmax_connections = 1_000\nmemory = \"2GiB\"",
            &[],
            &[
                "lastack.toml:3:10: [table] memory = \"2GiB\": max_connections is set as well; keep one of the two",
            ],
        ),
        (
            "[table]\nmemory = \"2GiB\"\nmax_connections = 1_000",
            &[],
            &[
                "lastack.toml:3:19: [table] max_connections = 1_000: memory is set as well; keep one of the two",
            ],
        ),
        (
            "[table]\nmemory = 2147483648",
            &["table.memory=1MB", "table.memory=2TiB", "table.memory=2G"],
            &[
                "lastack.toml:2:10: [table] memory = 2147483648: a size is a string with a unit, such as \"2GiB\"",
                "--set table.memory=1MB: [table] memory = 1MB: must be a size from 1MiB to 1TiB",
                "--set table.memory=2TiB: [table] memory = 2TiB: must be a size from 1MiB to 1TiB",
                "--set table.memory=2G: [table] memory = 2G: the units are KiB, MiB, GiB, TiB (of 1024) and KB, MB, \
                 GB, TB (of 1000), one of them",
            ],
        ),
        (
            "[table]\nmax_connections = 0",
            &["table.max_connections=2_000_000_001"],
            &[
                "lastack.toml:2:19: [table] max_connections = 0: must be an integer from 1 to 268_435_456",
                "--set table.max_connections=2_000_000_001: [table] max_connections = 2_000_000_001: must be an \
                 integer from 1 to 268_435_456",
            ],
        ),
    ]);
}

#[test]
fn a_port_has_a_name_and_an_interface_of_its_own() {
    let two = "[[port]]\nname = \"a\"\ninterface = \"e0\"\n[[port]]\nname = \"a\"\ninterface = \"e0\"";
    assert_reported(&[
        (
            "[[port]]",
            &[],
            &[
                "lastack.toml:1:1: [[port]] name: missing; write for example name = \"inside\"",
                "lastack.toml:1:1: [[port]] interface: missing; write for example interface = \"eth1\"",
            ],
        ),
        (
            two,
            &[],
            &[
                "lastack.toml:5:8: [[port]] name = \"a\": another port has this name; give each its own",
                "lastack.toml:6:13: [[port]] interface = \"e0\": another port has this interface; give each its own",
            ],
        ),
        // The one that was written last is to blame: here an earlier port, by a later --set.
        (
            BASE,
            &["port.0.name=outside"],
            &[
                "lastack.toml:11:9: [[bridge]] ports = [\"inside\", \"outside\"]: no port is named \"inside\"; the \
                 ports are \"outside\" and \"outside\"",
                "--set port.0.name=outside: [[port]] name = outside: another port has this name; give each its own",
            ],
        ),
        (
            "[[port]]\nname = \"\"\ninterface = \"a/b\"",
            &["port.0.name=1", "port.0.interface=sixteencharacters"],
            &[
                "lastack.toml:2:8: [[port]] name = \"\": must be a name of 1 to 64 bytes, without spaces and slashes",
                "lastack.toml:3:13: [[port]] interface = \"a/b\": must be the name of an interface of 1 to 15 bytes, \
                 without spaces and slashes",
                "--set port.0.name=1: [[port]] name = 1: must be a name of 1 to 64 bytes, without spaces and slashes",
                "--set port.0.interface=sixteencharacters: [[port]] interface = sixteencharacters: must be the name \
                 of an interface of 1 to 15 bytes, without spaces and slashes",
            ],
        ),
        (
            BASE,
            &["port.0.queues=[]", "port.0.queues=[1,1]", "port.0.queues=some", "port.0.queues=[65536]"],
            &[
                "--set port.0.queues=[]: [[port]] queues = []: must name a queue; write \"all\" for every one",
                "--set port.0.queues=[1,1]: [[port]] queues = [1,1]: names queue 1 twice",
                "--set port.0.queues=some: [[port]] queues = some: must be \"all\" or a list of queues, each an \
                 integer from 0 to 65_535",
                "--set port.0.queues=[65536]: [[port]] queues = [65536]: must be \"all\" or a list of queues, each \
                 an integer from 0 to 65_535",
            ],
        ),
    ]);
}

#[test]
fn a_bridge_joins_two_ports_that_exist_and_are_free() {
    assert_reported(&[
        (
            "[[bridge]]",
            &[],
            &[
                "lastack.toml:1:1: [[bridge]] ports: missing; write for example ports = [\"inside\", \"outside\"]",
            ],
        ),
        (
            "[[bridge]]\nports = [\"a\", \"b\"]",
            &[],
            &[
                "lastack.toml:2:9: [[bridge]] ports = [\"a\", \"b\"]: no port is named \"a\"; there is no [[port]]",
            ],
        ),
        (
            BASE,
            &["bridge.0.ports=['insid', 'outside']"],
            &[
                "--set bridge.0.ports=['insid', 'outside']: [[bridge]] ports = ['insid', 'outside']: no port is named \
               \"insid\"; did you mean \"inside\"?",
            ],
        ),
        (
            BASE,
            &["bridge.0.ports=['inside', 'dmz']"],
            &[
                "--set bridge.0.ports=['inside', 'dmz']: [[bridge]] ports = ['inside', 'dmz']: no port is named \
               \"dmz\"; the ports are \"inside\" and \"outside\"",
            ],
        ),
        (
            BASE,
            &["bridge.0.ports=['inside']", "bridge.0.ports=['a','b','c']", "bridge.0.ports=inside"],
            &[
                "--set bridge.0.ports=['inside']: [[bridge]] ports = ['inside']: must name two ports, and names 1",
                "--set bridge.0.ports=['a','b','c']: [[bridge]] ports = ['a','b','c']: must name two ports, and \
                 names 3",
                "--set bridge.0.ports=inside: [[bridge]] ports = inside: must be a list of the names of two ports",
            ],
        ),
        (
            BASE,
            &["bridge.0.ports=['inside', 'inside']"],
            &[
                "--set bridge.0.ports=['inside', 'inside']: [[bridge]] ports = ['inside', 'inside']: joins a port with \
               itself; a bridge joins two different ones",
            ],
        ),
        (
            "[[port]]\nname = \"a\"\ninterface = \"e0\"\n[[port]]\nname = \"b\"\ninterface = \"e1\"\n\
             [[port]]\nname = \"c\"\ninterface = \"e2\"\n[[bridge]]\nports = [\"a\", \"b\"]\n\
             [[bridge]]\nports = [\"b\", \"c\"]",
            &[],
            &[
                "lastack.toml:13:9: [[bridge]] ports = [\"b\", \"c\"]: \"b\" belongs to another bridge already; a port \
               has one",
            ],
        ),
    ]);
}

#[test]
fn connections_begin_at_the_bridges_own_ports() {
    assert_reported(&[
        (
            BASE,
            &["bridge.0.new_from=['dmz']"],
            &[
                "--set bridge.0.new_from=['dmz']: [[bridge]] new_from = ['dmz']: \"dmz\" is not a port of this bridge, \
               which joins \"inside\" and \"outside\"",
            ],
        ),
        (
            BASE,
            &["bridge.0.new_from=[]", "bridge.0.new_from=['inside', 'inside']", "bridge.0.new_from=[1]"],
            &[
                "--set bridge.0.new_from=[]: [[bridge]] new_from = []: must name a port; leave the key out for both",
                "--set bridge.0.new_from=['inside', 'inside']: [[bridge]] new_from = ['inside', 'inside']: names \
                 \"inside\" twice",
                "--set bridge.0.new_from=[1]: [[bridge]] new_from = [1]: must be a list of one or both of the names \
                 in `ports`",
            ],
        ),
    ]);
}

#[test]
fn a_bridge_is_not_blamed_for_a_port_that_could_not_be_read() {
    let misspelt = BASE.replacen("name =", "nam =", 1);
    assert_eq!(
        wrong(&misspelt, &[]),
        [
            "lastack.toml:2:1: [[port]] name: missing; write for example name = \"inside\"",
            "lastack.toml:3:1: [[port]] nam: unknown key; did you mean `name`?",
        ]
    );
    let single = "[port]\nname = \"a\"\n[[bridge]]\nports = [\"a\", \"b\"]";
    assert_eq!(wrong(single, &[]), ["lastack.toml:1:2: port is a section for each port: write [[port]]"]);
}

#[test]
fn a_set_names_one_key_and_a_value() {
    assert_reported(&[
        ("", &["tcp.msl"], &["--set tcp.msl: write KEY=VALUE, such as tcp.msl=30s"]),
        ("", &["tcp=1"], &["--set tcp=1: name one key of [tcp], as in tcp.syn_sent"]),
        ("", &["tcp.a.b=1"], &["--set tcp.a.b=1: name one key of [tcp], as in tcp.syn_sent"]),
        (
            "",
            &["port=[]"],
            &["--set port=[]: name one key of one [[port]], counted from 0, as in port.0.name"],
        ),
        (
            "",
            &["bridge.a.ports=1"],
            &["--set bridge.a.ports=1: [[bridge]] is counted from 0, as in bridge.0.ports, not named"],
        ),
        (
            "",
            &["port.0.xdp=auto"],
            &["--set port.0.xdp=auto: [[port]] number 0 does not exist: there is none"],
        ),
        (
            BASE,
            &["bridge.1.multicast=pass"],
            &["--set bridge.1.multicast=pass: [[bridge]] number 1 does not exist: there is one, bridge.0"],
        ),
        (
            BASE,
            &["port.2.xdp=auto"],
            &["--set port.2.xdp=auto: [[port]] number 2 does not exist: there are 2, port.0 to port.1"],
        ),
        ("", &["tpc.msl=1s"], &["--set tpc.msl=1s: [tpc]: unknown section; did you mean [tcp]?"]),
        ("", &["msl=1s"], &["--set msl=1s: msl: a key outside of any section; it belongs to [tcp]"]),
        (
            "",
            &["tcp.loose=\"a"],
            &["--set tcp.loose=\"a: [tcp] loose = \"a: not TOML: invalid basic string, expected `\"`"],
        ),
        (
            "",
            &["ip.a\u{1}b=[x"],
            &["--set ip.a\\u{1}b=[x: [ip] a\\u{1}b = [x: not TOML: unclosed array, expected `]`"],
        ),
    ]);
}

#[test]
fn a_syntax_error_is_one_line_and_ends_the_reading() {
    assert_reported(&[
        (
            "[tcp]\nmsl = 30s\nnonsense = 1\n",
            &[],
            &["lastack.toml:2:7: not TOML: string values must be quoted, expected literal string"],
        ),
        ("[tcp]\nmsl = \"1s\"\nmsl = \"2s\"\n", &[], &["lastack.toml:3:1: not TOML: duplicate key"]),
        (
            "[tcp]\nmsl = \"1s\n\n[udp\n",
            &[],
            &[
                "lastack.toml:2:10: not TOML: invalid basic string, expected `\"`",
                "lastack.toml:4:5: not TOML: unclosed table, expected `]`",
            ],
        ),
        // The parser has more than one message about the second line; the first is enough.
        (
            "a = [1,\nb c d\n",
            &[],
            &["lastack.toml:2:1: not TOML: string values must be quoted, expected literal string"],
        ),
    ]);
}

#[test]
fn errors_are_bounded_and_in_the_order_of_the_file() {
    let content: String = (0..25).map(|index| format!("[zone{index:02}]\n")).collect();
    let lines = wrong(&content, &[]);
    assert_eq!(lines.len(), 21);
    for (index, line) in lines[..20].iter().enumerate() {
        assert!(line.starts_with(&format!("lastack.toml:{}:2: ", index + 1)), "{line}");
    }
    assert_eq!(lines[20], "and 5 more errors");
    let errors = parse("lastack.toml", &content, &[]).unwrap_err();
    assert_eq!(errors.to_string(), lines.join("\n"));
}

#[test]
fn a_message_drives_no_terminal() {
    let lines = wrong("[tcp]\n\"a\\u001b[2J\" = 1\n", &[]);
    assert!(lines[0].starts_with("lastack.toml:2:1: [tcp] a\\u{1b}[2J: unknown key"), "{lines:?}");
    assert!(!lines[0].contains('\u{1b}'));
}

#[test]
fn a_file_that_cannot_be_read_says_why_in_one_line() {
    let directory = std::env::temp_dir().join(format!("lastack-config-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let reported = |name: &str| {
        let path = directory.join(name);
        let errors = load(Some(&path), &[]).unwrap_err().to_string();
        errors.replace(&format!("{}/", directory.display()), "")
    };
    std::fs::write(directory.join("latin1.toml"), b"[tcp]\n# caf\xe9\n").unwrap();
    let long = vec![b'\n'; usize::try_from(MOST_BYTES).unwrap() + 1];
    std::fs::write(directory.join("long.toml"), &long).unwrap();
    std::fs::create_dir_all(directory.join("d.toml")).unwrap();
    assert_eq!(reported("none.toml"), "none.toml: no such file");
    assert_eq!(reported("d.toml"), "d.toml: a directory; name the file in it");
    assert_eq!(reported("latin1.toml"), "latin1.toml:2:6: not UTF-8; save the file as UTF-8 text");
    assert_eq!(reported("long.toml"), "long.toml: longer than 4MiB; this is not a configuration");
    // One byte less is a configuration, if an empty one.
    std::fs::write(directory.join("fits.toml"), &long[1..]).unwrap();
    assert_eq!(load(Some(&directory.join("fits.toml")), &[]), Ok(Config::default()));
    assert_eq!(check(Some(&directory.join("fits.toml")), &[]), Ok(Config::default().to_string()));
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn ten_thousand_random_texts_are_read_or_refused() {
    // Bytes that mean something to TOML come up more often than chance would have them.
    const TELLING: &[u8] = b"[]{}=.,\"'#\n\n\\_-+0123456789ethsmd:/ ";
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..10_000 {
        let length = random.usize(..80);
        let bytes: Vec<u8> =
            (0..length)
                .map(|_| {
                    if random.usize(..4) == 0 {
                        random.u8(..)
                    } else {
                        TELLING[random.usize(..TELLING.len())]
                    }
                })
                .collect();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert_answered(&text, std::slice::from_ref(&text));
        assert_answered(&text, &[format!("tcp.msl={text}"), format!("port.{text}")]);
    }
}

#[test]
fn right_configurations_with_random_damage_are_read_or_refused() {
    let whole = format!("{BASE}{}", Config::default());
    let mut random = fastrand::Rng::with_seed(2);
    for _ in 0..300 {
        let mut bytes = whole.clone().into_bytes();
        for _ in 0..=random.usize(..4) {
            let at = random.usize(..bytes.len());
            match random.usize(..3) {
                0 => bytes[at] = random.u8(..128),
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, b"[]=\"\n.{}"[random.usize(..8)]),
            }
        }
        assert_answered(&String::from_utf8_lossy(&bytes), &[]);
    }
}

/// Either a configuration that prints as itself, or lines that say what is wrong, and never a panic.
fn assert_answered(content: &str, sets: &[String]) {
    match parse("random.toml", content, sets) {
        Ok(config) => assert_eq!(parse("again.toml", &config.to_string(), &[]), Ok(config)),
        Err(errors) => {
            assert!(!errors.lines().is_empty());
            for line in errors.lines() {
                assert!(!line.chars().any(char::is_control), "{line:?}");
            }
        }
    }
}

#[test]
fn a_pile_up_is_a_share_or_a_number_and_nothing_else() {
    let right = "must be a share of the live TCP connections from \"1%\" to \"100%\" (from 100 connections on), a \
                 number of connections, or 0 for never";
    for value in ["\"0%\"", "\"101%\"", "\"+5%\"", "\"%\"", "\"5\"", "-1", "4294967296", "0.5", "true"] {
        let key = "top.time_wait_warn";
        let expected = format!("--set {key}={value}: [top] time_wait_warn = {value}: {right}");
        assert_eq!(wrong("", &[&format!("{key}={value}")]), [expected]);
    }
}

#[test]
fn a_share_is_reached_only_by_more_than_a_few_and_a_number_by_itself() {
    let share = Limit::Percent(20);
    assert!(!share.is_reached(99, 99), "a few connections are no pile-up");
    assert!(share.is_reached(100, 500));
    assert!(!share.is_reached(100, 501));
    assert!(Limit::Count(7).is_reached(7, 1_000_000));
    assert!(!Limit::Count(7).is_reached(6, 6));
    assert!(!Limit::Count(0).is_reached(u64::MAX, 1), "0 is never");
}
