#![expect(
    clippy::missing_errors_doc,
    reason = "every call fails for the reasons that `Error` lists"
)]

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures_core::Stream;
use http::Method;
use serde_json::json;

use super::content::decoded;
use crate::client::Client;
use crate::error::Error;
use crate::id::FilePath;
use crate::types::*;

/// The calls about a change's edit, made by [`Change::edit`](crate::Change::edit). Of those that change it, the ones that would change
/// nothing fail with [`NotModified`](crate::ErrorKind::NotModified).
#[derive(Debug, Clone)]
pub struct Edit {
    pub(super) client: Client,
    pub(super) change: String,
}

impl Edit {
    /// Gets the edit, if there is one.
    pub async fn get(&self) -> Result<Option<EditInfo>, Error> {
        let call = self.client.get(format!("{}/edit", self.change));
        // No edit is 204, without a body.
        let bytes = call.fetch_bytes().await?;
        if bytes.is_empty() {
            return Ok(None);
        }
        crate::answer::json(&bytes).map_err(|source| Error::Decode {
            method: Method::GET,
            url: format!("{}/edit", self.change),
            source: Box::new(source),
        })
    }

    /// Writes a file, whole.
    pub async fn put_file(&self, file: &FilePath, content: impl Into<Bytes>) -> Result<(), Error> {
        let call = self.client.put(self.file(file));
        call.bytes(content).finish().await
    }

    /// Deletes a file.
    pub async fn delete_file(&self, file: &FilePath) -> Result<(), Error> {
        self.client.delete(self.file(file)).finish().await
    }

    /// Brings a file back to what it is in the change's parent.
    pub async fn restore_file(&self, file: &FilePath) -> Result<(), Error> {
        let call = self.client.post(format!("{}/edit", self.change));
        let input = json!({ "restore_path": file.as_str() });
        call.json(&input).finish().await
    }

    /// Renames a file.
    pub async fn rename_file(&self, from: &FilePath, to: &FilePath) -> Result<(), Error> {
        let call = self.client.post(format!("{}/edit", self.change));
        let input = json!({ "old_path": from.as_str(), "new_path": to.as_str() });
        call.json(&input).finish().await
    }

    /// Sets the commit's message.
    pub async fn set_message(&self, message: &str) -> Result<(), Error> {
        let call = self.client.put(format!("{}/edit:message", self.change));
        call.json(&json!({ "message": message })).finish().await
    }

    /// Gets the commit's message.
    pub async fn message(&self) -> Result<String, Error> {
        let call = self.client.get(format!("{}/edit:message", self.change));
        let encoded = call.fetch_bytes().await?;
        let decoded = BASE64_STANDARD.decode(encoded.trim_ascii());
        let decoded = decoded.map_err(Into::into).and_then(|bytes| {
            String::from_utf8(bytes).map_err(Into::<Box<dyn std::error::Error + Send + Sync>>::into)
        });
        decoded.map_err(|source| Error::Decode {
            method: Method::GET,
            url: format!("{}/edit:message", self.change),
            source,
        })
    }

    /// Sets the author or the committer of the commit.
    pub async fn set_identity(&self, input: &ChangeEditIdentityInput) -> Result<(), Error> {
        let call = self.client.put(format!("{}/edit:identity", self.change));
        call.json(input).ignore().await
    }

    /// Reads a file as it comes; its length is not limited.
    pub async fn file_content(
        &self,
        file: &FilePath,
    ) -> Result<impl Stream<Item = Result<Bytes, Error>> + Send + Unpin + use<>, Error> {
        let path = self.file(file);
        let encoded = self.client.get(&path).fetch_stream().await?;
        Ok(decoded(encoded, path))
    }

    /// Rebases the edit upon the newest patch set.
    pub async fn rebase(&self) -> Result<(), Error> {
        let call = self.client.post(format!("{}/edit:rebase", self.change));
        call.ignore().await
    }

    /// Makes the edit a patch set.
    pub async fn publish(&self) -> Result<(), Error> {
        let call = self.client.post(format!("{}/edit:publish", self.change));
        call.finish().await
    }

    /// Throws the edit away.
    pub async fn delete(&self) -> Result<(), Error> {
        let call = self.client.delete(format!("{}/edit", self.change));
        call.finish().await
    }

    fn file(&self, file: &FilePath) -> String {
        format!("{}/edit/{}", self.change, file.escaped())
    }
}
