//! Patterns against a naive twin, and facts that Redis was asked for.

use super::*;
use crate::base::prng::Prng;

/// One element of a pattern, as the twin sees it.
enum Part {
    Star,
    One(Box<[bool; 256]>),
}

/// The twin's front half: turns the pattern into sets of bytes, by index rather than by slice.
fn parts(pattern: &[u8], nocase: bool) -> Vec<Part> {
    let set = |member: &dyn Fn(u8) -> bool| Part::One(Box::new(std::array::from_fn(|byte| member(byte as u8))));
    let fold = |byte: u8| if nocase { byte.to_ascii_lowercase() } else { byte };
    let (mut found, mut at) = (Vec::new(), 0);
    while at < pattern.len() {
        match pattern[at] {
            b'*' => found.push(Part::Star),
            b'?' => found.push(set(&|_| true)),
            b'[' => {
                at += 1;
                let negated = pattern.get(at) == Some(&b'^');
                at += usize::from(negated);
                let mut members = [false; 256];
                while at < pattern.len() && pattern[at] != b']' {
                    if pattern[at] == b'\\' && at + 1 < pattern.len() {
                        members[usize::from(pattern[at + 1])] = true;
                        at += 2;
                    } else if at + 2 < pattern.len() && pattern[at + 1] == b'-' {
                        let mut ends = [pattern[at] as i8, pattern[at + 2] as i8];
                        ends.sort();
                        let ends = ends.map(|end| fold(end as u8) as i8);
                        for byte in 0..=255u8 {
                            let folded = fold(byte) as i8;
                            members[usize::from(byte)] |= ends[0] <= folded && folded <= ends[1];
                        }
                        at += 3;
                    } else {
                        let literal = pattern[at];
                        (0..=255u8).for_each(|byte| members[usize::from(byte)] |= fold(byte) == fold(literal));
                        at += 1;
                    }
                }
                found.push(set(&|byte| members[usize::from(byte)] != negated));
            }
            byte => {
                let escaped = byte == b'\\' && at + 1 < pattern.len();
                at += usize::from(escaped);
                let literal = pattern[at];
                found.push(set(&|byte| fold(byte) == fold(literal)));
            }
        }
        at += 1;
    }
    found
}

/// The twin's back half: plain recursion over every way to spread the text over the stars.
fn naive(parts: &[Part], text: &[u8]) -> bool {
    match parts {
        [] => text.is_empty(),
        [Part::Star, rest @ ..] => (0..=text.len()).any(|taken| naive(rest, &text[taken..])),
        [Part::One(set), rest @ ..] => {
            text.split_first().is_some_and(|(byte, after)| set[usize::from(*byte)] && naive(rest, after))
        }
    }
}

fn text_of(prng: &mut Prng, alphabet: &[u8], len_max: u64) -> Vec<u8> {
    (0..prng.below(len_max + 1)).map(|_| *prng.pick(alphabet).unwrap()).collect()
}

#[test]
fn matches_naive() {
    let mut prng = Prng::seeded(1);
    let mut hits = 0;
    for round in 0..200_000u64 {
        let (pattern_bytes, text_bytes): (&[u8], &[u8]) = match round % 3 {
            0 => (b"ab*", b"ab"),
            1 => (b"aB*?[]^-\\", b"abAB-]"),
            _ => (b"[[a-z\\]^-\xff\x80A*", b"amzAMZ\xff\x80\x7f[-"),
        };
        let pattern = text_of(&mut prng, pattern_bytes, 8);
        let text = text_of(&mut prng, text_bytes, 7);
        let nocase = prng.chance(1, 2);
        let expected = if text.is_empty() { pattern.is_empty() } else { naive(&parts(&pattern, nocase), &text) };
        hits += u32::from(expected);
        assert_eq!(matches(&pattern, &text, nocase), expected, "{pattern:?} on {text:?}, nocase {nocase}");
    }
    assert!(hits > 10_000, "the alphabets should make matches common: {hits}");
}

