//! `wharf pull`: makes the running wharf fetch images into its stores. `wharf verify`: finds out whether
//! images can be pulled while their upstreams are gone.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::image_list::ImageList;
use super::pull_progress::PullProgress;
use super::table::{amount, counted};
use crate::admin_listener::AdminListener;
use crate::config::Config;
use crate::references::References;

/// What to do without an admin listener.
const NO_LISTENER: &str = "set listen of [admin]";

/// The time between two lines of progress where no terminal overwrites them.
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);

/// The time between two changes of the line on a terminal.
const TERMINAL_INTERVAL: Duration = Duration::from_millis(200);

/// The work of a command on images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    Pull {
        /// Whether what is attached to the images is fetched too.
        with_referrers: bool,
    },
    Verify,
}

/// Does the work and prints a line for each image, and a report.
///
/// # Errors
/// The last line: how many images failed, or why nothing was done.
pub(crate) fn work(config: &Config, list: &ImageList, work: Work) -> Result<(), String> {
    let references = list.read();
    let mut screen = Screen::new(work, list.json, references.images.len());
    screen.begin(&references);
    let mut last = None;
    if !references.images.is_empty() {
        let (listener, target) = match work {
            Work::Pull { .. } => (AdminListener::find(config, list.url.as_ref(), NO_LISTENER)?, "/api/pull"),
            Work::Verify => (AdminListener::find_or_open(config, list.url.as_ref())?, "/api/verify"),
        };
        let sent = listener.lines(
            target,
            &list.content(&references, work == Work::Pull { with_referrers: true }),
            |event| {
                screen.take(event);
                if event["event"] == "report" {
                    last = Some(event.clone());
                }
            },
        );
        screen.clear();
        sent?;
        if last.is_none() {
            return Err(
                "wharf stopped before the end; the next attempt goes on where this one was".to_owned()
            );
        }
    }
    screen.end(last.unwrap_or_else(|| json!({ "event": "report" })), references.mistakes.count())
}

/// The output of a command, on a terminal or not.
struct Screen {
    work: Work,
    is_json: bool,
    is_terminal: bool,
    progress: PullProgress,
    started: Instant,
    /// When the line of progress was last printed.
    printed: Instant,
}

impl Screen {
    fn new(work: Work, is_json: bool, image_count: usize) -> Self {
        let now = Instant::now();
        let progress = PullProgress::new(image_count);
        Self { work, is_json, is_terminal: io::stderr().is_terminal(), progress, started: now, printed: now }
    }

    /// Prints what was wrong with the references.
    fn begin(&self, references: &References) {
        for line in references.mistakes.lines() {
            self.print(&json!({ "event": "mistake", "text": line }), &line);
        }
        if !self.is_json {
            references.remarks.lines().for_each(|line| note(&line));
        }
    }

    /// Takes an event of the server.
    fn take(&mut self, event: &Value) {
        self.progress.take(event);
        match event["event"].as_str() {
            Some("progress") => self.print_progress(),
            Some("image") => {
                self.clear();
                let line = format!("{}: {}", text(&event["image"]), self.outcome(event));
                self.print(event, &line);
            }
            _ => {}
        }
    }

    fn print_progress(&mut self) {
        let interval = if self.is_terminal { TERMINAL_INTERVAL } else { PLAIN_INTERVAL };
        if self.is_json || self.printed.elapsed() < interval {
            return;
        }
        self.printed = Instant::now();
        let line = self.progress.line(self.started.elapsed());
        if self.is_terminal {
            // The line of progress is only for the eye.
            let _ = write!(io::stderr(), "\r\x1b[K{line}").and_then(|()| io::stderr().flush());
        } else {
            note(&line);
        }
    }

    /// Removes the line of progress from a terminal.
    fn clear(&self) {
        if self.is_terminal && !self.is_json {
            let _ = write!(io::stderr(), "\r\x1b[K").and_then(|()| io::stderr().flush());
        }
    }

    /// The outcome of the work on one image, for people.
    fn outcome(&self, event: &Value) -> String {
        let bytes = |key: &str| amount(&event[key]);
        let mut line = match event["state"].as_str() {
            Some("held") => format!("already here, {}", bytes("total_bytes")),
            Some("fetched") => format!("fetched {} of {}", bytes("fetched_bytes"), bytes("total_bytes")),
            Some("whole") => format!("complete, {}", bytes("total_bytes")),
            Some("incomplete") => {
                let named = event["missing"].as_array().into_iter().flatten();
                let named: Vec<String> = named.map(|part| format!("\n  {}", text(&part["text"]))).collect();
                let count = event["missing_count"].as_u64().unwrap_or(0);
                let rest = count.saturating_sub(named.len() as u64);
                let rest = if rest > 0 { format!("\n  and {rest} more") } else { String::new() };
                return format!("incomplete, lacks{}{rest}", named.concat());
            }
            _ => return format!("failed: {}", text(&event["error"])),
        };
        let list = |key: &str| {
            let texts = event[key].as_array().into_iter().flatten().filter_map(Value::as_str);
            texts.collect::<Vec<_>>().join(", ")
        };
        if !list("platforms").is_empty() {
            line.push_str(&format!(" ({})", list("platforms")));
        }
        if !list("missing_platforms").is_empty() {
            line.push_str(&format!("; the image has no {}", list("missing_platforms")));
        }
        if let Some(count) = event["referrers"].as_u64() {
            line.push_str(&format!(", with {count} attached"));
        }
        if event["stale"] == true {
            line.push_str("; the upstream could not be asked whether the tag has moved");
        }
        line
    }

    /// Prints the report.
    ///
    /// # Errors
    /// A summary, if an image failed or a line was wrong.
    fn end(&self, mut report: Value, mistake_count: usize) -> Result<(), String> {
        let count = |key: &str| report[key].as_u64().unwrap_or(0);
        let images = counted(count("images"), "image");
        let (summary, failed) = match self.work {
            Work::Pull { .. } => {
                let (held, fetched, failed) = (count("held"), count("fetched"), count("failed"));
                let bytes = amount(&Value::from(count("fetched_bytes")));
                (
                    format!("{images}: {held} already here, {fetched} fetched ({bytes}), {failed} failed"),
                    failed,
                )
            }
            Work::Verify => {
                let (whole, incomplete) = (count("whole"), count("incomplete"));
                (format!("{images}: {whole} complete, {incomplete} incomplete"), incomplete)
            }
        };
        let wrong = if mistake_count > 0 { format!(", {mistake_count} not read") } else { String::new() };
        report["mistakes"] = mistake_count.into();
        if self.is_json {
            out(&report.to_string());
        }
        if failed == 0 && mistake_count == 0 {
            if !self.is_json {
                out(&summary);
            }
            return Ok(());
        }
        Err(format!("{summary}{wrong}"))
    }

    fn print(&self, document: &Value, line: &str) {
        out(&if self.is_json { document.to_string() } else { line.to_owned() });
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

/// A reader that has closed its end gets the exit code only.
fn out(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

fn note(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
