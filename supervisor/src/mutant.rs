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
    RequisiteIgnored,
    BoundUnitsStay,
    PartsStay,
    ConflictsIgnored,
    OnFailureForgotten,
    OnSuccessForgotten,
    ReadyTooEarly,
    NoPrepareTimeout,
    LostPreparationIgnored,
    NoReadinessTimeout,
    WatchdogIgnored,
    RuntimeMaxIgnored,
    PreStartSkipped,
    PostStopSkipped,
    HookFailureIgnored,
    ProbedWhilePaused,
    UnhealthyIgnored,
    RetriesIgnored,
    StartLimitIgnored,
    PreventCodesIgnored,
    AbnormalMeansFailure,
    TimerRunsTwice,
    ForbidIgnored,
    MaxParallelIgnored,
    StartsTakeTurns,
    CompletionForgotten,
    RecordForgotten,
    UnchangedRestarts,
    RemovedUnitsStay,
    FlipBeforeReady,
    OldRunKept,
    ReturnedUnitsStartTwice,
}

#[cfg(feature = "mutants")]
impl Mutant {
    /// All of them.
    pub const ALL: [Self; 47] = [
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
        Self::RequisiteIgnored,
        Self::BoundUnitsStay,
        Self::PartsStay,
        Self::ConflictsIgnored,
        Self::OnFailureForgotten,
        Self::OnSuccessForgotten,
        Self::ReadyTooEarly,
        Self::NoPrepareTimeout,
        Self::LostPreparationIgnored,
        Self::NoReadinessTimeout,
        Self::WatchdogIgnored,
        Self::RuntimeMaxIgnored,
        Self::PreStartSkipped,
        Self::PostStopSkipped,
        Self::HookFailureIgnored,
        Self::ProbedWhilePaused,
        Self::UnhealthyIgnored,
        Self::RetriesIgnored,
        Self::StartLimitIgnored,
        Self::PreventCodesIgnored,
        Self::AbnormalMeansFailure,
        Self::TimerRunsTwice,
        Self::ForbidIgnored,
        Self::MaxParallelIgnored,
        Self::StartsTakeTurns,
        Self::CompletionForgotten,
        Self::RecordForgotten,
        Self::UnchangedRestarts,
        Self::RemovedUnitsStay,
        Self::FlipBeforeReady,
        Self::OldRunKept,
        Self::ReturnedUnitsStartTwice,
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
