//! End-to-end tests: one binary, one behaviour a module. Run with `cargo xtask test`.

#![allow(clippy::unwrap_used, clippy::large_futures)] // a test that cannot go on has failed

mod adoption;
mod app_of_apps;
mod bad_input;
mod bad_manifests;
mod bad_sources;
mod bootstrap_command;
mod chart;
mod charts;
mod command_line;
mod commands;
mod credentials;
mod definitions;
mod deletion;
mod diff_command;
mod drift;
mod every_command;
mod examples;
mod explain;
mod first_sync;
mod harness;
mod health_rules;
mod history;
mod hooks;
mod hostile;
mod ignore_differences;
mod image;
mod in_cluster;
mod installation_commands;
mod krew;
mod manual_sync;
mod namespaces;
mod outages;
mod previews;
mod projects;
mod refresh;
mod revisions;
mod rollback_command;
mod settings;
mod size;
mod sources;
mod status_tree;
mod sync_command;
mod wait_command;
