//! One comparison from manifests to verdicts: what reconciling, a Preview and `diff --local` share.
//!
//! Decides which of the rendered manifests are desired under the settings of the installation,
//! which of their differences are ignored, and what is said about them besides. Renders nothing and
//! asks nobody: manifests, settings and the kinds of the cluster are parameters.

use std::sync::Arc;

use gitops_api::Application;
use gitops_api::constants::annotation;
use gitops_api::sync_policy::ResourceIgnoreDifferences;

use crate::listing;
use crate::live::discovery::ServedKinds;
use crate::manifest::desired::{Context, DesiredSet, InvalidManifest, Manifest};
use crate::manifest::digest::DigestKey;
use crate::manifest::object::{GroupVersionKind, ObjectKey};
use crate::manifest::options::AppOptions;
use crate::manifest::{desired, tracking};
use crate::mask::Mask;
use crate::report::status::identity;
use crate::settings::Settings;
use crate::settings::ignore::IgnoreRules;

/// What goes into the desired state of an application besides its manifests.
#[derive(Clone, Copy, Debug)]
pub struct Pipeline<'a> {
    /// The Application.
    pub application: &'a Application,
    /// Namespace of the agent.
    pub controller_namespace: &'a str,
    /// argocd-cm, as far as it is followed.
    pub settings: &'a Settings,
    /// What the destination serves.
    pub kinds: &'a ServedKinds,
    /// Key of the installation's digests; `None` where only the agent has it.
    pub digest_key: Option<&'a DigestKey>,
}

impl Pipeline<'_> {
    /// Instance name the application's objects are tracked by.
    pub fn instance(&self) -> String {
        let metadata = &self.application.metadata;
        tracking::instance_name(
            metadata.namespace.as_deref().unwrap_or_default(),
            metadata.name.as_deref().unwrap_or_default(),
            self.controller_namespace,
        )
    }

    /// The desired state under the rules about what to ignore, and what of those rules cannot be
    /// used.
    ///
    /// # Errors
    /// Every manifest that is no Kubernetes object.
    pub fn desired(
        &self,
        manifests: Vec<Manifest>,
    ) -> Result<(DesiredSet, Vec<String>), Vec<InvalidManifest>> {
        let rules = RuleSource::of(self.application, self.settings);
        Ok(rules.apply(self.prepare(manifests)?))
    }

    /// The desired state before any rule about what to ignore: kinds that are left alone are taken
    /// out, the rest is completed and marked, the destination namespace is added where the
    /// Application gives it metadata.
    ///
    /// # Errors
    /// Every manifest that is no Kubernetes object.
    pub fn prepare(
        &self,
        mut manifests: Vec<Manifest>,
    ) -> Result<DesiredSet, Vec<InvalidManifest>> {
        let spec = &self.application.spec;
        let instance = self.instance();
        let excluded = take_excluded(&mut manifests, self.settings);
        let context = Context {
            instance: &instance,
            destination_namespace: &spec.destination.namespace,
            managed_by: self.controller_namespace,
            tracking: Some(&self.settings.tracking),
        };
        let mut set = desired::prepare_keyed(manifests, context, self.digest_key, |kind| {
            self.kinds.scope(kind)
        })?;
        set.excluded = excluded;
        let metadata = spec
            .sync_policy
            .as_ref()
            .filter(|policy| AppOptions::of(Some(policy)).create_namespace)
            .and_then(|policy| policy.managed_namespace_metadata.as_ref());
        if let Some(metadata) = metadata {
            let namespace = desired::managed_namespace(
                &spec.destination.namespace,
                &metadata.labels,
                &metadata.annotations,
                context,
                self.digest_key,
            );
            // A Namespace among the manifests takes precedence over the option.
            set.objects
                .entry(namespace.key.clone())
                .or_insert_with(|| Arc::new(namespace));
        }
        Ok(set)
    }
}

