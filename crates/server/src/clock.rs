//! The deadlines of one connection.
//!
//! A connection is always in one phase, and each phase limits the time without progress. hyper's header
//! timeout cannot tell an idle connection from a head that trickles in, and hyper has no write timeout. So
//! the socket and the answers report here, and the connection watches [`Clock::overdue`].

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use telemetry::CloseReason;
use tokio::time::{Instant, Sleep};

/// The longest time of each phase.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) header_wait_max: Duration,
    pub(crate) idle_max: Duration,
    pub(crate) stall_max: Duration,
    pub(crate) silence_max: Duration,
    pub(crate) half_closed_max: Duration,
    pub(crate) linger_max: Duration,
}

impl Limits {
    /// The same limits, none longer than `max`.
    pub(crate) fn within(self, max: Duration) -> Self {
        Self {
            header_wait_max: self.header_wait_max.min(max),
            idle_max: self.idle_max.min(max),
            stall_max: self.stall_max.min(max),
            silence_max: self.silence_max.min(max),
            half_closed_max: self.half_closed_max.min(max),
            linger_max: self.linger_max.min(max),
        }
    }

    /// The same limits, with at most `max` for an idle connection.
    pub(crate) fn idle_within(self, max: Duration) -> Self {
        Self { idle_max: self.idle_max.min(max), ..self }
    }
}

/// The deadline that a connection missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overdue {
    /// No request came.
    Idle,
    /// A request's head took too long.
    Head,
    /// The client did not read.
    Client,
    /// No content came to send.
    Answer,
    /// No content came for a client that has shut its sending side. Most such clients have left.
    Left,
    /// The client did not close its side after the last answer.
    Linger,
    /// The server is stopping, and the grace period is over.
    Drain,
}

