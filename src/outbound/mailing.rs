//! Mailing: from an agent's words to a forwarded letter, or to a mail that answers none, in the
//! engine's hands.

use super::reply::{self, Identity, ReplyError, ReplySettings};
use crate::content::Content;
use crate::desk::{Case, Command, Correspondent, Interaction, NO_MESSAGE, Outgoing, Refusal};
use crate::engine::{Done, EngineError, Handle, RequestKey};
use crate::id::{InteractionId, MessageId, SessionId};
use crate::mail::address::Address;
use crate::mail::compose::{ComposeError, Composed, Draft, Field, Forwarded, RECIPIENTS_MAX};
use crate::mail::mailbox::Mailbox;

/// Largest letter that is enclosed in another, in bytes: with its text, what most servers take.
const ENCLOSED_BYTES_MAX: u64 = 20 << 20;

/// How much of a letter is read at a time, in bytes.
const PIECE_BYTES: usize = 1 << 20;

/// To whom a mail goes.
#[derive(Debug, Clone, Default)]
pub struct Recipients {
    /// At least one.
    pub to: Vec<Mailbox>,
    /// The visible copies.
    pub cc: Vec<Mailbox>,
    /// The copies that nobody sees.
    pub bcc: Vec<Mailbox>,
}

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
    pub text: String,
    /// Whether the letter is enclosed as it is, with its files, beside being quoted.
    pub enclose: bool,
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
    pub text: String,
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
    let recipients = draft.recipients;
    let first = outsiders(handle, &recipients).await?;
    let from = reply::from_mailbox(handle, &interaction, draft.from).await?;
    let identity = Identity::new(handle, settings, &case, &from, &first)?;
    let original = reply::original(handle, interaction.latest_inbound).await?;
    let whole = if draft.enclose {
        Some(letter(handle, interaction.latest_inbound).await?)
    } else {
        None
    };
    let author = (original.author.mailbox.as_ref()).map_or_else(
        || interaction.customer.address.clone(),
        |author| {
            format!("{} <{}>", author.name, author.address)
                .trim()
                .to_owned()
        },
    );
    let forwarded = Forwarded {
        author: &author,
        date: original.date.unwrap_or(interaction.arrived),
        subject: &original.subject,
        text: original.body.text(),
        whole: whole.as_deref(),
    };
    let composed = Draft {
        from: &from,
        to: &recipients.to,
        cc: &recipients.cc,
        reply_to: identity.reply_to.as_ref(),
        subject: "",
        tag: None,
        text: &draft.text,
        parent: None,
        forwarded: Some(forwarded),
        date: handle.now(),
        internet_message_id: &identity.id,
        loop_mark: &identity.loop_mark,
        automatic: false,
    }
    .compose()
    .map_err(ReplyError::Compose)?;
    let whose = (draft.session, draft.interaction, draft.latest_seen);
    let outgoing = outgoing(whose, &from, &recipients, &identity, &composed)?;
    let command = Command::Forward(Box::new(outgoing));
    let body = Content::Memory(composed.bytes.into());
    Ok(handle.command_with_body(command, body, request).await?)
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
        let customer = Address::parse(&interaction.customer.address);
        recipients.to.push(Mailbox {
            name: interaction.customer.display_name.clone(),
            address: customer.map_err(|_| ReplyError::NoRecipient)?,
        });
    }
    let first = outsiders(handle, &recipients).await?;
    let from = reply::from_mailbox(handle, &interaction, draft.from).await?;
    let identity = Identity::new(handle, settings, &case, &from, &first)?;
    let subject = if draft.subject.is_empty() {
        &interaction.subject
    } else {
        &draft.subject
    };
    let composed = Draft {
        from: &from,
        to: &recipients.to,
        cc: &recipients.cc,
        reply_to: identity.reply_to.as_ref(),
        subject,
        tag: None,
        text: &draft.text,
        parent: None,
        forwarded: None,
        date: handle.now(),
        internet_message_id: &identity.id,
        loop_mark: &identity.loop_mark,
        automatic: false,
    }
    .compose()
    .map_err(ReplyError::Compose)?;
    let whose = (draft.session, draft.interaction, draft.latest_seen);
    let outgoing = outgoing(whose, &from, &recipients, &identity, &composed)?;
    let command = Command::SendEmail(Box::new(outgoing));
    let body = Content::Memory(composed.bytes.into());
    Ok(handle.command_with_body(command, body, request).await?)
}

