//! One order, from the names to the certificate (RFC 8555, section 7.4).

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationState, AuthorizationStatus, CertificateIdentifier, ChallengeStatus, Identifier,
    NewOrder, Order, OrderStatus, RetryPolicy,
};
use policy::issuance::NAME_COUNT_MAX;
use rcgen::{CertificateParams, DistinguishedName, KeyPair};

use crate::problem::{self, Failure};
use crate::responder::Responder;

/// The authority gets this time to validate the names, and again to sign.
const POLLING: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(250))
    .backoff(1.5)
    .timeout(Duration::from_secs(180));

/// The most challenges of one name. There are five kinds.
const CHALLENGE_COUNT_MAX: usize = 16;

/// The longest token of a challenge, in characters. Let's Encrypt's have 43.
const TOKEN_CHARS_MAX: usize = 512;

/// The most names whose failure the log tells in one line.
const TOLD_COUNT_MAX: usize = 10;

/// A chain and the key of its first certificate, both in PEM. It has no `Debug`, because it holds a secret.
pub(crate) struct Issued {
    pub(crate) chain: String,
    pub(crate) key: String,
}

/// Orders a certificate for `names`, in place of the one called `replaces`. The caller takes back what
/// `responder` presents.
///
/// # Errors
/// A [`Failure`], which blames names if it can.
pub(crate) async fn obtain(
    account: &Account,
    names: &[String],
    replaces: Option<CertificateIdentifier<'static>>,
    responder: &mut Responder,
) -> Result<Issued, Failure> {
    let identifiers: Vec<Identifier> = names.iter().cloned().map(Identifier::Dns).collect();
    let mut order = begin(account, names, &identifiers, replaces).await?;
    let count = order.state().authorizations.len();
    if count > NAME_COUNT_MAX {
        return Err(Failure::new(format!(
            "the authority asks for {count} validations, and a certificate has at most {NAME_COUNT_MAX} names"
        )));
    }
    present(&mut order, names, responder).await?;
    responder.settle().await;
    declare_ready(&mut order, names, responder).await?;
    match order.poll_ready(&POLLING).await {
        Ok(OrderStatus::Invalid) => return Err(blame(&mut order, names, None).await),
        Ok(_) => {}
        Err(error) => {
            let failure = Failure::of_request("validate the names", &error, names);
            return Err(blame(&mut order, names, Some(failure)).await);
        }
    }
    let key = KeyPair::generate().map_err(|error| Failure::new(format!("cannot make a key: {error}")))?;
    let request = signing_request(names, &key)?;
    let told = |what: &'static str| move |error| Failure::of_request(what, &error, names);
    order.finalize_csr(&request).await.map_err(told("accept the request"))?;
    let chain = order.poll_certificate(&POLLING).await.map_err(told("issue the certificate"))?;
    Ok(Issued { chain, key: key.serialize_pem() })
}

async fn begin(
    account: &Account,
    names: &[String],
    identifiers: &[Identifier],
    replaces: Option<CertificateIdentifier<'static>>,
) -> Result<Order, Failure> {
    let told = |error| Failure::of_request("accept an order", &error, names);
    if let Some(replaces) = replaces {
        let order = NewOrder::new(identifiers).replaces(replaces);
        match account.new_order(&order).await {
            Ok(order) => return Ok(order),
            // The authority does without, or a crash came between an order and its certificate.
            Err(error) if is_about_replacing(&error) => {}
            Err(error) => return Err(told(error)),
        }
    }
    account.new_order(&NewOrder::new(identifiers)).await.map_err(told)
}

/// Whether an order without the certificate to replace may succeed.
fn is_about_replacing(error: &instant_acme::Error) -> bool {
    match error {
        instant_acme::Error::Unsupported(_) => true,
        // "replaces field mismatch": the authority ignores the field.
        instant_acme::Error::Other(error) => error.to_string().starts_with("replaces field"),
        instant_acme::Error::Api(problem) => {
            let kind = problem.r#type.as_deref().unwrap_or_default();
            let detail = problem.detail.as_deref().unwrap_or_default();
            kind.ends_with(":alreadyReplaced") || detail.contains("replaces")
        }
        _ => false,
    }
}

