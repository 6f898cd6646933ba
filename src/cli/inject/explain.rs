//! `inject --explain`: what a running gateway would do with a letter, decision by decision.

use postroom::grpc::pb;
use postroom::grpc::pb::system_service_client::SystemServiceClient;

use super::super::door;
use super::super::failure::Failure;
use super::super::mta;
use super::super::page::{Ink, Page, plain};
use super::Inject;

/// Asks about each letter. Ends well whatever the gateway would say to the letter.
pub(super) async fn run(
    inject: &Inject,
    letters: &[(String, Vec<u8>)],
    page: Page,
) -> Result<(), Failure> {
    let channel = inject.door.door().open(page).await?;
    let mut system = SystemServiceClient::new(channel);
    for (file, text) in letters {
        let request = pb::ExplainLetterRequest {
            raw_message: mta::letter(text).to_bytes(),
            envelope_sender: inject.from.clone(),
            recipients: inject.rcpt.clone(),
            client_address: inject.client.to_string(),
            helo: inject.helo.clone(),
        };
        let told = system.explain_letter(request).await;
        let told = told.map_err(|status| door::refused(&status))?.into_inner();
        if inject.json {
            door::print(page, "ExplainLetterResponse", &told)?;
        } else {
            show(page, file, &told)?;
        }
    }
    Ok(())
}

fn show(page: Page, file: &str, told: &pb::ExplainLetterResponse) -> Result<(), Failure> {
    page.line(page.ink(Ink::Strong, &plain(file)))?;
    for decision in &told.decisions {
        let topic = page.ink(Ink::Faint, &format!("{:<10}", plain(&decision.topic)));
        page.line(format!("  {topic} {}", plain(&decision.decision)))?;
        for reason in &decision.reasons {
            page.line(format!(
                "               {}",
                page.ink(Ink::Faint, &plain(reason))
            ))?;
        }
    }
    let ink = match told.verdict.split(':').next() {
        Some("refuse") => Ink::Bad,
        Some("release") => Ink::Care,
        _ => Ink::Good,
    };
    let topic = page.ink(Ink::Faint, &format!("{:<10}", "verdict"));
    page.line(format!(
        "  {topic} {}",
        page.ink(ink, &plain(&told.verdict))
    ))
}
