use std::cmp::Ordering;
use std::io;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use maintner::{Corpus, FeedError, LoadError, Time, View};

use crate::args::{Args, ClsArgs, CommitsArgs, IssuesArgs, ListArgs};
use crate::filter::{Filter, Op, Operand, Test, span};
use crate::kinds::{Cls, Commits, Issues, Listed, Scope, defs, index_of};
use crate::output::{Output, terminal_width};
use crate::usage::Usage;
use crate::value::Value;
use crate::{source, usage};

/// How long a wait for changes is at most, so that a corpus at its end is noticed.
const WAIT: Duration = Duration::from_secs(60);

pub(crate) fn cls(args: &Args, cls: &ClsArgs, open_only: bool) -> anyhow::Result<()> {
    let mut query = Query::<Cls>::new(&cls.list, "created")?;
    query.scope.project = cls.project.clone();
    query.scope.private = cls.private;
    if open_only {
        query.is("open", true);
    }
    if let Some(branch) = &cls.branch {
        query.equals("branch", branch);
    }
    if let Some(owner) = &cls.owner {
        query.one_contains(["owner", "owner_email"], owner);
    }
    for tag in &cls.hashtag {
        query.equals("hashtags", tag);
    }
    query.run(args, &cls.list)
}

pub(crate) fn issues(args: &Args, issues: &IssuesArgs, pulls: bool) -> anyhow::Result<()> {
    let mut query = Query::<Issues>::new(&issues.list, "created")?;
    query.scope.project = issues.repo.clone();
    query.is("pull", pulls);
    if issues.open || issues.closed {
        query.is("open", issues.open);
    }
    for label in &issues.label {
        query.equals("labels", label);
    }
    for (field, wanted) in [
        ("author", &issues.author),
        ("assignees", &issues.assignee),
        ("milestone", &issues.milestone),
    ] {
        if let Some(wanted) = wanted {
            query.equals(field, wanted);
        }
    }
    query.run(args, &issues.list)
}

pub(crate) fn commits(args: &Args, commits: &CommitsArgs) -> anyhow::Result<()> {
    let mut query = Query::<Commits>::new(&commits.list, "committed")?;
    query.scope.project = commits.project.clone();
    query.scope.branch = commits.branch.clone();
    if let Some(author) = &commits.author {
        query.one_contains(["author", "author_email"], author);
    }
    if let Some(file) = &commits.file {
        query.one_contains(["files"], file);
    }
    query.run(args, &commits.list)
}

/// What is asked.
struct Query<K: Listed> {
    scope: Scope,
    /// All must fit.
    filters: Vec<Filter>,
    columns: Vec<usize>,
    sort: Option<(usize, bool)>,
    seen: K::Seen,
}

impl<K: Listed> Query<K> {
    /// `time` is the field that --since and --until mean.
    fn new(list: &ListArgs, time: &str) -> anyhow::Result<Self> {
        let now = now();
        let mut query = Self {
            scope: Scope::default(),
            filters: Vec::new(),
            columns: columns::<K>(&list.columns)?,
            sort: list.sort.as_deref().map(sort::<K>).transpose()?,
            seen: K::Seen::default(),
        };
        if let Some(text) = &list.filter {
            let filter = Filter::parse(text, &defs::<K>(), now)
                .map_err(|error| Usage(format!("the filter is not understood: {error}")))?;
            query.filters.push(filter);
        }
        for (flag, text, op) in [
            ("--since", &list.since, Op::GreaterOrEqual),
            ("--until", &list.until, Op::LessOrEqual),
        ] {
            let Some(text) = text else { continue };
            let Some(span) = span(text, now) else {
                bail!(Usage(format!(
                    "{flag}: {text:?} is not a time, such as 2026-01-31, 2026-01, 2026 or 90d (ago)"
                )));
            };
            query.add(time, op, Operand::Time(span));
        }
        if list.watch && list.sort.is_some() {
            bail!(usage::conflict("--watch", "--sort"));
        }
        Ok(query)
    }

    fn add(&mut self, field: &str, op: Op, operand: Operand) {
        self.filters.push(test::<K>(field, op, operand));
    }

    fn is(&mut self, field: &str, wanted: bool) {
        self.add(field, Op::Equal, Operand::Bool(wanted));
    }

    fn equals(&mut self, field: &str, wanted: &str) {
        self.add(field, Op::Equal, Operand::Text(wanted.to_owned()));
    }

    fn one_contains<const N: usize>(&mut self, fields: [&str; N], wanted: &str) {
        let operand = Operand::Text(wanted.to_owned());
        let tests = fields.map(|field| test::<K>(field, Op::Contains, operand.clone()));
        self.filters.push(Filter::Any(tests.into()));
    }

