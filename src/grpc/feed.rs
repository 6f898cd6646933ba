//! The feed of a case over the wire: in pages, as a stream, and the notes that people add.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status};

use super::access::Principal;
use super::convert::{agent_name, case_name, queue_name, time};
use super::form::Form;
use super::page::Page;
use super::pb::feed_entry::Item;
use super::pb::watch_case_response::Frame;
use super::pb::{ClosingReason, ReconnectAction};
use super::watch::{self, EXPIRED, Feed, Frames, Gone, HEARTBEAT};
use super::{Shared, convert, errors, events, pb, respond};
use crate::desk::{
    Answer, Case, Command, Direction, FeedEntry, Happening, Message, NOTE_BYTES_MAX,
};
use crate::engine::{EngineError, FeedItem, FeedPage, FeedPlace};
use crate::id::{InteractionId, MessageId};
use crate::mail::token::MainNumber;

/// Mails whose way a stream follows: the last that were sent. What comes back later than that is a
/// letter of its own.
const FOLLOWED_MAX: usize = 100;

/// How many items a stream reads at once.
const CHUNK: usize = 100;

/// How far a stream looks back, in milliseconds: what is written later may have its place before what
/// was sent.
const LOOK_BACK_MILLIS: u64 = 2000;

pub(super) async fn list(
    shared: &Shared,
    caller: &Principal,
    number: MainNumber,
    asked: pb::ListFeedEntriesRequest,
) -> Result<Response<pb::ListFeedEntriesResponse>, Status> {
    let mut form = Form::new();
    let filter = format!("{} {}", asked.parent, asked.newest_first);
    let (size, token) = (asked.page_size, asked.page_token.as_str());
    let page = Page::read(&mut form, caller, "ListFeedEntries", &filter, size, token)?;
    form.done(Some(()))?;
    let wanted = FeedPage {
        after: page.after(read_place)?,
        newest_first: asked.newest_first,
        limit: page.size + 1,
    };
    let (mut items, _) = (shared.handle.feed(number, wanted).await).map_err(errors::engine)?;
    let next_page_token = page.cut(&mut items, |(place, _)| write_place(*place));
    let mut feed_entries = Vec::with_capacity(items.len());
    for (place, item) in &items {
        feed_entries.push(entry(shared, number, *place, item).await?);
    }
    Ok(Response::new(pb::ListFeedEntriesResponse {
        feed_entries,
        next_page_token,
    }))
}

pub(super) async fn add_note(
    shared: &Shared,
    caller: &Principal,
    case: Case,
    mut asked: pb::AddNoteRequest,
) -> Result<Response<pb::AddNoteResponse>, Status> {
    let id = std::mem::take(&mut asked.request_id);
    let mut form = Form::new();
    let key = form.request(&caller.subject, "AddNote", id, &asked);
    let text = form.text("text", asked.text, NOTE_BYTES_MAX);
    if text.as_ref().is_some_and(|text| text.trim().is_empty()) {
        form.wrong("text", "is empty");
    }
    let (key, text) = form.done((key, text))?;
    let case = Box::new(case);
    let command = Command::AddNote { case, text };
    let done = shared.handle.command_by(caller.actor(), command, key).await;
    let done = done.map_err(errors::engine)?;
    let Answer::Noted(noted) = done.answer else {
        return Err(errors::internal("AddNote was not answered by a note"));
    };
    let place = (noted.time.as_millis(), true, noted.id.to_bytes());
    let feed_entry = Some(other(noted.case, place, &noted));
    Ok(respond(pb::AddNoteResponse { feed_entry }, done.replayed))
}

pub(super) type CaseStream = ReceiverStream<Result<pb::WatchCaseResponse, Status>>;

