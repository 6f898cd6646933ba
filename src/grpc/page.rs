//! Pages of lists: how many, from where, and the token that says so.
//!
//! A token is the key after which the next page begins, sealed with a digest of the list that it
//! belongs to. The seal keeps a client from mixing up lists; it guards nothing, because what a
//! caller may see is decided for each item anew.

use data_encoding::BASE64URL_NOPAD;
use ring::digest::{Context, SHA256};
use tonic::{Code, Status};

use super::access::Principal;
use super::errors::Failure;
use super::form::Form;
use super::pb::ErrorReason;
use crate::id::SLUG_LEN_MAX;

/// Items on a page if the client does not say.
const SIZE_DEFAULT: usize = 50;

/// Most items on a page.
pub(super) const SIZE_MAX: usize = 500;

/// Longest key in a token: a day with a queue's or an agent's slug.
const POSITION_BYTES_MAX: usize = 4 + SLUG_LEN_MAX;

const SEAL_BYTES: usize = 8;

/// Which page of which list.
pub(super) struct Page {
    /// How many items at most.
    pub(super) size: usize,
    /// The key after which it begins; none at the beginning of the list.
    pub(super) after: Option<Vec<u8>>,
    seal: [u8; SEAL_BYTES],
}

impl Page {
    /// Reads the page fields of a list request; `filter` is what else the list depends on.
    pub(super) fn read(
        form: &mut Form,
        caller: &Principal,
        list: &str,
        filter: &str,
        size: i32,
        token: &str,
    ) -> Result<Self, Status> {
        let size = match usize::try_from(size) {
            Ok(0) => SIZE_DEFAULT,
            Ok(size) => size.min(SIZE_MAX),
            Err(_) => {
                form.wrong("page_size", "must not be negative");
                SIZE_DEFAULT
            }
        };
        let seal = seal(&[list, &caller.subject, filter]);
        let after = match token {
            "" => None,
            _ => Some(open(token, seal).ok_or_else(token_invalid)?),
        };
        Ok(Self { size, after, seal })
    }

    /// The token of the page that begins after this key.
    pub(super) fn token(&self, position: &[u8]) -> String {
        BASE64URL_NOPAD.encode(&[&self.seal, position].concat())
    }

    /// Cuts a list that was read one item too far, and makes the token of what is left.
    pub(super) fn cut<T>(&self, items: &mut Vec<T>, position: impl Fn(&T) -> Vec<u8>) -> String {
        if items.len() <= self.size {
            return String::new();
        }
        items.truncate(self.size);
        items
            .last()
            .map_or_else(String::new, |last| self.token(&position(last)))
    }

    /// The key, as the list's own type. A token that holds none was not made by this list.
    pub(super) fn after<T>(
        &self,
        read: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<Option<T>, Status> {
        match &self.after {
            Some(position) => read(position).map(Some).ok_or_else(token_invalid),
            None => Ok(None),
        }
    }
}

fn seal(parts: &[&str]) -> [u8; SEAL_BYTES] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    let digest = context.finish();
    let mut seal = [0; SEAL_BYTES];
    for (byte, digest) in seal.iter_mut().zip(digest.as_ref()) {
        *byte = *digest;
    }
    seal
}

fn open(token: &str, seal: [u8; SEAL_BYTES]) -> Option<Vec<u8>> {
    let bytes = BASE64URL_NOPAD.decode(token.as_bytes()).ok()?;
    let (sealed, position) = bytes.split_at_checked(SEAL_BYTES)?;
    (sealed == seal && position.len() <= POSITION_BYTES_MAX).then(|| position.to_vec())
}

fn token_invalid() -> Status {
    let message = "this page_token is of another list, caller or filter; begin without one";
    Failure::new(
        Code::InvalidArgument,
        ErrorReason::PageTokenInvalid,
        message,
    )
    .into()
}

/// Sixteen bytes, for the ids that the gateway makes.
pub(super) fn id_bytes(position: &[u8]) -> Option<[u8; 16]> {
    position.try_into().ok()
}

/// A slug or an address.
pub(super) fn text<T: std::str::FromStr>(position: &[u8]) -> Option<T> {
    std::str::from_utf8(position).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(list: &str, filter: &str, size: i32, token: &str) -> Result<Page, Status> {
        Page::read(
            &mut Form::new(),
            &Principal::local(0),
            list,
            filter,
            size,
            token,
        )
    }

    #[test]
    fn a_token_fits_its_own_list_only() {
        let first = page("ListAgents", "", 0, "").unwrap();
        assert_eq!((first.size, first.after.as_ref()), (SIZE_DEFAULT, None));
        let token = first.token(b"anna");
        let next = page("ListAgents", "", 9999, &token).unwrap();
        assert_eq!(next.size, SIZE_MAX);
        assert_eq!(next.after.as_deref(), Some(b"anna".as_slice()));
        for (list, filter, token) in [
            ("ListQueues", "", token.as_str()),
            ("ListAgents", "x", token.as_str()),
            ("ListAgents", "", "AAAA"),
            ("ListAgents", "", "not base64!"),
        ] {
            let status = page(list, filter, 0, token).err().unwrap();
            assert_eq!(
                status.code(),
                Code::InvalidArgument,
                "{list} {filter} {token}"
            );
        }
    }
}
