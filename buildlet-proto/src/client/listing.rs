use std::future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::vec;

use bytes::{Buf as _, BytesMut};
use futures_core::Stream;

use super::CallError;
use super::body::{Part, ReplyBody};
use crate::types::DirEntry;

/// The entries of a directory, as they come. Also a [`Stream`].
pub struct Listing {
    source: Source,
}

enum Source {
    Reply {
        body: Option<ReplyBody>,
        /// What came behind the last line.
        rest: BytesMut,
        /// So much of it was searched for the end of the line.
        searched: usize,
    },
    Ready(vec::IntoIter<DirEntry>),
}

/// A longer line is an error, as upstream has it: paths are shorter.
const MAX_LINE: usize = 64 << 10;

impl Listing {
    pub(super) fn new(body: ReplyBody) -> Self {
        Self {
            source: Source::Reply {
                body: Some(body),
                rest: BytesMut::new(),
                searched: 0,
            },
        }
    }

    /// A listing of these entries, for mocks.
    #[must_use]
    pub fn ready(entries: impl Into<Vec<DirEntry>>) -> Self {
        Self {
            source: Source::Ready(entries.into().into_iter()),
        }
    }

    /// The next entry, or `None` at the end.
    ///
    /// Cancel safe: nothing is lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// When the listing ends in the middle, a line is over 64 KiB, or a line is no entry. Names are not escaped in the protocol,
    /// so a file name with a line feed or a TAB in it is such a line; then the entries behind it can still be read.
    pub async fn next(&mut self) -> Result<Option<DirEntry>, CallError> {
        future::poll_fn(|cx| self.poll_entry(cx)).await
    }

    /// The remaining entries, all in memory.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next).
    pub async fn collect(mut self) -> Result<Vec<DirEntry>, CallError> {
        let mut entries = Vec::new();
        while let Some(entry) = self.next().await? {
            entries.push(entry);
        }
        Ok(entries)
    }

    fn poll_entry(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<DirEntry>, CallError>> {
        let (body, rest, searched) = match &mut self.source {
            Source::Ready(entries) => return Poll::Ready(Ok(entries.next())),
            Source::Reply {
                body,
                rest,
                searched,
            } => (body, rest, searched),
        };
        loop {
            let end = rest[*searched..].iter().position(|byte| *byte == b'\n');
            if let Some(end) = end.map(|at| *searched + at) {
                let line = rest.split_to(end);
                rest.advance(1);
                *searched = 0;
                return Poll::Ready(entry(&line).map(Some));
            }
            *searched = rest.len();
            if rest.len() > MAX_LINE {
                *body = None;
                rest.clear();
                *searched = 0;
                return Poll::Ready(Err(CallError::Reply(
                    "line of a listing over 64 KiB".into(),
                )));
            }
            let Some(reply) = body else {
                // The last line may have no end.
                let line = rest.split();
                *searched = 0;
                let last = (!line.is_empty()).then(|| entry(&line)).transpose();
                return Poll::Ready(last);
            };
            match ready!(reply.poll_part(cx)) {
                Ok(Part::Data(data)) => rest.extend_from_slice(&data),
                Ok(Part::Trailers(_)) => {}
                Ok(Part::End) => *body = None,
                Err(error) => {
                    *body = None;
                    rest.clear();
                    *searched = 0;
                    return Poll::Ready(Err(error.into()));
                }
            }
        }
    }
}

fn entry(line: &[u8]) -> Result<DirEntry, CallError> {
    DirEntry::parse(line).map_err(|error| CallError::Reply(error.into()))
}

impl Stream for Listing {
    type Item = Result<DirEntry, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_entry(cx).map(Result::transpose)
    }
}
