//! A reader of OpenMetrics' text format, written from its specification (OpenMetrics 1.0, "Text format") and
//! without the library that writes it here.

use std::collections::BTreeSet;

use lastack::metrics::exposition;

use super::{Numbers, plane};

/// A family as it was read.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) name: String,
    pub(super) help: String,
    pub(super) kind: String,
    pub(super) unit: Option<String>,
    pub(super) samples: Vec<ReadSample>,
}

/// A sample as it was read.
#[derive(Debug)]
pub(super) struct ReadSample {
    /// Name and value of each label, as they stand.
    pub(super) labels: Vec<(String, String)>,
    pub(super) value: f64,
}

/// The families of a page, or the first rule that it breaks.
pub(super) fn read(text: &str) -> Result<Vec<Read>, String> {
    let body = text.strip_suffix("# EOF\n").ok_or("the page does not end with # EOF")?;
    if !body.is_empty() && !body.ends_with('\n') {
        return Err("a line before # EOF does not end".to_owned());
    }
    let mut families: Vec<Read> = Vec::new();
    for line in body.split_terminator('\n') {
        match line.strip_prefix("# ") {
            Some(descriptor) => read_descriptor(descriptor, &mut families)?,
            None => {
                let family = families.last_mut().ok_or_else(|| format!("before any family: {line}"))?;
                let sample = read_sample(line, family)?;
                family.samples.push(sample);
            }
        }
    }
    families.iter().try_for_each(whole)?;
    Ok(families)
}

fn read_descriptor(line: &str, families: &mut Vec<Read>) -> Result<(), String> {
    let mut parts = line.splitn(3, ' ');
    let (Some(keyword), Some(name), Some(text)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(format!("not a descriptor: # {line}"));
    };
    if !is_name(name, true) {
        return Err(format!("not a name: {name}"));
    }
    if families.last().is_none_or(|family| family.name != name) {
        if families.iter().any(|family| family.name == name) {
            return Err(format!("{name} is interrupted by another family"));
        }
        let (help, kind) = (String::new(), String::new());
        families.push(Read { name: name.to_owned(), help, kind, unit: None, samples: Vec::new() });
    }
    let family = families.last_mut().expect("one was pushed");
    if !family.samples.is_empty() {
        return Err(format!("{name} is described after its samples"));
    }
    let is_first = match keyword {
        "HELP" => std::mem::replace(&mut family.help, text.to_owned()).is_empty(),
        "TYPE" => std::mem::replace(&mut family.kind, text.to_owned()).is_empty(),
        "UNIT" => family.unit.replace(text.to_owned()).is_none(),
        _ => return Err(format!("not a descriptor: # {line}")),
    };
    if is_first { Ok(()) } else { Err(format!("{name} has two of # {keyword}")) }
}

/// `name{label="value",…} number`.
fn read_sample(line: &str, family: &Read) -> Result<ReadSample, String> {
    let refuse = |why: &str| format!("{why}: {line}");
    let suffix = match family.kind.as_str() {
        "counter" => "_total",
        "gauge" => "",
        "info" => "_info",
        _ => return Err(refuse("of a family without a known type")),
    };
    let end = line.find(['{', ' ']).ok_or_else(|| refuse("no value"))?;
    if line[..end] != format!("{}{suffix}", family.name) {
        return Err(refuse("not the name that its family's type asks for"));
    }
    let (labels, rest) = match line[end..].strip_prefix('{') {
        Some(inside) => read_labels(inside).map_err(|why| refuse(&why))?,
        None => (Vec::new(), &line[end..]),
    };
    let number = rest.strip_prefix(' ').ok_or_else(|| refuse("no blank before the value"))?;
    let is_plain = number.bytes().all(|byte| byte.is_ascii_digit() || b"+-.e".contains(&byte));
    let value: f64 = number.parse().ok().filter(|_| is_plain).ok_or_else(|| refuse("not a number"))?;
    if family.kind == "counter" && value < 0.0 {
        return Err(refuse("a counter below zero"));
    }
    if family.kind == "info" && value != 1.0 {
        return Err(refuse("an info that is not 1"));
    }
    if family.samples.iter().any(|other| other.labels == labels) {
        return Err(refuse("the same labels twice"));
    }
    Ok(ReadSample { labels, value })
}

