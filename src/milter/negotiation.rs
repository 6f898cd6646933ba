//! What both sides agree on at the start: a version, what we may change, what need not be sent.
//!
//! The rule of every answer is *wanted and offered*: Postfix drops a filter that asks for an
//! action it did not offer, silently ignores a step bit that it does not know (and then both sides
//! wait for each other), and Sendmail refuses either.

use std::fmt;

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Newest protocol version, spoken since Sendmail 8.14 and Postfix 2.6.
pub const VERSION_MAX: u32 = 6;

/// Oldest version that we serve. What came before has no MTA left that speaks it.
pub const VERSION_MIN: u32 = 2;

/// First version in which the MTA tells us about DATA.
pub const VERSION_DATA: u32 = 4;

macro_rules! bits {
    ($(#[$doc:meta])* $name:ident { $($(#[$bit_doc:meta])* $bit:ident = $value:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name(pub u32);

        impl $name {
            $($(#[$bit_doc])* pub const $bit: Self = Self($value);)*

            /// Whether all of these bits are set.
            #[must_use]
            pub const fn contains(self, bits: Self) -> bool {
                self.0 & bits.0 == bits.0
            }

            /// The bits that both sides have.
            #[must_use]
            pub const fn and(self, bits: Self) -> Self {
                Self(self.0 & bits.0)
            }

            /// The bits that either side has.
            #[must_use]
            pub const fn or(self, bits: Self) -> Self {
                Self(self.0 | bits.0)
            }

            /// These bits without some.
            #[must_use]
            pub const fn without(self, bits: Self) -> Self {
                Self(self.0 & !bits.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut rest = self.0;
                let mut separator = "";
                $(if rest & $value != 0 {
                    write!(f, "{separator}{}", stringify!($bit))?;
                    rest &= !$value;
                    separator = "|";
                })*
                if rest != 0 || separator.is_empty() {
                    write!(f, "{separator}{rest:#x}")?;
                }
                Ok(())
            }
        }
    };
}

bits! {
    /// What the filter may ask for at the end of a message (`SMFIF_` in the peer's sources).
    Actions {
        /// Add and insert header fields.
        ADDHDRS = 0x001,
        /// Replace the body.
        CHGBODY = 0x002,
        /// Add recipients.
        ADDRCPT = 0x004,
        /// Remove recipients.
        DELRCPT = 0x008,
        /// Change and delete header fields.
        CHGHDRS = 0x010,
        /// Put the message into the MTA's hold queue.
        QUARANTINE = 0x020,
        /// Change the envelope sender.
        CHGFROM = 0x040,
        /// Add recipients with ESMTP arguments.
        ADDRCPT_PAR = 0x080,
        /// Say which macros are wanted.
        SETSYMLIST = 0x100,
    }
}

bits! {
    /// What the MTA need not send, and need not wait for (`SMFIP_` in the peer's sources).
    Steps {
        /// Do not send SMFIC_CONNECT.
        NOCONNECT = 0x00_0001,
        /// Do not send SMFIC_HELO.
        NOHELO = 0x00_0002,
        /// Do not send SMFIC_MAIL.
        NOMAIL = 0x00_0004,
        /// Do not send SMFIC_RCPT.
        NORCPT = 0x00_0008,
        /// Do not send SMFIC_BODY.
        NOBODY = 0x00_0010,
        /// Do not send SMFIC_HEADER.
        NOHDRS = 0x00_0020,
        /// Do not send SMFIC_EOH.
        NOEOH = 0x00_0040,
        /// No reply to SMFIC_HEADER; older than the other bits of its kind.
        NR_HDR = 0x00_0080,
        /// Do not send SMFIC_UNKNOWN.
        NOUNKNOWN = 0x00_0100,
        /// Do not send SMFIC_DATA.
        NODATA = 0x00_0200,
        /// The MTA understands SMFIR_SKIP.
        SKIP = 0x00_0400,
        /// Show recipients that the MTA refuses, too.
        RCPT_REJ = 0x00_0800,
        /// No reply to SMFIC_CONNECT.
        NR_CONN = 0x00_1000,
        /// No reply to SMFIC_HELO.
        NR_HELO = 0x00_2000,
        /// No reply to SMFIC_MAIL.
        NR_MAIL = 0x00_4000,
        /// No reply to SMFIC_RCPT.
        NR_RCPT = 0x00_8000,
        /// No reply to SMFIC_DATA.
        NR_DATA = 0x01_0000,
        /// No reply to SMFIC_UNKNOWN.
        NR_UNKN = 0x02_0000,
        /// No reply to SMFIC_EOH.
        NR_EOH = 0x04_0000,
        /// No reply to SMFIC_BODY.
        NR_BODY = 0x08_0000,
        /// Header values come and go with the white space after the colon.
        HDR_LEADSPC = 0x10_0000,
    }
}

impl Actions {
    /// What we ask for: to tag, to remove forged tags, and to remove recipients whose mail is ours
    /// alone. Nothing that we do not use.
    pub const WANTED: Self = Self::ADDHDRS
        .or(Self::CHGHDRS)
        .or(Self::DELRCPT)
        .or(Self::SETSYMLIST);

    /// What header edits need. With only one of them a forged tag could stay beside ours.
    pub const TAGGING: Self = Self::ADDHDRS.or(Self::CHGHDRS);

    /// All that Postfix 3.7 offers.
    pub const POSTFIX: Self = Self(0x1ff);
}

impl Steps {
    /// What we ask of an MTA that tells us about DATA. Replies stay at MAIL and RCPT, which we
    /// decide on, and at DATA, where mail for nobody here is released.
    pub const WANTED: Self = Self::NR_CONN
        .or(Self::NR_HELO)
        .or(Self::NR_HDR)
        .or(Self::NR_EOH)
        .or(Self::NR_BODY)
        .or(Self::NOUNKNOWN)
        .or(Self::HDR_LEADSPC);

    /// All that Postfix 3.7 offers.
    pub const POSTFIX: Self = Self(0x1f_ffff);
}

/// What the MTA offers in its SMFIC_OPTNEG.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Highest version that it speaks.
    pub version: u32,
    /// Actions that it would obey.
    pub actions: Actions,
    /// Steps that it could leave out.
    pub steps: Steps,
}

impl Offer {
    /// What Postfix 3.7 offers.
    pub const POSTFIX: Self = Self {
        version: VERSION_MAX,
        actions: Actions::POSTFIX,
        steps: Steps::POSTFIX,
    };

    /// Reads the three words; what newer MTAs may put after them is ignored.
    #[must_use]
    pub fn decode(mut data: &[u8]) -> Option<Self> {
        Some(Self {
            version: data.try_get_u32().ok()?,
            actions: Actions(data.try_get_u32().ok()?),
            steps: Steps(data.try_get_u32().ok()?),
        })
    }

    /// The three words.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut data = BytesMut::with_capacity(12);
        data.put_u32(self.version);
        data.put_u32(self.actions.0);
        data.put_u32(self.steps.0);
        data.freeze()
    }

    /// What we take of the offer; `None` if it is older than [`VERSION_MIN`].
    ///
    /// Some old MTAs offer nothing at all where they mean the first version's set. We take
    /// nothing then, which is part of every set.
    #[must_use]
    pub fn agree(&self) -> Option<Agreed> {
        if self.version < VERSION_MIN {
            return None;
        }
        let version = self.version.min(VERSION_MAX);
        // Without DATA the first header is where mail for nobody here is released, so it needs a
        // reply.
        let wanted = if version < VERSION_DATA {
            Steps::WANTED.without(Steps::NR_HDR)
        } else {
            Steps::WANTED
        };
        Some(Agreed {
            version,
            actions: self.actions.and(Actions::WANTED),
            steps: self.steps.and(wanted),
        })
    }
}

impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "version {} {} {}",
            self.version, self.actions, self.steps
        )
    }
}

