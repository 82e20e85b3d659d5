//! Whether a running container does its work: what the unit says, what its image says, and the plan made of both.
//!
//! ```text
//! [health] ──▶ Health ─────────┐
//!                              ├─▶ HealthPlan ──▶ supervisor (when to probe, what follows), init (how)
//! HEALTHCHECK ─▶ ImageHealth ──┘
//! ```

use serde::{Deserialize, Serialize};

/// What the unit says. `None`: the image's value counts, or else the default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// No check, whatever the image says.
    pub disable: bool,
    pub probe: Option<Probe>,
    pub interval_ms: Option<u64>,
    pub timeout_ms: Option<u64>,
    pub retries: Option<u32>,
    pub start_period_ms: Option<u64>,
    pub start_interval_ms: Option<u64>,
    pub success_threshold: u32,
    pub on_unhealthy: Option<OnUnhealthy>,
    pub pause_aware: bool,
}

impl Default for Health {
    /// What an empty `[health]` says.
    fn default() -> Self {
        Self {
            disable: false,
            probe: None,
            interval_ms: None,
            timeout_ms: None,
            retries: None,
            start_period_ms: None,
            start_interval_ms: None,
            success_threshold: 1,
            on_unhealthy: None,
            pause_aware: true,
        }
    }
}

/// One question to the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// Run inside; status 0 is healthy.
    Exec(Vec<String>),
    /// Asked inside the container's network namespace.
    Http(HttpProbe),
    /// As `Http`: a connection is accepted.
    Tcp { port: u16 },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpProbe {
    pub port: u16,
    /// Starts with `/`.
    pub path: String,
    /// Ranges of statuses that are healthy, both ends included.
    pub status: Vec<(u16, u16)>,
    /// Name and value, in the order of names.
    pub headers: Vec<(String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnUnhealthy {
    /// Only say so.
    None,
    /// Stop it as an operator would, and start it again, whatever `restart` says.
    Restart,
    /// SIGKILL at once; then as `restart` says.
    Kill,
    /// Stop it as an operator would; it has failed.
    Stop,
}

/// HEALTHCHECK of an image, from its config blob: OCI images carry Docker's `Healthcheck` object there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageHealth {
    /// `["NONE"]`, `["CMD", argument…]` or `["CMD-SHELL", command]`; empty: inherited, so nothing.
    pub test: Vec<String>,
    /// `None` where the image gives 0.
    pub interval_ms: Option<u64>,
    pub timeout_ms: Option<u64>,
    pub retries: Option<u32>,
    pub start_period_ms: Option<u64>,
    pub start_interval_ms: Option<u64>,
}

impl ImageHealth {
    /// The command to run inside, if there is one.
    #[must_use]
    pub fn command(&self) -> Option<Vec<String>> {
        let (form, rest) = self.test.split_first()?;
        match form.as_str() {
            "CMD" if !rest.is_empty() => Some(rest.to_vec()),
            "CMD-SHELL" => {
                let shell = ["/bin/sh".to_owned(), "-c".to_owned()];
                Some(shell.into_iter().chain(rest.first().cloned()).collect())
                    .filter(|command: &Vec<String>| command.len() == 3)
            }
            _ => None,
        }
    }
}

/// All that is needed to watch one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthPlan {
    pub probe: Probe,
    pub interval_ms: u64,
    pub timeout_ms: u64,
    /// So many failures in a row are unhealthy; at least 1.
    pub retries: u32,
    /// Failures in this time after the start do not count; the first success ends it.
    pub start_period_ms: u64,
    /// Instead of `interval_ms` during the start period.
    pub start_interval_ms: u64,
    /// So many successes in a row are healthy; at least 1.
    pub success_threshold: u32,
    pub on_unhealthy: OnUnhealthy,
    /// A paused container is not probed.
    pub pause_aware: bool,
}

