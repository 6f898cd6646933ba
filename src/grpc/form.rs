//! The form of a request: names, ids and bounds, checked before anything is looked up.
//!
//! A [`Form`] gathers every violation, so that a client author sees all of them at once.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::str::FromStr;

use prost::Message;
use ring::digest::{SHA256, digest};
use tonic::Status;
use tonic_types::FieldViolation;

use super::access::Principal;
use super::{errors, pb};
use crate::desk::Requested;
use crate::engine::RequestKey;
use crate::id::{AgentId, AttachmentId, InteractionId, MessageId};
use crate::mail::address::Address;
use crate::mail::compose::RECIPIENTS_MAX;
use crate::mail::mailbox::{Mailbox, NAME_CHARS_MAX};
use crate::mail::token::MainNumber;
use crate::time::Timestamp;

/// Longest request id: a UUID as text.
const REQUEST_ID_BYTES_MAX: usize = 36;

/// What is wrong with a request so far.
#[derive(Default)]
pub(super) struct Form {
    violations: Vec<FieldViolation>,
}

impl Form {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Notes a violation.
    pub(super) fn wrong(&mut self, field: &str, description: impl Display) {
        self.violations
            .push(FieldViolation::new(field, description.to_string()));
    }

    /// Hands out what was read, if all of it is good.
    pub(super) fn done<T: Whole>(self, read: T) -> Result<T::Parts, Status> {
        match read.whole() {
            Some(parts) if self.violations.is_empty() => Ok(parts),
            _ => Err(errors::fields_invalid(self.violations)),
        }
    }

    /// A resource name such as `offers/{id}`.
    pub(super) fn name<T: FromStr>(&mut self, field: &str, text: &str, of: &str) -> Option<T> {
        let id = text
            .strip_prefix(of)
            .and_then(|rest| rest.strip_prefix('/'))
            .and_then(|id| id.parse().ok());
        if id.is_none() {
            self.wrong(field, format!("must be {of}/{{id}}"));
        }
        id
    }

    /// As [`Self::name`], where an empty text is no name.
    pub(super) fn maybe_name<T: FromStr>(
        &mut self,
        field: &str,
        text: &str,
        of: &str,
    ) -> Option<Option<T>> {
        if text.is_empty() {
            return Some(None);
        }
        self.name(field, text, of).map(Some)
    }

    /// Several names, at most so many, each once.
    pub(super) fn names<T: FromStr + Ord>(
        &mut self,
        field: &str,
        texts: &[String],
        of: &str,
        count_max: usize,
    ) -> Option<BTreeSet<T>> {
        if texts.len() > count_max {
            self.wrong(field, format!("must be at most {count_max}"));
            return None;
        }
        let names = texts.iter().map(|text| self.name(field, text, of));
        names.collect()
    }

    /// An agent's name, where `agents/me` is the caller.
    pub(super) fn agent(&mut self, field: &str, text: &str, caller: &Principal) -> Option<AgentId> {
        match (text, &caller.agent) {
            ("agents/me", Some(agent)) => Some(agent.clone()),
            _ => self.name(field, text, "agents"),
        }
    }

    /// `interactions/{id}/messages/{id}`.
    pub(super) fn message(
        &mut self,
        field: &str,
        text: &str,
    ) -> Option<(InteractionId, MessageId)> {
        let ids = text
            .strip_prefix("interactions/")
            .and_then(|rest| rest.split_once("/messages/"))
            .and_then(|(interaction, message)| {
                Some((interaction.parse().ok()?, message.parse().ok()?))
            });
        if ids.is_none() {
            self.wrong(field, "must be interactions/{id}/messages/{id}");
        }
        ids
    }

    /// `interactions/{id}/attachments/{id}`.
    pub(super) fn upload(
        &mut self,
        field: &str,
        text: &str,
    ) -> Option<(InteractionId, AttachmentId)> {
        match FileName::parse(text) {
            Some(FileName::Upload(interaction, file)) => Some((interaction, file)),
            _ => {
                self.wrong(field, "must be interactions/{id}/attachments/{id}");
                None
            }
        }
    }

