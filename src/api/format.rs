//! The formats of files that WeChat takes, by their first bytes.

use std::fmt;

/// The format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Format {
    Jpeg,
    Png,
    Gif,
    Bmp,
    Amr,
    Mp3,
    Wav,
    Wma,
    Mp4,
}

impl Format {
    /// So many first bytes tell.
    pub const HEAD: usize = 12;

    const ALL: [Self; 9] =
        [Self::Jpeg, Self::Png, Self::Gif, Self::Bmp, Self::Amr, Self::Mp3, Self::Wav, Self::Wma, Self::Mp4];

    /// The format of a file that begins like this.
    #[must_use]
    pub fn of(head: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.begins(head))
    }

    fn begins(self, head: &[u8]) -> bool {
        let has = |at: usize, bytes: &[u8]| head.get(at..).is_some_and(|rest| rest.starts_with(bytes));
        match self {
            Self::Jpeg => has(0, b"\xff\xd8\xff"),
            Self::Png => has(0, b"\x89PNG\r\n\x1a\n"),
            Self::Gif => has(0, b"GIF87a") || has(0, b"GIF89a"),
            Self::Bmp => has(0, b"BM"),
            Self::Amr => has(0, b"#!AMR"),
            Self::Mp3 => has(0, b"ID3") || is_mpeg_audio(head),
            Self::Wav => has(0, b"RIFF") && has(8, b"WAVE"),
            Self::Wma => has(0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),
            Self::Mp4 => has(4, b"ftyp"),
        }
    }

    /// Its media type.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Gif => "image/gif",
            Self::Bmp => "image/bmp",
            Self::Amr => "audio/amr",
            Self::Mp3 => "audio/mpeg",
            Self::Wav => "audio/wav",
            Self::Wma => "audio/x-ms-wma",
            Self::Mp4 => "video/mp4",
        }
    }

    /// How its files' names end.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            Self::Png => "png",
            Self::Gif => "gif",
            Self::Bmp => "bmp",
            Self::Amr => "amr",
            Self::Mp3 => "mp3",
            Self::Wav => "wav",
            Self::Wma => "wma",
            Self::Mp4 => "mp4",
        }
    }
}

/// The sync word of a frame, not of AAC: that says layer 0.
fn is_mpeg_audio(head: &[u8]) -> bool {
    matches!(head, [0xff, second, ..] if second & 0xe0 == 0xe0 && second & 0x06 != 0)
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.extension().to_ascii_uppercase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_its_first_bytes() {
        let known: [(&[u8], Format); 12] = [
            (b"\xff\xd8\xff\xe0\0\x10JFIF", Format::Jpeg),
            (b"\x89PNG\r\n\x1a\n\0\0\0\r", Format::Png),
            (b"GIF89a", Format::Gif),
            (b"GIF87a", Format::Gif),
            (b"BM\x36\0", Format::Bmp),
            (b"#!AMR\n", Format::Amr),
            (b"ID3\x04", Format::Mp3),
            (b"\xff\xfb\x90\x64", Format::Mp3),
            (b"RIFF\x24\0\0\0WAVEfmt ", Format::Wav),
            (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9", Format::Wma),
            (b"\0\0\0\x20ftypisom", Format::Mp4),
            (b"\0\0\0\x18ftypmp42", Format::Mp4),
        ];
        for (head, format) in known {
            assert_eq!(Format::of(head), Some(format), "{format}");
        }
        for head in
            [&b""[..], b"\xff", b"\xff\xf1\x50\x80", b"RIFF\0\0\0\0AVI ", b"<html>", b"%PDF", b"\0\0\0\x20"]
        {
            assert_eq!(Format::of(head), None, "{head:?}");
        }
    }
}
