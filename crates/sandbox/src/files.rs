//! The files that the process can write (landlock(7)).

use std::path::PathBuf;

use landlock::{
    ABI, AccessFs, CompatLevel, Compatible as _, PathBeneath, PathFd, RestrictSelfAttr as _, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, RulesetStatus,
};

use crate::Unconfined;

const UNSUPPORTED: Unconfined =
    Unconfined::Unsupported("the kernel has no Landlock (Linux 5.19 or newer, enabled)");

/// Limits writing to the `writable` directories, and forbids the execution of files.
pub(crate) fn confine(writable: &[PathBuf], emptied: &[PathBuf]) -> Result<(), Unconfined> {
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
    let writable = writable.iter().map(|directory| (directory, AccessFs::from_write(ABI::V3)));
    let emptied = emptied.iter().map(|directory| (directory, AccessFs::RemoveDir.into()));
    for (directory, rights) in writable.chain(emptied) {
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
