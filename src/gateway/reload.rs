//! Reloading: a changed configuration, taken over while mail arrives.
//!
//! A message keeps the rules that it began with; the next MAIL gets the new ones. What is bound or
//! open, such as listeners and the store, stays as it is until a restart.

use std::fmt;
use std::sync::Arc;

use super::{Running, StartError};
use crate::config::Config;
use crate::engine::EngineError;

/// Why a configuration was not taken over. Everything is as it was.
#[derive(Debug)]
pub enum ReloadError {
    /// The queues cannot be changed like that, or not now.
    Queues(EngineError),
    /// Something that the configuration names cannot be used.
    Start(StartError),
}

impl fmt::Display for ReloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queues(error) => error.fmt(f),
            Self::Start(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ReloadError {}

impl Running {
    /// Takes over queues, addresses, limits and how senders are proven. Answers which keys differ
    /// from those at the start and need a restart.
    ///
    /// # Errors
    ///
    /// [`ReloadError`].
    pub async fn reload(&self, config: &Config) -> Result<Vec<&'static str>, ReloadError> {
        super::prove(config).await.map_err(ReloadError::Start)?;
        let intake = (self.parts.intake(config)).map_err(ReloadError::Start)?;
        let reconfigured = (self.handle)
            .reconfigure(config.queues(), config.house())
            .await;
        reconfigured.map_err(ReloadError::Queues)?;
        let intake = intake.succeeding(&self.receiver.get());
        self.receiver.replace(Arc::new(intake));
        Ok(self.parts.config.fixed(config))
    }
}
