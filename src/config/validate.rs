//! What no key can know by itself: names that must exist, and settings that exclude each other.

use super::error::{Place, Problem, nearest, quoted};
use super::model::{Bridge, Config, Port};
use super::read::{Origins, Subject};
use super::schema::{Key, Presence, SECTIONS, Shape};

/// Checks what lies across keys, and completes what is said by leaving it out.
///
/// `ports_are_sound` says whether every port was recognised; bridges are held against them only then, and
/// only if each has a name.
pub(super) fn validate(config: &mut Config, origins: &Origins, ports_are_sound: bool) -> Vec<Problem> {
    let mut problems = Vec::new();
    one_capacity(origins, &mut problems);
    required(config, origins, &mut problems);
    distinct_ports(&config.ports, origins, &mut problems);
    let names: Vec<&str> =
        config.ports.iter().map(|port| port.name.as_str()).filter(|name| !name.is_empty()).collect();
    if ports_are_sound && names.len() == config.ports.len() {
        known_ports(&config.bridges, &names, origins, &mut problems);
    }
    one_bridge_each(&config.bridges, origins, &mut problems);
    for (index, bridge) in config.bridges.iter_mut().enumerate() {
        beginnings(index, bridge, origins, &mut problems);
        if bridge.new_from.is_empty() {
            bridge.new_from = bridge.ports.to_vec();
        }
    }
    problems
}

/// `max_connections` and `memory` exclude each other in one text; a later `--set` of either replaces both.
fn one_capacity(origins: &Origins, problems: &mut Vec<Problem>) {
    let connections = origins.of(Subject::Whole, "max_connections");
    let memory = origins.of(Subject::Whole, "memory");
    if let (Some(connections), Some(memory)) = (connections, memory)
        && connections.place.text == memory.place.text
    {
        let (later, key, other) = if connections.place > memory.place {
            (connections, "max_connections", "memory")
        } else {
            (memory, "memory", "max_connections")
        };
        let message = format!("[table] {key} = {}: {other} is set as well; keep one of the two", later.value);
        problems.push(Problem { place: later.place, message });
    }
}

/// Keys without which a port or a bridge means nothing.
fn required(config: &Config, origins: &Origins, problems: &mut Vec<Problem>) {
    for section in SECTIONS {
        match section.shape {
            Shape::Once(_) => {}
            Shape::Ports(keys) => {
                for index in 0..config.ports.len() {
                    required_of("[[port]]", keys, Subject::Port(index), origins, problems);
                }
            }
            Shape::Bridges(keys) => {
                for index in 0..config.bridges.len() {
                    required_of("[[bridge]]", keys, Subject::Bridge(index), origins, problems);
                }
            }
        }
    }
}

fn required_of<T>(
    header: &str,
    keys: &[Key<T>],
    subject: Subject,
    origins: &Origins,
    problems: &mut Vec<Problem>,
) {
    let Some(place) = origins.header(subject) else { return };
    for key in keys {
        if let Presence::Required { example } = key.presence
            && origins.of(subject, key.name).is_none()
        {
            let message = format!("{header} {}: missing; write for example {0} = {example}", key.name);
            problems.push(Problem { place, message });
        }
    }
}

/// Ports differ in name and interface.
fn distinct_ports(ports: &[Port], origins: &Origins, problems: &mut Vec<Problem>) {
    let mut refuse = |index: usize, key: &'static str, earlier: usize, clause: &str| {
        if let Some((place, value)) = place_of(origins, Subject::Port(index), Subject::Port(earlier), key) {
            problems.push(Problem { place, message: format!("[[port]] {key} = {value}: {clause}") });
        }
    };
    for (index, port) in ports.iter().enumerate() {
        let before = &ports[..index];
        if let Some(earlier) =
            before.iter().position(|other| !port.name.is_empty() && other.name == port.name)
        {
            refuse(index, "name", earlier, "another port has this name; give each its own");
        }
        if let Some(earlier) =
            before.iter().position(|other| !port.interface.is_empty() && other.interface == port.interface)
        {
            refuse(index, "interface", earlier, "another port has this interface; give each its own");
        }
    }
}

/// Of two values that clash, the one that was written later.
fn place_of(origins: &Origins, one: Subject, other: Subject, key: &'static str) -> Option<(Place, String)> {
    [one, other]
        .into_iter()
        .filter_map(|subject| origins.of(subject, key))
        .max_by_key(|written| written.place)
        .map(|written| (written.place, written.value.clone()))
}

/// Bridges join ports that exist.
fn known_ports(bridges: &[Bridge], names: &[&str], origins: &Origins, problems: &mut Vec<Problem>) {
    for (index, bridge) in bridges.iter().enumerate() {
        let Some(written) = origins.of(Subject::Bridge(index), "ports") else { continue };
        let Some(unknown) =
            bridge.ports.iter().find(|name| !name.is_empty() && !names.contains(&name.as_str()))
        else {
            continue;
        };
        let hint = match nearest(unknown, names.iter().copied()) {
            Some(name) => format!("did you mean \"{}\"?", quoted(name)),
            None if names.is_empty() => "there is no [[port]]".to_owned(),
            None => {
                let names: Vec<String> = names.iter().map(|name| format!("\"{}\"", quoted(name))).collect();
                format!("the ports are {}", super::error::enumerate(&names, "and"))
            }
        };
        let message =
            format!("[[bridge]] ports = {}: no port is named \"{}\"; {hint}", written.value, quoted(unknown));
        problems.push(Problem { place: written.place, message });
    }
}

/// A port belongs to one bridge.
fn one_bridge_each(bridges: &[Bridge], origins: &Origins, problems: &mut Vec<Problem>) {
    for (index, bridge) in bridges.iter().enumerate() {
        let clash = bridges[..index].iter().enumerate().find_map(|(earlier, other)| {
            let shared = bridge.ports.iter().find(|name| !name.is_empty() && other.ports.contains(name));
            shared.map(|name| (earlier, name))
        });
        if let Some((earlier, name)) = clash
            && let Some((place, value)) =
                place_of(origins, Subject::Bridge(index), Subject::Bridge(earlier), "ports")
        {
            let clause = format!("\"{}\" belongs to another bridge already; a port has one", quoted(name));
            problems.push(Problem { place, message: format!("[[bridge]] ports = {value}: {clause}") });
        }
    }
}

/// Connections begin at the bridge's own ports.
fn beginnings(index: usize, bridge: &Bridge, origins: &Origins, problems: &mut Vec<Problem>) {
    let stranger = bridge.new_from.iter().find(|name| !bridge.ports.contains(name));
    // Without a readable `ports`, that is the error to mend first.
    if let (Some(stranger), Some(written)) = (stranger, origins.of(Subject::Bridge(index), "new_from"))
        && !bridge.ports[0].is_empty()
    {
        let [one, other] = &bridge.ports;
        let message = format!(
            "[[bridge]] new_from = {}: \"{}\" is not a port of this bridge, which joins \"{}\" and \"{}\"",
            written.value,
            quoted(stranger),
            quoted(one),
            quoted(other),
        );
        problems.push(Problem { place: written.place, message });
    }
}
