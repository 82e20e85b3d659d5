//! Tests: vm.
