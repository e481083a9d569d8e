//! What the tests of the engine's parts begin with.

use std::path::Path;
use std::sync::Arc;

use dashboard_config::Config;
use tokio::sync::mpsc;

use super::engine::Order;
use crate::blobs::FileBlobs;
use crate::coordinator::shared::{Made, Shared};
use crate::git::{Git, GitConfig};
use crate::model::{Build, BuildKey, NewBuild, Purpose, Timestamp};
use crate::store::{Store, StoreConfig};

const CONFIG: &str = "[repo.site]\nclone_url = '/site'\n[host.linux]\npool = 'process'\n[builder.quick]\nhost_type = 'linux'\n\
                      [[builder.quick.step]]\nrun = ['true']\n";

pub(super) async fn shared(folder: &Path, orders: mpsc::Sender<Order>) -> Arc<Shared> {
    let made = Made {
        store: Store::open(StoreConfig::sqlite(folder.join("db")))
            .await
            .unwrap(),
        git: Git::open(folder.join("git"), GitConfig::default())
            .await
            .unwrap(),
        blobs: Arc::new(FileBlobs::open(folder.join("blobs")).await.unwrap()),
        pools: Vec::new(),
        live_logs: folder.join("live"),
        config_files: Vec::new(),
    };
    let config = Config::parse("t", CONFIG).unwrap_or_else(|error| panic!("{error}"));
    Arc::new(Shared::new(config, made, orders))
}

pub(super) async fn added(store: &Store, count: usize) -> Vec<(Build, Option<Timestamp>)> {
    let new = (0..count).map(|number| NewBuild {
        key: BuildKey {
            repository: "site".to_owned(),
            revision: format!("{number:040x}").parse().unwrap(),
            builder: "quick".to_owned(),
            base: None,
        },
        branch: None,
        host_type: "linux".to_owned(),
        purpose: Purpose::Request,
        reason: "test".to_owned(),
    });
    let added = store.enqueue_all(Timestamp::now(), new.collect()).await;
    let builds = added.unwrap().into_iter();
    builds.map(|added| (added.build, None)).collect()
}
