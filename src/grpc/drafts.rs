//! Drafts on the wire: saved, shown, and sent in place of what a request does not say.

use tonic::{Request, Response, Status};

use super::access::caller;
use super::form::{FileName, Form};
use super::{Shared, convert, errors, pb};
use crate::desk::wording::DRAFT_BYTES_MAX;
use crate::desk::{
    Answer, Command, Correspondent, DraftFile, DraftKind, SavedDraft, Wording, WordingChanges,
};
use crate::id::InteractionId;
use crate::mail::compose::RECIPIENTS_MAX;

/// The fields that a mask may name.
const MASKED: [&str; 10] = [
    "kind",
    "from_address",
    "to",
    "cc",
    "bcc",
    "subject",
    "text_body",
    "html_body",
    "include_original",
    "attachments",
];

/// Longest text of a person in a draft, in bytes. What is wrong with it is said when it is sent.
const PERSON_BYTES_MAX: usize = 1024;

impl Form {
    fn draft_name(&mut self, field: &str, name: &str) -> Option<InteractionId> {
        let id = (name.strip_prefix("interactions/"))
            .and_then(|rest| rest.strip_suffix("/draft"))
            .and_then(|id| id.parse().ok());
        if id.is_none() {
            self.wrong(field, "must be interactions/{id}/draft");
        }
        id
    }

    /// People as they were typed so far.
    fn people(&mut self, field: &str, people: Vec<pb::EmailAddress>) -> Option<Vec<Correspondent>> {
        let fits = |person: &pb::EmailAddress| {
            person.address.len() <= PERSON_BYTES_MAX
                && person.display_name.len() <= PERSON_BYTES_MAX
        };
        if people.len() > RECIPIENTS_MAX || !people.iter().all(fits) {
            let why = format!("are more than {RECIPIENTS_MAX}, or one is too long");
            self.wrong(field, why);
            return None;
        }
        let kept = people.into_iter().map(|person| Correspondent {
            address: person.address,
            display_name: person.display_name,
        });
        Some(kept.collect())
    }

    fn draft_files(
        &mut self,
        interaction: InteractionId,
        names: &[String],
    ) -> Option<Vec<DraftFile>> {
        let field = "draft.attachments";
        let names = self.files(field, names)?;
        let files = names.into_iter().map(|name| match name {
            FileName::Upload(of, id) => (of == interaction).then_some(DraftFile::Upload(id)),
            FileName::Part(of, id, part) => Some(DraftFile::Part(of, id, part)),
        });
        let files: Option<Vec<DraftFile>> = files.collect();
        if files.is_none() {
            self.wrong(field, "names one that was uploaded for another interaction");
        }
        files
    }

    fn wording(
        &mut self,
        interaction: InteractionId,
        draft: pb::Draft,
        fields: &[&str],
    ) -> WordingChanges {
        let named = |field: &str| fields.contains(&field);
        let kind = pb::DraftKind::try_from(draft.kind).map(|kind| match kind {
            pb::DraftKind::Unspecified | pb::DraftKind::Reply => DraftKind::Reply,
            pb::DraftKind::ReplyAll => DraftKind::ReplyAll,
            pb::DraftKind::Forward => DraftKind::Forward,
            pb::DraftKind::New => DraftKind::New,
        });
        if kind.is_err() {
            self.wrong("draft.kind", "is none that there is");
        }
        let from = self.text("draft.from_address", draft.from_address, PERSON_BYTES_MAX);
        let to = self.people("draft.to", draft.to);
        let cc = self.people("draft.cc", draft.cc);
        let bcc = self.people("draft.bcc", draft.bcc);
        let subject = self.text("draft.subject", draft.subject, DRAFT_BYTES_MAX);
        let text = self.text("draft.text_body", draft.text_body, DRAFT_BYTES_MAX);
        let html = self.text("draft.html_body", draft.html_body, DRAFT_BYTES_MAX);
        let files = self.draft_files(interaction, &draft.attachments);
        WordingChanges {
            kind: kind.ok().filter(|_| named("kind")),
            from: from.filter(|_| named("from_address")),
            to: to.filter(|_| named("to")),
            cc: cc.filter(|_| named("cc")),
            bcc: bcc.filter(|_| named("bcc")),
            subject: subject.filter(|_| named("subject")),
            text: text.filter(|_| named("text_body")),
            html: html.filter(|_| named("html_body")),
            include_original: Some(draft.include_original).filter(|_| named("include_original")),
            files: files.filter(|_| named("attachments")),
        }
    }
}

