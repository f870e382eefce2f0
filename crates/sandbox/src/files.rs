//! The files that the process can write (landlock(7)).

use landlock::{
    ABI, AccessFs, CompatLevel, Compatible as _, PathBeneath, PathFd, RestrictSelfAttr as _, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, RulesetStatus,
};

use crate::{Directories, Unconfined};

const UNSUPPORTED: Unconfined =
    Unconfined::Unsupported("the kernel has no Landlock (Linux 5.19 or newer, enabled)");

/// Limits writing to the directories, and forbids the execution of files.
pub(crate) fn confine(directories: Directories<'_>) -> Result<(), Unconfined> {
    // The first version forbids to rename a file from one directory into another, even below `writable`, as
    // the store does (landlock(7), LANDLOCK_ACCESS_FS_REFER).
    let required = AccessFs::from_write(ABI::V2) | AccessFs::Execute;
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(required)
        .map_err(|_| UNSUPPORTED)?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::Truncate)
        .and_then(Ruleset::create)
        .map_err(refused)?;
    let mut ruleset = ruleset.all_threads(true).map_err(refused)?;
    let Directories { writable, emptied, sockets } = directories;
    let writable = writable.iter().map(|directory| (directory, AccessFs::from_write(ABI::V3)));
    let emptied = emptied.iter().map(|directory| (directory, AccessFs::RemoveDir.into()));
    let sockets = sockets.iter().map(|directory| (directory, AccessFs::MakeSock | AccessFs::RemoveFile));
    for (directory, rights) in writable.chain(emptied).chain(sockets) {
        let opened = PathFd::new(directory).map_err(|error| Unconfined::Refused(error.to_string()))?;
        ruleset = ruleset.add_rule(PathBeneath::new(opened, rights)).map_err(refused)?;
    }
    match ruleset.restrict_self().map_err(refused)?.ruleset {
        RulesetStatus::NotEnforced => Err(UNSUPPORTED),
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
    }
}

fn refused(error: RulesetError) -> Unconfined {
    Unconfined::Refused(error.to_string())
}
