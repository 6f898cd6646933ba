//! Answering: from an agent's words to an outgoing message in the engine's hands.

use std::fmt;

use super::letterhead::Letterhead;
use super::mail::{self, Mail, Quoted, Standing};
use super::original::Original;
use super::recipients::Recipients;
use crate::desk::{Case, Command, Correspondent, Interaction, NO_MESSAGE, Refusal};
use crate::engine::{Done, EngineError, Handle, RequestKey};
use crate::id::{InteractionId, MessageId, SessionId};
use crate::mail::compose::ComposeError;
use crate::mail::loop_mark::LoopMark;
use crate::mail::mailbox::Mailbox;
use crate::mail::message_id::InternetMessageId;
use crate::mail::token::{self, Audience, Keyring, NONCE_BYTES};
use crate::mail::trust::Trust;

/// What every answer of this installation has in common.
#[derive(Debug, Clone)]
pub struct ReplySettings {
    /// The domain on the right of the Message-IDs that we make.
    pub message_id_domain: String,
}

/// What an agent has to say.
#[derive(Debug, Clone, Default)]
pub struct Words {
    /// As text; may be empty if there is HTML.
    pub text: String,
    /// The same as HTML, if the mail is to have both.
    pub html: Option<String>,
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
    /// To whom; the customer if `to` is empty.
    pub recipients: Recipients,
    /// Whether everybody else who had the answered letter gets a copy.
    pub reply_all: bool,
    /// The subject; the original's with `Re:` if not given.
    pub subject: Option<String>,
    /// The text.
    pub words: Words,
    /// What of the original stands below it.
    pub quoted: Quoted,
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
    /// The letter is not proven to be its sender's, so it does not say who else takes part.
    Unproven,
    /// The letter that is passed on has no such part.
    NoSuchPart(String),
    /// A recipient is an address of ours: mail to it would come back as a customer's.
    OwnAddress(String),
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
            Self::Unproven => f.write_str(
                "the sender of this letter is not proven, so its other recipients may be \
                 anybody's; name those who are to have the answer",
            ),
            Self::NoSuchPart(part) => write!(f, "the letter has no file {part:?}"),
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
    let (interaction, case) = work(handle, draft.interaction).await?;
    let mut recipients = draft.recipients;
    recipients.check_outside(handle).await?;
    if recipients.to.is_empty() {
        recipients.to.push(mail::customer(&interaction)?);
    }
    let first = (recipients.to.first().cloned()).ok_or(ReplyError::NoRecipient)?;
    let letterhead = Letterhead::of(handle, draft.session, &interaction, draft.from).await?;
    let identity = Identity::new(handle, settings, &case, &letterhead, &first)?;
    let original = Original::quoted(handle, interaction.latest_inbound, &identity.id).await?;
    if draft.reply_all {
        let record = handle.message(interaction.latest_inbound).await?;
        let trust = record.map_or(Trust::D, |record| record.trust);
        recipients
            .add_all_of(handle, original.letter(), trust)
            .await?;
    }
    recipients.settle()?;
    let quoted = match draft.quoted {
        // Who was not there before is not shown what was said before.
        Quoted::Whole if recipients.has_stranger_to(original.letter()) => Quoted::Fresh,
        quoted => quoted,
    };
    // What an agent began and what came back unsent answers no letter.
    let answers = interaction.latest_inbound != NO_MESSAGE;
    let mail = Mail {
        whose: (draft.session, draft.interaction, draft.latest_seen),
        letterhead,
        recipients,
        identity,
        subject: match draft.subject {
            None if !answers => interaction.subject,
            subject => subject.unwrap_or_default(),
        },
        number: Some(case.number),
        untag: mail::left_behind(&case),
        words: draft.words,
        standing: if answers {
            Standing::Answers(Box::new(original), quoted)
        } else {
            Standing::Alone
        },
        customer: first,
        arrived: interaction.arrived,
        date: handle.now(),
    };
    mail.hand_in(handle, Command::Reply, request).await
}

/// The interaction and its case.
pub(super) async fn work(
    handle: &Handle,
    id: InteractionId,
) -> Result<(Interaction, Case), ReplyError> {
    let unknown = || Refusal::InteractionUnknown(id);
    let found = handle.interaction(id).await?.ok_or_else(unknown)?;
    let case = handle.case(found.case).await?.ok_or_else(unknown)?;
    Ok((found, case))
}

/// How a mail of ours is known, and where answers to it come back to.
#[derive(Debug)]
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
        letterhead: &Letterhead,
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
            .then(|| signed_reply_to(&keyring, audience, letterhead))
            .flatten()
            .or_else(|| plain_reply_to(letterhead));
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

/// The address that an answer comes back to, with the name of From. `None` if the mailbox's name
/// leaves no room for a token.
fn signed_reply_to(
    keyring: &Keyring,
    audience: Audience<'_>,
    letterhead: &Letterhead,
) -> Option<Mailbox> {
    Some(Mailbox {
        name: letterhead.from.name.clone(),
        address: token::mint_address(keyring, audience, &letterhead.home).ok()?,
    })
}

/// Without a token From is answered to, unless that is no address of the queue.
fn plain_reply_to(letterhead: &Letterhead) -> Option<Mailbox> {
    (letterhead.home != letterhead.from.address).then(|| Mailbox {
        name: letterhead.from.name.clone(),
        address: letterhead.home.clone(),
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