    /// The name of a file, be it uploaded or in a message.
    pub(super) fn file(&mut self, field: &str, text: &str) -> Option<FileName> {
        let name = FileName::parse(text);
        if name.is_none() {
            let forms = "interactions/{id}/attachments/{id} or .../messages/{id}/attachments/{id}";
            self.wrong(field, format!("must be {forms}"));
        }
        name
    }

    /// A case's number as a person types it.
    pub(super) fn main_number(&mut self, field: &str, text: &str) -> Option<MainNumber> {
        let number = text.trim().parse().ok();
        if number.is_none() {
            self.wrong(field, "is no main number: a digit is wrong or missing");
        }
        number
    }

    /// Mailboxes that can be written to, no more than one mail takes.
    pub(super) fn mailboxes(
        &mut self,
        field: &str,
        asked: Vec<pb::EmailAddress>,
    ) -> Option<Vec<Mailbox>> {
        if asked.len() > RECIPIENTS_MAX {
            self.wrong(field, format!("are more than {RECIPIENTS_MAX}"));
            return None;
        }
        let mut mailboxes = Vec::with_capacity(asked.len());
        for (at, asked) in asked.into_iter().enumerate() {
            let name = asked.display_name;
            let fits = name.chars().count() <= NAME_CHARS_MAX && !name.contains(char::is_control);
            match Address::parse(&asked.address) {
                Ok(address) if fits => mailboxes.push(Mailbox { name, address }),
                Ok(_) => {
                    self.wrong(
                        &format!("{field}[{at}].display_name"),
                        "is too long or not one line",
                    );
                    return None;
                }
                Err(error) => {
                    self.wrong(&format!("{field}[{at}].address"), error);
                    return None;
                }
            }
        }
        Some(mailboxes)
    }

    /// The version that an etag stands for; none if it is not given.
    pub(super) fn etag(&mut self, text: &str) -> Option<Option<u64>> {
        if text.is_empty() {
            return Some(None);
        }
        let quoted = text
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        let version = quoted.and_then(|number| number.parse().ok());
        if version.is_none() {
            self.wrong("etag", "is none of ours; send what the interaction had");
        }
        version.map(Some)
    }

    /// Which of these fields an update mask names; all of them without one, or by `*`.
    pub(super) fn mask(
        &mut self,
        mask: Option<prost_types::FieldMask>,
        known: &[&'static str],
    ) -> Vec<&'static str> {
        let paths = mask.unwrap_or_default().paths;
        if paths.is_empty() || paths == ["*"] {
            return known.to_vec();
        }
        let mut fields = Vec::new();
        for path in paths {
            match known.iter().find(|field| **field == path) {
                Some(field) => fields.push(*field),
                None => {
                    self.wrong("update_mask", format!("names one of {}", known.join(", ")));
                    break;
                }
            }
        }
        fields
    }

    /// A text of at most so many bytes.
    pub(super) fn text(&mut self, field: &str, text: String, bytes_max: usize) -> Option<String> {
        if text.len() > bytes_max {
            self.wrong(field, format!("longer than {bytes_max} bytes"));
            return None;
        }
        Some(text)
    }

    /// As [`Self::text`], for a field that may not be given.
    pub(super) fn maybe_text(
        &mut self,
        field: &str,
        text: Option<String>,
        bytes_max: usize,
    ) -> Option<Option<String>> {
        match text {
            Some(text) => self.text(field, text, bytes_max).map(Some),
            None => Some(None),
        }
    }

    /// Number of an event.
    pub(super) fn sequence(&mut self, field: &str, number: Option<i64>) -> Option<Option<u64>> {
        match number.map(u64::try_from) {
            Some(Err(_)) => {
                self.wrong(field, "must not be negative");
                None
            }
            Some(Ok(number)) => Some(Some(number)),
            None => Some(None),
        }
    }

    /// A state that may be asked for; none if it is not set.
    pub(super) fn requested(
        &mut self,
        field: &str,
        state: i32,
        reason: String,
    ) -> Option<Option<Requested>> {
        match pb::AgentState::try_from(state) {
            Ok(pb::AgentState::Unspecified) => Some(None),
            Ok(pb::AgentState::Available) => Some(Some(Requested::Available)),
            Ok(pb::AgentState::WorkOffline) => Some(Some(Requested::WorkOffline(reason))),
            Ok(pb::AgentState::SignedOut | pb::AgentState::Busy | pb::AgentState::WrapUp)
            | Err(_) => {
                self.wrong(field, "must be AVAILABLE or WORK_OFFLINE");
                None
            }
        }
    }

