//! Any bytes as a scenario: it is read, and then every row can be sent; or what is wrong with it has a place and
//! a name.
//!
//! ```text
//!  bytes ─ parse ─┬─ Scenario ─ each row ─► a frame whose parse says what it says elsewhere: no panic
//!                 └─ Problem: a line and a column that are there
//! ```

use lastack::io::Timestamp;
use lastack::io::scenario::{self, Act};
use lastack::wire::{Checks, parse};

/// Checks one input.
///
/// # Panics
/// Rows are out of order, a frame is not what a batch says of it, or a problem has no place.
pub(crate) fn check(bytes: &[u8]) {
    let scenario = match scenario::parse(bytes) {
        Ok(scenario) => scenario,
        Err(problem) => return says_where(&problem, &String::from_utf8_lossy(bytes)),
    };
    assert_eq!(scenario::parse(bytes).as_ref(), Ok(&scenario), "the same text was read otherwise");
    assert!(!scenario.title().trim().is_empty() && !scenario.shows().trim().is_empty());
    let (mut line, mut time) = (0, Timestamp::from_nanoseconds(0));
    for (number, row) in (1..).zip(scenario.rows()) {
        assert!(row.line > line, "lines out of order");
        assert!(row.time >= time, "line {}: time goes back", row.line);
        (line, time) = (row.line, row.time);
        if let Act::Packet(packet) = &row.act {
            let made = scenario.packet(number, row.time, packet);
            let batch = made.batch();
            assert_eq!(batch.iter().count(), 1);
            for packet in batch.iter() {
                assert_eq!((packet.number, packet.time), (number, row.time));
                assert!(packet.bytes.len() <= packet.wire_length);
                // Whether it is malformed is the row's own choice.
                let _ = parse(&packet.frame(), Checks::ALL);
            }
        }
    }
}

/// A problem has one line of text, and a place that exists.
fn says_where(problem: &scenario::Problem, text: &str) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    assert!(problem.message.trim().len() > 5, "nothing is said: {problem}");
    assert!(!problem.message.chars().any(char::is_control), "not one line of text: {problem:?}");
    // What is missing is missing behind the last line.
    let lines: Vec<&str> = text.split('\n').collect();
    let line = problem.line as usize;
    assert!((1..=lines.len() + 1).contains(&line), "there is no such line: {problem}");
    let length = lines.get(line - 1).map_or(0, |line| line.chars().count());
    assert!((1..=length + 1).contains(&(problem.column as usize)), "there is no such column: {problem}");
}
