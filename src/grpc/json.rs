//! Messages in protobuf's own JSON form, for scripts: names in camel case, enums by name, times in
//! RFC 3339. Made from the embedded descriptors, so it needs no code a message.

use std::fmt;
use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};

use super::pb;

/// The descriptors, read at the first use.
static POOL: LazyLock<Result<DescriptorPool, String>> =
    LazyLock::new(|| DescriptorPool::decode(pb::DESCRIPTORS).map_err(|error| error.to_string()));

/// A message that has no JSON form. Always our own mistake: the descriptors belong to the code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonError(String);

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a message cannot be written as JSON: {}", self.0)
    }
}

impl std::error::Error for JsonError {}

/// A message of the package, named without it, such as `WatchDeskResponse`, on one line.
///
/// # Errors
///
/// When there is no such message, or the message is another one.
pub fn line(name: &str, message: &impl Message) -> Result<String, JsonError> {
    let pool = POOL.as_ref().map_err(|error| JsonError(error.clone()))?;
    let descriptor = pool
        .get_message_by_name(&format!("postroom.v1.{name}"))
        .ok_or_else(|| JsonError(format!("there is no {name}")))?;
    let bytes = message.encode_to_vec();
    let message = DynamicMessage::decode(descriptor, bytes.as_slice())
        .map_err(|error| JsonError(error.to_string()))?;
    serde_json::to_string(&message).map_err(|error| JsonError(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_protobufs_own() {
        let agent = pb::Agent {
            name: "agents/mira".to_owned(),
            display_name: "Mira".to_owned(),
            create_time: Some(prost_types::Timestamp {
                seconds: 1_800_000_000,
                nanos: 120_000_000,
            }),
            ..pb::Agent::default()
        };
        assert_eq!(
            line("Agent", &agent).unwrap(),
            r#"{"name":"agents/mira","displayName":"Mira","createTime":"2027-01-15T08:00:00.120Z"}"#
        );
        let presence = pb::Presence {
            state: pb::AgentState::WrapUp.into(),
            ..pb::Presence::default()
        };
        assert_eq!(
            line("Presence", &presence).unwrap(),
            r#"{"state":"AGENT_STATE_WRAP_UP"}"#
        );
        assert!(line("Nobody", &presence).is_err());
    }
}
