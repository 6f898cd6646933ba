//! The program from outside: what its commands print and how they end.

#![expect(clippy::unwrap_used, reason = "a test's helpers are part of the test")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use postroom::milter::{
    Address, Arrival, Envelope, FieldName, Listener, Options, Receiver, Recipient,
    RecipientVerdict, SmtpReply, Tag, Verdict, plan_tags, serve,
};
use serde_json::Value;
use tokio_util::sync::{CancellationToken, DropGuard};

const NUMBER: FieldName = FieldName::new("Postroom-Number");

const LETTER: &str = "From: Ada <ada@example.org>\nPostroom-Number: forged\nSubject: Order\n\nHi\n";

/// The program, without the colours and proxies of whoever runs the tests.
fn postroom(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postroom"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> (i32, String, String) {
    told(postroom(arguments).output().unwrap())
}

fn told(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap();
    (code, text(output.stdout), text(output.stderr))
}

/// As [`run`], for commands that talk to a server of this test.
async fn run_beside(arguments: &[&str]) -> (i32, String, String) {
    let mut command = postroom(arguments);
    let output = tokio::task::spawn_blocking(move || command.output());
    told(output.await.unwrap().unwrap())
}

fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The commands, those with subcommands included.
fn commands() -> Vec<Vec<String>> {
    fn below(path: &[String], found: &mut Vec<Vec<String>>) {
        let mut arguments: Vec<&str> = path.iter().map(String::as_str).collect();
        arguments.push("--help");
        let (code, help, _) = run(&arguments);
        assert_eq!(code, 0, "{path:?}");
        found.push(path.to_vec());
        let list = help
            .split_once("\nCommands:\n")
            .map_or("", |(_, list)| list);
        for line in list.lines().take_while(|line| line.starts_with("  ")) {
            let name = line.split_whitespace().next().unwrap();
            if name != "help" {
                let mut path = path.to_vec();
                path.push(name.to_owned());
                below(&path, found);
            }
        }
    }
    let mut found = Vec::new();
    below(&[], &mut found);
    found
}

#[test]
fn every_help_has_an_example() {
    let commands = commands();
    assert!(commands.len() > 3, "{commands:?}");
    for command in commands {
        let mut arguments: Vec<&str> = command.iter().map(String::as_str).collect();
        arguments.push("--help");
        let (_, help, _) = run(&arguments);
        let example = format!("  postroom {}", command.join(" "));
        let (_, after) = help.split_once("\nExample:\n").unwrap_or_default();
        assert!(after.starts_with(example.trim_end()), "{command:?}\n{help}");
    }
}

#[test]
fn wrong_arguments_are_64() {
    for arguments in [
        &["post"][..],
        &["check"],
        &[
            "inject", "--milter", "nowhere", "--from", "a@b.c", "--rcpt", "d@e.f", "-",
        ],
        &[
            "bench",
            "milter",
            "--milter",
            "unix:/x",
            "--rcpt",
            "a@b.c",
            "--connections",
            "0",
        ],
    ] {
        let (code, out, error) = run(arguments);
        assert_eq!((code, out.as_str()), (64, ""), "{arguments:?}\n{error}");
        assert!(
            error.contains("Usage:") || error.contains("--help"),
            "{error}"
        );
    }
    let (code, out, _) = run(&["--version"]);
    assert_eq!((code, out.starts_with("postroom ")), (0, true));
}

#[test]
fn the_example_configuration_is_good() {
    let file = in_repository("contrib/postroom.toml");
    let (code, out, error) = run(&["check", "--config", file.to_str().unwrap()]);
    assert_eq!((code, error.as_str()), (0, ""), "{out}");
    assert!(
        out.contains("postroom.toml: good, 2 queues and 3 addresses"),
        "{out}"
    );
    assert!(out.contains("smtpd_milters = inet:127.0.0.1:8891"), "{out}");
}

/// What stands behind a `#` as `#key = value` is the default: the file says the same without it.
#[test]
fn the_example_configuration_shows_every_field() {
    let text = std::fs::read_to_string(in_repository("contrib/postroom.toml")).unwrap();
    let shown: String = text
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(field) if field.starts_with(|c: char| c.is_ascii_lowercase()) => field,
            _ => line,
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shown.toml");
    // A login wants a protected connection, which is not the default.
    std::fs::write(&file, shown.replace("\"plain\"", "\"starttls\"")).unwrap();
    let (code, out, _) = run(&["check", "--config", file.to_str().unwrap()]);
    assert_eq!(code, 0, "{out}");
}

