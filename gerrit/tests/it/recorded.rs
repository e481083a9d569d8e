//! The calls that the Go package made against a recording server, made by this client.

use std::collections::BTreeMap;

use base64::Engine as _;
use futures_util::TryStreamExt as _;
use gerrit::types::*;
use gerrit::{
    AccountId, AccountOption, Auth, BranchName, ChangeId, ChangeOption, Client, Error, ErrorKind,
    FilePath, GroupId, ProjectName, Query, RevisionId, TagName, Token,
};
use http::Method;
use serde_json::{Value, json};

use crate::support::{Script, answer};

#[tokio::test]
async fn every_recorded_call_is_made_alike() {
    let vectors: Vec<Value> = serde_json::from_str(include_str!("../data/requests.json")).unwrap();
    assert_eq!(vectors.len(), 62);
    for vector in &vectors {
        let call = vector["call"].as_str().unwrap();
        let script = Script::new([answer(
            u16::try_from(vector["resp_status"].as_u64().unwrap()).unwrap(),
            response_body(vector),
        )]);
        let client = gerrit::Client::new("https://h", config(vector).transport(script.clone()));
        let result = make(call, &client.unwrap()).await;

        let asked = script.asked();
        assert_eq!(asked.len(), 1, "{call}");
        assert_eq!(
            asked[0].method,
            vector["method"].as_str().unwrap(),
            "{call}"
        );
        assert_eq!(
            asked[0].uri,
            format!("https://h{}", expected_uri(vector)),
            "{call}"
        );
        let authorization = asked[0].headers.get("authorization");
        let expected = vector["headers"]["Authorization"].as_str();
        assert_eq!(
            authorization.map(|value| value.to_str().unwrap()),
            expected,
            "{call}"
        );
        let content_type = asked[0].headers.get("content-type");
        let expected = vector["headers"]["Content-Type"].as_str();
        assert_eq!(
            content_type.map(|value| value.to_str().unwrap()),
            expected,
            "{call}"
        );
        assert_eq!(sent(&asked[0].body), expected_body(vector), "{call}");
        compare(call, vector, result);
    }
}

/// One attempt each: the recording server answers once.
fn config(vector: &Value) -> gerrit::Config {
    let authorization = vector["headers"]["Authorization"].as_str();
    let auth = match authorization.and_then(|text| text.split_once(' ')) {
        Some(("Bearer", token)) => Auth::bearer(Token::bearer(token)),
        Some((_, basic)) => {
            let pair = base64::prelude::BASE64_STANDARD.decode(basic).unwrap();
            let pair = String::from_utf8(pair).unwrap();
            let (user, password) = pair.split_once(':').unwrap();
            Auth::basic(user, password)
        }
        None => Auth::anonymous(),
    };
    gerrit::Config::default().auth(auth).attempts(1)
}

fn response_body(vector: &Value) -> String {
    match vector["resp_body"].as_str().unwrap() {
        "x repeated 5000 times" => "x".repeat(5000),
        body => body.to_owned(),
    }
}

/// What differs on purpose: no `?` without parameters, no `n` for a single change, and branches and plus signs are escaped.
fn expected_uri(vector: &Value) -> String {
    let uri = vector["request_uri"].as_str().unwrap();
    let uri = uri.strip_suffix('?').unwrap_or(uri);
    uri.replace("b+c.go", "b%2Bc.go")
        .replace("48330?n=3&", "48330?")
        .replace("branches/dev.x/y", "branches/dev.x%2Fy")
}

