//! `index.yaml`: the published versions of one chart.
//!
//! Public indexes reach 20 MB and more while one chart of them is wanted. So the lines of that one
//! chart are cut out first and only they are parsed: of an index of 24 MB (300 charts with 150
//! versions each) that takes 0.1 s instead of 2.1 s, in a debug build. The cut relies on the layout
//! every tool writes (block style, keys of `entries` at one indentation); whenever it does not fit,
//! or the piece does not parse, the whole document is parsed instead, still keeping only the wanted
//! chart.
//!
//! Never resolves ranges and never follows URLs.

use serde::Deserialize;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};

/// One published version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublishedVersion {
    pub(crate) version: String,
    /// Where the archive is, absolute or relative to the repository.
    pub(crate) urls: Vec<String>,
    /// SHA-256 of the archive, lower-case hexadecimal; `None` when the index has none.
    pub(crate) digest: Option<String>,
}

/// What an index says about one chart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Listing {
    /// Its versions, as listed.
    Versions(Vec<PublishedVersion>),
    /// It is not there; these names look alike.
    NoSuchChart { similar: Vec<String> },
}

/// Most versions of one chart, and most names of other charts that are looked through for a
/// misspelt one.
const MAX_VERSIONS: usize = 20_000;
const MAX_OTHERS: usize = 20_000;
/// Longest list of look-alikes.
const MAX_SIMILAR: usize = 5;
/// Longest name that is compared with others.
const MAX_COMPARED_NAME: usize = 64;

/// Reads the versions of `chart`; the error says where the document is malformed.
pub(crate) fn listing(index: &str, chart: &str) -> Result<Listing, String> {
    if let Some(piece) = lines_of(index, chart)
        && let Ok(Found {
            versions: Some(versions),
            ..
        }) = parse_yaml(piece, Place::Entries(chart))
    {
        return Ok(Listing::Versions(versions));
    }
    let found = if index.trim_start().starts_with('{') {
        let mut deserializer = serde_json::Deserializer::from_str(index);
        Place::Document(chart)
            .deserialize(&mut deserializer)
            .map_err(|e| e.to_string())?
    } else {
        parse_yaml(index, Place::Document(chart))?
    };
    Ok(match found.versions {
        Some(versions) => Listing::Versions(versions),
        None => Listing::NoSuchChart {
            similar: similar(found.others, chart),
        },
    })
}

/// The lines `chart:` and below of a block-style index.
fn lines_of<'a>(index: &'a str, chart: &str) -> Option<&'a str> {
    let mut lines = Lines { text: index, at: 0 };
    loop {
        let (_, line) = lines.next()?;
        if line
            .strip_prefix("entries:")
            .is_some_and(|rest| rest.trim().is_empty())
        {
            break;
        }
    }
    let mut indentation = None;
    let mut start = None;
    for (at, line) in lines {
        let content = line.trim_start_matches(' ');
        if content.trim().is_empty() || content.starts_with('#') {
            continue;
        }
        let depth = line.len() - content.len();
        let keys_at = *indentation.get_or_insert(depth);
        if depth > keys_at || depth == keys_at && content.starts_with('-') {
            continue;
        }
        if let Some(start) = start {
            return index.get(start..at);
        }
        if depth < keys_at || depth == 0 {
            return None;
        }
        let (key, rest) = content.trim_end().split_once(':')?;
        if rest.trim().is_empty() && key.trim_matches(['"', '\'']) == chart {
            start = Some(at);
        }
    }
    start.and_then(|start| index.get(start..))
}

/// Lines with the byte they start at.
struct Lines<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Iterator for Lines<'a> {
    type Item = (usize, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.text.get(self.at..).filter(|rest| !rest.is_empty())?;
        let line = rest.split_inclusive('\n').next()?;
        let at = self.at;
        self.at += line.len();
        Some((at, line))
    }
}

