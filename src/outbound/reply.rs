//! Answering: from an agent's words to an outgoing message in the engine's hands.

use std::fmt;
use std::sync::Arc;

use crate::content::Content;
use crate::desk::{Command, Correspondent, Refusal, Reply};
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
    /// The keys that they are signed with.
    pub keyring: Arc<Keyring>,
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
    /// The machine gave no random number.
    Randomness,
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine(error) => error.fmt(f),
            Self::Compose(error) => error.fmt(f),
            Self::NoRecipient => f.write_str("the letter has no usable sender to answer to"),
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
    let chosen = if draft.from.is_empty() {
        interaction.mailbox.clone()
    } else {
        draft.from.clone()
    };
    let from = from_mailbox(handle, interaction.queue.clone(), chosen).await?;
    let customer =
        Address::parse(&interaction.customer.address).map_err(|_| ReplyError::NoRecipient)?;
    let id = mint(settings, case.number, case.generation, &customer)?;
    let loop_mark = LoopMark::mint(&settings.keyring, &settings.message_id_domain, &id)
        .map_err(|_| ReplyError::Randomness)?;
    let to = Mailbox {
        name: interaction.customer.display_name.clone(),
        address: customer,
    };
    let original = original(handle, interaction.latest_inbound).await?;
    let now = handle.now();
    let author = to.label();
    let quote = draft.include_original.then(|| Quote {
        author: &author,
        date: original.date.unwrap_or(interaction.arrived),
        text: original.body.text(),
    });
    let composed = Draft {
        from: &from,
        to: std::slice::from_ref(&to),
        cc: &[],
        subject: draft.subject.as_deref().unwrap_or_default(),
        tag: None,
        text: &draft.text,
        parent: Some(Parent {
            subject: &original.subject,
            internet_message_id: original.internet_message_id.as_ref(),
            references: &original.references,
            quote,
        }),
        date: now,
        internet_message_id: &id,
        loop_mark: &loop_mark,
        automatic: false,
    }
    .compose()
    .map_err(ReplyError::Compose)?;
    let reply = Reply {
        session: draft.session,
        interaction: draft.interaction,
        envelope_sender: from.address.normalised(),
        from: Correspondent {
            address: from.address.normalised(),
            display_name: from.name,
        },
        to: Correspondent {
            address: to.address.normalised(),
            display_name: to.name,
        },
        internet_message_id: id.as_str().to_owned(),
        subject: composed.subject,
        size: composed.bytes.len() as u64,
        latest_seen: draft.latest_seen,
    };
    let command = Command::Reply(Box::new(reply));
    let body = Content::Memory(composed.bytes.into());
    Ok(handle.command_with_body(command, body, request).await?)
}

/// The queue's mailbox of that address.
async fn from_mailbox(
    handle: &Handle,
    queue: crate::id::QueueId,
    chosen: String,
) -> Result<Mailbox, ReplyError> {
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

fn mint(
    settings: &ReplySettings,
    case: token::MainNumber,
    generation: u32,
    customer: &Address,
) -> Result<InternetMessageId, ReplyError> {
    let mut nonce = [0; NONCE_BYTES];
    let random = ring::rand::SystemRandom::new();
    ring::rand::SecureRandom::fill(&random, &mut nonce).map_err(|_| ReplyError::Randomness)?;
    let audience = Audience {
        case,
        generation,
        slot: 0,
        address: customer,
    };
    token::mint(
        &settings.keyring,
        audience,
        nonce,
        &settings.message_id_domain,
    )
    .map_err(|_| ReplyError::Randomness)
}

/// The letter that is answered.
async fn original(handle: &Handle, id: MessageId) -> Result<Letter, ReplyError> {
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
