//! What the fuzz targets of the scripts' libraries do with their input: they give it to a script.

use std::cell::RefCell;

#[path = "../support/interpreter.rs"]
mod interpreter;

use interpreter::Interpreter;

/// Memory that a script may use.
const MEMORY_BYTES: usize = 16 << 20;

thread_local! {
    /// One interpreter for all inputs: none leaves anything in it.
    static INTERPRETER: RefCell<Interpreter> = RefCell::new(Interpreter::new(MEMORY_BYTES));
}

/// Runs a script that has to end without an error; its reply.
fn run(script: &str, arguments: &[&[u8]]) -> String {
    let reply = INTERPRETER.with_borrow_mut(|interpreter| interpreter.run(script.as_bytes(), arguments));
    match reply {
        Ok(reply) => String::from_utf8_lossy(&reply).into_owned(),
        Err(text) => panic!("{}", text.escape_ascii()),
    }
}

/// Slices that any script gets before it is killed.
const SLICES: usize = 200;

/// Any text is refused, or runs, calls commands, is suspended, and ends or is killed; and the next script finds nothing of it.
pub fn script(data: &[u8]) {
    INTERPRETER.with_borrow_mut(|interpreter| _ = interpreter.run_slices(data, SLICES));
    assert_eq!(run("return #KEYS + #ARGV + #string.rep('x', 3)", &[]), ":3\r\n");
}

/// Any text decodes or is refused; what decodes encodes or is refused; and what was encoded decodes.
pub fn cjson(data: &[u8]) {
    const SCRIPT: &str = "local is_json, value = pcall(cjson.decode, ARGV[1])
        if not is_json then return value end
        local is_fit, text = pcall(cjson.encode, value)
        if not is_fit then return text end
        return cjson.encode(cjson.decode(text))";
    run(SCRIPT, &[data]);
}

/// Any bytes unpack or are refused; all at once they are as many values as one by one; and what they are packs.
pub fn cmsgpack(data: &[u8]) {
    const SCRIPT: &str = "local function counted(...) return select('#', ...), {...} end
        local n, all = counted(pcall(cmsgpack.unpack, ARGV[1]))
        if not all[1] then return all[2] end
        local offset, count = 0, 0
        while offset ~= -1 and #ARGV[1] > 0 do
            offset = cmsgpack.unpack_one(ARGV[1], offset)
            count = count + 1
        end
        if count ~= n - 1 then return 'MISCOUNTED' end
        if n > 1 then pcall(cmsgpack.unpack, cmsgpack.pack(unpack(all, 2, n))) end
        return count";
    assert!(!run(SCRIPT, &[data]).contains("MISCOUNTED"));
}

/// Any format and any data unpack or are refused. If the format has a size, that many bytes were read, and what was read packs
/// into as many. The first byte of the input says how long the format is.
pub fn structs(data: &[u8]) {
    const SCRIPT: &str = "local function counted(...) return select('#', ...), {...} end
        local n, all = counted(pcall(struct.unpack, ARGV[1], ARGV[2]))
        local has_size, size = pcall(struct.size, ARGV[1])
        if not all[1] or not has_size then return {tostring(all[2]), tostring(size)} end
        if all[n] ~= size + 1 then return 'MISMEASURED' end
        if #struct.pack(ARGV[1], unpack(all, 2, n)) ~= size then return 'MISMEASURED' end
        return size";
    let Some((&length, rest)) = data.split_first() else { return };
    let (format, packed) = rest.split_at(usize::from(length).min(rest.len()));
    assert!(!run(SCRIPT, &[format, packed]).contains("MISMEASURED"));
}

/// Operations on any two doubles are those on integers of 32 bits, for doubles that are near enough to have such.
pub fn bit(data: &[u8]) {
    const SCRIPT: &str = "local a, b = struct.unpack('dd', ARGV[1])
        local r = {bit.tobit(a), bit.bnot(a), bit.bswap(a), bit.band(a, b), bit.bor(a, b), bit.bxor(a, b), bit.lshift(a, b),
            bit.rshift(a, b), bit.arshift(a, b), bit.rol(a, b), bit.ror(a, b)}
        for i, n in ipairs(r) do r[i] = ('%d'):format(n) end
        return table.concat(r, ' ') .. ' ' .. bit.tohex(a) .. ' ' .. bit.tohex(b, -4) .. bit.tohex(a, b):sub(1, 0)";
    let Some(packed) = data.first_chunk::<16>() else { return };
    let reply = run(SCRIPT, &[packed]);
    let number = |at: usize| f64::from_le_bytes(packed[at..at + 8].try_into().expect("eight bytes"));
    let (a, b) = (number(0), number(8));
    const NEAR: f64 = (1u64 << 51) as f64;
    if a.abs() >= NEAR || b.abs() >= NEAR || a.is_nan() || b.is_nan() {
        return;
    }
    let [a, b] = [a, b].map(|number| number.round_ties_even() as i64 as u32);
    let (n, signed) = (b % 32, |bits: u32| (bits as i32).to_string());
    let results = [
        a,
        !a,
        a.swap_bytes(),
        a & b,
        a | b,
        a ^ b,
        a << n,
        a >> n,
        (a as i32 >> n) as u32,
        a.rotate_left(n),
        a.rotate_right(n),
    ];
    let text = format!("{} {a:08x} {:04X}", results.map(signed).join(" "), b & 0xffff);
    assert!(reply.contains(&text), "{reply} should be {text}");
}
