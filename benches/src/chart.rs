//! The charts: points of speed against size, and lines.

use std::path::Path;

use anyhow::Context as _;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::subject::Role;

/// One subject in the chart.
pub(crate) struct Point {
    pub(crate) label: String,
    pub(crate) role: Role,
    /// Points of one series are joined by a line.
    pub(crate) series: String,
    /// Compressed size in percent of the input.
    pub(crate) size: f64,
    /// MB of input a second.
    pub(crate) speed: f64,
}

const SIZE: (u32, u32) = (860, 520);
/// Least distance between the baselines of two labels, in pixels.
const LABEL_HEIGHT: i32 = 17;

/// A line, with its label at the right end.
pub(crate) struct Line {
    pub(crate) label: String,
    pub(crate) role: Role,
    pub(crate) points: Vec<(f64, f64)>,
}

pub(crate) fn draw(file: &Path, title: &str, points: &[Point]) -> anyhow::Result<()> {
    let root = begin(file)?;
    end(file, &root, draw_on(&root, title, points))
}

/// Draws lines over axes that begin at zero, with these titles below and at the left.
pub(crate) fn draw_lines(
    file: &Path,
    title: &str,
    axes: [&str; 2],
    lines: &[Line],
) -> anyhow::Result<()> {
    let root = begin(file)?;
    end(file, &root, draw_lines_on(&root, title, axes, lines))
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn begin(file: &Path) -> anyhow::Result<Area<'_>> {
    if let Some(dir) = file.parent() {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    }
    Ok(SVGBackend::new(file, SIZE).into_drawing_area())
}

fn end<E: std::error::Error + Send + Sync>(
    file: &Path,
    root: &Area<'_>,
    drawn: Result<(), DrawingAreaErrorKind<E>>,
) -> anyhow::Result<()> {
    drawn
        .map_err(|error| anyhow::anyhow!("{error}"))
        .context("cannot draw the chart")?;
    root.present()
        .with_context(|| format!("cannot write {}", file.display()))
}

fn draw_on<DB: DrawingBackend>(
    root: &DrawingArea<DB, Shift>,
    title: &str,
    points: &[Point],
) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
    root.fill(&WHITE)?;
    let sizes = || points.iter().map(|point| point.size);
    let (smallest, largest) = (
        sizes().fold(f64::INFINITY, f64::min),
        sizes().fold(0.0, f64::max),
    );
    let margin = (largest - smallest).max(0.5) * 0.15;
    let fastest = points.iter().map(|point| point.speed).fold(0.0, f64::max);
    let mut chart = ChartBuilder::on(root)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .margin_right(130) // for labels beside the rightmost points
        .x_label_area_size(42)
        .y_label_area_size(60)
        .build_cartesian_2d(smallest - margin..largest + margin, 0.0..fastest * 1.1)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(RGBColor(225, 225, 225))
        .x_desc("compressed size, % of the input (left is smaller)")
        .y_desc("MB of input a second (up is faster)")
        .x_label_formatter(&|x| format!("{x:.2}"))
        .y_label_formatter(&|y| format!("{y:.0}"))
        .label_style(("sans-serif", 13))
        .draw()?;
    for (at, point) in points.iter().enumerate() {
        // Each series once, from its first point.
        if points[..at]
            .iter()
            .all(|earlier| earlier.series != point.series)
        {
            let line = points
                .iter()
                .filter(|other| other.series == point.series)
                .map(|other| (other.size, other.speed));
            chart.draw_series(LineSeries::new(line, color(point.role).stroke_width(2)))?;
        }
    }
    for point in points {
        let style = color(point.role).filled();
        chart.draw_series([Circle::new((point.size, point.speed), 5, style)])?;
    }
    let places: Vec<_> = points
        .iter()
        .map(|point| chart.backend_coord(&(point.size, point.speed)))
        .collect();
    for (point, (x, y)) in points.iter().zip(apart(&places)) {
        let style = ("sans-serif", 14)
            .into_font()
            .color(&color(point.role))
            .pos(Pos::new(HPos::Left, VPos::Center));
        root.draw(&Text::new(point.label.clone(), (x, y), style))?;
    }
    Ok(())
}