#[test]
fn every_problem_is_named_by_file_and_line() {
    let good = std::fs::read_to_string(in_repository("contrib/postroom.toml")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (good_text, bad_text, complaint) in [
        ("id = \"sales\"", "id = \"S\"", "queue id \"S\" is not"),
        ("data_dir = ", "data_dri = ", "unknown field `data_dri`"),
        ("\"mail.example.org\"", "\"-\"", "gateway.name is not"),
        (
            "#listen = \"inet:127.0.0.1:8891\"",
            "listen = \"x\"",
            "milter.listen must be",
        ),
        (
            "[\"sales@example.org\"]",
            "[\"sales@example.org\", \"help@example.org\"]",
            "belongs to queue support already",
        ),
        (
            "#at_once = 4",
            "at_once = 400",
            "outbound.at_once must be 1 to 50",
        ),
    ] {
        let file = folder.path().join("broken.toml");
        let text = good.replace(good_text, bad_text);
        let line = 1 + text
            .lines()
            .position(|line| line.contains(bad_text))
            .unwrap();
        std::fs::write(&file, text).unwrap();
        let (code, out, error) = run(&["check", "--config", file.to_str().unwrap()]);
        assert_eq!((code, error.as_str()), (78, ""), "{out}");
        let expected = format!("{}:{line}: ", file.display());
        assert!(
            out.starts_with(&expected) && out.contains(complaint),
            "{expected}{complaint}\n{out}"
        );
        assert_eq!(out.lines().count(), 1, "{out}");
    }
    let (code, out, _) = run(&["check", "--config", "/nowhere/postroom.toml"]);
    assert_eq!(code, 78);
    assert!(
        out.starts_with("/nowhere/postroom.toml: cannot be read"),
        "{out}"
    );
}

/// A gateway that does what the recipients' names say.
struct Puppet;

impl Receiver for Puppet {
    fn sender(&self, _: &Envelope) -> Result<(), SmtpReply> {
        Ok(())
    }

    fn recipient(&self, _: &Envelope, recipient: &Recipient) -> RecipientVerdict {
        match &recipient.address[..] {
            b"nobody@shop.example" => {
                RecipientVerdict::Refuse(SmtpReply::new(550, 1, 1, "Nobody here"))
            }
            b"else@shop.example" => RecipientVerdict::Foreign,
            _ => RecipientVerdict::Ours,
        }
    }

    async fn message(&self, arrival: Arrival) -> Verdict {
        match arrival
            .recipients
            .first()
            .map(|recipient| &recipient.address[..])
        {
            Some(b"full@shop.example") => {
                Verdict::Refuse(SmtpReply::new(451, 3, 1, "The disk is full"))
            }
            Some(b"picky@shop.example") => {
                Verdict::Refuse(SmtpReply::new(554, 6, 0, "Not this\nnor that"))
            }
            _ => {
                let tag = Tag::new(NUMBER, "4711").unwrap();
                Verdict::Accept {
                    edits: plan_tags(&arrival.headers, &[NUMBER], &[tag]),
                }
            }
        }
    }
}

/// A puppet that listens; it stops when this is dropped.
struct Played {
    address: String,
    letter: String,
    _folder: tempfile::TempDir,
    _stop: DropGuard,
}

async fn puppet() -> Played {
    let folder = tempfile::tempdir().unwrap();
    let letter = folder.path().join("letter.eml");
    std::fs::write(&letter, LETTER).unwrap();
    let address = "inet:127.0.0.1:0".parse::<Address>().unwrap();
    let listener = Listener::bind(&address).await.unwrap();
    let address = listener.address().to_string();
    let stop = CancellationToken::new();
    let options = Options::new(folder.path());
    tokio::spawn(serve(
        vec![listener],
        Arc::new(Puppet),
        options,
        stop.clone(),
    ));
    Played {
        address,
        letter: letter.to_str().unwrap().to_owned(),
        _folder: folder,
        _stop: stop.drop_guard(),
    }
}

#[tokio::test]
async fn inject_tells_what_the_gateway_said() {
    let played = puppet().await;
    for (recipients, code, verdict, lines) in [
        (
            "support@shop.example",
            0,
            "accepted",
            "  - Postroom-Number (number 1)\n  + Postroom-Number: 4711\n",
        ),
        ("else@shop.example", 0, "released", ""),
        (
            "full@shop.example",
            75,
            "tempfail",
            "  451 4.3.1 The disk is full\n",
        ),
        (
            "picky@shop.example",
            65,
            "refused",
            "  554-5.6.0 Not this\n  554 5.6.0 nor that\n",
        ),
        (
            "nobody@shop.example",
            65,
            "refused",
            "  nobody@shop.example: 550 5.1.1 Nobody here\n",
        ),
        (
            "support@shop.example nobody@shop.example",
            65,
            "accepted",
            "  nobody@shop.example: 550 5.1.1 Nobody here\n  - Postroom-Number (number 1)\n  \
             + Postroom-Number: 4711\n",
        ),
    ] {
        let mut arguments = vec![
            "inject",
            "--milter",
            &played.address,
            "--from",
            "ada@example.org",
        ];
        arguments.extend(
            recipients
                .split(' ')
                .flat_map(|recipient| ["--rcpt", recipient]),
        );
        arguments.push(&played.letter);
        let (ended, out, error) = run_beside(&arguments).await;
        assert_eq!((ended, error.as_str()), (code, ""), "{recipients}\n{out}");
        let (first, rest) = out.split_once('\n').unwrap();
        let expected = format!("{}: {verdict} in ", played.letter);
        assert!(
            first.starts_with(&expected) && first.ends_with(" ms"),
            "{first}"
        );
        assert_eq!(rest, lines, "{recipients}");
    }
}

#[tokio::test]
async fn inject_speaks_to_scripts() {
    let played = puppet().await;
    let arguments = [
        "inject",
        "--json",
        "--milter",
        &played.address,
        "--from",
        "",
        "--rcpt",
        "support@shop.example",
        &played.letter,
        &played.letter,
    ];
    let (code, out, error) = run_beside(&arguments).await;
    assert_eq!((code, error.as_str()), (0, ""), "{out}");
    let answers: Vec<Value> = out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(answers.len(), 2);
    for answer in answers {
        assert_eq!(answer["verdict"], "accepted");
        assert_eq!(answer["file"], played.letter.as_str());
        assert_eq!(answer["recipients"][0]["address"], "support@shop.example");
        assert_eq!(answer["edits"][1]["action"], "add");
        assert_eq!(answer["edits"][1]["value"], "4711");
        assert!(answer["milliseconds"].is_f64(), "{answer}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_said_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("unix:{}/none.sock", folder.path().display());
    let letter = folder.path().join("letter.eml");
    std::fs::write(&letter, LETTER).unwrap();
    let mut arguments = vec![
        "inject", "--milter", &address, "--from", "", "--rcpt", "a@b.c",
    ];
    arguments.push(letter.to_str().unwrap());
    let (code, out, error) = run_beside(&arguments).await;
    assert_eq!((code, out.as_str()), (69, ""));
    assert!(
        error.starts_with(&format!("postroom: {address}: ")),
        "{error}"
    );
    assert!(error.contains("Is the gateway running?"), "{error}");
    arguments.pop();
    arguments.push("/nowhere/letter.eml");
    let (code, _, error) = run_beside(&arguments).await;
    assert_eq!(code, 74, "{error}");
    let bench = ["bench", "milter", "--milter", &address, "--rcpt", "a@b.c"];
    assert_eq!(run_beside(&bench).await.0, 69);
}

#[tokio::test]
async fn bench_counts_every_letter() {
    let played = puppet().await;
    let bench = |rcpt| {
        let address = played.address.clone();
        async move {
            let arguments = [
                "bench",
                "milter",
                "--milter",
                &address,
                "--rcpt",
                rcpt,
                "--connections",
                "3",
                "--messages",
                "20",
                "--size",
                "100000",
                "--json",
            ];
            let (code, out, error) = run_beside(&arguments).await;
            assert_eq!(error, "");
            (code, serde_json::from_str::<Value>(&out).unwrap())
        }
    };
    let (code, report) = bench("support@shop.example").await;
    assert_eq!(code, 0, "{report}");
    assert_eq!(report["messages"], 20);
    assert_eq!(report["refused"], 0);
    assert!(report["verdict_milliseconds"]["p99"].is_f64(), "{report}");
    let (code, report) = bench("full@shop.example").await;
    assert_eq!((code, &report["tempfail"]), (75, &Value::from(20)));
}
