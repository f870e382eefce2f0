//! The admin listener of a running wharf, and requests to it.

use std::fmt;
use std::io::{self, BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use secret::Secret;
use serde_json::Value;
use server::{ListenAddress, SOCKET_FILE_PREFIX};
use telemetry::error_chain;
use url::Url;

use crate::config::Config;
use crate::directory::Directory;
use crate::exchange::{self, Answer, Socket};
use crate::registry_set::NewStores;
use crate::streamed::StreamedAnswer;

/// The longest wait for an answer.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// The longest wait for the next bytes of a long exchange.
const STREAM_WAIT_MAX: Duration = Duration::from_secs(600);

/// The longest line of an answer that is read, in bytes.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// The part of an error's answer that is read, in bytes.
const REASON_BYTES_MAX: u64 = 64 * 1024;

/// The address of an admin listener on a command line.
///
/// # Errors
/// A line for the operator: the text is none.
pub(crate) fn admin_url(text: &str) -> Result<Url, String> {
    let advice = |wrong: &str| {
        format!("{wrong}; write http://HOST:PORT, such as http://127.0.0.1:5001, or unix:/PATH")
    };
    let url = Url::parse(text).map_err(|error| advice(&error.to_string()))?;
    match url.scheme() {
        "http" if url.host().is_some() => Ok(url),
        "unix" if !url.cannot_be_a_base() && url.path().len() > 1 => Ok(url),
        "https" => Err(advice("the admin listener has no TLS")),
        _ => Err(advice("the scheme is missing")),
    }
}

/// The address of an admin listener, and the header with its token.
#[derive(Debug)]
pub(crate) struct AdminListener {
    at: Place,
    authorization: String,
    /// The stores behind it, if no wharf runs.
    directory: Option<Directory>,
}

/// The place where an admin listener is reached.
#[derive(Debug)]
enum Place {
    /// A host and a port.
    Network(String, u16),
    /// The file of a Unix socket.
    File(PathBuf),
}

impl AdminListener {
    /// The listener at `url`, or the one in the configuration. `advice` is for a configuration that has none.
    ///
    /// # Errors
    /// There is none, or the URL is not its address.
    pub(crate) fn find(config: &Config, url: Option<&Url>, advice: &str) -> Result<Self, String> {
        let admin = config.admin.as_ref();
        let at = match (url, admin) {
            (Some(url), _) => Place::of_url(url)?,
            (None, Some(admin)) => Place::of_listener(&admin.listen),
            (None, None) => return Err(format!("the configuration has no admin listener; {advice}")),
        };
        let token = admin.and_then(|admin| admin.token.as_ref());
        Ok(Self { at, authorization: authorization(token), directory: None })
    }

    /// The same, or the stores themselves if neither `url` nor the configuration leads to a running wharf.
    ///
    /// # Errors
    /// A line for the operator.
    pub(crate) fn find_or_open(config: &Config, url: Option<&Url>) -> Result<Self, String> {
        Self::find_or_make(config, url, NewStores::none())
    }

    /// Like [`find_or_open`](Self::find_or_open), for a command that also makes `new_stores`.
    ///
    /// # Errors
    /// A line for the operator.
    pub(crate) fn find_or_make(
        config: &Config,
        url: Option<&Url>,
        new_stores: NewStores,
    ) -> Result<Self, String> {
        if url.is_some() {
            return Self::find(config, url, "");
        }
        let why = match &config.admin {
            None => "the configuration has no admin listener".to_owned(),
            Some(admin) => {
                let at = Place::of_listener(&admin.listen);
                let is_file = admin.listen.file().is_some();
                match at.connect().map_err(|error| (error.kind(), error)) {
                    Err((ErrorKind::NotFound, _)) if is_file => at.without_wharf(),
                    Err((ErrorKind::ConnectionRefused, _)) => at.without_wharf(),
                    // A second attempt would wait as long.
                    Err((ErrorKind::TimedOut, error)) => return Err(at.no_answer(&error)),
                    _ => return Self::find(config, None, ""),
                }
            }
        };
        let directory = Directory::open(config, &why, new_stores)?;
        let at = Place::of_listener(&directory.address().into());
        let authorization = authorization(Some(directory.token()));
        Ok(Self { at, authorization, directory: Some(directory) })
    }

    /// The stores behind it, if no wharf runs.
    pub(crate) fn directory(&self) -> Option<&Directory> {
        self.directory.as_ref()
    }

    /// The address, as a URL has it.
    pub(crate) fn shown(&self) -> String {
        self.at.to_string()
    }

    /// Sends a request without content.
    ///
    /// # Errors
    /// A line for the operator: there is no answer.
    pub(crate) fn send(&self, method: &str, target: &str) -> Result<Answer, String> {
        let host = self.at.host();
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: {host}\r\n{}Content-Length: 0\r\nConnection: close\r\n\r\n",
            self.authorization
        );
        self.at.connect().and_then(|it| exchange::whole(it, &request)).map_err(|error| self.no_answer(&error))
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
        let host = self.at.host();
        let own = format!("Host: {host}\r\n{}Connection: close\r\n", self.authorization);
        let request = format!("{method} {target} HTTP/1.1\r\n{own}{framing}\r\n\r\n");
        let exchange = || {
            let socket = self.at.connect()?;
            let mut socket = socket.with_patience(STREAM_WAIT_MAX);
            socket.write_all(request.as_bytes())?;
            let sent = content(&mut socket);
            match StreamedAnswer::read(socket) {
                Ok(answer) => Ok(answer),
                Err(error) => Err(sent.err().unwrap_or(error)),
            }
        };
        exchange().map_err(|error| self.no_answer(&error))
    }

    /// Sends a request that is answered in JSON. Returns the answer's text and the document in it.
    ///
    /// # Errors
    /// A line for the operator.
    pub(crate) fn request(&self, method: &str, target: &str) -> Result<(String, Value), String> {
        let answer = self.send(method, target)?;
        let status = answer.line.split(' ').nth(1).unwrap_or_default();
        match (status, serde_json::from_str(&answer.body)) {
            ("200", Ok(document)) => Ok((answer.body, document)),
            _ => Err(self.refusal(status, &answer.body)),
        }
    }

    /// Like [`request`](Self::request), for long work: the answer may begin before its result is known, which
    /// may then be an error.
    ///
    /// # Errors
    /// A line for the operator.
    pub(crate) fn request_patiently(&self, method: &str, target: &str) -> Result<Value, String> {
        let answer = self.stream(method, target, "Content-Length: 0", |_| Ok(()))?;
        let status = answer.status.to_string();
        let mut text = String::new();
        let read = answer.content.take(LINE_BYTES_MAX).read_to_string(&mut text);
        let document: Value = serde_json::from_str(&text).unwrap_or_default();
        match document {
            Value::Object(_) if status == "200" && document.get("error").is_none() => Ok(document),
            Value::Null if status == "200" => Err(match read {
                Err(error) => self.no_answer(&error),
                Ok(_) => {
                    "wharf stopped before the end; the next attempt goes on where this one was".to_owned()
                }
            }),
            _ => Err(self.refusal(&status, &text)),
        }
    }

    /// Sends a request with content that is answered with a JSON document on each line. Passes each to `each`
    /// as it comes. An answer that breaks off is no failure here: its last document is missing.
    ///
    /// # Errors
    /// A line for the operator.
    pub(crate) fn lines(
        &self,
        target: &str,
        content: &str,
        mut each: impl FnMut(&Value),
    ) -> Result<(), String> {
        let framing = format!("Content-Type: application/json\r\nContent-Length: {}", content.len());
        let send = |socket: &mut Socket| socket.write_all(content.as_bytes());
        let answer = self.stream("POST", target, &framing, send)?;
        if answer.status != 200 {
            return Err(self.reason_of(answer));
        }
        let mut content = BufReader::new(answer.content);
        loop {
            let mut line = Vec::new();
            let read = content.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
            match read {
                Ok(_) if line.last() == Some(&b'\n') => {
                    if let Ok(document) = serde_json::from_slice(&line) {
                        each(&document);
                    }
                }
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(self.no_answer(&error)),
            }
        }
    }

    /// A line for the operator about an answer that is not the wanted one.
    pub(crate) fn reason_of(&self, answer: StreamedAnswer) -> String {
        let mut text = String::new();
        let _ = answer.content.take(REASON_BYTES_MAX).read_to_string(&mut text);
        self.refusal(&answer.status.to_string(), &text)
    }

    fn refusal(&self, status: &str, content: &str) -> String {
        let document: Value = serde_json::from_str(content).unwrap_or_default();
        match (status, document["error"]["message"].as_str()) {
            (_, Some(message)) => message.to_owned(),
            ("401" | "403", None) => {
                let why = content.trim_end();
                format!("the running wharf refused the request ({why}); check token_file of [admin]")
            }
            _ => {
                let shown = self.shown();
                format!("{shown} answered with the status {status:?}; name wharf's admin listener with --url")
            }
        }
    }

    fn no_answer(&self, error: &io::Error) -> String {
        self.at.no_answer(error)
    }
}