/// Facts checked by hand, and on Redis 8.2 with KEYS.
#[test]
fn known_patterns() {
    let yes: &[(&[u8], &[u8])] = &[
        (b"", b""),
        (b"h?llo", b"hello"),
        (b"h*llo", b"hllo"),
        (b"h[ae]llo", b"hallo"),
        (b"h[^e]llo", b"hallo"),
        (b"h[a-b]llo", b"hbllo"),
        (b"h[b-a]llo", b"hallo"),
        (b"a\\*b", b"a*b"),
        (b"a\\", b"a\\"),
        (b"[\\]]", b"]"),
        (b"[abc", b"c"),
        (b"[^]", b"x"),
        (b"a***", b"a"),
        (b"*a*b*", b"xxaxxb"),
        (b"[\xff-a]", b"\xff"),
        (b"[\xff-a]", b"0"),
        (b"\xff*", b"\xff\xfe"),
    ];
    let no: &[(&[u8], &[u8])] = &[
        (b"*", b""),
        (b"", b"a"),
        (b"h?llo", b"hllo"),
        (b"h[^e]llo", b"hello"),
        (b"[]", b"]"),
        (b"[", b"["),
        (b"\\*", b"a"),
        (b"a?", b"a"),
        (b"*a", b"ab"),
        (b"A", b"a"),
        (b"[\xff-a]", b"\x80"),
    ];
    for (pattern, text) in yes {
        assert!(matches(pattern, text, false), "{pattern:?} {text:?}");
    }
    for (pattern, text) in no {
        assert!(!matches(pattern, text, false), "{pattern:?} {text:?}");
    }
    assert!(matches(b"MaxMem*", b"maxMEMory", true));
    assert!(matches(b"[A-C]x", b"bX", true));
    assert!(!matches(b"[\\A]", b"a", true));
}

#[test]
fn more_than_a_thousand_stars_match_nothing() {
    let text = vec![b'a'; 3_000];
    for (stars, tail, expected) in [(1_000, "", true), (1_000, "*", true), (1_001, "", false), (1_001, "*", false)] {
        let pattern = "*a".repeat(stars) + tail;
        assert_eq!(matches(pattern.as_bytes(), &text, false), expected, "{stars} {tail}");
    }
}

/// Matchers that try every place of the text with all of the pattern, or read classes again at each, take minutes for these;
/// exponential ones would not end within the age of the universe.
#[test]
fn hostile_patterns_are_cheap() {
    let text = vec![b'a'; 200_000];
    let long = "a".repeat(20_000);
    let class = format!("[{}]", "bc-d".repeat(5_000));
    for pattern in [
        "a*".repeat(900) + "b",
        "*?".repeat(900) + "b",
        "a*".repeat(900) + "b*",
        "*a".repeat(50) + "*b",
        format!("*{long}b"),
        format!("*{long}b*"),
        format!("*?{long}b*"),
        format!("*{long}[b]*"),
        format!("*{long}[^a]*"),
        format!("*{}b*", "a?".repeat(10_000)),
        format!("*{}b*{long}", "[a]?".repeat(9_000)),
        format!("*{class}"),
        format!("*{class}*"),
        format!("*a{class}*"),
        format!("*{}*", format!("a{class}").repeat(3)),
        "[".repeat(20_000),
        format!("*{}*", "[ab]".repeat(20_000) + "c"),
    ] {
        assert!(!matches(pattern.as_bytes(), &text, false), "{}", &pattern[..60]);
    }
    for pattern in ["*".repeat(20_000), format!("*{}*", "[ab]?".repeat(30_000)), format!("{long}*[ab]{long}*a")] {
        assert!(matches(pattern.as_bytes(), &text, false), "{}", &pattern[..60]);
    }
}

/// Every position of a text is a place where a run nearly matches, so that the search changes to all places at once.
#[test]
fn a_search_of_all_places_at_once_finds_what_one_by_one_does() {
    let mut prng = Prng::seeded(3);
    let mut found = 0;
    for _ in 0..2_000 {
        let len = 1 + prng.below(200) as usize;
        let mut run = |one: &str, two: &str| if prng.chance(1, 2) { one.to_owned() } else { two.to_owned() };
        let pattern: String = (0..len).map(|_| run("[ab]", "?")).collect::<String>() + &run("b", "[bc]");
        let pattern = Pattern::new(pattern.as_bytes(), false);
        let Run::Mixed(elements) = &pattern.head else { continue };
        let text: Vec<u8> = (0..prng.below(600)).map(|_| if prng.chance(1, 300) { b'b' } else { b'a' }).collect();
        let first = text
            .windows(elements.len())
            .position(|window| count_matching(elements, &pattern.classes, window) == elements.len());
        let expected = first.map(|at| at + elements.len());
        assert_eq!(find_in_parallel(elements, &pattern.classes, &text), expected);
        assert_eq!(find_mixed(elements, &pattern.classes, &text), expected);
        found += u32::from(expected.is_some());
    }
    assert!((400..1_600).contains(&found), "{found}");
}