/// Presents the answer of each name that is not validated yet.
async fn present(order: &mut Order, names: &[String], responder: &mut Responder) -> Result<(), Failure> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization =
            authorization.map_err(|error| Failure::of_request("show an order", &error, names))?;
        let (shown, host) = name_of(&authorization, names)?;
        match authorization.status {
            AuthorizationStatus::Valid => continue,
            AuthorizationStatus::Pending => {}
            status => {
                return Err(Failure::of_names(
                    format!("the authority calls the validation of {shown} {status:?}"),
                    vec![shown],
                ));
            }
        }
        let kind = responder.kind();
        let offered: Vec<String> =
            authorization.challenges.iter().map(|it| format!("{:?}", it.r#type)).collect();
        let Some(challenge) = authorization.challenge(kind.clone()) else {
            let offered = problem::shown(&offered.join(", "));
            return Err(Failure::of_names(
                format!("the authority does not offer {kind:?} for {shown}, but {offered}"),
                vec![shown],
            ));
        };
        if !is_token(&challenge.token) {
            let token = problem::shown(&challenge.token);
            let text =
                format!("the authority's token for {shown} is none (RFC 8555, section 8.1): {token:?}");
            return Err(Failure::of_names(text, vec![shown]));
        }
        let presented = responder.present(&host, &challenge).await;
        presented.map_err(|error| Failure::of_names(error, vec![shown]))?;
    }
    Ok(())
}

/// The name of the order that an authorization is about, with its wildcard and without. wharf shows answers
/// for no other name, whatever the authority asks for.
fn name_of(authorization: &AuthorizationState, names: &[String]) -> Result<(String, String), Failure> {
    let identifier = authorization.identifier();
    let shown = identifier.to_string().to_ascii_lowercase();
    let host = match identifier.identifier {
        Identifier::Dns(host) => host.to_ascii_lowercase(),
        _ => String::new(),
    };
    let is_bare = |name: &&String| name.strip_prefix("*.") == Some(host.as_str());
    let Some(name) = names.iter().find(|name| **name == shown).or_else(|| names.iter().find(is_bare)) else {
        let shown = problem::shown(&shown);
        return Err(Failure::new(format!(
            "the authority validates {shown:?}, which the order does not name"
        )));
    };
    let count = authorization.challenges.len();
    if count > CHALLENGE_COUNT_MAX {
        let text = format!("the authority offers {count} challenges for {name}");
        return Err(Failure::of_names(text, vec![name.clone()]));
    }
    Ok((name.clone(), host))
}

/// Whether a token has only characters of base64url. It becomes a part of a path and of an answer.
fn is_token(token: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=TOKEN_CHARS_MAX).contains(&token.len()) && token.bytes().all(is_allowed)
}

/// Asks the authority to validate each name.
async fn declare_ready(order: &mut Order, names: &[String], responder: &Responder) -> Result<(), Failure> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization =
            authorization.map_err(|error| Failure::of_request("show an order", &error, names))?;
        if authorization.status != AuthorizationStatus::Pending {
            continue;
        }
        let shown = authorization.identifier().to_string();
        let Some(mut challenge) = authorization.challenge(responder.kind()) else { continue };
        challenge.set_ready().await.map_err(|error| {
            let failure = Failure::of_request("take the answer of a challenge", &error, names);
            Failure { text: format!("{shown}: {}", failure.text), ..failure }
        })?;
    }
    Ok(())
}

/// The failure of an order whose names were not all validated: what the authority found at each. Without such
/// a finding it is `otherwise`.
async fn blame(order: &mut Order, names: &[String], otherwise: Option<Failure>) -> Failure {
    let (mut texts, mut culprits) = (Vec::new(), Vec::new());
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        if authorization.refresh().await.is_err() {
            break;
        }
        if authorization.status != AuthorizationStatus::Invalid {
            continue;
        }
        // Each question may get another answer.
        let Ok((name, _)) = name_of(&authorization, names) else { continue };
        let failed = authorization.challenges.iter().find(|it| it.status == ChallengeStatus::Invalid);
        let why = failed.and_then(|challenge| challenge.error.as_ref()).map(problem::words);
        if texts.len() < TOLD_COUNT_MAX {
            texts.push(format!("{name}: {}", why.unwrap_or_else(|| "it gave no reason".to_owned())));
        }
        culprits.push(name);
    }
    if !culprits.is_empty() {
        if let more @ 1.. = culprits.len() - texts.len() {
            texts.push(format!("and {more} more"));
        }
        return Failure::of_names(format!("the authority did not validate {}", texts.join("; ")), culprits);
    }
    otherwise.unwrap_or_else(|| Failure::new("the authority calls the order invalid and gives no reason"))
}

/// The request to sign (RFC 2986) for all names, with no name but the alternative ones.
fn signing_request(names: &[String], key: &KeyPair) -> Result<Vec<u8>, Failure> {
    let made = || -> Result<Vec<u8>, rcgen::Error> {
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = DistinguishedName::new();
        Ok(params.serialize_request(key)?.der().to_vec())
    };
    made().map_err(|error| Failure::new(format!("cannot make a signing request: {error}")))
}
