//! How a command fails: an exit code for scripts, what happened, and what to do about it.

use std::fmt;
use std::io;

/// Exit codes, from `sysexits.h`, so that Postfix's pipes and systemd understand them too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// The arguments make no sense.
    Usage = 64,
    /// A letter was refused for good, or data make no sense.
    Refused = 65,
    /// A server cannot be reached, or it said no.
    Unavailable = 69,
    /// Something that can only be our own mistake.
    Software = 70,
    /// A file cannot be read or a line not be written.
    Io = 74,
    /// Refused for now: trying again later may help.
    TryLater = 75,
    /// The configuration file is wrong.
    Config = 78,
}

/// Why a command ended without success. Printed to standard error, unless it has no words.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    what: String,
    advice: Option<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        let what = what.into();
        Self {
            exit,
            what,
            advice: None,
        }
    }

    /// An exit code alone: everything has been said on the way.
    pub(crate) fn silent(exit: Exit) -> Self {
        Self::new(exit, "")
    }

    /// Adds what to do next.
    pub(crate) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// A file that could not be read.
    pub(crate) fn file(name: impl fmt::Display, error: &io::Error) -> Self {
        Self::new(Exit::Io, format!("{name}: {error}"))
    }

    pub(crate) fn is_silent(&self) -> bool {
        self.what.is_empty()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "postroom: {}", self.what)?;
        match &self.advice {
            Some(advice) => write!(f, "\n{advice}"),
            None => Ok(()),
        }
    }
}
