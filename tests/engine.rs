//! The engine over stores that fail, wait, and are opened again.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

#[path = "engine/files.rs"]
mod files;
#[path = "support/gated.rs"]
mod gated;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gated::Gated;
use postroom::content::Content;
use postroom::desk::{
    AgentState, Answer, Command, Correspondent, EndCause, Fact, Filing, Handling, Ingest, Mailbox,
    NewAgent, OfferState, Origin, Outgoing, QueueSettings, Refusal, Requested, RescindCause, State,
    Target, Thread,
};
use postroom::engine::figures::Asked;
use postroom::engine::watch::FRAMES_MAX;
use postroom::engine::{
    Done, Engine, EngineError, Fingerprint, Handle, RequestKey, SessionWatch, Settings,
    Submissions, WatchFrame,
};
use postroom::id::{AgentId, QueueId, SessionId};
use postroom::mail::clue::OwnKeys;
use postroom::mail::trust::Trust;
use postroom::outbound::dkim;
use postroom::outbound::driver::Spooler;
use postroom::outbound::message::{DeliveryState, Diagnostic, Outcome};
use postroom::store::{Batch, CommitError, Memory, Store, Unavailable, keys, record};
use postroom::time::Timestamp;
use tokio::io::AsyncReadExt as _;

fn support() -> QueueId {
    "support".parse().unwrap()
}

fn sales() -> QueueId {
    "sales".parse().unwrap()
}

fn anna() -> AgentId {
    "anna".parse().unwrap()
}

fn settings() -> Settings {
    let queue = |id: QueueId| {
        let mut queue = QueueSettings::new(id);
        queue.mailboxes.push(Mailbox {
            address: format!("{}@shop.example", queue.id),
            display_name: String::new(),
        });
        queue.offer_timeout = Duration::from_secs(3600);
        queue.post_processing = Some(Duration::from_secs(3600));
        queue
    };
    let mut settings = Settings::new(vec![queue(support()), queue(sales())]);
    // No test waits: what is due in minutes is never due here.
    settings.policy.offer_receipt = Duration::from_secs(3600);
    settings.store_pause = Duration::ZERO;
    settings
}

/// An engine over a store, with the verbs of the tests.
struct Rig {
    engine: Engine,
    handle: Handle,
    submissions: Submissions,
}

impl Rig {
    fn over(store: Arc<dyn Store>) -> Self {
        Self::set_up(store, settings())
    }

    fn set_up(store: Arc<dyn Store>, settings: Settings) -> Self {
        let (engine, handle, submissions) = Engine::start(store, settings).unwrap();
        Self {
            engine,
            handle,
            submissions,
        }
    }

    /// An engine with an account.
    async fn with_anna(store: Arc<dyn Store>) -> Self {
        Self::over(store).and_anna().await
    }

    async fn and_anna(self) -> Self {
        let rig = self;
        let new = NewAgent {
            id: anna(),
            display_name: "Anna".into(),
            password: None,
            supervisor: false,
            capacity: 1,
            queues: vec![support()],
        };
        rig.ask(Command::CreateAgent(new)).await.unwrap();
        rig
    }

    async fn ask(&self, command: Command) -> Result<Done, EngineError> {
        self.handle.command(command, None).await
    }

    async fn sign_in(&self, takeover: bool) -> Result<SessionId, EngineError> {
        let open = Command::OpenSession {
            agent: anna(),
            takeover,
            initial: Some(Requested::Available),
            lease: Some(Duration::from_secs(300)),
            client: String::new(),
        };
        match self.ask(open).await?.answer {
            Answer::Session(view, _) => Ok(view.session.id),
            other => panic!("{other:?}"),
        }
    }

    async fn mail(&self, queues: &[QueueId], mark: u8) -> Result<(Vec<Filing>, bool), EngineError> {
        self.handle
            .ingest(letter(queues), body(), print(mark))
            .await
    }

    /// Anna takes what is offered and answers it.
    async fn answer(&self, session: SessionId) {
        self.answer_with(session, body()).await;
    }