    /// A time in the future.
    pub(super) fn future(
        &mut self,
        field: &str,
        time: Option<prost_types::Timestamp>,
        now: Timestamp,
    ) -> Option<Option<Timestamp>> {
        let time = self.maybe_time(field, time)?;
        if time.is_some_and(|time| time <= now) {
            self.wrong(field, "must be in the future");
            return None;
        }
        Some(time)
    }

    /// A time, if one is given.
    pub(super) fn maybe_time(
        &mut self,
        field: &str,
        time: Option<prost_types::Timestamp>,
    ) -> Option<Option<Timestamp>> {
        let Some(time) = time else {
            return Some(None);
        };
        let millis = u64::try_from(time.seconds)
            .ok()
            .and_then(|seconds| seconds.checked_mul(1000))
            .and_then(|millis| millis.checked_add(u64::try_from(time.nanos / 1_000_000).ok()?));
        if millis.is_none() {
            self.wrong(field, "is no time after 1970");
        }
        millis.map(|millis| Some(Timestamp::from_millis(millis)))
    }

    /// The key under which the answer to this request is kept; none without a request id.
    ///
    /// `subject` is who asks, `without_id` the request without its `request_id`: a repeat must
    /// equal it.
    pub(super) fn request(
        &mut self,
        subject: &str,
        rpc: &'static str,
        id: String,
        without_id: &impl Message,
    ) -> Option<Option<RequestKey>> {
        if id.is_empty() {
            return Some(None);
        }
        if id.len() > REQUEST_ID_BYTES_MAX || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
            self.wrong(
                "request_id",
                format!("must be at most {REQUEST_ID_BYTES_MAX} visible ASCII characters"),
            );
            return None;
        }
        let mut digest_bytes = [0; 32];
        digest_bytes.copy_from_slice(digest(&SHA256, &without_id.encode_to_vec()).as_ref());
        Some(Some(RequestKey {
            principal: subject.to_owned(),
            rpc,
            id,
            digest: digest_bytes,
        }))
    }
}

/// Longest id of a part, in bytes: ten numbers of three digits, and some.
pub(super) const PART_ID_BYTES_MAX: usize = 64;

/// What the name of a file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FileName {
    /// An uploaded one.
    Upload(InteractionId, AttachmentId),
    /// One in a message, by its part.
    Part(InteractionId, MessageId, String),
}

impl FileName {
    fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("interactions/")?;
        let (owner, file) = rest.split_once("/attachments/")?;
        match owner.split_once("/messages/") {
            None => Some(Self::Upload(owner.parse().ok()?, file.parse().ok()?)),
            Some((interaction, message)) => {
                let fits = !file.is_empty() && file.len() <= PART_ID_BYTES_MAX;
                let fits = fits
                    && file
                        .bytes()
                        .all(|byte| byte.is_ascii_digit() || byte == b'.');
                let (interaction, message) = (interaction.parse().ok()?, message.parse().ok()?);
                fits.then(|| Self::Part(interaction, message, file.to_owned()))
            }
        }
    }
}

/// Fields that are whole only together.
pub(super) trait Whole {
    /// What they are when all are there.
    type Parts;
    /// All of them, or none.
    fn whole(self) -> Option<Self::Parts>;
}

impl<A> Whole for Option<A> {
    type Parts = A;
    fn whole(self) -> Self {
        self
    }
}

macro_rules! whole {
    ($($part:ident),+) => {
        impl<$($part),+> Whole for ($(Option<$part>,)+) {
            type Parts = ($($part,)+);
            #[expect(non_snake_case, reason = "the type parameters name the values too")]
            fn whole(self) -> Option<Self::Parts> {
                let ($($part,)+) = self;
                Some(($($part?,)+))
            }
        }
    };
}
whole!(A, B);
whole!(A, B, C);
whole!(A, B, C, D);
whole!(A, B, C, D, E);
whole!(A, B, C, D, E, F);
whole!(A, B, C, D, E, F, G);
