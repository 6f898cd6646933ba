//! The program from outside: what its commands print and how they end.

#![expect(clippy::unwrap_used, reason = "a test's helpers are part of the test")]

#[path = "cli/check.rs"]
mod check;
#[path = "cli/replay.rs"]
mod replay;

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use postroom::milter::{
    Address, Arrival, Current, Envelope, FieldName, Listener, Options, Receiver, Recipient,
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
            Some(field) if field.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => field,
            _ => line,
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    let mut sections = String::new();
    for entry in std::fs::read_dir(in_repository("src/config")).unwrap() {
        let file = entry.unwrap().path();
        // What a check keeps is no field of the file.
        if file.is_file() && !file.ends_with("check.rs") {
            sections += &std::fs::read_to_string(file).unwrap();
        }
    }
    assert!(sections.contains("pub struct Config"));
    for line in sections.lines() {
        let field = line
            .strip_prefix("    pub ")
            .and_then(|rest| rest.split_once(':'));
        if let Some((field, _)) = field
            && !line.contains("fn ")
        {
            let written = [
                format!("\n{field} = "),
                format!("[{field}]"),
                format!("[[{field}]]"),
            ];
            assert!(
                written.iter().any(|text| shown.contains(text)),
                "{field} is missing"
            );
        }
    }
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
    fn message_bytes_max(&self) -> u64 {
        u64::MAX
    }

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
        Arc::new(Current::new(Arc::new(Puppet))),
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

#[test]
fn keys_for_dkim_are_made_once_and_their_record_said_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("2026a.pem");
    let names = ["--domain", "Shop.Example", "--selector", "2026a"];
    let key = file.to_str().unwrap();
    let generate = [
        &["dkim", "generate", "--algorithm", "ed25519", "--out", key][..],
        &names,
    ]
    .concat();
    let (code, out, error) = run(&generate);
    assert_eq!((code, error.as_str()), (0, ""), "{out}");
    let record = (out.lines())
        .find(|line| line.contains(" IN TXT "))
        .unwrap();
    assert!(record.starts_with("2026a._domainkey.shop.example. IN TXT \"v=DKIM1; k=ed25519; p="));
    assert!(
        out.contains("[[dkim]]\ndomain = \"shop.example\"\n"),
        "{out}"
    );
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let (code, said, _) = run(&[&["dkim", "record", "--key", key][..], &names].concat());
    assert_eq!((code, said.trim_end()), (0, record));
    // `check` says it if a key that the configuration names is none.
    let good = std::fs::read_to_string(in_repository("contrib/postroom.toml")).unwrap();
    let config = folder.path().join("postroom.toml");
    for (named, hinted) in [(key, false), ("/nowhere/2026a.pem", true)] {
        let section = format!(
            "\n[[dkim]]\ndomain = \"shop.example\"\nselector = \"a\"\nkey_file = {named:?}\n"
        );
        std::fs::write(&config, good.clone() + &section).unwrap();
        let (code, out, _) = run(&["check", "--config", config.to_str().unwrap()]);
        assert_eq!(code, 0, "{out}");
        assert_eq!(
            out.contains("hint: /nowhere/2026a.pem: No such file"),
            hinted,
            "{out}"
        );
    }
    // A key that is there is not written over.
    let before = std::fs::read(&file).unwrap();
    let (code, _, error) = run(&generate);
    assert_eq!(
        (code, std::fs::read(&file).unwrap()),
        (74, before),
        "{error}"
    );
    let (code, _, error) = run(&[
        "dkim",
        "record",
        "--key",
        key,
        "--domain",
        "a b",
        "--selector",
        "x",
    ]);
    assert_eq!(code, 64);
    assert!(
        error.contains("domain \"a b\" is not a host name"),
        "{error}"
    );
}

