use std::collections::HashMap;
use std::io;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use subtle::ConstantTimeEq as _;

/// Browsers that are signed in. Kept in memory: a restart signs everybody out.
///
/// A session is worth what its token is: that is looked up again with each request, so that one that was taken back is worth nothing.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    by_key: Mutex<HashMap<String, Session>>,
}

#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) token: String,
    pub(super) csrf: String,
    begun: Instant,
}

/// More push out the oldest.
const MAX_SESSIONS: usize = 1024;
pub(super) const LIFETIME: Duration = Duration::from_hours(12);

impl Sessions {
    /// Begins one, and gives its key.
    pub(super) fn begin(&self, token: &str, now: Instant) -> io::Result<String> {
        let key = random()?;
        let session = Session {
            token: token.to_owned(),
            csrf: random()?,
            begun: now,
        };
        let mut by_key = self.lock();
        by_key.retain(|_, session| now.duration_since(session.begun) < LIFETIME);
        while by_key.len() >= MAX_SESSIONS {
            let oldest = by_key
                .iter()
                .min_by_key(|(_, session)| session.begun)
                .map(|(key, _)| key.clone());
            let Some(oldest) = oldest else { break };
            by_key.remove(&oldest);
        }
        by_key.insert(key.clone(), session);
        Ok(key)
    }

    /// The session of a key that a browser brought.
    pub(super) fn find(&self, key: &str, now: Instant) -> Option<Session> {
        let session = self.lock().get(key)?.clone();
        (now.duration_since(session.begun) < LIFETIME).then_some(session)
    }

    pub(super) fn end(&self, key: &str) {
        self.lock().remove(key);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Session>> {
        self.by_key.lock().expect("nothing panics while it is held")
    }
}

/// 128 random bits, in hexadecimal digits. To find a key of so many by how long a map takes is out of reach.
pub(super) fn random() -> io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Compares secrets, in a time that does not depend on where they differ.
pub(super) fn same(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_after_its_time_or_when_told() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let key = sessions.begin("token", now).unwrap();
        assert_eq!(sessions.find(&key, now).unwrap().token, "token");
        assert!(sessions.find(&key, now + LIFETIME).is_none());
        sessions.end(&key);
        assert!(sessions.find(&key, now).is_none());
    }

    #[test]
    fn there_are_never_more_than_the_limit() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let first = sessions.begin("first", now).unwrap();
        for n in 1..=MAX_SESSIONS as u64 {
            sessions
                .begin("token", now + Duration::from_millis(n))
                .unwrap();
        }
        assert_eq!(sessions.lock().len(), MAX_SESSIONS);
        assert!(sessions.find(&first, now).is_none());
    }
}
