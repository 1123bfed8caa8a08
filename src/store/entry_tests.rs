use super::*;

use crate::store::types::roaring::Roaring;
use crate::store::types::{List, Set};

fn text(entry: &Entry) -> Vec<u8> {
    entry.string().expect("a string").text(&mut TextBuffer::new()).to_vec()
}

#[test]
fn a_short_key_and_value_share_one_64_byte_block() {
    let plain = Entry::new(&[b'k'; 15], NewValue::Bytes(&[b'v'; 32]), None);
    let timed = Entry::new(&[b'k'; 15], NewValue::Bytes(&[b'v'; 32]), Some(1));
    assert_eq!((plain.heap_bytes(), timed.heap_bytes()), (64, 64));
}

#[test]
fn bytes_are_edited_in_place_and_never_those_of_a_reply() {
    for length in [0, 3, INLINE_BYTES_MAX, INLINE_BYTES_MAX + 1] {
        let mut entry = Entry::new(b"key", NewValue::Bytes(&vec![b'x'; length]), Some(7));
        let in_flight = match entry.string() {
            Some(Value::Shared(shared)) => Some(Arc::clone(&shared)),
            _ => None,
        };
        assert_eq!(entry.edit_bytes(|bytes| bytes.fill(b'y')), Some(()));
        assert_eq!((text(&entry), entry.key()), (vec![b'y'; length], &b"key"[..]));
        assert!(in_flight.is_none_or(|bytes| *bytes == vec![b'x'; length]));
    }
    let mut number = Entry::new(b"key", NewValue::Int(5), None);
    assert_eq!(number.edit_bytes(|_| ()), None);
}

#[test]
fn every_shape_keeps_key_value_and_deadline_through_every_change() {
    let keys: [&[u8]; 4] = [b"", b"key", &[b'k'; 254], &[b'k'; 70_000]];
    let long = vec![b'x'; INLINE_BYTES_MAX + 1];
    let values: [&[u8]; 6] = [b"", b"-9223372036854775808", b"text", &[b'v'; 45], &[b'v'; INLINE_BYTES_MAX], &long];
    for key in keys {
        for first in values {
            for second in values {
                for deadlines in [(None, None), (None, Some(5)), (Some(i64::MAX), None), (Some(-1), Some(7))] {
                    let entry = Entry::new(key, NewValue::compact(first), deadlines.0);
                    assert_eq!((entry.key(), text(&entry).as_slice(), entry.deadline_ms()), (key, first, deadlines.0));
                    let entry = entry.with_deadline(deadlines.1);
                    assert_eq!((entry.key(), text(&entry).as_slice(), entry.deadline_ms()), (key, first, deadlines.1));
                    let entry = entry.with_value(NewValue::compact(second), deadlines.0);
                    assert_eq!((entry.key(), text(&entry).as_slice(), entry.deadline_ms()), (key, second, deadlines.0));
                    let copy = entry.copy_as(b"copy");
                    drop(entry);
                    assert_eq!((copy.key(), text(&copy).as_slice()), (&b"copy"[..], second));
                }
            }
        }
    }
}

#[test]
fn flags_and_access_clock_do_not_disturb_each_other() {
    let mut entry = Entry::new(b"k", NewValue::Bytes(b"v"), Some(9));
    let stamp = Stamp::new(FORM_MASK, 0x00ff_00ff);
    entry.set_stamp(stamp);
    entry.set_timer_exact(true);
    entry.set_raw();
    entry.set_mark(true);
    assert_eq!((entry.stamp(), entry.timer_exact(), entry.encoding()), (stamp, true, "raw"));
    entry.set_timer_exact(false);
    assert!(entry.mark());
    assert_eq!((entry.timer_exact(), entry.deadline_ms(), entry.encoding()), (false, Some(9), "raw"));
    assert_eq!(entry.with_value(NewValue::Bytes(b"w"), Some(9)).encoding(), "embstr");
}

#[test]
fn changing_only_the_value_keeps_deadline_and_timer_whatever_the_block_does() {
    for (first, second) in [("1", "2"), ("1", "a value of some other size class, which moves the block")] {
        let mut entry = Entry::new(b"k", NewValue::compact(first.as_bytes()), Some(9));
        entry.set_timer_exact(true);
        let entry = entry.with_value_only(NewValue::compact(second.as_bytes()));
        assert_eq!((entry.deadline_ms(), entry.timer_exact(), text(&entry)), (Some(9), true, second.into()));
    }
}

