//! Injects faults into system calls, for tests.
//!
//! The engine calls this module before every system call. Without the feature `fault` that compiles to
//! nothing. With it, a test can fail any call with any error, cut a write short, or end the process's effect
//! on the disk at any point, as `kill -9` does.

#[cfg(any(test, feature = "fault"))]
pub use plan::{Fault, Faults, Hold, Step};

/// The kinds of system calls that the engine makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// Opening or creating a file.
    Open,
    /// Asking for a file's kind and size, or a file system's size.
    Stat,
    /// Reading a file.
    Read,
    /// Writing to a file.
    Write,
    /// Cutting a file to a length.
    Truncate,
    /// Making a file's contents or a directory's names durable.
    Sync,
    /// Giving a file another name.
    Rename,
    /// Removing the name of a file or an empty directory.
    Unlink,
    /// Making a directory.
    MakeDirectory,
    /// Listing a directory.
    ReadDirectory,
    /// Locking the root.
    Lock,
}

/// How much of a call is to be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    Whole,
    /// Only half of a write, as when the disk becomes full.
    #[cfg_attr(not(any(test, feature = "fault")), expect(dead_code, reason = "only faults cut calls short"))]
    Half,
}

/// Injects no faults.
#[cfg(not(any(test, feature = "fault")))]
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults(());

#[cfg(not(any(test, feature = "fault")))]
impl Faults {
    pub(crate) fn none() -> Self {
        Self::default()
    }

    #[inline(always)]
    pub(crate) fn may_come(&self) -> bool {
        false
    }

    #[inline(always)]
    pub(crate) fn before(&self, _: Call, _: &std::path::Path) -> Result<Extent, rustix::io::Errno> {
        Ok(Extent::Whole)
    }

    #[inline(always)]
    pub(crate) fn before_rename(
        &self,
        _: &std::path::Path,
        _: &std::path::Path,
    ) -> Result<Extent, rustix::io::Errno> {
        Ok(Extent::Whole)
    }
}

#[cfg(any(test, feature = "fault"))]
mod plan {
    use std::path::{Path, PathBuf};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use parking_lot::{Condvar, Mutex, MutexGuard};
    use rustix::io::Errno;

    use super::{Call, Extent};

