//! Every key of the store, on one page.
//!
//! A key is the noun in the singular, a slash, and the id; ids sort as time does. Markers (keys
//! without a value) list what is unfinished, so that a start does not read the whole past.
//!
//! | key | value |
//! |---|---|
//! | `counters` | the desk's counters |
//! | `secret/NAME` | key material of this installation |
//! | `log` | the id of the event logs: new with each new store |
//! | `agent/SLUG` | an agent |
//! | `key/ID` | an API key |
//! | `article/SLUG` | an article of the knowledge base |
//! | `session/ID` | an open session |
//! | `figure/q/DAY QUEUE` | what was done in a queue on a day |
//! | `figure/a/DAY SLUG` | what an agent did on a day |
//! | `pause/QUEUE` | that a queue is paused |
//! | `offer/ID` | an offer that is live or ended not long ago |
//! | `interaction/ID` | an interaction |
//! | `open/ID` | marks an interaction that is not closed |
//! | `case/SERIAL` | a case |
//! | `message/ID` | a message; its bytes are the body of the same id |
//! | `dossier/ID` | what was found out about a message |
//! | `clue/DIGEST MESSAGE` | the case of a message, by what later letters may name it with |
//! | `thread/INTERACTION MESSAGE` | marks a message of an interaction |
//! | `feed/SERIAL ENTRY` | an entry in the feed of a case |
//! | `draft/INTERACTION` | what an agent has written for it and not sent |
//! | `upload/INTERACTION ID` | a file that an agent attaches; its bytes are a file of `uploads/` |
//! | `outbound/ID` | an outbound message |
//! | `spool/ID` | marks an outbound message that is not settled |
//! | `acknowledged/QUEUE 00 ADDRESS` | a sender whom the queue has told that a letter arrived |
//! | `suppressed/ADDRESS` | an address that is not written to for a while, and why |
//! | `event/SLUG 00 NUMBER` | an entry of an agent's event log |
//! | `request/DIGEST` | what a request id was answered |
//! | `delivery/DIGEST` | what became of a letter, by its fingerprint |
//! | `due/TIME KEY` | marks a `request`, `delivery`, `acknowledged` or `suppressed` that is forgotten then; further ones in the value |

use crate::desk::Day;
use crate::id::{
    AgentId, ArticleId, AttachmentId, EntryId, InteractionId, KeyId, MessageId, OfferId, QueueId,
    SessionId,
};
use crate::mail::threading::ClueKey;
use crate::mail::token::MainNumber;
use crate::time::Timestamp;

/// The desk's counters.
pub const COUNTERS: &[u8] = b"counters";
/// The id of the event logs.
pub const LOG: &[u8] = b"log";

/// All agents.
pub const AGENTS: &[u8] = b"agent/";
/// All API keys.
pub const KEYS: &[u8] = b"key/";
/// All articles.
pub const ARTICLES: &[u8] = b"article/";
/// All open sessions.
pub const SESSIONS: &[u8] = b"session/";
/// All interactions.
pub const INTERACTIONS: &[u8] = b"interaction/";
/// All remembered offers.
pub const OFFERS: &[u8] = b"offer/";
/// All figures of queues, by day.
pub const QUEUE_FIGURES: &[u8] = b"figure/q/";
/// All figures of agents, by day.
pub const AGENT_FIGURES: &[u8] = b"figure/a/";
/// All pauses of queues.
pub const PAUSES: &[u8] = b"pause/";
/// Marks of all interactions that are not closed.
pub const OPEN: &[u8] = b"open/";
/// All saved drafts.
pub const DRAFTS: &[u8] = b"draft/";
/// All files that are being attached.
pub const UPLOADS: &[u8] = b"upload/";
/// Marks of all outbound messages that are not settled.
pub const SPOOL: &[u8] = b"spool/";
/// Marks of all that is to be forgotten, by time.
pub const DUE: &[u8] = b"due/";
/// What request ids were answered.
pub const REQUESTS: &[u8] = b"request/";
/// What became of letters.
pub const DELIVERIES: &[u8] = b"delivery/";

fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// Key material by name.
#[must_use]
pub fn secret(name: &str) -> Vec<u8> {
    join(&[b"secret/", name.as_bytes()])
}

/// An agent.
#[must_use]
pub fn agent(id: &AgentId) -> Vec<u8> {
    join(&[AGENTS, id.as_str().as_bytes()])
}

/// An API key.
#[must_use]
pub fn key(id: KeyId) -> Vec<u8> {
    join(&[KEYS, &id.to_bytes()])
}

/// An article.
#[must_use]
pub fn article(id: &ArticleId) -> Vec<u8> {
    join(&[ARTICLES, id.as_str().as_bytes()])
}

/// An open session.
#[must_use]
pub fn session(id: SessionId) -> Vec<u8> {
    join(&[SESSIONS, &id.to_bytes()])
}

/// What was done in a queue on a day.
#[must_use]
pub fn queue_figure(day: Day, queue: &QueueId) -> Vec<u8> {
    figure(QUEUE_FIGURES, day, queue.as_str())
}

/// What an agent did on a day.
#[must_use]
pub fn agent_figure(day: Day, agent: &AgentId) -> Vec<u8> {
    figure(AGENT_FIGURES, day, agent.as_str())
}

/// What belongs to a slug on a day, below [`QUEUE_FIGURES`] or [`AGENT_FIGURES`]. Without a slug,
/// what stands before all of the day.
#[must_use]
pub fn figure(of: &[u8], day: Day, slug: &str) -> Vec<u8> {
    join(&[of, &day.number().to_be_bytes(), slug.as_bytes()])
}

/// The day and the slug that a key of [`figure`] names.
#[must_use]
pub fn figured<'a>(of: &[u8], key: &'a [u8]) -> Option<(Day, &'a str)> {
    let (day, slug) = key.strip_prefix(of)?.split_first_chunk::<4>()?;
    let day = Day::from_number(u32::from_be_bytes(*day));
    Some((day, std::str::from_utf8(slug).ok()?))
}

/// That a queue is paused.
#[must_use]
pub fn pause(queue: &QueueId) -> Vec<u8> {
    join(&[PAUSES, queue.as_str().as_bytes()])
}

/// A remembered offer.
#[must_use]
pub fn offer(id: OfferId) -> Vec<u8> {
    join(&[OFFERS, &id.to_bytes()])
}

/// An interaction.
#[must_use]
pub fn interaction(id: InteractionId) -> Vec<u8> {
    join(&[INTERACTIONS, &id.to_bytes()])
}

/// Marks an interaction that is not closed.
#[must_use]
pub fn open(id: InteractionId) -> Vec<u8> {
    join(&[OPEN, &id.to_bytes()])
}

/// The interaction that a mark of [`open`] names.
#[must_use]
pub fn opened(key: &[u8]) -> Option<InteractionId> {
    let id = key.strip_prefix(OPEN)?.try_into().ok()?;
    Some(InteractionId::from_bytes(id))
}

/// A case.
#[must_use]
pub fn case(number: MainNumber) -> Vec<u8> {
    join(&[b"case/", &number.serial().to_be_bytes()])
}

/// A message.
#[must_use]
pub fn message(id: MessageId) -> Vec<u8> {
    join(&[b"message/", &id.to_bytes()])
}

/// What was found out about a message.
#[must_use]
pub fn dossier(id: MessageId) -> Vec<u8> {
    join(&[b"dossier/", &id.to_bytes()])
}

/// The messages that a clue may mean.
#[must_use]
pub fn clues(key: ClueKey) -> Vec<u8> {
    join(&[b"clue/", &key.to_bytes()])
}

/// One message that a clue may mean; the value is the serial number of its case.
#[must_use]
pub fn clue(key: ClueKey, message: MessageId) -> Vec<u8> {
    join(&[b"clue/", &key.to_bytes(), &message.to_bytes()])
}

/// The case that a value of [`clue`] names.
#[must_use]
pub fn clue_case(value: &[u8]) -> Option<MainNumber> {
    MainNumber::new(u64::from_be_bytes(value.try_into().ok()?))
}

