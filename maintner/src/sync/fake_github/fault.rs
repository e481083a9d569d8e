/// What goes wrong with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// A status, 500 or 502, with a page for people.
    Status(u16),
    /// 429, which may say after how many seconds it is over.
    TooMany(Option<u64>),
    /// 403 because of a "secondary rate limit", which may say after how many seconds it is over.
    Secondary(Option<u64>),
    /// 403 because nothing is left of the quota, for so many seconds.
    NoQuota(u64),
    /// The answer breaks off in the middle.
    Broken,
    /// The answer ends in the middle, without a sign.
    Truncated,
    /// A page for people, with status 200.
    Html,
    /// The answer says of itself that it is HTML, but is not.
    WrongType,
    /// No answer comes at all, and the connection stays.
    Stall,
    /// There is no connection.
    Unreachable,
    /// A clock that is so many seconds ahead, in a right answer.
    Skew(i64),
    /// No clock, in a right answer.
    NoDate,
}
