//! The table of codes: each byte with the peer's name for it, which is what logs print.

use std::fmt;

/// One table of codes: each with its byte and the name that the peer's sources give it.
macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $byte:literal $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum $name {
            $($(#[$variant_doc])* $variant = $byte,)*
        }

        impl $name {
            /// Every code there is.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The code that a byte stands for, if any.
            #[must_use]
            pub const fn from_byte(byte: u8) -> Option<Self> {
                match byte {
                    $($byte => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// The byte on the wire.
            #[must_use]
            pub const fn byte(self) -> u8 {
                self as u8
            }

            /// The name that Sendmail's and Postfix's sources use.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

codes! {
    /// What the MTA may say.
    CommandCode {
        /// Options are offered.
        Negotiate = b'O' "SMFIC_OPTNEG",
        /// Macros for another command.
        Macros = b'D' "SMFIC_MACRO",
        /// An SMTP client connected.
        Connect = b'C' "SMFIC_CONNECT",
        /// HELO or EHLO.
        Helo = b'H' "SMFIC_HELO",
        /// MAIL FROM.
        Mail = b'M' "SMFIC_MAIL",
        /// RCPT TO.
        Rcpt = b'R' "SMFIC_RCPT",
        /// DATA; since version 4.
        Data = b'T' "SMFIC_DATA",
        /// An SMTP command that the MTA does not know; since version 3.
        Unknown = b'U' "SMFIC_UNKNOWN",
        /// One header field.
        Header = b'L' "SMFIC_HEADER",
        /// The empty line after the header fields.
        EndOfHeaders = b'N' "SMFIC_EOH",
        /// A piece of the body.
        Body = b'B' "SMFIC_BODY",
        /// The message is complete.
        EndOfMessage = b'E' "SMFIC_BODYEOB",
        /// The message is over, or there was none; carries no outcome.
        Abort = b'A' "SMFIC_ABORT",
        /// The client went, another follows on the same connection.
        QuitNewConnection = b'K' "SMFIC_QUIT_NC",
        /// The connection ends.
        Quit = b'Q' "SMFIC_QUIT",
    }
}

codes! {
    /// What the filter may answer. [`Self::Shutdown`] and [`Self::ConnectionFail`] are here to be
    /// recognised by the MTA's side; the filter's side never says them: Postfix 3.7 loses a
    /// message that is answered with the first, and takes the second for a broken filter.
    ReplyCode {
        /// Options are chosen.
        Negotiate = b'O' "SMFIC_OPTNEG",
        /// Add a recipient.
        AddRcpt = b'+' "SMFIR_ADDRCPT",
        /// Remove a recipient.
        DelRcpt = b'-' "SMFIR_DELRCPT",
        /// Add a recipient with ESMTP arguments.
        AddRcptPar = b'2' "SMFIR_ADDRCPT_PAR",
        /// Answer 421 and close.
        Shutdown = b'4' "SMFIR_SHUTDOWN",
        /// No more about this message.
        Accept = b'a' "SMFIR_ACCEPT",
        /// Replace the body.
        ReplaceBody = b'b' "SMFIR_REPLBODY",
        /// Go on.
        Continue = b'c' "SMFIR_CONTINUE",
        /// Pretend success and drop.
        Discard = b'd' "SMFIR_DISCARD",
        /// Change the envelope sender.
        ChangeFrom = b'e' "SMFIR_CHGFROM",
        /// Fail the connection.
        ConnectionFail = b'f' "SMFIR_CONN_FAIL",
        /// Append a header field.
        AddHeader = b'h' "SMFIR_ADDHEADER",
        /// Insert a header field.
        InsertHeader = b'i' "SMFIR_INSHEADER",
        /// Change or delete a header field.
        ChangeHeader = b'm' "SMFIR_CHGHEADER",
        /// Still working.
        Progress = b'p' "SMFIR_PROGRESS",
        /// Keep in the MTA's hold queue.
        Quarantine = b'q' "SMFIR_QUARANTINE",
        /// 5xx.
        Reject = b'r' "SMFIR_REJECT",
        /// No more events of this type.
        Skip = b's' "SMFIR_SKIP",
        /// 4xx.
        Tempfail = b't' "SMFIR_TEMPFAIL",
        /// An SMTP reply of the filter's own.
        ReplyCode = b'y' "SMFIR_REPLYCODE",
    }
}
