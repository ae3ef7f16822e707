//! Speech, translation, pictures (智能接口).

use super::prelude::*;

const AI: &str = "Intelligent_Interface/AI_Open_API.html";
const OCR: &str = "Intelligent_Interface/OCR.html";
const PICTURES: &str = "Intelligent_Interface/Img_Proc.html";
const LANG: &[&str] = &["zh_CN", "en_US"];

const fn picture(path: &'static str, does: &'static str, page: &'static str) -> Endpoint {
    const FIELDS: &[Field] =
        &[query("img_url"), file("img", &[Format::Jpeg, Format::Png], 2 * MB - 1).without("img_url")];
    post(path, does).page(page).who(Who("-+-+?")).repeatable().fields(FIELDS)
}

pub(super) const ENDPOINTS: &[Endpoint] = &[
    post("/cgi-bin/media/voice/addvoicetorecofortext", "Uploads speech (16 kHz, mono) to be read")
        .page(AI)
        .repeatable()
        .fields(&[
            query("format").required().any_of(&["mp3"]),
            query("voice_id").required(),
            query("lang").any_of(LANG),
            file("media", &[Format::Mp3], MB).errcode(40010),
        ]),
    post("/cgi-bin/media/voice/queryrecoresultfortext", "Gives its text, for 10 s after the upload")
        .page(AI)
        .repeatable()
        .fields(&[query("voice_id").required(), query("lang").any_of(LANG)]),
    post("/cgi-bin/media/voice/translatecontent", "Translates the body, a text of up to 600 bytes")
        .page(AI)
        .repeatable()
        .fields(&[query("lfrom").required().any_of(LANG), query("lto").required().any_of(LANG)])
        .raw(600),
    picture("/cv/ocr/idcard", "Reads an identity card", OCR),
    picture("/cv/ocr/bankcard", "Reads a bank card", OCR),
    picture("/cv/ocr/driving", "Reads a vehicle licence", OCR),
    picture("/cv/ocr/drivinglicense", "Reads a driving licence", OCR),
    picture("/cv/ocr/bizlicense", "Reads a business licence", OCR),
    picture("/cv/ocr/comm", "Reads printed text", OCR),
    picture("/cv/ocr/platenum", "Reads a number plate", OCR),
    picture("/cv/img/qrcode", "Reads the codes in a picture", PICTURES),
    picture("/cv/img/superresolution", "Makes a picture larger", PICTURES),
    picture("/cv/img/aicrop", "Finds where to crop a picture", PICTURES),
    post("/semantic/semproxy/search", "Understood a sentence")
        .page("Intelligent_Interface/Natural_Language_Processing.html")
        .retired("WeChat has no successor; ask a language model"),
];
