//! Unit files as text.

/// The demo's image.
pub const REDIS: &str = "docker.io/library/redis:latest";

/// A container of the demo's image: `NAME.container.toml` and its text. `rest` is more TOML, which begins with keys of
/// `[container]`.
#[must_use]
pub fn container(name: &str, rest: &str) -> (String, String) {
    (
        format!("{name}.container.toml"),
        format!("[container]\nimage = \"{REDIS}\"\n{rest}"),
    )
}
