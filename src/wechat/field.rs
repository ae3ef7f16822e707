//! How a table of fields becomes types that read themselves from XML.
//!
//! [`message`](super::message) and [`event`](super::event) list what WeChat sends, a row for each kind, a line for
//! each field: our name, its type, and where it lies. This file makes enums and structs of those lists.
//!
//! A place is a path of element names, as `SendPicsInfo/PicList/item`. Siblings of one name all count, on every
//! step: WeChat sends one list of many items or many lists of one item, and both read alike.

use super::xml::Element;

/// Something read from the fields of one element.
pub(super) trait Record<'m>: Sized {
    /// Never fails: what is absent or unreadable is `None`, since fields come, go and change over the years.
    fn read(fields: &'m Element<'m>) -> Self;

    /// Calls `each` with the place of every field.
    fn each_path(each: &mut dyn FnMut(&'static str));
}

/// The type of a field.
pub(super) trait Field<'m> {
    /// Reads the field at `path` below `fields`.
    fn read(fields: &'m Element<'m>, path: &str) -> Self;
}

/// One value out of one element.
pub(super) trait Value<'m>: Sized {
    fn from_element(element: &'m Element<'m>) -> Option<Self>;
}

/// The text word for word, white space included; empty if absent. For what a user wrote or said.
impl<'m> Field<'m> for &'m str {
    fn read(fields: &'m Element<'m>, path: &str) -> Self {
        fields.child(path).map_or("", |element| &element.text)
    }
}

impl<'m, T: Value<'m>> Field<'m> for Option<T> {
    fn read(fields: &'m Element<'m>, path: &str) -> Self {
        let mut found = None;
        visit(fields, path, &mut |element| {
            if found.is_none() {
                found = T::from_element(element);
            }
        });
        found
    }
}

impl<'m, T: Value<'m>> Field<'m> for Vec<T> {
    fn read(fields: &'m Element<'m>, path: &str) -> Self {
        let mut found = Vec::new();
        visit(fields, path, &mut |element| found.extend(T::from_element(element)));
        found
    }
}

/// Calls `each` for every element at `path`. Recurses over our own path, never over the depth of the input.
fn visit<'m>(parent: &'m Element<'m>, path: &str, each: &mut dyn FnMut(&'m Element<'m>)) {
    let (name, deeper) = path.split_once('/').map_or((path, None), |(name, rest)| (name, Some(rest)));
    for child in parent.children.iter().filter(|child| child.name == name) {
        match deeper {
            Some(rest) => visit(child, rest, each),
            None => each(child),
        }
    }
}

/// Trimmed; empty is as good as absent.
impl<'m> Value<'m> for &'m str {
    fn from_element(element: &'m Element<'m>) -> Option<Self> {
        Some(element.trimmed()).filter(|text| !text.is_empty())
    }
}

impl<'m> Value<'m> for u64 {
    fn from_element(element: &'m Element<'m>) -> Option<Self> {
        element.trimmed().parse().ok()
    }
}

impl<'m> Value<'m> for f64 {
    fn from_element(element: &'m Element<'m>) -> Option<Self> {
        element.trimmed().parse().ok().filter(|number: &f64| number.is_finite())
    }
}

impl<'m> Value<'m> for bool {
    fn from_element(element: &'m Element<'m>) -> Option<Self> {
        match element.trimmed() {
            "1" | "true" => Some(true),
            "0" | "false" => Some(false),
            _ => None,
        }
    }
}

