//! How a coordinator and what it stands on are.

use crate::api::{Health, HealthCheck, HealthLine, Level};
use crate::coordinator::{ConfigNews, Coordinator};
use crate::store::StoreError;
use crate::web::machines::status;

pub(super) async fn health(coordinator: &Coordinator) -> Result<Health, StoreError> {
    // A store that does not answer is the worst there is; whoever asks is told so by the error.
    coordinator.store().recent(1).await?;
    let store = HealthCheck {
        id: "store".to_owned(),
        title: "Store".to_owned(),
        lines: Vec::new(),
    };
    let mut checks = vec![store, configuration(&coordinator.config_news().borrow())];
    for (host_type, status) in &status(coordinator).host_types {
        let connected = status.machines.len();
        // Processes are started when they are needed.
        let is_reverse = coordinator
            .config()
            .host(host_type.as_str())
            .is_some_and(dashboard_config::Host::is_reverse);
        let lines = if is_reverse && connected < status.expected {
            let text = format!("{connected} connected; want {}", status.expected);
            let level = if connected == 0 {
                Level::Error
            } else {
                Level::Warn
            };
            vec![HealthLine { level, text }]
        } else {
            Vec::new()
        };
        checks.push(HealthCheck {
            id: host_type.to_string(),
            title: host_type.to_string(),
            lines,
        });
    }
    Ok(Health { checks })
}

/// What is to be said of the configuration's files.
fn configuration(news: &ConfigNews) -> HealthCheck {
    let lines = match news {
        ConfigNews::Used { notes, .. } => (notes.iter())
            .map(|note| HealthLine {
                level: Level::Info,
                text: note.clone(),
            })
            .collect(),
        ConfigNews::Refused { at, problems } => {
            let says = format!("the files are not good; what they said before {at} is used");
            (std::iter::once(says)
                .chain(problems.iter().map(dashboard_config::Diagnostic::to_line)))
            .map(|text| HealthLine {
                level: Level::Warn,
                text,
            })
            .collect()
        }
        _ => Vec::new(),
    };
    HealthCheck {
        id: "configuration".to_owned(),
        title: "Configuration".to_owned(),
        lines,
    }
}