    async fn answer_with(&self, session: SessionId, body: Content) {
        let offer = self
            .handle
            .look(|desk, _| desk.presence(&anna()).unwrap().pending_offer)
            .await
            .unwrap()
            .unwrap();
        let accepted = self.ask(Command::AcceptOffer { session, offer }).await;
        let Answer::Interaction { interaction, .. } = accepted.unwrap().answer else {
            panic!("not accepted");
        };
        let reply = Outgoing {
            session,
            interaction: interaction.id,
            from: Correspondent {
                address: "support@shop.example".into(),
                display_name: String::new(),
            },
            to: interaction.customer.clone(),
            slot: 0,
            others: Vec::new(),
            envelope_sender: "bounce@shop.example".into(),
            internet_message_id: "answer@shop.example".into(),
            subject: "Re: A question".into(),
            size: body.len(),
            latest_seen: None,
        };
        let reply = Command::Reply(Box::new(reply));
        let sent = self.handle.command_with_body(reply, body, None).await;
        sent.unwrap();
    }

    fn stop(self) -> Result<Arc<dyn Store>, String> {
        self.handle.stop();
        self.engine.join()
    }

    /// That the desk holds what the store has.
    async fn check(&self, store: &Memory) {
        let (counters, agents, open) = self
            .handle
            .look(|desk, _| {
                let open: Vec<_> = desk.interactions().values().cloned().collect();
                (desk.counters(), desk.agents().clone(), open)
            })
            .await
            .unwrap();
        let written = store.get(keys::COUNTERS).unwrap();
        assert_eq!(written, Some(record::encode(&counters)));
        for (id, agent) in &agents {
            let written = store.get(&keys::agent(id)).unwrap();
            assert_eq!(written, Some(record::encode(agent)));
        }
        let marks = store.scan(keys::OPEN, None, usize::MAX).unwrap();
        assert_eq!(marks.len(), open.len());
        for found in &open {
            let written = store.get(&keys::interaction(found.id)).unwrap();
            assert_eq!(written, Some(record::encode(found)));
        }
    }
}

fn body() -> Content {
    Content::Memory(Bytes::from_static(b"Hey\n"))
}

/// The fingerprint of letter number `mark`.
fn print(mark: u8) -> Vec<Fingerprint> {
    vec![Fingerprint {
        digest: [mark; 32],
        memory: Duration::from_secs(3600),
    }]
}

fn letter(queues: &[QueueId]) -> Ingest {
    let customer = Correspondent {
        address: "carla@customer.example".into(),
        display_name: "Carla".into(),
    };
    Ingest {
        targets: queues
            .iter()
            .map(|queue| Target {
                queue: queue.clone(),
                mailbox: format!("{queue}@shop.example"),
            })
            .collect(),
        envelope_sender: customer.address.clone(),
        customer,
        internet_message_id: "letter@customer.example".into(),
        subject: "A question".into(),
        size: 4,
        trust: Trust::A,
        trust_reason: "dmarc=pass".into(),
        mta_queue_id: "4ABC".into(),
        thread: Thread::New(Origin::SameLetter),
        handling: Handling::default(),
        copied: BTreeSet::new(),
        keys: OwnKeys::default(),
        dossier: Box::default(),
        report: None,
        acknowledgement: None,
    }
}

fn full_disk() -> CommitError {
    CommitError::Unavailable(Unavailable::Disk(std::io::ErrorKind::StorageFull.into()))
}

/// What lies ready to be read.
fn ready(watch: &mut SessionWatch) -> Vec<WatchFrame> {
    std::iter::from_fn(|| watch.frames.try_recv().ok()).collect()
}

/// What was told of all that was answered so far: answers go out before events do, and a look is
/// answered in the round after.
async fn told(rig: &Rig, watch: &mut SessionWatch) -> Vec<WatchFrame> {
    rig.handle.look(|_, _| ()).await.unwrap();
    ready(watch)
}

fn sequences(frames: &[WatchFrame]) -> Vec<u64> {
    frames
        .iter()
        .map(|frame| match frame {
            WatchFrame::Event(event) => event.agent.as_ref().unwrap().1,
            other => panic!("{other:?}"),
        })
        .collect()
}

