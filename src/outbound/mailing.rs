//! Mailing: from an agent's words to a forwarded letter, or to a mail that answers none, in the
//! engine's hands.

use super::letterhead::Letterhead;
use super::mail::{self, Mail, Standing};
use super::original::{Files, Original};
use super::recipients::Recipients;
use super::reply::{Identity, ReplyError, ReplySettings, Words, work};
use crate::desk::{Command, NO_MESSAGE, Refusal};
use crate::engine::{Done, Handle, RequestKey};
use crate::id::{InteractionId, MessageId, SessionId};

/// What an agent writes above a letter that they pass on.
#[derive(Debug, Clone)]
pub struct Forwarding {
    /// Who.
    pub session: SessionId,
    /// What is passed on: the newest letter from outside.
    pub interaction: InteractionId,
    /// The address chosen as From; empty for the one that the customer wrote to.
    pub from: String,
    /// To whom.
    pub recipients: Recipients,
    /// The text above it; may be empty.
    pub words: Words,
    /// Whether the letter is enclosed as it is, with its files, instead of being quoted.
    pub enclose: bool,
    /// Which of its files go along with what is quoted.
    pub files: Files,
    /// The newest letter that the agent had seen.
    pub latest_seen: Option<MessageId>,
}

/// A mail that an agent began.
#[derive(Debug, Clone)]
pub struct Writing {
    /// Who.
    pub session: SessionId,
    /// The mail, as it was begun.
    pub interaction: InteractionId,
    /// The address chosen as From; empty for the one that it was begun with.
    pub from: String,
    /// To whom; without any, to whom it was begun for.
    pub recipients: Recipients,
    /// The subject; empty for the one that it was begun with.
    pub subject: String,
    /// The text.
    pub words: Words,
    /// The newest letter of its case that the agent had seen.
    pub latest_seen: Option<MessageId>,
}

/// Composes a forwarded letter and has it stored together with what follows.
///
/// # Errors
///
/// [`ReplyError`].
pub async fn forward(
    handle: &Handle,
    settings: &ReplySettings,
    draft: Forwarding,
    request: Option<RequestKey>,
) -> Result<Done, ReplyError> {
    let (interaction, case) = work(handle, draft.interaction).await?;
    if interaction.latest_inbound == NO_MESSAGE {
        let refusal = Refusal::StateTransition("there is no letter to forward");
        return Err(refusal.into());
    }
    let mut recipients = draft.recipients;
    recipients.check_outside(handle).await?;
    recipients.settle()?;
    let first = (recipients.to.first().cloned()).ok_or(ReplyError::NoRecipient)?;
    let letterhead = Letterhead::of(handle, draft.session, &interaction, draft.from).await?;
    let identity = Identity::new(handle, settings, &case, &letterhead, &first)?;
    let letter = interaction.latest_inbound;
    let original = if draft.enclose || draft.files != Files::None {
        let html = draft.words.html.is_some();
        Original::whole(
            handle,
            letter,
            &identity.id,
            draft.enclose,
            draft.files,
            html,
        )
        .await?
    } else {
        Original::quoted(handle, letter, &identity.id).await?
    };
    let mail = Mail {
        whose: (draft.session, draft.interaction, draft.latest_seen),
        letterhead,
        recipients,
        identity,
        subject: String::new(),
        number: None,
        // The case is the customer's business; nobody else is told its number.
        untag: Some(case.number),
        words: draft.words,
        standing: Standing::PassesOn(Box::new(original)),
        customer: mail::customer(&interaction).unwrap_or(first),
        arrived: interaction.arrived,
        date: handle.now(),
    };
    mail.hand_in(handle, Command::Forward, request).await
}

/// Composes a mail that its agent began and has it stored together with what follows.
///
/// # Errors
///
/// [`ReplyError`].
pub async fn email(
    handle: &Handle,
    settings: &ReplySettings,
    draft: Writing,
    request: Option<RequestKey>,
) -> Result<Done, ReplyError> {
    let (interaction, case) = work(handle, draft.interaction).await?;
    let mut recipients = draft.recipients;
    if recipients.to.is_empty() {
        recipients.to.push(mail::customer(&interaction)?);
    }
    recipients.check_outside(handle).await?;
    recipients.settle()?;
    let first = (recipients.to.first().cloned()).ok_or(ReplyError::NoRecipient)?;
    let letterhead = Letterhead::of(handle, draft.session, &interaction, draft.from).await?;
    let identity = Identity::new(handle, settings, &case, &letterhead, &first)?;
    let subject = if draft.subject.is_empty() {
        interaction.subject
    } else {
        draft.subject
    };
    let mail = Mail {
        whose: (draft.session, draft.interaction, draft.latest_seen),
        letterhead,
        recipients,
        identity,
        subject,
        number: Some(case.number),
        untag: mail::left_behind(&case),
        words: draft.words,
        standing: Standing::Alone,
        customer: first,
        arrived: interaction.arrived,
        date: handle.now(),
    };
    mail.hand_in(handle, Command::SendEmail, request).await
}
