//! What was looked at, counted: a check that never came to anything has checked nothing.

use std::collections::BTreeMap;
use std::fmt;

use lastack::tcp::State;

/// Counts of everything that a run of worlds has seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Coverage {
    pub(crate) connections: u64,
    pub(crate) packets: u64,
    /// Connections by kind.
    pub(crate) kinds: BTreeMap<String, u64>,
    /// How often a pair of real states (client, server) was compared at a quiet moment.
    pub(crate) pairs: BTreeMap<(&'static str, &'static str), u64>,
    /// Injected faults, by kind and side of the tracker.
    pub(crate) faults: BTreeMap<(&'static str, &'static str), u64>,
    /// Sound segments that the tracker refused, by reason: each was held against the endpoint's real state.
    pub(crate) refused: BTreeMap<&'static str, u64>,
    /// Damaged packets that the tracker refused, by reason.
    pub(crate) refused_damaged: BTreeMap<&'static str, u64>,
    /// Ends of the tracker's connections.
    pub(crate) ends: BTreeMap<&'static str, u64>,
    /// What else came about.
    pub(crate) events: BTreeMap<&'static str, u64>,
}

impl Coverage {
    pub(crate) fn event(&mut self, name: &'static str) {
        *self.events.entry(name).or_default() += 1;
    }

    pub(crate) fn pair(&mut self, [client, server]: [State; 2]) {
        *self.pairs.entry((client.name(), server.name())).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: &Coverage) {
        fn sum<K: Ord + Clone>(mine: &mut BTreeMap<K, u64>, theirs: &BTreeMap<K, u64>) {
            for (key, count) in theirs {
                *mine.entry(key.clone()).or_default() += count;
            }
        }
        self.connections += other.connections;
        self.packets += other.packets;
        sum(&mut self.kinds, &other.kinds);
        sum(&mut self.pairs, &other.pairs);
        sum(&mut self.faults, &other.faults);
        sum(&mut self.refused, &other.refused);
        sum(&mut self.refused_damaged, &other.refused_damaged);
        sum(&mut self.ends, &other.ends);
        sum(&mut self.events, &other.events);
    }

    /// What must have come about, and has not.
    pub(crate) fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for (a, b) in [
            ("ESTABLISHED", "ESTABLISHED"),
            ("FIN_WAIT_2", "CLOSE_WAIT"),
            ("CLOSE_WAIT", "FIN_WAIT_2"),
            ("TIME_WAIT", "CLOSED"),
            ("CLOSED", "TIME_WAIT"),
            ("TIME_WAIT", "TIME_WAIT"),
            ("CLOSED", "CLOSED"),
        ] {
            if !self.pairs.contains_key(&(a, b)) {
                missing.push(format!("{a}/{b} at a quiet moment"));
            }
        }
        for fault in ["lost", "repeated", "overtaken", "damaged"] {
            for place in ["before", "behind"] {
                if !self.faults.contains_key(&(fault, place)) {
                    missing.push(format!("packets {fault} {place} the tracker"));
                }
            }
        }
        for end in ["closed", "reset", "reused"] {
            if !self.ends.contains_key(end) {
                missing.push(format!("connections that ended {end}"));
            }
        }
        for event in [
            "sequence numbers wrapped",
            "windows scaled",
            "window closed",
            "SYNs crossed",
            "FINs crossed",
            "port reused in TIME_WAIT",
            "TIME_WAIT ended in step",
            "RST acted on",
            "tick counter wrapped",
        ] {
            if !self.events.contains_key(event) {
                missing.push(event.to_owned());
            }
        }
        missing
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} connections, {} packets at the tracker", self.connections, self.packets)?;
        let mut section = |title: &str, rows: Vec<(String, u64)>| {
            writeln!(f, "{title}")?;
            rows.into_iter().try_for_each(|(name, count)| writeln!(f, "  {count:>10}  {name}"))
        };
        let named = |map: &BTreeMap<&'static str, u64>| -> Vec<(String, u64)> {
            map.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
        };
        section("connections by what their applications do", {
            self.kinds.iter().map(|(name, count)| (name.clone(), *count)).collect()
        })?;
        section("pairs of states (client/server) compared at a quiet moment", {
            self.pairs.iter().map(|((a, b), count)| (format!("{a}/{b}"), *count)).collect()
        })?;
        section("faults, before and behind the tracker", {
            self.faults.iter().map(|((what, place), count)| (format!("{what} {place}"), *count)).collect()
        })?;
        section(
            "sound segments refused, none of which the endpoint would have accepted",
            named(&self.refused),
        )?;
        section("damaged packets refused", named(&self.refused_damaged))?;
        section("ends of the tracker's connections", named(&self.ends))?;
        section("and", named(&self.events))
    }
}