#[test]
fn the_demo_tells_its_story() {
    let (code, out, error) = run(&["demo", "--once"]);
    assert_eq!((code, error.as_str()), (0, ""), "{out}");
    let value = |after: &str, name: &str| {
        let (_, rest) = out
            .split_once(after)
            .unwrap_or_else(|| panic!("no {after:?} in\n{out}"));
        let found = rest
            .lines()
            .find_map(|line| line.trim_start().strip_prefix(name));
        found
            .unwrap_or_else(|| panic!("no {name} after {after:?} in\n{out}"))
            .trim()
            .to_owned()
    };
    for (step, name, expected) in [
        ("Ada writes to support@", "X-Postroom-Queue", "support"),
        ("Ada writes to support@", "trust", "A: "),
        ("Karl writes to sales@", "X-Postroom-Queue", "sales"),
        ("Karl writes to sales@", "trust", "C: "),
        ("sets herself Available", "Mira is", "available"),
        (
            "offered Ada's letter",
            "customer",
            "Ada Lovelace <ada@lovelace.example>",
        ),
        ("offered Ada's letter", "subject", "Where is my order?"),
        ("offered Ada's letter", "queue", "Customer support"),
        ("She accepts", "Mira is", "busy"),
        ("replies from the second", "Mira is", "wrap up"),
        (
            "receives the reply",
            "From",
            "Customer support <help@shop.example>",
        ),
        (
            "receives the reply",
            "To",
            "Ada Lovelace <ada@lovelace.example>",
        ),
        ("receives the reply", "Subject", "Re: Where is my order?"),
        (
            "receives the reply",
            "In-Reply-To",
            "<order.1@lovelace.example>",
        ),
        ("on its way", "delivery", "confirmed"),
        ("completes the wrap-up", "Mira is", "available"),
        ("She signs out", "Mira is", "signed out"),
    ] {
        let found = value(step, name);
        assert!(found.starts_with(expected), "{step}: {name}: {found}");
    }
    let number = value("Ada writes to support@", "MainNumber");
    assert_eq!(value("Ada answers the reply", "MainNumber"), number);
    assert_ne!(value("Karl writes to sales@", "MainNumber"), number);
    let folder = value("The gateway starts", "administrator");
    let folder = Path::new(folder.strip_prefix("unix:").unwrap())
        .parent()
        .unwrap();
    assert!(!folder.exists(), "{}", folder.display());
}

/// `postroom serve` on free ports; killed when this is dropped.
struct Served {
    child: Child,
    milter: String,
    socket: String,
    config: String,
    folder: tempfile::TempDir,
}

