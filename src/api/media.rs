//! Files of this host as temporary media (临时素材): uploaded once for all processes, known by their content.
//!
//! Source: <https://developers.weixin.qq.com/doc/offiaccount/en/Asset_Management/New_temporary_materials.html>

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sha1::{Digest, Sha1};

use super::check::{FileFacts, Given, check};
use super::format::Format;
use super::shared::{Issued, Shared, Terms};
use super::table::endpoint;
use super::{Api, ApiError, Auth, Body, Call, Method, Multipart, Reach};
use crate::files;
use crate::secret::Secret;

const UPLOAD: &str = "/cgi-bin/media/upload";

/// So long WeChat keeps a temporary medium.
const LIFE: Duration = Duration::from_secs(3 * 24 * 3600);
/// So long before its end it is uploaded again; the old media_id serves meanwhile.
const MARGIN: Duration = Duration::from_secs(12 * 3600);
/// An upload may take this long, and so many more seconds as a line wants that carries no more bytes in each.
const SHORTEST_UPLOAD: Duration = Duration::from_secs(5);
const SLOWEST_LINE: u64 = 64 << 10;
/// That a file has this content is believed for so long, as long as it looks the same.
const CONTENT_KNOWN_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

impl Api {
    /// The media_id of the file at `path` as medium of the type `kind` (`image`, `voice`, `video`, `thumb`). It is
    /// uploaded if its content has none, by one process at a time, and again before that one ends.
    ///
    /// Waits no longer than `patience` for an upload of another process. One of its own takes the time that a slow line
    /// wants for so large a file.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, WeChat would not take it, or it cannot be uploaded.
    pub fn media_id(&self, path: &Path, kind: &'static str, patience: Duration) -> Result<String, ApiError> {
        let until = Instant::now() + patience;
        let medium = Medium::open(path, kind)?;
        let content = self.content_of(&medium)?;
        let fetch_limit = medium.upload_limit();
        let terms = Terms { what: "media_id", margin: MARGIN, fetch_limit };
        let shared = Shared::new(format!("media.{kind}.{content}"), Arc::clone(&self.store), terms);
        let issued = shared.get(until, &|_| self.upload(&medium, &content))?;
        Ok(issued.value.expose().to_owned())
    }

    /// The digest of a file's content; it is read only if it does not look as it did, and if WeChat may take it.
    fn content_of(&self, medium: &Medium<'_>) -> Result<String, ApiError> {
        let key = format!("file.{}", medium.look());
        if let Some(value) = self.store.get(&key)?
            && let Ok(content) = String::from_utf8(value.bytes)
        {
            return Ok(content);
        }
        medium.check()?;
        let content = medium.digest().map_err(|error| medium.unreadable(&error))?;
        if medium.is_unchanged() {
            self.store.put(&key, content.as_bytes(), CONTENT_KNOWN_FOR)?;
        }
        Ok(content)
    }

    /// Uploads the medium, whose content was `content` when it was looked at.
    fn upload(&self, medium: &Medium<'_>, content: &str) -> Result<Issued, ApiError> {
        let format = medium.check()?;
        let query = [("type", medium.kind)];
        let sent = Arc::new(Mutex::new(Sha1::new()));
        let open = || {
            *lock(&sent) = Sha1::new();
            let reader = Digesting { inner: medium.reopen()?, sha1: Arc::clone(&sent) };
            Ok(Box::new(reader) as Box<dyn Read>)
        };
        let multipart = Multipart {
            name: "media",
            filename: &format!("media.{}", format.map_or("bin", Format::extension)),
            content_type: format.map_or("application/octet-stream", Format::media_type),
            length: medium.metadata.len(),
            open: &open,
            field: None,
        };
        let call = Call {
            method: Method::Post,
            path: UPLOAD,
            query: &query,
            body: Body::Multipart(multipart),
            auth: Auth::AccessToken,
            // A second medium of the same content does no harm.
            idempotent: true,
        };
        let answer = self.call_within(&call, medium.upload_limit())?;
        if hex::encode(lock(&sent).clone().finalize()) != content {
            return Err(medium.unreadable(&io::Error::other("it was changed while it was sent")));
        }
        // A thumb has another name for it.
        let media_id = ["media_id", "thumb_media_id"].iter().find_map(|name| answer.get(name)?.as_str());
        let value = media_id.filter(|id| !id.is_empty());
        let without = || self.client.transport(Reach::Unknown, "answered without a good `media_id`");
        let value = value.ok_or_else(without)?;
        Ok(Issued { value: Secret::new(value), expires_in: LIFE })
    }
}