/// The message that a key of [`clue`] names.
#[must_use]
pub fn clue_message(key: &[u8]) -> Option<MessageId> {
    let (_, id) = key.split_last_chunk::<16>()?;
    Some(MessageId::from_bytes(*id))
}

/// A sender whom a queue has told that a letter arrived; the address is normalised.
#[must_use]
pub fn acknowledged(queue: &QueueId, address: &str) -> Vec<u8> {
    let address = address.to_lowercase();
    join(&[
        b"acknowledged/",
        queue.as_str().as_bytes(),
        &[0],
        address.as_bytes(),
    ])
}

/// An address that is not written to for a while; normalised.
#[must_use]
pub fn suppressed(address: &str) -> Vec<u8> {
    join(&[b"suppressed/", address.to_lowercase().as_bytes()])
}

/// Marks of all messages of an interaction.
#[must_use]
pub fn thread_of(interaction: InteractionId) -> Vec<u8> {
    join(&[b"thread/", &interaction.to_bytes()])
}

/// Marks a message of an interaction.
#[must_use]
pub fn thread(interaction: InteractionId, message: MessageId) -> Vec<u8> {
    join(&[b"thread/", &interaction.to_bytes(), &message.to_bytes()])
}

/// The message that a mark of [`thread`] names.
#[must_use]
pub fn threaded(interaction: InteractionId, key: &[u8]) -> Option<MessageId> {
    let id = key.strip_prefix(thread_of(interaction).as_slice())?;
    Some(MessageId::from_bytes(id.try_into().ok()?))
}

/// All entries in the feed of a case.
#[must_use]
pub fn feed_of(case: MainNumber) -> Vec<u8> {
    join(&[b"feed/", &case.serial().to_be_bytes()])
}

/// One entry in the feed of a case.
#[must_use]
pub fn feed(case: MainNumber, entry: EntryId) -> Vec<u8> {
    join(&[b"feed/", &case.serial().to_be_bytes(), &entry.to_bytes()])
}

/// The entry that a key of [`feed`] names.
#[must_use]
pub fn fed(case: MainNumber, key: &[u8]) -> Option<EntryId> {
    let id = key.strip_prefix(feed_of(case).as_slice())?;
    Some(EntryId::from_bytes(id.try_into().ok()?))
}

/// What an agent has written for an interaction.
#[must_use]
pub fn draft(interaction: InteractionId) -> Vec<u8> {
    join(&[DRAFTS, &interaction.to_bytes()])
}

/// The interaction that a key of [`draft`] names.
#[must_use]
pub fn drafted(key: &[u8]) -> Option<InteractionId> {
    let id = key.strip_prefix(DRAFTS)?.try_into().ok()?;
    Some(InteractionId::from_bytes(id))
}

/// A file that is being attached.
#[must_use]
pub fn upload(interaction: InteractionId, id: AttachmentId) -> Vec<u8> {
    join(&[UPLOADS, &interaction.to_bytes(), &id.to_bytes()])
}

/// An outbound message.
#[must_use]
pub fn outbound(id: MessageId) -> Vec<u8> {
    join(&[b"outbound/", &id.to_bytes()])
}

/// Marks an outbound message that is not settled.
#[must_use]
pub fn spool(id: MessageId) -> Vec<u8> {
    join(&[SPOOL, &id.to_bytes()])
}

/// The outbound message that a mark of [`spool`] names.
#[must_use]
pub fn spooled(key: &[u8]) -> Option<MessageId> {
    let id = key.strip_prefix(SPOOL)?.try_into().ok()?;
    Some(MessageId::from_bytes(id))
}

/// All entries of an agent's event log.
#[must_use]
pub fn events(agent: &AgentId) -> Vec<u8> {
    join(&[b"event/", agent.as_str().as_bytes(), &[0]])
}

/// One entry of an agent's event log.
#[must_use]
pub fn event(agent: &AgentId, number: u64) -> Vec<u8> {
    join(&[
        b"event/",
        agent.as_str().as_bytes(),
        &[0],
        &number.to_be_bytes(),
    ])
}

/// What a request id was answered.
#[must_use]
pub fn request(digest: &[u8; 32]) -> Vec<u8> {
    join(&[REQUESTS, digest])
}

