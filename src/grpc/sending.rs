//! Verbs on an interaction that put mail on the wire, and the mails that agents begin.

use tonic::{Request, Response, Status};

use super::access::caller;
use super::drafts::fill;
use super::form::Form;
use super::verbs::Verb;
use super::{Shared, convert, errors, pb, respond};
use crate::desk::{Answer, Command, Correspondent, DraftKind, Email};
use crate::engine::{Done, RequestKey};
use crate::id::MessageId;
use crate::outbound::mailing::{self, Forwarding, Writing};
use crate::outbound::recipients::Recipients;
use crate::outbound::reply::{self, ReplyDraft, Words};
use crate::outbound::{Files, Quoted};

/// Longest text of a mail, in bytes.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// Longest HTML of a mail, in bytes.
const HTML_BYTES_MAX: usize = 1 << 20;

/// Most files of a letter that are named one by one; more are all of them.
const PARTS_MAX: usize = 200;

/// Longest id of a part, in bytes: `1.2.3` at the deepest nesting.
const PART_BYTES_MAX: usize = 200;

/// Longest subject of a mail, in bytes: the longest line of RFC 5322, 2.1.1.
const SUBJECT_BYTES_MAX: usize = 998;

/// Longest address, in bytes: RFC 5321, 4.5.3.1.3.
const ADDRESS_BYTES_MAX: usize = 254;

impl Form {
    /// The key of a call that puts mail on the wire: it must have one.
    fn sent_once(&mut self, key: Option<Option<RequestKey>>) -> Option<Option<RequestKey>> {
        if key == Some(None) {
            self.wrong("request_id", "is required: a mail must not be sent twice");
            return None;
        }
        key
    }

    fn subject(&mut self, subject: String) -> Option<String> {
        let subject = self.text("subject", subject, SUBJECT_BYTES_MAX)?;
        if subject.contains(char::is_control) {
            self.wrong("subject", "must be one line without control characters");
            return None;
        }
        Some(subject)
    }

    /// What a mail says, which may be nothing.
    fn maybe_words(&mut self, text: String, html: String) -> Option<Words> {
        let text = self.text("text_body", text, TEXT_BYTES_MAX);
        let html = self.text("html_body", html, HTML_BYTES_MAX);
        Some(Words {
            text: text?,
            html: html.map(|html| Some(html).filter(|html| !html.trim().is_empty()))?,
            files: Vec::new(),
        })
    }

    /// What a mail says that says something.
    fn words(&mut self, text: String, html: String) -> Option<Words> {
        let words = self.maybe_words(text, html)?;
        if words.text.trim().is_empty() && words.html.is_none() {
            self.wrong("text_body", "is empty, and so is html_body");
            return None;
        }
        Some(words)
    }

    fn quoted(&mut self, include: bool, part: i32) -> Option<Quoted> {
        match pb::QuotedPart::try_from(part) {
            Ok(_) if !include => Some(Quoted::Nothing),
            Ok(pb::QuotedPart::Unspecified | pb::QuotedPart::Whole) => Some(Quoted::Whole),
            Ok(pb::QuotedPart::Latest) => Some(Quoted::Fresh),
            Err(_) => {
                self.wrong("quoted_part", "must be WHOLE or LATEST");
                None
            }
        }
    }

    /// Whether a letter is enclosed, and else which of its files go along.
    fn passed_on(&mut self, form: i32, all: bool, parts: Vec<String>) -> Option<(bool, Files)> {
        let enclosed = match pb::ForwardForm::try_from(form) {
            Ok(pb::ForwardForm::Unspecified | pb::ForwardForm::Quoted) => false,
            Ok(pb::ForwardForm::Enclosed) => true,
            Err(_) => {
                self.wrong("form", "must be QUOTED or ENCLOSED");
                return None;
            }
        };
        if parts.len() > PARTS_MAX || parts.iter().any(|part| part.len() > PART_BYTES_MAX) {
            self.wrong("part_ids", "are too many, or no ids of parts");
            return None;
        }
        match (enclosed, all, parts.is_empty()) {
            (true, _, true) => Some((true, Files::None)),
            (false, false, true) => Some((false, Files::None)),
            (false, true, true) => Some((false, Files::All)),
            (false, false, false) => Some((false, Files::Parts(parts))),
            (true, _, false) | (false, true, false) => {
                self.wrong("part_ids", "do not go with ENCLOSED or include_attachments");
                None
            }
        }
    }

