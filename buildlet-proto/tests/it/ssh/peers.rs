//! OpenSSH's own programs as clients.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use harness::{Program, tool_or_skip};
use russh::keys::ssh_key::LineEnding;
use tempfile::TempDir;

use super::host::{Host, LIMIT, USER, eventually, new_key, runs};

/// What a person has at home: a key, and the hosts that are known.
struct Home(TempDir);

impl Home {
    fn new(host: &Host) -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        home.write("key", &host.key.to_openssh(LineEnding::LF).unwrap());
        let port = host.address.port();
        home.write(
            "known_hosts",
            &format!("[127.0.0.1]:{port} {}\n", host.server.host_key()),
        );
        home
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        // Or ssh takes no key from it.
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Flags with which a client takes nothing from the machine it runs on.
    fn flags(&self, host: &Host) -> Vec<String> {
        self.flags_with(host, "key")
    }

    /// The same with another key.
    fn flags_with(&self, host: &Host, key: &str) -> Vec<String> {
        let mut flags = vec!["-F".to_owned(), "none".to_owned()];
        for option in [
            format!("Port={}", host.address.port()),
            format!("User={USER}"),
            format!("IdentityFile={}", self.path(key).display()),
            format!("UserKnownHostsFile={}", self.path("known_hosts").display()),
            "IdentitiesOnly=yes".to_owned(),
            "IdentityAgent=none".to_owned(),
            "StrictHostKeyChecking=yes".to_owned(),
            "BatchMode=yes".to_owned(),
            "LogLevel=ERROR".to_owned(),
        ] {
            flags.extend(["-o".to_owned(), option]);
        }
        flags
    }
}

/// Runs a client beside the server, which has its tasks in this thread's runtime.
async fn run(program: &Program, flags: Vec<String>, args: &[&str], input: &[u8]) -> Output {
    let (program, input) = (program.clone(), input.to_owned());
    let args: Vec<String> = flags
        .into_iter()
        .chain(args.iter().map(|&arg| arg.to_owned()))
        .collect();
    tokio::task::spawn_blocking(move || {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        program.filter_within(LIMIT, &args, &input).unwrap()
    })
    .await
    .unwrap()
}

const HOST: &str = "127.0.0.1";

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn ssh_runs_a_command() {
    let Some(ssh) = tool_or_skip("ssh") else {
        return;
    };
    let host = Host::start().await;
    let home = Home::new(&host);
    let output = run(
        &ssh,
        home.flags(&host),
        &[HOST, "cat; echo oops >&2; exit 7"],
        b"typed",
    )
    .await;
    assert_eq!(
        (
            output.status.code(),
            &*text(&output.stdout),
            &*text(&output.stderr)
        ),
        (Some(7), "typed", "oops\n")
    );
    let killed = run(&ssh, home.flags(&host), &[HOST, "kill -TERM $$"], b"").await;
    // What ssh returns when the command was ended by a signal.
    assert_eq!(killed.status.code(), Some(255));
}

#[tokio::test]
async fn ssh_carries_a_lot_both_ways() {
    let Some(ssh) = tool_or_skip("ssh") else {
        return;
    };
    let host = Host::start().await;
    let home = Home::new(&host);
    let input: Vec<u8> = (0..4_u32 << 20).map(|i| (i / 7) as u8).collect();
    let output = run(&ssh, home.flags(&host), &[HOST, "cat"], &input).await;
    assert!(
        output.stdout == input,
        "{} bytes came back, {:?}",
        output.stdout.len(),
        output.stderr
    );
}

#[tokio::test]
async fn ssh_sends_variables() {
    let Some(ssh) = tool_or_skip("ssh") else {
        return;
    };
    let host = Host::start().await;
    let home = Home::new(&host);
    let mut flags = home.flags(&host);
    flags.extend(["-o", "SetEnv=LANG=C.UTF-8 GOFLAGS=-race LD_PRELOAD=evil"].map(str::to_owned));
    let output = run(&ssh, flags, &[HOST, "echo $LANG $GOFLAGS $LD_PRELOAD"], b"").await;
    assert_eq!(text(&output.stdout), "C.UTF-8 -race\n", "{output:?}");
}

