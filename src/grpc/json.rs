//! Messages in protobuf's own JSON form, for scripts: names in camel case, enums by name, times in
//! RFC 3339. Made from the embedded descriptors, so it needs no code a message.

use std::fmt;
use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};

use super::pb;

/// The descriptors, read at the first use.
static POOL: LazyLock<Result<DescriptorPool, String>> =
    LazyLock::new(|| DescriptorPool::decode(pb::DESCRIPTORS).map_err(|error| error.to_string()));

/// A message that has no JSON form, which is always our own mistake as the descriptors belong to the
/// code; or a text that is no such message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonError(String);

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for JsonError {}

fn descriptor(name: &str) -> Result<MessageDescriptor, JsonError> {
    let pool = POOL.as_ref().map_err(|error| JsonError(error.clone()))?;
    pool.get_message_by_name(&format!("postroom.v1.{name}"))
        .ok_or_else(|| JsonError(format!("there is no message {name}")))
}

/// A message of the package, named without it, such as `WatchDeskResponse`, on one line.
///
/// # Errors
///
/// When there is no such message, or the message is another one.
pub fn line(name: &str, message: &impl Message) -> Result<String, JsonError> {
    let unwritable = |error: &dyn fmt::Display| {
        JsonError(format!("a message cannot be written as JSON: {error}"))
    };
    let bytes = message.encode_to_vec();
    let message = DynamicMessage::decode(descriptor(name)?, bytes.as_slice())
        .map_err(|error| unwritable(&error))?;
    serde_json::to_string(&message).map_err(|error| unwritable(&error))
}

/// The inverse of [`line()`]. Fields that are not known are refused.
///
/// # Errors
///
/// When there is no such message, or the text is none.
pub fn read<T: Message + Default>(name: &str, text: &str) -> Result<T, JsonError> {
    let mut source = serde_json::Deserializer::from_str(text);
    let message = DynamicMessage::deserialize(descriptor(name)?, &mut source)
        .map_err(|error| JsonError(error.to_string()))?;
    source.end().map_err(|error| JsonError(error.to_string()))?;
    message
        .transcode_to()
        .map_err(|error| JsonError(error.to_string()))
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
        assert_eq!(read("Agent", &line("Agent", &agent).unwrap()), Ok(agent));
        for wrong in ["", "{", r#"{"surname":"Lund"}"#, "{} {}", "7"] {
            assert!(read::<pb::Agent>("Agent", wrong).is_err(), "{wrong}");
        }
    }
}
