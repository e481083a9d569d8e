//! Gerrit's language of searches, as far as the fake has it.

use super::state::{Change, Refusal, State};
use crate::types::{ChangeStatus, ReviewerState};

/// What a search means.
#[derive(Debug)]
enum Search {
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    /// An operator, or none, and a value.
    Is(String, String),
}

/// So deep may parentheses be, lest a hostile search uses up the stack.
const MAX_DEPTH: usize = 50;

#[derive(Debug, Clone, PartialEq)]
enum Word {
    Open,
    Close,
    Minus,
    /// Bare words; in quotes they are no `AND` and have no operator.
    Bare(String),
    Quoted(String),
    /// The operator with its value.
    Field(String, String),
}

impl State {
    /// The changes that `viewer` may see and `query` finds, the newest first.
    pub(super) fn search(&self, query: &str, viewer: Option<u64>) -> Result<Vec<&Change>, Refusal> {
        let words = words(query)?;
        let mut rest = words.as_slice();
        let search = any(&mut rest, 0)?;
        if !rest.is_empty() {
            return Err(Refusal::new(
                400,
                format!("line 1:0 no viable alternative at input in: {query}"),
            ));
        }
        let mut found = Vec::new();
        for change in self
            .changes
            .values()
            .filter(|change| change.is_visible(viewer))
        {
            if self.holds(&search, change, viewer)? {
                found.push(change);
            }
        }
        found.sort_by_key(|change| std::cmp::Reverse((change.updated, change.turn)));
        Ok(found)
    }

    fn holds(
        &self,
        search: &Search,
        change: &Change,
        viewer: Option<u64>,
    ) -> Result<bool, Refusal> {
        // Every part is looked at, so that a mistake in one is told whatever the others say.
        match search {
            Search::All(parts) => {
                parts.iter().try_fold(
                    true,
                    |all, part| Ok(all & self.holds(part, change, viewer)?),
                )
            }
            Search::Any(parts) => parts.iter().try_fold(false, |any, part| {
                Ok(any | self.holds(part, change, viewer)?)
            }),
            Search::Not(part) => Ok(!self.holds(part, change, viewer)?),
            Search::Is(operator, value) => self.is(operator, value, change, viewer),
        }
    }

    fn is(
        &self,
        operator: &str,
        value: &str,
        change: &Change,
        viewer: Option<u64>,
    ) -> Result<bool, Refusal> {
        let person = |id: &str| self.account(id, viewer).map(|account| account.number);
        let role = |state: &ReviewerState| {
            person(value).is_some_and(|who| change.reviewers.get(&who) == Some(state))
        };
        Ok(match operator {
            "status" | "is" => return self.has_status(operator, value, change, viewer),
            "project" | "p" | "repo" | "r" => change.project == value,
            "projects" | "prefix" => change.project.starts_with(value),
            "branch" => {
                change.branch == value || super::state::full_branch(&change.branch) == value
            }
            "ref" => super::state::full_branch(&change.branch) == value,
            "owner" | "o" => person(value) == Some(change.owner),
            "reviewer" => role(&ReviewerState::Reviewer),
            "cc" => role(&ReviewerState::Cc),
            "attention" => person(value).is_some_and(|who| change.attention.contains_key(&who)),
            "topic" => change.topic == value,
            "hashtag" => change
                .hashtags
                .iter()
                .any(|tag| tag.eq_ignore_ascii_case(value)),
            "change" => is_called(change, value),
            "commit" => change
                .patch_sets
                .iter()
                .any(|one| value.len() >= 4 && one.commit.starts_with(value)),
            "label" => self.has_label(value, change, viewer)?,
            "message" | "m" => self.has_words(value, change),
            "limit" => true,
            "" => {
                is_called(change, value)
                    || person(value) == Some(change.owner)
                    || self.has_words(value, change)
            }
            _ => {
                let text = format!("Unsupported operator {operator}:{value}");
                return Err(Refusal::new(400, text));
            }
        })
    }