#[test]
fn an_entry_keeps_its_mark_through_every_change_and_a_new_one_has_none() {
    let long = vec![b'x'; INLINE_BYTES_MAX + 1];
    for mark in [false, true] {
        for (first, second) in [("1", "2"), ("1", "a value of some other size class, which moves the block")] {
            let mut entry = Entry::new(b"k", NewValue::compact(first.as_bytes()), None);
            assert!(!entry.mark());
            entry.set_mark(mark);
            let entry = entry.with_value(NewValue::compact(second.as_bytes()), Some(9));
            let entry = entry.with_value_only(NewValue::Bytes(&long)).with_deadline(None).with_deadline(Some(7));
            let mut entry = entry.renamed(b"another");
            entry.shared_mut().expect("shared").bytes().push(b'x');
            entry.set_raw();
            assert_eq!((entry.mark(), entry.copy_as(b"copy").mark()), (mark, false));
        }
    }
}

#[test]
fn only_integers_are_overwritten_as_integers() {
    let mut number = Entry::new(b"k", NewValue::Int(7), Some(9));
    assert!(number.overwrite_int(i64::MIN));
    assert_eq!((text(&number), number.deadline_ms()), (i64::MIN.to_string().into(), Some(9)));
    let mut word = Entry::new(b"k", NewValue::Bytes(b"7"), None);
    assert!(!word.overwrite_int(8));
    assert_eq!(text(&word), b"7");
}

#[test]
fn a_shared_value_changes_in_place_but_never_under_a_reply() {
    let mut entry = Entry::new(b"k", NewValue::Bytes(&[b'v'; 5000]), None);
    let Some(Value::Shared(shared)) = entry.string() else { panic!("5,000 bytes are shared") };
    let reply = Arc::clone(&shared);
    entry.shared_mut().expect("shared").bytes().extend_from_slice(b"tail");
    assert_eq!((reply.len(), entry.string().map(|string| string.len())), (5000, Some(5004)));
    drop(reply);
    entry.shared_mut().expect("shared").bytes().truncate(3);
    assert_eq!(text(&entry), b"vvv");
}

#[test]
fn a_collection_moves_with_its_entry_and_leaves_with_its_payload() {
    let mut entry = Entry::new(b"k", NewValue::Object(Object::Set(Set::ints())), None);
    assert!(entry.string().is_none() && entry.collection::<List>().is_none());
    assert_eq!(entry.type_of(), Type::Set);
    entry = entry.with_deadline(Some(5)).renamed(b"another key, so long that its block has another size");
    assert_eq!((entry.type_of(), entry.deadline_ms()), (Type::Set, Some(5)));
    let copy = entry.copy_as(b"copy");
    let set = entry.detach::<Set>().expect("a set");
    assert_eq!((entry.type_of(), text(&entry)), (Type::String, b"0".to_vec()));
    entry.attach(set);
    assert!(entry.detach_payload().is_some() && entry.detach_payload().is_none());
    let entry = copy.with_value(NewValue::Bytes(b"v"), None);
    assert_eq!((text(&entry), entry.deadline_ms()), (b"v".to_vec(), None));
}

#[test]
fn a_compressed_bitmap_is_copied_before_it_changes_if_anyone_holds_it_and_goes_with_its_entry() {
    let mut roaring = Roaring::zeros(1 << 20);
    roaring.set(77, true);
    let entry = Entry::new(b"key", NewValue::Roaring(roaring.into()), None);
    assert_eq!(
        (entry.encoding(), entry.type_of(), entry.size()),
        ("roaring", crate::store::types::Type::String, 1 << 20)
    );
    let mut entry = entry.with_deadline(Some(5)).renamed(b"another key").with_deadline(None);
    let copy = entry.copy_as(b"copy");
    let held = entry.roaring().map(|roaring| Arc::clone(&roaring)).expect("it is one");
    assert_eq!(entry.edit_roaring(|roaring| roaring.set(1 << 22, true)), Some(()));
    assert_eq!(
        [&entry, &copy].map(|entry| entry.roaring().map(|roaring| roaring.get(1 << 22))),
        [Some(true), Some(false)]
    );
    assert_eq!((held.get(77), held.get(1 << 22), text(&entry)[9]), (true, false, 4));
    assert!(entry.shared_mut().is_none() && entry.edit_bytes(|_| ()).is_none() && entry.object().is_none());
    assert!(entry.heap_bytes() < 1000 && !entry.is_costly_to_free());
    assert!(entry.detach_payload().is_some() && entry.roaring().is_none());
    let mut plain = copy.with_value_only(NewValue::Bytes(b"short"));
    assert_eq!((text(&plain), plain.edit_roaring(|_| ())), (b"short".to_vec(), None));
}
