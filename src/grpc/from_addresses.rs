//! `FromAddressService`: the addresses that a queue's agents may send from.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::access::caller;
use super::form::Form;
use super::page::{self, Page};
use super::pb::from_address_service_server::FromAddressService;
use super::{Shared, convert, errors, pb};
use crate::desk::Role;
use crate::id::QueueId;

pub(super) struct FromAddresses(pub(super) Arc<Shared>);

#[tonic::async_trait]
impl FromAddressService for FromAddresses {
    async fn list_from_addresses(
        &self,
        request: Request<pb::ListFromAddressesRequest>,
    ) -> Result<Response<pb::ListFromAddressesResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let mut form = Form::new();
        let queue = form.name::<QueueId>("queue", &asked.queue, "queues");
        let steers = caller.is(Role::Supervisor) || caller.is(Role::Admin);
        let agent = match (asked.agent.as_str(), &caller.agent) {
            ("", Some(own)) if !steers => Some(Some(own.clone())),
            ("", _) => Some(None),
            (name, _) => form.agent("agent", name, &caller).map(Some),
        };
        if !steers && agent.as_ref().is_some_and(|agent| *agent != caller.agent) {
            form.wrong("agent", "must be the caller");
        }
        let (size, token) = (asked.page_size, asked.page_token.as_str());
        let page = Page::read(
            &mut form,
            &caller,
            "ListFromAddresses",
            &format!("{} {}", asked.queue, asked.agent),
            size,
            token,
        )?;
        let (queue, agent) = form.done((queue, agent))?;
        // A queue's addresses keep the order of the configuration, so a page begins by number.
        let begin = page.after(page::text::<usize>)?.unwrap_or(0);
        let size = page.size;
        let id = queue.clone();
        let found = (self.0.handle)
            .look(move |desk, _| {
                desk.queues().get(&id)?;
                let all = desk.from_mailboxes(&id, agent.as_ref()).into_iter();
                let page = all.enumerate().skip(begin).take(size + 1);
                Some(page.collect::<Vec<_>>())
            })
            .await
            .map_err(errors::engine)?;
        let mut addresses = found.ok_or_else(|| errors::not_found(convert::queue_name(&queue)))?;
        let next_page_token = page.cut(&mut addresses, |(place, _)| {
            (place + 1).to_string().into_bytes()
        });
        Ok(Response::new(pb::ListFromAddressesResponse {
            from_addresses: addresses
                .into_iter()
                .map(|(place, from)| convert::from_address(&queue, place, from))
                .collect(),
            next_page_token,
        }))
    }
}