fn sent(body: &[u8]) -> Value {
    if body.is_empty() {
        return Value::Null;
    }
    let text = String::from_utf8(body.to_vec()).unwrap();
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

/// The recorded body, without fields that are `null`, which mean the same as none.
fn expected_body(vector: &Value) -> Value {
    let mut body = vector["body"]
        .as_str()
        .map_or(Value::Null, |body| sent(body.as_bytes()));
    if let Value::Object(fields) = &mut body {
        fields.retain(|_, value| !value.is_null());
    }
    body
}

fn compare(call: &str, vector: &Value, result: Result<Value, Error>) {
    // Where the client is more tolerant than the Go package.
    let accepted = match call {
        "frame: no newline" | "frame: JSON without prefix line, multi-line" => {
            Some(json!({"_account_id": 7}))
        }
        "frame: 201 where 200 wanted" => Some(json!({"_account_id": 7})),
        "time: null" => Some(json!({"_number": 1})),
        _ => None,
    };
    if let Some(accepted) = accepted {
        assert_eq!(result.unwrap(), accepted, "{call}");
        return;
    }
    // And where it is stricter: the first line is dropped only if it is the one that Gerrit sends.
    if call == "frame: prefix line of any content is skipped" {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Protocol);
        return;
    }
    let Some(go_error) = vector["go_error_text"].as_str() else {
        let result = result.unwrap_or_else(|error| panic!("{call}: {error:?}"));
        assert_eq!(
            without_zeros(result),
            without_zeros(vector["go_result"].clone()),
            "{call}"
        );
        return;
    };
    let error = result.unwrap_err();
    let kind = match vector["resp_status"].as_u64().unwrap() {
        _ if vector["is_not_exist"] == true => ErrorKind::NotFound,
        _ if vector["is_not_modified"] == true => ErrorKind::NotModified,
        409 => ErrorKind::Conflict,
        500 => ErrorKind::Server,
        200 => ErrorKind::Protocol,
        other => panic!("{call}: status {other} with {go_error}"),
    };
    assert_eq!(error.kind(), kind, "{call}");
    if let Some(status) = error.status() {
        let body = response_body(vector);
        assert_eq!(status.body(), &body[..body.len().min(4096)], "{call}");
    }
}

/// What the Go package shows for absent fields is dropped; it writes the key `email` of a person as `Email`.
fn without_zeros(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().filter_map(|(key, value)| {
                let key = if key == "Email" {
                    "email".to_owned()
                } else {
                    key
                };
                let value = without_zeros(value);
                (!is_zero(&value)).then_some((key, value))
            });
            Value::Object(fields.collect())
        }
        Value::Array(list) => list.into_iter().map(without_zeros).collect(),
        other => other,
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(is) => !is,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty() || text == "0001-01-01 00:00:00",
        Value::Array(list) => list.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

fn project(name: &str) -> ProjectName {
    ProjectName::new(name).unwrap()
}

fn show(value: impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap()
}

