use pubsubhelper::{
    GerritEvent, GithubEvent, HttpConfig, HttpServer, Hub, HubConfig, Signal, WebhookSecret,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// A pubsubhelper, which runs as long as it is there.
pub(crate) struct Events {
    hub: Hub,
    pub(crate) url: String,
    stop: CancellationToken,
}

impl Events {
    pub(crate) async fn start() -> Self {
        let hub = Hub::in_memory(HubConfig::default());
        let secret = WebhookSecret::new(b"s3cr3t").unwrap();
        let server = HttpServer::new(hub.clone(), secret, HttpConfig::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        tokio::spawn(async move { server.serve(listener, stopped).await });
        Self { hub, url, stop }
    }

    pub(crate) fn gerrit(&self, url: &str, project: &str) {
        let event = GerritEvent {
            url: url.to_owned(),
            project: project.to_owned(),
            ..Default::default()
        };
        self.hub.publish(Signal::Gerrit(event));
    }

    pub(crate) fn github(&self) {
        let event = GithubEvent {
            action: "created".to_owned(),
            repo_owner: "o".to_owned(),
            repo: "r".to_owned(),
            ..Default::default()
        };
        self.hub.publish(Signal::Github(event));
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
