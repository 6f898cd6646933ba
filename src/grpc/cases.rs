//! `CaseService`: cases, their feeds, their merging and their tokens.

use std::sync::Arc;

use tonic::{Code, Request, Response, Status};

use super::access::{Principal, caller};
use super::errors::Failure;
use super::form::Form;
use super::pb::case_service_server::CaseService;
use super::{Shared, convert, errors, feed, pb, respond};
use crate::desk::{Actor, Answer, Case, Command};
use crate::engine::RequestKey;
use crate::mail::token::MainNumber;

pub(super) struct Cases(pub(super) Arc<Shared>);

impl Cases {
    /// The case, if there is one and the caller may read it.
    async fn readable(
        &self,
        caller: &Principal,
        number: MainNumber,
    ) -> Result<Option<Case>, Status> {
        let found = (self.0.handle.case(number).await).map_err(errors::engine)?;
        if let Some(case) = &found
            && (case.last_agent.is_none() || case.last_agent != caller.agent)
        {
            let resource = format!("cases/{number}");
            self.0.may_read_queue(caller, &case.queue, resource).await?;
        }
        Ok(found)
    }
}

impl Cases {
    /// A case that there is and that the caller may read.
    async fn named(&self, caller: &Principal, field: &str, name: &str) -> Result<Case, Status> {
        let mut form = Form::new();
        let number = form.name(field, name, "cases");
        let number = form.done(number)?;
        (self.readable(caller, number).await?)
            .ok_or_else(|| errors::not_found(format!("cases/{number}")))
    }

    /// A case that there is.
    async fn existing(&self, number: MainNumber) -> Result<Case, Status> {
        let found = self.0.handle.case(number).await;
        (found.map_err(errors::engine)?).ok_or_else(|| errors::not_found(format!("cases/{number}")))
    }

    /// Changes a case, and says whether that had been done before.
    async fn change(
        &self,
        by: Actor,
        command: Command,
        key: Option<RequestKey>,
    ) -> Result<(pb::Case, bool), Status> {
        let done = (self.0.handle.command_by(by, command, key).await).map_err(errors::engine)?;
        let Answer::Case(case) = done.answer else {
            return Err(errors::internal("a case was not answered by a case"));
        };
        Ok((convert::case(&case), done.replayed))
    }
}

#[tonic::async_trait]
impl CaseService for Cases {
    async fn get_case(
        &self,
        request: Request<pb::GetCaseRequest>,
    ) -> Result<Response<pb::GetCaseResponse>, Status> {
        let caller = caller(&request)?;
        let found = (self.named(&caller, "name", &request.get_ref().name)).await?;
        Ok(Response::new(pb::GetCaseResponse {
            case: Some(convert::case(&found)),
        }))
    }

    async fn lookup_case(
        &self,
        request: Request<pb::LookupCaseRequest>,
    ) -> Result<Response<pb::LookupCaseResponse>, Status> {
        let caller = caller(&request)?;
        let mut form = Form::new();
        let number = form.main_number("main_number", &request.get_ref().main_number);
        let number = form.done(number)?;
        let found = self.readable(&caller, number).await?.ok_or_else(|| {
            let message = format!("no case has the number {number}");
            let unknown = pb::ErrorReason::MainNumberUnknown;
            Status::from(Failure::new(Code::NotFound, unknown, message).with("main_number", number))
        })?;
        Ok(Response::new(pb::LookupCaseResponse {
            case: Some(convert::case(&found)),
        }))
    }

    async fn list_feed_entries(
        &self,
        request: Request<pb::ListFeedEntriesRequest>,
    ) -> Result<Response<pb::ListFeedEntriesResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let case = self.named(&caller, "parent", &asked.parent).await?;
        feed::list(&self.0, &caller, case.number, asked).await
    }

    type WatchCaseStream = feed::CaseStream;

    async fn watch_case(
        &self,
        request: Request<pb::WatchCaseRequest>,
    ) -> Result<Response<Self::WatchCaseStream>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let case = self.named(&caller, "name", &asked.name).await?;
        feed::watch(&self.0, caller, case.number, asked).await
    }

    async fn add_note(
        &self,
        request: Request<pb::AddNoteRequest>,
    ) -> Result<Response<pb::AddNoteResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let case = self.named(&caller, "parent", &asked.parent).await?;
        feed::add_note(&self.0, &caller, case, asked).await
    }

    async fn merge_case(
        &self,
        request: Request<pb::MergeCaseRequest>,
    ) -> Result<Response<pb::MergeCaseResponse>, Status> {
        let caller = caller(&request)?;
        let mut asked = request.into_inner();
        let id = std::mem::take(&mut asked.request_id);
        let mut form = Form::new();
        let case = form.name("name", &asked.name, "cases");
        let into = form.name("into", &asked.into, "cases");
        let key = form.request(&caller.subject, "MergeCase", id, &asked);
        let (case, into, key) = form.done((case, into, key))?;
        let case = Box::new(self.existing(case).await?);
        let into = Box::new(self.existing(into).await?);
        let (case, replayed) = self
            .change(caller.actor(), Command::MergeCase { case, into }, key)
            .await?;
        Ok(respond(
            pb::MergeCaseResponse { case: Some(case) },
            replayed,
        ))
    }

    async fn revoke_case_tokens(
        &self,
        request: Request<pb::RevokeCaseTokensRequest>,
    ) -> Result<Response<pb::RevokeCaseTokensResponse>, Status> {
        let caller = caller(&request)?;
        let mut asked = request.into_inner();
        let id = std::mem::take(&mut asked.request_id);
        let mut form = Form::new();
        let case = form.name("name", &asked.name, "cases");
        let key = form.request(&caller.subject, "RevokeCaseTokens", id, &asked);
        let (case, key) = form.done((case, key))?;
        let case = Box::new(self.existing(case).await?);
        let (case, replayed) = self
            .change(caller.actor(), Command::RevokeTokens { case }, key)
            .await?;
        Ok(respond(
            pb::RevokeCaseTokensResponse { case: Some(case) },
            replayed,
        ))
    }
}
