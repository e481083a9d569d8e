use std::io::Write as _;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body::Body as HttpBody;
use hyper::body::Incoming;

use super::bridge::{self, BodyReader, UploadError};
use super::fetch::FetchError;
use super::reply::{self, Body, Refusal};
use super::route::query;
use super::service::Shared;
use super::ssh::Chain;
use crate::archive::{CreateError, CreateOptions, Encoding, ExtractError};
use crate::types::ext::{ACCEPT_HEADER, ArchiveFormat, FORMAT_HEADER};
use crate::types::{
    Form, GoQuoted, ListRequest, PathStyle, RelativePath, WriteRequest, endpoint, os_bytes,
};
use crate::workdir::WriteError;

/// What `POST /writetgz` does not fetch if it is there: the toolchain that others are built with.
const GO14: &[u8] = b"go1.4";

/// The work directory itself.
const BASE: &[u8] = b".";

impl Shared {
    /// `GET /ls`.
    pub(super) async fn list(&self, query: &Form) -> Result<Response<Body>, Refusal> {
        let request = ListRequest::from_form(query);
        let dir = or_base(os_bytes(request.directory()));
        let dir = relative("dir", dir)?;
        let workdir = self.workdir.clone();
        let listing = bridge::download(&self.tasks, move |out| {
            let mut line = Vec::new();
            for entry in workdir.list(&dir, &request).map_err(Refusal::internal)? {
                line.clear();
                entry.map_err(Refusal::internal)?.write_line(&mut line);
                out.write_all(&line).map_err(Refusal::internal)?;
            }
            Ok(())
        });
        let body = listing.await.ok_or_else(Refusal::mistake)??;
        if body.size_hint().exact() == Some(0) {
            return Ok(reply::empty());
        }
        Ok(reply::typed(reply::TEXT, body))
    }

    /// `GET /tgz`.
    pub(super) async fn archive(
        &self,
        query: &Form,
        headers: &HeaderMap,
    ) -> Result<Response<Body>, Refusal> {
        // Buildlets of 2022 took an empty directory too, as their clients still send.
        let dir = relative("dir", or_base(query.get("dir").unwrap_or_default()))?;
        let accept = headers.get(ACCEPT_HEADER).map(HeaderValue::as_bytes);
        let format = ArchiveFormat::negotiate(accept);
        let workdir = self.workdir.clone();
        let archive = bridge::download(&self.tasks, move |out| {
            let source = workdir.archive(&dir, CreateOptions::default());
            source.and_then(|source| source.write(out, encoding(format)))?;
            Ok(())
        });
        let body = archive.await.ok_or_else(Refusal::mistake)?;
        let body =
            body.map_err(|error: CreateError| Refusal::with_status(error.status(), error))?;
        let gzip = HeaderValue::from_static("application/x-gzip");
        let mut response = reply::typed(gzip, body);
        if format != ArchiveFormat::TarGz {
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-tar"));
            headers.insert(FORMAT_HEADER, HeaderValue::from_static(format.as_str()));
        }
        Ok(response)
    }

    /// `PUT /write`.
    pub(super) async fn write(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Refusal> {
        let query = query(&request)?;
        // Upstream looks at the path first.
        let path = relative("path", query.get("path").unwrap_or_default())?;
        let file = WriteRequest::from_form(&query).map_err(|_| Refusal::bad_request("bad mode"))?;
        let workdir = self.workdir.clone();
        let max = self.config.max_upload;
        let write = move |reader| workdir.write_file(&path, file.mode(), reader, max);
        self.receive(request.into_body(), write)
            .await?
            .map_err(|error| match &error {
                WriteError::Fs(source) => Refusal::file(&error, source.kind()),
                _ => Refusal::with_status(error.status(), error),
            })?;
        Ok(reply::text(endpoint::OK))
    }

    /// `PUT /writetgz`.
    pub(super) async fn unpack_body(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Refusal> {
        let dir = target(&query(&request)?)?;
        let format = request.headers().get(FORMAT_HEADER);
        let format =
            ArchiveFormat::of_body(format.map(HeaderValue::as_bytes)).ok_or_else(|| {
                let text = "this format of archives is not known here";
                Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text)
            })?;
        self.unpack(request.into_body(), dir, format).await
    }

    /// `POST /writetgz`.
    pub(super) async fn unpack_url(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Refusal> {
        let forms = self.forms(request).await?;
        let dir = target(&forms.query)?;
        let url = forms.get("url").unwrap_or_default();
        if url.is_empty() {
            return Err(Refusal::bad_request("missing url POST param"));
        }
        if forms.query.get("dir") == Some(GO14) {
            let (workdir, dir) = (self.workdir.clone(), dir.clone());
            if self.blocking(move || workdir.is_dir(&dir)).await? {
                return Ok(reply::text(endpoint::SKIP));
            }
        }
        let Some(fetch) = &self.config.fetch else {
            let text = "this buildlet does not fetch archives";
            return Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, text));
        };
        let text = String::from_utf8_lossy(url);
        let transfer = async {
            let body = fetch.fetch(&text).await.map_err(|error| match error {
                FetchError::Status(status) => Refusal::internal(format_args!(
                    "writetgz: fetching provided URL {}: {status}",
                    GoQuoted(url)
                )),
                FetchError::Failed(source) => Refusal::internal(format_args!(
                    "fetching URL {text}: Get {}: {}",
                    GoQuoted(url),
                    Chain(source.as_ref())
                )),
            })?;
            self.unpack(body, dir, ArchiveFormat::TarGz).await
        };
        let limit = self.config.fetch_limit;
        tokio::time::timeout(limit, transfer)
            .await
            .unwrap_or_else(|_| {
                let seconds = limit.as_secs();
                Err(Refusal::new(
                    StatusCode::GATEWAY_TIMEOUT,
                    format_args!("fetching URL {text}: not done after {seconds} s"),
                ))
            })
    }

