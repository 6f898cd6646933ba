//! What README.md and ARCHITECTURE.md say of the code, held against the code.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use super::{files, root, text};

const REFERENCE_BEGINS: &str =
    "<!-- Written from src/config/ by: UPDATE=1 cargo test --test tidy -->\n";
const REFERENCE_ENDS: &str = "<!-- End of what is written from src/config/. -->\n";

/// One key of the configuration file.
#[derive(Debug)]
struct Field {
    name: String,
    /// What its documentation says, without the default.
    meaning: String,
    /// What stands behind "Default:", or "required".
    default: String,
}

/// The text of all files of `src/config/`, in the order of their names.
fn configuration() -> String {
    let folder = root().join("src/config");
    let read = |file| fs::read_to_string(folder.join(file)).unwrap();
    files(&folder).into_iter().map(read).collect()
}

/// The fields of `pub struct name` in the text of `src/config/`, in their order.
fn fields_of(config: &str, name: &str) -> Vec<Field> {
    let head = format!("pub struct {name} {{\n");
    let body = config
        .split_once(&head)
        .unwrap_or_else(|| panic!("no {head}"))
        .1;
    let body = body.split_once("\n}").unwrap().0;
    let mut fields = Vec::new();
    let mut doc = String::new();
    for line in body.lines().map(str::trim) {
        if let Some(words) = line.strip_prefix("///") {
            doc.push_str(words);
        } else if let Some(declared) = line.strip_prefix("pub ") {
            let name = declared.split(':').next().unwrap().to_owned();
            let doc = std::mem::take(&mut doc);
            let doc = doc.trim();
            let (meaning, default) = if let Some(meaning) = doc.strip_suffix("No default.") {
                (meaning, "required")
            } else if let Some((meaning, default)) = doc.split_once("Default: ") {
                (meaning, default.strip_suffix('.').unwrap_or(default))
            } else {
                (doc, "")
            };
            fields.push(Field {
                name,
                meaning: meaning.trim().to_owned(),
                default: default.to_owned(),
            });
        }
    }
    fields
}

/// A section: its key in `Config`, the struct behind it, and how the file writes it.
fn sections_of(config: &str) -> Vec<(Field, &str, String)> {
    let whole = config.split_once("pub struct Config {").unwrap().1;
    let section = |field: Field| {
        let declared = whole
            .split_once(&format!("pub {}: ", field.name))
            .and_then(|(_, rest)| rest.split_once(",\n"))
            .unwrap()
            .0;
        let list = declared.strip_prefix("Vec<");
        match list.and_then(|kind| kind.strip_suffix('>')) {
            Some(kind) => {
                let header = format!("[[{}]]", field.name);
                (field, kind, header)
            }
            None => {
                let header = format!("[{}]", field.name);
                (field, declared, header)
            }
        }
    };
    (fields_of(config, "Config").into_iter())
        .map(section)
        .collect()
}

/// The configuration reference as README.md shall have it.
fn reference(config: &str) -> String {
    let mut written = String::new();
    for (section, kind, header) in sections_of(config) {
        let _ = write!(
            written,
            "\n**`{header}`** {}\n\n| key | default | meaning |\n| --- | --- | --- |\n",
            section.meaning
        );
        for field in fields_of(config, kind) {
            assert!(
                !field.default.is_empty(),
                "{header} {}: its documentation names no default",
                field.name
            );
            let _ = writeln!(
                written,
                "| `{}` | {} | {} |",
                field.name, field.default, field.meaning
            );
        }
    }
    written.push('\n');
    written
}

#[test]
fn the_readme_explains_every_key_of_the_configuration() {
    let expected = reference(&configuration());
    let readme = text("README.md");
    let (before, rest) = readme.split_once(REFERENCE_BEGINS).unwrap();
    let (written, after) = rest.split_once(REFERENCE_ENDS).unwrap();
    if written != expected && std::env::var_os("UPDATE").is_some() {
        let readme = format!("{before}{REFERENCE_BEGINS}{expected}{REFERENCE_ENDS}{after}");
        fs::write(root().join("README.md"), readme).unwrap();
        return;
    }
    assert_eq!(
        written, expected,
        "README.md is behind src/config/; run with UPDATE=1"
    );
}

