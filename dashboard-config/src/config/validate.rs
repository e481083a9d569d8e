use std::collections::BTreeMap;

use super::File;
use crate::diagnostic::Collector;
use crate::model::{Environment, Host, Notify, Otherwise, Policy, Pool, Repository, TestPolicy};
use crate::record::Places;
use crate::text::{Env, Glob, nearest};

/// Finds what is wrong between tables, and what a field alone does not show.
pub(super) fn validate(file: &File, places: &Places, found: &mut Collector) {
    let mut check = Check {
        file,
        places,
        found,
    };
    check.environment(&file.environment);
    for host in file.hosts.values() {
        check.host(host);
    }
    for repo in file.repositories.values() {
        check.repository(repo);
    }
    check.repositories_apart();
    for builder in file.builders.values() {
        check.builder(builder);
    }
    for policy in file.policies.values() {
        check.policy(policy);
    }
    for policy in file.test_policies.values() {
        check.test_policy(policy);
    }
    for notify in file.notify.values() {
        check.notify(notify);
    }
    for (word, builder) in &file.aliases {
        if !builder.is_empty() {
            check.refers(&format!("alias/{word}"), "builder", builder, &file.builders);
        }
    }
    if !check.found.has_errors() {
        check.unused_hosts();
    }
}

pub(super) struct Check<'a> {
    pub(super) file: &'a File,
    places: &'a Places,
    found: &'a mut Collector,
}