impl Place {
    fn of_url(url: &Url) -> Result<Self, String> {
        let file = (url.scheme() == "unix").then(|| format!("file://{}", url.path()));
        // A path is read as that of a file, so that it may have escapes.
        let file = file.and_then(|it| Url::parse(&it).ok()?.to_file_path().ok());
        match (file, url.scheme(), url.host_str(), url.port_or_known_default()) {
            (Some(file), ..) => Ok(Self::File(file)),
            (None, "http", Some(host), Some(port)) => {
                Ok(Self::Network(host.trim_matches(['[', ']']).to_owned(), port))
            }
            _ => Err(format!("{url}: write the admin listener as http://HOST:PORT or unix:/PATH")),
        }
    }

    fn of_listener(address: &ListenAddress) -> Self {
        match address {
            ListenAddress::Ip(address) => {
                let address = exchange::reachable(*address);
                Self::Network(address.ip().to_string(), address.port())
            }
            ListenAddress::File(file) => Self::File(file.path.clone()),
        }
    }

    fn connect(&self) -> io::Result<Socket> {
        match self {
            Self::Network(host, port) => Socket::connect(host, *port, WAIT_MAX),
            Self::File(file) => Socket::connect_local(file, WAIT_MAX),
        }
    }

    /// The value of `Host`, which is not the path of a file.
    fn host(&self) -> String {
        match self {
            Self::Network(..) => self.to_string(),
            Self::File(_) => "localhost".to_owned(),
        }
    }

    fn without_wharf(&self) -> String {
        format!("no wharf listens on {self}, the admin listener of the configuration")
    }

    fn no_answer(&self, error: &io::Error) -> String {
        let why = error_chain(error);
        format!("no answer from the admin listener at {self}: {why}; check that wharf runs there")
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Network(host, port) => write!(f, "{host}:{port}"),
            Self::File(file) => write!(f, "{SOCKET_FILE_PREFIX}{}", file.display()),
        }
    }
}

/// The header with the token.
fn authorization(token: Option<&Secret<String>>) -> String {
    token.map(|token| format!("Authorization: Bearer {}\r\n", token.expose())).unwrap_or_default()
}
