//! Any text as a configuration: it is read, or every error says where; and what `lastack check` prints is a
//! configuration again, the same one.
//!
//! ```text
//!  input │ a file … │ 0 │ KEY=VALUE \n KEY=VALUE …
//!            └─ parse ─┬─ Config ─ print ─ parse ─► the same Config
//!                      └─ Errors: each with a place that is there
//! ```

use lastack::config;

const NAME: &str = "fuzz.toml";

/// Checks one input.
///
/// # Panics
/// What is printed is not what was read, or an error does not say where.
pub(crate) fn check(bytes: &[u8]) {
    let (file, overrides) = match bytes.iter().position(|byte| *byte == 0) {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, &[][..]),
    };
    let file = String::from_utf8_lossy(file);
    let overrides: Vec<String> = String::from_utf8_lossy(overrides).lines().map(str::to_owned).collect();
    let read = config::parse(NAME, &file, &overrides);
    assert_eq!(read, config::parse(NAME, &file, &overrides), "the same text was read otherwise");
    match read {
        Ok(config) => {
            let printed = config.to_string();
            let again = config::parse("printed.toml", &printed, &[])
                .unwrap_or_else(|errors| panic!("what was printed is wrong:\n{errors}\n{printed}"));
            assert_eq!(config, again, "what was printed means something else:\n{printed}");
            assert_eq!(printed, again.to_string());
        }
        Err(errors) => {
            assert!(!errors.lines().is_empty(), "wrong, and nothing is said");
            for line in errors.lines() {
                says_where(line, &file, &overrides);
            }
        }
    }
}

/// A message begins with a line and column that exist, or with the override; it has something to say, on
/// one line.
fn says_where(message: &str, file: &str, overrides: &[String]) {
    assert!(!message.chars().any(char::is_control), "not one line of text: {message:?}");
    if message.starts_with("and ") && message.contains("more error") {
        return;
    }
    let said = if message.starts_with("--set ") {
        assert!(!overrides.is_empty(), "{message:?} without overrides");
        message.split_once(": ").map(|(_, said)| said)
    } else {
        let place = message.strip_prefix(NAME).and_then(|rest| rest.strip_prefix(':'));
        let mut parts = place.unwrap_or_else(|| panic!("no place in {message:?}")).splitn(3, ':');
        let mut number = || parts.next().and_then(|part| part.parse::<usize>().ok());
        let (line, column) = (number(), number());
        let text = line.and_then(|line| file.split('\n').nth(line.checked_sub(1)?));
        let text = text.unwrap_or_else(|| panic!("there is no such line: {message:?}"));
        let column = column.unwrap_or_else(|| panic!("no column in {message:?}"));
        assert!((1..=text.chars().count() + 1).contains(&column), "there is no such column: {message:?}");
        parts.next()
    };
    assert!(said.is_some_and(|said| said.trim().len() > 5), "nothing is said: {message:?}");
}
