//! Random traffic over a registry of which some parts are ill, and somebody who does his worst with them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::super::{Class, Leave, Outcome, Path, Reach, Scope};
use crate::breaker::{PROBE_INTERVAL_MAX, State};

/// What may happen next. Numbers pick a repository or a tag.
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
        outcome: Outcome,
    },
    /// The same, left without an answer for now.
    Hang {
        repository: u16,
        tag: u8,
    },
    /// One of those that hang ends.
    End {
        which: usize,
        outcome: Outcome,
    },
    Wait {
        ms: u64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bad_end = prop_oneof![
        20 => Just(Outcome::Failed),
        1 => Just(Outcome::Answered),
        1 => Just(Outcome::Spoilt),
        1 => Just(Outcome::Abandoned),
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

fn path(repository: String, tag: u8) -> Arc<Path> {
    let scope = Arc::new(Scope { repository, class: Class::Manifests });
    Arc::new(Path { scope, is_head: false, reference: tag.to_string() })
}

struct World {
    reach: Reach,
    now: Instant,
    hanging: Vec<(Arc<Path>, Leave)>,
    answers_itself: bool,
}

impl World {
    fn new(answers_itself: bool) -> Self {
        Self { reach: Reach::new(128, 128), now: Instant::now(), hanging: Vec::new(), answers_itself }
    }

    /// Our own request is made whenever it is due, as in front of every request.
    fn probe(&mut self) {
        if self.reach.take_probe(self.now) {
            let outcome = if self.answers_itself { Outcome::Answered } else { Outcome::Failed };
            self.reach.probed(outcome, self.now);
        }
    }

    fn ask(&mut self, path: &Arc<Path>, outcome: Outcome) -> bool {
        self.probe();
        let Ok(leave) = self.reach.admit(path, self.now) else { return false };
        self.reach.settle(path, leave, outcome, self.now);
        true
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Good { .. } => {}
            Step::Bad { repository, tag, outcome } => {
                self.ask(&path(format!("bad/{repository}"), tag), outcome);
            }
            Step::Hang { repository, tag } => {
                self.probe();
                let path = path(format!("bad/{repository}"), tag);
                if let Ok(leave) = self.reach.admit(&path, self.now) {
                    self.hanging.push((path, leave));
                }
            }
            Step::End { which, outcome } if !self.hanging.is_empty() => {
                let (path, leave) = self.hanging.swap_remove(which % self.hanging.len());
                self.reach.settle(&path, leave, outcome, self.now);
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
            let asked = world.ask(&path(format!("good/{repository}"), 0), Outcome::Served);
            prop_assert!(asked);
        }
        for step in &steps {
            if let Step::Good { repository, tag } = *step {
                let asked = world.ask(&path(format!("good/{repository}"), tag), Outcome::Served);
                prop_assert!(asked);
            }
            world.take(step);
            prop_assert_eq!(world.reach.state(), State::Closed);
        }
    }

    #[test]
    fn k13_whatever_has_failed_everything_is_found_again(steps in steps(), answers_itself: bool) {
        let mut world = World::new(answers_itself);
        for step in &steps {
            world.take(step);
        }
        for (path, leave) in std::mem::take(&mut world.hanging) {
            world.reach.settle(&path, leave, Outcome::Failed, world.now);
        }
        world.answers_itself = true;
        world.now += 2 * PROBE_INTERVAL_MAX;
        for repository in (0..400).step_by(37) {
            for tag in 0..3 {
                let path = path(format!("bad/{repository}"), tag);
                let asked = world.ask(&path, Outcome::Served);
                prop_assert!(asked, "{:?}", path);
            }
        }
    }

    #[test]
    fn k13_a_registry_that_answers_nothing_is_soon_asked_little(repositories in prop::collection::vec(0..50u16, 200)) {
        let mut world = World::new(false);
        let sent = repositories.iter().filter(|repository| {
            world.ask(&path(format!("bad/{repository}"), 0), Outcome::Failed)
        }).count();
        prop_assert!(sent <= 50, "{} requests", sent);
    }
}
