//! Mails that agents begin and letters that they pass on, as commands.

use postroom::desk::{
    Case, Command, Correspondent, Email, NewUpload, Outgoing, SavedDraft, WordingChanges,
};
use postroom::id::{InteractionId, MessageId, SessionId};

use crate::world::answer;

/// A mail from one of a queue's own addresses, new or in a case.
pub(crate) fn email(session: SessionId, from: String, case: Option<Case>) -> Command {
    Command::StartEmail(Box::new(Email {
        session,
        from,
        to: Correspondent::default(),
        subject: "An offer".into(),
        case: case.map(Box::new),
    }))
}

/// A letter passed on to somebody outside.
pub(crate) fn forwarded(session: SessionId, interaction: InteractionId, from: String) -> Outgoing {
    let mut mail = answer(session, interaction, from);
    mail.to.address = "expert@elsewhere.example".into();
    mail.others = vec![Correspondent {
        address: "other@elsewhere.example".into(),
        display_name: String::new(),
    }];
    mail
}

/// A mail that its agent takes back.
pub(crate) const fn taken_back(session: SessionId, message: MessageId) -> Command {
    Command::CancelSend {
        session,
        message,
        sent_for: None,
    }
}

/// A file of so many bytes, to be attached.
pub(crate) fn file(session: SessionId, interaction: InteractionId, size: u64) -> Command {
    Command::AnnounceUpload {
        session,
        interaction,
        new: Box::new(NewUpload {
            file_name: "lamp.pdf".into(),
            content_type: String::new(),
            size,
            digest: None,
            inline: false,
            content_id: String::new(),
        }),
    }
}

/// A text that is saved and not sent, beside what is saved already.
pub(crate) fn saved(
    session: SessionId,
    interaction: InteractionId,
    text: &str,
    known: Option<&SavedDraft>,
) -> Command {
    Command::SaveDraft {
        session,
        interaction,
        changes: Box::new(WordingChanges {
            text: Some(text.to_owned()),
            ..WordingChanges::default()
        }),
        based_on: None,
        known: known.cloned().map(Box::new),
    }
}
