//! One submission: hands one message to the MTA over SMTP and tells how that ended.
//! Which message is tried when is decided in `spool`; here is only the conversation.

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;

use mail_send::{Credentials, SmtpClient};
use smtp_proto::{
    EXT_8BIT_MIME, EXT_DSN, EXT_SIZE, EXT_SMTP_UTF8, EXT_START_TLS, EhloResponse, Response,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::mail::address::Address;
use crate::mail::return_path::{EVERYBODY, ReturnPath};
use crate::mail::token::DELIMITER;
use crate::outbound::message::{Diagnostic, Outbound, Outcome, RecipientRefusal};
use crate::outbound::settings::{Security, Settings};
use crate::outbound::transparency::Transparency;

/// Bytes of a message read and written at a time.
const PIECE_BYTES: usize = 64 << 10;

/// Longest address in bytes: a path of RFC 5321, 4.5.3.1.3, without its angle brackets.
const ADDRESS_BYTES_MAX: usize = 254;

/// Longest queue id that is believed. Postfix's long ones have some 15 characters.
const QUEUE_ID_BYTES_MAX: usize = 64;

/// The bytes of a message, read as they are sent. A `Cursor<Bytes>` and a file both will do.
pub type Body = Box<dyn AsyncRead + Send + Unpin>;

/// The hand-over could not be made durable, so the final dot must not be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotMarked;

impl fmt::Display for NotMarked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the hand-over could not be stored, so the message was not sent")
    }
}

impl std::error::Error for NotMarked {}

/// Why the MTA certainly did not take a message.
#[derive(Debug)]
enum Failure {
    Temporary(Diagnostic),
    Permanent(Diagnostic, Vec<RecipientRefusal>),
}

impl Failure {
    fn now(text: impl fmt::Display) -> Self {
        Self::Temporary(Diagnostic::ours(&text.to_string()))
    }
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Temporary(diagnostic) => Self::Temporary(diagnostic),
            Failure::Permanent(diagnostic, refused) => Self::Permanent {
                diagnostic,
                refused,
            },
        }
    }
}

/// Hands `outbound`, whose bytes `body` gives, to the MTA.
///
/// `about_to_send` is called once, when everything but the final dot has been sent. The dot follows
/// when it returns `Ok`; otherwise the connection is dropped, and RFC 5321, 4.1.1.4 lets no server
/// take a message without its dot. So a connection that is lost before is a temporary failure, and
/// one lost after it is [`Outcome::Lost`]. Dropping the future is like losing the connection.
pub async fn submit<H, F>(
    settings: &Settings,
    outbound: &Outbound,
    body: Body,
    about_to_send: H,
) -> Outcome
where
    H: FnOnce() -> F,
    F: Future<Output = Result<(), NotMarked>>,
{
    match connect(settings, outbound, body, about_to_send).await {
        Ok(outcome) => outcome,
        Err(failure) => failure.into(),
    }
}

async fn connect<H, F>(
    settings: &Settings,
    outbound: &Outbound,
    body: Body,
    about_to_send: H,
) -> Result<Outcome, Failure>
where
    H: FnOnce() -> F,
    F: Future<Output = Result<(), NotMarked>>,
{
    let address = (settings.host.as_str(), settings.port);
    let stream = timeout(settings.timeouts.connect, TcpStream::connect(address))
        .await
        .map_err(|_| Failure::now("the MTA did not answer the connection"))?
        .map_err(|error| Failure::now(format_args!("the MTA cannot be reached: {error}")))?;
    let loopback = stream.peer_addr().is_ok_and(|peer| is_loopback(peer.ip()));
    // Commands are short and wait for answers; Nagle's algorithm would only hold them back.
    let _ = stream.set_nodelay(true);
    let mut client = SmtpClient {
        stream,
        timeout: settings.timeouts.connect,
    };
    match &settings.security {
        Security::Plain => {
            if settings.login.is_some() && !loopback {
                return Err(Failure::now(
                    "a password is configured, and without TLS it is sent on loopback only",
                ));
            }
            greeting(&mut client, settings).await?;
            converse(client, settings, outbound, body, about_to_send).await
        }
        Security::StartTls(tls) => {
            greeting(&mut client, settings).await?;
            let offered = ehlo(&mut client, settings).await?;
            if !offered.has_capability(EXT_START_TLS) {
                return Err(Failure::now("the MTA does not offer STARTTLS"));
            }
            client.timeout = settings.timeouts.connect;
            let client = client
                .start_tls(&Arc::clone(&tls.config).into(), &tls.server_name)
                .await
                .map_err(Failure::now)?;
            converse(client, settings, outbound, body, about_to_send).await
        }
        Security::Implicit(tls) => {
            let mut client = client
                .into_tls(&Arc::clone(&tls.config).into(), &tls.server_name)
                .await
                .map_err(Failure::now)?;
            greeting(&mut client, settings).await?;
            converse(client, settings, outbound, body, about_to_send).await
        }
    }
}

