//! The `sftp` subsystem, by its packets.

use std::fs;

use russh::ChannelMsg;
use russh::client::Msg;
use tokio::time::timeout;

use super::host::{Host, LIMIT, granted};

/// A client of the protocol as thin as can be: bytes in, bytes out.
struct Sftp {
    channel: russh::Channel<Msg>,
    buffer: Vec<u8>,
    _connection: russh::client::Handle<super::host::Client>,
}

impl Sftp {
    async fn open(host: &Host) -> Self {
        let connection = host.login().await;
        let mut channel = connection.channel_open_session().await.unwrap();
        channel.request_subsystem(true, "sftp").await.unwrap();
        assert!(granted(&mut channel).await);
        let mut sftp = Self {
            channel,
            buffer: Vec::new(),
            _connection: connection,
        };
        let version = sftp.ask(1, &[&3_u32.to_be_bytes()]).await.unwrap();
        assert_eq!(version[..5], [2, 0, 0, 0, 3]);
        sftp
    }

    /// Sends a packet and returns the answer to it, or `None` if the channel is closed instead.
    async fn ask(&mut self, kind: u8, parts: &[&[u8]]) -> Option<Vec<u8>> {
        let body = parts.concat();
        let length = u32::try_from(body.len() + 1).unwrap();
        let packet = [&length.to_be_bytes()[..], &[kind], &body].concat();
        self.channel.data(&packet[..]).await.unwrap();
        loop {
            if let Some((length, rest)) = self.buffer.split_first_chunk::<4>() {
                let length = u32::from_be_bytes(*length) as usize;
                if rest.len() >= length {
                    let answer = rest[..length].to_vec();
                    self.buffer.drain(..4 + length);
                    return Some(answer);
                }
            }
            let message = timeout(LIMIT, self.channel.wait()).await.unwrap()?;
            if let ChannelMsg::Data { data } = message {
                self.buffer.extend(&*data);
            }
        }
    }

    /// The code of a status, 0 for anything else.
    async fn code(&mut self, kind: u8, parts: &[&[u8]]) -> u32 {
        let answer = self
            .ask(kind, &[&[&7_u32.to_be_bytes()[..]], parts].concat())
            .await
            .unwrap();
        assert_eq!(answer[1..5], 7_u32.to_be_bytes());
        if answer[0] == 101 {
            u32::from_be_bytes(answer[5..9].try_into().unwrap())
        } else {
            0
        }
    }
}

fn string(text: &str) -> Vec<u8> {
    [
        &u32::try_from(text.len()).unwrap().to_be_bytes()[..],
        text.as_bytes(),
    ]
    .concat()
}

const OK: u32 = 0;
const DENIED: u32 = 3;
const FAILURE: u32 = 4;
const NO_ATTRIBUTES: &[u8] = &[0; 4];
const READ: &[u8] = &[0, 0, 0, 1];
const CREATE: &[u8] = &[0, 0, 0, 2 | 8 | 16];

