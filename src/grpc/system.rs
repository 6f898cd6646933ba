//! `SystemService`: facts about the running gateway, and what waits for a person's word.

use std::net::IpAddr;
use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::access::caller;
use super::form::Form;
use super::pb::system_service_server::SystemService;
use super::{CHUNK_BYTES, REQUEST_BYTES_MAX, Shared, convert, errors, page, pb, respond};
use crate::desk::{Answer, Command};
use crate::intake::explain::Trial;
use crate::milter::Peer;
use crate::outbound::message::DeliveryState;

/// Longest address or host name of a letter to explain, in bytes; SMTP has 512 for a whole line.
const TEXT_BYTES_MAX: usize = 1024;

/// Most recipients of a letter to explain: a person reads what is said to each.
const RECIPIENTS_MAX: usize = 100;

pub(super) struct System(pub(super) Arc<Shared>);

#[tonic::async_trait]
impl SystemService for System {
    async fn get_system_info(
        &self,
        _request: Request<pb::GetSystemInfoRequest>,
    ) -> Result<Response<pb::GetSystemInfoResponse>, Status> {
        let attachment_max = (self.0.handle)
            .look(|desk, _| desk.attachment_bytes_max())
            .await
            .map_err(errors::engine)?;
        Ok(Response::new(pb::GetSystemInfoResponse {
            server_version: env!("CARGO_PKG_VERSION").to_owned(),
            api_version: "postroom.v1".to_owned(),
            max_request_bytes: convert::long(REQUEST_BYTES_MAX as u64),
            max_chunk_bytes: convert::count(CHUNK_BYTES),
            max_page_size: convert::count(page::SIZE_MAX),
            max_attachment_bytes: convert::long(attachment_max),
            server_time: Some(convert::time(self.0.handle.now())),
        }))
    }

    async fn get_system_status(
        &self,
        _request: Request<pb::GetSystemStatusRequest>,
    ) -> Result<Response<pb::GetSystemStatusResponse>, Status> {
        let streams = self.0.streams.open();
        let taking_mail = self.0.handle.takes_mail();
        let status = (self.0.handle)
            .look(move |desk, _| {
                let in_state = |state| {
                    let spool = desk.spool().iter();
                    convert::count(spool.filter(|found| found.state == state).count())
                };
                pb::GetSystemStatusResponse {
                    open_interaction_count: convert::count(desk.interactions().len()),
                    outbound_count: convert::count(desk.spool().len()),
                    outbound_deferred_count: in_state(DeliveryState::Deferred),
                    outbound_unconfirmed_count: in_state(DeliveryState::Unconfirmed),
                    session_count: convert::count(desk.sessions().count()),
                    stream_count: convert::count(streams),
                    taking_mail,
                }
            })
            .await
            .map_err(errors::engine)?;
        Ok(Response::new(status))
    }

    async fn retry_delivery(
        &self,
        request: Request<pb::RetryDeliveryRequest>,
    ) -> Result<Response<pb::RetryDeliveryResponse>, Status> {
        let caller = caller(&request)?;
        let mut asked = request.into_inner();
        let id = std::mem::take(&mut asked.request_id);
        let mut form = Form::new();
        let message = form.message("message", &asked.message);
        let key = form.request(&caller.subject, "RetryDelivery", id, &asked);
        let ((interaction, message), key) = form.done((message, key))?;
        let outbound = (self.0.handle.outbound(message).await).map_err(errors::engine)?;
        if outbound.is_none_or(|outbound| outbound.interaction != interaction) {
            return Err(errors::not_found(convert::message_name(
                interaction,
                message,
            )));
        }
        let command = Command::RetryDelivery {
            message,
            settled: None,
        };
        let done = (self.0.handle.command_by(caller.actor(), command, key).await)
            .map_err(errors::engine)?;
        let Answer::Outbound(outbound) = done.answer else {
            return Err(errors::internal(
                "RetryDelivery was not answered by a message",
            ));
        };
        let response = pb::RetryDeliveryResponse {
            delivery: Some(convert::delivery(&outbound)),
        };
        Ok(respond(response, done.replayed))
    }

    async fn rotate_token_key(
        &self,
        _request: Request<pb::RotateTokenKeyRequest>,
    ) -> Result<Response<pb::RotateTokenKeyResponse>, Status> {
        let key = (self.0.handle.rotate_mail_key().await).map_err(errors::engine)?;
        Ok(Response::new(pb::RotateTokenKeyResponse {
            key_id: key.into(),
        }))
    }

    async fn explain_letter(
        &self,
        request: Request<pb::ExplainLetterRequest>,
    ) -> Result<Response<pb::ExplainLetterResponse>, Status> {
        let asked = request.into_inner();
        let mut form = Form::new();
        let sender = form.text("envelope_sender", asked.envelope_sender, TEXT_BYTES_MAX);
        let helo = form.text("helo", asked.helo, TEXT_BYTES_MAX);
        if !(1..=RECIPIENTS_MAX).contains(&asked.recipients.len()) {
            form.wrong("recipients", format!("must be 1 to {RECIPIENTS_MAX}"));
        }
        let mut recipients = Vec::new();
        for recipient in asked.recipients.into_iter().take(RECIPIENTS_MAX) {
            recipients.extend(form.text("recipients", recipient, TEXT_BYTES_MAX));
        }
        let ip = match asked.client_address.as_str() {
            "" => None,
            text => {
                let ip = text.parse::<IpAddr>().ok();
                if ip.is_none() {
                    form.wrong("client_address", "is no IP address");
                }
                ip
            }
        };
        let (sender, helo) = form.done((sender, helo))?;
        let Some(intake) = &self.0.intake else {
            return Err(errors::internal("this server has no intake"));
        };
        let trial = Trial {
            raw: asked.raw_message,
            sender,
            recipients,
            peer: Peer {
                host: helo.clone().into(),
                ip,
                helo: Some(helo.into()),
                ..Peer::default()
            },
        };
        let told = intake.get().explain(trial).await;
        let decisions = told.said.into_iter().map(|said| pb::LetterDecision {
            topic: said.topic.to_owned(),
            decision: said.decision,
            reasons: said.reasons,
        });
        Ok(Response::new(pb::ExplainLetterResponse {
            decisions: decisions.collect(),
            verdict: told.verdict,
        }))
    }
}
