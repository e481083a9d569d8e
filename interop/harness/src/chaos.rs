use std::fs;
use std::path::Path;

/// Numbers that are the same for the same seed, and fair enough to be unfair: xorshift.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Begins with a seed; any will do.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number, less than `limit`.
    ///
    /// # Panics
    ///
    /// When `limit` is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// The number in an environment variable, or `default` where it is not set.
///
/// # Panics
///
/// When it is something else than a number.
#[must_use]
pub fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| {
        let number = text.parse();
        number.unwrap_or_else(|_| panic!("{name} is no number: {text}"))
    })
}

/// A shell command for a build that may not run twice at a time: it holds a lock in the folder `locks`, named by builder and revision, while `command`
/// runs. If it does not get that within `wait` seconds, it takes a note for [`assert_exclusive`], and fails.
#[must_use]
pub fn exclusive(locks: &Path, wait: u32, command: &str) -> String {
    let locks = locks.display();
    format!(
        "exec 9>{locks}/$CI_BUILDER-$CI_REVISION.lock; \
         flock -w {wait} 9 || {{ echo $CI_BUILDER >> {locks}/twice; exit 9; }}; {command}"
    )
}

/// Fails if one of the [`exclusive`] builds ran twice at a time.
///
/// # Panics
///
/// That is how it fails.
pub fn assert_exclusive(locks: &Path) {
    let twice = fs::read_to_string(locks.join("twice")).unwrap_or_default();
    assert!(twice.is_empty(), "these ran twice at a time: {twice}");
}
