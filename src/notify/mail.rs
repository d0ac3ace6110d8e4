//! A letter as mail, handed to the server's own mail server (RFC 5321, RFC 5322).

use std::fmt;

use lettre::message::{Mailbox, header::ContentType};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::{AsyncSmtpTransport, Error};
use lettre::{AsyncTransport as _, Message, Tokio1Executor};

use super::{DEADLINE, Letter};
use crate::domain::name::{Digest, RouteName};
use crate::secret::Secret;
use crate::trouble::{Outcome, Trouble};

/// Most people of one route: more have a list at their mail server.
pub const MAX_PEOPLE: usize = 50;
/// So much of the name of a message is in its `Message-ID`.
const ID_CHARACTERS: usize = 32;

/// Who gets mail of a route, and by which server.
#[derive(Clone, PartialEq, Eq)]
pub struct Mail {
    /// The mail server that takes it.
    pub server: String,
    /// Its port.
    pub port: u16,
    /// How it is talked to.
    pub tls: Tls,
    /// Name and password there.
    pub login: Option<(String, Secret)>,
    /// Who it says it is from.
    pub from: Mailbox,
    /// Who gets it.
    pub to: Vec<Mailbox>,
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mail").field("server", &self.server).field("port", &self.port).finish_non_exhaustive()
    }
}

impl Mail {
    /// What must never be shown.
    pub(super) fn password(&self) -> Option<&Secret> {
        self.login.as_ref().map(|(_, password)| password)
    }
}

/// How a mail server is talked to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// In TLS from the first byte (RFC 8314).
    #[default]
    Wrapped,
    /// In TLS after a greeting in the clear, and never without (RFC 3207).
    Starttls,
    /// Readable by everybody on the way.
    None,
}

impl Tls {
    /// The port that servers have for it.
    pub const fn port(self) -> u16 {
        match self {
            Self::Wrapped => 465,
            Self::Starttls => 587,
            Self::None => 25,
        }
    }
}

/// Hands it to the mail server.
pub(super) async fn send(mail: &Mail, to: &RouteName, letter: &Letter) -> Outcome<()> {
    let message = message(mail, letter)?;
    let transport = transport(mail).map_err(|e| fault(to, &e))?;
    transport.send(message).await.map(drop).map_err(|e| fault(to, &e))
}

fn transport(mail: &Mail) -> Result<AsyncSmtpTransport<Tokio1Executor>, Error> {
    type Smtp = AsyncSmtpTransport<Tokio1Executor>;
    let builder = match mail.tls {
        Tls::Wrapped => Smtp::relay(&mail.server)?,
        Tls::Starttls => Smtp::starttls_relay(&mail.server)?,
        Tls::None => Smtp::builder_dangerous(&mail.server),
    };
    let mut builder = builder.port(mail.port).timeout(Some(DEADLINE));
    if let Some((name, password)) = &mail.login {
        builder = builder.credentials(Credentials::new(name.clone(), password.expose().to_owned()));
    }
    Ok(builder.build())
}

/// The same letter has the same `Message-ID`, so that a mailbox shows it once.
fn message(mail: &Mail, letter: &Letter) -> Outcome<Message> {
    let id: String = Digest::of_text(&letter.id).hex().chars().take(ID_CHARACTERS).collect();
    let mut builder = Message::builder()
        .from(mail.from.clone())
        .message_id(Some(format!("<{id}@{}>", mail.from.email.domain())))
        .subject(letter.title.clone())
        .header(ContentType::TEXT_PLAIN);
    for person in &mail.to {
        builder = builder.to(person.clone());
    }
    let mut text = letter.title.clone();
    text.push('\n');
    for line in &letter.lines {
        text.push_str("\n- ");
        text.push_str(line);
    }
    text.push_str("\n\n");
    text.push_str(&letter.url);
    text.push('\n');
    builder.body(text).map_err(|e| Trouble::bug("write a mail").because(e))
}

/// What the server says for good is a refusal; its words may hold addresses, so only its code is told.
fn fault(to: &RouteName, error: &Error) -> Trouble {
    let said =
        error.status().map_or_else(|| "nobody answers".to_owned(), |code| format!("it answered {code}"));
    let text = format!("tell {to}: {said}");
    if error.is_permanent() { Trouble::refused(text) } else { Trouble::transient(text) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::notify::tests::letter;
    use crate::notify::within;

    #[test]
    fn e06_a_mail_is_one_message_and_no_text_of_a_release_is_a_header() {
        let mail = Mail {
            server: "smtp.example".to_owned(),
            port: 465,
            tls: Tls::Wrapped,
            login: Some(("bot".to_owned(), Secret::new("canary-of-mail"))),
            from: "Liftlock <liftlock@releases.example>".parse().unwrap(),
            to: vec!["ana@example.org".parse().unwrap(), "bo@example.org".parse().unwrap()],
        };
        let mut letter = letter();
        letter.title = "web v1 is live\r\nBcc: eve@evil.example".to_owned();
        letter.lines = vec!["feat: sell shoes\r\n.\r\nMAIL FROM:<eve@evil.example>".to_owned()];
        let [one, two] = [(); 2].map(|()| message(&mail, &letter).unwrap());
        let text = String::from_utf8(one.formatted()).unwrap();
        let head = text.split("\r\n\r\n").next().unwrap();
        assert!(!head.lines().any(|line| line.starts_with("Bcc")), "{head}");
        assert!(head.contains("To: ana@example.org, bo@example.org"), "{head}");
        let id = |message: &Message| {
            let text = String::from_utf8(message.formatted()).unwrap();
            text.lines().find(|line| line.starts_with("Message-ID: ")).unwrap().to_owned()
        };
        assert_eq!(id(&one), id(&two));
        assert!(id(&one).ends_with("@releases.example>"), "{}", id(&one));
        let all: Vec<String> = one.envelope().to().iter().map(ToString::to_string).collect();
        assert_eq!(all, ["ana@example.org", "bo@example.org"]);
        assert!(!format!("{mail:?}").contains("canary"));
    }

    #[tokio::test]
    async fn a_mail_server_that_takes_a_connection_and_says_nothing_is_not_waited_for() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mail = Mail {
            server: "127.0.0.1".to_owned(),
            port: silent.local_addr().unwrap().port(),
            tls: Tls::None,
            login: None,
            from: "liftlock@releases.example".parse().unwrap(),
            to: vec!["ana@example.org".parse().unwrap()],
        };
        let (limit, to) = (Duration::from_secs(1), "mail:team".parse().unwrap());
        let trouble = within(limit, &to, send(&mail, &to, &letter())).await.unwrap_err();
        assert_eq!(trouble.to_string(), "tell mail:team: no answer within 1 s");
        assert!(trouble.is_transient());
    }
}
