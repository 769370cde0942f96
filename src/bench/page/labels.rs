//! Where the values of a chart stand: beside their points, and over nothing that is read as well.
//!
//! ```text
//!        9.4                  a value above its point, where its neighbour below is the nearer one
//!       ──▲──────▲──          its line
//!                8.1  ✗       not here: nearer to the line below, whose mark it would hide
//!       ──■──────■──
//!       ──●──────●──
//!        0.9    1.0           below, for the same reason
//! ```
//!
//! A value has the colour of its line. It may hide no mark and no other value. Where both sides are free, it takes the one
//! where fewer lines run through it, then the one whose neighbour is not near, then the one that suits all of its line. Where
//! no side is free it is left out: the table of the page has it.
//!
//! Life cycle: a [`Picture`] is made of all lines, then asked for the values of one after the other, and remembers what it
//! gave.

/// The widest that a bold character of 12 px is, on average over a value.
pub(super) const CHARACTER: f64 = 6.8;
/// From a point up or down to the baseline of its value.
const ABOVE: f64 = -10.0;
const BELOW: f64 = 19.0;
/// How far above its baseline a value begins, and how far below it ends.
const ASCENT: f64 = 9.5;
const DESCENT: f64 = 2.5;
/// Half of the side of a mark.
const MARK: f64 = 5.5;
/// How much air is wanted between a value and a line.
const AIR: f64 = 2.0;
/// A neighbour's mark so far off leaves no doubt whose a value between the two is.
const FAR: f64 = 26.0;

/// A place in the picture, downwards from its upper left corner.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Place {
    pub(super) x: f64,
    pub(super) y: f64,
}

/// Where a value stands, as seen from its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Above,
    Below,
}

impl Side {
    const fn other(self) -> Side {
        match self {
            Side::Above => Side::Below,
            Side::Below => Side::Above,
        }
    }

    /// The middle of the baseline of a value on this side of a point.
    const fn of(self, point: Place) -> Place {
        let away = match self {
            Side::Above => ABOVE,
            Side::Below => BELOW,
        };
        Place { x: point.x, y: point.y + away }
    }
}

/// A rectangle of the picture.
#[derive(Debug, Clone, Copy)]
struct Area {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Area {
    /// What a mark covers.
    const fn of_mark(at: Place) -> Area {
        Area { left: at.x - MARK, right: at.x + MARK, top: at.y - MARK, bottom: at.y + MARK }
    }

    /// What text covers whose baseline's middle lies here.
    fn of_text(at: Place, characters: usize) -> Area {
        let half = characters as f64 * CHARACTER / 2.0;
        Area { left: at.x - half, right: at.x + half, top: at.y - ASCENT, bottom: at.y + DESCENT }
    }

    fn meets(&self, other: &Area) -> bool {
        self.left < other.right
            && other.left < self.right
            && self.top < other.bottom
            && other.top < self.bottom
    }

    /// Whether the straight line between two places, the first on the left, runs through it or all but touches it.
    fn is_crossed(&self, from: Place, to: Place) -> bool {
        let (left, right) = (self.left.max(from.x), self.right.min(to.x));
        if left > right {
            return false;
        }
        let slope = if to.x > from.x { (to.y - from.y) / (to.x - from.x) } else { 0.0 };
        let ends = [left, right].map(|x| from.y + (x - from.x) * slope);
        ends[0].min(ends[1]) < self.bottom + AIR && self.top - AIR < ends[0].max(ends[1])
    }
}

/// All lines of a chart, and the values that have been placed among them.
#[derive(Debug)]
pub(super) struct Picture {
    /// The upper and the lower edge of the plot.
    top: f64,
    bottom: f64,
    /// Each line's places, from left to right.
    lines: Vec<Vec<Place>>,
    taken: Vec<Area>,
}

impl Picture {
    pub(super) fn new(top: f64, bottom: f64, lines: Vec<Vec<Place>>) -> Picture {
        Picture { top, bottom, lines, taken: Vec::new() }
    }

    /// The middles of the baselines of a line's values, of so many characters each, beside its points; nothing for one that
    /// would hide something.
    pub(super) fn place(&mut self, values: &[(Place, usize)]) -> Vec<Option<Place>> {
        let nearest = |side| {
            let away = values.iter().map(|&(point, _)| self.distance(point, side));
            away.fold(f64::INFINITY, f64::min)
        };
        let preferred = if nearest(Side::Below) > nearest(Side::Above) { Side::Below } else { Side::Above };
        values.iter().map(|&(point, characters)| self.place_one(point, characters, preferred)).collect()
    }

    fn place_one(&mut self, point: Place, characters: usize, preferred: Side) -> Option<Place> {
        let sides = [preferred, preferred.other()].map(|side| (side, side.of(point)));
        let free = sides.into_iter().filter(|(_, place)| self.is_free(&Area::of_text(*place, characters)));
        // Of two that are alike the first is taken, and that is the preferred one.
        let (_, best) = free.min_by(|one, other| {
            let crossings = |place| self.crossings(&Area::of_text(place, characters));
            let distance = |side| self.distance(point, side).min(FAR);
            crossings(one.1).cmp(&crossings(other.1)).then(distance(other.0).total_cmp(&distance(one.0)))
        })?;
        self.taken.push(Area::of_text(best, characters));
        Some(best)
    }

