//! Sync options, of an Application, of one operation and of single objects: the one place where
//! `Name=value` is read.
//!
//! Decides what is asked for and what nobody knows; carrying it out is others'. The names and
//! their meaning are Argo CD's ("Sync Options").

mod names;

use gitops_api::SyncPolicy;
use gitops_api::constants::annotation;
use serde_json::Value;

use crate::manifest::object;

use names::Setting;

pub use names::{of_application, of_object};

/// Whether the agent may delete an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Removal {
    /// Without asking.
    #[default]
    Allowed,
    /// Once a person has confirmed it.
    Confirmed,
    /// Never.
    Never,
}

/// What happens to the dependents of a deleted object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Propagation {
    /// They go first.
    #[default]
    Foreground,
    /// They go afterwards.
    Background,
    /// They stay.
    Orphan,
}

/// Options that hold for a whole sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppOptions {
    /// `Validate`, when it is said.
    pub validate: Option<Validation>,
    /// `SkipDryRunOnMissingResource`: nothing to do, there is no dry run of all objects first.
    pub skip_dry_run_on_missing_resource: bool,
    /// `CreateNamespace`: create the destination namespace when it is missing.
    pub create_namespace: bool,
    /// `PruneLast`: prunes wait until what was applied is healthy.
    pub prune_last: bool,
    /// `Prune`: whether objects that are no longer in Git are deleted.
    pub prune: Removal,
    /// `Delete`: whether objects are deleted with their Application.
    pub delete: Removal,
    /// `PrunePropagationPolicy`.
    pub propagation: Propagation,
    /// `ApplyOutOfSyncOnly`: always so here.
    pub apply_out_of_sync_only: bool,
    /// `RespectIgnoreDifferences`: ignored fields keep their live value when an object is applied.
    pub respect_ignore_differences: bool,
    /// `Replace`: the manifest replaces the whole object instead of being merged into it.
    pub replace: bool,
    /// `Force`: delete and create again what cannot be changed in place.
    pub force: bool,
    /// `ServerSideApply`: every apply is one here; what says so is as strict about fields as in Argo CD.
    pub server_side_apply: bool,
    /// `FailOnSharedResource`: a sync fails when another Application has one of its objects.
    pub fail_on_shared_resource: bool,
    /// `ClientSideApplyMigration`: fields that client-side apply set are taken over; default true.
    pub client_side_apply_migration: bool,
}

impl Default for AppOptions {
    fn default() -> Self {
        Self {
            validate: None,
            skip_dry_run_on_missing_resource: false,
            create_namespace: false,
            prune_last: false,
            prune: Removal::Allowed,
            delete: Removal::Allowed,
            propagation: Propagation::Foreground,
            apply_out_of_sync_only: true,
            respect_ignore_differences: false,
            replace: false,
            force: false,
            server_side_apply: false,
            fail_on_shared_resource: false,
            client_side_apply_migration: true,
        }
    }
}

impl AppOptions {
    /// The options of an Application.
    pub fn of(policy: Option<&SyncPolicy>) -> Self {
        Self::default().with(policy.map_or(&[], |policy| &policy.sync_options))
    }

    /// These options, with those of one operation on top: an option it does not name stays as the
    /// Application has it.
    #[must_use]
    pub fn with(mut self, options: &[String]) -> Self {
        let (mut prune, mut delete) = (None, None);
        for option in options {
            let Some(setting) = names::read(option) else {
                continue;
            };
            match setting {
                Setting::Validate(how) => self.validate = Some(how),
                Setting::SkipDryRunOnMissingResource(on) => {
                    self.skip_dry_run_on_missing_resource = on;
                }
                Setting::CreateNamespace(on) => self.create_namespace = on,
                Setting::PruneLast(on) => self.prune_last = on,
                Setting::ApplyOutOfSyncOnly(on) => self.apply_out_of_sync_only = on,
                Setting::RespectIgnoreDifferences(on) => self.respect_ignore_differences = on,
                Setting::Replace(on) => self.replace = on,
                Setting::Force(on) => self.force = on,
                Setting::ServerSideApply(on) => self.server_side_apply = on,
                Setting::FailOnSharedResource(on) => self.fail_on_shared_resource = on,
                Setting::ClientSideApplyMigration(on) => self.client_side_apply_migration = on,
                // Of several the one that protects most counts.
                Setting::Prune(removal) => prune = prune.max(Some(removal)),
                Setting::Delete(removal) => delete = delete.max(Some(removal)),
                Setting::PrunePropagationPolicy(policy) => self.propagation = policy,
            }
        }
        self.prune = prune.unwrap_or(self.prune);
        self.delete = delete.unwrap_or(self.delete);
        self
    }

