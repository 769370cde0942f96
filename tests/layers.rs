//! The rules that hold the crate together, read from its source: who may import whom, who reads the
//! operating system's clock, and where `unsafe` may stand.
//!
//! ```text
//!  src/**/*.rs ─ tokens ─┬─ crate::NAME, super::…::NAME ─► layers    (the picture in src/lib.rs)
//!   comments and strings ├─ std::time::NAME             ─► the clock (src/time.rs)
//!   are left out         └─ unsafe                      ─► islands   (files of src/table, src/processor.rs)
//! ```
//!
//! Names are compared, not types: a path that a macro puts together would not be seen.

#![allow(clippy::unwrap_used, reason = "a check that cannot read its sources fails, and says where")]

use std::collections::BTreeSet;
use std::path::Path;

/// Each module and those next to its right; it may import whatever can be reached from them.
const LAYERS: &[(&str, &[&str])] = &[
    ("main", &["cli"]),
    ("cli", &["demo", "bench", "top"]),
    ("demo", &["daemon", "replay", "lab"]),
    ("daemon", &["config", "control", "metrics", "xdp"]),
    ("top", &["control", "config", "json"]),
    ("replay", &["config", "io", "json"]),
    ("bench", &["config", "io"]),
    ("control", &["json", "view"]),
    ("json", &["shard"]),
    ("metrics", &["json", "view"]),
    ("view", &["shard"]),
    ("lab", &["link", "tcp"]),
    ("xdp", &["link", "shard"]),
    ("link", &[]),
    ("config", &["shard"]),
    ("io", &["shard"]),
    ("shard", &["fragments", "table", "timer", "processor"]),
    ("fragments", &["tcp", "flow"]),
    ("tcp", &["wire"]),
    ("flow", &["wire"]),
    ("table", &["time"]),
    ("timer", &["time"]),
    ("wire", &["time"]),
    ("time", &[]),
    ("processor", &[]),
];

/// Files that may read the operating system's clock.
const CLOCKS: [&str; 1] = ["src/time.rs"];

/// Files that may contain `unsafe`; docs/architecture.md says what each of them needs it for.
const ISLANDS: &[&str] = &[
    "src/processor.rs",
    "src/table/annex.rs",
    "src/table/bucket.rs",
    "src/table/connection.rs",
    "src/table/layout.rs",
    "src/table/memory.rs",
];

/// One source file: its path from the repository's root, and its tokens.
struct Source {
    path: String,
    tokens: Vec<String>,
}

