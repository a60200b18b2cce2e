//! How every type of the API reads and writes: the two macros behind the type definitions, and
//! the serde functions they name. Decides nothing about what fields mean.

use schemars::Schema;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Reads a value and takes `null` for the type's empty value, as Go's decoder does.
pub(crate) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// What Go's `omitempty` leaves out.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Marks properties as required in a generated schema. Reading stays lenient: one bad object must
/// not make a whole list unreadable.
pub(crate) fn require(schema: &mut Schema, names: &[&str]) {
    if !names.is_empty() {
        schema.insert(
            "required".into(),
            names.iter().copied().map(Value::from).collect(),
        );
    }
}

/// Defines a type of the API.
///
/// `required` fields are always written and required by the schema; `always` fields are always
/// written (the tools that read them expect them); `optional` fields are left out when empty.
/// Reading accepts a missing field and `null` everywhere. Unless the type is marked `closed`,
/// fields it does not know are kept in `extra`.
macro_rules! api_struct {
    (
        $(#[$meta:meta])*
        closed pub struct $name:ident {
            $(required { $($(#[$rmeta:meta])* $rwire:literal => $rfield:ident: $rtype:ty,)* })?
            $(always { $($(#[$ameta:meta])* $awire:literal => $afield:ident: $atype:ty,)* })?
            $(optional { $($(#[$ometa:meta])* $ofield:ident: $otype:ty,)* })?
        }
    ) => {
        $(#[$meta])*
        #[derive(
            Clone, Debug, Default, PartialEq,
            serde::Serialize, serde::Deserialize, schemars::JsonSchema,
        )]
        #[serde(rename_all = "camelCase", default)]
        #[schemars(transform = $name::mark_required)]
        pub struct $name {
            $($(
                $(#[$rmeta])*
                #[serde(
                    rename = $rwire,
                    deserialize_with = "crate::shape::null_is_default"
                )]
                pub $rfield: $rtype,
            )*)?
            $($(
                $(#[$ameta])*
                #[serde(
                    rename = $awire,
                    deserialize_with = "crate::shape::null_is_default"
                )]
                pub $afield: $atype,
            )*)?
            $($(
                $(#[$ometa])*
                #[serde(
                    deserialize_with = "crate::shape::null_is_default",
                    skip_serializing_if = "crate::shape::is_default"
                )]
                pub $ofield: $otype,
            )*)?
        }

        impl $name {
            fn mark_required(schema: &mut schemars::Schema) {
                crate::shape::require(schema, &[$($($rwire),*)?]);
            }
        }
    };
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $(required { $($(#[$rmeta:meta])* $rwire:literal => $rfield:ident: $rtype:ty,)* })?
            $(always { $($(#[$ameta:meta])* $awire:literal => $afield:ident: $atype:ty,)* })?
            $(optional { $($(#[$ometa:meta])* $ofield:ident: $otype:ty,)* })?
        }
    ) => {
        api_struct! {
            $(#[$meta])*
            closed pub struct $name {
                $(required { $($(#[$rmeta])* $rwire => $rfield: $rtype,)* })?
                $(always { $($(#[$ameta])* $awire => $afield: $atype,)* })?
                optional {
                    $($($(#[$ometa])* $ofield: $otype,)*)?
                    /// Fields this version does not know, kept as they are.
                    #[serde(flatten)]
                    #[schemars(skip)]
                    extra: crate::Extra,
                }
            }
        }
    };
}

/// Makes a struct a Kubernetes resource: `apiVersion` and `kind` are written, and checked when
/// read if they are there; the traits of k8s-openapi make it a resource for kube too.
///
/// The struct's fields besides `metadata` must implement `Default`.
macro_rules! api_resource {
    (
        $(#[$meta:meta])*
        pub struct $name:ident, $kind:literal, $plural:literal { $($fields:tt)* }
    ) => {
        api_resource! {
            in "argoproj.io", "v1alpha1";
            $(#[$meta])*
            pub struct $name, $kind, $plural { $($fields)* }
        }
    };
    (
        in $group:literal, $version:literal;
        $(#[$meta:meta])*
        pub struct $name:ident, $kind:literal, $plural:literal {
            $($(#[$fmeta:meta])* $wire:literal => $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $name {
            /// Name, namespace, labels, annotations and the rest every object has.
            pub metadata: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
            $($(#[$fmeta])* pub $field: $type,)*
        }

        impl k8s_openapi::Resource for $name {
            const API_VERSION: &'static str = concat!($group, "/", $version);
            const GROUP: &'static str = $group;
            const KIND: &'static str = $kind;
            const VERSION: &'static str = $version;
            const URL_PATH_SEGMENT: &'static str = $plural;
            type Scope = k8s_openapi::NamespaceResourceScope;
        }

        impl k8s_openapi::ListableResource for $name {
            const LIST_KIND: &'static str = concat!($kind, "List");
        }

        impl k8s_openapi::Metadata for $name {
            type Ty = k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

            fn metadata(&self) -> &Self::Ty {
                &self.metadata
            }

            fn metadata_mut(&mut self) -> &mut Self::Ty {
                &mut self.metadata
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap;
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("apiVersion", <Self as k8s_openapi::Resource>::API_VERSION)?;
                map.serialize_entry("kind", <Self as k8s_openapi::Resource>::KIND)?;
                map.serialize_entry("metadata", &self.metadata)?;
                $(
                    if crate::shape::is_written($wire, &self.$field) {
                        map.serialize_entry($wire, &self.$field)?;
                    }
                )*
                map.end()
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                #[derive(serde::Deserialize)]
                #[serde(default)]
                struct Wire {
                    #[serde(rename = "apiVersion")]
                    api_version: Option<String>,
                    kind: Option<String>,
                    metadata: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
                    $(
                        #[serde(
                            rename = $wire,
                            deserialize_with = "crate::shape::null_is_default"
                        )]
                        $field: $type,
                    )*
                }
                impl Default for Wire {
                    fn default() -> Self {
                        Self {
                            api_version: None,
                            kind: None,
                            metadata: Default::default(),
                            $($field: Default::default(),)*
                        }
                    }
                }
                let wire = <Wire as serde::Deserialize>::deserialize(deserializer)?;
                crate::shape::check_type::<Self, D::Error>(
                    wire.api_version.as_deref(),
                    wire.kind.as_deref(),
                )?;
                Ok(Self { metadata: wire.metadata, $($field: wire.$field,)* })
            }
        }
    };
}

/// `spec` is always written; everything else only when it says something.
pub(crate) fn is_written<T: Default + PartialEq>(name: &str, value: &T) -> bool {
    name == "spec" || !is_default(value)
}

/// Refuses an object that says it is something else than `R`.
pub(crate) fn check_type<R: k8s_openapi::Resource, E: serde::de::Error>(
    api_version: Option<&str>,
    kind: Option<&str>,
) -> Result<(), E> {
    for (name, found, wanted) in [
        ("apiVersion", api_version, R::API_VERSION),
        ("kind", kind, R::KIND),
    ] {
        if let Some(found) = found
            && found != wanted
        {
            return Err(E::custom(format!(
                "{name} is {found:?}, expected {wanted:?}"
            )));
        }
    }
    Ok(())
}
