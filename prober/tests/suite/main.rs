//! The prober as PID 1 runs it, in network namespaces, against real listeners. Needs root.

mod http;
mod life;
mod load;
mod support;
mod tcp;
