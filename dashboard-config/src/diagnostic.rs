use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// How many problems are kept; the rest is counted.
const LIMIT: usize = 200;
/// Bytes of a line that are shown around what is wrong.
const EXCERPT: usize = 160;

/// Whether a problem stops the configuration from being used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// It cannot be used.
    Error,
    /// It can, but it hardly says what was meant.
    Warning,
}

/// One problem: where, what, and what to do about it.
///
/// `Display` shows all of it, with the line it is about, over several lines of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    severity: Severity,
    position: Option<Position>,
    message: String,
    hint: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Position {
    file: Arc<str>,
    line: usize,
    column: usize,
    /// The line, or the part of it around the problem.
    excerpt: String,
    /// Characters of the excerpt before the problem, and of the problem.
    marked: Range<usize>,
}

impl Diagnostic {
    /// Whether it stops the configuration from being used.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// The file as it was named to the reader; `None` where the problem is about no place, as a file that is missing.
    #[must_use]
    pub fn file(&self) -> Option<&str> {
        self.position.as_ref().map(|position| &*position.file)
    }

    /// The line, from 1.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        self.position.as_ref().map(|position| position.line)
    }

    /// The column in characters, from 1.
    #[must_use]
    pub fn column(&self) -> Option<usize> {
        self.position.as_ref().map(|position| position.column)
    }

    /// What is wrong.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it; never empty.
    #[must_use]
    pub fn hint(&self) -> &str {
        &self.hint
    }

    /// All of it but the excerpt, in one line: `builders.toml:3: unknown key (did you mean ...?)`.
    #[must_use]
    pub fn to_line(&self) -> String {
        let place = match &self.position {
            Some(at) => format!("{}:{}: ", at.file, at.line),
            None => String::new(),
        };
        let line = format!("{place}{} ({})", self.message, self.hint);
        line.replace(char::is_control, " ")
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let Some(at) = &self.position else {
            return write!(f, "{severity}: {}\n  hint: {}", self.message, self.hint);
        };
        writeln!(
            f,
            "{}:{}:{}: {severity}: {}",
            at.file, at.line, at.column, self.message
        )?;
        let gutter = at.line.to_string().len();
        writeln!(f, "  {} | {}", at.line, at.excerpt)?;
        writeln!(
            f,
            "  {:gutter$} | {}{}",
            "",
            " ".repeat(at.marked.start),
            "^".repeat(at.marked.len().max(1))
        )?;
        write!(f, "  hint: {}", self.hint)
    }
}

/// Everything that is wrong with a configuration, in the order of the files; at least one of them is an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics {
    all: Vec<Diagnostic>,
    dropped: usize,
}

impl Diagnostics {
    /// Each problem. At most 200 are kept; [`dropped`](Self::dropped) counts the rest.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.all.iter()
    }

    /// How many problems were not kept.
    #[must_use]
    pub fn dropped(&self) -> usize {
        self.dropped
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, diagnostic) in self.all.iter().enumerate() {
            write!(f, "{}{diagnostic}", if i == 0 { "" } else { "\n\n" })?;
        }
        if self.dropped > 0 {
            write!(f, "\n\nand {} more", self.dropped)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

/// A file's text, to find lines in.
#[derive(Debug)]
pub(crate) struct SourceFile {
    name: Arc<str>,
    text: String,
    order: usize,
}

impl SourceFile {
    pub(crate) fn new(name: &str, text: &str, order: usize) -> Self {
        Self {
            name: name.into(),
            text: text.to_owned(),
            order,
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    fn position(&self, span: &Range<usize>) -> Position {
        let boundary = |mut at: usize| {
            at = at.min(self.text.len());
            while !self.text.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let start = boundary(span.start);
        let line_start = self.text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = self.text[start..]
            .find('\n')
            .map_or(self.text.len(), |at| start + at);
        let end = boundary(span.end).clamp(start, line_end);
        let shown_from = if start - line_start > EXCERPT / 2 {
            boundary(start - EXCERPT / 2)
        } else {
            line_start
        };
        let shown_to = boundary(line_end.min(shown_from + EXCERPT)).max(start);
        let before = self.text[shown_from..start].chars().count();
        let marked = self.text[start..end.min(shown_to)].chars().count();
        // What would move the cursor or colour the terminal is not repeated.
        let shown = self.text[shown_from..shown_to].trim_end_matches('\r');
        Position {
            file: Arc::clone(&self.name),
            line: self.text[..start].matches('\n').count() + 1,
            column: self.text[line_start..start].chars().count() + 1,
            excerpt: shown
                .chars()
                .map(|c| if c.is_control() { ' ' } else { c })
                .collect(),
            marked: before..before + marked,
        }
    }
}

/// Where something stands.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) file: Arc<SourceFile>,
    pub(crate) span: Range<usize>,
}

/// Takes problems as they are found.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    /// With the order of its file and its offset, to sort by.
    found: Vec<((usize, usize), Diagnostic)>,
    dropped: usize,
    errors: usize,
}

impl Collector {
    pub(crate) fn error(
        &mut self,
        place: Option<&Place>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.errors += 1;
        self.add(Severity::Error, place, message.into(), hint.into());
    }

    pub(crate) fn warning(
        &mut self,
        place: Option<&Place>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.add(Severity::Warning, place, message.into(), hint.into());
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.errors > 0
    }

    fn add(&mut self, severity: Severity, place: Option<&Place>, message: String, hint: String) {
        if self.found.len() == LIMIT {
            self.dropped += 1;
            return;
        }
        let order = place.map_or((0, 0), |place| (place.file.order, place.span.start));
        let diagnostic = Diagnostic {
            severity,
            position: place.map(|place| place.file.position(&place.span)),
            message,
            hint,
        };
        self.found.push((order, diagnostic));
    }

    /// In the order of the files.
    pub(crate) fn finish(mut self) -> Diagnostics {
        self.found.sort_by_key(|(order, _)| *order);
        Diagnostics {
            all: self
                .found
                .into_iter()
                .map(|(_, diagnostic)| diagnostic)
                .collect(),
            dropped: self.dropped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_shows_its_line_and_marks_itself() {
        let file = Arc::new(SourceFile::new("a.toml", "x = 1\nnäme = true # ok\n", 0));
        let mut found = Collector::default();
        let span = 14..18;
        found.error(Some(&Place { file, span }), "no", "yes");
        assert_eq!(
            found.finish().to_string(),
            "a.toml:2:8: error: no\n  2 | näme = true # ok\n    |        ^^^^\n  hint: yes"
        );
    }

    #[test]
    fn long_lines_are_cut_and_controls_not_repeated() {
        let text = format!("{}\u{1b}[31m{}", "a".repeat(500), "b".repeat(500));
        let file = Arc::new(SourceFile::new("a.toml", &text, 0));
        let mut found = Collector::default();
        found.error(
            Some(&Place {
                file,
                span: 500..501,
            }),
            "no",
            "yes",
        );
        let shown = found.finish().to_string();
        assert!(!shown.contains('\u{1b}') && shown.len() < 500, "{shown}");
        assert!(shown.starts_with("a.toml:1:501:"));
    }

    #[test]
    fn what_is_beyond_the_limit_is_counted() {
        let mut found = Collector::default();
        for _ in 0..LIMIT + 3 {
            found.error(None, "no", "yes");
        }
        assert_eq!(found.finish().dropped(), 3);
    }
}
