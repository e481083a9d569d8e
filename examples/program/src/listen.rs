use std::path::{Path, PathBuf};

use revdial::serve_tls::Acceptor;
use tokio::net::TcpListener;

use crate::acme::external_account;
use crate::{
    AcmeCertificate, AcmeConfig, AcmeStore, acceptor_speaking, bind, open_bucket, self_signed_files,
};

/// Where a program serves HTTP and with which certificates: flags that upstream's daemons share, under the same names.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Serving")]
pub struct ListenArgs {
    /// Serve plain HTTP here
    #[arg(long, value_name = "ADDRESS", default_value = "")]
    listen_http: String,
    /// Serve HTTPS here with a certificate of its own, made once and kept in the program's folder
    #[arg(long, value_name = "ADDRESS", default_value = "")]
    listen_https_selfsigned: String,
    /// Serve HTTPS here with the certificate of --tls-cert and --tls-key
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "",
        requires = "tls_cert",
        requires = "tls_key"
    )]
    listen_https: String,
    /// The certificate and those above it, in PEM
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// The certificate's key, in PEM
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// The path that answers "ok"; empty: none
    #[arg(long, value_name = "PATH", default_value = "/healthz")]
    health_path: String,
    /// The names of this host, for the certificates, with commas between them
    #[arg(
        long,
        value_name = "NAMES",
        default_value = "localhost",
        value_delimiter = ','
    )]
    host_name: Vec<String>,
    /// Serve HTTPS here with a certificate for --host-name that an authority issues, and agree to the authority's terms. It is renewed, and kept in
    /// the program's folder or --autocert-bucket. The authority connects to port 443 of each name, which must end here
    #[arg(long, value_name = "ADDRESS", default_value = "")]
    listen_https_autocert: String,
    /// Keep that certificate and its key in a bucket, where the next host of the name finds them; NAME/PREFIX alone is one of Google's. Who can read
    /// it can pass for this host
    #[arg(
        long,
        value_name = "s3://NAME/PREFIX or gs://...",
        default_value = "",
        requires = "listen_https_autocert"
    )]
    autocert_bucket: String,
    /// The authority's directory (RFC 8555)
    #[arg(
        long,
        value_name = "URL",
        default_value = "https://acme-v02.api.letsencrypt.org/directory"
    )]
    autocert_directory: String,
    /// Whom the authority writes to
    #[arg(long, value_name = "ADDRESS", default_value = "")]
    autocert_email: String,
    /// A file with the account that some authorities ask for: {"KID": "...", "Key": "..."}, the key in base64; readable by nobody else
    #[arg(long, value_name = "FILE")]
    autocert_eab: Option<PathBuf>,
}

/// What [`ListenArgs::listen`] began.
#[derive(Debug)]
pub struct Listening {
    /// Where connections come in, and what makes them TLS.
    pub listeners: Vec<(TcpListener, Option<Acceptor>)>,
    /// To be [kept](AcmeCertificate::keep) as long as is listened.
    pub certificate: Option<AcmeCertificate>,
}

impl ListenArgs {
    /// The flags of which one must be given, for messages.
    pub const FLAGS: &str =
        "--listen-http, --listen-https, --listen-https-autocert or --listen-https-selfsigned";

    /// Whether no address is given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let addresses = [
            &self.listen_http,
            &self.listen_https,
            &self.listen_https_autocert,
            &self.listen_https_selfsigned,
        ];
        addresses.iter().all(|address| address.is_empty())
    }

    /// The path that answers "ok", if there is to be one.
    #[must_use]
    pub fn health_path(&self) -> Option<&str> {
        Some(self.health_path.as_str()).filter(|path| !path.is_empty())
    }

    /// The first name of the host.
    #[must_use]
    pub fn host_name(&self) -> &str {
        self.host_name.first().map_or("", String::as_str)
    }

    /// Listens, with certificates that are in `folder`, for clients that ask which of `protocols` is spoken (`h2`, `http/1.1`).
    ///
    /// # Errors
    ///
    /// When an address is none or is taken, and when a certificate cannot be used or made.
    pub async fn listen(&self, folder: &Path, protocols: &[&str]) -> anyhow::Result<Listening> {
        let mut listeners = Vec::new();
        let mut certificate = None;
        if !self.listen_http.is_empty() {
            listeners.push((bind(&self.listen_http, "HTTP").await?, None));
        }
        let mut secure = Vec::new();
        if !self.listen_https_selfsigned.is_empty() {
            let (chain, key) = self_signed_files(folder, &self.host_name)?;
            let acceptor = acceptor_speaking(&chain, &key, protocols)?;
            secure.push((&self.listen_https_selfsigned, acceptor));
        }
        if let (false, Some(chain), Some(key)) =
            (self.listen_https.is_empty(), &self.tls_cert, &self.tls_key)
        {
            let acceptor = acceptor_speaking(chain, key, protocols)?;
            secure.push((&self.listen_https, acceptor));
        }
        if !self.listen_https_autocert.is_empty() {
            let issued = AcmeCertificate::open(self.acme(folder)?).await?;
            secure.push((&self.listen_https_autocert, issued.acceptor(protocols)?));
            certificate = Some(issued);
        }
        for (address, acceptor) in secure {
            listeners.push((bind(address, "HTTPS").await?, Some(acceptor)));
        }
        Ok(Listening {
            listeners,
            certificate,
        })
    }

    fn acme(&self, folder: &Path) -> anyhow::Result<AcmeConfig> {
        let account = self.autocert_eab.as_deref().map(external_account);
        let store = match self.autocert_bucket.as_str() {
            "" => AcmeStore::Folder(folder.join("autocert")),
            address => AcmeStore::Bucket(open_bucket(address)?),
        };
        Ok(AcmeConfig {
            directory: self.autocert_directory.clone(),
            email: Some(self.autocert_email.clone()).filter(|email| !email.is_empty()),
            external_account: account.transpose()?,
            names: self.host_name.clone(),
            store,
        })
    }
}