/// A struct of fields. Every struct can be a row's content, a field, or an item of a list.
macro_rules! record {
    (
        $(#[$doc:meta])*
        pub struct $Name:ident<$m:lifetime> {
            $( $(#[$field_doc:meta])* $field:ident: $Type:ty = $path:literal, )*
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $Name<$m> {
            $( #[doc = concat!("`", $path, "`.")] $(#[$field_doc])* pub $field: $Type, )*
        }

        impl<$m> $crate::wechat::field::Record<$m> for $Name<$m> {
            fn read(fields: &$m $crate::wechat::xml::Element<$m>) -> Self {
                Self { $( $field: $crate::wechat::field::Field::read(fields, $path), )* }
            }

            fn each_path(each: &mut dyn FnMut(&'static str)) {
                $( each($path); )*
            }
        }

        impl<$m> $crate::wechat::field::Value<$m> for $Name<$m> {
            fn from_element(element: &$m $crate::wechat::xml::Element<$m>) -> Option<Self> {
                Some($crate::wechat::field::Record::read(element))
            }
        }
    };
}

/// An enum with a row for each kind: the name on the wire (and others for the same), the variant, and either fields
/// or a record that holds them.
macro_rules! kinds {
    (
        $(#[$doc:meta])*
        pub enum $Name:ident<$m:lifetime>;

        $(#[$known_doc:meta])*
        pub const $KNOWN:ident;

        $(
            $(#[$row_doc:meta])*
            $wire:literal $(| $alias:literal)* => $Variant:ident
            $( { $( $(#[$field_doc:meta])* $field:ident: $Type:ty = $path:literal, )* } )?
            $( ($Record:ty) )?;
        )*
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        #[non_exhaustive]
        pub enum $Name<$m> {
            $(
                #[doc = concat!("`", $wire, "`", $( " or `", $alias, "`", )* ".")]
                $(#[$row_doc])*
                $Variant
                $( { $( #[doc = concat!("`", $path, "`.")] $(#[$field_doc])* $field: $Type, )* } )?
                $( ($Record) )?,
            )*
            /// A kind that we do not know: the message's `fields` hold everything.
            Unknown {
                /// The name on the wire; empty if there was none.
                name: &$m str,
            },
        }

        $(#[$known_doc])*
        pub const $KNOWN: &[&str] = &[$( $wire, )*];

        impl<$m> $Name<$m> {
            /// The name on the wire. Where several mean the same, the usual one, whichever came.
            #[must_use]
            pub fn name(&self) -> &$m str {
                match self {
                    $( Self::$Variant { .. } => $wire, )*
                    Self::Unknown { name } => name,
                }
            }

            /// Calls `each` with the place of every field that a kind has.
            pub(super) fn each_path(each: &mut dyn FnMut(&'static str)) {
                $(
                    $( $( each($path); )* )?
                    $( <$Record as $crate::wechat::field::Record<$m>>::each_path(each); )?
                )*
            }

            /// The kind called `name`, filled from `fields`.
            fn of_kind(name: &$m str, fields: &$m $crate::wechat::xml::Element<$m>) -> Self {
                match name {
                    $(
                        $wire $(| $alias)* => Self::$Variant
                        $( { $( $field: $crate::wechat::field::Field::read(fields, $path), )* } )?
                        $( (<$Record as $crate::wechat::field::Record<$m>>::read(fields)) )?,
                    )*
                    name => Self::Unknown { name },
                }
            }
        }
    };
}

pub(super) use {kinds, record};

#[cfg(test)]
mod tests {
    use super::super::xml;
    use super::*;

    fn read<T: for<'m> Field<'m> + 'static>(inner: &str, path: &str) -> T {
        let body = format!("<xml>{inner}</xml>");
        T::read(&xml::parse(body.as_bytes()).unwrap(), path)
    }

    #[test]
    fn a_number_that_is_none_is_absent() {
        assert_eq!(read::<Option<u64>>("<A> 7 </A>", "A"), Some(7));
        assert_eq!(read::<Option<u64>>("<A><![CDATA[18446744073709551615]]></A>", "A"), Some(u64::MAX));
        for bad in ["", "-1", "1.5", "x", "18446744073709551616"] {
            assert_eq!(read::<Option<u64>>(&format!("<A>{bad}</A>"), "A"), None, "{bad}");
        }
        assert_eq!(read::<Option<f64>>("<A>-23.134521</A>", "A"), Some(-23.134_521));
        for bad in ["", "NaN", "inf", "1e999", "23,1"] {
            assert_eq!(read::<Option<f64>>(&format!("<A>{bad}</A>"), "A"), None, "{bad}");
        }
        let flags: [Option<bool>; 6] =
            ["0", "1", "true", "false", "2", ""].map(|flag| read(&format!("<A>{flag}</A>"), "A"));
        assert_eq!(flags, [Some(false), Some(true), Some(true), Some(false), None, None]);
    }

    #[test]
    fn one_list_of_two_items_and_two_lists_of_one_read_alike() {
        let one = "<L><i><n>1</n></i><i><n>2</n></i></L>";
        let two = "<L><i><n>1</n></i></L><x/><L><i><n>2</n></i></L>";
        for inner in [one, two] {
            assert_eq!(read::<Vec<u64>>(inner, "L/i/n"), [1, 2]);
        }
        assert!(read::<Vec<u64>>("<L/>", "L/i/n").is_empty());
        assert_eq!(read::<Vec<u64>>("<L>1</L><L/><L>x</L><L>2</L>", "L"), [1, 2]);
    }
}