/// All that follows the greeting: EHLO, AUTH, one message, QUIT.
async fn converse<T, H, F>(
    mut client: SmtpClient<T>,
    settings: &Settings,
    outbound: &Outbound,
    body: Body,
    about_to_send: H,
) -> Result<Outcome, Failure>
where
    T: AsyncRead + AsyncWrite + Unpin,
    H: FnOnce() -> F,
    F: Future<Output = Result<(), NotMarked>>,
{
    let offered = ehlo(&mut client, settings).await?;
    if let Some(login) = &settings.login {
        let credentials = Credentials::new(login.username.as_str(), login.password.as_str());
        client.timeout = settings.timeouts.command;
        // A wrong password is for the operator to repair, and no reason to give mail back; Postfix
        // thinks so too (smtp_sasl_auth_soft_bounce).
        client
            .authenticate(&credentials, &offered)
            .await
            .map_err(|error| match error {
                mail_send::Error::AuthenticationFailed(reply) => Failure::Temporary(said(&reply)),
                other => Failure::now(other),
            })?;
    }
    let refused = envelope(&mut client, settings, &offered, outbound).await?;
    content(&mut client, settings, body).await?;
    if let Err(error) = about_to_send().await {
        return Err(Failure::now(error));
    }
    let outcome = final_dot(&mut client, settings, refused).await;
    client.timeout = settings.timeouts.quit;
    // Everything is decided; QUIT only keeps the MTA's log free of a lost connection.
    let _ = client.cmd("QUIT\r\n").await;
    Ok(outcome)
}

/// Waits for the greeting. A server that greets with a refusal serves nobody, which is not the
/// message's fault.
async fn greeting<T>(client: &mut SmtpClient<T>, settings: &Settings) -> Result<(), Failure>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let reply = timeout(settings.timeouts.greeting, client.read())
        .await
        .map_err(|_| Failure::now("the MTA did not greet in time"))?
        .map_err(Failure::now)?;
    if reply.code == 220 {
        Ok(())
    } else {
        Err(Failure::Temporary(said(&reply)))
    }
}

async fn ehlo<T>(
    client: &mut SmtpClient<T>,
    settings: &Settings,
) -> Result<EhloResponse<String>, Failure>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let name = &settings.ehlo_name;
    if name.is_empty() || name.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return Err(Failure::now("the configured EHLO name is not a domain"));
    }
    client.timeout = settings.timeouts.command;
    client.ehlo(name).await.map_err(|error| match error {
        mail_send::Error::UnexpectedReply(reply) => Failure::Temporary(said(&reply)),
        other => Failure::now(other),
    })
}

