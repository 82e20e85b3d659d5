//! Tests: netns.
