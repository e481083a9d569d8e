//! What there are lists of: issues, changes and commits, each with the fields that filters, columns and exports share.

mod cl;
mod commit;
mod issue;

use maintner::{Change, View};

pub(crate) use crate::kinds::cl::Cls;
#[cfg(feature = "export")]
pub(crate) use crate::kinds::commit::BranchCommit;
pub(crate) use crate::kinds::commit::Commits;
pub(crate) use crate::kinds::issue::Issues;
use crate::value::{FieldDef, Type, Value};

/// A kind of rows, and so a table.
pub(crate) trait Kind: 'static + Sized {
    /// What the help calls them.
    const NAME: &'static str;
    const FIELDS: &'static [Field<Self>];
    type Row<'v>: Clone;
    /// What was seen so far, if later rows depend on it.
    type Seen: Default;

    /// All rows, in the order in which they are listed.
    fn rows<'v>(
        view: &'v View,
        scope: &'v Scope,
        seen: &'v mut Self::Seen,
    ) -> Box<dyn Iterator<Item = Self::Row<'v>> + 'v>;
}

/// A kind that there is a list of.
pub(crate) trait Listed: Kind {
    /// The fields that a table shows if nobody says which.
    const COLUMNS: &'static [&'static str];

    /// The rows that are new or other than before.
    fn changed<'v>(
        view: &'v View,
        scope: &Scope,
        change: &Change,
        seen: &mut Self::Seen,
    ) -> Vec<Self::Row<'v>>;
}

/// A field, and how a row of a view gives it.
pub(crate) struct Field<K: Kind> {
    pub(crate) def: FieldDef,
    pub(crate) get: for<'v> fn(&'v View, &K::Row<'v>) -> Value<'v>,
}

impl<K: Kind> Field<K> {
    pub(crate) const fn new(
        name: &'static str,
        ty: Type,
        help: &'static str,
        get: for<'v> fn(&'v View, &K::Row<'v>) -> Value<'v>,
    ) -> Self {
        let def = FieldDef { name, ty, help };
        Self { def, get }
    }
}

/// The fields of a kind, without how to get them.
pub(crate) fn defs<K: Kind>() -> Vec<FieldDef> {
    K::FIELDS.iter().map(|field| field.def).collect()
}

/// The index of a field that exists.
pub(crate) fn index_of<K: Kind>(name: &str) -> usize {
    let index = K::FIELDS.iter().position(|field| field.def.name == name);
    index.unwrap_or_else(|| panic!("{} have no field {name}", K::NAME))
}

/// What is looked through.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    /// This project or repository, whole or without what stands before its last slash.
    pub(crate) project: Option<String>,
    /// This branch.
    pub(crate) branch: Option<String>,
    /// Private changes too.
    pub(crate) private: bool,
}

impl Scope {
    /// Whether a project, `HOST/NAME` or `OWNER/NAME`, is looked through.
    pub(crate) fn has_project(&self, host: &str, name: &str) -> bool {
        let Some(wanted) = &self.project else {
            return true;
        };
        wanted == name
            || wanted
                .strip_prefix(host)
                .and_then(|rest| rest.strip_prefix('/'))
                .is_some_and(|rest| rest == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn projects_are_named_with_or_without_their_host() {
        let scope = |project: &str| Scope {
            project: Some(project.to_owned()),
            ..Scope::default()
        };
        for wanted in ["build", "go.googlesource.com/build"] {
            assert!(scope(wanted).has_project("go.googlesource.com", "build"));
        }
        for other in [
            "buil",
            "/build",
            "x.googlesource.com/build",
            "googlesource.com/build",
        ] {
            assert!(!scope(other).has_project("go.googlesource.com", "build"));
        }
        assert!(Scope::default().has_project("any", "project"));
    }

    fn is_consistent<K: Listed>() {
        let mut names: Vec<_> = defs::<K>().iter().map(|field| field.name).collect();
        for column in K::COLUMNS {
            index_of::<K>(column);
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), K::FIELDS.len());
        for field in defs::<K>() {
            assert!(!field.help.is_empty());
            assert!(
                field
                    .name
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b == b'_')
            );
            // Words of the filter language.
            assert!(!["and", "or", "not", "in", "none"].contains(&field.name));
        }
    }

    #[test]
    fn fields_have_names_of_their_own_and_columns_are_fields() {
        is_consistent::<Issues>();
        is_consistent::<Cls>();
        is_consistent::<Commits>();
    }
}
