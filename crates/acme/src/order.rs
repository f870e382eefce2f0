//! One order, from the names to the certificate (RFC 8555, section 7.4).

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeStatus, Identifier, NewOrder, Order,
    OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};

use crate::problem::{self, Failure};
use crate::responder::Responder;

/// How long the authority may take to validate the names, and to sign.
const POLLING: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(250))
    .backoff(1.5)
    .timeout(Duration::from_secs(180));

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
        match authorization.status {
            AuthorizationStatus::Valid => continue,
            AuthorizationStatus::Pending => {}
            status => {
                let name = authorization.identifier().to_string();
                return Err(Failure::of_names(
                    format!("the authority calls the validation of {name} {status:?}"),
                    vec![name],
                ));
            }
        }
        let (shown, host) = {
            let identifier = authorization.identifier();
            let Identifier::Dns(host) = identifier.identifier else { continue };
            (identifier.to_string(), host.clone())
        };
        let kind = responder.kind();
        let offered: Vec<String> =
            authorization.challenges.iter().map(|it| format!("{:?}", it.r#type)).collect();
        let Some(challenge) = authorization.challenge(kind.clone()) else {
            let offered = offered.join(", ");
            return Err(Failure::of_names(
                format!("the authority does not offer {kind:?} for {shown}, but {offered}"),
                vec![shown],
            ));
        };
        let presented = responder.present(&host, &challenge).await;
        presented.map_err(|error| Failure::of_names(error, vec![shown]))?;
    }
    Ok(())
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
        let name = authorization.identifier().to_string();
        let failed = authorization.challenges.iter().find(|it| it.status == ChallengeStatus::Invalid);
        let why = failed.and_then(|challenge| challenge.error.as_ref()).map(problem::words);
        texts.push(format!("{name}: {}", why.unwrap_or_else(|| "it gave no reason".to_owned())));
        culprits.push(name);
    }
    if !culprits.is_empty() {
        culprits.retain(|name| names.contains(name));
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
