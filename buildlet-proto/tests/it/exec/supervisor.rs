//! Supervisors, whose program is this test program.

use buildlet_proto::exec::{Config, Launcher};

/// Commands under supervisors.
pub(super) fn config() -> Config {
    Config::default().launcher(launcher())
}

/// Starts this program with nothing to do but what stands in [`supervisor_process`].
pub(super) fn launcher() -> Launcher {
    let args =
        "exec::supervisor::supervisor_process --exact --ignored --nocapture --test-threads=1";
    Launcher::new(std::env::current_exe().unwrap(), args.split(' '))
}

#[test]
#[ignore = "no test, but what supervisors run"]
fn supervisor_process() {
    let _ = buildlet_proto::exec::supervise();
}
