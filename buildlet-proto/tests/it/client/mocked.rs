//! Programs test themselves without a buildlet: by mocks of the trait.

use std::sync::Arc;

use async_trait::async_trait;
use buildlet_proto::client::{
    Archive, BoxIo, BrokenReason, BuildletClient, CallError, Content, Exec, ExecError, Listing,
    Outcome, Running,
};
use buildlet_proto::types::ext::{ArchiveFormat, Extension};
use buildlet_proto::types::{DirEntry, ExecRequest, FileMode, ListRequest, ProcessState, Status};

mockall::mock! {
    Buildlet {}

    #[async_trait]
    impl BuildletClient for Buildlet {
        fn name(&self) -> &str;
        async fn start(&self, request: ExecRequest) -> Result<Running, ExecError>;
        async fn exec(&self, exec: Exec) -> Result<Outcome, ExecError>;
        async fn put(&self, content: Content, path: &str, mode: FileMode) -> Result<(), CallError>;
        async fn put_tar(&self, archive: Archive, dir: &str) -> Result<(), CallError>;
        async fn put_tar_from_url(&self, url: &str, dir: &str) -> Result<(), CallError>;
        async fn get_tar(&self, dir: &str, preferred: ArchiveFormat) -> Result<Archive, CallError>;
        async fn list_dir(&self, request: ListRequest) -> Result<Listing, CallError>;
        async fn remove_all(&self, paths: &[String]) -> Result<(), CallError>;
        async fn status(&self) -> Result<Status, CallError>;
        async fn supports(&self, extension: Extension) -> Result<bool, CallError>;
        async fn work_dir(&self) -> Result<String, CallError>;
        async fn connect_ssh(&self, user: &str, authorized_key: &str) -> Result<BoxIo, CallError>;
        async fn proxy_tcp(&self, port: u16) -> Result<BoxIo, CallError>;
        fn broken(&self) -> Option<BrokenReason>;
        fn mark_broken(&self, reason: BrokenReason);
        async fn close(&self);
    }
}

/// A program's part that is to be tested.
async fn build(buildlet: &dyn BuildletClient) -> Result<Vec<DirEntry>, Box<dyn std::error::Error>> {
    buildlet.put_tar(Archive::tar_gz("tgz"), "go").await?;
    let exec = ExecRequest::new("go/src/make.bash").into();
    buildlet.exec(exec).await?.success()?;
    Ok(buildlet
        .list_dir(ListRequest::new("go/bin"))
        .await?
        .collect()
        .await?)
}

#[tokio::test]
async fn a_program_is_tested_with_a_mock() {
    let mut mock = MockBuildlet::new();
    mock.expect_put_tar()
        .withf(|_, dir| dir == "go")
        .times(1)
        .returning(|_, _| Ok(()));
    mock.expect_exec()
        .withf(|exec| exec.request().cmd() == "go/src/make.bash")
        .returning(|_| Ok(Outcome::new(ProcessState::Success)));
    let go = DirEntry::new(FileMode::DIR, "go");
    let listed = go.clone();
    mock.expect_list_dir()
        .returning(move |_| Ok(Listing::ready([listed.clone()])));
    let mock: Arc<dyn BuildletClient> = Arc::new(mock);
    assert_eq!(build(&*mock).await.unwrap(), [go]);
}

#[tokio::test]
async fn a_command_that_fails_is_told_from_a_buildlet_that_fails() {
    let mut mock = MockBuildlet::new();
    mock.expect_put_tar().returning(|_, _| Ok(()));
    mock.expect_exec()
        .returning(|_| Ok(Outcome::new(ProcessState::Exited(2))));
    let error = build(&mock).await.unwrap_err();
    let failed = error
        .downcast_ref::<buildlet_proto::client::CommandFailed>()
        .unwrap();
    assert_eq!(failed.outcome().state, ProcessState::Exited(2));
    assert_eq!(failed.to_string(), "exit status 2");

    let mut mock = MockBuildlet::new();
    mock.expect_put_tar().returning(|_, _| Ok(()));
    mock.expect_exec()
        .returning(|_| Err(ExecError::NoProcessState));
    let error = build(&mock).await.unwrap_err();
    assert!(error.downcast_ref::<ExecError>().unwrap().breaks());
}

#[tokio::test]
async fn a_running_command_can_be_made_up() {
    let mut mock = MockBuildlet::new();
    mock.expect_start().returning(|_| {
        let output = ["one\n", "two\n"].map(Into::into);
        Ok(Running::ready(
            output,
            Outcome::new(ProcessState::Exited(1)),
        ))
    });
    let mut running = mock.start(ExecRequest::new("x")).await.unwrap();
    assert_eq!(running.next_output().await.unwrap().unwrap(), "one\n");
    let mut rest = Vec::new();
    let outcome = running.copy_to(&mut rest).await.unwrap();
    assert_eq!(
        (&rest[..], outcome.state),
        (&b"two\n"[..], ProcessState::Exited(1))
    );
}
