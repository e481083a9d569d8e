use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use tokio::net::{TcpListener, TcpStream};

/// The connections that `listener` accepts, for [`Server::serve`](super::Server::serve).
///
/// Small writes are sent without delay. Keep-alive probes find a client that vanished within about five minutes, and its
/// command ends.
pub fn tcp(listener: TcpListener) -> impl Stream<Item = io::Result<TcpStream>> + Send + Unpin {
    Tcp(listener)
}

/// Connections that come without failures, such as those of a `revdial::Listener`, for
/// [`Server::serve`](super::Server::serve).
pub fn infallible<S>(connections: S) -> impl Stream<Item = io::Result<S::Item>>
where
    S: Stream + Unpin,
{
    Infallible(connections)
}

struct Infallible<S>(S);

impl<S: Stream + Unpin> Stream for Infallible<S> {
    type Item = io::Result<S::Item>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.0).poll_next(cx).map(|item| item.map(Ok))
    }
}

struct Tcp(TcpListener);

impl Stream for Tcp {
    type Item = io::Result<TcpStream>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_accept(cx).map(|accepted| {
            Some(accepted.and_then(|(stream, _)| {
                set_options(&stream)?;
                Ok(stream)
            }))
        })
    }
}

fn set_options(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(unix)]
    {
        use rustix::net::sockopt;
        sockopt::set_socket_keepalive(stream, true)?;
        // Upstream's first probe comes after 3 minutes as well; its system's default of 9 probes 75 s apart is 11 minutes more.
        #[cfg(target_os = "linux")]
        {
            use std::time::Duration;
            sockopt::set_tcp_keepidle(stream, Duration::from_secs(180))?;
            sockopt::set_tcp_keepintvl(stream, Duration::from_secs(30))?;
            sockopt::set_tcp_keepcnt(stream, 4)?;
        }
    }
    Ok(())
}
