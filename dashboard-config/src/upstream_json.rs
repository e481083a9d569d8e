//! The JSON in which upstream's `/builders` page shows its configuration.

use crate::config::Config;
use crate::model::{Builder, Host, Pool};
use crate::record::Value;

impl Config {
    /// The answer to `/builders?mode=json` as upstream of 2022 gives it, for programs that ask a coordinator: the same keys in the same order, indented by
    /// tabs, with what Go's encoder escapes.
    ///
    /// What upstream has no word for is not in it: steps, and hosts of the pool of local processes look like reverse ones. Owners are names only.
    #[must_use]
    pub fn to_upstream_json(&self) -> String {
        let builders = self
            .builders()
            .map(|builder| (builder.name.clone(), builder_json(builder)));
        let hosts = self
            .hosts()
            .map(|host| (host.name.clone(), host_json(host)));
        let mut text = Value::object([
            ("Builders", Value::Table(builders.collect())),
            ("Hosts", Value::Table(hosts.collect())),
        ])
        .to_json("\t");
        text.push('\n');
        text
    }
}

fn builder_json(builder: &Builder) -> Value {
    let go = builder.go.clone().unwrap_or_default();
    let version = builder.minimum_version;
    let cross = go.cross_compile.as_ref().map_or(Value::Null, |cross| {
        Value::object([
            ("CompileHostType", cross.host_type.as_str().into()),
            ("CCForTarget", cross.cc_for_target.as_str().into()),
            ("GOARM", cross.goarm.as_str().into()),
            ("AlwaysCrossCompile", cross.always.into()),
        ])
    });
    Value::object([
        ("Name", builder.name.as_str().into()),
        ("HostType", builder.host_type.as_str().into()),
        (
            "KnownIssue",
            Value::Int(builder.known_issues.first().copied().unwrap_or(0).into()),
        ),
        ("Notes", builder.notes.as_str().into()),
        ("CompileOnly", go.compile_only.into()),
        ("FlakyNet", go.flaky_net.into()),
        ("RunBench", go.run_bench.into()),
        (
            "MinimumGoVersion",
            Value::object([
                ("Major", Value::Int(version.major.into())),
                ("Minor", Value::Int(version.minor.into())),
            ]),
        ),
        ("SkipSnapshot", go.skip_snapshot.into()),
        ("StopAfterMake", go.stop_after_make.into()),
        ("InstallRacePackages", list(&go.install_race_packages)),
        ("GoDeps", list(&builder.contains)),
        ("CrossCompileConfig", cross),
    ])
}

fn host_json(host: &Host) -> Value {
    let timeout = host.delete_timeout.map_or(0, |timeout| timeout.as_nanos());
    let owners = host
        .owners
        .iter()
        .map(|name| Value::object([("Name", name.as_str().into())]));
    Value::object([
        ("HostType", host.name.as_str().into()),
        ("VMImage", host.vm_image.as_str().into()),
        ("ContainerImage", host.container_image.as_str().into()),
        (
            "IsReverse",
            matches!(host.pool, Pool::Reverse | Pool::Process).into(),
        ),
        ("RegularDisk", host.regular_disk.into()),
        ("MinCPUPlatform", host.min_cpu_platform.as_str().into()),
        (
            "DeleteTimeout",
            Value::Int(i64::try_from(timeout).unwrap_or(i64::MAX)),
        ),
        ("ExpectNum", Value::Int(host.expect_num.into())),
        ("HermeticReverse", host.hermetic_reverse.into()),
        ("NestedVirt", host.nested_virt.into()),
        ("KonletVMImage", host.konlet_vm_image.as_str().into()),
        (
            "Owners",
            if host.owners.is_empty() {
                Value::Null
            } else {
                Value::List(owners.collect())
            },
        ),
        ("Notes", host.notes.as_str().into()),
        ("SSHUsername", host.ssh_username.as_str().into()),
    ])
}

/// An empty list is `null`, as Go's are that were never made.
fn list(items: &[String]) -> Value {
    if items.is_empty() {
        return Value::Null;
    }
    Value::List(items.iter().map(|item| item.as_str().into()).collect())
}
