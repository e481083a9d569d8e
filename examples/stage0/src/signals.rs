//! Signals that are passed on to the buildlet.

#[cfg(unix)]
mod unix {
    use rustix::process::{Pid, kill_process, kill_process_group};
    use tokio::process::Child;
    use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

    /// A signal that this process got.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Signal(rustix::process::Signal);

    const PASSED_ON: [(rustix::process::Signal, &str); 6] = [
        (rustix::process::Signal::INT, "interrupted"),
        (rustix::process::Signal::TERM, "terminated"),
        (rustix::process::Signal::HUP, "hung up"),
        (rustix::process::Signal::QUIT, "quit"),
        (rustix::process::Signal::USR1, "user signal 1"),
        (rustix::process::Signal::USR2, "user signal 2"),
    ];

    impl Signal {
        pub(crate) fn name(self) -> &'static str {
            PASSED_ON
                .iter()
                .find(|(signal, _)| *signal == self.0)
                .map_or("signalled", |(_, name)| name)
        }

        /// Whether this process is to end.
        pub(crate) fn ends(self) -> bool {
            matches!(
                self.0,
                rustix::process::Signal::INT | rustix::process::Signal::TERM
            )
        }

        /// To the buildlet alone: what it started is its own to end.
        pub(crate) fn pass_on(self, _: &mut Child, id: Option<u32>) {
            if let Some(pid) = pid(id) {
                // It may have ended just now.
                let _ = kill_process(pid, self.0);
            }
        }
    }

    fn pid(id: Option<u32>) -> Option<Pid> {
        Pid::from_raw(i32::try_from(id?).ok()?)
    }

    pub(crate) fn kill_group(_: &mut Child, id: Option<u32>) {
        if let Some(pid) = pid(id) {
            let _ = kill_process_group(pid, rustix::process::Signal::KILL);
        }
    }

    /// The signals that are passed on, from now on none of which ends this process by itself.
    pub(crate) struct Signals(Vec<(Stream, rustix::process::Signal)>);

    impl Signals {
        pub(crate) fn listen() -> std::io::Result<Self> {
            let streams = PASSED_ON
                .map(|(number, _)| Ok((signal(SignalKind::from_raw(number.as_raw()))?, number)));
            streams
                .into_iter()
                .collect::<std::io::Result<_>>()
                .map(Self)
        }

        /// Cancel safe.
        pub(crate) async fn next(&mut self) -> Signal {
            std::future::poll_fn(|cx| {
                for (stream, number) in &mut self.0 {
                    if stream.poll_recv(cx).is_ready() {
                        return std::task::Poll::Ready(Signal(*number));
                    }
                }
                std::task::Poll::Pending
            })
            .await
        }
    }
}

#[cfg(unix)]
pub(crate) use unix::{Signals, kill_group};

#[cfg(windows)]
mod windows {
    use tokio::process::Child;
    use tokio::signal::windows::{CtrlC, ctrl_c};

    /// Ctrl-C, which the console gives to the buildlet as well.
    pub(crate) struct Signal;

    impl Signal {
        pub(crate) fn name(&self) -> &'static str {
            "interrupted"
        }

        pub(crate) fn ends(&self) -> bool {
            true
        }

        pub(crate) fn pass_on(&self, _: &mut Child, _: Option<u32>) {}
    }

    pub(crate) fn kill_group(child: &mut Child, _: Option<u32>) {
        // It may have ended just now.
        let _ = child.start_kill();
    }

    pub(crate) struct Signals(CtrlC);

    impl Signals {
        pub(crate) fn listen() -> std::io::Result<Self> {
            ctrl_c().map(Self)
        }

        /// Cancel safe.
        pub(crate) async fn next(&mut self) -> Signal {
            self.0.recv().await;
            Signal
        }
    }
}

#[cfg(windows)]
pub(crate) use windows::{Signals, kill_group};
