//! OpenDKIM's miltertest, an MTA's side of the protocol that others wrote, with the scripts of
//! `tests/milter/lua`.
//!
//! Without it these scripts are skipped, and that is said; `POSTROOM_REQUIRE_POSTFIX=1` makes that a
//! failure.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use postroom::milter::Address;

use crate::house::Server;

/// Debian's package of this name has it.
const PROGRAM: &str = "miltertest";

fn is_here() -> bool {
    let version = Command::new(PROGRAM)
        .arg("-V")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let here = version.is_ok();
    if !here {
        let required = std::env::var_os("POSTROOM_REQUIRE_POSTFIX").is_some_and(|set| set == "1");
        assert!(!required, "{PROGRAM} is not installed");
        eprintln!("skipped: {PROGRAM} is not installed");
    }
    here
}

#[tokio::test]
async fn scripts_of_an_mta_that_others_wrote() {
    if !is_here() {
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/milter/lua");
    let mut scripts: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| !path.ends_with("lib.lua"))
        .collect();
    scripts.sort();
    assert!(!scripts.is_empty());
    for script in scripts {
        let mut server = Server::start(true, |_| {}).await;
        let Address::Inet { host, port } = &server.address else {
            panic!("{}", server.address);
        };
        let mut command = Command::new(PROGRAM);
        command
            .args(["-D", &format!("socket=inet:{port}@{host}")])
            .args(["-D", &format!("folder={}", folder.display())])
            .arg("-v")
            .arg("-s")
            .arg(&script)
            .stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output());
        let output = output.await.unwrap().unwrap();
        assert!(
            output.status.success(),
            "{}: {}{}",
            script.display(),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        while server.shown.try_recv().is_ok() {}
        server.assert_alive().await;
    }
}
