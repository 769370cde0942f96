//! Numbers and words as the page shows them.

/// Text for between tags and within quotes.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // XML has no way to say them, and a terminal no good use for them.
            control if control.is_control() && control != '\n' => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

/// All digits, with a comma between thousands.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Three digits that matter, or all of those before the point.
pub(super) fn short(number: f64) -> String {
    let decimals = if number.abs() >= 100.0 || number == 0.0 {
        0
    } else if number.abs() >= 10.0 {
        1
    } else {
        2
    };
    format!("{number:.decimals$}")
}

/// A tick's number without needless zeroes: `0`, `2.5`, `40`.
pub(super) fn plain(number: f64) -> String {
    let text = format!("{number:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A count for an axis: `500`, `10 k`, `4 M`.
pub(super) fn count(number: f64) -> String {
    if number >= 1e6 {
        format!("{} M", plain(number / 1e6))
    } else if number >= 1e3 {
        format!("{} k", plain(number / 1e3))
    } else {
        plain(number)
    }
}

/// A duration, given in nanoseconds, for an axis: `100 ns`, `10 µs`, `1 ms`, `2 s`.
pub(super) fn duration(nanoseconds: f64) -> String {
    if nanoseconds >= 1e9 {
        format!("{} s", plain(nanoseconds / 1e9))
    } else if nanoseconds >= 1e6 {
        format!("{} ms", plain(nanoseconds / 1e6))
    } else if nanoseconds >= 1e3 {
        format!("{} µs", plain(nanoseconds / 1e3))
    } else {
        format!("{} ns", plain(nanoseconds))
    }
}

/// A duration, given in nanoseconds, in three digits: `781 ns`, `53.4 µs`, `4.07 ms`.
pub(super) fn lasting(nanoseconds: f64) -> String {
    match nanoseconds {
        long if long >= 1e9 => format!("{} s", short(long / 1e9)),
        long if long >= 1e6 => format!("{} ms", short(long / 1e6)),
        long if long >= 1e3 => format!("{} µs", short(long / 1e3)),
        long => format!("{long:.0} ns"),
    }
}

/// An amount of memory, in at most three digits: `138 MB`, `1.1 GB`; a decade is a power of ten.
pub(super) fn bytes(amount: f64) -> String {
    const UNITS: [&str; 4] = ["B", "kB", "MB", "GB"];
    let steps = [1e3, 1e6, 1e9].iter().filter(|unit| amount >= **unit).count();
    let number = amount / 10_f64.powi(3 * steps as i32);
    let decimals = usize::from(number < 10.0 && number.fract() > 0.05);
    format!("{number:.decimals$} {}", UNITS[steps])
}

/// A UTC date and time of day: `2026-11-21 08:10 UTC`.
pub(super) fn date(seconds_since_1970: u64) -> String {
    let (mut days, second) = (seconds_since_1970 / 86_400, seconds_since_1970 % 86_400);
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let mut month = 1;
    for length in [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!("{year}-{month:02}-{:02} {:02}:{:02} UTC", days + 1, second / 3600, second / 60 % 60)
}

/// A word of a command line, as a shell would take it for the same.
pub(super) fn quoted(word: &str) -> String {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "-_./=:,+@%".contains(character);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_page_could_take_for_its_own_is_escaped() {
        assert_eq!(escape("<a b='c'>\"&\u{1b}"), "&lt;a b=&#39;c&#39;&gt;&quot;&amp;\u{fffd}");
    }

    #[test]
    fn numbers_are_as_long_as_they_need_to_be() {
        assert_eq!([0, 999, 1_000, 16_000_000].map(grouped), ["0", "999", "1,000", "16,000,000"]);
        assert_eq!([0.0, 0.5, 3.218, 35.16, 123.4].map(short), ["0", "0.50", "3.22", "35.2", "123"]);
        assert_eq!([500.0, 10_000.0, 4e6, 2.5e6].map(count), ["500", "10 k", "4 M", "2.5 M"]);
        assert_eq!([781.0, 53_369.0, 4.07e6, 2e9].map(lasting), ["781 ns", "53.4 µs", "4.07 ms", "2.00 s"]);
        assert_eq!([999.0, 144_287_744.0, 1.2e9].map(bytes), ["999 B", "144 MB", "1.2 GB"]);
        assert_eq!([100.0, 1e4, 1e6, 2e9].map(duration), ["100 ns", "10 µs", "1 ms", "2 s"]);
    }

    #[test]
    fn days_of_leap_years_and_their_ends_have_their_dates() {
        assert_eq!(date(0), "1970-01-01 00:00 UTC");
        assert_eq!(date(951_782_399), "2000-02-28 23:59 UTC");
        assert_eq!(date(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(date(951_868_800), "2000-03-01 00:00 UTC");
        assert_eq!(date(1_798_761_599), "2026-12-31 23:59 UTC");
    }

    #[test]
    fn a_command_line_can_be_given_to_a_shell_again() {
        assert_eq!(quoted("tcp.msl=15s"), "tcp.msl=15s");
        assert_eq!(quoted("my page.html"), "'my page.html'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted(""), "''");
    }
}
