//! The number of shards changes nothing: not a verdict, not a number, not the order of a line.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod common;

use std::path::Path;

use common::{ACK, CLIENT, FIN_ACK, RST_ACK, SERVER, SYN, SYN_ACK, Scratch, Script, kernel_capture, replay};
use lastack::wire::build::Builder;
use lastack::wire::{Ports, protocol};

fn assert_same_with_any_number_of_shards(capture: &Path, arguments: &[&str]) {
    let one = replay(capture, &[arguments, &["--shards", "1"]].concat());
    assert!(!one.packets.is_empty() && !one.connections.is_empty());
    for shards in ["2", "3", "7"] {
        let several = replay(capture, &[arguments, &["--shards", shards]].concat());
        for (number, (line, expected)) in several.text.lines().zip(one.text.lines()).enumerate() {
            assert_eq!(line, expected, "line {} with {shards} shards", number + 1);
        }
        assert_eq!(several.text.len(), one.text.len(), "{shards} shards");
    }
}

const SEED: u64 = 0x1a57_ac4b;
const TUPLES: u64 = 400;
const STEPS: u64 = 6_000;

/// Connections in every stage, fragments of which some are lost, ICMP errors about both, and nonsense.
fn traffic() -> Script {
    let mut random = fastrand::Rng::with_seed(SEED);
    let mut stages = vec![0_u8; TUPLES as usize];
    let mut script = Script::new();
    for step in 0..STEPS {
        let tuple = random.u64(..TUPLES);
        script = script.wait(random.u64(..60)).port(20_000 + tuple as u16);
        script = match random.u64(..20) {
            0 => {
                let ports = Ports { source: 20_000 + tuple as u16, destination: 53 };
                let builder = Builder::v4(CLIENT, SERVER).id(step as u32);
                let datagram = builder.udp_datagram(ports, &[0; 2_000]);
                let lost = random.u64(..6);
                let mut pieces = builder.fragments(protocol::UDP, &datagram, 504);
                if (lost as usize) < pieces.len() {
                    pieces.remove(lost as usize);
                }
                pieces.into_iter().fold(script, Script::frame)
            }
            1 => script.udp(random.usize(..100)),
            2 => {
                let quoted = random.bool();
                let about = if quoted {
                    script.last().to_vec()
                } else {
                    Script::new().port(9).udp(0).last().to_vec()
                };
                let error = Builder::v4(SERVER, CLIENT).icmp(3, 1, [0; 4], &about[14..about.len().min(42)]);
                script.frame(error)
            }
            3 => script.client(RST_ACK, 1, 1, 0),
            4 => script.server(ACK, random.u32(..30_000), 1, 10),
            _ => {
                let stage = &mut stages[tuple as usize];
                *stage = (*stage + 1) % 8;
                match *stage {
                    1 => script.client(SYN, 0, 0, 0),
                    2 => script.server(SYN_ACK, 0, 1, 0),
                    3 => script.client(ACK, 1, 1, 0),
                    4 => script.client(FIN_ACK, 1, 1, 0),
                    5 => script.server(ACK, 1, 2, 0),
                    6 => script.server(FIN_ACK, 1, 2, 0),
                    _ => script.client(ACK, 2, 2, 0),
                }
            }
        };
    }
    script
}

#[test]
fn the_kernels_capture_reads_the_same() {
    assert_same_with_any_number_of_shards(&kernel_capture(), &[]);
}

#[test]
fn the_kernels_capture_reads_the_same_when_it_is_drained() {
    assert_same_with_any_number_of_shards(&kernel_capture(), &["--drain"]);
}

#[test]
fn many_connections_fragments_and_errors_read_the_same() {
    println!("seed {SEED:#x}");
    let scratch = Scratch::new();
    let capture = scratch.path("traffic.pcap");
    traffic().write(&capture);
    let reasons = replay(&capture, &[]).summary["by_reason"].to_string();
    for reason in ["fragment_incomplete", "icmp_unknown", "out_of_window"] {
        assert!(reasons.contains(reason), "the capture holds {reason}: {reasons}");
    }
    assert_same_with_any_number_of_shards(&capture, &[]);
    assert_same_with_any_number_of_shards(&capture, &["--drain"]);
}
