use std::time::Duration;

use buildlet_proto::client::BuildletClient;
use buildlet_proto::types::{ExecRequest, ListRequest};
use dashboard_config::Artifact;
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

use super::StageError;
use super::course::Course;
use super::ending::{Trouble, of_call, of_exec, of_stage};
use super::plan::SOURCE;
use super::work::Work;
use crate::model::{Cause, Change};

/// How long fetching all artifacts of an attempt may take.
const ARTIFACT_TIME: Duration = Duration::from_secs(15 * 60);
/// Files of an attempt that are kept, at most.
const MAX_ARTIFACTS: usize = 1000;
/// Files of an attempt that are looked at, at most, to find those that are to be kept.
const MAX_LISTED: usize = 500_000;

impl Work<'_> {
    /// Fetches what is to be kept. Gives what is said if something is missing that must not be.
    pub(super) async fn keep_artifacts(
        &self,
        course: &mut Course,
    ) -> Result<Option<String>, Trouble> {
        let failed = course.progress.has_failed();
        let wanted: Vec<&Artifact> = self
            .plan
            .artifacts
            .iter()
            .filter(|wanted| wanted.when.applies(failed))
            .collect();
        if wanted.is_empty() {
            return Ok(None);
        }
        let fetching = async {
            let files = list(self.client, &wanted).await?;
            let mut missing = None;
            for (at, wanted) in wanted.iter().enumerate() {
                let found: Vec<_> = files.iter().filter(|file| file.of.contains(&at)).collect();
                let title = title(wanted);
                let bytes: u64 = found.iter().map(|file| file.bytes).sum();
                if found.is_empty() && wanted.required {
                    missing.get_or_insert(format!("artifact {title}: there is no such file"));
                }
                if bytes > wanted.max_size.0 {
                    let limit = wanted.max_size.0;
                    let note = format!(
                        "\nartifact {title}: not kept, as {bytes} bytes are more than {limit}\n"
                    );
                    self.log.write(note).await;
                    continue;
                }
                for file in found {
                    if course.kept.len() < MAX_ARTIFACTS && !course.kept.contains(&file.name) {
                        self.fetch(file).await?;
                        course.kept.insert(file.name.clone());
                    }
                }
            }
            Ok(missing)
        };
        match timeout(ARTIFACT_TIME, fetching).await {
            Ok(done) => done,
            Err(_) => Err(Trouble {
                cause: Cause::Network,
                message: format!("fetching artifacts took longer than {ARTIFACT_TIME:?}"),
                suspect: true,
            }),
        }
    }

    async fn fetch(&self, file: &Listed) -> Result<(), Trouble> {
        // The protocol has archives of directories, and a file's directory may be many times its size.
        let path = format!("{SOURCE}/{}", file.name);
        let command = ExecRequest::new("cat")
            .args(["--", &path])
            .system_level(true)
            .timeout(ARTIFACT_TIME);
        let running = self
            .client
            .start(command)
            .await
            .map_err(|error| of_exec(&error))?;
        let (content, mut sink) = tokio::io::duplex(256 << 10);
        let reading = async move {
            let outcome = running.copy_to(&mut sink).await;
            drop(sink); // its end is the content's end
            outcome
        };
        let (outcome, kept) = tokio::join!(
            reading,
            self.stage
                .keep(self.id, &file.name, Box::new(content.take(file.bytes + 1)))
        );
        let kept =
            kept.map_err(|error| of_stage(&StageError::new("cannot keep an artifact", error)))?;
        let outcome = outcome.map_err(|error| of_exec(&error))?;
        if !outcome.state.is_success() || kept.bytes != file.bytes {
            let note = format!(
                "\nartifact {}: not kept, as it changed meanwhile or cannot be read\n",
                file.name
            );
            self.log.write(note).await;
            return Ok(());
        }
        let stored = Change::ArtifactStored {
            attempt: self.id.number,
            name: file.name.clone(),
            blob: kept.blob,
            bytes: kept.bytes,
        };
        self.record(stored).await
    }
}

/// A file that is to be kept.
#[derive(Debug)]
struct Listed {
    name: String,
    bytes: u64,
    /// Which of the wanted artifacts it belongs to.
    of: Vec<usize>,
}

async fn list(client: &dyn BuildletClient, wanted: &[&Artifact]) -> Result<Vec<Listed>, Trouble> {
    let failed = |error| of_call("list the files", &error);
    let request = ListRequest::new(SOURCE).recursive(true).skip(".git");
    let mut listing = client.list_dir(request).await.map_err(failed)?;
    let mut files = Vec::new();
    let mut looked_at = 0;
    while let Some(entry) = listing.next().await.map_err(failed)? {
        looked_at += 1;
        if looked_at > MAX_LISTED || files.len() > MAX_ARTIFACTS {
            break;
        }
        let Some(bytes) = entry.size() else { continue };
        let name = entry.name();
        // A name that is no text could not be shown or asked for.
        if name.as_bytes() != entry.name_bytes() {
            continue;
        }
        let matches = |wanted: &&Artifact| wanted.paths.iter().any(|path| path.matches(&name));
        let of: Vec<usize> = (wanted.iter().enumerate())
            .filter(|(_, wanted)| matches(wanted))
            .map(|(at, _)| at)
            .collect();
        if !of.is_empty() {
            files.push(Listed {
                name: name.into_owned(),
                bytes,
                of,
            });
        }
    }
    Ok(files)
}

fn title(artifact: &Artifact) -> String {
    let paths = || {
        artifact
            .paths
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    };
    artifact.name.clone().unwrap_or_else(paths)
}