#[tokio::test]
async fn ssh_follows_the_size_of_its_terminal() {
    let (Some(python), Some(ssh)) = (tool_or_skip("python3"), tool_or_skip("ssh")) else {
        return;
    };
    let host = Host::start().await;
    let home = Home::new(&host);
    let mut args = vec![
        "-c".to_owned(),
        RESIZER.to_owned(),
        ssh.path().display().to_string(),
    ];
    args.extend(home.flags(&host));
    let output = run(&python, args, &["-tt", HOST], b"").await;
    let seen = text(&output.stdout);
    assert!(
        seen.contains("24 80") && seen.contains("50 132") && output.status.code() == Some(3),
        "{output:?}"
    );
}

/// Runs ssh in a terminal of 80 columns and 24 rows, asks for the size, makes it 132 columns and 50 rows, asks again, and exits as
/// the shell did.
const RESIZER: &str = r#"
import fcntl, os, pty, select, struct, sys, termios, time
def resize(rows, columns): fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
pid, master = pty.fork()
if pid == 0:
    # Not before the size is set.
    sys.stdin.readline()
    os.execv(sys.argv[1], sys.argv[1:])
resize(24, 80)
os.write(master, b"\n")
seen = b""
def expect(text):
    global seen
    deadline = time.monotonic() + 15
    while text not in seen:
        if not select.select([master], [], [], max(0, deadline - time.monotonic()))[0]: sys.exit(f"no {text} in {seen}")
        seen += os.read(master, 4096)
os.write(master, b"echo re''ady; stty size\n")
expect(b"ready\r\n24 80\r\n")
resize(50, 132)
# ssh hears of it by a signal, and tells its peer later than it passes what is typed.
while b"50 132\r\n" not in seen:
    os.write(master, b"stty size; echo do''ne\n")
    expect(b"done\r\n")
    if b"50 132\r\n" not in seen: seen = seen.replace(b"done\r\n", b""); time.sleep(0.02)
os.write(master, b"exit 3\n")
while True:
    try:
        if not os.read(master, 4096): break
    except OSError: break
