//! Plots: one figure of a table against its variable, as SVG for light and dark backgrounds.

use std::fmt::Write as _;

use super::Table;
use super::markdown::number;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 150.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;

/// Colours that most people can distinguish, on white and on black.
const COLOURS: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c8c8c", "#a6761d"];

/// Values on an axis with a logarithmic scale.
struct Axis {
    first: f64,
    last: f64,
    from: f64,
    to: f64,
}

impl Axis {
    /// `None` without values above zero.
    fn over(values: impl Iterator<Item = f64> + Clone, from: f64, to: f64) -> Option<Self> {
        let values = values.filter(|value| value.is_finite() && *value > 0.0);
        let first = values.clone().min_by(f64::total_cmp)?;
        let last = values.max_by(f64::total_cmp)?;
        // A margin, so that a single value has a range as well.
        Some(Self { first: first / 1.15, last: last * 1.15, from, to })
    }

    fn place(&self, value: f64) -> f64 {
        let share = (value / self.first).ln() / (self.last / self.first).ln();
        self.from + share * (self.to - self.from)
    }

    /// 1, 2 and 5 times the powers of ten that lie on the axis.
    fn ticks(&self) -> Vec<f64> {
        let powers = -6..=12;
        let ticks = powers.flat_map(|power| [1.0, 2.0, 5.0].map(|step| step * 10_f64.powi(power)));
        let inside: Vec<f64> = ticks.filter(|tick| *tick >= self.first && *tick <= self.last).collect();
        let is_power = |tick: &f64| (tick.log10() - tick.log10().round()).abs() < 1e-9;
        let powers: Vec<f64> = inside.iter().copied().filter(is_power).collect();
        if powers.len() >= 3 { powers } else { inside }
    }
}

/// The figure `name` of every server; `None` if fewer than two values of the variable have it.
pub(crate) fn render(table: &Table, name: &str) -> Option<String> {
    let figure = |row: &super::Row| Some(row.figures.iter().find(|(known, _)| *known == name)?.1);
    let points: Vec<(&str, f64, f64)> = table
        .rows
        .iter()
        .filter_map(|row| Some((row.peer.as_str(), row.at as f64, figure(row)?)))
        .filter(|(_, at, value)| *at > 0.0 && value.is_finite() && *value > 0.0)
        .collect();
    let across = Axis::over(points.iter().map(|point| point.1), LEFT, WIDTH - RIGHT)?;
    let up = Axis::over(points.iter().map(|point| point.2), HEIGHT - BOTTOM, TOP)?;
    if points.iter().all(|point| point.1 == points[0].1) {
        return None;
    }
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\" fill=\"#808080\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"none\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" font-size=\"14\">{}: {}</text>\n",
        escape(&table.title),
        escape(name)
    );
    draw_axes(&mut svg, &across, &up, table.variable);
    for (index, peer) in table.peers().iter().enumerate() {
        let line: Vec<(f64, f64)> = points
            .iter()
            .filter(|point| point.0 == *peer)
            .map(|point| (across.place(point.1), up.place(point.2)))
            .collect();
        if line.is_empty() {
            continue;
        }
        let colour = COLOURS[index % COLOURS.len()];
        let coordinates: Vec<String> = line.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        add(
            &mut svg,
            format_args!(
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n",
                coordinates.join(" ")
            ),
        );
        for (x, y) in &line {
            add(&mut svg, format_args!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>\n"));
        }
        let legend = TOP + 18.0 * index as f64;
        add(
            &mut svg,
            format_args!(
                "<text x=\"{}\" y=\"{legend}\" fill=\"{colour}\">{}</text>\n",
                WIDTH - RIGHT + 12.0,
                escape(peer)
            ),
        );
    }
    svg.push_str("</svg>\n");
    Some(svg)
}

fn draw_axes(svg: &mut String, across: &Axis, up: &Axis, variable: &str) {
    let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    for tick in up.ticks() {
        let y = up.place(tick);
        add(
            svg,
            format_args!(
                "<line x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#808080\" stroke-opacity=\"0.25\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
                LEFT - 8.0,
                y + 4.0,
                number(tick)
            ),
        );
    }
    for tick in across.ticks() {
        let x = across.place(tick);
        add(
            svg,
            format_args!(
                "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom}\" stroke=\"#808080\" stroke-opacity=\"0.25\"/>\
             <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n",
                bottom + 18.0,
                number(tick)
            ),
        );
    }
    add(
        svg,
        format_args!(
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n",
            f64::midpoint(LEFT, right),
            HEIGHT - 12.0,
            escape(variable)
        ),
    );
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn add(svg: &mut String, arguments: std::fmt::Arguments<'_>) {
    svg.write_fmt(arguments).expect("writing to a String cannot fail");
}