/// MAIL, each RCPT, and DATA up to its 354. Gives the recipients that will get nothing.
async fn envelope<T>(
    client: &mut SmtpClient<T>,
    settings: &Settings,
    offered: &EhloResponse<String>,
    outbound: &Outbound,
) -> Result<Vec<RecipientRefusal>, Failure>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let whole = |diagnostic| Failure::Permanent(diagnostic, Vec::new());
    let mail_from = return_path(settings, outbound);
    if !mail_from.is_empty() {
        check_address(&mail_from, offered).map_err(whole)?;
    }
    let size_max = u64::try_from(offered.size).unwrap_or(u64::MAX);
    if offered.has_capability(EXT_SIZE) && size_max > 0 && outbound.size_bytes > size_max {
        let text = format!(
            "the message has {} bytes and the MTA takes {size_max}",
            outbound.size_bytes
        );
        return Err(whole(Diagnostic::new(0, Some([5, 3, 4]), &text)));
    }

    client.timeout = settings.timeouts.command;
    let reply = client
        .cmd(mail_command(&mail_from, outbound, offered))
        .await
        .map_err(Failure::now)?;
    match reply.code / 100 {
        2 => {}
        5 => return Err(whole(said(&reply))),
        _ => return Err(Failure::Temporary(said(&reply))),
    }

    let mut refused = Vec::new();
    let mut delayed = Vec::new();
    for recipient in &outbound.recipients {
        let address = recipient.address.clone();
        if let Err(diagnostic) = check_address(&address, offered) {
            refused.push(RecipientRefusal {
                address,
                diagnostic,
            });
            continue;
        }
        let reply = client
            .cmd(rcpt_command(&address, !mail_from.is_empty(), offered))
            .await
            .map_err(Failure::now)?;
        let diagnostic = said(&reply);
        let refusal = RecipientRefusal {
            address,
            diagnostic,
        };
        match reply.code {
            200..=299 => {}
            // The connection is about to end, whoever the recipient is (RFC 5321, 3.8).
            421 => return Err(Failure::Temporary(refusal.diagnostic)),
            500..=599 => refused.push(refusal),
            _ => delayed.push(refusal),
        }
    }
    let taken = outbound.recipients.len() - refused.len() - delayed.len();
    if let Some(first) = delayed.first()
        && (taken == 0 || !outbound.leaves_stragglers())
    {
        return Err(Failure::Temporary(first.diagnostic.clone()));
    }
    refused.append(&mut delayed);
    if taken == 0 {
        let diagnostic = match refused.first() {
            Some(first) => first.diagnostic.clone(),
            None => Diagnostic::ours("the message has no recipient"),
        };
        return Err(Failure::Permanent(diagnostic, refused));
    }

    client.timeout = settings.timeouts.data;
    let reply = client.cmd("DATA\r\n").await.map_err(Failure::now)?;
    match reply.code {
        354 => Ok(refused),
        500..=599 => Err(Failure::Permanent(said(&reply), refused)),
        _ => Err(Failure::Temporary(said(&reply))),
    }
}

/// Sends the message up to, and without, its final dot.
async fn content<T>(
    client: &mut SmtpClient<T>,
    settings: &Settings,
    mut body: Body,
) -> Result<(), Failure>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let late = |_| Failure::now("the MTA stopped reading the message");
    let broken = |error| Failure::now(format_args!("the connection to the MTA broke: {error}"));
    let mut transparency = Transparency::default();
    let mut piece = vec![0; PIECE_BYTES];
    let mut out = Vec::with_capacity(PIECE_BYTES + PIECE_BYTES / 8);
    loop {
        let count = timeout(settings.timeouts.data, body.read(&mut piece))
            .await
            .map_err(|_| Failure::now("the stored message could not be read in time"))?
            .map_err(|error| {
                Failure::now(format_args!("the stored message cannot be read: {error}"))
            })?;
        let Some(read) = piece.get(..count).filter(|read| !read.is_empty()) else {
            break;
        };
        out.clear();
        transparency.push(read, &mut out);
        timeout(settings.timeouts.data, client.stream.write_all(&out))
            .await
            .map_err(late)?
            .map_err(broken)?;
    }
    out.clear();
    transparency.finish(&mut out);
    let rest = async {
        client.stream.write_all(&out).await?;
        client.stream.flush().await
    };
    timeout(settings.timeouts.data, rest)
        .await
        .map_err(late)?
        .map_err(broken)
}

/// Sends the final dot. From here on only a reply can say what became of the message.
async fn final_dot<T>(
    client: &mut SmtpClient<T>,
    settings: &Settings,
    refused: Vec<RecipientRefusal>,
) -> Outcome
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    client.timeout = settings.timeouts.end;
    let reply = match client.cmd(".\r\n").await {
        Ok(reply) => reply,
        Err(error) => return Outcome::Lost(Diagnostic::ours(&error.to_string())),
    };
    match reply.code {
        200..=299 => Outcome::Accepted {
            queue_id: queue_id(&reply.message),
            reply: said(&reply),
            refused,
        },
        400..=499 => Outcome::Temporary(said(&reply)),
        500..=599 => Outcome::Permanent {
            diagnostic: said(&reply),
            refused,
        },
        _ => Outcome::Lost(said(&reply)),
    }
}