impl Served {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let config = path("postroom.toml");
        let text = format!(
            "[gateway]\ndata_dir = \"{}\"\nname = \"mail.shop.example\"\n\
             [milter]\nlisten = \"inet:127.0.0.1:0\"\n[control]\nlisten = \"127.0.0.1:0\"\n\
             [authentication]\nresolver = \"off\"\n[store]\nfree_space_floor_mib = 1\n\
             [[queue]]\nid = \"support\"\naddresses = [\"support@shop.example\"]\n",
            path("data")
        );
        std::fs::write(&config, text).unwrap();
        let mut command = postroom(&["serve", "--config", &config]);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let milter = log
            .find_map(|line| {
                let line = line.unwrap();
                let (_, rest) = line.split_once("listening for Postfix on ")?;
                Some(rest.split([',', ' ']).next()?.to_owned())
            })
            .unwrap();
        // Whoever no longer reads would make the gateway wait for room in the pipe.
        std::thread::spawn(move || log.for_each(drop));
        Self {
            child,
            milter,
            socket: path("data/control.sock"),
            config,
            folder,
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn agents_and_keys() {
    let served = Served::start();
    let place = format!("unix:{}", served.socket);
    let at = ["--server", &place];
    let with = |arguments: &[&str]| {
        let arguments: Vec<&str> = arguments.iter().chain(&at).copied().collect();
        run(&arguments)
    };
    let add = [
        "agent",
        "add",
        "mira",
        "--name",
        "Mira Lund",
        "--queue",
        "support",
    ];
    let (code, out, error) = with(&add);
    assert_eq!(
        (code, out.as_str()),
        (0, "agents/mira: made, serves queues/support\n"),
        "{error}"
    );
    let (code, out, error) = with(&add);
    assert_eq!((code, out.as_str()), (69, ""));
    assert!(error.contains("RESOURCE_EXISTS"), "{error}");
    let (code, _, error) = with(&["agent", "add", "M", "--name", "M", "--queue", "support"]);
    assert_eq!(code, 64, "{error}");

    let (_, out, _) = with(&["agent", "list"]);
    assert!(
        out.contains("Mira Lund") && out.contains("no password"),
        "{out}"
    );
    let password = served.folder.path().join("password");
    std::fs::write(&password, "correct horse\n").unwrap();
    let set = postroom(&["agent", "password", "mira", "--config", &served.config])
        .stdin(std::fs::File::open(&password).unwrap())
        .output()
        .unwrap();
    assert_eq!(told(set).1, "agents/mira: password set\n");
    let (_, out, _) = with(&["agent", "list", "--json"]);
    let mira: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(mira["name"], "agents/mira");
    assert_eq!(mira["passwordSet"], true);

    let create = [
        "key",
        "create",
        "--name",
        "wall",
        "--role",
        "observer",
        "--expires-days",
        "30",
    ];
    let (code, secret, error) = with(&create);
    assert_eq!((code, secret.lines().count()), (0, 1), "{error}");
    assert!(error.contains("observer  wall  expires 2"), "{error}");
    let id = error.split(' ').next().unwrap();
    let (_, out, _) = with(&["key", "list"]);
    assert!(out.starts_with(id) && !out.contains(secret.trim()), "{out}");
    // The key counts even on the control socket, and an observer makes no agents.
    let key = served.folder.path().join("key");
    std::fs::write(&key, &secret).unwrap();
    let key = key.to_str().unwrap();
    let (code, _, error) = with(&["agent", "list", "--key-file", key]);
    assert_eq!(code, 69);
    assert!(
        error.contains("ROLE_REQUIRED") && error.contains("postroom key create"),
        "{error}"
    );
    let (code, out, _) = with(&["key", "revoke", id]);
    assert_eq!(code, 0);
    assert!(out.contains("revoked 2"), "{out}");
    let (_, _, error) = with(&["agent", "list", "--key-file", key]);
    assert!(error.contains("CREDENTIAL_INVALID"), "{error}");
}

#[test]
fn watch_tells_what_happens() {
    let served = Served::start();
    let letter = served.folder.path().join("letter.eml");
    std::fs::write(&letter, LETTER).unwrap();
    let watch = |json: &[&str]| {
        let mut arguments = vec!["watch", "--socket", &served.socket];
        arguments.extend(json);
        let mut command = postroom(&arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        (child, lines.map(Result::unwrap))
    };
    let (mut for_people, mut words) = watch(&[]);
    let (mut for_scripts, mut frames) = watch(&["--json"]);
    assert!(words.next().unwrap().starts_with("queues/support"));
    let overview: Value = serde_json::from_str(&frames.next().unwrap()).unwrap();
    assert_eq!(overview["overview"]["queues"][0]["queue"], "queues/support");

    let (code, out, error) = run(&[
        "inject",
        "--milter",
        &served.milter,
        "--from",
        "ada@example.org",
        "--rcpt",
        "support@shop.example",
        letter.to_str().unwrap(),
    ]);
    assert_eq!(code, 0, "{out}{error}");
    let line = words.next().unwrap();
    assert!(
        line.contains("mail waits") && line.contains("“Order” from ada@example.org"),
        "{line}"
    );
    let event: Value = serde_json::from_str(&frames.next().unwrap()).unwrap();
    assert_eq!(
        event["event"]["interactionQueued"]["interaction"]["subject"],
        "Order"
    );

    drop(served);
    assert_eq!(for_people.wait().unwrap().code(), Some(69));
    assert_eq!(for_scripts.wait().unwrap().code(), Some(69));
}
