//! The way to the SMTP server: one connection for a few mails.

use std::{fs, io, path::PathBuf, time::Duration};

use lettre::{
    Message,
    address::Envelope,
    message::{
        Body, Mailbox,
        header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue},
    },
    transport::smtp::{
        self,
        authentication::{Credentials, Mechanism},
        client::{AsyncSmtpConnection, Certificate, TlsParameters},
        extension::ClientId,
    },
};
use proto::api::UnixMillis;
use zeroize::Zeroizing;

use super::config::{Config, Tls};

/// Marks a mail as one that nobody answers by a machine. Source: RFC 3834, 5.
const AUTO_SUBMITTED: &str = "Auto-Submitted";

/// What is needed to reach the server. Prints without the password.
pub struct Smtp {
    server: String,
    port: u16,
    tls: Tls,
    parameters: Option<TlsParameters>,
    credentials: Option<Credentials>,
    hello: ClientId,
    from: Mailbox,
    timeout: Duration,
}

/// Why mail cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum MailSetupError {
    /// A file cannot be read.
    #[error("mail.{key} {file}: {error}")]
    File {
        /// The key that names it.
        key: &'static str,
        /// Its path.
        file: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The authority, or the roots of the system, cannot be used.
    #[error("mail.ca_file: {0}")]
    Tls(smtp::Error),
}

/// A mail that is going over the wire.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// Its id.
    pub mail_id: &'a str,
    /// Where it goes.
    pub address: &'a str,
    /// One line.
    pub subject: &'a str,
    /// Plain text.
    pub body: &'a str,
    /// When it was written.
    pub at_ms: UnixMillis,
}

/// Why a mail is not with the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unsent {
    /// The server does not want this mail, now or ever.
    Refused {
        /// Whether it never will.
        for_good: bool,
        /// What it said.
        answer: String,
    },
    /// The server is not there, broke off, or does not let us in; it may have the mail, and may not.
    Away(String),
}

/// An open connection.
pub struct Line {
    connection: AsyncSmtpConnection,
    timeout: Duration,
    from: Mailbox,
}

impl Smtp {
    /// Reads the files that the configuration names; `None` when mail is off.
    ///
    /// # Errors
    /// [`MailSetupError`].
    pub fn new(config: &Config) -> Result<Option<Self>, MailSetupError> {
        let (Some(server), Some(from), Some(site)) = (&config.server, &config.from, &config.site) else {
            return Ok(None);
        };
        let read = |key, file: &PathBuf| {
            fs::read(file).map_err(|error| MailSetupError::File { key, file: file.clone(), error })
        };
        let parameters = if config.tls == Tls::None {
            None
        } else {
            let mut builder = TlsParameters::builder(server.clone());
            if let Some(file) = &config.ca_file {
                let pem = read("ca_file", file)?;
                builder = builder.add_root_certificate(Certificate::from_pem(&pem).map_err(MailSetupError::Tls)?);
            }
            Some(builder.build_rustls().map_err(MailSetupError::Tls)?)
        };
        let credentials = match (&config.user, &config.password_file) {
            (Some(user), Some(file)) => {
                let bytes = Zeroizing::new(read("password_file", file)?);
                let text = String::from_utf8_lossy(&bytes);
                Some(Credentials::new(user.clone(), text.lines().next().unwrap_or_default().to_owned()))
            }
            (_, _) => None,
        };
        Ok(Some(Self {
            server: server.clone(),
            port: config.port,
            tls: config.tls,
            parameters,
            credentials,
            hello: ClientId::Domain(site.host().to_owned()),
            from: from.mailbox().clone(),
            timeout: config.timeout.get(),
        }))
    }

    /// Connects, protects the connection and logs in.
    ///
    /// # Errors
    /// [`Unsent::Away`]: whatever stands against it, no mail is to blame.
    pub async fn connect(&self) -> Result<Line, Unsent> {
        let connection = within(self.timeout, self.open()).await?;
        Ok(Line { connection, timeout: self.timeout, from: self.from.clone() })
    }

    async fn open(&self) -> Result<AsyncSmtpConnection, smtp::Error> {
        let address = (self.server.as_str(), self.port);
        let at_once = if self.tls == Tls::Implicit { self.parameters.clone() } else { None };
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(address, Some(self.timeout), &self.hello, at_once, None).await?;
        if self.tls == Tls::Starttls
            && let Some(parameters) = self.parameters.clone()
        {
            // A server that does not offer it is refused: nothing goes in the clear.
            connection.starttls(parameters, &self.hello).await?;
        }
        if let Some(credentials) = &self.credentials {
            connection.auth(&[Mechanism::Plain, Mechanism::Login], credentials).await?;
        }
        Ok(connection)
    }
}

