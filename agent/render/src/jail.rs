//! What a worker says it has given up. Decides nothing; the layers are those of agent/renderer/jail.

/// What confines a worker besides its limits: for each layer `on`, or why it is not in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jail {
    /// No files and no TCP (Landlock).
    pub landlock: String,
    /// No system calls but those of the Go runtime (seccomp).
    pub seccomp: String,
}

impl Jail {
    /// Each layer by the name users know, and whether it is in force.
    pub fn layers(&self) -> [(&'static str, bool); 2] {
        [
            ("landlock", self.landlock == "on"),
            ("seccomp", self.seccomp == "on"),
        ]
    }

    /// What is not in force and why, such as `no Landlock (this kernel has none)`.
    pub fn missing(&self) -> Option<String> {
        let missing: Vec<String> = [("Landlock", &self.landlock), ("seccomp", &self.seccomp)]
            .iter()
            .filter(|(_, state)| *state != "on")
            .map(|(name, state)| format!("no {name} ({state})"))
            .collect();
        (!missing.is_empty()).then(|| missing.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_its_reason() {
        let jail = |landlock: &str, seccomp: &str| Jail {
            landlock: landlock.to_owned(),
            seccomp: seccomp.to_owned(),
        };
        assert_eq!(jail("on", "on").missing(), None);
        let partial = jail("this kernel has none", "on");
        assert_eq!(
            partial.missing().as_deref(),
            Some("no Landlock (this kernel has none)")
        );
        assert_eq!(partial.layers(), [("landlock", false), ("seccomp", true)]);
        assert_eq!(
            jail("a", "b").missing().as_deref(),
            Some("no Landlock (a), no seccomp (b)")
        );
    }
}
