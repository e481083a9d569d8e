use tokio::io::{AsyncRead, AsyncWrite};

/// A two-way stream of bytes. Every type that can be one is.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Any two-way stream of bytes.
pub type BoxIo = Box<dyn Io>;
