//! The keys of a unit's life: conditions, `[service]`, `[readiness]`, `[health]`, `[timer]`, `[update]`.

use super::{Keys, Needs, milliseconds, numbers, quoted, texts, thousandths};
use crate::{
    Concurrency, Conditions, DependsOn, DependsOnCondition, Health, History, Hook, HookFailure,
    HttpProbe, KillMode, OnUnhealthy, Probe, Protocol, Readiness, ReadinessMode, Reload, Restart,
    Service, ServiceKind, StartLimit, Timer, Update, UpdateOrder, bytes, signal,
};

impl Keys {
    pub(super) fn depends_on(&mut self, depends: &DependsOn) {
        let DependsOn {
            unit,
            condition,
            restart,
            required,
        } = depends;
        let condition = match condition {
            DependsOnCondition::Started => "started",
            DependsOnCondition::Healthy => "healthy",
            DependsOnCondition::CompletedSuccessfully => "completed_successfully",
        };
        let value = format!(
            "{{ condition = \"{condition}\", restart = {restart}, required = {required} }}"
        );
        self.add(Needs::Nothing, format!("unit.depends_on.{unit}"), value);
    }

    pub(super) fn conditions(&mut self, conditions: &Conditions) {
        let Conditions {
            path_exists,
            kernel_cmdline,
            memory_min,
            label,
        } = conditions;
        let needs = Needs::Nothing;
        self.add(needs, "unit.condition.path_exists", texts(path_exists));
        self.add(
            needs,
            "unit.condition.kernel_cmdline",
            texts(kernel_cmdline),
        );
        let memory_min = memory_min.map(|amount| quoted(&bytes::exact(amount)));
        self.maybe(needs, "unit.condition.memory_min", memory_min);
        for (name, value) in label {
            self.add(needs, format!("unit.condition.label.{name}"), quoted(value));
        }
    }

    pub(super) fn service(&mut self, service: &Service) {
        let Service {
            kind,
            restart,
            restart_delay_ms,
            restart_delay_max_ms,
            restart_backoff_milli,
            restart_reset_after_ms,
            restart_max,
            start_limit,
            success_exit_codes,
            restart_prevent_exit_codes,
            remain_after_exit,
            start_timeout_ms,
            stop_timeout_ms,
            runtime_max_ms,
            kill_mode,
            reload,
            watchdog_ms,
            pre_start,
            post_start,
            pre_stop,
            post_stop,
        } = service;
        // The notify socket is given when the container starts.
        self.add(Needs::Restart, "service.type", quoted(kind_word(*kind)));
        let watchdog = watchdog_ms.map(milliseconds);
        self.maybe(Needs::Restart, "service.watchdog", watchdog);
        let needs = Needs::Nothing;
        self.add(needs, "service.restart", quoted(restart_word(*restart)));
        for (key, value) in [
            ("restart_delay", restart_delay_ms),
            ("restart_delay_max", restart_delay_max_ms),
            ("restart_reset_after", restart_reset_after_ms),
            ("start_timeout", start_timeout_ms),
            ("stop_timeout", stop_timeout_ms),
        ] {
            self.add(needs, format!("service.{key}"), milliseconds(*value));
        }
        let backoff = thousandths(*restart_backoff_milli);
        self.add(needs, "service.restart_backoff", backoff);
        self.add(needs, "service.restart_max", restart_max);
        let StartLimit { burst, interval_ms } = start_limit;
        let interval = milliseconds(*interval_ms);
        let limit = format!("{{ burst = {burst}, interval = {interval} }}");
        self.add(needs, "service.start_limit", limit);
        let codes = numbers(success_exit_codes);
        self.add(needs, "service.success_exit_codes", codes);
        let codes = numbers(restart_prevent_exit_codes);
        self.add(needs, "service.restart_prevent_exit_codes", codes);
        self.add(needs, "service.remain_after_exit", remain_after_exit);
        let runtime_max = runtime_max_ms.map(milliseconds);
        self.maybe(needs, "service.runtime_max", runtime_max);
        let kill_mode = match kill_mode {
            KillMode::ControlGroup => "control-group",
            KillMode::Process => "process",
        };
        self.add(needs, "service.kill_mode", quoted(kill_mode));
        let reload = reload.as_ref().map(|reload| match reload {
            Reload::Signal(number) => {
                format!("{{ signal = {} }}", quoted(&signal::display(*number)))
            }
            Reload::Command(command) => format!("{{ command = {} }}", texts(command)),
        });
        self.maybe(needs, "service.reload", reload);
        for (key, hooks) in [
            ("pre_start", pre_start),
            ("post_start", post_start),
            ("pre_stop", pre_stop),
            ("post_stop", post_stop),
        ] {
            let hooks: Vec<String> = hooks.iter().map(hook).collect();
            self.add(
                needs,
                format!("service.{key}"),
                format!("[{}]", hooks.join(", ")),
            );
        }
    }

    pub(super) fn readiness(&mut self, readiness: &Readiness) {
        let Readiness { mode, timeout_ms } = readiness;
        // What makes it ready is set up when it starts.
        let needs = Needs::Restart;
        let word = match mode {
            ReadinessMode::Started => "started",
            ReadinessMode::Notify => "notify",
            ReadinessMode::Healthy => "healthy",
            ReadinessMode::Port { protocol, port } => {
                let protocol = match protocol {
                    Protocol::Tcp => "tcp",
                    Protocol::Udp => "udp",
                };
                self.add(
                    needs,
                    "readiness.port",
                    quoted(&format!("{protocol}:{port}")),
                );
                "port"
            }
            ReadinessMode::Log { pattern } => {
                self.add(needs, "readiness.log", quoted(pattern));
                "log"
            }
            ReadinessMode::Exit => "exit",
        };
        self.add(needs, "readiness.mode", quoted(word));
        let timeout = milliseconds(*timeout_ms);
        self.add(Needs::Nothing, "readiness.timeout", timeout);
    }

