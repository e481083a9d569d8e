/// Numbers, words and people by chance: the same for the same seed, on every machine.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The `SplitMix64` generator.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to below 1.
    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whether something of this probability happens.
    pub(super) fn happens(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// From `low` to below `high`.
    pub(super) fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self
            .next()
            .rem_euclid((high - low).unsigned_abs())
            .cast_signed()
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(super) fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// An index below `bound`, small ones far more often.
    pub(super) fn skewed(&mut self, bound: usize) -> usize {
        (bound as f64 * self.unit().powi(4)) as usize
    }

    /// How often something happens before it does not.
    pub(super) fn exponential(&mut self, mean: f64, most: usize) -> usize {
        ((-mean * (1.0 - self.unit()).ln()) as usize).min(most)
    }

    /// A text whose length is log-normally distributed around this median of bytes.
    pub(super) fn text(&mut self, median: f64, sigma: f64, longest: usize) -> String {
        // Twelve uniform numbers are nearly normal, and the same on every machine.
        let normal: f64 = (0..12).map(|_| self.unit()).sum::<f64>() - 6.0;
        let len = (median * (sigma * normal).exp()) as usize;
        let len = len.clamp(1, longest);
        let mut text = String::with_capacity(len + 16);
        while text.len() < len {
            text.push_str(self.one_of::<&str>(WORDS));
            text.push(if self.happens(0.08) { '\n' } else { ' ' });
        }
        text.truncate(len);
        text.trim().to_owned()
    }

    /// A line of a few words.
    pub(super) fn title(&mut self) -> String {
        let package = *self.one_of(DIRS);
        let text = self.text(45.0, 0.35, 120).replace('\n', " ");
        format!("{package}: {}", text.trim())
    }

    /// 40 hexadecimal digits.
    pub(super) fn hash(&mut self) -> String {
        format!(
            "{:016x}{:016x}{:08x}",
            self.next(),
            self.next(),
            self.next() as u32
        )
    }
}

pub(super) const DIRS: &[&str] = &[
    "cmd/compile",
    "cmd/go",
    "cmd/link",
    "runtime",
    "net/http",
    "crypto/tls",
    "encoding/json",
    "go/types",
    "internal/lsp",
    "gopls",
    "os",
    "syscall",
    "reflect",
    "testing",
    "doc",
    "all",
];

const WORDS: &[&str] = &[
    "the",
    "of",
    "to",
    "in",
    "and",
    "for",
    "a",
    "is",
    "that",
    "it",
    "with",
    "as",
    "on",
    "not",
    "this",
    "by",
    "be",
    "are",
    "from",
    "when",
    "use",
    "func",
    "type",
    "error",
    "test",
    "package",
    "value",
    "file",
    "build",
    "runtime",
    "compile",
    "linker",
    "module",
    "cache",
    "request",
    "response",
    "nil",
    "string",
    "slice",
    "map",
    "pointer",
    "interface",
    "method",
    "goroutine",
    "channel",
    "lock",
    "race",
    "benchmark",
    "improve",
    "fix",
    "remove",
    "add",
    "update",
    "support",
    "handle",
    "avoid",
    "allocation",
    "unexpected",
    "missing",
    "example",
    "linux",
    "darwin",
    "arm64",
    "amd64",
    "previously",
    "now",
    "change",
    "behaviour",
    "because",
    "only",
    "also",
    "more",
    "than",
    "should",
    "could",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same() {
        // The first numbers of the published generator, seeded with 0.
        let mut random = Random::new(0);
        assert_eq!(random.next(), 0xe220_a839_7b1d_cdaf);
        assert_eq!(random.next(), 0x6e78_9e6a_a1b9_65f4);
    }

    #[test]
    fn lengths_are_distributed_around_their_median() {
        let mut random = Random::new(7);
        let mut lengths: Vec<_> = (0..2001)
            .map(|_| random.text(270.0, 1.1, 60_000).len())
            .collect();
        lengths.sort_unstable();
        assert!((200..360).contains(&lengths[1000]), "{}", lengths[1000]);
        assert!(lengths[1900] > 3 * lengths[1000]);
        assert!((0..100).all(|_| random.text(5.0, 1.0, 3).len() <= 3));
    }
}