impl Source {
    fn new(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), tokens: tokens(text) }
    }

    /// The module at the crate's root that the file belongs to; `lib` is the root itself.
    fn module(&self) -> &str {
        let inside = self.path.strip_prefix("src/").expect("a path below src/");
        inside.split(['/', '.']).next().expect("split yields at least one part")
    }

    /// How many `super` lead from the file's outermost module to the crate's root.
    fn depth(&self) -> usize {
        let parts = self.path.split('/').count() - 1;
        let is_root_of_its_folder = self.path.ends_with("/mod.rs") || self.module() == "lib";
        if is_root_of_its_folder { parts - 1 } else { parts }
    }

    /// Names at the crate's root that the file reaches, through `crate::` or enough `super::`.
    fn imports(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        // For each open brace, whether an inline module stands around it.
        let mut braces = Vec::new();
        for (at, token) in self.tokens.iter().enumerate() {
            let is_first = at < 2 || self.tokens[at - 1] != "::";
            match token.as_str() {
                "{" => braces.push(at >= 2 && self.tokens[at - 2] == "mod"),
                "}" => drop(braces.pop()),
                "crate" | "lastack" if is_first => found.extend(self.names_behind(at)),
                "super" if is_first => {
                    let depth = self.depth() + braces.iter().filter(|&&is_module| is_module).count();
                    let behind = self.tokens[at..].chunks(2);
                    let supers = behind.take_while(|pair| *pair == ["super", "::"]).count();
                    if supers >= depth {
                        found.extend(self.names_behind(at + 2 * (supers - 1)));
                    }
                }
                _ => {}
            }
        }
        found
    }

    /// The next names of the path whose part before stands at `at`: one, or each of a `{…}` group.
    fn names_behind(&self, at: usize) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut rest = self.tokens[at + 1..].iter().map(String::as_str);
        if rest.next() != Some("::") {
            return found;
        }
        let mut depth = 0;
        let mut is_start = true;
        for token in rest {
            match token {
                "{" => depth += 1,
                "}" => depth -= 1,
                "," => is_start = depth == 1,
                name if is_start && depth <= 1 => {
                    found.insert(name.to_owned());
                    is_start = false;
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
        found
    }

    /// What the file takes from `std::time`.
    fn clock_names(&self) -> BTreeSet<String> {
        let paths = self.tokens.windows(3).enumerate();
        paths
            .filter(|(_, path)| *path == ["std", "::", "time"] || *path == ["core", "::", "time"])
            .flat_map(|(at, _)| {
                let names = self.names_behind(at + 2);
                if names.is_empty() { BTreeSet::from(["all of std::time".to_owned()]) } else { names }
            })
            .collect()
    }
}

/// Words and punctuation of Rust source, `::` in one piece, without comments and without what is quoted.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = quoted(rest) {
            length
        } else if first.is_alphanumeric() || first == '_' {
            let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            tokens.push(rest[..word].to_owned());
            word
        } else if rest.starts_with("::") {
            tokens.push("::".to_owned());
            2
        } else {
            if !first.is_whitespace() {
                tokens.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    tokens
}

/// The length of the string or character literal that `text` begins with, if it does.
fn quoted(text: &str) -> Option<usize> {
    let prefix = text.trim_start_matches(['b', 'c', 'r']);
    let before = text.len() - prefix.len();
    let is_raw = text[..before].contains('r');
    let hashes = prefix.len() - prefix.trim_start_matches('#').len();
    if is_raw && prefix[hashes..].starts_with('"') {
        let close = format!("\"{}", "#".repeat(hashes));
        let start = before + hashes + 1;
        return text[start..].find(&close).map(|end| start + end + close.len());
    }
    let quote = prefix.chars().next()?;
    let body = &prefix[1.min(prefix.len())..];
    let is_literal = match quote {
        '"' => true,
        // Otherwise a lifetime: 'a has no second quote behind its first character.
        '\'' => body.starts_with('\\') || body.chars().nth(1) == Some('\''),
        _ => false,
    };
    if !is_literal {
        return None;
    }
    let mut is_escaped = false;
    let end = body.char_indices().find(|&(_, c)| {
        let ends = c == quote && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        ends
    });
    end.map(|(at, _)| before + 1 + at + 1)
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![root.join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap();
                found.push(Source::new(name, &std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// What `module` may import: everything to its right.
fn reach(module: &str) -> BTreeSet<&'static str> {
    let row = LAYERS.iter().find(|(name, _)| *name == module);
    let (_, next) = row.unwrap_or_else(|| panic!("src/{module} has no place among the layers"));
    next.iter().flat_map(|name| [*name].into_iter().chain(reach(name))).collect()
}

fn layer_faults(sources: &[Source]) -> Vec<String> {
    let mut faults = Vec::new();
    for source in sources.iter().filter(|source| source.module() != "lib") {
        let allowed = reach(source.module());
        for import in source.imports() {
            if import != source.module() && !allowed.contains(import.as_str()) {
                faults.push(format!("{} imports {import}", source.path));
            }
        }
    }
    faults
}

fn clock_faults(sources: &[Source]) -> Vec<String> {
    let others = sources.iter().filter(|source| !CLOCKS.contains(&source.path.as_str()));
    let named = |source: &Source| {
        let names = source.clock_names().into_iter().filter(|name| name != "Duration");
        let calls = source.tokens.iter().filter(|token| *token == "clock_gettime").cloned();
        let found: Vec<String> = names.chain(calls).collect();
        found.into_iter().map(|name| format!("{} reads the clock: {name}", source.path)).collect::<Vec<_>>()
    };
    others.flat_map(named).collect()
}

fn unsafe_faults(sources: &[Source]) -> Vec<String> {
    let others = sources.iter().filter(|source| !ISLANDS.contains(&source.path.as_str()));
    let unsafes = others.filter(|source| source.tokens.iter().any(|token| token == "unsafe"));
    unsafes.map(|source| format!("{} contains unsafe", source.path)).collect()
}

#[test]
fn a_module_imports_only_from_those_to_its_right() {
    assert_eq!(layer_faults(&sources()), Vec::<String>::new());
}

#[test]
fn one_file_reads_the_clock() {
    assert_eq!(clock_faults(&sources()), Vec::<String>::new());
}

#[test]
fn unsafe_stands_only_on_the_islands_of_the_table() {
    assert_eq!(unsafe_faults(&sources()), Vec::<String>::new());
}

#[test]
fn every_island_and_clock_that_is_named_is_one() {
    let sources = sources();
    let uses = |path: &&str, word: &str| {
        let source = sources.iter().find(|source| source.path == *path);
        source.is_some_and(|source| source.tokens.iter().any(|token| token == word))
    };
    assert!(
        ISLANDS.iter().all(|path| uses(path, "unsafe")),
        "an island without unsafe: take it off the list"
    );
    assert!(CLOCKS.iter().all(|path| uses(path, "Instant")), "a clock that reads none: take it off the list");
}

#[test]
fn every_module_has_a_place_among_the_layers_and_every_place_a_module() {
    let modules: BTreeSet<String> = sources().iter().map(|source| source.module().to_owned()).collect();
    let places: BTreeSet<String> = LAYERS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let modules: BTreeSet<String> = modules.into_iter().filter(|name| name != "lib").collect();
    assert_eq!(modules, places);
}

/// The rules themselves, on sources that break them: a check that cannot fail checks nothing.
mod on_broken_sources {
    use super::*;

    fn faults(path: &str, text: &str) -> Vec<String> {
        let sources = [Source::new(path, text)];
        [layer_faults(&sources), clock_faults(&sources), unsafe_faults(&sources)].concat()
    }

    #[test]
    fn an_import_to_the_left_is_seen_however_it_is_written() {
        let expected = ["src/wire/ip.rs imports tcp"];
        assert_eq!(faults("src/wire/ip.rs", "use crate::tcp::State;"), expected);
        assert_eq!(faults("src/wire/ip.rs", "use crate::{time::{Tick, Span}, tcp};"), expected);
        assert_eq!(faults("src/wire/ip.rs", "fn f(s: &'a crate::tcp::State) {}"), expected);
        assert_eq!(faults("src/wire/ip.rs", "use super::super::tcp;"), expected);
        assert_eq!(faults("src/wire/ip.rs", "mod tests { use super::super::super::tcp::State; }"), expected);
        assert_eq!(faults("src/wire/mod.rs", "use super::tcp;"), ["src/wire/mod.rs imports tcp"]);
    }

    #[test]
    fn siblings_are_not_to_the_right_of_each_other() {
        for (path, text) in [
            ("src/replay/mod.rs", "use crate::bench;"),
            ("src/config/mod.rs", "use crate::io;"),
            ("src/tcp/mod.rs", "use crate::flow;"),
            ("src/table/mod.rs", "use crate::timer;"),
            ("src/table/mod.rs", "use crate::wire;"),
        ] {
            assert_eq!(faults(path, text).len(), 1, "{path}: {text}");
        }
    }

    #[test]
    fn what_is_right_is_not_a_fault() {
        for (path, text) in [
            ("src/shard/mod.rs", "use crate::{flow, tcp}; use crate::timer::{self, Wheel};"),
            ("src/tcp/close.rs", "use super::timer::Timer;"),
            ("src/tcp/timer.rs", "mod tests { use super::super::timer::Timer; }"),
            ("src/tcp/open.rs", "// use crate::table::Table;\nconst A: &str = \"crate::table unsafe\";"),
            ("src/tcp/open.rs", "const A: &str = r#\"crate::table \" unsafe\"#; const B: char = '\"';"),
            ("src/tcp/open.rs", "use std::time::Duration;"),
        ] {
            assert_eq!(faults(path, text), Vec::<String>::new(), "{path}: {text}");
        }
    }

    #[test]
    fn a_second_clock_is_seen() {
        for text in [
            "use std::time::Instant;",
            "use std::time::{Duration, SystemTime};",
            "std::time::UNIX_EPOCH",
            "use std::time;",
            "clock_gettime()",
        ] {
            assert_eq!(faults("src/shard/mod.rs", text).len(), 1, "{text}");
        }
    }

    #[test]
    fn unsafe_elsewhere_is_seen() {
        let text = "fn f() { unsafe { g() } }";
        assert_eq!(faults("src/table/mod.rs", text), ["src/table/mod.rs contains unsafe"]);
        assert_eq!(faults("src/table/memory.rs", text), Vec::<String>::new());
    }
}
