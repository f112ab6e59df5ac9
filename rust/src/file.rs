//! The container of everything that is saved: a safetensors file whose SHA-256 stands in its own header.
//!
//! The header begins with `{"__metadata__":{"rnnrs.sha256":"` and the 64 digits of the digest, which covers every byte
//! of the file but these digits. Any safetensors reader can read such a file. Writing is deterministic, and reading
//! accepts only what writing would have made: one content has one sequence of bytes. What the metadata and the tensors
//! mean is the caller's.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, TensorInfo};
use serde::ser::{Serialize, SerializeMap, Serializer};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::kernels::Element;

/// Version of the container, metadata key "rnnrs.format".
const FORMAT: &str = "1";
const FORMAT_KEY: &str = "rnnrs.format";
const DIGEST_KEY: &str = "rnnrs.sha256";
const METADATA_KEY: &str = "__metadata__";
/// How every header begins, up to the digits of the digest.
const START: &str = "{\"__metadata__\":{\"rnnrs.sha256\":\"";
/// Bytes of the little-endian length before the header.
const LENGTH: usize = 8;
/// The digits of the digest in the file.
const DIGITS: Range<usize> = LENGTH + START.len()..LENGTH + START.len() + 64;
/// Longest header that is written or read, in bytes: it bounds what parsing allocates.
const MAX_HEADER: usize = 1 << 24;
/// Most tensors that are written or read.
const MAX_TENSORS: usize = 1 << 16;

/// What a file holds. Keys of the metadata that begin with "rnnrs." belong to the container.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Container<'a> {
    /// Free text by key.
    pub metadata: BTreeMap<String, String>,
    /// Arrays by name.
    pub tensors: BTreeMap<String, Tensor<'a>>,
}

/// An array of float32 or float64 in row-major order, as little-endian bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor<'a> {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Cow<'a, [u8]>,
}

impl Tensor<'_> {
    /// The array of `values` with `shape`; [`Error::Shape`] where they disagree.
    pub fn new<E: Element>(shape: &[usize], values: &[E]) -> Result<Self> {
        if elements(shape) != Some(values.len()) {
            return Err(Error::shape("tensor", format!("{} values", values.len()), format!("shape {shape:?}")));
        }
        let (dtype, bytes) = match size_of::<E>() {
            4 => (Dtype::F32, values.iter().flat_map(|v| (v.to_f64() as f32).to_le_bytes()).collect()),
            _ => (Dtype::F64, values.iter().flat_map(|v| v.to_f64().to_le_bytes()).collect()),
        };
        Ok(Self { dtype, shape: shape.to_vec(), bytes: Cow::Owned(bytes) })
    }

    /// "float32" or "float64".
    #[must_use]
    pub fn dtype(&self) -> &'static str {
        if self.dtype == Dtype::F32 { "float32" } else { "float64" }
    }

    /// The dimensions.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The values in row-major order; [`Error::File`] where the element type is not `E`.
    pub fn values<E: Element>(&self) -> Result<Vec<E>> {
        if self.dtype() != E::NAME {
            return Err(Error::file("element type", E::NAME, self.dtype()));
        }
        Ok(match size_of::<E>() {
            4 => self.bytes.as_chunks().0.iter().map(|&b| E::from_f64(f32::from_le_bytes(b).into())).collect(),
            _ => self.bytes.as_chunks().0.iter().map(|&b| E::from_f64(f64::from_le_bytes(b))).collect(),
        })
    }
}

/// The number of elements, `None` where it overflows.
fn elements(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d))
}

/// A file's header as JSON: our two keys first, then everything in the order of its key, data laid out in that order.
struct Header<'a> {
    content: &'a Container<'a>,
    digest: &'a str,
}

impl Serialize for Header<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(METADATA_KEY, &Metadata(self))?;
        let mut start = 0;
        for (name, tensor) in &self.content.tensors {
            let end = start + tensor.bytes.len();
            let (shape, data_offsets) = (tensor.shape.clone(), (start, end));
            map.serialize_entry(name, &TensorInfo { dtype: tensor.dtype, shape, data_offsets })?;
            start = end;
        }
        map.end()
    }
}

/// The part of the header under "__metadata__".
struct Metadata<'a>(&'a Header<'a>);

impl Serialize for Metadata<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let ours = [(DIGEST_KEY, self.0.digest), (FORMAT_KEY, FORMAT)];
        let theirs = self.0.content.metadata.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        serializer.collect_map(ours.into_iter().chain(theirs))
    }
}