#[tokio::test]
async fn nothing_is_visible_before_it_is_durable() {
    let store = Arc::new(Gated::default());
    let rig = Rig::with_anna(store.clone()).await;
    let session = rig.sign_in(false).await.unwrap();
    let mut watch = rig.handle.watch_session(session).await.unwrap();
    let mut floor = rig.handle.watch_desk().await.unwrap();
    let (arrival, opener) = store.close();
    let handle = rig.handle.clone();
    let filed =
        tokio::spawn(async move { handle.ingest(letter(&[support()]), body(), print(1)).await });
    tokio::task::spawn_blocking(move || arrival.recv())
        .await
        .unwrap()
        .unwrap();
    assert!(!filed.is_finished());
    assert!(ready(&mut watch).is_empty());
    assert!(floor.frames.try_recv().is_err());
    assert!(store.scan(keys::OPEN, None, 9).unwrap().is_empty());
    opener.send(()).unwrap();
    let (filings, replayed) = filed.await.unwrap().unwrap();
    assert!(!replayed);
    let message = rig.handle.message(filings[0].message).await.unwrap();
    assert_eq!(message.unwrap().interactions, [filings[0].interaction]);
    let head = rig.handle.body_head(filings[0].message, 100).await.unwrap();
    assert_eq!(head.unwrap(), "Hey\n");
    assert_eq!(told(&rig, &mut watch).await.len(), 1);
    rig.stop().unwrap();
}

#[tokio::test]
async fn a_full_disk_changes_nothing_and_passes() {
    let store = Arc::new(Memory::default());
    let rig = Rig::with_anna(store.clone()).await;
    let session = rig.sign_in(false).await.unwrap();
    let mut watch = rig.handle.watch_session(session).await.unwrap();
    rig.mail(&[support()], 1).await.unwrap();
    let mut floor = rig.handle.watch_desk().await.unwrap();
    told(&rig, &mut watch).await;

    store.fail_next_commit(full_disk());
    let refused = rig.mail(&[support()], 2).await;
    assert!(
        matches!(refused, Err(EngineError::Unavailable(_))),
        "{refused:?}"
    );
    rig.check(&store).await;
    assert!(told(&rig, &mut watch).await.is_empty());
    assert!(floor.frames.try_recv().is_err());

    // The very same again, as the sender would.
    let (filings, replayed) = rig.mail(&[support()], 2).await.unwrap();
    assert!(!replayed && filings.len() == 1);
    assert!(rig.handle.takes_mail());
    rig.check(&store).await;
    // The stream was there all the while: the offer can be taken.
    rig.answer(session).await;
    rig.check(&store).await;
    let frames = told(&rig, &mut watch).await;
    let first = watch.snapshot.sequence + 2;
    let expected: Vec<u64> = (first..).take(frames.len()).collect();
    assert_eq!(sequences(&frames), expected, "a gap after the failure");
    rig.stop().unwrap();
}

#[tokio::test]
async fn a_look_at_what_could_not_be_written_is_kept_back() {
    let store = Arc::new(Gated::default());
    let rig = Rig::with_anna(store.clone()).await;
    // While one commit waits, the letter and the look gather in the next round.
    let (arrival, opener) = store.close();
    let first = rig.handle.clone();
    let first =
        tokio::spawn(async move { first.ingest(letter(&[sales()]), body(), print(1)).await });
    tokio::task::spawn_blocking(move || arrival.recv())
        .await
        .unwrap()
        .unwrap();
    let (second, look) = (rig.handle.clone(), rig.handle.clone());
    let mut second = Box::pin(second.ingest(letter(&[sales()]), body(), print(2)));
    let mut look = Box::pin(look.look(|desk, _| desk.interactions().len()));
    assert!(now_or_never(second.as_mut()).is_none());
    assert!(now_or_never(look.as_mut()).is_none());
    let (arrival, next) = store.close();
    opener.send(()).unwrap();
    first.await.unwrap().unwrap();
    tokio::task::spawn_blocking(move || arrival.recv())
        .await
        .unwrap()
        .unwrap();
    store.inner.fail_next_commit(full_disk());
    next.send(()).unwrap();
    assert!(matches!(second.await, Err(EngineError::Unavailable(_))));
    assert!(matches!(look.await, Err(EngineError::Unavailable(_))));
    let waiting = rig.handle.look(|desk, _| desk.interactions().len()).await;
    assert_eq!(waiting, Ok(1));
    rig.stop().unwrap();
}

fn now_or_never<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::Pin::new(&mut future).poll(&mut context) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}