    fn latest_seen(&mut self, name: &str) -> Option<Option<MessageId>> {
        if name.is_empty() {
            return Some(None);
        }
        let seen = self.message("latest_seen_message", name);
        seen.map(|(_, message)| Some(message))
    }

    fn recipients(
        &mut self,
        to: Vec<pb::EmailAddress>,
        cc: Vec<pb::EmailAddress>,
        bcc: Vec<pb::EmailAddress>,
    ) -> Option<Recipients> {
        let (to, cc, bcc) = (
            self.mailboxes("to", to),
            self.mailboxes("cc", cc),
            self.mailboxes("bcc", bcc),
        );
        Some(Recipients {
            to: to?,
            cc: cc?,
            bcc: bcc?,
        })
    }
}

/// What a call that put mail on the wire is answered with.
macro_rules! answer {
    ($shared:ident, $done:expr, $response:ident) => {{
        let verb = Verb::of($done)?;
        let response = pb::$response {
            message: Some($shared.sent(&verb).await?),
            interaction: verb.interaction,
            presence: verb.presence,
            event_sequence: verb.event_sequence,
        };
        Ok(respond(response, verb.replayed))
    }};
}

impl Shared {
    /// What a call was answered before. It comes first: what it named may be gone by now, files and a
    /// draft with the interaction that it closed.
    async fn answered(&self, key: Option<&Option<RequestKey>>) -> Result<Option<Done>, Status> {
        match key {
            Some(Some(key)) => self.handle.replay(key).await.map_err(errors::engine),
            Some(None) | None => Ok(None),
        }
    }

    pub(super) async fn send_reply(
        &self,
        request: Request<pb::SendReplyRequest>,
    ) -> Result<Response<pb::SendReplyResponse>, Status> {
        let caller = caller(&request)?;
        let session = caller.session("SendReply")?;
        let mut asked = request.into_inner();
        let id = std::mem::take(&mut asked.request_id);
        let mut form = Form::new();
        let interaction = form.name("name", &asked.name, "interactions");
        let key = form.request(&caller.subject, "SendReply", id, &asked);
        let key = form.sent_once(key);
        if let Some(done) = self.answered(key.as_ref()).await? {
            return answer!(self, done, SendReplyResponse);
        }
        let texts = [asked.text_body.as_str(), asked.html_body.as_str()];
        let saved = self.saved(interaction, texts).await?;
        if let Some((_, wording)) = &saved {
            asked.include_original |= wording.include_original;
            asked.reply_all |= wording.kind == DraftKind::ReplyAll;
            if asked.subject.is_empty() {
                asked.subject.clone_from(&wording.subject);
            }
        }
        fill!(asked, saved);
        let from = form.text("from_address", asked.from_address, ADDRESS_BYTES_MAX);
        let words = form.words(asked.text_body, asked.html_body);
        let quoted = form.quoted(asked.include_original, asked.quoted_part);
        let recipients = form.recipients(asked.to, asked.cc, asked.bcc);
        let subject = form.subject(asked.subject);
        let latest_seen = form.latest_seen(&asked.latest_seen_message);
        let attached = form.files("attachments", &asked.attachments);
        let (
            interaction,
            (key, latest_seen),
            from,
            ((mut words, quoted), attached),
            recipients,
            subject,
        ) = form.done((
            interaction,
            key.zip(latest_seen),
            from,
            words.zip(quoted).zip(attached),
            recipients,
            subject,
        ))?;
        words.files = self
            .enclosed(&caller, (session, interaction), attached)
            .await?;
        let draft = ReplyDraft {
            session,
            interaction,
            from,
            recipients,
            reply_all: asked.reply_all,
            subject: Some(subject).filter(|subject| !subject.is_empty()),
            words,
            quoted,
            latest_seen,
        };
        let done = reply::send(&self.handle, &self.reply, draft, key).await;
        answer!(self, done.map_err(errors::reply)?, SendReplyResponse)
    }