    fn matches<'v>(&self, view: &'v View, row: &K::Row<'v>) -> bool {
        let get = |field: usize| (K::FIELDS[field].get)(view, row);
        self.filters.iter().all(|filter| filter.matches(&get))
    }

    /// Lists what there is, and then what changes if that is wanted.
    fn run(mut self, args: &Args, list: &ListArgs) -> anyhow::Result<()> {
        let mut corpus = source::open(&args.source)?;
        let mut changes = list.watch.then(|| corpus.subscribe());
        let mut out = Output::begin(
            io::BufWriter::new(io::stdout().lock()),
            args.format,
            self.columns
                .iter()
                .map(|field| K::FIELDS[*field].def.name)
                .collect(),
            terminal_width(),
        )?;

        let view = corpus.view();
        let mut seen = std::mem::take(&mut self.seen);
        let rows = K::rows(&view, &self.scope, &mut seen).filter(|row| self.matches(&view, row));
        let limit = list.limit.unwrap_or(usize::MAX);
        match self.sort {
            None => {
                for row in rows.take(limit) {
                    self.write(&mut out, &view, &row)?;
                }
            }
            Some((field, descending)) => {
                let mut rows: Vec<_> = rows
                    .map(|row| ((K::FIELDS[field].get)(&view, &row), row))
                    .collect();
                rows.sort_by(|(a, _), (b, _)| match descending {
                    true => compare(b, a),
                    false => compare(a, b),
                });
                for (_, row) in rows.iter().take(limit) {
                    self.write(&mut out, &view, row)?;
                }
            }
        }
        out.flush()?;
        drop(view);
        let Some(changes) = &mut changes else {
            return Ok(());
        };
        let mut unfinished = Unfinished::default();
        loop {
            match corpus.update_within(WAIT) {
                Err(error) if error.is_incomplete() => {
                    unfinished.wait(corpus.view().stats().log_bytes, error);
                }
                done => {
                    done?;
                    unfinished = Unfinished::default();
                }
            }
            self.write_changes(changes, &mut seen, &mut out, &corpus)?;
            out.flush()?;
        }
    }

    fn write_changes<W: io::Write>(
        &self,
        changes: &mut maintner::Subscription,
        seen: &mut K::Seen,
        out: &mut Output<W>,
        corpus: &Corpus,
    ) -> anyhow::Result<()> {
        loop {
            match changes.next(Duration::ZERO) {
                Ok(None) => return Ok(()),
                Ok(Some(changes)) => {
                    let view = corpus.view();
                    for change in changes.iter() {
                        for row in K::changed(&view, &self.scope, change, seen) {
                            if self.matches(&view, &row) {
                                self.write(out, &view, &row)?;
                            }
                        }
                    }
                }
                Err(error @ FeedError::Lagged { .. }) => eprintln!("maintq: {error}"),
                Err(error) => return Err(error).context("cannot go on watching"),
            }
        }
    }

    fn write<'v, W: io::Write>(
        &self,
        out: &mut Output<W>,
        view: &'v View,
        row: &K::Row<'v>,
    ) -> io::Result<()> {
        let values: Vec<_> = self
            .columns
            .iter()
            .map(|field| (K::FIELDS[*field].get)(view, row))
            .collect();
        out.row(&values)
    }
}

/// A record at the end of the log that somebody is just writing, or nobody any more.
#[derive(Default)]
struct Unfinished {
    /// Where it begins, in bytes of the log.
    at: u64,
    looked: u32,
}

impl Unfinished {
    /// The first pause; each is twice as long as the one before, up to the longest.
    const PAUSE: Duration = Duration::from_millis(20);
    const LONGEST: Duration = Duration::from_secs(1);
    /// After so many looks, a second and a quarter, a writer that goes on is not likely.
    const PATIENCE: u32 = 7;

    /// Gives it some time, and says once that it takes long.
    fn wait(&mut self, at: u64, error: LoadError) {
        if at != self.at {
            *self = Self { at, looked: 0 };
        }
        self.looked = self.looked.saturating_add(1);
        if self.looked == Self::PATIENCE {
            eprintln!(
                "maintq: {:#}: waiting for the rest; `maintq log repair` mends a log that nobody writes any more",
                anyhow::Error::from(error)
            );
        }
        let pause = Self::PAUSE * (1 << (self.looked - 1).min(6));
        thread::sleep(pause.min(Self::LONGEST));
    }
}

fn test<K: Listed>(field: &str, op: Op, operand: Operand) -> Filter {
    let field = index_of::<K>(field);
    Filter::Test(Test { field, op, operand })
}

fn field<K: Listed>(name: &str) -> Result<usize, Usage> {
    let found = K::FIELDS.iter().position(|field| field.def.name == name);
    found.ok_or_else(|| {
        let names: Vec<_> = K::FIELDS.iter().map(|field| field.def.name).collect();
        Usage(format!(
            "{} have no field {name:?}; the fields are: {}",
            K::NAME,
            names.join(", ")
        ))
    })
}

fn columns<K: Listed>(names: &[String]) -> Result<Vec<usize>, Usage> {
    match names {
        [] => Ok(K::COLUMNS.iter().map(|name| index_of::<K>(name)).collect()),
        [all] if all == "all" => Ok((0..K::FIELDS.len()).collect()),
        names => names.iter().map(|name| field::<K>(name)).collect(),
    }
}

/// A field, and whether its order is descending.
fn sort<K: Listed>(text: &str) -> Result<(usize, bool), Usage> {
    match text.strip_prefix('-') {
        Some(name) => Ok((field::<K>(name)?, true)),
        None => Ok((field::<K>(text)?, false)),
    }
}

/// What is not known comes first.
fn compare(a: &Value<'_>, b: &Value<'_>) -> Ordering {
    match (a, b) {
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Time(a), Value::Time(b)) => a.cmp(b),
        (Value::List(a), Value::List(b)) => a.cmp(b),
        (Value::None, Value::None) => Ordering::Equal,
        (Value::None, _) => Ordering::Less,
        (_, Value::None) => Ordering::Greater,
        // Values of a field are of one type.
        _ => Ordering::Equal,
    }
}

fn now() -> Time {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Time::new(since.as_secs().cast_signed(), since.subsec_nanos())
}
