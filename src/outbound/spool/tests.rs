//! Tables and laws of the spool.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::id::InteractionId;
use crate::outbound::message::{Envelope, LIFETIME};

const START: Timestamp = Timestamp::from_millis(1_795_000_000_000);

/// A message to three people, ready at [`START`].
pub(in crate::outbound) fn message(sequence: u64) -> Outbound {
    Outbound::new(
        id(sequence),
        InteractionId::new(START, sequence),
        Some("anna".parse().unwrap()),
        format!("<r.{sequence}@shop.example>"),
        Envelope {
            mail_from: "b+token@shop.example".to_owned(),
            recipients: ["a", "b", "c"]
                .map(|name| format!("{name}@x.example"))
                .into(),
        },
        1000,
        START,
    )
}

fn id(sequence: u64) -> MessageId {
    MessageId::new(START, sequence)
}

fn later(seconds: u64) -> Timestamp {
    START + Duration::from_secs(seconds)
}

fn said(code: u16) -> Diagnostic {
    Diagnostic::new(code, None, "said")
}

fn accepted() -> Outcome {
    Outcome::Accepted {
        reply: said(250),
        queue_id: Some("4ZbC".to_owned()),
        refused: Vec::new(),
    }
}

fn permanent() -> Outcome {
    Outcome::Permanent {
        diagnostic: said(550),
        refused: Vec::new(),
    }
}

/// A spool with message 1 brought into the state that a row names.
fn given(name: &str) -> Spool {
    let mut spool = Spool::new(4);
    spool.insert(message(1)).unwrap();
    if name == "waiting" {
        return spool;
    }
    assert_eq!(spool.due(START), [id(1)]);
    match name {
        "in flight" => {}
        "deferred" => {
            spool
                .finish(id(1), Outcome::Temporary(said(451)), START)
                .unwrap();
        }
        "handed over" => {
            spool.handed_over(id(1)).unwrap();
        }
        "unconfirmed" => {
            spool.handed_over(id(1)).unwrap();
            spool.finish(id(1), Outcome::Lost(said(0)), START).unwrap();
        }
        "confirmed" => {
            spool.handed_over(id(1)).unwrap();
            spool.finish(id(1), accepted(), START).unwrap();
        }
        "refused" => {
            spool.finish(id(1), permanent(), START).unwrap();
        }
        _ => panic!("no such state: {name}"),
    }
    spool
}

fn apply(spool: &mut Spool, event: &str) -> Result<Change, SpoolError> {
    match event {
        "hand over" => spool.handed_over(id(1)),
        "accepted" => spool.finish(id(1), accepted(), START),
        "temporary" => spool.finish(id(1), Outcome::Temporary(said(451)), START),
        "permanent" => spool.finish(id(1), permanent(), START),
        "lost" => spool.finish(id(1), Outcome::Lost(said(0)), START),
        "resend" => spool.resend(id(1), START),
        _ => panic!("no such event: {event}"),
    }
}

#[test]
fn every_state_and_event() {
    let table = "
        given       | hand over   | accepted  | temporary | permanent | lost        | resend
        waiting     | idle        | idle      | idle      | idle      | idle        | wrong
        in flight   | handed over | wrong     | deferred  | refused   | wrong       | wrong
        handed over | wrong       | confirmed | deferred  | refused   | unconfirmed | wrong
        deferred    | idle        | idle      | idle      | idle      | idle        | wrong
        unconfirmed | idle        | idle      | idle      | idle      | idle        | ready
        confirmed   | idle        | idle      | idle      | idle      | idle        | unknown
        refused     | idle        | idle      | idle      | idle      | idle        | unknown
    ";
    let mut rows = table
        .lines()
        .map(|line| line.split('|').map(str::trim).collect::<Vec<_>>())
        .filter(|row| row.len() > 1);
    let head = rows.next().unwrap();
    for row in rows {
        for (event, expected) in head.iter().zip(&row).skip(1) {
            let mut spool = given(row[0]);
            let before = spool.get(id(1)).cloned();
            let result = apply(&mut spool, event);
            let found = match &result {
                Ok(change) => change.outbound.state.to_string(),
                Err(SpoolError::NotInFlight) => "idle".to_owned(),
                Err(SpoolError::Unknown) => "unknown".to_owned(),
                Err(SpoolError::Transition(_)) => "wrong".to_owned(),
                Err(error) => error.to_string(),
            };
            assert_eq!(found, *expected, "{} × {event}", row[0]);
            if result.is_err() {
                assert_eq!(spool.get(id(1)).cloned(), before, "{} × {event}", row[0]);
            }
        }
    }
}

