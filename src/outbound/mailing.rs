//! Mailing: from an agent's words to a forwarded letter, or to a mail that answers none, in the
//! engine's hands.

use tokio::sync::Semaphore;

use super::attaching::{self, Enclosed};
use super::reply::{self, Identity, ReplyError, ReplySettings};
use crate::desk::{Case, Command, Correspondent, Interaction, NO_MESSAGE, Outgoing, Refusal};
use crate::engine::{Done, EngineError, Handle, RequestKey};
use crate::id::{InteractionId, MessageId, SessionId};
use crate::mail::address::Address;
use crate::mail::compose::{ComposeError, Composed, Draft, Field, Forwarded, RECIPIENTS_MAX};
use crate::mail::letter::Letter;
use crate::mail::mailbox::Mailbox;
use crate::time::Timestamp;

/// Largest letter that is enclosed in another, in bytes: with its text, what most servers take.
const ENCLOSED_BYTES_MAX: u64 = 20 << 20;

/// How many letters are being enclosed at the same time; others wait. With what is made of it each
/// takes some sixty megabytes.
const ENCLOSING_MAX: usize = 4;

static ENCLOSING: Semaphore = Semaphore::const_new(ENCLOSING_MAX);

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
    /// The files that go along.
    pub files: Vec<Enclosed>,
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
    /// The files that go along.
    pub files: Vec<Enclosed>,
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
    // Held until the mail is stored: only so many of these are in memory at once.
    let _place = match draft.enclose {
        true => ENCLOSING.acquire().await.ok(),
        false => None,
    };
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
    let passed_on = PassedOn {
        author,
        arrived: interaction.arrived,
        original,
        whole,
    };
    let mail = Mail {
        whose: (draft.session, draft.interaction, draft.latest_seen),
        from,
        recipients,
        identity,
        subject: String::new(),
        text: draft.text,
        passed_on: Some(passed_on),
        files: draft.files,
        date: handle.now(),
    };
    hand_in(handle, mail, Command::Forward, request).await
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
        interaction.subject
    } else {
        draft.subject
    };
    let mail = Mail {
        whose: (draft.session, draft.interaction, draft.latest_seen),
        from,
        recipients,
        identity,
        subject,
        text: draft.text,
        passed_on: None,
        files: draft.files,
        date: handle.now(),
    };
    hand_in(handle, mail, Command::SendEmail, request).await
}

/// A mail before it is composed.
struct Mail {
    /// Who writes it, as what, and what they had read.
    whose: (SessionId, InteractionId, Option<MessageId>),
    from: Mailbox,
    recipients: Recipients,
    identity: Identity,
    subject: String,
    text: String,
    passed_on: Option<PassedOn>,
    files: Vec<Enclosed>,
    date: Timestamp,
}

/// The letter that a mail passes on.
struct PassedOn {
    author: String,
    arrived: Timestamp,
    original: Letter,
    whole: Option<Vec<u8>>,
}

impl Mail {
    fn compose(&self) -> Result<Composed, ComposeError> {
        Draft {
            from: &self.from,
            to: &self.recipients.to,
            cc: &self.recipients.cc,
            reply_to: self.identity.reply_to.as_ref(),
            subject: &self.subject,
            tag: None,
            text: &self.text,
            parent: None,
            forwarded: self.passed_on.as_ref().map(|passed_on| Forwarded {
                author: &passed_on.author,
                date: passed_on.original.date.unwrap_or(passed_on.arrived),
                subject: &passed_on.original.subject,
                text: passed_on.original.body.text(),
                whole: passed_on.whole.as_deref(),
            }),
            date: self.date,
            internet_message_id: &self.identity.id,
            loop_mark: &self.identity.loop_mark,
            automatic: false,
        }
        .compose()
    }
}

/// Composes a mail and has it stored together with what follows. Composing is done beside the
/// runtime: an enclosed letter is megabytes to be encoded.
async fn hand_in(
    handle: &Handle,
    mut mail: Mail,
    command: fn(Box<Outgoing>) -> Command,
    request: Option<RequestKey>,
) -> Result<Done, ReplyError> {
    let files = std::mem::take(&mut mail.files);
    let composing = tokio::task::spawn_blocking(move || (mail.compose(), mail));
    let stopping = |_| ReplyError::Engine(EngineError::Stopping);
    let (composed, mail) = composing.await.map_err(stopping)?;
    let composed = composed.map_err(ReplyError::Compose)?;
    let subject = composed.subject.clone();
    let body = attaching::with_files(handle, &mail.identity.id, composed, files).await?;
    let outgoing = mail.outgoing(subject, body.len())?;
    let command = command(Box::new(outgoing));
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

impl Mail {
    /// What the desk is told: the first recipient is the one whom the tokens are for.
    fn outgoing(&self, subject: String, size: u64) -> Result<Outgoing, ReplyError> {
        let Recipients { to, cc, bcc } = &self.recipients;
        let mut people: Vec<Correspondent> = Vec::new();
        for mailbox in to.iter().chain(cc).chain(bcc) {
            let person = reply::correspondent(mailbox);
            if people.iter().all(|other| other.address != person.address) {
                people.push(person);
            }
        }
        if people.is_empty() {
            return Err(ReplyError::NoRecipient);
        }
        let to = people.remove(0);
        let (session, interaction, latest_seen) = self.whose;
        Ok(Outgoing {
            session,
            interaction,
            from: reply::correspondent(&self.from),
            to,
            slot: self.identity.slot,
            others: people,
            envelope_sender: self.from.address.normalised(),
            internet_message_id: self.identity.id.as_str().to_owned(),
            subject,
            size,
            latest_seen,
        })
    }
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
