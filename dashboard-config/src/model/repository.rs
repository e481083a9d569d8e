use std::time::Duration;

use crate::record::record;
use crate::text::{Glob, ReleaseBranch};

record! {
    /// A git repository.
    pub struct Repository named name {
        /// Where git fetches it from: an address, or a path of this machine. One that begins with a dot is a path from the directory of the file.
        pub clone_url: String = String::new(),
        /// The branches that are looked at; patterns. An empty list: none, and only what is asked for is built.
        pub branches: Vec<Glob> = vec![Glob::any()],
        /// How often they are looked at.
        pub poll: Duration = Duration::from_secs(30),
        /// How many commits before the newest one of each branch are built too, the newest first.
        pub history: u32 = 0,
        /// The repository it is built against, by name; none: it stands alone.
        pub base: Option<String> = None,
        /// The branch that others start from; one of the environment's main branches, if not given.
        pub main_branch: Option<String> = None,
        /// How its release branches are named; as the environment says, if not given.
        pub release_branch: Option<ReleaseBranch> = None,
        /// Whether it is built at all.
        pub can_build: bool = true,
        /// Whether the dashboard has rows for it.
        pub show_on_dashboard: bool = true,
        /// What programs import it as.
        pub import_path: String = String::new(),
        /// Its name at the review server.
        pub review_project: String = String::new(),
        /// Its owner and name at GitHub.
        pub github_repo: String = String::new(),
        /// Whether it is mirrored there.
        pub mirror_to_github: bool = false,
        /// The project of the cloud's source repositories that it is mirrored to.
        pub mirror_to_csr_project: String = String::new(),
        /// One line about it, for people.
        pub description: String = String::new(),
    }
}
