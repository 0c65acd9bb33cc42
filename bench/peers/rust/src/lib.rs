// SPDX-License-Identifier: MIT

//! The questions of bench/, asked of asynchronous Rust: written once, for every runtime that
//! implements `Peer`. Each program of src/bin/ is one runtime.

pub mod core;
pub mod harness;
pub mod mpmc;
pub mod peer;
pub mod tasks;
pub mod times;