impl HealthPlan {
    /// Docker's defaults.
    pub const INTERVAL_MS: u64 = 30_000;
    pub const TIMEOUT_MS: u64 = 30_000;
    pub const RETRIES: u32 = 3;
    pub const START_PERIOD_MS: u64 = 0;
    pub const START_INTERVAL_MS: u64 = 5_000;
    /// A probe is at least a connection; ten a second of one unit are enough, whoever asks for more.
    pub const INTERVAL_MS_MIN: u64 = 100;

    /// `None`: nobody says how to find out. Each value is the unit's, else the image's, else the default. A check that
    /// only the image declares has no consequence unless the unit names one.
    #[must_use]
    pub fn of(unit: &Health, image: Option<&ImageHealth>) -> Option<Self> {
        if unit.disable {
            return None;
        }
        let default = match &unit.probe {
            Some(_) => OnUnhealthy::Restart,
            None => OnUnhealthy::None,
        };
        let probe = unit
            .probe
            .clone()
            .or_else(|| Some(Probe::Exec(image?.command()?)))?;
        let of_image = |value: fn(&ImageHealth) -> Option<u64>| image.and_then(value);
        Some(Self {
            probe,
            interval_ms: unit
                .interval_ms
                .or_else(|| of_image(|image| image.interval_ms))
                .unwrap_or(Self::INTERVAL_MS),
            timeout_ms: unit
                .timeout_ms
                .or_else(|| of_image(|image| image.timeout_ms))
                .unwrap_or(Self::TIMEOUT_MS),
            retries: unit
                .retries
                .or_else(|| image.and_then(|image| image.retries))
                .unwrap_or(Self::RETRIES),
            start_period_ms: unit
                .start_period_ms
                .or_else(|| of_image(|image| image.start_period_ms))
                .unwrap_or(Self::START_PERIOD_MS),
            start_interval_ms: unit
                .start_interval_ms
                .or_else(|| of_image(|image| image.start_interval_ms))
                .unwrap_or(Self::START_INTERVAL_MS),
            success_threshold: unit.success_threshold,
            on_unhealthy: unit.on_unhealthy.unwrap_or(default),
            pause_aware: unit.pause_aware,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(test: &[&str]) -> ImageHealth {
        ImageHealth {
            test: test.iter().map(|&word| word.to_owned()).collect(),
            interval_ms: Some(1_000),
            retries: Some(7),
            ..ImageHealth::default()
        }
    }

    #[test]
    fn each_value_is_the_units_else_the_images_else_the_default() {
        let unit = Health {
            retries: Some(2),
            ..Health::default()
        };
        let plan = HealthPlan::of(&unit, Some(&image(&["CMD-SHELL", "true"]))).unwrap();
        assert_eq!(
            plan.probe,
            Probe::Exec(["/bin/sh", "-c", "true"].map(str::to_owned).to_vec())
        );
        assert_eq!(
            (plan.interval_ms, plan.retries, plan.timeout_ms),
            (1_000, 2, 30_000)
        );
    }

    #[test]
    fn an_images_own_check_has_no_consequence_unless_the_unit_names_one() {
        let check = image(&["CMD", "true"]);
        let consequence =
            |unit: &Health| HealthPlan::of(unit, Some(&check)).map(|plan| plan.on_unhealthy);
        let mut unit = Health::default();
        assert_eq!(consequence(&unit), Some(OnUnhealthy::None));
        unit.on_unhealthy = Some(OnUnhealthy::Kill);
        assert_eq!(consequence(&unit), Some(OnUnhealthy::Kill));
        unit.on_unhealthy = None;
        unit.probe = Some(Probe::Tcp { port: 80 });
        assert_eq!(consequence(&unit), Some(OnUnhealthy::Restart));
        unit.disable = true;
        assert_eq!(consequence(&unit), None);
    }

    #[test]
    fn an_image_without_a_command_gives_no_plan() {
        for test in [
            &[] as &[&str],
            &["NONE"],
            &["CMD"],
            &["CMD-SHELL"],
            &["x", "y"],
        ] {
            assert_eq!(HealthPlan::of(&Health::default(), Some(&image(test))), None);
        }
        assert_eq!(HealthPlan::of(&Health::default(), None), None);
    }
}
