//! `wxcgi qrcode`: QR codes with a parameter (带参数二维码), and their pictures.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use serde_json::{Value, json};

use super::output::{need, text};
use super::session::Question;
use super::{Failure, Options, Session};
use crate::api::endpoint::Endpoint;
use crate::api::table::endpoint;
use crate::logging::shown;

const CREATE: &Endpoint = endpoint("/cgi-bin/qrcode/create");

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  wxcgi qrcode create shop-12
  wxcgi qrcode create 123 --expires 7d --png code.png
  wxcgi qrcode create shop-12 --permanent")]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a code: prints its URL and draws it; who scans it brings the scene in the event (scene, or qrscene_…)
    Create {
        /// The scene: a number, or a text of up to 64 characters
        scene: String,
        /// Take the scene as a text, although it is a number
        #[arg(long)]
        text: bool,
        /// It never expires; an account has 100,000 of these, with numbers up to 100000
        #[arg(long)]
        permanent: bool,
        /// How long it lives, up to 30 days
        #[arg(long, value_name = "DURATION", default_value = "30d", conflicts_with = "permanent")]
        expires: String,
        /// Write a picture of it
        #[arg(long, value_name = "FILE")]
        png: Option<PathBuf>,
        /// Do not draw it in the terminal
        #[arg(long)]
        quiet: bool,
    },
}

pub(in crate::cli) fn run(args: &Args) -> Result<(), Failure> {
    let session = Session::open(&args.options)?;
    let Command::Create { png, quiet, .. } = &args.command;
    let Some(answer) = session.ask(CREATE, &Question::body(body(&args.command)?))? else { return Ok(()) };
    let url = need(&answer, "url", text)?;
    let code =
        QrCode::new(url).map_err(|error| Failure::Failed(format!("no code of {}: {error}", shown(url))))?;
    if let Some(path) = png {
        write_png(&code, path)
            .map_err(|error| Failure::Failed(format!("cannot write `{}`: {error}", path.display())))?;
    }
    session.show(&answer, |answer| words(answer, if *quiet { None } else { Some(&code) }))
}

fn body(command: &Command) -> Result<Value, Failure> {
    let Command::Create { scene, text, permanent, expires, .. } = command;
    let number = scene.parse::<u64>().ok().filter(|_| !text);
    let (action, scene) = match (number, permanent) {
        (Some(number), false) => ("QR_SCENE", json!({"scene_id": number})),
        (Some(number), true) => ("QR_LIMIT_SCENE", json!({"scene_id": number})),
        (None, false) => ("QR_STR_SCENE", json!({"scene_str": scene})),
        (None, true) => ("QR_LIMIT_STR_SCENE", json!({"scene_str": scene})),
    };
    let mut body = json!({"action_name": action, "action_info": {"scene": scene}});
    if !permanent {
        body["expire_seconds"] = json!(seconds(expires)?);
    }
    Ok(body)
}

/// `7d`, `12h 30m`
fn seconds(text: &str) -> Result<i64, Failure> {
    let days = jiff::SpanRelativeTo::days_are_24_hours();
    let span = text.parse::<jiff::Span>().and_then(|span| span.to_duration(days));
    let span =
        span.map_err(|_| Failure::Usage(format!("`{text}` is no duration; write one like 7d, 12h or 30m")))?;
    Ok(span.as_secs())
}

fn words(answer: &Value, code: Option<&QrCode>) -> String {
    let url = answer["url"].as_str().unwrap_or_default();
    let drawn = code.map_or_else(String::new, |code| code.render::<Dense1x2>().build() + "\n");
    let life = answer["expire_seconds"]
        .as_u64()
        .map_or_else(|| "never expires".to_owned(), |seconds| format!("expires in {}", in_words(seconds)));
    format!("{drawn}{url}\n{life}")
}

fn in_words(seconds: u64) -> String {
    match seconds {
        3600.. if seconds.is_multiple_of(86_400) => format!("{} days", seconds / 86_400),
        3600.. if seconds.is_multiple_of(3600) => format!("{} hours", seconds / 3600),
        _ => format!("{seconds} s"),
    }
}

/// Black and white, eight pixels a module, with the quiet zone of four modules that readers want.
fn write_png(code: &QrCode, path: &Path) -> Result<(), png::EncodingError> {
    const SCALE: usize = 8;
    const QUIET: usize = 4;
    let modules = code.width();
    let size = (modules + 2 * QUIET) * SCALE;
    let colors = code.to_colors();
    let is_dark = |x: usize, y: usize| {
        let (x, y) = ((x / SCALE).checked_sub(QUIET), (y / SCALE).checked_sub(QUIET));
        matches!((x, y), (Some(x), Some(y)) if x < modules && y < modules
            && colors[y * modules + x] == qrcode::Color::Dark)
    };
    let pixels: Vec<u8> =
        (0..size * size).map(|at| if is_dark(at % size, at / size) { 0 } else { u8::MAX }).collect();
    let length = u32::try_from(size).unwrap_or(u32::MAX);
    let mut encoder = png::Encoder::new(BufWriter::new(File::create(path)?), length, length);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header()?.write_image_data(&pixels)
}