/// What holds for the rest of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The version both speak.
    pub version: u32,
    /// What we may ask for at the end of a message.
    pub actions: Actions,
    /// What is not sent, and what is not answered.
    pub steps: Steps,
}

impl Agreed {
    /// The answer that says so, with the macros that we want if the MTA lets us choose.
    #[must_use]
    pub fn answer(&self) -> Answer {
        let symbols = if self.actions.contains(Actions::SETSYMLIST) {
            SYMBOLS
                .iter()
                .map(|(stage, names)| (*stage, Bytes::from_static(names.as_bytes())))
                .collect()
        } else {
            Vec::new()
        };
        Answer {
            version: self.version,
            actions: self.actions,
            steps: self.steps,
            symbols,
        }
    }
}

/// The filter's answer to an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The version both speak.
    pub version: u32,
    /// Actions that the filter wants to use.
    pub actions: Actions,
    /// Steps that the filter does not need.
    pub steps: Steps,
    /// The macros wanted at each stage: number of the stage, names with spaces between.
    pub symbols: Vec<(u32, Bytes)>,
}

impl Answer {
    /// Reads an answer; a list without its NUL makes the whole invalid, as in Postfix.
    #[must_use]
    pub fn decode(mut data: Bytes) -> Option<Self> {
        let offer = Offer::decode(&data)?;
        data.advance(12);
        let mut symbols = Vec::new();
        while !data.is_empty() {
            let stage = data.try_get_u32().ok()?;
            let len = data.iter().position(|&byte| byte == 0)?;
            symbols.push((stage, data.split_to(len)));
            data.advance(1);
        }
        Some(Self {
            version: offer.version,
            actions: offer.actions,
            steps: offer.steps,
            symbols,
        })
    }

