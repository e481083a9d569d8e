use std::fmt;
use std::io::{self, Write as _};
use std::panic::Location;

/// The environment variable that, set to `1`, turns skipping into failing.
pub const REQUIRE: &str = "REQUIRE_INTEROP";

/// Why a program cannot be had on this machine, and what would change that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skip {
    program: String,
    reason: String,
    remedy: String,
}

impl Skip {
    pub(crate) fn new(program: &str, reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            program: program.to_owned(),
            reason: reason.into(),
            remedy: remedy.into(),
        }
    }

    /// The program that is missing.
    #[must_use]
    pub fn program(&self) -> &str {
        &self.program
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            program,
            reason,
            remedy,
        } = self;
        write!(f, "{program}: {reason}; {remedy}")
    }
}

impl std::error::Error for Skip {}

/// Whether `REQUIRE_INTEROP=1` is set.
#[must_use]
pub fn required() -> bool {
    std::env::var_os(REQUIRE).is_some_and(|value| value == "1")
}

#[track_caller]
pub(crate) fn or_skip<T>(found: Result<T, Skip>, required: bool) -> Option<T> {
    match found {
        Ok(found) => Some(found),
        Err(skip) if required => {
            panic!("{REQUIRE}=1, and a program to test against is missing: {skip}")
        }
        Err(skip) => {
            // Not `eprintln!`: the test runner swallows that for tests that pass.
            let place = Location::caller();
            let line = format!("SKIPPED the test at {place}: {skip}\n");
            io::stderr()
                .write_all(line.as_bytes())
                .expect("standard error is open while tests run");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing() -> Result<u8, Skip> {
        Err(Skip::new(
            "made-up-for-this-test",
            "not on PATH",
            "install it",
        ))
    }

    #[test]
    fn a_missing_program_skips() {
        assert_eq!(or_skip(missing(), false), None);
    }

    #[test]
    #[should_panic(
        expected = "REQUIRE_INTEROP=1, and a program to test against is missing: made-up-for-this-test: not on PATH; install it"
    )]
    fn a_missing_program_fails_when_required() {
        let _ = or_skip(missing(), true);
    }

    #[test]
    fn a_found_program_is_passed_on() {
        assert_eq!(or_skip(Ok(7), true), Some(7));
        assert_eq!(or_skip(Ok(7), false), Some(7));
    }
}
