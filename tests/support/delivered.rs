//! What stands in a message that was delivered.

use bytes::Bytes;
use postroom::milter::client::Letter;
use postroom::outbound::sink::Mail;

/// The values of all header fields of this name, without the space in front.
pub(crate) fn fields(message: &Bytes, name: &str) -> Vec<String> {
    Letter::parse(message)
        .headers
        .iter()
        .filter(|header| header.name.eq_ignore_ascii_case(name.as_bytes()))
        .map(|header| String::from_utf8_lossy(&header.value).trim().to_owned())
        .collect()
}

/// Where Postroom filed a message, as it says in the message itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tags {
    /// The queues.
    pub(crate) queue: String,
    /// The MainNumber of the case.
    pub(crate) case: String,
    /// The interactions.
    pub(crate) interaction: String,
}

/// The tags of a message; each must be there exactly once.
pub(crate) fn tags(mail: &Mail) -> Tags {
    let only = |name| match fields(&mail.bytes, name).as_slice() {
        [value] => value.clone(),
        values => panic!("{name}: {values:?}"),
    };
    Tags {
        queue: only("X-Postroom-Queue"),
        case: only("X-Postroom-Case"),
        interaction: only("X-Postroom-Interaction"),
    }
}

/// Whether Postroom left a message as it was.
pub(crate) fn is_untouched(mail: &Mail) -> bool {
    let ours = |name: &[u8]| name.to_ascii_lowercase().starts_with(b"x-postroom-");
    let letter = Letter::parse(&mail.bytes);
    !letter.headers.iter().any(|header| ours(&header.name))
}
