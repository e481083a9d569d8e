//! Who is measured.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::cli::ReportArgs;
use crate::data::ask;
use crate::rival::GZP_GZIP_ENGINE;

/// A program with its settings.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) role: Role,
    pub(crate) name: &'static str,
    /// Level and library.
    pub(crate) setting: String,
    pub(crate) threads: usize,
    program: PathBuf,
    args: Vec<String>,
    /// Whether it gets the input as its last argument, and not only on standard input.
    input_as_argument: bool,
}

/// On whose side a subject is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// This project's.
    Ours,
    /// What this project re-makes: the others are compared with it.
    Upstream,
    Rival,
}

/// The programs that were found on this machine, and those that were not.
pub(crate) struct Field {
    ours: PathBuf,
    go_pargzip: PathBuf,
    go_gunzip: PathBuf,
    this: PathBuf,
    pigz: Option<PathBuf>,
    gzip: Option<PathBuf>,
    crabz: Option<PathBuf>,
    rapidgzip: Option<PathBuf>,
    /// Names of programs that are not here.
    pub(crate) missing: Vec<&'static str>,
}

impl Subject {
    pub(crate) fn new(
        role: Role,
        name: &'static str,
        setting: impl Into<String>,
        threads: usize,
        program: impl Into<PathBuf>,
        args: &[&str],
    ) -> Self {
        let args = args.iter().map(ToString::to_string).collect();
        Self {
            role,
            name,
            setting: setting.into(),
            threads,
            program: program.into(),
            args,
            input_as_argument: false,
        }
    }

    pub(crate) fn nothing() -> Self {
        Self::new(Role::Rival, "true", "", 1, "true", &[])
    }

    pub(crate) fn command(&self, input: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args);
        if self.input_as_argument {
            command.arg(input);
        }
        command
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.setting)
    }
}

impl Field {
    /// Builds our program and the Go peers, and looks for the others.
    pub(crate) fn find(args: &ReportArgs) -> anyhow::Result<Self> {
        let ours = match &args.pargzip {
            Some(path) => path.clone(),
            None => build_ours("pargzip-cli", &[], "pargzip")?,
        };
        // The comparison with upstream is what the report is for, so this is an error and not a gap in the tables.
        let go_pargzip = harness::peer("gopargzip")?.path().to_owned();
        let go_gunzip = harness::peer("gogunzip")?.path().to_owned();
        let this = env::current_exe().context("cannot find this program itself")?;
        let mut missing = Vec::new();
        let mut find = |name| {
            let found = harness::tool(name)
                .ok()
                .map(|program| program.path().to_owned());
            if found.is_none() {
                missing.push(name);
            }
            found
        };
        let (pigz, gzip, crabz) = (find("pigz"), find("gzip"), find("crabz"));
        let rapidgzip = args.rapidgzip.clone().or_else(|| find("rapidgzip"));
        Ok(Self {
            ours,
            go_pargzip,
            go_gunzip,
            this,
            pigz,
            gzip,
            crabz,
            rapidgzip,
            missing,
        })
    }

    /// Everyone who compresses.
    pub(crate) fn writers(&self, threads: usize) -> Vec<Subject> {
        let p = threads.to_string();
        let mut all = vec![
            self.go_writer(threads),
            self.our_writer("zlib-rs", 6, threads),
            self.our_writer("zlib-rs", 7, threads),
            self.our_writer("libdeflate", 5, threads),
            self.our_writer("libdeflate", 6, threads),
        ];
        if let Some(pigz) = &self.pigz {
            all.push(Subject::new(
                Role::Rival,
                "pigz",
                "-6",
                threads,
                pigz,
                &["-6", "-c", "-p", &p],
            ));
        }
        if let Some(gzip) = &self.gzip {
            all.push(Subject::new(
                Role::Rival,
                "gzip",
                "-6",
                1,
                gzip,
                &["-6", "-c"],
            ));
        }
        for (format, engine) in [("gzip", GZP_GZIP_ENGINE), ("mgzip", "libdeflate")] {
            let setting = format!("{format}, {engine} 6");
            let args = [
                "gzp-compress",
                "--format",
                format,
                "--threads",
                &p,
                "--level",
                "6",
            ];
            all.push(Subject::new(
                Role::Rival,
                "gzp",
                setting,
                threads,
                &self.this,
                &args,
            ));
        }
        if let Some(crabz) = &self.crabz {
            all.push(Subject::new(
                Role::Rival,
                "crabz",
                "gzip -l 6",
                threads,
                crabz,
                &["-f", "gzip", "-l", "6", "-p", &p],
            ));
        }
        all
    }