#[test]
fn patterns_beyond_the_limits_match_nothing_and_those_at_them_do() {
    let text = vec![b'a'; 2 * RUN_LEN_MAX];
    let run = |len: usize| format!("*{}*", "?".repeat(len));
    assert!(matches(run(RUN_LEN_MAX).as_bytes(), &text, false));
    assert!(!matches(run(RUN_LEN_MAX + 1).as_bytes(), &text, false));
    // Plain bytes are not limited, nor is what stands at an end of the text.
    assert!(matches(format!("*{}*", "a".repeat(RUN_LEN_MAX + 1)).as_bytes(), &text, false));
    assert!(matches(format!("{}*?", "?".repeat(RUN_LEN_MAX + 1)).as_bytes(), &text, false));
    assert!(matches(format!("*{}", "[ab]".repeat(RUN_LEN_MAX + 1)).as_bytes(), &text, false));
    let classes = |count: usize| "[ab][ac]".repeat(count / 2) + &"[ab]".repeat(count % 2) + "*";
    assert!(matches(classes(CLASSES_MAX).as_bytes(), &text, false));
    assert!(!matches(classes(CLASSES_MAX + 1).as_bytes(), &text, false));
}

/// With few bytes to choose from, long runs of every kind are found and missed at every place.
#[test]
fn long_texts_match_as_the_naive_twin_says() {
    let mut prng = Prng::seeded(4);
    let mut hits = 0;
    for _ in 0..3_000 {
        let pieces: [&[u8]; 9] = [b"a", b"a", b"b", b"*", b"?", b"[ab]", b"[^a]", b"[A-b]", b"aaaab"];
        let mut pattern = Vec::new();
        let mut stars = 0;
        for _ in 0..prng.below(12) {
            let piece = *prng.pick(&pieces).unwrap();
            stars += usize::from(piece == b"*");
            // The twin takes time exponential in their number.
            if piece != b"*" || stars <= 3 {
                pattern.extend_from_slice(piece);
            }
        }
        let text: Vec<u8> = (0..1 + prng.below(60)).map(|_| if prng.chance(1, 8) { b'b' } else { b'a' }).collect();
        let nocase = prng.chance(1, 2);
        let expected = naive(&parts(&pattern, nocase), &text);
        hits += u32::from(expected);
        assert_eq!(matches(&pattern, &text, nocase), expected, "{pattern:?} on {text:?}, nocase {nocase}");
    }
    assert!(hits > 150, "{hits}");
}

#[test]
fn literal_parts() {
    for (pattern, prefix) in
        [("", ""), ("abc", "abc"), ("a*c", "a"), ("user:?", "user:"), ("x[ab]", "x"), ("a\\*", "a"), ("*", "")]
    {
        assert_eq!(literal_prefix(pattern.as_bytes()), prefix.as_bytes());
    }
    assert_eq!(literal_prefix(b"a]^-b"), b"a]^-b");
}

#[test]
fn every_match_begins_with_the_literal_prefix() {
    let mut prng = Prng::seeded(2);
    for _ in 0..50_000 {
        let pattern = text_of(&mut prng, b"aab*?[]\\", 6);
        let text = text_of(&mut prng, b"aab]", 6);
        if matches(&pattern, &text, false) {
            assert!(text.starts_with(literal_prefix(&pattern)), "{pattern:?} {text:?}");
        }
        if literal_prefix(&pattern).len() == pattern.len() {
            assert_eq!(matches(&pattern, &text, false), pattern == text);
        }
    }
}

#[test]
fn patterns_that_are_kept_match_as_compiled_ones_do() {
    let (mut prng, mut one_star) = (Prng::seeded(71), 0);
    for _ in 0..60_000 {
        let pattern: Vec<u8> = (0..prng.below(7)).map(|_| *prng.pick(b"aab*b?[\\]").expect("not empty")).collect();
        let text: Vec<u8> = (0..prng.below(7)).map(|_| *prng.pick(b"aab*").expect("not empty")).collect();
        let kept = KeptPattern::new(&pattern);
        one_star += u32::from(matches!(kept, KeptPattern::OneStar(_)));
        let expected = matches(&pattern, &text, false);
        assert_eq!(kept.matches(&pattern, &text), expected, "{} {}", pattern.escape_ascii(), text.escape_ascii());
    }
    assert!(one_star > 3_000, "{one_star}");
    assert!(!KeptPattern::new(b"*").matches(b"*", b"") && KeptPattern::new(b"").matches(b"", b""));
}
