//! Letters through a real Postfix, from its SMTP port to the next host.
//!
//! Without Postfix, or without the right to start one, these tests say so and are skipped;
//! `POSTROOM_REQUIRE_POSTFIX=1` makes that a failure.

#![expect(clippy::unwrap_used, reason = "a test's helpers are part of the test")]
#![expect(clippy::print_stderr, reason = "a test that fails shows the logs")]

mod support {
    pub(crate) mod agent;
    pub(crate) mod delivered;
    pub(crate) mod disk;
    pub(crate) mod dns;
    pub(crate) mod filter;
    pub(crate) mod floor;
    pub(crate) mod gateway;
    pub(crate) mod opendkim;
    pub(crate) mod port;
    pub(crate) mod postfix;
    pub(crate) mod python;
    pub(crate) mod signed;
    pub(crate) mod smtp;
    pub(crate) mod submission;
    pub(crate) mod tap;
}

mod mta {
    mod afterwards;
    mod conversations;
    mod envelopes;
    mod leaving;
    pub(crate) mod once;
    pub(crate) mod opendkim;
    mod shapes;
    mod shortages;
    pub(crate) mod site;
    pub(crate) mod topology;
    pub(crate) mod way;
}
