//! The submitter between a spool and a sink.

use std::sync::Mutex;

use tokio::sync::Notify;

use super::*;
use crate::outbound::message::DeliveryState;
use crate::outbound::sink::{Act, Sink, Stage};
use crate::outbound::spool::Spool;
use crate::outbound::spool::tests::message;
use crate::time::Timestamp;

const LETTER: &[u8] = b"Subject: hello\r\n\r\nDear customer\r\n";

/// An engine without a store: a spool, a clock that a test sets, and what has happened.
struct Desk {
    spool: Mutex<Spool>,
    now: Timestamp,
    started: Mutex<Vec<MessageId>>,
    states: Mutex<Vec<DeliveryState>>,
    changed: Notify,
}

impl Desk {
    fn new(messages: u64, at_once: usize) -> Arc<Self> {
        let mut spool = Spool::new(at_once);
        for sequence in 1..=messages {
            spool.insert(message(sequence)).unwrap();
        }
        Arc::new(Self {
            spool: Mutex::new(spool),
            now: message(1).created,
            started: Mutex::default(),
            states: Mutex::default(),
            changed: Notify::new(),
        })
    }

    /// Waits until so many attempts have ended, and tells how.
    async fn ended(&self, count: usize) -> Vec<DeliveryState> {
        loop {
            let changed = self.changed.notified();
            {
                let states = self.states.lock().unwrap();
                if states.len() >= count {
                    return states.clone();
                }
            }
            changed.await;
        }
    }
}

impl Spooler for Desk {
    async fn next(&self) -> Option<Job> {
        loop {
            let changed = self.changed.notified();
            {
                let mut spool = self.spool.lock().unwrap();
                let mut started = self.started.lock().unwrap();
                started.extend(spool.due(self.now));
                if let Some(id) = started.pop() {
                    let outbound = spool.get(id)?.clone();
                    return Some(Job::new(outbound, Bytes::from_static(LETTER)));
                }
            }
            changed.await;
        }
    }

    async fn handed_over(&self, id: MessageId) -> Result<(), NotMarked> {
        let marked = self.spool.lock().unwrap().handed_over(id);
        marked.map(|_| ()).map_err(|_| NotMarked)
    }

    async fn finished(&self, id: MessageId, outcome: Outcome) {
        let change = self.spool.lock().unwrap().finish(id, outcome, self.now);
        self.states
            .lock()
            .unwrap()
            .push(change.unwrap().outbound.state);
        self.changed.notify_waiters();
    }
}

async fn sink() -> (Sink, Arc<Settings>) {
    let sink = Sink::start("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let settings = Settings {
        port: sink.addr().port(),
        at_once: 2,
        ..Settings::default()
    };
    (sink, Arc::new(settings))
}

#[tokio::test]
async fn everything_due_is_submitted_once() {
    let (sink, settings) = sink().await;
    let desk = Desk::new(20, 2);
    let stop = CancellationToken::new();
    let running = tokio::spawn(run(Arc::clone(&desk), settings, stop.clone()));
    let states = desk.ended(20).await;
    assert!(
        states
            .iter()
            .all(|state| *state == DeliveryState::Confirmed)
    );
    stop.cancel();
    running.await.unwrap();
    assert_eq!(sink.received().len(), 20);
    assert!(desk.spool.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_stalled_submission_holds_up_no_other() {
    let (sink, settings) = sink().await;
    let reached = Arc::new(Notify::new());
    let go = Arc::new(Notify::new());
    sink.script(
        Stage::End,
        Act::Wait {
            reached: Arc::clone(&reached),
            go: Arc::clone(&go),
        },
    );
    let desk = Desk::new(10, 2);
    let stop = CancellationToken::new();
    let running = tokio::spawn(run(Arc::clone(&desk), settings, stop.clone()));
    reached.notified().await;
    assert_eq!(desk.ended(9).await.len(), 9);
    go.notify_one();
    assert_eq!(desk.ended(10).await.len(), 10);
    stop.cancel();
    running.await.unwrap();
    assert_eq!(sink.received().len(), 10);
}

#[tokio::test]
async fn stopping_cuts_off_what_does_not_end_and_leaves_it_marked() {
    let (sink, settings) = sink().await;
    let reached = Arc::new(Notify::new());
    sink.script(
        Stage::End,
        Act::Wait {
            reached: Arc::clone(&reached),
            go: Arc::new(Notify::new()),
        },
    );
    let desk = Desk::new(1, 2);
    let stop = CancellationToken::new();
    let running = tokio::spawn(run(Arc::clone(&desk), settings, stop.clone()));
    reached.notified().await;
    stop.cancel();
    // Nothing moves any more, so that the clock may run ahead to the end of the wait.
    tokio::time::pause();
    running.await.unwrap();
    let spool = desk.spool.lock().unwrap();
    let state = spool.get(message(1).id).unwrap().state;
    assert_eq!(state, DeliveryState::HandedOver);
    drop(spool);
    assert_eq!(sink.received(), []);
}
