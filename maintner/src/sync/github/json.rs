//! Reading JSON of which nobody promised the form.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::sync::github::Tolerated;
use crate::time::Time;

/// The most elements of one page that are looked at; GitHub's pages have at most 100.
const MAX_ELEMENTS: usize = 1000;
/// The longest text that is taken, in bytes. GitHub's have at most 65,536 characters of four bytes.
const MAX_TEXT: usize = 1 << 20;

/// The objects of a page. What is no object, or makes no sense, is counted and left out.
///
/// `None` if the whole is no JSON array, so that something else than GitHub's interface answered.
pub(super) fn page(body: &[u8], tolerated: &mut Tolerated) -> Option<Vec<Fields>> {
    // One by one, so that what is wrong in one element leaves the others alone.
    let text = String::from_utf8_lossy(body);
    let elements: Vec<&RawValue> = serde_json::from_str(&text).ok()?;
    tolerated.elements += elements.len().saturating_sub(MAX_ELEMENTS) as u64;
    let mut objects = Vec::with_capacity(elements.len().min(MAX_ELEMENTS));
    for element in elements.into_iter().take(MAX_ELEMENTS) {
        match parse(element.get()) {
            Some(Value::Object(map)) => objects.push(Fields { map, wrong: 0 }),
            _ => tolerated.elements += 1,
        }
    }
    Some(objects)
}

/// A single object.
pub(super) fn object(body: &[u8]) -> Option<Fields> {
    match parse(&String::from_utf8_lossy(body))? {
        Value::Object(map) => Some(Fields { map, wrong: 0 }),
        _ => None,
    }
}

fn parse(text: &str) -> Option<Value> {
    serde_json::from_str(text)
        .or_else(|_| serde_json::from_str(&without_lone_surrogates(text)))
        .ok()
}

/// Half characters become U+FFFD: `"\ud83d"` is no text in Rust, but in other languages' JSON.
fn without_lone_surrogates(text: &str) -> String {
    let unit = |at: usize| -> Option<u32> {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u32::from_str_radix(digits, 16).ok()
    };
    let mut out = String::with_capacity(text.len());
    let mut rest = 0;
    while let Some(found) = text[rest..].find('\\') {
        let at = rest + found;
        out.push_str(&text[rest..at]);
        let (taken, escape) = match (unit(at), unit(at + 6)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => (12, None),
            (Some(0xd800..=0xdfff), _) => (6, Some("\\ufffd")),
            (Some(_), _) => (6, None),
            // A backslash and what it is for, which may be of several bytes in a text that is no JSON.
            (None, _) => {
                let next = text[at + 1..].chars().next();
                (1 + next.map_or(0, char::len_utf8), None)
            }
        };
        out.push_str(escape.unwrap_or(&text[at..at + taken]));
        rest = at + taken;
    }
    out.push_str(&text[rest..]);
    out
}

/// The fields of an object, of which each is taken once.
#[derive(Debug)]
pub(super) struct Fields {
    map: Map<String, Value>,
    /// How many had another type than they should.
    wrong: u64,
}

impl Fields {
    /// Whether there is such a field, be it `null`.
    pub(super) fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    pub(super) fn is_null(&self, key: &str) -> bool {
        self.map.get(key).is_some_and(Value::is_null)
    }

    pub(super) fn drop(&mut self, key: &str) {
        self.map.remove(key);
    }

    fn take<T>(&mut self, key: &str, read: impl FnOnce(Value) -> Option<T>) -> Option<T> {
        let value = self.map.remove(key).filter(|value| !value.is_null())?;
        let read = read(value);
        self.wrong += u64::from(read.is_none());
        read
    }

    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        self.take(key, |value| match value {
            Value::String(text) if text.len() <= MAX_TEXT => Some(text),
            _ => None,
        })
    }

    pub(super) fn int(&mut self, key: &str) -> Option<i64> {
        self.take(key, |value| value.as_i64())
    }

    /// An id, which is positive.
    pub(super) fn id(&mut self) -> Option<i64> {
        self.take("id", |value| value.as_i64().filter(|&id| id > 0))
    }

    pub(super) fn flag(&mut self, key: &str) -> Option<bool> {
        self.take(key, |value| value.as_bool())
    }

    pub(super) fn time(&mut self, key: &str) -> Option<Time> {
        self.take(key, |value| time(value.as_str()?))
    }

    pub(super) fn object(&mut self, key: &str) -> Option<Self> {
        self.take(key, |value| match value {
            Value::Object(map) => Some(Self { map, wrong: 0 }),
            _ => None,
        })
    }

    /// What of a list is an object.
    pub(super) fn objects(&mut self, key: &str) -> Option<Vec<Self>> {
        let list = self.take(key, |value| match value {
            Value::Array(list) => Some(list),
            _ => None,
        })?;
        let mut objects = Vec::with_capacity(list.len());
        for value in list {
            match value {
                Value::Object(map) => objects.push(Self { map, wrong: 0 }),
                _ => self.wrong += 1,
            }
        }
        Some(objects)
    }

    /// Counts what a part of this had wrong.
    pub(super) fn absorb(&mut self, part: &Self) {
        self.wrong += part.wrong;
    }

    pub(super) fn wrong(&self) -> u64 {
        self.wrong
    }

    /// What was not taken, without what is `null`, as one compact object with sorted keys; empty if there is nothing, or far too much.
    pub(super) fn rest(self) -> Vec<u8> {
        let mut rest: Vec<_> = self.map.into_iter().collect();
        rest.retain(|(_, value)| !value.is_null());
        if rest.is_empty() {
            return Vec::new();
        }
        let mut rest = sorted(Value::Object(rest.into_iter().collect()))
            .to_string()
            .into_bytes();
        if rest.len() > MAX_TEXT {
            // Half of it would be no JSON.
            rest.clear();
        }
        rest
    }
}

