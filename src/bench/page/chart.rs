//! A chart over the number of connections, as SVG that stands within the page.
//!
//! ```text
//!  ┌ legend: ●─ engine  ◇- - bare loop ┐  rows, as many as it takes
//!  │ M packets/s                       │  what the vertical axis counts
//!  │ 60 ┤      ◇- - - -◇               │
//!  │ 30 ┤      ●───────●               │  linear from zero, or decades
//!  │  0 ┼──────┴───────┴──────         │
//!  │         100 k    1 M              │  always logarithmic
//!  └ connections in the table ─────────┘
//! ```
//!
//! A series is told from another by its colour, its dashes and its marks, so that two of the three may be lost. Everything
//! is placed by its number; the only estimate is the width of text, and it is a generous one.

use std::fmt::Write as _;

use super::labels::{CHARACTER, Picture, Place};
use super::text::{count, escape, plain};

const WIDTH: f64 = 400.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 14.0;
const PLOT: f64 = 200.0;
const BELOW: f64 = 42.0;
const ROW: f64 = 20.0;
/// The part of the plot that a value above the highest point takes, or one below the lowest.
const MARGIN: f64 = 0.13;
/// The most points whose values are written beside them.
const LABELLED: usize = 6;

/// How values become heights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// From zero, in equal steps.
    Linear,
    /// In decades.
    Logarithmic,
}

/// What a series looks like: colour, dashes and mark; `a` to `e` are classes of style.css.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    Disc,
    Diamond,
    Square,
    Triangle,
    Ring,
}

impl Look {
    const fn class(self) -> char {
        match self {
            Look::Disc => 'a',
            Look::Diamond => 'b',
            Look::Square => 'c',
            Look::Triangle => 'd',
            Look::Ring => 'e',
        }
    }

    fn mark(self, x: f64, y: f64) -> String {
        match self {
            Look::Disc => format!("<circle class=\"mark\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>"),
            Look::Ring => format!("<circle class=\"mark hollow\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>"),
            Look::Square => {
                format!(
                    "<rect class=\"mark\" x=\"{:.1}\" y=\"{:.1}\" width=\"7\" height=\"7\"/>",
                    x - 3.5,
                    y - 3.5
                )
            }
            Look::Diamond => {
                format!("<path class=\"mark hollow\" d=\"M{x:.1} {:.1}l5 5l-5 5l-5 -5z\"/>", y - 5.0)
            }
            Look::Triangle => format!("<path class=\"mark\" d=\"M{x:.1} {:.1}l4.5 8h-9z\"/>", y - 5.0),
        }
    }
}

/// Whether the values of a series stand beside its points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Values {
    Shown,
    Hidden,
}

/// What is drawn as one line.
#[derive(Debug, Clone)]
pub(super) struct Series {
    pub(super) name: &'static str,
    pub(super) look: Look,
    pub(super) values: Values,
    /// Connections and value, by rising connections.
    pub(super) points: Vec<(f64, f64)>,
}

/// A chart to be drawn.
#[derive(Debug, Clone)]
pub(super) struct Chart {
    /// What it shows; also for those who do not see it.
    pub(super) title: String,
    /// What the vertical axis counts, with its unit.
    pub(super) unit: &'static str,
    pub(super) scale: Scale,
    /// A value of the vertical axis in words.
    pub(super) say: fn(f64) -> String,
    /// The same beside a point, in few characters.
    pub(super) value: fn(f64) -> String,
    pub(super) series: Vec<Series>,
}

/// An axis: the part of the numbers that it shows, and its ticks.
struct Axis {
    low: f64,
    high: f64,
    scale: Scale,
    ticks: Vec<f64>,
}

impl Axis {
    /// Where a value lies, from 0 to 1.
    fn share(&self, value: f64) -> f64 {
        let (low, high, value) = match self.scale {
            Scale::Linear => (self.low, self.high, value),
            Scale::Logarithmic => (self.low.log10(), self.high.log10(), value.max(self.low).log10()),
        };
        ((value - low) / (high - low)).clamp(0.0, 1.0)
    }

    /// From zero to a round number at or above `most`, in steps of 1, 2 or 5 times a power of ten.
    fn linear(most: f64) -> Axis {
        let most = if most > 0.0 { most } else { 1.0 };
        let decade = 10_f64.powf((most / 5.0).log10().floor());
        let step =
            [1.0, 2.0, 5.0, 10.0].map(|step| step * decade).into_iter().find(|step| most / step <= 5.0);
        let step = step.unwrap_or(10.0 * decade);
        let steps = (most / step).ceil();
        let ticks = (0..=steps as u32).map(|tick| f64::from(tick) * step).collect();
        Axis { low: 0.0, high: steps * step, scale: Scale::Linear, ticks }
    }

