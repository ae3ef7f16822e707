//! Tables that templates look things up in: price lists, opening hours, codes; CSV or JSON files.
//!
//! A file is read when a template first asks for its table. A process that answers one message reads none, or the one
//! that it needs.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use minijinja::value::{Enumerator, Object, Serde};
use minijinja::{Error, ErrorKind, Value};

use crate::files::read_file;

/// A larger file is no table, bytes.
pub const MAX_TABLE: u64 = 1 << 20;

/// All tables of an account, by their names.
#[derive(Debug, Clone, Default)]
pub struct Tables(Arc<BTreeMap<String, Arc<Table>>>);

/// One table, read on demand.
#[derive(Debug)]
pub struct Table {
    path: PathBuf,
    key: Option<String>,
    rows: OnceLock<Result<Arc<Rows>, String>>,
}

/// What stands in a table.
#[derive(Debug, Default)]
pub struct Rows {
    /// The keys in the order of the file; those of a JSON object sorted.
    keys: Vec<String>,
    /// Each row by its key: a map of its columns, or what JSON has there.
    by_key: HashMap<String, Value>,
    /// Keys that stand more than once: the first row counts.
    pub repeated: Vec<String>,
}

impl FromIterator<(String, Table)> for Tables {
    fn from_iter<I: IntoIterator<Item = (String, Table)>>(tables: I) -> Self {
        Self(Arc::new(tables.into_iter().map(|(name, table)| (name, Arc::new(table))).collect()))
    }
}

impl Tables {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All names and tables.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Table)> {
        self.0.iter().map(|(name, table)| (name.as_str(), table.as_ref()))
    }

    /// Whether both have the same tables of the same files.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        let sources = |it: &Self| {
            it.iter()
                .map(|(name, table)| (name.to_owned(), table.path.clone(), table.key.clone()))
                .collect::<Vec<_>>()
        };
        sources(self) == sources(other)
    }

    /// What templates call `table`.
    pub(super) fn to_value(&self) -> Value {
        Value::from_object(self.clone())
    }
}

impl Table {
    /// The table in the file at `path`. Its rows are found by what stands in the column `key`; in CSV without one, in
    /// the first; in a JSON object without one, by the object's own keys.
    #[must_use]
    pub fn new(path: PathBuf, key: Option<String>) -> Self {
        Self { path, key, rows: OnceLock::new() }
    }

    /// Its rows, read once.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, is larger than [`MAX_TABLE`], or is no table: why.
    pub fn rows(&self) -> Result<&Arc<Rows>, &str> {
        self.rows
            .get_or_init(|| read(&self.path, self.key.as_deref()).map(Arc::new))
            .as_ref()
            .map_err(String::as_str)
    }
}

impl Object for Tables {
    fn get_value(self: &Arc<Self>, name: &Value) -> Option<Value> {
        let table = self.0.get(name.as_str()?)?;
        Some(match table.rows() {
            Ok(rows) => Value::from_dyn_object(rows.clone()),
            Err(why) => {
                let detail = format!("table `{name}`: {why}");
                Value::from(Error::new(ErrorKind::InvalidOperation, detail))
            }
        })
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.0.keys().map(Value::from).collect())
    }
}

impl Object for Rows {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str() {
            Some(key) => self.by_key.get(key.trim()).cloned(),
            // A number of a message, or reckoned.
            None => self.by_key.get(&key.to_string()).cloned(),
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.keys.iter().map(Value::from).collect())
    }
}

/// A row of a CSV file.
#[derive(Debug)]
struct Record {
    columns: Arc<[String]>,
    fields: csv::StringRecord,
}

impl Object for Record {
    fn get_value(self: &Arc<Self>, column: &Value) -> Option<Value> {
        let column = column.as_str()?;
        let index = self.columns.iter().position(|known| known == column)?;
        self.fields.get(index).map(Value::from)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.columns.iter().map(Value::from).collect())
    }
}

impl Rows {
    fn push(&mut self, key: &str, row: Value) {
        let key = key.trim().to_owned();
        if self.by_key.contains_key(&key) {
            self.repeated.push(key);
        } else {
            self.keys.push(key.clone());
            self.by_key.insert(key, row);
        }
    }
}

fn read(path: &Path, key: Option<&str>) -> Result<Rows, String> {
    let name = path.display();
    let (bytes, _) = read_file(path, MAX_TABLE).map_err(|error| format!("cannot read `{name}`: {error}"))?;
    let text = String::from_utf8(bytes)
        .map_err(|_| format!("`{name}` is not UTF-8; spreadsheets save it as “CSV UTF-8”"))?;
    let text = text.trim_start_matches('\u{feff}');
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let rows = match ending.to_ascii_lowercase().as_str() {
        "csv" => from_csv(text, b',', key),
        "tsv" => from_csv(text, b'\t', key),
        "json" => from_json(text, key),
        _ => Err("a table is a .csv, a .tsv or a .json file".to_owned()),
    };
    rows.map_err(|why| format!("`{name}`: {why}"))
}

fn from_csv(text: &str, delimiter: u8, key: Option<&str>) -> Result<Rows, String> {
    let mut reader =
        csv::ReaderBuilder::new().delimiter(delimiter).trim(csv::Trim::All).from_reader(text.as_bytes());
    let columns = reader.headers().map_err(|error| error.to_string())?;
    let columns: Arc<[String]> = columns.iter().map(str::to_owned).collect();
    let index = match key {
        None => 0,
        Some(key) => {
            columns.iter().position(|column| column == key).ok_or_else(|| no_column(key, &columns))?
        }
    };
    let mut rows = Rows::default();
    for fields in reader.records() {
        let fields = fields.map_err(|error| error.to_string())?;
        let key = fields.get(index).unwrap_or_default().to_owned();
        rows.push(&key, Value::from_object(Record { columns: columns.clone(), fields }));
    }
    Ok(rows)
}

