//! The files of replies: named by WeChat's media_id, or by a path here.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::action::ActionError;
use super::template::{Scope, Template};

/// What a reply says of the file that it shows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum MediaId {
    /// WeChat's name for it.
    Id(Template),
    /// A file here: it is uploaded when a reply first needs it.
    File(MediaFile),
}

/// A file here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaFile {
    /// As what it is uploaded.
    pub kind: MediaKind,
    /// Where it lies.
    pub path: PathBuf,
}

/// As what a file is uploaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MediaKind {
    /// A picture.
    Image,
    /// A recording.
    Voice,
    /// A film.
    Video,
    /// The picture of a piece of music.
    Thumb,
}

impl MediaKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Image, Self::Voice, Self::Video, Self::Thumb];

    /// `type` of the upload.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Voice => "voice",
            Self::Video => "video",
            Self::Thumb => "thumb",
        }
    }
}

/// Who knows the media_id of a file here.
pub trait MediaLibrary: fmt::Debug + Sync {
    /// The media_id of `file`, good for a while; it is uploaded if it has none.
    ///
    /// # Errors
    ///
    /// In words for the log, if it has none and cannot be uploaded in time.
    fn media_id(&self, file: &MediaFile) -> Result<String, String>;
}

/// Where no files can be uploaded.
#[derive(Debug)]
pub struct NoLibrary;

impl MediaLibrary for NoLibrary {
    fn media_id(&self, file: &MediaFile) -> Result<String, String> {
        Err(format!("`{}` cannot be uploaded from here", file.path.display()))
    }
}

impl MediaId {
    /// The media_id for a reply to the message in `scope`.
    pub(super) fn fill(&self, scope: &Scope<'_>) -> Result<String, ActionError> {
        match self {
            Self::Id(template) => Ok(template.render(scope)?.into_owned()),
            Self::File(file) => scope.media.media_id(file).map_err(ActionError::Media),
        }
    }

    /// The template, if it is one.
    pub(super) fn template(&self) -> Option<&Template> {
        match self {
            Self::Id(template) => Some(template),
            Self::File(_) => None,
        }
    }

    /// The template, or the path, as it was written.
    #[cfg(test)]
    pub(crate) fn source(&self) -> String {
        match self {
            Self::Id(template) => template.source().to_owned(),
            Self::File(file) => file.path.display().to_string(),
        }
    }

    /// Whether it needs no upload.
    pub(super) fn is_known(&self) -> bool {
        matches!(self, Self::Id(_))
    }
}
