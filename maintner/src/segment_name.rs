//! Names of segments that do not change, in caches and buckets: `NNNN.SHA224.mutlog`.

use crate::sum::Sum;

#[cfg(any(feature = "net", all(feature = "leader", feature = "_buckets")))]
pub(crate) fn of(number: usize, sum: &Sum) -> String {
    format!("{number:04}.{sum}.mutlog")
}

/// The segment's number and checksum.
pub(crate) fn parse(name: &str) -> Option<(u64, Sum)> {
    let (number, rest) = name.split_once('.')?;
    let sum = Sum::parse(rest.strip_suffix(".mutlog")?)?;
    let is_number = number.len() >= 4 && number.bytes().all(|digit| digit.is_ascii_digit());
    is_number
        .then(|| number.parse().ok())
        .flatten()
        .map(|number| (number, sum))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_told_by_their_names() {
        let sum = "2cb2187e2bfe863195009349b96b02415f0995722f0f1a4a8fdcfc92";
        let number = |name: String| parse(&name).map(|(number, _)| number);
        assert_eq!(number(format!("0012.{sum}.mutlog")), Some(12));
        assert_eq!(number(format!("12345.{sum}.mutlog")), Some(12_345));
        for name in [
            "0000.growing.mutlog".to_owned(),
            format!("12.{sum}.mutlog"),
            format!("+012.{sum}.mutlog"),
            format!("0012.{sum}.mutlog.gz"),
            format!("0012.{sum}"),
        ] {
            assert_eq!(number(name), None);
        }
    }
}
