use std::collections::{HashSet, VecDeque};

use futures_core::Stream;
use futures_util::TryStreamExt as _;
use serde::de::DeserializeOwned;

use crate::call::Call;
use crate::client::Client;
use crate::error::Error;
use crate::types::{AccountInfo, ChangeInfo};
use crate::{AccountOption, ChangeOption, Query};

/// How many elements a search reads unless told otherwise.
const DEFAULT_CAP: usize = 10_000;

/// So many pages in a row that bring nothing new are a server that does not move on; lists that shift bring a few.
const MAX_STALE_PAGES: u32 = 100;

/// An element of a list that the server cuts into pages.
pub trait Paged: DeserializeOwned + Send + private::Sealed {
    /// What tells it from the others.
    #[doc(hidden)]
    fn number(&self) -> u64;
    /// Whether the list went on after it.
    #[doc(hidden)]
    fn is_followed(&self) -> bool;
}

mod private {
    pub trait Sealed {}
    impl Sealed for crate::types::ChangeInfo {}
    impl Sealed for crate::types::AccountInfo {}
}

impl Paged for ChangeInfo {
    fn number(&self) -> u64 {
        self.number
    }

    fn is_followed(&self) -> bool {
        self.more_changes
    }
}

impl Paged for AccountInfo {
    fn number(&self) -> u64 {
        self.account_id
    }

    fn is_followed(&self) -> bool {
        self.more_accounts
    }
}

/// A search, made by [`Client::changes`] or [`Client::accounts`].
#[derive(Debug, Clone)]
#[must_use = "nothing is asked before a page or the stream is awaited"]
pub struct Search<T> {
    client: Client,
    path: &'static str,
    query: Query,
    options: Vec<String>,
    page_size: Option<usize>,
    start: usize,
    cap: usize,
    kind: std::marker::PhantomData<fn() -> T>,
}

/// What the server sent at once.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Page<T> {
    /// The elements, as the server ordered them: changes by their last update, newest first.
    pub items: Vec<T>,
    /// Whether there are more.
    pub has_more: bool,
}

impl Client {
    /// Searches for changes.
    pub fn changes(&self, query: Query) -> Search<ChangeInfo> {
        Search::new(self, "/changes/", query)
    }

    /// Searches for accounts. Without [`AccountOption::Details`] they have nothing but their numbers.
    pub fn accounts(&self, query: Query) -> Search<AccountInfo> {
        Search::new(self, "/accounts/", query)
    }
}

impl Client {
    /// Searches for changes in several ways at once: the first page of each.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn changes_of_each(
        &self,
        queries: impl IntoIterator<Item = Query>,
        options: impl IntoIterator<Item = ChangeOption>,
    ) -> Result<Vec<Page<ChangeInfo>>, Error> {
        let queries: Vec<Query> = queries.into_iter().collect();
        let call = self.get("/changes/").query_all("q", &queries);
        let call = call.query_all("o", options);
        // With one query the server answers with one list.
        let lists: Vec<Vec<ChangeInfo>> = match queries.len() {
            0 => return Ok(Vec::new()),
            1 => vec![call.fetch().await?],
            _ => call.fetch().await?,
        };
        let page = |items: Vec<ChangeInfo>| {
            let has_more = items.last().is_some_and(ChangeInfo::is_followed);
            Page { items, has_more }
        };
        Ok(lists.into_iter().map(page).collect())
    }
}

impl Search<ChangeInfo> {
    /// Asks for more about each change.
    pub fn options(mut self, options: impl IntoIterator<Item = ChangeOption>) -> Self {
        self.options
            .extend(options.into_iter().map(|option| option.to_string()));
        self
    }
}

impl Search<AccountInfo> {
    /// Asks for more about each account.
    pub fn options(mut self, options: impl IntoIterator<Item = AccountOption>) -> Self {
        self.options
            .extend(options.into_iter().map(|option| option.to_string()));
        self
    }
}

