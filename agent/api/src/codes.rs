//! The states the API speaks of: sync, health, operation phase, results, hooks.
//!
//! Reading never fails: a value of a newer version, or an empty one, is `Unknown`.

macro_rules! codes {
    (
        $(#[$meta:meta])*
        pub enum $name:ident { $($(#[$vmeta:meta])* $variant:ident,)* }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$vmeta])* $variant,)*
            /// Not known, not yet known, or a value this version does not know.
            #[default]
            Unknown,
        }

        impl $name {
            /// The value as the API spells it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($variant),)*
                    Self::Unknown => "Unknown",
                }
            }
        }

        impl From<&str> for $name {
            fn from(value: &str) -> Self {
                match value {
                    $(stringify!($variant) => Self::$variant,)*
                    _ => Self::Unknown,
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let value = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                Ok(Self::from(value.as_ref()))
            }
        }

        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string" })
            }
        }
    };
}

codes! {
    /// Whether the live objects are what Git says.
    pub enum SyncStatusCode {
        /// Live equals desired.
        Synced,
        /// Live differs from desired.
        OutOfSync,
    }
}

codes! {
    /// Health of an object or of an application.
    pub enum HealthStatusCode {
        /// Does what it should.
        Healthy,
        /// Paused on purpose.
        Suspended,
        /// Not there yet, and may still get there.
        Progressing,
        /// Not in the cluster.
        Missing,
        /// Failed, or will not get there by itself.
        Degraded,
    }
}

impl HealthStatusCode {
    /// Position from best (Healthy, 0) to worst (Unknown, 5), Argo CD's order: an application is
    /// as healthy as the worst of its objects.
    pub const fn severity(self) -> u8 {
        match self {
            Self::Healthy => 0,
            Self::Suspended => 1,
            Self::Progressing => 2,
            Self::Missing => 3,
            Self::Degraded => 4,
            Self::Unknown => 5,
        }
    }
}

codes! {
    /// Where an operation stands. A retry to come is `Running` with `finishedAt` set.
    pub enum OperationPhase {
        /// Under way, or waiting for its next attempt.
        Running,
        /// Asked to stop.
        Terminating,
        /// Ended: something was refused or did not become healthy.
        Failed,
        /// Ended: could not be carried out.
        Error,
        /// Ended well.
        Succeeded,
    }
}

impl OperationPhase {
    /// Whether the operation has ended.
    pub const fn is_completed(self) -> bool {
        matches!(self, Self::Failed | Self::Error | Self::Succeeded)
    }

    /// Whether the operation has ended well.
    pub const fn is_successful(self) -> bool {
        matches!(self, Self::Succeeded)
    }
}

codes! {
    /// What a sync did with one object.
    pub enum ResultCode {
        /// Applied.
        Synced,
        /// Could not be applied or pruned.
        SyncFailed,
        /// Deleted, because it is no longer in Git.
        Pruned,
        /// Not deleted, although it is no longer in Git.
        PruneSkipped,
    }
}

codes! {
    /// When a hook runs.
    pub enum HookType {
        /// Before the sync.
        PreSync,
        /// With the sync.
        Sync,
        /// After the sync, when everything is healthy.
        PostSync,
        /// After a sync that failed.
        SyncFail,
        /// Never applied.
        Skip,
        /// Before the application's objects are deleted.
        PreDelete,
        /// After the application's objects are deleted.
        PostDelete,
    }
}

codes! {
    /// Phase of a sync an object belongs to.
    pub enum SyncPhase {
        /// Before the sync.
        PreSync,
        /// The sync itself.
        Sync,
        /// After the sync.
        PostSync,
        /// After a sync that failed.
        SyncFail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_other_versions_read_as_unknown() {
        let read = |json: &str| serde_json::from_str::<SyncStatusCode>(json).unwrap();
        assert_eq!(read("\"OutOfSync\""), SyncStatusCode::OutOfSync);
        assert_eq!(read("\"Sync\\u0065d\""), SyncStatusCode::Synced);
        assert_eq!(read("\"\""), SyncStatusCode::Unknown);
        assert_eq!(read("\"SomethingNew\""), SyncStatusCode::Unknown);
        assert_eq!(
            serde_json::to_string(&OperationPhase::Error).unwrap(),
            "\"Error\""
        );
    }

    #[test]
    fn severity_orders_as_argo_cd_does() {
        let order = [
            "Healthy",
            "Suspended",
            "Progressing",
            "Missing",
            "Degraded",
            "Unknown",
        ];
        let severities: Vec<u8> = order
            .iter()
            .map(|name| HealthStatusCode::from(*name).severity())
            .collect();
        assert_eq!(severities, [0, 1, 2, 3, 4, 5]);
    }
}
