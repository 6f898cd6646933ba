//! The `[gateway]` section: this installation, its name and its data folder.

use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::check::Check;

/// This installation.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gateway {
    /// Folder for all that must outlive the process; made if it is not there. On a local file
    /// system that honours fdatasync. No default.
    pub data_dir: PathBuf,
    /// Our name in Authentication-Results, in EHLO and on the right of the Message-IDs that we
    /// make: a domain of yours. No default.
    pub name: Spanned<String>,
}

impl Gateway {
    pub(super) fn check(&self, check: &mut Check<'_>) {
        let name = &self.name;
        if crate::mail::address::normal_domain(name.get_ref()).is_err() {
            check.blame(name, "gateway.name is not a domain name".to_owned());
        }
    }
}
