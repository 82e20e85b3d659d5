//! HEALTHCHECK of an image, as PID 1 takes it. Pure.

use store::{Healthcheck, ImageConfig};
use unit::{HealthPlan, ImageHealth};

const NS_PER_MS: i64 = 1_000_000;

pub(crate) fn of_image(config: &ImageConfig) -> Option<ImageHealth> {
    let check = config.healthcheck.as_ref()?;
    let interval = |ns| milliseconds(ns).map(|ms| ms.max(HealthPlan::INTERVAL_MS_MIN));
    Some(ImageHealth {
        test: test(check, &config.shell),
        interval_ms: interval(check.interval),
        timeout_ms: milliseconds(check.timeout),
        retries: u32::try_from(check.retries).ok().filter(|count| *count > 0),
        start_period_ms: milliseconds(check.start_period),
        start_interval_ms: interval(check.start_interval),
    })
}

/// SHELL of a Dockerfile holds for its HEALTHCHECK too.
fn test(check: &Healthcheck, shell: &[String]) -> Vec<String> {
    match (check.test.as_slice(), shell) {
        ([form, command], [_, ..]) if form == "CMD-SHELL" => {
            let words = ["CMD".to_owned()].into_iter().chain(shell.iter().cloned());
            words.chain([command.clone()]).collect()
        }
        _ => check.test.clone(),
    }
}

/// `None` for what is not given. A part of a millisecond is one.
fn milliseconds(ns: i64) -> Option<u64> {
    let ns = u64::try_from(ns).ok().filter(|ns| *ns > 0)?;
    Some(ns.div_ceil(NS_PER_MS.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(test: &[&str], shell: &[&str]) -> ImageConfig {
        let words = |list: &[&str]| list.iter().map(|&word| word.to_owned()).collect();
        ImageConfig {
            shell: words(shell),
            healthcheck: Some(Healthcheck {
                test: words(test),
                interval: 1_500_000_000,
                timeout: 1,
                start_interval: 1,
                start_period: -1,
                retries: 0,
            }),
            ..ImageConfig::default()
        }
    }

    #[test]
    fn times_become_milliseconds_and_what_is_zero_is_not_given() {
        let health = of_image(&config(&["CMD", "true"], &[])).unwrap();
        assert_eq!(health.test, ["CMD", "true"]);
        assert_eq!(health.interval_ms, Some(1_500));
        assert_eq!(health.timeout_ms, Some(1));
        assert_eq!(health.start_interval_ms, Some(HealthPlan::INTERVAL_MS_MIN));
        assert_eq!((health.start_period_ms, health.retries), (None, None));
        assert_eq!(of_image(&ImageConfig::default()), None);
    }

    #[test]
    fn a_command_of_one_text_is_for_the_images_shell() {
        let with = of_image(&config(&["CMD-SHELL", "a && b"], &["/bin/bash", "-c"])).unwrap();
        assert_eq!(with.command().unwrap(), ["/bin/bash", "-c", "a && b"]);
        let without = of_image(&config(&["CMD-SHELL", "a && b"], &[])).unwrap();
        assert_eq!(without.command().unwrap(), ["/bin/sh", "-c", "a && b"]);
        let none = of_image(&config(&["NONE"], &["/bin/bash", "-c"])).unwrap();
        assert_eq!(none.command(), None);
    }
}
