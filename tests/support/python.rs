//! Debian's Python, whose packages read and verify what we send.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::Command;

/// Set where a missing package is a failure, as a missing Postfix is.
const REQUIRED: &str = "POSTROOM_REQUIRE_POSTFIX";

/// Debian's, whichever comes first on the path: its packages are in no other.
const PROGRAM: &str = "/usr/bin/python3";

/// Whether Python is here with these modules; says on standard error what is not.
pub(crate) fn has(modules: &str) -> bool {
    let imported = Command::new(PROGRAM)
        .args(["-c", &format!("import {modules}")])
        .output();
    if imported.is_ok_and(|output| output.status.success()) {
        return true;
    }
    let why = format!("{PROGRAM} has not all of {modules}");
    assert!(
        std::env::var_os(REQUIRED).is_none_or(|value| value != "1"),
        "{why}, and {REQUIRED} is set"
    );
    let _ = writeln!(io::stderr(), "skipped: {why}");
    false
}

/// What a script in `tests/` prints when it is given these arguments.
pub(crate) fn run(script: &str, arguments: &[&str]) -> String {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let output = Command::new(PROGRAM)
        .arg(tests.join(script))
        .args(arguments)
        .output()
        .unwrap();
    let problem = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {problem}");
    String::from_utf8(output.stdout).unwrap()
}
