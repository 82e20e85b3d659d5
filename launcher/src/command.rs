//! What is executed, and with which environment: the unit over the image, by Docker's rules. Pure.

use serde::{Deserialize, Serialize};
use std::ffi::CString;
use store::ImageConfig;
use unit::Container;

/// `PATH` where neither unit nor image sets one: Docker's.
pub(crate) const DEFAULT_PATH: &str =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Asks a program to end where neither unit nor image says otherwise.
const SIGTERM: i32 = 15;

/// What of an image's configuration every process in the container starts from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Defaults {
    pub(crate) env: Vec<String>,
    pub(crate) user: String,
    pub(crate) working_dir: String,
}

impl From<&ImageConfig> for Defaults {
    fn from(config: &ImageConfig) -> Self {
        Self {
            env: config.env.clone(),
            user: config.user.clone(),
            working_dir: config.working_dir.clone(),
        }
    }
}

/// What to execute. ENTRYPOINT and CMD are put together; a unit's `entrypoint` clears the image's CMD.
///
/// # Errors
/// When nothing is left: no command in the unit and none in the image.
pub(crate) fn argv(container: &Container, config: &ImageConfig) -> Result<Vec<String>, String> {
    let command = container.command.as_ref();
    let argv: Vec<String> = match &container.entrypoint {
        Some(entrypoint) => entrypoint
            .iter()
            .chain(command.into_iter().flatten())
            .cloned()
            .collect(),
        None => config
            .entrypoint
            .iter()
            .chain(command.unwrap_or(&config.cmd))
            .cloned()
            .collect(),
    };
    match argv.first() {
        Some(program) if !program.is_empty() => Ok(argv),
        Some(_) => Err("the name of the command is empty; set container.command".to_owned()),
        None => Err("the image has no command of its own; set container.command".to_owned()),
    }
}

/// The unit's, the image's, or SIGTERM. What the image says and the kernel doesn't know counts as not said, as no
/// operator can change it there.
pub(crate) fn stop_signal(container: &Container, config: &ImageConfig) -> i32 {
    let images = || unit::signal::parse(config.stop_signal.as_deref()?).ok();
    container.stop_signal.or_else(images).unwrap_or(SIGTERM)
}

/// Variables in the order in which they were first set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Environment {
    variables: Vec<(String, String)>,
}

impl Environment {
    /// Ours, then the image's, then the unit's, then those of `more` (`NAME=VALUE`); the last word counts.
    pub(crate) fn new(defaults: &Defaults, container: &Container, more: &[String]) -> Self {
        let mut environment = Self {
            variables: Vec::new(),
        };
        environment.set("PATH", DEFAULT_PATH);
        environment.set("HOSTNAME", &container.hostname);
        // systemd's container interface: programs look at it to find out that they are in a container.
        environment.set("container", "keelson");
        let texts = |texts: &[String], environment: &mut Self| {
            for (name, value) in texts.iter().filter_map(|text| text.split_once('=')) {
                environment.set(name, value);
            }
        };
        texts(&defaults.env, &mut environment);
        for (name, value) in &container.env {
            environment.set(name, value);
        }
        texts(more, &mut environment);
        environment
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.variables.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        match self.variables.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.variables.push((name.to_owned(), value.to_owned())),
        }
    }

    pub(crate) fn set_default(&mut self, name: &str, value: &str) {
        if self.get(name).is_none() {
            self.set(name, value);
        }
    }

    /// For execve(2).
    ///
    /// # Errors
    /// Names the variable with a zero byte in it.
    pub(crate) fn to_strings(&self) -> Result<Vec<CString>, String> {
        let text = |(name, value): &(String, String)| {
            CString::new(format!("{name}={value}"))
                .map_err(|_| format!("the variable {name} has a zero byte in it"))
        };
        self.variables.iter().map(text).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn container() -> Container {
        Container {
            image: "docker.io/library/test:1".into(),
            entrypoint: None,
            command: None,
            env: BTreeMap::new(),
            working_dir: None,
            user: None,
            hostname: "web-1".into(),
            init: false,
            read_only: false,
            stop_signal: None,
        }
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn entrypoint_and_command_go_together_as_docker_has_it() {
        let config = ImageConfig {
            entrypoint: texts(&["/entry"]),
            cmd: texts(&["serve"]),
            ..ImageConfig::default()
        };
        let with = |entrypoint: Option<&[&str]>, command: Option<&[&str]>| {
            let container = Container {
                entrypoint: entrypoint.map(texts),
                command: command.map(texts),
                ..container()
            };
            argv(&container, &config)
        };
        assert_eq!(with(None, None).unwrap(), ["/entry", "serve"]);
        assert_eq!(with(None, Some(&["x"])).unwrap(), ["/entry", "x"]);
        assert_eq!(
            with(Some(&["/bin/sh"]), None).unwrap(),
            ["/bin/sh"],
            "CMD is cleared"
        );
        assert_eq!(
            with(Some(&["/bin/sh"]), Some(&["-c"])).unwrap(),
            ["/bin/sh", "-c"]
        );
        assert!(with(Some(&[]), None).is_err());
        assert!(argv(&container(), &ImageConfig::default()).is_err());
    }

    #[test]
    fn the_unit_has_the_last_word_on_the_environment() {
        let defaults = Defaults {
            env: texts(&["A=image", "B=image", "PATH=/image", "bad"]),
            ..Defaults::default()
        };
        let mut container = container();
        container.env.insert("B".into(), "unit".into());
        let environment = Environment::new(&defaults, &container, &texts(&["C=more=x"]));
        let get = |name| environment.get(name);
        assert_eq!(get("A"), Some("image"));
        assert_eq!(get("B"), Some("unit"));
        assert_eq!(get("C"), Some("more=x"));
        assert_eq!(get("PATH"), Some("/image"));
        assert_eq!(get("HOSTNAME"), Some("web-1"));
        assert_eq!(get("bad"), None);
        assert_eq!(
            environment.to_strings().unwrap()[0].to_str(),
            Ok("PATH=/image")
        );
    }

    #[test]
    fn the_stop_signal_is_the_units_or_the_images_or_term() {
        let config = ImageConfig {
            stop_signal: Some("SIGQUIT".into()),
            ..ImageConfig::default()
        };
        let mut container = container();
        assert_eq!(stop_signal(&container, &ImageConfig::default()), 15);
        assert_eq!(stop_signal(&container, &config), 3);
        container.stop_signal = Some(2);
        assert_eq!(stop_signal(&container, &config), 2);
    }
}