/// Opens the stream of a case that its caller may read.
pub(super) async fn watch(
    shared: &Arc<Shared>,
    caller: Arc<Principal>,
    number: MainNumber,
    asked: pb::WatchCaseRequest,
) -> Result<Response<CaseStream>, Status> {
    watch::unless_draining(shared)?;
    let mut form = Form::new();
    let after = if asked.after.is_empty() {
        Some(None)
    } else {
        let place = read_name(number, &asked.after);
        if place.is_none() {
            form.wrong("after", "must be the name of an entry of this case");
        }
        place.map(Some)
    };
    let after = form.done(after)?;
    let permit = shared.streams.admit(&caller)?;
    // What is told of mail on its way names no case, so the interactions come first.
    let known = FeedPage {
        after,
        newest_first: false,
        limit: 0,
    };
    let (_, interactions) = (shared.handle.feed(number, known).await).map_err(errors::engine)?;
    let interactions = interactions.into_iter().collect::<BTreeSet<_>>();
    let news = shared.handle.watch_case(number, interactions).await;
    let news = news.map_err(errors::engine)?;
    let (out, frames) = mpsc::channel(watch::FRAMES_AHEAD);
    let reader = Reader {
        feed: Feed::new(Arc::clone(shared), caller, out, 0, permit),
        shared: Arc::clone(shared),
        number,
        after,
        recent: BTreeSet::new(),
        sent: 0,
        followed: BTreeMap::new(),
    };
    tokio::spawn(reader.follow(news));
    Ok(Response::new(ReceiverStream::new(frames)))
}

struct Onlooker;

impl Frames for Onlooker {
    type Frame = pb::WatchCaseResponse;

    fn heartbeat(heartbeat: pb::StreamHeartbeat) -> Self::Frame {
        frame(Frame::Heartbeat(heartbeat))
    }

    fn closing(closing: pb::StreamClosing) -> Self::Frame {
        frame(Frame::Closing(closing))
    }
}

const fn frame(frame: Frame) -> pb::WatchCaseResponse {
    pb::WatchCaseResponse { frame: Some(frame) }
}

/// One stream of a case.
struct Reader {
    feed: Feed<Onlooker>,
    shared: Arc<Shared>,
    number: MainNumber,
    after: Option<FeedPlace>,
    /// What was sent and is looked at again.
    recent: BTreeSet<FeedPlace>,
    sent: u64,
    /// Mails on their way out, as they were sent last.
    followed: BTreeMap<MessageId, pb::FeedEntry>,
}

/// Why a stream stops before its reader does.
enum Stop {
    Gone,
    Failed(EngineError),
}

impl From<Gone> for Stop {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl From<EngineError> for Stop {
    fn from(error: EngineError) -> Self {
        Self::Failed(error)
    }
}

impl Reader {
    async fn follow(mut self, mut news: tokio::sync::watch::Receiver<()>) {
        let drain = self.shared.drain.clone();
        let (reason, action) = loop {
            news.mark_unchanged();
            match self.catch_up().await {
                Ok(()) => {}
                Err(Stop::Gone) => return,
                Err(Stop::Failed(error)) => {
                    tracing::warn!(%error, "the feed of a case cannot be read");
                    break (ClosingReason::ServerDraining, ReconnectAction::Resume);
                }
            }
            tokio::select! {
                biased;
                () = self.feed.closed() => return,
                () = drain.cancelled() => {
                    break (ClosingReason::ServerDraining, ReconnectAction::Resume);
                }
                changed = news.changed() => {
                    // The engine has stopped.
                    if changed.is_err() {
                        break (ClosingReason::ServerDraining, ReconnectAction::Resume);
                    }
                }
                () = tokio::time::sleep(HEARTBEAT) => {
                    if self.feed.beat().await.is_err() {
                        return;
                    }
                }
            }
            if !self.feed.credential_is_good() {
                break EXPIRED;
            }
        };
        self.feed.close(reason, action).await;
    }

