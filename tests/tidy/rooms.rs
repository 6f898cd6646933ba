//! Who may import whom.
//!
//! Pure rooms decide, the engine and the store keep, shells speak. Two tables say what that means
//! for imports; the tests below hold all of `src/` against them, and plant violations to see that
//! they would be found.

use std::fmt::Write as _;
use std::path::Path;

use super::source::{Named, Source, is_below};
use super::{dependencies, sources};

/// Modules that decide: the same input gives the same output. They may name one another, the
/// crates in [`PURE_CRATES`], and of the standard library all but [`IMPURE_STD`].
const PURE: &[&str] = &[
    "id",
    "time",
    "desk",
    "intake::policy",
    "intake::responsibility",
    "intake::rules",
    "mail",
    "milter::address",
    "milter::arrival",
    "milter::edit",
    "milter::macros",
    "milter::negotiation",
    "milter::reply",
    "milter::session",
    "milter::wire",
    "outbound::hearing",
    "outbound::message",
    "outbound::spool",
    "outbound::transparency",
    "replay",
];

/// Not pure, because dropping the last handle of a large message removes its file, but a value in
/// all other respects, which an arriving letter carries with it.
const PURE_MAY_CARRY: &[&str] = &["content"];

/// Crates that only compute.
const PURE_CRATES: &[&str] = &[
    "ammonia",
    "bytes",
    "data_encoding",
    "idna",
    "jiff::Timestamp",
    "jiff::civil",
    "jiff::tz::AmbiguousOffset",
    "jiff::tz::TimeZone",
    "jiff::tz::TimeZoneDatabase",
    "unicode_security",
    "mail_builder",
    "mail_parser",
    "ring::hmac",
    "ring::digest",
    "serde",
];

/// What of the standard library reaches outside the process or repeats in no fixed order.
const IMPURE_STD: &[&str] = &[
    "std::collections::HashMap",
    "std::collections::HashSet",
    "std::env",
    "std::fs",
    "std::io",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::ToSocketAddrs",
    "std::net::UdpSocket",
    "std::os",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
];

/// What may be named in some modules only: the path, the modules, and why.
const CONFINED: &[(&str, &[&str], &str)] = &[
    (
        "sled",
        &["store::index"],
        "sled is an index that can be thrown away; whoever names it starts to rely on it",
    ),
    (
        "crate::store",
        &["store", "engine", "gateway"],
        "what a shell reads has to be what the engine has released; gateway opens the folder and hands it on",
    ),
    (
        "crate::grpc::pb",
        &["grpc", "cli"],
        "the wire may change without the desk; cli speaks to a gateway as any other client",
    ),
    (
        "tonic",
        &["grpc", "cli"],
        "only what speaks gRPC knows gRPC",
    ),
    (
        "prost",
        &["grpc", "cli"],
        "only what speaks gRPC knows protobuf",
    ),
    (
        "mail_auth",
        &["intake::authenticate"],
        "the verifier has its own idea of a message; mail::trust has ours",
    ),
    (
        "mail_send",
        &["outbound::settings", "outbound::submit"],
        "whoever hands mail over has to know how the crate must be held",
    ),
    (
        "std::time::Instant::now",
        &["engine", "cli"],
        "the engine reads the clock, shells wait with tokio's timers; the commands of cli run in a process of their own",
    ),
    (
        "std::time::SystemTime::now",
        &["engine", "cli"],
        "the engine reads the clock and hands it down; the commands of cli run in a process of their own",
    ),
];

/// What one file does that it may not, a line each.
fn violations(source: &Source, crates: &[String]) -> Vec<String> {
    let module = source.module.as_str();
    let inside = |rooms: &[&str]| rooms.iter().any(|room| is_below(module, room));
    let mut found = Vec::new();
    for Named { line, path } in source.paths() {
        let below = |prefixes: &[&str]| prefixes.iter().any(|prefix| is_below(&path, prefix));
        for (what, rooms, why) in CONFINED {
            if is_below(&path, what) && !inside(rooms) {
                found.push(format!("{line}: {path}: {why}"));
            }
        }
        if !inside(PURE) {
            continue;
        }
        let first = path.split("::").next().unwrap_or_default();
        if below(IMPURE_STD) {
            found.push(format!("{line}: {path}: a pure room reaches outside"));
        } else if crates.iter().any(|name| name == first) && !below(PURE_CRATES) {
            found.push(format!("{line}: {path}: a pure room names an impure crate"));
        } else if let Some(ours) = path.strip_prefix("crate::") {
            let may = |rooms: &[&str]| {
                rooms
                    .iter()
                    .any(|room| is_below(ours, room) || is_below(room, ours))
                    || rooms.iter().any(|room| {
                        // A re-export, such as `crate::milter::Verdict`.
                        ours.rsplit_once("::").is_some_and(|(parent, item)| {
                            item.starts_with(char::is_uppercase)
                                && room.rsplit_once("::").is_some_and(|(p, _)| p == parent)
                        })
                    })
            };
            if !may(PURE) && !may(PURE_MAY_CARRY) && !is_below(ours, module) {
                found.push(format!("{line}: {path}: a pure room names another kind"));
            }
        }
    }
    found
}

