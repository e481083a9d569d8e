//! Which arguments the buildlet gets on which kind of host: a table that people edit, instead of one in the program.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};
use serde::Deserialize;

use crate::platform;

/// The arguments of the first row of the table in `file` that is for this machine.
pub(crate) fn read(file: &Path, variables: &Variables) -> anyhow::Result<Vec<OsString>> {
    let text = fs::read_to_string(file).context("cannot read it")?;
    Table::parse(&text)?.arguments(variables)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    host: Vec<Row>,
}

/// A row is for the hosts that fit all of its conditions.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    /// The kind of host, or its beginning and a `*`.
    name: Option<String>,
    /// As Go calls it.
    os: Option<String>,
    /// As Go calls it.
    arch: Option<String>,
    /// In which `$NAME` or `${NAME}` stands for a variable of the environment.
    args: Vec<String>,
}

impl Table {
    fn parse(text: &str) -> anyhow::Result<Self> {
        toml::from_str(text).context("it is no table of hosts")
    }

    fn arguments(&self, variables: &Variables) -> anyhow::Result<Vec<OsString>> {
        let row = self.host.iter().find(|row| row.is_for(variables));
        let Some(row) = row else {
            let name = variables.host().unwrap_or("without a name");
            bail!(
                "no row is for the host {name} ({}-{})",
                platform::OS,
                platform::arch()
            );
        };
        row.args
            .iter()
            .map(|arg| variables.expand(arg).map(OsString::from))
            .collect()
    }
}

impl Row {
    fn is_for(&self, variables: &Variables) -> bool {
        let fits =
            |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|wanted| wanted == is);
        let named = match (self.name.as_deref(), variables.host()) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(wanted), Some(name)) => match wanted.strip_suffix('*') {
                Some(beginning) => name.starts_with(beginning),
                None => name == wanted,
            },
        };
        named && fits(&self.os, platform::OS) && fits(&self.arch, platform::arch())
    }
}

/// The environment, as far as it is text.
#[derive(Debug)]
pub(crate) struct Variables(BTreeMap<String, String>);

/// The variable with the kind of host.
const HOST: &str = "GO_BUILDER_ENV";

impl Variables {
    /// Those of this process, with `host` for the kind of host.
    pub(crate) fn of_process(host: Option<String>) -> Self {
        let mut variables: BTreeMap<_, _> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        if let Some(host) = host {
            variables.insert(HOST.to_owned(), host);
        }
        Self(variables)
    }

    fn host(&self) -> Option<&str> {
        self.0
            .get(HOST)
            .map(String::as_str)
            .filter(|host| !host.is_empty())
    }

    /// One that is not set is an error: an argument that lacks its end means something else.
    fn expand(&self, mut text: &str) -> anyhow::Result<String> {
        let mut expanded = String::new();
        while let Some((before, after)) = text.split_once('$') {
            expanded.push_str(before);
            let (name, rest) = match after.strip_prefix('{') {
                Some(braced) => braced
                    .split_once('}')
                    .with_context(|| format!("a brace is not closed in {text:?}"))?,
                None => after.split_at(
                    after
                        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                        .unwrap_or(after.len()),
                ),
            };
            let value = self
                .0
                .get(name)
                .with_context(|| format!("the variable ${name} is not set"))?;
            expanded.push_str(value);
            text = rest;
        }
        expanded.push_str(text);
        Ok(expanded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Variables {
        Variables(
            pairs
                .iter()
                .map(|&(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        )
    }

    fn arguments(table: &str, pairs: &[(&str, &str)]) -> anyhow::Result<Vec<OsString>> {
        Table::parse(table)?.arguments(&variables(pairs))
    }

    #[test]
    fn the_first_row_that_fits_counts() {
        let table = r#"
            [[host]]
            name = "host-linux-s390x"
            args = ["--workdir=/data"]
            [[host]]
            name = "host-linux-*"
            args = ["--hostname=$GO_BUILDER_ENV", "--workdir=${WORKDIR}/x"]
            [[host]]
            os = "no-such-system"
            args = ["wrong"]
            [[host]]
            args = []
        "#;
        let of = |name| arguments(table, &[(HOST, name), ("WORKDIR", "/w")]).unwrap();
        assert_eq!(of("host-linux-s390x"), ["--workdir=/data"]);
        assert_eq!(
            of("host-linux-riscv64"),
            ["--hostname=host-linux-riscv64", "--workdir=/w/x"]
        );
        assert!(of("other").is_empty() && of("").is_empty());
    }

    #[test]
    fn what_is_missing_is_said() {
        let row = "[[host]]\nname = \"a\"\nargs = [\"$NOPE\"]";
        assert!(
            arguments(row, &[(HOST, "b")])
                .unwrap_err()
                .to_string()
                .contains("no row is for the host b")
        );
        assert!(
            arguments(row, &[(HOST, "a")])
                .unwrap_err()
                .to_string()
                .contains("$NOPE is not set")
        );
        assert!(arguments("[[host]]\nargs = [\"${x\"]", &[]).is_err());
        assert!(Table::parse("[[host]]\nargs = []\ntypo = 1").is_err());
    }

    #[test]
    fn the_table_that_comes_with_the_program_is_sound() {
        let table = Table::parse(include_str!("../hosts.toml")).unwrap();
        let of = |name| {
            table
                .arguments(&variables(&[
                    (HOST, name),
                    ("WORKDIR", "/w"),
                    ("COORDINATOR", "c:443"),
                ]))
                .unwrap()
        };
        assert!(of("host-linux-s390x").contains(&"--workdir=/data/golang/workdir".into()));
        assert!(of("host-linux-wsl").contains(&"--coordinator=c:443".into()));
    }
}
