//! The filter language, which all lists share: tests of fields, joined by `and`, `or`, `not` and parentheses.

mod lex;
mod parse;
mod time;

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};
use std::ops::Range;

use maintner::Time;

pub(crate) use crate::filter::time::{Span, span};
use crate::value::{FieldDef, Value};

/// What the help of each list says about filters.
pub(crate) const HELP: &str = "\
Filters:
  A filter tests fields, and joins tests by `and`, `or`, `not` and parentheses:

    labels = NeedsFix and updated < 90d and not title ~ \"x/tools\"

  text       =  !=  (exactly)     ~  !~  (contains, whatever the case)
  lists      =  !=  ~  !~         of any of the elements: labels = NeedsFix, files ~ runtime/
  numbers    =  !=  <  <=  >  >=
  times      =  !=  <  <=  >  >=  2026, 2026-01, 2026-01-31, 2026-01-31T12:00:00Z, or how long ago: 90d (also s, m, h, w, y)
  yes or no  the field alone: open and not locked
  any        in (a, b, c), = none, != none

  Values with blanks or any of ( ) , = ! < > ~ stand in quotes, ' or \". What a row does not have fits no test but != and !~.
  A day, month or year is all of it: created = 2026 is any time in 2026, created > 2026 any time after it.

  `maintq fields` lists the fields. The flags are shorter ways to say the same, and all of them must fit.";

/// A parsed filter.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Filter {
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    Test(Test),
}

/// One comparison.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Test {
    /// The index of the field.
    pub(crate) field: usize,
    pub(crate) op: Op,
    pub(crate) operand: Operand,
}

/// How a field is compared. The negated operators are tests within [`Filter::Not`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Equal,
    Contains,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// What a field is compared with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Operand {
    None,
    Text(String),
    Int(i64),
    Bool(bool),
    Time(Span),
}

impl Filter {
    /// Parses a filter over these fields. Ages count back from `now`.
    pub(crate) fn parse(text: &str, fields: &[FieldDef], now: Time) -> Result<Self, FilterError> {
        parse::parse(text, fields, now)
    }

    /// Whether a row fits, whose fields `get` gives by index.
    pub(crate) fn matches<'v>(&self, get: &dyn Fn(usize) -> Value<'v>) -> bool {
        match self {
            Self::All(filters) => filters.iter().all(|filter| filter.matches(get)),
            Self::Any(filters) => filters.iter().any(|filter| filter.matches(get)),
            Self::Not(filter) => !filter.matches(get),
            Self::Test(test) => test.matches(&get(test.field)),
        }
    }
}

impl Test {
    fn matches(&self, value: &Value<'_>) -> bool {
        match (value, &self.operand) {
            (Value::List(list), Operand::None) => list.is_empty(),
            (Value::None, Operand::None) => true,
            (Value::List(list), Operand::Text(text)) => {
                list.iter().any(|element| self.text_fits(element, text))
            }
            (Value::Text(value), Operand::Text(text)) => self.text_fits(value, text),
            (Value::Bool(value), Operand::Bool(wanted)) => value == wanted,
            (Value::Int(value), Operand::Int(wanted)) => match self.op {
                Op::Less => value < wanted,
                Op::LessOrEqual => value <= wanted,
                Op::Greater => value > wanted,
                Op::GreaterOrEqual => value >= wanted,
                Op::Equal | Op::Contains => value == wanted,
            },
            (Value::Time(value), Operand::Time(span)) => match self.op {
                Op::Less => *value < span.start,
                Op::LessOrEqual => *value <= span.last,
                Op::Greater => *value > span.last,
                Op::GreaterOrEqual => *value >= span.start,
                Op::Equal | Op::Contains => (span.start..=span.last).contains(value),
            },
            _ => false,
        }
    }

    fn text_fits(&self, value: &str, text: &str) -> bool {
        match self.op {
            Op::Contains => contains_ignoring_case(value, text),
            _ => value == text,
        }
    }
}

/// Upper and lower case of ASCII letters are the same here.
fn contains_ignoring_case(haystack: &str, needle: &str) -> bool {
    needle.is_empty()
        || haystack
            .as_bytes()
            .windows(needle.len())
            .any(|window| window.eq_ignore_ascii_case(needle.as_bytes()))
}

/// What is wrong with a filter, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FilterError {
    text: String,
    /// Bytes of the text; empty at its end.
    pub(crate) place: Range<usize>,
    message: String,
}

impl FilterError {
    fn new(text: &str, place: Range<usize>, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            text: text.to_owned(),
            place,
            message: message.into().into_owned(),
        }
    }
}

/// The message, and below it the filter with the place underlined.
impl Display for FilterError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        /// Characters that are shown on either side of the place.
        const AROUND: usize = 60;
        let before: Vec<char> = self.text[..self.place.start].chars().collect();
        let skipped = before.len().saturating_sub(AROUND);
        let marked = self.text[self.place.clone()].chars().count();
        let shown: String = self
            .text
            .chars()
            .skip(skipped)
            .take(before.len() - skipped + marked + AROUND)
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        writeln!(f, "{}", self.message)?;
        writeln!(f, "    {shown}")?;
        write!(
            f,
            "    {}{}",
            " ".repeat(before.len() - skipped),
            "^".repeat(marked.clamp(1, AROUND))
        )
    }
}

impl std::error::Error for FilterError {}

#[cfg(test)]
mod tests {
    use std::ops::RangeInclusive;

    use proptest::prelude::*;

    use super::*;
    use crate::value::Type;

    const FIELDS: [FieldDef; 6] = [
        field("title", Type::Text),
        field("number", Type::Int),
        field("open", Type::Bool),
        field("created", Type::Time),
        field("label", Type::List),
        field("owner", Type::Text),
    ];

