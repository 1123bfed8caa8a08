//! Classes of keyspace events and the letters that `notify-keyspace-events` chooses them with.

use std::borrow::Cow;

use super::value::{Reason, single};

/// A class of events, or a form in which events are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventClass {
    /// `g`: commands for keys of any type.
    Generic,
    /// `$`: string commands.
    String,
    /// `l`: list commands.
    List,
    /// `s`: set commands.
    Set,
    /// `h`: hash commands.
    Hash,
    /// `z`: sorted set commands.
    SortedSet,
    /// `x`: keys whose time was over.
    Expired,
    /// `e`: keys that had to go to free memory.
    Evicted,
    /// `t`: stream commands.
    Stream,
    /// `d`: events of modules.
    Module,
    /// `a`: array commands.
    Array,
    /// `n`: keys that were not there before.
    New,
    /// `o`: keys whose value was replaced as a whole.
    Overwritten,
    /// `c`: keys whose type changed.
    TypeChanged,
    /// `K`: publish to a channel for each key.
    Keyspace,
    /// `E`: publish to a channel for each event.
    Keyevent,
    /// `m`: keys that were read and are not there.
    KeyMiss,
    /// `S`: publish the parts that an event concerns to a channel for each key.
    Subkeyspace,
    /// `T`: the same to a channel for each event.
    Subkeyevent,
    /// `I`: the same to a channel for each part of a key.
    SubkeyspaceItem,
    /// `V`: the same to a channel for each event of a key.
    SubkeyspaceEvent,
}

/// Every class with its letter, in the order Redis prints them; those before `New` are what `A` stands for.
const LETTERS: [(u8, EventClass); 21] = [
    (b'g', EventClass::Generic),
    (b'$', EventClass::String),
    (b'l', EventClass::List),
    (b's', EventClass::Set),
    (b'h', EventClass::Hash),
    (b'z', EventClass::SortedSet),
    (b'x', EventClass::Expired),
    (b'e', EventClass::Evicted),
    (b't', EventClass::Stream),
    (b'd', EventClass::Module),
    (b'a', EventClass::Array),
    (b'n', EventClass::New),
    (b'o', EventClass::Overwritten),
    (b'c', EventClass::TypeChanged),
    (b'K', EventClass::Keyspace),
    (b'E', EventClass::Keyevent),
    (b'm', EventClass::KeyMiss),
    (b'S', EventClass::Subkeyspace),
    (b'T', EventClass::Subkeyevent),
    (b'I', EventClass::SubkeyspaceItem),
    (b'V', EventClass::SubkeyspaceEvent),
];

/// The classes that are published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events(u32);

impl Events {
    /// No events at all.
    pub const NONE: Events = Events(0);
    /// What `A` stands for.
    const ALL: Events = Events((1 << EventClass::New as u16) - 1);
    /// The forms in which the parts are named that an event concerns.
    const SUBKEYS: u32 = 0b1111 << EventClass::Subkeyspace as u16;

    /// True if events of this class are wanted.
    #[inline]
    pub fn has(self, class: EventClass) -> bool {
        self.0 & (1 << class as u16) != 0
    }

    /// True if the parts that events of this class concern (fields of hashes) are to be named.
    #[inline]
    pub fn name_subkeys(self, class: EventClass) -> bool {
        self.has(class) && self.0 & Events::SUBKEYS != 0
    }
}

pub(super) fn parse_events(args: &[&[u8]]) -> Result<Events, Reason> {
    let mut events = Events::NONE;
    for &letter in single(args)? {
        events.0 |= match LETTERS.iter().find(|(known, _)| *known == letter) {
            Some((_, class)) => 1 << *class as u16,
            None if letter == b'A' => Events::ALL.0,
            // COMPAT: the list of letters in Redis's text is not complete.
            None => return Err(Cow::Borrowed("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.")),
        };
    }
    Ok(events)
}

/// The letters in Redis's order. As there, `A` hides the letters of the optional classes, which are wanted nevertheless.
pub(super) fn print_events(events: &Events) -> Vec<u8> {
    let all = events.0 & Events::ALL.0 == Events::ALL.0;
    let hidden = |class: EventClass| all && (class as u16) < EventClass::Keyspace as u16;
    let letters = LETTERS.iter().filter(|(_, class)| events.has(*class) && !hidden(*class)).map(|(letter, _)| *letter);
    all.then_some(b'A').into_iter().chain(letters).collect()
}

/// The letters for a rewritten file; none, if there are no events.
pub(super) fn written(events: &Events) -> Option<Vec<u8>> {
    (*events != Events::NONE).then(|| print_events(events))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The right column is what Redis 8.2.3 answers to CONFIG GET after CONFIG SET of the left.
    #[test]
    fn letters_print_as_redis_prints_them() {
        for (set, get) in [
            ("", ""),
            ("KEA", "AKE"),
            ("KEg$lshzxetdmnA", "AKEm"),
            ("KEAmnoc", "AKEm"),
            ("o", "o"),
            ("Kc", "cK"),
            ("gK", "gK"),
            ("mnKE", "nKEm"),
            ("KEg$lshzxetda", "AKE"),
            ("$lshzxetdanocKEm", "$lshzxetdanocKEm"),
            ("gocnmKE", "gnocKEm"),
            ("gdxtz", "gzxtd"),
            // Those of Redis 8.8 have the letters of arrays and of parts.
            ("KEg$lshzxetd", "g$lshzxetdKE"),
            ("VITSh", "hSTIV"),
            ("KEASTIVm", "AKEmSTIV"),
        ] {
            let events = parse_events(&[set.as_bytes()]).expect(set);
            assert_eq!(print_events(&events), get.as_bytes(), "{set}");
        }
        for wrong in ["q", "K E", "KEAQ", "r"] {
            assert!(parse_events(&[wrong.as_bytes()]).is_err(), "{wrong}");
        }
        assert!(parse_events(&[b"K", b"E"]).is_err());
    }

    #[test]
    fn parts_are_named_if_a_form_and_the_class_are_wanted() {
        for (set, named) in [("KEA", false), ("STIV", false), ("hS", true), ("AV", true), ("zsT", false), ("hI", true)]
        {
            let events = parse_events(&[set.as_bytes()]).expect("known letters");
            assert_eq!(events.name_subkeys(EventClass::Hash), named, "{set}");
        }
    }

    #[test]
    fn hidden_letters_count() {
        let events = parse_events(&[b"Kno$A"]).expect("known letters");
        assert!(events.has(EventClass::New) && events.has(EventClass::Overwritten) && !events.has(EventClass::KeyMiss));
    }
}