impl<T: Paged> Search<T> {
    fn new(client: &Client, path: &'static str, query: Query) -> Self {
        Self {
            client: client.clone(),
            path,
            query,
            options: Vec::new(),
            page_size: None,
            start: 0,
            cap: DEFAULT_CAP,
            kind: std::marker::PhantomData,
        }
    }

    /// How many elements a page has at most; by default what the server thinks right (often 500). Servers have a limit of their own.
    pub fn page_size(mut self, elements: usize) -> Self {
        self.page_size = Some(elements);
        self
    }

    /// Leaves out the first elements.
    pub fn start(mut self, elements: usize) -> Self {
        self.start = elements;
        self
    }

    /// How many elements the stream reads at most; 10,000 by default.
    pub fn cap(mut self, elements: usize) -> Self {
        self.cap = elements;
        self
    }

    /// Asks for one page.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn page(&self) -> Result<Page<T>, Error> {
        self.page_from(self.start).await
    }

    /// Reads the whole list.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`Error::MoreThanCap`] if the list is longer than the [cap](Self::cap).
    pub async fn all(self) -> Result<Vec<T>, Error> {
        self.stream().try_collect().await
    }

    /// Reads page after page, each when its elements are wanted, until the server says that there are no more.
    ///
    /// As lists shift while they are read, an element can come twice from the server; here it comes once. One that moves to pages already
    /// read is missed, as with any such list. If there are more elements than the [cap](Self::cap), the last item is
    /// [`Error::MoreThanCap`], as it is if a hundred pages in a row bring nothing new. The stream ends with its first error. It remembers the numbers of what it has given, up to the cap.
    pub fn stream(self) -> impl Stream<Item = Result<T, Error>> + Send + Unpin {
        let state = Reading {
            next: Some(self.start),
            search: self,
            ready: VecDeque::new(),
            seen: HashSet::new(),
            stale_pages: 0,
        };
        let elements = futures_util::stream::try_unfold(state, async |mut state: Reading<T>| {
            let element = state.element().await?;
            Ok(element.map(|element| (element, state)))
        });
        Box::pin(elements)
    }

    async fn page_from(&self, start: usize) -> Result<Page<T>, Error> {
        let items: Vec<T> = self.call(start).fetch().await?;
        let has_more = items.last().is_some_and(T::is_followed);
        Ok(Page { items, has_more })
    }

    fn call(&self, start: usize) -> Call<'_> {
        self.client
            .get(self.path)
            .query("q", &self.query)
            .query_opt("n", self.page_size)
            .query_opt("S", (start > 0).then_some(start))
            .query_all("o", &self.options)
    }
}

/// A list that is being read.
struct Reading<T> {
    search: Search<T>,
    /// Where the next page starts; none after the last.
    next: Option<usize>,
    ready: VecDeque<T>,
    seen: HashSet<u64>,
    /// Pages in a row that brought nothing new.
    stale_pages: u32,
}

impl<T: Paged> Reading<T> {
    async fn element(&mut self) -> Result<Option<T>, Error> {
        loop {
            while let Some(element) = self.ready.pop_front() {
                if self.seen.contains(&element.number()) {
                    continue;
                }
                let cap = self.search.cap;
                if self.seen.len() >= cap {
                    return Err(Error::MoreThanCap { cap });
                }
                self.seen.insert(element.number());
                self.stale_pages = 0;
                return Ok(Some(element));
            }
            let Some(start) = self.next else {
                return Ok(None);
            };
            if self.stale_pages >= MAX_STALE_PAGES {
                let cap = self.search.cap;
                return Err(Error::MoreThanCap { cap });
            }
            self.stale_pages += 1;
            let page = self.search.page_from(start).await?;
            // An empty page cannot say that it is followed, so every turn moves on.
            self.next = page.has_more.then_some(start + page.items.len());
            self.ready = page.items.into();
        }
    }
}
