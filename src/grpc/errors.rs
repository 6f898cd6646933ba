//! Errors on the wire: one gRPC code, one reason, and the details that go with it.
//!
//! Every error that Postroom makes passes through here, so that each carries
//! `google.rpc.ErrorInfo` and the plain trailer for clients that cannot decode it.

use std::fmt::Display;
use std::time::Duration;

use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

use super::pb::ErrorReason;
use crate::desk::{OfferState, Refusal};
use crate::engine::{EngineError, UploadError};
use crate::mail::compose::{ComposeError, Field};
use crate::mail::token::MainNumber;
use crate::outbound::reply::ReplyError;

/// The domain of every reason.
pub const DOMAIN: &str = "postroom";

/// The trailer that repeats the reason in plain text.
pub const REASON_TRAILER: &str = "postroom-reason";

/// When a client comes back that was turned away because of load or a store that cannot write.
const RETRY_SOON: Duration = Duration::from_secs(2);

/// When a client comes back after the gateway has stopped: a restart takes about this long.
const RETRY_AFTER_DRAIN: Duration = Duration::from_secs(3);

/// An error in the making.
pub(super) struct Failure {
    code: Code,
    reason: ErrorReason,
    message: String,
    metadata: Vec<(&'static str, String)>,
    retry: Option<Duration>,
    violations: Vec<FieldViolation>,
}

impl Failure {
    pub(super) fn new(code: Code, reason: ErrorReason, message: impl Display) -> Self {
        Self {
            code,
            reason,
            message: message.to_string(),
            metadata: Vec::new(),
            retry: None,
            violations: Vec::new(),
        }
    }

    /// Adds a value that the message mentions, for programs to read.
    pub(super) fn with(mut self, key: &'static str, value: impl Display) -> Self {
        self.metadata.push((key, value.to_string()));
        self
    }

