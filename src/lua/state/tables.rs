//! What a frame does with tables: without metamethods, and only after a look at what may be written.
#![allow(unsafe_code)]

use std::ffi::c_int;

use super::super::ffi;
use super::{Frame, Kind, ROOM_MAX, Raised, Value};

impl Frame<'_> {
    /// Pushes an empty table. The numbers are how many elements and fields it will have, as far as that is known.
    pub fn new_table(&mut self, array: usize, record: usize) {
        self.reserve(1);
        let (array, record) = (array.min(ROOM_MAX), record.min(ROOM_MAX));
        // SAFETY: there is room, and all memory is granted.
        unsafe { ffi::lua_createtable(self.state, array as c_int, record as c_int) }
    }

    /// The length of a string or table, without metamethods; 0 for others.
    pub fn raw_len(&self, index: i32) -> usize {
        match (self.kind(index), self.value(index)) {
            (_, Value::String(bytes)) => bytes.len(),
            // SAFETY: reads the table.
            (Some(Kind::Table), _) => unsafe { ffi::lua_objlen(self.state, self.place(index)) },
            _ => 0,
        }
    }

    /// A table; panics if the value is none.
    #[inline]
    pub(super) fn table_at(&self, index: i32) -> &ffi::Table {
        let slot = self.slot(index).filter(|slot| slot.kind == ffi::T_TABLE).expect("the value is a table");
        // SAFETY: a table holds this, and stays in memory with the value.
        unsafe { &*slot.payload.object.cast::<ffi::Table>() }
    }

    /// Whether a table has room for keys beyond those of its array; one without has none of them.
    #[inline]
    pub(in crate::lua) fn has_fields(&self, index: i32) -> bool {
        // SAFETY: reads the table.
        unsafe { ffi::aleadb_has_fields(self.table_at(index)) != 0 }
    }

    /// The place of a table; panics if the value is none.
    #[inline]
    pub(super) fn table(&self, index: i32) -> c_int {
        self.table_at(index);
        self.place(index)
    }

    /// Replaces the key on the top by its value in the table.
    pub fn raw_get(&mut self, table: i32) {
        let place = self.table(table);
        // SAFETY: it is a table, and the key is there, if only because the table is.
        unsafe { ffi::lua_rawget(self.state, place) }
    }

    /// Pushes an element of a table.
    pub fn raw_get_index(&mut self, table: i32, index: i32) {
        let place = self.table(table);
        self.reserve(1);
        // SAFETY: it is a table, and there is room.
        unsafe { ffi::lua_rawgeti(self.state, place, index) }
    }

    /// Pushes a field of a table.
    pub fn raw_get_name(&mut self, table: i32, name: &str) {
        let place = self.table(table);
        self.push_bytes(name.as_bytes());
        self.raw_get(place);
    }

    /// Whether a table takes another value.
    fn can_set(&mut self, place: c_int) -> Result<(), Raised> {
        if self.is_readonly(place) {
            return Err(self.raise_at_caller(b"Attempt to modify a readonly table"));
        }
        match self.has_memory() {
            true => Ok(()),
            false => Err(self.raise_memory()),
        }
    }

    /// Sets a field: key and value are the two values on the top, and are taken off.
    ///
    /// # Errors
    /// The table is read-only, the key nil or not a number, or there is no memory.
    pub fn raw_set(&mut self, table: i32) -> Result<(), Raised> {
        let place = self.table(table);
        assert!(self.top() as c_int >= place + 2, "key and value lie above the table");
        match self.kind(-2) {
            Some(Kind::Nil) => return Err(self.raise(b"table index is nil")),
            Some(Kind::Number) if self.number(-2).is_some_and(f64::is_nan) => {
                return Err(self.raise(b"table index is NaN"));
            }
            _ => self.can_set(place)?,
        }
        // SAFETY: it is a table that can be written, key and value are there, and the key can be one; all memory is granted.
        unsafe { ffi::lua_rawset(self.state, place) };
        Ok(())
    }

    /// Sets an element to the value on the top, which is taken off.
    ///
    /// # Errors
    /// The table is read-only, or there is no memory.
    pub fn raw_set_index(&mut self, table: i32, index: i32) -> Result<(), Raised> {
        let place = self.table(table);
        self.can_set(place)?;
        // SAFETY: it is a table that can be written, and the value is there; all memory is granted.
        unsafe { ffi::lua_rawseti(self.state, place, index) };
        Ok(())
    }

    /// Sets a field to the value on the top, which is taken off.
    ///
    /// # Errors
    /// The table is read-only, or there is no memory.
    pub fn raw_set_name(&mut self, table: i32, name: &str) -> Result<(), Raised> {
        let place = self.table(table);
        self.push_bytes(name.as_bytes());
        self.insert(-2);
        self.raw_set(place)
    }

    /// Sets a field of a table that this function has made to the value on the top, which is taken off, whatever memory it takes:
    /// for error objects, and for what is made before any script runs.
    pub(in crate::lua) fn set_own(&mut self, table: i32, name: &str) {
        let place = self.table(table);
        self.push_bytes(name.as_bytes());
        self.insert(-2);
        assert!(self.top() as c_int >= place + 2 && !self.is_readonly(place), "the value lies above the table");
        // SAFETY: it is a table that can be written, key and value are there, and all memory is granted.
        unsafe { ffi::lua_rawset(self.state, place) };
    }

    /// Sets an element to the value on the top, which is taken off: in a table of the caller's own, which no script can reach.
    pub(in crate::lua) fn set_own_index(&mut self, table: i32, index: i32) {
        let place = self.table(table);
        assert!(self.top() as c_int > place && !self.is_readonly(place), "the value lies above the table");
        // SAFETY: it is a table that can be written, the value is there, and all memory is granted.
        unsafe { ffi::lua_rawseti(self.state, place, index) };
    }

    /// Replaces the key on the top by the next one of the table and its value; by nothing after the last one. The first
    /// key comes after nil. False as well for a key that the table does not have.
    pub fn next(&mut self, table: i32) -> bool {
        let place = self.table(table);
        self.reserve(1);
        // SAFETY: it is a table, the key lies on the top, and there is room for the value.
        unsafe { ffi::aleadb_next(self.state, place) > 0 }
    }

    /// Whether two values are the same, without metamethods.
    pub fn is_same(&self, left: i32, right: i32) -> bool {
        let (left, right) = (self.place_or_none(left), self.place_or_none(right));
        // SAFETY: any positive index can be asked for.
        unsafe { ffi::lua_rawequal(self.state, left, right) != 0 }
    }

    /// Pushes the value's metatable; false, and nothing is pushed, if it has none.
    pub fn metatable(&mut self, index: i32) -> bool {
        if self.kind(index) == Some(Kind::Table) && self.table_at(index).metatable.is_null() {
            return false;
        }
        let place = self.place(index);
        self.reserve(1);
        // SAFETY: the value exists, and there is room.
        unsafe { ffi::lua_getmetatable(self.state, place) != 0 }
    }

    /// Makes the table on the top, which is taken off, the metatable of another.
    ///
    /// # Errors
    /// The other table is read-only.
    pub fn set_metatable(&mut self, index: i32) -> Result<(), Raised> {
        let place = self.table(index);
        self.table(-1);
        self.can_set(place)?;
        // SAFETY: both are tables.
        unsafe { ffi::lua_setmetatable(self.state, place) };
        Ok(())
    }

    /// Whether changes of a table are forbidden.
    pub(in crate::lua) fn is_readonly(&self, table: i32) -> bool {
        self.table_at(table).readonly != 0
    }

    /// Forbids or allows changes of a table.
    pub(in crate::lua) fn set_readonly(&mut self, table: i32, readonly: bool) {
        let place = self.table(table);
        // SAFETY: it is a table.
        unsafe { ffi::aleadb_set_readonly(self.state, place, c_int::from(readonly)) }
    }
}
