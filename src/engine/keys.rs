//! Keys: who may come in, as of the last sync, for shells to look up without waiting.

use std::collections::BTreeMap;
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use ring::hmac;

pub use crate::store::record::ApiKey;

use crate::id::{AgentId, KeyId, SessionId};

/// Text that every session token begins with.
pub const SESSION_TOKEN_PREFIX: &str = "prs_";

/// API keys and open sessions, and the derivation of session tokens.
#[derive(Debug)]
pub struct Keys {
    session_key: hmac::Key,
    table: RwLock<Table>,
}

#[derive(Debug, Default)]
struct Table {
    keys: BTreeMap<KeyId, ApiKey>,
    sessions: BTreeMap<SessionId, AgentId>,
}

impl Keys {
    pub(super) fn new(session_secret: &[u8]) -> Self {
        Self {
            session_key: hmac::Key::new(hmac::HMAC_SHA256, session_secret),
            table: RwLock::default(),
        }
    }

    // A panic while the lock is held leaves a table that is whole: each change is one insertion.
    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table
            .read()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table
            .write()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(super) fn put_key(&self, key: ApiKey) {
        self.write().keys.insert(key.id, key);
    }

    pub(super) fn put_session(&self, session: SessionId, agent: AgentId) {
        self.write().sessions.insert(session, agent);
    }

    pub(super) fn drop_session(&self, session: SessionId) {
        self.write().sessions.remove(&session);
    }

    /// The token of a session: derived, so that nothing secret is stored and a repeated sign-in
    /// request can be answered again.
    #[must_use]
    pub fn session_token(&self, session: SessionId) -> String {
        let tag = hmac::sign(&self.session_key, &session.to_bytes());
        let tag = data_encoding::HEXLOWER.encode(tag.as_ref());
        format!("{SESSION_TOKEN_PREFIX}{session}_{tag}")
    }

    /// The session that a token was made for. Whether it is still open is another question.
    #[must_use]
    pub fn session_of_token(&self, token: &str) -> Option<SessionId> {
        let (session, tag) = token.strip_prefix(SESSION_TOKEN_PREFIX)?.split_once('_')?;
        let session: SessionId = session.parse().ok()?;
        let tag = data_encoding::HEXLOWER.decode(tag.as_bytes()).ok()?;
        hmac::verify(&self.session_key, &session.to_bytes(), &tag).ok()?;
        Some(session)
    }

    /// The agent of an open session.
    #[must_use]
    pub fn agent_of_session(&self, session: SessionId) -> Option<AgentId> {
        self.read().sessions.get(&session).cloned()
    }

    /// An API key, revoked ones included.
    #[must_use]
    pub fn api_key(&self, id: KeyId) -> Option<ApiKey> {
        self.read().keys.get(&id).cloned()
    }

    /// All API keys, oldest first, from after an id.
    #[must_use]
    pub fn api_keys(&self, after: Option<KeyId>, limit: usize) -> Vec<ApiKey> {
        let begin = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        self.read()
            .keys
            .range((begin, std::ops::Bound::Unbounded))
            .take(limit)
            .map(|(_, key)| key.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    #[test]
    fn a_token_leads_to_its_session_and_no_other() {
        let keys = Keys::new(&[7; 32]);
        let session = SessionId::new(Timestamp::from_millis(9), 4);
        let token = keys.session_token(session);
        assert_eq!(keys.session_of_token(&token), Some(session));
        let other = keys.session_token(SessionId::new(Timestamp::from_millis(9), 5));
        let crossed = format!("{}{}", &token[..31], &other[31..]);
        assert_eq!(keys.session_of_token(&crossed), None);
        assert_eq!(Keys::new(&[8; 32]).session_of_token(&token), None);
        for broken in ["", "prs_", "prs__", "prs_x_y", "prk_1", &token[..40]] {
            assert_eq!(keys.session_of_token(broken), None, "{broken}");
        }
    }
}
