//! Manifests: those that Redis writes, those that nobody should, and the way from one to the next.

use super::*;

fn parse(text: &str) -> Result<Manifest, String> {
    Manifest::parse(text.as_bytes(), "appendonly.aof").map_err(|error| error.to_string())
}

fn names(files: &[LogFile]) -> Vec<&str> {
    files.iter().map(|file| &*file.name).collect()
}

/// As redis-server 7.0.15 and 8.6.2 write them after a start and a rewrite.
#[test]
fn the_manifests_of_redis_read_and_print_as_they_are() {
    for text in [
        "file appendonly.aof.1.base.rdb seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n",
        "file appendonly.aof.2.base.rdb seq 2 type b\nfile appendonly.aof.2.incr.aof seq 2 type i startoffset 145\n",
        "file appendonly.aof.1.base.aof seq 1 type b\nfile a.1.incr.aof seq 1 type h\nfile a.2.incr.aof seq 2 type i \
         startoffset 0 endoffset 9\nfile a.3.incr.aof seq 3 type i startoffset 9\n",
        "file \"a name\\x01.1.incr.aof\" seq 7 type i\n",
    ] {
        let manifest = parse(text).expect("Redis reads it");
        assert_eq!(String::from_utf8(manifest.print()).expect("ASCII"), text);
    }
}

#[test]
fn what_later_versions_and_people_add_is_skipped() {
    let text = "# by hand\n\tFILE a.1.base.rdb SEQ 1 color red Type b \r\n#\nfile 'b c' type i seq 3\n";
    let manifest = parse(text).expect("Redis reads it");
    assert_eq!(manifest.print(), b"file a.1.base.rdb seq 1 type b\nfile \"b c\" seq 3 type i\n");
}

#[test]
fn a_manifest_that_is_not_in_form_is_refused_with_its_line() {
    const FORM: &str = "Invalid AOF manifest file format";
    let long = format!("file {} seq 1 type i\n", "x".repeat(LINE_BYTES_MAX));
    for (text, expected) in [
        ("", "Found an empty AOF manifest".to_owned()),
        ("\n", format!("line 1: {FORM}")),
        ("file a seq 1 type i\n\n", format!("line 2: {FORM}")),
        ("file a seq 1\n", format!("line 1: {FORM}")),
        ("file a seq 1 type i more\n", format!("line 1: {FORM}")),
        ("file a seq 1 kind i\n", format!("line 1: {FORM}")),
        ("file \"a seq 1 type i\n", format!("line 1: {FORM}")),
        ("file a\0 seq 1 type i\n", format!("line 1: {FORM}")),
        ("file a seq 1 type i", "line 1: the line has no end: the file was cut off".into()),
        (&long, "line 1: The AOF manifest file contains too long line".into()),
        ("file a file b seq 1 type i\n", "line 1: a key stands twice in the line".into()),
        ("file ../a seq 1 type i\n", "line 1: File can't be a path, just a filename".into()),
        ("file /a seq 1 type i\n", "line 1: File can't be a path, just a filename".into()),
        ("file .. seq 1 type i\n", "line 1: File can't be a path, just a filename".into()),
        ("file \"\" seq 1 type i\n", "line 1: the name is none that a file can have".into()),
        ("file \"a\\x00\" seq 1 type i\n", "line 1: the name is none that a file can have".into()),
        ("file \"\\xff\" seq 1 type i\n", "line 1: the file's name is not UTF-8".into()),
        ("file a seq 0 type i\n", "line 1: the sequence number is none".into()),
        ("file a seq -1 type i\n", "line 1: the sequence number is none".into()),
        ("file a seq 1x type i\n", "line 1: the sequence number is none".into()),
        ("file a seq 9223372036854775807 type i\n", "line 1: the sequence number is none".into()),
        ("file a seq 1 type x\n", "line 1: Unknown AOF file type".into()),
        ("file a seq 1 type incr\n", "line 1: Unknown AOF file type".into()),
        ("file a seq 1 type i startoffset -1\n", "line 1: an offset is no number".into()),
        ("file a seq 1 type b\nfile b seq 2 type b\n", "line 2: Found duplicate base file information".into()),
        ("file a seq 2 type i\nfile b seq 2 type i\n", "line 2: Found a non-monotonic sequence number".into()),
        ("file a seq 2 type i\nfile b seq 1 type i\n", "line 2: Found a non-monotonic sequence number".into()),
        ("file a seq 1 type i\nfile a seq 2 type i\n", "line 2: a file is named twice".into()),
        ("file a seq 1 type b\nfile a seq 1 type i\n", "line 2: a file is named twice".into()),
        ("file appendonly.aof.manifest seq 1 type i\n", "line 1: the manifest names itself".into()),
    ] {
        assert_eq!(parse(text), Err(expected), "{text}");
    }
}

