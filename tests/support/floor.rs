//! What a supervisor sees: which letters are in which interactions.

use std::path::Path;

use postroom::grpc::pb;
use postroom::grpc::pb::interaction_service_client::InteractionServiceClient;
use tonic::transport::Channel;

use super::agent;

/// More than any test makes.
const PAGE: i32 = 500;

/// A letter in an interaction.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Filed {
    /// Its `Message-ID` without brackets.
    pub(crate) id: String,
    /// The queue's name.
    pub(crate) queue: String,
    /// The MainNumber of the case.
    pub(crate) case: String,
    /// The interaction, as the tag has it.
    pub(crate) interaction: String,
    /// Its subject.
    pub(crate) subject: String,
    /// Its name in the API.
    pub(crate) name: String,
}

/// A letter as it is stored.
pub(crate) async fn stored(socket: &Path, letter: &Filed) -> Vec<u8> {
    let mut client = InteractionServiceClient::new(agent::administrator(socket).await);
    let download = pb::DownloadMessageRequest {
        name: letter.name.clone(),
        ..pb::DownloadMessageRequest::default()
    };
    let mut chunks = client
        .download_message(download)
        .await
        .unwrap()
        .into_inner();
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.message().await.unwrap() {
        bytes.extend_from_slice(&chunk.data);
    }
    bytes
}

/// All letters of all interactions that are open, as the administrator's socket tells.
pub(crate) async fn letters(socket: &Path) -> Vec<Filed> {
    let mut client = InteractionServiceClient::new(agent::administrator(socket).await);
    let list = pb::ListInteractionsRequest {
        page_size: PAGE,
        ..pb::ListInteractionsRequest::default()
    };
    let found = client.list_interactions(list).await.unwrap().into_inner();
    assert_eq!(found.next_page_token, "");
    let mut letters = Vec::new();
    for interaction in found.interactions {
        letters.extend(letters_of(&mut client, &interaction).await);
    }
    letters.sort();
    letters
}

async fn letters_of(
    client: &mut InteractionServiceClient<Channel>,
    interaction: &pb::Interaction,
) -> Vec<Filed> {
    let list = pb::ListMessagesRequest {
        parent: interaction.name.clone(),
        page_size: PAGE,
        ..pb::ListMessagesRequest::default()
    };
    let found = client.list_messages(list).await.unwrap().into_inner();
    let without = |name: &str, prefix: &str| name.strip_prefix(prefix).unwrap().to_owned();
    let filed = |message: pb::Message| Filed {
        id: message.internet_message_id,
        queue: without(&interaction.queue, "queues/"),
        case: interaction.main_number.clone(),
        interaction: without(&interaction.name, "interactions/"),
        subject: message.subject,
        name: message.name,
    };
    found.messages.into_iter().map(filed).collect()
}
