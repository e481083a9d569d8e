//! What upstream derives from a build config. The rules are those of `dashboard/builders.go` of 2022.

use std::time::Duration;

use crate::model::{Builder, GoBuild, Host};
use crate::text::{Env, EnvVar};

/// The time limit of one test of Go's distribution, before it is scaled.
const TEST_TIMEOUT: Duration = Duration::from_secs(20 * 60);

impl Builder {
    /// The operating system that is built for; for a builder of Go only.
    #[must_use]
    pub fn goos(&self) -> &str {
        let said = self.go.as_ref().and_then(|go| go.goos.as_deref());
        said.unwrap_or_else(|| self.name.split('-').next().unwrap_or_default())
    }

    /// The architecture that is built for; for a builder of Go only.
    #[must_use]
    pub fn goarch(&self) -> &str {
        let said = self.go.as_ref().and_then(|go| go.goarch.as_deref());
        said.unwrap_or_else(|| self.name.split('-').nth(1).unwrap_or_default())
    }

    /// Whether tests run with the race detector.
    #[must_use]
    pub fn is_race(&self) -> bool {
        self.go
            .as_ref()
            .is_some_and(|go| go.race.unwrap_or_else(|| self.name.ends_with("-race")))
    }

    /// Whether long tests run; they may use the network.
    #[must_use]
    pub fn is_long_test(&self) -> bool {
        self.go.as_ref().is_some_and(|go| {
            go.long_test
                .unwrap_or_else(|| self.name.ends_with("-longtest"))
        })
    }

    /// Whether the make script and the tests are steps of their own; false for `misc-compile` builders, against whose tree nothing can be built.
    #[must_use]
    pub fn splits_make_and_run(&self) -> bool {
        !self.is_misc_compile()
    }

    /// The script that builds and tests Go, below its source.
    #[must_use]
    pub fn all_script(&self) -> &'static str {
        let windows = self.goos() == "windows";
        match (self.goos(), self.is_race()) {
            (_, true) if windows => "src/race.bat",
            (_, true) => "src/race.bash",
            _ if windows => "src/all.bat",
            ("plan9", _) => "src/all.rc",
            _ if self.is_misc_compile() => "src/buildall.bash",
            _ => "src/all.bash",
        }
    }

    /// The script that builds Go, below its source.
    #[must_use]
    pub fn make_script(&self) -> &'static str {
        match self.goos() {
            "windows" => "src/make.bat",
            "plan9" => "src/make.rc",
            _ => "src/make.bash",
        }
    }

    /// Where the built tree is to be moved, as it is told.
    #[must_use]
    pub fn goroot_final(&self) -> &'static str {
        if self.goos() == "windows" {
            "c:\\go"
        } else {
            "/usr/local/go"
        }
    }

    /// Packages to install with the race detector: those that are named, or all of the standard library for a race builder.
    #[must_use]
    pub fn race_packages(&self) -> Vec<&str> {
        let named = self.go.iter().flat_map(|go| &go.install_race_packages);
        let named: Vec<&str> = named.map(String::as_str).collect();
        if named.is_empty() && self.is_race() {
            vec!["std"]
        } else {
            named
        }
    }

    /// The environment of a build of Go: upstream's own variables, the host's, the builder's. Where a name occurs twice, the last counts.
    #[must_use]
    pub fn go_env(&self, host: &Host) -> Env {
        let mut env = Env::default();
        let own = [
            ("GO_BUILDER_NAME", Some(&*self.name)),
            (
                "GO_BUILDER_FLAKY_NET",
                self.go
                    .as_ref()
                    .is_some_and(|go| go.flaky_net)
                    .then_some("1"),
            ),
            ("GO_TEST_SHORT", self.is_long_test().then_some("0")),
        ];
        for (name, value) in own {
            env.extend(value.and_then(|value| EnvVar::new(name, value).ok()));
        }
        env.extend(host.env.iter().chain(&self.env).cloned());
        env
    }

    /// The module settings that a build of this repository adds.
    #[must_use]
    pub fn module_env(&self, host: &Host, repo: &str) -> Vec<(&'static str, &'static str)> {
        let mut env = Vec::new();
        if repo == "go" {
            if !self.is_long_test() && !self.go.as_ref().is_some_and(|go| go.needs_go_proxy) {
                env.push(("GOPROXY", "off"));
            }
        } else if host.is_ec2() || host.is_reverse() {
            env.push(("GOPROXY", GoBuild::MODULE_PROXY));
        }
        if ["oauth2", "build", "perf", "website"].contains(&repo) {
            env.push(("GO111MODULE", "on"));
        }
        env
    }

    /// The time limit of one test of Go's distribution: 20 minutes times `GO_TEST_TIMEOUT_SCALE` of the builder, else of the host.
    #[must_use]
    pub fn dist_test_timeout(&self, host: &Host) -> Duration {
        const NAME: &str = "GO_TEST_TIMEOUT_SCALE";
        let scale = self.env.get(NAME).or_else(|| host.env.get(NAME));
        let scale = scale
            .and_then(|scale| scale.parse().ok())
            .filter(|scale| *scale > 0);
        TEST_TIMEOUT.saturating_mul(scale.unwrap_or(1))
    }

    fn is_misc_compile(&self) -> bool {
        self.go.is_some() && self.name.starts_with("misc-compile")
    }
}

impl GoBuild {
    /// The public Go module proxy.
    pub const MODULE_PROXY: &str = "https://proxy.golang.org";
}

impl Host {
    /// Where the buildlet is fetched from, of this bucket of buildlets; empty where nothing is fetched.
    #[must_use]
    pub fn buildlet_url(&self, bucket: &str) -> String {
        self.buildlet_url.replacen("$BUCKET", bucket, 1)
    }

    /// Where the toolchain that builds Go is fetched from, of this bucket of buildlets; empty where the machine has one.
    #[must_use]
    pub fn go_bootstrap_url(&self, bucket: &str) -> String {
        self.go_bootstrap_url.replacen("$BUCKET", bucket, 1)
    }

    /// The image of the virtual machine that runs the container, in this cloud project; empty for the cloud's own.
    #[must_use]
    pub fn container_vm_image(&self, project: &str) -> String {
        if !self.konlet_vm_image.is_empty() {
            self.konlet_vm_image.clone()
        } else if self.nested_virt {
            "debian-stretch-vmx".to_owned()
        } else if self.is_ec2() && !self.container_image.is_empty() {
            format!("gcr.io/{project}/{}", self.container_image)
        } else {
            String::new()
        }
    }
}
