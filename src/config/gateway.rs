//! The `[gateway]` section: this installation, its name and its data folder.

use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::check::Check;
use crate::desk::Zone;
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
    /// The time zone in which the daily figures of agents are counted, and those of queues without
    /// `hours`, by its name in the tz database, such as `Europe/Berlin`. After a change the days
    /// before keep what was counted. Default: `UTC`.
    #[serde(default = "time_zone")]
    pub time_zone: Spanned<String>,
}

fn time_zone() -> Spanned<String> {
    super::unplaced("UTC")
}

impl Gateway {
    /// The time zone; UTC if there is none of that name, which does not pass the check.
    pub(super) fn zone(&self) -> Zone {
        self.time_zone.get_ref().parse().unwrap_or_default()
    }

    pub(super) fn check(&self, check: &mut Check<'_>) {
        let name = &self.name;
        if normal_domain(name.get_ref()).is_err() {
            check.blame(name, "gateway.name is not a domain name".to_owned());
        }
        let zone = &self.time_zone;
        if zone.get_ref().parse::<Zone>().is_err() {
            let what = format!(
                "there is no time zone {:?}; use a name of the tz database such as Europe/Berlin",
                zone.get_ref()
            );
            check.blame(zone, what);
        }
        for domain in &self.queue_domains {
            if normal_domain(domain.get_ref()).is_err() {
                let what = format!("{:?} is not a domain name", domain.get_ref());
                check.blame(domain, what);
            }
        }
    }
}