    /// Sends all that is new, and what went on of what is on its way.
    async fn catch_up(&mut self) -> Result<(), Stop> {
        let followed: Vec<MessageId> = self.followed.keys().copied().collect();
        for id in followed {
            let outbound = self.shared.handle.outbound(id).await?;
            let now = outbound.as_ref().map(convert::delivery);
            let Some(known) = self.followed.get_mut(&id) else {
                continue;
            };
            if let Some(Item::Message(mail)) = &mut known.item
                && mail.delivery != now
            {
                mail.delivery = now;
                let again = known.clone();
                self.send(again).await?;
            }
        }
        let begin = (self.after)
            .map(|(millis, ..)| (millis.saturating_sub(LOOK_BACK_MILLIS), false, [0; 16]));
        self.recent.retain(|place| Some(*place) > begin);
        let mut after = begin;
        loop {
            let page = FeedPage {
                after,
                newest_first: false,
                limit: CHUNK,
            };
            let (items, _) = self.shared.handle.feed(self.number, page).await?;
            for (place, item) in &items {
                after = Some(*place);
                if !self.recent.insert(*place) {
                    continue;
                }
                self.after = self.after.max(after);
                let entry = entry(&self.shared, self.number, *place, item).await;
                // What cannot be read now is read by who lists the feed.
                let Ok(entry) = entry else { continue };
                if let FeedItem::Letter(mail, _) = item
                    && mail.direction == Direction::Outbound
                {
                    self.followed.insert(mail.id, entry.clone());
                    if self.followed.len() > FOLLOWED_MAX {
                        self.followed.pop_first();
                    }
                }
                self.send(entry).await?;
            }
            if items.len() < CHUNK {
                return Ok(());
            }
        }
    }

    async fn send(&mut self, entry: pb::FeedEntry) -> Result<(), Stop> {
        self.sent += 1;
        self.feed.saw(self.sent);
        Ok(self.feed.send(frame(Frame::FeedEntry(entry))).await?)
    }
}

/// An item as clients see it.
async fn entry(
    shared: &Shared,
    number: MainNumber,
    place: FeedPlace,
    item: &FeedItem,
) -> Result<pb::FeedEntry, Status> {
    match item {
        FeedItem::Entry(entry) => Ok(other(number, place, entry)),
        FeedItem::Letter(mail, interaction) => {
            letter(shared, number, place, mail, *interaction).await
        }
    }
}

async fn letter(
    shared: &Shared,
    number: MainNumber,
    place: FeedPlace,
    mail: &Message,
    interaction: InteractionId,
) -> Result<pb::FeedEntry, Status> {
    let message = shared.basic_message(mail, interaction).await?;
    Ok(pb::FeedEntry {
        name: write_name(number, place),
        event_time: Some(time(mail.time)),
        actor: None,
        interaction: format!("interactions/{interaction}"),
        item: Some(Item::Message(message)),
    })
}

fn other(number: MainNumber, place: FeedPlace, entry: &FeedEntry) -> pb::FeedEntry {
    let item = match &entry.happening {
        Happening::Note(text) => Item::Note(pb::FeedNote { text: text.clone() }),
        Happening::Assigned { agent, cause } => Item::Assigned(pb::FeedAssigned {
            agent: agent_name(agent),
            cause: convert::assign_cause(*cause).into(),
        }),
        Happening::Unassigned {
            agent,
            reason,
            queue,
            cancelled,
        } => Item::Unassigned(pb::FeedUnassigned {
            agent: agent.as_ref().map_or_else(String::new, agent_name),
            reason: convert::unassign_reason(*reason).into(),
            queue: queue_name(queue),
            cancel_cause: cancelled
                .map_or(pb::CancelCause::Unspecified, convert::cancel_cause)
                .into(),
        }),
        Happening::Parked { agent, until } => Item::Parked(pb::FeedParked {
            agent: agent_name(agent),
            until_time: Some(time(*until)),
        }),
        Happening::Queued(queue) => Item::Queued(pb::FeedQueued {
            queue: queue_name(queue),
        }),
        Happening::Overflowed { from, to } => Item::Overflowed(pb::FeedOverflowed {
            from_queue: queue_name(from),
            to_queue: queue_name(to),
        }),
        Happening::Closed {
            outcome,
            disposition,
            notes,
            wrap_up,
        } => Item::Closed(pb::FeedClosed {
            outcome: convert::outcome(*outcome).into(),
            disposition_code: disposition.clone(),
            notes: notes.clone(),
            wrap_up_outcome: wrap_up
                .map_or(pb::WrapUpOutcome::Unspecified, convert::wrap_up_outcome)
                .into(),
        }),
        Happening::Filed => Item::Filed(pb::FeedFiled {}),
        Happening::Merged(case) => Item::Merged(pb::FeedMerged {
            case: case_name(*case),
        }),
    };
    let interaction = entry.interaction.map(|id| format!("interactions/{id}"));
    pb::FeedEntry {
        name: write_name(number, place),
        event_time: Some(time(entry.time)),
        actor: Some(events::actor(&entry.actor)),
        interaction: interaction.unwrap_or_default(),
        item: Some(item),
    }
}

/// A place in a page token.
fn write_place((millis, other, id): FeedPlace) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(25);
    bytes.extend(millis.to_be_bytes());
    bytes.push(u8::from(other));
    bytes.extend(id);
    bytes
}

