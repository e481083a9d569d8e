use crate::record::record;

record! {
    /// What upstream's coordinator knows about a build of Go, besides what every builder has.
    pub struct GoBuild with Default {
        /// The operating system that is built for; the builder's name up to its first dash, if not given.
        pub goos: Option<String> = None,
        /// The architecture that is built for; the builder's name between its first dashes, if not given.
        pub goarch: Option<String> = None,
        /// Whether tests run with the race detector; as the builder's name ends in -race, if not given.
        pub race: Option<bool> = None,
        /// Whether long tests run; as the builder's name ends in -longtest, if not given.
        pub long_test: Option<bool> = None,
        /// Whether tests are compiled and not run.
        pub compile_only: bool = false,
        /// Whether tests that use the network may fail.
        pub flaky_net: bool = false,
        /// Whether benchmarks run when the repository benchmarks is built.
        pub run_bench: bool = false,
        /// Whether the built tree is not kept for helpers and for other repositories.
        pub skip_snapshot: bool = false,
        /// Whether the build ends after the make script.
        pub stop_after_make: bool = false,
        /// Whether the tests of the main repository may fetch modules.
        pub needs_go_proxy: bool = false,
        /// Packages to install with the race detector after the make script.
        pub install_race_packages: Vec<String> = Vec::new(),
        /// Arguments of the script that builds and tests everything.
        pub all_script_args: Vec<String> = Vec::new(),
        /// Whether the make script runs on another kind of machine.
        pub cross_compile: Option<CrossCompile> = None,
    }
}

record! {
    /// Where the make script runs instead.
    pub struct CrossCompile {
        /// The kind of machine: the name of a host table.
        pub host_type: String,
        /// The C compiler for the target.
        pub cc_for_target: String = String::new(),
        /// The version of the ARM architecture.
        pub goarm: String = String::new(),
        /// Whether after merging too, and not only for changes before.
        pub always: bool = false,
    }
}