sys.stdout.write(seen.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;

#[tokio::test]
async fn ssh_without_the_right_key_is_refused() {
    let Some(ssh) = tool_or_skip("ssh") else {
        return;
    };
    let host = Host::start().await;
    let home = Home::new(&host);
    let (right, wrong) = (
        host.key.to_openssh(LineEnding::LF).unwrap(),
        new_key().to_openssh(LineEnding::LF).unwrap(),
    );
    home.write("key", &wrong);
    let refused = run(&ssh, home.flags(&host), &[HOST, "true"], b"").await;
    assert_eq!(refused.status.code(), Some(255));
    assert!(
        text(&refused.stderr).contains("Permission denied (publickey)"),
        "{refused:?}"
    );
    home.write("key", &right);
    // The first value of an option counts.
    let other_user = [
        vec!["-o".to_owned(), "User=root".to_owned()],
        home.flags(&host),
    ]
    .concat();
    assert_eq!(
        run(&ssh, other_user, &[HOST, "true"], b"")
            .await
            .status
            .code(),
        Some(255)
    );
    assert_eq!(
        run(&ssh, home.flags(&host), &[HOST, "true"], b"")
            .await
            .status
            .code(),
        Some(0)
    );
}

#[tokio::test]
async fn ssh_is_asked_for_no_password() {
    let Some(ssh) = tool_or_skip("ssh") else {
        return;
    };
    let host = Host::start().await;
    let home = Home::new(&host);
    let flags = [
        "-o",
        "PreferredAuthentications=password,keyboard-interactive",
        "-o",
        "BatchMode=no",
    ]
    .map(str::to_owned)
    .to_vec();
    let refused = run(
        &ssh,
        [flags, home.flags(&host)].concat(),
        &[HOST, "true"],
        b"",
    )
    .await;
    assert_eq!(refused.status.code(), Some(255));
    assert!(
        text(&refused.stderr).contains("Permission denied (publickey)"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn ssh_keys_of_all_supported_kinds_get_in() {
    let (Some(ssh), Some(keygen)) = (tool_or_skip("ssh"), tool_or_skip("ssh-keygen")) else {
        return;
    };
    let host = Host::start().await;
    let home = Home::new(&host);
    for (kind, bits) in [
        ("ed25519", "256"),
        ("ecdsa", "256"),
        ("ecdsa", "384"),
        ("ecdsa", "521"),
    ] {
        let name = format!("{kind}-{bits}");
        let file = home.path(&name).display().to_string();
        let made = run(
            &keygen,
            Vec::new(),
            &[
                "-q",
                "-t",
                kind,
                "-b",
                bits,
                "-N",
                "",
                "-C",
                "a comment",
                "-f",
                &file,
            ],
            b"",
        )
        .await;
        assert!(made.status.success(), "{made:?}");
        let line = fs::read_to_string(format!("{file}.pub")).unwrap();
        host.server.keys().authorize(USER, &line).unwrap();
        let flags = home.flags_with(&host, &name);
        assert!(
            run(&ssh, flags, &[HOST, "true"], b"")
                .await
                .status
                .success(),
            "{name}"
        );
    }
}

#[tokio::test]
async fn ssh_is_told_of_too_many_connections() {
    let Some(ssh) = tool_or_skip("ssh") else {
        return;
    };
    let host = Host::start_with(|config| config.max_connections(1)).await;
    let home = Home::new(&host);
    let _first = host.login().await;
    let mut flags = home.flags(&host);
    flags.push("-v".to_owned());
    let refused = run(&ssh, flags, &[HOST, "true"], b"").await;
    assert_eq!(refused.status.code(), Some(255));
}

#[tokio::test]
async fn ssh_channels_of_one_connection_do_not_wait_for_each_other() {
    let Some(ssh) = tool_or_skip("ssh") else {
        return;
    };
    let host = Host::start().await;
    let home = Home::new(&host);
    let shared = |extra: &[&str]| {
        let mut flags = home.flags(&host);
        flags.extend(["-S".to_owned(), home.path("socket").display().to_string()]);
        flags.extend(extra.iter().map(|&flag| flag.to_owned()));
        flags
    };
    // The process does not read what the first channel carries.
    let mut stuck = ssh.command();
    stuck
        .args(shared(&["-M", HOST, "echo $$ > pid; exec sleep 1000"]))
        .stdin(fs::File::open("/dev/zero").unwrap());
    let mut stuck = stuck.spawn().unwrap();
    let pid = || {
        fs::read_to_string(host.workdir().join("pid"))
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    eventually("the first channel runs", || {
        runs(&pid()) && home.path("socket").exists()
    })
    .await;
    // Long enough for what is kept for it to fill.
    tokio::time::sleep(Duration::from_millis(500)).await;
    for _ in 0..3 {
        let output = run(&ssh, shared(&[HOST, "cat"]), &[], b"ping").await;
        assert_eq!(
            (output.status.code(), &*text(&output.stdout)),
            (Some(0), "ping"),
            "{output:?}"
        );
    }
    let pid = pid();
    stuck.kill().unwrap();
    stuck.wait().unwrap();
    eventually("the process ends", || !runs(&pid)).await;
}

#[tokio::test]
async fn sftp_puts_gets_and_lists() {
    let Some(sftp) = tool_or_skip("sftp") else {
        return;
    };
    let host = Host::start().await;
    let home = Home::new(&host);
    let data: Vec<u8> = (0..3_000_000_u32).map(|i| (i / 11) as u8).collect();
    fs::write(home.path("file"), &data).unwrap();
    fs::set_permissions(home.path("file"), fs::Permissions::from_mode(0o640)).unwrap();
    let (from, to) = (home.path("file"), home.path("back"));
    let script = format!(
        "pwd\nmkdir dir\nput -p {} dir/one\nrename dir/one dir/two\nln -s two dir/link\nls -l dir\nget -p dir/two {}\nchmod 600 dir/two\nrm dir/link\n",
        from.display(),
        to.display()
    );
    let output = run(
        &sftp,
        home.flags(&host),
        &["-b", "-", HOST],
        script.as_bytes(),
    )
    .await;
    assert!(output.status.success(), "{output:?}");
    let seen = text(&output.stdout);
    let workdir = host.workdir().display();
    assert!(
        seen.contains(&format!("Remote working directory: {workdir}\n")),
        "{seen}"
    );
    assert!(
        seen.contains("-rw-r-----") && seen.contains("3000000"),
        "{seen}"
    );
    assert!(fs::read(&to).unwrap() == data);
    let metadata = |path: &Path| fs::metadata(path).unwrap();
    let there = metadata(&host.workdir().join("dir/two"));
    assert_eq!(there.permissions().mode() & 0o777, 0o600);
    // To the second, as the protocol has it.
    let seconds = |path: &Path| {
        metadata(path)
            .modified()
            .unwrap()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs()
    };
    assert_eq!(seconds(&host.workdir().join("dir/two")), seconds(&from));
    assert_eq!(fs::read_dir(host.workdir().join("dir")).unwrap().count(), 1);
}

#[tokio::test]
async fn sftp_does_not_leave_the_work_directory() {
    let Some(sftp) = tool_or_skip("sftp") else {
        return;
    };
    let (host, outside) = (Host::start().await, tempfile::tempdir().unwrap());
    let home = Home::new(&host);
    fs::write(outside.path().join("secret"), "secret").unwrap();
    std::os::unix::fs::symlink(outside.path(), host.workdir().join("link")).unwrap();
    fs::write(home.path("file"), "mine").unwrap();
    let (secret, back, file) = (
        outside.path().join("secret"),
        home.path("back"),
        home.path("file"),
    );
    let (secret, back, file) = (secret.display(), back.display(), file.display());
    for script in [
        format!("get {secret} {back}"),
        format!("get link/secret {back}"),
        format!("put {file} link/new"),
        "cd ..".to_owned(),
        "ls /".to_owned(),
        format!("rm {secret}"),
    ] {
        let output = run(
            &sftp,
            home.flags(&host),
            &["-b", "-", HOST],
            script.as_bytes(),
        )
        .await;
        assert_eq!(output.status.code(), Some(1), "{script}: {output:?}");
        let told = text(&output.stderr).to_lowercase();
        // What the client does not even look for after it could not see it.
        assert!(
            ["denied", "not found", "can be reached"]
                .iter()
                .any(|words| told.contains(words)),
            "{script}: {output:?}"
        );
    }
    assert!(!home.path("back").exists());
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn sftp_gets_a_directory_of_many_files() {
    let Some(sftp) = tool_or_skip("sftp") else {
        return;
    };
    let host = Host::start().await;
    let home = Home::new(&host);
    fs::create_dir(host.workdir().join("many")).unwrap();
    for number in 0..500 {
        fs::write(
            host.workdir().join(format!("many/{number}")),
            number.to_string(),
        )
        .unwrap();
    }
    let script = format!("get -r many {}", home.path("many").display());
    let output = run(
        &sftp,
        home.flags(&host),
        &["-b", "-", HOST],
        script.as_bytes(),
    )
    .await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(fs::read_dir(home.path("many")).unwrap().count(), 500);
    assert_eq!(fs::read_to_string(home.path("many/499")).unwrap(), "499");
}

#[tokio::test]
async fn scp_copies_both_ways() {
    let Some(scp) = tool_or_skip("scp") else {
        return;
    };
    let host = Host::start().await;
    let home = Home::new(&host);
    fs::create_dir_all(home.path("tree/inner")).unwrap();
    fs::write(home.path("tree/inner/file"), "text").unwrap();
    let (tree, back) = (
        home.path("tree").display().to_string(),
        home.path("back").display().to_string(),
    );
    // By the file protocol, and with -O by its own, which needs a scp on the other side.
    for protocol in ["-s", "-O"] {
        let to = run(
            &scp,
            home.flags(&host),
            &[
                protocol,
                "-r",
                "-p",
                &tree,
                &format!("{HOST}:copied{protocol}"),
            ],
            b"",
        )
        .await;
        assert!(to.status.success(), "{to:?}");
        let from = format!(
            "{HOST}:{}/copied{protocol}/inner/file",
            host.workdir().display()
        );
        let from = run(&scp, home.flags(&host), &[protocol, &from, &back], b"").await;
        assert!(from.status.success(), "{from:?}");
        assert_eq!(fs::read_to_string(&back).unwrap(), "text");
        fs::remove_file(&back).unwrap();
    }
}
