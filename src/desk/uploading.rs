//! Uploading: agents announce files for what they write, and say when they are complete.

use super::handling::Needed;
use super::{Change, Desk, NewUpload, Pending, Refusal, Upload};
use crate::id::{AttachmentId, InteractionId, SessionId};
use crate::time::Timestamp;

/// Most files for one interaction: nobody looks through more.
pub const UPLOADS_MAX: usize = 50;

/// Most bytes of files for one interaction, announced or there: what a mail takes twice over.
pub const UPLOADS_BYTES_MAX: u64 = 100 << 20;

/// Most bytes of one agent's files, over all interactions that are not closed: what one agent may
/// take of the disk.
pub const AGENT_UPLOADS_BYTES_MAX: u64 = 1 << 30;

impl Desk {
    /// Makes room for a file.
    pub(super) fn announce_upload(
        &mut self,
        now: Timestamp,
        session: SessionId,
        interaction: InteractionId,
        mut new: NewUpload,
    ) -> Result<Pending, Refusal> {
        let (agent, _) = self.held(session, interaction, Needed::Writing)?;
        let one_max = self.policy.attachment_bytes_max;
        if new.size > one_max {
            return Err(Refusal::UploadTooLarge("a file", one_max));
        }
        let files = self.uploads.get(&interaction);
        if files.is_some_and(|files| files.len() >= UPLOADS_MAX) {
            return Err(Refusal::TooManyUploads);
        }
        let sum = |sizes: &mut dyn Iterator<Item = u64>| sizes.fold(new.size, u64::saturating_add);
        let mut its = files.into_iter().flatten().map(|(_, file)| file.size);
        if sum(&mut its) > UPLOADS_BYTES_MAX {
            let what = "all files of an interaction";
            return Err(Refusal::UploadTooLarge(what, UPLOADS_BYTES_MAX));
        }
        let mut theirs = (self.uploads.values().flatten())
            .filter(|(_, file)| file.agent == agent)
            .map(|(_, file)| file.size);
        if sum(&mut theirs) > AGENT_UPLOADS_BYTES_MAX {
            let what = "all files of an agent";
            return Err(Refusal::UploadTooLarge(what, AGENT_UPLOADS_BYTES_MAX));
        }
        self.heard(now, session);
        new.clean();
        let sequence = self.next_sequence();
        let upload = Upload {
            id: AttachmentId::new(now, sequence),
            interaction,
            agent,
            file_name: new.file_name,
            content_type: new.content_type,
            size: new.size,
            digest: new.digest,
            inline: new.inline,
            content_id: new.content_id,
            created: now,
            ready: false,
        };
        Ok(self.keep_upload(upload))
    }

    /// A file is all there: its bytes are durable, and this is their digest.
    pub(super) fn finish_upload(
        &mut self,
        now: Timestamp,
        session: SessionId,
        (interaction, id): (InteractionId, AttachmentId),
        digest: [u8; 32],
    ) -> Result<Pending, Refusal> {
        let mut upload = self.upload_for(session, interaction, id)?.clone();
        self.heard(now, session);
        upload.digest = Some(digest);
        upload.ready = true;
        Ok(self.keep_upload(upload))
    }

    /// Takes a file away. What was sent with it has its own copy.
    pub(super) fn drop_upload(
        &mut self,
        now: Timestamp,
        session: SessionId,
        interaction: InteractionId,
        id: AttachmentId,
    ) -> Result<Pending, Refusal> {
        self.upload_for(session, interaction, id)?;
        self.heard(now, session);
        if let Some(files) = self.uploads.get_mut(&interaction) {
            files.remove(&id);
        }
        let dropped = Change::UploadDropped(interaction, id);
        self.draft.changes.push(dropped);
        Ok(Pending::Done)
    }

    /// A file of an interaction, for whoever may write to it now.
    ///
    /// # Errors
    ///
    /// As for the verbs: [`Refusal::SessionClosed`], [`Refusal::NotOwner`] and the like, and
    /// [`Refusal::UploadUnknown`].
    pub fn upload_for(
        &self,
        session: SessionId,
        interaction: InteractionId,
        id: AttachmentId,
    ) -> Result<&Upload, Refusal> {
        self.held(session, interaction, Needed::Writing)?;
        self.upload(interaction, id)
            .ok_or(Refusal::UploadUnknown(interaction, id))
    }

    /// A file of an interaction that is not closed.
    #[must_use]
    pub fn upload(&self, interaction: InteractionId, id: AttachmentId) -> Option<&Upload> {
        self.uploads.get(&interaction)?.get(&id)
    }

    /// Largest file that can be attached, in bytes.
    #[must_use]
    pub const fn attachment_bytes_max(&self) -> u64 {
        self.policy.attachment_bytes_max
    }

    /// The files of an interaction that is not closed, oldest first.
    pub fn uploads(&self, interaction: InteractionId) -> impl Iterator<Item = &Upload> {
        let files = self.uploads.get(&interaction);
        files.into_iter().flatten().map(|(_, file)| file)
    }

    /// All files, of whatever interaction.
    pub fn all_uploads(&self) -> impl Iterator<Item = &Upload> {
        self.uploads.values().flatten().map(|(_, file)| file)
    }

    fn keep_upload(&mut self, upload: Upload) -> Pending {
        let upload = Box::new(upload);
        (self.uploads.entry(upload.interaction).or_default()).insert(upload.id, (*upload).clone());
        self.draft.changes.push(Change::Upload(upload.clone()));
        Pending::Upload(upload)
    }

    /// What was kept for an interaction that ended is of no more use.
    pub(super) fn clear_away(&mut self, id: InteractionId) {
        if self.saved.remove(&id) {
            self.draft.changes.push(Change::DraftDropped(id));
        }
        let files = self.uploads.remove(&id).unwrap_or_default();
        let dropped = files
            .into_keys()
            .map(|file| Change::UploadDropped(id, file));
        self.draft.changes.extend(dropped);
    }
}
