//! The files of replies: `media_id`, or `file`, held against what WeChat takes.

use std::io::{self, Read};
use std::path::Path;

use super::fault::Fault;
use super::reply::Templates;
use super::table::{Table, Text};
use crate::api::check::{FileFacts, Given, check};
use crate::api::format::Format;
use crate::api::table::endpoint;
use crate::files;
use crate::rules::{MediaFile, MediaId, MediaKind};

/// `media_id = "…"` or `file = "cat.jpg"` of a reply.
pub(super) fn read_media(table: &Table<'_>, kind: MediaKind, templates: Templates<'_>) -> Option<MediaId> {
    let file = table.text("file");
    if file.is_none() || table.value("media_id").is_some() {
        if file.is_some() {
            let fault = Fault::at(table.key_span("media_id"), "both `file` and `media_id`");
            table.faults.push(fault.cure("a file gets its media_id by itself"));
        } else if table.value("media_id").is_none() && table.value("file").is_none() {
            let fault = Fault::at(table.span.clone(), "neither `file` nor `media_id`");
            table.faults.push(fault.cure("name a file that is to be uploaded: file = \"cat.jpg\""));
        }
        return templates.optional(table, "media_id").map(MediaId::Id);
    }
    file.map(|file| read_file(&file, table, kind))
}

/// `thumb = { file = "cover.jpg" }` of a piece of music, or `thumb_media_id = "…"`.
pub(super) fn read_thumb(table: &Table<'_>, templates: Templates<'_>) -> Option<MediaId> {
    match table.table("thumb", "thumb key") {
        Some(thumb) => {
            let media_id = read_media(&thumb, MediaKind::Thumb, templates);
            thumb.finish();
            media_id
        }
        None => templates.required(table, "thumb_media_id").map(MediaId::Id),
    }
}

fn read_file(written: &Text<'_>, table: &Table<'_>, kind: MediaKind) -> MediaId {
    let path = table.faults.path(written.value);
    if table.faults.thorough
        && let Some(why) = complaint(&path, kind)
    {
        let fault = Fault::at(written.span.clone(), why);
        table.faults.push(fault.cure("until then the rule answers its `on_error`").warning());
    }
    MediaId::File(MediaFile { kind, path })
}

/// Why WeChat would not take a file as this.
fn complaint(path: &Path, kind: MediaKind) -> Option<String> {
    let (format, bytes) = match facts(path) {
        Ok(facts) => facts,
        Err(error) => return Some(format!("cannot read `{}`: {error}", path.display())),
    };
    let given = Given {
        query: &[("type", kind.name())],
        body: None,
        file: Some(FileFacts { name: "media", format, bytes }),
    };
    let findings = check(endpoint("/cgi-bin/media/upload"), &given);
    findings.into_iter().next().map(|finding| format!("WeChat would not take it: {}", finding.message))
}

/// Of what format a file is, and how large.
fn facts(path: &Path) -> io::Result<(Option<Format>, u64)> {
    let (file, metadata) = files::open(path)?;
    let mut head = Vec::with_capacity(Format::HEAD);
    file.take(Format::HEAD as u64).read_to_end(&mut head)?;
    Ok((Format::of(&head), metadata.len()))
}
