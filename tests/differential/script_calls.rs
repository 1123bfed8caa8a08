//! Calls of the libraries that scripts have, by chance: values in, bytes out, and the other way around.

use crate::rng::Rng;

/// A call, as an expression or a chunk of Lua that answers something.
pub fn call(rng: &mut Rng) -> String {
    match rng.below(12) {
        0 => format!("cjson.encode({})", number(rng)),
        1 => format!("cjson.encode({})", value(rng, 0)),
        2 => format!("cjson.decode('{}')", many(rng, 9, |rng| (*rng.pick(TOKENS)).to_owned()).concat()),
        3 => {
            let text = json(rng, 0);
            format!("cjson.decode('{}')", damaged(rng, &text))
        }
        4 => format!("cjson.encode(cjson.decode('{}'))", json(rng, 0)),
        5 => format!("cmsgpack.pack({})", value(rng, 0)),
        6 => format!("cmsgpack.unpack({})", literal(&packed(rng, 0))),
        7 => {
            let stream = literal(&[packed(rng, 0), packed(rng, 0)].concat());
            format!("cmsgpack.unpack_limit({stream}, {}, {})", rng.below(4), rng.below(6))
        }
        8 => {
            let values = many(rng, 5, |rng| if rng.chance(60) { number(rng) } else { value(rng, 2) });
            format!(
                "struct.pack('{}'{})",
                format(rng),
                values.iter().map(|value| format!(", {value}")).collect::<String>()
            )
        }
        9 => {
            let count = rng.below(40);
            let offset = if rng.chance(50) { format!(", {}", rng.between(-3, 12)) } else { String::new() };
            format!("struct.unpack('{}', {}{offset})", format(rng), literal(&bytes(rng, count)))
        }
        10 => format!("bit.{}({}, {})", rng.pick(OPERATIONS), number(rng), number(rng)),
        _ => {
            let set = format!(
                "c.encode_number_precision({}) c.encode_sparse_array({}, {}, {}) c.encode_invalid_numbers({})",
                rng.between(1, 14),
                rng.chance(50),
                // With 0 a table with one high index is gigabytes of null.
                rng.between(1, 4),
                rng.below(8),
                rng.pick(&["false", "true", "'null'"]),
            );
            format!("local c = cjson.new() {set} return c.encode({})", value(rng, 0))
        }
    }
}

const OPERATIONS: &[&str] =
    &["band", "bor", "bxor", "lshift", "rshift", "arshift", "rol", "ror", "tohex", "bswap", "tobit", "bnot"];

/// Tokens of JSON and what is nearly one, as they stand in a string of Lua's.
const TOKENS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"a\"",
    "\"b\\\\u00e9\"",
    "1",
    "-2.5e3",
    "true",
    "false",
    "null",
    " ",
    "0x1F",
    "nan",
    "inf",
    "\"\\\\ud83d\\\\ude00\"",
    "\\000",
    "01",
    "\"",
    "\\\\",
    "1e",
    "x",
];

/// Up to `most` of something.
fn many(rng: &mut Rng, most: usize, one: impl Fn(&mut Rng) -> String) -> Vec<String> {
    (0..rng.below(most)).map(|_| one(rng)).collect()
}

fn bytes(rng: &mut Rng, count: usize) -> Vec<u8> {
    (0..count).map(|_| rng.next() as u8).collect()
}

/// Bytes as a string of Lua's.
fn literal(bytes: &[u8]) -> String {
    format!("'{}'", bytes.iter().map(|byte| format!("\\{byte:03}")).collect::<String>())
}

/// An expression for a number.
fn number(rng: &mut Rng) -> String {
    match rng.below(9) {
        0 => rng.between(-300, 300).to_string(),
        1 => format!("{:?}", rng.between(-1_000_000_000, 1_000_000_000) as f64 / 1024.0),
        2 => format!("{:e}", f64::from_bits(rng.next())).replace("NaN", "0/0").replace("inf", "1/0"),
        3 => format!("{}/{}", rng.between(1, 1_000_000), rng.between(1, 1_000_000)),
        4 => format!("2^{}{}", rng.between(-1080, 1030), rng.pick(&["", "+1", "-1", "+0.5"])),
        5 => (rng.next() as i64 >> rng.below(64)).to_string(),
        6 => (*rng.pick(&["1/0", "-1/0", "0/0", "-0", "2^31", "2^32", "2^63", "2^64"])).to_owned(),
        7 => format!("{}/1000", rng.next() >> (5 + rng.below(59))),
        _ => format!("{}.{:0width$}", rng.below(100), rng.below(1000), width = rng.between(1, 16) as usize),
    }
}

fn string(rng: &mut Rng) -> String {
    let mut text = Vec::new();
    for _ in 0..rng.below(12) {
        let any = rng.next() as u8;
        text.push(*rng.pick(&[any, b'a', b'/', b'"', b'\\', 0, b'\n', 0x7f]));
    }
    literal(&text)
}

/// An expression for a value.
fn value(rng: &mut Rng, depth: usize) -> String {
    match rng.below(10) {
        0..3 => number(rng),
        3..5 => string(rng),
        5 => (*rng.pick(&["true", "false", "nil", "cjson.null"])).to_owned(),
        _ if depth > 3 => number(rng),
        6..8 => format!("{{{}}}", many(rng, 5, |rng| value(rng, depth + 1)).join(",")),
        _ => format!("{{{}}}", many(rng, 5, |rng| format!("[{}]={}", key(rng), value(rng, depth + 1))).join(",")),
    }
}