impl Shared {
    pub(super) async fn get_draft(
        &self,
        request: Request<pb::GetDraftRequest>,
    ) -> Result<Response<pb::GetDraftResponse>, Status> {
        let caller = caller(&request)?;
        let mut form = Form::new();
        let id = form.draft_name("name", &request.get_ref().name);
        let id = form.done(id)?;
        self.written_by(&caller, id).await?;
        let found = self.handle.draft(id).await.map_err(errors::engine)?;
        let draft = found.ok_or_else(|| errors::not_found(format!("interactions/{id}/draft")))?;
        Ok(Response::new(pb::GetDraftResponse {
            draft: Some(draft_of(draft)),
        }))
    }

    pub(super) async fn update_draft(
        &self,
        request: Request<pb::UpdateDraftRequest>,
    ) -> Result<Response<pb::UpdateDraftResponse>, Status> {
        let caller = caller(&request)?;
        let session = caller.session("UpdateDraft")?;
        let asked = request.into_inner();
        let mut form = Form::new();
        let draft = asked.draft.unwrap_or_default();
        let fields = form.mask(asked.update_mask, &MASKED);
        let based_on = form.etag(&draft.etag);
        let id = form.draft_name("draft.name", &draft.name);
        let changes = id.map(|id| form.wording(id, draft, &fields));
        let (interaction, based_on, changes) = form.done((id, based_on, changes))?;
        let command = Command::SaveDraft {
            session,
            interaction,
            changes: Box::new(changes),
            based_on,
            known: None,
        };
        let done = self.handle.command(command, None).await;
        match done.map_err(errors::engine)?.answer {
            Answer::Draft(draft) => Ok(Response::new(pb::UpdateDraftResponse {
                draft: Some(draft_of(*draft)),
            })),
            _ => Err(errors::internal("a draft was not answered by a draft")),
        }
    }

    /// What was saved for an interaction, if a request to send has no text of its own.
    pub(super) async fn saved(
        &self,
        interaction: Option<InteractionId>,
        texts: [&str; 2],
    ) -> Result<Option<(InteractionId, Wording)>, Status> {
        let Some(id) = interaction.filter(|_| texts.iter().all(|text| text.trim().is_empty()))
        else {
            return Ok(None);
        };
        let found = self.handle.draft(id).await.map_err(errors::engine)?;
        Ok(found.map(|draft| (id, draft.wording)))
    }
}

/// Fills what a request to send does not say with what was saved.
macro_rules! fill {
    ($asked:ident, $saved:expr) => {
        if let Some((id, wording)) = $saved {
            $asked.text_body = wording.text;
            $asked.html_body = wording.html;
            if $asked.from_address.is_empty() {
                $asked.from_address = wording.from;
            }
            for (asked, saved) in [
                (&mut $asked.to, wording.to),
                (&mut $asked.cc, wording.cc),
                (&mut $asked.bcc, wording.bcc),
            ] {
                if asked.is_empty() {
                    *asked = $crate::grpc::drafts::people(saved);
                }
            }
            if $asked.attachments.is_empty() {
                $asked.attachments = $crate::grpc::drafts::names(id, &wording.files);
            }
        }
    };
}
pub(super) use fill;

pub(super) fn people(people: Vec<Correspondent>) -> Vec<pb::EmailAddress> {
    let shown = people.into_iter().map(|person| pb::EmailAddress {
        address: person.address,
        display_name: person.display_name,
    });
    shown.collect()
}

pub(super) fn names(interaction: InteractionId, files: &[DraftFile]) -> Vec<String> {
    let names = files.iter().map(|file| match file {
        DraftFile::Upload(id) => convert::attachment_name(interaction, *id),
        DraftFile::Part(of, message, part) => {
            format!(
                "{}/attachments/{part}",
                convert::message_name(*of, *message)
            )
        }
    });
    names.collect()
}

fn draft_of(draft: SavedDraft) -> pb::Draft {
    let wording = draft.wording;
    let kind = match wording.kind {
        DraftKind::Reply => pb::DraftKind::Reply,
        DraftKind::ReplyAll => pb::DraftKind::ReplyAll,
        DraftKind::Forward => pb::DraftKind::Forward,
        DraftKind::New => pb::DraftKind::New,
    };
    pb::Draft {
        name: format!("interactions/{}/draft", draft.interaction),
        kind: kind.into(),
        from_address: wording.from,
        to: people(wording.to),
        cc: people(wording.cc),
        bcc: people(wording.bcc),
        subject: wording.subject,
        text_body: wording.text,
        html_body: wording.html,
        include_original: wording.include_original,
        attachments: names(draft.interaction, &wording.files),
        etag: convert::etag(draft.version),
        update_time: Some(convert::time(draft.saved)),
        agent: convert::agent_name(&draft.agent),
    }
}
