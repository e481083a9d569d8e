use std::time::Duration;

use buildlet_proto::types::ExecRequest;
use buildlet_proto::types::ext::{Isolation, Network};
use dashboard_config::{
    Artifact, Builder, Config, Env, Isolation as Level, Retry, Step, Values, Variable, When,
};

use crate::model::{Build, Purpose};

/// The directory below the work directory in which the source is.
pub(crate) const SOURCE: &str = "src";

/// The variables that every step has beside those of host, builder and step: `CI=1`, the values of
/// [`Variable`], and `CI_TRY`, which is `1` for a change that is not merged yet and empty otherwise.
pub const STANDARD_VARIABLES: [&str; 8] = [
    "CI",
    "CI_WORKDIR",
    "CI_REPO",
    "CI_REVISION",
    "CI_BRANCH",
    "CI_BASE_REVISION",
    "CI_BUILDER",
    "CI_TRY",
];

/// What an attempt does: taken from the configuration when it begins, so that a change of that changes nothing that runs.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What it is for.
    pub build: Build,
    /// Its steps in order.
    pub steps: Vec<PlannedStep>,
    /// How long it may take from its first step on.
    pub timeout: Duration,
    /// What is kept of it.
    pub artifacts: Vec<Artifact>,
    /// How often it is tried.
    pub retry: Retry,
}

/// A step of a [`Plan`].
#[derive(Clone, Debug)]
pub struct PlannedStep {
    /// What it is called.
    pub title: String,
    /// When it runs.
    pub when: When,
    /// Whether its failure counts.
    pub allow_failure: bool,
    /// Whether what comes after it runs though it failed.
    pub continue_on_failure: bool,
    step: Step,
    env: Env,
    isolation: Level,
}

impl Plan {
    /// What `config` has for this build; `None` if it has no such builder, or one that has no steps.
    #[must_use]
    pub fn new(config: &Config, build: &Build) -> Option<Self> {
        let builder = config
            .builder(&build.key.builder)
            .filter(|builder| !builder.steps.is_empty())?;
        let steps = builder
            .steps
            .iter()
            .map(|step| PlannedStep::new(config, builder, step));
        Some(Self {
            build: build.clone(),
            steps: steps.collect(),
            timeout: builder.timeout,
            artifacts: builder.artifacts.clone(),
            retry: builder.retry.clone(),
        })
    }
}

impl PlannedStep {
    fn new(config: &Config, builder: &Builder, step: &Step) -> Self {
        let mut env = Env::default();
        let host = config.host(&builder.host_type).map(|host| &host.env);
        for var in host
            .into_iter()
            .chain([&builder.env, &step.env])
            .flat_map(Env::iter)
        {
            env.push(var.clone());
        }
        Self {
            title: step.title().into_owned(),
            when: step.when,
            allow_failure: step.allow_failure,
            continue_on_failure: step.continue_on_failure,
            env: env.deduplicated(),
            isolation: step.isolation.unwrap_or(builder.isolation),
            step: step.clone(),
        }
    }

    /// What is asked of the buildlet, whose work directory is `workdir`, with at most `limit` to run.
    #[must_use]
    pub fn request(&self, build: &Build, workdir: &str, limit: Duration) -> ExecRequest {
        let values = values(build, workdir);
        let dir = self.dir(&values);
        let mut argv = self.step.argv(&values).into_iter();
        let program = argv.next().unwrap_or_default();
        // A bare name is a command of the system: what the build has put into its work directory does not shadow it.
        let bare = !program.contains('/');
        let program = if bare || program.starts_with('/') {
            program
        } else {
            format!("{dir}/{program}")
        };
        let mut request = ExecRequest::new(program)
            .args(argv)
            .dir(dir)
            .system_level(bare)
            .timeout(limit.min(self.step.timeout.unwrap_or(limit)));
        for (name, value) in standard_env(build, &values) {
            request = request.env(format!("{name}={value}"));
        }
        for var in &self.env {
            request = request.env(format!("{}={}", var.name(), var.value()));
        }
        request = match self.isolation {
            Level::None => request,
            Level::Process => request.isolation(Isolation::Process),
            // And whatever a later version adds: rather too much than too little.
            _ => request.isolation(Isolation::Sandbox),
        };
        if self.step.network {
            request
        } else {
            request.network(Network::Off)
        }
    }

    /// Whether this exit code counts as success.
    #[must_use]
    pub fn succeeds_with(&self, code: i32) -> bool {
        self.step.succeeds_with(code)
    }

    fn dir(&self, values: &Values<'_>) -> String {
        match self.step.dir.as_ref().map(|dir| dir.fill(values)) {
            Some(dir) if dir.starts_with('/') => dir,
            Some(dir) if !dir.is_empty() => format!("{SOURCE}/{dir}"),
            _ => SOURCE.to_owned(),
        }
    }

    #[cfg(test)]
    pub(crate) fn of(title: &str) -> Self {
        let text = format!(
            "[repo.r]\nclone_url = '/r'\n[host.h]\npool = 'process'\n[builder.b]\nhost_type = 'h'\n\
             [[builder.b.step]]\nname = '{title}'\nrun = ['true']\n"
        );
        let config = Config::parse("t", &text).unwrap();
        let builder = config.builder("b").unwrap();
        Self::new(&config, builder, &builder.steps[0])
    }
}