    /// The data of the answer.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut data = BytesMut::new();
        data.put_u32(self.version);
        data.put_u32(self.actions.0);
        data.put_u32(self.steps.0);
        for (stage, names) in &self.symbols {
            data.put_u32(*stage);
            data.put_slice(names);
            data.put_u8(0);
        }
        data.freeze()
    }
}

/// The macros that we ask for, by the peer's stage numbers (`SMFIM_`): 0 connect, 1 HELO, 2 MAIL,
/// 3 RCPT, 4 DATA, 5 end of message, 6 end of headers. A list replaces the administrator's, so it
/// names everything. Sendmail obeys the one for the end of the message only if the end of headers
/// has one as well.
const SYMBOLS: [(u32, &str); 7] = [
    (
        0,
        "j {daemon_name} {client_addr} {client_name} {client_port} {client_ptr} _ v",
    ),
    (
        1,
        "{tls_version} {cipher} {cipher_bits} {cert_subject} {cert_issuer}",
    ),
    (2, "i {auth_type} {auth_authen} {mail_addr}"),
    (3, "i {rcpt_addr} {rcpt_mailer}"),
    (4, "i {client_addr} {auth_authen}"),
    (5, "i {client_addr} {auth_authen}"),
    (6, "i {client_addr} {auth_authen}"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(version: u32, actions: u32, steps: u32) -> Offer {
        Offer {
            version,
            actions: Actions(actions),
            steps: Steps(steps),
        }
    }

    #[test]
    fn the_answer_is_part_of_the_offer() {
        for version in 2..9 {
            for actions in [0, 0x0f, 0x3f, 0x1ff, 0xffff_ffff] {
                for steps in [0, 0x3f, 0x7f, 0x80, 0x1f_ffff, 0xffff_ffff] {
                    let offer = offer(version, actions, steps);
                    let agreed = offer.agree().unwrap();
                    assert!(agreed.version <= VERSION_MAX.min(version));
                    assert!(offer.actions.contains(agreed.actions), "{offer}");
                    assert!(offer.steps.contains(agreed.steps), "{offer}");
                    assert_eq!(
                        agreed.answer().symbols.is_empty(),
                        actions & 0x100 == 0,
                        "{offer}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_postfix_and_its_old_settings_get() {
        let agreed = Offer::POSTFIX.agree().unwrap();
        assert_eq!(agreed.actions.0, 0x119);
        assert_eq!(agreed.steps.0, 0x1c_3180);
        // milter_protocol = 2, and the same with no_header_reply: headers are answered there.
        assert_eq!(offer(2, 0x3f, 0x7f).agree().unwrap().steps.0, 0);
        assert_eq!(offer(2, 0x3f, 0xff).agree().unwrap().steps.0, 0);
        assert_eq!(offer(1, 0x0f, 0x3f).agree(), None);
        assert_eq!(offer(0, 0, 0).agree(), None);
    }

    #[test]
    fn data_sizes_that_we_do_not_have_are_not_echoed() {
        let agreed = offer(6, 0x1ff, 0x3fff_ffff).agree().unwrap();
        assert_eq!(agreed.steps.0 & 0x3000_0000, 0);
    }

    #[test]
    fn bits_print_their_names() {
        assert_eq!(Actions(0x11).to_string(), "ADDHDRS|CHGHDRS");
        assert_eq!(Actions(0).to_string(), "0x0");
        assert_eq!(
            Steps(0x8000_0081).to_string(),
            "NOCONNECT|NR_HDR|0x80000000"
        );
    }

    #[test]
    fn answers_come_back() {
        let answer = Offer::POSTFIX.agree().unwrap().answer();
        assert_eq!(Answer::decode(answer.encode()), Some(answer.clone()));
        let bytes = answer.encode();
        assert_eq!(Answer::decode(bytes.slice(..bytes.len() - 1)), None);
    }
}
