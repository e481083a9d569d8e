use std::fmt::Write as _;

use crate::api::{Span, Timestamp};
use crate::web::text::{attribute, lasting};

/// Spans that are drawn; those that took longest, if there are more.
const MAX_ROWS: usize = 40;
const ROW: usize = 34;

/// Draws what took how long, as SVG that fits any width; empty if there is nothing.
pub(super) fn timeline(spans: &[Span], now: Timestamp) -> String {
    let end = |span: &Span| span.ended.unwrap_or(now);
    let mut rows: Vec<&Span> = spans.iter().collect();
    if rows.len() > MAX_ROWS {
        rows.sort_by_key(|span| std::cmp::Reverse(end(span).since(span.started)));
        rows.truncate(MAX_ROWS);
    }
    rows.sort_by_key(|span| span.started);
    let (Some(first), Some(last)) = (
        rows.iter().map(|s| s.started).min(),
        rows.iter().map(|s| end(s)).max(),
    ) else {
        return String::new();
    };
    let whole = last.since(first).as_secs_f64().max(0.001);
    let percent = |time: Timestamp| time.since(first).as_secs_f64() / whole * 100.0;

    let height = rows.len() * ROW + 18;
    let total = lasting(last.since(first));
    let mut svg = format!(
        "<svg height=\"{height}\" role=\"img\" aria-label=\"What took how long, of {total} in all\">"
    );
    for (n, span) in rows.into_iter().enumerate() {
        let y = n * ROW;
        let name = attribute(&span.name);
        let time = lasting(end(span).since(span.started));
        let detail = span
            .detail
            .as_deref()
            .map(|detail| format!(": {}", attribute(detail)))
            .unwrap_or_default();
        // Wide enough to be seen and pointed at.
        let width = (percent(end(span)) - percent(span.started)).max(0.6);
        let x = percent(span.started).min(100.0 - width);
        let open = if span.ended.is_none() { " open" } else { "" };
        let _ = write!(
            svg,
            "<g><title>{name}{detail} ({time})</title>\
             <text x=\"0\" y=\"{text_y}\">{name}</text><text class=\"soft\" x=\"100%\" y=\"{text_y}\" text-anchor=\"end\">{time}</text>\
             <rect class=\"track\" x=\"0\" y=\"{bar_y}\" width=\"100%\" height=\"8\" rx=\"4\"/>\
             <rect class=\"bar{open}\" x=\"{x:.2}%\" y=\"{bar_y}\" width=\"{width:.2}%\" height=\"8\" rx=\"4\"/></g>",
            text_y = y + 14,
            bar_y = y + 20,
        );
    }
    let _ = write!(
        svg,
        "<text class=\"soft\" x=\"0\" y=\"{y}\">0</text><text class=\"soft\" x=\"100%\" y=\"{y}\" text-anchor=\"end\">{total}</text></svg>",
        y = height - 4,
    );
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(name: &str, from: i64, to: Option<i64>) -> Span {
        Span {
            name: name.to_owned(),
            detail: Some("\"><script>".to_owned()),
            started: Timestamp::from_micros(from * 1_000_000),
            ended: to.map(|to| Timestamp::from_micros(to * 1_000_000)),
        }
    }

    #[test]
    fn bars_are_where_and_as_long_as_their_spans() {
        let svg = timeline(
            &[span("a", 0, Some(5)), span("b", 5, None)],
            Timestamp::from_micros(10_000_000),
        );
        assert!(
            svg.contains("x=\"0.00%\" y=\"20\" width=\"50.00%\""),
            "{svg}"
        );
        assert!(
            svg.contains("class=\"bar open\" x=\"50.00%\" y=\"54\" width=\"50.00%\""),
            "{svg}"
        );
    }

    #[test]
    fn nothing_that_strangers_wrote_is_markup() {
        let svg = timeline(&[span("<b>", 0, Some(0))], Timestamp::default());
        assert!(!svg.contains("<b>") && !svg.contains("<script"), "{svg}");
        assert!(svg.contains("&lt;b&gt;"));
    }

    #[test]
    fn there_is_no_drawing_of_nothing() {
        assert_eq!(timeline(&[], Timestamp::default()), "");
        let many: Vec<_> = (0..100).map(|n| span("s", n, Some(n + 1))).collect();
        assert_eq!(
            timeline(&many, Timestamp::default()).matches("<g>").count(),
            MAX_ROWS
        );
    }
}
