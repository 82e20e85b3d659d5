//! Questions in a row over the control ports, from two sides at once, while a container crashes all the time.

use std::time::{Duration, Instant};
use vm::{Checks, Setup, container, measured, progress, times};

const SCENARIO: &str = "hammer";
/// So long no question takes, unless it is lost.
const LOST: Duration = Duration::from_secs(10);

pub(crate) fn no_question_is_lost_on_its_way() {
    let mut checks = Checks::of(SCENARIO);
    let crash = container(
        "crash",
        "entrypoint = [\"false\"]\n[service]\nrestart_delay = \"10ms\"\nrestart_delay_max = \"10ms\"\n",
    );
    let guest = Setup::named(SCENARIO)
        .own_disk(2 << 30)
        .units([crash])
        .boot();
    guest.says("unit crash: ");
    // The drivers of the ports are there a little later.
    guest.told(&["status"]);
    checks.that("each of many questions is answered", || {
        let count = times(100, 1_500);
        let start = Instant::now();
        let ask = |who: usize| {
            let mut lost = Vec::new();
            let mut longest = Duration::ZERO;
            for number in 0..count {
                let asked = Instant::now();
                let answer = guest.machine.ps();
                let took = asked.elapsed();
                longest = longest.max(took);
                if let Err(error) = &answer {
                    lost.push(format!("{who}: question {number}: {error}"));
                } else if took > LOST {
                    lost.push(format!("{who}: question {number} took {took:?}"));
                }
            }
            progress(
                SCENARIO,
                &format!("{who}: {count} questions, the longest took {longest:?}"),
            );
            lost
        };
        let lost: Vec<String> = std::thread::scope(|scope| {
            let sides = [0, 1].map(|who| {
                let ask = &ask;
                scope.spawn(move || ask(who))
            });
            sides
                .into_iter()
                .flat_map(|side| side.join().unwrap())
                .collect()
        });
        measured(SCENARIO, &format!("2 × {count} questions"), start.elapsed());
        assert!(lost.is_empty(), "{lost:?}");
    });
    checks.end();
}