    /// Says when to come back.
    pub(super) fn retry(mut self, after: Duration) -> Self {
        self.retry = Some(after);
        self
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        let name = failure.reason.as_str_name();
        let reason = name.strip_prefix("ERROR_REASON_").unwrap_or(name);
        let mut info = tonic_types::ErrorInfo::new(reason, DOMAIN, []);
        for (key, value) in failure.metadata {
            info.metadata.insert(key.to_owned(), value);
        }
        let mut details = ErrorDetails::new();
        details.set_error_info(info.reason, info.domain, info.metadata);
        if failure.retry.is_some() {
            details.set_retry_info(failure.retry);
        }
        if !failure.violations.is_empty() {
            details.set_bad_request(failure.violations);
        }
        let mut trailer = MetadataMap::new();
        if let Ok(reason) = MetadataValue::try_from(reason) {
            trailer.insert(REASON_TRAILER, reason);
        }
        Self::with_error_details_and_metadata(failure.code, failure.message, details, trailer)
    }
}

/// A request whose fields break their rules.
pub(super) fn fields_invalid(violations: Vec<FieldViolation>) -> Status {
    let message = violations
        .iter()
        .map(|found| format!("{}: {}", found.field, found.description))
        .collect::<Vec<_>>()
        .join("; ");
    let mut failure = Failure::new(Code::InvalidArgument, ErrorReason::FieldInvalid, message);
    failure.violations = violations;
    failure.into()
}

/// One field that breaks its rule in a way that only shows later.
pub(super) fn field_invalid(field: &str, description: &str) -> Status {
    fields_invalid(vec![FieldViolation::new(field, description)])
}

/// There is no such resource.
pub(super) fn not_found(resource: impl Display) -> Status {
    let message = format!("there is no {resource}");
    Failure::new(Code::NotFound, ErrorReason::ResourceNotFound, message)
        .with("resource", resource)
        .into()
}

/// An attachment is not complete.
pub(super) fn not_ready(attachment: impl Display) -> Status {
    let message = format!("{attachment} is not complete; send the rest of it first");
    let reason = ErrorReason::AttachmentNotReady;
    Failure::new(Code::FailedPrecondition, reason, message)
        .with("resource", attachment)
        .into()
}

/// No case has this number.
pub(super) fn main_number_unknown(number: MainNumber) -> Status {
    let reason = ErrorReason::MainNumberUnknown;
    let message = format!("no case has the number {number}");
    Failure::new(Code::NotFound, reason, message)
        .with("main_number", number)
        .into()
}

/// The gateway is stopping.
pub(super) fn draining() -> Status {
    let message = "the gateway is stopping; come back when it has started again";
    Failure::new(Code::Unavailable, ErrorReason::ServerDraining, message)
        .retry(RETRY_AFTER_DRAIN)
        .into()
}

/// A bug of ours: the log has the rest.
pub(super) fn internal(what: &str) -> Status {
    tracing::error!(what, "a call met a state that cannot be");
    let message = "a bug in the gateway; its log names this call";
    Failure::new(Code::Internal, ErrorReason::Internal, message).into()
}

/// What the engine answered, as an error on the wire.
pub(super) fn engine(error: EngineError) -> Status {
    match error {
        EngineError::Refused(refusal) => refused(refusal),
        EngineError::RequestIdReused => Failure::new(
            Code::InvalidArgument,
            ErrorReason::RequestIdReused,
            "this request_id was used with another content; make a new one for a new request",
        )
        .into(),
        EngineError::AnswerLost => Failure::new(
            Code::FailedPrecondition,
            ErrorReason::AnswerLost,
            "this request was carried out before the gateway was renewed; read what came of it",
        )
        .into(),
        EngineError::Overloaded => Failure::new(
            Code::ResourceExhausted,
            ErrorReason::RateLimited,
            "the gateway has more to do than it can; come back soon",
        )
        .retry(RETRY_SOON)
        .into(),
        EngineError::Stopping => draining(),
        EngineError::Unavailable(why) => {
            tracing::warn!(why, "the store did not do what a call needed");
            let message = "the store cannot be used at the moment; nothing was done";
            Failure::new(Code::Unavailable, ErrorReason::StoreUnavailable, message)
                .retry(RETRY_SOON)
                .into()
        }
        EngineError::Unknown(why) => {
            tracing::error!(why, "the outcome of a call is unknown");
            let message = "the store failed; call again with the same request_id to find out";
            Failure::new(Code::Unknown, ErrorReason::OutcomeUnknown, message).into()
        }
    }
}

/// What the desk refused, as an error on the wire.
pub(super) fn refused(refusal: Refusal) -> Status {
    use ErrorReason as R;
    let message = refusal.to_string();
    let fail = |code, reason| Failure::new(code, reason, &message);
    match refusal {
        Refusal::SessionClosed => fail(Code::Unauthenticated, R::SessionClosed),
        Refusal::SessionActiveElsewhere => {
            fail(Code::FailedPrecondition, R::SessionActiveElsewhere)
        }
        Refusal::AgentUnknown(agent) => {
            fail(Code::NotFound, R::ResourceNotFound).with("resource", format!("agents/{agent}"))
        }
        Refusal::AgentExists(agent) => {
            fail(Code::AlreadyExists, R::ResourceExists).with("resource", format!("agents/{agent}"))
        }
        Refusal::QueueUnknown(queue) => {
            fail(Code::NotFound, R::ResourceNotFound).with("resource", format!("queues/{queue}"))
        }
        Refusal::QueueFull(_) => fail(Code::ResourceExhausted, R::RateLimited).retry(RETRY_SOON),
        Refusal::OfferUnknown(offer) => {
            fail(Code::NotFound, R::ResourceNotFound).with("resource", format!("offers/{offer}"))
        }
        Refusal::NotOfferTarget(offer) => fail(Code::PermissionDenied, R::NotOfferTarget)
            .with("resource", format!("offers/{offer}")),
        Refusal::OfferOver(offer, state) => {
            let reason = match state {
                OfferState::Missed | OfferState::Undelivered => R::OfferExpired,
                OfferState::Rescinded(_) => R::OfferRescinded,
                OfferState::Pending
                | OfferState::Shown
                | OfferState::Accepted
                | OfferState::Rejected(_) => R::OfferResolved,
            };
            let failure =
                fail(Code::FailedPrecondition, reason).with("resource", format!("offers/{offer}"));
            match state {
                OfferState::Rescinded(cause) => {
                    let name = super::convert::rescind_cause(cause).as_str_name();
                    let cause = name.strip_prefix("OFFER_RESCIND_CAUSE_").unwrap_or(name);
                    failure.with("cause", cause)
                }
                OfferState::Pending
                | OfferState::Shown
                | OfferState::Accepted
                | OfferState::Rejected(_)
                | OfferState::Missed
                | OfferState::Undelivered => failure,
            }
        }
        Refusal::InteractionUnknown(id) => {
            fail(Code::NotFound, R::ResourceNotFound).with("resource", format!("interactions/{id}"))
        }
        Refusal::NotOwner(id) => fail(Code::PermissionDenied, R::NotInteractionOwner)
            .with("resource", format!("interactions/{id}")),
        Refusal::InteractionState {
            interaction,
            state,
            needed,
        } => fail(Code::FailedPrecondition, R::InteractionStateInvalid)
            .with("resource", format!("interactions/{interaction}"))
            .with("state", state)
            .with("needed_state", needed),
        Refusal::StateTransition(_) | Refusal::QueueInUse(..) => {
            fail(Code::FailedPrecondition, R::StateTransitionInvalid)
        }
        Refusal::FromNotAllowed(address) => {
            fail(Code::PermissionDenied, R::FromAddressNotAllowed).with("address", address)
        }
        Refusal::NewerMessage(message) => {
            fail(Code::FailedPrecondition, R::NewerMessage).with("message_id", message)
        }
        Refusal::SequenceAhead { latest, .. } => {
            fail(Code::OutOfRange, R::SequenceAhead).with("latest_sequence", latest)
        }
        Refusal::SpoolFull => fail(Code::Unavailable, R::SubmissionUnavailable).retry(RETRY_SOON),
        Refusal::OutboundUnknown(id) => {
            fail(Code::NotFound, R::ResourceNotFound).with("resource", format!("messages/{id}"))
        }
        Refusal::OutboundState(id) => fail(Code::FailedPrecondition, R::StateTransitionInvalid)
            .with("resource", format!("messages/{id}")),
        Refusal::Merge(_) => fail(Code::FailedPrecondition, R::StateTransitionInvalid),
        Refusal::CaseUnknown(number) => {
            fail(Code::NotFound, R::ResourceNotFound).with("resource", format!("cases/{number}"))
        }
        Refusal::TransferTarget(_) => fail(Code::FailedPrecondition, R::TransferTargetInvalid),
        Refusal::NotMember(queue) => fail(Code::PermissionDenied, R::NotQueueMember)
            .with("resource", format!("queues/{queue}")),
        Refusal::PullOff(queue) => fail(Code::FailedPrecondition, R::FeatureDisabled)
            .with("queue", format!("queues/{queue}")),
        Refusal::QueueEmpty(queue) => {
            fail(Code::FailedPrecondition, R::QueueEmpty).with("queue", format!("queues/{queue}"))
        }
        Refusal::AtCapacity(agent) => fail(Code::FailedPrecondition, R::AgentAtCapacity)
            .with("agent", format!("agents/{agent}")),
        Refusal::AgentDisabled(agent) => fail(Code::PermissionDenied, R::AgentDisabled)
            .with("resource", format!("agents/{agent}")),
        Refusal::Priority(_) => return field_invalid("priority", &message),
        Refusal::WrapUpCodeMissing(id) => fail(Code::FailedPrecondition, R::WrapUpCodeRequired)
            .with("resource", format!("interactions/{id}")),
        Refusal::ExtensionsSpent(id, limit) => {
            fail(Code::FailedPrecondition, R::WrapUpLimitReached)
                .with("resource", format!("interactions/{id}"))
                .with("limit", limit)
        }
        Refusal::WrapUpUntimed(id) => fail(Code::FailedPrecondition, R::WrapUpDisabled)
            .with("resource", format!("interactions/{id}")),
        Refusal::RejectingNotAllowed(queue) => fail(Code::FailedPrecondition, R::FeatureDisabled)
            .with("resource", format!("queues/{queue}")),
        Refusal::CodeUnknown(field, ..) | Refusal::OutOfRange(field, ..) => {
            return field_invalid(field, &message);
        }
        Refusal::TooLong(field, max) => {
            return field_invalid(field, &format!("longer than {max} bytes"));
        }
        Refusal::AgentSignedOut(agent) | Refusal::AgentMissing(agent) => {
            fail(Code::FailedPrecondition, R::AgentUnavailable)
                .with("resource", format!("agents/{agent}"))
        }
        Refusal::AlertUnknown(name) => {
            fail(Code::NotFound, R::ResourceNotFound).with("resource", format!("alerts/{name}"))
        }
        Refusal::Changed(id, version) => fail(Code::Aborted, R::EtagMismatch)
            .with("resource", format!("interactions/{id}"))
            .with("etag", super::convert::etag(version)),
        Refusal::SelectsEverything => return field_invalid("selection", &message),
        Refusal::UploadUnknown(interaction, id) => fail(Code::NotFound, R::ResourceNotFound)
            .with("resource", super::convert::attachment_name(interaction, id)),
        Refusal::UploadTooLarge(_, limit) => {
            fail(Code::ResourceExhausted, R::AttachmentTooLarge).with("limit", limit)
        }
        Refusal::TooManyUploads => fail(Code::ResourceExhausted, R::AttachmentTooLarge),
        Refusal::TooManyReaders(_) => return field_invalid("queues", &message),
    }
    .into()
}

/// Why a chunk of a file was not taken, as an error on the wire.
pub(super) fn upload(error: UploadError) -> Status {
    let message = error.to_string();
    match error {
        UploadError::Engine(error) => engine(error),
        UploadError::Offset(received) => {
            let reason = ErrorReason::UploadOffsetMismatch;
            Failure::new(Code::FailedPrecondition, reason, message)
                .with("received_bytes", received)
                .into()
        }
        UploadError::TooLarge(limit) => {
            let reason = ErrorReason::AttachmentTooLarge;
            Failure::new(Code::ResourceExhausted, reason, message)
                .with("limit", limit)
                .into()
        }
        UploadError::Digest => {
            let reason = ErrorReason::DigestMismatch;
            Failure::new(Code::InvalidArgument, reason, message).into()
        }
        UploadError::Busy => {
            Failure::new(Code::ResourceExhausted, ErrorReason::RateLimited, message)
                .retry(RETRY_SOON)
                .into()
        }
    }
}

/// Why a reply was not sent, as an error on the wire.
pub(super) fn reply(error: ReplyError) -> Status {
    let message = error.to_string();
    match error {
        ReplyError::Engine(error) => engine(error),
        ReplyError::NoSuchPart(_) => field_invalid("part_ids", &message),
        ReplyError::NoRecipient | ReplyError::Unproven | ReplyError::OwnAddress(_) => {
            let reason = ErrorReason::RecipientInvalid;
            Failure::new(Code::InvalidArgument, reason, message).into()
        }
        ReplyError::Compose(ComposeError::TooLong(Field::Text | Field::Html | Field::Original)) => {
            let reason = ErrorReason::MessageTooLarge;
            Failure::new(Code::ResourceExhausted, reason, message).into()
        }
        ReplyError::Compose(ComposeError::NoRecipient | ComposeError::TooManyRecipients) => {
            let reason = ErrorReason::RecipientInvalid;
            Failure::new(Code::InvalidArgument, reason, message).into()
        }
        ReplyError::Compose(ComposeError::Control(field) | ComposeError::TooLong(field)) => {
            let name = match field {
                Field::Name => "from_address",
                Field::Subject | Field::Tag => "subject",
                Field::Text => "text_body",
                Field::Html => "html_body",
                Field::Original => "name",
            };
            field_invalid(name, &message)
        }
        ReplyError::Randomness => internal("the machine gives no random numbers"),
    }
}
