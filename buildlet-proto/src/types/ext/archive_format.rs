/// Header of `GET /tgz`: the formats that the client takes beside `.tar.gz`, divided by commas. Of `POST /exec`:
/// [`ACCEPT_TRAILERS`].
pub const ACCEPT_HEADER: &str = "X-Buildlet-Accept";
/// In the [`ACCEPT_HEADER`] of `POST /exec`: the client wants the trailers of the extensions.
pub const ACCEPT_TRAILERS: &str = "trailers";
/// Header of a body that is an archive in another format than `.tar.gz`.
pub const FORMAT_HEADER: &str = "X-Buildlet-Format";

/// How an archive is packed on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ArchiveFormat {
    /// tar within gzip, which every peer understands.
    #[default]
    TarGz,
    /// tar alone: where the network is faster than a compressor, as between processes of one machine.
    Tar,
}

impl ArchiveFormat {
    /// The name in headers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TarGz => "tar.gz",
            Self::Tar => "tar",
        }
    }

    /// What a body with this [`FORMAT_HEADER`] is; `None` for a format that is not known here. Without the header it is `.tar.gz`.
    #[must_use]
    pub fn of_body(header: Option<&[u8]>) -> Option<Self> {
        match header {
            None | Some(b"tar.gz") => Some(Self::TarGz),
            Some(b"tar") => Some(Self::Tar),
            Some(_) => None,
        }
    }

    /// The format to answer a `/tgz` with, by its [`ACCEPT_HEADER`]: the first one that is known here.
    #[must_use]
    pub fn negotiate(header: Option<&[u8]>) -> Self {
        header
            .unwrap_or_default()
            .split(|byte| *byte == b',')
            .find_map(|name| Self::of_body(Some(name.trim_ascii())))
            .unwrap_or_default()
    }
}