    pub(super) fn health(&mut self, health: &Health) {
        let Health {
            disable,
            probe,
            interval_ms,
            timeout_ms,
            retries,
            start_period_ms,
            start_interval_ms,
            success_threshold,
            on_unhealthy,
            pause_aware,
        } = health;
        let needs = Needs::Nothing;
        self.add(needs, "health.disable", disable);
        match probe {
            None => {}
            Some(Probe::Exec(command)) => self.add(needs, "health.exec", texts(command)),
            Some(Probe::Tcp { port }) => {
                self.add(needs, "health.tcp", format!("{{ port = {port} }}"));
            }
            Some(Probe::Http(http)) => self.http(http),
        }
        for (key, value) in [
            ("interval", interval_ms),
            ("timeout", timeout_ms),
            ("start_period", start_period_ms),
            ("start_interval", start_interval_ms),
        ] {
            let value = value.map(milliseconds);
            self.maybe(needs, &format!("health.{key}"), value);
        }
        self.maybe(needs, "health.retries", *retries);
        self.add(needs, "health.success_threshold", success_threshold);
        let on_unhealthy = on_unhealthy.map(|what| {
            quoted(match what {
                OnUnhealthy::None => "none",
                OnUnhealthy::Restart => "restart",
                OnUnhealthy::Kill => "kill",
                OnUnhealthy::Stop => "stop",
            })
        });
        self.maybe(needs, "health.on_unhealthy", on_unhealthy);
        self.add(needs, "health.pause_aware", pause_aware);
    }

    fn http(&mut self, http: &HttpProbe) {
        let HttpProbe {
            port,
            path,
            status,
            headers,
        } = http;
        let needs = Needs::Nothing;
        self.add(needs, "health.http.port", port);
        self.add(needs, "health.http.path", quoted(path));
        let ranges = status.iter().map(|(first, last)| {
            if first == last {
                first.to_string()
            } else {
                format!("{first}-{last}")
            }
        });
        let ranges: Vec<String> = ranges.collect();
        self.add(needs, "health.http.status", quoted(&ranges.join(",")));
        for (name, value) in headers {
            self.add(needs, format!("health.http.headers.{name}"), quoted(value));
        }
    }

    pub(super) fn timer(&mut self, timer: &Timer) {
        let Timer {
            on_calendar,
            on_boot_ms,
            on_unit_active_ms,
            timezone,
            persistent,
            randomized_delay_ms,
            concurrency,
            history: History { success, failed },
        } = timer;
        let needs = Needs::Nothing;
        self.add(needs, "timer.on_calendar", texts(on_calendar));
        self.maybe(needs, "timer.on_boot", on_boot_ms.map(milliseconds));
        let active = on_unit_active_ms.map(milliseconds);
        self.maybe(needs, "timer.on_unit_active", active);
        self.add(needs, "timer.timezone", quoted(timezone));
        self.add(needs, "timer.persistent", persistent);
        let delay = milliseconds(*randomized_delay_ms);
        self.add(needs, "timer.randomized_delay", delay);
        let concurrency = match concurrency {
            Concurrency::Forbid => "forbid",
            Concurrency::Replace => "replace",
            Concurrency::Allow => "allow",
        };
        self.add(needs, "timer.concurrency", quoted(concurrency));
        let history = format!("{{ success = {success}, failed = {failed} }}");
        self.add(needs, "timer.history", history);
    }

    pub(super) fn update(&mut self, update: &Update) {
        let Update {
            order,
            health_wait_ms,
        } = update;
        let order = match order {
            UpdateOrder::StopFirst => "stop-first",
            UpdateOrder::StartFirst => "start-first",
        };
        let needs = Needs::Nothing;
        self.add(needs, "update.order", quoted(order));
        self.add(needs, "update.health_wait", milliseconds(*health_wait_ms));
    }
}

fn hook(hook: &Hook) -> String {
    let Hook {
        command,
        image,
        timeout_ms,
        on_failure,
    } = hook;
    let image = image
        .as_ref()
        .map_or_else(String::new, |image| format!(", image = {}", quoted(image)));
    let on_failure = match on_failure {
        HookFailure::Fail => "fail",
        HookFailure::Ignore => "ignore",
    };
    format!(
        "{{ command = {}{image}, timeout = {}, on_failure = \"{on_failure}\" }}",
        texts(command),
        milliseconds(*timeout_ms)
    )
}

fn kind_word(kind: ServiceKind) -> &'static str {
    match kind {
        ServiceKind::Simple => "simple",
        ServiceKind::Notify => "notify",
        ServiceKind::Oneshot => "oneshot",
        ServiceKind::Job => "job",
    }
}

fn restart_word(restart: Restart) -> &'static str {
    match restart {
        Restart::No => "no",
        Restart::Always => "always",
        Restart::OnFailure => "on-failure",
        Restart::OnAbnormal => "on-abnormal",
        Restart::OnWatchdog => "on-watchdog",
        Restart::UnlessStopped => "unless-stopped",
    }
}