impl<'a> Container<'a> {
    /// The bytes of the file. [`Error::Value`] where a name is reserved or a limit is passed.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        if let Some(key) = self.metadata.keys().find(|key| key.starts_with("rnnrs.")) {
            return Err(Error::value("metadata key", "one that does not begin with \"rnnrs.\"", format!("{key:?}")));
        }
        if self.tensors.contains_key(METADATA_KEY) {
            return Err(Error::value("tensor name", "one that is not reserved", format!("{METADATA_KEY:?}")));
        }
        if self.tensors.len() > MAX_TENSORS {
            return Err(Error::value("tensors of a file", format!("at most {MAX_TENSORS}"), self.tensors.len()));
        }
        let header = self.header(&"0".repeat(64));
        if header.len() > MAX_HEADER {
            return Err(Error::value("bytes of a file's header", format!("at most {MAX_HEADER}"), header.len()));
        }
        let data = self.tensors.values().map(|tensor| tensor.bytes.len()).sum::<usize>();
        let size = LENGTH + header.len() + data;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(size).map_err(|_| Error::memory("file", size))?;
        bytes.extend_from_slice(&(header.len() as u64).to_le_bytes());
        bytes.extend_from_slice(header.as_bytes());
        for tensor in self.tensors.values() {
            bytes.extend_from_slice(&tensor.bytes);
        }
        let digest = digest(&bytes);
        bytes[DIGITS].copy_from_slice(digest.as_bytes());
        Ok(bytes)
    }

    /// The header, padded with spaces to a multiple of 8 bytes.
    fn header(&self, digest: &str) -> String {
        let header = Header { content: self, digest };
        let mut header = serde_json::to_string(&header).expect("text and numbers always have a JSON form");
        let padded = header.len().next_multiple_of(8);
        header.extend(std::iter::repeat_n(' ', padded - header.len()));
        header
    }

    /// The content of the bytes of a file, borrowed from them.
    ///
    /// [`Error::File`] where they are cut or changed anywhere, of another version, or not written by this library.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self> {
        let header = check_start(bytes, bytes.len() as u64)?;
        let (text, data) = (&bytes[header.clone()], &bytes[header.end..]);
        let (expected, actual) = (digest(bytes), &bytes[DIGITS]);
        if expected.as_bytes() != actual {
            let actual = String::from_utf8_lossy(actual);
            return Err(Error::file("SHA-256 of the file", expected, format!("{actual} (it was cut or changed)")));
        }
        let parsed: safetensors::tensor::Metadata = serde_json::from_slice(text)
            .map_err(|error| Error::file("header of the file", "that of a safetensors file", error))?;
        let mut metadata: BTreeMap<_, _> = parsed.metadata().clone().unwrap_or_default().into_iter().collect();
        metadata.remove(DIGEST_KEY);
        let format = metadata.remove(FORMAT_KEY);
        if format.as_deref() != Some(FORMAT) {
            return Err(Error::file("version of the file's format", FORMAT, format.as_deref().unwrap_or("none")));
        }
        let infos = parsed.tensors();
        if infos.len() > MAX_TENSORS {
            return Err(Error::file("tensors of a file", format!("at most {MAX_TENSORS}"), infos.len()));
        }
        if parsed.data_len() != data.len() {
            return Err(Error::file("bytes of data in the file", parsed.data_len(), data.len()));
        }
        let tensor = |(name, info): (String, &TensorInfo)| {
            if ![Dtype::F32, Dtype::F64].contains(&info.dtype) {
                return Err(Error::file(format!("element type of {name:?}"), "F32 or F64", info.dtype));
            }
            // Parsing has checked that offsets agree with type and shape and leave neither gap nor overlap.
            let bytes = Cow::Borrowed(&data[info.data_offsets.0..info.data_offsets.1]);
            Ok((name, Tensor { dtype: info.dtype, shape: info.shape.clone(), bytes }))
        };
        let tensors = infos.into_iter().map(tensor).collect::<Result<_>>()?;
        let content = Self { metadata, tensors };
        if content.header(&expected).as_bytes() != text {
            return Err(Error::file("header of the file", "the one form that rnnrs writes", "another form"));
        }
        Ok(content)
    }
}