#[test]
fn no_bytes_make_it_panic_and_what_is_read_prints_to_the_same() {
    let seeds = ["file a.1.base.rdb seq 1 type b\n", "file 'x y' seq 12 type i startoffset 3 endoffset 4\n", "# c\n"];
    let mut prng = crate::base::prng::Prng::seeded(7);
    for _ in 0..20_000 {
        let mut bytes: Vec<u8> = (0..prng.below(4)).flat_map(|_| seeds[prng.below(3) as usize].bytes()).collect();
        for _ in 0..prng.below(4) {
            if !bytes.is_empty() {
                let at = prng.below(bytes.len() as u64) as usize;
                bytes[at] = prng.below(256) as u8;
            }
        }
        if let Ok(manifest) = Manifest::parse(&bytes, "s")
            && !manifest.print().is_empty()
        {
            assert_eq!(Manifest::parse(&manifest.print(), "s").as_ref(), Ok(&manifest), "{}", bytes.escape_ascii());
        }
    }
}

#[test]
fn a_rewrite_makes_history_of_what_its_base_holds() {
    let mut manifest = Manifest::default();
    assert!(manifest.is_empty());
    let base = manifest.next_base("a", true, 0);
    manifest.replace_base(base, 1);
    assert_eq!(manifest.begin_increment("a", 0).name, "a.1.incr.aof");
    assert_eq!(manifest.begin_increment("a", 0).name, "a.2.incr.aof");
    assert_eq!(
        manifest.print(),
        b"file a.1.base.rdb seq 1 type b\nfile a.1.incr.aof seq 1 type i\nfile a.2.incr.aof seq 2 \
type i\n"
    );
    let base = manifest.next_base("a", false, 0);
    manifest.replace_base(base, 2);
    assert_eq!(manifest.base().map(|base| &*base.name), Some("a.2.base.aof"));
    assert_eq!(names(manifest.increments()), ["a.2.incr.aof"]);
    assert_eq!(names(manifest.history()), ["a.1.base.rdb", "a.1.incr.aof"]);
    assert_eq!(parse(&String::from_utf8(manifest.print()).expect("ASCII")).as_ref(), Ok(&manifest));
    manifest.forget(|file| file.name == "a.1.base.rdb");
    assert_eq!(names(manifest.history()), ["a.1.incr.aof"]);
    manifest.forget(|_| true);
    assert_eq!(names(&manifest.files().cloned().collect::<Vec<_>>()), ["a.2.base.aof", "a.2.incr.aof"]);
}

/// A file that could not be removed yet must not be written to as if it were new.
#[test]
fn a_new_file_never_has_the_name_of_one_in_the_history() {
    let text = "file a.1.base.rdb seq 1 type b\nfile a.5.base.rdb seq 5 type h\nfile a.9.incr.aof seq 9 type h\n";
    let mut manifest = parse(text).expect("in form");
    assert_eq!(manifest.next_base("a", true, 0).name, "a.6.base.rdb");
    assert_eq!(manifest.begin_increment("a", 0).name, "a.10.incr.aof");
    assert_eq!(manifest.begin_increment("a", 20).name, "a.21.incr.aof");
    assert_eq!(manifest.next_base("a", false, 7).name, "a.8.base.aof");
}

/// A byte that stands for itself takes four when it is escaped.
#[test]
fn a_name_that_would_not_fit_into_a_line_once_it_is_escaped_is_refused() {
    let with_name_of = |bytes: usize| {
        let name = format!("{}n", "\u{18}".repeat(bytes));
        parse(&format!("file {name} seq 3 type b\n"))
    };
    let manifest = with_name_of(240).expect("its line has 1000 bytes at most");
    assert_eq!(Manifest::parse(&manifest.print(), "a"), Ok(manifest));
    assert_eq!(with_name_of(254), Err("line 1: the name is too long with its bytes escaped".to_owned()));
}