#[tokio::test]
async fn no_request_reaches_outside_the_work_directory() {
    let (host, outside) = (Host::start().await, tempfile::tempdir().unwrap());
    fs::write(outside.path().join("secret"), "secret").unwrap();
    let link = |name: &str, target: &str| {
        std::os::unix::fs::symlink(target, host.workdir().join(name)).unwrap();
    };
    let absolute = outside.path().to_str().unwrap();
    link("absolute", absolute);
    link("file", &format!("{absolute}/secret"));
    link(
        "relative",
        &format!(
            "../{}",
            outside.path().file_name().unwrap().to_str().unwrap()
        ),
    );
    let name = outside.path().file_name().unwrap().to_str().unwrap();
    let workdir = host.workdir().to_str().unwrap();
    fs::create_dir(host.workdir().join("dir")).unwrap();
    let mut sftp = Sftp::open(&host).await;
    for path in [
        format!("{absolute}/secret"),
        format!("../{name}/secret"),
        format!("{workdir}/../{name}/secret"),
        format!("dir/../../{name}/secret"),
        "absolute/secret".to_owned(),
        "relative/secret".to_owned(),
        "file".to_owned(),
    ] {
        let path = string(&path);
        for (what, refused) in [
            ("open", sftp.code(3, &[&path, READ, NO_ATTRIBUTES]).await),
            (
                "create",
                sftp.code(3, &[&path, CREATE, NO_ATTRIBUTES]).await,
            ),
            ("stat", sftp.code(17, &[&path]).await),
            (
                "chmod",
                sftp.code(9, &[&path, &4_u32.to_be_bytes(), &0o777_u32.to_be_bytes()])
                    .await,
            ),
        ] {
            assert_eq!(
                refused,
                DENIED,
                "{what} {}",
                String::from_utf8_lossy(&path[4..])
            );
        }
    }
    let secret = string("absolute/secret");
    for (what, refused) in [
        ("list", sftp.code(11, &[&string("absolute")]).await),
        ("remove", sftp.code(13, &[&secret]).await),
        (
            "make a directory",
            sftp.code(14, &[&string("absolute/new"), NO_ATTRIBUTES])
                .await,
        ),
        (
            "rename away",
            sftp.code(18, &[&secret, &string("mine")]).await,
        ),
        (
            "rename into",
            sftp.code(18, &[&string("dir"), &string("absolute/dir")])
                .await,
        ),
        (
            "link to the outside",
            sftp.code(20, &[&string("/etc/passwd"), &string("link")])
                .await,
        ),
        (
            "link outside",
            sftp.code(20, &[&string("dir"), &string("absolute/link")])
                .await,
        ),
        (
            "the root's own parent",
            sftp.code(11, &[&string("..")]).await,
        ),
        ("a name outside", sftp.code(16, &[&string("../x")]).await),
    ] {
        assert_eq!(refused, DENIED, "{what}");
    }
    assert_eq!(
        fs::read_to_string(outside.path().join("secret")).unwrap(),
        "secret"
    );
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    // Links themselves can be handled.
    assert_eq!(sftp.code(13, &[&string("file")]).await, OK);
}

#[tokio::test]
async fn what_is_no_file_is_not_opened() {
    let host = Host::start().await;
    // A pipe without a writer would hold the session for ever.
    assert!(
        std::process::Command::new("mkfifo")
            .arg(host.workdir().join("pipe"))
            .status()
            .unwrap()
            .success()
    );
    let mut sftp = Sftp::open(&host).await;
    assert_eq!(
        sftp.code(3, &[&string("pipe"), READ, NO_ATTRIBUTES]).await,
        FAILURE
    );
    assert_eq!(
        sftp.code(3, &[&string("."), READ, NO_ATTRIBUTES]).await,
        FAILURE
    );
}

#[tokio::test]
async fn open_files_have_a_limit() {
    let host = Host::start().await;
    fs::write(host.workdir().join("file"), "").unwrap();
    let mut sftp = Sftp::open(&host).await;
    for number in 0..=128 {
        let code = sftp.code(3, &[&string("file"), READ, NO_ATTRIBUTES]).await;
        assert_eq!(code, if number < 128 { OK } else { FAILURE });
    }
}

#[tokio::test]
async fn a_packet_that_claims_too_much_ends_the_session() {
    let host = Host::start().await;
    let mut sftp = Sftp::open(&host).await;
    sftp.channel.data(&[0xff; 4][..]).await.unwrap();
    assert!(sftp.ask(16, &[]).await.is_none());
}

#[tokio::test]
async fn names_need_not_be_text() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    let host = Host::start().await;
    let mut sftp = Sftp::open(&host).await;
    let name = [&5_u32.to_be_bytes()[..], b"a\xff\n\xfeb"].concat();
    assert_eq!(sftp.code(3, &[&name, CREATE, NO_ATTRIBUTES]).await, OK);
    assert!(
        host.workdir()
            .join(OsStr::from_bytes(b"a\xff\n\xfeb"))
            .exists()
    );
}