#[test]
fn every_room_keeps_to_its_kind() {
    let crates = dependencies();
    let mut report = String::new();
    for (path, source) in sources() {
        if path.ends_with("tests.rs") {
            continue;
        }
        for violation in violations(&source, &crates) {
            let _ = writeln!(report, "src/{}:{violation}", path.display());
        }
    }
    assert!(report.is_empty(), "\n{report}");
}

#[test]
fn a_planted_violation_is_found() {
    let crates: Vec<String> = ["tokio", "sled", "tonic", "bytes", "ring"]
        .map(String::from)
        .into();
    let rows: &[(&str, &str, &str)] = &[
        (
            "desk/mod.rs",
            "use tokio::time::{self, Instant};",
            "1: tokio::time",
        ),
        (
            "desk/offer.rs",
            "fn f() {\n crate::engine::now() }",
            "2: crate::engine::now",
        ),
        (
            "desk/offer.rs",
            "use super::super::store::Store;",
            "1: crate::store::Store",
        ),
        (
            "desk/offer.rs",
            "use std::time;\nfn f() { time::Instant::now(); }",
            "2: std::time::Instant::now",
        ),
        ("desk/offer.rs", "use std::{fmt, fs as disk};", "1: std::fs"),
        (
            "mail/letter.rs",
            "use std::collections::{BTreeMap, HashMap};",
            "1: std::collections::HashMap",
        ),
        ("mail/token.rs", "use ring::{hmac, rand};", "1: ring::rand"),
        (
            "milter/wire.rs",
            "use std::net::{IpAddr, TcpStream};",
            "1: std::net::TcpStream",
        ),
        (
            "milter/session.rs",
            "use super::server::serve;",
            "1: crate::milter::server::serve",
        ),
        (
            "outbound/spool.rs",
            "use crate::grpc::pb::Agent;",
            "1: crate::grpc::pb::Agent",
        ),
        (
            "store/journal.rs",
            "fn f() { sled::open(1) }",
            "1: sled::open",
        ),
        (
            "intake/mod.rs",
            "use crate::{engine, store};",
            "1: crate::store",
        ),
        (
            "intake/mod.rs",
            "use std::time::SystemTime as Clock;\nfn f() { Clock::now(); }",
            "2: std::time::SystemTime::now",
        ),
        (
            "grpc/auth.rs",
            "let x = r#\"\"#; let y = '\"'; crate::store::open();",
            "1: crate::store::open",
        ),
        (
            "main.rs",
            "use postroom::desk;\nuse sled::Db;",
            "2: sled::Db",
        ),
    ];
    for (path, text, expected) in rows {
        let found = violations(&Source::read(Path::new(path), text), &crates);
        assert!(
            found.iter().any(|line| line.starts_with(expected)),
            "{path}: {text}\n{found:?}"
        );
    }
}

#[test]
fn what_is_allowed_is_not_found() {
    let crates: Vec<String> = ["tokio", "sled", "bytes", "ring"].map(String::from).into();
    let rows: &[(&str, &str)] = &[
        ("store/index.rs", "use sled::Db;"),
        ("engine/clock.rs", "use std::time::Instant;"),
        (
            "intake/mod.rs",
            "use tokio::time::Instant;\nfn f() { Instant::now(); }",
        ),
        (
            "desk/offer.rs",
            "use std::time::Duration;\nuse super::queue::Queue;\nuse crate::id::OfferId;",
        ),
        (
            "desk/offer.rs",
            "// tokio::spawn\n/* sled::open /* */ */ const A: &str = \"tokio::spawn \\\" sled::open\";",
        ),
        (
            "desk/offer.rs",
            "#[cfg(test)]\nmod tests { use tokio::time; }",
        ),
        (
            "milter/session.rs",
            "use crate::milter::Verdict;\nuse super::wire::Frame;",
        ),
        ("milter/arrival.rs", "use crate::content::Content;"),
        (
            "mail/token.rs",
            "fn f<'a>(x: &'a str) { let ring = 1; ring::hmac::sign(x); }",
        ),
    ];
    for (path, text) in rows {
        let found = violations(&Source::read(Path::new(path), text), &crates);
        assert!(found.is_empty(), "{path}: {text}\n{found:?}");
    }
}
