//! What the dependencies allow us, by their own words, held against `.deny.toml`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::Command;

use serde::Deserialize;

use super::{root, text};

#[derive(Debug, Deserialize)]
struct Deny {
    licenses: Licenses,
    bans: Bans,
}

#[derive(Debug, Deserialize)]
struct Licenses {
    allow: BTreeSet<String>,
}

#[derive(Debug, Deserialize)]
struct Bans {
    deny: Vec<Banned>,
}

#[derive(Debug, Deserialize)]
struct Banned {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    license: Option<String>,
}

#[test]
fn every_dependency_may_be_used() {
    let deny: Deny = toml::from_str(&text(".deny.toml")).unwrap();
    let mut report = String::new();
    for Package { name, license } in packages() {
        if let Some(ban) = deny.bans.deny.iter().find(|ban| ban.name == name) {
            let _ = writeln!(report, "{name} is banned: {}", ban.reason);
        }
        let license = license.unwrap_or_default();
        if !allows(&license, &deny.licenses.allow) {
            let _ = writeln!(report, "{name}: {license:?} is not among those allowed");
        }
    }
    assert!(report.is_empty(), "\n{report}");
}

/// What is compiled for this machine. Packages for others may not even be downloaded.
fn packages() -> Vec<Package> {
    let said = |command: &mut Command| {
        let output = command.output().unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{command:?}: {complaint}");
        String::from_utf8(output.stdout).unwrap()
    };
    let version = said(Command::new("rustc").arg("-vV"));
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let metadata = said(
        Command::new(env!("CARGO"))
            .args(["metadata", "--format-version=1", "--offline", "--locked"])
            .args(["--filter-platform", host.unwrap()])
            .current_dir(root()),
    );
    let metadata: Metadata = serde_json::from_str(&metadata).unwrap();
    assert!(metadata.packages.len() > 100, "{}", metadata.packages.len());
    metadata.packages
}

/// Whether a licence expression can be met with licences of `allowed` alone. As in SPDX, `AND`
/// binds closer than `OR`; the `/` of old manifests is an `OR`.
fn allows(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let met = any(&words, &mut at, allowed);
    met && at == words.len()
}

fn any(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut met = all(words, at, allowed);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        met |= all(words, at, allowed);
    }
    met
}

fn all(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut met = one(words, at, allowed);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        met &= one(words, at, allowed);
    }
    met
}

fn one(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let Some(word) = words.get(*at) else {
        return false;
    };
    *at += 1;
    if *word == "(" {
        let met = any(words, at, allowed);
        *at += 1;
        return met && words.get(*at - 1) == Some(&")");
    }
    let mut license = (*word).to_owned();
    if let [&"WITH", exception] = words.iter().skip(*at).take(2).collect::<Vec<_>>()[..] {
        license = format!("{license} WITH {exception}");
        *at += 2;
    }
    allowed.contains(&license)
}

#[test]
fn licence_expressions() {
    let allowed = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"]
        .map(String::from)
        .into();
    for (expression, expected) in [
        ("MIT", true),
        ("GPL-3.0-only", false),
        ("", false),
        ("GPL-3.0-only OR MIT", true),
        ("MIT/Unlicense", true),
        ("MIT AND GPL-3.0-only", false),
        ("MIT AND ISC", true),
        ("GPL-3.0-only AND MIT OR ISC", true),
        ("(GPL-3.0-only OR MIT) AND ISC", true),
        ("(GPL-3.0-only OR MIT) AND Unlicense", false),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("Apache-2.0", false),
        ("MIT GPL-3.0-only", false),
        ("(MIT", false),
    ] {
        assert_eq!(allows(expression, &allowed), expected, "{expression}");
    }
}