impl Overdue {
    /// The reason as a metric label.
    pub(crate) fn reason(self) -> CloseReason {
        match self {
            Self::Idle => CloseReason::Idle,
            Self::Head => CloseReason::SlowHead,
            Self::Client => CloseReason::SlowReader,
            Self::Answer => CloseReason::NoAnswer,
            Self::Left => CloseReason::Left,
            Self::Linger => CloseReason::Linger,
            Self::Drain => CloseReason::Drain,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Head,
    Answering,
    Lingering,
}

/// A connection's phase and deadlines, shared by its socket, its answers and its task.
#[derive(Debug)]
pub(crate) struct Clock {
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// Answers under way; more than one if the client pipelines requests.
    answer_count: usize,
    /// The last progress: the phase began, or the client took bytes.
    since: Instant,
    /// Whether the socket is full because the client does not read.
    blocked: bool,
    /// Whether the client has shut its sending side.
    half_closed: bool,
    stop_by: Option<Instant>,
    given_up: Option<Overdue>,
}

impl Clock {
    /// Starts the clock of a new connection.
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        let state = State {
            phase: Phase::Idle,
            answer_count: 0,
            since: Instant::now(),
            blocked: false,
            half_closed: false,
            stop_by: None,
            given_up: None,
        };
        Arc::new(Self { limits, state: Mutex::new(state) })
    }

    /// The longest time for a request's head.
    pub(crate) fn header_wait_max(&self) -> Duration {
        self.limits.header_wait_max
    }

    /// Records that bytes came from the client.
    pub(crate) fn received(&self) {
        let mut state = self.state();
        if state.phase == Phase::Idle {
            state.enter(Phase::Head);
        }
    }

    /// Records that the client has shut its sending side. Returns whether an answer is still under way.
    pub(crate) fn half_closed(&self) -> bool {
        let mut state = self.state();
        state.half_closed = true;
        state.answer_count > 0
    }

    /// Whether an answer is under way.
    pub(crate) fn is_answering(&self) -> bool {
        self.state().answer_count > 0
    }

    /// Records that a request's head is complete.
    pub(crate) fn request_began(&self) {
        let mut state = self.state();
        state.answer_count += 1;
        state.enter(Phase::Answering);
    }

    /// Records that an answer was sent or dropped.
    pub(crate) fn answer_ended(&self) {
        let mut state = self.state();
        state.answer_count = state.answer_count.saturating_sub(1);
        if state.phase == Phase::Answering && state.answer_count == 0 {
            state.enter(Phase::Idle);
        }
    }

    /// Records that the client took bytes.
    pub(crate) fn sent(&self) {
        let mut state = self.state();
        state.blocked = false;
        // Reading the last answer gives a client no more time for its next head.
        if matches!(state.phase, Phase::Idle | Phase::Answering) {
            state.since = Instant::now();
        }
    }

    /// Records that a service works on a request or received some of its content.
    pub(crate) fn progressed(&self) {
        let mut state = self.state();
        if state.phase == Phase::Answering {
            state.since = Instant::now();
        }
    }

    /// Records that the socket is full until the client reads.
    pub(crate) fn blocked(&self) {
        let mut state = self.state();
        if !state.blocked {
            state.blocked = true;
            // The time until now was wharf's own, not the client's.
            state.since = Instant::now();
        }
    }

    /// Records that the socket has taken all buffered bytes.
    pub(crate) fn flushed(&self) {
        let mut state = self.state();
        if state.blocked {
            state.blocked = false;
            state.since = Instant::now();
        }
    }

    /// Records that our side of the connection is closed.
    pub(crate) fn lingering(&self) {
        self.state().enter(Phase::Lingering);
    }

    /// Ends the connection within `grace`, whatever its phase.
    pub(crate) fn stop_within(&self, grace: Duration) {
        self.state().stop_by = Some(Instant::now() + grace);
    }

    /// The deadline that the connection missed, once it has.
    pub(crate) fn given_up(&self) -> Option<Overdue> {
        self.state().given_up
    }

    /// Resolves when a deadline passes.
    pub(crate) fn overdue(self: &Arc<Self>) -> Watch {
        let armed = self.deadline().0;
        Watch { clock: Arc::clone(self), armed, sleep: Box::pin(tokio::time::sleep_until(armed)) }
    }

    fn deadline(&self) -> (Instant, Overdue) {
        let state = self.state();
        let limits = &self.limits;
        let is_blocked = state.blocked && matches!(state.phase, Phase::Idle | Phase::Answering);
        let (limit, why) = match state.phase {
            _ if is_blocked => (limits.stall_max, Overdue::Client),
            Phase::Idle => (limits.idle_max, Overdue::Idle),
            Phase::Head => (limits.header_wait_max, Overdue::Head),
            Phase::Answering if state.half_closed => {
                (limits.half_closed_max.min(limits.silence_max), Overdue::Left)
            }
            Phase::Answering => (limits.silence_max, Overdue::Answer),
            Phase::Lingering => (limits.linger_max, Overdue::Linger),
        };
        let deadline = state.since + limit;
        match state.stop_by {
            Some(stop_by) if stop_by < deadline => (stop_by, Overdue::Drain),
            _ => (deadline, why),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock, and the state is plain values.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.since = Instant::now();
    }
}

/// Watches one clock. The connection's task must poll it after the connection itself: then it sees every
/// change of phase, and one timer, rarely rearmed, serves all phases.
#[derive(Debug)]
pub(crate) struct Watch {
    clock: Arc<Clock>,
    armed: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Future for Watch {
    type Output = Overdue;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Overdue> {
        let (deadline, _) = self.clock.deadline();
        if deadline < self.armed {
            self.arm(deadline);
        }
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            let (deadline, why) = self.clock.deadline();
            if deadline <= Instant::now() {
                self.clock.state().given_up = Some(why);
                return Poll::Ready(why);
            }
            self.arm(deadline);
        }
    }
}

impl Watch {
    fn arm(&mut self, deadline: Instant) {
        self.armed = deadline;
        self.sleep.as_mut().reset(deadline);
    }
}

#[cfg(test)]
mod tests;
