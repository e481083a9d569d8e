use buckets::Bucket;

/// The address of a bucket by what somebody gave: a name alone is one of Google's, as upstream has them.
#[must_use]
pub fn bucket_address(bucket: &str) -> String {
    match bucket.contains("://") {
        true => bucket.to_owned(),
        false => format!("gs://{bucket}"),
    }
}

/// Opens a bucket of S3 or Google's, with the keys that the environment has for it, and whom the system believes.
///
/// # Errors
///
/// When the address or the settings make no sense.
pub fn open_bucket(address: &str) -> anyhow::Result<Bucket> {
    let settings = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let tls = crate::tls_client_config(None, false)?;
    Ok(Bucket::open(&bucket_address(address), settings, tls)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_alone_is_one_of_google_s() {
        assert_eq!(bucket_address("golang/log"), "gs://golang/log");
        assert_eq!(bucket_address("s3://golang/log"), "s3://golang/log");
        let error = open_bucket("ftp://x").unwrap_err();
        assert!(error.to_string().contains("ftp"), "{error}");
    }
}
