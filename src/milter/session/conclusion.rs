//! The conclusion: a verdict as replies to this MTA, within what was agreed on with it.
//!
//! What the MTA does not offer to do is left out and reported. Every way to leave something out
//! ends with more copies of the mail than were wanted, never with fewer.

use bytes::Bytes;

use super::refusal;
use crate::milter::arrival::Verdict;
use crate::milter::edit::Edit;
use crate::milter::negotiation::{Actions, Agreed, Steps};
use crate::milter::wire::{Plain, Reply};

/// How a verdict goes to the MTA.
#[derive(Debug)]
pub struct Conclusion {
    /// Edits, then exactly one final reply.
    pub replies: Vec<Reply>,
    /// How many edits of the header were left out because the MTA did not offer to make them.
    pub tags_dropped: usize,
    /// How many recipients of ours stay in the MTA's copy although they should have been removed,
    /// because it did not offer to do that.
    pub recipients_kept: usize,
}

/// Whom the MTA would deliver its copy to.
#[derive(Debug, Default)]
pub(super) struct Recipients {
    /// What RCPT said of each recipient of ours.
    pub(super) arguments: Vec<Bytes>,
    /// How many others there are.
    pub(super) foreign: usize,
}

/// Puts a verdict into replies.
pub(super) fn conclude(
    verdict: Verdict,
    agreed: Option<&Agreed>,
    recipients: &Recipients,
) -> Conclusion {
    let mut conclusion = Conclusion {
        replies: Vec::new(),
        tags_dropped: 0,
        recipients_kept: 0,
    };
    let last = match verdict {
        Verdict::Accept { edits } => accept(&edits, agreed, recipients, &mut conclusion),
        Verdict::Refuse(reply) => refusal(&reply),
        Verdict::Discard => Reply::Plain(Plain::Discard),
    };
    conclusion.replies.push(last);
    conclusion
}

/// Plans the edits that were agreed on, and says the last word.
fn accept(
    edits: &[Edit],
    agreed: Option<&Agreed>,
    recipients: &Recipients,
    conclusion: &mut Conclusion,
) -> Reply {
    let may = |actions| agreed.is_some_and(|agreed| agreed.actions.contains(actions));
    let (may_tag, may_remove) = (may(Actions::TAGGING), may(Actions::DELRCPT));
    let leading_space = agreed.is_some_and(|agreed| agreed.steps.contains(Steps::HDR_LEADSPC));
    let mut removed: Vec<&Bytes> = Vec::new();
    for edit in edits {
        let reply = match edit {
            Edit::DeleteHeader { .. } | Edit::InsertHeader { .. } if !may_tag => {
                conclusion.tags_dropped += 1;
                continue;
            }
            Edit::RemoveRecipient { .. } if !may_remove => {
                conclusion.recipients_kept += 1;
                continue;
            }
            Edit::DeleteHeader { name, index } => Reply::ChangeHeader {
                index: *index,
                name: Bytes::from_static(name.as_str().as_bytes()),
                value: Bytes::new(),
            },
            Edit::InsertHeader { index, name, value } => {
                let space = if leading_space { " " } else { "" };
                Reply::InsertHeader {
                    index: *index,
                    name: Bytes::from_static(name.as_str().as_bytes()),
                    value: Bytes::from(format!("{space}{}", value.as_str())),
                }
            }
            Edit::RemoveRecipient { argument } => {
                removed.push(argument);
                Reply::DelRcpt(argument.clone())
            }
        };
        conclusion.replies.push(reply);
    }
    let ours = &recipients.arguments;
    let nobody_left = !ours.is_empty()
        && recipients.foreign == 0
        && ours.iter().all(|argument| removed.contains(&argument));
    if nobody_left {
        // Postfix would say yes to the client, log nothing and forget the queue file.
        conclusion.replies.clear();
        return Reply::Plain(Plain::Discard);
    }
    Reply::Plain(Plain::Accept)
}
