//! `SystemService`: facts about the running gateway, and what waits for a person's word.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::access::caller;
use super::form::Form;
use super::pb::system_service_server::SystemService;
use super::{CHUNK_BYTES, REQUEST_BYTES_MAX, Shared, convert, errors, page, pb, respond};
use crate::desk::{Answer, Command};
use crate::outbound::message::DeliveryState;

pub(super) struct System(pub(super) Arc<Shared>);

#[tonic::async_trait]
impl SystemService for System {
    async fn get_system_info(
        &self,
        _request: Request<pb::GetSystemInfoRequest>,
    ) -> Result<Response<pb::GetSystemInfoResponse>, Status> {
        Ok(Response::new(pb::GetSystemInfoResponse {
            server_version: env!("CARGO_PKG_VERSION").to_owned(),
            api_version: "postroom.v1".to_owned(),
            max_request_bytes: convert::long(REQUEST_BYTES_MAX as u64),
            max_chunk_bytes: convert::count(CHUNK_BYTES),
            max_page_size: convert::count(page::SIZE_MAX),
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
        let done = (self.0.handle.command(command, key).await).map_err(errors::engine)?;
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
}