    /// Whole decades around the values, and more where one would not have its number beside it.
    fn decades(least: f64, most: f64) -> Axis {
        let (least, most) = (least.max(1.0).log10(), most.max(1.0).log10());
        let low = least.floor();
        let high = most.ceil().max(low + 1.0);
        let ticks = (low as i32..=high as i32).map(|decade| 10_f64.powi(decade)).collect();
        // The margins are parts of the longer axis that they make.
        let margin = (high - low) * MARGIN / (1.0 - 2.0 * MARGIN);
        let (low, high) = (low.min(least - margin), high.max(most + margin));
        Axis { low: 10_f64.powf(low), high: 10_f64.powf(high), scale: Scale::Logarithmic, ticks }
    }

    /// The numbers of connections with some room at either side; ticks at 1, 2 and 5 if there are few, else at 1.
    fn connections(least: f64, most: f64) -> Axis {
        let room = if least < most { 1.6 } else { 2.6 };
        let (low, high) = (least.max(1.0) / room, most.max(1.0) * room);
        let decades = low.log10().floor() as i32..=high.log10().ceil() as i32;
        let at = |steps: &[f64]| -> Vec<f64> {
            let all =
                decades.clone().flat_map(|decade| steps.iter().map(move |step| step * 10_f64.powi(decade)));
            all.filter(|tick| (low..=high).contains(tick)).collect()
        };
        let fine = at(&[1.0, 2.0, 5.0]);
        let ticks = if fine.len() <= 7 { fine } else { at(&[1.0]) };
        Axis { low, high, scale: Scale::Logarithmic, ticks }
    }
}

impl Chart {
    /// The chart as an `svg` element; nothing where no series has a point that could be drawn.
    pub(super) fn draw(&self) -> Option<String> {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let drawable = |&&(x, y): &&(f64, f64)| x.is_finite() && y.is_finite();
        let limits = |values: &mut dyn Iterator<Item = f64>| {
            values.fold(None, |limits: Option<(f64, f64)>, value| {
                Some(limits.map_or((value, value), |(least, most)| (least.min(value), most.max(value))))
            })
        };
        let (least, most) = limits(&mut points().filter(drawable).map(|&(x, _)| x))?;
        let across = Axis::connections(least, most);
        let (least, most) = limits(&mut points().filter(drawable).map(|&(_, y)| y))?;
        let upwards = match self.scale {
            // Room for a value above the highest point.
            Scale::Linear => Axis::linear(most * (1.0 + MARGIN)),
            Scale::Logarithmic => Axis::decades(least, most),
        };
        let legend = self.legend();
        let top = legend.rows * ROW + 30.0;
        let canvas = Canvas { across, upwards, top };
        let height = top + PLOT + BELOW;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n\
             <title>{}</title>\n",
            escape(&self.title)
        );
        svg.push_str(&legend.svg);
        self.draw_axes(&canvas, &mut svg);
        for series in &self.series {
            self.draw_series(series, &canvas, &mut svg);
        }
        // Above all lines, those of other series too.
        let lines = self.series.iter().map(|series| canvas.places(series).map(|(place, _)| place).collect());
        let mut picture = Picture::new(top, top + PLOT, lines.collect());
        for series in self.series.iter().filter(|series| series.values == Values::Shown) {
            self.draw_values(series, &canvas, &mut picture, &mut svg);
        }
        svg.push_str("</svg>\n");
        Some(svg)
    }

    fn legend(&self) -> Legend {
        let mut legend = Legend { svg: String::new(), rows: 1.0 };
        let mut x = 4.0;
        for series in self.series.iter().filter(|series| !series.points.is_empty()) {
            let width = 34.0 + series.name.chars().count() as f64 * CHARACTER;
            if x > 4.0 && x + width > WIDTH {
                legend.rows += 1.0;
                x = 4.0;
            }
            let y = legend.rows * ROW - 8.0;
            // Writing to a string does not fail.
            let _ = writeln!(
                legend.svg,
                "<g class=\"series {}\"><line x1=\"{x:.1}\" y1=\"{y}\" x2=\"{:.1}\" y2=\"{y}\"/>{}</g>\
                 <text class=\"legend\" x=\"{:.1}\" y=\"{}\">{}</text>",
                series.look.class(),
                x + 26.0,
                series.look.mark(x + 13.0, y),
                x + 32.0,
                y + 4.0,
                escape(series.name)
            );
            x += width + 14.0;
        }
        legend
    }

    fn draw_axes(&self, canvas: &Canvas, svg: &mut String) {
        let (right, bottom) = (WIDTH - RIGHT, canvas.top + PLOT);
        let _ = writeln!(svg, "<text x=\"4\" y=\"{}\">{}</text>", canvas.top - 12.0, escape(self.unit));
        for &tick in &canvas.upwards.ticks {
            let y = canvas.y(tick);
            let _ = writeln!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 8.0,
                y + 4.0,
                escape(&(self.say)(tick))
            );
        }
        for &tick in &canvas.across.ticks {
            let x = canvas.x(tick);
            let _ = writeln!(
                svg,
                "<line class=\"axis\" x1=\"{x:.1}\" y1=\"{bottom}\" x2=\"{x:.1}\" y2=\"{}\"/>\
                 <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                bottom + 5.0,
                bottom + 18.0,
                escape(&count(tick))
            );
        }
        let _ = writeln!(
            svg,
            "<line class=\"axis\" x1=\"{LEFT}\" y1=\"{bottom}\" x2=\"{right}\" y2=\"{bottom}\"/>\
             <text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">connections in the table</text>",
            (LEFT + right) / 2.0,
            bottom + 36.0
        );
    }

    fn draw_series(&self, series: &Series, canvas: &Canvas, svg: &mut String) {
        let _ = write!(svg, "<g class=\"series {}\">", series.look.class());
        let places: Vec<String> =
            canvas.places(series).map(|(Place { x, y }, _)| format!("{x:.1},{y:.1}")).collect();
        if places.len() > 1 {
            let _ = write!(svg, "<polyline points=\"{}\"/>", places.join(" "));
        }
        for (Place { x, y }, (connections, value)) in canvas.places(series) {
            let _ = write!(
                svg,
                "<g><title>{}: {} at {} connections</title>{}</g>",
                escape(series.name),
                escape(&(self.say)(value)),
                escape(&count(connections)),
                series.look.mark(x, y)
            );
        }
        svg.push_str("</g>\n");
    }

    /// The values beside the points, in the colour of their line, where there is room.
    fn draw_values(&self, series: &Series, canvas: &Canvas, picture: &mut Picture, svg: &mut String) {
        if series.points.len() > LABELLED {
            return;
        }
        let texts: Vec<String> = canvas.places(series).map(|(_, (_, value))| (self.value)(value)).collect();
        let wanted = canvas.places(series).zip(&texts);
        let wanted: Vec<_> = wanted.map(|((point, _), text)| (point, text.chars().count())).collect();
        for (place, text) in picture.place(&wanted).into_iter().zip(&texts) {
            let Some(Place { x, y }) = place else { continue };
            let _ = writeln!(
                svg,
                "<text class=\"value {}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{}</text>",
                series.look.class(),
                escape(text)
            );
        }
    }
}

