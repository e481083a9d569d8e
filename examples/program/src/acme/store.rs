use std::fs;
use std::io::{self, Read as _};
use std::path::PathBuf;

use anyhow::Context as _;
use buckets::Bucket;
use tokio::task::spawn_blocking;

use crate::files::replace_private_file;

/// Bytes of a file or an object that are read: more than any chain has.
const MAX: u64 = 1 << 20;

/// Where an account and a certificate are kept, with their keys.
#[derive(Clone, Debug)]
pub enum AcmeStore {
    /// In files that this user alone can read.
    Folder(PathBuf),
    /// In objects: who can read them can pass for this host. The next host of the name goes on with them. Of several at the same time all
    /// show the certificate, but one gets a new one only if it is the one that the authority reaches.
    Bucket(Bucket),
}

impl AcmeStore {
    pub(super) async fn read(&self, name: &'static str) -> anyhow::Result<Option<String>> {
        let read = async {
            match self {
                Self::Folder(folder) => {
                    let file = folder.join(name);
                    anyhow::Ok(spawn_blocking(move || read_file(&file)).await??)
                }
                Self::Bucket(bucket) => {
                    let object = bucket.look(name, MAX).await?;
                    let text = object.map(|(content, _)| String::from_utf8(content.into()));
                    Ok(text.transpose()?)
                }
            }
        };
        read.await.with_context(|| self.place(name))
    }

    /// All of it, or nothing.
    pub(super) async fn write(&self, name: &'static str, text: String) -> anyhow::Result<()> {
        let write = async {
            match self {
                Self::Folder(folder) => {
                    let folder = folder.clone();
                    let writing = spawn_blocking(move || {
                        fs::create_dir_all(&folder)?;
                        replace_private_file(&folder.join(name), &text)
                    });
                    anyhow::Ok(writing.await??)
                }
                Self::Bucket(bucket) => {
                    bucket.put(name, &mut text.as_bytes(), MAX).await?;
                    Ok(())
                }
            }
        };
        write.await.with_context(|| self.place(name))
    }

    /// For people.
    pub(super) fn place(&self, name: &str) -> String {
        match self {
            Self::Folder(folder) => folder.join(name).display().to_string(),
            Self::Bucket(_) => format!("{name} of the bucket of certificates"),
        }
    }
}

fn read_file(file: &std::path::Path) -> io::Result<Option<String>> {
    let mut text = String::new();
    match fs::File::open(file) {
        Ok(file) => file.take(MAX).read_to_string(&mut text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Some(text))
}