    /// The fate of the chosen call.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Fault {
        /// It fails with this error number, without effect.
        Errno(i32),
        /// A write takes only half of its bytes; other calls are carried out.
        Short,
        /// It and every later call fail without effect, as if the process had been killed just before it.
        Stop,
        /// Like [`Stop`](Self::Stop), but half of a write still reaches the file.
        Tear,
    }

    /// A system call.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Step {
        /// Its kind.
        pub call: Call,
        /// The path of its file; empty for reads, which use an open file.
        pub path: PathBuf,
        /// The new name, for a rename.
        pub target: Option<PathBuf>,
    }

    /// A plan of faults and a record of the calls made; clones share both.
    #[derive(Clone, Debug)]
    pub struct Faults(Option<Arc<Mutex<Plan>>>);

    impl Default for Faults {
        fn default() -> Self {
            Self(Some(Arc::default()))
        }
    }

    #[derive(Debug, Default)]
    struct Plan {
        steps: Vec<Step>,
        next: Option<(Option<Call>, usize, Fault)>,
        always: Option<(Call, i32)>,
        is_stopped: bool,
        held: Option<(Call, Arc<Waiting>)>,
    }

    /// Blocks calls until it is dropped, like a disk that hangs.
    #[derive(Debug)]
    pub struct Hold(Arc<Waiting>);

    #[derive(Debug, Default)]
    struct Waiting {
        count: AtomicUsize,
        is_over: Mutex<bool>,
        ended: Condvar,
    }

    impl Waiting {
        fn wait(&self) {
            self.count.fetch_add(1, Ordering::Release);
            self.ended.wait_while(&mut self.is_over.lock(), |is_over| !*is_over);
        }
    }

    impl Hold {
        /// How many calls have been held so far.
        pub fn held_count(&self) -> usize {
            self.0.count.load(Ordering::Acquire)
        }
    }

    impl Drop for Hold {
        fn drop(&mut self) {
            *self.0.is_over.lock() = true;
            self.0.ended.notify_all();
        }
    }

    impl Faults {
        /// Injects no faults and records no calls.
        pub(crate) fn none() -> Self {
            Self(None)
        }

        /// Whether faults may be injected.
        pub(crate) fn may_come(&self) -> bool {
            self.0.is_some()
        }

        /// Injects `fault` into the call after the next `skip` calls, of the given kind or of any.
        pub fn inject(&self, call: Option<Call>, skip: usize, fault: Fault) {
            if let Some(mut plan) = self.plan() {
                plan.next = Some((call, skip, fault));
            }
        }

        /// Fails each call of this kind with this error number until [`reset`](Self::reset), as on a full
        /// disk.
        pub fn fail_always(&self, call: Call, errno: i32) {
            if let Some(mut plan) = self.plan() {
                plan.always = Some((call, errno));
            }
        }

        /// Blocks calls of this kind until the hold is dropped.
        pub fn hold(&self, call: Call) -> Hold {
            let waiting = Arc::<Waiting>::default();
            if let Some(mut plan) = self.plan() {
                plan.held = Some((call, Arc::clone(&waiting)));
            }
            Hold(waiting)
        }

        /// The calls so far, in order, up to the one that stopped the rest.
        pub fn steps(&self) -> Vec<Step> {
            self.plan().map(|plan| plan.steps.clone()).unwrap_or_default()
        }

        /// Whether the injected fault has not happened yet.
        pub fn is_pending(&self) -> bool {
            self.plan().is_some_and(|plan| plan.next.is_some())
        }

        /// Clears the record and the plan.
        pub fn reset(&self) {
            if let Some(mut plan) = self.plan() {
                *plan = Plan::default();
            }
        }

        pub(crate) fn before(&self, call: Call, path: &Path) -> Result<Extent, Errno> {
            self.take(Step { call, path: path.to_owned(), target: None })
        }

        pub(crate) fn before_rename(&self, from: &Path, to: &Path) -> Result<Extent, Errno> {
            self.take(Step { call: Call::Rename, path: from.to_owned(), target: Some(to.to_owned()) })
        }

        fn take(&self, step: Step) -> Result<Extent, Errno> {
            let held = self.plan().and_then(|plan| plan.held.clone());
            if let Some((_, waiting)) = held.filter(|(call, _)| *call == step.call) {
                waiting.wait();
            }
            let Some(mut plan) = self.plan() else { return Ok(Extent::Whole) };
            if plan.is_stopped {
                return Err(Errno::IO);
            }
            let call = step.call;
            plan.steps.push(step);
            if let Some((_, errno)) = plan.always.filter(|(kind, _)| *kind == call) {
                return strike(call, Fault::Errno(errno));
            }
            match &mut plan.next {
                Some((kind, skip, _)) if kind.is_none_or(|kind| kind == call) && *skip > 0 => {
                    *skip -= 1;
                    Ok(Extent::Whole)
                }
                Some((kind, _, fault)) if kind.is_none_or(|kind| kind == call) => {
                    let fault = *fault;
                    plan.next = None;
                    plan.is_stopped = matches!(fault, Fault::Stop | Fault::Tear);
                    strike(call, fault)
                }
                _ => Ok(Extent::Whole),
            }
        }

        fn plan(&self) -> Option<MutexGuard<'_, Plan>> {
            self.0.as_ref().map(|plan| plan.lock())
        }
    }

    fn strike(call: Call, fault: Fault) -> Result<Extent, Errno> {
        match fault {
            Fault::Errno(errno) => Err(Errno::from_raw_os_error(errno)),
            Fault::Short => Ok(if call == Call::Write { Extent::Half } else { Extent::Whole }),
            Fault::Tear if call == Call::Write => Ok(Extent::Half),
            Fault::Stop | Fault::Tear => Err(Errno::IO),
        }
    }
}
