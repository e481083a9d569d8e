use std::sync::{Mutex, PoisonError};

use super::ending::Trouble;
use crate::model::{Span, Timestamp};

/// The timeline of an attempt, of which there is something also if it is cut short.
#[derive(Debug, Default)]
pub(super) struct Spans(Mutex<Vec<Span>>);

/// Notes its span when it is dropped.
struct Open<'a> {
    spans: &'a Spans,
    span: Span,
}

impl Spans {
    pub(super) async fn during<T>(
        &self,
        name: &str,
        detail: &str,
        work: impl Future<Output = Result<T, Trouble>>,
    ) -> Result<T, Trouble> {
        let now = Timestamp::now();
        let mut open = Open {
            spans: self,
            span: Span {
                name: name.to_owned(),
                detail: detail.to_owned(),
                start: now,
                end: now,
                error: Some("interrupted".into()),
            },
        };
        let result = work.await;
        open.span.error = result.as_ref().err().map(|trouble| trouble.message.clone());
        result
    }

    pub(super) fn take(&self) -> Vec<Span> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.span.end = Timestamp::now();
        let mut spans = self.spans.0.lock().unwrap_or_else(PoisonError::into_inner);
        spans.push(self.span.clone());
    }
}
