//! Names of images, and which of two is the newer version.

use std::fmt;

/// Name of an image in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Registry and path.
    pub repository: String,
    /// Tag; without one `latest`.
    pub tag: Option<String>,
    /// Digest.
    pub digest: Option<String>,
}

impl Image {
    /// Takes a name apart.
    pub fn parse(name: &str) -> Self {
        let (name, digest) = match name.split_once('@') {
            Some((name, digest)) => (name, Some(digest.to_owned())),
            None => (name, None),
        };
        // A colon before a slash belongs to the registry's port.
        let (repository, tag) = match name.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag.to_owned())),
            _ => (name, None),
        };
        Self {
            repository: repository.to_owned(),
            tag,
            digest,
        }
    }

    /// Version in the tag: `v1.2.3`.
    pub fn version(&self) -> Option<(u64, u64, u64)> {
        let tag = self.tag.as_deref()?;
        let mut numbers = tag
            .strip_prefix('v')?
            .split(['-', '+'])
            .next()?
            .split('.')
            .map(|number| number.parse().ok());
        let version = (numbers.next()??, numbers.next()??, numbers.next()??);
        numbers.next().is_none().then_some(version)
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// Which image an installation gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The one asked for, or the one of this program's version.
    Use(Image),
    /// The one it has: it comes from elsewhere, such as a mirror.
    Keep(Image),
    /// This program is older than what runs.
    Older {
        /// Image in use.
        current: Image,
        /// Image of this program's version.
        own: Image,
    },
}

/// Decides. `current` is what Git or the cluster has.
pub fn decide(asked: Option<&Image>, current: Option<&Image>, own: &Image) -> Decision {
    match (asked, current) {
        (Some(asked), _) => Decision::Use(asked.clone()),
        (None, None) => Decision::Use(own.clone()),
        (None, Some(current)) if current.repository != own.repository => {
            Decision::Keep(current.clone())
        }
        (None, Some(current)) => match (current.version(), own.version()) {
            (Some(running), Some(new)) if running > new => Decision::Older {
                current: current.clone(),
                own: own.clone(),
            },
            _ => Decision::Use(own.clone()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let table = [
            ("ghcr.io/a/agent:v1.2.3", "ghcr.io/a/agent", Some((1, 2, 3))),
            ("localhost:5000/agent", "localhost:5000/agent", None),
            (
                "localhost:5000/agent:v0.1.0-rc.1",
                "localhost:5000/agent",
                Some((0, 1, 0)),
            ),
            ("agent:v1.2@sha256:ab", "agent", None),
            ("agent", "agent", None),
        ];
        for (name, repository, version) in table {
            let image = Image::parse(name);
            assert_eq!(image.repository, repository, "{name}");
            assert_eq!(image.version(), version, "{name}");
            assert_eq!(image.to_string(), name);
        }
    }

    #[test]
    fn an_image_is_never_replaced_by_an_older_one() {
        let image = Image::parse;
        let own = image("ghcr.io/a/agent:v0.2.0");
        let decided = |asked: Option<&str>, current: Option<&str>| {
            let (asked, current) = (asked.map(image), current.map(image));
            decide(asked.as_ref(), current.as_ref(), &own)
        };
        assert_eq!(decided(None, None), Decision::Use(own.clone()));
        assert_eq!(
            decided(None, Some("ghcr.io/a/agent:v0.1.9")),
            Decision::Use(own.clone())
        );
        assert_eq!(
            decided(None, Some("mirror.example/agent:v0.1.0")),
            Decision::Keep(image("mirror.example/agent:v0.1.0"))
        );
        assert!(matches!(
            decided(None, Some("ghcr.io/a/agent:v0.3.0")),
            Decision::Older { .. }
        ));
        assert_eq!(
            decided(Some("x:v0.0.1"), Some("ghcr.io/a/agent:v0.3.0")),
            Decision::Use(image("x:v0.0.1"))
        );
    }
}
