//! The letterhead: what the desk says about a mail that an agent is about to send. From whom, where
//! answers come back to, and how the queue writes.

use super::reply::ReplyError;
use crate::desk::{Interaction, Refusal, Zone};
use crate::engine::Handle;
use crate::id::SessionId;
use crate::mail::address::Address;
use crate::mail::attribution;
use crate::mail::compose::Tag;
use crate::mail::letter::Letter;
use crate::mail::mailbox::Mailbox;
use crate::mail::token::MainNumber;
use crate::time::Timestamp;

/// What the desk says about a mail.
#[derive(Debug, Clone)]
pub(super) struct Letterhead {
    /// From whom, as was chosen or else as the customer wrote to.
    pub(super) from: Mailbox,
    /// The address of the queue to which answers and reports come back.
    pub(super) home: Address,
    /// How it introduces a quotation.
    attribution: String,
    /// On whose clock.
    zone: Zone,
    /// The word before the number in subjects, if that is to be there.
    tag: Option<String>,
}

impl Letterhead {
    /// Looks it up for an interaction and the address that was chosen as From; empty for the one
    /// that the interaction names.
    pub(super) async fn of(
        handle: &Handle,
        session: SessionId,
        interaction: &Interaction,
        chosen: String,
    ) -> Result<Self, ReplyError> {
        let (queue, written_to) = (interaction.queue.clone(), interaction.mailbox.clone());
        let refusal = Refusal::FromNotAllowed(if chosen.is_empty() {
            written_to.clone()
        } else {
            chosen.clone()
        });
        let found = handle
            .look(move |desk, now| {
                let agent = desk.session(session, now)?.session.agent;
                let settings = &desk.queues().get(&queue)?.settings;
                let first = settings.mailboxes.first()?;
                let home = settings.mailbox(&written_to).unwrap_or(first).clone();
                let may = |address: &str| desk.from_mailbox(&queue, &agent, address);
                let from = if chosen.is_empty() {
                    // What the customer wrote to may be no address of the queue any more.
                    may(&written_to).or_else(|| may(&home.address))
                } else {
                    may(&chosen)
                }?;
                // Who writes from another address of the queue wants answers there.
                let home = settings.mailbox(&from.address).unwrap_or(&home).clone();
                let zone = (settings.hours.as_ref()).map(|hours| hours.zone().clone());
                Some((
                    from,
                    home,
                    settings.attribution.clone(),
                    zone,
                    settings.tag.clone(),
                ))
            })
            .await?;
        let (from, home, attribution, zone, tag) = found.ok_or_else(|| refusal.clone())?;
        let parsed = |address: &str| Address::parse(address).map_err(|_| refusal.clone());
        Ok(Self {
            from: Mailbox {
                name: from.display_name.clone(),
                address: parsed(&from.address)?,
            },
            home: parsed(&home.address)?,
            attribution,
            zone: zone.unwrap_or_default(),
            tag,
        })
    }

    /// The line above a quoted letter.
    pub(super) fn attribution(&self, letter: &Letter, date: Timestamp, nobody: &Mailbox) -> String {
        let author = letter.author.correspondent().unwrap_or(nobody);
        attribution::line(&self.attribution, author, date, self.ahead_seconds(date))
    }

    /// By how much the queue's clock is ahead of UTC.
    pub(super) fn ahead_seconds(&self, date: Timestamp) -> i32 {
        self.zone.ahead_seconds(date)
    }

    /// The number as the queue shows it in subjects, if it does.
    pub(super) fn tag(&self, number: MainNumber) -> Option<Tag<'_>> {
        (self.tag.as_deref()).map(|word| Tag { word, number })
    }
}
