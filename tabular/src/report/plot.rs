//! Square charts: axes, curves, points. Coordinates are SVG units of a 360 by 330 canvas.
//!
//! Inside SVG every element is closed, `{}`: a void element, `;`, would swallow what follows it.

use maud::{Markup, html};

use super::{System, words};

/// The plotting area's left, top, width and height.
const LEFT: f64 = 58.0;
const TOP: f64 = 12.0;
const WIDTH: f64 = 288.0;
const HEIGHT: f64 = 268.0;
/// How many colours there are; the next systems get the same ones, dashed.
const COLOURS: usize = 4;

/// From a value to a place.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    title: String,
    low: f64,
    high: f64,
    ticks: Vec<f64>,
}

impl Axis {
    /// From 0 to 1.
    pub(super) fn share(title: impl Into<String>) -> Self {
        Self { title: title.into(), low: 0.0, high: 1.0, ticks: vec![0.0, 0.2, 0.4, 0.6, 0.8, 1.0] }
    }

    /// Wide enough for the values, with round ticks.
    pub(super) fn fitting(title: impl Into<String>, values: impl Iterator<Item = f64>) -> Self {
        let (mut low, mut high) = values
            .filter(|value| value.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        // A tenth of the largest value where all are the same.
        let margin = if high > low { (high - low) * 0.05 } else { high.abs().max(1.0) * 0.1 };
        (low, high) = (low - margin, high + margin);
        Self { title: title.into(), low, high, ticks: ticks(low, high) }
    }

    /// 0 at the axis' start, 1 at its end.
    fn place(&self, value: f64) -> f64 {
        let place = (value - self.low) / (self.high - self.low);
        if place.is_finite() { place.clamp(0.0, 1.0) } else { 0.0 }
    }

    /// With as many decimals as tell ticks apart.
    fn label(&self, tick: f64) -> String {
        let step = self.ticks.get(1).zip(self.ticks.first()).map_or(1.0, |(second, first)| second - first);
        // A hair more: 0.2 may come as 0.19999.
        let decimals = -(step * 1.001).log10().floor();
        if tick.abs() >= 1e5 || decimals > 4.0 {
            return words::number(tick);
        }
        let decimals = decimals.max(0.0) as usize;
        format!("{tick:.decimals$}")
    }
}

/// About five multiples of 1, 2 or 5 times a power of ten; none where a range is beyond counting.
fn ticks(low: f64, high: f64) -> Vec<f64> {
    let raw = (high - low) / 5.0;
    let power = 10_f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= raw);
    let Some(step) = step.filter(|step| step.is_finite() && *step > 0.0) else { return Vec::new() };
    let first = (low / step).ceil();
    (0..12).map(|tick| (first + f64::from(tick)) * step).take_while(|tick| *tick <= high).collect()
}

/// The class that gives a system its colour.
pub(super) fn colour(system: usize) -> String {
    let dashed = if system >= COLOURS { " dashed" } else { "" };
    format!("s{}{dashed}", system % COLOURS)
}

/// Which colour is whose; nothing where there is one system alone.
pub(super) fn legend(systems: &[System]) -> Markup {
    html! {
        @if systems.len() > 1 {
            ul.legend {
                @for (place, system) in systems.iter().enumerate() {
                    li class=(colour(place)) {
                        svg.key width="22" height="10" aria-hidden="true" { line x1="1" y1="5" x2="21" y2="5" {} }
                        (system.name)
                    }
                }
            }
        }
    }
}

/// A chart with its axes; `marks` are drawn over the grid.
pub(super) fn chart(x: &Axis, y: &Axis, description: &str, marks: &Markup) -> Markup {
    html! {
        svg.chart viewBox="0 0 360 330" role="img" aria-label=(description) {
            @for tick in &y.ticks {
                line.grid x1=(LEFT) x2=(LEFT + WIDTH) y1=(down(y, *tick)) y2=(down(y, *tick)) {}
                text.tick x=(LEFT - 7.0) y=(down(y, *tick)) dy="0.32em" text-anchor="end" { (y.label(*tick)) }
            }
            @for tick in &x.ticks {
                line.grid x1=(across(x, *tick)) x2=(across(x, *tick)) y1=(TOP) y2=(TOP + HEIGHT) {}
                text.tick x=(across(x, *tick)) y=(TOP + HEIGHT + 16.0) text-anchor="middle" { (x.label(*tick)) }
            }
            text.axis x=(LEFT + WIDTH / 2.0) y=(TOP + HEIGHT + 38.0) text-anchor="middle" { (x.title) }
            text.axis x=(-(TOP + HEIGHT / 2.0)) y="12" transform="rotate(-90)" text-anchor="middle" { (y.title) }
            (marks)
        }
    }
}

/// A line through points.
pub(super) fn curve(x: &Axis, y: &Axis, points: impl Iterator<Item = (f64, f64)>) -> Markup {
    let points: Vec<String> = points.map(|(at, up)| format!("{},{}", across(x, at), down(y, up))).collect();
    html! { polyline.curve points=(points.join(" ")) {} }
}

/// A straight line to compare with.
pub(super) fn guide(x: &Axis, y: &Axis, from: (f64, f64), to: (f64, f64)) -> Markup {
    html! {
        line.guide x1=(across(x, from.0)) y1=(down(y, from.1)) x2=(across(x, to.0)) y2=(down(y, to.1)) {}
    }
}

/// A point with words to it.
pub(super) fn point(x: &Axis, y: &Axis, at: (f64, f64), radius: f64, says: &str) -> Markup {
    html! {
        circle.point cx=(across(x, at.0)) cy=(down(y, at.1)) r=(rounded(radius)) { title { (says) } }
    }
}

fn across(axis: &Axis, value: f64) -> String {
    rounded(LEFT + WIDTH * axis.place(value))
}

fn down(axis: &Axis, value: f64) -> String {
    rounded(TOP + HEIGHT * (1.0 - axis.place(value)))
}

fn rounded(units: f64) -> String {
    format!("{units:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_a_few_round_ticks_and_bear_any_numbers() {
        assert_eq!(Axis::fitting("", [10.0, 48.0].into_iter()).ticks, [10.0, 20.0, 30.0, 40.0]);
        for values in [
            vec![],
            vec![5.0],
            vec![0.0, 0.0],
            vec![f64::MAX, f64::MIN],
            vec![1e-300, 2e-300],
            vec![f64::NAN],
        ] {
            let axis = Axis::fitting("", values.iter().copied());
            assert!(axis.ticks.len() <= 12, "{values:?} {axis:?}");
            for value in values {
                assert!((0.0..=1.0).contains(&axis.place(value)));
            }
        }
    }

    #[test]
    fn ticks_are_labelled_with_the_decimals_that_tell_them_apart() {
        let labels = |axis: Axis| axis.ticks.iter().map(|tick| axis.label(*tick)).collect::<Vec<String>>();
        assert_eq!(labels(Axis::share("")), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(Axis::fitting("", [-12.0, 21.0].into_iter())), ["-10", "0", "10", "20"]);
        assert_eq!(
            labels(Axis::fitting("", [0.01, 0.05].into_iter())),
            ["0.01", "0.02", "0.03", "0.04", "0.05"]
        );
    }

    #[test]
    fn a_fifth_system_has_the_first_ones_colour_but_dashed() {
        assert_eq!([0, 3, 4].map(colour), ["s0", "s3", "s0 dashed"]);
    }
}
