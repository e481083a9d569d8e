//! What is enforced, where this machine lets it be.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use buildlet_proto::exec::{
    Command, Config, Enforcement, Executor, Isolation, Launcher, Limits, Network, Sandbox,
    SpawnError, Workplace,
};
use buildlet_proto::types::ext::{LimitHit, Mechanism};
use buildlet_proto::types::{ExecRequest, ProcessState};

use super::supervisor::{config, program_args};
use super::{is_alive, pid_in, read_until, run, sh};

/// Says that a test cannot hold here, as the harness does for missing programs; the test runner swallows `eprintln!`.
#[track_caller]
fn skip(reason: &str) {
    let place = std::panic::Location::caller();
    let line = format!("SKIPPED the test at {place}: {reason}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

#[track_caller]
fn skipped(mechanism: Mechanism, enforcement: &Enforcement) -> bool {
    if enforcement.by(mechanism) {
        return false;
    }
    let missing = enforcement.missing();
    let Some(missing) = missing
        .iter()
        .find(|missing| missing.mechanism == mechanism)
    else {
        panic!("neither enforced nor missing: {mechanism:?}");
    };
    skip(&format!("{}: {}", mechanism.as_str(), missing.reason));
    true
}

/// A command in a sandbox that can write to this directory alone.
fn boxed(script: &str, workdir: &Path) -> Command {
    sh(script)
        .dir(workdir)
        .isolation(Isolation::Sandbox)
        .sandbox(Sandbox::read_only().writable(workdir))
}

#[tokio::test]
async fn level_process_has_limits_and_no_terminal() {
    let limits = Limits::default().open_files(64).file_bytes(4096);
    let script = "ulimit -c; ulimit -n; ulimit -Hn; ulimit -f; \
        (: </dev/tty) 2>/dev/null && echo terminal; \
        head -c 100000 /dev/zero >big; echo $?; wc -c <big";
    let scratch = tempfile::tempdir().unwrap();
    let command = sh(script)
        .dir(scratch.path())
        .isolation(Isolation::Process)
        .limits(limits)
        .require_isolation(true);
    let (output, outcome) = run(&Executor::new(config()), command).await;
    // 153 is SIGXFSZ; `ulimit -f` counts in 512 bytes.
    assert_eq!(
        output,
        "0\n64\n64\n8\nFile size limit exceeded\n153\n4096\n"
    );
    let wire = outcome.enforced.to_wire();
    assert_eq!(wire.level(), Isolation::Process);
    assert!(wire.by(Mechanism::Rlimits) && wire.by(Mechanism::Subreaper));
    assert!(
        outcome
            .enforced
            .to_string()
            .contains("core=0 nofile=64 fsize=4096")
    );
}

#[tokio::test]
async fn a_sandbox_writes_where_it_may_and_nowhere_else() {
    let outside = tempfile::tempdir().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let workdir = scratch.path();
    std::fs::write(outside.path().join("old"), "old").unwrap();
    std::os::unix::fs::symlink(outside.path(), workdir.join("link")).unwrap();
    let script = format!(
        "cd {work}; out={out}
         tries() {{ ( \"$@\" ) 2>/dev/null && echo \"could: $*\"; }}
         echo x >inside && mkdir d && mv inside d/moved && cat d/moved && rm -r d || echo cannot work
         echo x >/dev/null || echo cannot write to nowhere
         tries sh -c \"echo x >$out/new\"
         tries sh -c \"echo x >link/new\"
         tries sh -c \"echo x >>$out/old\"
         tries sh -c \": >$out/old\"
         tries rm $out/old
         tries mkdir $out/dir
         tries mv $out/old $out/older
         tries ln $out/old hard
         tries ln -s /etc $out/soft
         tries mkfifo $out/fifo
         tries truncate -s 0 $out/old
         tries sh -c \"echo 1 >/proc/sys/vm/drop_caches\"
         cat $out/old",
        work = workdir.display(),
        out = outside.path().display()
    );
    let (output, outcome) = run(&Executor::new(config()), boxed(&script, workdir)).await;
    if skipped(Mechanism::Landlock, &outcome.enforced) {
        return;
    }
    assert_eq!(output, "x\nold");
    assert_eq!(outcome.enforced.to_wire().level(), Isolation::Sandbox);
    let left: Vec<_> = std::fs::read_dir(outside.path()).unwrap().collect();
    assert_eq!(left.len(), 1);
}

#[tokio::test]
async fn what_a_sandboxed_command_starts_is_in_the_sandbox() {
    let outside = tempfile::tempdir().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let script = format!(
        "setsid sh -c '(sh -c \"echo x >{}/new\"; echo $? >done) &' 2>/dev/null; until [ -s done ]; do sleep 0.01; done; cat done",
        outside.path().display()
    );
    let command = boxed(&script, scratch.path());
    let (output, outcome) = run(&Executor::new(config()), command).await;
    if skipped(Mechanism::Landlock, &outcome.enforced) {
        return;
    }
    assert_ne!(output, "0\n");
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_sandbox_gives_no_privileges_and_lets_no_signals_out() {
    let scratch = tempfile::tempdir().unwrap();
    let mut victim = tokio::process::Command::new("sleep")
        .arg("1000")
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let pid = victim.id().unwrap();
    let script = format!(
        "grep NoNewPrivs /proc/self/status; kill {pid} 2>/dev/null && echo killed; \
         mknod disk b 8 0 2>/dev/null && echo made a disk; mknod null c 1 3 2>/dev/null && echo made a device; \
         mount -t tmpfs none . 2>/dev/null && echo mounted; chroot / true || echo lost too much; \
         kill $PPID 2>/dev/null && echo killed the supervisor; \
         cat /proc/{pid}/environ >/dev/null 2>&1 && echo saw; \
         sleep 1000 & kill $! && echo own"
    );
    let (output, outcome) = run(&Executor::new(config()), boxed(&script, scratch.path())).await;
    if skipped(Mechanism::Scope, &outcome.enforced) {
        return;
    }
    assert_eq!(output, "NoNewPrivs:\t1\nown\n");
    victim.kill().await.unwrap();
}

#[tokio::test]
async fn secrets_can_be_hidden() {
    let secrets = tempfile::tempdir().unwrap();
    let key = secrets.path().join("key");
    let dir = secrets.path().join("dir");
    std::fs::write(&key, "secret\n").unwrap();
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("other"), "secret\n").unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::read_only()
        .hidden(&key)
        .hidden(&dir)
        .hidden("/no/such/file");
    let script = format!(
        "cat {key}; ls {dir}; umount {key} 2>/dev/null && cat {key}; echo end",
        key = key.display(),
        dir = dir.display()
    );
    let command = boxed(&script, scratch.path()).sandbox(sandbox);
    let (output, outcome) = run(&Executor::new(config()), command).await;
    if skipped(Mechanism::HiddenFiles, &outcome.enforced) {
        return;
    }
    assert_eq!(output, "end\n");
    assert_eq!(std::fs::read_to_string(&key).unwrap(), "secret\n");
    assert!(dir.join("other").exists());
}

#[tokio::test]
async fn a_workplace_has_its_work_directory_and_its_secrets() {
    let scratch = tempfile::tempdir().unwrap();
    let secrets = tempfile::tempdir().unwrap();
    let key = secrets.path().join("key");
    std::fs::write(&key, "secret\n").unwrap();
    let own = [("PATH".into(), "/usr/bin:/bin".into())];
    let workplace = Workplace::new(scratch.path(), own).sandbox(Sandbox::read_only().hidden(&key));
    let script = format!(
        "echo x >here && cat here; cat {0}; (echo x >{0}.new) 2>/dev/null && echo could",
        key.display()
    );
    let request = ExecRequest::new("sh")
        .system_level(true)
        .args(["-c", script.as_str()])
        .isolation(Isolation::Sandbox);
    let command = workplace.command(&request).unwrap();
    let (output, outcome) = run(&Executor::new(config()), command).await;
    if skipped(Mechanism::Landlock, &outcome.enforced)
        || skipped(Mechanism::HiddenFiles, &outcome.enforced)
    {
        return;
    }
    assert_eq!(output, "x\n");
}

/// Connects to itself over loopback, and to the address in `ADDRESS`.
#[test]
#[ignore = "no test, but a command that others run"]
fn program_that_connects() {
    let own = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = own.local_addr().unwrap();
    println!("own {}", TcpStream::connect(address).is_ok());
    let address = std::env::var("ADDRESS").unwrap();
    println!("other {}", TcpStream::connect(address).is_ok());
}

#[tokio::test]
async fn without_network_there_is_loopback_alone() {
    let others = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("ADDRESS={}", others.local_addr().unwrap());
    let command = || {
        Command::new(std::env::current_exe().unwrap())
            .args(program_args("exec::isolation::program_that_connects"))
            .envs([address.clone()])
    };
    let executor = Executor::new(config());
    let (output, _) = run(&executor, command()).await;
    assert!(output.contains("own true\nother true\n"), "{output}");
    for level in [Isolation::None, Isolation::Process, Isolation::Sandbox] {
        let command = command().isolation(level).network(Network::Off);
        let (output, outcome) = run(&executor, command).await;
        if skipped(Mechanism::NetworkOff, &outcome.enforced) {
            return;
        }
        assert!(output.contains("own true\nother false\n"), "{output}");
    }
    let (output, _) = run(&executor, sh("cat /proc/net/dev").network(Network::Off)).await;
    let interfaces: Vec<_> = output.lines().filter(|line| line.contains(": ")).collect();
    assert_eq!(interfaces.len(), 1, "{output}");
}

#[tokio::test]
async fn a_sandbox_has_a_control_group_while_it_runs() {
    let scratch = tempfile::tempdir().unwrap();
    let script = "grep ^0:: /proc/self/cgroup; echo $PPID; echo up; exec sleep 1000";
    let executor = Executor::new(config());
    let mut running = executor.spawn(boxed(script, scratch.path())).await.unwrap();
    let output = read_until(&mut running, "up\n").await;
    if !running.enforced().by(Mechanism::Cgroup) {
        // Without limits nothing is missing then.
        skip("no control group can be made");
        return;
    }
    let groups: Vec<_> = output.lines().collect();
    assert!(groups[0].contains("/buildlet-exec-"), "{output}");
    let of_supervisor = std::fs::read_to_string(format!("/proc/{}/cgroup", groups[1])).unwrap();
    assert!(
        !of_supervisor.contains("/buildlet-exec-"),
        "{of_supervisor}"
    );
    let name = groups[0].rsplit('/').next().unwrap().to_owned();
    running.kill();
    let outcome = running.wait().await;
    assert_eq!(outcome.left, 0);
    assert!(outcome.usage.user.is_some());
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
    for mount in mounts.lines().filter(|line| line.contains(" cgroup2 ")) {
        let place = Path::new(mount.split(' ').nth(1).unwrap());
        assert!(!place.join(&name).exists());
    }
}

#[tokio::test]
async fn limits_of_memory_and_tasks_hold_or_are_missing() {
    let scratch = tempfile::tempdir().unwrap();
    let limits = Limits::default()
        .memory_bytes(64 << 20)
        .tasks(16)
        .cpu_percent(100);
    let script = "x=x; while :; do x=$x$x; done";
    let executor = Executor::new(config());
    let command = boxed(script, scratch.path())
        .limits(limits)
        .timeout(std::time::Duration::from_secs(20));
    let is_group_complete = {
        let (_, probe) = run(&executor, boxed("true", scratch.path()).limits(limits)).await;
        let missing: Vec<_> = probe
            .enforced
            .missing()
            .iter()
            .map(|m| m.mechanism)
            .collect();
        if missing.contains(&Mechanism::Cgroup) {
            // Then it must be refused when required.
            let required = boxed("true", scratch.path())
                .limits(limits)
                .require_isolation(true);
            let refused = executor.spawn(required).await;
            assert!(
                matches!(refused, Err(SpawnError::NotEnforced(_))),
                "{refused:?}"
            );
            skip(&probe.enforced.to_string());
            false
        } else {
            true
        }
    };
    if is_group_complete {
        let (_, outcome) = run(&executor, command).await;
        assert_eq!(outcome.limit, Some(LimitHit::Memory));
        assert_eq!(outcome.state.to_string(), "signal: killed");
        assert!(outcome.usage.peak_memory_bytes.unwrap() <= 64 << 20);
    }
}

#[tokio::test]
async fn a_fork_bomb_is_ended() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("pid");
    // Some hundred processes, each of which ends when it has started two.
    let script = format!(
        "cat >bomb <<'END'\n[ $1 -gt 5 ] && exec sleep 1000\nsh bomb $(($1+1)) &\nsh bomb $(($1+1)) &\nEND\n\
         sh bomb 0; echo $$ >{}; exec sleep 1000",
        file.display()
    );
    for level in [Isolation::None, Isolation::Sandbox] {
        let executor = Executor::new(config());
        let command = boxed(&script, scratch.path()).isolation(level);
        let running = executor.spawn(command).await.unwrap();
        let leader = pid_in(&file).await;
        std::fs::remove_file(&file).unwrap();
        running.kill();
        let outcome = running.wait().await;
        assert_eq!(outcome.left, 0);
        assert!(!is_alive(leader));
        assert!(!runs_in(scratch.path()), "{level:?}");
    }
}

/// Whether some process has this directory for its own.
fn runs_in(dir: &Path) -> bool {
    let dir = dir.canonicalize().unwrap();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|process| std::fs::read_link(process.path().join("cwd")).ok())
        .any(|cwd| cwd == dir)
}

/// A launcher of supervisors that are nobody, if this test is root's and nobody can run the example.
///
/// Namespaces of users are for processes with one thread, which test programs are not.
fn as_nobody() -> Option<Launcher> {
    let exe = std::env::current_exe().unwrap();
    let example = exe.ancestors().nth(2).unwrap().join("examples/supervisor");
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let setpriv = ["/usr/bin/setpriv", "/bin/setpriv"];
    let setpriv = setpriv.into_iter().find(|path| Path::new(path).exists())?;
    // Without a socket it only says what it is.
    let probe = std::process::Command::new(setpriv)
        .args(nobody)
        .arg(&example)
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    if !String::from_utf8_lossy(&probe.stderr).contains("supervisor of commands") {
        skip(&format!(
            "not root, or nobody cannot run {}",
            example.display()
        ));
        return None;
    }
    Some(Launcher::new(
        setpriv,
        nobody
            .map(std::ffi::OsString::from)
            .into_iter()
            .chain([example.into_os_string()]),
    ))
}

#[tokio::test]
async fn a_user_without_privileges_is_isolated_too() {
    let Some(launcher) = as_nobody() else { return };
    let executor = Executor::new(Config::default().launcher(launcher));
    let scratch = tempfile::tempdir().unwrap();
    let everyone = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(scratch.path(), everyone).unwrap();
    let secret = scratch.path().join("secret");
    std::fs::write(&secret, "secret\n").unwrap();
    let script = "id -u; echo x >inside && cat inside; \
        echo x 2>/dev/null >/tmp/outside-of-a-sandbox && echo could; cat secret; grep -c : /proc/net/dev";
    let command = boxed(script, scratch.path())
        .sandbox(
            Sandbox::read_only()
                .writable(scratch.path())
                .hidden(&secret),
        )
        .network(Network::Off);
    let (output, outcome) = run(&executor, command).await;
    assert_eq!(outcome.state, ProcessState::Success, "{output}");
    for mechanism in [
        Mechanism::Landlock,
        Mechanism::NetworkOff,
        Mechanism::HiddenFiles,
    ] {
        if skipped(mechanism, &outcome.enforced) {
            return;
        }
    }
    assert_eq!(output, "65534\nx\n1\n");
}
