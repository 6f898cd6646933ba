//! The commands that README.md shows, asked of the program itself.

use std::process::Command;

use super::text;

/// Every command line of ours in a document, without the program's name: in shell blocks, and in
/// single backticks.
fn shown(document: &str) -> Vec<Vec<String>> {
    let joined = document.replace("\\\n", " ");
    let mut lines = Vec::new();
    for (at, piece) in joined.split("```").enumerate() {
        if at % 2 == 0 {
            lines.extend(piece.split('`').skip(1).step_by(2));
        } else if piece.starts_with("sh\n") {
            lines.extend(piece.lines().skip(1));
        }
    }
    lines
        .into_iter()
        .filter_map(|line| {
            let line = line.trim();
            line.strip_prefix("postroom ")
                .or_else(|| line.strip_prefix("cargo run --release -- "))
        })
        .map(|line| {
            line.split_whitespace()
                .take_while(|word| !matches!(*word, "|" | "<" | ">"))
                .map(str::to_owned)
                .collect()
        })
        .collect()
}

#[test]
fn the_commands_in_the_readme_are_understood() {
    let commands = shown(&text("README.md"));
    assert!(commands.len() > 6, "{commands:?}");
    for command in commands {
        let name = command.iter().take_while(|word| !word.starts_with('-'));
        let help = Command::new(env!("CARGO_BIN_EXE_postroom"))
            .args(name)
            .arg("--help")
            .output()
            .unwrap();
        let complaint = String::from_utf8_lossy(&help.stderr);
        assert!(help.status.success(), "{command:?}: {complaint}");
        let help = String::from_utf8_lossy(&help.stdout);
        for flag in command.iter().filter(|word| word.starts_with("--")) {
            let known = help.split(|c: char| c.is_whitespace() || c == ',');
            assert!(
                known.into_iter().any(|word| word == flag),
                "{command:?}: {flag}"
            );
        }
    }
}

#[test]
fn commands_are_found() {
    let document = "Say `postroom a --b`, not `a`.\n```sh\npostroom c \\\n  --d < e\nls\n```\n```text\npostroom f\n```\n";
    assert_eq!(shown(document), [vec!["a", "--b"], vec!["c", "--d"]]);
}
