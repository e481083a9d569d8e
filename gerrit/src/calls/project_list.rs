use std::collections::BTreeMap;

use crate::call::Call;
use crate::client::Client;
use crate::error::Error;
use crate::types::*;

/// How many projects a page has.
const PAGE: usize = 500;

/// How many projects a list reads unless told otherwise.
const DEFAULT_CAP: usize = 100_000;

/// Which branches or tags are listed; all by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RefFilter {
    name: Option<(&'static str, String)>,
    limit: Option<usize>,
    start: Option<usize>,
}

impl RefFilter {
    /// Those whose short name contains `text`.
    #[must_use]
    pub fn containing(mut self, text: impl Into<String>) -> Self {
        self.name = Some(("m", text.into()));
        self
    }

    /// Those whose short name a regular expression matches, whole.
    #[must_use]
    pub fn matching(mut self, regex: impl Into<String>) -> Self {
        self.name = Some(("r", regex.into()));
        self
    }

    /// At most so many.
    #[must_use]
    pub fn limit(mut self, refs: usize) -> Self {
        self.limit = Some(refs);
        self
    }

    /// Leaves out the first ones.
    #[must_use]
    pub fn start(mut self, refs: usize) -> Self {
        self.start = Some(refs);
        self
    }

    pub(super) fn apply<'a>(&self, call: Call<'a>) -> Call<'a> {
        let call = match &self.name {
            Some((key, text)) => call.query(key, text),
            None => call,
        };
        call.query_opt("n", self.limit).query_opt("S", self.start)
    }
}

/// A list of projects, made by [`Client::list_projects`].
#[derive(Debug, Clone)]
#[must_use = "nothing is asked before it is awaited"]
pub struct ProjectList {
    client: Client,
    parameters: Vec<(&'static str, String)>,
    page_size: usize,
    cap: usize,
}

impl Client {
    /// Lists projects by what they are called and are, page after page. [`projects`](Self::projects) is for all that are active.
    pub fn list_projects(&self) -> ProjectList {
        ProjectList {
            client: self.clone(),
            parameters: Vec::new(),
            page_size: PAGE,
            cap: DEFAULT_CAP,
        }
    }
}

impl ProjectList {
    /// Those whose names begin with `text`.
    pub fn prefix(self, text: &str) -> Self {
        self.parameter("p", text)
    }

    /// Those whose names contain `text`, in any case. Servers take one of this, the prefix and the regular expression.
    pub fn containing(self, text: &str) -> Self {
        self.parameter("m", text)
    }

    /// Those whose names a regular expression matches, whole.
    pub fn matching(self, regex: &str) -> Self {
        self.parameter("r", regex)
    }

    /// Those in a state.
    pub fn state(self, state: &ProjectState) -> Self {
        self.parameter("state", state.as_str())
    }

    /// With their descriptions.
    pub fn descriptions(self) -> Self {
        self.parameter("d", "")
    }

    /// With the projects that they inherit from.
    pub fn parents(self) -> Self {
        self.parameter("t", "")
    }

    /// How many a page has; 500 by default.
    pub fn page_size(mut self, projects: usize) -> Self {
        self.page_size = projects.max(1);
        self
    }

    /// How many are read at most; 100,000 by default.
    pub fn cap(mut self, projects: usize) -> Self {
        self.cap = projects;
        self
    }

    /// Reads the list, sorted by name.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`Error::MoreThanCap`] if the list is longer than the [cap](Self::cap).
    pub async fn all(self) -> Result<Vec<ProjectInfo>, Error> {
        let mut all = BTreeMap::new();
        let mut start = 0;
        loop {
            let mut call = self.client.get("/projects/");
            for (key, value) in &self.parameters {
                call = call.query(key, value);
            }
            let call = call.query("n", self.page_size);
            let page: BTreeMap<String, ProjectInfo> = call
                .query_opt("S", (start > 0).then_some(start))
                .fetch()
                .await?;
            let length = page.len();
            start += length;
            all.extend(page);
            if all.len() > self.cap {
                return Err(Error::MoreThanCap { cap: self.cap });
            }
            // The answer does not say whether there are more, and a server may give fewer than were asked for only at the end.
            if length < self.page_size {
                break;
            }
        }
        let named = |(name, project)| ProjectInfo { name, ..project };
        Ok(all.into_iter().map(named).collect())
    }

    fn parameter(mut self, key: &'static str, value: &str) -> Self {
        self.parameters.push((key, value.to_owned()));
        self
    }
}
