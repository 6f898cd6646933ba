//! `OfferService`: offers and what agents answer to them.

use std::ops::Bound;
use std::sync::Arc;

use tonic::{Code, Request, Response, Status};

use super::access::caller;
use super::errors::Failure;
use super::form::Form;
use super::page::{self, Page};
use super::pb::offer_service_server::OfferService;
use super::{Shared, convert, errors, pb, respond};
use crate::desk::{Answer, CODE_BYTES_MAX, Command, Interaction, Offer, Role};
use crate::id::{AgentId, OfferId};

pub(super) struct Offers(pub(super) Arc<Shared>);

impl Offers {
    async fn shown(&self, offer: &Offer, interaction: &Interaction) -> Result<pb::Offer, Status> {
        let name = self.0.queue_display_name(&offer.queue).await?;
        let now = self.0.handle.now();
        Ok(convert::offer(offer, interaction, name, now))
    }
}

#[tonic::async_trait]
impl OfferService for Offers {
    async fn get_offer(
        &self,
        request: Request<pb::GetOfferRequest>,
    ) -> Result<Response<pb::GetOfferResponse>, Status> {
        let caller = caller(&request)?;
        let mut form = Form::new();
        let id = form.name::<OfferId>("name", &request.get_ref().name, "offers");
        let id = form.done(id)?;
        let handle = &self.0.handle;
        let offer = (handle.offer(id).await)
            .map_err(errors::engine)?
            .ok_or_else(|| errors::not_found(format!("offers/{id}")))?;
        if caller.agent.as_ref() != Some(&offer.agent) && !caller.is(Role::Supervisor) {
            let message = format!("offer {id} was made to another agent");
            let target = pb::ErrorReason::NotOfferTarget;
            return Err(Failure::new(Code::PermissionDenied, target, message)
                .with("resource", format!("offers/{id}"))
                .into());
        }
        let interaction = (handle.interaction(offer.interaction).await)
            .map_err(errors::engine)?
            .ok_or_else(|| errors::internal("an offer is about no interaction"))?;
        Ok(Response::new(pb::GetOfferResponse {
            offer: Some(self.shown(&offer, &interaction).await?),
        }))
    }

