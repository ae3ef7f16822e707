//! `wxcgi media`: temporary media (临时素材) and permanent material (永久素材).

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde_json::{Value, json};

use super::output::{Table, list, need, text};
use super::session::Question;
use super::{Failure, Options, Session, api, paging};
use crate::api::endpoint::Endpoint;
use crate::api::format::Format;
use crate::api::table::endpoint;
use crate::files;
use crate::rules::MediaKind;

const UPLOAD: &Endpoint = endpoint("/cgi-bin/media/upload");
const UPLOAD_PERMANENT: &Endpoint = endpoint("/cgi-bin/material/add_material");
const UPLOAD_INLINE: &Endpoint = endpoint("/cgi-bin/media/uploadimg");
const GET: &Endpoint = endpoint("/cgi-bin/media/get");
const GET_HD: &Endpoint = endpoint("/cgi-bin/media/get/jssdk");
const GET_PERMANENT: &Endpoint = endpoint("/cgi-bin/material/get_material");
const LIST: &Endpoint = endpoint("/cgi-bin/material/batchget_material");
const DELETE: &Endpoint = endpoint("/cgi-bin/material/del_material");
const COUNT: &Endpoint = endpoint("/cgi-bin/material/get_materialcount");

#[derive(Debug, clap::Args)]
#[command(after_help = "Format and size are looked at before a file is sent.
Examples:
  wxcgi media upload cat.jpg
  wxcgi media upload film.mp4 --permanent --title '猫' --introduction '一只猫'
  wxcgi media download MEDIA_ID --output cat.jpg
  wxcgi media list image")]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Upload a file, for 3 days or for good; prints its media_id
    Upload {
        /// The file
        file: PathBuf,
        /// What it is [default: by its format]
        #[arg(long = "type", value_parser = kinds())]
        kind: Option<MediaKind>,
        /// For good
        #[arg(long)]
        permanent: bool,
        /// A picture for use inside an article; prints its URL
        #[arg(long, conflicts_with_all = ["permanent", "kind"])]
        inline: bool,
        /// The title of a permanent video
        #[arg(long, requires = "permanent")]
        title: Option<String>,
        /// Its introduction
        #[arg(long, requires = "permanent")]
        introduction: Option<String>,
    },
    /// Download a file, also one that a user sent
    Download {
        /// The file
        media_id: String,
        /// Where to
        #[arg(long, short, value_name = "FILE")]
        output: PathBuf,
        /// It is permanent material
        #[arg(long)]
        permanent: bool,
        /// A voice of the JS-SDK in high quality (speex)
        #[arg(long, conflicts_with = "permanent")]
        hd: bool,
    },
    /// List permanent material
    List {
        /// Of which type
        #[arg(value_enum)]
        kind: Listed,
        /// So many at most
        #[arg(long, default_value_t = 1000)]
        limit: usize,
    },
    /// Delete permanent material
    Delete {
        /// The file
        media_id: String,
    },
    /// Count the permanent material
    Count,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Listed {
    Image,
    Voice,
    Video,
    News,
}

/// What a file of this format is for.
fn kind_of(format: Format) -> MediaKind {
    match format {
        Format::Jpeg | Format::Png | Format::Gif | Format::Bmp => MediaKind::Image,
        Format::Amr | Format::Mp3 | Format::Wav | Format::Wma => MediaKind::Voice,
        Format::Mp4 => MediaKind::Video,
    }
}

fn kind_of_file(path: &Path) -> Result<MediaKind, Failure> {
    let unreadable = |error| Failure::Usage(format!("cannot read `{}`: {error}", path.display()));
    let mut head = Vec::new();
    let (file, _) = files::open(path).map_err(unreadable)?;
    file.take(Format::HEAD as u64).read_to_end(&mut head).map_err(unreadable)?;
    Format::of(&head).map(kind_of).ok_or_else(|| {
        let cure = "WeChat takes JPEG, PNG, GIF, BMP, MP3, AMR, WAV, WMA, MP4";
        Failure::Usage(format!("`{}` is of a format that is not known; {cure}", path.display()))
    })
}

/// `image`, `voice`, …
fn kinds() -> impl TypedValueParser<Value = MediaKind> {
    let names = PossibleValuesParser::new(MediaKind::ALL.map(MediaKind::name));
    names.try_map(|name| MediaKind::ALL.into_iter().find(|kind| kind.name() == name).ok_or("no such kind"))
}

pub(in crate::cli) fn run(args: &Args) -> Result<(), Failure> {
    let session = Session::open(&args.options)?;
    match &args.command {
        Command::Upload { .. } => upload(&session, &args.command),
        Command::Download { media_id, output, permanent, hd } => {
            let (row, question) = if *permanent {
                (GET_PERMANENT, Question::body(json!({"media_id": media_id})))
            } else {
                (if *hd { GET_HD } else { GET }, Question::query([("media_id", media_id.as_str())]))
            };
            api::download(&session, row, &question, output)
        }
        Command::List { kind, limit } => {
            let kind = format!("{kind:?}").to_lowercase();
            let Some(answer) = paging::offsets(&session, LIST, &json!({"type": kind}), *limit)? else {
                return Ok(());
            };
            session.show(&answer, |answer| items(answer, &["media_id", "name", "update_time", "url"]))
        }
        Command::Delete { media_id } => {
            let question = Question::body(json!({"media_id": media_id}));
            let Some(answer) = session.ask(DELETE, &question)? else { return Ok(()) };
            session.done(&answer, "deleted")
        }
        Command::Count => {
            let Some(answer) = session.ask(COUNT, &Question::default())? else { return Ok(()) };
            let counts = ["image_count", "voice_count", "video_count", "news_count"];
            for count in counts {
                need(&answer, count, Value::as_u64)?;
            }
            session
                .show(&answer, |answer| Table::of([answer], &counts).for_people().replace("_count", "      "))
        }
    }
}

/// The items of a list with pages, and how many there are beyond them.
pub(super) fn items(answer: &Value, columns: &[&str]) -> String {
    let items = list(answer, "item");
    let (shown, total) = (items.len() as u64, answer["total_count"].as_u64().unwrap_or(0));
    let more = if total > shown { format!("({shown} of {total})\n") } else { String::new() };
    if items.is_empty() { "none".to_owned() } else { Table::of(items, columns).for_people() + &more }
}

fn upload(session: &Session, command: &Command) -> Result<(), Failure> {
    let Command::Upload { file, kind, permanent, inline, title, introduction } = command else {
        return Ok(());
    };
    if *inline {
        let Some(answer) = session.ask(UPLOAD_INLINE, &Question::default().file("media", file))? else {
            return Ok(());
        };
        let url = need(&answer, "url", text)?;
        return session.show(&answer, |_| url.to_owned());
    }
    let kind = kind.map_or_else(|| kind_of_file(file), Ok)?;
    let mut question = Question::query([("type", kind.name())]).file("media", file);
    if title.is_some() || introduction.is_some() {
        let (title, introduction) =
            (title.clone().unwrap_or_default(), introduction.clone().unwrap_or_default());
        question.body = Some(json!({"description": {"title": title, "introduction": introduction}}));
    }
    let row = if *permanent { UPLOAD_PERMANENT } else { UPLOAD };
    let Some(answer) = session.ask(row, &question)? else { return Ok(()) };
    // For a thumb WeChat calls it otherwise.
    let name = if answer.get("thumb_media_id").is_some() { "thumb_media_id" } else { "media_id" };
    let id = need(&answer, name, text)?;
    session.show(&answer, |_| id.to_owned())
}
