//! The control plane: gRPC in, commands and looks at the desk out.

/// The messages and services of `proto/`, generated.
#[expect(missing_docs, unused_qualifications, reason = "generated")]
pub mod pb {
    tonic::include_proto!("postroom.v1");

    /// The descriptors of all messages and services with their comments, encoded.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/postroom.bin"));
}

mod access;
mod convert;
mod errors;
mod form;
mod page;
mod password;
mod token;
