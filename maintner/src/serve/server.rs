use std::convert::Infallible;
use std::pin::pin;

use http_serving::Server;
use hyper::service::service_fn;
use tokio::net::TcpListener;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::in_full::in_full;
use crate::serve::log::LogServer;

impl LogServer {
    /// Serves those who connect until `stop` is cancelled, then ends what waits for news and gives other answers five seconds.
    ///
    /// It looks at the log now and then. When that fails, it says so in the log (`tracing`), and serves what it had.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes all connections.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        let server = Server::default().max_connections(self.shared.config.max_connections);
        let service = |_| {
            let logs = self.clone();
            service_fn(move |request| {
                let logs = logs.clone();
                async move { Ok::<_, Infallible>(logs.answer(request).await) }
            })
        };
        let mut serving = pin!(server.serve(listener, service, &stop));
        tokio::select! {
            () = serving.as_mut() => return,
            () = stop.cancelled() => {}
            never = self.keep_fresh() => match never {},
        }
        self.shared.closing.cancel();
        serving.await;
    }

    /// Looks at the log now and then, for ever.
    async fn keep_fresh(&self) -> Infallible {
        let mut ticks = interval(self.shared.poll());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut said = String::new();
        loop {
            ticks.tick().await;
            let error = match self.refresh().await {
                Ok(_) => String::new(),
                Err(error) => in_full(&error),
            };
            if error != said {
                if !error.is_empty() {
                    tracing::warn!("what was appended cannot be served: {error}");
                }
                said = error;
            }
        }
    }
}
