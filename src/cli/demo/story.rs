//! The story itself: three letters, one agent, one answer.

use std::net::IpAddr;

use postroom::grpc::pb;
use postroom::id::InteractionId;
use postroom::intake::INTERACTION_FIELD;
use postroom::milter::client::{Caller, Letter};
use postroom::outbound::sink;

use super::desk::{self, Desk};
use super::stage::{SALES_LETTER, Stage};
use super::teller::Teller;
use crate::cli::failure::{Exit, Failure};
use crate::cli::mta::{self, Fate};
use crate::cli::watch::{state_word, word};

const FIRST_LETTER: &str = include_str!("order.eml");

/// The customer's answer to our reply, whose Message-ID is known only when the reply is out.
const ANSWER: &str = include_str!("answer.eml");

const REPLY: &str =
    "Dear Ada,\n\nit left our house this morning and arrives on Thursday.\n\nMira\n";

/// The address that the agent chooses, which is not the one that the customer wrote to.
const CHOSEN: &str = "help@shop.example";

const ADA: (&str, IpAddr, &str) = (
    "ada@lovelace.example",
    IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7)),
    "mx.lovelace.example",
);

const KARL: (&str, IpAddr, &str) = (
    "karl@boehm.example",
    IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 9)),
    "mx.boehm.example",
);

/// Plays it from the first letter to the agent's sign-out.
pub(super) async fn tell(stage: &Stage, teller: &mut Teller) -> Result<(), Failure> {
    let running = &stage.running;
    let first = arrive(
        stage,
        teller,
        "Ada writes to support@",
        ADA,
        "support",
        FIRST_LETTER,
    )
    .await?;
    arrive(
        stage,
        teller,
        "Karl writes to sales@",
        KARL,
        "sales",
        SALES_LETTER,
    )
    .await?;

    let agent = desk::create_agent(&running.socket);
    let agent = teller
        .step("An administrator makes an agent", agent)
        .await?;
    teller.detail("agent", &format!("{} ({})", agent.name, agent.display_name))?;
    teller.detail("serves", &agent.queues.join(", "))?;
    let mut desk = teller
        .step("Mira signs in and watches", Desk::sign_in(running.control))
        .await?;
    let presence = teller
        .step("Mira sets herself Available", desk.become_available())
        .await?;
    shown(teller, &presence)?;

    let offer = teller
        .step("She is offered Ada's letter", desk.offer())
        .await?;
    offered(teller, &offer)?;
    let (it, presence) = teller.step("She accepts", desk.accept(&offer)).await?;
    teller.detail("interaction", &it.name)?;
    shown(teller, &presence)?;
    let letter = teller.step("She reads it", desk.read(&it)).await?;
    let line = letter
        .text_body
        .lines()
        .find(|line| line.contains("ordered"));
    teller.detail("text", line.unwrap_or_default())?;

    let choice = teller
        .step("She looks where she may send from", desk.senders(&it.queue))
        .await?;
    teller.detail("addresses", &choice.join(", "))?;
    let reply = desk.reply(&it, CHOSEN, REPLY);
    let reply = teller.step("She replies from the second", reply).await?;
    if let Some(presence) = &reply.presence {
        shown(teller, presence)?;
    }
    let took = async { Ok(stage.sink.next().await) };
    let mail = teller
        .step("The mail server receives the reply", took)
        .await?;
    let reply_id = received(teller, &mail)?;
    let delivery = teller
        .step("Mira sees that it is on its way", desk.delivery())
        .await?;
    let state = word(delivery.state().as_str_name(), "DELIVERY_STATE_");
    teller.detail(
        "delivery",
        &format!("{state}, {}", delivery.remote_queue_id),
    )?;
    let done = desk.complete_wrap_up(&it, "solved");
    let (it, presence) = teller.step("She completes the wrap-up", done).await?;
    closed(teller, &it)?;
    shown(teller, &presence)?;

    let answer = ANSWER.replace("{reply}", &reply_id);
    let second = arrive(stage, teller, "Ada answers the reply", ADA, "help", &answer).await?;
    if first != second {
        let what = format!("the answer went to case {second} and not to {first}");
        return Err(Failure::new(Exit::Software, what));
    }
    teller.detail("continues", &format!("case {first}"))?;
    let offer = teller.step("Mira is offered it", desk.offer()).await?;
    offered(teller, &offer)?;
    let (it, _) = teller.step("She accepts", desk.accept(&offer)).await?;
    let presence = teller
        .step("She ends it without an answer", desk.end(&it))
        .await?;
    shown(teller, &presence)?;
    let done = desk.complete_wrap_up(&it, "thanks");
    let (it, presence) = teller.step("She completes the wrap-up", done).await?;
    closed(teller, &it)?;
    shown(teller, &presence)?;
    let presence = teller.step("She signs out", desk.sign_out()).await?;
    shown(teller, &presence)
}