fn no_column(key: &str, columns: &[String]) -> String {
    format!("no column `{key}`; there are {}", columns.join(", "))
}

fn from_json(text: &str, key: Option<&str>) -> Result<Rows, String> {
    let mut rows = Rows::default();
    match (serde_json::from_str(text).map_err(|error| error.to_string())?, key) {
        (serde_json::Value::Object(members), None) => {
            members.into_iter().for_each(|(key, value)| rows.push(&key, Value::from(Serde(value))));
        }
        (serde_json::Value::Array(items), Some(key)) => {
            for (index, item) in items.into_iter().enumerate() {
                let found = item.get(key).ok_or_else(|| format!("item {} has no `{key}`", index + 1))?;
                let found = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
                rows.push(&found, Value::from(Serde(item)));
            }
        }
        (serde_json::Value::Object(_), Some(_)) => {
            return Err("an object has its keys itself; leave `key` out".to_owned());
        }
        (serde_json::Value::Array(_), None) => {
            return Err("a list wants a `key`: the member by which an item is found".to_owned());
        }
        _ => return Err("neither an object nor a list of objects".to_owned()),
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, content: &[u8], key: Option<&str>) -> (tempfile::TempDir, Table) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        (folder, Table::new(path, key.map(str::to_owned)))
    }

    fn price(rows: &Arc<Rows>, key: &str) -> Option<String> {
        let row = rows.get_value(&Value::from(key))?;
        Some(row.get_attr("price").unwrap().to_string())
    }

    #[test]
    fn rows_are_found_by_their_key_whatever_the_file_is() {
        for (name, content, key) in [
            ("a.csv", "name,price\n苹果, 5.50 \n\"梨, 香\",7\n", None),
            ("a.CSV", "\u{feff}price,name\r\n5.50,苹果\r\n7,\"梨, 香\"\r\n", Some("name")),
            ("a.tsv", "name\tprice\n苹果\t5.50\n梨, 香\t7\n", None),
            ("a.json", r#"{"苹果": {"price": "5.50"}, "梨, 香": {"price": 7}}"#, None),
            ("a.json", r#"[{"n": "苹果", "price": "5.50"}, {"n": "梨, 香", "price": 7}]"#, Some("n")),
        ] {
            let (_folder, table) = table(name, content.as_bytes(), key);
            let rows = table.rows().unwrap_or_else(|why| panic!("{why}"));
            assert_eq!(price(rows, "苹果").as_deref(), Some("5.50"), "{content}");
            assert_eq!(price(rows, " 梨, 香 ").as_deref(), Some("7"), "{content}");
            assert_eq!(price(rows, "桃"), None);
            // The members of a JSON object have no order.
            let in_order = ["苹果", "梨, 香"];
            assert!(
                rows.keys == in_order || (content.starts_with('{') && rows.keys.len() == 2),
                "{:?}",
                rows.keys
            );
        }
    }

    #[test]
    fn of_two_rows_with_one_key_the_first_counts() {
        let (_folder, table) = table("a.csv", b"k,price\na,1\na,2\n", None);
        let rows = table.rows().unwrap();
        assert_eq!(
            (price(rows, "a").as_deref(), rows.repeated.as_slice()),
            (Some("1"), &["a".to_owned()][..])
        );
    }

    #[test]
    fn what_is_no_table_says_why() {
        let large = vec![b'x'; usize::try_from(MAX_TABLE).unwrap() + 1];
        for (name, content, key, why) in [
            ("a.txt", &b"a,b"[..], None, "a .csv, a .tsv or a .json file"),
            ("a.csv", b"a,b\n1\n", None, "found record with 1 fields"),
            ("a.csv", b"a,b\n1,2\n", Some("c"), "no column `c`; there are a, b"),
            ("a.csv", b"\xc4\xe3\n", None, "not UTF-8"),
            ("a.json", b"[1]", Some("k"), "item 1 has no `k`"),
            ("a.json", b"[]", None, "a list wants a `key`"),
            ("a.json", b"{}", Some("k"), "leave `key` out"),
            ("a.json", b"7", None, "neither an object nor a list"),
            ("a.json", b"{", None, "EOF"),
            ("a.csv", &large, None, "larger than 1048576 bytes"),
        ] {
            let (_folder, table) = table(name, content, key);
            let said = table.rows().unwrap_err();
            assert!(said.contains(why), "{name}: {said}");
        }
        assert!(Table::new("/nonexistent/a.csv".into(), None).rows().unwrap_err().contains("cannot read"));
    }

    #[test]
    fn a_file_is_read_when_it_is_asked_for_and_once() {
        let (folder, table) = table("a.csv", b"k,price\na,1\n", None);
        let path = folder.path().join("a.csv");
        std::fs::write(&path, "k,price\na,2\n").unwrap();
        assert_eq!(price(table.rows().unwrap(), "a").as_deref(), Some("2"));
        std::fs::remove_file(path).unwrap();
        assert_eq!(price(table.rows().unwrap(), "a").as_deref(), Some("2"));
    }
}
