//! Archives: regular files at the top, sorted, without times and owners, so that the same content
//! gives the same bytes. krew takes nothing else: it refuses links. Reads and writes no file.

use std::io::{Cursor, Write as _};
use std::path::Path;

use anyhow::{Context, Result};
use flate2::{Compression, GzBuilder};
use sha2::{Digest as _, Sha256};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

/// 1 January 1980, the earliest that both formats can say.
const TIME: u64 = 315_532_800;

/// A file of an archive.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Its name; there are no folders.
    pub(crate) name: String,
    /// What it holds.
    pub(crate) content: Vec<u8>,
    /// Whether it can be run.
    pub(crate) program: bool,
}

impl Entry {
    fn mode(&self) -> u32 {
        if self.program { 0o755 } else { 0o644 }
    }
}

/// A `.zip` if that is what the name says, else a `.tar.gz`.
pub(crate) fn write(name: &str, mut entries: Vec<Entry>) -> Result<Vec<u8>> {
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    if Path::new(name)
        .extension()
        .is_some_and(|form| form == "zip")
    {
        zip(&entries)
    } else {
        tar_gz(&entries)
    }
    .with_context(|| format!("cannot pack {name}"))
}

fn tar_gz(entries: &[Entry]) -> Result<Vec<u8>> {
    let gzip = GzBuilder::new()
        .mtime(0)
        .write(Vec::new(), Compression::best());
    let mut archive = tar::Builder::new(gzip);
    for entry in entries {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_mode(entry.mode());
        header.set_mtime(TIME);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(entry.content.len() as u64);
        archive.append_data(&mut header, &entry.name, entry.content.as_slice())?;
    }
    Ok(archive.into_inner()?.finish()?)
}

fn zip(entries: &[Entry]) -> Result<Vec<u8>> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for entry in entries {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .compression_level(Some(9))
            .last_modified_time(DateTime::DEFAULT)
            .unix_permissions(entry.mode());
        archive.start_file(&entry.name, options)?;
        archive.write_all(&entry.content)?;
    }
    Ok(archive.finish()?.into_inner())
}

/// SHA-256, as 64 lower-case hexadecimal digits.
pub(crate) fn sha256(content: &[u8]) -> String {
    hex::encode(Sha256::digest(content))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn entries() -> Vec<Entry> {
        let entry = |name: &str, content: &str, program| Entry {
            name: name.to_owned(),
            content: content.into(),
            program,
        };
        vec![
            entry("kubectl-gitops", "program", true),
            entry("LICENSE", "free", false),
        ]
    }

    #[test]
    fn a_tar_has_files_in_order_and_is_always_the_same() {
        let bytes = write("a.tar.gz", entries()).unwrap();
        let mut turned = entries();
        turned.reverse();
        assert_eq!(bytes, write("a.tar.gz", turned).unwrap());
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice()));
        let mut found = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            let header = entry.header();
            assert_eq!(header.entry_type(), tar::EntryType::Regular);
            assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
            assert_eq!(header.mtime().unwrap(), TIME);
            let path = entry.path().unwrap().display().to_string();
            found.push((path, header.mode().unwrap(), text));
        }
        assert_eq!(
            found,
            [
                ("LICENSE".to_owned(), 0o644, "free".to_owned()),
                ("kubectl-gitops".to_owned(), 0o755, "program".to_owned()),
            ]
        );
    }

    #[test]
    fn a_zip_has_files_in_order_and_is_always_the_same() {
        let bytes = write("a.zip", entries()).unwrap();
        let mut turned = entries();
        turned.reverse();
        assert_eq!(bytes, write("a.zip", turned).unwrap());
        let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
        let names: Vec<_> = archive.file_names().map(Result::unwrap).collect();
        assert_eq!(names, ["LICENSE", "kubectl-gitops"]);
        let mut program = archive.by_name("kubectl-gitops").unwrap();
        assert!(program.is_file());
        assert_eq!(program.unix_mode().map(|mode| mode & 0o777), Some(0o755));
        let mut text = String::new();
        program.read_to_string(&mut text).unwrap();
        assert_eq!(text, "program");
    }

    #[test]
    fn sums_are_those_of_sha256sum() {
        assert_eq!(
            sha256(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
