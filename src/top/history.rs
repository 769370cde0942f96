//! The last minutes of a number, and their picture in one line: `▁▂▅█▆`.

use std::collections::{BTreeMap, VecDeque};

/// How many values are kept of each number: two minutes, more than any column is wide.
const KEPT: usize = 120;

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The newest values of numbers, by name.
#[derive(Debug, Default)]
pub(super) struct History(BTreeMap<String, VecDeque<f64>>);

impl History {
    /// Adds the newest value of `name`.
    pub(super) fn push(&mut self, name: &str, value: f64) {
        let values = self.0.entry(name.to_owned()).or_default();
        if values.len() == KEPT {
            values.pop_front();
        }
        values.push_back(value);
    }

    /// Forgets everything: another middlebox answers now.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The newest `width` values of `name`, newest at the right, the largest of them as a full bar. What is 0
    /// has no bar, and so has what nobody knows.
    pub(super) fn sparkline(&self, name: &str, width: usize) -> String {
        let none = VecDeque::new();
        let values = self.0.get(name).unwrap_or(&none);
        let newest = || values.iter().skip(values.len().saturating_sub(width));
        let most = newest().copied().fold(0.0, f64::max);
        let bar = |&value: &f64| {
            if value <= 0.0 {
                return ' ';
            }
            // 0 < value <= most: the index is at most 7, and rounding down keeps it there.
            BARS[((value / most * 8.0).ceil() as usize).clamp(1, BARS.len()) - 1]
        };
        let bars: String = newest().map(bar).collect();
        format!("{bars:>width$}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sparkline_has_its_width_and_its_newest_value_at_the_right() {
        let mut history = History::default();
        assert_eq!(history.sparkline("x", 4), "    ");
        for value in [0.0, 1.0, 4.0, 8.0] {
            history.push("x", value);
        }
        assert_eq!(history.sparkline("x", 6), "   ▁▄█");
        assert_eq!(history.sparkline("x", 2), "▄█");
        history.push("x", 0.0);
        assert_eq!(history.sparkline("x", 3), "▄█ ");
        history.clear();
        assert_eq!(history.sparkline("x", 3), "   ");
    }

    #[test]
    fn old_values_are_forgotten() {
        let mut history = History::default();
        history.push("x", 1000.0);
        for _ in 0..KEPT {
            history.push("x", 1.0);
        }
        assert_eq!(history.sparkline("x", KEPT + 1), format!(" {}", "█".repeat(KEPT)));
    }
}
