//! A machine where everything works at once: each action is answered in turn.

use crate::SIZES;
use std::collections::VecDeque;
use supervisor::{
    Action, Applied, Edges, Event, Exit, Plan, Supervisor, Ticket, Timestamp, UnitId,
};
use unit::{HealthPlan, OnUnhealthy, Probe};

pub(crate) struct Machine {
    pub(crate) supervisor: Supervisor,
    pub(crate) now: Timestamp,
    /// Its containers have a health check, which succeeds.
    pub(crate) probed: bool,
    /// With what a container ends that nobody has stopped: at once. `None`: it runs on.
    pub(crate) ends: Option<Exit>,
    /// Units that the plan has, and edges between them.
    parts: u64,
}

/// Units and edges.
pub(crate) fn parts(edges: &Edges) -> u64 {
    let lists = [
        &edges.after,
        &edges.requires,
        &edges.wants,
        &edges.requisite,
        &edges.binds_to,
        &edges.part_of,
        &edges.conflicts,
        &edges.on_failure,
        &edges.on_success,
        &edges.triggers,
    ];
    let pairs: usize = lists.map(|list| list.len()).iter().sum();
    u64::from(edges.units) + (pairs + edges.depends_on.len()) as u64
}

impl Machine {
    pub(crate) fn new(plan: Plan) -> Self {
        Self {
            parts: parts(&plan.edges),
            supervisor: Supervisor::with(plan),
            now: Timestamp(1_000),
            probed: false,
            ends: None,
        }
    }

    pub(crate) fn boot(&mut self) {
        self.perform(Event::StartDefault);
    }

    pub(crate) fn perform(&mut self, event: Event) {
        self.carry_out(VecDeque::from([event]), Vec::new());
    }

    pub(crate) fn apply(&mut self, plan: &Plan) -> Applied {
        let mut actions = Vec::new();
        let ticket = Some(Ticket(1));
        let applied = self.supervisor.apply(self.now, plan, ticket, &mut actions);
        self.carry_out(VecDeque::new(), actions);
        applied.expect("the set is taken over")
    }

    /// So many milliseconds go by.
    pub(crate) fn wait(&mut self, ms: u64) {
        let until = self.now.plus(ms);
        while let Some(at) = self.supervisor.next_deadline().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            let mut actions = Vec::new();
            self.supervisor.handle_timeout(self.now, &mut actions);
            self.carry_out(VecDeque::new(), actions);
        }
        self.now = until;
    }

    pub(crate) fn are_ready(&self, mut units: impl Iterator<Item = u32>) -> bool {
        units.all(|unit| self.supervisor.is_ready(UnitId(unit)))
    }

    /// Shuts the machine down. Steps so far, for each unit and edge.
    pub(crate) fn steps_per_part(mut self) -> u64 {
        self.perform(Event::Shutdown { within_ms: 60_000 });
        self.supervisor.check().expect("the counts are right");
        self.supervisor.steps().div_ceil(self.parts)
    }

    fn carry_out(&mut self, mut events: VecDeque<Event>, mut actions: Vec<Action>) {
        loop {
            for action in actions.drain(..) {
                let exit = Exit::Code(0);
                match action {
                    Action::Prepare { unit, run } => {
                        events.push_back(Event::Prepared { unit, run })
                    }
                    Action::Spawn { unit, run } => {
                        if self.probed {
                            let plan = health_plan();
                            events.push_back(Event::HealthPlan { unit, run, plan });
                        }
                        events.push_back(Event::Started { unit, run });
                        if let Some(exit) = self.ends {
                            events.push_back(Event::Exited { unit, run, exit });
                        }
                    }
                    Action::Terminate { unit, run } | Action::Kill { unit, run } => {
                        events.push_back(Event::Exited { unit, run, exit });
                    }
                    Action::Release { unit, run } => {
                        events.push_back(Event::Released { unit, run })
                    }
                    Action::Probe { unit, run, probe } => events.push_back(Event::Probed {
                        unit,
                        run,
                        probe,
                        failure: None,
                    }),
                    Action::FlipPorts { unit, to, .. } => events.push_back(Event::Flipped {
                        unit,
                        run: to,
                        failure: None,
                    }),
                    Action::RunHook { .. }
                    | Action::KillHook { .. }
                    | Action::WatchReadiness { .. }
                    | Action::Reload { .. }
                    | Action::Pause { .. }
                    | Action::Unpause { .. } => panic!("{action:?}"),
                    Action::Swapped { .. }
                    | Action::RemoveUnit { .. }
                    | Action::ArmTimer { .. }
                    | Action::DisarmTimer { .. }
                    | Action::Changed { .. }
                    | Action::RestartsAtOnce { .. }
                    | Action::Reply { .. }
                    | Action::Settled { .. }
                    | Action::ShutdownComplete => {}
                }
            }
            let Some(event) = events.pop_front() else {
                return;
            };
            self.supervisor.handle(self.now, event, &mut actions);
        }
    }
}

fn health_plan() -> HealthPlan {
    HealthPlan {
        probe: Probe::Exec(vec!["true".to_owned()]),
        interval_ms: 1_000,
        timeout_ms: 1_000,
        retries: 1,
        start_period_ms: 0,
        start_interval_ms: 1_000,
        success_threshold: 1,
        on_unhealthy: OnUnhealthy::Restart,
        pause_aware: true,
    }
}

/// Judges what `live` measures with each number of units: the same for all of them.
pub(crate) fn compare(what: &str, live: impl Fn(u32) -> u64) {
    let steps = SIZES.map(live);
    println!("{what}: steps per unit and edge at {SIZES:?} units: {steps:?}");
    assert!(
        steps
            .iter()
            .all(|steps| *steps <= crate::STEPS_PER_PART_MAX),
        "{what}: {steps:?}"
    );
    assert!(
        steps[2] <= steps[0] + steps[0] / 2 + 2,
        "{what} is not linear: {steps:?}"
    );
}