/// Brings a letter as the MTA does; the MainNumber of its case.
async fn arrive(
    stage: &Stage,
    teller: &mut Teller,
    title: &str,
    (sender, ip, helo): (&str, IpAddr, &str),
    mailbox: &str,
    text: &str,
) -> Result<String, Failure> {
    let address = &stage.running.milter;
    let failed = |error| mta::unreachable(address, &error);
    let brought = teller
        .step(title, async {
            let mut client = mta::connect(address).await?;
            let caller = Caller {
                host: helo.to_owned(),
                ip: Some(ip),
                helo: Some(helo.to_owned()),
                ..Caller::default()
            };
            client.open(caller).await.map_err(failed)?;
            let recipients = [format!("{mailbox}@shop.example")];
            let letter = mta::letter(text.as_bytes());
            let mail = mta::mail(sender, &recipients, "4Demo000001z".to_owned(), letter);
            let outcome = client.send(&mail).await.map_err(failed)?;
            client.quit().await.map_err(failed)?;
            Ok((mail.letter, outcome))
        })
        .await?;
    let (letter, outcome) = brought;
    if Fate::of(&outcome) != Fate::Accepted {
        let reply = mta::reply(&outcome.verdict).unwrap_or("it was not taken");
        return Err(Failure::new(Exit::Software, format!("{title}: {reply}")));
    }
    let tagged = outcome.apply(&letter);
    for header in tagged
        .headers
        .iter()
        .filter(|header| header.name.starts_with(b"X-Postroom-"))
    {
        teller.detail(
            &String::from_utf8_lossy(&header.name),
            &field_value(&header.value),
        )?;
    }
    let id = field(&tagged, INTERACTION_FIELD.as_str()).unwrap_or_default();
    kept(stage, teller, &id).await
}

/// Tells what the gateway keeps of the newest letter of an interaction; the MainNumber.
async fn kept(stage: &Stage, teller: &Teller, interaction: &str) -> Result<String, Failure> {
    let lost =
        |what: &str| Failure::new(Exit::Software, format!("interaction {interaction}: {what}"));
    let id: InteractionId = interaction
        .parse()
        .map_err(|_| lost("no id in the header"))?;
    let messages = stage.running.handle.messages(id, None, 10).await;
    let messages = messages.map_err(|error| lost(&error.to_string()))?;
    let message = messages.last().ok_or_else(|| lost("it has no message"))?;
    let number = message.case.to_string();
    teller.detail("MainNumber", &number)?;
    teller.detail(
        "trust",
        &format!("{:?}: {}", message.trust, message.trust_reason),
    )?;
    Ok(number)
}

fn offered(teller: &Teller, offer: &pb::Offer) -> Result<(), Failure> {
    let customer = offer.customer.clone().unwrap_or_default();
    let waited = offer.waiting_duration.unwrap_or_default();
    let millis = waited.seconds.saturating_mul(1000) + i64::from(waited.nanos / 1_000_000);
    teller.detail(
        "customer",
        &format!("{} <{}>", customer.display_name, customer.address),
    )?;
    teller.detail("subject", &offer.subject)?;
    teller.detail("queue", &offer.queue_display_name)?;
    teller.detail("waited", &format!("{millis} ms"))
}

fn shown(teller: &Teller, presence: &pb::Presence) -> Result<(), Failure> {
    teller.detail("Mira is", &state_word(presence.state()))
}

fn closed(teller: &Teller, it: &pb::Interaction) -> Result<(), Failure> {
    teller.detail(
        "interaction is",
        &word(it.state().as_str_name(), "INTERACTION_STATE_"),
    )
}

/// What the mail server received; its Message-ID.
fn received(teller: &Teller, mail: &sink::Mail) -> Result<String, Failure> {
    let letter = Letter::parse(&mail.bytes);
    teller.detail(
        "envelope",
        &format!("<{}> to <{}>", mail.from, mail.to.join(">, <")),
    )?;
    for name in [
        "From",
        "To",
        "Subject",
        "In-Reply-To",
        "References",
        "Message-ID",
    ] {
        teller.detail(name, &field(&letter, name).unwrap_or_default())?;
    }
    field(&letter, "Message-ID")
        .ok_or_else(|| Failure::new(Exit::Software, "the reply has no Message-ID"))
}

/// The first field of this name, unfolded.
fn field(letter: &Letter, name: &str) -> Option<String> {
    let mut fields = letter.headers.iter();
    let header = fields.find(|header| header.name.eq_ignore_ascii_case(name.as_bytes()))?;
    Some(field_value(&header.value))
}

fn field_value(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
