//! What is booted: a floor, or Keelson with so many units.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Shape {
    /// The kernel, and a PID 1 that says one line.
    FloorBare,
    /// The kernel, and Redis as PID 1, with others beside it up to this number.
    FloorRedis {
        instances: u16,
    },
    Keelson {
        units: u16,
    },
}

impl Shape {
    /// Whether the first answer and the last may differ.
    pub(crate) fn has_several(self) -> bool {
        match self {
            Self::FloorBare => false,
            Self::FloorRedis { instances } => instances > 1,
            Self::Keelson { units } => units > 1,
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FloorBare => f.write_str("floor: least init"),
            Self::FloorRedis { instances: 1 } => f.write_str("floor: Redis as PID 1"),
            Self::FloorRedis { instances } => {
                write!(f, "floor: {instances} × Redis, bare")
            }
            Self::Keelson { units: 0 } => f.write_str("Keelson, no unit"),
            Self::Keelson { units: 1 } => f.write_str("Keelson, 1 unit"),
            Self::Keelson { units } => write!(f, "Keelson, {units} units"),
        }
    }
}
