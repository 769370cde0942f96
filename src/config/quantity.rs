//! Durations and sizes as an operator writes them: strings of numbers and units.
//!
//! ```text
//!  "2h4m"    duration := (number unit)+    units d, h, m, s, ms: from large to small, each at most once
//!  "2GiB"    size     := number unit       units KiB, MiB, GiB, TiB (of 1024) and KB, MB, GB, TB (of 1000)
//! ```
//!
//! Neither has a default unit: a bare number is the one mistake nobody notices (30 what?), so it is
//! refused. Both directions live here, and printing is the inverse of reading: the shortest text that
//! reads as exactly the same value.

use crate::time::{MAX_TIMEOUT, Span};

/// The units of a duration in milliseconds, from large to small.
const DURATION_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// The units of a size in bytes; of two that express a size in as many characters, the first is printed.
const SIZE_UNITS: [(&str, u64); 8] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
];

/// Units that people do write, and that the timers cannot keep.
const TOO_FINE_UNITS: [&str; 4] = ["us", "µs", "μs", "ns"];

/// What a duration looks like, for messages.
pub(super) const DURATION_SHAPE: &str = "a duration is a string with a unit, such as \"30s\"";

/// What a size looks like, for messages.
pub(super) const SIZE_SHAPE: &str = "a size is a string with a unit, such as \"2GiB\"";

/// Reads a duration; the error is a clause that says what would be right.
pub(super) fn parse_duration(text: &str) -> Result<Span, String> {
    let longest = u64::try_from(MAX_TIMEOUT.as_millis()).unwrap_or(u64::MAX);
    let mut rest = text;
    let mut next_unit = 0;
    let mut total: u64 = 0;
    if rest.is_empty() {
        return Err(DURATION_SHAPE.to_owned());
    }
    while !rest.is_empty() {
        let (digits, unit, tail) = split_number_and_unit(rest);
        check_number(digits, unit, rest, DURATION_SHAPE)?;
        let position = DURATION_UNITS.iter().position(|(name, _)| *name == unit);
        let Some(position) = position else {
            return Err(unknown_duration_unit(digits, unit, tail));
        };
        if position < next_unit {
            return Err("units go from large to small, each once, as in \"2h4m\"".to_owned());
        }
        next_unit = position + 1;
        let milliseconds = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(DURATION_UNITS[position].1));
        total = milliseconds
            .and_then(|more| total.checked_add(more))
            .filter(|total| *total <= longest)
            .ok_or_else(|| format!("must be at most {}", print_milliseconds(longest)))?;
        rest = tail;
    }
    // MAX_TIMEOUT in milliseconds fits 32 bits: time.rs chose it for that.
    Ok(Span::from_milliseconds(u32::try_from(total).unwrap_or(u32::MAX)))
}

/// Reads a size in bytes; the error is a clause that says what would be right.
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    let (digits, unit, tail) = split_number_and_unit(text);
    check_number(digits, unit, text, SIZE_SHAPE)?;
    let Some((_, factor)) = SIZE_UNITS.iter().find(|(name, _)| *name == unit).filter(|_| tail.is_empty())
    else {
        return Err(
            "the units are KiB, MiB, GiB, TiB (of 1024) and KB, MB, GB, TB (of 1000), one of them".to_owned()
        );
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(*factor))
        .ok_or_else(|| "must fit 64 bits".to_owned())
}

/// Splits `text` into its leading digits, the unit behind them and the rest from the next digit on.
fn split_number_and_unit(text: &str) -> (&str, &str, &str) {
    let (digits, rest) = split_where(text, |c| !c.is_ascii_digit());
    let (unit, tail) = split_where(rest, |c| c.is_ascii_digit());
    (digits, unit, tail)
}

fn split_where(text: &str, ends: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(ends).unwrap_or(text.len()))
}

/// Refuses what does not begin with a whole number and go on with a unit.
fn check_number(digits: &str, unit: &str, rest: &str, shape: &str) -> Result<(), String> {
    if rest.starts_with('-') {
        return Err("must not be negative".to_owned());
    }
    if digits.is_empty() || unit.is_empty() {
        return Err(shape.to_owned());
    }
    if unit.starts_with('.') {
        return Err("must be a whole number of its unit; take a smaller unit for a part of it".to_owned());
    }
    Ok(())
}

/// Why `unit` is no unit of a duration.
fn unknown_duration_unit(digits: &str, unit: &str, tail: &str) -> String {
    if TOO_FINE_UNITS.contains(&unit) {
        return "must be a multiple of 1ms, the resolution of the timers".to_owned();
    }
    if unit == "min" && tail.is_empty() {
        return format!("the unit of minutes is m: \"{digits}m\"");
    }
    "the units are d, h, m, s and ms, without spaces".to_owned()
}

/// The shortest text that reads as `span`.
pub(super) fn print_duration(span: Span) -> String {
    print_milliseconds(u64::from(span.milliseconds()))
}

/// The shortest exact text: 90 s is "90s", 60 s is "1m". Of two that are as long, the one with the larger
/// first unit: "2h4m", not "124m".
fn print_milliseconds(milliseconds: u64) -> String {
    let mut best = String::new();
    // Every way to write it uses a subset of the five units; bit 4 is the largest, so larger ones come first.
    for subset in (1u32..1 << DURATION_UNITS.len()).rev() {
        let mut text = String::new();
        let mut rest = milliseconds;
        for (index, (unit, length)) in DURATION_UNITS.iter().enumerate() {
            if subset & (1 << (DURATION_UNITS.len() - 1 - index)) != 0 && rest >= *length {
                text.push_str(&format!("{}{unit}", rest / length));
                rest %= length;
            }
        }
        if rest == 0 && !text.is_empty() && (best.is_empty() || text.len() < best.len()) {
            best = text;
        }
    }
    if best.is_empty() { "0s".to_owned() } else { best }
}

