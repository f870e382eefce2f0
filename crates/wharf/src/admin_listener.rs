//! The admin listener of a running wharf, and requests to it.

use std::io::{self, ErrorKind, Write as _};
use std::time::Duration;

use secret::Secret;
use serde_json::Value;
use telemetry::error_chain;
use url::Url;

use crate::config::Config;
use crate::directory::Directory;
use crate::exchange::{self, Answer, Socket};
use crate::streamed::StreamedAnswer;

/// The longest wait for an answer.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// The longest wait for the next bytes of a long exchange.
const STREAM_WAIT_MAX: Duration = Duration::from_secs(600);

/// The address of an admin listener, and the header with its token.
#[derive(Debug)]
pub(crate) struct AdminListener {
    host: String,
    port: u16,
    authorization: String,
    /// The stores behind it, if no wharf runs.
    _directory: Option<Directory>,
}

impl AdminListener {
    /// The listener at `url`, or the one in the configuration. `advice` is for a configuration that has none.
    ///
    /// # Errors
    /// There is none, or the URL is not its address.
    pub(crate) fn find(config: &Config, url: Option<&Url>, advice: &str) -> Result<Self, String> {
        let admin = config.admin.as_ref();
        let (host, port) = match (url, admin) {
            (Some(url), _) => match (url.scheme(), url.host_str(), url.port_or_known_default()) {
                ("http", Some(host), Some(port)) => (host.trim_matches(['[', ']']).to_owned(), port),
                _ => return Err(format!("{url}: write the admin listener as http://HOST:PORT")),
            },
            (None, Some(admin)) => {
                let address = exchange::reachable(admin.listen);
                (address.ip().to_string(), address.port())
            }
            (None, None) => return Err(format!("the configuration has no admin listener; {advice}")),
        };
        let token = admin.and_then(|admin| admin.token.as_ref());
        Ok(Self { host, port, authorization: authorization(token), _directory: None })
    }

    /// The same, or the stores themselves if neither `url` nor the configuration leads to a running wharf.
    ///
    /// # Errors
    /// A line for the operator.
    pub(crate) fn find_or_open(config: &Config, url: Option<&Url>) -> Result<Self, String> {
        if url.is_some() {
            return Self::find(config, url, "");
        }
        let why = match &config.admin {
            None => "the configuration has no admin listener".to_owned(),
            Some(admin) => {
                let address = exchange::reachable(admin.listen);
                match Socket::connect(&address.ip().to_string(), address.port(), WAIT_MAX) {
                    Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                        format!("no wharf listens on {address}, the admin listener of the configuration")
                    }
                    _ => return Self::find(config, None, ""),
                }
            }
        };
        let directory = Directory::open(config, &why)?;
        let (host, port) = (directory.address().ip().to_string(), directory.address().port());
        let authorization = authorization(Some(directory.token()));
        Ok(Self { host, port, authorization, _directory: Some(directory) })
    }

    /// The address, as a URL has it.
    pub(crate) fn shown(&self) -> String {
        let (host, port) = (&self.host, self.port);
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    /// Sends a request without content.
    ///
    /// # Errors
    /// A line for the operator: there is no answer.
    pub(crate) fn send(&self, method: &str, target: &str) -> Result<Answer, String> {
        let shown = self.shown();
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: {shown}\r\n{}Content-Length: 0\r\nConnection: close\r\n\r\n",
            self.authorization
        );
        let socket = Socket::connect(&self.host, self.port, WAIT_MAX);
        socket.and_then(|it| exchange::whole(it, &request)).map_err(|error| {
            let why = error_chain(&error);
            format!("no answer from the admin listener at {shown}: {why}; check that wharf runs there")
        })
    }

    /// Sends a request with content, whose answer is read as it comes. `content` gets the connection after
    /// the head. If it cannot send everything, the answer says why.
    ///
    /// # Errors
    /// A line for the operator.
    pub(crate) fn stream(
        &self,
        method: &str,
        target: &str,
        framing: &str,
        content: impl FnOnce(&mut Socket) -> io::Result<()>,
    ) -> Result<StreamedAnswer, String> {
        let shown = self.shown();
        let own = format!("Host: {shown}\r\n{}Connection: close\r\n", self.authorization);
        let request = format!("{method} {target} HTTP/1.1\r\n{own}{framing}\r\n\r\n");
        let exchange = || {
            let socket = Socket::connect(&self.host, self.port, WAIT_MAX)?;
            let mut socket = socket.with_patience(STREAM_WAIT_MAX);
            socket.write_all(request.as_bytes())?;
            let sent = content(&mut socket);
            match StreamedAnswer::read(socket) {
                Ok(answer) => Ok(answer),
                Err(error) => Err(sent.err().unwrap_or(error)),
            }
        };
        exchange().map_err(|error| {
            let why = error_chain(&error);
            format!("no answer from the admin listener at {shown}: {why}; check that wharf runs there")
        })
    }

    /// Sends a request that is answered in JSON. Returns the answer's text and the document in it.
    ///
    /// # Errors
    /// A line for the operator.
    pub(crate) fn request(&self, method: &str, target: &str) -> Result<(String, Value), String> {
        let answer = self.send(method, target)?;
        let document: Result<Value, _> = serde_json::from_str(&answer.body);
        match (answer.line.split(' ').nth(1), document) {
            (Some("200"), Ok(document)) => Ok((answer.body, document)),
            _ => Err(self.refusal(&answer)),
        }
    }

    /// Sends a request with content that is answered with a JSON document on each line. Passes each to `each`
    /// as it comes.
    ///
    /// # Errors
    /// A line for the operator.
    pub(crate) fn lines(
        &self,
        target: &str,
        content: &str,
        mut each: impl FnMut(&Value),
    ) -> Result<(), String> {
        let (shown, length) = (self.shown(), content.len());
        let request = format!(
            "POST {target} HTTP/1.0\r\nHost: {shown}\r\n{}Content-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{content}",
            self.authorization
        );
        let socket = Socket::connect(&self.host, self.port, WAIT_MAX);
        let each = |line: &str| {
            if let Ok(document) = serde_json::from_str(line) {
                each(&document);
            }
        };
        let answer =
            socket.and_then(|it| exchange::lines(it, &request, WAIT_MAX, each)).map_err(|error| {
                let why = error_chain(&error);
                format!("no answer from the admin listener at {shown}: {why}; check that wharf runs there")
            })?;
        if answer.line.split(' ').nth(1) == Some("200") { Ok(()) } else { Err(self.refusal(&answer)) }
    }

    /// A line for the operator about an answer that is not the wanted one.
    fn refusal(&self, answer: &Answer) -> String {
        let document: Result<Value, _> = serde_json::from_str(&answer.body);
        match (answer.line.split(' ').nth(1), document) {
            (_, Ok(document)) if document["error"]["message"].is_string() => {
                document["error"]["message"].as_str().unwrap_or_default().to_owned()
            }
            (Some("401" | "403"), _) => {
                let why = answer.body.trim_end();
                format!("the running wharf refused the request ({why}); check token_file of [admin]")
            }
            _ => {
                format!("{} answered {:?}; name wharf's admin listener with --url", self.shown(), answer.line)
            }
        }
    }
}

/// The header with the token.
fn authorization(token: Option<&Secret<String>>) -> String {
    token.map(|token| format!("Authorization: Bearer {}\r\n", token.expose())).unwrap_or_default()
}
