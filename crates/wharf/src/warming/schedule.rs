//! The schedule of `[warm]`: brings its images into the stores again and again, so that tags that move stay
//! warm.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use telemetry::Metrics;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::run::{self, Report};
use super::{Choice, Lines, Warmer, chosen};
use crate::commands::Located;
use crate::config::{Config, Warm};
use crate::references::{References, TEXT_BYTES_MAX};

/// The longest wait before the first run. Machines that start together do not ask together.
const FIRST_WAIT_MAX: Duration = Duration::from_secs(30);

/// The part of `every` by which a run may be early or late.
const SPREAD: f64 = 0.05;

/// The most mistakes of one run that are logged one by one.
const LOGGED_COUNT_MAX: usize = 20;

/// The task that warms on schedule.
#[derive(Debug)]
pub(crate) struct Schedule {
    warmer: Warmer,
    settings: watch::Receiver<Warm>,
    metrics: Arc<Metrics>,
}

impl Schedule {
    pub(crate) fn new(warmer: Warmer, settings: watch::Receiver<Warm>, metrics: Arc<Metrics>) -> Self {
        Self { warmer, settings, metrics }
    }

    /// Runs until `shutdown`. Changed settings end a run and begin another one.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let mut changes = self.settings.clone();
        loop {
            let settings = changes.borrow_and_update().clone();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                changed = changes.changed() => if changed.is_err() { return },
                () = self.keep_warm(&settings) => {}
            }
        }
    }

    /// Runs again and again. Never returns.
    async fn keep_warm(&self, settings: &Warm) {
        if settings.is_empty() {
            self.metrics.forget_warming();
            return std::future::pending().await;
        }
        sleep(FIRST_WAIT_MAX.min(settings.every.mul_f64(SPREAD)).mul_f64(fastrand::f64())).await;
        loop {
            self.run_once(settings).await;
            sleep(settings.every.mul_f64(1.0 - SPREAD + 2.0 * SPREAD * fastrand::f64())).await;
        }
    }

    async fn run_once(&self, settings: &Warm) {
        let references = read(settings).await;
        for line in references.mistakes.lines().take(LOGGED_COUNT_MAX) {
            warn!("[warm] {line}");
        }
        for line in references.remarks.lines().take(LOGGED_COUNT_MAX) {
            info!("[warm] {line}");
        }
        let images = references.images.iter().map(ToString::to_string).collect();
        let platforms = chosen(settings.platforms.clone());
        let choice = Choice { platforms, with_referrers: settings.with_referrers };
        let Some(report) = run::run(&self.warmer, images, &choice, &Lines::Log).await else { return };
        let Report { image_count, held_count, fetched_count, failed_count, fetched_bytes } = report;
        let failed_count = failed_count + references.mistakes.count();
        self.metrics.warmed(held_count + fetched_count, failed_count, seconds_now());
        info!(
            images = image_count,
            held = held_count,
            fetched = fetched_count,
            failed = failed_count,
            bytes = fetched_bytes,
            "warmed the images of [warm]"
        );
    }
}

/// The references of the list and of the files, which may have changed since the last run.
async fn read(settings: &Warm) -> References {
    let settings = settings.clone();
    let reading = tokio::task::spawn_blocking(move || read_now(&settings));
    reading.await.expect("reading references neither panics nor is cancelled")
}

fn read_now(settings: &Warm) -> References {
    let mut references = References::default();
    settings.images.iter().for_each(|image| references.add_argument(image));
    for file in &settings.files {
        match std::fs::metadata(file) {
            // A pipe would block the schedule, and could be read only once.
            Ok(about) if !about.is_file() => {
                references
                    .add_mistake(format!("{}: cannot be read: it is not a regular file", file.display()));
            }
            _ => add_file(&mut references, file),
        }
    }
    references
}

/// Warnings of what the schedule could not fetch, one a line, for `wharf check`.
pub(crate) fn warnings(config: &Config) -> String {
    let references = read_now(&config.warm);
    let unknown = references.images.iter().filter_map(|image| {
        let why = Located::find(image, &config.registries).err()?;
        Some(format!("{image}: {why}"))
    });
    let lines = references.mistakes.lines().chain(unknown);
    lines.map(|line| format!("warning: [warm] {line}\n")).collect()
}

/// Adds the references of a file, with the variables of this process.
pub(crate) fn add_file(references: &mut References, path: &Path) {
    use std::io::Read as _;
    let mut text = Vec::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(TEXT_BYTES_MAX as u64 + 1).read_to_end(&mut text));
    let source = path.display().to_string();
    match read {
        Ok(_) => references.add_text(&source, &text, &|name| std::env::var(name).ok()),
        Err(error) => references.add_mistake(format!("{source}: cannot be read: {error}")),
    }
}

/// Seconds since 1970.
fn seconds_now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}
