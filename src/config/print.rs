//! The configuration as text: what is in effect ([`effective`]) and what there is ([`reference`]).
//!
//! Both are generated from [`SECTIONS`]. The first reads as itself, the second is docs/configuration.md.

use super::model::{Bridge, Config, Port};
use super::schema::{Key, Presence, SECTIONS, Shape};

/// The width of a comment line in characters.
const WIDTH: usize = 100;

/// `config` as TOML, every default filled in, each key with its comment.
pub(super) fn effective(config: &Config) -> String {
    let defaults = Config::default();
    let mut out = String::new();
    for section in SECTIONS {
        let header = section.header();
        match section.shape {
            Shape::Once(keys) => {
                begin(&mut out, section.doc);
                out.push_str(&format!("{header}\n"));
                print_keys(&mut out, keys, config, &defaults);
            }
            Shape::Ports(keys) => {
                let default = Port::unnamed();
                print_elements(&mut out, &header, section.doc, keys, &config.ports, &default);
            }
            Shape::Bridges(keys) => {
                let default = Bridge::unnamed();
                print_elements(&mut out, &header, section.doc, keys, &config.bridges, &default);
            }
        }
    }
    out
}

fn begin(out: &mut String, doc: &str) {
    if !out.is_empty() {
        out.push('\n');
    }
    comment(out, doc);
}

fn print_elements<T>(
    out: &mut String,
    header: &str,
    doc: &str,
    keys: &[Key<T>],
    elements: &[T],
    default: &T,
) {
    begin(out, doc);
    if elements.is_empty() {
        out.push_str(&format!("# {header}: none\n"));
    }
    for (index, element) in elements.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        out.push_str(&format!("{header}\n"));
        print_keys(out, keys, element, default);
    }
}

fn print_keys<T>(out: &mut String, keys: &[Key<T>], target: &T, defaults: &T) {
    for key in keys {
        comment(out, &format!("{} {}.", key.doc, accepted_and_default(key, defaults)));
        match (key.kind.print(target), &key.presence) {
            (Some(value), _) => out.push_str(&format!("{} = {value}\n", key.name)),
            (None, Presence::Optional { example, .. }) => {
                out.push_str(&format!("# {} = {example}\n", key.name));
            }
            (None, Presence::Defaulted | Presence::Required { .. }) => {}
        }
    }
}

/// "A duration from 1ms to 20d; default "30s"".
fn accepted_and_default<T>(key: &Key<T>, defaults: &T) -> String {
    let accepts = capitalised(&key.kind.accepts());
    match &key.presence {
        Presence::Required { .. } => format!("{accepts}; required"),
        Presence::Optional { .. } | Presence::Defaulted => {
            format!("{accepts}; {}", default_of(key, defaults))
        }
    }
}

/// "default 8", or what it means that the key is absent.
fn default_of<T>(key: &Key<T>, defaults: &T) -> String {
    match (key.kind.print(defaults), &key.presence) {
        (Some(value), _) => format!("default {value}"),
        (None, Presence::Optional { absent, .. }) => format!("without it: {absent}"),
        (None, Presence::Defaulted | Presence::Required { .. }) => String::new(),
    }
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

/// `text` as comment lines.
fn comment(out: &mut String, text: &str) {
    let mut line = String::from("#");
    for word in text.split_whitespace() {
        if line.len() > 1 && line.chars().count() + 1 + word.chars().count() > WIDTH {
            out.push_str(&line);
            out.push('\n');
            line.truncate(1);
        }
        line.push(' ');
        line.push_str(word);
    }
    out.push_str(&line);
    out.push('\n');
}

/// What the reference says before its tables.
const INTRODUCTION: &str = "\
# The configuration

<!-- Generated from src/config/schema.rs. Regenerate: LASTACK_BLESS=1 cargo test --lib config -->

A configuration is a [TOML](https://toml.io) file, named with `-c FILE`. Every key has a default, so that none
is needed but the ports and bridges of `lastack run`; `replay`, `bench` and `check` need not even those.
`lastack check -c FILE` prints the configuration in effect, every default filled in, as TOML again.
Examples to start from are in [configs/](../configs).

- `-s KEY=VALUE` (`--set`), repeatable, changes one key after the file has been read, in the order given: \
`-s tcp.msl=15s`. VALUE is TOML, and a bare word is a string. Of ports and bridges one names the number, from 0: \
`-s port.0.queues='[0, 1]'`. Of `table.max_connections` and `table.memory`, the one that is set last holds.
- A **duration** is a string of whole numbers with units, from large to small: `d`, `h`, `m`, `s`, `ms`, as in \
`\"30s\"`, `\"2h4m\"`, `\"250ms\"`. A number without a unit is refused.
- A **size** is a string of a whole number and a unit: `KiB`, `MiB`, `GiB`, `TiB` count in 1024, `KB`, `MB`, \
`GB`, `TB` in 1000.
- Whatever is wrong is reported at once, each error on a line of its own: file, line, column, section, key, value, \
and what would be right. The exit status is then 2.
";

/// The reference of every key, in Markdown: docs/configuration.md.
pub(super) fn reference() -> String {
    let mut out = INTRODUCTION.to_owned();
    let defaults = Config::default();
    for section in SECTIONS {
        out.push_str(&format!("\n## `{}`\n\n{}\n\n", section.header(), section.doc));
        out.push_str("| key | default | accepts | meaning |\n|---|---|---|---|\n");
        match section.shape {
            Shape::Once(keys) => reference_rows(&mut out, keys, &defaults),
            Shape::Ports(keys) => reference_rows(&mut out, keys, &Port::unnamed()),
            Shape::Bridges(keys) => reference_rows(&mut out, keys, &Bridge::unnamed()),
        }
    }
    out
}

fn reference_rows<T>(out: &mut String, keys: &[Key<T>], defaults: &T) {
    for key in keys {
        let default = match (&key.presence, key.kind.print(defaults)) {
            (Presence::Required { example }, _) => format!("required, such as `{example}`"),
            (Presence::Optional { .. } | Presence::Defaulted, Some(value)) => format!("`{value}`"),
            (Presence::Optional { absent, .. }, None) => format!("absent: {absent}"),
            (Presence::Defaulted, None) => String::new(),
        };
        let accepts = key.kind.accepts();
        out.push_str(&format!("| `{}` | {default} | {accepts} | {} |\n", key.name, key.doc));
    }
}
