use super::validate::Check;
use crate::model::{Builder, Command, Host};
use crate::text::Variable;

/// What can be wrong with a builder.
impl Check<'_> {
    pub(super) fn builder(&mut self, builder: &Builder) {
        let path = format!("builder/{}", builder.name);
        let at = |key: &str| format!("{path}/{key}");
        self.refers(
            &at("host_type"),
            "host",
            &builder.host_type,
            &self.file.hosts,
        );
        self.work(builder, &path);
        self.steps(builder, &path);
        for (i, artifact) in builder.artifacts.iter().enumerate() {
            let path = at(&format!("artifact/{i}/paths"));
            if artifact.paths.is_empty() {
                self.error(
                    &path,
                    "an artifact without paths keeps nothing",
                    "write paths = [\"out/*\"]",
                );
            }
            for glob in &artifact.paths {
                self.relative(&path, glob.as_str());
            }
        }
        for glob in &builder.repos {
            self.matches_some(&at("repos"), "repo", glob, &self.file.repositories);
        }
        let policies = [
            ("builds", builder.builds.as_ref()),
            (
                "try/policy",
                builder
                    .try_rule
                    .as_ref()
                    .and_then(|rule| rule.policy.as_ref()),
            ),
        ];
        for (key, policy) in policies {
            if let Some(policy) = policy {
                self.refers(&at(key), "policy", policy, &self.file.policies);
            }
        }
        if let Some(policy) = &builder.test_policy {
            self.refers(
                &at("test_policy"),
                "test_policy",
                policy,
                &self.file.test_policies,
            );
        }
        for (i, name) in builder.notify.iter().enumerate() {
            self.refers(
                &at(&format!("notify/{i}")),
                "notify",
                name,
                &self.file.notify,
            );
        }
        if builder.known_issues.contains(&0) {
            let hint = "write the number of the issue";
            self.error(&at("known_issues"), "0 is no issue", hint);
        }
        if !(-100..=100).contains(&builder.priority) {
            self.error(
                &at("priority"),
                "a priority is from -100 to 100",
                "write priority = 0",
            );
        }
        if builder.timeout.is_zero() {
            self.error(
                &at("timeout"),
                "no build ends in no time",
                "write timeout = \"1h\"",
            );
        }
        if builder.retry.attempts == 0 || builder.retry.attempts > 20 {
            let hint = "write attempts = 1 for no second one";
            self.error(&at("retry/attempts"), "there are 1 to 20 attempts", hint);
        }
        for commit in &builder.contains {
            if commit.len() < 7 || !commit.bytes().all(|b| b.is_ascii_hexdigit()) {
                let hint = "write all of its 40 digits";
                self.error(&at("contains"), format!("{commit:?} is no commit id"), hint);
            }
        }
        let helpers = builder.helpers.post_submit.max(builder.helpers.tries);
        let host = self.file.hosts.get(&builder.host_type);
        if helpers > 0 && host.is_some_and(Host::is_reverse) {
            let hint = "remove helpers";
            self.warning(&at("helpers"), "machines that dial in help no other", hint);
        }
        self.env(&at("env"), &builder.env);
    }

    /// It runs either steps or Go's scripts.
    fn work(&mut self, builder: &Builder, path: &str) {
        let at = |key: &str| format!("{path}/{key}");
        match &builder.go {
            None if builder.steps.is_empty() => {
                let message = format!("`{}` has no steps, so it does nothing", builder.name);
                let hint = format!("add: [[builder.{}.step]] with run = \"…\"", builder.name);
                self.error(path, message, hint);
            }
            Some(_) if !builder.steps.is_empty() => {
                let hint = "remove the table go, or the steps";
                self.error(&at("go"), "a build of Go has steps of its own", hint);
            }
            Some(go) => {
                for (key, part) in [("goos", builder.goos()), ("goarch", builder.goarch())] {
                    if part.is_empty() || part.contains('-') {
                        let hint =
                            format!("name the builder goos-goarch, or add: go.{key} = \"…\"");
                        self.error(
                            path,
                            format!("`{}` does not say its {key}", builder.name),
                            hint,
                        );
                    }
                }
                if let Some(cross) = &go.cross_compile {
                    self.refers(
                        &at("go/cross_compile/host_type"),
                        "host",
                        &cross.host_type,
                        &self.file.hosts,
                    );
                }
                if go.skip_snapshot && builder.helpers != crate::Helpers::default() {
                    let hint = "remove helpers, or skip_snapshot";
                    self.error(
                        &at("helpers"),
                        "without a snapshot no other machine can help",
                        hint,
                    );
                }
                let long = builder.env.get("GO_TEST_SHORT");
                if builder.is_long_test() && long.is_some_and(|value| value != "0") {
                    let hint = "remove GO_TEST_SHORT from env";
                    self.error(&at("env"), "long tests are not short", hint);
                }
            }
            None => {}
        }
    }

    fn steps(&mut self, builder: &Builder, path: &str) {
        for (i, step) in builder.steps.iter().enumerate() {
            let at = |key: &str| format!("{path}/step/{i}/{key}");
            self.env(&at("env"), &step.env);
            match &step.command {
                Command::Argv(_) if !step.shell.is_empty() => {
                    let hint = "remove shell, or write run as one string";
                    self.error(&at("shell"), "a list is run without a shell", hint);
                }
                Command::Script(script) => {
                    if let Some(variable) = place_in_script(script) {
                        let hint = format!("write \"${}\"", variable.env_name());
                        let message = format!(
                            "a script is no template: {{{}}} stays as it is",
                            variable.as_str()
                        );
                        self.warning(&at("run"), message, hint);
                    }
                }
                Command::Argv(_) => {}
            }
            if let Some(dir) = &step.dir {
                let inside = dir
                    .as_str()
                    .strip_prefix("{workdir}")
                    .map(|rest| rest.trim_start_matches('/'));
                self.relative(&at("dir"), inside.unwrap_or(dir.as_str()));
            }
            if step.success_codes.is_empty() {
                self.error(
                    &at("success_codes"),
                    "no exit code would mean success",
                    "write [0]",
                );
            }
            if step.timeout.is_some_and(|timeout| timeout.is_zero()) {
                self.error(
                    &at("timeout"),
                    "no step ends in no time",
                    "write timeout = \"10m\"",
                );
            }
            if step
                .timeout
                .is_some_and(|timeout| timeout > builder.timeout)
            {
                let hint = "raise the builder's timeout, which is 1h by default";
                self.warning(
                    &at("timeout"),
                    "the whole build has less time than this step",
                    hint,
                );
            }
            if step
                .name
                .as_ref()
                .is_some_and(|name| name.trim().is_empty() || name.chars().any(char::is_control))
            {
                let hint = "write one line of text";
                self.error(&at("name"), "a step's name is shown to people", hint);
            }
        }
    }
}

/// A place of a template in a script that was surely meant to be one: `{rev}` not after `$`.
fn place_in_script(script: &str) -> Option<Variable> {
    Variable::ALL.into_iter().find(|variable| {
        let place = format!("{{{}}}", variable.as_str());
        script
            .match_indices(&place)
            .any(|(at, _)| !script[..at].ends_with(['$', '{']))
    })
}