    /// Whether fields of an object that the API server does not know are an error.
    pub fn validates(&self, object: ObjectOptions) -> bool {
        match object.validate.or(self.validate) {
            Some(Validation::Off) => false,
            Some(Validation::Strict) => true,
            Some(Validation::On) | None => self.is_server_side(object),
        }
    }

    /// Whether Argo CD would apply an object server-side.
    pub fn is_server_side(&self, object: ObjectOptions) -> bool {
        object.server_side_apply.unwrap_or(self.server_side_apply)
    }

    /// Whether an object is replaced as a whole; `live` is what the object in the cluster says.
    pub fn replaces(&self, object: ObjectOptions, live: Option<ObjectOptions>) -> bool {
        let said = object.replace.or(live.and_then(|live| live.replace));
        said.unwrap_or(self.replace)
    }

    /// Whether an object may be deleted and created again; `live` as in
    /// [`replaces`](Self::replaces).
    pub fn forces(&self, object: ObjectOptions, live: Option<ObjectOptions>) -> bool {
        let said = object.force.or(live.and_then(|live| live.force));
        said.unwrap_or(self.force)
    }

    /// Whether a live object that is no longer in Git may be deleted: what the object says counts
    /// more than what the Application says.
    pub fn prune_of(&self, live: ObjectOptions) -> Removal {
        live.prune.unwrap_or(self.prune)
    }

    /// Whether the prune of a live object waits until what was applied is healthy.
    pub fn prunes_last(&self, live: ObjectOptions) -> bool {
        live.prune_last.unwrap_or(self.prune_last)
    }
}

/// `Validate`: what becomes of fields the API server does not know, and of repeated entries of lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validation {
    /// `true`, Argo CD's default: they are left out, as `kubectl apply` does, but for a server-side
    /// apply, which refuses them.
    On,
    /// `false`: they are left out.
    Off,
    /// `strict`, the agent's own: they are an error.
    Strict,
}

/// What one object says in its annotation; `None` leaves it to the Application.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ObjectOptions {
    /// `Validate`.
    pub validate: Option<Validation>,
    /// `SkipDryRunOnMissingResource`.
    pub skip_dry_run_on_missing_resource: Option<bool>,
    /// `PruneLast`.
    pub prune_last: Option<bool>,
    /// `Prune`.
    pub prune: Option<Removal>,
    /// `Delete`.
    pub delete: Option<Removal>,
    /// `Replace`.
    pub replace: Option<bool>,
    /// `Force`.
    pub force: Option<bool>,
    /// `ServerSideApply`.
    pub server_side_apply: Option<bool>,
}

impl ObjectOptions {
    /// The options of an object: its annotation `argocd.argoproj.io/sync-options`.
    pub fn of(object: &Value) -> Self {
        let mut options = Self::default();
        let list = object::annotation(object, annotation::SYNC_OPTIONS).unwrap_or_default();
        for option in list.split(',') {
            let Some(setting) = names::read(option) else {
                continue;
            };
            match setting {
                Setting::Validate(how) => options.validate = Some(how),
                Setting::SkipDryRunOnMissingResource(on) => {
                    options.skip_dry_run_on_missing_resource = Some(on);
                }
                Setting::PruneLast(on) => options.prune_last = Some(on),
                Setting::Replace(on) => options.replace = Some(on),
                Setting::Force(on) => options.force = Some(on),
                Setting::ServerSideApply(on) => options.server_side_apply = Some(on),
                Setting::Prune(removal) => options.prune = options.prune.max(Some(removal)),
                Setting::Delete(removal) => options.delete = options.delete.max(Some(removal)),
                // Options of the Application; `of_object` says so.
                Setting::CreateNamespace(_)
                | Setting::PrunePropagationPolicy(_)
                | Setting::ApplyOutOfSyncOnly(_)
                | Setting::RespectIgnoreDifferences(_)
                | Setting::FailOnSharedResource(_)
                | Setting::ClientSideApplyMigration(_) => {}
            }
        }
        options
    }
}

