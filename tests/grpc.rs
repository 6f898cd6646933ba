//! The control plane through its own client: an agent's day over loopback, each refusal with its
//! reason, the streams' beginnings and ends, and the promises of the descriptors.

#![expect(clippy::unwrap_used, reason = "a test's helpers are part of the test")]

mod grpc {
    pub(crate) mod gateway;

    mod access;
    mod attached;
    mod composing;
    mod decisions;
    mod descriptors;
    mod drafts;
    mod feed;
    mod figures;
    mod files;
    mod knowledge;
    mod letters;
    mod lists;
    mod mails;
    mod recording;
    mod refusals;
    mod routing;
    mod story;
    mod streams;
    mod supervising;
    mod treating;
    mod verbs;
}
