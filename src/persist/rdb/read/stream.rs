//! Streams, which are read piece by piece: a node, a group, a pending entry, a consumer, or one of a consumer's own at a time.

use super::{Broken, GROUP_BYTES, ID_BYTES, NODE_BYTES, PENDING_BYTES, Reader, TIME_BYTES, code};
use crate::store::types::Stream;
use crate::store::types::stream::StreamId;
use crate::store::types::stream::parts::{Builder, Facts};

const NO_FIT: Broken = Broken::Invalid("entries, ids or groups of a stream that do not fit together");

/// A stream in the making.
#[derive(Debug)]
pub(super) struct Streaming {
    stream: Builder,
    stage: Stage,
    /// How many of what is being read, and of what that is a part of, are still to come.
    nodes: usize,
    groups: usize,
    pending: usize,
    consumers: usize,
    own: usize,
    producers: usize,
    producer: Vec<u8>,
    ids: usize,
}

/// What comes next, or what follows it if there is no more of that.
#[derive(Clone, Copy, Debug)]
enum Stage {
    Nodes,
    Groups,
    Pending,
    Consumers,
    Own,
    /// What a stream remembers for some minutes, so that XADD with IDMP adds nothing twice: how long and how much, then of each producer
    /// the ids it gave and the entries they stand for, then two counters.
    Memory,
    Producers,
    Ids,
}

impl Streaming {
    /// True for the forms of streams.
    pub fn is_form(form: u8) -> bool {
        use code::{STREAM_LISTPACKS, STREAM_LISTPACKS_2, STREAM_LISTPACKS_3, STREAM_LISTPACKS_4};
        matches!(form, STREAM_LISTPACKS | STREAM_LISTPACKS_2 | STREAM_LISTPACKS_3 | STREAM_LISTPACKS_4)
    }

    /// Begins to read a stream. O(1).
    pub fn begin(reader: &mut Reader<'_, '_>) -> Result<Streaming, Broken> {
        let nodes = reader.count(ID_BYTES + 2)?;
        let (stream, stage) = (Builder::default(), Stage::Nodes);
        let (groups, pending, consumers, own, producers, producer, ids) = (0, 0, 0, 0, 0, Vec::new(), 0);
        Ok(Streaming { stream, stage, nodes, groups, pending, consumers, own, producers, producer, ids })
    }

    /// Reads the next piece; true if it was the last. If the bytes run out nothing has changed.
    pub fn read_piece(&mut self, form: u8, reader: &mut Reader<'_, '_>) -> Result<bool, Broken> {
        match self.stage {
            Stage::Nodes if self.nodes > 0 => {
                self.read_node(reader)?;
                self.nodes -= 1;
            }
            Stage::Nodes => self.read_facts(form, reader)?,
            Stage::Groups if self.groups > 0 => self.read_group(form, reader)?,
            Stage::Groups if form == code::STREAM_LISTPACKS_4 => self.stage = Stage::Memory,
            Stage::Groups => return Ok(true),
            Stage::Pending if self.pending > 0 => {
                reader.budget.spend(PENDING_BYTES)?;
                let (id, delivered_ms, deliveries) = (reader.raw_id()?, reader.time_ms()?, reader.length()?);
                self.stream.add_pending(id, delivered_ms, deliveries).ok_or(NO_FIT)?;
                self.pending -= 1;
            }
            Stage::Pending => {
                self.consumers = reader.count(TIME_BYTES + 2)?;
                self.stage = Stage::Consumers;
            }
            Stage::Consumers if self.consumers > 0 => self.read_consumer(form, reader)?,
            Stage::Consumers => {
                self.stream.end_group().ok_or(NO_FIT)?;
                self.groups -= 1;
                self.stage = Stage::Groups;
            }
            Stage::Own if self.own > 0 => {
                self.stream.add_own(reader.raw_id()?).ok_or(NO_FIT)?;
                self.own -= 1;
            }
            Stage::Own => {
                self.consumers -= 1;
                self.stage = Stage::Consumers;
            }
            Stage::Memory => {
                let (duration_s, ids_max) = (reader.length()?, reader.length()?);
                self.stream.set_remembering(duration_s, ids_max).ok_or(NO_FIT)?;
                self.producers = reader.count(2)?;
                self.stage = Stage::Producers;
            }
            Stage::Producers if self.producers > 0 => {
                reader.budget.spend(GROUP_BYTES)?;
                self.producer = reader.kept_string()?.into_owned();
                self.ids = reader.count(3)?;
                self.producers -= 1;
                self.stage = Stage::Ids;
            }
            Stage::Producers => {
                let (added, duplicates) = (reader.length()?, reader.length()?);
                self.stream.end_producers(added, duplicates);
                return Ok(true);
            }
            Stage::Ids if self.ids > 0 => {
                reader.budget.spend(PENDING_BYTES)?;
                let (id, entry) = (reader.kept_string()?, reader.id()?);
                self.stream.add_produced(&self.producer, &id, entry);
                self.ids -= 1;
            }
            Stage::Ids => self.stage = Stage::Producers,
        }
        Ok(false)
    }

    fn read_node(&mut self, reader: &mut Reader<'_, '_>) -> Result<(), Broken> {
        let key = <[u8; ID_BYTES]>::try_from(&*reader.string()?);
        let key = key.map_err(|_| Broken::Invalid("a node of a stream whose id is not of 16 bytes"))?;
        reader.budget.spend(NODE_BYTES)?;
        reader.pack(false, usize::MAX, |pack| self.stream.add_node(StreamId::from_bytes(key), pack))
    }

    fn read_facts(&mut self, form: u8, reader: &mut Reader<'_, '_>) -> Result<(), Broken> {
        let mut facts = Facts { len: reader.length()?, last_id: reader.id()?, ..Facts::default() };
        if form != code::STREAM_LISTPACKS {
            facts.first_id = Some(reader.id()?);
            facts.max_deleted_id = reader.id()?;
            facts.entries_added = Some(reader.length()?);
        }
        self.groups = reader.count(5)?;
        self.stream.add_facts(&facts).ok_or(NO_FIT)?;
        self.stage = Stage::Groups;
        Ok(())
    }

    fn read_group(&mut self, form: u8, reader: &mut Reader<'_, '_>) -> Result<(), Broken> {
        reader.budget.spend(GROUP_BYTES)?;
        let (name, last_id) = (reader.kept_string()?.into_owned(), reader.id()?);
        let entries_read = match form {
            code::STREAM_LISTPACKS => None,
            _ => Some(Some(reader.length()?).filter(|&read| read != u64::MAX)),
        };
        self.pending = reader.count(ID_BYTES + TIME_BYTES + 1)?;
        self.stream.begin_group(name, last_id, entries_read);
        self.stage = Stage::Pending;
        Ok(())
    }

    fn read_consumer(&mut self, form: u8, reader: &mut Reader<'_, '_>) -> Result<(), Broken> {
        reader.budget.spend(GROUP_BYTES)?;
        let (name, seen_ms) = (reader.kept_string()?, reader.time_ms()?);
        let is_told = matches!(form, code::STREAM_LISTPACKS_3 | code::STREAM_LISTPACKS_4);
        let active_ms = if is_told { reader.time_ms()? } else { seen_ms };
        self.own = reader.count(ID_BYTES)?;
        self.stream.begin_consumer(&name, seen_ms, active_ms).ok_or(NO_FIT)?;
        self.stage = Stage::Own;
        Ok(())
    }

    /// The stream, once it is read.
    pub fn finish(&mut self) -> Stream {
        self.stream.finish()
    }
}
