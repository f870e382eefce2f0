//! The images of compose files, with variables (Compose specification, "Interpolation").

use super::document::{Document, Node};
use super::{Finding, Found, Variables};

/// How deep defaults may stand in defaults: `${A:-${B:-c}}` has two.
const DEPTH_MAX: usize = 16;

/// The services of a compose file; `None`: the document is none.
pub(super) fn services(document: &Document) -> Option<Vec<(&str, &Node)>> {
    let root = document.root();
    if root.get("apiVersion").is_some() {
        return None;
    }
    let services = root.get("services")?;
    let is_service = |node: &Node| {
        node.get("image").is_some() || node.get("build").is_some() || node.get("extends").is_some()
    };
    let all: Vec<_> = services.entries().iter().map(|(name, node)| (name.as_str(), &**node)).collect();
    all.iter().any(|(_, node)| is_service(node)).then_some(all)
}

/// The images of the services.
pub(super) fn images(services: &[(&str, &Node)], variables: Variables<'_>) -> Vec<Found> {
    let image = |(name, service): &(&str, &Node)| {
        let image = service.get("image").and_then(|node| Some((node.line(), node.text()?)));
        let Some((line, text)) = image else {
            let why = format!("the service {name:?} was left out, because it names no image");
            return (service.line(), Finding::LeftOut(why));
        };
        match expand(text, variables, DEPTH_MAX) {
            Ok(image) if image.trim().is_empty() => {
                (line, Finding::Mistake(format!("{text:?} was left out, because it is empty")))
            }
            Ok(image) => (line, Finding::Image(image.trim().to_owned())),
            Err(why) => (line, Finding::Mistake(format!("{text:?} was left out: {why}"))),
        }
    };
    services.iter().map(image).collect()
}

/// Replaces variables by their values or defaults.
///
/// # Errors
/// A variable that is needed and has neither; a form that compose does not know.
pub(super) fn expand(text: &str, variables: Variables<'_>, depth: usize) -> Result<String, String> {
    if depth == 0 {
        return Err("its defaults are nested too deeply".to_owned());
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            let end = closing(after).ok_or("a brace is not closed")?;
            out.push_str(&braced(&after[..end], variables, depth)?);
            rest = &after[end + 1..];
        } else {
            let (name, after) = split_name(rest);
            if name.is_empty() {
                return Err("a $ is followed by no name; write $$ for a dollar sign".to_owned());
            }
            out.push_str(&variables(name).ok_or_else(|| unset(name))?);
            rest = after;
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// The value of what stands in braces: a name, then an operator and its word.
fn braced(inner: &str, variables: Variables<'_>, depth: usize) -> Result<String, String> {
    let (name, rest) = split_name(inner);
    if name.is_empty() {
        return Err(format!("${{{inner}}} has no name"));
    }
    let value = variables(name);
    let (is_strict, rest) = match rest.strip_prefix(':') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let is_set = value.as_ref().is_some_and(|value| !is_strict || !value.is_empty());
    let mut chars = rest.chars();
    match (chars.next(), chars.as_str()) {
        (None, _) if !is_strict => value.ok_or_else(|| unset(name)),
        (Some('-'), word) if !is_set => expand(word, variables, depth - 1),
        (Some('-'), _) => Ok(value.unwrap_or_default()),
        (Some('+'), word) if is_set => expand(word, variables, depth - 1),
        (Some('+'), _) => Ok(String::new()),
        (Some('?'), _) => value.filter(|_| is_set).ok_or_else(|| unset(name)),
        _ => Err(format!("${{{inner}}} is not a form of compose")),
    }
}

fn unset(name: &str) -> String {
    format!("the variable {name} is not set; set it in the environment of this command")
}

/// Splits a variable's name from what follows it.
fn split_name(text: &str) -> (&str, &str) {
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_';
    if !text.starts_with(is_first) {
        return ("", text);
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    text.split_at(end)
}

/// The place of the brace that closes the one before `text`.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'{' if at > 0 && bytes[at - 1] == b'$' => depth += 1,
            b'}' if depth == 0 => return Some(at),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}
