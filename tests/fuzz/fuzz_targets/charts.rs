//! What a chart server sends: an index, and an archive with the same bytes as its entries.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

pub(crate) const WORDS: &[&str] = &[
    "apiVersion: v1\n",
    "entries:\n",
    "  web:\n",
    "  - version: 1.0.0\n",
    "    urls: [a.tgz]\n",
    "    digest: ab\n",
    "&a ",
    "*a",
    "<<: ",
    "{",
    "}",
    "[",
    "]",
    "'",
    "\"",
    "|-\n",
    "\t",
    "---\n",
    "ustar\0",
    "\0\0\0\0\0\0\0\0",
    "../",
    "chart/Chart.yaml",
    "0000644",
];

pub(crate) fn run(data: &[u8]) {
    gitops_charts::fuzz::index(&String::from_utf8_lossy(data), "web");
    // As they are, and as what a gzipped archive holds: few mutations survive the compression.
    gitops_charts::fuzz::archive(data);
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    if packed.write_all(data).is_ok()
        && let Ok(packed) = packed.finish()
    {
        gitops_charts::fuzz::archive(&packed);
    }
}