/// The shortest text that reads as `bytes`.
pub(super) fn print_size(bytes: u64) -> String {
    SIZE_UNITS
        .iter()
        .filter(|(_, length)| bytes.is_multiple_of(*length))
        .map(|(unit, length)| format!("{}{unit}", bytes / length))
        .min_by_key(String::len)
        // Only reached for a size that no text reads as: round down to what can be written.
        .unwrap_or_else(|| format!("{}KiB", bytes >> 10))
}

/// An integer with underscores between its thousands, from five digits on.
pub(super) fn print_integer(number: u64) -> String {
    let digits = number.to_string();
    if digits.len() < 5 {
        return digits;
    }
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('_');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn milliseconds(text: &str) -> Result<u32, String> {
        parse_duration(text).map(Span::milliseconds)
    }

    #[test]
    fn a_duration_is_the_sum_of_its_parts() {
        for (text, expected) in [
            ("250ms", 250),
            ("30s", 30_000),
            ("2h4m", 7_440_000),
            ("5d", 432_000_000),
            ("1d2h3m4s5ms", 93_784_005),
            ("0s", 0),
            ("000000000000000000000000000030s", 30_000),
            ("20d", 1_728_000_000),
        ] {
            assert_eq!(milliseconds(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_says_what_would_be_right() {
        let shape = DURATION_SHAPE;
        let units = "the units are d, h, m, s and ms, without spaces";
        let order = "units go from large to small, each once, as in \"2h4m\"";
        let longest = "must be at most 20d";
        let whole = "must be a whole number of its unit; take a smaller unit for a part of it";
        let fine = "must be a multiple of 1ms, the resolution of the timers";
        for (text, expected) in [
            ("", shape),
            ("30", shape),
            ("s", shape),
            ("2h4", shape),
            (" 30s", shape),
            ("+30s", shape),
            ("-30s", "must not be negative"),
            ("٣s", shape),
            ("30sec", units),
            ("30S", units),
            ("2h 4m", units),
            ("30s ", units),
            ("30s\0", units),
            ("10min", "the unit of minutes is m: \"10m\""),
            ("4m2h", order),
            ("1s1s", order),
            ("1.5s", whole),
            ("10us", fine),
            ("10µs", fine),
            ("10ns", fine),
            ("20d1ms", longest),
            ("480h1s", longest),
            ("18446744073709551616ms", longest),
            ("99999999999999999999999999d", longest),
            ("213503982335d", longest),
        ] {
            assert_eq!(milliseconds(text), Err(expected.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn a_duration_is_printed_in_its_shortest_exact_form() {
        for (value, expected) in [
            (0, "0s"),
            (1, "1ms"),
            (1_500, "1500ms"),
            (30_000, "30s"),
            (60_000, "1m"),
            (90_000, "90s"),
            (7_440_000, "2h4m"),
            (3_600_000, "1h"),
            (86_400_000, "1d"),
            (86_401_000, "1d1s"),
            (432_000_000, "5d"),
        ] {
            assert_eq!(print_duration(Span::from_milliseconds(value)), expected);
        }
    }

    #[test]
    fn every_printed_duration_reads_as_itself() {
        let mut value: u64 = 1;
        while value <= 1_728_000_000 {
            let span = Span::from_milliseconds(value as u32);
            assert_eq!(parse_duration(&print_duration(span)), Ok(span));
            value = value * 11 / 7 + 1;
        }
    }

    #[test]
    fn a_size_counts_in_1024_with_an_i_and_in_1000_without() {
        for (text, expected) in [
            ("1KiB", 1024),
            ("512MiB", 536_870_912),
            ("2GiB", 2_147_483_648),
            ("1TiB", 1 << 40),
            ("7KB", 7_000),
            ("3MB", 3_000_000),
            ("2GB", 2_000_000_000),
            ("4TB", 4_000_000_000_000),
        ] {
            assert_eq!(parse_size(text), Ok(expected), "{text}");
            assert_eq!(print_size(expected), text);
        }
    }

    #[test]
    fn what_is_no_size_says_what_would_be_right() {
        let units = "the units are KiB, MiB, GiB, TiB (of 1024) and KB, MB, GB, TB (of 1000), one of them";
        let whole = "must be a whole number of its unit; take a smaller unit for a part of it";
        for (text, expected) in [
            ("", SIZE_SHAPE),
            ("2147483648", SIZE_SHAPE),
            ("GiB", SIZE_SHAPE),
            ("-1GiB", "must not be negative"),
            ("1.5GiB", whole),
            ("2G", units),
            ("2gib", units),
            ("1GiB512MiB", units),
            ("99999999999GiB", "must fit 64 bits"),
            ("99999999999999999999999GiB", "must fit 64 bits"),
        ] {
            assert_eq!(parse_size(text), Err(expected.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn an_integer_is_printed_with_underscores_between_thousands() {
        for (number, expected) in [(0, "0"), (4096, "4096"), (10_000, "10_000"), (1_000_000, "1_000_000")] {
            assert_eq!(print_integer(number), expected);
        }
    }
}
