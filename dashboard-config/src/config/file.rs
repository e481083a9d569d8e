use std::collections::BTreeMap;

use crate::model::{Builder, Environment, Host, Notify, Policy, Repository, Retention, TestPolicy};
use crate::record::record;

record! {
    /// What the files of a configuration hold together.
    pub(crate) struct File with Default {
        /// The deployment: what there is once.
        pub environment: Environment = Environment::default(),
        /// How long builds are kept.
        pub retention: Retention = Retention::default(),
        /// Kinds of machines.
        pub hosts as "host": BTreeMap<String, Host> = BTreeMap::new(),
        /// Git repositories.
        pub repositories as "repo": BTreeMap<String, Repository> = BTreeMap::new(),
        /// What is built, where and how.
        pub builders as "builder": BTreeMap<String, Builder> = BTreeMap::new(),
        /// Rules about what is built.
        pub policies as "policy": BTreeMap<String, Policy> = BTreeMap::new(),
        /// Rules about which tests run.
        pub test_policies as "test_policy": BTreeMap<String, TestPolicy> = BTreeMap::new(),
        /// Who is told of results.
        pub notify: BTreeMap<String, Notify> = BTreeMap::new(),
        /// Short words for builders in requests for tries; an empty one is known and stands for none.
        pub aliases as "alias": BTreeMap<String, String> = BTreeMap::new(),
    }
}