fn parse_yaml(text: &str, place: Place<'_>) -> Result<Found, String> {
    // An index is data about many charts, not a configuration file: the default budget refuses the
    // larger public ones. The download limit bounds the text, and each node costs text; aliases,
    // the one way a small text becomes large, are not used by any tool that writes an index.
    let options = serde_saphyr::options! {
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins,
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_events: 40_000_000,
            max_nodes: 20_000_000,
            max_total_scalar_bytes: 256 << 20,
            max_total_comment_bytes: 256 << 20,
            max_aliases: 1_000,
            max_anchors: 1_000,
        },
    };
    serde_saphyr::with_deserializer_from_str_with_options(text, options, |deserializer| {
        place.deserialize(deserializer)
    })
    .map_err(|error| error.to_string())
}

/// Where in the document the deserializer stands, and the chart that is wanted.
#[derive(Clone, Copy)]
enum Place<'a> {
    Document(&'a str),
    Entries(&'a str),
}

#[derive(Default)]
struct Found {
    versions: Option<Vec<PublishedVersion>>,
    others: Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Place<'_> {
    type Value = Found;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Found, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Place<'_> {
    type Value = Found;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Document(_) => "an index of charts (apiVersion, entries)",
            Self::Entries(_) => "charts with their versions",
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found, A::Error> {
        let mut found = Found::default();
        let mut entries_seen = false;
        while let Some(key) = map.next_key::<String>()? {
            match self {
                Self::Document(chart) if key == "entries" => {
                    entries_seen = true;
                    found = map.next_value_seed(Place::Entries(chart))?;
                }
                Self::Entries(chart) if key == chart => {
                    let listed: Option<Vec<Listed>> = map.next_value()?;
                    let listed = listed.unwrap_or_default();
                    if listed.len() > MAX_VERSIONS {
                        return Err(serde::de::Error::custom(format!(
                            "it lists more than {MAX_VERSIONS} versions of the chart"
                        )));
                    }
                    found.versions =
                        Some(listed.into_iter().filter_map(Listed::published).collect());
                }
                Self::Document(_) | Self::Entries(_) => {
                    map.next_value::<IgnoredAny>()?;
                    if matches!(self, Self::Entries(_)) && found.others.len() < MAX_OTHERS {
                        found.others.push(key);
                    }
                }
            }
        }
        if matches!(self, Self::Document(_)) && !entries_seen {
            return Err(serde::de::Error::missing_field("entries"));
        }
        Ok(found)
    }

    /// `entries:` with nothing below it: a repository without charts.
    fn visit_unit<E: serde::de::Error>(self) -> Result<Found, E> {
        match self {
            Self::Entries(_) => Ok(Found::default()),
            Self::Document(_) => Err(E::custom("the document is empty")),
        }
    }
}

/// A version as it is written in an index; what else is there is passed over.
#[derive(Deserialize)]
struct Listed {
    version: Option<String>,
    urls: Option<Vec<String>>,
    digest: Option<String>,
    #[serde(default)]
    removed: bool,
}

impl Listed {
    fn published(self) -> Option<PublishedVersion> {
        let version = self
            .version
            .filter(|version| !version.is_empty() && !self.removed)?;
        let digest = self.digest.map(|digest| {
            digest
                .strip_prefix("sha256:")
                .unwrap_or(&digest)
                .to_ascii_lowercase()
        });
        Some(PublishedVersion {
            version,
            urls: self.urls.unwrap_or_default(),
            digest: digest.filter(|digest| !digest.is_empty()),
        })
    }
}

/// Names one to three edits away, or containing the wanted one, nearest first.
fn similar(names: Vec<String>, wanted: &str) -> Vec<String> {
    let mut near: Vec<(usize, String)> = names
        .into_iter()
        .filter(|name| name.len() <= MAX_COMPARED_NAME && wanted.len() <= MAX_COMPARED_NAME)
        .filter_map(|name| {
            let distance = edits(&name, wanted);
            let near = distance <= 3 && distance < wanted.len()
                || !wanted.is_empty() && (name.contains(wanted) || wanted.contains(&name));
            near.then_some((distance, name))
        })
        .collect();
    near.sort();
    near.truncate(MAX_SIMILAR);
    near.into_iter().map(|(_, name)| name).collect()
}

/// Levenshtein distance in bytes.
fn edits(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.bytes().enumerate() {
        let mut diagonal = i;
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
        let mut before = i + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(right.bytes()) {
            let cost = (diagonal + usize::from(a != b))
                .min(*cell + 1)
                .min(before + 1);
            diagonal = *cell;
            *cell = cost;
            before = cost;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "\
apiVersion: v1
entries:
  api:
  - apiVersion: v2
    description: |-
      entries:
        web: not this one
    version: 0.1.0
    urls: [api-0.1.0.tgz]
  \"web\":
  - apiVersion: v2
    created: 2024-01-01T00:00:00Z
    digest: ABCD
    urls:
    - https://cdn.example.com/web-1.10.0.tgz
    version: 1.10.0
  # older
  - version: \"1.9\"
    digest: sha256:00ff
    urls: null
  - removed: true
    version: 1.8.0
  - description: no version
  worker:
    - version: 2.0.0
generated: 2024-01-01T00:00:00Z
";

    fn versions(index: &str, chart: &str) -> Vec<String> {
        match listing(index, chart).unwrap() {
            Listing::Versions(versions) => versions.into_iter().map(|v| v.version).collect(),
            Listing::NoSuchChart { similar } => panic!("not found, similar {similar:?}"),
        }
    }

    #[test]
    fn one_chart_is_read() {
        assert_eq!(versions(INDEX, "api"), ["0.1.0"]);
        assert_eq!(versions(INDEX, "web"), ["1.10.0", "1.9"]);
        assert_eq!(versions(INDEX, "worker"), ["2.0.0"]);
        let Listing::Versions(web) = listing(INDEX, "web").unwrap() else {
            panic!("not found")
        };
        assert_eq!(web[0].digest.as_deref(), Some("abcd"));
        assert_eq!(web[0].urls, ["https://cdn.example.com/web-1.10.0.tgz"]);
        assert_eq!(
            (web[1].digest.as_deref(), web[1].urls.len()),
            (Some("00ff"), 0)
        );
    }

    #[test]
    fn the_cut_and_the_whole_parse_agree() {
        for chart in ["api", "web", "worker"] {
            let piece = lines_of(INDEX, chart).unwrap();
            assert!(
                !piece.contains("generated") && piece.contains(chart),
                "{piece}"
            );
            let cut = parse_yaml(piece, Place::Entries(chart)).unwrap().versions;
            let whole = parse_yaml(INDEX, Place::Document(chart)).unwrap().versions;
            assert_eq!(cut, whole, "{chart}");
        }
    }

    #[test]
    fn other_layouts() {
        let cases = [
            r#"{"apiVersion":"v1","entries":{"a":[],"web":[{"version":"1.0.0","urls":["x"]}]}}"#,
            "entries: {web: [{version: 1.0.0}]}",
            "entries:\n    a:\n    - version: 1.0.0\n    web:\n    - version: 1.0.0\n",
            "x: &v [{version: 1.0.0}]\nentries:\n  web: *v\n",
            "x: &v\n- version: 1.0.0\nentries:\n  web: *v\n  a:\n  - version: 3.0.0\n",
            "---\r\nentries:\r\n  web:\r\n  - version: 1.0.0\r\n",
        ];
        for index in cases {
            assert_eq!(versions(index, "web"), ["1.0.0"], "{index}");
        }
        assert!(versions("entries:\n  web:\n", "web").is_empty());
    }

    #[test]
    fn missing_charts_name_what_looks_alike() {
        let not_found = |names: &[&str]| Listing::NoSuchChart {
            similar: names.iter().map(|n| (*n).to_owned()).collect(),
        };
        assert_eq!(listing(INDEX, "wbe"), Ok(not_found(&["web"])));
        assert_eq!(listing(INDEX, "web-app"), Ok(not_found(&["web"])));
        assert_eq!(listing(INDEX, "prometheus"), Ok(not_found(&[])));
        assert_eq!(listing("entries:\n", "web"), Ok(not_found(&[])));
    }

    #[test]
    fn what_is_not_an_index_is_refused() {
        for text in [
            "",
            "<!DOCTYPE html><html></html>",
            "apiVersion: v1",
            "entries: [1]",
            "{",
            "a: [",
        ] {
            assert!(listing(text, "web").is_err(), "{text}");
        }
    }
}
