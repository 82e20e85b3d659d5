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

/// The image of `tests/vm/actor`, to be loaded from [`crate::actor_archive`].
pub const ACTOR: &str = "example.com/actor:1";

/// A container that does these acts, one after the other. `rest` as for [`container`].
#[must_use]
pub fn actor(name: &str, acts: &[&str], rest: &str) -> (String, String) {
    let acts: Vec<String> = acts.iter().map(|act| format!("\"{act}\"")).collect();
    let command = acts.join(", ");
    (
        format!("{name}.container.toml"),
        format!("[container]\nimage = \"{ACTOR}\"\ncommand = [{command}]\n{rest}"),
    )
}
