//! Files of this host as temporary media (临时素材): uploaded once for all processes, known by their content.
//!
//! Source: <https://developers.weixin.qq.com/doc/offiaccount/en/Asset_Management/New_temporary_materials.html>

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sha1::{Digest, Sha1};

use super::check::{FileFacts, Given, check};
use super::format::Format;
use super::shared::{Issued, Shared, Terms};
use super::table::endpoint;
use super::{Api, ApiError, Auth, Body, Call, Method, Multipart, Reach};
use crate::secret::Secret;

const UPLOAD: &str = "/cgi-bin/media/upload";

/// So long WeChat keeps a temporary medium.
const LIFE: Duration = Duration::from_secs(3 * 24 * 3600);
/// So long before its end it is uploaded again; the old media_id serves meanwhile.
const MARGIN: Duration = Duration::from_secs(12 * 3600);
/// That a file has this content is believed for so long, as long as it looks the same.
const CONTENT_KNOWN_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

impl Api {
    /// The media_id of the file at `path` as medium of the type `kind` (`image`, `voice`, `video`, `thumb`). It is
    /// uploaded if its content has none, by one process at a time, and again before that one ends. Takes no longer than
    /// `limit`.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, WeChat would not take it, or it cannot be uploaded in time.
    pub fn media_id(&self, path: &Path, kind: &'static str, limit: Duration) -> Result<String, ApiError> {
        let until = Instant::now() + limit;
        let medium = Medium::open(path, kind)?;
        let content = self.content_of(&medium)?;
        let terms = Terms { what: "media_id", margin: MARGIN, fetch_limit: limit };
        let shared = Shared::new(format!("media.{kind}.{content}"), Arc::clone(&self.store), terms);
        let issued = shared.get(until, &|until| self.upload(&medium, until))?;
        Ok(issued.value.expose().to_owned())
    }

    /// The digest of a file's content; it is read only if it does not look as it did.
    fn content_of(&self, medium: &Medium<'_>) -> Result<String, ApiError> {
        let key = format!("file.{}", medium.look());
        if let Some(value) = self.store.get(&key)?
            && let Ok(content) = String::from_utf8(value.bytes)
        {
            return Ok(content);
        }
        let content = medium.digest().map_err(|error| medium.unreadable(&error))?;
        self.store.put(&key, content.as_bytes(), CONTENT_KNOWN_FOR)?;
        Ok(content)
    }

    fn upload(&self, medium: &Medium<'_>, until: Instant) -> Result<Issued, ApiError> {
        let format = medium.format().map_err(|error| medium.unreadable(&error))?;
        let length = medium.metadata.len();
        let query = [("type", medium.kind)];
        let file = FileFacts { name: "media", format, bytes: length };
        let given = Given { query: &query, body: None, file: Some(file) };
        if let Some(finding) = check(endpoint(UPLOAD), &given).first() {
            let error = io::Error::other(finding.to_string());
            return Err(ApiError::File { what: "WeChat would not take the file", error });
        }
        let open = || medium.reopen().map(|file| Box::new(file) as Box<dyn Read>);
        let filename = format!("media.{}", format.map_or("bin", Format::extension));
        let multipart = Multipart {
            name: "media",
            filename: &filename,
            content_type: format.map_or("application/octet-stream", Format::media_type),
            length,
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
        let answer = self.call_within(&call, until.saturating_duration_since(Instant::now()))?;
        // A thumb has another name for it.
        let media_id = ["media_id", "thumb_media_id"].iter().find_map(|name| answer.get(name)?.as_str());
        let value = media_id.filter(|id| !id.is_empty());
        let without = || self.client.transport(Reach::Unknown, "answered without a good `media_id`");
        let value = value.ok_or_else(without)?;
        Ok(Issued { value: Secret::new(value), expires_in: LIFE })
    }
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
        let opened = File::open(path).and_then(|file| Ok((file.metadata()?, file)));
        match opened {
            Ok((metadata, file)) if metadata.is_file() => Ok(Self { path, kind, file, metadata }),
            Ok(_) => Err(unreadable(path, &io::Error::other("it is no file"))),
            Err(error) => Err(unreadable(path, &error)),
        }
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