    fn has_status(
        &self,
        operator: &str,
        value: &str,
        change: &Change,
        viewer: Option<u64>,
    ) -> Result<bool, Refusal> {
        let is_mine = viewer == Some(change.owner);
        Ok(match value.to_ascii_lowercase().as_str() {
            "open" | "pending" | "new" => change.is_open(),
            "closed" => !change.is_open(),
            "merged" => change.status == ChangeStatus::Merged,
            "abandoned" => change.status == ChangeStatus::Abandoned,
            "wip" if operator == "is" => change.is_wip,
            "private" if operator == "is" => change.is_private,
            "owner" if operator == "is" => is_mine,
            "reviewer" if operator == "is" => {
                viewer.is_some_and(|who| change.reviewers.contains_key(&who))
            }
            "attention" if operator == "is" => {
                viewer.is_some_and(|who| change.attention.contains_key(&who))
            }
            "submittable" if operator == "is" => self.is_submittable(change),
            _ => return Err(Refusal::new(400, format!("Unrecognized value: {value}"))),
        })
    }

    /// `Label=+1`, `Label+1`, `Label>=1`, `Label=MAX`, perhaps with `,user` after it.
    fn has_label(
        &self,
        value: &str,
        change: &Change,
        viewer: Option<u64>,
    ) -> Result<bool, Refusal> {
        let wrong = || Refusal::new(400, format!("Invalid label predicate: {value}"));
        let (what, user) = match value.split_once(',') {
            Some((what, user)) => (what, Some(user.strip_prefix("user=").unwrap_or(user))),
            None => (value, None),
        };
        let user = match user {
            Some(user) => Some(self.account(user, viewer).ok_or_else(wrong)?.number),
            None => None,
        };
        let at = what.find(['=', '<', '>', ':']);
        // A name may have signs itself; only one before a number begins a value.
        let at = at.or_else(|| {
            what.rfind(['+', '-'])
                .filter(|at| what[at + 1..].parse::<i32>().is_ok())
        });
        let (name, rest) = what.split_at(at.unwrap_or(what.len()));
        let number_at = rest
            .find(|c: char| !"=<>:".contains(c))
            .unwrap_or(rest.len());
        let (comparison, number) = rest.split_at(number_at);
        let Some(rule) = self.labels.get(name) else {
            return Ok(false);
        };
        let wanted = match number {
            "MAX" | "max" => rule.max,
            "MIN" | "min" => rule.min,
            "" => 1,
            number => number
                .trim_start_matches('+')
                .parse()
                .map_err(|_| wrong())?,
        };
        let fits = |value: i32| match comparison {
            "" | "=" | ":" => value == wanted,
            ">" => value > wanted,
            ">=" => value >= wanted,
            "<" => value < wanted,
            "<=" => value <= wanted,
            _ => false,
        };
        let mut votes = (change.votes.iter()).filter(|((label, who), vote)| {
            label == name && vote.value != 0 && user.is_none_or(|user| user == *who)
        });
        // No vote counts as 0.
        let has_none = votes.clone().next().is_none();
        Ok(votes.any(|(_, vote)| fits(vote.value)) || (has_none && fits(0)))
    }

    fn has_words(&self, words: &str, change: &Change) -> bool {
        let message = self
            .commit(change, change.current())
            .map(|commit| commit.message.to_lowercase());
        message.is_some_and(|message| message.contains(&words.to_lowercase()))
    }
}

fn is_called(change: &Change, id: &str) -> bool {
    id.parse() == Ok(change.number)
        || change.change_id == id
        || id == format!("{}~{}", change.project, change.number)
        || id == format!("{}~{}~{}", change.project, change.branch, change.change_id)
        || (id.len() >= 7
            && change
                .patch_sets
                .iter()
                .any(|one| one.commit.starts_with(id)))
}

/// `a OR b`
fn any(words: &mut &[Word], depth: usize) -> Result<Search, Refusal> {
    let mut parts = vec![all(words, depth)?];
    while words.first() == Some(&Word::Bare("OR".to_owned())) {
        *words = &words[1..];
        parts.push(all(words, depth)?);
    }
    Ok(Search::Any(parts))
}