fn values<'a>(build: &'a Build, workdir: &'a str) -> Values<'a> {
    Values {
        workdir,
        repo: &build.key.repository,
        rev: build.key.revision.as_str(),
        branch: build.branch.as_deref().unwrap_or_default(),
        base_rev: build.key.base.as_ref().map_or("", |base| base.as_str()),
        builder: &build.key.builder,
    }
}

fn standard_env(build: &Build, values: &Values<'_>) -> Vec<(&'static str, String)> {
    let named =
        Variable::ALL.map(|variable| (variable.env_name(), values.get(variable).to_owned()));
    let tried = if build.purpose == Purpose::Try {
        "1"
    } else {
        ""
    };
    let mut all = vec![("CI", "1".to_owned())];
    all.extend(named);
    all.push(("CI_TRY", tried.to_owned()));
    all
}

/// A plan with these steps, which are TOML, of a builder `test`.
#[cfg(test)]
pub(crate) fn test_plan(steps: &str) -> Plan {
    use crate::model::{BuildDetail, BuildId, BuildKey, NewBuild, Timestamp};
    let text = format!(
        "[repo.site]\nclone_url = '/site'\n[host.linux]\npool = 'process'\n\
         [builder.test]\nhost_type = 'linux'\n{steps}\n"
    );
    let config = Config::parse("t", &text).unwrap_or_else(|error| panic!("{error}"));
    let new = NewBuild {
        key: BuildKey {
            repository: "site".into(),
            revision: "0123456789abcdef0123456789abcdef01234567".parse().unwrap(),
            builder: "test".into(),
            base: None,
        },
        branch: None,
        host_type: "linux".into(),
        purpose: Purpose::Head,
        reason: String::new(),
    };
    let build = BuildDetail::new(BuildId(1), Timestamp::EPOCH, new).build;
    Plan::new(&config, &build).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{BuildDetail, BuildId, BuildKey, NewBuild, Timestamp};

    fn build(branch: &str) -> Build {
        let new = NewBuild {
            key: BuildKey {
                repository: "site".into(),
                revision: "0123456789abcdef0123456789abcdef01234567".parse().unwrap(),
                builder: "test".into(),
                base: None,
            },
            branch: Some(branch.into()),
            host_type: "linux".into(),
            purpose: Purpose::Head,
            reason: String::new(),
        };
        BuildDetail::new(BuildId(1), Timestamp::EPOCH, new).build
    }

    fn plan(step: &str, build: &Build) -> Plan {
        let text = format!(
            "[repo.site]\nclone_url = '/site'\n[host.linux]\npool = 'process'\nenv = {{ A = 'host', B = 'host' }}\n\
             [builder.test]\nhost_type = 'linux'\nenv = {{ B = 'builder' }}\n[[builder.test.step]]\n{step}\n"
        );
        let config = Config::parse("t", &text).unwrap_or_else(|error| panic!("{error}"));
        Plan::new(&config, build).unwrap()
    }

    fn request(step: &str, build: &Build) -> ExecRequest {
        plan(step, build).steps[0].request(build, "/w", Duration::from_secs(60))
    }

    fn env(request: &ExecRequest, name: &str) -> String {
        let prefix = format!("{name}=");
        let mut all = request
            .environment()
            .iter()
            .filter_map(|entry| entry.to_str()?.strip_prefix(&prefix));
        all.next_back().map(str::to_owned).unwrap_or_default()
    }

    #[test]
    fn every_step_has_the_standard_variables_and_its_own() {
        let build = build("main");
        let request = request("run = ['make']\nenv = { C = 'step' }", &build);
        for name in STANDARD_VARIABLES {
            let prefix = format!("{name}=");
            let has = request
                .environment()
                .iter()
                .any(|entry| entry.to_str().unwrap().starts_with(&prefix));
            assert!(has, "{name}");
        }
        let seen = ["CI", "CI_BRANCH", "CI_TRY", "A", "B", "C"].map(|name| env(&request, name));
        assert_eq!(seen, ["1", "main", "", "host", "builder", "step"]);
        assert_eq!(
            (request.cmd().to_str(), request.is_system_level()),
            (Some("make"), true)
        );
        assert_eq!(request.directory(), "src");
    }

    #[test]
    fn a_hostile_branch_stays_one_argument_and_out_of_scripts() {
        let build = build("; rm -rf $HOME");
        let request = request("run = ['echo', 'on {branch}']", &build);
        assert_eq!(request.arguments(), ["on ; rm -rf $HOME"]);
        let request = self::request("run = 'echo {branch} $CI_BRANCH'", &build);
        assert_eq!(
            request.arguments().last().unwrap(),
            "echo {branch} $CI_BRANCH"
        );
    }

    #[test]
    fn a_program_of_the_source_is_found_from_the_steps_directory() {
        let request = request("run = ['./run.sh']\ndir = 'tools'", &build("main"));
        assert_eq!(
            (request.cmd().to_str(), request.is_system_level()),
            (Some("src/tools/./run.sh"), false)
        );
        assert_eq!(request.directory(), "src/tools");
    }

    #[test]
    fn a_step_runs_no_longer_than_the_build_may() {
        let long = request("run = ['make']\ntimeout = '2h'", &build("main"));
        let short = request("run = ['make']\ntimeout = '5s'", &build("main"));
        let seconds = |request: ExecRequest| request.time_limit().unwrap().as_secs();
        assert_eq!((seconds(long), seconds(short)), (60, 5));
    }
}
