//! Numbers in few characters, for columns that must not move.

/// A number in at most five characters: `0`, `0.5`, `999`, `1.24k`, `12.4k`, `124k`, `1.24M`.
pub(super) fn short(number: f64) -> String {
    let (digits, prefix) = scaled(number);
    format!("{digits}{prefix}")
}

/// The same with a unit, as it is written in prose: `9.81 Gbit/s`.
pub(super) fn with_unit(number: f64, unit: &str) -> String {
    let (digits, prefix) = scaled(number);
    format!("{digits} {prefix}{unit}")
}

/// Three digits, and the prefix of a unit that belongs to them.
fn scaled(number: f64) -> (String, &'static str) {
    const UNITS: [&str; 7] = ["", "k", "M", "G", "T", "P", "E"];
    let mut scaled = number;
    let mut unit = 0;
    // Whatever would be rounded to four digits before the point belongs to the next unit.
    while scaled >= 999.5 && unit + 1 < UNITS.len() {
        scaled /= 1000.0;
        unit += 1;
    }
    let digits = match (unit, scaled) {
        (0, small) if small >= 9.95 || small.fract() == 0.0 => 0,
        (0, _) => 1,
        (_, small) if small < 9.995 => 2,
        (_, small) if small < 99.95 => 1,
        _ => 0,
    };
    (format!("{scaled:.digits$}"), UNITS[unit])
}

/// A rate as [`short`], and what it is with its sign: `+12`, `−3`, `0`.
pub(super) fn signed(number: f64) -> String {
    match number {
        more if more >= 0.05 => format!("+{}", short(more)),
        less if less <= -0.05 => format!("\u{2212}{}", short(-less)),
        _ => "0".to_owned(),
    }
}

/// All digits, with a comma between thousands.
pub(super) fn whole(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A share from 0 to 1 in whole percent; never 0 where there is something, never 100 where something lacks.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    match percent {
        nothing if nothing <= 0.0 => "0%".to_owned(),
        little if little < 1.0 => "<1%".to_owned(),
        most if most > 99.0 && most < 100.0 => "99%".to_owned(),
        other => format!("{other:.0}%"),
    }
}

/// Seconds as the two largest of days, hours, minutes and seconds.
pub(super) fn duration(seconds: f64) -> String {
    // Fractions are below what is shown, and a clock that was set back shows as nothing.
    let seconds = seconds.max(0.0) as u64;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, minutes) => format!("{minutes}m {:02}s", seconds % 60),
        (0, hours, minutes) => format!("{hours}h {minutes:02}m"),
        (days, hours, _) => format!("{days}d {hours:02}h"),
    }
}

/// `text` in at most `width` characters; what is left out is in the middle, since an endpoint's end is its
/// port and a pair of states has two ends.
pub(super) fn fit(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return text.to_owned();
    }
    let kept = width.saturating_sub(1);
    let tail = kept.min(6).min(kept / 2);
    let head = text.chars().take(kept - tail);
    let tail = text.chars().skip(length - tail);
    head.chain(std::iter::once('\u{2026}')).chain(tail).take(width).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_number_has_at_most_five_characters_and_three_digits() {
        for (number, expected) in [
            (0.0, "0"),
            (0.04, "0.0"),
            (0.5, "0.5"),
            (9.0, "9"),
            (9.96, "10"),
            (999.4, "999"),
            (999.6, "1.00k"),
            (1_240.0, "1.24k"),
            (9_994.0, "9.99k"),
            (9_996.0, "10.0k"),
            (99_960.0, "100k"),
            (999_600.0, "1.00M"),
            (1e18, "1.00E"),
            (u64::MAX as f64, "18.4E"),
        ] {
            assert_eq!(short(number), expected);
            assert!(short(number).len() <= 5);
        }
    }

    #[test]
    fn what_does_not_fit_keeps_both_of_its_ends() {
        let text = "[2001:db8:beef:6::80]:443";
        assert_eq!(fit(text, 25), text);
        assert_eq!(fit(text, 20), "[2001:db8:bee\u{2026}0]:443");
        for width in 0..30 {
            assert!(fit(text, width).chars().count() <= width);
        }
    }

    #[test]
    fn signs_commas_percents_and_durations() {
        assert_eq!([with_unit(9.81e9, "bit/s"), with_unit(0.0, "bit/s")], ["9.81 Gbit/s", "0 bit/s"]);
        assert_eq!([signed(12.0), signed(-1500.0), signed(0.01)], ["+12", "\u{2212}1.50k", "0"]);
        assert_eq!([whole(0), whole(999), whole(1000), whole(1_234_567)], ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([percent(0.0), percent(0.001), percent(0.418)], ["0%", "<1%", "42%"]);
        assert_eq!([percent(0.999), percent(1.0)], ["99%", "100%"]);
        assert_eq!([duration(-1.0), duration(59.9), duration(61.0)], ["0s", "59s", "1m 01s"]);
        assert_eq!([duration(7_380.0), duration(273_600.0)], ["2h 03m", "3d 04h"]);
    }
}
