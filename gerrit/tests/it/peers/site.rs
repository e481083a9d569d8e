//! A project, two people and a work tree, on the server that all tests share.

use std::fmt::Debug;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use gerrit::types::{AccountInput, ChangeInput, ProjectInput};
use gerrit::{
    AccountId, Auth, BranchName, Change, ChangeId, ChangeOption, Client, Config, ProjectName, Query,
};
use harness::Gerrit;
use tempfile::TempDir;

/// Every test has its own, so that they do not see each other.
pub(crate) struct Site {
    pub(crate) server: &'static Gerrit,
    pub(crate) project: ProjectName,
    /// May do everything.
    pub(crate) admin: Client,
    /// Has an account and nothing else.
    pub(crate) rita: Client,
    pub(crate) rita_id: AccountId,
    /// With an empty first commit.
    pub(crate) tree: TempDir,
}

impl Site {
    /// None where there is no Gerrit. `name` tells the test from the others.
    pub(crate) async fn open(name: &str) -> Option<Self> {
        // Starting takes a while, and other tests wait for it too.
        let server = tokio::task::spawn_blocking(harness::gerrit_or_skip);
        let server = server.await.unwrap()?;
        let admin = client(server, server.user(), server.password());
        let project = ProjectName::new(format!("peers/{name} of it")).unwrap();
        let input = ProjectInput::default()
            .create_empty_commit(true)
            .description("made by a test");
        known(admin.project(&project).create(&input).await.unwrap());
        let user = format!("rita.{name}");
        let account = admin.account(&AccountId::new(user.as_str()).unwrap());
        let input = AccountInput::default()
            .name(format!("Rita {name}"))
            .email(format!("{user}@example.org"))
            .http_password("only for a test");
        let rita_id = known(account.create(&input).await.unwrap()).account_id;
        let tree = tempfile::tempdir().unwrap();
        let site = Self {
            rita: client(server, &user, "only for a test"),
            rita_id: AccountId::from(rita_id),
            server,
            project,
            admin,
            tree,
        };
        let url = server.git_url(&site.project.as_str().replace(' ', "%20"));
        site.git(&["clone", "--quiet", &url, "."]);
        Some(site)
    }

    pub(crate) fn anonymous(&self) -> Client {
        Client::new(self.server.url(), Config::default().attempts(1)).unwrap()
    }

    /// Runs git in the work tree and returns what it prints.
    pub(crate) fn git(&self, args: &[&str]) -> String {
        git(self.tree.path(), args)
    }

    /// Commits `content` as `file` and pushes it for review, as the commit with the footer that `id` stands for.
    pub(crate) async fn push(&self, id: u8, file: &str, content: &str) -> Change {
        let path = self.tree.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        let change_id = self.change_id(id);
        let message = format!("{file}: changed\n\nSaid at length.\n\nChange-Id: {change_id}");
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", &message]);
        self.push_head(id).await
    }

    /// Pushes what is committed.
    pub(crate) async fn push_head(&self, id: u8) -> Change {
        self.git(&["push", "--quiet", "origin", "HEAD:refs/for/master"]);
        let query = Query::field("change", &self.change_id(id)).unwrap();
        let found = self.admin.changes(query).all().await.unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        self.admin.change(self.id(found[0].number))
    }

    /// Makes a change without git.
    pub(crate) async fn create(&self, subject: &str) -> Change {
        let input = ChangeInput::default()
            .project(self.project.as_str())
            .branch("master")
            .subject(subject);
        let change = known(self.admin.create_change(&input).await.unwrap());
        self.admin.change(self.id(change.number))
    }

    pub(crate) fn id(&self, number: u64) -> ChangeId {
        ChangeId::new(&self.project, number)
    }

    pub(crate) async fn number(&self, change: &Change) -> u64 {
        change.get([]).await.unwrap().number
    }

    /// The same change, as somebody else sees it.
    pub(crate) async fn seen_by(&self, client: &Client, change: &Change) -> Change {
        client.change(self.id(self.number(change).await))
    }

    /// Starts a branch where `master` is.
    pub(crate) async fn branch(&self, name: &str) -> BranchName {
        let branch = BranchName::new(name).unwrap();
        let project = self.admin.project(&self.project);
        let input = gerrit::types::BranchInput::default().revision("master");
        known(project.create_branch(&branch, &input).await.unwrap());
        branch
    }

    /// Made of the project's name, as ids of changes are looked for in all projects.
    pub(crate) fn change_id(&self, id: u8) -> String {
        let name: String = (self.project.as_str().bytes())
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("I{:0<38.38}{id:02x}", &name[12..])
    }
}

pub(crate) fn client(server: &Gerrit, user: &str, password: &str) -> Client {
    let config = Config::default()
        .attempts(1)
        .attempt_timeout(Duration::from_secs(600))
        .auth(Auth::basic(user, password));
    Client::new(server.url(), config).unwrap()
}

fn git(tree: &Path, args: &[&str]) -> String {
    let mut command = Command::new("git");
    command.current_dir(tree).args(args);
    // What the person has set is none of its business.
    command.env("HOME", tree).env("GIT_CONFIG_NOSYSTEM", "1");
    command.env("GIT_CONFIG_GLOBAL", "/dev/null");
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "Administrator");
        command.env(format!("GIT_{who}_EMAIL"), "admin@example.com");
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {args:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// Passes an answer on in which every field has a name of ours.
#[track_caller]
pub(crate) fn known<T: Debug>(answer: T) -> T {
    let shown = format!("{answer:?}");
    let unknown: Vec<String> = (shown.match_indices("unknown: {\""))
        .map(|(at, _)| shown[at..].chars().take(120).collect())
        .collect();
    assert!(
        unknown.is_empty(),
        "the server says more than the types have names for: {unknown:#?}"
    );
    assert!(
        !shown.contains("Other(\""),
        "a word without a name: {shown}"
    );
    answer
}

/// Everything that can be asked about a change.
pub(crate) fn every_option() -> Vec<ChangeOption> {
    vec![
        ChangeOption::Labels,
        ChangeOption::DetailedLabels,
        ChangeOption::SubmitRequirements,
        ChangeOption::AllRevisions,
        ChangeOption::DownloadCommands,
        ChangeOption::AllCommits,
        ChangeOption::AllFiles,
        ChangeOption::DetailedAccounts,
        ChangeOption::ReviewerUpdates,
        ChangeOption::Messages,
        ChangeOption::CurrentActions,
        ChangeOption::ChangeActions,
        ChangeOption::Reviewed,
        ChangeOption::Submittable,
        ChangeOption::WebLinks,
        ChangeOption::Check,
        ChangeOption::CommitFooters,
        ChangeOption::PushCertificates,
        ChangeOption::TrackingIds,
        ChangeOption::CustomKeyedValues,
        ChangeOption::Star,
        ChangeOption::Parents,
    ]
}
