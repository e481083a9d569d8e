use std::time::Duration;

use crate::record::record;
use crate::text::{Glob, ReleaseBranch, Version};

record! {
    /// The deployment: what there is once.
    pub struct Environment with Default {
        /// Its name, for people.
        pub name: String = String::new(),
        /// Whether this is the one that counts.
        pub is_prod: bool = false,
        /// The coordinator's address, for links in messages.
        pub coordinator_url: String = String::new(),
        /// Base of the dashboard's addresses; ends with a slash.
        pub dashboard_url: String = String::new(),
        /// Base of the addresses of the service that keeps benchmarks.
        pub perf_data_url: String = String::new(),
        /// How many builds run at a time; 0 is no limit.
        pub max_builds: u32 = 0,
        /// How long a machine of a pool is kept at most.
        pub delete_timeout: Duration = Duration::from_secs(45 * 60),
        /// How long a build waits for its machine to come back with what it runs, when the connection is lost or the coordinator was
        /// started again; 0: not at all, it is tried again at once.
        pub machine_return: Duration = Duration::from_secs(60),
        /// Branches that count as the newest version; patterns.
        pub main_branches: Vec<Glob> = globs(&["main", "master"]),
        /// Further branches that do.
        pub development_branches: Vec<Glob> = globs(&["dev.*"]),
        /// How release branches are named, such as release-`{major}`.`{minor}`.
        pub release_branch: Option<ReleaseBranch> = None,
        /// The oldest release branch that anything builds.
        pub oldest_version: Version = Version::default(),
        /// The only major version of release branches that anything builds; 0: any.
        pub only_major: u32 = 0,
        /// A policy that must allow every build; the name of a policy table.
        pub guard: Option<String> = None,
        /// Names of host types that no builder uses, and of which that is known.
        pub unused_hosts: Vec<String> = Vec::new(),
        /// Names of object stores.
        pub buckets: Buckets = Buckets::default(),
        /// What the cloud's pools need.
        pub cloud: Option<Cloud> = None,
    }
}

fn globs(patterns: &[&str]) -> Vec<Glob> {
    patterns
        .iter()
        .filter_map(|pattern| pattern.parse().ok())
        .collect()
}

record! {
    /// Names of object stores.
    pub struct Buckets with Default {
        /// Executables of the buildlet, and toolchains.
        pub buildlets: String = String::new(),
        /// Logs of builds.
        pub logs: String = String::new(),
        /// Built trees of Go.
        pub snapshots: String = String::new(),
        /// What remote sessions send and fetch.
        pub transfers: String = String::new(),
    }
}

record! {
    /// What the cloud's pools need: upstream's words for Google's and Amazon's.
    pub struct Cloud with Default {
        /// The project of the machines.
        pub project: String = String::new(),
        /// That project's number.
        pub project_number: i64 = 0,
        /// The project that keeps the results.
        pub status_project: String = String::new(),
        /// Zones of the machines, all in one region.
        pub zones: Vec<String> = Vec::new(),
        /// The region they are in.
        pub region: String = String::new(),
        /// The coordinator's public address; empty: looked up by its name.
        pub static_ip: String = String::new(),
        /// The coordinator's name as a machine.
        pub coordinator_name: String = String::new(),
        /// Whether containers run on machines of their own and not in a cluster.
        pub prefer_containers_on_cos: bool = false,
        /// The service account of such machines.
        pub cos_service_account: String = String::new(),
        /// Amazon's security group.
        pub aws_security_group: String = String::new(),
        /// Amazon's region of the machines.
        pub aws_region: String = String::new(),
    }
}
