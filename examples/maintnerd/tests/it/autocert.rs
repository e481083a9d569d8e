//! A certificate from a real authority: Pebble, Let's Encrypt's for tests.

use std::fs;
use std::io::{self, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConnection, StreamOwned};
use tempfile::TempDir;

use crate::bucket::Place;
use crate::support::{LIMIT, address, program};

const PEBBLE: &str = "github.com/letsencrypt/pebble/v2/cmd/pebble";
/// An account elsewhere, whose key the authority knows.
const KEY_ID: &str = "kid-1";
const KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";

/// A program that ends with it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A folder with what both programs need.
struct Setting {
    dir: TempDir,
    directory_port: u16,
    management_port: u16,
}

impl Setting {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        write("ca.pem", &made.cert.pem());
        write("ca-key.pem", &made.signing_key.serialize_pem());
        write(
            "eab.json",
            &format!(r#"{{"KID": "{KEY_ID}", "Key": "{KEY}"}}"#),
        );
        write("sources.toml", "");
        Self {
            directory_port: free_port(),
            management_port: free_port(),
            dir,
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The authority, which checks names by connecting to `tls_port`.
    fn pebble(&self, pebble: &harness::Program, tls_port: u16) -> Running {
        self.pebble_for(pebble, tls_port, 86_400)
    }

    /// What it issues ends after so many seconds.
    fn pebble_for(&self, pebble: &harness::Program, tls_port: u16, seconds: u32) -> Running {
        let path = |name: &str| self.file(name).display().to_string();
        let config = format!(
            r#"{{"pebble": {{
                "listenAddress": "127.0.0.1:{}", "managementListenAddress": "127.0.0.1:{}",
                "certificate": {:?}, "privateKey": {:?}, "httpPort": 9, "tlsPort": {tls_port},
                "externalAccountBindingRequired": true, "externalAccountMACKeys": {{"{KEY_ID}": "{KEY}"}},
                "retryAfter": {{"authz": 1, "order": 1}},
                "profiles": {{"default": {{"description": "for tests", "validityPeriod": {seconds}}}}}
            }}}}"#,
            self.directory_port,
            self.management_port,
            path("ca.pem"),
            path("ca-key.pem"),
        );
        fs::write(self.file("pebble.json"), config).unwrap();
        let mut command = pebble.command();
        command.arg("-config").arg(self.file("pebble.json"));
        // It waits up to 15 s before it checks, and refuses good requests, to see what clients make of that.
        command.env("PEBBLE_VA_NOSLEEP", "1");
        command.env("PEBBLE_WFE_NONCEREJECT", "0");
        let log = fs::File::create(self.file("pebble.log")).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log);
        Running(command.stdin(Stdio::null()).spawn().unwrap())
    }

    /// A maintnerd, and the port on which it speaks TLS.
    fn maintnerd(&self) -> (Running, u16) {
        self.maintnerd_with("data", &[], &[])
    }

    fn maintnerd_with(
        &self,
        data: &str,
        more: &[&str],
        env: &[(String, String)],
    ) -> (Running, u16) {
        let mut command = program();
        let directory = format!("https://localhost:{}/dir", self.directory_port);
        command
            .current_dir(self.dir.path())
            .arg("-config=sources.toml")
            .arg(format!("-data-dir={data}"))
            .args(["-listen-https-autocert=:0", "-host-name=localhost"])
            .args(["-autocert-eab=eab.json", "-autocert-email=me@example.org"])
            .arg(format!("-autocert-directory={directory}"))
            .args(more)
            .envs(env.iter().cloned())
            .env("SSL_CERT_FILE", self.file("ca.pem"))
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let child = Running(child);
        let address = address(&mut log, "HTTPS on ");
        // It goes on to say how it fares, and nobody must have to wait for that.
        let mut kept = fs::File::create(self.file("maintnerd.log")).unwrap();
        std::thread::spawn(move || io::copy(&mut log, &mut kept));
        let port = address.rsplit(':').next().unwrap().parse().unwrap();
        (child, port)
    }

    fn logs(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.file(name)).unwrap_or_default();
        format!("{}\n{}", read("maintnerd.log"), read("pebble.log"))
    }

    /// Asks until there is an answer.
    fn get(&self, ca: &Path, port: u16, path: &str) -> String {
        let deadline = Instant::now() + LIMIT;
        loop {
            match get(ca, port, path) {
                Ok(body) => return body,
                Err(error) => assert!(Instant::now() < deadline, "{error}\n{}", self.logs()),
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// The body of a page of `localhost`, whose certificate must come from `ca`.
fn get(ca: &Path, port: u16, path: &str) -> io::Result<String> {
    let config = program::tls_client_config(Some(ca), false).map_err(io::Error::other)?;
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
    let tcp = TcpStream::connect(("127.0.0.1", port))?;
    tcp.set_read_timeout(Some(LIMIT))?;
    let mut tls = StreamOwned::new(connection, tcp);
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    tls.write_all(request.as_bytes())?;
    let mut answer = String::new();
    tls.read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(body.to_owned()),
        _ => Err(io::Error::other(answer)),
    }
}

/// The certificate that is shown to who asks for `localhost`.
fn shown(port: u16) -> io::Result<CertificateDer<'static>> {
    let config = program::tls_client_config(None, true).map_err(io::Error::other)?;
    let name = ServerName::try_from("localhost").unwrap();
    let mut connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
    let mut tcp = TcpStream::connect(("127.0.0.1", port))?;
    tcp.set_read_timeout(Some(LIMIT))?;
    while connection.is_handshaking() {
        connection.complete_io(&mut tcp)?;
    }
    let chain = connection.peer_certificates().unwrap_or_default();
    Ok(chain
        .first()
        .expect("a server shows one")
        .clone()
        .into_owned())
}

#[test]
fn an_authority_issues_a_certificate_which_is_kept_over_a_restart() {
    let Some(pebble) = harness::upstream_or_skip(PEBBLE) else {
        return;
    };
    let setting = Setting::new();
    let (maintnerd, port) = setting.maintnerd();
    // Not before the port is known: the first attempt finds nobody.
    let authority = setting.pebble(&pebble, port);
    let root = setting.get(&setting.file("ca.pem"), setting.management_port, "/roots/0");
    let root_file = setting.file("root.pem");
    fs::write(&root_file, root).unwrap();
    assert_eq!(setting.get(&root_file, port, "/healthz"), "ok");
    let kept = setting.file("data/autocert/certificate.pem");
    let first = fs::read(&kept).unwrap();

    drop((maintnerd, authority));
    let (_maintnerd, port) = setting.maintnerd();
    assert_eq!(setting.get(&root_file, port, "/healthz"), "ok");
    assert_eq!(fs::read(&kept).unwrap(), first);
}

#[test]
fn an_old_certificate_is_renewed() {
    let Some(pebble) = harness::upstream_or_skip(PEBBLE) else {
        return;
    };
    let setting = Setting::new();
    let (_maintnerd, port) = setting.maintnerd();
    let _authority = setting.pebble_for(&pebble, port, 15);
    let deadline = Instant::now() + LIMIT;
    let mut seen = Vec::new();
    while seen.len() < 2 {
        match shown(port) {
            Ok(certificate) if seen.last() != Some(&certificate) => seen.push(certificate),
            _ => assert!(Instant::now() < deadline, "{}", setting.logs()),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_next_host_finds_the_certificate_in_a_bucket() {
    let Some(pebble) = harness::upstream_or_skip(PEBBLE) else {
        return;
    };
    let (setting, place) = (Setting::new(), Place::new());
    let both = fs::read_to_string(setting.file("ca.pem")).unwrap() + place.server.certificate();
    fs::write(setting.file("ca.pem"), both).unwrap();
    let bucket = ["-autocert-bucket=s3://kept/certificates"];
    let start = |data: &str| setting.maintnerd_with(data, &bucket, &place.env());
    let (first, port) = start("first");
    let authority = setting.pebble(&pebble, port);
    let root = setting.get(&setting.file("ca.pem"), setting.management_port, "/roots/0");
    let root_file = setting.file("root.pem");
    fs::write(&root_file, root).unwrap();
    assert_eq!(setting.get(&root_file, port, "/healthz"), "ok");
    let objects = ["certificates/account.json", "certificates/certificate.pem"];
    assert_eq!(place.server.objects(), objects);
    assert!(!setting.file("first/autocert").exists());

    // Another host, which never asks the authority.
    drop((first, authority));
    let (_second, port) = start("second");
    assert_eq!(setting.get(&root_file, port, "/healthz"), "ok");
}
