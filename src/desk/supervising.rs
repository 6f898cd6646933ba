//! Supervising: what is done to agents by others, and told to them.

use std::collections::BTreeSet;

use super::{
    CODE_BYTES_MAX, Desk, EndCause, Fact, Pending, PresenceCause, Refusal, Requested, bounded,
};
use crate::id::{AgentId, QueueId, SessionId};
use crate::time::Timestamp;

/// Longest notice to agents, in bytes: a few sentences, since each reader's log keeps it.
pub const NOTICE_BYTES_MAX: usize = 2048;

/// How many agents one notice may reach, so that its events do not crowd out those of the floor
/// in the streams of supervisors.
pub const NOTICE_READERS_MAX: usize = 500;

impl Desk {
    /// Asks for a state in an agent's stead. It takes effect as if the agent had asked, and the
    /// agent is told.
    pub(super) fn force_presence(
        &mut self,
        now: Timestamp,
        agent: AgentId,
        state: Requested,
        note: String,
    ) -> Result<Pending, Refusal> {
        bounded("note", &note, NOTICE_BYTES_MAX)?;
        match &state {
            Requested::SignedOut => {
                return Err(Refusal::StateTransition(
                    "close the session to sign the agent out",
                ));
            }
            Requested::WorkOffline(reason) => bounded("reason_code", reason, CODE_BYTES_MAX)?,
            Requested::Available => {}
        }
        if !self.agents.contains_key(&agent) {
            return Err(Refusal::AgentUnknown(agent));
        }
        if !self.is_signed_in(&agent) {
            return Err(Refusal::AgentSignedOut(agent));
        }
        let missing = (self.session_of.get(&agent))
            .is_some_and(|session| self.missing_for(now, *session, self.policy.grace));
        if missing && state == Requested::Available {
            return Err(Refusal::AgentMissing(agent));
        }
        let deferred = self.ask_presence(now, &agent, state.clone())?;
        self.touch(&agent, PresenceCause::SupervisorRequest);
        let fact = Fact::PresenceForced {
            state,
            deferred,
            note,
        };
        self.tell(now, Some(&agent), fact);
        Ok(Pending::Presence(agent, deferred))
    }

    /// Ends a session in its agent's stead.
    pub(super) fn force_sign_out(
        &mut self,
        now: Timestamp,
        session: SessionId,
        requeue: bool,
    ) -> Result<Pending, Refusal> {
        let agent = self.fence(session)?;
        self.sign_out(now, session, EndCause::ClosedByOthers);
        if requeue {
            self.lay_down(now, &agent, |_| true);
        }
        self.touch(&agent, PresenceCause::SupervisorRequest);
        Ok(Pending::Presence(agent, false))
    }

    /// Shows a note to agents who are signed in: those named, and those who serve a queue that is
    /// named; everybody if none is.
    pub(super) fn post_notice(
        &mut self,
        now: Timestamp,
        agents: &BTreeSet<AgentId>,
        queues: &BTreeSet<QueueId>,
        text: &str,
    ) -> Result<Pending, Refusal> {
        bounded("text", text, NOTICE_BYTES_MAX)?;
        if let Some(unknown) = agents.iter().find(|id| !self.agents.contains_key(*id)) {
            return Err(Refusal::AgentUnknown(unknown.clone()));
        }
        if let Some(unknown) = queues.iter().find(|id| !self.queues.contains_key(*id)) {
            return Err(Refusal::QueueUnknown(unknown.clone()));
        }
        let everybody = agents.is_empty() && queues.is_empty();
        let readers: Vec<AgentId> = (self.agents.values())
            .filter(|agent| {
                everybody || agents.contains(&agent.id) || !agent.queues.is_disjoint(queues)
            })
            .filter(|agent| self.is_signed_in(&agent.id))
            .map(|agent| agent.id.clone())
            .collect();
        if readers.len() > NOTICE_READERS_MAX {
            return Err(Refusal::TooManyReaders(readers.len()));
        }
        for reader in &readers {
            let text = text.to_owned();
            self.tell(now, Some(reader), Fact::NoticePosted { text });
        }
        Ok(Pending::Told(readers.len()))
    }

    /// Whether the agent has a session, be it in grace.
    fn is_signed_in(&self, agent: &AgentId) -> bool {
        self.session_of.contains_key(agent)
    }
}
