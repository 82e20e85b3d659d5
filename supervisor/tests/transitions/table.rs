//! The rows. No match here has a wildcard: a new state, event or notice does not compile until [`In::of`] or [`On::of`] has a
//! name for it, and the name not until it has its rows.

use supervisor::{Event, Notice, State};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum In {
    Inactive,
    Scheduled,
    Waiting,
    Preparing,
    PreStart,
    Starting,
    Started,
    Running,
    Paused,
    PreStop,
    Stopping,
    Killed,
    PostStop,
    Releasing,
    Backoff,
    Finished,
    Skipped,
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum On {
    Recall,
    StartDefault,
    Start,
    Stop,
    Restart,
    Reload,
    Pause,
    Unpause,
    ResetFailed,
    Shutdown,
    TimerElapsed,
    Withdrawn,
    ClockSetBack,
    /// The same set again.
    Apply,
    ApplyChanged,
    ApplyRemoved,
    /// The same without a timer.
    ApplyTimerRemoved,
    Prepared,
    PrepareFailed,
    Skipped,
    HookEnded,
    HookFailed,
    HealthPlan,
    Started,
    SpawnFailed,
    Ready,
    Status,
    Watchdog,
    ExtendTimeout,
    Reloading,
    /// It says that it stops.
    Leaves,
    Probed,
    Reloaded,
    Paused,
    Flipped,
    Exited,
    Released,
    Deadline,
}

use In as I;
use On as O;

pub(crate) const STATES: [In; 18] = [
    I::Inactive,
    I::Scheduled,
    I::Waiting,
    I::Preparing,
    I::PreStart,
    I::Starting,
    I::Started,
    I::Running,
    I::Paused,
    I::PreStop,
    I::Stopping,
    I::Killed,
    I::PostStop,
    I::Releasing,
    I::Backoff,
    I::Finished,
    I::Skipped,
    I::Failed,
];

pub(crate) const EVENTS: [On; 38] = [
    O::Recall,
    O::StartDefault,
    O::Start,
    O::Stop,
    O::Restart,
    O::Reload,
    O::Pause,
    O::Unpause,
    O::ResetFailed,
    O::Shutdown,
    O::TimerElapsed,
    O::Withdrawn,
    O::ClockSetBack,
    O::Apply,
    O::ApplyChanged,
    O::ApplyRemoved,
    O::ApplyTimerRemoved,
    O::Prepared,
    O::PrepareFailed,
    O::Skipped,
    O::HookEnded,
    O::HookFailed,
    O::HealthPlan,
    O::Started,
    O::SpawnFailed,
    O::Ready,
    O::Status,
    O::Watchdog,
    O::ExtendTimeout,
    O::Reloading,
    O::Leaves,
    O::Probed,
    O::Reloaded,
    O::Paused,
    O::Flipped,
    O::Exited,
    O::Released,
    O::Deadline,
];

impl In {
    /// The row of a state; one that is paused is `Running`.
    pub(crate) fn of(state: &State) -> Self {
        match state {
            State::Inactive => I::Inactive,
            State::Scheduled => I::Scheduled,
            State::Waiting => I::Waiting,
            State::Preparing { .. } => I::Preparing,
            State::PreStart { .. } => I::PreStart,
            State::Starting { .. } => I::Starting,
            State::Started { .. } => I::Started,
            State::Running { .. } => I::Running,
            State::PreStop { .. } => I::PreStop,
            State::Stopping { killed: false, .. } => I::Stopping,
            State::Stopping { killed: true, .. } => I::Killed,
            State::PostStop { .. } => I::PostStop,
            State::Releasing { .. } => I::Releasing,
            State::Backoff { .. } => I::Backoff,
            State::Finished { .. } => I::Finished,
            State::Skipped { .. } => I::Skipped,
            State::Failed { .. } => I::Failed,
        }
    }
}

impl On {
    /// The name of an event. A deadline and another set are no events.
    pub(crate) fn of(event: &Event) -> Self {
        match event {
            Event::Recall { .. } => O::Recall,
            Event::StartDefault => O::StartDefault,
            Event::Start { .. } => O::Start,
            Event::Stop { .. } => O::Stop,
            Event::Restart { .. } => O::Restart,
            Event::Reload { .. } => O::Reload,
            Event::Pause { .. } => O::Pause,
            Event::Unpause { .. } => O::Unpause,
            Event::ResetFailed { .. } => O::ResetFailed,
            Event::Withdrawn { .. } => O::Withdrawn,
            Event::ClockSetBack { .. } => O::ClockSetBack,
            Event::Shutdown { .. } => O::Shutdown,
            Event::TimerElapsed { .. } => O::TimerElapsed,
            Event::Prepared { .. } => O::Prepared,
            Event::PrepareFailed { .. } => O::PrepareFailed,
            Event::Skipped { .. } => O::Skipped,
            Event::HookEnded { failure: None, .. } => O::HookEnded,
            Event::HookEnded {
                failure: Some(_), ..
            } => O::HookFailed,
            Event::HealthPlan { .. } => O::HealthPlan,
            Event::Started { .. } => O::Started,
            Event::SpawnFailed { .. } => O::SpawnFailed,
            Event::Ready { .. } => O::Ready,
            Event::Notified { notice, .. } => match notice {
                Notice::Status(_) => O::Status,
                Notice::Watchdog => O::Watchdog,
                Notice::ExtendTimeout(_) => O::ExtendTimeout,
                Notice::Reloading => O::Reloading,
                Notice::Stopping => O::Leaves,
            },
            Event::Probed { .. } => O::Probed,
            Event::Reloaded { .. } => O::Reloaded,
            Event::Paused { .. } => O::Paused,
            Event::Flipped { .. } => O::Flipped,
            Event::Exited { .. } => O::Exited,
            Event::Released { .. } => O::Released,
        }
    }
}

/// The state afterwards, and what is done to `web`.
pub(crate) fn expected(state: In, event: On) -> (&'static str, &'static [&'static str]) {
    match state {
        I::Inactive => match event {
            O::ApplyChanged => ("inactive", &[]),
            O::ApplyRemoved => ("inactive", &["remove web"]),
            O::StartDefault | O::Start | O::Restart => ("preparing", &["prepare web"]),
            O::Recall
            | O::Withdrawn
            | O::ClockSetBack
            | O::Stop
            | O::Reload
            | O::Pause
            | O::Unpause => ("inactive", &[]),
            O::ResetFailed
            | O::Shutdown
            | O::TimerElapsed
            | O::Apply
            | O::ApplyTimerRemoved
            | O::Prepared => ("inactive", &[]),
            O::PrepareFailed | O::Skipped | O::HookEnded | O::HookFailed | O::HealthPlan => {
                ("inactive", &[])
            }
            O::Started
            | O::SpawnFailed
            | O::Ready
            | O::Status
            | O::Watchdog
            | O::ExtendTimeout
            | O::Reloading
            | O::Leaves
            | O::Probed => ("inactive", &[]),
            O::Reloaded | O::Paused | O::Flipped | O::Exited | O::Released => ("inactive", &[]),
            O::Deadline => ("inactive", &[]),
        },
        I::Scheduled => match event {
            O::ApplyChanged => ("scheduled", &[]),
            O::ApplyRemoved => ("inactive", &["disarm web", "remove web"]),
            O::ApplyTimerRemoved => ("preparing", &["disarm web", "prepare web"]),
            O::Stop | O::Shutdown => ("inactive", &["disarm web"]),
            O::Start | O::Restart | O::TimerElapsed => ("preparing", &["prepare web"]),
            O::Recall
            | O::Withdrawn
            | O::ClockSetBack
            | O::StartDefault
            | O::Reload
            | O::Pause
            | O::Unpause => ("scheduled", &[]),
            O::ResetFailed | O::Apply | O::Prepared | O::PrepareFailed | O::Skipped => {
                ("scheduled", &[])
            }
            O::HookEnded | O::HookFailed | O::HealthPlan | O::Started | O::SpawnFailed => {
                ("scheduled", &[])
            }
            O::Ready
            | O::Status
            | O::Watchdog
            | O::ExtendTimeout
            | O::Reloading
            | O::Leaves
            | O::Probed
            | O::Reloaded
            | O::Paused => ("scheduled", &[]),
            O::Flipped | O::Exited | O::Released | O::Deadline => ("scheduled", &[]),
        },
        I::Waiting => match event {
            O::ApplyChanged => ("waiting", &[]),
            O::ApplyRemoved => ("inactive", &["remove web"]),
            O::Stop | O::Shutdown => ("inactive", &[]),
            O::Recall
            | O::Withdrawn
            | O::ClockSetBack
            | O::StartDefault
            | O::Start
            | O::Restart
            | O::Reload => ("waiting", &[]),
            O::Pause | O::Unpause | O::ResetFailed | O::TimerElapsed | O::Apply => ("waiting", &[]),
            O::ApplyTimerRemoved => ("waiting", &[]),
            O::Prepared | O::PrepareFailed | O::Skipped | O::HookEnded | O::HookFailed => {
                ("waiting", &[])
            }
            O::HealthPlan
            | O::Started
            | O::SpawnFailed
            | O::Ready
            | O::Status
            | O::Watchdog
            | O::ExtendTimeout
            | O::Reloading
            | O::Leaves => ("waiting", &[]),
            O::Probed | O::Reloaded | O::Paused | O::Flipped | O::Exited => ("waiting", &[]),
            O::Released | O::Deadline => ("waiting", &[]),
        },
        I::Preparing => match event {
            O::ApplyChanged | O::ApplyRemoved => ("releasing", &["release web"]),
            O::Prepared => ("starting", &["spawn web"]),
            O::Stop | O::Restart | O::Shutdown | O::PrepareFailed | O::Skipped | O::Deadline => {
                ("releasing", &["release web"])
            }
            O::Recall
            | O::Withdrawn
            | O::ClockSetBack
            | O::StartDefault
            | O::Start
            | O::Reload
            | O::Pause => ("preparing", &[]),
            O::Unpause
            | O::ResetFailed
            | O::TimerElapsed
            | O::Apply
            | O::ApplyTimerRemoved
            | O::HookEnded => ("preparing", &[]),
            O::HookFailed | O::HealthPlan | O::Started | O::SpawnFailed | O::Ready => {
                ("preparing", &[])
            }
            O::Status
            | O::Watchdog
            | O::ExtendTimeout
            | O::Reloading
            | O::Leaves
            | O::Probed
            | O::Reloaded
            | O::Paused
            | O::Flipped => ("preparing", &[]),
            O::Exited | O::Released => ("preparing", &[]),
        },
        I::PreStart => match event {
            O::ApplyChanged | O::ApplyRemoved => ("pre-start", &["kill pre_start 0 web"]),
            O::HookEnded => ("starting", &["spawn web"]),
            O::HookFailed => ("releasing", &["release web"]),
            O::Stop | O::Restart | O::Shutdown | O::PrepareFailed | O::Deadline => {
                ("pre-start", &["kill pre_start 0 web"])
            }
            O::Recall
            | O::Withdrawn
            | O::ClockSetBack
            | O::StartDefault
            | O::Start
            | O::Reload
            | O::Pause => ("pre-start", &[]),
            O::Unpause
            | O::ResetFailed
            | O::TimerElapsed
            | O::Apply
            | O::ApplyTimerRemoved
            | O::Prepared => ("pre-start", &[]),
            O::Skipped | O::HealthPlan | O::Started | O::SpawnFailed => ("pre-start", &[]),
            O::Ready
            | O::Status
            | O::Watchdog
            | O::ExtendTimeout
            | O::Reloading
            | O::Leaves
            | O::Probed
            | O::Reloaded
            | O::Paused => ("pre-start", &[]),
            O::Flipped | O::Exited | O::Released => ("pre-start", &[]),
        },
        I::Starting => match event {
            O::ApplyChanged | O::ApplyRemoved => ("stopping", &["kill web"]),
            O::Started => ("running", &[]),
            O::SpawnFailed | O::Exited => ("releasing", &["release web"]),
            O::Stop | O::Restart | O::Shutdown | O::Deadline => ("stopping", &["kill web"]),
            O::Recall
            | O::Withdrawn
            | O::ClockSetBack
            | O::StartDefault
            | O::Start
            | O::Reload
            | O::Pause => ("starting", &[]),
            O::Unpause
            | O::ResetFailed
            | O::TimerElapsed
            | O::Apply
            | O::ApplyTimerRemoved
            | O::Prepared => ("starting", &[]),
            O::PrepareFailed | O::Skipped | O::HookEnded | O::HookFailed | O::HealthPlan => {
                ("starting", &[])
            }
            O::Ready
            | O::Status
            | O::Watchdog
            | O::ExtendTimeout
            | O::Reloading
            | O::Leaves
            | O::Probed
            | O::Reloaded
            | O::Paused => ("starting", &[]),
            O::Flipped | O::Released => ("starting", &[]),
        },
        I::Started => match event {
            O::ApplyChanged | O::ApplyRemoved => ("stopping", &["terminate web"]),
            O::Ready => ("running", &[]),
            O::SpawnFailed | O::Exited => ("releasing", &["release web"]),
            O::Stop | O::Restart | O::Shutdown | O::Deadline => ("stopping", &["terminate web"]),
            O::Recall
            | O::Withdrawn
            | O::ClockSetBack
            | O::StartDefault
            | O::Start
            | O::Reload
            | O::Pause => ("started", &[]),
            O::Unpause
            | O::ResetFailed
            | O::TimerElapsed
            | O::Apply
            | O::ApplyTimerRemoved
            | O::Prepared => ("started", &[]),
            O::PrepareFailed | O::Skipped | O::HookEnded | O::HookFailed | O::HealthPlan => {
                ("started", &[])
            }
            O::Started
            | O::Status
            | O::Watchdog
            | O::ExtendTimeout
            | O::Reloading
            | O::Leaves
            | O::Probed
            | O::Reloaded
            | O::Paused => ("started", &[]),
            O::Flipped | O::Released => ("started", &[]),
        },
        I::Running => match event {
            O::ApplyChanged | O::ApplyRemoved => ("stopping", &["terminate web"]),
            O::Reload => ("running", &["reload web"]),
            O::Pause => ("running", &["pause web"]),
            O::SpawnFailed | O::Exited => ("releasing", &["release web"]),
            O::Stop | O::Restart | O::Shutdown => ("stopping", &["terminate web"]),
            O::Recall
            | O::Withdrawn
            | O::ClockSetBack
            | O::StartDefault
            | O::Start
            | O::Unpause
            | O::ResetFailed => ("running", &[]),
            O::TimerElapsed
            | O::Apply
            | O::ApplyTimerRemoved
            | O::Prepared
            | O::PrepareFailed
            | O::Skipped => ("running", &[]),
            O::HookEnded | O::HookFailed | O::HealthPlan | O::Started | O::Ready => {
                ("running", &[])
            }
            O::Status
            | O::Watchdog
            | O::ExtendTimeout
            | O::Reloading
            | O::Leaves
            | O::Probed
            | O::Reloaded
            | O::Paused
            | O::Flipped => ("running", &[]),
            O::Released | O::Deadline => ("running", &[]),
        },
        I::Paused => match event {
            O::ApplyChanged | O::ApplyRemoved => ("stopping", &["unpause web", "terminate web"]),
            O::Unpause => ("running", &["unpause web"]),
            O::SpawnFailed | O::Exited => ("releasing", &["release web"]),
            O::Stop | O::Restart | O::Shutdown => ("stopping", &["unpause web", "terminate web"]),
            O::Recall
            | O::Withdrawn
            | O::ClockSetBack
            | O::StartDefault
            | O::Start
            | O::Reload
            | O::Pause => ("running", &[]),
            O::ResetFailed
            | O::TimerElapsed
            | O::Apply
            | O::ApplyTimerRemoved
            | O::Prepared
            | O::PrepareFailed => ("running", &[]),
            O::Skipped | O::HookEnded | O::HookFailed | O::HealthPlan | O::Started => {
                ("running", &[])
            }
            O::Ready
            | O::Status
            | O::Watchdog
            | O::ExtendTimeout
            | O::Reloading
            | O::Leaves
            | O::Probed
            | O::Reloaded
            | O::Paused => ("running", &[]),
            O::Flipped | O::Released | O::Deadline => ("running", &[]),
        },
        I::PreStop => match event {
            O::ApplyChanged | O::ApplyRemoved => ("pre-stop", &[]),
            O::Deadline => ("pre-stop", &["kill pre_stop 0 web"]),
            O::HookEnded | O::HookFailed => ("stopping", &["terminate web"]),
            O::SpawnFailed | O::Exited => ("releasing", &["release web"]),
            O::Recall
            | O::Withdrawn
            | O::ClockSetBack
            | O::StartDefault
            | O::Start
            | O::Stop
            | O::Restart => ("pre-stop", &[]),
            O::Reload | O::Pause | O::Unpause | O::ResetFailed | O::Shutdown => ("pre-stop", &[]),
            O::TimerElapsed
            | O::Apply
            | O::ApplyTimerRemoved
            | O::Prepared
            | O::PrepareFailed
            | O::Skipped => ("pre-stop", &[]),
            O::HealthPlan
            | O::Started
            | O::Ready
            | O::Status
            | O::Watchdog
            | O::ExtendTimeout
            | O::Reloading
            | O::Leaves
            | O::Probed => ("pre-stop", &[]),
            O::Reloaded | O::Paused | O::Flipped | O::Released => ("pre-stop", &[]),
        },
        I::Stopping => match event {
            O::ApplyChanged | O::ApplyRemoved => ("stopping", &[]),
            O::Deadline => ("stopping", &["kill web"]),
            O::SpawnFailed | O::Exited => ("releasing", &["release web"]),
            O::Recall
            | O::Withdrawn
            | O::ClockSetBack
            | O::StartDefault
            | O::Start
            | O::Stop
            | O::Restart => ("stopping", &[]),
            O::Reload | O::Pause | O::Unpause | O::ResetFailed | O::Shutdown => ("stopping", &[]),
            O::TimerElapsed
            | O::Apply
            | O::ApplyTimerRemoved
            | O::Prepared
            | O::PrepareFailed
            | O::Skipped => ("stopping", &[]),
            O::HookEnded | O::HookFailed | O::HealthPlan | O::Started | O::Ready => {
                ("stopping", &[])
            }
            O::Status
            | O::Watchdog
            | O::ExtendTimeout
            | O::Reloading
            | O::Leaves
            | O::Probed
            | O::Reloaded
            | O::Paused
            | O::Flipped => ("stopping", &[]),
            O::Released => ("stopping", &[]),
        },
        I::Killed => match event {
            O::ApplyChanged | O::ApplyRemoved => ("stopping", &[]),
            O::SpawnFailed | O::Exited => ("releasing", &["release web"]),
            O::Recall
            | O::Withdrawn
            | O::ClockSetBack
            | O::StartDefault
            | O::Start
            | O::Stop
            | O::Restart => ("stopping", &[]),
            O::Reload | O::Pause | O::Unpause | O::ResetFailed | O::Shutdown => ("stopping", &[]),
            O::TimerElapsed
            | O::Apply
            | O::ApplyTimerRemoved
            | O::Prepared
            | O::PrepareFailed
            | O::Skipped => ("stopping", &[]),
            O::HookEnded | O::HookFailed | O::HealthPlan | O::Started | O::Ready => {
                ("stopping", &[])
            }
            O::Status
            | O::Watchdog
            | O::ExtendTimeout
            | O::Reloading
            | O::Leaves
            | O::Probed
            | O::Reloaded
            | O::Paused
            | O::Flipped => ("stopping", &[]),
            O::Released | O::Deadline => ("stopping", &[]),
        },
        I::PostStop => match event {
            O::ApplyChanged | O::ApplyRemoved => ("post-stop", &[]),
            O::Deadline => ("post-stop", &["kill post_stop 0 web"]),
            O::HookEnded | O::HookFailed => ("releasing", &["release web"]),
            O::Recall
            | O::Withdrawn
            | O::ClockSetBack
            | O::StartDefault
            | O::Start
            | O::Stop
            | O::Restart => ("post-stop", &[]),
            O::Reload | O::Pause | O::Unpause | O::ResetFailed | O::Shutdown => ("post-stop", &[]),
            O::TimerElapsed
            | O::Apply
            | O::ApplyTimerRemoved
            | O::Prepared
            | O::PrepareFailed
            | O::Skipped => ("post-stop", &[]),
            O::HealthPlan
            | O::Started
            | O::SpawnFailed
            | O::Ready
            | O::Status
            | O::Watchdog
            | O::ExtendTimeout
            | O::Reloading
            | O::Leaves => ("post-stop", &[]),
            O::Probed | O::Reloaded | O::Paused | O::Flipped | O::Exited => ("post-stop", &[]),
            O::Released => ("post-stop", &[]),
        },
        I::Releasing => match event {
            O::ApplyChanged | O::ApplyRemoved => ("releasing", &[]),
            O::Released => ("backoff", &[]),
            O::Recall
            | O::Withdrawn
            | O::ClockSetBack
            | O::StartDefault
            | O::Start
            | O::Stop
            | O::Restart => ("releasing", &[]),
            O::Reload | O::Pause | O::Unpause | O::ResetFailed | O::Shutdown => ("releasing", &[]),
            O::TimerElapsed
            | O::Apply
            | O::ApplyTimerRemoved
            | O::Prepared
            | O::PrepareFailed
            | O::Skipped => ("releasing", &[]),
            O::HookEnded | O::HookFailed | O::HealthPlan | O::Started | O::SpawnFailed => {
                ("releasing", &[])
            }
            O::Ready
            | O::Status
            | O::Watchdog
            | O::ExtendTimeout
            | O::Reloading
            | O::Leaves
            | O::Probed
            | O::Reloaded
            | O::Paused => ("releasing", &[]),
            O::Flipped | O::Exited | O::Deadline => ("releasing", &[]),
        },
        I::Backoff => match event {
            O::ApplyChanged => ("preparing", &["prepare web"]),
            O::ApplyRemoved => ("inactive", &["remove web"]),
            O::Stop | O::Shutdown => ("inactive", &[]),
            O::Start | O::Restart | O::Deadline => ("preparing", &["prepare web"]),
            O::Recall
            | O::Withdrawn
            | O::ClockSetBack
            | O::StartDefault
            | O::Reload
            | O::Pause
            | O::Unpause => ("backoff", &[]),
            O::ResetFailed
            | O::TimerElapsed
            | O::Apply
            | O::ApplyTimerRemoved
            | O::Prepared
            | O::PrepareFailed => ("backoff", &[]),
            O::Skipped | O::HookEnded | O::HookFailed | O::HealthPlan | O::Started => {
                ("backoff", &[])
            }
            O::SpawnFailed
            | O::Ready
            | O::Status
            | O::Watchdog
            | O::ExtendTimeout
            | O::Reloading
            | O::Leaves
            | O::Probed
            | O::Reloaded => ("backoff", &[]),
            O::Paused | O::Flipped | O::Exited | O::Released => ("backoff", &[]),
        },
        I::Finished => match event {
            O::ApplyChanged => ("preparing", &["prepare web"]),
            O::ApplyRemoved => ("inactive", &["remove web"]),
            O::Start | O::Restart => ("preparing", &["prepare web"]),
            O::Stop | O::Shutdown => ("inactive", &[]),
            O::Recall
            | O::Withdrawn
            | O::ClockSetBack
            | O::StartDefault
            | O::Reload
            | O::Pause
            | O::Unpause => ("finished", &[]),
            O::ResetFailed
            | O::TimerElapsed
            | O::Apply
            | O::ApplyTimerRemoved
            | O::Prepared
            | O::PrepareFailed => ("finished", &[]),
            O::Skipped | O::HookEnded | O::HookFailed | O::HealthPlan | O::Started => {
                ("finished", &[])
            }
            O::SpawnFailed
            | O::Ready
            | O::Status
            | O::Watchdog
            | O::ExtendTimeout
            | O::Reloading
            | O::Leaves
            | O::Probed
            | O::Reloaded => ("finished", &[]),
            O::Paused | O::Flipped | O::Exited | O::Released | O::Deadline => ("finished", &[]),
        },
        I::Skipped => match event {
            O::ApplyChanged => ("preparing", &["prepare web"]),
            O::ApplyRemoved => ("inactive", &["remove web"]),
            O::Start | O::Restart => ("preparing", &["prepare web"]),
            O::Stop | O::ResetFailed | O::Shutdown => ("inactive", &[]),
            O::Recall
            | O::Withdrawn
            | O::ClockSetBack
            | O::StartDefault
            | O::Reload
            | O::Pause
            | O::Unpause => ("skipped", &[]),
            O::TimerElapsed
            | O::Apply
            | O::ApplyTimerRemoved
            | O::Prepared
            | O::PrepareFailed
            | O::Skipped => ("skipped", &[]),
            O::HookEnded | O::HookFailed | O::HealthPlan | O::Started | O::SpawnFailed => {
                ("skipped", &[])
            }
            O::Ready
            | O::Status
            | O::Watchdog
            | O::ExtendTimeout
            | O::Reloading
            | O::Leaves
            | O::Probed
            | O::Reloaded
            | O::Paused => ("skipped", &[]),
            O::Flipped | O::Exited | O::Released | O::Deadline => ("skipped", &[]),
        },
        I::Failed => match event {
            O::ApplyChanged => ("preparing", &["prepare web"]),
            O::ApplyRemoved => ("inactive", &["remove web"]),
            O::StartDefault | O::Start | O::Restart => ("preparing", &["prepare web"]),
            O::Stop | O::ResetFailed | O::Shutdown => ("inactive", &[]),
            O::Recall
            | O::Withdrawn
            | O::ClockSetBack
            | O::Reload
            | O::Pause
            | O::Unpause
            | O::TimerElapsed => ("failed", &[]),
            O::Apply
            | O::ApplyTimerRemoved
            | O::Prepared
            | O::PrepareFailed
            | O::Skipped
            | O::HookEnded => ("failed", &[]),
            O::HookFailed | O::HealthPlan | O::Started | O::SpawnFailed | O::Ready => {
                ("failed", &[])
            }
            O::Status
            | O::Watchdog
            | O::ExtendTimeout
            | O::Reloading
            | O::Leaves
            | O::Probed
            | O::Reloaded
            | O::Paused
            | O::Flipped => ("failed", &[]),
            O::Exited | O::Released | O::Deadline => ("failed", &[]),
        },
    }
}