impl Line {
    /// Hands a mail over; after an error the line is dead.
    ///
    /// # Errors
    /// [`Unsent`].
    pub async fn send(&mut self, mail: &Outgoing<'_>) -> Result<(), Unsent> {
        let unfit = |error: &dyn std::fmt::Display| Unsent::Refused { for_good: true, answer: error.to_string() };
        let message = message(&self.from, mail).map_err(|error| unfit(&error))?;
        let bytes = message.formatted();
        let envelope: &Envelope = message.envelope();
        match tokio::time::timeout(self.timeout, self.connection.send(envelope, &bytes)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(judge(&error)),
            Err(_elapsed) => Err(Unsent::Away("the server did not answer in time".to_owned())),
        }
    }

    /// Says goodbye.
    pub async fn close(mut self) {
        // Every mail is settled already; a server that does not say goodbye back is no failure.
        drop(tokio::time::timeout(self.timeout, self.connection.abort()).await);
    }
}

async fn within<T>(limit: Duration, step: impl Future<Output = Result<T, smtp::Error>>) -> Result<T, Unsent> {
    match tokio::time::timeout(limit, step).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(Unsent::Away(told(&error))),
        Err(_elapsed) => Err(Unsent::Away("the server did not answer in time".to_owned())),
    }
}

/// A code is about the mail, unless it says that we must log in first; without a code the connection is.
fn judge(error: &smtp::Error) -> Unsent {
    let answer = told(error);
    // Source: RFC 4954, 6: 530, 534, 535 and 538 are about the login. 421 is the server's own farewell (RFC 5321, 3.8).
    let code = error.status().map(u16::from);
    match code {
        None | Some(421 | 530 | 534 | 535 | 538) => Unsent::Away(answer),
        Some(_) => Unsent::Refused { for_good: error.is_permanent(), answer },
    }
}

/// The error with its cause.
fn told(error: &smtp::Error) -> String {
    error.to_string()
}

fn message(from: &Mailbox, mail: &Outgoing<'_>) -> Result<Message, Box<dyn std::error::Error>> {
    // Lines of a mail are short and plain, whatever was typed.
    let body = Body::new_with_encoding(mail.body.to_owned(), ContentTransferEncoding::Base64);
    let body = body.map_err(|_not_text| "the text cannot be encoded")?;
    let to = Mailbox::new(None, mail.address.parse()?);
    let at = std::time::UNIX_EPOCH + Duration::from_millis(u64::try_from(mail.at_ms)?);
    let automatic = HeaderValue::new(HeaderName::new_from_ascii_str(AUTO_SUBMITTED), "auto-generated".to_owned());
    let message = Message::builder()
        .from(from.clone())
        .to(to)
        .subject(mail.subject)
        .date(at)
        .message_id(Some(format!("<{}@{}>", mail.mail_id, from.email.domain())))
        .raw_header(automatic)
        .header(ContentType::TEXT_PLAIN)
        .body(body)?;
    Ok(message)
}

impl std::fmt::Debug for Smtp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Smtp({}:{})", self.server, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_has_one_recipient_one_id_and_a_body_of_seven_bits() {
        let from = "受付 <no-reply@example.co.jp>".parse().unwrap();
        let mail = Outgoing {
            mail_id: "0123",
            address: "taro@example.jp",
            subject: "件名\r\nBcc: x@y.example",
            body: "本文\r\n.\r\nRCPT TO:<x@y.example>",
            at_ms: 0,
        };

        let text = String::from_utf8(message(&from, &mail).unwrap().formatted()).unwrap();

        assert!(text.is_ascii(), "{text}");
        assert!(text.contains("Message-ID: <0123@example.co.jp>\r\n"), "{text}");
        assert!(text.contains("To: taro@example.jp\r\n"), "{text}");
        assert!(!text.lines().any(|line| line.starts_with("Bcc") || line.starts_with("RCPT") || line == "."), "{text}");
        assert!(message(&from, &Outgoing { address: "a@b.example\r\nBcc: c@d.example", ..mail }).is_err());
    }
}