/// `a b`, `a AND b`
fn all(words: &mut &[Word], depth: usize) -> Result<Search, Refusal> {
    let mut parts = Vec::new();
    loop {
        match words.first() {
            None | Some(Word::Close) => break,
            Some(Word::Bare(word)) if word == "OR" => break,
            Some(Word::Bare(word)) if word == "AND" => *words = &words[1..],
            Some(_) => parts.push(one(words, depth)?),
        }
    }
    Ok(Search::All(parts))
}

fn one(words: &mut &[Word], depth: usize) -> Result<Search, Refusal> {
    if depth > MAX_DEPTH {
        return Err(Refusal::new(400, "too many parentheses"));
    }
    let Some((word, rest)) = words.split_first() else {
        return Err(Refusal::new(400, "the query ends early"));
    };
    *words = rest;
    Ok(match word {
        Word::Minus => Search::Not(Box::new(one(words, depth + 1)?)),
        Word::Bare(word) if word == "NOT" => Search::Not(Box::new(one(words, depth + 1)?)),
        Word::Bare(word) | Word::Quoted(word) => Search::Is(String::new(), word.clone()),
        Word::Field(operator, value) => Search::Is(operator.clone(), value.clone()),
        Word::Open => {
            let inner = any(words, depth + 1)?;
            match words.split_first() {
                Some((Word::Close, rest)) => *words = rest,
                _ => return Err(Refusal::new(400, "a parenthesis is not closed")),
            }
            inner
        }
        Word::Close => return Err(Refusal::new(400, "a parenthesis was never opened")),
    })
}

fn words(query: &str) -> Result<Vec<Word>, Refusal> {
    let mut words = Vec::new();
    let mut rest = query.trim_start();
    while let Some(first) = rest.chars().next() {
        match first {
            '(' => words.push(Word::Open),
            ')' => words.push(Word::Close),
            '-' => words.push(Word::Minus),
            '"' | '{' => {
                let (text, after) = quoted(rest)?;
                words.push(Word::Quoted(text.to_owned()));
                rest = after.trim_start();
                continue;
            }
            _ => {
                let end = rest
                    .find(|c: char| c.is_whitespace() || "(){}\":".contains(c))
                    .unwrap_or(rest.len());
                let (word, after) = rest.split_at(end);
                rest = match after.strip_prefix(':') {
                    Some(value) if value.starts_with(['"', '{']) => {
                        let (text, after) = quoted(value)?;
                        words.push(Word::Field(word.to_owned(), text.to_owned()));
                        after
                    }
                    Some(value) => {
                        let end = value
                            .find(|c: char| c.is_whitespace() || "()".contains(c))
                            .unwrap_or(value.len());
                        let (value, after) = value.split_at(end);
                        words.push(Word::Field(word.to_owned(), value.to_owned()));
                        after
                    }
                    None if word.is_empty() => {
                        return Err(Refusal::new(
                            400,
                            format!("{first:?} is not expected in: {query}"),
                        ));
                    }
                    None => {
                        words.push(Word::Bare(word.to_owned()));
                        after
                    }
                }
                .trim_start();
                continue;
            }
        }
        rest = rest[first.len_utf8()..].trim_start();
    }
    Ok(words)
}

/// The text between the quotes that `text` begins with, and what follows.
fn quoted(text: &str) -> Result<(&str, &str), Refusal> {
    let end = if text.starts_with('"') { '"' } else { '}' };
    text[1..]
        .split_once(end)
        .ok_or_else(|| Refusal::new(400, "a quotation is not closed"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{FakeGerrit, Push};

    proptest! {
        #[test]
        fn no_query_makes_the_search_panic(query in "[a-z0-9:=+(){}\" \\-ORé]{0,40}") {
            let fake = FakeGerrit::new();
            fake.add_project("p").unwrap();
            fake.push(&Push::new("p", "subject")).unwrap();
            let _ = fake.lock().search(&query, None);
        }
    }

    #[test]
    fn parentheses_have_a_limit() {
        let fake = FakeGerrit::new();
        for query in ["(".repeat(100_000), "-".repeat(100_000)] {
            assert!(fake.lock().search(&query, None).is_err());
        }
    }
}