    /// Everyone who decompresses.
    pub(crate) fn readers(&self, threads: usize) -> Vec<Subject> {
        let mut all = vec![
            Subject::new(
                Role::Upstream,
                "Go compress/gzip",
                "",
                1,
                &self.go_gunzip,
                &[],
            ),
            self.our_reader("zlib-rs", threads),
            self.our_reader("libdeflate", threads),
        ];
        if let Some(pigz) = &self.pigz {
            let p = threads.to_string();
            all.push(Subject::new(
                Role::Rival,
                "pigz",
                "-d",
                threads,
                pigz,
                &["-d", "-c", "-p", &p],
            ));
        }
        if let Some(gzip) = &self.gzip {
            all.push(Subject::new(
                Role::Rival,
                "gzip",
                "-d",
                1,
                gzip,
                &["-d", "-c"],
            ));
        }
        all.extend(self.rapidgzip(threads));
        all
    }

    pub(crate) fn go_writer(&self, threads: usize) -> Subject {
        let args = ["-p", &threads.to_string()];
        Subject::new(
            Role::Upstream,
            "Go pargzip",
            "default level",
            threads,
            &self.go_pargzip,
            &args,
        )
    }

    pub(crate) fn our_writer(&self, backend: &str, level: u32, threads: usize) -> Subject {
        let (level, p) = (level.to_string(), threads.to_string());
        let args = ["--quiet", "--backend", backend, "--level", &level, "-p", &p];
        Subject::new(
            Role::Ours,
            "pargzip",
            format!("{backend} {level}"),
            threads,
            &self.ours,
            &args,
        )
    }

    pub(crate) fn our_reader(&self, backend: &str, threads: usize) -> Subject {
        let args = [
            "--quiet",
            "-d",
            "--backend",
            backend,
            "-p",
            &threads.to_string(),
        ];
        Subject::new(
            Role::Ours,
            "pargzip",
            format!("-d, {backend}"),
            threads,
            &self.ours,
            &args,
        )
    }

    pub(crate) fn rapidgzip(&self, threads: usize) -> Option<Subject> {
        let args = ["-d", "-c", "-P", &threads.to_string()];
        let mut subject = Subject::new(
            Role::Rival,
            "rapidgzip",
            "-d",
            threads,
            self.rapidgzip.as_ref()?,
            &args,
        );
        // It reads files in parallel, pipes not so well.
        subject.input_as_argument = true;
        Some(subject)
    }

    /// The versions of what was found, one a line.
    pub(crate) fn versions(&self) -> Vec<String> {
        let version = |path: &Path| ask(Command::new(path).arg("--version"));
        let mut lines =
            vec![version(&self.ours).unwrap_or_else(|| "pargzip of this workspace".to_owned())];
        let go = harness::go()
            .ok()
            .and_then(|go| ask(go.command().args(["env", "GOVERSION"])));
        lines.push(format!(
            "Go pargzip of golang.org/x/build, {}",
            go.unwrap_or_else(|| "unknown Go".to_owned())
        ));
        lines.extend(
            [&self.pigz, &self.gzip, &self.crabz, &self.rapidgzip]
                .into_iter()
                .flatten()
                .filter_map(|path| version(path)),
        );
        lines.push(format!(
            "gzp 2, gzip by {GZP_GZIP_ENGINE}, mgzip by libdeflate"
        ));
        lines
    }
}

/// Builds a program of ours as a person would who installs it, and returns where it is.
pub(crate) fn build_ours(package: &str, flags: &[&str], program: &str) -> anyhow::Result<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target = harness::target_dir();
    let status = Command::new(cargo)
        .args(["build", "--release", "--locked", "--quiet"])
        .args(["--package", package])
        .args(flags)
        .arg("--target-dir")
        .arg(&target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .with_context(|| {
            format!(
                "cannot start cargo to build {program}; name a built one with `--{program} FILE`"
            )
        })?;
    ensure!(
        status.success(),
        "{program} does not build: see `cargo build --release --package {package}`"
    );
    let path = target.join("release").join(program);
    ensure!(
        path.is_file(),
        "cargo did not put {program} at {}; name it with `--{program} FILE`",
        path.display()
    );
    Ok(path)
}
