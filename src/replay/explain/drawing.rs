//! A number line: where a packet's numbers lie beside those that would have been right.
//!
//! ```text
//!      low   next  high     packet
//!  -----[------+-----]---------*-----> seq
//!      200   1200  2101     9005000
//!        1000    901   9002899         bytes apart
//! ```
//!
//! It is not to scale: distances are written, since a window of a few kilobytes and a number a gigabyte away
//! have to stand on one line. Pure: points in, lines out.

use crate::wire::Seq;

/// What stands at a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// The first number that would be right.
    Low,
    /// One that is known, such as the next expected one.
    Known,
    /// The last one that would be right.
    High,
    /// The packet's own.
    Packet,
}

/// A number with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) label: &'static str,
    pub(super) at: Seq,
    pub(super) mark: Mark,
}

impl Point {
    pub(super) const fn new(label: &'static str, at: Seq, mark: Mark) -> Point {
        Point { label, at, mark }
    }
}

/// Points at the same number, as one.
struct Stop {
    label: String,
    at: Seq,
    mark: Mark,
}

/// Draws the points on an axis of sequence numbers, in the order in which they lie on the circle as seen from
/// the first of them.
pub(super) fn draw(axis: &str, points: &[Point]) -> Vec<String> {
    let stops = merged(points);
    let cells: Vec<[String; 3]> = stops
        .iter()
        .zip(stops.iter().skip(1).map(Some).chain([None]))
        .map(|(stop, next)| {
            let apart = next.map_or_else(String::new, |next| next.at.offset_from(stop.at).to_string());
            [stop.label.clone(), stop.at.0.to_string(), apart]
        })
        .collect();
    let centres = centres(&cells);
    let end = centres.last().map_or(0, |centre| centre + 6);
    let mut line = "-".repeat(end).into_bytes();
    for (stop, &centre) in stops.iter().zip(&centres) {
        line[centre] = match stop.mark {
            Mark::Low => b'[',
            Mark::Known => b'+',
            Mark::High => b']',
            Mark::Packet => b'*',
        };
    }
    let between: Vec<usize> = centres.windows(2).map(|pair| pair[0].midpoint(pair[1])).collect();
    let labels = row(cells.iter().map(|cell| cell[0].as_str()), &centres);
    let values = row(cells.iter().map(|cell| cell[1].as_str()), &centres);
    let mut apart = row(cells.iter().map(|cell| cell[2].as_str()), &between);
    apart.extend(std::iter::repeat_n(' ', (end + 2).saturating_sub(apart.len())));
    let mut lines = vec![labels, format!("{}> {axis}", String::from_utf8_lossy(&line)), values];
    if stops.len() > 1 {
        lines.push(format!("{apart}bytes apart"));
    }
    lines
}

/// In order, with what lies at one number put together: the packet's mark is the one to see.
fn merged(points: &[Point]) -> Vec<Stop> {
    let Some(origin) = points.first().map(|point| point.at) else { return Vec::new() };
    let mut sorted: Vec<&Point> = points.iter().collect();
    sorted.sort_by_key(|point| point.at.offset_from(origin) as i32);
    let mut stops: Vec<Stop> = Vec::new();
    for point in sorted {
        match stops.last_mut() {
            Some(stop) if stop.at == point.at => {
                stop.label = format!("{}={}", stop.label, point.label);
                if point.mark == Mark::Packet {
                    stop.mark = Mark::Packet;
                }
            }
            Some(_) | None => {
                stops.push(Stop { label: point.label.to_owned(), at: point.at, mark: point.mark });
            }
        }
    }
    stops
}

/// The column of each stop: labels, numbers and distances have to find room.
fn centres(cells: &[[String; 3]]) -> Vec<usize> {
    let width = |cell: &[String; 3]| cell[0].len().max(cell[1].len());
    let mut centres: Vec<usize> = Vec::new();
    for (number, cell) in cells.iter().enumerate() {
        let centre = match number.checked_sub(1).map(|before| (&cells[before], centres[before])) {
            None => (width(cell) / 2).max(5),
            Some((before, centre)) => {
                let needed = (width(before) + width(cell)).div_ceil(2) + 2;
                centre + needed.max(before[2].len() + 3)
            }
        };
        centres.push(centre);
    }
    centres
}

/// Texts, each centred at its column.
fn row<'a>(texts: impl Iterator<Item = &'a str>, centres: &[usize]) -> String {
    let mut row = String::new();
    for (text, centre) in texts.zip(centres) {
        let start = centre.saturating_sub(text.len() / 2);
        row.extend(std::iter::repeat_n(' ', start.saturating_sub(row.len())));
        row.push_str(text);
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawing(points: &[Point]) -> String {
        draw("seq", points).join("\n")
    }

    #[test]
    fn a_packet_above_the_window_stands_behind_it_with_its_distance() {
        let points = [
            Point::new("low", Seq(200), Mark::Low),
            Point::new("next", Seq(1200), Mark::Known),
            Point::new("high", Seq(2101), Mark::High),
            Point::new("packet", Seq(9_005_000), Mark::Packet),
        ];
        let expected = [
            "    low   next  high     packet",
            "-----[------+-----]---------*-----> seq",
            "    200   1200  2101     9005000",
            "      1000    901   9002899         bytes apart",
        ];
        assert_eq!(draw("seq", &points), expected);
    }

    #[test]
    fn points_at_one_number_are_one_and_the_packet_is_seen() {
        let points = [
            Point::new("exact", Seq(7), Mark::Low),
            Point::new("next", Seq(7), Mark::Known),
            Point::new("packet", Seq(7), Mark::Packet),
        ];
        assert_eq!(draw("seq", &points), ["exact=next=packet", "--------*-----> seq", "        7"]);
    }

    #[test]
    fn order_is_that_of_the_circle_across_its_wrap() {
        let points = [
            Point::new("low", Seq(u32::MAX - 9), Mark::Low),
            Point::new("high", Seq(20), Mark::High),
            Point::new("packet", Seq(u32::MAX - 99), Mark::Packet),
        ];
        let drawing = drawing(&points);
        let labels = drawing.lines().next().unwrap();
        assert_eq!(labels.split_whitespace().collect::<Vec<_>>(), ["packet", "low", "high"]);
        let apart = drawing.lines().last().unwrap();
        assert_eq!(apart.split_whitespace().collect::<Vec<_>>(), ["90", "30", "bytes", "apart"]);
    }

    #[test]
    fn nothing_is_drawn_of_nothing_and_long_numbers_do_not_touch() {
        assert_eq!(draw("seq", &[]).concat(), "> seq");
        let points = [
            Point::new("a", Seq(4_000_000_000), Mark::Low),
            Point::new("b", Seq(4_000_000_001), Mark::Packet),
        ];
        assert_eq!(drawing(&points).lines().nth(2).unwrap().split_whitespace().count(), 2);
    }
}
