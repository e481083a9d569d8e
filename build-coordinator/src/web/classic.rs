//! What upstream's coordinator and dashboard answer to programs.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State as Extracted};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde::Serialize;

use crate::api::{BuildFilter, HealthCheck, Level, State};
use crate::web::backend::Grid;
use crate::web::caller::Caller;
use crate::web::failure::Failure;
use crate::web::site::Shared;

/// `/status/reverse.json`: the machines, as upstream's `ReverseBuilderStatus`.
pub(super) async fn reverse_status(
    Extracted(site): Extracted<Arc<Shared>>,
) -> Result<Response, Failure> {
    Ok(json(
        "application/json",
        site.backend.reverse_status().await?,
    ))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ActiveBuild {
    builder: String,
    commit: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    go_commit: String,
    #[serde(rename = "statusURL")]
    status_url: String,
}

/// `/status/post-submit-active.json`: the builds that run, or `null`.
pub(super) async fn active(
    Extracted(site): Extracted<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Failure> {
    let filter = BuildFilter {
        state: Some(State::Running),
        limit: Some(1000),
        ..BuildFilter::default()
    };
    let base = caller.origin;
    let active: Vec<_> = site
        .backend
        .builds(&filter)
        .await?
        .into_iter()
        .map(|build| ActiveBuild {
            builder: build.builder,
            commit: build.revision,
            go_commit: build.base_revision.unwrap_or_default(),
            status_url: format!("{base}/builds/{}", build.id),
        })
        .collect();
    Ok(json(
        "application/json",
        tabbed(&(!active.is_empty()).then_some(active)),
    ))
}

#[derive(Serialize)]
struct BuildStatus<'a> {
    builders: &'a [String],
    revisions: Vec<BuildRevision<'a>>,
}

#[derive(Serialize)]
struct BuildRevision<'a> {
    repo: &'a str,
    revision: &'a str,
    #[serde(rename = "goRevision", skip_serializing_if = "Option::is_none")]
    go_revision: Option<&'a str>,
    date: String,
    branch: &'a str,
    author: &'a str,
    desc: &'a str,
    results: Vec<String>,
}

/// `/dashboard?mode=json`: the grid as upstream's `BuildStatus`.
pub(super) fn build_status(grid: &Grid, base: &str) -> Response {
    let revisions = grid.rows.iter().map(|row| BuildRevision {
        repo: &grid.repository,
        revision: &row.revision,
        go_revision: row.base.as_deref(),
        date: row.time.to_string(),
        branch: &grid.branch,
        author: &row.author,
        desc: &row.subject,
        results: row
            .cells
            .iter()
            .map(|cell| match cell {
                Some(cell) if cell.state == State::Succeeded => "ok".to_owned(),
                Some(cell) if cell.state.is_failure() => format!("{base}/builds/{}", cell.build),
                _ => String::new(),
            })
            .collect(),
    });
    let status = BuildStatus {
        builders: &grid.builders,
        revisions: revisions.collect(),
    };
    json("text/json; charset=utf-8", tabbed(&status))
}

/// `/dashboard?mode=failures`: a line for each build that failed.
pub(super) fn failures(grid: &Grid, base: &str) -> Response {
    let mut lines = String::new();
    for row in &grid.rows {
        for (builder, cell) in grid.builders.iter().zip(&row.cells) {
            if let Some(cell) = cell.filter(|cell| cell.state.is_failure()) {
                let _ = writeln!(
                    lines,
                    "{} {builder} {base}/builds/{}",
                    row.revision, cell.build
                );
            }
        }
    }
    json("text/plain; charset=utf-8", lines)
}

/// `/status/{check}`: what is known of one thing, as text.
pub(super) async fn check(
    Extracted(site): Extracted<Arc<Shared>>,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let health = site.backend.health().await?;
    let check = health.checks.into_iter().find(|check| check.id == id);
    let check = check.ok_or_else(|| Failure::not_found("There is no such check."))?;
    let status = if check.level() == Some(Level::Error) {
        StatusCode::INTERNAL_SERVER_ERROR
    } else {
        StatusCode::OK
    };
    Ok((
        status,
        [(CONTENT_TYPE, "text/plain; charset=utf-8")],
        check_text(&check),
    )
        .into_response())
}

fn check_text(check: &HealthCheck) -> String {
    if check.lines.is_empty() {
        return "ok\n".to_owned();
    }
    let mut text = format!("# \"{}\" status: {}\n", check.id, check.title);
    for line in &check.lines {
        let level = match line.level {
            Level::Info => "Info",
            Level::Warn => "Warn",
            Level::Error => "Error",
        };
        let _ = writeln!(
            text,
            "{level}: {}",
            line.text.replace(|c: char| c.is_control(), " ")
        );
    }
    text
}

/// `/healthz`: whether the coordinator answers at all; nothing else, as anybody may ask.
pub(super) async fn healthz(
    Extracted(site): Extracted<Arc<Shared>>,
) -> Result<&'static str, Failure> {
    match site.backend.health().await {
        Ok(_) => Ok("ok\n"),
        Err(error) => {
            let _ = Failure::internal(&error);
            Err(Failure::unavailable(
                "The coordinator's state cannot be read.",
            ))
        }
    }
}

fn json(kind: &'static str, text: String) -> Response {
    ([(CONTENT_TYPE, kind)], text).into_response()
}

/// JSON as Go's encoder writes it: indented with tabs, without characters that HTML gives a meaning, and a line feed at the end.
fn tabbed(value: &impl Serialize) -> String {
    let mut out = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
    value
        .serialize(&mut serializer)
        .expect("these types have string keys, and a buffer takes everything");
    let text = String::from_utf8(out).expect("JSON is UTF-8");
    // Outside of strings JSON has none of them.
    let mut safe = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(safe, "\\u{:04x}", u32::from(c));
            }
            _ => safe.push(c),
        }
    }
    safe.push('\n');
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::HealthLine;

    #[test]
    fn characters_of_html_are_escaped_as_go_does() {
        assert_eq!(tabbed(&"A <a@b>"), "\"A \\u003ca@b\\u003e\"\n");
    }

    #[test]
    fn nothing_active_is_null() {
        assert_eq!(tabbed(&None::<Vec<ActiveBuild>>), "null\n");
    }

    #[test]
    fn a_check_is_ok_or_says_what_is_not() {
        let mut check = HealthCheck {
            id: "disk".to_owned(),
            title: "Disk".to_owned(),
            lines: Vec::new(),
        };
        assert_eq!(check_text(&check), "ok\n");
        check.lines.push(HealthLine {
            level: Level::Warn,
            text: "90 %\nfull".to_owned(),
        });
        assert_eq!(
            check_text(&check),
            "# \"disk\" status: Disk\nWarn: 90 % full\n"
        );
    }
}