    const fn field(name: &'static str, ty: Type) -> FieldDef {
        FieldDef { name, ty, help: "" }
    }

    /// 2026-06-15T00:00:00Z
    const NOW: i64 = 1_781_481_600;

    fn parse(text: &str) -> Result<Filter, FilterError> {
        Filter::parse(text, &FIELDS, Time::new(NOW, 0))
    }

    fn value(index: usize) -> Value<'static> {
        match index {
            0 => Value::text("runtime: Crash in GC"),
            1 => Value::Int(42),
            2 => Value::Bool(true),
            // 2026-03-10T12:00:00Z
            3 => Value::Time(Time::new(1_773_144_000, 0)),
            4 => Value::list(["NeedsFix", "help wanted"].into_iter()),
            _ => Value::None,
        }
    }

    fn fits(text: &str) -> bool {
        parse(text)
            .unwrap_or_else(|error| panic!("{error}"))
            .matches(&value)
    }

    #[test]
    fn tests_mean_what_the_help_says() {
        for yes in [
            "number = 42",
            "number >= 42 and number <= 42 and number < 43 and number > 41",
            "number in (1, 2, 42)",
            "number != 1",
            "open",
            "open = true",
            "not open = false",
            "title ~ crash",
            "title !~ scheduler",
            "title = 'runtime: Crash in GC'",
            "label = NeedsFix",
            "label = \"help wanted\"",
            "label ~ HELP",
            "label != wontfix",
            "label in (x, NeedsFix)",
            "created = 2026",
            "created = 2026-03",
            "created = 2026-03-10",
            "created = 2026-03-10T12:00:00Z",
            "created >= 2026-03-10 and created <= 2026-03-10",
            "created > 2026-03-09",
            "created < 2026-03-11",
            "created > 100d",
            "created < 12w",
            "owner = none",
            "owner != gopher",
            "label != none",
            "number = 1 or number = 42 and open",
            "(number = 1 or number = 42) and NOT (number = 7)",
            "",
            "  ",
        ] {
            assert!(fits(yes), "{yes}");
        }
        for no in [
            "number = 43",
            "not open",
            "label = needsfix",
            "label = none",
            "owner ~ ''",
            "owner = gopher",
            "created > 2026-03-10",
            "created < 2026-03-10",
            "created = 2025",
            "(number = 1 or number = 42) and not open",
        ] {
            assert!(!fits(no), "{no}");
        }
    }

    #[track_caller]
    fn refused(text: &str, place: RangeInclusive<usize>, says: &str) {
        let error = parse(text).expect_err(text);
        assert!(error.message.contains(says), "{error}");
        assert_eq!(error.place, *place.start()..*place.end() + 1, "{error}");
    }

    #[test]
    fn errors_point_at_the_place() {
        refused("titel ~ x", 0..=4, "no field \"titel\"");
        refused("open and numbr = 1", 9..=13, "title, number, open");
        refused("number = many", 9..=12, "a number");
        refused("number ~ 4", 7..=7, "cannot be compared by ~");
        refused("title < x", 6..=6, "cannot be compared by <");
        refused("created > soon", 10..=13, "a time");
        refused("created > 2026-13-01", 10..=19, "a time");
        refused("open = perhaps", 7..=13, "true or false");
        refused("title", 0..=4, "compare it");
        refused("open or or open", 8..=9, "a field");
        refused("open open", 5..=8, "`and` or `or`");
        refused("(open", 0..=0, "is not closed");
        refused("open)", 4..=4, "closes nothing");
        refused("title = 'x", 8..=9, "no end");
        refused("number ! 4", 7..=7, "no operator");
        refused("number in 4", 10..=10, "a list");
        let at_the_end = parse("number =").unwrap_err();
        assert_eq!(at_the_end.place, 8..8);
        assert_eq!(
            at_the_end.to_string().lines().collect::<Vec<_>>()[1..],
            ["    number =", "            ^"]
        );
    }

    #[test]
    fn depth_and_length_have_limits() {
        let deep = format!("{}open{}", "(".repeat(5000), ")".repeat(5000));
        assert!(parse(&deep).unwrap_err().message.contains("deep"));
        let nots = "not ".repeat(5000) + "open";
        assert!(parse(&nots).unwrap_err().message.contains("deep"));
        let long = vec!["open"; 20_000].join(" and ");
        assert!(parse(&long).unwrap_err().message.contains("long"));
    }

    #[test]
    fn a_place_in_a_long_filter_is_shown_with_what_stands_around_it() {
        let text = format!(
            "{} and bad = 1 and {}",
            vec!["open"; 50].join(" and "),
            "x".repeat(500)
        );
        let shown = parse(&text).unwrap_err().to_string();
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[1].len() < 140, "{shown}");
        let start = lines[2].find('^').unwrap();
        assert_eq!(&lines[1][start..start + 3], "bad");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in any::<String>()) {
            if let Err(error) = parse(&text) {
                let _ = error.to_string();
            }
        }

        #[test]
        fn nor_does_one_made_of_its_words(
            words in proptest::collection::vec(prop_oneof![
                Just("("), Just(")"), Just(","), Just("and"), Just("or"), Just("not"), Just("in"), Just("none"), Just("="), Just("!="),
                Just("~"), Just("<="), Just(">"), Just("title"), Just("number"), Just("open"), Just("created"), Just("label"),
                Just("42"), Just("2026-02-29"), Just("99999999999999999999y"), Just("'ä'"), Just("\""), Just("ü"),
            ], 0..20)
        ) {
            match parse(&words.join(" ")) {
                Ok(filter) => { filter.matches(&value); }
                Err(error) => { let _ = error.to_string(); }
            }
        }
    }
}
