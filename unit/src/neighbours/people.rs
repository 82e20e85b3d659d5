//! Texts for people.

/// Names of texts for people and for the tools of a repository, without what is behind the first dot, in small letters.
const FOR_PEOPLE: &[&str] = &[
    "readme",
    "license",
    "licence",
    "copying",
    "notice",
    "authors",
    "changelog",
    "changes",
    "contributing",
    "codeowners",
    "maintainers",
    "makefile",
    "justfile",
    "docs",
    "doc",
    "licenses",
];
/// What a program reads, whatever it is called: `notice.yaml`, `changes.json`.
const FOR_PROGRAMS_ENDINGS: &[&str] = &[
    "yaml", "yml", "json", "conf", "cfg", "ini", "tar", "tgz", "oci",
];
const FOR_PEOPLE_ENDINGS: &[&str] = &["md", "markdown", "txt", "adoc", "rst", "html", "pdf"];

/// `small` is the name of a file or folder in small letters.
pub(super) fn is_for_people(small: &str) -> bool {
    let (base, end) = small.split_once('.').unwrap_or((small, ""));
    let last = end.rsplit('.').next().unwrap_or(end);
    FOR_PEOPLE_ENDINGS.contains(&last)
        || (FOR_PEOPLE.contains(&base) && !FOR_PROGRAMS_ENDINGS.contains(&last))
}
