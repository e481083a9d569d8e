use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(60);

/// Chromium with one page, driven over the `DevTools` protocol through a pair of pipes: no port, no crate, no waiting for an address.
///
/// Every wait ends after a minute. All methods panic when the browser has ended, does not answer in that time, or answers with an error.
#[derive(Debug)]
pub struct Browser {
    _child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    session: Option<String>,
    last_id: u64,
    /// What the page has done so far.
    events: Vec<Value>,
    _profile: TempDir,
}

/// The pipes are to be descriptors 3 and 4.
const START: &str = r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1"#;

#[expect(
    clippy::missing_panics_doc,
    reason = "the type's documentation says when"
)]
impl Browser {
    /// Starts it, or says that it is not here and `None`.
    pub async fn start() -> Option<Self> {
        let program = crate::tool_or_skip("chromium")?;
        let profile = tempfile::tempdir().unwrap();
        let mut child = Command::new("sh")
            .args(["-c", START])
            .arg(program.path())
            .args([
                "--headless",
                "--remote-debugging-pipe",
                "--no-first-run",
                "--disable-gpu",
                "--disable-dev-shm-usage",
            ])
            // The sandbox wants rights that containers rarely give; the pages are our own.
            .args([
                "--no-sandbox",
                "--disable-background-networking",
                "--disable-component-update",
                "--hide-scrollbars",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (commands, answers) = (
            child.stdin.take().unwrap(),
            BufReader::new(child.stdout.take().unwrap()),
        );
        let mut browser = Self {
            _child: child,
            commands,
            answers,
            session: None,
            last_id: 0,
            events: Vec::new(),
            _profile: profile,
        };
        let target = browser
            .call("Target.createTarget", json!({"url": "about:blank"}))
            .await;
        let attached = browser
            .call(
                "Target.attachToTarget",
                json!({"targetId": target["targetId"], "flatten": true}),
            )
            .await;
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({})).await;
        }
        browser.size(1280, 900).await;
        Some(browser)
    }

    /// Sends a command, and waits for its answer.
    pub async fn call(&mut self, method: &str, params: Value) -> Value {
        let answer = self.try_call(method, params).await;
        answer.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// As [`call`](Self::call); the browser's error, if it has one.
    async fn try_call(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        self.last_id += 1;
        let mut message = json!({"id": self.last_id, "method": method, "params": params});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.commands.write_all(&bytes).await.unwrap();
        let answer = async {
            loop {
                let message = self.receive().await;
                if message["id"] == self.last_id {
                    let error = &message["error"];
                    return if error.is_null() {
                        Ok(message["result"].clone())
                    } else {
                        Err(error.clone())
                    };
                }
            }
        };
        let answered = timeout(LIMIT, answer).await;
        answered.unwrap_or_else(|_| panic!("the browser does not answer to {method}"))
    }

    async fn receive(&mut self) -> Value {
        let mut message = Vec::new();
        let len = self.answers.read_until(0, &mut message).await.unwrap();
        assert!(len > 0, "the browser has ended");
        message.pop();
        let message: Value = serde_json::from_slice(&message).unwrap();
        if message["method"].is_string() {
            self.events.push(message.clone());
        }
        message
    }

    /// Goes to a page, and waits until it has loaded.
    pub async fn go(&mut self, url: &str) {
        let gone = self.call("Page.navigate", json!({"url": url})).await;
        assert!(gone["errorText"].is_null(), "{url}: {}", gone["errorText"]);
        self.until("document.readyState === 'complete'").await;
    }

    /// What an expression comes to in the page.
    pub async fn eval(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let result = self.call("Runtime.evaluate", params).await;
        assert!(
            result["exceptionDetails"].is_null(),
            "{expression}: {}",
            result["exceptionDetails"]
        );
        result["result"]["value"].clone()
    }

    /// Clicks, a moment later: where that leads to another page, this one has answered.
    pub async fn click(&mut self, selector: &str) {
        self.eval(&format!(
            "setTimeout((found) => found.click(), 0, document.querySelector({}))",
            json!(selector)
        ))
        .await;
    }

    /// Waits until an expression is true in the page, also while it loads another.
    pub async fn until(&mut self, expression: &str) {
        let guarded = format!(
            "(() => {{ try {{ return Boolean({expression}) }} catch {{ return false }} }})()"
        );
        let wait = async {
            loop {
                // A page that is just being left answers with an error.
                let params = json!({"expression": guarded, "returnByValue": true});
                let answer = self.try_call("Runtime.evaluate", params).await;
                if answer.is_ok_and(|answer| answer["result"]["value"] == true) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = timeout(LIMIT, wait).await;
        waited.unwrap_or_else(|_| panic!("never: {expression}"));
    }

    /// How large its window is, in CSS pixels; a phone's below a width of 600.
    pub async fn size(&mut self, width: u32, height: u32) {
        let params = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.call("Emulation.setDeviceMetricsOverride", params)
            .await;
    }

    /// Whether the user prefers dark pages.
    pub async fn dark(&mut self, is_dark: bool) {
        let value = if is_dark { "dark" } else { "light" };
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": value}]});
        self.call("Emulation.setEmulatedMedia", features).await;
    }

    /// Keeps a picture of the page in the folder that `SCREENSHOTS` names, if it does.
    pub async fn picture(&mut self, name: &str) {
        let Some(folder) = std::env::var_os("SCREENSHOTS") else {
            return;
        };
        let taken = self
            .call("Page.captureScreenshot", json!({"format": "png"}))
            .await;
        let png = base64(taken["data"].as_str().unwrap());
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(
            std::path::Path::new(&folder).join(format!("{name}.png")),
            png,
        )
        .unwrap();
    }

    /// Fails if a page complained, or asked anybody but `base` for anything.
    pub fn check(&self, base: &str) {
        for event in &self.events {
            let params = &event["params"];
            match event["method"].as_str().unwrap() {
                "Runtime.exceptionThrown" => panic!("an exception: {params}"),
                "Log.entryAdded" if params["entry"]["level"] == "error" => {
                    panic!("an error: {params}")
                }
                "Runtime.consoleAPICalled" => panic!("something for the console: {params}"),
                "Network.requestWillBeSent" => {
                    let url = params["request"]["url"].as_str().unwrap();
                    assert!(url.starts_with(base), "a request to {url}");
                }
                _ => {}
            }
        }
    }
}

fn base64(text: &str) -> Vec<u8> {
    let value = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let digits: Vec<u8> = text.bytes().filter(|c| *c != b'=').collect();
    for four in digits.chunks(4) {
        let all = four.iter().enumerate().fold(0u32, |all, (n, c)| {
            all | u32::from(value(*c)) << (18 - 6 * n)
        });
        bytes.extend_from_slice(&all.to_be_bytes()[1..four.len()]);
    }
    bytes
}
