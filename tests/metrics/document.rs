//! docs/metrics.md is what the code serves.

use std::fmt::Write as _;
use std::path::Path;

use lastack::metrics::exposition;

use super::grammar::read;
use super::{Numbers, plane};

/// The page: a row for each family.
fn page() -> String {
    let mut text = "\
# Metrics

<!-- Generated from src/metrics/catalogue.rs. Regenerate: LASTACK_BLESS=1 cargo test --test metrics -->

What `[metrics] listen` serves at `/metrics`, in the text format of OpenMetrics. A counter's samples bear its name
with `_total` behind it, an info's with `_info`. Counters begin at 0 with the process and never decrease; a shard has
its worker's number. Everything that [stats.md](stats.md) explains is here, sums aside: those are for the query.

| name | type | labels | meaning |
|---|---|---|---|
"
    .to_owned();
    for family in read(&exposition(&plane("inside", &Numbers::default()))).unwrap() {
        let labels = family.samples[0].labels.iter().map(|(name, _)| format!("`{name}`"));
        let labels = labels.collect::<Vec<_>>().join(", ");
        writeln!(text, "| `{}` | {} | {labels} | {}. |", family.name, family.kind, family.help)
            .expect("a string takes what is written");
    }
    text
}

#[test]
fn every_metric_is_explained_as_it_is_served() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    if std::env::var_os("LASTACK_BLESS").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page(),
        "docs/metrics.md is out of date; regenerate it: LASTACK_BLESS=1 cargo test --test metrics"
    );
}
