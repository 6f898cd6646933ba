//! Answering: from an agent's words to an outgoing message in the engine's hands.

use std::fmt;

use super::attaching::{self, Enclosed};
use crate::desk::{Case, Command, Correspondent, Interaction, NO_MESSAGE, Outgoing, Refusal};
use crate::engine::{Done, EngineError, Handle, RequestKey};
use crate::id::{InteractionId, MessageId, SessionId};
use crate::mail::address::Address;
use crate::mail::compose::{ComposeError, Draft, Parent, Quote};
use crate::mail::letter::Letter;
use crate::mail::loop_mark::LoopMark;
use crate::mail::mailbox::Mailbox;
use crate::mail::message_id::InternetMessageId;
use crate::mail::token::{self, Audience, Keyring, NONCE_BYTES};

/// How much of the original is read to quote from, in bytes.
const ORIGINAL_BYTES_MAX: usize = 1 << 20;

/// What every answer of this installation has in common.
#[derive(Debug, Clone)]
pub struct ReplySettings {
    /// The domain on the right of the Message-IDs that we make.
    pub message_id_domain: String,
}

/// What an agent wrote.
#[derive(Debug, Clone)]
pub struct ReplyDraft {
    /// Who.
    pub session: SessionId,
    /// What is answered.
    pub interaction: InteractionId,
    /// The address chosen as From; empty for the one that the customer wrote to.
    pub from: String,
    /// The subject; the original's with `Re:` if not given.
    pub subject: Option<String>,
    /// The text.
    pub text: String,
    /// Whether the original is quoted below it.
    pub include_original: bool,
    /// The files that go along.
    pub files: Vec<Enclosed>,
    /// The newest letter that the agent had seen.
    pub latest_seen: Option<MessageId>,
}

/// Why an answer was not sent. Nothing changed, except after [`EngineError::Unknown`].
#[derive(Debug)]
pub enum ReplyError {
    /// The engine or the desk said no.
    Engine(EngineError),
    /// What was written makes no message: the caller's to mend.
    Compose(ComposeError),
    /// The customer left no address that could be answered.
    NoRecipient,
    /// A recipient is an address of ours: mail to it would come back as a customer's.
    OwnAddress(String),
    /// With its files the mail is larger than so many bytes.
    TooLarge(u64),
    /// The machine gave no random number.
    Randomness,
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine(error) => error.fmt(f),
            Self::Compose(error) => error.fmt(f),
            Self::NoRecipient => f.write_str("the letter has no usable sender to answer to"),
            Self::OwnAddress(address) => write!(
                f,
                "{address} is an address of a queue; transfer the interaction to it instead"
            ),
            Self::TooLarge(max) => write!(f, "with its files the mail is larger than {max} bytes"),
            Self::Randomness => f.write_str("the machine gives no random numbers"),
        }
    }
}

impl std::error::Error for ReplyError {}

