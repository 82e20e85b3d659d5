//! Planted bugs, which the simulation must find: the test of the test.
//!
//! Without the feature `mutants`, [`Supervisor::planted`] is `false` at compile time and nothing of them is left.
//!
//! To add one: a variant, a place that asks for it, a row in `tests/sim/tests/mutants.rs`.

use crate::Supervisor;

/// Named after what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "mutants"),
    expect(unreachable_pub, reason = "exported for the simulation only")
)]
pub enum Mutant {
    OlderRunsAccepted,
    ExitWhileStartingForgotten,
    PreparedTwiceSpawnsTwice,
    NextRunBeforeReleased,
    NoKillAfterTerminate,
    NoBackoff,
    BackoffDoesNotGrow,
    RestartMaxIgnored,
    DependenciesIgnored,
    FailedRequirementIgnored,
    FailedOneshotFinishes,
    StopOrderIgnored,
    StopLeavesDependants,
    ShutdownWithoutBudget,
    ReplyForgotten,
}

#[cfg(feature = "mutants")]
impl Mutant {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::OlderRunsAccepted,
        Self::ExitWhileStartingForgotten,
        Self::PreparedTwiceSpawnsTwice,
        Self::NextRunBeforeReleased,
        Self::NoKillAfterTerminate,
        Self::NoBackoff,
        Self::BackoffDoesNotGrow,
        Self::RestartMaxIgnored,
        Self::DependenciesIgnored,
        Self::FailedRequirementIgnored,
        Self::FailedOneshotFinishes,
        Self::StopOrderIgnored,
        Self::StopLeavesDependants,
        Self::ShutdownWithoutBudget,
        Self::ReplyForgotten,
    ];
}

impl Supervisor {
    #[cfg(feature = "mutants")]
    pub fn plant(&mut self, mutant: Mutant) {
        self.mutant = Some(mutant);
    }

    #[cfg(feature = "mutants")]
    pub(crate) fn planted(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    #[cfg(not(feature = "mutants"))]
    #[expect(
        clippy::unused_self,
        reason = "the same call with and without the feature"
    )]
    pub(crate) const fn planted(&self, _: Mutant) -> bool {
        false
    }
}
