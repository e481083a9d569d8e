//! The client, over the server.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use pubsubhelper::{
    Client, ClientError, Event, HttpConfig, HttpServer, Hub, HubConfig, WebhookSecret,
};
use rest_transport::{Body, HyperTransport, Transport, TransportError};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::hub::issue;

#[tokio::test]
async fn events_come_in_their_order_and_each_once() {
    let hub = Hub::in_memory(HubConfig::default());
    let server = HttpServer::new(
        hub.clone(),
        WebhookSecret::new(b"s3cr3t").unwrap(),
        HttpConfig::default(),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let serving = tokio::spawn({
        let stop = stop.clone();
        async move { server.serve(listener, stop).await }
    });
    let before = hub.publish(issue(1));
    let times = [hub.publish(issue(2)), hub.publish(issue(3))];
    let mut client = Client::new(&url, HyperTransport::new().unwrap())
        .unwrap()
        .after(before);
    for time in times {
        let event = client.next().await.unwrap();
        assert_eq!(event.time, Some(time));
    }
    let waiting = tokio::spawn(async move { client.next().await });
    let time = hub.publish(issue(4));
    assert_eq!(waiting.await.unwrap().unwrap().time, Some(time));
    stop.cancel();
    serving.await.unwrap();
    let mut client = Client::new(&url, HyperTransport::new().unwrap()).unwrap();
    let error = client.next().await.unwrap_err();
    assert!(matches!(error, ClientError::Transport { .. }), "{error:?}");
}

/// Answers with each of these, and notes what was asked.
struct Script {
    answers: Mutex<Vec<Response<Bytes>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

#[async_trait]
impl Transport for Script {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Body>, TransportError> {
        self.asked.lock().unwrap().push(request.uri().to_string());
        Ok(self
            .answers
            .lock()
            .unwrap()
            .remove(0)
            .map(rest_transport::body))
    }
}

fn client(answers: Vec<Response<Bytes>>) -> (Client, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::default();
    let script = Script {
        answers: Mutex::new(answers),
        asked: Arc::clone(&asked),
    };
    (Client::new("http://h", script).unwrap(), asked)
}

#[tokio::test]
async fn a_wait_for_nothing_is_begun_again_from_its_end() {
    let nothing = Event::timeout("2026-11-22T01:00:00.5Z".parse().unwrap()).to_json();
    let event = Event::new("2026-11-22T01:00:01Z".parse().unwrap(), issue(9));
    let answers = [nothing, event.to_json()].map(|json| Response::new(json.into()));
    let (mut client, asked) = client(answers.into());
    assert_eq!(client.next().await.unwrap(), event);
    let asked = asked.lock().unwrap();
    let wanted = [
        "http://h/waitevent?after=",
        "http://h/waitevent?after=2026-11-22T01:00:00.5Z",
    ];
    assert_eq!(*asked, wanted);
}

#[tokio::test]
async fn answers_that_are_none_are_told_and_addresses_too() {
    let refused = Response::builder().status(503).body(Bytes::new()).unwrap();
    let page = Response::new(Bytes::from_static(b"<html>"));
    let (mut client, _) = client(vec![
        refused,
        page,
        Response::new(vec![b' '; 2 << 20].into()),
    ]);
    assert!(matches!(
        client.next().await,
        Err(ClientError::Status { .. })
    ));
    assert!(matches!(
        client.next().await,
        Err(ClientError::Decode { .. })
    ));
    assert!(matches!(client.next().await, Err(ClientError::Read { .. })));
    for url in ["", "h", "ftp://h", "https://me:pw@h", "https://h/?x"] {
        let made = Client::new(url, HyperTransport::new().unwrap());
        assert!(matches!(made, Err(ClientError::Url { .. })), "{url}");
    }
}