    pub(super) async fn forward_interaction(
        &self,
        request: Request<pb::ForwardInteractionRequest>,
    ) -> Result<Response<pb::ForwardInteractionResponse>, Status> {
        let caller = caller(&request)?;
        let session = caller.session("ForwardInteraction")?;
        let mut asked = request.into_inner();
        let id = std::mem::take(&mut asked.request_id);
        let mut form = Form::new();
        let interaction = form.name("name", &asked.name, "interactions");
        let key = form.request(&caller.subject, "ForwardInteraction", id, &asked);
        let key = form.sent_once(key);
        if let Some(done) = self.answered(key.as_ref()).await? {
            return answer!(self, done, ForwardInteractionResponse);
        }
        let texts = [asked.text_body.as_str(), asked.html_body.as_str()];
        let saved = self.saved(interaction, texts).await?;
        let saved = saved.filter(|(_, wording)| wording.kind == DraftKind::Forward);
        fill!(asked, saved);
        let from = form.text("from_address", asked.from_address, ADDRESS_BYTES_MAX);
        if asked.to.is_empty() {
            form.wrong("to", "is empty");
        }
        let recipients = form.recipients(asked.to, asked.cc, asked.bcc);
        let words = form.maybe_words(asked.text_body, asked.html_body);
        let passed_on = form.passed_on(asked.form, asked.include_attachments, asked.part_ids);
        let latest_seen = form.latest_seen(&asked.latest_seen_message);
        let attached = form.files("attachments", &asked.attachments);
        let (
            interaction,
            (key, latest_seen),
            from,
            recipients,
            (mut words, attached),
            (enclose, files),
        ) = form.done((
            interaction,
            key.zip(latest_seen),
            from,
            recipients,
            words.zip(attached),
            passed_on,
        ))?;
        words.files = self
            .enclosed(&caller, (session, interaction), attached)
            .await?;
        let draft = Forwarding {
            session,
            interaction,
            from,
            recipients,
            words,
            enclose,
            files,
            latest_seen,
        };
        let done = mailing::forward(&self.handle, &self.reply, draft, key).await;
        answer!(
            self,
            done.map_err(errors::reply)?,
            ForwardInteractionResponse
        )
    }

    pub(super) async fn start_email(
        &self,
        request: Request<pb::StartEmailRequest>,
    ) -> Result<Response<pb::StartEmailResponse>, Status> {
        let caller = caller(&request)?;
        let session = caller.session("StartEmail")?;
        let mut asked = request.into_inner();
        let id = std::mem::take(&mut asked.request_id);
        let mut form = Form::new();
        let key = form.request(&caller.subject, "StartEmail", id, &asked);
        let number = if asked.main_number.is_empty() {
            if asked.from_address.is_empty() {
                form.wrong("from_address", "is required without a main_number");
            }
            Some(None)
        } else {
            form.main_number("main_number", &asked.main_number)
                .map(Some)
        };
        let from = form.text("from_address", asked.from_address, ADDRESS_BYTES_MAX);
        let to = form.mailboxes("to", asked.to.into_iter().collect());
        let subject = form.subject(asked.subject);
        let (key, number, from, to, subject) = form.done((key, number, from, to, subject))?;
        let case = match number {
            Some(number) => {
                let case = (self.handle.case(number).await).map_err(errors::engine)?;
                Some(Box::new(
                    case.ok_or_else(|| errors::main_number_unknown(number))?,
                ))
            }
            None => None,
        };
        let to = to
            .first()
            .map_or_else(Correspondent::default, reply::correspondent);
        let command = Command::StartEmail(Box::new(Email {
            session,
            from,
            to,
            subject,
            case,
        }));
        let verb = self.verb(command, key).await?;
        let interaction = self.handle.interaction(verb.id).await;
        let case = match interaction.map_err(errors::engine)? {
            Some(found) => (self.handle.case(found.case).await).map_err(errors::engine)?,
            None => None,
        };
        let response = pb::StartEmailResponse {
            case: case.as_ref().map(convert::case),
            interaction: verb.interaction,
            presence: verb.presence,
            event_sequence: verb.event_sequence,
        };
        Ok(respond(response, verb.replayed))
    }