#[test]
fn what_each_recipient_got() {
    let mut spool = given("handed over");
    let refused = vec![RecipientRefusal {
        address: "b@x.example".to_owned(),
        diagnostic: said(550),
    }];
    let outcome = Outcome::Accepted {
        reply: said(250),
        queue_id: Some("4ZbC".to_owned()),
        refused,
    };
    let change = spool.finish(id(1), outcome, START).unwrap();
    let states: Vec<_> = change
        .outbound
        .recipients
        .into_iter()
        .map(|recipient| recipient.state)
        .collect();
    assert_eq!(
        states,
        [
            RecipientState::Accepted,
            RecipientState::Refused(said(550)),
            RecipientState::Accepted
        ]
    );
    assert_eq!(change.outbound.remote_queue_id.as_deref(), Some("4ZbC"));
    assert!(spool.is_empty());
}

#[test]
fn waits_double_and_stay_within_their_bounds() {
    for (attempt, seconds) in [
        (0, 15),
        (1, 15),
        (2, 30),
        (3, 60),
        (4, 120),
        (8, 1920),
        (9, 3600),
        (1000, 3600),
        (u32::MAX, 3600),
    ] {
        let base = Duration::from_secs(seconds);
        let waits: Vec<_> = (1..100).map(|n| retry_wait(id(n), attempt)).collect();
        assert!(
            waits
                .iter()
                .all(|wait| *wait >= base && *wait <= base / 4 * 5)
        );
        assert!(waits.iter().all(|wait| *wait <= longest_wait()));
        let different: BTreeSet<_> = waits.iter().collect();
        assert!(different.len() > 80, "jitter spreads them: {different:?}");
        assert_eq!(retry_wait(id(1), attempt), waits[0]);
    }
}

#[test]
fn a_message_is_tried_until_its_deadline_and_then_refused() {
    let mut spool = Spool::new(1);
    spool.insert(message(1)).unwrap();
    let mut attempts = 0;
    let end = loop {
        let now = spool.next_deadline().unwrap();
        assert_eq!(spool.due(now), [id(1)]);
        attempts += 1;
        let change = spool
            .finish(id(1), Outcome::Temporary(said(451)), now)
            .unwrap();
        assert_eq!(change.outbound.attempts, attempts);
        if change.outbound.state == DeliveryState::Refused {
            assert_eq!(
                change.outbound.recipients[2].state,
                RecipientState::Refused(said(451))
            );
            break now;
        }
        assert!(spool.next_deadline().unwrap() > now);
    };
    assert_eq!(
        end,
        START + LIFETIME,
        "the last attempt falls on the deadline"
    );
    assert!((100..150).contains(&attempts), "{attempts} attempts");
    assert!(spool.is_empty());
}

#[test]
fn no_more_than_so_many_at_once_and_the_earliest_first() {
    let mut spool = Spool::new(2);
    for (sequence, seconds) in [(1, 30), (2, 10), (3, 20)] {
        let mut message = message(sequence);
        message.next_attempt = Some(later(seconds));
        spool.insert(message).unwrap();
    }
    assert_eq!(spool.next_deadline(), Some(later(10)));
    assert_eq!(spool.due(START), []);
    assert_eq!(spool.due(later(60)), [id(2), id(3)]);
    assert_eq!(spool.next_deadline(), None, "no room");
    assert_eq!(spool.due(later(60)), []);
    spool.finish(id(3), permanent(), later(61)).unwrap();
    assert_eq!(spool.next_deadline(), Some(later(30)));
    assert_eq!(spool.due(later(61)), [id(1)]);
}

