//! `FromAddressService`: the addresses that a queue's agents may send from.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::access::caller;
use super::form::Form;
use super::page::{self, Page};
use super::pb::from_address_service_server::FromAddressService;
use super::{Shared, convert, pb};
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
        let (size, token) = (asked.page_size, asked.page_token.as_str());
        let page = Page::read(
            &mut form,
            &caller,
            "ListFromAddresses",
            &asked.queue,
            size,
            token,
        )?;
        let queue = form.done(queue)?;
        // A queue's addresses keep the order of the configuration, so a page begins by number.
        let begin = page.after(page::text::<usize>)?.unwrap_or(0);
        let size = page.size;
        let mut addresses = (self.0)
            .queue(queue, move |queue| {
                (convert::from_addresses(&queue.settings)
                    .into_iter()
                    .enumerate())
                .skip(begin)
                .take(size + 1)
                .collect::<Vec<_>>()
            })
            .await?;
        let next_page_token = page.cut(&mut addresses, |(place, _)| {
            (place + 1).to_string().into_bytes()
        });
        Ok(Response::new(pb::ListFromAddressesResponse {
            from_addresses: addresses.into_iter().map(|(_, address)| address).collect(),
            next_page_token,
        }))
    }
}