/// The interaction and its case.
async fn work(handle: &Handle, id: InteractionId) -> Result<(Interaction, Case), ReplyError> {
    let unknown = || Refusal::InteractionUnknown(id);
    let found = handle.interaction(id).await?.ok_or_else(unknown)?;
    let case = handle.case(found.case).await?.ok_or_else(unknown)?;
    Ok((found, case))
}

/// The first recipient, if there are some, not too many, and none is an address of ours: mail to
/// those would come back as a customer's.
async fn outsiders(handle: &Handle, recipients: &Recipients) -> Result<Mailbox, ReplyError> {
    let all = [&recipients.to, &recipients.cc, &recipients.bcc];
    let addresses: Vec<String> = (all.into_iter().flatten())
        .map(|mailbox| mailbox.address.normalised())
        .collect();
    if addresses.len() > RECIPIENTS_MAX {
        return Err(ReplyError::Compose(ComposeError::TooManyRecipients));
    }
    let own = handle
        .look(move |desk, _| {
            let ours = |address: &String| {
                (desk.queues().values()).any(|queue| queue.settings.mailbox(address).is_some())
            };
            addresses.into_iter().find(ours)
        })
        .await?;
    if let Some(own) = own {
        return Err(ReplyError::OwnAddress(own));
    }
    (recipients.to.first().cloned()).ok_or(ReplyError::Compose(ComposeError::NoRecipient))
}

/// What the desk is told of a mail: the first recipient is the one whom its tokens are for.
fn outgoing(
    (session, interaction, latest_seen): (SessionId, InteractionId, Option<MessageId>),
    from: &Mailbox,
    recipients: &Recipients,
    identity: &Identity,
    composed: &Composed,
) -> Result<Outgoing, ReplyError> {
    let all = [&recipients.to, &recipients.cc, &recipients.bcc];
    let mut people: Vec<Correspondent> = Vec::new();
    for mailbox in all.into_iter().flatten() {
        let person = reply::correspondent(mailbox);
        if people.iter().all(|other| other.address != person.address) {
            people.push(person);
        }
    }
    if people.is_empty() {
        return Err(ReplyError::NoRecipient);
    }
    let to = people.remove(0);
    Ok(Outgoing {
        session,
        interaction,
        from: reply::correspondent(from),
        to,
        slot: identity.slot,
        others: people,
        envelope_sender: from.address.normalised(),
        internet_message_id: identity.id.as_str().to_owned(),
        subject: composed.subject.clone(),
        size: composed.bytes.len() as u64,
        latest_seen,
    })
}

/// A stored letter, whole.
async fn letter(handle: &Handle, id: MessageId) -> Result<Vec<u8>, ReplyError> {
    let too_large = || ReplyError::Compose(ComposeError::TooLong(Field::Text));
    let size = handle.message(id).await?.map_or(0, |record| record.size);
    if size > ENCLOSED_BYTES_MAX {
        return Err(too_large());
    }
    let mut whole = Vec::new();
    loop {
        let piece = handle
            .body_chunk(id, whole.len() as u64, PIECE_BYTES)
            .await?;
        let piece = piece.ok_or(ReplyError::Engine(EngineError::Unavailable(
            "the letter is not there".to_owned(),
        )))?;
        if piece.is_empty() {
            return Ok(whole);
        }
        if (whole.len() + piece.len()) as u64 > ENCLOSED_BYTES_MAX {
            return Err(too_large());
        }
        whole.extend_from_slice(&piece);
    }
}