fn read_place(bytes: &[u8]) -> Option<FeedPlace> {
    let (millis, rest) = bytes.split_first_chunk()?;
    let (other, id) = rest.split_first()?;
    let other = match other {
        0 => false,
        1 => true,
        _ => return None,
    };
    Some((u64::from_be_bytes(*millis), other, id.try_into().ok()?))
}

/// The name of an entry: the id of what it is, with a letter before it that keeps the order, `l` for
/// letters and `m` for what is none.
fn write_name(number: MainNumber, (millis, other, id): FeedPlace) -> String {
    let id = MessageId::from_bytes(id);
    let kind = if other { 'm' } else { 'l' };
    format!("{}/entries/{millis:014}{kind}{id}", case_name(number))
}

fn read_name(number: MainNumber, name: &str) -> Option<FeedPlace> {
    let entry = name
        .strip_prefix(&case_name(number))?
        .strip_prefix("/entries/")?;
    let (millis, rest) = entry.split_at_checked(14)?;
    let (kind, id) = rest.split_at_checked(1)?;
    let other = match kind {
        "l" => false,
        "m" => true,
        _ => return None,
    };
    let id: MessageId = id.parse().ok()?;
    Some((millis.parse().ok()?, other, id.to_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    #[test]
    fn places_come_back_from_names_and_tokens_in_their_order() {
        let number = MainNumber::new(7).unwrap();
        let id = |low| MessageId::new(Timestamp::from_millis(1_700_000_000_000), low).to_bytes();
        let places = [
            (1_700_000_000_000, false, id(9)),
            (1_700_000_000_000, true, id(3)),
            (1_700_000_000_000, true, id(4)),
            (1_700_000_000_001, false, id(1)),
        ];
        let names: Vec<_> = places.map(|place| write_name(number, place)).into();
        assert!(names.is_sorted());
        for (place, name) in places.into_iter().zip(&names) {
            assert_eq!(read_name(number, name), Some(place));
            assert_eq!(read_place(&write_place(place)), Some(place));
        }
        let other = MainNumber::new(8).unwrap();
        for wrong in [
            "",
            "cases/",
            &names[0][1..],
            &names[0][..40],
            "cases/7/entries/é",
        ] {
            assert_eq!(read_name(number, wrong), None, "{wrong}");
        }
        assert_eq!(read_name(other, &names[0]), None);
        assert_eq!(read_place(&[0; 24]), None);
        assert_eq!(read_place(&[2; 25]), None);
    }
}