#[test]
fn a_restart_keeps_what_was_stored() {
    let mut records = Vec::new();
    for (sequence, state) in (1..).zip(DeliveryState::ALL) {
        let mut message = message(sequence);
        message.state = state;
        message.next_attempt = match state {
            DeliveryState::Ready => Some(later(5)),
            // The clock stood in another year when this was written.
            DeliveryState::Deferred => Some(later(400 * 24 * 3600)),
            DeliveryState::HandedOver
            | DeliveryState::Confirmed
            | DeliveryState::Unconfirmed
            | DeliveryState::Refused
            | DeliveryState::Cancelled => None,
        };
        records.push(message);
    }
    let (mut spool, changes) = Spool::restore(records, START, 4);
    let found: Vec<_> = spool
        .iter()
        .map(|message| message.state.to_string())
        .collect();
    assert_eq!(found, ["ready", "unconfirmed", "deferred", "unconfirmed"]);
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].from, DeliveryState::HandedOver);
    assert_eq!(changes[0].outbound.state, DeliveryState::Unconfirmed);
    assert_eq!(spool.get(id(2)), Some(&changes[0].outbound));
    assert_eq!(spool.due(later(5)), [id(1)]);
    assert_eq!(spool.due(later(4500)), [id(4)]);
}

#[test]
fn what_was_not_tried_may_be_taken_back() {
    let held = || message(1).hold(Duration::from_secs(20));
    let mut spool = Spool::new(1);
    spool.insert(held()).unwrap();
    assert_eq!(spool.due(later(19)), []);
    // Whatever is stored of it at this moment.
    let (restored, changes) = Spool::restore(spool.iter().cloned().collect(), later(19), 1);
    assert_eq!(changes, []);
    for mut spool in [spool, restored] {
        let change = spool.cancel(id(1), later(19)).unwrap();
        assert_eq!(change.from, DeliveryState::Ready);
        assert_eq!(change.outbound.state, DeliveryState::Cancelled);
        assert!(spool.is_empty());
        assert_eq!(spool.due(later(99)), []);
        assert_eq!(spool.cancel(id(1), later(19)), Err(SpoolError::Unknown));
        let again = spool.readmit(change.outbound.clone(), later(30));
        assert!(matches!(again, Err(SpoolError::Transition(_))));
        assert!(Spool::restore(vec![change.outbound], START, 1).0.is_empty());
    }

    // Its time is over, also while nothing is tried.
    let state = DeliveryState::Ready;
    let late = Err(TransitionError { state }.into());
    let mut spool = Spool::new(1);
    spool.insert(held()).unwrap();
    assert_eq!(spool.cancel(id(1), later(20)), late);
    assert_eq!(spool.due(later(20)), [id(1)]);
    // A clock that was set back makes nothing of what is under way, nor of what is sent again.
    assert_eq!(spool.cancel(id(1), later(10)), late);
    spool.handed_over(id(1)).unwrap();
    spool
        .finish(id(1), Outcome::Lost(said(0)), later(21))
        .unwrap();
    spool.resend(id(1), later(30)).unwrap();
    assert_eq!(spool.cancel(id(1), later(29)), late);
    assert_eq!(spool.due(later(30)), [id(1)]);
}

#[test]
fn what_may_come_in() {
    let mut spool = given("deferred");
    assert_eq!(spool.insert(message(1)), Err(SpoolError::Known));
    let mut handed_over = message(2);
    handed_over.state = DeliveryState::HandedOver;
    assert!(matches!(
        spool.insert(handed_over),
        Err(SpoolError::Transition(_))
    ));

    let mut refused = message(2);
    refused.state = DeliveryState::Refused;
    refused.attempts = 9;
    refused.recipients[0].state = RecipientState::Refused(said(550));
    let now = later(99);
    let change = spool.readmit(refused, now).unwrap();
    assert_eq!(change.outbound.deadline, now + LIFETIME);
    assert_eq!(change.outbound.attempts, 0);
    assert_eq!(change.outbound.recipients[0].state, RecipientState::Waiting);
    assert!(matches!(
        spool.readmit(message(3), now),
        Err(SpoolError::Transition(_))
    ));
}