fn draw_lines_on<DB: DrawingBackend>(
    root: &DrawingArea<DB, Shift>,
    title: &str,
    [x_title, y_title]: [&str; 2],
    lines: &[Line],
) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
    root.fill(&WHITE)?;
    let points = || lines.iter().flat_map(|line| &line.points);
    let right = points().map(|&(x, _)| x).fold(0.0, f64::max);
    let top = points().map(|&(_, y)| y).fold(0.0, f64::max);
    let mut chart = ChartBuilder::on(root)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .margin_right(130) // for labels beside the rightmost points
        .x_label_area_size(42)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..right, 0.0..top * 1.05)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(RGBColor(225, 225, 225))
        .x_desc(x_title)
        .y_desc(y_title)
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.0}"))
        .label_style(("sans-serif", 13))
        .draw()?;
    for line in lines {
        let style = color(line.role).stroke_width(2);
        chart.draw_series(LineSeries::new(line.points.iter().copied(), style))?;
        let dot = |&at: &(f64, f64)| Circle::new(at, 4, color(line.role).filled());
        chart.draw_series(line.points.iter().map(dot))?;
    }
    let ends = lines
        .iter()
        .filter_map(|line| Some((line, line.points.last()?)));
    let places: Vec<_> = ends
        .clone()
        .map(|(_, place)| chart.backend_coord(place))
        .collect();
    for ((line, _), (x, y)) in ends.zip(apart(&places)) {
        let style = ("sans-serif", 14)
            .into_font()
            .color(&color(line.role))
            .pos(Pos::new(HPos::Left, VPos::Center));
        root.draw(&Text::new(line.label.clone(), (x, y), style))?;
    }
    Ok(())
}

fn color(role: Role) -> RGBColor {
    match role {
        Role::Ours => RGBColor(179, 71, 0),
        Role::Upstream => RGBColor(0, 96, 128),
        Role::Rival => RGBColor(96, 96, 96),
    }
}

/// Where labels go beside `points`, in their order: to the right, and moved down where one would lie on another.
fn apart(points: &[(i32, i32)]) -> Vec<(i32, i32)> {
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by_key(|&at| points[at].1);
    let mut labels = vec![(0, 0); points.len()];
    for (nth, &at) in order.iter().enumerate() {
        let (x, mut y) = (points[at].0 + 10, points[at].1);
        // Those above, from the top down, so that being pushed by one leads to the next.
        for &above in &order[..nth] {
            let (other_x, other_y) = labels[above];
            // About as wide as a long label.
            if (other_x - x).abs() < 150 && (other_y - y).abs() < LABEL_HEIGHT {
                y = other_y + LABEL_HEIGHT;
            }
        }
        labels[at] = (x, y);
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_do_not_lie_on_each_other() {
        assert_eq!(
            apart(&[(0, 100), (5, 98), (400, 99)]),
            [(10, 115), (15, 98), (410, 99)]
        );
    }

    #[test]
    fn every_line_is_in_the_chart() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let line = |label: &str, role, y| Line {
            label: label.to_owned(),
            role,
            points: vec![(64.0, y), (256.0, 4.0 * y)],
        };
        let lines = [
            line("Go's", Role::Upstream, 2.0),
            line("ours", Role::Ours, 0.2),
        ];
        draw_lines(file.path(), "Time", ["log, MiB", "seconds"], &lines).unwrap();
        let svg = std::fs::read_to_string(file.path()).unwrap();
        for text in ["Go&apos;s", "ours", "Time", "log, MiB", "seconds"] {
            assert!(svg.contains(text), "{text} is not in {svg}");
        }
    }

    #[test]
    fn every_subject_is_in_the_chart() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let point = |label: &str, role, size, speed| Point {
            label: label.to_owned(),
            role,
            series: label.to_owned(),
            size,
            speed,
        };
        let points = [
            point("pargzip 6", Role::Ours, 20.0, 150.0),
            point("Go pargzip", Role::Upstream, 21.0, 70.0),
        ];
        draw(file.path(), "Speed and size", &points).unwrap();
        let svg = std::fs::read_to_string(file.path()).unwrap();
        for text in ["pargzip 6", "Go pargzip", "Speed and size"] {
            assert!(svg.contains(text), "{text} is not in {svg}");
        }
        assert!(svg.trim_end().ends_with("</svg>"), "{svg}");
    }
}