/// Where the header lies in a file of `size` bytes that begins with `bytes`, once its length and start are right.
fn check_start(bytes: &[u8], size: u64) -> Result<Range<usize>> {
    let ours = "a file written by rnnrs";
    if bytes.len() < DIGITS.end {
        return Err(Error::file("file", ours, format!("{size} bytes")));
    }
    if &bytes[LENGTH..DIGITS.start] != START.as_bytes() {
        return Err(Error::file("file", ours, "another content"));
    }
    let length = u64::from_le_bytes(std::array::from_fn(|i| bytes[i]));
    let most = (MAX_HEADER as u64).min(size.saturating_sub(LENGTH as u64));
    match usize::try_from(length) {
        Ok(header) if length <= most && LENGTH + header >= DIGITS.end => Ok(LENGTH..LENGTH + header),
        _ => Err(Error::file("bytes of the file's header", format!("{} to {most}", DIGITS.end - LENGTH), length)),
    }
}

/// SHA-256 of a file without its digits, in hexadecimal.
fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::new().chain_update(&bytes[..DIGITS.start]).chain_update(&bytes[DIGITS.end..]).finalize();
    hash.iter().fold(String::with_capacity(64), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

/// Writes a file so that at every moment the whole old or the whole new content is found under `path`.
///
/// A temporary file in the same folder is written, flushed to the disk and renamed; a save that is killed leaves the
/// old file (and perhaps a file `.rnnrs-*`). An existing file's permissions are kept; where `path` is a symbolic link,
/// the file that it names is replaced.
pub fn save(path: &Path, bytes: &[u8]) -> Result<()> {
    let path: PathBuf = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> io::Result<()> {
        let mut file = temporary(folder)?;
        file.write_all(bytes)?;
        if let Ok(old) = fs::metadata(&path) {
            file.as_file().set_permissions(old.permissions())?;
        }
        file.as_file().sync_all()?;
        file.persist(&path)?;
        // The rename itself reaches the disk with the folder; where folders cannot be opened, the system sees to it.
        if let Ok(folder) = fs::File::open(folder) {
            let _ = folder.sync_all();
        }
        Ok(())
    };
    write().map_err(|error| at(&path, error))
}

/// A temporary file with the permissions of any new file (tempfile's own choice is the owner alone).
fn temporary(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    // tempfile's own error does not tell the system's number.
    let number = Cell::new(None);
    let create = |path: &Path| {
        let file = fs::File::options().write(true).create_new(true).open(path);
        file.inspect_err(|error| number.set(error.raw_os_error()))
    };
    let file = tempfile::Builder::new().prefix(".rnnrs-").make_in(folder, create);
    file.map_err(|error| number.get().map_or(error, io::Error::from_raw_os_error))
}

/// The bytes of a file; [`Error::File`] without reading further where its start is not that of a [`Container`].
pub fn load(path: &Path) -> Result<Vec<u8>> {
    let read = || -> io::Result<Result<Vec<u8>>> {
        let mut file = fs::File::open(path)?;
        let size = file.metadata()?.len();
        let mut bytes = Vec::new();
        (&mut file).take(DIGITS.end as u64).read_to_end(&mut bytes)?;
        if let Err(error) = check_start(&bytes, size) {
            return Ok(Err(error));
        }
        file.read_to_end(&mut bytes)?;
        Ok(Ok(bytes))
    };
    read().map_err(|error| at(path, error))?
}

/// A failure of the system, with the path that it befell; the cause keeps the system's number.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
struct PathError {
    path: PathBuf,
    source: io::Error,
}

fn at(path: &Path, source: io::Error) -> Error {
    Error::Io(io::Error::new(source.kind(), PathError { path: path.to_owned(), source }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Container<'static> {
        let mut content = Container::default();
        content.metadata.insert("graph".into(), "{\"layers\":[\"größe\"]}".into());
        content.metadata.insert("a \"quoted\" key".into(), String::new());
        let weight: Vec<f32> = (0..6).map(|i| i as f32 - 2.5).collect();
        content.tensors.insert("0.weight".into(), Tensor::new(&[2, 3], &weight).unwrap());
        content.tensors.insert("bias".into(), Tensor::new(&[], &[1e300]).unwrap());
        content.tensors.insert("empty".into(), Tensor::new::<f64>(&[0, 7], &[]).unwrap());
        content.tensors.insert("void".into(), Tensor::new::<f32>(&[3, 0], &[]).unwrap());
        content
    }

    fn is_file_error(bytes: &[u8]) -> bool {
        matches!(Container::from_bytes(bytes), Err(Error::File(_)))
    }

    /// The digest of bytes that a test has changed, put in its place.
    fn reseal(bytes: &mut [u8]) {
        let digest = digest(bytes);
        bytes[DIGITS].copy_from_slice(digest.as_bytes());
    }

    #[test]
    fn what_was_written_is_read() {
        let content = sample();
        let bytes = content.to_bytes().unwrap();
        assert_eq!(bytes, content.to_bytes().unwrap());
        let read = Container::from_bytes(&bytes).unwrap();
        assert_eq!(read, content);
        let weight = &read.tensors["0.weight"];
        assert_eq!((weight.dtype(), weight.shape()), ("float32", &[2, 3][..]));
        assert_eq!(weight.values::<f32>().unwrap(), [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5]);
        assert!(matches!(weight.values::<f64>(), Err(Error::File(_))));
        assert_eq!(read.tensors["bias"].values::<f64>().unwrap(), [1e300]);
        let nothing = Container::default();
        assert_eq!(Container::from_bytes(&nothing.to_bytes().unwrap()).unwrap(), nothing);
    }

    #[test]
    fn any_safetensors_reader_reads_it() {
        let bytes = sample().to_bytes().unwrap();
        let plain = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(plain.tensor("0.weight").unwrap().shape(), [2, 3]);
        assert_eq!(plain.len(), 4);
        assert_eq!((bytes.len() - 6 * 4 - 8) % 8, 0);
    }

    #[test]
    fn cut_and_changed_files_are_refused() {
        let bytes = sample().to_bytes().unwrap();
        for length in 0..bytes.len() {
            assert!(is_file_error(&bytes[..length]), "cut at {length}");
        }
        for place in 0..bytes.len() {
            for flip in [0x01, 0x20, 0x80, 0xFF] {
                let mut changed = bytes.clone();
                changed[place] ^= flip;
                assert!(is_file_error(&changed), "byte {place} changed");
            }
        }
        assert!(is_file_error(&[&bytes[..], b"\0"].concat()));
    }

    #[test]
    fn forged_headers_are_refused() {
        let bytes = sample().to_bytes().unwrap();
        let forge = |from: &str, to: &str| {
            let header = check_start(&bytes, bytes.len() as u64).unwrap();
            let text = std::str::from_utf8(&bytes[header.clone()]).unwrap();
            assert!(text.contains(from), "{text}");
            let text = text.replacen(from, to, 1);
            let mut forged = (text.len() as u64).to_le_bytes().to_vec();
            forged.extend_from_slice(text.as_bytes());
            forged.extend_from_slice(&bytes[header.end..]);
            reseal(&mut forged);
            Container::from_bytes(&forged).map(|_| ()).unwrap_err().to_string()
        };
        assert_eq!(
            forge("\"rnnrs.format\":\"1\"", "\"rnnrs.format\":\"2\""),
            "version of the file's format: expected 1, got 2"
        );
        assert!(forge("\"rnnrs.format\":\"1\"", "\"x\":\"1\"").contains("got none"));
        assert!(forge("\"F32\"", "\"I32\"").contains("F32 or F64"));
        assert!(forge("[2,3]", "[3,3]").contains("that of a safetensors file"));
        assert!(forge("[2,3]", "[18446744073709551615,3]").contains("that of a safetensors file"));
        assert!(forge("[0,24]", "[8,24]").contains("that of a safetensors file"));
        assert!(forge("[2,3]", "[3,2 ]").contains("another form"));
        assert!(forge("\"graph\"", "\"graph\":\"twice\",\"graph\"").contains("another form"));
        assert!(
            forge("\"graph\"", &format!("\"graph\":{},\"x\"", "[".repeat(10_000)))
                .contains("that of a safetensors file")
        );
    }

    #[test]
    fn data_beyond_the_file_are_refused() {
        let mut content = Container::default();
        content.tensors.insert("a".into(), Tensor::new(&[1], &[1.0]).unwrap());
        let header = content.header(&"0".repeat(64));
        let header = header
            .replace("[1],\"data_offsets\":[0,8]", "[144115188075855872],\"data_offsets\":[0,1152921504606846976]");
        let mut bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0; 8]].concat();
        reseal(&mut bytes);
        let error = Container::from_bytes(&bytes).unwrap_err().to_string();
        assert_eq!(error, "bytes of data in the file: expected 1152921504606846976, got 8");
    }

    #[test]
    fn impossible_lengths_are_refused() {
        let mut bytes = sample().to_bytes().unwrap();
        for length in [0, 1, 95, MAX_HEADER as u64 + 1, u64::MAX - 7, u64::MAX] {
            bytes[..LENGTH].copy_from_slice(&length.to_le_bytes());
            reseal(&mut bytes);
            assert!(is_file_error(&bytes), "{length}");
        }
    }

    #[test]
    fn what_cannot_be_written_is_refused() {
        assert!(matches!(Tensor::new(&[2, 2], &[1.0f32; 3]), Err(Error::Shape(_))));
        assert!(matches!(Tensor::new::<f32>(&[usize::MAX, 2, 0], &[]), Err(Error::Shape(_))));
        let mut content = sample();
        content.metadata.insert(DIGEST_KEY.into(), "mine".into());
        assert!(matches!(content.to_bytes(), Err(Error::Value(_))));
        let mut content = sample();
        content.tensors.insert(METADATA_KEY.into(), Tensor::new(&[1], &[0.0]).unwrap());
        assert!(matches!(content.to_bytes(), Err(Error::Value(_))));
        let mut content = sample();
        content.metadata.insert("long".into(), "x".repeat(MAX_HEADER));
        assert!(matches!(content.to_bytes(), Err(Error::Value(_))));
    }

    #[test]
    fn a_save_replaces_the_whole_file_or_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.safetensors");
        let (old, new) = (Container::default().to_bytes().unwrap(), sample().to_bytes().unwrap());
        save(&path, &old).unwrap();
        assert_eq!(load(&path).unwrap(), old);
        save(&path, &new).unwrap();
        assert_eq!(load(&path).unwrap(), new);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        // a folder cannot be replaced by a file: the failed save leaves it and no temporary file
        let occupied = folder.path().join("occupied");
        fs::create_dir(&occupied).unwrap();
        assert!(matches!(save(&occupied, &new), Err(Error::Io(_))));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        assert!(matches!(save(&folder.path().join("none/m"), &new), Err(Error::Io(_))));
        let Err(Error::Io(error)) = load(&folder.path().join("none")) else { panic!("a missing file was read") };
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        fs::write(&path, b"something else").unwrap();
        assert!(matches!(load(&path), Err(Error::File(_))));
    }

    #[cfg(unix)]
    #[test]
    fn a_save_keeps_permissions_and_links() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("m"), folder.path().join("link"));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        save(&path, b"old").unwrap();
        fs::write(folder.path().join("plain"), b"").unwrap();
        assert_eq!(mode(&path), mode(&folder.path().join("plain")));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        save(&link, b"new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"new".to_vec(), 0o640));
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(is_file_error(&bytes));
        }

        /// Random headers with a right start and a right digest: what is accepted is written again as it was.
        #[test]
        fn random_sealed_headers_never_panic(rest in "[\\]\\[{}\":,0-9a-z_.F\" \\\\]{0,200}", data in prop::collection::vec(any::<u8>(), 0..40)) {
            let header = format!("{START}{}{rest}", "0".repeat(64));
            let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
            bytes.extend_from_slice(header.as_bytes());
            bytes.extend_from_slice(&data);
            reseal(&mut bytes);
            if let Ok(content) = Container::from_bytes(&bytes) {
                prop_assert_eq!(content.to_bytes().unwrap(), bytes);
            }
        }

        #[test]
        fn random_contents_survive(
            metadata in prop::collection::btree_map("[^\\x00]{0,8}", ".*", 0..4),
            tensors in prop::collection::btree_map(".{0,8}", (prop::collection::vec(0usize..4, 0..4), any::<bool>()), 0..5),
        ) {
            let tensors = tensors.into_iter().map(|(name, (shape, wide))| {
                let values: Vec<f64> = (0..shape.iter().product()).map(|i: usize| 0.1 * i as f64).collect();
                let narrow: Vec<f32> = values.iter().map(|&v| v as f32).collect();
                let tensor = if wide { Tensor::new(&shape, &values) } else { Tensor::new(&shape, &narrow) };
                (name, tensor.unwrap())
            });
            let content = Container { metadata, tensors: tensors.collect() };
            let bytes = content.to_bytes().unwrap();
            prop_assert_eq!(Container::from_bytes(&bytes).unwrap(), content);
        }
    }
}