/// The same with sorted keys, whether or not `serde_json` is built to keep their order.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut fields: Vec<_> = map.into_iter().collect();
            fields.sort_by(|(a, _), (b, _)| a.cmp(b));
            let fields = fields.into_iter().map(|(key, value)| (key, sorted(value)));
            Value::Object(fields.collect())
        }
        Value::Array(list) => list.into_iter().map(sorted).collect(),
        other => other,
    }
}

/// RFC 3339. `None` also for the year 1, which the log has for no time.
pub(super) fn time(text: &str) -> Option<Time> {
    let time: jiff::Timestamp = text.parse().ok()?;
    // Before 1970 the fraction counts backwards.
    let nanos = i64::from(time.subsec_nanosecond());
    let seconds = time.as_second() - i64::from(nanos < 0);
    let nanos = nanos.rem_euclid(1_000_000_000);
    Time::from_log(&crate::mutation::Timestamp {
        seconds,
        nanos: i32::try_from(nanos).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bad_element_leaves_the_others_alone() {
        let deep = "[".repeat(500) + &"]".repeat(500);
        let body =
            format!(r#"[{{"id":1}}, 7, {{"id":2,"x":{deep}}}, {{"id":3,"x":1e999}}, {{"id":4}}]"#);
        let mut tolerated = Tolerated::default();
        let mut page = page(body.as_bytes(), &mut tolerated).unwrap();
        let ids: Vec<_> = page.iter_mut().map(Fields::id).collect();
        assert_eq!(ids, [Some(1), Some(4)]);
        assert_eq!(tolerated.elements, 3);
    }

    #[test]
    fn half_characters_are_replaced_and_whole_ones_kept() {
        let mut fields =
            object(br#"{"a":"\ud83d x \ude00 \\ud83d \ud83d\ude00 \n","b":"\ud800\ud800"}"#)
                .unwrap();
        assert_eq!(
            fields.text("a").unwrap(),
            "\u{fffd} x \u{fffd} \\ud83d \u{1f600} \n"
        );
        assert_eq!(fields.text("b").unwrap(), "\u{fffd}\u{fffd}");
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        let mut fields = object(b"{\"a\":\"x\xffy\"}").unwrap();
        assert_eq!(fields.text("a").unwrap(), "x\u{fffd}y");
    }

    #[test]
    fn fields_of_another_type_are_absent_and_counted() {
        let mut fields =
            object(br#"{"id":"7","n":1.5,"t":3,"when":"soon","f":null,"o":[]}"#).unwrap();
        assert_eq!(
            (fields.id(), fields.int("n"), fields.text("t")),
            (None, None, None)
        );
        assert_eq!((fields.time("when"), fields.flag("f")), (None, None));
        assert!(fields.object("o").is_none());
        assert_eq!(fields.wrong(), 5); // `null` is not wrong
    }

    #[test]
    fn texts_that_nobody_could_write_on_github_are_absent() {
        let long = "x".repeat(MAX_TEXT + 1);
        let json = format!(r#"{{"a":"{long}","b":"{}","c":"{long}"}}"#, &long[1..]);
        let mut fields = object(json.as_bytes()).unwrap();
        assert_eq!(fields.text("a"), None);
        assert_eq!(fields.text("b").map(|text| text.len()), Some(MAX_TEXT));
        assert_eq!(fields.wrong(), 1);
        assert_eq!(fields.rest(), b"");
    }

    #[test]
    fn the_rest_is_compact_and_sorted() {
        let mut fields =
            object(br#"{"z": {"b":1, "a":[{"y":1,"x":2}]}, "a": null, "k": 1, "id": 3}"#).unwrap();
        fields.id();
        assert_eq!(fields.rest(), br#"{"k":1,"z":{"a":[{"x":2,"y":1}],"b":1}}"#);
        assert_eq!(object(br#"{"a":null}"#).unwrap().rest(), b"");
    }

    #[test]
    fn times_have_fractions_and_zones() {
        assert_eq!(
            time("2024-01-01T01:00:00.25+01:00"),
            Some(Time::new(1_704_067_200, 250_000_000))
        );
        assert_eq!(time("1969-12-31T23:59:59.5Z").unwrap().unix_seconds(), -1);
        assert_eq!(time("0001-01-01T00:00:00Z"), None);
        assert_eq!(time("yesterday"), None);
    }
}