/// What was sent, on its way to a digest.
struct Digesting {
    inner: File,
    sha1: Arc<Mutex<Sha1>>,
}

impl Read for Digesting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        lock(&self.sha1).update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

fn lock(sha1: &Mutex<Sha1>) -> MutexGuard<'_, Sha1> {
    sha1.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file that is to be a medium.
struct Medium<'p> {
    path: &'p Path,
    kind: &'static str,
    file: File,
    metadata: Metadata,
}

impl<'p> Medium<'p> {
    fn open(path: &'p Path, kind: &'static str) -> Result<Self, ApiError> {
        let (file, metadata) = files::open(path).map_err(|error| unreadable(path, &error))?;
        Ok(Self { path, kind, file, metadata })
    }

    /// Its format, if WeChat would take it as what it is to be.
    fn check(&self) -> Result<Option<Format>, ApiError> {
        let format = self.format().map_err(|error| self.unreadable(&error))?;
        let file = FileFacts { name: "media", format, bytes: self.metadata.len() };
        let given = Given { query: &[("type", self.kind)], body: None, file: Some(file) };
        match check(endpoint(UPLOAD), &given).first() {
            None => Ok(format),
            Some(finding) => {
                let error = io::Error::other(finding.to_string());
                Err(ApiError::File { what: "WeChat would not take the file", error })
            }
        }
    }

    /// So long an upload may take.
    fn upload_limit(&self) -> Duration {
        SHORTEST_UPLOAD + Duration::from_secs(self.metadata.len() / SLOWEST_LINE)
    }

    /// Whether it looks as it did when it was opened.
    fn is_unchanged(&self) -> bool {
        let times = |metadata: &Metadata| (metadata.ctime(), metadata.ctime_nsec(), metadata.len());
        self.file.metadata().is_ok_and(|now| times(&now) == times(&self.metadata))
    }

    /// What tells, without reading it, that a file is still the same.
    fn look(&self) -> String {
        let metadata = &self.metadata;
        let mut sha1 = Sha1::new();
        sha1.update(self.path.as_os_str().as_encoded_bytes());
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        sha1.update(format!("\0{}.{}.{}.{:?}", metadata.dev(), metadata.ino(), metadata.len(), changed));
        hex::encode(sha1.finalize())
    }

    fn digest(&self) -> io::Result<String> {
        let mut sha1 = Sha1::new();
        let mut file = self.reopen()?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(hex::encode(sha1.finalize())),
                count => sha1.update(&buffer[..count]),
            }
        }
    }

    fn format(&self) -> io::Result<Option<Format>> {
        let mut head = Vec::with_capacity(Format::HEAD);
        self.reopen()?.take(Format::HEAD as u64).read_to_end(&mut head)?;
        Ok(Format::of(&head))
    }

    /// The same file from its beginning, whatever the path leads to by now.
    fn reopen(&self) -> io::Result<File> {
        let mut file = self.file.try_clone()?;
        file.rewind()?;
        Ok(file)
    }

    fn unreadable(&self, error: &io::Error) -> ApiError {
        unreadable(self.path, error)
    }
}

fn unreadable(path: &Path, error: &io::Error) -> ApiError {
    let error = io::Error::new(error.kind(), format!("`{}`: {error}", path.display()));
    ApiError::File { what: "cannot read the file", error }
}
