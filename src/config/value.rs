//! Values written as texts: durations, sizes, secrets.

use std::path::Path;
use std::time::Duration;

use serde_json::Value as Json;
use toml::de::DeValue;

use super::fault::Fault;
use super::load::{others_may_write, permissions_warning};
use super::table::{Faults, Table, Value, text, wrong_type};
use crate::files::read_file;
use crate::secret::{MAX_SECRET, Secret, SecretSource};

/// `4.5s`, `10m`, `1h 30m`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let parsed: Result<jiff::SignedDuration, _> = text.parse();
    parsed.ok().and_then(|duration| Duration::try_from(duration).ok()).ok_or_else(|| {
        format!("`{text}` is no duration; write one like \"500ms\", \"4.5s\", \"10m\" or \"1h\"")
    })
}

/// `256KiB`, `1MiB`, `4096`: bytes.
pub(super) fn size(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 9] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("kB", 1000),
        ("KB", 1000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("B", 1),
        ("", 1),
    ];
    let number = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = &text[number.len()..];
    let factor = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
    let number: Option<u64> = number.trim().parse().ok();
    number
        .zip(factor)
        .and_then(|(number, factor)| number.checked_mul(factor))
        .ok_or_else(|| format!("`{text}` is no size; write one like \"256KiB\" or \"1MiB\""))
}

/// `500m`, `5km`, `1.5km`: metres.
pub(super) fn metres(text: &str) -> Result<f64, String> {
    let (number, factor) = match text.strip_suffix("km") {
        Some(number) => (Some(number), 1000.0),
        None => (text.strip_suffix('m'), 1.0),
    };
    let number: Option<f64> = number.and_then(|number| number.trim().parse().ok());
    number
        .map(|number| number * factor)
        .filter(|metres| metres.is_finite() && *metres > 0.0)
        .ok_or_else(|| format!("`{text}` is no distance; write one like \"500m\" or \"1.5km\""))
}

/// A secret: `"literal"`, `{ env = "NAME" }` or `{ file = "path" }`, the path relative to `folder`.
pub(super) fn secret(table: &Table<'_>, key: &'static str, folder: &Path) -> Option<Secret> {
    let value = table.value(key)?;
    if value.get_ref().is_str() {
        return text(value, table.faults).map(|text| Secret::new(text.value.to_owned()));
    }
    if !value.get_ref().is_table() {
        return wrong_type(value, "a text, { env = \"NAME\" } or { file = \"path\" }", table.faults);
    }
    let source = Table::from_value(value, "source of a secret", table.faults)?;
    let secret = match (source.text("env"), source.text("file")) {
        (Some(name), None) => from_env(name.value),
        (None, Some(file)) => from_file(&folder.join(file.value), value, table),
        _ => Err(Fault::at(value.span(), format!("`{key}` wants either `env` or `file`"))),
    };
    source.finish();
    secret
        .map_err(|fault| table.faults.push(Fault { span: Some(value.span()), ..fault }))
        .ok()
        .map(Secret::new)
}

/// The same for a secret that is looked up when it is needed; `value` is that of `key`. That it is not there is told as a
/// warning: by then it may be.
pub(super) fn secret_source(value: Value<'_>, key: &str, faults: &Faults<'_>) -> Option<SecretSource> {
    if value.get_ref().is_str() {
        return text(value, faults).map(|text| SecretSource::Literal(text.value.to_owned()));
    }
    if !value.get_ref().is_table() {
        return wrong_type(value, "a text, { env = \"NAME\" } or { file = \"path\" }", faults);
    }
    let table = Table::from_value(value, "source of a secret", faults)?;
    let source = match (table.text("env"), table.text("file")) {
        (Some(name), None) => Some(SecretSource::Env(name.value.to_owned())),
        (None, Some(file)) => Some(SecretSource::File(faults.path(file.value))),
        _ => {
            faults.push(Fault::at(value.span(), format!("`{key}` wants either `env` or `file`")));
            None
        }
    };
    if faults.thorough {
        let tried = match &source {
            Some(SecretSource::Env(name)) => from_env(name).err(),
            Some(SecretSource::File(path)) => from_file(path, value, &table).err(),
            _ => None,
        };
        if let Some(fault) = tried {
            faults.push(Fault { span: Some(value.span()), ..fault }.warning());
        }
    }
    table.finish();
    source
}

fn from_env(name: &str) -> Result<String, Fault> {
    std::env::var(name).ok().filter(|value| !value.is_empty()).ok_or_else(|| {
        // Somebody may have put the secret itself where its variable should be named.
        let is_name = name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
        let name = if is_name { format!("`{name}`") } else { "that it names".to_owned() };
        Fault::of_file(format!("the environment variable {name} is not set")).cure(
            "set it for the process that runs wxcgi: `SetEnv` in Apache (not under suexec), `Environment=` in \
             systemd; or use { file = … }",
        )
    })
}

fn from_file(path: &Path, value: Value<'_>, table: &Table<'_>) -> Result<String, Fault> {
    table.faults.note_file(path);
    let (bytes, metadata) = read_file(path, MAX_SECRET).map_err(|error| {
        Fault::of_file(format!("cannot read the secret in `{}`: {error}", path.display()))
            .cure("give the path of a small file that holds the secret alone and that wxcgi's user may read")
    })?;
    if let Some(fault) =
        others_may_write(path, &metadata).or_else(|| permissions_warning(path, &metadata, true))
    {
        table.faults.push(Fault { span: Some(value.span()), ..fault });
    }
    let content = String::from_utf8(bytes).map_err(|_| {
        Fault::of_file(format!("the secret in `{}` is not UTF-8", path.display()))
            .cure("write the secret alone into it, as plain text")
    })?;
    let secret = content.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        let fault = Fault::of_file(format!("the secret file `{}` is empty", path.display()));
        return Err(fault.cure("write the secret into it"));
    }
    Ok(secret.to_owned())
}

/// A value as a program reads it.
pub(super) fn json(value: &DeValue<'_>) -> Json {
    match value {
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Boolean(flag) => (*flag).into(),
        DeValue::Integer(number) => number.as_str().parse::<i64>().map_or(Json::Null, Json::from),
        DeValue::Float(number) => number.as_str().parse::<f64>().map_or(Json::Null, Json::from),
        DeValue::Datetime(datetime) => datetime.to_string().into(),
        DeValue::Array(items) => items.iter().map(|item| json(item.get_ref())).collect(),
        DeValue::Table(members) => {
            let members =
                members.iter().map(|(key, value)| (key.get_ref().to_string(), json(value.get_ref())));
            Json::Object(members.collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("4.5s"), Ok(Duration::from_millis(4500)));
        assert_eq!(duration("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        for bad in ["", "5", "-5s", "soon"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn distances_have_units() {
        assert_eq!(metres("500m"), Ok(500.0));
        assert_eq!(metres("1.5 km"), Ok(1500.0));
        for bad in ["", "5", "-5m", "0m", "km", "infkm"] {
            assert!(metres(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(size("256KiB"), Ok(262_144));
        assert_eq!(size("1 MB"), Ok(1_000_000));
        assert_eq!(size("77"), Ok(77));
        for bad in ["", "KiB", "1.5MiB", "-1", "1 XB", "99999999999GiB"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }
}