/// Name and value of an option.
fn split(option: &str) -> Option<(&str, &str)> {
    option.trim().split_once('=')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn app(options: &[&str]) -> AppOptions {
        AppOptions::default().with(&options.iter().map(|o| (*o).to_owned()).collect::<Vec<_>>())
    }

    fn object(options: &str) -> ObjectOptions {
        ObjectOptions::of(
            &json!({"metadata": {"annotations": {"argocd.argoproj.io/sync-options": options}}}),
        )
    }

    #[test]
    fn every_option_of_an_application_is_read() {
        let base = AppOptions::default();
        let table = [
            (
                "Validate=false",
                AppOptions {
                    validate: Some(Validation::Off),
                    ..base
                },
            ),
            (
                "SkipDryRunOnMissingResource=true",
                AppOptions {
                    skip_dry_run_on_missing_resource: true,
                    ..base
                },
            ),
            (
                "CreateNamespace=true",
                AppOptions {
                    create_namespace: true,
                    ..base
                },
            ),
            (
                "PruneLast=true",
                AppOptions {
                    prune_last: true,
                    ..base
                },
            ),
            (
                "Prune=false",
                AppOptions {
                    prune: Removal::Never,
                    ..base
                },
            ),
            (
                "Prune=confirm",
                AppOptions {
                    prune: Removal::Confirmed,
                    ..base
                },
            ),
            (
                "Delete=false",
                AppOptions {
                    delete: Removal::Never,
                    ..base
                },
            ),
            (
                "Delete=confirm",
                AppOptions {
                    delete: Removal::Confirmed,
                    ..base
                },
            ),
            (
                "PrunePropagationPolicy=background",
                AppOptions {
                    propagation: Propagation::Background,
                    ..base
                },
            ),
            (
                "PrunePropagationPolicy=orphan",
                AppOptions {
                    propagation: Propagation::Orphan,
                    ..base
                },
            ),
            ("PrunePropagationPolicy=foreground", base),
            (
                "ApplyOutOfSyncOnly=false",
                AppOptions {
                    apply_out_of_sync_only: false,
                    ..base
                },
            ),
            (
                "RespectIgnoreDifferences=true",
                AppOptions {
                    respect_ignore_differences: true,
                    ..base
                },
            ),
            (
                "Replace=true",
                AppOptions {
                    replace: true,
                    ..base
                },
            ),
            (
                "Force=true",
                AppOptions {
                    force: true,
                    ..base
                },
            ),
            (
                "ServerSideApply=true",
                AppOptions {
                    server_side_apply: true,
                    ..base
                },
            ),
            (
                "FailOnSharedResource=true",
                AppOptions {
                    fail_on_shared_resource: true,
                    ..base
                },
            ),
            (
                "ClientSideApplyMigration=false",
                AppOptions {
                    client_side_apply_migration: false,
                    ..base
                },
            ),
            ("replace=true", base),
            ("Replace=yes", base),
            ("Replace", base),
            ("", base),
        ];
        for (option, expected) in table {
            assert_eq!(app(&[option]), expected, "{option}");
        }
    }

    #[test]
    fn an_operation_goes_over_the_application_and_an_object_over_both() {
        let both = app(&["Replace=true", "CreateNamespace=true", "Prune=false"])
            .with(&["Replace=false".to_owned(), "Prune=confirm".to_owned()]);
        assert!(both.create_namespace && !both.replace);
        assert_eq!(both.prune, Removal::Confirmed);
        assert_eq!(both.prune_of(object("")), Removal::Confirmed);
        assert_eq!(both.prune_of(object("Prune=true")), Removal::Allowed);
        assert_eq!(
            app(&[]).prune_of(object("Prune=confirm, Prune=false,Prune=true")),
            Removal::Never,
            "what protects most counts"
        );
        assert_eq!(app(&["Delete=confirm"]).delete, Removal::Confirmed);

        let replacing = app(&["Replace=true"]);
        assert!(replacing.replaces(object(""), None));
        assert!(!replacing.replaces(object("Replace=false"), None));
        assert!(
            app(&[]).replaces(object(""), Some(object("Replace=true"))),
            "of the live object"
        );
        assert!(app(&[]).forces(object("Replace=true,Force=true"), None));
        for (of_application, of_object, strict) in [
            ("", "", false),
            ("Validate=true", "", false),
            ("Validate=strict", "", true),
            ("Validate=strict", "Validate=false", false),
            ("Validate=false", "Validate=strict", true),
            ("Validate=false", "Validate=true", false),
            ("ServerSideApply=true", "", true),
            ("ServerSideApply=true", "Validate=false", false),
            ("ServerSideApply=true", "ServerSideApply=false", false),
            ("", "ServerSideApply=true", true),
        ] {
            let found = app(&[of_application]).validates(object(of_object));
            assert_eq!(found, strict, "{of_application:?}, {of_object:?}");
        }
        assert!(app(&[]).prunes_last(object("PruneLast=true")));
    }
}