impl Check<'_> {
    fn environment(&mut self, environment: &Environment) {
        if let Some(guard) = &environment.guard {
            self.refers("environment/guard", "policy", guard, &self.file.policies);
        }
        let dashboard = &environment.dashboard_url;
        if !dashboard.is_empty() && !dashboard.ends_with('/') {
            self.error(
                "environment/dashboard_url",
                "the base of the dashboard's addresses must end with a slash",
                format!("write \"{dashboard}/\""),
            );
        }
        for (key, address) in [
            ("coordinator_url", &environment.coordinator_url),
            ("dashboard_url", dashboard),
            ("perf_data_url", &environment.perf_data_url),
        ] {
            self.address(&format!("environment/{key}"), address);
        }
    }

    fn host(&mut self, host: &Host) {
        let path = format!("host/{}", host.name);
        let pool = host.pool.as_str();
        let at = |key: &str| format!("{path}/{key}");
        match host.pool {
            Pool::Vm if host.vm_image.is_empty() => {
                self.error(
                    &path,
                    "a virtual machine needs an image",
                    "add: vm_image = \"…\"",
                );
            }
            Pool::Container if host.container_image.is_empty() => {
                self.error(
                    &path,
                    "a container needs an image",
                    "add: container_image = \"…\"",
                );
            }
            _ => {}
        }
        let images_go_together = host.pool == Pool::Container && host.is_ec2();
        if !host.vm_image.is_empty() && host.pool != Pool::Vm && !images_go_together {
            let hint = "remove vm_image, or write pool = \"vm\"";
            self.error(
                &at("vm_image"),
                format!("a machine of pool \"{pool}\" has no vm_image"),
                hint,
            );
        }
        if !host.container_image.is_empty() && host.pool != Pool::Container {
            let hint = "remove container_image, or write pool = \"container\"";
            self.error(
                &at("container_image"),
                format!("a machine of pool \"{pool}\" has no container_image"),
                hint,
            );
        }
        if matches!(host.pool, Pool::Vm | Pool::Container) {
            if host.provider.is_none() {
                let hint = "add: provider = \"gce\", or \"ec2\"";
                self.error(
                    &path,
                    format!("somebody must run a machine of pool \"{pool}\""),
                    hint,
                );
            }
            if host.buildlet_url.is_empty() {
                let hint = "add: buildlet_url = \"https://…\"";
                self.error(
                    &path,
                    "such a machine must fetch its buildlet from somewhere",
                    hint,
                );
            }
        } else {
            if host.provider.is_some() {
                let hint = "remove provider";
                self.error(
                    &at("provider"),
                    format!("nobody's cloud runs machines of pool \"{pool}\""),
                    hint,
                );
            }
            if !host.machine_type.is_empty() {
                let hint = "remove machine_type";
                self.error(
                    &at("machine_type"),
                    format!("no cloud makes machines of pool \"{pool}\""),
                    hint,
                );
            }
        }
        if host.hermetic_reverse && host.pool != Pool::Reverse {
            let hint = "remove hermetic_reverse";
            self.error(
                &at("hermetic_reverse"),
                "only machines that dial in can be so",
                hint,
            );
        }
        for (key, address) in [
            ("buildlet_url", &host.buildlet_url),
            ("go_bootstrap_url", &host.go_bootstrap_url),
        ] {
            self.address(&at(key), address);
            if address.starts_with("http://") {
                let hint = "write https, if the server can do that";
                self.warning(
                    &at(key),
                    "what is fetched this way can be changed on the way",
                    hint,
                );
            }
        }
        self.env(&at("env"), &host.env);
    }

    fn repository(&mut self, repo: &Repository) {
        let path = format!("repo/{}", repo.name);
        let at = |key: &str| format!("{path}/{key}");
        if let Some(base) = &repo.base {
            self.refers(&at("base"), "repo", base, &self.file.repositories);
            let second = self
                .file
                .repositories
                .get(base)
                .and_then(|base| base.base.as_ref());
            if second.is_some() {
                let hint = "name a repository that stands alone";
                self.error(
                    &at("base"),
                    format!("`{base}` is built against another one itself"),
                    hint,
                );
            }
        }
        if repo.clone_url.starts_with('-') || repo.clone_url.chars().any(char::is_control) {
            let hint = "write an address, or a path that begins with / or ./";
            self.error(&at("clone_url"), "git would take this for an option", hint);
        }
        if repo.mirror_to_github && repo.github_repo.is_empty() {
            let hint = "add: github_repo = \"owner/name\"";
            self.error(&path, "a mirror at GitHub needs a name there", hint);
        }
        if !repo.github_repo.is_empty()
            && repo
                .github_repo
                .split('/')
                .filter(|part| !part.is_empty())
                .count()
                != 2
        {
            let hint = "write \"owner/name\"";
            self.error(&at("github_repo"), "this is not an owner and a name", hint);
        }
        let has_url = !repo.clone_url.is_empty() || !repo.review_project.is_empty();
        if repo.can_build && !has_url {
            let hint = "add: clone_url = \"https://…\", or can_build = false";
            self.error(
                &path,
                format!("nothing says where `{}` is fetched from", repo.name),
                hint,
            );
        }
        if (!repo.mirror_to_csr_project.is_empty() || repo.mirror_to_github) && !has_url {
            let hint = "add: clone_url = \"https://…\"";
            self.error(&path, "a mirror needs something to mirror", hint);
        }
        if repo.poll.as_millis() < 100 {
            let hint = "write poll = \"30s\"";
            self.error(
                &at("poll"),
                "looking more often than ten times a second is too often",
                hint,
            );
        }
    }

    /// Names elsewhere belong to one repository.
    fn repositories_apart(&mut self) {
        let mut owners: BTreeMap<(&str, &str), &str> = BTreeMap::new();
        for repo in self.file.repositories.values() {
            for (key, value) in [
                ("import_path", &repo.import_path),
                ("review_project", &repo.review_project),
            ] {
                if value.is_empty() {
                    continue;
                }
                if let Some(other) = owners.insert((key, value), &repo.name) {
                    let hint = format!("give `{other}` or `{}` another {key}", repo.name);
                    self.error(
                        &format!("repo/{}/{key}", repo.name),
                        format!("{value:?} is that of `{other}` too"),
                        hint,
                    );
                }
            }
        }
    }

    fn policy(&mut self, policy: &Policy) {
        let path = format!("policy/{}", policy.name);
        if let Some(base) = &policy.base {
            self.refers(&format!("{path}/base"), "policy", base, &self.file.policies);
        }
        if let Otherwise::Policy(name) = &policy.otherwise {
            self.refers(
                &format!("{path}/default"),
                "policy",
                name,
                &self.file.policies,
            );
        }
        if self.is_behind_itself(&policy.name) {
            let hint = "let base and default name policies that do not come back to it";
            self.error(&path, format!("policy `{}` asks itself", policy.name), hint);
        }
        for (i, rule) in policy.rules.iter().enumerate() {
            for (key, patterns) in [
                ("repo", &rule.repo),
                ("branch", &rule.branch),
                ("base_branch", &rule.base_branch),
                ("builder", &rule.builder),
            ] {
                if patterns.as_ref().is_some_and(Vec::is_empty) {
                    let hint = format!("remove {key} to match all, or name some");
                    self.warning(
                        &format!("{path}/rule/{i}/{key}"),
                        "an empty list matches nothing",
                        hint,
                    );
                }
            }
            if rule.is_unconditional() && i + 1 < policy.rules.len() {
                let hint = "put it last";
                let message = "this rule always matches, so those after it never do";
                self.warning(&format!("{path}/rule/{i}"), message, hint);
            }
        }
    }

    fn test_policy(&mut self, policy: &TestPolicy) {
        let path = format!("test_policy/{}", policy.name);
        let Some(base) = &policy.base else { return };
        self.refers(
            &format!("{path}/base"),
            "test_policy",
            base,
            &self.file.test_policies,
        );
        let mut next = Some(base);
        for _ in 0..=self.file.test_policies.len() {
            match next.and_then(|name| self.file.test_policies.get(name)) {
                Some(behind) => next = behind.base.as_ref(),
                None => return,
            }
        }
        let hint = "let base name a policy that does not come back to it";
        self.error(
            &path,
            format!("test policy `{}` asks itself", policy.name),
            hint,
        );
    }

    fn is_behind_itself(&self, name: &str) -> bool {
        let mut todo = vec![name];
        let mut seen = Vec::new();
        while let Some(policy) = todo.pop().and_then(|name| self.file.policies.get(name)) {
            if seen.contains(&&*policy.name) {
                continue;
            }
            seen.push(&*policy.name);
            todo.retain(|name| self.file.policies.contains_key(*name));
            let otherwise = match &policy.otherwise {
                Otherwise::Policy(name) => Some(name),
                _ => None,
            };
            for behind in policy.base.iter().chain(otherwise) {
                if behind == name {
                    return true;
                }
                if self.file.policies.contains_key(behind) {
                    todo.push(behind);
                }
            }
        }
        false
    }

    fn notify(&mut self, notify: &Notify) {
        let path = format!("notify/{}", notify.name);
        if notify.webhook.is_none() && !notify.terminal {
            let hint = "add: webhook = \"https://…\", or terminal = true";
            self.error(&path, format!("`{}` tells nobody", notify.name), hint);
        }
        if let Some(webhook) = &notify.webhook {
            self.address(&format!("{path}/webhook"), webhook);
        }
        if notify.secret_file.is_some() && notify.webhook.is_none() {
            self.error(
                &format!("{path}/secret_file"),
                "only a webhook is signed",
                "remove secret_file",
            );
        }
        if notify.attempts == 0 || notify.attempts > 100 {
            self.error(
                &format!("{path}/attempts"),
                "there are 1 to 100 attempts",
                "write attempts = 5",
            );
        }
    }

    fn unused_hosts(&mut self) {
        let used = |name: &str| {
            self.file.builders.values().any(|builder| {
                let cross = builder.go.as_ref().and_then(|go| go.cross_compile.as_ref());
                builder.host_type == name || cross.is_some_and(|cross| cross.host_type == name)
            })
        };
        let listed = &self.file.environment.unused_hosts;
        let unused: Vec<&str> = self
            .file
            .hosts
            .keys()
            .map(String::as_str)
            .filter(|name| !used(name) && !listed.iter().any(|listed| listed == name))
            .collect();
        let wrong: Vec<&String> = listed.iter().filter(|name| used(name)).collect();
        for name in unused {
            let hint = "remove it, or name it in environment.unused_hosts";
            self.warning(
                &format!("host/{name}"),
                format!("no builder runs on `{name}`"),
                hint,
            );
        }
        for name in wrong {
            let hint = "remove it from the list";
            self.error(
                "environment/unused_hosts",
                format!("a builder does run on `{name}`"),
                hint,
            );
        }
        for name in listed {
            self.refers("environment/unused_hosts", "host", name, &self.file.hosts);
        }
    }

    // ---- what the checks above use

    pub(super) fn refers<T>(
        &mut self,
        path: &str,
        what: &str,
        name: &str,
        known: &BTreeMap<String, T>,
    ) {
        if known.contains_key(name) {
            return;
        }
        let hint = match nearest(name, known.keys().map(String::as_str)) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("add: [{what}.{}]", name.escape_debug()),
        };
        self.error(
            path,
            format!("there is no {} {name:?}", what.replace('_', " ")),
            hint,
        );
    }

    pub(super) fn matches_some<T>(
        &mut self,
        path: &str,
        what: &str,
        glob: &Glob,
        known: &BTreeMap<String, T>,
    ) {
        if let Some(name) = glob.literal() {
            self.refers(path, what, name, known);
        } else if !known.is_empty() && !known.keys().any(|name| glob.matches(name)) {
            let hint = "remove it, or correct it";
            self.warning(path, format!("{:?} matches no {what}", glob.as_str()), hint);
        }
    }

    pub(super) fn relative(&mut self, path: &str, text: &str) {
        let absolute = text.starts_with(['/', '\\']) || text.chars().nth(1) == Some(':');
        if absolute || text.split(['/', '\\']).any(|part| part == "..") {
            let hint = "write a path below the repository's source, such as \"out/log.txt\"";
            self.error(
                path,
                format!("{text:?} leaves the source of the repository"),
                hint,
            );
        }
    }

    fn address(&mut self, path: &str, address: &str) {
        let host = address
            .strip_prefix("https://")
            .or_else(|| address.strip_prefix("http://"))
            .map(|rest| rest.split('/').next().unwrap_or_default());
        let bad = |host: &str| {
            host.is_empty() || address.chars().any(|c| c.is_whitespace() || c.is_control())
        };
        if !address.is_empty() && host.is_none_or(bad) {
            self.error(
                path,
                format!("{address:?} is no address"),
                "write \"https://host/path\"",
            );
        }
    }

    pub(super) fn env(&mut self, path: &str, env: &Env) {
        let mut seen = Vec::new();
        for var in env {
            if seen.contains(&var.name()) {
                let hint = "keep one of them; the last counts";
                self.warning(path, format!("{} is set twice", var.name()), hint);
            }
            seen.push(var.name());
        }
    }

    pub(super) fn error(
        &mut self,
        path: &str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.found.error(self.places.find(path), message, hint);
    }

    pub(super) fn warning(
        &mut self,
        path: &str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.found.warning(self.places.find(path), message, hint);
    }
}
