use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State as Extracted;
use axum::response::{IntoResponse as _, Response};
use http::header::CONTENT_TYPE;

use crate::api::MachineState;
use crate::web::backend::Sample;
use crate::web::failure::Failure;
use crate::web::site::Shared;

/// `/metrics`: numbers in Prometheus's text form.
pub(super) async fn metrics(Extracted(site): Extracted<Arc<Shared>>) -> Result<Response, Failure> {
    let mut samples = site.backend.samples().await?;
    let machines = site.backend.machines().await?;
    for pool in &machines.pools {
        let mut of = |name, help, value: usize| {
            samples.push(sample(name, help, &[("host_type", &pool.host_type)], value));
        };
        of(
            "build_coordinator_machines_expected",
            "Machines that there should be.",
            pool.expected,
        );
        of(
            "build_coordinator_queue_builds",
            "Builds that wait for a machine.",
            pool.waiting,
        );
    }
    let mut by_state = BTreeMap::new();
    for machine in &machines.machines {
        *by_state
            .entry((machine.host_type.as_str(), machine.state.name()))
            .or_insert(0) += 1;
    }
    for pool in &machines.pools {
        for state in [
            MachineState::Idle,
            MachineState::Busy,
            MachineState::Draining,
            MachineState::Quarantined,
            MachineState::Lost,
        ] {
            let count = by_state
                .get(&(pool.host_type.as_str(), state.name()))
                .copied()
                .unwrap_or(0);
            let labels = [
                ("host_type", pool.host_type.as_str()),
                ("state", state.name()),
            ];
            samples.push(sample(
                "build_coordinator_machines",
                "Machines by what they do.",
                &labels,
                count,
            ));
        }
    }
    for (status, count) in site.answered.by_status() {
        let labels = [("status", &*status.to_string())];
        samples.push(sample(
            "build_coordinator_http_requests_total",
            "Requests answered.",
            &labels,
            count as usize,
        ));
    }
    samples.push(Sample {
        name: "build_coordinator_uptime_seconds",
        help: "Since the coordinator started.",
        labels: Vec::new(),
        value: site.begun.elapsed().as_secs_f64(),
    });
    Ok((
        [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        exposition(&samples),
    )
        .into_response())
}

fn sample(
    name: &'static str,
    help: &'static str,
    labels: &[(&'static str, &str)],
    value: usize,
) -> Sample {
    let labels = labels
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()))
        .collect();
    Sample {
        name,
        help,
        labels,
        value: value as f64,
    }
}

/// All samples of a name stand together, below what it is.
fn exposition(samples: &[Sample]) -> String {
    let mut families: BTreeMap<&str, Vec<&Sample>> = BTreeMap::new();
    for sample in samples {
        families.entry(sample.name).or_default().push(sample);
    }
    let mut out = String::new();
    for (name, samples) in families {
        let kind = if name.ends_with("_total") {
            "counter"
        } else {
            "gauge"
        };
        let help = samples[0].help.replace('\\', "\\\\").replace('\n', "\\n");
        let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        for sample in samples {
            out.push_str(name);
            let mut before = '{';
            for (label, value) in &sample.labels {
                let value = value
                    .replace('\\', "\\\\")
                    .replace('"', "\\\"")
                    .replace('\n', "\\n");
                let _ = write!(out, "{before}{label}=\"{value}\"");
                before = ',';
            }
            if before == ',' {
                out.push('}');
            }
            let _ = writeln!(out, " {}", sample.value);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_a_name_stand_together_and_labels_are_escaped() {
        let a = |value: &str, n| sample("a_total", "As.", &[("host", value)], n);
        let b = Sample {
            name: "b",
            help: "Bs.",
            labels: Vec::new(),
            value: 0.5,
        };
        assert_eq!(
            exposition(&[a("x\"\n\\", 1), b, a("y", 2)]),
            "# HELP a_total As.\n# TYPE a_total counter\na_total{host=\"x\\\"\\n\\\\\"} 1\na_total{host=\"y\"} 2\n\
             # HELP b Bs.\n# TYPE b gauge\nb 0.5\n"
        );
    }
}
