use http::header::{HeaderMap, HeaderValue, TRAILER};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::kept::{AttachError, KeepError, Seat, Start};
use super::window::Missing;
use crate::server::bridge::Produced;
use crate::server::exec::{ALL_TRAILERS, TRAILERS, asks_for_more, trailers};
use crate::server::reply::{self, Body, Refusal};
use crate::server::service::Shared;
use crate::types::ext::{KeptName, NAME_FIELD, OFFSET_FIELD, RESUME_FIELD, key_and_part, number};

impl Shared {
    /// Starts a command that outlives its connection.
    pub(in crate::server) fn keep(
        &self,
        start: Start,
        extended: bool,
    ) -> Result<Response<Body>, Refusal> {
        let seat = self.kept.start(start).map_err(|error| match error {
            KeepError::Conflict => Refusal::new(
                StatusCode::CONFLICT,
                "a command with this key runs, or had this part",
            ),
            KeepError::TooMany => Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "too many commands are kept already",
            ),
        })?;
        Ok(output(seat, extended))
    }

    /// `POST /attach`: the output of a kept command from an offset on, and how it ended.
    pub(in crate::server) async fn attach(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Refusal> {
        if !self.kept.is_on() {
            return Err(Refusal::not_found());
        }
        crate::server::exec::require_trailers(&request)?;
        let extended = asks_for_more(request.headers());
        let forms = self.forms(request).await?;
        let asked = key_and_part(|key| forms.get(key)).map_err(Refusal::bad_request)?;
        let (key, part) = asked.ok_or_else(|| {
            Refusal::bad_request(format_args!("'{RESUME_FIELD}' parameter is missing"))
        })?;
        let offset = forms.get(OFFSET_FIELD).unwrap_or(b"0");
        let offset = number(offset, OFFSET_FIELD).map_err(Refusal::bad_request)?;
        let seat = self.kept.attach(&key, part, offset);
        let seat = seat.map_err(|error| match error {
            AttachError::Unknown => Refusal::new(StatusCode::NOT_FOUND, "there is no such command"),
            AttachError::Missing(Missing::Gone(start)) => Refusal::new(
                StatusCode::GONE,
                format_args!("only output from byte {start} on is kept"),
            ),
            AttachError::Missing(Missing::Beyond(end)) => Refusal::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                format_args!("there are only {end} bytes of output"),
            ),
        })?;
        Ok(output(seat, extended))
    }

    /// `POST /abandon`: kills kept commands.
    pub(in crate::server) async fn abandon(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Refusal> {
        if !self.kept.is_on() {
            return Err(Refusal::not_found());
        }
        let forms = self.forms(request).await?;
        let names = forms.body.get_all(NAME_FIELD).map(KeptName::from_field);
        let names = names
            .collect::<Result<Vec<_>, _>>()
            .map_err(Refusal::bad_request)?;
        self.kept.abandon(&names).await;
        Ok(reply::empty())
    }
}

fn output(seat: Seat, extended: bool) -> Response<Body> {
    let body = Produced::new(move |frames| async move {
        seat.send(&frames, |outcome| trailers(outcome, extended))
            .await;
    });
    let mut response = Response::new(body.boxed_unsync());
    let announced = if extended { ALL_TRAILERS } else { TRAILERS };
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(TRAILER, HeaderValue::from_static(announced));
    response
}
