//! The `[gateway]` section: this installation, its name and its data folder.

use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::check::Check;
use crate::mail::address::normal_domain;

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
    /// Domains in which every address is a queue's: any other is refused with 550 5.1.1 instead
    /// of being left to Postfix; `postmaster` is always left to it. Default: none.
    #[serde(default)]
    pub queue_domains: Vec<Spanned<String>>,
    /// Tells queue, case and interaction in Postfix's copy even if it goes to others than the
    /// queues as well. Default: `false`.
    #[serde(default)]
    pub tag_foreign: bool,
}

impl Gateway {
    pub(super) fn check(&self, check: &mut Check<'_>) {
        let name = &self.name;
        if normal_domain(name.get_ref()).is_err() {
            check.blame(name, "gateway.name is not a domain name".to_owned());
        }
        for domain in &self.queue_domains {
            if normal_domain(domain.get_ref()).is_err() {
                let what = format!("{:?} is not a domain name", domain.get_ref());
                check.blame(domain, what);
            }
        }
    }
}
