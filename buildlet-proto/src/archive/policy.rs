/// What an archive may do, and how much.
///
/// Begin with one of [`upstream`](Self::upstream), [`strict`](Self::strict) and [`stage0`](Self::stage0) and change what should be otherwise.
/// Whatever the policy, nothing outside of the folder is reached, special files are never made, set-id and sticky bits are
/// dropped, and no file gets a time later than the beginning of the extraction (golang/go 19062).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub(crate) names: Names,
    pub(crate) symlinks: Symlinks,
    pub(crate) hard_links: HardLinks,
    pub(crate) contiguous: bool,
    pub(crate) specials: Specials,
    pub(crate) existing: Existing,
    pub(crate) duplicates: Duplicates,
    pub(crate) modes: Modes,
    pub(crate) end_required: bool,
    pub(crate) max_entries: u64,
    pub(crate) max_bytes: u64,
    pub(crate) max_file_bytes: u64,
    pub(crate) max_depth: usize,
    pub(crate) threads: Option<usize>,
}

impl Policy {
    /// The largest number of [`threads`](Self::threads).
    pub const MAX_THREADS: usize = 64;

    /// The rules of the Go buildlet's `/writetgz`, version 29.
    ///
    /// Symbolic links are skipped, hard links become empty files, existing files are written over and keep their mode, modes
    /// are subject to the umask, directories get 0755 and the time of their making. Existing links are followed, but inside only. Limits are those
    /// of [`strict`](Self::strict), but 1 TiB of content and any file of it, and 10 million entries: upstream has none.
    #[must_use]
    pub fn upstream() -> Self {
        Self {
            names: Names::Relative,
            symlinks: Symlinks::Skip,
            hard_links: HardLinks::EmptyFile,
            contiguous: true,
            specials: Specials::Refuse,
            existing: Existing::WriteThrough,
            duplicates: Duplicates::LastWins,
            modes: Modes::Umask,
            end_required: false,
            max_entries: 10_000_000,
            max_bytes: 1 << 40,
            max_file_bytes: 1 << 40,
            max_depth: 256,
            threads: None,
        }
    }

    /// Rules for archives that should come out as they were, or not at all.
    ///
    /// Symbolic links are made if their target is relative and stays inside the tree, and never followed; hard links are
    /// made to regular files of the tree; modes and times are set, those of directories too; what is in the way of a file or link is removed
    /// first, unless it is a directory. Refused are archives without an end, duplicates, special files, more than a million entries, 64 GiB of content,
    /// files over 32 GiB and paths of more than 256 names.
    #[must_use]
    pub fn strict() -> Self {
        Self {
            symlinks: Symlinks::Inside,
            hard_links: HardLinks::Link,
            existing: Existing::Replace,
            duplicates: Duplicates::Refuse,
            modes: Modes::Exact,
            end_required: true,
            max_entries: 1_000_000,
            max_bytes: 64 << 30,
            max_file_bytes: 32 << 30,
            ..Self::upstream()
        }
    }

    /// The rules of upstream's `untar` package, by which the program stage0 unpacks the buildlet: as
    /// [`upstream`](Self::upstream), but only regular files and directories, whose names are stricter.
    #[must_use]
    pub fn stage0() -> Self {
        Self {
            names: Names::Stage0,
            symlinks: Symlinks::Refuse,
            hard_links: HardLinks::Refuse,
            contiguous: false,
            ..Self::upstream()
        }
    }

    /// Which names entries may have.
    #[must_use]
    pub fn names(mut self, names: Names) -> Self {
        self.names = names;
        self
    }

    /// What becomes of symbolic links.
    #[must_use]
    pub fn symlinks(mut self, symlinks: Symlinks) -> Self {
        self.symlinks = symlinks;
        self
    }

    /// What becomes of hard links.
    #[must_use]
    pub fn hard_links(mut self, hard_links: HardLinks) -> Self {
        self.hard_links = hard_links;
        self
    }

    /// Whether entries of type 7, contiguous files, are regular files, as POSIX says; else they are refused.
    #[must_use]
    pub fn contiguous(mut self, contiguous: bool) -> Self {
        self.contiguous = contiguous;
        self
    }

