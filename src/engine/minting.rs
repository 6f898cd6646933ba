//! Minting: API keys, and the keys that tokens are signed with, made and ended.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use super::group::Group;
use super::handle::NewKey;
use super::keys::ApiKey;
use super::{EngineError, Runner, Shared, load};
use crate::desk::{Effects, Refusal};
use crate::id::{AgentId, KeyId};
use crate::mail::token::Keyring;
use crate::store::record::{self, Secret};
use crate::store::{Batch, keys};
use crate::time::Timestamp;

impl Runner {
    /// Makes an API key.
    pub(super) fn create_key(
        &mut self,
        now: Timestamp,
        new: NewKey,
        group: &mut Group<'_>,
    ) -> Result<ApiKey, EngineError> {
        if let Some(agent) = &new.agent
            && !self.desk.agents().contains_key(agent)
        {
            return Err(Refusal::AgentUnknown(agent.clone()).into());
        }
        let key = ApiKey {
            id: KeyId::new(now, self.desk.take_sequence()),
            display_name: new.display_name,
            roles: new.roles,
            agent: new.agent,
            digest: new.digest,
            created: now,
            expires: new.expires,
            revoked: None,
        };
        let effects = self.desk.tick(now);
        let mut additions = group.add(effects);
        additions.key(key.clone());
        additions.done(false);
        Ok(key)
    }

    /// The API keys that sign an agent in, those of this round included: with the agent they go, so
    /// that they open nothing should the name be given again.
    pub(super) fn keys_of(&self, agent: &AgentId, group: &Group<'_>) -> Vec<ApiKey> {
        let mut keys: BTreeMap<KeyId, ApiKey> = (self.shared.keys.api_keys(None, usize::MAX))
            .into_iter()
            .chain(group.released.keys.iter().cloned())
            .map(|key| (key.id, key))
            .collect();
        keys.retain(|_, key| key.agent.as_ref() == Some(agent) && key.revoked.is_none());
        keys.into_values().collect()
    }

    /// Makes a new key that tokens are signed with. Tokens of the keys before it stay good until
    /// their key is retired.
    pub(super) fn rotate_mail_key(&self, group: &mut Group<'_>) -> Result<u8, EngineError> {
        // A second rotation of the round goes on from the first.
        let ring = match &group.released.mail_keys {
            Some(ring) => Arc::clone(ring),
            None => self.shared.mail_keys(),
        };
        let secret = load::new_secret()
            .ok_or_else(|| EngineError::Unavailable("the machine gives no randomness".into()))?;
        let ring = ring.rotated(&secret);
        let current = ring.current();
        let mut batch = Batch::default();
        batch.set_essential();
        for (name, bytes) in [
            (load::mail_key(current), secret.to_vec()),
            (load::CURRENT_MAIL_KEY.to_owned(), vec![current]),
        ] {
            batch.put(keys::secret(&name), record::encode(&Secret(bytes)));
        }
        group.batches.push(batch);
        group.released.mail_keys = Some(Arc::new(ring));
        Ok(current)
    }

    /// Ends an API key; `None` if there is none.
    pub(super) fn revoke_key(
        &mut self,
        now: Timestamp,
        id: KeyId,
        group: &mut Group<'_>,
    ) -> Result<Option<ApiKey>, EngineError> {
        let Some(mut key) = self.shared.keys.api_key(id) else {
            return Ok(None);
        };
        if key.revoked.is_none() {
            key.revoked = Some(now);
            let mut additions = group.add(Effects::default());
            additions.key(key.clone());
            additions.done(false);
        }
        Ok(Some(key))
    }
}

impl Shared {
    // A panic while the lock is held leaves one whole ring or the other.
    pub(super) fn mail_keys(&self) -> Arc<Keyring> {
        let ring = self.mail_keys.read();
        Arc::clone(&ring.unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn set_mail_keys(&self, ring: Arc<Keyring>) {
        let held = self.mail_keys.write();
        *held.unwrap_or_else(PoisonError::into_inner) = ring;
    }
}
