//! What the examples print for a log that is known.

use maintner::{Corpus, Time};

use crate::support::vector;

#[expect(dead_code, reason = "`main` is for cargo to run")]
#[path = "../../examples/reviewers_per_month.rs"]
mod reviewers_per_month;
#[expect(dead_code, reason = "`main` is for cargo to run")]
#[path = "../../examples/stale_cls.rs"]
mod stale_cls;
#[expect(dead_code, reason = "`main` is for cargo to run")]
#[path = "../../examples/time_to_first_review.rs"]
mod time_to_first_review;

#[test]
fn reviewers_of_each_month_are_drawn() {
    let corpus = Corpus::open(vector("disk/17-gerrit-messages")).unwrap();
    let chart = reviewers_per_month::chart(&corpus.view());
    assert_eq!(chart, format!("2017-07 {} 7\n", "█".repeat(60)));
}

#[test]
fn waits_for_the_first_review_are_counted() {
    let corpus = Corpus::open(vector("disk/17-gerrit-messages")).unwrap();
    let table = time_to_first_review::table(&corpus.view());
    let lines: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        lines[1..],
        [["2017", "1", "0.3", "h", "0.3", "h", "0.3", "h"]]
    );
}

#[test]
fn stale_changes_are_listed() {
    let corpus = Corpus::open(vector("disk/14-gerrit-state")).unwrap();
    let list = stale_cls::list(&corpus.view(), Time::new(1_767_225_600, 0), 30);
    assert_eq!(list.lines().count(), 10);
    let first = " 3092 days, turn of reviewers  go 1: cl 1\n";
    assert!(list.starts_with(first), "{list}");
    let none = stale_cls::list(&corpus.view(), Time::new(1_767_225_600, 0), 4000);
    assert_eq!(none, "");
}
