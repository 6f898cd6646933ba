//! What agents write and attach, over crashes.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use postroom::desk::{CancelCause, NewUpload, Upload, WordingChanges};
use postroom::engine::UploadError;
use postroom::id::{AttachmentId, InteractionId};
use postroom::store::{Local, LocalConfig};

use super::*;

/// An engine over a folder. What was there before is as a crash left it.
async fn rig_in(folder: &Path) -> Rig {
    let mut config = LocalConfig::new(folder);
    // The machine of the tests may be fuller than an operator likes.
    config.free_space_floor_bytes = 0;
    let (store, _) = Local::open(config).unwrap();
    Rig::over(Arc::new(store))
}

/// The engine ends and its store is not closed: all that counts is what was synced.
fn crash(rig: Rig) {
    drop(rig.stop().unwrap());
}

/// Anna at work on a letter.
async fn at_work(rig: &Rig) -> (SessionId, InteractionId) {
    let session = rig.sign_in(true).await.unwrap();
    rig.handle.watch_session(session).await.unwrap();
    let held = |desk: &postroom::desk::Desk| desk.presence(&anna()).unwrap();
    let offer = rig
        .handle
        .look(move |desk, _| held(desk).pending_offer)
        .await;
    if let Some(offer) = offer.unwrap() {
        rig.ask(Command::AcceptOffer { session, offer })
            .await
            .unwrap();
    }
    let work = rig
        .handle
        .look(move |desk, _| held(desk).interactions)
        .await;
    (session, work.unwrap()[0])
}

async fn announce(rig: &Rig, at: (SessionId, InteractionId), size: u64) -> Upload {
    let (session, interaction) = at;
    let new = Box::new(NewUpload {
        file_name: "lamp.pdf".into(),
        content_type: "application/pdf".into(),
        size,
        digest: None,
        inline: false,
        content_id: String::new(),
    });
    let announced = rig.ask(Command::AnnounceUpload {
        session,
        interaction,
        new,
    });
    match announced.await.unwrap().answer {
        Answer::Upload(upload) => *upload,
        other => panic!("{other:?}"),
    }
}

