use std::fmt::{self, Debug, Formatter};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;

use maintner::{Reader, View};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tonic::{Request, Response, Status};

use crate::answers;
use crate::dashboard;
use crate::pb::maintner_service_server::{MaintnerService, MaintnerServiceServer};
use crate::pb::{
    DashboardRequest, DashboardResponse, GetRefRequest, GetRefResponse, GoFindTryWorkRequest,
    GoFindTryWorkResponse, HasAncestorRequest, HasAncestorResponse, ListGoReleasesRequest,
    ListGoReleasesResponse,
};
use crate::refusal::Refusal;
use crate::try_work::TryWork;

/// The longest question, in bytes.
const MAX_REQUEST: usize = 64 << 10;

/// Answers from a corpus that somebody keeps up to date. Clones share what they keep.
///
/// Each question is answered from one view, which is never waited for, by as many threads at once as there are processors. Who asks
/// needs no credentials, as upstream has it: let only those connect who may read the corpus.
#[derive(Clone)]
pub struct Service {
    shared: Arc<Shared>,
}

struct Shared {
    reader: Reader,
    server: String,
    try_work: Option<TryWork>,
    working: Arc<Semaphore>,
}

impl Service {
    /// Answers about the projects of `go.googlesource.com`, without try work.
    #[must_use]
    pub fn new(reader: Reader) -> Self {
        let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let shared = Shared {
            reader,
            server: "go.googlesource.com".to_owned(),
            try_work: None,
            working: Arc::new(Semaphore::new(processors)),
        };
        let shared = Arc::new(shared);
        Self { shared }
    }

    /// The server whose projects releases, dashboards and try work are of. Its project `go` is Go's.
    ///
    /// # Panics
    ///
    /// If there are clones already.
    #[must_use]
    pub fn server(mut self, host: impl Into<String>) -> Self {
        self.shared_mut().server = host.into();
        self
    }

    /// Whom to ask for try work. Without one, the question is refused.
    ///
    /// # Panics
    ///
    /// If there are clones already.
    #[must_use]
    pub fn review_server(mut self, client: gerrit::Client) -> Self {
        self.shared_mut().try_work = Some(TryWork::new(client));
        self
    }

    fn shared_mut(&mut self) -> &mut Shared {
        Arc::get_mut(&mut self.shared).expect("no clones before it is configured")
    }

    /// As a service for HTTP/2: it takes requests whose paths begin with `/apipb.MaintnerService/`, of 64 KiB at most.
    #[must_use]
    pub fn into_server(self) -> MaintnerServiceServer<Self> {
        MaintnerServiceServer::new(self).max_decoding_message_size(MAX_REQUEST)
    }

    async fn answer<T: Send + 'static>(
        &self,
        answer: impl FnOnce(&View, &str) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<Response<T>, Status> {
        let working = Arc::clone(&self.shared.working).acquire_owned().await;
        let shared = Arc::clone(&self.shared);
        let answering = spawn_blocking(move || {
            let _working = working;
            answer(&shared.reader.view(), &shared.server)
        });
        let failed = |_| Status::internal("the question could not be answered");
        Ok(Response::new(answering.await.map_err(failed)??))
    }
}

#[tonic::async_trait]
impl MaintnerService for Service {
    async fn has_ancestor(
        &self,
        request: Request<HasAncestorRequest>,
    ) -> Result<Response<HasAncestorResponse>, Status> {
        let request = request.into_inner();
        self.answer(move |view, _| answers::has_ancestor(view, &request))
            .await
    }

    async fn get_ref(
        &self,
        request: Request<GetRefRequest>,
    ) -> Result<Response<GetRefResponse>, Status> {
        let request = request.into_inner();
        self.answer(move |view, _| answers::get_ref(view, &request))
            .await
    }

    async fn go_find_try_work(
        &self,
        _: Request<GoFindTryWorkRequest>,
    ) -> Result<Response<GoFindTryWorkResponse>, Status> {
        let Some(try_work) = &self.shared.try_work else {
            let text = "this server has no Gerrit server to ask for try work";
            return Err(Status::failed_precondition(text));
        };
        let (reader, server) = (&self.shared.reader, &self.shared.server);
        Ok(Response::new(try_work.find(reader, server).await?))
    }

    async fn list_go_releases(
        &self,
        _: Request<ListGoReleasesRequest>,
    ) -> Result<Response<ListGoReleasesResponse>, Status> {
        self.answer(answers::list_go_releases).await
    }

    async fn get_dashboard(
        &self,
        request: Request<DashboardRequest>,
    ) -> Result<Response<DashboardResponse>, Status> {
        let request = request.into_inner();
        self.answer(move |view, server| dashboard::get_dashboard(view, server, &request))
            .await
    }
}

impl Debug for Service {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("server", &self.shared.server)
            .field("try_work", &self.shared.try_work)
            .finish_non_exhaustive()
    }
}