    pub(super) async fn send_email(
        &self,
        request: Request<pb::SendEmailRequest>,
    ) -> Result<Response<pb::SendEmailResponse>, Status> {
        let caller = caller(&request)?;
        let session = caller.session("SendEmail")?;
        let mut asked = request.into_inner();
        let id = std::mem::take(&mut asked.request_id);
        let mut form = Form::new();
        let interaction = form.name("name", &asked.name, "interactions");
        let key = form.request(&caller.subject, "SendEmail", id, &asked);
        let key = form.sent_once(key);
        if let Some(done) = self.answered(key.as_ref()).await? {
            return answer!(self, done, SendEmailResponse);
        }
        let texts = [asked.text_body.as_str(), asked.html_body.as_str()];
        let saved = self.saved(interaction, texts).await?;
        if let Some((_, wording)) = &saved
            && asked.subject.is_empty()
        {
            asked.subject.clone_from(&wording.subject);
        }
        fill!(asked, saved);
        let from = form.text("from_address", asked.from_address, ADDRESS_BYTES_MAX);
        let recipients = form.recipients(asked.to, asked.cc, asked.bcc);
        let subject = form.subject(asked.subject);
        let words = form.words(asked.text_body, asked.html_body);
        let latest_seen = form.latest_seen(&asked.latest_seen_message);
        let attached = form.files("attachments", &asked.attachments);
        let (interaction, (key, latest_seen), from, recipients, subject, (mut words, attached)) =
            form.done((
                interaction,
                key.zip(latest_seen),
                from,
                recipients,
                subject,
                words.zip(attached),
            ))?;
        words.files = self
            .enclosed(&caller, (session, interaction), attached)
            .await?;
        let draft = Writing {
            session,
            interaction,
            from,
            recipients,
            subject,
            words,
            latest_seen,
        };
        let done = mailing::email(&self.handle, &self.reply, draft, key).await;
        answer!(self, done.map_err(errors::reply)?, SendEmailResponse)
    }

    pub(super) async fn cancel_send(
        &self,
        request: Request<pb::CancelSendRequest>,
    ) -> Result<Response<pb::CancelSendResponse>, Status> {
        let caller = caller(&request)?;
        let session = caller.session("CancelSend")?;
        let mut asked = request.into_inner();
        let id = std::mem::take(&mut asked.request_id);
        let mut form = Form::new();
        let message = form.message("message", &asked.message);
        let key = form.request(&caller.subject, "CancelSend", id, &asked);
        let ((interaction, message), key) = form.done((message, key))?;
        let outbound = (self.handle.outbound(message).await).map_err(errors::engine)?;
        if outbound.is_none_or(|outbound| outbound.interaction != interaction) {
            return Err(errors::not_found(convert::message_name(
                interaction,
                message,
            )));
        }
        let command = Command::CancelSend {
            session,
            message,
            sent_for: None,
        };
        let done =
            (self.handle.command_by(caller.actor(), command, key).await).map_err(errors::engine)?;
        let Answer::Outbound(outbound) = done.answer else {
            return Err(errors::internal("CancelSend was not answered by a mail"));
        };
        let response = pb::CancelSendResponse {
            delivery: Some(convert::delivery(&outbound)),
        };
        Ok(respond(response, done.replayed))
    }

    pub(super) async fn discard_email(
        &self,
        request: Request<pb::DiscardEmailRequest>,
    ) -> Result<Response<pb::DiscardEmailResponse>, Status> {
        let caller = caller(&request)?;
        let session = caller.session("DiscardEmail")?;
        let mut asked = request.into_inner();
        let id = std::mem::take(&mut asked.request_id);
        let mut form = Form::new();
        let interaction = form.name("name", &asked.name, "interactions");
        let key = form.request(&caller.subject, "DiscardEmail", id, &asked);
        let (interaction, key) = form.done((interaction, key))?;
        let command = Command::DiscardEmail {
            session,
            interaction,
        };
        let verb = self.verb(command, key).await?;
        let response = pb::DiscardEmailResponse {
            interaction: verb.interaction,
            presence: verb.presence,
            event_sequence: verb.event_sequence,
        };
        Ok(respond(response, verb.replayed))
    }

    /// The mail that a verb has made, in the basic view.
    async fn sent(&self, verb: &Verb) -> Result<pb::Message, Status> {
        let id = verb
            .message
            .ok_or_else(|| errors::internal("a mail made no message"))?;
        let message = (self.handle.message(id).await)
            .map_err(errors::engine)?
            .ok_or_else(|| errors::internal("a mail was not stored"))?;
        let outbound = (self.handle.outbound(id).await).map_err(errors::engine)?;
        let delivery = outbound.as_ref().map(convert::delivery);
        Ok(convert::message(&message, verb.id, delivery))
    }
}