/// One thing that happens to a spool and its store.
#[derive(Debug, Clone)]
enum Step {
    Wait(u64),
    Due,
    HandOver(u64),
    Finish(u64, u8),
    Resend(u64),
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0u64..5000).prop_map(Step::Wait),
        Just(Step::Due),
        Just(Step::Due),
        (1u64..4).prop_map(Step::HandOver),
        (1u64..4).prop_map(Step::HandOver),
        (1u64..4, 0u8..4).prop_map(|(n, end)| Step::Finish(n, end)),
        (1u64..4, 0u8..4).prop_map(|(n, end)| Step::Finish(n, end)),
        (1u64..4).prop_map(Step::Resend),
        Just(Step::Crash),
    ];
    proptest::collection::vec(step, 0..80)
}

proptest! {
    /// Whatever crashes and retries come between: a dot that was perhaps heard is followed by
    /// another only on a person's word, and no message is said to be accepted twice.
    #[test]
    fn one_id_is_taken_once(steps in steps()) {
        let mut now = START;
        let mut spool = Spool::new(2);
        let mut stored = BTreeMap::new();
        let mut perhaps_taken = BTreeMap::<MessageId, u32>::new();
        let mut accepted_count = BTreeMap::<MessageId, u32>::new();
        let mut resent = BTreeMap::<MessageId, u32>::new();
        for sequence in 1..4 {
            spool.insert(message(sequence)).unwrap();
            stored.insert(id(sequence), message(sequence));
        }
        for step in steps {
            let change = match step {
                Step::Wait(seconds) => {
                    now = now + Duration::from_secs(seconds);
                    None
                }
                Step::Due => {
                    spool.due(now);
                    prop_assert!(spool.next_deadline().is_none_or(|next| next > now));
                    None
                }
                Step::HandOver(n) => {
                    let change = spool.handed_over(id(n)).ok();
                    if change.is_some() {
                        *perhaps_taken.entry(id(n)).or_default() += 1;
                    }
                    change
                }
                Step::Finish(n, end) => {
                    let outcome = match end {
                        0 => accepted(),
                        1 => Outcome::Temporary(said(451)),
                        2 => permanent(),
                        _ => Outcome::Lost(said(0)),
                    };
                    let was_handed_over =
                        spool.get(id(n)).is_some_and(|m| m.state == DeliveryState::HandedOver);
                    let change = spool.finish(id(n), outcome, now).ok();
                    if change.is_some() && end == 0 {
                        *accepted_count.entry(id(n)).or_default() += 1;
                    }
                    if change.is_some() && was_handed_over && (end == 1 || end == 2) {
                        // The MTA said that it did not take it.
                        *perhaps_taken.entry(id(n)).or_default() -= 1;
                    }
                    change
                }
                Step::Resend(n) => {
                    let change = spool.resend(id(n), now).ok();
                    if change.is_some() {
                        *resent.entry(id(n)).or_default() += 1;
                    }
                    change
                }
                Step::Crash => {
                    let (restored, changes) =
                        Spool::restore(stored.values().cloned().collect(), now, 2);
                    spool = restored;
                    for change in changes {
                        stored.insert(change.outbound.id, change.outbound);
                    }
                    None
                }
            };
            if let Some(change) = change {
                stored.insert(change.outbound.id, change.outbound);
            }
            for sequence in 1..4 {
                let dots = perhaps_taken.get(&id(sequence)).copied().unwrap_or(0);
                let resends = resent.get(&id(sequence)).copied().unwrap_or(0);
                prop_assert!(dots <= 1 + resends);
                prop_assert!(accepted_count.get(&id(sequence)).copied().unwrap_or(0) <= 1);
            }
        }
        // What is not settled is still there.
        for (id, record) in &stored {
            prop_assert_eq!(spool.get(*id).is_some(), !record.state.is_settled());
        }
    }
}