/// What became of a letter.
#[must_use]
pub fn delivery(fingerprint: &[u8; 32]) -> Vec<u8> {
    join(&[DELIVERIES, fingerprint])
}

/// Marks a key that is to be forgotten at a time.
#[must_use]
pub fn due(at: Timestamp, key: &[u8]) -> Vec<u8> {
    join(&[DUE, &at.as_millis().to_be_bytes(), key])
}

/// The value of a mark of [`due`]: keys that are to be forgotten together with the one that it
/// names. Each begins with its length in two bytes; a key longer than that says is left out, and
/// no key is.
#[must_use]
pub fn due_too<'a>(keys: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut value = Vec::new();
    for key in keys {
        if let Ok(len) = u16::try_from(key.len()) {
            value.extend_from_slice(&len.to_be_bytes());
            value.extend_from_slice(key);
        }
    }
    value
}

/// The keys in a value of [`due_too`], up to where it is none. Older marks have none.
pub fn fallen_due_too(mut value: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (len, rest) = value.split_first_chunk()?;
        let (key, rest) = rest.split_at_checked(u16::from_be_bytes(*len).into())?;
        value = rest;
        Some(key)
    })
}

/// The time and the key that a mark of [`due`] names.
#[must_use]
pub fn fallen_due(mark: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (time, key) = mark.strip_prefix(DUE)?.split_at_checked(8)?;
    let millis = u64::from_be_bytes(time.try_into().ok()?);
    Some((Timestamp::from_millis(millis), key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_give_back_what_they_were_made_of() {
        let now = Timestamp::from_millis(77);
        let interaction = InteractionId::new(now, 1);
        let message = MessageId::new(now, 2);
        assert_eq!(opened(&open(interaction)), Some(interaction));
        assert_eq!(spooled(&spool(message)), Some(message));
        let mark = thread(interaction, message);
        assert_eq!(threaded(interaction, &mark), Some(message));
        assert_eq!(threaded(InteractionId::new(now, 3), &mark), None);
        let mark = due(now, b"request/x");
        assert_eq!(fallen_due(&mark), Some((now, b"request/x".as_slice())));
        for broken in [&b""[..], b"due/", b"due/1234567", b"open/short", b"other"] {
            assert_eq!(fallen_due(broken), None);
            assert_eq!(opened(broken), None);
        }
    }

    #[test]
    fn figures_sort_by_day() {
        let (first, second) = (Day::from_number(255), Day::from_number(256));
        let (anna, support) = ("anna".parse().unwrap(), "support".parse().unwrap());
        assert!(queue_figure(first, &support) < queue_figure(second, &support));
        assert!(figure(AGENT_FIGURES, second, "") < agent_figure(second, &anna));
        assert!(agent_figure(first, &anna) < figure(AGENT_FIGURES, second, ""));
        let key = agent_figure(second, &anna);
        assert_eq!(figured(AGENT_FIGURES, &key), Some((second, "anna")));
        assert_eq!(figured(QUEUE_FIGURES, &key), None);
        assert_eq!(figured(QUEUE_FIGURES, b"figure/q/xyz"), None);
        assert_eq!(figured(QUEUE_FIGURES, b"figure/q/1234\xff"), None);
    }

    #[test]
    fn one_mark_tells_of_several_keys() {
        let keys = [&b"request/x"[..], b"", b"delivery/y"];
        let value = due_too(keys);
        assert!(fallen_due_too(&value).eq(keys));
        assert_eq!(fallen_due_too(b"").next(), None);
        // What was cut off is no key.
        let cut = &value[..value.len() - 1];
        assert!(fallen_due_too(cut).eq(keys.into_iter().take(2)));
        assert_eq!(fallen_due_too(b"\0").next(), None);
    }

    #[test]
    fn an_agents_log_is_no_prefix_of_anothers() {
        let (anna, anna_b) = ("anna".parse().unwrap(), "anna-b".parse().unwrap());
        assert!(!event(&anna_b, 1).starts_with(&events(&anna)));
        assert!(event(&anna, 9) < event(&anna, 10));
        assert!(event(&anna, 255) < event(&anna, 256));
    }
}