/// Makes the call that the Go package made, and returns its result as the Go package does: `null` where it has none.
async fn make(call: &str, client: &Client) -> Result<Value, Error> {
    let change = |id: &str| client.change(ChangeId::from_escaped(id).unwrap());
    let current = |id: &str| change(id).revision(RevisionId::current());
    let file = |path: &str| FilePath::new(path).unwrap();
    let me = || client.account(&AccountId::me());
    Ok(match call {
        "QueryChanges(\"status:open topic:wait-release\")" => {
            let query = Query::raw("status:open topic:wait-release");
            show(client.changes(query).page().await?.items)
        }
        _ if call.starts_with("QueryChanges(\"is:open") => {
            let query = Query::text("GitHub-Pull-Request: golang/go#42").unwrap();
            let options = [ChangeOption::Messages, ChangeOption::CurrentRevision];
            let search = client
                .changes(query)
                .page_size(10)
                .start(20)
                .options(options);
            show(search.page().await?.items)
        }
        "GetChange(\"48330\") no opts" => show(change("48330").get([]).await?),
        "GetChange(\"go~48330\", Fields=[LABELS SUBMITTABLE]) basic" => {
            let options = [ChangeOption::Labels, ChangeOption::Submittable];
            show(
                client
                    .change(ChangeId::new(&project("go"), 48330))
                    .get(options)
                    .await?,
            )
        }
        "GetChangeDetail(\"1\", Fields=[MESSAGES])" => {
            show(change("1").detail([ChangeOption::Messages]).await?)
        }
        "ListChangeComments(\"1\")" => drop_false(show(change("1").comments().await?)),
        "ListFiles(\"crypto~35958\",\"current\")" => show(current("crypto~35958").files().await?),
        "SetReview(\"go~1\",\"current\",{message,labels,comments,reviewers})" => {
            let cc = ReviewerInput::default()
                .reviewer("d@e.f")
                .state(ReviewerState::Cc);
            let review = ReviewInput::default()
                .message("hi <b>&")
                .vote("Code-Review", 1)
                .tag("autogenerated:ci")
                .comment(
                    "/PATCHSET_LEVEL",
                    CommentInput::default().message("m").unresolved(true),
                )
                .comment(
                    "a.go",
                    CommentInput::default()
                        .line(3)
                        .message("x")
                        .in_reply_to("abc"),
                )
                .reviewers([ReviewerInput::default().reviewer("a@b.c"), cc]);
            current("go~1").review(&review).await?;
            Value::Null
        }
        "SetReview empty" => {
            let revision = change("1").revision(2);
            revision.review(&ReviewInput::default()).await?;
            Value::Null
        }
        "ListReviewers(\"go~1\")" => show(change("go~1").reviewers().await?),
        "SetHashtags add" => {
            let input = HashtagsInput::default().adding("wait-release");
            show(change("go~1").set_hashtags(&input).await?)
        }
        "RemoveHashtags" => {
            let input = HashtagsInput::default().removing("wait-author");
            show(change("1").set_hashtags(&input).await?)
        }
        "GetHashtags" => show(change("1").hashtags().await?),
        "DeleteTopic" => show(change("go~1").delete_topic().await?),
        "frame: 200 where 204 wanted" => show(change("1").delete_topic().await?),
        "AbandonChange with message" => {
            let input = AbandonInput::default().message("Auto-abandoning old scratch review.");
            change("1").abandon(&input).await?;
            Value::Null
        }
        "AbandonChange no message" => {
            change("1").abandon(&AbandonInput::default()).await?;
            Value::Null
        }
        "ListProjects" => show(client.projects().await?),
        "CreateProject(\"a/b\",{parent,...})" => {
            let input = ProjectInput::default()
                .parent("All-Projects")
                .description("d")
                .submit_type("CHERRY_PICK")
                .create_new_change_for_all_not_in_target("TRUE");
            show(client.project(&project("a/b")).create(&input).await?)
        }
        "CreateProject(\"a/b\") 409" => show(
            client
                .project(&project("a/b"))
                .create(&ProjectInput::default())
                .await?,
        ),
        "CreateChange" => {
            let input = ChangeInput::default()
                .project("go")
                .branch("master")
                .subject("s\n\nbody");
            show(client.create_change(&input).await?)
        }
        "ChangeFileContentInChangeEdit(\"1\",\"a dir/b.go\",\"data\")" => show(
            change("1")
                .edit()
                .put_file(&file("a dir/b+c.go"), "data\n")
                .await?,
        ),
        "ChangeFileContentInChangeEdit not modified"
        | "ChangeFileContentInChangeEdit other conflict" => {
            show(change("1").edit().put_file(&file("a"), "data").await?)
        }
        "DeleteFileInChangeEdit(\"1\",\"x/y\")" => {
            show(change("1").edit().delete_file(&file("x/y")).await?)
        }
        "PublishChangeEdit(\"1\")" => show(change("1").edit().publish().await?),
        "GetProjectInfo(\"a/b\")" => show(client.project(&project("a/b")).get().await?),
        "GetProjectInfo 404" => show(client.project(&project("unknown")).get().await?),
        "GetProjectBranches(\"go\")" => {
            // The Go package asks with a slash at the end, and keys the list.
            let branches = client.call(Method::GET, "/projects/go/branches/").fetch();
            let branches: Vec<BranchInfo> = branches.await?;
            let keyed = branches
                .into_iter()
                .map(|branch| (branch.git_ref.clone(), branch));
            show(keyed.collect::<BTreeMap<_, _>>())
        }
        "ListBranches(\"go\")" => show(client.project(&project("go")).branches().await?),
        "GetBranch(\"a/b\",\"dev.x/y\")" => {
            let branch = BranchName::new("dev.x/y").unwrap();
            show(client.project(&project("a/b")).branch(&branch).await?)
        }
        "CreateBranch(\"a/b\",\"x/y\",{revision})" => {
            let branch = BranchName::new("x/y").unwrap();
            let input = BranchInput::default().revision("master");
            show(
                client
                    .project(&project("a/b"))
                    .create_branch(&branch, &input)
                    .await?,
            )
        }
        "GetFileContent(\"a/b\",\"deadbeef\",\"src/x y.go\")" => {
            let project = client.project(&project("a/b"));
            let content = project
                .file_at_commit("deadbeef", &file("src/x y.go"))
                .await?;
            let pieces: Vec<_> = content.try_collect().await?;
            Value::String(String::from_utf8(pieces.concat()).unwrap())
        }
        "GetProjectTags(\"go\")" => {
            let tags = client.project(&project("go")).tags().await?;
            let keyed = tags.into_iter().map(|tag| (tag.git_ref.clone(), tag));
            show(keyed.collect::<BTreeMap<_, _>>())
        }
        "GetTag(\"a/b\",\"gopls/v0.1.0\")" => {
            let tag = TagName::new("gopls/v0.1.0").unwrap();
            show(client.project(&project("a/b")).tag(&tag).await?)
        }
        "CreateTag(\"go\",\"gopls/v0.1.0\",{revision,message})" => {
            let tag = TagName::new("gopls/v0.1.0").unwrap();
            let input = TagInput::default().revision("abc").message("m");
            show(
                client
                    .project(&project("go"))
                    .create_tag(&tag, &input)
                    .await?,
            )
        }
        "DeleteTag(\"go\",\"v1\")" => {
            let tag = TagName::new("v1").unwrap();
            show(client.project(&project("go")).delete_tag(&tag).await?)
        }
        "QueryAccounts(\"is:active\", N=2, Fields=[DETAILS])" => {
            let search = client.accounts(Query::raw("is:active")).page_size(2);
            show(search.options([AccountOption::Details]).page().await?.items)
        }
        "GetGroups()" => show(client.groups().await?),
        "GetGroupMembers(\"may-start-trybots\")" => {
            let group = GroupId::new("may-start-trybots").unwrap();
            show(client.group(&group).members().await?)
        }
        "SubmitChange(\"1\")" | "SubmitChange(\"1\") 409" => show(change("1").submit(None).await?),
        "GetMergeable(\"1\",\"current\")" => show(current("1").mergeable().await?),
        "GetRevisionActions(\"1\",\"current\")" => show(current("1").actions().await?),
        "GetRelatedChanges(\"1\",\"current\")" => show(current("1").related().await?),
        _ if call.starts_with("GetCommitsInRefs(") => {
            let project = client.project(&project("a/b"));
            let refs = ["refs/heads/master", "refs/heads/x"];
            show(project.commits_in_refs(["c1", "c2"], refs).await?)
        }
        "CherryPickRevision" => {
            let input = CherryPickInput::default().destination("release-branch.go1.25");
            show(
                current("1")
                    .cherry_pick(&input.keep_reviewers(true))
                    .await?,
            )
        }
        "MoveChange" => {
            let input = MoveInput::default()
                .destination_branch("x")
                .keep_all_votes(true);
            show(change("1").move_to(&input).await?)
        }
        "RebaseChange {}" => show(change("1").rebase(&RebaseInput::default()).await?),
        "RebaseChange {base}" => {
            let input = RebaseInput::default().base(Some("123".to_owned()));
            show(change("1").rebase(&input.allow_conflicts(true)).await?)
        }
        "GetCommitMessage(\"1\")" => show(change("1").commit_message().await?),
        _ if call.starts_with("time: ") => show(change("1").get([]).await?),
        _ if call.starts_with("frame: ") || call.starts_with("GetAccountInfo(\"self\")") => {
            show(me().get().await?)
        }
        other => panic!("no call is known as {other}"),
    })
}

/// `unresolved` has three values, of which the Go package shows two as they are.
fn drop_false(value: Value) -> Value {
    assert_eq!(value["/PATCHSET_LEVEL"][0]["unresolved"], false);
    value
}
