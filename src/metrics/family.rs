//! Metrics as data: families of samples, and their text.
//!
//! ```text
//!   # HELP lastack_port_received_bytes Bytes received, link header included.     ┐
//!   # TYPE lastack_port_received_bytes counter                                   │ a Family
//!   # UNIT lastack_port_received_bytes bytes                                     │
//!   lastack_port_received_bytes_total{port="inside",queue="0"} 4711   ◄─ Sample  ┘
//! ```
//!
//! The prefix, the unit and the suffixes `_total` and `_info` are added where the text is written: a
//! family's own name has none of them.

use std::borrow::Cow;
use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

/// What every name begins with.
const PREFIX: &str = "lastack";

/// What a number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It never decreases while the middlebox runs.
    Counter,
    /// It may.
    Gauge,
    /// There is no number: the labels are the message.
    Info,
}

/// What a number counts, where that is not simply things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Measure {
    /// Things; the name says which.
    Number,
    /// Bytes.
    Bytes,
    /// Seconds.
    Seconds,
}

impl Measure {
    const fn unit(self) -> Option<Unit> {
        match self {
            Measure::Number => None,
            Measure::Bytes => Some(Unit::Bytes),
            Measure::Seconds => Some(Unit::Seconds),
        }
    }
}

/// A number as it is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value {
    /// One without a sign.
    Whole(u64),
    /// One that may be negative.
    Signed(i64),
    /// One with a fraction.
    Real(f64),
}

/// Names and values that tell samples of a family apart.
pub(super) type Labels = Vec<(&'static str, Cow<'static, str>)>;

/// One number.
#[derive(Debug)]
pub(super) struct Sample {
    /// Which of its family's.
    pub(super) labels: Labels,
    /// The number.
    pub(super) value: Value,
}

/// Numbers of the same meaning, told apart by their labels.
#[derive(Debug)]
pub(super) struct Family {
    /// The name without prefix, unit and suffix.
    pub(super) name: &'static str,
    /// What it means: one sentence.
    pub(super) help: &'static str,
    /// What kind of number.
    pub(super) kind: Kind,
    /// What it counts.
    pub(super) measure: Measure,
    /// The numbers, in the order in which they are written.
    pub(super) samples: Vec<Sample>,
}

impl Family {
    /// A family that counts things, still empty.
    pub(super) const fn counter(name: &'static str, help: &'static str) -> Family {
        Family { name, help, kind: Kind::Counter, measure: Measure::Number, samples: Vec::new() }
    }

    /// A family that tells how many things there are, still empty.
    pub(super) const fn gauge(name: &'static str, help: &'static str) -> Family {
        Family { name, help, kind: Kind::Gauge, measure: Measure::Number, samples: Vec::new() }
    }

    /// A family whose labels are the message, still empty.
    pub(super) const fn info(name: &'static str, help: &'static str) -> Family {
        Family { name, help, kind: Kind::Info, measure: Measure::Number, samples: Vec::new() }
    }

    /// The same in bytes or seconds.
    pub(super) const fn of(mut self, measure: Measure) -> Family {
        self.measure = measure;
        self
    }

    /// Adds a number.
    pub(super) fn push(&mut self, labels: Labels, value: Value) {
        self.samples.push(Sample { labels, value });
    }

    /// The same family with one number, which no label tells apart.
    pub(super) fn only(mut self, value: Value) -> Family {
        self.push(Vec::new(), value);
        self
    }

    fn write(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Info => MetricType::Info,
        };
        let unit = self.measure.unit();
        let mut family = encoder.encode_descriptor(self.name, self.help, unit.as_ref(), kind)?;
        for Sample { labels, value } in &self.samples {
            match self.kind {
                Kind::Info => family.encode_info(labels)?,
                Kind::Counter | Kind::Gauge if labels.is_empty() => self.write_value(&mut family, *value)?,
                Kind::Counter | Kind::Gauge => {
                    self.write_value(&mut family.encode_family(labels)?, *value)?;
                }
            }
        }
        Ok(())
    }

    fn write_value(&self, encoder: &mut MetricEncoder<'_>, value: Value) -> fmt::Result {
        let is_counter = self.kind == Kind::Counter;
        match value {
            Value::Whole(number) if is_counter => encoder.encode_counter::<Labels, u64, u64>(&number, None),
            Value::Real(number) if is_counter => encoder.encode_counter::<Labels, f64, u64>(&number, None),
            Value::Whole(number) => encoder.encode_gauge(&number),
            Value::Real(number) => encoder.encode_gauge(&number),
            // A counter below zero would be a mistake of the catalogue's; a gauge shows it for what it is.
            Value::Signed(number) => encoder.encode_gauge(&number),
        }
    }
}

/// The families as the library collects them.
#[derive(Debug)]
struct Collected(Vec<Family>);

impl Collector for Collected {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|family| family.write(&mut encoder))
    }
}

/// The whole text of `families`.
pub(super) fn text(families: Vec<Family>) -> String {
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(Collected(families)));
    let mut out = String::new();
    text::encode(&mut out, &registry).expect("a string takes whatever is written");
    out
}
