//! Bytes as frames, and frames as commands and replies.

#![no_main]

#[path = "../targets.rs"]
#[expect(dead_code, reason = "each target uses one of the functions")]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::frames(data));