#[test]
fn the_defaults_that_are_written_are_the_defaults() {
    let config = configuration();
    let smallest = "[gateway]\ndata_dir = \"d\"\nname = \"shop.example\"\n[[queue]]\nid = \"support\"\naddresses = [\"a@shop.example\"]\n[[hours]]\nid = \"office\"\ntime_zone = \"UTC\"\nmonday = [\"09:00-17:00\"]\n[[rule]]\nname = \"x\"\npriority = 1\n[[dkim]]\ndomain = \"shop.example\"\nselector = \"a\"\nkey_file = \"k\"\n";
    let parsed = postroom::config::Config::parse(smallest).unwrap();
    // The printed form names every field with its value, whatever type it has.
    let printed = format!("{parsed:?}");
    for (_, section, _) in sections_of(&config) {
        for Field { name, default, .. } in fields_of(&config, section) {
            let Some(value) = default.strip_prefix('`').and_then(|d| d.split_once('`')) else {
                continue;
            };
            // What depends on another key is said in words behind the value.
            if !value.1.is_empty() {
                continue;
            }
            let value = value.0;
            let camel: String = value.split('_').map(capitalised).collect();
            let body = printed.split_once(&format!("{section} {{")).unwrap().1;
            let held = body.split_once(&format!("{name}: ")).unwrap().1;
            let spanned = held
                .strip_prefix("Spanned { span: 0..0, value: ")
                .unwrap_or(held);
            let same = [value, &format!("{value:?}"), &camel].iter().any(|form| {
                spanned
                    .strip_prefix(form)
                    .is_some_and(|rest| rest.starts_with([' ', ',', '}']))
            });
            assert!(
                same,
                "[{section}] {name}: {value} is written, {:.60} is held",
                held
            );
        }
    }
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

/// What stands between single backticks, outside of fenced blocks.
fn quoted(markdown: &str) -> Vec<&str> {
    let outside = markdown.split("```").step_by(2);
    outside
        .flat_map(|text| text.split('`').skip(1).step_by(2))
        .collect()
}

#[test]
fn what_the_architecture_names_is_there() {
    let architecture = text("ARCHITECTURE.md");
    let mut report = String::new();
    for name in quoted(&architecture) {
        let path = name.trim_end_matches('/');
        let is_path = name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "./_-".contains(c))
            && (name.contains('/') || path.ends_with(".rs") || path.ends_with(".md"));
        if is_path && !exists(path) && !root().join("src").join(path).exists() {
            let _ = writeln!(report, "no such file: {name}");
        }
        if let Some(missing) = missing_item(name) {
            let _ = writeln!(report, "{name}: {missing}");
        }
    }
    assert!(report.is_empty(), "\n{report}");
}

fn exists(path: &str) -> bool {
    root().join(path).exists()
}

/// For a path of ours such as `desk::Desk::tick`: the part of it that the source does not have.
fn missing_item(name: &str) -> Option<String> {
    let segments: Vec<&str> = name.split("::").collect();
    let ours = segments.len() > 1
        && segments.iter().all(|segment| {
            segment.starts_with(|c: char| c.is_ascii_alphabetic())
                && segment
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || c == '_')
        })
        && segments[0].starts_with(|c: char| c.is_ascii_lowercase())
        && segments[0] != "std";
    if !ours {
        return None;
    }
    let mut place = "src".to_owned();
    let mut items = segments.iter();
    let mut rest = Vec::new();
    for segment in items.by_ref() {
        let below = format!("{place}/{segment}");
        if exists(&below) || exists(&format!("{below}.rs")) {
            place = below;
        } else {
            rest.push(*segment);
            break;
        }
    }
    rest.extend(items);
    if place == "src" {
        return Some(format!("no module {}", segments[0]));
    }
    let mut source = fs::read_to_string(root().join(format!("{place}.rs"))).unwrap_or_default();
    if exists(&place) {
        for file in files(&root().join(&place)) {
            source += &text(&format!("{place}/{}", file.display()));
        }
    }
    let words: BTreeSet<&str> = source
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .collect();
    rest.into_iter()
        .find(|item| !words.contains(item))
        .map(|item| format!("no {item} in {place}"))
}

#[test]
fn a_name_of_nothing_is_noticed() {
    assert_eq!(missing_item("desk::Desk::tick"), None);
    assert_eq!(missing_item("std::fs"), None);
    assert_eq!(missing_item("milter::wire"), None);
    assert!(missing_item("desk::Desk::tock").is_some());
    assert!(missing_item("counter::Desk").is_some());
    assert_eq!(quoted("a `b` c\n```\n`d`\n```\n`e`"), ["b", "e"]);
}

#[test]
fn the_architecture_names_every_part() {
    let architecture = text("ARCHITECTURE.md");
    let quoted = quoted(&architecture);
    for entry in fs::read_dir(root().join("src")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let named = quoted
            .iter()
            .any(|quoted| quoted.trim_start_matches("src/").trim_end_matches('/') == name);
        assert!(named, "ARCHITECTURE.md does not name src/{name}");
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    for document in ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"] {
        let written = text(document);
        for target in written.split("](").skip(1) {
            let target = target.split(')').next().unwrap_or_default();
            if target.contains("://") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() { document } else { file };
            assert!(exists(file), "{document}: no {file}");
            let anchors: Vec<String> = text(file).lines().filter_map(anchor_of).collect();
            assert!(
                anchor.is_empty() || anchors.iter().any(|known| known == anchor),
                "{document}: no heading for #{anchor} in {file}"
            );
        }
    }
}

/// The anchor that the usual renderers give a heading.
fn anchor_of(line: &str) -> Option<String> {
    let heading = line
        .strip_prefix('#')?
        .trim_start_matches('#')
        .strip_prefix(' ')?;
    Some(
        heading
            .to_lowercase()
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect(),
    )
}