impl From<EngineError> for ReplyError {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl From<Refusal> for ReplyError {
    fn from(refusal: Refusal) -> Self {
        Self::Engine(refusal.into())
    }
}

/// Composes the answer and has it stored together with what follows for the interaction.
///
/// The checks that matter are the desk's, at the moment of the commit; what is looked up here
/// only decides what the message says.
///
/// # Errors
///
/// [`ReplyError`].
pub async fn send(
    handle: &Handle,
    settings: &ReplySettings,
    draft: ReplyDraft,
    request: Option<RequestKey>,
) -> Result<Done, ReplyError> {
    let interaction = handle
        .interaction(draft.interaction)
        .await?
        .ok_or(Refusal::InteractionUnknown(draft.interaction))?;
    let case = handle
        .case(interaction.case)
        .await?
        .ok_or(Refusal::InteractionUnknown(draft.interaction))?;
    let from = from_mailbox(handle, &interaction, draft.from).await?;
    let to = Mailbox {
        name: interaction.customer.display_name.clone(),
        address: Address::parse(&interaction.customer.address)
            .map_err(|_| ReplyError::NoRecipient)?,
    };
    let identity = Identity::new(handle, settings, &case, &from, &to)?;
    let original = original(handle, interaction.latest_inbound).await?;
    let now = handle.now();
    let author = to.label();
    let quote = draft.include_original.then(|| Quote {
        author: &author,
        date: original.date.unwrap_or(interaction.arrived),
        text: original.body.text(),
    });
    // What an agent began and what came back unsent answers no letter.
    let answers = interaction.latest_inbound != NO_MESSAGE;
    let subject = match &draft.subject {
        None if !answers => interaction.subject.as_str(),
        subject => subject.as_deref().unwrap_or_default(),
    };
    let composed = Draft {
        from: &from,
        to: std::slice::from_ref(&to),
        cc: &[],
        reply_to: identity.reply_to.as_ref(),
        subject,
        tag: None,
        text: &draft.text,
        parent: answers.then_some(Parent {
            subject: &original.subject,
            internet_message_id: original.internet_message_id.as_ref(),
            references: &original.references,
            quote,
        }),
        forwarded: None,
        date: now,
        internet_message_id: &identity.id,
        loop_mark: &identity.loop_mark,
        automatic: false,
    }
    .compose()
    .map_err(ReplyError::Compose)?;
    let subject = composed.subject.clone();
    let body = attaching::with_files(handle, &identity.id, composed, draft.files).await?;
    let reply = Outgoing {
        session: draft.session,
        interaction: draft.interaction,
        envelope_sender: from.address.normalised(),
        from: correspondent(&from),
        to: correspondent(&to),
        slot: identity.slot,
        others: Vec::new(),
        internet_message_id: identity.id.as_str().to_owned(),
        subject,
        size: body.len(),
        latest_seen: draft.latest_seen,
    };
    let command = Command::Reply(Box::new(reply));
    Ok(handle.command_with_body(command, body, request).await?)
}

/// How a mail of ours is known, and where answers to it come back to.
pub(super) struct Identity {
    pub(super) id: InternetMessageId,
    pub(super) reply_to: Option<Mailbox>,
    pub(super) loop_mark: LoopMark,
    /// The slot of whom it is for; see [`Case::slot`].
    pub(super) slot: u16,
}

impl Identity {
    /// Makes one for a mail of a case to somebody.
    pub(super) fn new(
        handle: &Handle,
        settings: &ReplySettings,
        case: &Case,
        from: &Mailbox,
        to: &Mailbox,
    ) -> Result<Self, ReplyError> {
        let keyring = handle.keyring();
        let audience = Audience {
            case: case.number,
            generation: case.generation,
            slot: case.slot(&to.address.normalised()),
            address: &to.address,
        };
        let id = mint(settings, &keyring, audience)?;
        let reply_to = handle
            .signs_addresses()
            .then(|| reply_to(&keyring, audience, from))
            .flatten();
        let loop_mark = LoopMark::mint(&keyring, &settings.message_id_domain, &id)
            .map_err(|_| ReplyError::Randomness)?;
        Ok(Self {
            id,
            reply_to,
            loop_mark,
            slot: audience.slot,
        })
    }
}

/// A mailbox as records have it.
pub fn correspondent(mailbox: &Mailbox) -> Correspondent {
    Correspondent {
        address: mailbox.address.normalised(),
        display_name: mailbox.name.clone(),
    }
}

/// The mailbox of the interaction's queue that was chosen as From; the one that the interaction
/// names if none was.
pub(super) async fn from_mailbox(
    handle: &Handle,
    interaction: &Interaction,
    chosen: String,
) -> Result<Mailbox, ReplyError> {
    let chosen = if chosen.is_empty() {
        interaction.mailbox.clone()
    } else {
        chosen
    };
    let queue = interaction.queue.clone();
    let refusal = Refusal::FromNotAllowed(chosen.clone());
    let found = handle
        .look(move |desk, _| {
            let settings = &desk.queues().get(&queue)?.settings;
            settings.mailbox(&chosen).cloned()
        })
        .await?;
    let mailbox = found.ok_or(refusal.clone())?;
    Ok(Mailbox {
        name: mailbox.display_name,
        address: Address::parse(&mailbox.address).map_err(|_| refusal)?,
    })
}

/// The address that an answer comes back to, with the name of From. `None` if the mailbox's name
/// leaves no room for a token: then From is answered to.
fn reply_to(keyring: &Keyring, audience: Audience<'_>, from: &Mailbox) -> Option<Mailbox> {
    Some(Mailbox {
        name: from.name.clone(),
        address: token::mint_address(keyring, audience, &from.address).ok()?,
    })
}

fn mint(
    settings: &ReplySettings,
    keyring: &Keyring,
    audience: Audience<'_>,
) -> Result<InternetMessageId, ReplyError> {
    let mut nonce = [0; NONCE_BYTES];
    let random = ring::rand::SystemRandom::new();
    ring::rand::SecureRandom::fill(&random, &mut nonce).map_err(|_| ReplyError::Randomness)?;
    token::mint(keyring, audience, nonce, &settings.message_id_domain)
        .map_err(|_| ReplyError::Randomness)
}

/// The letter that is answered or passed on.
pub(super) async fn original(handle: &Handle, id: MessageId) -> Result<Letter, ReplyError> {
    let record = handle.message(id).await?;
    let size = record.map_or(0, |record| record.size);
    let head = handle
        .body_head(id, ORIGINAL_BYTES_MAX)
        .await?
        .unwrap_or_default();
    let whole = size <= head.len() as u64;
    tokio::task::spawn_blocking(move || Letter::read(&head, whole))
        .await
        .map_err(|_| ReplyError::Engine(EngineError::Stopping))
}