/// The envelope sender: the message's own return path, so that a report is known by where it comes
/// to. A mailbox whose name leaves no room for that is used as it is.
fn return_path(settings: &Settings, outbound: &Outbound) -> String {
    let recipient = match outbound.recipients.len() {
        1 => 0,
        _ => EVERYBODY,
    };
    let path = ReturnPath {
        message: outbound.id,
        recipient,
    };
    let minted = (settings.keyring.as_ref()).and_then(|keyring| {
        let mailbox = Address::parse(&outbound.mail_from).ok()?;
        // The first delimiter is where readers cut.
        let plain = !mailbox.local().contains(DELIMITER);
        plain.then(|| path.mint(keyring, &mailbox).ok())?
    });
    minted.map_or_else(|| outbound.mail_from.clone(), |path| path.to_string())
}

fn mail_command(mail_from: &str, outbound: &Outbound, offered: &EhloResponse<String>) -> String {
    let mut command = format!("MAIL FROM:<{mail_from}>");
    if offered.has_capability(EXT_SIZE) {
        command.push_str(&format!(" SIZE={}", outbound.size_bytes));
    }
    if offered.has_capability(EXT_8BIT_MIME) {
        command.push_str(" BODY=8BITMIME");
    }
    let needs_utf8 = !mail_from.is_ascii()
        || outbound
            .recipients
            .iter()
            .any(|recipient| !recipient.address.is_ascii());
    if needs_utf8 && offered.has_capability(EXT_SMTP_UTF8) {
        command.push_str(" SMTPUTF8");
    }
    if offered.has_capability(EXT_DSN) {
        // A bounce names the message by this id (RFC 3461, 4.4).
        command.push_str(&format!(" RET=HDRS ENVID={}", outbound.id));
    }
    command.push_str("\r\n");
    command
}

fn rcpt_command(address: &str, reports: bool, offered: &EhloResponse<String>) -> String {
    let mut command = format!("RCPT TO:<{address}>");
    if offered.has_capability(EXT_DSN) && !reports {
        // To the null sender nothing can be reported (RFC 3834 asks to say so).
        command.push_str(" NOTIFY=NEVER");
    } else if offered.has_capability(EXT_DSN) {
        command.push_str(" NOTIFY=FAILURE,DELAY");
        // Other than ASCII would need the utf-8 address type of RFC 6533, which few read.
        if address.is_ascii() {
            command.push_str(" ORCPT=rfc822;");
            for byte in address.bytes() {
                // xtext, RFC 3461, 4.
                if byte == b'+' || byte == b'=' || !byte.is_ascii_graphic() {
                    command.push_str(&format!("+{byte:02X}"));
                } else {
                    command.push(char::from(byte));
                }
            }
        }
    }
    command.push_str("\r\n");
    command
}

/// Whether an address may stand in MAIL or RCPT on this connection. The library sends what it is
/// given, and a line break in an address would be a command of somebody else's choice. Quoted
/// local parts with spaces or brackets are refused with the rest.
fn check_address(address: &str, offered: &EhloResponse<String>) -> Result<(), Diagnostic> {
    let well_formed = address
        .rsplit_once('@')
        .is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
    let forbidden =
        |letter: char| letter.is_control() || letter.is_whitespace() || "<>".contains(letter);
    if !well_formed || address.len() > ADDRESS_BYTES_MAX || address.contains(forbidden) {
        // RFC 3463, 3.2: bad address syntax.
        return Err(Diagnostic::new(
            0,
            Some([5, 1, 3]),
            "this cannot be written as an address in SMTP",
        ));
    }
    if !address.is_ascii() && !offered.has_capability(EXT_SMTP_UTF8) {
        // RFC 6531, 3.5.
        return Err(Diagnostic::new(
            0,
            Some([5, 6, 7]),
            "the MTA does not take addresses in other than ASCII letters",
        ));
    }
    Ok(())
}

/// The queue id in Postfix's `2.0.0 Ok: queued as 4ZbC…` (smtpd.c, `smtpd_chat_reply` after
/// END-OF-MESSAGE).
fn queue_id(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("queued as ")?;
    let id: String = rest
        .chars()
        .take_while(char::is_ascii_alphanumeric)
        .take(QUEUE_ID_BYTES_MAX)
        .collect();
    (!id.is_empty()).then_some(id)
}

fn said(reply: &Response<String>) -> Diagnostic {
    let enhanced = (reply.esc != [0, 0, 0]).then_some(reply.esc);
    Diagnostic::new(reply.code, enhanced, &reply.message)
}

/// Also knows an IPv4 address that came mapped into IPv6.
fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests;
