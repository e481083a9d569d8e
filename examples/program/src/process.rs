//! What a server does to its own process before it begins.

#[cfg(unix)]
use rustix::process::{Resource, getrlimit, setrlimit};

/// Descriptors that are asked for at most: enough for tens of thousands of connections, and few enough that a program started from here,
/// which has the limit too, and closes all that it could have open, is done soon.
#[cfg(unix)]
const MOST_FILES: u64 = 1 << 16;

/// Allows this process as many open files and connections as it may have, up to 65,536. Systems often begin with 1,024, for the sake of
/// programs that are older than that. What it starts has the same limit.
pub fn raise_file_limit() {
    #[cfg(unix)]
    {
        let mut limit = getrlimit(Resource::Nofile);
        let most = limit.maximum.unwrap_or(MOST_FILES).min(MOST_FILES);
        // No limit at all is left as it is.
        if limit.current.is_some_and(|current| current < most) {
            limit.current = Some(most);
            if let Err(error) = setrlimit(Resource::Nofile, limit) {
                tracing::warn!(%error, "the number of open files stays limited");
            }
        }
    }
}

/// Has memory given back to the system when large pieces of it are freed.
///
/// glibc does so for pieces of 128 KiB and more, until the first of them is freed: from then on pieces of that size come from its heaps,
/// of which there are eight for each processor, and which do not shrink while anything small stands at their end. A coordinator that
/// compresses a thousand logs, each with some 400 KiB for a moment, grew so to three times the memory that it needs.
pub(crate) fn return_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const MAPPED_ALONE: libc::c_int = 128 << 10;
        #[expect(
            unsafe_code,
            reason = "nothing safe sets it, and the environment would be inherited"
        )]
        // SAFETY: it sets numbers of the allocator, at any time and with any other thread running.
        unsafe {
            // Each that is set is no longer changed by the allocator. If it refuses, it goes on as before.
            libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_ALONE);
            libc::mallopt(libc::M_TRIM_THRESHOLD, MAPPED_ALONE);
            libc::mallopt(libc::M_ARENA_MAX, 2);
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn as_many_files_may_be_open_as_the_system_allows() {
        raise_file_limit();
        let limit = getrlimit(Resource::Nofile);
        let most = limit.maximum.unwrap_or(MOST_FILES).min(MOST_FILES);
        assert!(
            limit.current.is_none_or(|current| current >= most),
            "{limit:?}"
        );
    }
}