/// An expression for a key of a table.
fn key(rng: &mut Rng) -> String {
    match rng.below(5) {
        0 => rng.between(-2, 14).to_string(),
        1 => string(rng),
        2 => number(rng).replace("0/0", "7"),
        3 => rng.between(1, 5).to_string(),
        _ if rng.chance(5) => "true".to_owned(),
        _ => "2".to_owned(),
    }
}

/// JSON, as it stands in a string of Lua's.
fn json(rng: &mut Rng, depth: usize) -> String {
    const NUMBERS: &[&str] = &["1", "0.5", "-3e2", "1e-7", "12345678901234567890", "4.35", "0x1.8p1", "1e400"];
    const STRINGS: &[&str] = &["", "a", "\\\\n", "\\\\u0041", "\\\\/", "\\195\\169", "\\\\ud800\\\\udc00"];
    match rng.below(9) {
        0..2 => (*rng.pick(NUMBERS)).to_owned(),
        2..4 => format!("\"{}\"", rng.pick(STRINGS)),
        4 => (*rng.pick(&["true", "null", "false"])).to_owned(),
        _ if depth > 4 => "0".to_owned(),
        5..7 => format!("[{}]", many(rng, 4, |rng| json(rng, depth + 1)).join(",")),
        _ => {
            let pairs = many(rng, 4, |rng| format!("\"{}\":{}", rng.pick(&["a", "b", "c", "d"]), json(rng, depth + 1)));
            format!("{{{}}}", pairs.join(","))
        }
    }
}

/// A text with a few characters taken out or put in. Escapes of Lua's are left whole.
fn damaged(rng: &mut Rng, text: &str) -> String {
    let mut characters: Vec<String> = Vec::new();
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        match character {
            '\\' if rest.as_str().starts_with('\\') => {
                characters.push(format!("\\{}", rest.next().unwrap_or_default()))
            }
            '\\' => characters.push(format!("\\{}", rest.by_ref().take(3).collect::<String>())),
            _ => characters.push(character.to_string()),
        }
    }
    for _ in 0..rng.below(3) {
        let at = rng.below(characters.len() + 1);
        if at < characters.len() && rng.chance(50) {
            characters.remove(at);
        } else {
            const PUT_IN: &[&str] =
                &["{", "}", "[", "]", ",", ":", "\"", "0", "7", "e", ".", "-", "+", "n", "t", "x", "I", " "];
            characters.insert(at, (*rng.pick(PUT_IN)).to_owned());
        }
    }
    characters.concat()
}

/// MessagePack, most of it sound.
fn packed(rng: &mut Rng, depth: usize) -> Vec<u8> {
    let count = rng.below(4);
    let items = |rng: &mut Rng, count: usize| (0..count).flat_map(|_| packed(rng, depth + 1)).collect::<Vec<u8>>();
    // Keys that are tables come in the order of their addresses, which is nobody's business.
    let pairs = |rng: &mut Rng| {
        let pair = |rng: &mut Rng| [scalar(rng), packed(rng, depth + 1)].concat();
        (0..count).flat_map(|_| pair(rng)).collect::<Vec<u8>>()
    };
    let small = count as u8;
    match rng.below(8) {
        0 => {
            let more = rng.below(10);
            bytes(rng, 1 + more)
        }
        1..5 => scalar(rng),
        _ if depth > 4 => scalar(rng),
        5 => [vec![0x90 + small], items(rng, count)].concat(),
        6 => [rng.pick(&[vec![0xdc, 0, small], vec![0xdd, 0, 0, 0, small]]).clone(), items(rng, count)].concat(),
        _ => {
            let heads = [vec![0x80 + small], vec![0xde, 0, small], vec![0xdf, 0, 0, 0, small]];
            [rng.pick(&heads).clone(), pairs(rng)].concat()
        }
    }
}

fn scalar(rng: &mut Rng) -> Vec<u8> {
    let (head, payload): (&[u8], usize) = match rng.below(7) {
        0 => (&[0, 1, 0x7f, 0xff, 0xe0, 0xc0, 0xc2, 0xc3], 0),
        1 => return b"\xa3abc".to_vec(),
        2 => return b"\xd9\x02xy".to_vec(),
        3 => (&[0xcc, 0xd0], 1),
        4 => (&[0xcd, 0xd1], 2),
        5 => (&[0xce, 0xd2, 0xca], 4),
        _ => (&[0xcf, 0xd3, 0xcb], 8),
    };
    [vec![*rng.pick(head)], bytes(rng, payload)].concat()
}

/// A format of `struct`.
fn format(rng: &mut Rng) -> String {
    const LETTERS: &[&str] = &[
        "b", "B", "h", "H", "l", "L", "T", "i", "I", "f", "d", "x", "s", "c", "c0", " ", "<", ">", "!", "!4", "!8",
        "!2", "!16",
    ];
    let letter = |rng: &mut Rng| match rng.below(28) {
        0 => format!("i{}", rng.below(34)),
        1 => format!("I{}", rng.below(20)),
        2 => format!("c{}", rng.below(6)),
        3 => format!("!{}", rng.below(5)),
        4 if rng.chance(30) => "q".to_owned(),
        _ => (*rng.pick(LETTERS)).to_owned(),
    };
    (0..=rng.below(7)).map(|_| letter(rng)).collect()
}
