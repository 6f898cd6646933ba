//! `CaseService`: reading cases.

use std::sync::Arc;

use tonic::{Code, Request, Response, Status};

use super::access::{Principal, caller};
use super::errors::Failure;
use super::form::Form;
use super::pb::case_service_server::CaseService;
use super::{Shared, convert, errors, pb};
use crate::desk::Case;
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

#[tonic::async_trait]
impl CaseService for Cases {
    async fn get_case(
        &self,
        request: Request<pb::GetCaseRequest>,
    ) -> Result<Response<pb::GetCaseResponse>, Status> {
        let caller = caller(&request)?;
        let mut form = Form::new();
        let number = form.name("name", &request.get_ref().name, "cases");
        let number = form.done(number)?;
        let found = (self.readable(&caller, number).await?)
            .ok_or_else(|| errors::not_found(format!("cases/{number}")))?;
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
}