    /// `POST /removeall`.
    pub(super) async fn remove_all(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Refusal> {
        let forms = self.forms(request).await?;
        let given = forms
            .body
            .get_all("path")
            .chain(forms.query.get_all("path"));
        let paths: Vec<_> = given
            .map(|path| relative("path", path))
            .collect::<Result<_, _>>()?;
        if paths.is_empty() {
            return Err(Refusal::bad_request("requires 'path' parameter"));
        }
        let workdir = self.workdir.clone();
        self.blocking(move || workdir.remove_all(&paths))
            .await?
            .map_err(Refusal::internal)?;
        Ok(reply::empty())
    }

    async fn unpack<B>(
        &self,
        body: B,
        dir: RelativePath,
        format: ArchiveFormat,
    ) -> Result<Response<Body>, Refusal>
    where
        B: HttpBody<Data = Bytes> + Unpin,
    {
        let workdir = self.workdir.clone();
        let policy = self.config.policy.clone();
        let unpack = move |reader| workdir.extract(&dir, reader, encoding(format), &policy);
        self.receive(body, unpack)
            .await?
            .map_err(|error: ExtractError| match error.io_error() {
                Some(source) if error.status() == 500 => Refusal::file(&error, source.kind()),
                _ => Refusal::with_status(error.status(), error),
            })?;
        Ok(reply::text(endpoint::OK))
    }

    /// Has a thread read a body.
    ///
    /// That it did not come whole explains whatever else went wrong.
    async fn receive<B, T>(
        &self,
        body: B,
        work: impl FnOnce(BodyReader) -> T + Send + 'static,
    ) -> Result<T, Refusal>
    where
        B: HttpBody<Data = Bytes> + Unpin,
        T: Send + 'static,
    {
        let (reader, feed) = bridge::upload(body, self.config.max_upload, self.config.stall_limit);
        let (fed, done) = tokio::join!(feed.run(), self.blocking(move || work(reader)));
        let done = done?;
        fed.map_err(|error| {
            let status = match error {
                UploadError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
                UploadError::Stalled(_) => StatusCode::REQUEST_TIMEOUT,
                UploadError::Cut => StatusCode::BAD_REQUEST,
            };
            Refusal::new(status, error)
        })?;
        Ok(done)
    }
}

fn encoding(format: ArchiveFormat) -> Encoding {
    match format {
        ArchiveFormat::TarGz => Encoding::Gzip,
        ArchiveFormat::Tar => Encoding::Tar,
    }
}

/// Where `/writetgz` unpacks.
fn target(query: &Form) -> Result<RelativePath, Refusal> {
    relative("dir", or_base(query.get("dir").unwrap_or_default()))
}

fn or_base(dir: &[u8]) -> &[u8] {
    if dir.is_empty() { BASE } else { dir }
}

fn relative(parameter: &str, path: &[u8]) -> Result<RelativePath, Refusal> {
    RelativePath::parse(path, PathStyle::NATIVE).map_err(|error| {
        Refusal::bad_request(format_args!("invalid '{parameter}' parameter: {error}"))
    })
}