async fn write(
    rig: &Rig,
    (session, interaction): (SessionId, InteractionId),
    id: AttachmentId,
    (offset, data): (u64, &'static [u8]),
    finish: bool,
) -> Result<(bool, u64), UploadError> {
    let chunk = (offset, Bytes::from_static(data));
    let written = rig
        .handle
        .write_upload(session, (interaction, id), chunk, finish);
    written
        .await
        .map(|(upload, received)| (upload.ready, received))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder.join("uploads")).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn uploads_go_on_after_a_crash_and_end_with_their_interaction() {
    let folder = tempfile::tempdir().unwrap();
    let rig = rig_in(folder.path()).await.and_anna().await;
    rig.sign_in(false).await.unwrap();
    rig.mail(&[support()], 1).await.unwrap();
    let at = at_work(&rig).await;
    let (whole, part) = (announce(&rig, at, 4).await, announce(&rig, at, 8).await);
    assert_eq!(
        write(&rig, at, whole.id, (0, b"lamp"), true).await,
        Ok((true, 4))
    );
    assert_eq!(
        write(&rig, at, part.id, (0, b"half"), false).await,
        Ok((false, 4))
    );
    crash(rig);

    // Had the process died between a record's end and its file's, one would be left.
    let orphan = AttachmentId::new(Timestamp::from_millis(7), 7).to_string();
    fs::write(folder.path().join("uploads").join(&orphan), "x").unwrap();
    let rig = rig_in(folder.path()).await;
    let mut kept = [whole.id.to_string(), part.id.to_string()];
    kept.sort_unstable();
    assert_eq!(names(folder.path()), kept);
    let received = rig.handle.received(vec![whole.id, part.id]).await.unwrap();
    assert_eq!(received, [4, 4]);
    // The old session is over; a new one of hers goes on.
    let (_, interaction) = at;
    let at = at_work(&rig).await;
    assert_eq!(at.1, interaction);
    assert_eq!(
        write(&rig, at, part.id, (4, b"more"), true).await,
        Ok((true, 8))
    );
    let read = rig.handle.upload_chunk(part.id, 2, 100).await.unwrap();
    assert_eq!(read, "lfmore");
    let read = rig.handle.upload_chunk(whole.id, 0, 3).await.unwrap();
    assert_eq!(read, "lam");

    let cancel = Command::Cancel {
        session: at.0,
        interaction,
        cause: CancelCause::Spam,
        note: String::new(),
    };
    rig.ask(cancel).await.unwrap();
    let over = write(&rig, at, part.id, (0, b"half"), false).await;
    let unknown = Refusal::InteractionUnknown(interaction);
    assert_eq!(over, Err(EngineError::Refused(unknown).into()));
    crash(rig);
    let rig = rig_in(folder.path()).await;
    assert_eq!(names(folder.path()), [""; 0]);
    rig.stop().unwrap();
}

#[tokio::test]
async fn what_could_not_be_written_is_not_announced() {
    let store = Arc::new(Memory::default());
    let rig = Rig::with_anna(store.clone()).await;
    rig.sign_in(false).await.unwrap();
    rig.mail(&[support()], 1).await.unwrap();
    let at = at_work(&rig).await;
    let first = announce(&rig, at, 4).await;
    write(&rig, at, first.id, (0, b"la"), false).await.unwrap();
    // All bytes come, and that they are complete cannot be written down.
    store.fail_next_commit(full_disk());
    let finished = write(&rig, at, first.id, (2, b"mp"), true).await;
    assert!(
        matches!(
            finished,
            Err(UploadError::Engine(EngineError::Unavailable(_)))
        ),
        "{finished:?}"
    );
    let ready = rig
        .handle
        .look(move |desk, _| desk.upload(at.1, first.id).map(|file| file.ready));
    assert_eq!(ready.await.unwrap(), Some(false));
    assert_eq!(
        write(&rig, at, first.id, (4, b""), true).await,
        Ok((true, 4))
    );
    rig.stop().unwrap();
}

#[tokio::test]
async fn drafts_are_there_after_a_crash_and_written_only_when_they_change() {
    let folder = tempfile::tempdir().unwrap();
    let rig = rig_in(folder.path()).await.and_anna().await;
    rig.sign_in(false).await.unwrap();
    rig.mail(&[support()], 1).await.unwrap();
    let at = at_work(&rig).await;
    let save = |at: (SessionId, InteractionId), text: &str, based_on| Command::SaveDraft {
        session: at.0,
        interaction: at.1,
        changes: Box::new(WordingChanges {
            text: Some(text.to_owned()),
            ..WordingChanges::default()
        }),
        based_on,
        known: None,
    };
    let long = "x".repeat(200 << 10);
    rig.ask(save(at, "Dear", None)).await.unwrap();
    let saved = rig.ask(save(at, &long, Some(1))).await.unwrap().answer;
    let written = rig.handle.health().await.unwrap().journal_bytes;
    for _ in 0..50 {
        // Nothing is new.
        assert_eq!(rig.ask(save(at, &long, None)).await.unwrap().answer, saved);
    }
    let again = rig.handle.health().await.unwrap().journal_bytes;
    assert!(again - written < 10_000, "{}", again - written);
    let stale = rig.ask(save(at, "Dear Carla", Some(1))).await;
    let changed = Refusal::DraftChanged(at.1, 2);
    assert_eq!(stale.unwrap_err(), EngineError::Refused(changed));
    crash(rig);

    let rig = rig_in(folder.path()).await;
    let found = rig.handle.draft(at.1).await.unwrap().unwrap();
    assert_eq!(Answer::Draft(Box::new(found)), saved);
    let at = at_work(&rig).await;
    let Answer::Draft(next) = rig
        .ask(save(at, "Dear Carla", Some(2)))
        .await
        .unwrap()
        .answer
    else {
        panic!("no draft");
    };
    assert_eq!(next.version, 3);
    let cancel = Command::Cancel {
        session: at.0,
        interaction: at.1,
        cause: CancelCause::Spam,
        note: String::new(),
    };
    rig.ask(cancel).await.unwrap();
    assert_eq!(rig.handle.draft(at.1).await.unwrap(), None);
    rig.stop().unwrap();
}
