use std::io;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use buildlet_proto::client::{self, BoxIo, BrokenReason, Connector, HttpClient};
use revdial::{Connection, Dialer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::hold::Hold;
use super::shared::{PoolGrant, Shared};
use super::turns::Turns;
use crate::{Lease, LeaseControl, LostReason, MachineId, Verdict};

/// How long a lease's connection may take: its dial's limit, and as long for its turn to come.
const CONNECT_LIMIT: Duration = Duration::from_secs(60);

/// A machine on its way to whoever asked for it. If it does not arrive, it goes to somebody else.
pub(super) struct Ticket {
    shared: Arc<Shared>,
    grant: Option<PoolGrant>,
}

impl Ticket {
    pub(super) fn new(shared: Arc<Shared>, grant: PoolGrant) -> Self {
        Self {
            shared,
            grant: Some(grant),
        }
    }

    /// It has arrived.
    pub(super) fn redeem(mut self) -> Lease {
        let PoolGrant {
            machine,
            handle,
            hold,
            number,
        } = self.grant.take().expect("it is taken here or by drop");
        let control = Control {
            shared: self.shared.clone(),
            machine: machine.id,
            number,
            hold: hold.clone(),
        };
        let connector = LeasedConnector {
            dialer: handle.dialer.clone(),
            hold: hold.clone(),
            turns: self.shared.turns.clone(),
        };
        let (shared, id) = (Arc::downgrade(&self.shared), machine.id);
        let config = client::Config::default()
            .name(&*machine.host_name)
            .connect_timeout(CONNECT_LIMIT)
            .on_death(move |reason| died(&shared, id, number, reason));
        let client = HttpClient::new(connector, &machine.host_name, config);
        let client = client.expect("the pool's own client has the same name");
        let client = Arc::new(client);
        hold.set_client(&client);
        Lease::new(machine, client, Box::new(control))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(grant) = self.grant.take() {
            self.shared
                .change(|core, now, fx| core.end(now, grant.machine.id, grant.number, None, fx));
        }
    }
}

/// A holder's client is dead.
fn died(shared: &Weak<Shared>, machine: MachineId, number: u64, reason: &BrokenReason) {
    let Some(shared) = shared.upgrade() else {
        return;
    };
    let lost = match reason {
        BrokenReason::HeartbeatsFailed { .. } => LostReason::Unresponsive(reason.to_string()),
        BrokenReason::Closed => LostReason::Revoked("its holder closed the client".to_owned()),
        _ => LostReason::Disconnected(reason.to_string()),
    };
    shared.change(|core, now, fx| core.broken(now, machine, number, lost, fx));
}

/// What a lease is to its pool.
struct Control {
    shared: Arc<Shared>,
    machine: MachineId,
    number: u64,
    hold: Arc<Hold>,
}

#[async_trait]
impl LeaseControl for Control {
    fn renew(&self, time: Duration) -> Result<(), LostReason> {
        self.shared
            .change(|core, now, _| core.renew(now, self.machine, self.number, time));
        self.hold.lost_reason().cloned().map_or(Ok(()), Err)
    }

    async fn lost(&self) -> LostReason {
        self.hold.lost().await
    }

    fn end(&self, verdict: Verdict) {
        self.shared
            .change(|core, now, fx| core.end(now, self.machine, self.number, Some(verdict), fx));
    }
}

/// Connections that end with the lease.
struct LeasedConnector {
    dialer: Dialer,
    hold: Arc<Hold>,
    turns: Arc<Turns>,
}

impl LeasedConnector {
    fn why(&self) -> String {
        let reason = self.hold.lost_reason();
        reason.map_or_else(|| "lease was given back".to_owned(), ToString::to_string)
    }
}

#[async_trait]
impl Connector for LeasedConnector {
    async fn connect(&self) -> io::Result<BoxIo> {
        let over = self.hold.over();
        let dialing = self.turns.take(self.dialer.dial());
        match over.run_until_cancelled(dialing).await {
            Some(Ok(connection)) => Ok(Box::new(LeasedIo::new(connection, over))),
            Some(Err(error)) => Err(io::Error::other(error)),
            None => Err(io::Error::new(io::ErrorKind::ConnectionAborted, self.why())),
        }
    }

    async fn closed(&self) -> String {
        tokio::select! {
            // First, as it says more than the end of the session that may follow from it.
            biased;
            () = self.hold.over().cancelled() => self.why(),
            end = self.dialer.closed() => end.to_string(),
        }
    }
}

/// A connection that ends with the lease.
struct LeasedIo {
    io: Connection,
    over: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl LeasedIo {
    fn new(io: Connection, over: &CancellationToken) -> Self {
        Self {
            io,
            over: Box::pin(over.clone().cancelled_owned()),
        }
    }

    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.over.as_mut().poll(cx) {
            Poll::Pending => Ok(()),
            Poll::Ready(()) => Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "lease is over",
            )),
        }
    }
}

impl AsyncRead for LeasedIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for LeasedIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
