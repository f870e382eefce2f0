//! The lines of the log about orders.

use policy::issuance::Held;

/// The most names in a line; further ones are counted.
const NAMED_COUNT_MAX: usize = 5;

/// The line about a certificate that was obtained.
pub(crate) fn obtained(held: &Held, is_renewal: bool, now: u64) -> String {
    let word = if is_renewal { "renewed the" } else { "obtained a" };
    format!(
        "{word} certificate for {}; it is valid for {} and renewed in {}",
        listed(&held.names),
        time(held.ends.saturating_sub(now)),
        time(held.renew_at().saturating_sub(now)),
    )
}

/// The line about an order that failed; `pause` is the time until the next one, in seconds.
pub(crate) fn failed(names: &[String], why: &str, is_urgent: bool, pause: u64) -> String {
    let goes_on = if is_urgent {
        "some of these names have no valid certificate"
    } else {
        "clients still get the present certificate"
    };
    format!(
        "cannot obtain a certificate for {}: {why}; {goes_on}, and wharf tries again in {}",
        listed(names),
        time(pause)
    )
}

fn listed(names: &[String]) -> String {
    let text = names[..names.len().min(NAMED_COUNT_MAX)].join(", ");
    match names.len().saturating_sub(NAMED_COUNT_MAX) {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

/// A time in its largest unit of which there are two or more.
fn time(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..120 => (seconds, "s"),
        120..7200 => (seconds / 60, "minutes"),
        7200..172_800 => (seconds / 3600, "hours"),
        _ => (seconds / 86_400, "days"),
    };
    format!("{count} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_name_the_names_the_cause_and_the_next_try() {
        let names: Vec<String> = (0..7).map(|number| format!("{number}.example")).collect();
        assert_eq!(
            failed(&names[..1], "no", true, 61),
            "cannot obtain a certificate for 0.example: no; some of these names have no valid certificate, and \
             wharf tries again in 61 s"
        );
        let line = failed(&names, "no", false, 3600);
        assert!(line.contains("4.example and 2 more: no; clients still get"), "{line}");
        assert!(line.ends_with("in 60 minutes"), "{line}");
        let held = Held {
            names: names[..2].to_vec(),
            begins: 0,
            ends: 90 * 86_400,
            obtained_at: 0,
            window: None,
            draw: 0,
        };
        assert_eq!(
            obtained(&held, true, 0),
            "renewed the certificate for 0.example, 1.example; it is valid for 90 days and renewed in 60 days"
        );
    }
}
