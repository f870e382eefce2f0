//! Random traffic over a registry of which some parts are ill, and somebody who does his worst with them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::super::{HostHealth, InFlight, RequestOutcome, Target, TargetGroup, TargetKind};
use crate::breaker::{PROBE_INTERVAL_MAX, State};

/// An event. Numbers pick a repository or a tag.
#[derive(Clone, Debug)]
enum Step {
    /// A request for something that works. It is answered at once.
    Good {
        repository: u8,
        tag: u8,
    },
    /// A request for something that fails, of which there are as many as anybody makes up.
    Bad {
        repository: u16,
        tag: u8,
        outcome: RequestOutcome,
    },
    /// The same, left without an answer for now.
    Hang {
        repository: u16,
        tag: u8,
    },
    /// One of those that hang ends.
    End {
        which: usize,
        outcome: RequestOutcome,
    },
    Wait {
        ms: u64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bad_end = prop_oneof![
        20 => Just(RequestOutcome::Failed),
        1 => Just(RequestOutcome::Answered),
        1 => Just(RequestOutcome::TargetFailed),
        1 => Just(RequestOutcome::Abandoned),
    ];
    let step = prop_oneof![
        1 => (0..4u8, 0..4u8).prop_map(|(repository, tag)| Step::Good { repository, tag }),
        8 => (0..400u16, 0..3u8, bad_end.clone())
            .prop_map(|(repository, tag, outcome)| Step::Bad { repository, tag, outcome }),
        8 => (0..400u16, 0..3u8).prop_map(|(repository, tag)| Step::Hang { repository, tag }),
        1 => (any::<usize>(), bad_end).prop_map(|(which, outcome)| Step::End { which, outcome }),
        1 => (0..5000u64).prop_map(|ms| Step::Wait { ms }),
    ];
    prop::collection::vec(step, 1..400)
}

fn target(repository: String, tag: u8) -> Arc<Target> {
    let group = Arc::new(TargetGroup { repository, kind: TargetKind::Manifests });
    Arc::new(Target { group, is_head: false, reference: tag.to_string() })
}

struct World {
    health: HostHealth,
    now: Instant,
    hanging: Vec<(Arc<Target>, InFlight)>,
    answers_itself: bool,
}

impl World {
    fn new(answers_itself: bool) -> Self {
        Self { health: HostHealth::new(128, 128), now: Instant::now(), hanging: Vec::new(), answers_itself }
    }

    /// Our own request is made whenever it is due, as in front of every request.
    fn probe(&mut self) {
        if self.health.take_probe(self.now) {
            let outcome = if self.answers_itself { RequestOutcome::Answered } else { RequestOutcome::Failed };
            self.health.probed(outcome, self.now);
        }
    }

    fn ask(&mut self, target: &Arc<Target>, outcome: RequestOutcome) -> bool {
        self.probe();
        let Ok(in_flight) = self.health.admit(target, self.now) else { return false };
        self.health.settle(target, in_flight, outcome, self.now);
        true
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Good { .. } => {}
            Step::Bad { repository, tag, outcome } => {
                self.ask(&target(format!("bad/{repository}"), tag), outcome);
            }
            Step::Hang { repository, tag } => {
                self.probe();
                let target = target(format!("bad/{repository}"), tag);
                if let Ok(in_flight) = self.health.admit(&target, self.now) {
                    self.hanging.push((target, in_flight));
                }
            }
            Step::End { which, outcome } if !self.hanging.is_empty() => {
                let (target, in_flight) = self.hanging.swap_remove(which % self.hanging.len());
                self.health.settle(&target, in_flight, outcome, self.now);
            }
            Step::End { .. } => {}
            Step::Wait { ms } => self.now += Duration::from_millis(ms),
        }
    }
}

proptest! {
    #[test]
    fn k13_whatever_fails_beside_it_what_works_is_never_refused(steps in steps()) {
        let mut world = World::new(true);
        // Whoever was never asked cannot be told from a made-up name.
        for repository in 0..4 {
            let asked = world.ask(&target(format!("good/{repository}"), 0), RequestOutcome::Served);
            prop_assert!(asked);
        }
        for step in &steps {
            if let Step::Good { repository, tag } = *step {
                let asked = world.ask(&target(format!("good/{repository}"), tag), RequestOutcome::Served);
                prop_assert!(asked);
            }
            world.take(step);
            prop_assert_eq!(world.health.state(), State::Closed);
        }
    }

    #[test]
    fn k13_whatever_has_failed_everything_is_found_again(steps in steps(), answers_itself: bool) {
        let mut world = World::new(answers_itself);
        for step in &steps {
            world.take(step);
        }
        for (target, in_flight) in std::mem::take(&mut world.hanging) {
            world.health.settle(&target, in_flight, RequestOutcome::Failed, world.now);
        }
        world.answers_itself = true;
        world.now += 2 * PROBE_INTERVAL_MAX;
        for repository in (0..400).step_by(37) {
            for tag in 0..3 {
                let target = target(format!("bad/{repository}"), tag);
                let asked = world.ask(&target, RequestOutcome::Served);
                prop_assert!(asked, "{:?}", target);
            }
        }
    }

    #[test]
    fn k13_a_registry_that_answers_nothing_is_soon_asked_little(
        repositories in prop::collection::vec(0..50u16, 200),
    ) {
        let mut world = World::new(false);
        let sent = repositories.iter().filter(|repository| {
            world.ask(&target(format!("bad/{repository}"), 0), RequestOutcome::Failed)
        }).count();
        prop_assert!(sent <= 50, "{} requests", sent);
    }
}