#[tokio::test]
async fn after_an_unknown_end_the_engine_stops_and_everybody_is_answered() {
    let store = Arc::new(Memory::default());
    let rig = Rig::with_anna(store.clone()).await;
    let session = rig.sign_in(false).await.unwrap();
    let mut watch = rig.handle.watch_session(session).await.unwrap();
    told(&rig, &mut watch).await;
    store.fail_next_commit(CommitError::Unknown("the disk went away".into()));
    let asked: Vec<_> = (0..20)
        .map(|mark| {
            let handle = rig.handle.clone();
            tokio::spawn(async move {
                handle
                    .ingest(letter(&[support()]), body(), print(mark))
                    .await
            })
        })
        .collect();
    let mut unknown = 0;
    for asked in asked {
        match asked.await.unwrap() {
            Err(EngineError::Unknown(_)) => unknown += 1,
            Err(EngineError::Stopping) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(unknown > 0);
    let why = rig.engine.join().unwrap_err();
    assert!(why.contains("the disk went away"), "{why}");
    assert!(ready(&mut watch).is_empty());
    let after = rig.handle.look(|_, _| ()).await;
    assert_eq!(after, Err(EngineError::Stopping));
}

#[tokio::test]
async fn a_request_is_carried_out_once() {
    let rig = Rig::with_anna(Arc::new(Memory::default())).await;
    let session = rig.sign_in(false).await.unwrap();
    let request = |digest| {
        Some(RequestKey {
            principal: "anna".into(),
            rpc: "SetPresence",
            id: "7".into(),
            digest: [digest; 32],
        })
    };
    let set = |state| Command::SetPresence { session, state };
    let offline = || Requested::WorkOffline("lunch".into());
    let first = rig
        .handle
        .command(set(offline()), request(1))
        .await
        .unwrap();
    assert!(!first.replayed);
    rig.ask(set(Requested::Available)).await.unwrap();
    let again = rig
        .handle
        .command(set(offline()), request(1))
        .await
        .unwrap();
    assert!(again.replayed);
    assert_eq!(again.answer, first.answer);
    let shown = rig
        .handle
        .look(|desk, _| desk.presence(&anna()).unwrap().state)
        .await;
    assert_eq!(shown, Ok(AgentState::Available), "it was done twice");
    let reused = rig.handle.command(set(offline()), request(2)).await;
    assert_eq!(reused, Err(EngineError::RequestIdReused));
    // A refusal is not remembered: the caller may mend what was wrong.
    let refused = rig
        .handle
        .command(
            Command::CreateAgent(NewAgent {
                id: anna(),
                display_name: String::new(),
                password: None,
                supervisor: false,
                capacity: 1,
                queues: Vec::new(),
            }),
            None,
        )
        .await;
    assert_eq!(
        refused,
        Err(EngineError::Refused(Refusal::AgentExists(anna())))
    );
    // The memory outlives the process.
    let rig = Rig::over(rig.stop().unwrap());
    let again = rig
        .handle
        .command(set(offline()), request(1))
        .await
        .unwrap();
    assert!(again.replayed);
    rig.stop().unwrap();
}

#[tokio::test]
async fn any_fingerprint_tells_a_letter_and_each_for_its_time() {
    let store: Arc<dyn Store> = Arc::new(Memory::default());
    let rig = Rig::over(store);
    let never = [8, 9].map(|byte| Fingerprint {
        digest: [byte; 32],
        memory: Duration::ZERO,
    });
    let ingest = async |rig: &Rig, prints: Vec<Fingerprint>| {
        let filed = rig.handle.ingest(letter(&[support()]), body(), prints);
        filed.await.unwrap()
    };
    let prints = [print(1), print(2), never.to_vec()].concat();
    let (first, replayed) = ingest(&rig, prints).await;
    assert!(!replayed);
    for prints in [print(2), [print(3), print(1)].concat()] {
        assert_eq!(ingest(&rig, prints).await, (first.clone(), true));
    }

    // A start forgets at once what has fallen due.
    let rig = Rig::over(rig.stop().unwrap());
    rig.handle.look(|_, _| ()).await.unwrap();
    for never in never {
        let (second, replayed) = ingest(&rig, vec![never]).await;
        assert!(!replayed);
        assert_ne!(second, first);
    }
    assert_eq!(ingest(&rig, print(2)).await, (first, true));
    rig.stop().unwrap();
}

#[tokio::test]
async fn a_letter_is_filed_once_for_each_queue() {
    let rig = Rig::with_anna(Arc::new(Memory::default())).await;
    let (first, _) = rig.mail(&[support()], 1).await.unwrap();
    let (again, replayed) = rig.mail(&[support()], 1).await.unwrap();
    assert!(replayed);
    assert_eq!(again, first);
    // The second copy for another queue is more work in the same case.
    let (both, replayed) = rig.mail(&[support(), sales()], 1).await.unwrap();
    assert!(!replayed);
    assert_eq!(both.len(), 2);
    assert_eq!(both[0], first[0]);
    assert_eq!((both[1].case, &both[1].queue), (first[0].case, &sales()));
    assert_ne!(both[1].interaction, first[0].interaction);
    let open = rig.handle.look(|desk, _| desk.interactions().len()).await;
    assert_eq!(open, Ok(2));
    // Both at once, as Postfix may deliver them.
    let one = [support()];
    let (left, right) = tokio::join!(rig.mail(&one, 9), rig.mail(&one, 9));
    assert_eq!(left.unwrap().0, right.unwrap().0);
    let rig = Rig::over(rig.stop().unwrap());
    let (again, replayed) = rig.mail(&[sales(), support()], 1).await.unwrap();
    assert!(replayed);
    assert_eq!(again, both);
    rig.stop().unwrap();
}

#[tokio::test]
async fn a_stream_begins_where_its_snapshot_ends() {
    let rig = Rig::with_anna(Arc::new(Memory::default())).await;
    let session = rig.sign_in(false).await.unwrap();
    // The attachment brings an offer with it, which is in the snapshot and nowhere else.
    rig.mail(&[support()], 1).await.unwrap();
    let mut watch = rig.handle.watch_session(session).await.unwrap();
    assert_eq!(watch.snapshot.offers.len(), 1);
    rig.answer(session).await;
    let frames = told(&rig, &mut watch).await;
    let first = watch.snapshot.sequence + 1;
    let expected: Vec<u64> = (first..).take(frames.len()).collect();
    assert!(!frames.is_empty());
    assert_eq!(sequences(&frames), expected);
    let logged = rig
        .handle
        .events(anna(), watch.snapshot.sequence, u64::MAX)
        .await
        .unwrap();
    let in_log: Vec<u64> = logged
        .iter()
        .map(|event| event.agent.as_ref().unwrap().1)
        .collect();
    assert_eq!(in_log, expected, "the log tells the same");

    let mut newer = rig.handle.watch_session(session).await.unwrap();
    assert_eq!(newer.snapshot.sequence, *expected.last().unwrap());
    assert!(matches!(
        told(&rig, &mut watch).await.as_slice(),
        [WatchFrame::Ended(EndCause::Superseded)]
    ));
    // The end of the older stream is not the end of the newer.
    drop(watch);
    let attached = rig
        .handle
        .look(move |desk, now| desk.session(session, now).unwrap().stream_attached);
    assert_eq!(attached.await, Ok(true));
    rig.sign_in(true).await.unwrap();
    let frames = told(&rig, &mut newer).await;
    assert!(
        matches!(frames.last(), Some(WatchFrame::Ended(EndCause::TakenOver))),
        "{frames:?}"
    );
    rig.stop().unwrap();
}

#[tokio::test]
async fn a_dropped_stream_is_detached() {
    let rig = Rig::with_anna(Arc::new(Memory::default())).await;
    let session = rig.sign_in(false).await.unwrap();
    let watch = rig.handle.watch_session(session).await.unwrap();
    drop(watch);
    let attached = rig
        .handle
        .look(move |desk, now| desk.session(session, now).unwrap().stream_attached);
    assert_eq!(attached.await, Ok(false));
    // Nothing is offered to somebody who is not there.
    rig.mail(&[support()], 1).await.unwrap();
    let offers = rig.handle.look(|desk, _| desk.offers().len()).await;
    assert_eq!(offers, Ok(0));
    rig.stop().unwrap();
}

#[tokio::test]
async fn a_slow_reader_is_cut_off() {
    let rig = Rig::with_anna(Arc::new(Memory::default())).await;
    let session = rig.sign_in(false).await.unwrap();
    let mut watch = rig.handle.watch_session(session).await.unwrap();
    for turn in 0..=FRAMES_MAX {
        let state = if turn % 2 == 0 {
            Requested::WorkOffline(String::new())
        } else {
            Requested::Available
        };
        rig.ask(Command::SetPresence { session, state })
            .await
            .unwrap();
    }
    let mut frames = told(&rig, &mut watch).await;
    assert!(matches!(frames.pop(), Some(WatchFrame::Lagged)));
    assert_eq!(frames.len(), FRAMES_MAX);
    rig.stop().unwrap();
}

#[tokio::test]
async fn a_takeover_that_could_not_be_written_leaves_the_old_session_as_it_was() {
    let store = Arc::new(Memory::default());
    let rig = Rig::with_anna(store.clone()).await;
    let session = rig.sign_in(false).await.unwrap();
    let mut watch = rig.handle.watch_session(session).await.unwrap();
    store.fail_next_commit(full_disk());
    assert!(rig.sign_in(true).await.is_err());
    let view = rig
        .handle
        .look(move |desk, now| desk.session(session, now))
        .await
        .unwrap();
    let view = view.expect("the session is still there");
    assert!(view.stream_attached && !view.in_grace);
    rig.mail(&[support()], 1).await.unwrap();
    assert!(matches!(
        told(&rig, &mut watch).await.as_slice(),
        [WatchFrame::Event(event)] if matches!(event.fact, Fact::OfferCreated { .. })
    ));
    assert_eq!(rig.handle.keys().agent_of_session(session), Some(anna()));
    rig.stop().unwrap();
}

#[tokio::test]
async fn what_is_refused_after_all_was_done_is_work_again() {
    let rig = Rig::with_anna(Arc::new(Memory::default())).await;
    let session = rig.sign_in(false).await.unwrap();
    let _watch = rig.handle.watch_session(session).await.unwrap();
    rig.mail(&[support()], 1).await.unwrap();
    rig.answer(session).await;
    let outbound = rig.submissions.next().await.unwrap().outbound;
    let complete = Command::CompleteWrapUp {
        session,
        interaction: outbound.interaction,
        notes: None,
        disposition: None,
        next: Some(Requested::WorkOffline(String::new())),
    };
    rig.ask(complete).await.unwrap();
    let open = async || {
        let open = rig.handle.look(|desk, _| {
            let open = desk.interactions().values().cloned();
            (open.collect::<Vec<_>>(), desk.cases().clone())
        });
        open.await.unwrap()
    };
    assert_eq!(open().await, (Vec::new(), BTreeMap::new()));

    // The desk holds neither the interaction nor its case any more.
    let refused = Outcome::Permanent {
        diagnostic: Diagnostic::ours("never"),
        refused: Vec::new(),
    };
    rig.submissions.finished(outbound.id, refused).await;
    let (again, cases) = open().await;
    let [again] = again.as_slice() else {
        panic!("{again:?}")
    };
    assert_eq!(again.state, State::Queued);
    assert_eq!(again.follows, Some(outbound.interaction));
    assert!(again.priority > 0);
    assert!(cases[&again.case].is_open());
    rig.stop().unwrap();
}

/// What is handed to the MTA is the message with the signatures of its domain's keys before it, and
/// the size that the MTA is told is that of both. Other domains' mail goes as it is.
#[tokio::test]
async fn what_leaves_is_signed() {
    let message = "From: Support <support@shop.example>\r\nSubject: Re: A question\r\n\r\nHey\r\n";
    for (domain, signed) in [("shop.example", true), ("other.example", false)] {
        let pem = dkim::generate_ed25519().unwrap();
        let key = dkim::Key::from_pem(domain, "2026a", pem.as_bytes()).unwrap();
        let mut settings = settings();
        settings.dkim = Arc::new(dkim::Keys::new(vec![key]));
        let store = Arc::new(Memory::default());
        let rig = Rig::set_up(store, settings).and_anna().await;
        let session = rig.sign_in(false).await.unwrap();
        let _watch = rig.handle.watch_session(session).await.unwrap();
        rig.mail(&[support()], 1).await.unwrap();
        let body = Content::Memory(Bytes::from_static(message.as_bytes()));
        rig.answer_with(session, body).await;
        let mut job = rig.submissions.next().await.unwrap();
        let mut sent = String::new();
        job.body.read_to_string(&mut sent).await.unwrap();
        let before = sent.strip_suffix(message).unwrap();
        assert_eq!(before.starts_with("DKIM-Signature: v=1;"), signed, "{sent}");
        assert_eq!(before.is_empty(), !signed, "{sent}");
        assert_eq!(job.outbound.size_bytes, sent.len() as u64);
        rig.stop().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_is_submitted_once_whatever_else_fails() {
    let store = Arc::new(Memory::default());
    let rig = Rig::with_anna(store.clone()).await;
    let session = rig.sign_in(false).await.unwrap();
    let _watch = rig.handle.watch_session(session).await.unwrap();
    rig.mail(&[support()], 1).await.unwrap();
    rig.answer(session).await;
    let job = rig.submissions.next().await.unwrap();
    let id = job.outbound.id;
    assert_eq!(job.outbound.attempts, 1);

    // The disk is full for a moment, once before the hand-over and once after.
    store.fail_next_commit(full_disk());
    assert!(rig.mail(&[support()], 2).await.is_err());
    rig.submissions.handed_over(id).await.unwrap();
    store.fail_next_commit(full_disk());
    assert!(rig.mail(&[support()], 3).await.is_err());
    let state = async || {
        let state =
            (rig.handle).look(move |desk, _| desk.spool().get(id).map(|outbound| outbound.state));
        state.await.unwrap()
    };
    assert_eq!(state().await, Some(DeliveryState::HandedOver));
    assert!(
        now_or_never(Box::pin(rig.submissions.next())).is_none(),
        "begun twice"
    );

    // Its end cannot be written at first, and is not forgotten.
    store.fail_next_commit(full_disk());
    let taken = Outcome::Accepted {
        reply: Diagnostic::ours("taken"),
        queue_id: Some("4XYZ".into()),
        refused: Vec::new(),
    };
    rig.submissions.finished(id, taken).await;
    assert_eq!(state().await, None);
    let outbound = rig.handle.outbound(id).await.unwrap().unwrap();
    assert_eq!(outbound.state, DeliveryState::Confirmed);
    assert_eq!(outbound.remote_queue_id.as_deref(), Some("4XYZ"));
    rig.stop().unwrap();
}

#[tokio::test]
async fn a_hand_over_that_could_not_be_written_is_none() {
    let store = Arc::new(Memory::default());
    let rig = Rig::with_anna(store.clone()).await;
    let session = rig.sign_in(false).await.unwrap();
    let _watch = rig.handle.watch_session(session).await.unwrap();
    rig.mail(&[support()], 1).await.unwrap();
    rig.answer(session).await;
    let id = rig.submissions.next().await.unwrap().outbound.id;
    store.fail_next_commit(full_disk());
    assert!(rig.submissions.handed_over(id).await.is_err());
    let later = Outcome::Temporary(Diagnostic::ours("held back"));
    rig.submissions.finished(id, later).await;
    let outbound = rig.handle.outbound(id).await.unwrap().unwrap();
    assert_eq!(outbound.state, DeliveryState::Deferred);
    rig.stop().unwrap();
}

#[tokio::test]
async fn a_new_process_finds_everything() {
    let store = Arc::new(Memory::default());
    let rig = Rig::with_anna(store.clone()).await;
    let session = rig.sign_in(false).await.unwrap();
    let token = rig.handle.keys().session_token(session);
    let watch = rig.handle.watch_session(session).await.unwrap();
    let (wrapping, _) = rig.mail(&[support()], 1).await.unwrap();
    rig.answer(session).await;
    let complete = Command::CompleteWrapUp {
        session,
        interaction: wrapping[0].interaction,
        notes: None,
        disposition: None,
        next: None,
    };
    rig.ask(complete).await.unwrap();
    let (offered, _) = rig.mail(&[support()], 2).await.unwrap();
    let (waiting, _) = rig.mail(&[support()], 3).await.unwrap();
    let before = rig.handle.look(|desk, _| desk.clone()).await.unwrap();
    rig.stop().unwrap();
    drop(watch);

    let rig = Rig::over(store.clone());
    assert_eq!(rig.handle.keys().session_of_token(&token), Some(session));
    assert_eq!(rig.handle.keys().agent_of_session(session), Some(anna()));
    let (after, now) = rig
        .handle
        .look(|desk, now| (desk.clone(), now))
        .await
        .unwrap();
    let view = after.session(session, now).unwrap();
    assert!(view.in_grace && !view.stream_attached);
    let line: Vec<_> = after.queues()[&support()].waiting().collect();
    assert_eq!(line, [offered[0].interaction, waiting[0].interaction]);
    for offer in before
        .offers()
        .values()
        .filter(|offer| offer.state.is_live())
    {
        let ended = OfferState::Rescinded(RescindCause::Restart);
        assert_eq!(after.offers()[&offer.id].state, ended);
    }
    // The answer that was on its way is begun again.
    assert_eq!(rig.submissions.next().await.unwrap().outbound.attempts, 1);
    rig.check(&store).await;
    let watch = rig.handle.watch_session(session).await.unwrap();
    assert_eq!(watch.snapshot.offers.len(), 1);
    rig.stop().unwrap();
}

#[tokio::test]
async fn figures_are_added_once_and_outlive_the_process() {
    let store = Arc::new(Memory::default());
    let rig = Rig::with_anna(store.clone()).await;
    let session = rig.sign_in(false).await.unwrap();
    let watch = rig.handle.watch_session(session).await.unwrap();
    rig.mail(&[support()], 1).await.unwrap();
    // A letter that arrives, and is offered, writes none.
    let written = || store.scan(keys::QUEUE_FIGURES, None, 9).unwrap();
    assert_eq!(written(), []);
    rig.answer(session).await;
    let before = written();
    store.fail_next_commit(full_disk());
    rig.mail(&[support()], 2).await.unwrap_err();
    assert!(written() == before);
    let (second, _) = rig.mail(&[support()], 2).await.unwrap();
    let dismiss = Command::Dismiss {
        interaction: second[0].interaction,
    };
    store.fail_next_commit(full_disk());
    rig.ask(dismiss.clone()).await.unwrap_err();
    assert!(written() == before, "counted, and did not happen");
    rig.ask(dismiss).await.unwrap();
    rig.mail(&[support()], 3).await.unwrap();
    rig.stop().unwrap();
    drop(watch);

    let rig = Rig::over(store);
    let overview = rig.handle.overview().await.unwrap();
    let stats = overview
        .queues
        .iter()
        .find(|stats| stats.queue == support());
    let today = stats.unwrap().today;
    let counted = (
        today.received,
        today.accepted,
        today.answered,
        today.abandoned,
    );
    assert_eq!(counted, (3, 1, 1, 1));
    let day = overview.queues[0].day;
    let asked = Asked {
        days: day..=day,
        of: None,
        after: None,
        limit: 9,
    };
    let listed = rig.handle.queue_figures(asked).await.unwrap();
    assert_eq!(listed, [(day, support(), today)]);
    let asked = Asked {
        days: day..=day,
        of: Some(anna()),
        after: None,
        limit: 9,
    };
    let agents = rig.handle.agent_figures(asked).await.unwrap();
    let [(_, who, figure)] = agents.as_slice() else {
        panic!("{agents:?}")
    };
    assert_eq!((who, figure.accepted, figure.answered), (&anna(), 1, 1));
    rig.stop().unwrap();
}

#[tokio::test]
async fn post_processing_that_ran_out_meanwhile_ends_once() {
    let store = Arc::new(Memory::default());
    let rig = Rig::with_anna(store.clone()).await;
    let session = rig.sign_in(false).await.unwrap();
    let watch = rig.handle.watch_session(session).await.unwrap();
    let (filings, _) = rig.mail(&[support()], 1).await.unwrap();
    rig.answer(session).await;
    rig.stop().unwrap();
    drop(watch);
    // An hour passes.
    let key = keys::interaction(filings[0].interaction);
    let mut found: postroom::desk::Interaction =
        record::decode(&store.get(&key).unwrap().unwrap()).unwrap();
    let State::WrappingUp {
        since, deadline, ..
    } = &mut found.state
    else {
        panic!("{:?}", found.state);
    };
    (*since, *deadline) = (Timestamp::ZERO, Some(Timestamp::from_millis(1)));
    let mut batch = Batch::default();
    batch.put(key, record::encode(&found));
    store.commit(vec![batch]).unwrap();

    let mut ends = 0;
    for _ in 0..2 {
        let rig = Rig::over(store.clone());
        let open = rig.handle.look(|desk, _| desk.interactions().len()).await;
        assert_eq!(open, Ok(0));
        let events = rig.handle.events(anna(), 0, u64::MAX).await.unwrap();
        let ended = |fact: &Fact| matches!(fact, Fact::WrapUpEnded { .. });
        ends = events.iter().filter(|event| ended(&event.fact)).count();
        rig.stop().unwrap();
    }
    assert_eq!(ends, 1);
}

#[tokio::test]
async fn an_engine_that_cannot_write_its_start_does_not_run() {
    let store = Arc::new(Memory::default());
    let rig = Rig::with_anna(store.clone()).await;
    let session = rig.sign_in(false).await.unwrap();
    let _watch = rig.handle.watch_session(session).await.unwrap();
    rig.mail(&[support()], 1).await.unwrap();
    rig.stop().unwrap();
    store.fail_next_commit(full_disk());
    let rig = Rig::over(store.clone());
    assert!(rig.engine.join().is_err());
    let rig = Rig::over(store.clone());
    rig.check(&store).await;
    rig.stop().unwrap();
}