/// The labels up to the closing brace, and what follows it.
#[expect(clippy::type_complexity, reason = "a pair of what was read and what is left")]
fn read_labels(text: &str) -> Result<(Vec<(String, String)>, &str), String> {
    let mut labels: Vec<(String, String)> = Vec::new();
    let mut rest = text;
    while !rest.starts_with('}') {
        if !labels.is_empty() {
            rest = rest.strip_prefix(',').ok_or("no comma between labels")?;
        }
        let (name, behind) = rest.split_once("=\"").ok_or("a label without a value")?;
        if !is_name(name, false) || name.starts_with("__") {
            return Err(format!("not a label's name: {name}"));
        }
        let (value, behind) = read_quoted(behind)?;
        if labels.iter().any(|(other, _)| other == name) {
            return Err(format!("two labels are called {name}"));
        }
        labels.push((name.to_owned(), value));
        rest = behind;
    }
    Ok((labels, &rest[1..]))
}

/// A label's value up to its closing quote, and what follows that.
fn read_quoted(text: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match characters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, same @ ('\\' | '"'))) => value.push(same),
                _ => return Err("a backslash before nothing that needs one".to_owned()),
            },
            plain => value.push(plain),
        }
    }
    Err("a value without its closing quote".to_owned())
}

fn is_name(name: &str, may_have_colons: bool) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || (may_have_colons && c == ':');
    !name.is_empty() && name.chars().all(is_part) && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// What can be said of a family once it is known to be over.
fn whole(family: &Read) -> Result<(), String> {
    let Read { name, help, kind, unit, samples } = family;
    if help.is_empty() || kind.is_empty() {
        return Err(format!("{name} lacks # HELP or # TYPE"));
    }
    if let Some(unit) = unit
        && !name.ends_with(&format!("_{unit}"))
    {
        return Err(format!("{name} does not end with its unit {unit}"));
    }
    let names = samples.iter().map(|sample| sample.labels.iter().map(|(name, _)| name).collect::<Vec<_>>());
    if names.collect::<BTreeSet<_>>().len() > 1 {
        return Err(format!("{name} has samples with different labels"));
    }
    Ok(())
}

#[test]
fn the_page_obeys_the_format() {
    let page = exposition(&plane("inside", &Numbers::default()));
    let families = read(&page).unwrap_or_else(|fault| panic!("{fault}"));
    assert!(families.iter().all(|family| !family.samples.is_empty()), "a family without samples");
}

#[test]
fn a_name_with_quotes_backslashes_and_line_breaks_is_read_as_it_was() {
    let name = "in\"si\\de\nlastack_x 1";
    let families = read(&exposition(&plane(name, &Numbers::default()))).unwrap();
    let is_there = |(label, value): &(String, String)| label == "port" && value == name;
    assert!(
        families.iter().flat_map(|family| &family.samples).any(|sample| sample.labels.iter().any(is_there))
    );
}

#[test]
fn the_reader_refuses_pages_that_break_a_rule() {
    let right = "# HELP a_b Text\n# TYPE a_b counter\n# UNIT a_b b\na_b_total{c=\"d\"} 1\na_b_total{c=\"e\"} 2\n# EOF\n";
    assert!(read(right).is_ok());
    for (from, to, fault) in [
        ("# EOF\n", "", "does not end with # EOF"),
        ("# HELP a_b Text\n", "", "lacks # HELP"),
        ("# TYPE a_b counter\n", "", "without a known type"),
        ("# TYPE a_b counter\n", "# TYPE a_b counter\n# TYPE a_b counter\n", "two of # TYPE"),
        ("# UNIT a_b b", "# UNIT a_b c", "does not end with its unit"),
        ("a_b_total{c=\"d\"}", "a_b{c=\"d\"}", "not the name"),
        (
            "a_b_total{c=\"d\"}",
            "# HELP x y\n# TYPE x gauge\nx 1\n# TYPE a_b gauge\na_b{c=\"d\"}",
            "interrupted",
        ),
        ("{c=\"e\"}", "{c=\"d\"}", "the same labels twice"),
        ("{c=\"e\"}", "{f=\"e\"}", "different labels"),
        ("{c=\"e\"}", "{c=\"e\",c=\"f\"}", "two labels are called c"),
        ("{c=\"e\"}", "{c=\"e\"f=\"g\"}", "no comma"),
        ("{c=\"e\"}", "{c=\"e}", "without its closing quote"),
        ("{c=\"e\"}", "{c=\"\\e\"}", "a backslash"),
        ("{c=\"e\"}", "{__c=\"e\"}", "not a label's name"),
        ("} 2", "} -2", "below zero"),
        ("} 2", "} NaN", "not a number"),
        ("} 2", "}2", "no blank"),
        ("counter\n# UNIT a_b b\n", "info\n", "not the name"),
    ] {
        let wrong = right.replacen(from, to, 1);
        let found = read(&wrong).expect_err(&wrong);
        assert!(found.contains(fault), "{found}\n{wrong}");
    }
}