    async fn list_offers(
        &self,
        request: Request<pb::ListOffersRequest>,
    ) -> Result<Response<pb::ListOffersResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let mut form = Form::new();
        let agent: Option<Option<AgentId>> = if asked.agent.is_empty() {
            Some(None)
        } else {
            form.agent("agent", &asked.agent, &caller).map(Some)
        };
        let (size, token) = (asked.page_size, asked.page_token.as_str());
        let page = Page::read(&mut form, &caller, "ListOffers", &asked.agent, size, token)?;
        let agent = form.done(agent)?;
        let agent = match (agent, caller.is(Role::Supervisor)) {
            (agent, true) => agent,
            (None, false) => caller.agent.clone(),
            (agent, false) if agent == caller.agent => agent,
            (Some(_), false) => {
                return Err(super::access::role_required("ListOffers", "SUPERVISOR"));
            }
        };
        let after = page.after(page::id_bytes)?.map(OfferId::from_bytes);
        let size = page.size;
        let mut offers = (self.0.handle)
            .look(move |desk, now| {
                let begin = after.map_or(Bound::Unbounded, Bound::Excluded);
                (desk.offers().range((begin, Bound::Unbounded)))
                    .map(|(_, offer)| offer)
                    .filter(|offer| offer.state.is_live())
                    .filter(|offer| agent.as_ref().is_none_or(|agent| offer.agent == *agent))
                    .filter_map(|offer| {
                        let interaction = desk.interactions().get(&offer.interaction)?;
                        let name = Shared::name_of(desk, &offer.queue);
                        Some((offer.id, convert::offer(offer, interaction, name, now)))
                    })
                    .take(size + 1)
                    .collect::<Vec<_>>()
            })
            .await
            .map_err(errors::engine)?;
        let next_page_token = page.cut(&mut offers, |(id, _)| id.to_bytes().to_vec());
        Ok(Response::new(pb::ListOffersResponse {
            offers: offers.into_iter().map(|(_, offer)| offer).collect(),
            next_page_token,
        }))
    }

    async fn acknowledge_offer(
        &self,
        request: Request<pb::AcknowledgeOfferRequest>,
    ) -> Result<Response<pb::AcknowledgeOfferResponse>, Status> {
        let session = caller(&request)?.session("AcknowledgeOffer")?;
        let mut form = Form::new();
        let offer = form.name::<OfferId>("name", &request.get_ref().name, "offers");
        let offer = form.done(offer)?;
        let command = Command::AcknowledgeOffer { session, offer };
        let done = (self.0.handle.command(command, None).await).map_err(errors::engine)?;
        let Answer::Offer {
            offer, interaction, ..
        } = done.answer
        else {
            return Err(errors::internal(
                "AcknowledgeOffer was not answered by an offer",
            ));
        };
        Ok(Response::new(pb::AcknowledgeOfferResponse {
            offer: Some(self.shown(&offer, &interaction).await?),
        }))
    }

    async fn accept_offer(
        &self,
        request: Request<pb::AcceptOfferRequest>,
    ) -> Result<Response<pb::AcceptOfferResponse>, Status> {
        let caller = caller(&request)?;
        let session = caller.session("AcceptOffer")?;
        let mut asked = request.into_inner();
        let id = std::mem::take(&mut asked.request_id);
        let mut form = Form::new();
        let offer = form.name::<OfferId>("name", &asked.name, "offers");
        let key = form.request(&caller.subject, "AcceptOffer", id, &asked);
        let (offer, key) = form.done((offer, key))?;
        let command = Command::AcceptOffer { session, offer };
        let done = (self.0.handle.command(command, key).await).map_err(errors::engine)?;
        let Answer::Interaction {
            interaction,
            presence,
            sequence,
            ..
        } = done.answer
        else {
            return Err(errors::internal(
                "AcceptOffer was not answered by an interaction",
            ));
        };
        let response = pb::AcceptOfferResponse {
            interaction: Some(convert::interaction(&interaction)),
            presence: Some(convert::presence(&presence)),
            event_sequence: convert::long(sequence),
        };
        Ok(respond(response, done.replayed))
    }

    async fn reject_offer(
        &self,
        request: Request<pb::RejectOfferRequest>,
    ) -> Result<Response<pb::RejectOfferResponse>, Status> {
        let caller = caller(&request)?;
        let session = caller.session("RejectOffer")?;
        let mut asked = request.into_inner();
        let id = std::mem::take(&mut asked.request_id);
        let mut form = Form::new();
        let offer = form.name::<OfferId>("name", &asked.name, "offers");
        let reason = form.text("reason_code", asked.reason_code.clone(), CODE_BYTES_MAX);
        let next = form.requested(
            "next_state",
            asked.next_state,
            reason.clone().unwrap_or_default(),
        );
        let key = form.request(&caller.subject, "RejectOffer", id, &asked);
        let (offer, reason, next, key) = form.done((offer, reason, next, key))?;
        let command = Command::RejectOffer {
            session,
            offer,
            reason,
            next,
        };
        let done = (self.0.handle.command(command, key).await).map_err(errors::engine)?;
        let Answer::Offer {
            offer,
            interaction,
            presence,
            sequence,
        } = done.answer
        else {
            return Err(errors::internal("RejectOffer was not answered by an offer"));
        };
        let response = pb::RejectOfferResponse {
            offer: Some(self.shown(&offer, &interaction).await?),
            presence: Some(convert::presence(&presence)),
            event_sequence: convert::long(sequence),
        };
        Ok(respond(response, done.replayed))
    }
}
