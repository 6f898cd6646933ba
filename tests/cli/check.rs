//! `check --postfix`, beside a Postfix that is a script.

use std::os::unix::fs::PermissionsExt as _;

use crate::{in_repository, postroom, told};

/// What `check --postfix` says beside a Postfix that answers by this script.
fn beside_postfix(script: &str) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    let postconf = folder.path().join("postconf");
    std::fs::write(&postconf, format!("#!/bin/sh\n{script}")).unwrap();
    std::fs::set_permissions(&postconf, std::fs::Permissions::from_mode(0o755)).unwrap();
    let file = in_repository("contrib/postroom.toml");
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    let mut command = postroom(&["check", "--postfix", "--config", file.to_str().unwrap()]);
    let (code, out, error) = told(command.env("PATH", path).output().unwrap());
    assert_eq!(error, "", "{out}");
    (code, out)
}

#[test]
fn what_does_not_fit_postfix_is_a_hint() {
    // Parameters, services and their own parameters are three questions.
    let (code, out) = beside_postfix(
        r#"case "$1$2" in
-M) echo "smtp inet n - n - - smtpd" ;;
-x-P) echo "smtp/inet/smtpd_milters = inet:localhost:8891, inet:last:1" ;;
*) echo "milter_default_action = accept"
   echo "message_size_limit = 10000000"
   echo "recipient_delimiter = +" ;;
esac
"#,
    );
    assert_eq!(code, 0, "{out}");
    for told in [
        "hint: smtp: the filter inet:last:1 stands behind this gateway",
        "hint: smtp: milter_default_action is not tempfail",
        "hint: milter.message_bytes_max = 10000000 is less than 8 KiB below",
    ] {
        assert!(out.contains(told), "{told}\n{out}");
    }
    assert!(!out.contains("recipient_delimiter"), "{out}");
    // A Postfix that says too much, or nothing, is no problem of the configuration.
    let (code, out) = beside_postfix("exec yes 'smtpd_milters = inet:127.0.0.1:8891'");
    assert_eq!(
        (code, out.contains("no smtpd of Postfix")),
        (0, true),
        "{out}"
    );
    let (code, out) = beside_postfix("exit 1");
    let told = "Postfix could not be asked: postconf: it said nothing";
    assert_eq!((code, out.contains(told)), (0, true), "{out}");
}

#[test]
fn a_machine_without_postfix_is_told() {
    let file = in_repository("contrib/postroom.toml");
    let mut command = postroom(&["check", "--postfix", "--config", file.to_str().unwrap()]);
    let (code, out, _) = told(command.env("PATH", "/nowhere").output().unwrap());
    assert_eq!(code, 0, "{out}");
    assert!(
        out.contains("hint: Postfix could not be asked: postconf: "),
        "{out}"
    );
}