    /// Whether text may stand there: within the plot (its unit stands above, the ticks below), over no mark and no value.
    fn is_free(&self, area: &Area) -> bool {
        let mut marks = self.lines.iter().flatten().map(|&at| Area::of_mark(at));
        area.top > self.top - ASCENT
            && area.bottom < self.bottom
            && !marks.any(|mark| mark.meets(area))
            && !self.taken.iter().any(|taken| taken.meets(area))
    }

    /// How many lines run through it.
    fn crossings(&self, area: &Area) -> usize {
        let is_crossing = |line: &&Vec<Place>| {
            line.windows(2).any(|pair| matches!(pair, [from, to] if area.is_crossed(*from, *to)))
        };
        self.lines.iter().filter(is_crossing).count()
    }

    /// How far the next mark is straight above or below a point.
    fn distance(&self, point: Place, side: Side) -> f64 {
        let beside = self.lines.iter().flatten().filter(|at| (at.x - point.x).abs() < MARK);
        let away = beside.map(|at| match side {
            Side::Above => point.y - at.y,
            Side::Below => at.y - point.y,
        });
        away.filter(|&away| away > 0.0).fold(f64::INFINITY, f64::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines over the same three columns, each at these heights.
    fn picture(lines: &[[f64; 3]]) -> Picture {
        let line = |heights: &[f64; 3]| {
            heights.iter().zip([100.0, 200.0, 300.0]).map(|(&y, x)| Place { x, y }).collect()
        };
        Picture::new(50.0, 250.0, lines.iter().map(line).collect())
    }

    /// On which sides of its points a line's values of seven characters stand: above, below, or left out.
    fn sides(picture: &mut Picture, heights: [f64; 3]) -> String {
        let points = heights.iter().zip([100.0, 200.0, 300.0]).map(|(&y, x)| (Place { x, y }, 7));
        let places = picture.place(&points.collect::<Vec<_>>());
        let side =
            |(place, y): (&Option<Place>, f64)| place.map_or('-', |at| if at.y < y { 'a' } else { 'b' });
        places.iter().zip(heights).map(side).collect()
    }

    #[test]
    fn a_value_stands_on_the_side_where_no_line_is_near() {
        let mut pair = picture(&[[150.0; 3], [143.0; 3]]);
        assert_eq!(sides(&mut pair, [150.0; 3]), "bbb", "the other line is above it");
        assert_eq!(sides(&mut pair, [143.0; 3]), "aaa", "and the first one below this");
    }

    #[test]
    fn lines_that_cross_have_their_values_on_the_outer_sides() {
        let lines = [[150.0, 150.0, 156.0], [153.0, 153.0, 153.0]];
        let mut crossed = picture(&lines);
        assert_eq!(sides(&mut crossed, lines[0]), "aab");
        assert_eq!(sides(&mut crossed, lines[1]), "bba");
    }

    #[test]
    fn where_no_line_is_near_all_values_of_a_line_stand_on_the_side_with_more_room() {
        let lines = [[100.0; 3], [160.0, 150.0, 130.0], [200.0; 3]];
        assert_eq!(sides(&mut picture(&lines), lines[1]), "bbb");
        let lines = [[80.0; 3], [170.0, 150.0, 130.0], [200.0; 3]];
        assert_eq!(sides(&mut picture(&lines), lines[1]), "aaa");
    }

    #[test]
    fn a_value_that_would_hide_a_mark_on_either_side_is_left_out() {
        let mut near = picture(&[[135.0; 3], [150.0; 3], [165.0; 3]]);
        assert_eq!(sides(&mut near, [150.0; 3]), "---");
    }

    #[test]
    fn it_leaves_the_side_that_a_steep_line_runs_through() {
        let peak = [220.0, 150.0, 220.0];
        assert_eq!(&sides(&mut picture(&[peak]), peak)[1..2], "a");
        let valley = [80.0, 150.0, 80.0];
        assert_eq!(&sides(&mut picture(&[valley]), valley)[1..2], "b");
    }

    #[test]
    fn it_stays_within_the_plot() {
        let mut edges = picture(&[[56.0; 3], [240.0; 3]]);
        assert_eq!(sides(&mut edges, [56.0; 3]), "bbb", "above stands the unit");
        assert_eq!(sides(&mut edges, [240.0; 3]), "aaa", "below stand the ticks");
    }

    #[test]
    fn a_value_that_has_been_placed_is_not_hidden_by_the_next() {
        let mut one = picture(&[[150.0; 3]]);
        let told = [(); 3].map(|()| sides(&mut one, [150.0; 3]));
        assert_eq!(told, ["aaa", "bbb", "---"]);
    }
}
