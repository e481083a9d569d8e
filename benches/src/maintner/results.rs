//! What was measured, in a file if it is to outlast the run.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::measure::median;

/// Values by name, such as `load/256/go/wall_s`, in the order in which they were measured.
#[derive(Debug, Default)]
pub(super) struct Results {
    values: BTreeMap<String, Vec<f64>>,
    file: Option<File>,
}

impl Results {
    /// Those of earlier runs that the file has, to which new ones are added; without a file, none.
    pub(super) fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let mut results = Self::default();
        let Some(path) = path else {
            return Ok(results);
        };
        let name = || path.display().to_string();
        match File::open(path) {
            Ok(file) => {
                for line in BufReader::new(file).lines() {
                    let line: Value = serde_json::from_str(&line.with_context(name)?)
                        .with_context(|| format!("{} is no file of results", name()))?;
                    let (Some(key), Some(value)) = (line["what"].as_str(), line["value"].as_f64())
                    else {
                        anyhow::bail!("{} is no file of results: {line}", name());
                    };
                    results.keep(key, value);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(name),
        }
        let file = OpenOptions::new().append(true).create(true).open(path);
        results.file = Some(file.with_context(name)?);
        Ok(results)
    }

    pub(super) fn add(&mut self, what: &str, value: f64) -> anyhow::Result<()> {
        if let Some(file) = &mut self.file {
            writeln!(file, "{}", json!({"what": what, "value": value}))
                .context("cannot keep a result")?;
        }
        self.keep(what, value);
        Ok(())
    }

    fn keep(&mut self, what: &str, value: f64) {
        self.values.entry(what.to_owned()).or_default().push(value);
    }

    /// The median, if it was measured.
    pub(super) fn get(&self, what: &str) -> Option<f64> {
        self.values
            .get(what)
            .map(|values| median(values.iter().copied()))
    }

    /// How many times it was measured.
    pub(super) fn runs(&self, what: &str) -> usize {
        self.values.get(what).map_or(0, Vec::len)
    }

    /// How far the values are apart, as a part of the median.
    pub(super) fn spread(&self, what: &str) -> Option<f64> {
        let values = self.values.get(what)?.iter().copied();
        let (least, most) = values.fold((f64::INFINITY, 0.0), |(least, most), value| {
            (value.min(least), value.max(most))
        });
        Some((most - least) / self.get(what)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_several_runs_are_put_together() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("results");
        for value in [1.0, 3.0, 2.0] {
            let mut results = Results::open(Some(&file)).unwrap();
            results.add("a/b", value).unwrap();
        }
        let results = Results::open(Some(&file)).unwrap();
        assert_eq!(results.get("a/b"), Some(2.0));
        assert_eq!((results.runs("a/b"), results.spread("a/b")), (3, Some(1.0)));
        assert_eq!((results.get("a"), results.runs("a")), (None, 0));
        std::fs::write(&file, "{}\n").unwrap();
        assert!(Results::open(Some(&file)).is_err());
    }
}