/// Why manifests cannot be used, in one line.
pub fn describe(problems: &[InvalidManifest]) -> String {
    listing::shortened(problems, 5, "; ")
}

/// Settings of objects that nobody can read, at most a few: a mistake in a template makes many
/// alike.
pub fn unreadable_settings(set: &DesiredSet) -> Vec<String> {
    const SHOWN: usize = 10;
    let mut texts: Vec<String> = set.warnings.iter().take(SHOWN).cloned().collect();
    let more = set.warnings.len().saturating_sub(SHOWN);
    if more > 0 {
        texts.push(format!(
            "and {more} more settings of objects cannot be read"
        ));
    }
    texts
}

/// What there is to say about a desired state besides its objects.
pub fn notes(set: &DesiredSet) -> impl Iterator<Item = String> {
    let unreadable = unreadable_settings(set);
    let said = set.repeated.iter().chain(&set.excluded).cloned();
    said.chain(unreadable)
}

/// Whether another Application may still want an object, as far as its status tells: what it does
/// not list it has given up, and as long as it lists nothing it may want all it has.
pub fn may_want(application: &Application, key: &ObjectKey) -> bool {
    let resources = application.status.as_ref().map(|status| &status.resources);
    resources
        .filter(|resources| !resources.is_empty())
        .is_none_or(|resources| {
            resources
                .iter()
                .any(|resource| !resource.requires_pruning && identity(resource).1 == *key)
        })
}

/// Takes out the manifests of kinds that are left alone, and says which they are.
fn take_excluded(manifests: &mut Vec<Manifest>, settings: &Settings) -> Vec<String> {
    let mut excluded = Vec::new();
    manifests.retain(|manifest| {
        let Some(gvk) = GroupVersionKind::of(&manifest.value) else {
            return true;
        };
        let is_excluded = settings.excludes(&gvk.group, &gvk.kind);
        if is_excluded {
            let name = ObjectKey::of(&manifest.value)
                .map_or_else(|| gvk.to_string(), |key| key.to_string());
            excluded.push(format!(
                "{name} ({}) is left alone: resource.exclusions or resource.inclusions of \
                 argocd-cm, or the agent itself, leave out its kind",
                manifest.origin
            ));
        }
        !is_excluded
    });
    excluded
}

/// What the rules about ignored differences of an application are made from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuleSource {
    /// `spec.ignoreDifferences`.
    pub application: Vec<ResourceIgnoreDifferences>,
    /// The rules of the installation.
    pub installation: Vec<ResourceIgnoreDifferences>,
    /// `compare-options: IncludeMutationWebhook=true` on the Application.
    pub include_mutations: bool,
    /// What is hidden wherever an object is displayed.
    pub mask: Mask,
}

impl RuleSource {
    /// What an Application and the installation say.
    pub fn of(application: &Application, settings: &Settings) -> Self {
        let annotations = application.metadata.annotations.as_ref();
        let options = annotations.and_then(|all| all.get(annotation::COMPARE_OPTIONS));
        Self {
            application: application.spec.ignore_differences.clone(),
            installation: settings.ignore_differences.clone(),
            include_mutations: options.is_some_and(|options| {
                options
                    .split(',')
                    .any(|option| option.trim() == "IncludeMutationWebhook=true")
            }),
            mask: settings.mask.clone(),
        }
    }

    /// Whether nothing is ignored, and nothing hidden that the installation names.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The same objects under these rules, and what of the application's rules cannot be used; what
    /// of the installation's cannot was said when they were read.
    pub fn apply(&self, set: DesiredSet) -> (DesiredSet, Vec<String>) {
        if self.is_empty() {
            return (set, Vec::new());
        }
        let (mut rules, problems) =
            IgnoreRules::compile(&self.application, "spec.ignoreDifferences");
        let (others, _) = IgnoreRules::compile(&self.installation, "argocd-cm");
        rules.extend(others);
        rules.include_mutations = self.include_mutations;
        (set.ignoring(&rules).masked_by(&self.mask), problems)
    }
}
