//! Token services in memory.

use parking_lot::Mutex;

use super::*;

/// A request that a fake has received.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) method: HttpMethod,
    pub(crate) url: String,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: String,
    pub(crate) reach: Reach,
}

impl Received {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The value of a pair of a form.
    pub(crate) fn pair(&self, name: &str) -> Option<String> {
        let mut pairs = url::form_urlencoded::parse(self.body.as_bytes());
        pairs.find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
    }
}

type Answer = dyn Fn(&Received) -> (u16, String) + Send + Sync;

/// A client whose services answer by a function.
pub(crate) struct FakeHttp {
    answer: Box<Answer>,
    pub(crate) received: Mutex<Vec<Received>>,
}

impl FakeHttp {
    pub(crate) fn new(answer: impl Fn(&Received) -> (u16, String) + Send + Sync + 'static) -> Self {
        Self { answer: Box::new(answer), received: Mutex::default() }
    }
}

impl fmt::Debug for FakeHttp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FakeHttp")
    }
}

#[async_trait]
impl HttpClient for FakeHttp {
    async fn send(&self, request: HttpRequest) -> Result<HttpAnswer, Failure> {
        let fields = request.fields.iter();
        let received = Received {
            method: request.method,
            url: request.url.to_string(),
            fields: fields.map(|(name, value)| ((*name).to_owned(), value.expose().clone())).collect(),
            body: String::from_utf8(request.body.expose().clone()).expect("a text"),
            reach: request.reach,
        };
        let (status, body) = (self.answer)(&received);
        self.received.lock().push(received);
        Ok(HttpAnswer { status, body: Secret::new(body.into_bytes()) })
    }
}