/// The legend, and how many rows it takes.
struct Legend {
    svg: String,
    rows: f64,
}

/// From numbers to places.
struct Canvas {
    across: Axis,
    upwards: Axis,
    /// The upper edge of the plot.
    top: f64,
}

impl Canvas {
    fn x(&self, connections: f64) -> f64 {
        LEFT + self.across.share(connections) * (WIDTH - RIGHT - LEFT)
    }

    fn y(&self, value: f64) -> f64 {
        self.top + (1.0 - self.upwards.share(value)) * PLOT
    }

    /// Where the points of a series lie, beside what they are; what is no number lies nowhere.
    fn places<'a>(&'a self, series: &'a Series) -> impl Iterator<Item = (Place, (f64, f64))> + 'a {
        let drawable = series.points.iter().filter(|(x, y)| x.is_finite() && y.is_finite());
        drawable.map(|&(x, y)| (Place { x: self.x(x), y: self.y(y) }, (x, y)))
    }
}

/// A value without a unit, for axes whose unit stands above them.
pub(super) fn bare(value: f64) -> String {
    plain(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_enclose_what_is_shown() {
        assert_eq!(Axis::linear(43.0).ticks, [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]);
        assert_eq!(Axis::linear(9.0).ticks, [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(Axis::linear(0.0).high, 1.0);
        assert_eq!(Axis::decades(900.0, 21_000.0).ticks, [100.0, 1e3, 1e4, 1e5]);
        assert_eq!(Axis::decades(0.0, 0.0).ticks, [1.0, 10.0]);
        assert_eq!(Axis::connections(1e6, 1e6).ticks, [5e5, 1e6, 2e6]);
        assert_eq!(Axis::connections(1e4, 16e6).ticks, [1e4, 1e5, 1e6, 1e7]);
    }

    #[test]
    fn decades_leave_room_for_a_number_beside_what_lies_at_their_ends() {
        for (least, most) in [(1_000.0, 10_000.0), (1_010.0, 9e6), (999.0, 1_001.0), (3_000.0, 4_000.0)] {
            let axis = Axis::decades(least, most);
            assert!(axis.share(least) > 0.12 && axis.share(most) < 0.88, "{least} to {most}");
        }
        let roomy = Axis::decades(3_000.0, 30_000.0);
        assert!((roomy.share(1e3), roomy.share(1e5)) == (0.0, 1.0), "whole decades where they do");
    }

    #[test]
    fn values_lie_between_the_ends_of_their_axis() {
        let axis = Axis::connections(1e4, 1e6);
        assert!(axis.share(1e4) > 0.0 && axis.share(1e6) < 1.0);
        assert!((axis.share(1e5) - 0.5).abs() < 1e-9, "in the middle of two decades");
        assert_eq!(Axis::linear(10.0).share(5.0), 0.5);
    }
}
