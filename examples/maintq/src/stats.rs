use std::io;

use crate::args::Args;
use crate::output::{Output, terminal_width};
use crate::source;
use crate::value::Value;

/// Says how much there is.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let corpus = source::open(&args.source)?;
    let view = corpus.view();
    let stats = view.stats();
    let out = io::BufWriter::new(io::stdout().lock());
    let columns = vec!["of", "what", "count"];
    let mut out = Output::begin(out, args.format, columns, terminal_width())?;
    let mut row = |of: &str, what: &str, count: i64| {
        out.row(&[Value::text(of), Value::text(what), Value::Int(count)])
    };
    for (what, count) in [
        ("mutations", stats.records),
        ("bytes of log", stats.log_bytes),
        ("bytes of texts", stats.text_bytes),
        ("commits", stats.commits as u64),
        ("kinds not known", stats.unknown_kinds),
        ("fields not known", stats.unknown_fields),
        ("left out, as they make no sense", stats.ignored),
    ] {
        row("log", what, count.cast_signed())?;
    }
    for project in view.gerrit().projects() {
        let name = project.server_slash_project();
        let cls: Vec<_> = project.cls().collect();
        let private = cls.iter().filter(|cl| cl.is_private()).count();
        row(name, "changes", count(cls.len()))?;
        row(name, "private changes", count(private))?;
        row(
            name,
            "changes under review",
            count(project.open_cls().count()),
        )?;
        row(name, "refs", count(project.references().count()))?;
    }
    for repo in view.github().repos() {
        let name = format!("{}/{}", repo.owner(), repo.name());
        let issues: Vec<_> = repo.issues().filter(|issue| !issue.not_exist()).collect();
        let pulls = issues.iter().filter(|issue| issue.pull_request()).count();
        let open = issues.iter().filter(|issue| !issue.closed()).count();
        row(&name, "issues", count(issues.len() - pulls))?;
        row(&name, "pull requests", count(pulls))?;
        row(&name, "open issues and pull requests", count(open))?;
        row(&name, "labels", count(repo.labels().count()))?;
    }
    Ok(out.flush()?)
}

fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
