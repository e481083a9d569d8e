use std::fmt::Write as _;

use dashboard_config::{Builder, Config, Notify, NotifyOn};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::model::{Build, Cause, NewDelivery};
use crate::store::{BuildFilter, Store, StoreError};

/// The header with a message's signature.
pub const SIGNATURE: &str = "X-Hub-Signature-256";

/// The signature of a message under a secret.
#[must_use]
#[expect(clippy::missing_panics_doc, reason = "HMAC takes keys of any length")]
pub fn signature(secret: &[u8], body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(body.as_bytes());
    let mut text = String::from("sha256=");
    for byte in mac.finalize().into_bytes() {
        write!(text, "{byte:02x}").expect("a string takes everything");
    }
    text
}

/// Who is to be told that a build is done with `cause`.
pub(crate) async fn deliveries(
    store: &Store,
    config: &Config,
    build: &Build,
    cause: Cause,
    message: &str,
) -> Result<Vec<NewDelivery>, StoreError> {
    let Some(builder) = config.builder(&build.key.builder) else {
        return Ok(Vec::new());
    };
    let rules: Vec<&Notify> = config
        .notify(builder)
        .filter(|rule| rule.webhook.is_some())
        .collect();
    if rules.is_empty() {
        return Ok(Vec::new());
    }
    let previous = previous(store, build).await?;
    let wanted = rules.into_iter().filter(|rule| {
        rule.on
            .iter()
            .any(|on| is_told(*on, builder, cause, previous))
    });
    let deliveries = wanted.map(|rule| NewDelivery {
        target: rule.name.clone(),
        event: "build_done".into(),
        body: body(config, build, cause, previous, message),
    });
    Ok(deliveries.collect())
}

/// The rules with `terminal` that want to know of a build that is done, each with what it wants to know it as.
///
/// # Errors
///
/// The database's.
pub async fn terminal_rules(
    store: &Store,
    config: &Config,
    build: &Build,
) -> Result<Vec<(String, NotifyOn)>, StoreError> {
    let (Some(cause), Some(builder)) = (build.cause(), config.builder(&build.key.builder)) else {
        return Ok(Vec::new());
    };
    let rules: Vec<&Notify> = config
        .notify(builder)
        .filter(|rule| rule.terminal)
        .collect();
    if rules.is_empty() {
        return Ok(Vec::new());
    }
    let previous = previous(store, build).await?;
    let wanted = rules.into_iter().filter_map(|rule| {
        let on = (rule.on.iter()).find(|on| is_told(**on, builder, cause, previous))?;
        Some((rule.name.clone(), *on))
    });
    Ok(wanted.collect())
}

/// The last verdict before on the same branch and builder.
async fn previous(store: &Store, build: &Build) -> Result<Option<Cause>, StoreError> {
    let Some(branch) = &build.branch else {
        return Ok(None);
    };
    let filter = BuildFilter::default()
        .repository(&build.key.repository)
        .branch(branch)
        .builder(&build.key.builder)
        .done(true)
        .before(build.id);
    // Cancelled ones and such say nothing; more than some in a row are as good as none.
    let page = store.builds(&filter, 20).await?;
    Ok(page
        .builds
        .iter()
        .filter_map(|row| row.build.cause())
        .find(|cause| cause.is_verdict()))
}

/// Whether a rule wants to know.
fn is_told(on: NotifyOn, builder: &Builder, cause: Cause, previous: Option<Cause>) -> bool {
    let failed = matches!(cause, Cause::Failed | Cause::TimedOut);
    let succeeded = cause == Cause::Succeeded;
    let failed_before = matches!(previous, Some(Cause::Failed | Cause::TimedOut));
    let expected = builder.has_known_issue();
    match on {
        NotifyOn::Broken => failed && !failed_before && !expected,
        NotifyOn::Fixed => succeeded && failed_before,
        NotifyOn::Failed => failed && !expected,
        NotifyOn::Succeeded => succeeded,
        _ => false,
    }
}

fn body(
    config: &Config,
    build: &Build,
    cause: Cause,
    previous: Option<Cause>,
    message: &str,
) -> String {
    let address = config.environment().coordinator_url.trim_end_matches('/');
    let url = (!address.is_empty()).then(|| format!("{address}/builds/{}", build.id));
    serde_json::json!({
        "event": "build_done",
        "build": build.id,
        "repository": build.key.repository,
        "revision": build.key.revision,
        "branch": build.branch,
        "builder": build.key.builder,
        "result": cause,
        "previous_result": previous,
        "message": message,
        "url": url,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_one_that_receivers_compute() {
        // The example of the well-known form's documentation.
        assert_eq!(
            signature(b"It's a Secret to Everybody", "Hello, World!"),
            "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
        );
    }

    #[test]
    fn what_breaks_and_what_is_fixed_is_told_once() {
        let text = "[repo.r]\nclone_url = '/r'\n[host.h]\npool = 'process'\n[builder.b]\nhost_type = 'h'\n\
                    [[builder.b.step]]\nrun = ['true']\n[builder.flaky]\nhost_type = 'h'\nknown_issues = [7]\n\
                    [[builder.flaky.step]]\nrun = ['true']\n";
        let config = Config::parse("t", text).unwrap_or_else(|error| panic!("{error}"));
        let builder = config.builder("b").unwrap();
        let told = |on, cause, previous| is_told(on, builder, cause, previous);
        assert!(told(NotifyOn::Broken, Cause::Failed, None));
        assert!(told(
            NotifyOn::Broken,
            Cause::TimedOut,
            Some(Cause::Succeeded)
        ));
        assert!(!told(
            NotifyOn::Broken,
            Cause::Failed,
            Some(Cause::TimedOut)
        ));
        assert!(
            !told(NotifyOn::Broken, Cause::Network, Some(Cause::Succeeded)),
            "no machine's fault is told"
        );
        assert!(told(NotifyOn::Fixed, Cause::Succeeded, Some(Cause::Failed)));
        assert!(!told(NotifyOn::Fixed, Cause::Succeeded, None));
        assert!(!told(
            NotifyOn::Fixed,
            Cause::Succeeded,
            Some(Cause::Succeeded)
        ));
        let flaky = config.builder("flaky").unwrap();
        assert!(
            !is_told(NotifyOn::Failed, flaky, Cause::Failed, None),
            "expected failures are told to nobody"
        );
    }
}