    /// What becomes of pipes and devices, which are never made.
    #[must_use]
    pub fn specials(mut self, specials: Specials) -> Self {
        self.specials = specials;
        self
    }

    /// What becomes of what is there already.
    #[must_use]
    pub fn existing(mut self, existing: Existing) -> Self {
        self.existing = existing;
        self
    }

    /// What a second entry of a name means.
    #[must_use]
    pub fn duplicates(mut self, duplicates: Duplicates) -> Self {
        self.duplicates = duplicates;
        self
    }

    /// Which permissions files and directories get.
    #[must_use]
    pub fn modes(mut self, modes: Modes) -> Self {
        self.modes = modes;
        self
    }

    /// Whether an archive must have the zero blocks at its end, without which one that was cut between two entries looks as if it
    /// were complete.
    #[must_use]
    pub fn end_required(mut self, required: bool) -> Self {
        self.end_required = required;
        self
    }

    /// Entries an archive may have, those that are skipped included.
    ///
    /// Bounds memory too: where [duplicates](Self::duplicates) are refused eight bytes an entry are kept (and twice that for a while when the table grows), and with [`Modes::Exact`] the path of each directory.
    #[must_use]
    pub fn max_entries(mut self, entries: u64) -> Self {
        self.max_entries = entries;
        self
    }

    /// Bytes of content that all files together may have; where hard links are [copied](HardLinks::Copy) the copies count. What
    /// is read of the tar stream altogether is limited to this and 4 KiB an entry.
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Bytes of content that a file may have.
    #[must_use]
    pub fn max_file_bytes(mut self, bytes: u64) -> Self {
        self.max_file_bytes = bytes;
        self
    }

    /// Names that a path may have, `a/b/c` having three.
    #[must_use]
    pub fn max_depth(mut self, names: usize) -> Self {
        self.max_depth = names;
        self
    }

    /// Threads that write files, beside the one that calls, and as many that decompress: 1 to
    /// [`MAX_THREADS`](Self::MAX_THREADS); numbers beyond count as these. By default the number of CPUs, at most 8.
    ///
    /// They start as work comes: a small archive starts none that write.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads.clamp(1, Self::MAX_THREADS));
        self
    }
}

/// Which names entries may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Names {
    /// What [`RelativePath`](crate::types::RelativePath) takes: `a/../b` is `b`.
    Relative,
    /// Of these, none with a backslash or `../` anywhere.
    Stage0,
}

/// What becomes of symbolic links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Symlinks {
    /// Nothing; [`Summary::skipped_symlinks`](super::Summary::skipped_symlinks) counts them.
    Skip,
    /// They are made if the target is relative and cannot lead outside, from wherever the link is: any `..` stand at its
    /// beginning, and no more of them than the link's own path has directories. Others end the extraction.
    Inside,
    /// They end the extraction.
    Refuse,
}

/// What becomes of hard links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HardLinks {
    /// An empty file.
    EmptyFile,
    /// A link, to a regular file inside.
    Link,
    /// A file of its own with the content that the other has by then.
    Copy,
    /// They end the extraction.
    Refuse,
}

/// What becomes of pipes and devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Specials {
    /// They end the extraction.
    Refuse,
    /// Nothing; [`Summary::skipped_specials`](super::Summary::skipped_specials) counts them.
    Skip,
}

/// What becomes of what is there already where an entry goes. A directory stays in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Existing {
    /// The content of a file is replaced, its mode stays, and links are followed inside. A file with several names is replaced nevertheless, since one of its
    /// names may be outside.
    WriteThrough,
    /// Files and links are removed first, and no link is followed on the way.
    Replace,
}

/// What a second entry of a name means. A directory may be named any number of times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Duplicates {
    /// The last one stays.
    LastWins,
    /// It ends the extraction.
    Refuse,
    /// So do names that differ in case alone, which are one name for other systems.
    RefuseIgnoringCase,
}

/// Which permissions files and directories get. Set-id and sticky bits are dropped in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Modes {
    /// Files what the entry says and the umask allows; directories 0755 and the umask, and the time of their making.
    Umask,
    /// What the entry says; directories get theirs, and their times, once all else is done.
    Exact,
}
