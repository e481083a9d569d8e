use std::ops::Range;

use maintner::Time;

use crate::filter::lex::{Token, TokenKind, tokens};
use crate::filter::{Filter, FilterError, Op, Operand, Test, span};
use crate::value::{FieldDef, Type};

/// The longest filter, in bytes: nobody writes a longer one by hand, and a program that makes them is told.
const MAX_LEN: usize = 64 << 10;
/// How deep parentheses and `not` may go. Parsing and evaluating take stack by it.
const MAX_DEPTH: usize = 100;

/// Parses a filter. An empty one fits everything.
pub(super) fn parse(text: &str, fields: &[FieldDef], now: Time) -> Result<Filter, FilterError> {
    if text.len() > MAX_LEN {
        let message = format!("the filter is too long: more than {MAX_LEN} bytes");
        return Err(FilterError::new(text, 0..0, message));
    }
    let mut parser = Parser {
        text,
        tokens: tokens(text)?,
        next: 0,
        depth: 0,
        fields,
        now,
    };
    if parser.tokens.is_empty() {
        return Ok(Filter::All(Vec::new()));
    }
    let filter = parser.any()?;
    match parser.peek() {
        None => Ok(filter),
        Some(Token {
            kind: TokenKind::Close,
            place,
        }) => Err(parser.error(place.clone(), "this closes nothing")),
        Some(token) => Err(parser.error(token.place.clone(), "here `and` or `or` is missing")),
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    next: usize,
    depth: usize,
    fields: &'a [FieldDef],
    now: Time,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next)
    }

    fn error(&self, place: Range<usize>, message: impl Into<String>) -> FilterError {
        FilterError::new(self.text, place, message.into())
    }

    /// Where the next word stands, or the end.
    fn here(&self) -> Range<usize> {
        let end = self.text.len();
        self.peek().map_or(end..end, |token| token.place.clone())
    }

    fn takes(&mut self, kind: &TokenKind) -> bool {
        let is = self.peek().is_some_and(|token| token.kind == *kind);
        self.next += usize::from(is);
        is
    }

    fn takes_keyword(&mut self, keyword: &str) -> bool {
        let is = matches!(self.peek(), Some(Token { kind: TokenKind::Word(word), .. }) if word.eq_ignore_ascii_case(keyword));
        self.next += usize::from(is);
        is
    }

    fn any(&mut self) -> Result<Filter, FilterError> {
        let mut filters = vec![self.all()?];
        while self.takes_keyword("or") {
            filters.push(self.all()?);
        }
        Ok(one_or(filters, Filter::Any))
    }

    fn all(&mut self) -> Result<Filter, FilterError> {
        let mut filters = vec![self.unary()?];
        while self.takes_keyword("and") {
            filters.push(self.unary()?);
        }
        Ok(one_or(filters, Filter::All))
    }

    fn unary(&mut self) -> Result<Filter, FilterError> {
        let place = self.here();
        if self.depth == MAX_DEPTH {
            return Err(self.error(place, format!("this is more than {MAX_DEPTH} deep")));
        }
        self.depth += 1;
        let filter = if self.takes_keyword("not") {
            Filter::Not(Box::new(self.unary()?))
        } else if self.takes(&TokenKind::Open) {
            let filter = self.any()?;
            if !self.takes(&TokenKind::Close) {
                return Err(match self.peek() {
                    None => self.error(place, "this parenthesis is not closed"),
                    Some(token) => self.error(
                        token.place.clone(),
                        "here `and` or `or` is missing, or a `)`",
                    ),
                });
            }
            filter
        } else {
            self.test()?
        };
        self.depth -= 1;
        Ok(filter)
    }

    fn test(&mut self) -> Result<Filter, FilterError> {
        let place = self.here();
        let name = match self.peek() {
            Some(Token {
                kind: TokenKind::Word(word),
                ..
            }) if !is_joint(word) => word.clone(),
            _ => {
                return Err(self.error(place, format!("here a field is missing; {}", self.known())));
            }
        };
        let Some(field) = self.fields.iter().position(|field| field.name == name) else {
            return Err(self.error(
                place,
                format!("there is no field {name:?}; {}", self.known()),
            ));
        };
        self.next += 1;
        let ty = self.fields[field].ty;
        if self.takes_keyword("in") {
            return self.one_of(field);
        }
        let op_place = self.here();
        let Some(Token {
            kind: TokenKind::Op(op),
            ..
        }) = self.peek()
        else {
            if ty == Type::Bool {
                let (op, operand) = (Op::Equal, Operand::Bool(true));
                return Ok(Filter::Test(Test { field, op, operand }));
            }
            let message = format!("{name} is {}: compare it with something", ty.name());
            return Err(self.error(place, message));
        };
        let written = *op;
        self.next += 1;
        let (op, negated) = match written {
            "!=" => (Op::Equal, true),
            "!~" => (Op::Contains, true),
            "~" => (Op::Contains, false),
            "<" => (Op::Less, false),
            "<=" => (Op::LessOrEqual, false),
            ">" => (Op::Greater, false),
            ">=" => (Op::GreaterOrEqual, false),
            _ => (Op::Equal, false),
        };
        let suits = match ty {
            _ if op == Op::Equal => true,
            Type::Text | Type::List => op == Op::Contains,
            Type::Int | Type::Time => op != Op::Contains,
            Type::Bool => false,
        };
        if !suits {
            let message = format!(
                "{name} is {}, which cannot be compared by {written}",
                ty.name()
            );
            return Err(self.error(op_place, message));
        }
        let operand = self.operand(field)?;
        let test = Filter::Test(Test { field, op, operand });
        Ok(match negated {
            true => Filter::Not(Box::new(test)),
            false => test,
        })
    }

    /// What stands behind `in`.
    fn one_of(&mut self, field: usize) -> Result<Filter, FilterError> {
        let place = self.here();
        if !self.takes(&TokenKind::Open) {
            return Err(self.error(place, "behind `in` stands a list: (a, b, c)"));
        }
        let mut filters = Vec::new();
        loop {
            let operand = self.operand(field)?;
            let op = Op::Equal;
            filters.push(Filter::Test(Test { field, op, operand }));
            if self.takes(&TokenKind::Close) {
                return Ok(Filter::Any(filters));
            }
            if !self.takes(&TokenKind::Comma) {
                return Err(self.error(self.here(), "here a `,` is missing, or a `)`"));
            }
        }
    }

    fn operand(&mut self, field: usize) -> Result<Operand, FilterError> {
        let place = self.here();
        let (text, quoted) = match self.peek().map(|token| &token.kind) {
            Some(TokenKind::Word(text)) => (text.clone(), false),
            Some(TokenKind::Quoted(text)) => (text.clone(), true),
            _ => {
                return Err(self.error(
                    place,
                    "here a value is missing; in quotes, it may have any characters",
                ));
            }
        };
        self.next += 1;
        if !quoted && text == "none" {
            return Ok(Operand::None);
        }
        let operand = match self.fields[field].ty {
            Type::Text | Type::List => Ok(Operand::Text(text)),
            Type::Int => text.parse().map(Operand::Int).map_err(|_| "this is not a number"),
            Type::Bool => text.parse().map(Operand::Bool).map_err(|_| "this is not true or false"),
            Type::Time => span(&text, self.now)
                .map(Operand::Time)
                .ok_or("this is not a time, such as 2026-01-31, 2026-01, 2026-01-31T12:00:00Z or 90d (ago)"),
        };
        operand.map_err(|message| self.error(place, message))
    }

    fn known(&self) -> String {
        let names: Vec<_> = self.fields.iter().map(|field| field.name).collect();
        format!("the fields are: {}", names.join(", "))
    }
}

fn is_joint(word: &str) -> bool {
    ["and", "or", "in"]
        .iter()
        .any(|joint| word.eq_ignore_ascii_case(joint))
}

fn one_or(mut filters: Vec<Filter>, join: fn(Vec<Filter>) -> Filter) -> Filter {
    match filters.len() {
        1 => filters.remove(0),
        _ => join(filters),
    }
}
